//! Asking first: a shard that speaks for another gateway ends none of its unpaid orders, and gives up
//! none of its payments, before their provider was asked. What that gateway wrote down last may be lost, and money may have come by it.
//!
//! It must not know who asks, nor how.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::Shard;
use crate::command::{Decision, OrderView, Refusal, Verdict};
use crate::ids::{OrderId, PaymentId};
use crate::limits::UNASKED_MAX;
use crate::orders::{Order, Payment};
use crate::record::{NO_KEY, PaymentStarted, Record, Status};

/// Orders that do not end, nor a payment of theirs, before their provider was asked.
pub(super) type Unasked = BTreeSet<OrderId>;

impl Shard {
    /// The first orders here behind an id whose provider is yet to be asked, by id: at most
    /// [`UNASKED_MAX`].
    #[must_use]
    pub fn unasked(&self, after: Option<OrderId>) -> Vec<OrderView> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let unasked = self.unasked.range((after, Bound::Unbounded));
        let orders = unasked.filter_map(|id| self.orders.order(*id));
        orders.filter(|it| may_be_paid(it)).take(UNASKED_MAX).map(Order::view).collect()
    }

    /// The provider was asked, and what it said of the order is written down: it may end.
    pub(super) fn note_asked(&mut self, id: OrderId) -> Decision {
        self.unasked.remove(&id);
        self.refused_unasked.remove(&id);
        match self.orders.order(id) {
            Some(order) => Decision::Answered(Verdict::Moved(order.view())),
            None => self.refuse(Refusal::NotFound),
        }
    }

    /// The provider knows a payment of an order that was started by a record which is lost: it is
    /// started once more, under the id that it has. Before the others have said whether the order has a
    /// place nobody knows what its money comes to: it pays, or it is owed back.
    pub(super) fn recall_payment(&mut self, payment: PaymentId, id: OrderId) -> Decision {
        let at = self.shared.clock.now();
        if let Some(no) = self.refuse_transition() {
            return no;
        }
        let Some(order) = self.orders.order(id) else { return self.refuse(Refusal::NotFound) };
        if order.status == Status::Accepted && !self.refused_unasked.contains(&id) {
            return self.refuse(Refusal::Overloaded);
        }
        let known = |it: &&Payment| it.id == payment;
        if let Some(known) = order.payments.iter().find(known) {
            return Decision::Answered(Verdict::PaymentStarted(known.view(id)));
        }
        if order.moving {
            return self.refuse(Refusal::Overloaded);
        }
        let Some(amount) = self.asked_for(order) else { return self.refuse(Refusal::NotFound) };
        self.orders.order_mut(id).expect("it was here a moment ago").moving = true;
        let (order, key, body) = (id, NO_KEY, NO_KEY);
        let started = PaymentStarted { payment, order, amount, at, key, body };
        self.hand_over(Record::PaymentStarted(started))
    }

    /// What is to be paid for an order, in minor units. Whenever it was placed: the price of a sale is a
    /// promise from its publishing on, and no newer row has another.
    pub(super) fn asked_for(&self, order: &Order) -> Option<i64> {
        let activity = self.shared.activity(order.activity)?;
        Some(activity.sale().terms.sale_price.saturating_mul(i64::from(order.quantity)))
    }
}

/// Whether money may come for an order.
pub(super) fn may_be_paid(order: &Order) -> bool {
    order.status.is_open() || order.payment_under_way().is_some()
}
