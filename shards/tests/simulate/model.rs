//! The model: what clients were told and what is under way, and from that what the engine must
//! answer next.

use std::collections::{BTreeMap, BTreeSet};

use seckill_shards::clock::Timestamp;
use seckill_shards::command::{
    Command, Paid, PhaseChange, PlaceOrder, Refusal, Sequence, StartPayment, Verdict, Withdraw,
};
use seckill_shards::ids::{ActivityId, OrderId, PaymentId, UserId};
use seckill_shards::limits::{DROPPED_ORDERS_MAX, PAYMENTS_PER_ORDER_MAX};
use seckill_shards::record::{
    ActivityPublished, NO_KEY, OrderMoved, OrderPaid, OrderPlaced, OrderRefunded, PaymentMoved,
    PaymentStarted, PaymentStatus, PhaseChanged, Record, Status, UnitsLeft, UnitsLeftOnce,
};

use seckill_shards::testing::world::CURRENCY;

use crate::books::{Books, OrderBook};

/// What a command must come to.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Expected {
    /// This record; ids that the engine makes are zero.
    Record(Record),
    Verdict(Verdict),
}

#[derive(Default)]
pub(crate) struct Model {
    /// What was told to somebody.
    pub told: Books,
    /// The activities that the store has as closed.
    pub over: BTreeSet<ActivityId>,
    /// Records under way, by core and sequence.
    pub under_way: BTreeMap<(usize, Sequence), Record>,
}

fn refused(refusal: Refusal) -> Expected {
    Expected::Verdict(Verdict::Refused(refusal))
}

impl Model {
    pub(crate) fn expect(&self, command: &Command, now: Timestamp) -> Expected {
        match command {
            Command::PlaceOrder(buy) => self.expect_buy(buy, now),
            Command::CancelOrder { order, user } => self.expect_cancel(*order, *user, now),
            Command::StartPayment(start) => self.expect_start(start, now),
            Command::GiveUpPayment { payment, order, user } => {
                self.expect_give_up(*payment, *order, *user, now)
            }
            Command::SettlePayment { payment, paid } => self.expect_settle(*payment, *paid, now),
            Command::RefundOrder { order, return_units } => {
                self.expect_refund(*order, *return_units, now)
            }
            Command::CompleteRefund { payment } => self.expect_complete(*payment, now),
            Command::Publish { row, .. } => self.expect_publish(row, now),
            Command::ChangePhase { activity, change } => self.expect_phase(*activity, *change, now),
            Command::Withdraw(withdraw) => self.expect_withdraw(withdraw, now),
            Command::Close { activity, unsold } => self.expect_close(*activity, *unsold, now),
            Command::Join { .. }
            | Command::EnterEra { .. }
            | Command::FollowPhase { .. }
            | Command::Hear(_)
            | Command::Lease { .. }
            | Command::ReturnUnits { .. }
            | Command::RecallPayment { .. }
            | Command::NoteAsked { .. } => unreachable!("this gateway sells alone"),
        }
    }

    fn expect_buy(&self, buy: &PlaceOrder, now: Timestamp) -> Expected {
        let Some(activity) = self.told.activities.get(&buy.activity) else {
            return refused(Refusal::NotFound);
        };
        let terms = &activity.row.terms;
        if !activity.closed
            && let Some(standing) = self.standing(buy, terms.per_user_limit)
        {
            return Expected::Verdict(standing);
        }
        if activity.closed && buy.quantity > terms.per_user_limit {
            return refused(Refusal::LimitReached { orders: Vec::new(), pending: false });
        }
        if activity.closed || activity.ended || now >= terms.ends_at {
            return refused(Refusal::Ended);
        }
        if activity.paused {
            return refused(Refusal::Paused);
        }
        if now < terms.starts_at {
            return refused(Refusal::NotStarted { starts_at: terms.starts_at });
        }
        if terms.admission && !buy.admitted {
            return refused(Refusal::AdmissionRequired);
        }
        let remaining = self.remaining(buy.activity);
        if remaining == 0 {
            return refused(Refusal::SoldOut { may_return: self.outstanding(buy.activity) > 0 });
        }
        if remaining < buy.quantity {
            return refused(Refusal::InsufficientStock { remaining });
        }
        let PlaceOrder { activity, user, quantity, key, body, .. } = *buy;
        let pay_before = now.plus_ms(terms.pay_window_ms);
        let order = OrderId(0);
        let placed =
            OrderPlaced { order, activity, user, quantity, at: now, pay_before, key, body };
        Expected::Record(Record::OrderPlaced(placed))
    }

