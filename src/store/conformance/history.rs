//! What a whole journal tells, and what a store has of it then.
//!
//! It must not know how a store keeps it.

use std::collections::BTreeSet;

use seckill_shards::ids::{PaymentId, UserId};
use seckill_shards::record::{
    ActivityKept, CounterKept, DecodeError, EraEntered, KeyKept, LeaseClosed, LeaseJoined,
    LeaseKept, LeasedOrderKept, OrderKept, OrderPlaced, OrderRefunded, OrdersConfirmed,
    OrdersReleased, PaymentKept, PaymentStarted, PhaseChanged, PhaseFollowed, Record, Status,
    Totals, UnitsLeased, UnitsLeft, UnitsLeftOnce,
};

use super::flushes::{FOUND, moved, order, paid, placed, refunded, settled, started};
use super::{at, first};
use crate::store::sift::Subject;
use crate::store::{Activity, OrderFilter, OrdersOf, Store};

/// What a whole journal tells of a sale that its gateway has alone and of one that it shares: every kind
/// of record.
pub(super) fn whole(alone: &Activity, shared: &Activity) -> Vec<Record> {
    let records = [history(alone), shared_history(shared), unfollowed(shared)].concat();
    for record in &records {
        let makes_rows = !Subject::of(record).is_empty();
        assert_eq!(makes_rows, is_followed(record), "{}", record.name());
    }
    let told: BTreeSet<u8> = records.iter().map(Record::kind).collect();
    let known = (0..=u8::MAX).filter(|kind| is_kind(*kind));
    assert_eq!(told, known.collect(), "each kind of record");
    records
}

/// Whether the store follows records of this kind. A new one does not compile before that is decided here,
/// and is missed in the history then.
fn is_followed(record: &Record) -> bool {
    match record {
        Record::ActivityPublished(_)
        | Record::LeasedActivityPublished(_)
        | Record::ActivityPaused(_)
        | Record::ActivityResumed(_)
        | Record::ActivityEnded(_)
        | Record::ActivityClosed(_)
        | Record::UnitsWithdrawn(_)
        | Record::UnitsWithdrawnOnce(_)
        | Record::LeaseClosed(_)
        | Record::OrderPlaced(_)
        | Record::OrderAccepted(_)
        | Record::OrdersConfirmed(_)
        | Record::OrderPaid(_)
        | Record::OrderExpired(_)
        | Record::OrderCancelled(_)
        | Record::OrderRejected(_)
        | Record::OrderRefunded(_)
        | Record::PaymentStarted(_)
        | Record::PaymentFailed(_)
        | Record::PaymentRefundDue(_)
        | Record::PaymentRefunded(_) => true,
        Record::LeaseJoined(_)
        | Record::EraEntered(_)
        | Record::UnitsLeased(_)
        | Record::UnitsReturned(_)
        | Record::PhaseFollowed(_)
        | Record::OrdersReleased(_)
        | Record::ActivityKept(_)
        | Record::OrderKept(_)
        | Record::PaymentKept(_)
        | Record::KeyKept(_)
        | Record::CounterKept(_)
        | Record::WithdrawalKept(_)
        | Record::LeaseKept(_)
        | Record::LeasedOrderKept(_) => false,
    }
}

/// Whether there is such a kind of record: one without a payload is no record then, but not for its kind.
fn is_kind(kind: u8) -> bool {
    Record::decode(&mut &[kind, 0, 0][..]) != Err(DecodeError::UnknownKind { kind })
}

/// What is told of a sale that one gateway has alone.
pub(super) fn history(sale: &Activity) -> Vec<Record> {
    let activity = sale.id;
    let phase = PhaseChanged { activity, at: at(30) };
    let units = UnitsLeft { activity, quantity: 3, at: at(40) };
    vec![
        Record::ActivityPublished(Box::new(sale.publication(at(0)))),
        placed(1, activity, 71, 1),
        placed(2, activity, 72, 2),
        placed(3, activity, 71, 3),
        placed(4, activity, 73, 4),
        placed(5, activity, 74, 5),
        Record::OrderExpired(moved(2, activity, 10)),
        started(100, 1, 11),
        Record::PaymentFailed(settled(100, 1, 12)),
        started(101, 1, 13),
        paid(101, moved(1, activity, 14)),
        Record::OrderCancelled(moved(3, activity, 15)),
        started(102, 3, 15),
        Record::PaymentRefundDue(settled(102, 3, 16)),
        Record::PaymentRefunded(settled(102, 3, 17)),
        started(103, 4, 18),
        paid(103, moved(4, activity, 19)),
        refunded(103, moved(4, activity, 20)),
        Record::ActivityPaused(phase),
        Record::ActivityResumed(phase),
        Record::ActivityPaused(phase),
        Record::UnitsWithdrawn(UnitsLeft { quantity: 2, ..units }),
        Record::UnitsWithdrawnOnce(UnitsLeftOnce {
            left: UnitsLeft { quantity: 1, ..units },
            key: [1; 16],
            body: [2; 16],
        }),
        Record::ActivityEnded(phase),
        Record::OrderRejected(moved(5, activity, 50)),
        Record::ActivityClosed(UnitsLeft { quantity: 5, ..units }),
    ]
}

