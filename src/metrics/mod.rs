//! The gateway's figures for Prometheus: gathered when they are asked for, from plain counters.
//!
//! Only this module knows Prometheus. The stock equation is a fold of the journal at one
//! position; it is never put together from atomics that were read one after another.

#![expect(clippy::float_arithmetic, reason = "Prometheus speaks in floating-point seconds")]

mod adopted;
mod families;

use std::sync::{Arc, Mutex};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Encoder, Registry, TextEncoder};
use seckill_shards::clock::MachineClock;
use seckill_shards::command::Reason;
use seckill_shards::engine::Engine;
use seckill_shards::journal::Takes;
use seckill_shards::record::Totals;

use self::families::{Families, load, micro, real};
use crate::api::{Counters, Slug};
use crate::control::{Behind, Control, FlushStatus, RefundStatus, SumsTail};
use crate::flow::{Breaker, BreakerState};
use crate::peers::Outcome;

/// Where the figures come from.
#[derive(Debug)]
pub struct Sources {
    /// Journal, shards and activities.
    pub engine: Arc<Engine>,
    /// The flush to the store.
    pub flush: Arc<FlushStatus>,
    /// Money given back.
    pub refunds: Arc<RefundStatus>,
    /// What the cores count of HTTP.
    pub http: Vec<Arc<Counters>>,
    /// The clock.
    pub clock: Arc<MachineClock>,
    /// What the journal adds up to.
    pub sums: Arc<Mutex<SumsTail>>,
    /// The breakers before followers of the sale, by what they guard.
    pub breakers: Vec<(Guarded, Arc<Breaker>)>,
    /// What is settled with other gateways, where there are any.
    pub control: Arc<Control>,
}

/// What a breaker guards: a follower of the sale, and which calls of it.
pub type Guarded = (&'static str, &'static str);

/// Gathers and prints the figures.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// Figures of these sources.
    #[must_use]
    pub fn new(sources: Sources) -> Self {
        let registry = Registry::new();
        let collector = GatewayCollector { sources };
        registry.register(Box::new(collector)).expect("one collector has no rival");
        Self { registry }
    }

    /// The figures now, in Prometheus' text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        let families = self.registry.gather();
        TextEncoder::new().encode(&families, &mut text).expect("a vector takes all bytes");
        String::from_utf8(text).expect("labels are UTF-8")
    }
}

struct GatewayCollector {
    sources: Sources,
}

impl Collector for GatewayCollector {
    /// None: families are made when they are gathered, and this is the registry's only collector.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut page = Families::default();
        self.activities(&mut page);
        self.shards(&mut page);
        self.journal(&mut page);
        self.flush(&mut page);
        self.refunds(&mut page);
        self.breakers(&mut page);
        self.leases(&mut page);
        self.peers(&mut page);
        for adopted in self.sources.control.adopted_controls() {
            adopted::figures(&mut page, &adopted);
        }
        self.http(&mut page);
        process(&mut page);
        page.gauge(
            "seckill_clock_offset_seconds",
            "Wall time ahead of the gateway's clock",
            &[],
            micro(self.sources.clock.offset_us().unsigned_abs()),
        );
        page.into_done()
    }
}

impl GatewayCollector {
    /// The stock equation of each activity, at one position of the journal.
    fn activities(&self, page: &mut Families) {
        let mut sums = self.sources.sums.lock().expect("nobody panics under this lock");
        let Ok((sums, position)) = sums.catch_up() else { return };
        page.gauge(
            "seckill_sums_position",
            "Journal position of the units below",
            &[],
            real(position),
        );
        for (id, sum) in &sums.activities {
            let id = id.to_string();
            let totals = &sum.totals;
            for (state, units) in [
                ("stocked", u64::from(sum.units())),
                ("free", sum.free()),
                ("held", totals.held),
                ("sold", totals.sold),
                ("written_off", totals.written_off),
                ("returned", totals.left),
            ] {
                let labels = [("activity", id.as_str()), ("state", state)];
                let help = "stocked = free + held + sold + written_off + returned";
                page.gauge("seckill_units", help, &labels, real(units));
            }
            for (outcome, orders) in outcomes(totals) {
                let labels = [("activity", id.as_str()), ("outcome", outcome)];
                page.counter(
                    "seckill_orders_total",
                    "Orders by what became of them",
                    &labels,
                    orders,
                );
            }
        }
    }

