//! The fold: the state that all records up to a position make.
//!
//! Recovery starts the shards from it, a checkpoint keeps it, the auditor compares it.

use std::collections::{BTreeMap, BTreeSet};

use super::lease::Lease;
use super::order::fingerprint;
use super::table::Table;
use super::withdrawals::Withdrawals;
use crate::clock::Timestamp;
use crate::ids::{ActivityId, COUNTER_FIRST, OrderId, SHARD_COUNT, UserId};
use crate::limits::BUYERS_AHEAD_MAX;
use crate::places::{Claim, ClaimState, Places};
use crate::record::{
    ActivityKept, ActivityPublished, CounterKept, KeyKept, LeasedOrderKept, NO_KEY, OrderKept,
    OrderPlaced, PaymentKept, PaymentStarted, Record, Status, Totals,
};

/// One activity as its records make it.
#[derive(Debug)]
pub struct FoldedActivity {
    /// The newest copy of its row.
    pub published: ActivityPublished,
    /// Paused by an operator.
    pub paused: bool,
    /// Ended by an operator.
    pub ended: bool,
    /// Closed.
    pub closed: bool,
    /// What was lent to this gateway; none where it sells alone.
    pub lease: Option<Lease>,
    /// What its records add up to.
    pub totals: Totals,
    /// Wrapping sum of the fingerprints of orders that were folded away.
    pub folded_away: u64,
    /// A position behind the record by which an operator changed it last; 0 where a checkpoint has it, which has
    /// nothing that the store lacks.
    pub phased_at: u64,
    /// Its buyers' places.
    pub places: Places,
    /// What was withdrawn under a key.
    pub withdrawals: Withdrawals,
}

/// Everything that the journal says, up to a position.
#[derive(Debug)]
pub struct Fold {
    /// Activities by id.
    pub activities: BTreeMap<ActivityId, FoldedActivity>,
    /// Orders that were not folded away.
    pub orders: Table,
    /// Next number of each shard's counter.
    pub counters: Vec<u64>,
    /// The latest instant of any record.
    pub last_at: Timestamp,
}

impl Default for Fold {
    fn default() -> Self {
        Self {
            activities: BTreeMap::new(),
            orders: Table::default(),
            counters: vec![COUNTER_FIRST; SHARD_COUNT],
            last_at: Timestamp(0),
        }
    }
}

impl FoldedActivity {
    /// An activity with room for as many buyers as there are units, or for `room` at most.
    fn new(published: ActivityPublished, closed: bool, room: usize) -> Self {
        // Growing the places one by one would cost recovery a third of its time; a closed activity
        // has none.
        let stocked = usize::try_from(published.terms.stocked).unwrap_or(usize::MAX);
        let buyers = if closed { 0 } else { stocked.min(room) };
        Self {
            published,
            paused: false,
            ended: false,
            closed,
            lease: None,
            totals: Totals::default(),
            folded_away: 0,
            phased_at: 0,
            places: Places::with_room_for(buyers),
            withdrawals: Withdrawals::default(),
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.places.clear();
    }

    /// Units that this gateway has, sold ones among them: all, or what it was lent.
    #[must_use]
    pub fn units(&self) -> u32 {
        self.lease.map_or(self.published.terms.stocked, |lease| lease.net)
    }

    /// Units that can be taken: `units = free + held + sold + written off + left`.
    ///
    /// # Panics
    /// When more units are gone than it ever had: an oversell.
    #[must_use]
    pub fn free(&self) -> u32 {
        let free =
            u64::from(self.units()).checked_sub(self.totals.not_free()).unwrap_or_else(|| {
                panic!("activity {}: more units are gone than there were", self.published.activity)
            });
        u32::try_from(free).expect("not more than there were")
    }
}

impl Fold {
    /// Applies the record that stands at a position of the journal.
    ///
    /// # Panics
    /// As [`apply`](Self::apply).
    pub fn apply_at(&mut self, position: u64, record: &Record) {
        self.apply(record);
        if let Record::ActivityPaused(it)
        | Record::ActivityResumed(it)
        | Record::ActivityEnded(it) = record
        {
            self.activity(it.activity).phased_at = position + 1;
        }
    }

