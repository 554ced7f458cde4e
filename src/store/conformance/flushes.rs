//! Batches of journals, and the orders they leave.

use std::sync::Arc;

use seckill_shards::ids::{ActivityId, OrderId, Origin, PaymentId, UserId};
use seckill_shards::record::{
    Digest, NO_KEY, OrderMoved, OrderPaid, OrderPlaced, OrderRefunded, PaymentMoved,
    PaymentStarted, PaymentStatus, PhaseChanged, Record, Status, UnitsLeft,
};

use super::history::{history, picture, whole};
use super::{at, draft, refusal, sale};
use crate::store::{
    Activity, ActivityUpdate, Batch, Fault, FlushBatch, JournalFound, JournalPosition, LeaseHeld,
    OrderCursor, OrderFilter, OrderRow, OrdersOf, OutOfStep, Page, Refusal, SetAside, StatusSum,
    Store, StoreError, Stored, StoredOrder,
};

const JOURNAL: [u8; 16] = [1; 16];
pub(super) const FOUND: JournalFound =
    JournalFound { gateway: 3, journal_id: JOURNAL, epoch: 2, begin: 0, end: 1_000 };

fn out_of_step<T: std::fmt::Debug>(result: Stored<T>) -> OutOfStep {
    match result {
        Err(StoreError::OutOfStep(out)) => out,
        other => panic!("in step: {other:?}"),
    }
}

pub(super) fn order(number: u64) -> OrderId {
    OrderId::new(Origin { gateway: 3, epoch: 2 }, u8::try_from(number % 3).unwrap(), number)
}

pub(super) fn placed(number: u64, activity: ActivityId, user: u64, ms: u64) -> Record {
    Record::OrderPlaced(OrderPlaced {
        order: order(number),
        activity,
        user: UserId(user),
        quantity: 2,
        at: at(ms),
        pay_before: at(ms + 1_000),
        key: NO_KEY,
        body: NO_KEY,
    })
}

pub(super) fn moved(number: u64, activity: ActivityId, ms: u64) -> OrderMoved {
    OrderMoved { order: order(number), activity, quantity: 2, at: at(ms) }
}

pub(super) fn started(payment: u64, number: u64, ms: u64) -> Record {
    started_by(NO_KEY, NO_KEY, payment, number, ms)
}

fn started_by(key: Digest, body: Digest, payment: u64, number: u64, ms: u64) -> Record {
    let (payment, order) = (PaymentId(payment), order(number));
    Record::PaymentStarted(PaymentStarted { payment, order, amount: 19_800, at: at(ms), key, body })
}

pub(super) fn settled(payment: u64, number: u64, ms: u64) -> PaymentMoved {
    PaymentMoved { payment: PaymentId(payment), order: order(number), amount: 19_800, at: at(ms) }
}

pub(super) fn paid(payment: u64, moved: OrderMoved) -> Record {
    Record::OrderPaid(OrderPaid { moved, payment: PaymentId(payment) })
}

pub(super) fn refunded(payment: u64, moved: OrderMoved) -> Record {
    let payment = PaymentId(payment);
    Record::OrderRefunded(OrderRefunded { moved, payment, units_returned: true })
}

/// The records as one batch, whose positions count records.
pub(super) fn batch(from: u64, records: &[Record]) -> Arc<FlushBatch> {
    let begin = JournalPosition { journal_id: JOURNAL, epoch: 2, position: from };
    let mut batch = Batch::new(3, begin);
    for record in records {
        batch.push(record);
    }
    Arc::new(batch.finish(from + u64::try_from(records.len()).unwrap()))
}