/// What is told of a sale that others have, too. Of the units three are withdrawn, and two are refunded
/// without being sold again: the gateway keeps these five.
fn shared_history(sale: &Activity) -> Vec<Record> {
    let activity = sale.id;
    let accepted = |number, user, ms| {
        let Record::OrderPlaced(placed) = placed(number, activity, user, ms) else {
            unreachable!("it is placed so")
        };
        Record::OrderAccepted(placed)
    };
    let orders = vec![order(11).0, order(12).0];
    let (now, pay_before) = (at(15), at(2_000));
    let (lost, payment) = (moved(11, activity, 18), PaymentId(111));
    vec![
        Record::LeasedActivityPublished(Box::new(sale.publication(at(0)))),
        accepted(11, 71, 11),
        accepted(12, 72, 12),
        accepted(13, 73, 13),
        Record::OrdersConfirmed(OrdersConfirmed { activity, at: now, pay_before, orders }),
        Record::OrderRejected(moved(13, activity, 14)),
        started(111, 11, 16),
        paid(111, moved(11, activity, 17)),
        Record::OrderRefunded(OrderRefunded { moved: lost, payment, units_returned: false }),
        Record::OrderExpired(moved(12, activity, 19)),
        Record::UnitsWithdrawn(UnitsLeft { activity, quantity: 3, at: at(40) }),
        Record::LeaseClosed(LeaseClosed { activity, kept: 5, at: at(50) }),
    ]
}

/// What is between gateways alone, what came from the store, and what a checkpoint repeats of orders that
/// are gone.
fn unfollowed(sale: &Activity) -> Vec<Record> {
    let (activity, user, order, payment) = (sale.id, UserId(79), order(19), PaymentId(119));
    let (at, key, body) = (at(60), [3; 16], [4; 16]);
    let placed = OrderPlaced { order, activity, user, quantity: 2, at, pay_before: at, key, body };
    let started = PaymentStarted { payment, order, amount: 1, at, key, body };
    let kept = OrderKept { placed, status: Status::Paid.number(), moved_at: at };
    let left = UnitsLeft { activity, quantity: 1, at };
    let sale = ActivityKept {
        published: sale.publication(at),
        paused: true,
        ended: true,
        closed: true,
        totals: Totals::default(),
        folded_away: 0,
    };
    vec![
        Record::LeaseJoined(LeaseJoined { activity, floor: 0, at }),
        Record::EraEntered(EraEntered { activity, generation: 1, nonce: 1, at }),
        Record::UnitsLeased(UnitsLeased { activity, n: 1, quantity: 9, at }),
        Record::UnitsReturned(left),
        Record::PhaseFollowed(PhaseFollowed { activity, paused: true, ended: true, at }),
        Record::OrdersReleased(OrdersReleased { activity, at, orders: vec![order.0] }),
        Record::ActivityKept(Box::new(sale)),
        Record::OrderKept(kept),
        Record::PaymentKept(PaymentKept { started, status: 2 }),
        Record::KeyKept(KeyKept { activity, user, order, quantity: 2, key, body }),
        Record::CounterKept(CounterKept { shard: 0, next: 20, at }),
        Record::WithdrawalKept(UnitsLeftOnce { left, key, body }),
        Record::LeaseKept(LeaseKept { activity, floor: Some(0), era: Some((1, 1)), n: 1, net: 9 }),
        Record::LeasedOrderKept(LeasedOrderKept { kept, confirmed: true }),
    ]
}

/// Everything that the store tells of a sale, and of the gateway of [`FOUND`] with it.
pub(super) async fn picture(store: &dyn Store, activity: &Activity) -> String {
    let orders = async |of| {
        let filter = OrderFilter { of, status: None };
        store.orders(filter, first(100)).await.unwrap()
    };
    let of_sale = orders(OrdersOf::Activity(activity.id)).await;
    // By the other index.
    let of_buyer = orders(OrdersOf::Both(UserId(71), activity.id)).await;
    let row = store.activity(activity.id).await.unwrap();
    let product = store.product(activity.product).await.unwrap();
    let (sums, roll) = (store.sums(activity.id).await, store.roll(activity.id).await);
    let held = store.leases_of(FOUND.gateway).await.unwrap();
    let set_aside = store.all_set_aside(FOUND.gateway).await.unwrap();
    let position = store.position(FOUND.gateway).await.unwrap();
    let of_gateway = format!("{held:#?} {set_aside:#?} {position:?}");
    format!(
        "{of_sale:#?} {of_buyer:#?} {row:#?} {product:#?} {:?} {:?} {of_gateway}",
        sums.unwrap(),
        roll.unwrap(),
    )
}
