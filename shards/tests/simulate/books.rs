//! Books: what a sale comes to, by a list of records, in plain maps and the plainest code.
//!
//! They share nothing with the engine's own tables but the records. Every entry is checked as it is
//! made: units, limits, keys, and that each transition is legal and happens once.

use std::collections::BTreeMap;

use seckill_shards::clock::Timestamp;
use seckill_shards::command::{OrderView, PaymentView};
use seckill_shards::ids::{ActivityId, OrderId, PaymentId, UserId};
use seckill_shards::record::{
    ActivityPublished, Digest, NO_KEY, OrderMoved, OrderPlaced, PaymentMoved, PaymentStarted,
    PaymentStatus, Record, Status, UnitsLeftOnce,
};

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct ActivityBook {
    pub row: ActivityPublished,
    pub paused: bool,
    pub ended: bool,
    pub closed: bool,
    pub held: u32,
    pub sold: u32,
    pub written_off: u32,
    pub left: u32,
    /// Position of the record that closed it.
    pub closed_position: u64,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct OrderBook {
    pub placed: OrderPlaced,
    pub status: Status,
    pub moved_at: Option<Timestamp>,
    pub payments: Vec<PaymentId>,
    /// Position of the last record that touched it.
    pub position: u64,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct PaymentBook {
    pub started: PaymentStarted,
    pub status: PaymentStatus,
}

#[derive(Clone, PartialEq, Default, Debug)]
pub(crate) struct Books {
    pub position: u64,
    pub activities: BTreeMap<ActivityId, ActivityBook>,
    pub orders: BTreeMap<OrderId, OrderBook>,
    pub payments: BTreeMap<PaymentId, PaymentBook>,
    /// The order that a buyer's key was answered with.
    pub keys: BTreeMap<(ActivityId, UserId, Digest), OrderId>,
    /// Withdrawals by key.
    pub withdrawals: BTreeMap<(ActivityId, Digest), UnitsLeftOnce>,
}

impl ActivityBook {
    pub(crate) fn free(&self) -> u32 {
        let stocked = self.row.terms.stocked;
        let gone = self.held + self.sold + self.written_off + self.left;
        assert!(gone <= stocked, "oversell: {gone} units are gone of {stocked}: {self:?}");
        stocked - gone
    }
}

impl OrderBook {
    pub(crate) fn is_open(&self) -> bool {
        self.status == Status::AwaitingPayment
    }
}

impl Books {
    /// Enters one record.
    pub(crate) fn enter(&mut self, record: &Record) {
        match record {
            Record::ActivityPublished(published) => self.publish(published),
            Record::ActivityPaused(it) => self.activity(it.activity).paused = true,
            Record::ActivityResumed(it) => self.activity(it.activity).paused = false,
            Record::ActivityEnded(it) => self.activity(it.activity).ended = true,
            Record::ActivityClosed(it) => {
                let position = self.position;
                let activity = self.activity(it.activity);
                assert!(!activity.closed, "closed twice");
                assert_eq!(activity.held, 0, "closed with open orders");
                assert_eq!(activity.free(), it.quantity, "closed with other units than are left");
                activity.closed = true;
                activity.closed_position = position;
                activity.left += it.quantity;
                self.keys.retain(|(activity, ..), _| *activity != it.activity);
            }
            Record::UnitsWithdrawn(it) => self.activity(it.activity).left += it.quantity,
            Record::UnitsWithdrawnOnce(it) => {
                self.activity(it.left.activity).left += it.left.quantity;
                let before = self.withdrawals.insert((it.left.activity, it.key), *it);
                assert_eq!(before, None, "the same key withdrew twice");
            }
            Record::OrderPlaced(placed) => self.place(placed),
            Record::OrderPaid(paid) => {
                self.move_order(&paid.moved, &[Status::AwaitingPayment], Status::Paid);
                self.activity(paid.moved.activity).sold += paid.moved.quantity;
                let from = [PaymentStatus::Started, PaymentStatus::Failed];
                self.move_payment(paid.payment, &from, PaymentStatus::Succeeded);
            }
            Record::OrderExpired(moved) => {
                assert!(moved.at >= self.orders[&moved.order].placed.pay_before, "expired early");
                self.move_order(moved, &[Status::AwaitingPayment], Status::Expired);
            }
            Record::OrderCancelled(moved) => {
                self.move_order(moved, &[Status::AwaitingPayment], Status::Cancelled);
            }
            Record::OrderRefunded(refunded) => {
                self.move_order(&refunded.moved, &[Status::Paid], Status::Refunded);
                if !refunded.units_returned {
                    self.activity(refunded.moved.activity).written_off += refunded.moved.quantity;
                }
                let from = [PaymentStatus::Succeeded];
                self.move_payment(refunded.payment, &from, PaymentStatus::RefundDue);
            }
            Record::PaymentStarted(started) => {
                let payment = PaymentBook { started: *started, status: PaymentStatus::Started };
                let before = self.payments.insert(started.payment, payment);
                assert_eq!(before, None, "a payment is started once");
                self.touch(started.order).payments.push(started.payment);
            }
            Record::PaymentFailed(it) => {
                self.settle(it, &[PaymentStatus::Started], PaymentStatus::Failed);
            }
            Record::PaymentRefundDue(it) => {
                let from = [PaymentStatus::Started, PaymentStatus::Failed];
                self.settle(it, &from, PaymentStatus::RefundDue);
            }
            Record::PaymentRefunded(it) => {
                self.settle(it, &[PaymentStatus::RefundDue], PaymentStatus::Refunded);
            }
            other => panic!("the sale never writes {other:?}"),
        }
        self.position += 1;
    }

    fn publish(&mut self, published: &ActivityPublished) {
        let Some(known) = self.activities.get_mut(&published.activity) else {
            let activity = ActivityBook {
                row: published.clone(),
                paused: false,
                ended: false,
                closed: false,
                held: 0,
                sold: 0,
                written_off: 0,
                left: 0,
                closed_position: 0,
            };
            self.activities.insert(published.activity, activity);
            return;
        };
        assert!(published.version > known.row.version, "versions only rise");
        assert!(published.terms.stocked >= known.row.terms.stocked, "stocked never shrinks");
        assert!(!known.closed, "a closed activity is not published again");
        known.row = published.clone();
    }

    fn place(&mut self, placed: &OrderPlaced) {
        let activity = self.activity(placed.activity);
        assert!(activity.free() >= placed.quantity, "oversell by {placed:?}");
        assert!(!activity.closed, "an order of a closed activity");
        activity.held += placed.quantity;
        let limit = activity.row.terms.per_user_limit;
        if placed.key != NO_KEY {
            let key = (placed.activity, placed.user, placed.key);
            let before = self.keys.insert(key, placed.order);
            assert_eq!(before, None, "the same key got two orders");
        }
        let order = OrderBook {
            placed: *placed,
            status: Status::AwaitingPayment,
            moved_at: None,
            payments: Vec::new(),
            position: self.position,
        };
        let before = self.orders.insert(placed.order, order);
        assert_eq!(before, None, "an order is placed once");
        let units = self.units_of(placed.activity, placed.user);
        assert!(units <= limit, "overbuy: {units} units of {limit} by {placed:?}");
    }

    /// Units of a buyer that count against the limit.
    pub(crate) fn units_of(&self, activity: ActivityId, user: UserId) -> u32 {
        let orders = self.orders_of(activity, user);
        let counting = orders.filter(|it| it.is_open() || it.status == Status::Paid);
        counting.map(|it| it.placed.quantity).sum()
    }

    pub(crate) fn orders_of(
        &self,
        activity: ActivityId,
        user: UserId,
    ) -> impl Iterator<Item = &OrderBook> {
        let orders = self.orders.values();
        orders.filter(move |it| it.placed.activity == activity && it.placed.user == user)
    }

    fn move_order(&mut self, moved: &OrderMoved, from: &[Status], to: Status) {
        let order = self.touch(moved.order);
        assert!(from.contains(&order.status), "{:?} to {to:?}", order.status);
        assert_eq!(order.placed.quantity, moved.quantity);
        assert_eq!(order.placed.activity, moved.activity);
        assert!(order.moved_at <= Some(moved.at), "time goes back");
        order.status = to;
        order.moved_at = Some(moved.at);
        let activity = self.activity(moved.activity);
        if from == [Status::Paid] {
            activity.sold -= moved.quantity;
        } else {
            activity.held -= moved.quantity;
        }
    }

    fn settle(&mut self, moved: &PaymentMoved, from: &[PaymentStatus], to: PaymentStatus) {
        assert_eq!(self.payments[&moved.payment].started.order, moved.order);
        self.touch(moved.order);
        self.move_payment(moved.payment, from, to);
    }

    fn move_payment(&mut self, id: PaymentId, from: &[PaymentStatus], to: PaymentStatus) {
        let payment = self.payments.get_mut(&id).expect("a payment that was started");
        assert!(from.contains(&payment.status), "payment {:?} to {to:?}", payment.status);
        payment.status = to;
    }

    fn touch(&mut self, id: OrderId) -> &mut OrderBook {
        let order = self.orders.get_mut(&id).expect("an order that was placed");
        order.position = self.position;
        order
    }

    pub(crate) fn activity(&mut self, id: ActivityId) -> &mut ActivityBook {
        self.activities.get_mut(&id).expect("an activity that was published")
    }

    /// Whether nothing more can happen to an order.
    pub(crate) fn is_settled(&self, order: &OrderBook) -> bool {
        let closed = self.activities[&order.placed.activity].closed;
        let status = match order.status {
            Status::Paid => closed,
            Status::Expired | Status::Cancelled | Status::Refunded => true,
            Status::Accepted | Status::AwaitingPayment | Status::Rejected => false,
        };
        status && self.payments_are_final(order)
    }

    pub(crate) fn payments_are_final(&self, order: &OrderBook) -> bool {
        order.payments.iter().all(|id| {
            let open = [PaymentStatus::Started, PaymentStatus::RefundDue];
            !open.contains(&self.payments[id].status)
        })
    }

    /// Whether the store may have the order while the engine has forgotten it.
    pub(crate) fn may_be_forgotten(&self, order: &OrderBook, flushed: u64) -> bool {
        let closed = self.activities[&order.placed.activity].closed_position;
        let settled = if order.status == Status::Paid { closed } else { 0 };
        self.is_settled(order) && order.position.max(settled) < flushed
    }

    /// Whether the store has all of an activity while the engine has forgotten it.
    pub(crate) fn may_forget(&self, id: ActivityId, flushed: u64) -> bool {
        let book = &self.activities[&id];
        let mut orders = self.orders.values().filter(|it| it.placed.activity == id);
        book.closed
            && book.closed_position < flushed
            && orders.all(|it| self.may_be_forgotten(it, flushed))
    }

    /// An order as the engine should show it.
    pub(crate) fn view(&self, order: &OrderBook) -> OrderView {
        OrderView {
            id: order.placed.order,
            activity: order.placed.activity,
            user: order.placed.user,
            quantity: order.placed.quantity,
            status: order.status,
            placed_at: order.placed.at,
            pay_before: order.placed.pay_before,
            moved_at: order.moved_at,
            payments: order.payments.iter().map(|&id| self.payment_view(id)).collect(),
        }
    }

    pub(crate) fn payment_view(&self, id: PaymentId) -> PaymentView {
        let payment = &self.payments[&id];
        let PaymentStarted { order, amount, .. } = payment.started;
        PaymentView { id, order, amount, status: payment.status }
    }

    /// Counts all orders anew and compares.
    pub(crate) fn recount(&self) {
        for (&id, activity) in &self.activities {
            let units = |status: Status| -> u32 {
                let orders = self.orders.values();
                let orders = orders.filter(|it| it.placed.activity == id && it.status == status);
                orders.map(|it| it.placed.quantity).sum()
            };
            assert_eq!(activity.held, units(Status::AwaitingPayment), "held units of {id}");
            assert_eq!(activity.sold, units(Status::Paid), "sold units of {id}");
            activity.free();
        }
    }
}
