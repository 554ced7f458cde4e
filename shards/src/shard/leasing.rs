//! Leasing: what a shard does where several gateways share an activity.
//!
//! It lists what the others are to be told of its orders, in the journal's order, and takes their
//! answers. It must not know who they are, nor how they are asked.

use std::collections::{HashMap, HashSet, VecDeque};

use foldhash::fast::FixedState;

use super::{Activity, Shard, moved};
use crate::clock::Timestamp;
use crate::command::{Answers, Decision, Refusal, Verdict};
use crate::ids::{ActivityId, Era, OrderId, UserId};
use crate::journal::Takes;
use crate::limits::ORDERS_PER_RECORD_MAX;
use crate::orders::Order;
use crate::record::{
    EraEntered, LeaseJoined, OrdersConfirmed, OrdersReleased, PhaseFollowed, Record, Status,
    UnitsLeased, UnitsLeft,
};
use crate::stock::Take;

/// What the other gateways are to be told: that a place is asked for, or free again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Untold {
    /// A position behind the record that says it, and not behind one that this one has led to:
    /// once the store has come so far, it may be told.
    pub position: u64,
    /// The order.
    pub order: OrderId,
    /// Whose.
    pub user: UserId,
    /// Its units.
    pub quantity: u32,
    /// It has ended: its place is free. Otherwise its place is asked for.
    pub ended: bool,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// Its place is asked for, and may stand with the others already: nobody knows what a gateway that was lost
    /// had confirmed.
    pub may_stand: bool,
}

impl Untold {
    /// What is told first, the smaller before the larger. The records of one group have one position, and so have
    /// all orders that were recovered: of these the ends come first, and a buyer's older order before a newer.
    #[must_use]
    pub fn rank(&self) -> (u64, bool, UserId, Timestamp, OrderId) {
        (self.position, !self.ended, self.user, self.placed_at, self.order)
    }
}

/// A place that the other gateways must count, should Redis have forgotten it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed {
    /// The buyer.
    pub user: UserId,
    /// The order.
    pub order: OrderId,
    /// Its units.
    pub quantity: u32,
}

/// The orders of one activity that the others are to be told of, each with its position. Those of
/// which they have heard stay until they come first.
#[derive(Debug, Default)]
pub(super) struct Queues {
    accepted: VecDeque<(u64, OrderId)>,
    ended: VecDeque<(u64, OrderId)>,
}

/// The queues of a shard, by activity.
pub(super) type Untolds = HashMap<ActivityId, Queues, FixedState>;

impl Shard {
    /// What the other gateways are to be told of an activity's orders here, of what stands before
    /// `until` in the journal: the earliest, at most [`ORDERS_PER_RECORD_MAX`], in its order.
    pub fn untold(&mut self, activity: ActivityId, until: u64) -> Vec<Untold> {
        let Some(queues) = self.untold.get_mut(&activity) else { return Vec::new() };
        let orders = &self.orders;
        let is_accepted = |order: &Order| order.status == Status::Accepted;
        let mut untold = earliest(
            &mut queues.ended,
            until,
            |_| true,
            |id| orders.order(id).filter(|it| it.is_ending()),
        );
        let may_ask = |id: OrderId| !self.refused_unasked.contains(&id);
        untold.extend(earliest(&mut queues.accepted, until, may_ask, |id| {
            orders.order(id).filter(|it| is_accepted(it))
        }));
        untold.sort_by_key(Untold::rank);
        untold.truncate(ORDERS_PER_RECORD_MAX);
        untold
    }

    /// The confirmed places of an activity here that the others must count. Not those that are free again by what
    /// stands before `until` in the journal: once the store has that the others may have heard of it, and others
    /// may have these places.
    #[must_use]
    pub fn places(&self, activity: ActivityId, until: u64) -> Vec<Placed> {
        let ended = self.untold.get(&activity).into_iter().flat_map(|it| &it.ended);
        let free = ended.take_while(|(position, _)| *position <= until).map(|&(_, order)| order);
        let free: HashSet<OrderId, FixedState> = free.collect();
        let orders = self.orders.iter().filter(|it| it.activity == activity);
        let placed = orders.filter(|it| it.confirmed && it.unreleased && !free.contains(&it.id));
        placed.map(|it| Placed { user: it.user, order: it.id, quantity: it.quantity }).collect()
    }

    /// What operators did at other gateways, as these or the store told it.
    pub(super) fn follow_phase(
        &mut self,
        activity: ActivityId,
        paused: bool,
        ended: bool,
    ) -> Decision {
        self.change_shared(activity, |shared, at| {
            let sale = shared.sale();
            if sale.paused == paused && sale.ended >= ended {
                return Err(Verdict::ActivityChanged);
            }
            Ok(Record::PhaseFollowed(PhaseFollowed { activity, paused, ended, at }))
        })
    }

