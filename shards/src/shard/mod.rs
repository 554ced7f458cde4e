//! A shard: one core's part of every sale.
//!
//! *Decide* reserves and hands a record to the lane; *apply* follows the disk, in lane order, and
//! gives the verdict; *tick* lets unpaid orders expire, by the same path. One shard belongs to one
//! thread. It knows nothing of sockets, and asks its clock for the time.

mod activity;
mod ahead;
mod apply;
mod asking;
mod counters;
mod decide;
mod leasing;
mod payments;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

use arc_swap::ArcSwap;

pub use activity::{Activities, Activity, Phase, Sale};
pub(crate) use ahead::share_out;
pub use counters::ShardCounters;
pub use leasing::{Placed, Untold};

use self::asking::{Unasked, may_be_paid};
use self::leasing::Untolds;
use crate::clock::{Clock, Timestamp};
use crate::command::{Decision, OrderView, Refusal, Sequence, Verdict};
use crate::ids::{ActivityId, OrderId, Origin, PaymentId};
use crate::journal::{Gathered, JournalStatus, LaneWriter, Takes};
use crate::limits::{
    ASK_RETRY_MS, EXPIRIES_PER_TICK_MAX, EXPIRY_RETRY_MS, ORDERS_PER_SHARD_MAX, RECORD_BYTES_MAX,
};
use crate::orders::{Order, SparePages, Table};
use crate::record::{OrderMoved, PaymentMoved, Record, Status};
use crate::wheel::Wheel;

/// What the shards of a gateway share, and nothing else.
#[derive(Debug)]
pub struct Shared {
    pub(crate) activities: ArcSwap<Activities>,
    pub(crate) journal: Arc<JournalStatus>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) origin: Origin,
    pub(crate) cores: usize,
    /// Whether activities that are new are sold by several gateways.
    pub(crate) leases: bool,
    /// Whether an unpaid order that was recovered stays until its provider was asked.
    pub(crate) asks: bool,
    /// Whether new orders are taken; told by the control side.
    pub(crate) takes_orders: AtomicBool,
    /// Whether every published sale is known; told by the control side, which reads the store.
    pub(crate) knows_sales: AtomicBool,
    /// Activities that are not closed, at most.
    pub(crate) activities_max: usize,
    /// Position up to which the store has everything; told by the flush.
    pub(crate) flushed: AtomicU64,
    /// How many activities were closed since the start; a shard that has seen fewer looks for
    /// orders that this has settled, and the keeper counts them.
    pub(crate) closed: AtomicU64,
    /// How many closed activities were forgotten since the start; written by the keeper, read by
    /// whoever publishes.
    pub(crate) forgotten: AtomicU64,
    pub(crate) spare_pages: Arc<SparePages>,
}

impl Shared {
    /// An activity by its id.
    #[must_use]
    pub fn activity(&self, id: ActivityId) -> Option<Arc<Activity>> {
        self.activities.load().get(&id).map(Arc::clone)
    }

    /// An activity by its id, or what its absence means.
    ///
    /// # Errors
    /// There is none, or it may be one that is not known yet.
    pub(crate) fn find_activity(&self, id: ActivityId) -> Result<Arc<Activity>, Refusal> {
        let unknown = self.unknown_sale();
        self.activity(id).ok_or(unknown)
    }

    /// What it means where a sale is not found; ask before it is looked for.
    pub(crate) fn unknown_sale(&self) -> Refusal {
        // Acquire, paired with `Engine::know_sales`: the sales are looked for behind this.
        match self.knows_sales.load(Ordering::Acquire) {
            true => Refusal::NotFound,
            false => Refusal::Unavailable,
        }
    }

    /// The activities that are not closed.
    pub(crate) fn open_activities(&self) -> Vec<Arc<Activity>> {
        let activities = self.activities.load();
        activities.values().filter(|it| !it.sale().closed).map(Arc::clone).collect()
    }

    /// Whether one more activity may be published.
    pub(crate) fn has_room(&self) -> bool {
        let activities = self.activities.load();
        activities.values().filter(|it| !it.sale().closed).count() < self.activities_max
    }

    /// Lets activities go that the journal has forgotten. Those stay in `ids` whose core has yet to
    /// apply that they are closed: until then it looks them up.
    pub(crate) fn forget(&self, ids: &mut Vec<ActivityId>) {
        let known = self.activities.load();
        let is_closed = |id: &ActivityId| known.get(id).is_none_or(|it| it.sale().closed);
        let (gone, waiting): (Vec<_>, Vec<_>) = ids.drain(..).partition(is_closed);
        *ids = waiting;
        if gone.is_empty() {
            return;
        }
        // Release, and before they go: who misses one of them sees that some were forgotten.
        self.forgotten.fetch_add(gone.len() as u64, Ordering::Release);
        self.activities.rcu(|known| {
            let mut activities = Activities::clone(known);
            for id in &gone {
                activities.remove(id);
            }
            activities
        });
    }
}

