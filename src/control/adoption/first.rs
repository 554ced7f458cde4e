//! The first checkpoint of an adopted gateway's journal: the records that make anew what the store has
//! of its orders. That is enough, since an order is payable only once the store has it, and its end is
//! told to nobody before.
//!
//! Pure: it must not know how the store is asked, nor where the journal is.

use seckill_shards::clock::Timestamp;
use seckill_shards::ids::COUNTER_FIRST;
use seckill_shards::orders::{Order, Payment, fingerprint};
use seckill_shards::record::{
    ActivityKept, CounterKept, LeaseKept, LeasedOrderKept, NO_KEY, OrderKept, OrderPlaced,
    PaymentKept, PaymentStarted, Record, Status, Totals,
};

use crate::audit::view;
use crate::store::{Activity, LeaseHeld, OrderRow, PaymentRow};

/// The checkpoint, activity by activity.
#[derive(Debug, Default)]
pub(super) struct First {
    records: Vec<Record>,
    /// The latest instant of any order.
    last_at: Timestamp,
}

/// What an activity's orders come to.
#[derive(Debug, Default)]
struct Account {
    totals: Totals,
    /// Wrapping sum of the fingerprints of orders that nothing more can happen to.
    folded_away: u64,
    orders: Vec<Record>,
}

impl First {
    /// Adds an activity in which the gateway had a part, and all its orders there.
    pub(super) fn add(
        &mut self,
        activity: &Activity,
        held: LeaseHeld,
        orders: &[(OrderRow, Vec<PaymentRow>)],
        now: Timestamp,
    ) {
        let closed = held.kept.is_some();
        let mut account = Account::default();
        account.totals.left = held.withdrawn.into();
        account.totals.written_off = held.written_off.into();
        for (order, payments) in orders {
            account.add(order, payments, closed);
            let moved_at = order.moved_at.unwrap_or_default();
            // A clock that was ahead there is not to be this one's, too.
            self.last_at = self.last_at.max(order.placed_at.max(moved_at).min(now));
        }
        let Account { totals, folded_away, orders } = account;
        // What it was lent beyond this is free again, once the others are told of no more.
        let net = u32::try_from(totals.not_free()).expect("not more than was stocked");
        self.records.push(Record::ActivityKept(Box::new(ActivityKept {
            published: activity.publication(now),
            paused: activity.paused,
            ended: activity.ended,
            closed,
            totals,
            folded_away,
        })));
        let (activity, floor) = (activity.id, Some(held.generation));
        self.records.push(Record::LeaseKept(LeaseKept { activity, floor, era: None, n: 0, net }));
        self.records.extend(orders);
    }

    /// All records, in the order in which they are to be kept.
    pub(super) fn finish(self) -> Vec<Record> {
        let counter = CounterKept { shard: 0, next: COUNTER_FIRST, at: self.last_at };
        [Record::CounterKept(counter)].into_iter().chain(self.records).collect()
    }
}

impl Account {
    fn add(&mut self, row: &OrderRow, payments: &[PaymentRow], closed: bool) {
        count(&mut self.totals, row);
        let started = payments.iter().map(started);
        let placed = OrderPlaced {
            order: row.id,
            activity: row.activity,
            user: row.user,
            quantity: row.quantity,
            at: row.placed_at,
            pay_before: row.pay_before,
            key: NO_KEY,
            body: NO_KEY,
        };
        let payments_now = started
            .clone()
            .zip(payments)
            .map(|(started, row)| Payment { status: row.status, ..Payment::started(&started) });
        let order = Order {
            status: row.status,
            payments: payments_now.collect(),
            ..Order::placed(&placed)
        };
        if order.is_settled(closed) {
            self.folded_away = self.folded_away.wrapping_add(fingerprint(&view(row)));
            return;
        }
        let (status, moved_at) = (row.status.number(), row.moved_at.unwrap_or_default());
        let kept = OrderKept { placed, status, moved_at };
        let holds_place = row.status.is_open() || row.status == Status::Paid;
        self.orders.push(match holds_place {
            // Also one that is accepted: it may have been confirmed, and paid, by records that are lost.
            true => Record::LeasedOrderKept(LeasedOrderKept { kept, confirmed: true }),
            // Others drop its place with all those of the former epoch.
            false => Record::OrderKept(kept),
        });
        self.orders.extend(started.zip(payments).map(|(started, row)| {
            Record::PaymentKept(PaymentKept { started, status: row.status.number() })
        }));
    }
}

fn started(row: &PaymentRow) -> PaymentStarted {
    let PaymentRow { id: payment, order, amount, started_at: at, key, body, .. } = *row;
    PaymentStarted { payment, order, amount, at, key, body }
}

