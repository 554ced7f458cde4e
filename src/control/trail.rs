//! Acts on their way to the trail: written down at once where the store takes them, and kept until it
//! does.
//!
//! In memory alone, and in the log: what was done is done. It must not know which acts there are.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::limits::{ACTS_KEPT_MAX, NEWS};
use super::{Control, SECOND};
use crate::log::causes;
use crate::store::{Act, Doer};

/// What waits for the store, oldest first, each with what its end tells whoever waits for it.
#[derive(Debug, Default)]
pub(super) struct Acts {
    waiting: Mutex<VecDeque<(Act, oneshot::Sender<()>)>>,
    came: Notify,
}

impl Acts {
    /// False where there is no room.
    fn keep(&self, act: Act, told: oneshot::Sender<()>) -> bool {
        let mut waiting = self.lock();
        let has_room = waiting.len() < ACTS_KEPT_MAX;
        if has_room {
            waiting.push_back((act, told));
        }
        has_room
    }

    fn first(&self) -> Option<Act> {
        self.lock().front().map(|(act, _)| act.clone())
    }

    /// One task alone writes, so it is the first still.
    fn drop_first(&self) {
        self.lock().pop_front();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Act, oneshot::Sender<()>)>> {
        self.waiting.lock().expect("nobody panics under this lock")
    }
}

impl Control {
    /// Acts that the trail has yet to get.
    #[must_use]
    pub fn unwritten_acts(&self) -> usize {
        self.acts.lock().len()
    }

    /// Has an act written down; what is given back is closed when it is, or nobody will.
    pub(super) fn note_act(&self, act: Act) -> oneshot::Receiver<()> {
        log(&act);
        let (told, noted) = oneshot::channel();
        match self.acts.keep(act, told) {
            true => self.acts.came.notify_one(),
            false => tracing::error!("an act is not in the trail: too many wait for the store"),
        }
        noted
    }

    /// Writes down what is kept, until the task is ended.
    pub(super) async fn keep_noting(self: Arc<Self>) {
        let mut second = interval(SECOND);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = second.tick() => {}
                () = self.acts.came.notified() => {}
            }
            self.write_acts().await;
        }
    }

    /// Until the store takes no more.
    pub(super) async fn write_acts(&self) {
        while let Some(act) = self.acts.first() {
            match timeout(NEWS, self.store.note(act)).await {
                Ok(Ok(())) => self.acts.drop_first(),
                Ok(Err(error)) if error.lies_in_a_row() => {
                    let error = causes(&error);
                    tracing::error!(%error, "an act is not in the trail");
                    self.acts.drop_first();
                }
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }
}

/// Whoever has no trail, for whatever reason, finds in the log what was done.
fn log(act: &Act) {
    let (user, gateway) = match act.by {
        Doer::CommandLine => (None, None),
        Doer::Account { user, gateway } => (Some(user.0), Some(gateway)),
    };
    let (deed, detail, is_known) = (&act.deed, act.detail.as_str(), act.is_known);
    let (act, kind, id) = (&*deed.act, &*deed.kind, deed.target);
    tracing::info!(user, gateway, act, kind, id, detail, is_known, "an act");
}

#[cfg(test)]
mod tests {
    use seckill_shards::ids::UserId;
    use seckill_shards::testing::world::NOON;
    use tokio::sync::oneshot::error::TryRecvError;
    use tokio::task::LocalSet;

    use super::super::testing::{Desk, runtime};
    use super::*;
    use crate::store::{Deed, Page};

    fn act(request: u8) -> Act {
        Act {
            at: NOON,
            request: [request; 16],
            by: Doer::Account { user: UserId(1), gateway: 0 },
            deed: Deed::new("paused", "activity", Some(request.into())),
            detail: String::new(),
            is_known: true,
        }
    }

    #[test]
    fn what_was_done_comes_to_the_store_in_its_order_and_whoever_waits_is_told() {
        LocalSet::new().block_on(&runtime(), async {
            let desk = Desk::new(1, None);
            let mut noted = [1, 2, 3, 2].map(|request| desk.control.note_act(act(request)));
            assert!(noted.iter_mut().all(|it| it.try_recv() == Err(TryRecvError::Empty)));
            desk.control.write_acts().await;
            assert!(noted.iter_mut().all(|it| it.try_recv() == Err(TryRecvError::Closed)));
            let trail = desk.store.trail(Page { after: None, limit: 9 }).await.unwrap();
            assert_eq!(trail.into_iter().map(|it| it.act).collect::<Vec<_>>(), [3, 2, 1].map(act));
        });
    }

    #[test]
    fn no_more_are_kept_than_there_is_room_for() {
        let kept = Acts::default();
        let keep = || kept.keep(act(1), oneshot::channel().0);
        assert!((0..ACTS_KEPT_MAX).all(|_| keep()) && !keep());
        kept.drop_first();
        assert!(keep());
    }
}
