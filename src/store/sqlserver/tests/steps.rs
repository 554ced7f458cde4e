//! What becomes of a flush of orders where one of its steps goes wrong, shown on the stand-in.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use seckill_shards::clock::Timestamp;
use seckill_shards::ids::{ActivityId, OrderId, UserId};
use seckill_shards::record::{NO_KEY, OrderPlaced, Record};

use super::super::SqlServer;
use super::super::sessions::{is_answer, is_lost};
use super::stand_in::{
    Asked, BULK, COLUMNS, HOLD, INSERT, JOURNAL, MOVE, POSITION, PUBLISHED, STAGE, StandIn, TO,
    Wrong,
};
use crate::store::{Batch, FlushBatch, JournalPosition, Store, StoreError};

/// What a flush of orders asks between the beginning of its transaction and the end, each once.
const STEPS: [Asked; 9] =
    [HOLD, POSITION, PUBLISHED, STAGE, COLUMNS, BULK, Asked::Load, INSERT, MOVE];

/// A run of the journal that places so many orders, from 1 on.
fn placing(orders: u64) -> Arc<FlushBatch> {
    let from = JournalPosition { journal_id: JOURNAL, epoch: 2, position: 0 };
    let mut batch = Batch::new(3, from);
    for order in 1..=orders {
        batch.push(&Record::OrderPlaced(OrderPlaced {
            order: OrderId(order),
            activity: ActivityId(9),
            user: UserId(7),
            quantity: 2,
            at: Timestamp(10),
            pay_before: Timestamp(90),
            key: NO_KEY,
            body: NO_KEY,
        }));
    }
    Arc::new(batch.finish(TO))
}

/// A stand-in, and a store on it that has looked at the schema, in transactions of their own.
async fn ready() -> (StandIn, SqlServer) {
    let server = StandIn::open().await;
    let store = server.store();
    store.migrate().await.unwrap();
    (server, store)
}

/// How a flush of one order failed that kept nothing, and asked for the step once.
async fn failed(server: &StandIn, store: &SqlServer, step: Asked, case: &impl Debug) -> StoreError {
    let error = store.flush(placing(1)).await.unwrap_err();
    assert_eq!((server.position(), server.orders()), (0, vec![]), "{case:?}");
    assert_eq!(server.times(step), 1, "{case:?}: what nobody knows of is not done once more");
    error
}

/// The next flush is done, and whoever asks once more changes nothing.
async fn assert_done_once(server: &StandIn, store: &SqlServer, case: &impl Debug) {
    for _ in 0..2 {
        store.flush(placing(1)).await.unwrap();
        assert_eq!((server.position(), server.orders()), (5, vec![1]), "{case:?}");
    }
}

#[tokio::test]
async fn orders_are_staged_and_loaded_and_inserted_in_the_transaction_that_moves_the_position() {
    let (server, store) = ready().await;
    assert_done_once(&server, &store, &"nothing wrong").await;
    for step in STEPS {
        let times = if [HOLD, POSITION].contains(&step) { 2 } else { 1 };
        assert_eq!(server.times(step), times, "{step:?}");
    }
    assert_eq!(server.times(Asked::Login), 1);
}

#[tokio::test]
async fn a_connection_that_is_lost_at_any_step_undoes_all_of_it() {
    for wrong in [Wrong::Lost, Wrong::Cut, Wrong::DoneAndLost, Wrong::SaidAndLost] {
        for step in STEPS {
            let ((server, store), case) = (ready().await, (step, wrong));
            server.next(step, wrong);
            let error = failed(&server, &store, step, &case).await;
            assert!(error.is_away() && is_lost(&error), "{case:?}: {error:?}");
            assert_done_once(&server, &store, &case).await;
            assert_eq!(server.times(Asked::Login), 2, "{case:?}");
        }
    }
}

#[tokio::test]
async fn silence_at_any_step_ends_with_the_time_for_an_exchange_and_undoes_all_of_it() {
    let cases = STEPS.into_iter().flat_map(|step| {
        [Wrong::Silence, Wrong::DoneAndSilence].into_iter().map(move |wrong| (step, wrong))
    });
    // All at once, for each of them waits.
    join_all(cases.map(async |case| {
        let server = StandIn::open().await;
        let store = server.impatient(Duration::from_secs(2));
        store.migrate().await.unwrap();
        server.next(case.0, case.1);
        let error = failed(&server, &store, case.0, &case).await;
        assert!(error.is_away() && !is_lost(&error), "{case:?}: {error:?}");
        assert!(!is_answer(&error), "{case:?}: {error:?}");
        assert_done_once(&server, &store, &case).await;
        assert_eq!(server.times(Asked::Login), 2, "{case:?}");
    }))
    .await;
}

/// Temporary tables live as long as their session, which is used again here.
#[tokio::test]
async fn an_error_that_lies_in_a_row_undoes_all_of_it_and_keeps_the_session() {
    for code in [515, 547, 2627, 8115] {
        for step in STEPS {
            for wrong in [Wrong::Error(code), Wrong::ErrorBehindOther(code)] {
                let ((server, store), case) = (ready().await, (step, wrong));
                server.next(step, wrong);
                let error = failed(&server, &store, step, &case).await;
                assert!(error.lies_in_a_row(), "{case:?}: {error:?}");
                assert_done_once(&server, &store, &case).await;
                let times = (server.times(Asked::Login), server.times(Asked::Rollback));
                assert_eq!(times, (1, 1), "{case:?}");
            }
        }
    }
}

