//! Sign-outs that the store did not take: kept, and written down when it is back.
//!
//! In memory alone: the other gateways were told at once, and a token that is kept here expires within
//! hours. It must not know whose they are.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use seckill_shards::clock::Timestamp;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::limits::{NEWS, SIGN_OUTS_KEPT_MAX};
use super::{Control, SECOND};
use crate::store::{Revoked, StoreError};

/// What was taken back, and by when it has expired by itself, in the order in which it came.
#[derive(Debug, Default)]
pub(super) struct SignOuts(Mutex<VecDeque<(Revoked, Timestamp)>>);

impl SignOuts {
    /// False where there is no room.
    fn keep(&self, revoked: Revoked, until: Timestamp) -> bool {
        let mut kept = self.lock();
        let has_room = kept.len() < SIGN_OUTS_KEPT_MAX;
        if has_room {
            kept.push_back((revoked, until));
        }
        has_room
    }

    /// The first that has not expired by itself.
    fn first(&self, now: Timestamp) -> Option<(Revoked, Timestamp)> {
        let mut kept = self.lock();
        while kept.pop_front_if(|(_, until)| *until <= now).is_some() {}
        kept.front().copied()
    }

    /// One task alone writes, so it is the first still.
    fn drop_first(&self) {
        self.lock().pop_front();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Revoked, Timestamp)>> {
        self.0.lock().expect("nobody panics under this lock")
    }
}

impl Control {
    /// Sign-outs that the store has yet to take.
    #[must_use]
    pub fn unwritten_sign_outs(&self) -> usize {
        self.sign_outs.lock().len()
    }

    pub(super) fn keep_sign_out(&self, revoked: Revoked, until: Timestamp) {
        match self.sign_outs.keep(revoked, until) {
            true => tracing::warn!("a sign-out has not come to the store, and is kept"),
            false => tracing::error!("a sign-out is lost: too many wait for the store"),
        }
    }

    /// Writes down what is kept, until the task is ended.
    pub(super) async fn keep_writing_sign_outs(self: Arc<Self>) {
        let mut second = interval(SECOND);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            second.tick().await;
            self.write_sign_outs().await;
        }
    }

    /// Until the store takes no more.
    async fn write_sign_outs(&self) {
        while let Some((revoked, until)) = self.sign_outs.first(self.now()) {
            match timeout(NEWS, self.store.revoke(revoked, until)).await {
                // Nobody has an account that is refused.
                Ok(Ok(()) | Err(StoreError::Refused(_))) => self.sign_outs.drop_first(),
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use seckill_shards::ids::UserId;
    use seckill_shards::testing::world::NOON;
    use tokio::task::LocalSet;

    use super::super::testing::{Desk, runtime};
    use super::*;

    #[test]
    fn what_is_kept_comes_to_the_store_once_unless_it_has_expired_by_itself() {
        LocalSet::new().block_on(&runtime(), async {
            let desk = Desk::new(1, None);
            let nobody = Revoked::User { user: UserId(99), valid_from: NOON };
            let later = NOON.plus_ms(60_000);
            for (revoked, until) in [
                (Revoked::Token([1; 16]), NOON),
                (nobody, later),
                (Revoked::Token([2; 16]), later),
                (Revoked::Token([3; 16]), later),
            ] {
                desk.control.keep_sign_out(revoked, until);
            }
            for _ in 0..2 {
                desk.control.write_sign_outs().await;
                let written = desk.store.revocations(0).await.unwrap();
                let written: Vec<_> = written.iter().map(|it| (it.revoked, it.until)).collect();
                let expected = [2, 3].map(|token| (Revoked::Token([token; 16]), later));
                assert_eq!(written, expected);
            }
        });
    }

    #[test]
    fn no_more_are_kept_than_there_is_room_for() {
        let kept = SignOuts::default();
        let keep = |until| kept.keep(Revoked::Token([1; 16]), Timestamp(until));
        assert!((0..SIGN_OUTS_KEPT_MAX).all(|_| keep(5)) && !keep(9));
        assert_eq!(kept.first(Timestamp(5)), None);
        assert!(keep(9));
    }
}
