//! Decide: what a command comes to, by the state that is durable and the reservations made since.
//!
//! The order of the checks of a buy is part of the contract: this buyer's place, phase, admission,
//! stock. A refusal changes nothing and is cheaper than a sale.

use std::sync::atomic::Ordering;

use super::activity::{Activity, Phase, Sale};
use super::{Shard, Shared, moved};
use crate::clock::Timestamp;
use crate::command::{
    Command, Decision, Paid, PhaseChange, PlaceOrder, Refusal, StartPayment, Verdict, Withdraw,
};
use crate::ids::{ActivityId, OrderId, PaymentId, UserId};
use crate::journal::Takes;
use crate::limits::{CONFIRM_WITHIN_MS, ORDERS_PER_SHARD_MAX, PAYMENTS_PER_ORDER_MAX};
use crate::orders::{Lease, Order, Payment};
use crate::places::{Claim, ClaimState, Standing};
use crate::record::{
    ActivityPublished, LeaseClosed, NO_KEY, OrderPaid, OrderPlaced, OrderRefunded, PaymentMoved,
    PaymentStarted, PaymentStatus, PhaseChanged, Record, Status, UnitsLeft, UnitsLeftOnce,
};
use crate::stock::Take;

impl Shard {
    /// Decides a command. `Pending` means that its record is in the lane: the verdict comes with
    /// [`apply_durable`](Self::apply_durable).
    pub fn decide(&mut self, command: Command) -> Decision {
        match command {
            Command::PlaceOrder(buy) => self.place_order(&buy),
            Command::CancelOrder { order, user } => self.cancel_order(order, user),
            Command::StartPayment(start) => self.start_payment(&start),
            Command::GiveUpPayment { payment, order, user } => {
                self.give_up_payment(payment, order, user)
            }
            Command::SettlePayment { payment, paid } => self.settle_payment(payment, paid),
            Command::RefundOrder { order, return_units } => self.refund_order(order, return_units),
            Command::CompleteRefund { payment } => self.complete_refund(payment),
            Command::RecallPayment { payment, order } => self.recall_payment(payment, order),
            Command::NoteAsked { order } => self.note_asked(order),
            Command::Publish { row, forgotten } => self.publish(row, forgotten),
            Command::ChangePhase { activity, change } => self.change_phase(activity, change),
            Command::Withdraw(withdraw) => self.withdraw(&withdraw),
            Command::Join { activity, floor } => self.join(activity, floor),
            Command::FollowPhase { activity, paused, ended } => {
                self.follow_phase(activity, paused, ended)
            }
            Command::EnterEra { activity, era } => self.enter_era(activity, era),
            Command::Hear(answers) => self.hear(&answers),
            Command::Lease { activity, n, quantity } => self.take_lease(activity, n, quantity),
            Command::ReturnUnits { activity, at_most } => self.return_units(activity, at_most),
            Command::Close { activity, unsold } => self.close(activity, unsold),
        }
    }

    fn place_order(&mut self, buy: &PlaceOrder) -> Decision {
        let unknown = self.shared.unknown_sale();
        let activities = self.shared.activities.load();
        let Some(activity) = activities.get(&buy.activity) else { return self.refuse(unknown) };
        let now = self.shared.clock.now();
        match self.reserve(activity, buy, now) {
            Ok(record) => self.hand_over(record),
            Err(Verdict::Refused(refusal)) => self.refuse(refusal),
            Err(verdict) => Decision::Answered(verdict),
        }
    }

    /// Takes the place, then the units: all or nothing.
    fn reserve(
        &mut self,
        activity: &Activity,
        buy: &PlaceOrder,
        now: Timestamp,
    ) -> Result<Record, Verdict> {
        let sale = activity.sale.load();
        let limit = sale.terms.per_user_limit;
        let order = self.next_id(self.shard_number());
        let PlaceOrder { quantity, key, body, user, .. } = *buy;
        let claim = Claim { order, quantity, state: ClaimState::Pending, key, body };
        if let Err(refusal) = self.check_sale(activity, &sale, buy, now) {
            // What this buyer holds is told before how the sale stands. A buyer who may be served
            // is not looked up here: taking the place asks the same, in one go.
            let standing = activity.places.look(user, &claim, limit);
            if standing.is_none() && matches!(refusal, Refusal::SoldOut { .. }) {
                activity.ask_in_vain(quantity);
            }
            return Err(standing.map_or(Verdict::Refused(refusal), Verdict::from));
        }
        activity.places.take(user, claim, limit).map_err(Verdict::from)?;
        activity.count_out(self.index, quantity);
        let take = activity.stock.take(self.index, quantity);
        if take != Take::All {
            activity.count_in(self.index, quantity);
            activity.places.give(user, order);
            return Err(Verdict::Refused(not_taken(activity, take, quantity)));
        }
        self.use_id(order);
        let is_leased = sale.lease.is_some();
        let window_ms = if is_leased { CONFIRM_WITHIN_MS } else { sale.terms.pay_window_ms };
        let (activity, pay_before) = (activity.id, now.plus_ms(window_ms));
        let placed =
            OrderPlaced { order, activity, user, quantity, at: now, pay_before, key, body };
        Ok(if is_leased { Record::OrderAccepted(placed) } else { Record::OrderPlaced(placed) })
    }