pub(in crate::store) async fn registration_names_what_happened(store: &dyn Store) {
    let migrated = store.migrate().await.unwrap();
    assert!(
        migrated.from == 0 && migrated.to > 1,
        "the suite begins on an empty store: {migrated:?}"
    );
    assert_eq!(store.position(3).await.unwrap(), None);
    let refused = out_of_step(store.register(JournalFound { begin: 9, ..FOUND }).await);
    assert_eq!(refused, OutOfStep::BeforeBegin { stored: 0, begin: 9 }, "another store");
    assert_eq!(store.register(FOUND).await.unwrap(), 0);
    let records = history(&sale(store, 20).await);
    let end = records.len() as u64;
    store.flush(batch(0, &records)).await.unwrap();
    assert_eq!(store.register(FOUND).await.unwrap(), end);
    let stored = JournalPosition { journal_id: JOURNAL, epoch: 2, position: end };
    assert_eq!(store.position(3).await.unwrap(), Some(stored));
    assert_eq!(store.position(4).await.unwrap(), None);

    let short = JournalFound { end: end - 1, ..FOUND };
    assert_eq!(
        out_of_step(store.register(short).await),
        OutOfStep::BeyondEnd { stored: end, end: end - 1 }
    );
    let recycled = JournalFound { begin: end + 1, ..FOUND };
    assert_eq!(
        out_of_step(store.register(recycled).await),
        OutOfStep::BeforeBegin { stored: end, begin: end + 1 }
    );
    for other in [JournalFound { journal_id: [2; 16], ..FOUND }, JournalFound { epoch: 3, ..FOUND }]
    {
        let refused = out_of_step(store.register(other).await);
        assert!(matches!(refused, OutOfStep::OtherJournal { stored: JOURNAL, .. }), "{refused}");
        assert!(refused.to_string().contains("01010101010101010101010101010101"));
    }
    assert_eq!(store.position(3).await.unwrap(), Some(stored), "a refusal changes nothing");
    let succeeded = JournalFound { journal_id: [2; 16], epoch: 3, ..FOUND };
    assert_eq!(store.register(succeeded).await.unwrap(), 0);
    let retired = OutOfStep::Retired { gateway: 3 };
    let late = out_of_step(store.flush(batch(end, &[])).await);
    assert_eq!(late, retired, "the lost journal is not followed");
    let again = JournalFound { journal_id: [3; 16], epoch: 1, ..FOUND };
    assert_eq!(out_of_step(store.register(again).await), retired);
}

pub(in crate::store) async fn a_run_becomes_rows(store: &dyn Store) {
    let activity = sale(store, 20).await;
    store.register(FOUND).await.unwrap();
    store.flush(batch(0, &history(&activity))).await.unwrap();
    let status = async |number| {
        let stored = store.order(order(number)).await.unwrap();
        (stored.order.status, stored.order.moved_at.map(|moved| moved.ms_since(at(0))))
    };
    assert_eq!(status(1).await, (Status::Paid, Some(14)));
    assert_eq!(status(2).await, (Status::Expired, Some(10)));
    assert_eq!(status(3).await, (Status::Cancelled, Some(15)));
    assert_eq!(status(4).await, (Status::Refunded, Some(20)));
    assert_eq!(status(5).await, (Status::Rejected, Some(50)));

    let stored = store.order(order(1)).await.unwrap();
    assert_eq!((stored.unit_price, stored.currency), (9_900, *b"USD"));
    assert_eq!((&*stored.activity_title, &*stored.product_title), ("Sale", "Thing"));
    assert_eq!((stored.product, stored.order.quantity), (activity.product, 2));
    assert_eq!((stored.order.placed_at, stored.order.pay_before), (at(1), at(1_001)));
    let payments: Vec<_> = stored.payments.iter().map(|p| (p.id.0, p.status)).collect();
    assert_eq!(payments, [(100, PaymentStatus::Failed), (101, PaymentStatus::Succeeded)]);
    assert_eq!(store.payment(PaymentId(101)).await.unwrap(), stored.payments[1]);
    let due = store.payment(PaymentId(103)).await.unwrap();
    assert_eq!((due.status, due.amount), (PaymentStatus::RefundDue, 19_800));
    let back = store.payment(PaymentId(102)).await.unwrap();
    assert_eq!((back.status, back.moved_at), (PaymentStatus::Refunded, Some(at(17))));

    let row = store.activity(activity.id).await.unwrap();
    assert!(row.paused && row.ended && row.closed && row.version > activity.version);
    assert_eq!(refusal(store.order(order(6)).await), Refusal::NotFound);
    assert_eq!(refusal(store.order(OrderId(u64::MAX)).await), Refusal::NotFound);
    assert_eq!(refusal(store.payment(PaymentId(9)).await), Refusal::NotFound);
}