/// One core's shard.
#[derive(Debug)]
pub struct Shard {
    index: usize,
    shared: Arc<Shared>,
    orders: Table,
    wheel: Wheel<OrderId>,
    lane: LaneWriter,
    /// Records on their way to the disk, in lane order.
    in_flight: VecDeque<Record>,
    /// How many records of the lane were applied.
    applied: u64,
    /// The next counter of ids for each shard number; of use for those that this shard owns: its
    /// own, and those of cores that there are not any more.
    counters_next: Vec<u64>,
    /// Settled orders, each with a position at which it was settled for certain.
    settled: VecDeque<(u64, OrderId)>,
    /// How many closings it has seen.
    closed_seen: u64,
    /// What the other gateways are to be told.
    untold: Untolds,
    /// Recovered orders that do not end before somebody has asked their provider.
    unasked: Unasked,
    /// Those of them that the others have refused a place. They ask for it again once that was done.
    refused_unasked: Unasked,
    due: Vec<OrderId>,
    counters: Arc<ShardCounters>,
    /// Whether the fault of the journal was told to those who waited.
    fault_told: bool,
}

impl Shard {
    pub(crate) fn new(
        index: usize,
        shared: Arc<Shared>,
        lane: LaneWriter,
        counters_next: Vec<u64>,
    ) -> Self {
        let spare_pages = Arc::clone(&shared.spare_pages);
        let wheel = Wheel::with_capacity(shared.clock.now(), ORDERS_PER_SHARD_MAX);
        Self {
            index,
            shared,
            orders: Table::with_spares(spare_pages),
            wheel,
            lane,
            in_flight: VecDeque::new(),
            applied: 0,
            counters_next,
            settled: VecDeque::new(),
            closed_seen: 0,
            untold: Untolds::default(),
            unasked: Unasked::default(),
            refused_unasked: Unasked::default(),
            due: Vec::new(),
            counters: Arc::default(),
            fault_told: false,
        }
    }

    /// Takes over the orders that recovery found; `due` says when each expires, if it is open.
    pub(crate) fn take_over(&mut self, orders: Table, due: impl Fn(&Order) -> Option<Timestamp>) {
        self.orders = orders;
        self.untold = Untolds::default();
        let activities = self.shared.activities.load_full();
        let position = self.shared.journal.durable_position();
        let mut untold = Vec::new();
        for order in self.orders.iter_mut() {
            let activity = activities.get(&order.activity);
            if order.is_settled(activity.is_none_or(|it| it.sale().closed)) {
                self.settled.push_back((position, order.id));
            }
            if let (Some(activity), true) = (activity, order.status.is_open()) {
                activity.count_out(self.index, order.quantity);
            }
            if order.unreleased {
                untold.push((order.user, order.placed_at, order.id));
            }
            if self.shared.asks && may_be_paid(order) {
                self.unasked.insert(order.id);
            }
            order.timer = due(order).map(|due| self.wheel.insert(due, order.id));
        }
        untold.sort_unstable();
        untold.into_iter().for_each(|(_, _, order)| self.recall(order, position));
    }

    /// Its number: that of its core.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// What it counts.
    #[must_use]
    pub fn counters(&self) -> &Arc<ShardCounters> {
        &self.counters
    }

    /// Whom the journal wakes when something of this shard has become durable.
    pub fn wake_with(&self, waker: Waker) {
        self.lane.wake_with(waker);
    }

    /// An order of this shard, while it is in memory.
    #[must_use]
    pub fn order(&self, id: OrderId) -> Option<OrderView> {
        self.orders.order(id).map(Order::view)
    }

    /// The order that a payment of this shard is for, while it is in memory.
    #[must_use]
    pub fn order_of_payment(&self, payment: PaymentId) -> Option<OrderView> {
        self.order(self.orders.order_of_payment(payment)?)
    }

    /// What was decided since the last [`submit`](Self::submit).
    #[must_use]
    pub fn gathered(&self) -> Gathered {
        self.lane.gathered(|| self.shared.clock.elapsed_us())
    }

    /// Hands over to the journal what was decided since the last call. Call it once a turn of the
    /// core's event loop, after all that was ready in that turn.
    pub fn submit(&mut self) {
        if self.lane.submit() {
            self.shared.journal.notify();
        }
    }

    /// Applies what has become durable, and gives each verdict to `answer` in the order of the
    /// decisions. After an I/O error of the journal, what is under way is answered as unknown.
    pub fn apply_durable(&mut self, answer: &mut dyn FnMut(Sequence, Verdict)) {
        let latched = self.shared.journal.is_latched();
        let durable = self.lane.lane().durable();
        while self.applied < durable {
            let record = self.in_flight.pop_front().expect("durable records were in flight");
            let verdict = self.apply(&record);
            answer(Sequence(self.applied), verdict);
            self.applied += 1;
        }
        if latched && !self.fault_told {
            self.fault_told = true;
            for sequence in self.applied..self.lane.appended() {
                counters::bump(&self.counters.unknown);
                answer(Sequence(sequence), Verdict::OutcomeUnknown);
            }
        }
        self.tell_sizes();
    }

