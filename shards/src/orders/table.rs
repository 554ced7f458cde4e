//! The orders of one owner, by id.
//!
//! Ids of a shard are consecutive numbers, so orders lie in pages of 256 and only pages are hashed:
//! a million orders are found through four thousand entries, and a page goes when its last order
//! has gone.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::order::{Order, Payment};
use super::page::{PAGE_BITS, Page, SparePages, slot_of};
use crate::ids::{OrderId, PaymentId};
use crate::record::{
    OrderKept, OrderMoved, OrdersConfirmed, OrdersReleased, PaymentMoved, PaymentStatus, Record,
    Status,
};

/// Orders with their payments.
#[derive(Debug, Default)]
pub struct Table {
    pages: HashMap<u64, Page, FixedState>,
    /// Which order a payment is for; only orders that somebody started to pay are here.
    payments: HashMap<PaymentId, OrderId, FixedState>,
    orders: usize,
    spares: Arc<SparePages>,
}

impl Table {
    /// An empty table that takes its pages from `spares` first.
    #[must_use]
    pub fn with_spares(spares: Arc<SparePages>) -> Self {
        Self { spares, ..Self::default() }
    }

    /// Applies a record of orders or payments; one of other things changes nothing.
    ///
    /// # Panics
    /// When the record is of an order that is not here or does not stand as the record says: a
    /// record is a fact, so then the table is wrong.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::OrderPlaced(placed) => self.insert(Order::placed(placed)),
            Record::OrderAccepted(placed) => self.insert(Order::accepted(placed)),
            Record::OrdersConfirmed(confirmed) => self.confirm(confirmed),
            Record::OrdersReleased(released) => self.release(released),
            Record::OrderPaid(paid) => {
                self.move_order(&paid.moved, Status::Paid);
                self.set_payment(paid.moved.order, paid.payment, PaymentStatus::Succeeded);
            }
            Record::OrderExpired(moved) => self.move_order(moved, Status::Expired),
            Record::OrderCancelled(moved) => self.move_order(moved, Status::Cancelled),
            Record::OrderRejected(moved) => self.move_order(moved, Status::Rejected),
            Record::OrderRefunded(refunded) => {
                self.move_order(&refunded.moved, Status::Refunded);
                self.set_payment(refunded.moved.order, refunded.payment, PaymentStatus::RefundDue);
            }
            Record::PaymentStarted(started) => {
                self.payments.insert(started.payment, started.order);
                self.expect(started.order).payments.push(Payment::started(started));
            }
            Record::PaymentFailed(moved) => self.move_payment(moved, PaymentStatus::Failed),
            Record::PaymentRefundDue(moved) => self.move_payment(moved, PaymentStatus::RefundDue),
            Record::PaymentRefunded(moved) => self.move_payment(moved, PaymentStatus::Refunded),
            Record::OrderKept(kept) => self.insert(kept_order(kept)),
            Record::LeasedOrderKept(it) => {
                let (confirmed, order) = (it.confirmed, kept_order(&it.kept));
                self.insert(Order { confirmed, unreleased: true, ..order });
            }
            Record::PaymentKept(kept) => {
                let status =
                    PaymentStatus::from_number(kept.status).expect("checked where it was decoded");
                self.payments.insert(kept.started.payment, kept.started.order);
                let payment = Payment { status, ..Payment::started(&kept.started) };
                self.expect(kept.started.order).payments.push(payment);
            }
            Record::ActivityPublished(_)
            | Record::LeasedActivityPublished(_)
            | Record::ActivityPaused(_)
            | Record::ActivityResumed(_)
            | Record::ActivityEnded(_)
            | Record::ActivityClosed(_)
            | Record::UnitsWithdrawn(_)
            | Record::UnitsWithdrawnOnce(_)
            | Record::LeaseJoined(_)
            | Record::EraEntered(_)
            | Record::UnitsLeased(_)
            | Record::UnitsReturned(_)
            | Record::LeaseClosed(_)
            | Record::PhaseFollowed(_)
            | Record::ActivityKept(_)
            | Record::KeyKept(_)
            | Record::CounterKept(_)
            | Record::WithdrawalKept(_)
            | Record::LeaseKept(_) => {}
        }
    }

    /// How many orders.
    #[must_use]
    pub fn len(&self) -> usize {
        self.orders
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.orders == 0
    }

    /// An order.
    #[must_use]
    pub fn order(&self, id: OrderId) -> Option<&Order> {
        self.pages.get(&page_of(id))?.orders[slot_of(id)].as_ref()
    }

    /// An order, to be marked as moving or given a timer; its status is changed by `apply` alone.
    pub fn order_mut(&mut self, id: OrderId) -> Option<&mut Order> {
        self.pages.get_mut(&page_of(id))?.orders[slot_of(id)].as_mut()
    }

    /// The order that a payment is for.
    #[must_use]
    pub fn order_of_payment(&self, payment: PaymentId) -> Option<OrderId> {
        self.payments.get(&payment).copied()
    }

    /// All orders, page by page.
    pub fn iter(&self) -> impl Iterator<Item = &Order> {
        self.pages.values().flat_map(|page| page.orders.iter().flatten())
    }

    /// Deals the orders out to one table for each core: the owner's. A page's orders are of one
    /// shard, so whole pages move; new ones come from `spares` first.
    #[must_use]
    pub fn deal(self, cores: usize, spares: &Arc<SparePages>) -> Vec<Self> {
        let empty = || Self::with_spares(Arc::clone(spares));
        let mut tables: Vec<_> = std::iter::repeat_with(empty).take(cores).collect();
        for (number, page) in self.pages {
            let table = &mut tables[OrderId(number << PAGE_BITS).owner(cores)];
            table.orders += page.used;
            table.pages.insert(number, page);
        }
        for (payment, order) in self.payments {
            tables[order.owner(cores)].payments.insert(payment, order);
        }
        tables
    }

    /// All orders, page by page, to be given their timers.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Order> {
        self.pages.values_mut().flat_map(|page| page.orders.iter_mut().flatten())
    }

    /// Puts an order that another table held.
    ///
    /// # Panics
    /// When there is one of its id.
    pub fn insert(&mut self, order: Order) {
        for payment in &order.payments {
            self.payments.insert(payment.id, order.id);
        }
        let page = self.pages.entry(page_of(order.id)).or_insert_with(|| self.spares.take());
        let slot = &mut page.orders[slot_of(order.id)];
        assert!(slot.is_none(), "order {} is placed once", order.id);
        *slot = Some(order);
        page.used += 1;
        self.orders += 1;
    }

    /// Lets an order go.
    pub fn remove(&mut self, id: OrderId) -> Option<Order> {
        let page = self.pages.get_mut(&page_of(id))?;
        let order = page.orders[slot_of(id)].take()?;
        page.used -= 1;
        if page.used == 0 {
            self.pages.remove(&page_of(id));
        }
        self.orders -= 1;
        for payment in &order.payments {
            self.payments.remove(&payment.id);
        }
        Some(order)
    }

    fn expect(&mut self, id: OrderId) -> &mut Order {
        self.order_mut(id).unwrap_or_else(|| panic!("a record of order {id}, which is not here"))
    }

    fn confirm(&mut self, confirmed: &OrdersConfirmed) {
        for &id in &confirmed.orders {
            let order = self.expect(OrderId(id));
            assert_eq!(order.status, Status::Accepted, "order {id} is confirmed once");
            order.status = Status::AwaitingPayment;
            order.pay_before = confirmed.pay_before;
            (order.confirmed, order.moving) = (true, false);
        }
    }

    fn release(&mut self, released: &OrdersReleased) {
        for &id in &released.orders {
            let order = self.expect(OrderId(id));
            (order.unreleased, order.moving) = (false, false);
        }
    }

    fn move_order(&mut self, moved: &OrderMoved, to: Status) {
        let order = self.expect(moved.order);
        let from = order.status;
        let allowed = if to == Status::Refunded { from == Status::Paid } else { from.is_open() };
        assert!(allowed, "order {} cannot move from {from:?} to {to:?}", moved.order);
        assert_eq!(order.quantity, moved.quantity, "a record names all units of its order");
        order.status = to;
        order.moved_at = moved.at;
        order.moving = false;
    }

    fn move_payment(&mut self, moved: &PaymentMoved, to: PaymentStatus) {
        self.set_payment(moved.order, moved.payment, to);
        self.expect(moved.order).moving = false;
    }

    fn set_payment(&mut self, order: OrderId, payment: PaymentId, to: PaymentStatus) {
        let payments = &mut self.expect(order).payments;
        let found = payments.iter_mut().find(|it| it.id == payment);
        let found = found.unwrap_or_else(|| panic!("payment {payment} was never started"));
        assert!(may_follow(found.status, to), "payment {payment}: {:?} to {to:?}", found.status);
        found.status = to;
    }
}