    /// Applies one record.
    ///
    /// # Panics
    /// When the record contradicts those before it.
    pub fn apply(&mut self, record: &Record) {
        self.last_at = self.last_at.max(instant_of(record));
        self.orders.apply(record);
        match record {
            Record::ActivityPublished(published) => self.publish(published, None),
            Record::LeasedActivityPublished(published) => {
                self.publish(published, Some(Lease::default()));
            }
            Record::LeaseJoined(_)
            | Record::EraEntered(_)
            | Record::UnitsLeased(_)
            | Record::UnitsReturned(_)
            | Record::LeaseKept(_) => self.lease(record),
            Record::ActivityPaused(it) => self.activity(it.activity).paused = true,
            Record::ActivityResumed(it) => self.activity(it.activity).paused = false,
            Record::ActivityEnded(it) => self.activity(it.activity).ended = true,
            Record::ActivityClosed(it) => self.count(it.activity, record).close(),
            Record::LeaseClosed(it) => self.count(it.activity, record).close(),
            Record::PhaseFollowed(it) => {
                let activity = self.activity(it.activity);
                activity.paused = it.paused;
                activity.ended |= it.ended;
            }
            Record::UnitsWithdrawn(it) => {
                self.count(it.activity, record);
            }
            Record::UnitsWithdrawnOnce(it) => {
                self.count(it.left.activity, record).withdrawals.remember(*it);
            }
            Record::OrderPlaced(placed) | Record::OrderAccepted(placed) => {
                self.count_up(placed.order);
                let claim = claim_of(placed, ClaimState::Held);
                self.count(placed.activity, record).places.restore(placed.user, claim);
            }
            Record::OrderPaid(paid) => {
                self.count(paid.moved.activity, record);
            }
            Record::OrderExpired(moved)
            | Record::OrderCancelled(moved)
            | Record::OrderRejected(moved) => self.free(moved.order, moved.activity, record),
            Record::OrderRefunded(refunded) => {
                self.free(refunded.moved.order, refunded.moved.activity, record);
            }
            Record::PaymentStarted(started) => self.count_up(OrderId(started.payment.0)),
            Record::OrdersConfirmed(_)
            | Record::OrdersReleased(_)
            | Record::PaymentFailed(_)
            | Record::PaymentRefundDue(_)
            | Record::PaymentRefunded(_)
            | Record::PaymentKept(_) => {}
            Record::ActivityKept(kept) => self.keep_activity(kept),
            Record::OrderKept(kept) | Record::LeasedOrderKept(LeasedOrderKept { kept, .. }) => {
                self.keep_claim(kept);
            }
            Record::KeyKept(kept) => {
                let state = if kept.quantity == 0 { ClaimState::Dropped } else { ClaimState::Held };
                let KeyKept { order, quantity, key, body, .. } = *kept;
                let claim = Claim { order, quantity, state, key, body };
                self.activity(kept.activity).places.restore(kept.user, claim);
            }
            Record::CounterKept(kept) => {
                let counter = &mut self.counters[usize::from(kept.shard)];
                *counter = (*counter).max(kept.next);
            }
            Record::WithdrawalKept(kept) => {
                self.activity(kept.left.activity).withdrawals.remember(*kept);
            }
        }
    }

    /// Lets the orders go that the store has and that nothing more can happen to, remembering
    /// their fingerprints; then the closed activities without an order here, or a key that is to
    /// be remembered still, that `may_go`, but for the `closed_kept` of the highest ids. Returns which
    /// went.
    ///
    /// No later record names an activity that went: closing waits for each record that could still
    /// change the activity or an order of it, and none is decided behind it.
    pub fn fold_away(
        &mut self,
        closed_kept: usize,
        may_go: impl Fn(ActivityId) -> bool,
    ) -> Vec<ActivityId> {
        let mut settled: Vec<OrderId> = Vec::new();
        let mut busy = BTreeSet::new();
        for order in self.orders.iter() {
            let closed = self.activities.get(&order.activity).is_some_and(|it| it.closed);
            if order.is_settled(closed) {
                settled.push(order.id);
            } else {
                busy.insert(order.activity);
            }
        }
        for id in settled {
            let order = self.orders.remove(id).expect("it was found a moment ago");
            let activity = self.activity(order.activity);
            activity.folded_away = activity.folded_away.wrapping_add(fingerprint(&order.view()));
        }
        let is_idle = |id: &ActivityId, it: &FoldedActivity| {
            it.closed
                && !busy.contains(id)
                && !it.withdrawals.are_needed(self.last_at)
                && may_go(*id)
        };
        let idle = self.activities.iter().filter(|(id, it)| is_idle(id, it));
        let mut idle: Vec<ActivityId> = idle.map(|(&id, _)| id).collect();
        idle.truncate(idle.len().saturating_sub(closed_kept));
        for id in &idle {
            self.activities.remove(id);
        }
        idle
    }