    /// Whether anybody is served now: phase, admission, stock, and room for a new order in the
    /// journal, the lane and memory.
    fn check_sale(
        &self,
        activity: &Activity,
        sale: &Sale,
        buy: &PlaceOrder,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if let Some(refusal) = closed_door(sale.phase(now), sale.terms.starts_at) {
            return Err(refusal);
        }
        if sale.terms.admission && !buy.admitted {
            return Err(Refusal::AdmissionRequired);
        }
        // Before the stock: what is not here any more others may have. Relaxed: advice, for what is decided
        // beside the change is looked at again before it is answered.
        if !self.shared.takes_orders.load(Ordering::Relaxed) {
            return Err(Refusal::Unavailable);
        }
        if activity.is_sold_out() {
            return Err(Refusal::SoldOut { may_return: activity.may_return() });
        }
        if self.shared.journal.takes() < Takes::Everything {
            return Err(Refusal::Unavailable);
        }
        if !self.takes(Takes::Everything) || self.orders.len() >= ORDERS_PER_SHARD_MAX {
            return Err(Refusal::Overloaded);
        }
        Ok(())
    }

    fn cancel_order(&mut self, id: OrderId, user: Option<UserId>) -> Decision {
        let now = self.shared.clock.now();
        if let Some(no) = self.refuse_transition() {
            return no;
        }
        let Some(order) = self.orders.order_mut(id).filter(|it| owned(it.user, user)) else {
            return self.refuse(Refusal::NotFound);
        };
        if order.status.is_open() && self.unasked.contains(&id) {
            return self.refuse(Refusal::Overloaded);
        }
        match order.status {
            Status::Cancelled => Decision::Answered(Verdict::Moved(order.view())),
            Status::Accepted | Status::AwaitingPayment if !order.moving => {
                order.moving = true;
                let moved = moved(order, now);
                self.hand_over(Record::OrderCancelled(moved))
            }
            Status::Accepted | Status::AwaitingPayment => self.refuse(Refusal::Overloaded),
            Status::Paid | Status::Expired | Status::Rejected | Status::Refunded => {
                self.refuse(Refusal::OrderState)
            }
        }
    }

    fn start_payment(&mut self, start: &StartPayment) -> Decision {
        let now = self.shared.clock.now();
        if let Some(no) = self.refuse_transition() {
            return no;
        }
        // A payment is owned where its order is, however many cores there will be.
        let id = self.next_id(start.order.shard());
        let order = self.orders.order(start.order).filter(|it| it.user == start.user);
        let Some(order) = order else {
            return self.refuse(Refusal::NotFound);
        };
        let same_key = |it: &&Payment| start.key != NO_KEY && it.key == start.key;
        if let Some(before) = order.payments.iter().find(same_key) {
            if before.body != start.body {
                return self.refuse(Refusal::IdempotencyMismatch);
            }
            return Decision::Answered(Verdict::PaymentStarted(before.view(order.id)));
        }
        if order.status != Status::AwaitingPayment {
            return self.refuse(Refusal::OrderState);
        }
        if order.moving && self.is_starting(start) {
            return self.refuse(Refusal::LimitReached { orders: vec![start.order], pending: true });
        }
        if order.moving {
            return self.refuse(Refusal::Overloaded);
        }
        if order.payments.len() >= PAYMENTS_PER_ORDER_MAX {
            return self.refuse(Refusal::OrderState);
        }
        let Some(amount) = self.asked_for(order) else { return self.refuse(Refusal::NotFound) };
        let order = self.orders.order_mut(start.order).expect("it was here a moment ago");
        order.moving = true;
        self.use_id(id);
        let (payment, StartPayment { order, key, body, .. }) = (PaymentId(id.0), *start);
        let started = PaymentStarted { payment, order, amount, at: now, key, body };
        self.hand_over(Record::PaymentStarted(started))
    }

