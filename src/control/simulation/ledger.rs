//! What one gateway's journal has come to: its orders, and the units that it was lent.
//!
//! It takes each durable record once, whatever becomes of the gateway. It must not know the others.

use std::collections::BTreeMap;

use seckill_shards::clock::Timestamp;
use seckill_shards::ids::{ActivityId, OrderId, UserId};
use seckill_shards::orders::{Fold, Order, Sum, Sums};
use seckill_shards::record::{OrderPlaced, Record, Status};

use super::Violation;

/// An order, by its gateway's journal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) activity: ActivityId,
    pub(super) user: UserId,
    pub(super) quantity: u32,
    pub(super) status: Status,
    /// Until when it may be paid, or confirmed.
    pub(super) pay_before: Timestamp,
    /// Where its first record stands; none where the journal begins with it.
    placed_at: Option<u64>,
    /// Where the record of its end stands.
    ended_at: Option<u64>,
    /// Whether the others have heard that it has ended.
    is_released: bool,
}

impl Entry {
    /// One of which no record was met yet.
    fn of(order: &Order) -> Self {
        Self {
            activity: order.activity,
            user: order.user,
            quantity: order.quantity,
            status: order.status,
            pay_before: order.pay_before,
            placed_at: None,
            ended_at: None,
            is_released: !order.unreleased,
        }
    }

    /// Whether it may be paid, or was.
    pub(super) fn is_payable(&self) -> bool {
        matches!(self.status, Status::AwaitingPayment | Status::Paid)
    }

    /// Whether the others may have its place.
    pub(super) fn may_have_a_place(&self) -> bool {
        match self.status {
            Status::Rejected => false,
            it => it.is_open() || it == Status::Paid || !self.is_released,
        }
    }
}

/// A journal's sum.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Records that were taken.
    pub(super) position: u64,
    pub(super) orders: BTreeMap<OrderId, Entry>,
    sums: Sums,
}

impl Ledger {
    pub(super) fn sum(&self, activity: ActivityId) -> Sum {
        self.sums.activities.get(&activity).copied().unwrap_or_default()
    }

    /// That of a journal that goes on, by its first records, where another is lost. Of a sale that was
    /// closed nothing more is to be told.
    pub(super) fn after(lost: &Self, records: &[Record]) -> Self {
        let mut fold = Fold::default();
        records.iter().for_each(|record| fold.apply(record));
        let mut ledger = Self { sums: Sums::of(&fold), ..Self::default() };
        for order in fold.orders.iter() {
            ledger.orders.insert(order.id, Entry::of(order));
        }
        let is_open = |it: &Sum| !it.closed;
        let closed = lost
            .orders
            .iter()
            .filter(|(_, it)| !ledger.sums.activities.get(&it.activity).is_some_and(is_open));
        ledger.orders.extend(closed.map(|(&id, &entry)| (id, entry)));
        for (&activity, &sum) in &lost.sums.activities {
            ledger.sums.activities.entry(activity).or_insert(sum);
        }
        ledger
    }

    /// Takes the next record; the store has what stands before `flushed`.
    pub(super) fn enter(
        &mut self,
        position: u64,
        record: &Record,
        flushed: u64,
    ) -> Result<(), Violation> {
        assert_eq!(position, self.position, "each record once, in order");
        self.position += 1;
        self.sums.apply(record);
        match record {
            Record::OrderAccepted(placed) => self.place(position, placed, Status::Accepted),
            Record::OrderPlaced(placed) => self.place(position, placed, Status::AwaitingPayment),
            Record::OrdersConfirmed(it) => {
                for &order in &it.orders {
                    let entry = self.order(order);
                    if entry.status != Status::Accepted {
                        return Err(format!("order {order} is confirmed, and {:?}", entry.status));
                    }
                    if entry.placed_at.is_some_and(|placed_at| placed_at >= flushed) {
                        return Err(format!("order {order} is payable, and the store lacks it"));
                    }
                    (entry.status, entry.pay_before) = (Status::AwaitingPayment, it.pay_before);
                }
            }
            Record::OrdersReleased(it) => {
                for &order in &it.orders {
                    let entry = self.order(order);
                    entry.is_released = true;
                    if entry.ended_at.is_none_or(|ended_at| ended_at >= flushed) {
                        return Err(format!("order {order} is free, and open in the store"));
                    }
                }
            }
            Record::OrderPaid(it) => self.order(it.moved.order.0).status = Status::Paid,
            Record::OrderExpired(it) => self.end(position, it.order, Status::Expired),
            Record::OrderCancelled(it) => self.end(position, it.order, Status::Cancelled),
            Record::OrderRejected(it) => self.end(position, it.order, Status::Rejected),
            Record::OrderRefunded(it) => self.end(position, it.moved.order, Status::Refunded),
            _ => {}
        }
        Ok(())
    }