    /// Gives the records that make this fold anew to `sink`.
    pub fn keep(&self, sink: &mut dyn FnMut(&Record)) {
        // The first in any case: it says up to which instant the clock has come.
        let used = |&(shard, next): &(usize, &u64)| shard == 0 || *next > COUNTER_FIRST;
        for (shard, &next) in self.counters.iter().enumerate().filter(used) {
            let shard = u8::try_from(shard).expect("a shard has 8 bits");
            sink(&Record::CounterKept(CounterKept { shard, next, at: self.last_at }));
        }
        for activity in self.activities.values() {
            sink(&Record::ActivityKept(Box::new(ActivityKept {
                published: activity.published.clone(),
                paused: activity.paused,
                ended: activity.ended,
                closed: activity.closed,
                totals: activity.totals,
                folded_away: activity.folded_away,
            })));
            if let Some(lease) = activity.lease {
                let id = activity.published.activity;
                sink(&Record::LeaseKept(lease.kept(id)));
            }
            for withdrawal in activity.withdrawals.iter() {
                sink(&Record::WithdrawalKept(*withdrawal));
            }
        }
        for (&id, activity) in &self.activities {
            activity.places.for_each(|user, claim| self.keep_claim_of(id, user, claim, sink));
        }
        // A refunded or expired order without a key has no claim any more, and yet may wait for a
        // payment; so has any order of a closed activity.
        for order in self.orders.iter() {
            let places = self.activities.get(&order.activity).map(|it| &it.places);
            let claims = places.map_or_else(Vec::new, |it| it.claims_of(order.user));
            if !claims.iter().any(|claim| claim.order == order.id) {
                self.keep_order(order.id, (NO_KEY, NO_KEY), sink);
            }
        }
    }

    fn keep_claim_of(
        &self,
        activity: ActivityId,
        user: UserId,
        claim: &Claim,
        sink: &mut dyn FnMut(&Record),
    ) {
        if self.orders.order(claim.order).is_some() {
            return self.keep_order(claim.order, (claim.key, claim.body), sink);
        }
        let quantity = if claim.state == ClaimState::Dropped { 0 } else { claim.quantity };
        let Claim { order, key, body, .. } = *claim;
        sink(&Record::KeyKept(KeyKept { activity, user, order, quantity, key, body }));
    }

    fn keep_order(
        &self,
        id: OrderId,
        (key, body): ([u8; 16], [u8; 16]),
        sink: &mut dyn FnMut(&Record),
    ) {
        let order = self.orders.order(id).expect("asked for an order that is here");
        let placed = OrderPlaced {
            order: id,
            activity: order.activity,
            user: order.user,
            quantity: order.quantity,
            at: order.placed_at,
            pay_before: order.pay_before,
            key,
            body,
        };
        let status = order.status.number();
        let kept = OrderKept { placed, status, moved_at: order.moved_at };
        sink(&match order.unreleased {
            true => Record::LeasedOrderKept(LeasedOrderKept { kept, confirmed: order.confirmed }),
            false => Record::OrderKept(kept),
        });
        for payment in &order.payments {
            let started = PaymentStarted {
                payment: payment.id,
                order: id,
                amount: payment.amount,
                at: payment.started_at,
                key: payment.key,
                body: payment.body,
            };
            let status = payment.status.number();
            sink(&Record::PaymentKept(PaymentKept { started, status }));
        }
    }

    fn activity(&mut self, id: ActivityId) -> &mut FoldedActivity {
        self.activities
            .get_mut(&id)
            .unwrap_or_else(|| panic!("a record of activity {id}, which was never published"))
    }

    fn count(&mut self, id: ActivityId, record: &Record) -> &mut FoldedActivity {
        let activity = self.activity(id);
        activity.totals.apply(record);
        activity
    }

    /// Buyers of another activity that there may be room for ahead of them.
    fn room(&self) -> usize {
        let open = self.activities.values().filter(|it| !it.closed);
        BUYERS_AHEAD_MAX.saturating_sub(open.map(|it| it.places.room()).sum())
    }