    /// Moves the timing wheel to now: orders that are due begin to expire, and settled ones that
    /// the store has leave memory. Call it every 10 ms or so; whether more is due at once.
    pub fn tick(&mut self) -> bool {
        self.settle_closed();
        self.forget_settled();
        let now = self.shared.clock.now();
        let mut due = std::mem::take(&mut self.due);
        let more = self.wheel.advance(now, EXPIRIES_PER_TICK_MAX, &mut due);
        for order in due.drain(..) {
            self.expire(order);
        }
        self.due = due;
        self.tell_sizes();
        more
    }

    /// An order's timer has fired: it begins to expire, or to be rejected where nobody has confirmed
    /// it in time, or a payment of it is given up.
    fn expire(&mut self, id: OrderId) {
        let now = self.shared.clock.now();
        let full = !self.takes(Takes::Transitions);
        let Some(order) = self.orders.order_mut(id) else { return };
        order.timer = None;
        if may_be_paid(order) && self.unasked.contains(&id) {
            order.timer = Some(self.wheel.insert(now.plus_ms(ASK_RETRY_MS), id));
            return;
        }
        let payment = order.payment_under_way();
        if order.moving || (!order.status.is_open() && payment.is_none()) {
            // Another transition was first; should the disk fail under it, a restart decides.
            return;
        }
        if full {
            order.timer = Some(self.wheel.insert(now.plus_ms(EXPIRY_RETRY_MS), id));
            return;
        }
        order.moving = true;
        if order.status.is_open() {
            let (moved, was_payable) = (moved(order, now), order.status != Status::Accepted);
            let late_ms = now.ms_since(order.pay_before);
            self.counters.lateness.observe_us(late_ms.saturating_mul(1_000));
            self.hand_over(match was_payable {
                true => Record::OrderExpired(moved),
                false => Record::OrderRejected(moved),
            });
        } else if let Some(payment) = payment {
            let failed = PaymentMoved { payment, order: id, amount: 0, at: now };
            self.hand_over(Record::PaymentFailed(failed));
        }
    }

    /// Whether a record that is not a new order is taken now, or a new order is.
    fn takes(&self, what: Takes) -> bool {
        self.shared.journal.takes() >= what && self.lane.room() > RECORD_BYTES_MAX
    }

    /// Hands a record to the lane.
    fn hand_over(&mut self, record: Record) -> Decision {
        let clock = &self.shared.clock;
        let sequence = self.lane.append(&record, || clock.elapsed_us());
        self.in_flight.push_back(record);
        Decision::Pending(Sequence(sequence))
    }

    fn refuse(&self, refusal: Refusal) -> Decision {
        self.counters.refused(&refusal);
        Decision::Answered(Verdict::Refused(refusal))
    }

    /// Lets settled orders go that the store has.
    fn forget_settled(&mut self) {
        // Acquire, paired with `Engine::set_flushed`: the store's rows can be read from here on.
        let flushed = self.shared.flushed.load(Ordering::Acquire);
        while let Some(&(position, id)) = self.settled.front() {
            if position > flushed {
                break;
            }
            self.settled.pop_front();
            self.orders.remove(id);
        }
    }

    /// Notes an order that nothing more can happen to.
    fn settle(&mut self, id: OrderId) {
        let order = self.orders.order(id).expect("a record has just moved it");
        if self.has_settled(order) {
            self.settled.push_back((self.shared.journal.durable_position(), id));
        }
    }

    /// A closed activity settles its paid orders.
    fn settle_closed(&mut self) {
        // Acquire, paired with `apply`: the sale's flag is seen with the count.
        let closed = self.shared.closed.load(Ordering::Acquire);
        if closed == self.closed_seen {
            return;
        }
        self.closed_seen = closed;
        let shared = &self.shared;
        let is_open = |id| shared.activity(id).is_some_and(|it| !it.sale().closed);
        self.untold.retain(|&id, _| is_open(id));
        let position = self.shared.journal.durable_position();
        let paid = self.orders.iter().filter(|it| it.status == Status::Paid);
        let settled = paid.filter(|it| self.has_settled(it));
        let settled: Vec<_> = settled.map(|it| (position, it.id)).collect();
        self.settled.extend(settled);
    }

    /// Whether nothing more can happen to an order, nor is about to.
    fn has_settled(&self, order: &Order) -> bool {
        let closed = || self.shared.activity(order.activity).is_none_or(|it| it.sale().closed);
        !order.moving && order.is_settled(order.status == Status::Paid && closed())
    }

    fn tell_sizes(&self) {
        // Relaxed: figures for people.
        self.counters.orders.store(self.orders.len() as u64, Ordering::Relaxed);
        self.counters.timers.store(self.wheel.len() as u64, Ordering::Relaxed);
        self.counters.in_flight.store(self.in_flight.len() as u64, Ordering::Relaxed);
    }
}

/// The transition of an order, as its record has it.
fn moved(order: &Order, at: Timestamp) -> OrderMoved {
    OrderMoved { order: order.id, activity: order.activity, quantity: order.quantity, at }
}

/// Whether a payment of the order may still bring money.
#[must_use]
pub(crate) fn has_payment_under_way(order: &Order) -> bool {
    order.status == Status::AwaitingPayment && order.payment_under_way().is_some()
}