pub(in crate::store) async fn d10_replaying_the_journal_changes_nothing(store: &dyn Store) {
    let [alone, shared] = sales_of(store, FOUND.gateway).await;
    let records = whole(&alone, &shared);
    let mut run = FlushBatch::clone(&batch(0, &records));
    run.set_aside.push(SetAside {
        subject: "order 9".to_owned(),
        records: "9 OrderPlaced".to_owned(),
        reason: "poison".to_owned(),
    });
    let run = Arc::new(run);
    store.flush(Arc::clone(&run)).await.unwrap();
    let (activity, generation, kept) = (shared.id, 0, Some(5));
    let held = LeaseHeld { activity, kept, withdrawn: 3, written_off: 2, generation };
    assert_eq!(store.leases_of(FOUND.gateway).await.unwrap(), [held]);
    let pictures = async || [picture(store, &alone).await, picture(store, &shared).await];
    let once = pictures().await;
    store.flush(run).await.unwrap();
    for piece in 1..=records.len() {
        store.flush(batch(0, &records[..piece])).await.unwrap();
    }
    assert_eq!(pictures().await, once);

    // The same history again, as another gateway's, a record a batch: the same rows.
    let other = |at: u64, records: &[Record]| {
        let mut batch = FlushBatch::clone(&batch(at, records));
        batch.gateway = 4;
        for order in &mut batch.orders.new {
            order.id = twin(order.id);
        }
        batch.orders.moves.iter_mut().for_each(|moved| moved.id = twin(moved.id));
        for payment in &mut batch.payments.new {
            (payment.id.0, payment.order) = (payment.id.0 + 500, twin(payment.order));
        }
        batch.payments.moves.iter_mut().for_each(|moved| moved.id.0 += 500);
        Arc::new(batch)
    };
    let [pieces, shared_pieces] = sales_of(store, 4).await;
    for (position, record) in (0..).zip(whole(&pieces, &shared_pieces)) {
        let step = other(position, &[record]);
        store.flush(Arc::clone(&step)).await.unwrap();
        store.flush(step).await.unwrap();
    }
    let held = LeaseHeld { activity: shared_pieces.id, ..held };
    assert_eq!(store.leases_of(4).await.unwrap(), [held]);
    are_twins(store, [&alone, &pieces], 28).await;
    are_twins(store, [&shared, &shared_pieces], 23).await;
    assert_eq!(pictures().await, once);
}

/// A gateway's own sale, and one that it shares with another, which is not done with it.
async fn sales_of(store: &dyn Store, gateway: u16) -> [Activity; 2] {
    store.register(JournalFound { gateway, ..FOUND }).await.unwrap();
    let [alone, shared] = [sale(store, 20).await, sale(store, 20).await];
    let journal = JournalPosition { journal_id: JOURNAL, epoch: FOUND.epoch, position: 0 };
    for member in [gateway, 5] {
        store.join(shared.id, member, journal).await.unwrap();
    }
    [alone, shared]
}

fn twin(order: OrderId) -> OrderId {
    OrderId(order.0 + (1 << 30))
}

/// The store has the same of the orders of both sales, and as many units of both products.
async fn are_twins(store: &dyn Store, [sale, other]: [&Activity; 2], stock: i64) {
    assert_eq!(store.sums(sale.id).await.unwrap(), store.sums(other.id).await.unwrap());
    let filter = OrderFilter { of: OrdersOf::Activity(sale.id), status: None };
    for first in store.orders(filter, Page { after: None, limit: 100 }).await.unwrap() {
        let order = OrderRow { id: twin(first.order.id), activity: other.id, ..first.order };
        let second = store.order(order.id).await.unwrap();
        assert_eq!(second.order, order);
        let payments = |it: &StoredOrder| {
            it.payments.iter().map(|it| (it.status, it.moved_at)).collect::<Vec<_>>()
        };
        assert_eq!(payments(&second), payments(&first));
    }
    for sale in [sale, other] {
        assert_eq!(store.product(sale.product).await.unwrap().stock, stock);
    }
}