    /// Whether a payment of the same key is on its way to the disk.
    fn is_starting(&self, start: &StartPayment) -> bool {
        let same = |record: &Record| matches!(record, Record::PaymentStarted(it) if it.order == start.order && it.key == start.key);
        start.key != NO_KEY && self.in_flight.iter().any(same)
    }

    /// The provider's word. The first durable outcome wins; money that cannot pay its order is
    /// owed back.
    fn settle_payment(&mut self, id: PaymentId, paid: Option<Paid>) -> Decision {
        let at = self.shared.clock.now();
        if let Some(no) = self.refuse_transition() {
            return no;
        }
        let order = self.orders.order_of_payment(id);
        let Some(order) = order.and_then(|order| self.orders.order_mut(order)) else {
            return self.refuse(Refusal::NotFound);
        };
        if order.moving {
            return self.refuse(Refusal::Overloaded);
        }
        let payment = order.payments.iter().find(|it| it.id == id);
        let payment = *payment.expect("the table knows which payments an order has");
        let moved_payment = |amount| PaymentMoved { payment: id, order: order.id, amount, at };
        let record = match (payment.status, paid) {
            (PaymentStatus::Started, None) => Record::PaymentFailed(moved_payment(0)),
            (PaymentStatus::Failed, Some(_)) if !may_change_late(&self.shared, order) => {
                return self.refuse(Refusal::NotFound);
            }
            (PaymentStatus::Started | PaymentStatus::Failed, Some(paid)) => {
                if order.status == Status::AwaitingPayment
                    && pays(&self.shared, order, &payment, paid)
                {
                    Record::OrderPaid(OrderPaid { moved: moved(order, at), payment: id })
                } else {
                    Record::PaymentRefundDue(moved_payment(paid.amount))
                }
            }
            (PaymentStatus::Failed, None)
            | (PaymentStatus::Succeeded | PaymentStatus::RefundDue | PaymentStatus::Refunded, _) => {
                return Decision::Answered(Verdict::PaymentSettled(payment.view(order.id)));
            }
        };
        order.moving = true;
        self.hand_over(record)
    }

    fn refund_order(&mut self, id: OrderId, units_returned: bool) -> Decision {
        let at = self.shared.clock.now();
        if let Some(no) = self.refuse_transition() {
            return no;
        }
        let Some(order) = self.orders.order_mut(id) else {
            return self.refuse(Refusal::NotFound);
        };
        let succeeded = |it: &&Payment| it.status == PaymentStatus::Succeeded;
        let payment = order.payments.iter().find(succeeded).map(|it| it.id);
        match (order.status, payment) {
            (Status::Refunded, _) => Decision::Answered(Verdict::Moved(order.view())),
            (Status::Paid, Some(payment)) if !order.moving => {
                // Units that came back to a closed activity would stay there for ever.
                if !self.shared.activity(order.activity).is_some_and(|it| it.begin_late_move()) {
                    return self.refuse(Refusal::OrderState);
                }
                order.moving = true;
                let moved = moved(order, at);
                self.hand_over(Record::OrderRefunded(OrderRefunded {
                    moved,
                    payment,
                    units_returned,
                }))
            }
            (Status::Paid, Some(_)) => self.refuse(Refusal::Overloaded),
            _ => self.refuse(Refusal::OrderState),
        }
    }

    fn publish(&mut self, mut published: Box<ActivityPublished>, forgotten: u64) -> Decision {
        if let Some(no) = self.refuse_transition() {
            return no;
        }
        let activities = self.shared.activities.load();
        let known = activities.get(&published.activity).map(|it| it.sale());
        let closing = activities.get(&published.activity).is_some_and(|it| it.is_closing());
        // Copies of one activity are journaled one at a time, so that versions only rise.
        let under_way = self.is_publishing(published.activity);
        // Acquire, paired with `Shared::forget`, and behind the look above: a row of an activity that
        // was forgotten meanwhile must not begin it anew; read again, it says that it is closed.
        let is_old = forgotten != self.shared.forgotten.load(Ordering::Acquire);
        let answer = match known {
            _ if under_way => Some(Refusal::Overloaded),
            None if is_old => Some(Refusal::Overloaded),
            None if !self.shared.has_room() => Some(Refusal::Overloaded),
            None => None,
            Some(sale) if published.version == sale.version => {
                return Decision::Answered(Verdict::ActivityChanged);
            }
            Some(sale) => {
                let older = published.version < sale.version;
                let fewer = published.terms.stocked < sale.terms.stocked;
                (older || fewer || closing).then_some(Refusal::Stale)
            }
        };
        let known = activities.get(&published.activity);
        let is_leased = known.map_or(self.shared.leases, |it| it.sale().lease.is_some());
        drop(activities);
        if let Some(refusal) = answer {
            return self.refuse(refusal);
        }
        published.at = self.shared.clock.now();
        self.hand_over(match is_leased {
            true => Record::LeasedActivityPublished(published),
            false => Record::ActivityPublished(published),
        })
    }