    pub(super) fn join(&mut self, activity: ActivityId, floor: u64) -> Decision {
        self.change_lease(activity, |shared, at| match shared.sale().lease {
            Some(lease) if lease.floor.is_none() => {
                Ok(Record::LeaseJoined(LeaseJoined { activity, floor, at }))
            }
            Some(_) => Err(Verdict::ActivityChanged),
            None => Err(Verdict::Refused(Refusal::OrderState)),
        })
    }

    pub(super) fn enter_era(&mut self, activity: ActivityId, era: Era) -> Decision {
        let Era { generation, nonce } = era;
        self.change_lease(activity, |shared, at| match shared.sale().lease {
            Some(lease) if lease.era == Some(era) => Err(Verdict::ActivityChanged),
            Some(lease) if lease.may_enter(era) => {
                Ok(Record::EraEntered(EraEntered { activity, generation, nonce, at }))
            }
            _ => Err(Verdict::Refused(Refusal::Stale)),
        })
    }

    pub(super) fn take_lease(&mut self, activity: ActivityId, n: u64, quantity: u32) -> Decision {
        self.change_lease(activity, |shared, at| match shared.sale().lease {
            Some(lease) if lease.n + 1 == n => {
                Ok(Record::UnitsLeased(UnitsLeased { activity, n, quantity, at }))
            }
            _ => Err(Verdict::Refused(Refusal::Stale)),
        })
    }

    /// Gives back free units, as many as nothing stands on, here or with the others.
    pub(super) fn return_units(&mut self, activity: ActivityId, at_most: u32) -> Decision {
        let core = self.index;
        self.change_lease(activity, |shared, at| match take_spare(core, shared, at_most) {
            0 => Err(Verdict::ActivityChanged),
            quantity => Ok(Record::UnitsReturned(UnitsLeft { activity, quantity, at })),
        })
    }

    /// One record of an activity's lease, or the answer at once. One after the other: what the next one may be
    /// is known once the last is applied, and whoever asked for that may have gone.
    fn change_lease(
        &mut self,
        activity: ActivityId,
        record: impl FnOnce(&Activity, Timestamp) -> Result<Record, Verdict>,
    ) -> Decision {
        if self.is_leasing(activity) {
            return self.refuse(Refusal::Overloaded);
        }
        self.change_shared(activity, record)
    }

    /// Whether a record of an activity's lease is on its way to the disk. The activity's owner decides all of
    /// them, so they are in this lane.
    pub(super) fn is_leasing(&self, activity: ActivityId) -> bool {
        self.in_flight.iter().any(|record| record.leased_activity() == Some(activity))
    }

    /// One record of an activity that others sell as well, or the answer at once.
    fn change_shared(
        &mut self,
        activity: ActivityId,
        record: impl FnOnce(&Activity, Timestamp) -> Result<Record, Verdict>,
    ) -> Decision {
        if let Some(no) = self.refuse_transition() {
            return no;
        }
        let Some(shared) = self.shared.activity(activity) else {
            return self.refuse(Refusal::NotFound);
        };
        // No record of a lease stands behind the closing: the activity may be forgotten then.
        if shared.is_closing() {
            return self.refuse(Refusal::Ended);
        }
        match record(&shared, self.shared.clock.now()) {
            Ok(record) => self.hand_over(record),
            Err(Verdict::Refused(refusal)) => self.refuse(refusal),
            Err(verdict) => Decision::Answered(verdict),
        }
    }

    /// The others' word on orders of this shard. Whatever has moved meanwhile stays as it is: the
    /// others hear of its end in turn. Refused, it may be done in part; it may be said again.
    pub(super) fn hear(&mut self, answers: &Answers) -> Decision {
        let Some(activity) = self.shared.activity(answers.activity) else {
            return self.refuse(Refusal::NotFound);
        };
        let mut decision = Decision::Answered(Verdict::ActivityChanged);
        let mut records = self.answer_records(&activity, answers).into_iter();
        while let Some((marked, record)) = records.next() {
            if !self.takes(Takes::Transitions) {
                let rest = records.flat_map(|(marked, _)| marked);
                marked.into_iter().chain(rest).for_each(|id| self.unmark(id));
                return self.refuse(Refusal::Overloaded);
            }
            decision = self.hand_over(record);
        }
        decision
    }