pub(in crate::store) async fn a_run_that_does_not_follow_is_refused(store: &dyn Store) {
    let activity = sale(store, 20).await;
    let records = history(&activity);
    let end = records.len() as u64;
    let unknown = out_of_step(store.flush(batch(0, &records)).await);
    assert_eq!(unknown, OutOfStep::NotRegistered { gateway: 3 });
    store.register(FOUND).await.unwrap();
    let gap = out_of_step(store.flush(batch(5, &records[5..])).await);
    assert_eq!(gap, OutOfStep::NotNext { stored: 0, from: 5, to: end });
    store.flush(batch(0, &records[..10])).await.unwrap();
    let before = picture(store, &activity).await;
    let overlap = out_of_step(store.flush(batch(5, &records[5..])).await);
    assert_eq!(overlap, OutOfStep::NotNext { stored: 10, from: 5, to: end });
    for (journal_id, epoch, is_retired) in [([9; 16], 2, false), (JOURNAL, 1, true)] {
        let mut foreign = FlushBatch::clone(&batch(10, &records[10..]));
        (foreign.from.journal_id, foreign.from.epoch) = (journal_id, epoch);
        let refused = out_of_step(store.flush(Arc::new(foreign)).await);
        let is_other = matches!(refused, OutOfStep::OtherJournal { .. });
        assert_eq!(
            (refused == OutOfStep::Retired { gateway: 3 }, is_other),
            (is_retired, !is_retired)
        );
    }
    assert_eq!(picture(store, &activity).await, before);
    store.flush(batch(10, &records[10..])).await.unwrap();
    assert_eq!(store.register(FOUND).await.unwrap(), end);
}

pub(in crate::store) async fn what_the_store_lacks_is_not_moved(store: &dyn Store) {
    let activity = sale(store, 20).await;
    let draft = draft(store, activity.product, 1).await;
    store.register(FOUND).await.unwrap();
    let before = picture(store, &activity).await;
    let units = UnitsLeft { activity: activity.id, quantity: 21, at: at(2) };
    for lacking in [
        Record::OrderExpired(moved(9, activity.id, 1)),
        Record::PaymentFailed(settled(100, 1, 1)),
        placed(2, ActivityId(99), 71, 1),
        placed(2, draft, 71, 1),
        Record::ActivityPaused(PhaseChanged { activity: ActivityId(99), at: at(1) }),
        Record::UnitsWithdrawn(units),
    ] {
        let refused = store.flush(batch(0, &[placed(1, activity.id, 71, 0), lacking])).await;
        assert!(matches!(refused, Err(StoreError::Fault(Fault::Diverged(_)))), "{refused:?}");
        assert_eq!(picture(store, &activity).await, before, "all or nothing");
    }
    store.flush(batch(0, &[placed(1, activity.id, 71, 0)])).await.unwrap();
    let twice = store.flush(batch(1, &[placed(1, activity.id, 71, 0)])).await;
    assert!(matches!(twice, Err(StoreError::Fault(Fault::Diverged(_)))), "{twice:?}");
}