    /// Why this buyer's place says no.
    fn standing(&self, buy: &PlaceOrder, limit: u32) -> Option<Verdict> {
        if buy.key != NO_KEY {
            let key = |it: &OrderPlaced| it.key == buy.key;
            let told = self.told.orders_of(buy.activity, buy.user).find(|it| key(&it.placed));
            let pending = self.buys(buy.activity, buy.user).find(|it| key(it));
            if let Some(body) = told.map(|it| it.placed.body).or_else(|| pending.map(|it| it.body))
            {
                return Some(if body != buy.body {
                    Verdict::Refused(Refusal::IdempotencyMismatch)
                } else if let Some(told) = told {
                    Verdict::PlacedBefore(told.placed.order)
                } else {
                    let orders = Vec::new();
                    Verdict::Refused(Refusal::LimitReached { orders, pending: true })
                });
            }
        }
        let pending: u32 = self.buys(buy.activity, buy.user).map(|it| it.quantity).sum();
        if self.told.units_of(buy.activity, buy.user) + pending + buy.quantity > limit {
            let orders = self.told.orders_of(buy.activity, buy.user);
            let counting = orders.filter(|it| it.is_open() || it.status == Status::Paid);
            let orders = counting.map(|it| it.placed.order).collect();
            return Some(Verdict::Refused(Refusal::LimitReached { orders, pending: pending > 0 }));
        }
        let dropped = self
            .told
            .orders_of(buy.activity, buy.user)
            .filter(|it| it.placed.key != NO_KEY && !it.is_open() && it.status != Status::Paid);
        (dropped.count() >= DROPPED_ORDERS_MAX).then_some(Verdict::Refused(Refusal::TooManyDropped))
    }

    /// Buys under way.
    fn buys(&self, activity: ActivityId, user: UserId) -> impl Iterator<Item = &OrderPlaced> {
        self.under_way.values().filter_map(move |record| match record {
            Record::OrderPlaced(it) if it.activity == activity && it.user == user => Some(it),
            _ => None,
        })
    }

    fn expect_cancel(&self, id: OrderId, user: Option<UserId>, now: Timestamp) -> Expected {
        let order = self.told.orders.get(&id);
        let Some(order) = order.filter(|it| user.is_none_or(|user| user == it.placed.user)) else {
            return refused(Refusal::NotFound);
        };
        match order.status {
            Status::Cancelled => Expected::Verdict(Verdict::Moved(self.told.view(order))),
            Status::AwaitingPayment if self.is_moving(id) => refused(Refusal::Overloaded),
            Status::AwaitingPayment => Expected::Record(Record::OrderCancelled(moved(order, now))),
            _ => refused(Refusal::OrderState),
        }
    }

    fn expect_start(&self, start: &StartPayment, now: Timestamp) -> Expected {
        let order = self.told.orders.get(&start.order);
        let Some(order) = order.filter(|it| it.placed.user == start.user) else {
            return refused(Refusal::NotFound);
        };
        let mut payments = order.payments.iter().map(|id| &self.told.payments[id].started);
        if let Some(before) = payments.find(|it| start.key != NO_KEY && it.key == start.key) {
            return if before.body == start.body {
                let view = self.told.payment_view(before.payment);
                Expected::Verdict(Verdict::PaymentStarted(view))
            } else {
                refused(Refusal::IdempotencyMismatch)
            };
        }
        if !order.is_open() {
            return refused(Refusal::OrderState);
        }
        let same = |record: &Record| matches!(record, Record::PaymentStarted(it) if it.order == start.order && it.key == start.key);
        if start.key != NO_KEY && self.under_way.values().any(same) {
            return refused(Refusal::LimitReached { orders: vec![start.order], pending: true });
        }
        if self.is_moving(start.order) {
            return refused(Refusal::Overloaded);
        }
        if order.payments.len() >= PAYMENTS_PER_ORDER_MAX {
            return refused(Refusal::OrderState);
        }
        let price = self.told.activities[&order.placed.activity].row.terms.sale_price;
        Expected::Record(Record::PaymentStarted(PaymentStarted {
            payment: PaymentId(0),
            order: start.order,
            amount: price * i64::from(order.placed.quantity),
            at: now,
            key: start.key,
            body: start.body,
        }))
    }

