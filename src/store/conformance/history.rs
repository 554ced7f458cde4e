//! What a whole journal tells of an activity, and what a store has of it then.

use seckill_shards::ids::ActivityId;
use seckill_shards::record::{PhaseChanged, Record, UnitsLeft, UnitsLeftOnce};

use super::flushes::{moved, paid, placed, refunded, settled, started};
use super::{at, first};
use crate::store::{Activity, OrderFilter, OrdersOf, Store};

/// What a whole journal tells of one activity: every kind of record that the store follows.
pub(super) fn history(activity: ActivityId) -> Vec<Record> {
    let phase = PhaseChanged { activity, at: at(30) };
    let units = UnitsLeft { activity, quantity: 3, at: at(40) };
    vec![
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

/// Everything of the store that a history may change.
pub(super) async fn picture(store: &dyn Store, activity: &Activity) -> String {
    let filter = OrderFilter { of: OrdersOf::Activity(activity.id), status: None };
    let orders = store.orders(filter, first(100)).await.unwrap();
    let row = Activity { version: 0, ..store.activity(activity.id).await.unwrap() };
    let stock = store.product(activity.product).await.unwrap().stock;
    let sums = store.sums(activity.id).await.unwrap();
    format!("{orders:#?} {row:#?} {stock} {sums:?}")
}