pub(in crate::store) async fn units_that_leave_are_the_products_again(store: &dyn Store) {
    let activity = sale(store, 20).await;
    store.register(FOUND).await.unwrap();
    let stock = async || store.product(activity.product).await.unwrap().stock;
    assert_eq!(stock().await, 20);
    let withdrawn = UnitsLeft { activity: activity.id, quantity: 3, at: at(1) };
    store.flush(batch(0, &[Record::UnitsWithdrawn(withdrawn)])).await.unwrap();
    assert_eq!(stock().await, 23);
    let closed = UnitsLeft { quantity: 17, ..withdrawn };
    store.flush(batch(1, &[Record::ActivityClosed(closed)])).await.unwrap();
    assert_eq!(stock().await, 40);
    let row = store.activity(activity.id).await.unwrap();
    assert_eq!((row.left, row.stocked, row.closed), (20, 20, true));
    let longer = ActivityUpdate { ends_at: Some(at(9)), ..ActivityUpdate::default() };
    let refused = refusal(store.update_activity(row.id, row.version, longer).await);
    assert_eq!(refused, Refusal::State, "what is closed stays closed");
    assert_eq!(refusal(store.restock(row.id, 1, None).await), Refusal::State);
}

/// An operator restocks a sale that is over in the moment in which it is closed.
pub(in crate::store) async fn units_that_come_to_a_closing_go_back(store: &dyn Store) {
    let activity = sale(store, 20).await;
    store.register(FOUND).await.unwrap();
    let stock = async || store.product(activity.product).await.unwrap().stock;
    let copy = |row: &Activity| Record::ActivityPublished(Box::new(row.publication(at(1))));
    store.flush(batch(0, &[copy(&activity)])).await.unwrap();
    let version = store.activity(activity.id).await.unwrap().version;
    assert_eq!(version, activity.version, "a copy is no change");
    let more = store.restock(activity.id, 4, None).await.unwrap().into_inner();
    store.flush(batch(1, &[copy(&more)])).await.unwrap();
    store.restock(activity.id, 5, None).await.unwrap();
    assert_eq!(stock().await, 11);
    let closed = UnitsLeft { activity: activity.id, quantity: 24, at: at(2) };
    store.flush(batch(2, &[Record::ActivityClosed(closed)])).await.unwrap();
    assert_eq!(stock().await, 40);
    let row = store.activity(activity.id).await.unwrap();
    assert_eq!((row.left, row.stocked, row.closed), (24, 24, true));
}

pub(in crate::store) async fn orders_are_listed_newest_first(store: &dyn Store) {
    let (one, two) = (sale(store, 20).await.id, sale(store, 20).await.id);
    store.register(FOUND).await.unwrap();
    let early = [placed(1, one, 71, 5), placed(2, two, 71, 9), placed(3, one, 72, 6)];
    store.flush(batch(0, &early)).await.unwrap();
    let late =
        [placed(4, one, 71, 5), placed(5, two, 71, 7), Record::OrderExpired(moved(1, one, 20))];
    store.flush(batch(3, &late)).await.unwrap();
    let list = async |of, status, after, limit| {
        let filter = OrderFilter { of, status };
        let found = store.orders(filter, Page { after, limit }).await.unwrap();
        found.iter().map(|stored| stored.order.id).collect::<Vec<_>>()
    };
    let user = OrdersOf::User(UserId(71));
    let mut same_instant = [order(1), order(4)];
    same_instant.sort_unstable_by(|one, other| other.cmp(one));
    let all = [order(2), order(5), same_instant[0], same_instant[1]];
    assert_eq!(list(user, None, None, 100).await, all);
    let mut after = None;
    for expected in all {
        assert_eq!(list(user, None, after, 1).await, [expected]);
        let row = store.order(expected).await.unwrap().order;
        after = Some(OrderCursor { placed_at: row.placed_at, id: row.id });
    }
    assert!(list(user, None, after, 1).await.is_empty());
    assert_eq!(list(user, Some(Status::Expired), None, 100).await, [order(1)]);
    assert_eq!(list(OrdersOf::Activity(one), None, None, 1).await, [order(3)]);
    let both = OrdersOf::Both(UserId(71), two);
    assert_eq!(list(both, None, None, 100).await, [order(2), order(5)]);
    let open = Some(Status::AwaitingPayment);
    let of_one = list(OrdersOf::Activity(one), open, None, 100).await;
    assert_eq!(of_one, [order(3), order(4)]);
    assert!(list(OrdersOf::User(UserId(99)), None, None, 100).await.is_empty());
    assert!(list(OrdersOf::Activity(ActivityId(99)), None, None, 100).await.is_empty());

    let sum = |status, orders| StatusSum { status, orders, units: 2 * orders };
    let sums = [sum(Status::AwaitingPayment, 2), sum(Status::Expired, 1)];
    assert_eq!(store.sums(one).await.unwrap(), sums);
    assert!(store.sums(ActivityId(99)).await.unwrap().is_empty());
}