    fn expect_give_up(
        &self,
        id: PaymentId,
        order: OrderId,
        user: UserId,
        at: Timestamp,
    ) -> Expected {
        let is_theirs = |order: &&OrderBook| order.placed.user == user;
        let order = self.told.orders.get(&order).filter(is_theirs);
        let Some(order) = order.filter(|it| it.payments.contains(&id)) else {
            return refused(Refusal::NotFound);
        };
        match self.told.payments[&id].status {
            PaymentStatus::Failed => {
                Expected::Verdict(Verdict::PaymentSettled(self.told.payment_view(id)))
            }
            PaymentStatus::Started if self.is_moving(order.placed.order) => {
                refused(Refusal::Overloaded)
            }
            PaymentStatus::Started => {
                let order = order.placed.order;
                Expected::Record(Record::PaymentFailed(PaymentMoved {
                    payment: id,
                    order,
                    amount: 0,
                    at,
                }))
            }
            _ => refused(Refusal::OrderState),
        }
    }

    fn expect_settle(&self, id: PaymentId, paid: Option<Paid>, at: Timestamp) -> Expected {
        let Some(payment) = self.told.payments.get(&id) else {
            return refused(Refusal::NotFound);
        };
        let order = &self.told.orders[&payment.started.order];
        if self.is_moving(order.placed.order) {
            return refused(Refusal::Overloaded);
        }
        let moved_payment =
            |amount| PaymentMoved { payment: id, order: order.placed.order, amount, at };
        let late = payment.status == PaymentStatus::Failed && self.told.payments_are_final(order);
        match (payment.status, paid) {
            (PaymentStatus::Started, None) => {
                Expected::Record(Record::PaymentFailed(moved_payment(0)))
            }
            (PaymentStatus::Failed, Some(_))
                if late
                    && (self.told.is_settled(order)
                        || order.status == Status::Paid
                            && self.is_closing(order.placed.activity)) =>
            {
                refused(Refusal::NotFound)
            }
            (PaymentStatus::Started | PaymentStatus::Failed, Some(paid)) => {
                let due = Paid { amount: payment.started.amount, currency: CURRENCY };
                if order.is_open() && paid == due {
                    let moved = moved(order, at);
                    Expected::Record(Record::OrderPaid(OrderPaid { moved, payment: id }))
                } else {
                    Expected::Record(Record::PaymentRefundDue(moved_payment(paid.amount)))
                }
            }
            _ => Expected::Verdict(Verdict::PaymentSettled(self.told.payment_view(id))),
        }
    }

    fn expect_refund(&self, id: OrderId, units_returned: bool, now: Timestamp) -> Expected {
        let Some(order) = self.told.orders.get(&id) else {
            return refused(Refusal::NotFound);
        };
        match order.status {
            Status::Refunded => Expected::Verdict(Verdict::Moved(self.told.view(order))),
            Status::Paid if self.is_moving(id) => refused(Refusal::Overloaded),
            Status::Paid if !self.is_closing(order.placed.activity) => {
                let succeeded =
                    |id: &&PaymentId| self.told.payments[id].status == PaymentStatus::Succeeded;
                let payment = *order.payments.iter().find(succeeded).expect("it was paid");
                let moved = moved(order, now);
                let refunded = OrderRefunded { moved, payment, units_returned };
                Expected::Record(Record::OrderRefunded(refunded))
            }
            _ => refused(Refusal::OrderState),
        }
    }

