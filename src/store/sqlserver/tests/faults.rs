//! What a store does when the protocol goes wrong, shown on a stand-in: it needs no server.

use std::sync::Arc;
use std::time::Duration;

use super::stand_in::{Asked, HOLD, JOURNAL, MOVE, POSITION, StandIn, TO, Wrong};
use crate::store::{Batch, Fault, FlushBatch, JournalPosition, Store, StoreError};

/// A run of the journal that changes no row, and the position alone.
pub(super) fn run() -> Arc<FlushBatch> {
    let from = JournalPosition { journal_id: JOURNAL, epoch: 2, position: 0 };
    Arc::new(Batch::new(3, from).finish(TO))
}

fn is_away(done: Result<(), StoreError>) -> bool {
    done.is_err_and(|error| error.is_away())
}

#[tokio::test]
async fn a_flush_moves_the_position_once() {
    let server = StandIn::open().await;
    let store = server.store();
    store.flush(run()).await.unwrap();
    store.flush(run()).await.unwrap();
    assert_eq!((server.position(), server.times(MOVE)), (5, 1));
    assert_eq!(server.times(Asked::Login), 1, "a session is used again");
}

/// Who does not know whether a COMMIT was heard asks the position, which is in the same transaction.
#[tokio::test]
async fn a_connection_that_is_lost_over_the_commit_leaves_it_to_the_position() {
    for (wrong, position, moves) in
        [(Wrong::Lost, 0, 2), (Wrong::DoneAndLost, 5, 1), (Wrong::Cut, 5, 1)]
    {
        let server = StandIn::open().await;
        let store = server.store();
        // The schema is looked at before, in transactions of its own.
        assert_eq!(store.position(3).await.unwrap().unwrap().position, 0);
        server.next(Asked::Commit, wrong);
        assert!(is_away(store.flush(run()).await), "{wrong:?}: nobody knows");
        assert_eq!(server.position(), position, "{wrong:?}");
        store.flush(run()).await.unwrap();
        assert_eq!((server.position(), server.times(MOVE)), (5, moves), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_login_that_is_refused_is_told_and_not_waited_for() {
    let server = StandIn::open().await;
    server.next(Asked::Login, Wrong::Error(18_456));
    let store = server.store();
    let refused = store.flush(run()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Fault(Fault::Unusable(_))), "{refused:?}");
    assert!(!refused.is_away() && !refused.lies_in_a_row());
    store.flush(run()).await.unwrap();
}

/// The password would be read on the way, and then every order.
#[tokio::test]
async fn a_server_without_encryption_is_told_no_password_unless_that_is_asked_for_in_as_many_words()
{
    let server = StandIn::open().await;
    for words in ["", "TrustServerCertificate=true", "Encrypt=true", "Encrypt=false"] {
        let refused = server.store_by(words).flush(run()).await;
        assert!(refused.is_err(), "{words}");
        assert_eq!(server.times(Asked::Login), 0, "{words}");
    }
    server.store().flush(run()).await.unwrap();
}

#[tokio::test]
async fn a_reply_that_is_cut_off_costs_the_session_and_undoes_the_rest() {
    for asked in [HOLD, POSITION, MOVE] {
        let server = StandIn::open().await;
        let store = server.store();
        assert_eq!(store.position(3).await.unwrap().unwrap().position, 0);
        server.next(asked, Wrong::Cut);
        assert!(is_away(store.flush(run()).await), "{asked:?}");
        assert_eq!(server.position(), 0, "{asked:?}");
        store.flush(run()).await.unwrap();
        assert_eq!((server.position(), server.times(Asked::Login)), (5, 2), "{asked:?}");
    }
}

#[tokio::test]
async fn a_read_whose_session_is_lost_is_asked_once_more() {
    for asked in [POSITION, Asked::Commit] {
        for wrong in [Wrong::Cut, Wrong::Lost] {
            let server = StandIn::open().await;
            let store = server.store();
            store.migrate().await.unwrap();
            server.next(asked, wrong);
            let read = store.position(3).await.unwrap().unwrap();
            let times = || (server.times(POSITION), server.times(Asked::Login));
            assert_eq!((read.position, times()), (0, (2, 2)), "{asked:?} {wrong:?}");
            server.next(asked, wrong);
            server.next(asked, wrong);
            assert!(is_away(store.position(3).await.map(drop)), "{asked:?} {wrong:?}: once");
            assert_eq!(times(), (4, 3), "{asked:?} {wrong:?}");
        }
    }
}

#[tokio::test]
async fn a_read_that_is_refused_or_late_is_not_asked_again() {
    let server = StandIn::open().await;
    let store = server.impatient(Duration::from_secs(1));
    store.migrate().await.unwrap();
    for (times, wrong) in (1..).zip([Wrong::Error(208), Wrong::Silence]) {
        server.next(POSITION, wrong);
        assert!(is_away(store.position(3).await.map(drop)), "{wrong:?}");
        assert_eq!(server.times(POSITION), times, "{wrong:?}");
    }
}

#[tokio::test]
async fn an_error_in_the_middle_undoes_the_batch_and_keeps_the_session() {
    for (code, lies_in_a_row) in [(547, true), (2627, true), (8115, true), (208, false)] {
        for wrong in [Wrong::Error(code), Wrong::ErrorBehindOther(code)] {
            let server = StandIn::open().await;
            let store = server.store();
            assert_eq!(store.position(3).await.unwrap().unwrap().position, 0);
            server.next(MOVE, wrong);
            let error = store.flush(run()).await.unwrap_err();
            assert_eq!(error.lies_in_a_row(), lies_in_a_row, "{code}: {error:?}");
            assert_eq!(server.position(), 0, "{wrong:?}");
            store.flush(run()).await.unwrap();
            let logins = if lies_in_a_row { 1 } else { 2 };
            assert_eq!((server.position(), server.times(Asked::Login)), (5, logins), "{code}");
        }
    }
}

#[tokio::test]
async fn who_is_chosen_to_end_a_deadlock_tries_again_in_bounds() {
    let server = StandIn::open().await;
    let store = server.store();
    for _ in 0..4 {
        server.next(HOLD, Wrong::Error(1205));
    }
    store.flush(run()).await.unwrap();
    assert_eq!((server.position(), server.times(HOLD)), (5, 5));
    for _ in 0..5 {
        server.next(HOLD, Wrong::Error(1205));
    }
    assert!(is_away(store.flush(run()).await), "five times are enough");
    assert_eq!(server.times(HOLD), 10);
    store.flush(run()).await.unwrap();
}

/// A server that takes a question and says nothing held up every later flush.
#[tokio::test]
async fn silence_is_waited_for_in_bounds() {
    let server = StandIn::open().await;
    let patient = server.store();
    patient.migrate().await.unwrap();
    for asked in [MOVE, Asked::Commit] {
        let store = server.impatient(Duration::from_secs(1));
        store.migrate().await.unwrap();
        server.next(asked, Wrong::Silence);
        assert!(is_away(store.flush(run()).await), "{asked:?}");
        assert_eq!(server.position(), 0, "{asked:?}");
    }
    // A session that is silent from the beginning is left for another.
    server.next(Asked::Begin, Wrong::Silence);
    patient.flush(run()).await.unwrap();
    assert_eq!((server.position(), server.times(MOVE)), (5, 3));
}