    /// The records of the others' word, each with the orders that move from here on.
    fn answer_records(
        &mut self,
        activity: &Activity,
        answers: &Answers,
    ) -> Vec<(Vec<OrderId>, Record)> {
        let (id, at) = (activity.id, self.shared.clock.now());
        let pay_before = at.plus_ms(activity.sale().terms.pay_window_ms);
        let is_accepted = |it: &Order| it.status == Status::Accepted;
        let mut records = Vec::new();
        // First: what is confirmed may stand on the units of what is released.
        let released = self.mark(&answers.released, Order::is_ending);
        if !released.is_empty() {
            let record = OrdersReleased { activity: id, at, orders: numbers(&released) };
            records.push((released, Record::OrdersReleased(record)));
        }
        let confirmed = self.mark(&answers.confirmed, is_accepted);
        if !confirmed.is_empty() {
            let orders = numbers(&confirmed);
            let record = OrdersConfirmed { activity: id, at, pay_before, orders };
            records.push((confirmed, Record::OrdersConfirmed(record)));
        }
        // One that is not to end yet asks for its place again, once its provider was asked.
        let (unasked, refused): (Vec<_>, Vec<_>) =
            answers.refused.iter().partition(|id| self.unasked.contains(id));
        self.refused_unasked.extend(unasked);
        for order in self.mark(&refused, is_accepted) {
            let rejected = moved(self.orders.order(order).expect("it was marked"), at);
            records.push((vec![order], Record::OrderRejected(rejected)));
        }
        records
    }

    /// Those of `ids` that stand as they should and do not move; from here on they move.
    fn mark(&mut self, ids: &[OrderId], stands: impl Fn(&Order) -> bool) -> Vec<OrderId> {
        let mut marked = Vec::new();
        for &id in ids {
            if let Some(order) = self.orders.order_mut(id).filter(|it| !it.moving && stands(it)) {
                order.moving = true;
                marked.push(id);
            }
        }
        marked
    }

    fn unmark(&mut self, id: OrderId) {
        self.orders.order_mut(id).expect("it was marked").moving = false;
    }

    /// What the others are to be told of an order that was recovered; a buyer's come by their age.
    pub(super) fn recall(&mut self, order: OrderId, position: u64) {
        let found = self.orders.order(order).expect("it was recovered a moment ago");
        let (id, is_accepted) = (found.activity, found.status == Status::Accepted);
        let activity = self.shared.activity(id).filter(|it| !it.sale().closed);
        match activity {
            Some(_) if is_accepted => self.ask_for_place(id, order, position),
            Some(activity) => self.tell_end(&activity, order, position),
            None => {}
        }
    }

    /// An order was accepted: its place is to be confirmed.
    pub(super) fn ask_for_place(&mut self, activity: ActivityId, order: OrderId, position: u64) {
        self.untold.entry(activity).or_default().accepted.push_back((position, order));
    }

    /// An order has ended: the others are to be told, if they may know of it.
    pub(super) fn tell_end(&mut self, activity: &Activity, order: OrderId, position: u64) {
        let found = self.orders.order(order).expect("a record has just moved it");
        if found.is_ending() {
            activity.count_ending(found.quantity, position);
            self.untold.entry(activity.id).or_default().ended.push_back((position, order));
        }
    }
}

/// The first orders of a queue that stand before `until`, that may be told, and of which the others have
/// not heard; those of which they have are dropped from its front.
fn earliest<'a>(
    queue: &mut VecDeque<(u64, OrderId)>,
    until: u64,
    may_tell: impl Fn(OrderId) -> bool,
    untold: impl Fn(OrderId) -> Option<&'a Order>,
) -> Vec<Untold> {
    while queue.pop_front_if(|(_, id)| untold(*id).is_none()).is_some() {}
    let due = queue.iter().take_while(|(position, _)| *position <= until);
    let due = due.filter(|(_, id)| may_tell(*id));
    let due = due.filter_map(|&(position, id)| Some((position, untold(id)?)));
    let tell = |(position, it): (u64, &Order)| Untold {
        position,
        order: it.id,
        user: it.user,
        quantity: it.quantity,
        ended: !it.status.is_open(),
        placed_at: it.placed_at,
        may_stand: it.confirmed && it.status == Status::Accepted,
    };
    due.map(tell).take(ORDERS_PER_RECORD_MAX).collect()
}

/// Takes free units beyond those of ended orders of which the others have not heard: for them those
/// orders' places stand yet, and no fewer units than places may be had.
fn take_spare(core: usize, activity: &Activity, at_most: u32) -> u32 {
    // In this order: who ends counts its units as ending before they are free.
    let free = activity.stock.free();
    let ending = activity.ending();
    let spare = u64::from(free).saturating_sub(ending).min(u64::from(at_most));
    let spare = u32::try_from(spare).expect("not more than are free");
    if spare == 0 {
        return 0;
    }
    match activity.stock.take(core, spare) {
        Take::All => spare,
        // Fewer than were seen: somebody buys. The next look will tell.
        Take::Short { .. } | Take::SoldOut | Take::Contended => 0,
    }
}

fn numbers(orders: &[OrderId]) -> Vec<u64> {
    orders.iter().map(|order| order.0).collect()
}