    fn expect_complete(&self, id: PaymentId, at: Timestamp) -> Expected {
        let Some(payment) = self.told.payments.get(&id) else {
            return refused(Refusal::NotFound);
        };
        let PaymentStarted { order, amount, .. } = payment.started;
        match payment.status {
            PaymentStatus::Refunded => {
                Expected::Verdict(Verdict::PaymentSettled(self.told.payment_view(id)))
            }
            PaymentStatus::RefundDue if self.is_moving(order) => refused(Refusal::Overloaded),
            PaymentStatus::RefundDue => {
                let moved = PaymentMoved { payment: id, order, amount, at };
                Expected::Record(Record::PaymentRefunded(moved))
            }
            _ => refused(Refusal::OrderState),
        }
    }

    fn expect_publish(&self, published: &ActivityPublished, at: Timestamp) -> Expected {
        if self.is_publishing(published.activity) {
            return refused(Refusal::Overloaded);
        }
        if let Some(known) = self.told.activities.get(&published.activity) {
            if published.version == known.row.version {
                return Expected::Verdict(Verdict::ActivityChanged);
            }
            if published.version < known.row.version
                || published.terms.stocked < known.row.terms.stocked
                || self.is_closing(published.activity)
            {
                return refused(Refusal::Stale);
            }
        }
        let published = ActivityPublished { at, ..published.clone() };
        Expected::Record(Record::ActivityPublished(Box::new(published)))
    }

    fn expect_phase(&self, id: ActivityId, change: PhaseChange, at: Timestamp) -> Expected {
        let Some(activity) = self.told.activities.get(&id) else {
            return refused(Refusal::NotFound);
        };
        let over = activity.closed || activity.ended || at >= activity.row.terms.ends_at;
        let changed = PhaseChanged { activity: id, at };
        match change {
            PhaseChange::End if over => Expected::Verdict(Verdict::ActivityChanged),
            _ if over => refused(Refusal::Ended),
            PhaseChange::Pause if activity.paused => Expected::Verdict(Verdict::ActivityChanged),
            PhaseChange::Resume if !activity.paused => Expected::Verdict(Verdict::ActivityChanged),
            PhaseChange::Pause => Expected::Record(Record::ActivityPaused(changed)),
            PhaseChange::Resume => Expected::Record(Record::ActivityResumed(changed)),
            PhaseChange::End => Expected::Record(Record::ActivityEnded(changed)),
        }
    }

    fn expect_withdraw(&self, withdraw: &Withdraw, at: Timestamp) -> Expected {
        let Withdraw { activity, quantity, key, body } = *withdraw;
        let Some(book) = self.told.activities.get(&activity) else {
            return refused(Refusal::NotFound);
        };
        let told = self.told.withdrawals.get(&(activity, key));
        let under_way = || self.withdrawing(activity).find(|it| it.key == key);
        if let Some(before) = told.or_else(under_way) {
            return if before.body != body {
                refused(Refusal::IdempotencyMismatch)
            } else if told.is_some() {
                Expected::Verdict(Verdict::ActivityChanged)
            } else {
                refused(Refusal::LimitReached { orders: Vec::new(), pending: true })
            };
        }
        let remaining = self.remaining(activity);
        if book.closed {
            refused(Refusal::Ended)
        } else if self.is_closing(activity) {
            refused(Refusal::Overloaded)
        } else if remaining == 0 {
            refused(Refusal::SoldOut { may_return: self.outstanding(activity) > 0 })
        } else if remaining < quantity {
            refused(Refusal::InsufficientStock { remaining })
        } else {
            let left = UnitsLeft { activity, quantity, at };
            Expected::Record(match key {
                NO_KEY => Record::UnitsWithdrawn(left),
                _ => Record::UnitsWithdrawnOnce(UnitsLeftOnce { left, key, body }),
            })
        }
    }

    /// Withdrawals under keys that are under way.
    fn withdrawing(&self, id: ActivityId) -> impl Iterator<Item = &UnitsLeftOnce> {
        self.under_way.values().filter_map(move |record| match record {
            Record::UnitsWithdrawnOnce(it) if it.left.activity == id => Some(it),
            _ => None,
        })
    }