/// Counts an order as all its records would have. Units of refunded ones that did not come back are
/// counted for all of them together.
fn count(totals: &mut Totals, row: &OrderRow) {
    let units = u64::from(row.quantity);
    totals.placed_orders += 1;
    match row.status {
        Status::Accepted | Status::AwaitingPayment => totals.held += units,
        Status::Paid => {
            totals.sold += units;
            totals.paid_orders += 1;
        }
        Status::Expired => totals.expired_orders += 1,
        Status::Cancelled => totals.cancelled_orders += 1,
        Status::Rejected => totals.rejected_orders += 1,
        Status::Refunded => {
            totals.paid_orders += 1;
            totals.refunded_orders += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use seckill_shards::ids::{ActivityId, OrderId, PaymentId, ProductId, UserId};
    use seckill_shards::orders::Fold;
    use seckill_shards::record::PaymentStatus;

    use super::*;

    const SALE: ActivityId = ActivityId(7);

    fn at(ms: u64) -> Timestamp {
        Timestamp(1_790_000_000_000 + ms)
    }

    fn activity() -> Activity {
        Activity {
            id: SALE,
            title: "Sale".to_owned(),
            product: ProductId(1),
            product_title: "Thing".to_owned(),
            sale_price: 100,
            list_price: 200,
            currency: *b"USD",
            stocked: 50,
            left: 0,
            per_user_limit: 9,
            pay_window_ms: 60_000,
            starts_at: at(0),
            ends_at: at(90_000),
            admission: false,
            published: true,
            paused: true,
            ended: false,
            closed: false,
            version: 4,
        }
    }

    fn order(id: u64, status: Status) -> OrderRow {
        OrderRow {
            id: OrderId(id),
            activity: SALE,
            user: UserId(id),
            quantity: 2,
            status,
            placed_at: at(id),
            pay_before: at(60_000),
            moved_at: (!status.is_open()).then(|| at(500)),
        }
    }

    fn payment(id: u64, order: u64, status: PaymentStatus) -> PaymentRow {
        PaymentRow {
            id: PaymentId(id),
            order: OrderId(order),
            amount: 200,
            status,
            started_at: at(300),
            moved_at: None,
            key: NO_KEY,
            body: NO_KEY,
        }
    }

    fn folded(kept: Option<u32>, orders: &[(OrderRow, Vec<PaymentRow>)]) -> Fold {
        let mut first = First::default();
        let held = LeaseHeld { activity: SALE, kept, generation: 3, withdrawn: 4, written_off: 2 };
        first.add(&activity(), held, orders, at(900));
        let mut fold = Fold::default();
        first.finish().iter().for_each(|record| fold.apply(record));
        fold
    }

    /// An order of each status, the paid ones with their payments.
    fn orders() -> Vec<(OrderRow, Vec<PaymentRow>)> {
        let paid =
            vec![payment(101, 3, PaymentStatus::Failed), payment(102, 3, PaymentStatus::Succeeded)];
        vec![
            (order(1, Status::Accepted), vec![]),
            (order(2, Status::AwaitingPayment), vec![payment(100, 2, PaymentStatus::Started)]),
            (order(3, Status::Paid), paid),
            (order(4, Status::Expired), vec![]),
            (order(5, Status::Cancelled), vec![payment(103, 5, PaymentStatus::Started)]),
            (order(6, Status::Rejected), vec![]),
            (order(7, Status::Refunded), vec![payment(104, 7, PaymentStatus::RefundDue)]),
        ]
    }

    #[test]
    fn c18_what_is_open_or_paid_holds_its_place_and_the_rest_of_the_lease_is_free() {
        let fold = folded(None, &orders());
        let sale = &fold.activities[&SALE];
        let lease = sale.lease.unwrap();
        assert_eq!((lease.net, lease.n, lease.era, lease.floor), (12, 0, None, Some(3)));
        assert_eq!((sale.free(), sale.totals.held, sale.totals.sold), (0, 4, 2));
        assert_eq!((sale.totals.left, sale.totals.written_off), (4, 2));
        assert!(sale.paused && !sale.closed);
        let in_memory: Vec<_> =
            (1..=7).filter(|id| fold.orders.order(OrderId(*id)).is_some()).collect();
        // Money may still come for the fifth, and goes back for the seventh.
        assert_eq!(in_memory, [1, 2, 3, 5, 7]);
        let placed = fold.orders.iter().filter(|it| it.confirmed && it.unreleased);
        let mut placed: Vec<_> = placed.map(|it| it.id.0).collect();
        placed.sort_unstable();
        assert_eq!(placed, [1, 2, 3], "an accepted order is declared, too");
        assert_eq!(fold.orders.order(OrderId(3)).unwrap().payments.len(), 2);
        assert_eq!(fold.last_at, at(500));
    }

    #[test]
    fn it_counts_as_the_journal_that_is_lost_did() {
        let fold = folded(None, &orders());
        let sale = &fold.activities[&SALE];
        let Totals { placed_orders, paid_orders, expired_orders, cancelled_orders, .. } =
            sale.totals;
        assert_eq!((placed_orders, paid_orders, expired_orders, cancelled_orders), (7, 2, 1, 1));
        let gone = [order(4, Status::Expired), order(6, Status::Rejected)];
        let sum = gone.iter().fold(0, |sum: u64, row| sum.wrapping_add(fingerprint(&view(row))));
        assert_eq!(sale.folded_away, sum);
    }

    #[test]
    fn a_sale_that_it_was_done_with_stays_closed() {
        let mut orders = orders();
        orders.drain(..2);
        let fold = folded(Some(2), &orders);
        let sale = &fold.activities[&SALE];
        assert!(sale.closed);
        assert_eq!((sale.lease.unwrap().net, sale.free()), (8, 0));
        assert!(fold.orders.order(OrderId(3)).is_none(), "a paid order of it has left");
    }
}
