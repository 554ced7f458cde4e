//! The figures of a gateway that this one has adopted, under its number. What is the process's, the
//! store's or Redis' is among this gateway's own.

use super::families::{Families, load, real};
use super::outcomes;
use crate::control::{Behind, Control};

/// Adds them all, by its control side.
pub(super) fn figures(page: &mut Families, control: &Control) {
    let gateway = control.engine().origin().gateway.to_string();
    journal(page, &gateway, control);
    flush(page, &gateway, control);
    refunds(page, &gateway, control);
    orders(page, &gateway, control);
    leases(page, &gateway, control);
}

fn journal(page: &mut Families, gateway: &str, control: &Control) {
    let is_latched = control.engine().journal().is_latched();
    let help = "1 once the journal of an adopted gateway met an I/O error: only a restart goes on";
    let labels = [("gateway", gateway)];
    page.gauge("seckill_adopted_journal_latched", help, &labels, f64::from(u8::from(is_latched)));
}

fn flush(page: &mut Families, gateway: &str, control: &Control) {
    let labels = [("gateway", gateway)];
    let Behind { records, since, drained_in: _ } = control.behind();
    let help = "Records of adopted gateways that the store has not taken";
    page.gauge("seckill_adopted_flush_lag_records", help, &labels, real(records));
    let help = "Age of the oldest of them";
    page.gauge("seckill_adopted_flush_lag_seconds", help, &labels, since.as_secs_f64());
    let help = "Attempts to flush them that failed";
    page.counter("seckill_adopted_flush_faults_total", help, &labels, load(&control.flush.faults));
    let help =
        "Rows of adopted gateways that the store did not take; they are in its table set_aside";
    let aside = real(load(&control.flush.set_aside));
    page.gauge("seckill_adopted_flush_set_aside_rows", help, &labels, aside);
}

fn refunds(page: &mut Families, gateway: &str, control: &Control) {
    let labels = [("gateway", gateway)];
    let help = "Payments given back for adopted gateways";
    page.counter("seckill_adopted_refunds_total", help, &labels, load(&control.refunds.given));
    let (help, faults) = ("Attempts that failed", load(&control.refunds.faults));
    page.counter("seckill_adopted_refund_faults_total", help, &labels, faults);
}

fn orders(page: &mut Families, gateway: &str, control: &Control) {
    let counters = control.engine().counters().iter();
    let in_memory = counters.map(|it| load(&it.orders)).sum();
    let help = "Orders in memory of gateways that this one has adopted";
    page.gauge("seckill_adopted_orders", help, &[("gateway", gateway)], real(in_memory));
    let mut sums = control.sums.lock().expect("nobody panics under this lock");
    let Ok((sums, _)) = sums.catch_up() else { return };
    for (id, sum) in &sums.activities {
        let id = id.to_string();
        for (outcome, orders) in outcomes(&sum.totals) {
            let labels = [("gateway", gateway), ("activity", id.as_str()), ("outcome", outcome)];
            let help = "Orders of adopted gateways by what became of them, before and since";
            page.counter("seckill_adopted_orders_total", help, &labels, orders);
        }
    }
}

fn leases(page: &mut Families, gateway: &str, control: &Control) {
    let Some(settling) = control.settling() else { return };
    let help = "Requests for an adopted gateway that Redis has refused since none may ever make them: never but 0";
    let alarms = load(&settling.alarms);
    page.counter("seckill_adopted_lease_alarms_total", help, &[("gateway", gateway)], alarms);
    let figures = settling.figures.lock().expect("nobody panics under this lock");
    for (id, it) in &*figures {
        let id = id.to_string();
        let labels = [("gateway", gateway), ("activity", id.as_str())];
        let help = "1 while Redis takes what an adopted gateway gives back";
        page.gauge("seckill_adopted_lease_live", help, &labels, real(u64::from(it.live)));
        let help =
            "Most units that Redis was seen to count wrongly for an adopted gateway: never but 0";
        page.gauge("seckill_adopted_lease_drift_units", help, &labels, real(it.drift));
    }
}
