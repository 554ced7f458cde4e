//! Payments that end without their provider's word: given up by their shopper, or given back.
//!
//! It must not know how an order is paid.

use super::Shard;
use crate::command::{Decision, Refusal, Verdict};
use crate::ids::{OrderId, PaymentId, UserId};
use crate::orders::Order;
use crate::record::{PaymentMoved, PaymentStatus, Record};

impl Shard {
    /// As if the provider had said that no money came. Should it come all the same, it pays the order
    /// while that waits, or is owed back, as after any failure.
    pub(super) fn give_up_payment(
        &mut self,
        id: PaymentId,
        order: OrderId,
        user: UserId,
    ) -> Decision {
        let at = self.shared.clock.now();
        if let Some(no) = self.refuse_transition() {
            return no;
        }
        let order = self.orders.order_mut(order).filter(|it| it.user == user);
        let payment = |order: &Order| order.payments.iter().find(|it| it.id == id).copied();
        let Some((order, payment)) = order.and_then(|order| payment(order).map(|it| (order, it)))
        else {
            return self.refuse(Refusal::NotFound);
        };
        match payment.status {
            PaymentStatus::Failed => {
                Decision::Answered(Verdict::PaymentSettled(payment.view(order.id)))
            }
            PaymentStatus::Started if !order.moving => {
                order.moving = true;
                let moved = PaymentMoved { payment: id, order: order.id, amount: 0, at };
                self.hand_over(Record::PaymentFailed(moved))
            }
            PaymentStatus::Started => self.refuse(Refusal::Overloaded),
            PaymentStatus::Succeeded | PaymentStatus::RefundDue | PaymentStatus::Refunded => {
                self.refuse(Refusal::OrderState)
            }
        }
    }

    pub(super) fn complete_refund(&mut self, id: PaymentId) -> Decision {
        let at = self.shared.clock.now();
        if let Some(no) = self.refuse_transition() {
            return no;
        }
        let order = self.orders.order_of_payment(id);
        let Some(order) = order.and_then(|order| self.orders.order_mut(order)) else {
            return self.refuse(Refusal::NotFound);
        };
        let payment = order.payments.iter().find(|it| it.id == id);
        let payment = *payment.expect("the table knows which payments an order has");
        match payment.status {
            PaymentStatus::Refunded => {
                Decision::Answered(Verdict::PaymentSettled(payment.view(order.id)))
            }
            PaymentStatus::RefundDue if !order.moving => {
                order.moving = true;
                let (order, amount) = (order.id, payment.amount);
                let moved = PaymentMoved { payment: id, order, amount, at };
                self.hand_over(Record::PaymentRefunded(moved))
            }
            PaymentStatus::RefundDue => self.refuse(Refusal::Overloaded),
            PaymentStatus::Started | PaymentStatus::Succeeded | PaymentStatus::Failed => {
                self.refuse(Refusal::OrderState)
            }
        }
    }
}