pub(in crate::store) async fn an_audit_reads_one_instant(store: &dyn Store) {
    let (one, two) = (sale(store, 1_000_000).await.id, sale(store, 20).await.id);
    store.register(FOUND).await.unwrap();
    let mut records: Vec<_> = (0..9_000).map(|number| placed(number, one, number, 1)).collect();
    records.push(placed(9_000, two, 71, 1));
    records.push(started(100, 9_000, 2));
    store.flush(batch(0, &records)).await.unwrap();
    let mut snapshot = store.snapshot(None).await.unwrap();
    store.flush(batch(9_002, &[Record::OrderExpired(moved(8_999, one, 9))])).await.unwrap();

    let position = JournalPosition { journal_id: JOURNAL, epoch: 2, position: 9_002 };
    assert_eq!(snapshot.positions, [(3, position)]);
    let ids: Vec<_> = snapshot.activities.iter().map(|activity| activity.id).collect();
    assert_eq!(ids, [one, two]);
    let mut rows = Vec::new();
    while let Some(chunk) = snapshot.orders.recv().await {
        rows.extend(chunk.unwrap());
    }
    assert_eq!(rows.len(), 9_001);
    assert!(rows.iter().all(|(order, _)| order.status == Status::AwaitingPayment));
    let (last, payments) = rows.last().unwrap();
    assert_eq!((last.activity, payments.len()), (two, 1));

    let dropped = store.snapshot(None).await.unwrap();
    drop(dropped);
    let mut only = store.snapshot(Some(two)).await.unwrap();
    assert_eq!(only.orders.recv().await.unwrap().unwrap().len(), 1);
    assert!(only.orders.recv().await.is_none());
    assert_eq!(refusal(store.snapshot(Some(ActivityId(99))).await), Refusal::NotFound);
}

pub(in crate::store) async fn a_payment_keeps_the_key_that_started_it(store: &dyn Store) {
    let activity = sale(store, 20).await;
    store.register(FOUND).await.unwrap();
    let (key, body) = ([7; 16], [8; 16]);
    let placed = placed(1, activity.id, 71, 1);
    let run = [placed, started(100, 1, 2), started_by(key, body, 101, 1, 3)];
    store.flush(batch(0, &run)).await.unwrap();
    let gone = [
        Record::PaymentFailed(settled(101, 1, 4)),
        Record::OrderCancelled(moved(1, activity.id, 5)),
    ];
    store.flush(batch(3, &gone)).await.unwrap();
    let payments = store.order(order(1)).await.unwrap().payments;
    let keys: Vec<_> = payments.iter().map(|payment| (payment.key, payment.body)).collect();
    assert_eq!(keys, [(NO_KEY, NO_KEY), (key, body)]);
    assert_eq!(store.payment(PaymentId(101)).await.unwrap(), payments[1]);
    let mut snapshot = store.snapshot(Some(activity.id)).await.unwrap();
    let chunk = snapshot.orders.recv().await.unwrap().unwrap();
    assert_eq!(chunk[0].1, payments);
}

