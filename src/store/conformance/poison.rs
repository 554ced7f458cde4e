//! Rows that the store does not take, among others that it takes.

use std::sync::Arc;

use seckill_shards::ids::{ActivityId, PaymentId};
use seckill_shards::record::{PaymentStatus, PhaseChanged, Record, Status, UnitsLeft};

use super::flushes::{FOUND, batch, moved, order, paid, placed, started};
use super::history::picture;
use super::{at, sale};
use crate::store::sift::{LEFT_OUT_MAX, Subject, sift};
use crate::store::{Fault, FlushBatch, PAGE_ROWS_MAX, SetAside, Store, StoreError};

/// Sifts a batch and flushes what is left of it with what is set aside; the subjects of these.
async fn flush_sifted(store: &dyn Store, batch: &FlushBatch) -> Vec<Subject> {
    let (mut rest, refused) = sift(store, batch).await.unwrap();
    let subjects = refused.iter().map(|(subject, _)| *subject).collect();
    rest.set_aside = refused.into_iter().map(set_aside).collect();
    store.flush(Arc::new(rest)).await.unwrap();
    subjects
}

fn set_aside((subject, reason): (Subject, String)) -> SetAside {
    SetAside {
        subject: subject.to_string(),
        records: "9 OrderPlaced\u{2028}\'é".to_owned(),
        reason,
    }
}

async fn status(store: &dyn Store, number: u64) -> Status {
    store.order(order(number)).await.unwrap().order.status
}

/// One row in the middle of a batch could stop a gateway's flush for ever.
pub(in crate::store) async fn a_row_that_is_not_taken_is_found_and_the_rest_goes_on(
    store: &dyn Store,
) {
    let activity = sale(store, 500).await.id;
    store.register(FOUND).await.unwrap();
    store.flush(batch(0, &[placed(77, activity, 71, 1)])).await.unwrap();
    let run: Vec<_> = (1..=200).map(|number| placed(number, activity, 71, 1)).collect();
    let run = batch(1, &run);
    assert!(store.flush(Arc::clone(&run)).await.unwrap_err().lies_in_a_row());
    assert_eq!(flush_sifted(store, &run).await, [Subject::Order(order(77))]);
    assert_eq!(store.position(FOUND.gateway).await.unwrap().unwrap().position, run.to);
    assert_eq!(store.sums(activity).await.unwrap()[0].orders, 200);

    let kept = store.all_set_aside(FOUND.gateway).await.unwrap();
    let [row] = &kept[..] else { panic!("{kept:?}") };
    assert_eq!(row.subject, format!("order {}", order(77)));
    assert_eq!(row.records, set_aside((Subject::Order(order(77)), String::new())).records);
    assert!(!row.reason.is_empty());
    assert!(store.all_set_aside(4).await.unwrap().is_empty(), "another gateway's");
    // The same again changes nothing, and the journal goes on.
    store.flush(run).await.unwrap();
    let next = Record::OrderExpired(moved(78, activity, 9));
    store.flush(batch(201, &[next])).await.unwrap();
    assert_eq!(status(store, 78).await, Status::Expired);
    assert_eq!(store.all_set_aside(FOUND.gateway).await.unwrap(), kept);
}