    fn change_phase(&mut self, id: ActivityId, change: PhaseChange) -> Decision {
        let at = self.shared.clock.now();
        if let Some(no) = self.refuse_transition() {
            return no;
        }
        let activity = match self.shared.find_activity(id) {
            Ok(activity) => activity,
            Err(refusal) => return self.refuse(refusal),
        };
        let sale = activity.sale();
        let over = matches!(sale.phase(at), Phase::Ended | Phase::Closed);
        let (changed, is_alone) = (PhaseChanged { activity: id, at }, sale.lease.is_none());
        match change {
            PhaseChange::End if over => Decision::Answered(Verdict::ActivityChanged),
            PhaseChange::Pause | PhaseChange::Resume if over => self.refuse(Refusal::Ended),
            // Of a shared activity the last word is written down in any case: another gateway's may
            // be on its way here.
            PhaseChange::Pause if is_alone && sale.paused => {
                Decision::Answered(Verdict::ActivityChanged)
            }
            PhaseChange::Resume if is_alone && !sale.paused => {
                Decision::Answered(Verdict::ActivityChanged)
            }
            PhaseChange::Pause => self.hand_over(Record::ActivityPaused(changed)),
            PhaseChange::Resume => self.hand_over(Record::ActivityResumed(changed)),
            PhaseChange::End => self.hand_over(Record::ActivityEnded(changed)),
        }
    }

    /// What was carried out under the same key is told before how the sale stands now.
    fn withdraw(&mut self, withdraw: &Withdraw) -> Decision {
        let at = self.shared.clock.now();
        let Withdraw { activity: id, quantity, key, body } = *withdraw;
        let activity = match self.shared.find_activity(id) {
            Ok(activity) => activity,
            Err(refusal) => return self.refuse(refusal),
        };
        let sale = activity.sale();
        match self.withdrawn_before(&sale, withdraw) {
            Some(Verdict::Refused(refusal)) => return self.refuse(refusal),
            Some(before) => return Decision::Answered(before),
            None => {}
        }
        if let Some(no) = self.refuse_transition() {
            return no;
        }
        if sale.closed {
            return self.refuse(Refusal::Ended);
        }
        let has_room = || sale.withdrawals.room(at) > self.withdrawing(id).count();
        if key != NO_KEY && !has_room() {
            return self.refuse(Refusal::Overloaded);
        }
        if !activity.begin_late_move() {
            return self.refuse(Refusal::Overloaded);
        }
        let take = activity.stock.take(self.index, quantity);
        if take == Take::All {
            activity.count_withdrawn(quantity);
            let left = UnitsLeft { activity: id, quantity, at };
            return self.hand_over(match key {
                NO_KEY => Record::UnitsWithdrawn(left),
                _ => Record::UnitsWithdrawnOnce(UnitsLeftOnce { left, key, body }),
            });
        }
        activity.end_late_move();
        self.refuse(not_taken(&activity, take, quantity))
    }

    /// The answer to a withdrawal whose key was used before, or is in a record under way.
    fn withdrawn_before(&self, sale: &Sale, withdraw: &Withdraw) -> Option<Verdict> {
        let Withdraw { activity, key, body, .. } = *withdraw;
        if key == NO_KEY {
            return None;
        }
        let (before, verdict) = match sale.withdrawals.find(key) {
            Some(before) => (before, Verdict::ActivityChanged),
            None => {
                let pending = Refusal::LimitReached { orders: Vec::new(), pending: true };
                let before = self.withdrawing(activity).find(|it| it.key == key)?;
                (before, Verdict::Refused(pending))
            }
        };
        let is_same = before.body == body;
        Some(if is_same { verdict } else { Verdict::Refused(Refusal::IdempotencyMismatch) })
    }

    /// Withdrawals under keys that are on their way to the disk. The activity's owner decides all of
    /// them, so they are in this lane.
    fn withdrawing(&self, id: ActivityId) -> impl Iterator<Item = &UnitsLeftOnce> {
        self.in_flight.iter().filter_map(move |record| {
            let Record::UnitsWithdrawnOnce(it) = record else { return None };
            (it.left.activity == id).then_some(it)
        })
    }