    fn shards(&self, page: &mut Families) {
        for (core, counters) in self.sources.engine.counters().iter().enumerate() {
            let core = core.to_string();
            let labels = [("core", core.as_str())];
            page.gauge(
                "seckill_orders_in_memory",
                "Orders in memory",
                &labels,
                real(load(&counters.orders)),
            );
            page.gauge(
                "seckill_timers",
                "Timers in the wheel",
                &labels,
                real(load(&counters.timers)),
            );
            let in_flight = load(&counters.in_flight);
            page.gauge(
                "seckill_in_flight",
                "Records on their way to the disk",
                &labels,
                real(in_flight),
            );
            let unknown = load(&counters.unknown);
            page.counter("seckill_unknown_total", "Commands of unknown outcome", &labels, unknown);
            page.histogram(
                "seckill_expiry_lateness_seconds",
                "Expiry behind its deadline",
                &labels,
                &counters.lateness,
            );
        }
        for reason in Reason::ALL {
            let shards = self.sources.engine.counters().iter();
            let count = shards.map(|counters| counters.refusals(*reason)).sum();
            let labels = [("reason", reason.word())];
            page.counter("seckill_refusals_total", "Refusals by the shards", &labels, count);
        }
    }

    fn journal(&self, page: &mut Families) {
        let status = self.sources.engine.journal();
        page.counter("seckill_journal_groups_total", "Groups written", &[], load(&status.groups));
        page.counter(
            "seckill_journal_records_total",
            "Records written",
            &[],
            load(&status.records),
        );
        page.counter("seckill_journal_bytes_total", "Bytes written", &[], load(&status.bytes));
        page.gauge(
            "seckill_journal_position",
            "Durable position",
            &[],
            real(status.durable_position()),
        );
        page.gauge(
            "seckill_journal_segments_ready",
            "Segments made ahead",
            &[],
            real(load(&status.segments_ready)),
        );
        page.gauge(
            "seckill_journal_latched",
            "1 after an I/O error",
            &[],
            f64::from(u8::from(status.is_latched())),
        );
        let open = status.takes() == Takes::Everything;
        page.gauge(
            "seckill_journal_takes_orders",
            "1 while new orders are taken",
            &[],
            f64::from(u8::from(open)),
        );
        page.histogram(
            "seckill_journal_sync_seconds",
            "Write and sync of a group",
            &[],
            &status.sync_latency,
        );
        page.histogram(
            "seckill_journal_durable_seconds",
            "From a batch's first record to its sync",
            &[],
            &status.durable_latency,
        );
        page.counts(
            "seckill_journal_group_records",
            "Records of a group",
            &[],
            &status.group_records,
        );
    }

    fn flush(&self, page: &mut Families) {
        let flush = &self.sources.flush;
        let Behind { records, since, drained_in } = self.sources.control.behind();
        page.gauge(
            "seckill_flush_lag_records",
            "Durable records that the store has not",
            &[],
            real(records),
        );
        page.gauge(
            "seckill_flush_lag_seconds",
            "Age of the oldest of them",
            &[],
            since.as_secs_f64(),
        );
        page.gauge(
            "seckill_flush_drain_seconds",
            "Time that the store takes for them at the rate of the last minute",
            &[],
            drained_in.map_or(f64::INFINITY, |it| it.as_secs_f64()),
        );
        page.counter(
            "seckill_flush_batches_total",
            "Batches that the store took",
            &[],
            load(&flush.batches),
        );
        page.counter(
            "seckill_flush_records_total",
            "Records that the store took",
            &[],
            load(&flush.records),
        );
        page.counter(
            "seckill_flush_faults_total",
            "Attempts that failed",
            &[],
            load(&flush.faults),
        );
        page.gauge(
            "seckill_flush_set_aside_rows",
            "Rows that the store did not take; they are in its table set_aside",
            &[],
            real(load(&flush.set_aside)),
        );
        page.gauge(
            "seckill_sign_outs_unwritten",
            "Sign-outs that the store has yet to take",
            &[],
            real(self.sources.control.unwritten_sign_outs() as u64),
        );
        page.gauge(
            "seckill_acts_unwritten",
            "Acts of operators that the trail has yet to get",
            &[],
            real(self.sources.control.unwritten_acts() as u64),
        );
    }

    /// What Redis and this journal have of each shared activity.
    fn leases(&self, page: &mut Families) {
        let Some(settling) = self.sources.control.settling() else { return };
        page.counter(
            "seckill_lease_alarms_total",
            "Requests that Redis has refused since no gateway may ever make them: never but 0",
            &[],
            load(&settling.alarms),
        );
        let figures = settling.figures.lock().expect("nobody panics under this lock");
        for (id, it) in &*figures {
            let id = id.to_string();
            let labels = [("activity", id.as_str())];
            page.gauge(
                "seckill_lease_live",
                "1 while Redis lends units and confirms places",
                &labels,
                real(u64::from(it.live)),
            );
            page.gauge(
                "seckill_lease_generation",
                "Generation of the era: it rises when what Redis knew is built anew",
                &labels,
                real(it.generation),
            );
            page.gauge(
                "seckill_lease_units",
                "Units lent to this gateway, by its journal",
                &labels,
                real(u64::from(it.net)),
            );
            page.gauge(
                "seckill_lease_drift_units",
                "Most units that Redis was seen to count wrongly since the start: fewer than the journal has, otherwise than gateway by gateway, or beyond the stock: never but 0",
                &labels,
                real(it.drift),
            );
            page.gauge(
                "seckill_lease_short_units",
                "Units that other gateways asked for in vain",
                &labels,
                real(it.short),
            );
        }
    }