/// What moves a row that is not there is set aside in its turn; what else its record does is not.
pub(in crate::store) async fn rows_that_follow_one_that_is_missing_are_found_too(
    store: &dyn Store,
) {
    let activity = sale(store, 20).await;
    store.register(FOUND).await.unwrap();
    let begin = [placed(1, activity.id, 71, 1), started(100, 1, 2), placed(2, activity.id, 72, 2)];
    store.flush(batch(0, &begin)).await.unwrap();
    let phase = PhaseChanged { activity: ActivityId(99), at: at(1) };
    let units = UnitsLeft { activity: activity.id, quantity: 3, at: at(4) };
    let run = [
        Record::ActivityPaused(phase),
        paid(100, moved(9, activity.id, 3)),
        paid(101, moved(1, activity.id, 3)),
        placed(2, ActivityId(99), 72, 2),
        placed(3, activity.id, 73, 3),
        Record::OrderExpired(moved(2, activity.id, 5)),
        Record::UnitsWithdrawn(units),
    ];
    let aside = flush_sifted(store, &batch(3, &run)).await;
    let expected = [
        Subject::Order(order(2)),
        Subject::Order(order(9)),
        Subject::Payment(PaymentId(101)),
        Subject::Activity(ActivityId(99)),
    ];
    assert_eq!(aside, expected);
    assert_eq!(status(store, 1).await, Status::Paid);
    assert_eq!(status(store, 3).await, Status::AwaitingPayment);
    let payment = store.payment(PaymentId(100)).await.unwrap();
    assert_eq!(payment.status, PaymentStatus::Succeeded);
    assert_eq!(store.activity(activity.id).await.unwrap().left, 3);
    let kept = store.all_set_aside(FOUND.gateway).await.unwrap();
    let subjects: Vec<_> = kept.iter().map(|row| &*row.subject).collect();
    assert_eq!(subjects, expected.map(|it| it.to_string()));
}

/// A gateway confirmed the orders among the later ones after a start: it had not heard of them.
pub(in crate::store) async fn rows_that_stand_aside_are_all_told_of(store: &dyn Store) {
    let activity = sale(store, 20).await;
    store.register(FOUND).await.unwrap();
    let rows: Vec<_> = (1..=PAGE_ROWS_MAX + 5)
        .map(|number| set_aside((Subject::Order(order(number.into())), "poison".to_owned())))
        .collect();
    let mut run = FlushBatch::clone(&batch(0, &[placed(1, activity.id, 71, 1)]));
    run.set_aside.clone_from(&rows);
    store.flush(Arc::new(run)).await.unwrap();
    assert_eq!(store.set_aside(FOUND.gateway, 0).await.unwrap(), rows[..PAGE_ROWS_MAX as usize]);
    assert_eq!(store.all_set_aside(FOUND.gateway).await.unwrap(), rows);
    assert_eq!(store.count_set_aside(FOUND.gateway).await.unwrap(), rows.len() as u64);
    assert_eq!(store.count_set_aside(4).await.unwrap(), 0, "another gateway's");
}

pub(in crate::store) async fn a_rehearsal_leaves_nothing(store: &dyn Store) {
    let activity = sale(store, 20).await;
    store.register(FOUND).await.unwrap();
    let before = picture(store, &activity).await;
    let run = batch(0, &[placed(1, activity.id, 71, 1), started(100, 1, 2)]);
    for _ in 0..2 {
        store.rehearse(Arc::clone(&run)).await.unwrap();
    }
    let lacking = batch(0, &[Record::OrderExpired(moved(9, activity.id, 1))]);
    assert!(store.rehearse(lacking).await.unwrap_err().lies_in_a_row());
    let gap = store.rehearse(batch(5, &[])).await.unwrap_err();
    assert!(matches!(gap, StoreError::OutOfStep(_)), "{gap}");
    assert_eq!(picture(store, &activity).await, before);
    assert_eq!(store.position(FOUND.gateway).await.unwrap().unwrap().position, 0);
    let (rest, refused) = sift(store, &run).await.unwrap();
    assert_eq!((&rest, refused.len()), (&*run, 0), "nothing is wrong with it");
    store.flush(run).await.unwrap();
}

/// A store without a whole sale is not the one that the journal was flushed to.
pub(in crate::store) async fn a_store_that_lacks_too_much_is_another_one(store: &dyn Store) {
    let activity = sale(store, 20).await;
    store.register(FOUND).await.unwrap();
    let before = picture(store, &activity).await;
    let lost = (0..=LEFT_OUT_MAX as u64).map(|number| placed(number, ActivityId(99), 71, 1));
    let found = sift(store, &batch(0, &lost.collect::<Vec<_>>())).await;
    let Err(StoreError::Fault(Fault::Diverged(why))) = found else { panic!("{found:?}") };
    assert!(why.contains("64 and more") && why.contains("activity 99"), "{why}");
    assert!(store.all_set_aside(FOUND.gateway).await.unwrap().is_empty());
    assert_eq!(picture(store, &activity).await, before);
}