    fn is_publishing(&self, id: ActivityId) -> bool {
        self.in_flight.iter().any(|record| {
            matches!(record, Record::ActivityPublished(it) | Record::LeasedActivityPublished(it) if it.activity == id)
        })
    }

    /// Closes an ended activity if all units that were not sold are free: then no order is open,
    /// and none can be placed any more.
    fn close(&mut self, id: ActivityId, unsold: u32) -> Decision {
        let at = self.shared.clock.now();
        if let Some(no) = self.refuse_transition() {
            return no;
        }
        let activity = match self.shared.find_activity(id) {
            Ok(activity) => activity,
            Err(refusal) => return self.refuse(refusal),
        };
        match activity.phase(at) {
            Phase::Closed => return Decision::Answered(Verdict::ActivityChanged),
            Phase::Ended => {}
            Phase::Scheduled | Phase::Live | Phase::Paused => {
                return self.refuse(Refusal::OrderState);
            }
        }
        if activity.is_closing() || self.is_publishing(id) || self.is_leasing(id) {
            return self.refuse(Refusal::Overloaded);
        }
        // What is free of a lease is given back before.
        let is_early = unsold > 0 && activity.sale().lease.is_some();
        if is_early || !activity.begin_closing(self.index, unsold) {
            return self.refuse(Refusal::OrderState);
        }
        self.hand_over(match activity.sale().lease {
            Some(Lease { net: kept, .. }) => {
                Record::LeaseClosed(LeaseClosed { activity: id, kept, at })
            }
            None => Record::ActivityClosed(UnitsLeft { activity: id, quantity: unsold, at }),
        })
    }

    /// The refusal of a transition that the journal cannot take now.
    pub(super) fn refuse_transition(&self) -> Option<Decision> {
        if self.shared.journal.takes() < Takes::Transitions {
            return Some(self.refuse(Refusal::Unavailable));
        }
        (!self.takes(Takes::Transitions)).then(|| self.refuse(Refusal::Overloaded))
    }

    /// The next id of a shard number that this shard owns.
    fn next_id(&self, shard: u8) -> OrderId {
        OrderId::new(self.shared.origin, shard, self.counters_next[usize::from(shard)])
    }

    /// The id is on its way to the disk.
    fn use_id(&mut self, id: OrderId) {
        self.counters_next[usize::from(id.shard())] = id.counter() + 1;
    }

    fn shard_number(&self) -> u8 {
        u8::try_from(self.index).expect("a gateway has at most 128 cores")
    }
}

impl From<Standing> for Verdict {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Again(order) => Self::PlacedBefore(order),
            Standing::Mismatch => Self::Refused(Refusal::IdempotencyMismatch),
            Standing::Reached { orders, pending } => {
                Self::Refused(Refusal::LimitReached { orders, pending })
            }
            Standing::TooManyDropped => Self::Refused(Refusal::TooManyDropped),
        }
    }
}

/// Whether a record may still change an order that is settled, or would be by closing its activity.
/// One that is settled for good is not touched any more: it may have been folded away.
fn may_change_late(shared: &Shared, order: &Order) -> bool {
    let late = || shared.activity(order.activity).is_some_and(|it| it.begin_late_move());
    !order.is_settled(true) || (!order.is_settled(false) && late())
}

/// Whether it is the money that was asked for.
fn pays(shared: &Shared, order: &Order, payment: &Payment, paid: Paid) -> bool {
    let currency = shared.activity(order.activity).map(|it| it.sale().terms.currency);
    payment.amount == paid.amount && currency == Some(paid.currency)
}

fn owned(owner: UserId, asker: Option<UserId>) -> bool {
    asker.is_none_or(|user| user == owner)
}

fn closed_door(phase: Phase, starts_at: Timestamp) -> Option<Refusal> {
    match phase {
        Phase::Live => None,
        Phase::Scheduled => Some(Refusal::NotStarted { starts_at }),
        Phase::Paused => Some(Refusal::Paused),
        Phase::Ended | Phase::Closed => Some(Refusal::Ended),
    }
}

/// Why units were not taken. Of a shared sale the others may have more.
fn not_taken(activity: &Activity, take: Take, quantity: u32) -> Refusal {
    if matches!(take, Take::Short { .. } | Take::SoldOut) {
        activity.ask_in_vain(quantity);
    }
    match take {
        Take::Short { remaining } => Refusal::InsufficientStock { remaining },
        Take::SoldOut => Refusal::SoldOut { may_return: activity.may_return() },
        Take::All | Take::Contended => Refusal::Overloaded,
    }
}