pub(in crate::store) async fn money_that_is_owed_back_is_given_once(store: &dyn Store) {
    let activity = sale(store, 20).await;
    store.register(FOUND).await.unwrap();
    let records = [
        placed(1, activity.id, 71, 1),
        started(100, 1, 2),
        Record::PaymentFailed(settled(100, 1, 3)),
        started(101, 1, 4),
        started(102, 1, 4),
        paid(101, moved(1, activity.id, 5)),
        Record::PaymentRefundDue(settled(102, 1, 6)),
    ];
    store.flush(batch(0, &records)).await.unwrap();
    let owed = async |after: Option<u64>, limit| {
        let owed = store.payments_owed_back(after.map(PaymentId), limit).await.unwrap();
        owed.iter().map(|payment| payment.0).collect::<Vec<_>>()
    };
    assert_eq!(owed(None, 10).await, [102]);
    let late = &[PaymentStatus::Started, PaymentStatus::Failed];
    let owe = async |payment, ms| store.owe_back(PaymentId(payment), late, at(ms)).await;
    let late = owe(100, 7).await.unwrap().payments[0];
    assert_eq!((late.status, late.moved_at), (PaymentStatus::RefundDue, Some(at(7))));
    let kept = owe(101, 8).await.unwrap().payments[1];
    assert_eq!((kept.status, kept.moved_at), (PaymentStatus::Succeeded, Some(at(5))));
    assert_eq!(owed(None, 10).await, [100, 102]);
    assert_eq!((owed(None, 1).await, owed(Some(100), 10).await), (vec![100], vec![102]));
    for ms in [9, 10] {
        store.refunded(PaymentId(100), at(ms)).await.unwrap();
        store.refunded(PaymentId(101), at(ms)).await.unwrap();
    }
    let given = store.payment(PaymentId(100)).await.unwrap();
    assert_eq!((given.status, given.moved_at), (PaymentStatus::Refunded, Some(at(9))));
    assert_eq!(store.payment(PaymentId(101)).await.unwrap().status, PaymentStatus::Succeeded);
    assert_eq!(owe(100, 11).await.unwrap().payments[0].status, PaymentStatus::Refunded);
    assert_eq!(owed(None, 10).await, [102]);
    assert_eq!(refusal(owe(999, 1).await), Refusal::NotFound);
    assert_eq!(refusal(store.refunded(PaymentId(999), at(1)).await), Refusal::NotFound);
}

pub(in crate::store) async fn a_refund_after_the_closing_keeps_its_instant(store: &dyn Store) {
    let activity = sale(store, 20).await;
    store.register(FOUND).await.unwrap();
    let records = [
        placed(1, activity.id, 71, 1),
        started(100, 1, 2),
        Record::PaymentFailed(settled(100, 1, 3)),
        started(101, 1, 4),
        started(102, 1, 4),
        paid(101, moved(1, activity.id, 5)),
        Record::PaymentRefundDue(settled(102, 1, 6)),
    ];
    store.flush(batch(0, &records)).await.unwrap();
    // The order is paid as long as a payment of it has succeeded.
    let in_status = async |status| {
        let filter = OrderFilter { of: OrdersOf::Activity(activity.id), status: Some(status) };
        store.orders(filter, Page { after: None, limit: 10 }).await.unwrap().len()
    };
    let standing = async || store.order(order(1)).await.unwrap().standing();
    assert_eq!(standing().await, (Status::Paid, Some(at(5))));
    assert_eq!((in_status(Status::Paid).await, in_status(Status::Refunded).await), (1, 0));
    let owe = async |payment, from, ms| store.owe_back(PaymentId(payment), from, at(ms)).await;
    let succeeded = &[PaymentStatus::Succeeded];
    let refunded = owe(101, succeeded, 20).await.unwrap();
    assert_eq!(refunded, store.order(order(1)).await.unwrap());
    let since = (Status::Refunded, Some(at(20)));
    assert_eq!(refunded.standing(), since);
    assert_eq!((in_status(Status::Paid).await, in_status(Status::Refunded).await), (0, 1));
    assert_eq!(refunded.order.status, Status::Paid, "as in the journal's books");
    // Neither the provider, nor the same again, nor other money moves it.
    store.refunded(PaymentId(101), at(30)).await.unwrap();
    assert_eq!(standing().await, since);
    assert_eq!(owe(101, succeeded, 40).await.unwrap().standing(), since);
    assert_eq!(owe(100, &[PaymentStatus::Failed], 50).await.unwrap().standing(), since);
    store.refunded(PaymentId(102), at(60)).await.unwrap();
    assert_eq!(standing().await, since);
}