#[tokio::test]
async fn any_other_error_undoes_all_of_it_and_costs_the_session() {
    // No such table, a lock that was not had in time, a log that is full.
    for code in [208, 1222, 9002] {
        for step in STEPS {
            for wrong in [Wrong::Error(code), Wrong::ErrorBehindOther(code)] {
                let ((server, store), case) = (ready().await, (step, wrong));
                server.next(step, wrong);
                let error = failed(&server, &store, step, &case).await;
                assert!(error.is_away() && is_answer(&error), "{case:?}: {error:?}");
                assert_done_once(&server, &store, &case).await;
                assert_eq!(server.times(Asked::Login), 2, "{case:?}");
            }
        }
    }
}

/// Nothing of it was done, so the same call does it.
#[tokio::test]
async fn who_is_chosen_to_end_a_deadlock_at_any_step_begins_again() {
    let told = [Wrong::Error(1205), Wrong::ErrorBehindOther(1205)];
    let cases = STEPS.into_iter().flat_map(|step| told.map(|wrong| (step, wrong)));
    // A commit is one statement.
    for (step, wrong) in cases.chain([(Asked::Commit, told[0])]) {
        let ((server, store), case) = (ready().await, (step, wrong));
        let before = server.times(step);
        server.next(step, wrong);
        store.flush(placing(1)).await.unwrap();
        let times = (server.times(step) - before, server.times(Asked::Login));
        assert_eq!(times, (2, 2), "{case:?}");
        assert_done_once(&server, &store, &case).await;
    }
}

/// The position is in the same transaction as the orders: it says whether they are there.
#[tokio::test]
async fn a_commit_of_which_nobody_knows_is_looked_up_by_the_position() {
    let cases = [
        (Wrong::Lost, false),
        (Wrong::Silence, false),
        (Wrong::Cut, true),
        (Wrong::DoneAndLost, true),
        (Wrong::DoneAndSilence, true),
    ];
    join_all(cases.map(async |(wrong, is_done)| {
        let server = StandIn::open().await;
        let store = server.impatient(Duration::from_secs(2));
        store.migrate().await.unwrap();
        server.next(Asked::Commit, wrong);
        let error = store.flush(placing(1)).await.unwrap_err();
        assert!(error.is_away() && !is_answer(&error), "{wrong:?}: {error:?}");
        let kept = if is_done { (5, vec![1]) } else { (0, vec![]) };
        assert_eq!((server.position(), server.orders()), kept, "{wrong:?}");
        assert_eq!((server.times(POSITION), server.times(INSERT)), (1, 1), "{wrong:?}");
        store.flush(placing(1)).await.unwrap();
        let inserts = if is_done { 1 } else { 2 };
        assert_eq!((server.times(POSITION), server.times(INSERT)), (2, inserts), "{wrong:?}");
        assert_done_once(&server, &store, &wrong).await;
    }))
    .await;
}

#[tokio::test]
async fn a_session_that_ends_behind_the_commit_is_left_for_another() {
    let (server, store) = ready().await;
    server.next(Asked::Commit, Wrong::SaidAndLost);
    store.flush(placing(1)).await.unwrap();
    assert_done_once(&server, &store, &"ended").await;
    assert_eq!((server.times(INSERT), server.times(Asked::Login)), (1, 2));
}

/// The rows go out in several exchanges of many packets.
#[tokio::test]
async fn a_load_that_is_cut_off_between_its_packets_undoes_all_of_it() {
    const ORDERS: u64 = 5_000;
    let (server, store) = ready().await;
    server.next(BULK, Wrong::SaidAndLost);
    let error = store.flush(placing(ORDERS)).await.unwrap_err();
    assert!(error.is_away() && is_lost(&error), "{error:?}");
    assert_eq!((server.position(), server.orders()), (0, vec![]));
    assert_eq!(server.times(Asked::Load), 0);
    store.flush(placing(ORDERS)).await.unwrap();
    assert_eq!(server.position(), 5);
    assert!(server.orders().into_iter().eq(1..=5_000), "each once, and in their order");
}

/// Whether the undoing is heard changes nothing of what was said.
#[tokio::test]
async fn a_rehearsal_keeps_nothing_and_says_what_a_flush_would() {
    for undoing in [None, Some(Wrong::Lost), Some(Wrong::DoneAndLost)] {
        for wrong in [None, Some(Wrong::Error(2627))] {
            let ((server, store), case) = (ready().await, (wrong, undoing));
            undoing.into_iter().for_each(|undoing| server.next(Asked::Rollback, undoing));
            wrong.into_iter().for_each(|wrong| server.next(INSERT, wrong));
            let said = store.rehearse(placing(1)).await;
            match wrong {
                None => said.unwrap(),
                Some(_) => assert!(said.is_err_and(|error| error.lies_in_a_row()), "{case:?}"),
            }
            assert_eq!((server.position(), server.orders()), (0, vec![]), "{case:?}");
            assert_eq!((server.times(INSERT), server.times(Asked::Rollback)), (1, 1), "{case:?}");
            assert_done_once(&server, &store, &case).await;
        }
    }
}