/// `started → succeeded | failed`, `succeeded → refund_due → refunded`; money that cannot pay its
/// order goes from started (or failed: providers reorder) to refund due in one step.
fn may_follow(from: PaymentStatus, to: PaymentStatus) -> bool {
    match to {
        PaymentStatus::Started => false,
        PaymentStatus::Failed => from == PaymentStatus::Started,
        PaymentStatus::Succeeded => {
            matches!(from, PaymentStatus::Started | PaymentStatus::Failed)
        }
        PaymentStatus::RefundDue => matches!(
            from,
            PaymentStatus::Started | PaymentStatus::Failed | PaymentStatus::Succeeded
        ),
        PaymentStatus::Refunded => from == PaymentStatus::RefundDue,
    }
}

/// An order as a checkpoint has it.
fn kept_order(kept: &OrderKept) -> Order {
    let status = Status::from_number(kept.status).expect("checked where it was decoded");
    Order { status, moved_at: kept.moved_at, ..Order::placed(&kept.placed) }
}

fn page_of(id: OrderId) -> u64 {
    id.0 >> PAGE_BITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use PaymentStatus::{Failed, RefundDue, Refunded, Started, Succeeded};

    /// Every pair of statuses of a payment: the first may lead to the second, or may not.
    #[test]
    fn p5_a_payment_moves_as_its_table_says_and_never_twice() {
        let allowed = [
            (Started, Succeeded),
            (Started, Failed),
            (Started, RefundDue),
            (Failed, Succeeded),
            (Failed, RefundDue),
            (Succeeded, RefundDue),
            (RefundDue, Refunded),
        ];
        for &from in PaymentStatus::ALL {
            for &to in PaymentStatus::ALL {
                assert_eq!(may_follow(from, to), allowed.contains(&(from, to)), "{from:?} {to:?}");
            }
        }
    }

    #[test]
    fn a_status_keeps_its_number_and_its_word() {
        for &status in Status::ALL {
            assert_eq!(Status::from_number(status.number()), Some(status));
        }
        for &status in PaymentStatus::ALL {
            assert_eq!(PaymentStatus::from_number(status.number()), Some(status));
        }
        assert_eq!((Status::from_number(0), Status::from_number(8)), (None, None));
    }
}