    fn breakers(&self, page: &mut Families) {
        for ((follower, calls), breaker) in &self.sources.breakers {
            breaker_figures(page, &[("follower", *follower), ("calls", *calls)], breaker);
        }
    }

    /// The other gateways, and what became of calls to each.
    fn peers(&self, page: &mut Families) {
        let Some(peers) = self.sources.control.peers() else { return };
        let holds = real(u64::from(peers.membership().holds()));
        page.gauge("seckill_member", "1 while this gateway may speak for itself", &[], holds);
        let peers = peers.all();
        let present = peers.iter().filter(|peer| peer.is_present()).count();
        let retired = peers.iter().filter(|peer| peer.adopter().is_some()).count();
        let away = peers.len() - present - retired;
        for (state, count) in [("present", present), ("away", away), ("retired", retired)] {
            let labels = [("state", state)];
            page.gauge("seckill_peers", "Other gateways of the fleet", &labels, real(count as u64));
        }
        for peer in &peers {
            let number = peer.number.to_string();
            for outcome in Outcome::ALL {
                let labels = [("peer", number.as_str()), ("outcome", outcome.word())];
                let help = "Calls about what another gateway owns, by what became of them";
                page.counter("seckill_peer_calls_total", help, &labels, peer.count(outcome));
            }
            let follower = format!("gateway {number}");
            let labels = [("follower", follower.as_str()), ("calls", "all")];
            breaker_figures(page, &labels, &peer.breaker);
        }
    }

    fn refunds(&self, page: &mut Families) {
        let refunds = &self.sources.refunds;
        page.counter("seckill_refunds_total", "Payments given back", &[], load(&refunds.given));
        page.counter(
            "seckill_refund_faults_total",
            "Attempts that failed",
            &[],
            load(&refunds.faults),
        );
    }

    fn http(&self, page: &mut Families) {
        for (core, counters) in self.sources.http.iter().enumerate() {
            let core = core.to_string();
            let labels = [("core", core.as_str())];
            for (name, help, value) in counters.gauges() {
                page.gauge(name, help, &labels, real(value));
            }
            for (name, help, value) in counters.counters() {
                page.counter(name, help, &labels, value);
            }
        }
        for slug in Slug::ALL {
            let count = self.sources.http.iter().map(|counters| counters.negative(*slug)).sum();
            let labels = [("slug", slug.word())];
            let help = "Requests answered with a problem";
            page.counter("seckill_http_refusals_total", help, &labels, count);
        }
    }
}

/// Orders by what became of them.
fn outcomes(totals: &Totals) -> [(&'static str, u64); 6] {
    [
        ("placed", totals.placed_orders),
        ("paid", totals.paid_orders),
        ("expired", totals.expired_orders),
        ("cancelled", totals.cancelled_orders),
        ("rejected", totals.rejected_orders),
        ("refunded", totals.refunded_orders),
    ]
}

fn breaker_figures(page: &mut Families, labels: &[(&str, &str)], breaker: &Breaker) {
    let state = match breaker.state() {
        BreakerState::Closed => 0,
        BreakerState::HalfOpen => 1,
        BreakerState::Open => 2,
    };
    page.gauge(
        "seckill_breaker_state",
        "0 closed, 1 half-open, 2 open: calls are not let through",
        labels,
        real(state),
    );
    page.counter(
        "seckill_breaker_opened_total",
        "Times that a breaker opened",
        labels,
        breaker.opened(),
    );
    page.counter(
        "seckill_breaker_refused_total",
        "Calls that a breaker did not let through",
        labels,
        breaker.refused(),
    );
}

/// What the kernel says of the process.
fn process(page: &mut Families) {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return };
    // The name in parentheses may have spaces; what follows has not.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let number =
        |index: usize| fields.get(index).and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let cpu = real(number(11) + number(12)) / real(ticks);
    page.seconds("process_cpu_seconds_total", "CPU time of the process", cpu);
    let resident = number(21) * rustix::param::page_size() as u64;
    page.gauge("process_resident_memory_bytes", "Resident memory", &[], real(resident));
    page.gauge("process_threads", "Threads", &[], real(number(17)));
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    page.gauge("process_open_fds", "Open files and sockets", &[], real(files as u64));
}