    fn expect_close(&self, activity: ActivityId, unsold: u32, at: Timestamp) -> Expected {
        let Some(book) = self.told.activities.get(&activity) else {
            return refused(Refusal::NotFound);
        };
        if book.closed {
            return Expected::Verdict(Verdict::ActivityChanged);
        }
        if !book.ended && at < book.row.terms.ends_at {
            return refused(Refusal::OrderState);
        }
        if self.is_closing(activity) || self.is_publishing(activity) {
            return refused(Refusal::Overloaded);
        }
        let busy = self.outstanding(activity) > 0 || self.late_moves(activity) > 0;
        if busy || self.remaining(activity) != unsold {
            return refused(Refusal::OrderState);
        }
        let quantity = unsold;
        Expected::Record(Record::ActivityClosed(UnitsLeft { activity, quantity, at }))
    }

    fn is_publishing(&self, id: ActivityId) -> bool {
        let mut records = self.under_way.values();
        records.any(|it| matches!(it, Record::ActivityPublished(it) if it.activity == id))
    }

    /// Whether the activity is closed, or is about to be.
    pub(crate) fn is_closing(&self, id: ActivityId) -> bool {
        let mut records = self.under_way.values();
        self.told.activities[&id].closed
            || records.any(|it| matches!(it, Record::ActivityClosed(it) if it.activity == id))
    }

    /// Records under way that change an order which closing would settle.
    fn late_moves(&self, id: ActivityId) -> usize {
        let late = |record: &&Record| match record {
            Record::OrderRefunded(it) => it.moved.activity == id,
            Record::UnitsWithdrawn(it) => it.activity == id,
            Record::UnitsWithdrawnOnce(it) => it.left.activity == id,
            Record::PaymentRefundDue(it) => {
                let order = &self.told.orders[&it.order];
                order.placed.activity == id
                    && order.status == Status::Paid
                    && self.told.payments_are_final(order)
            }
            _ => false,
        };
        self.under_way.values().filter(late).count()
    }

    /// Whether a record under way changes the order.
    pub(crate) fn is_moving(&self, id: OrderId) -> bool {
        self.under_way.values().any(|record| order_of(record) == Some(id))
    }

    /// Units that can be taken.
    pub(crate) fn remaining(&self, id: ActivityId) -> u32 {
        let taken = |record: &Record| match record {
            Record::OrderPlaced(it) if it.activity == id => it.quantity,
            Record::UnitsWithdrawn(it) | Record::ActivityClosed(it) if it.activity == id => {
                it.quantity
            }
            Record::UnitsWithdrawnOnce(it) if it.left.activity == id => it.left.quantity,
            _ => 0,
        };
        let taken: u32 = self.under_way.values().map(taken).sum();
        let free = self.told.activities[&id].free();
        assert!(taken <= free, "oversell: {taken} units are reserved of {free}");
        free - taken
    }

    /// Units reserved or held.
    pub(crate) fn outstanding(&self, id: ActivityId) -> u32 {
        let reserved = |record: &Record| match record {
            Record::OrderPlaced(it) if it.activity == id => it.quantity,
            _ => 0,
        };
        let reserved: u32 = self.under_way.values().map(reserved).sum();
        self.told.activities[&id].held + reserved
    }
}

pub(crate) fn moved(order: &OrderBook, at: Timestamp) -> OrderMoved {
    let OrderPlaced { order, activity, quantity, .. } = order.placed;
    OrderMoved { order, activity, quantity, at }
}

/// The order that a record changes, unless it makes it.
pub(crate) fn order_of(record: &Record) -> Option<OrderId> {
    match record {
        Record::OrderPaid(it) => Some(it.moved.order),
        Record::OrderExpired(it) | Record::OrderCancelled(it) => Some(it.order),
        Record::OrderRefunded(it) => Some(it.moved.order),
        Record::PaymentStarted(it) => Some(it.order),
        Record::PaymentFailed(it) | Record::PaymentRefundDue(it) | Record::PaymentRefunded(it) => {
            Some(it.order)
        }
        _ => None,
    }
}

/// The record with the ids that only the engine knows.
pub(crate) fn with_ids_of(expected: &Record, actual: &Record) -> Record {
    match (expected, actual) {
        (Record::OrderPlaced(it), Record::OrderPlaced(known)) => {
            Record::OrderPlaced(OrderPlaced { order: known.order, ..*it })
        }
        (Record::PaymentStarted(it), Record::PaymentStarted(known)) => {
            Record::PaymentStarted(PaymentStarted { payment: known.payment, ..*it })
        }
        _ => expected.clone(),
    }
}