    fn publish(&mut self, published: &ActivityPublished, lease: Option<Lease>) {
        match self.activities.get_mut(&published.activity) {
            Some(known) => {
                assert!(published.version > known.published.version, "versions only rise");
                assert!(published.terms.stocked >= known.published.terms.stocked);
                assert_eq!(lease.is_some(), known.lease.is_some(), "sold alone, or leased");
                known.published = published.clone();
            }
            None => {
                let activity = FoldedActivity::new(published.clone(), false, self.room());
                let activity = FoldedActivity { lease, ..activity };
                self.activities.insert(published.activity, activity);
            }
        }
    }

    fn lease(&mut self, record: &Record) {
        let id = record.leased_activity().expect("asked for a record of a lease");
        self.activity(id).lease.get_or_insert_default().apply(record);
    }

    fn free(&mut self, order: OrderId, activity: ActivityId, record: &Record) {
        let user = self.orders.order(order).expect("the table has just moved it").user;
        let activity = self.count(activity, record);
        if !activity.closed {
            activity.places.free(user, order);
        }
    }

    fn keep_activity(&mut self, kept: &ActivityKept) {
        let activity = FoldedActivity {
            paused: kept.paused,
            ended: kept.ended,
            totals: kept.totals,
            folded_away: kept.folded_away,
            ..FoldedActivity::new(kept.published.clone(), kept.closed, self.room())
        };
        self.activities.insert(kept.published.activity, activity);
    }

    fn keep_claim(&mut self, kept: &OrderKept) {
        let activity = self.activity(kept.placed.activity);
        let status = Status::from_number(kept.status).expect("the table has just read it");
        let state = match status {
            Status::Accepted | Status::AwaitingPayment | Status::Paid => ClaimState::Held,
            Status::Expired | Status::Cancelled | Status::Rejected | Status::Refunded => {
                ClaimState::Dropped
            }
        };
        let remembered = state == ClaimState::Held || kept.placed.key != NO_KEY;
        if remembered && !activity.closed {
            activity.places.restore(kept.placed.user, claim_of(&kept.placed, state));
        }
    }

    fn count_up(&mut self, id: OrderId) {
        let counter = &mut self.counters[usize::from(id.shard())];
        *counter = (*counter).max(id.counter() + 1);
    }
}

fn claim_of(placed: &OrderPlaced, state: ClaimState) -> Claim {
    let OrderPlaced { order, quantity, key, body, .. } = *placed;
    Claim { order, quantity, state, key, body }
}

/// When a record happened; zero where it does not say.
#[must_use]
pub fn instant_of(record: &Record) -> Timestamp {
    match record {
        Record::ActivityPublished(it) | Record::LeasedActivityPublished(it) => it.at,
        Record::ActivityPaused(it) | Record::ActivityResumed(it) | Record::ActivityEnded(it) => {
            it.at
        }
        Record::ActivityClosed(it) | Record::UnitsWithdrawn(it) | Record::UnitsReturned(it) => {
            it.at
        }
        Record::LeaseJoined(it) => it.at,
        Record::EraEntered(it) => it.at,
        Record::UnitsLeased(it) => it.at,
        Record::LeaseClosed(it) => it.at,
        Record::PhaseFollowed(it) => it.at,
        Record::OrdersConfirmed(it) => it.at,
        Record::OrdersReleased(it) => it.at,
        Record::UnitsWithdrawnOnce(it) | Record::WithdrawalKept(it) => it.left.at,
        Record::OrderPlaced(it) | Record::OrderAccepted(it) => it.at,
        Record::OrderPaid(it) => it.moved.at,
        Record::OrderExpired(it) | Record::OrderCancelled(it) | Record::OrderRejected(it) => it.at,
        Record::OrderRefunded(it) => it.moved.at,
        Record::PaymentStarted(it) => it.at,
        Record::PaymentFailed(it) | Record::PaymentRefundDue(it) | Record::PaymentRefunded(it) => {
            it.at
        }
        Record::CounterKept(it) => it.at,
        Record::ActivityKept(_)
        | Record::OrderKept(_)
        | Record::LeasedOrderKept(_)
        | Record::PaymentKept(_)
        | Record::KeyKept(_)
        | Record::LeaseKept(_) => Timestamp(0),
    }
}