    fn order(&mut self, order: u64) -> &mut Entry {
        self.orders.get_mut(&OrderId(order)).expect("it was placed before")
    }

    fn place(&mut self, position: u64, placed: &OrderPlaced, status: Status) {
        let order = Order { status, unreleased: true, ..Order::placed(placed) };
        let entry = Entry { placed_at: Some(position), ..Entry::of(&order) };
        self.orders.insert(placed.order, entry);
    }

    fn end(&mut self, position: u64, order: OrderId, status: Status) {
        let entry = self.order(order.0);
        (entry.status, entry.ended_at) = (status, Some(position));
    }
}

#[cfg(test)]
mod tests {
    use seckill_shards::record::{NO_KEY, OrderMoved, OrdersConfirmed, OrdersReleased};

    use super::*;

    const ORDER: OrderId = OrderId(7);
    const AT: Timestamp = Timestamp(1);
    const SALE: ActivityId = ActivityId(1);

    fn accepted() -> Record {
        let (key, body, quantity) = (NO_KEY, NO_KEY, 1);
        Record::OrderAccepted(OrderPlaced {
            order: ORDER,
            activity: SALE,
            user: UserId(1),
            quantity,
            at: AT,
            pay_before: AT,
            key,
            body,
        })
    }

    fn confirmed() -> Record {
        let orders = vec![ORDER.0];
        let (activity, at, pay_before) = (SALE, AT, AT);
        Record::OrdersConfirmed(OrdersConfirmed { activity, at, pay_before, orders })
    }

    fn moved() -> OrderMoved {
        OrderMoved { order: ORDER, activity: SALE, quantity: 1, at: AT }
    }

    fn released() -> Record {
        let orders = vec![ORDER.0];
        Record::OrdersReleased(OrdersReleased { activity: SALE, at: AT, orders })
    }

    /// What is seen at the last of some records, of which the store has so many.
    fn seen(records: &[Record], flushed: u64) -> Option<Violation> {
        let mut ledger = Ledger::default();
        let (last, before) = records.split_last().expect("there are some");
        for (position, record) in (0..).zip(before) {
            ledger.enter(position, record, u64::MAX).expect("all is well before");
        }
        ledger.enter(before.len() as u64, last, flushed).err()
    }

    fn check(records: &[Record], flushed: u64, expected: Option<&str>) {
        let seen = seen(records, flushed);
        let is_expected = match (&seen, expected) {
            (Some(seen), Some(expected)) => seen.ends_with(expected),
            (None, None) => true,
            _ => false,
        };
        assert!(is_expected, "{records:?}, of which the store has {flushed}: {seen:?}");
    }

    /// Rules 5 and 6 of the protocol: C18's per-step half, which no case can break from outside of a gateway.
    #[test]
    fn c18_whatever_is_told_ahead_of_the_store_is_seen() {
        let payable = [accepted(), confirmed()];
        check(&payable, 0, Some("is payable, and the store lacks it"));
        check(&payable, 1, None);
        let ends: [fn(OrderMoved) -> Record; 3] =
            [Record::OrderCancelled, Record::OrderExpired, Record::OrderRejected];
        for end in ends {
            let free = [accepted(), end(moved()), released()];
            check(&free, 0, Some("is free, and open in the store"));
            check(&free, 1, Some("is free, and open in the store"));
            check(&free, 2, None);
        }
        check(&[accepted(), released()], 2, Some("is free, and open in the store"));
        let cancelled = Record::OrderCancelled(moved());
        check(&[accepted(), cancelled, confirmed()], 3, Some("is confirmed, and Cancelled"));
    }
}
