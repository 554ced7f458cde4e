//! Closings: an ended activity without an open order gives its unsold units back, once.

use std::sync::Arc;

use seckill_shards::command::{Command, Verdict};
use seckill_shards::engine::Engine;
use seckill_shards::ids::ActivityId;
use seckill_shards::journal::{ReadError, Tail};
use seckill_shards::orders::Sums;
use seckill_shards::shard::Phase;

use super::Control;

/// Groups that one catching up reads at most, so that it never runs after a journal for ever.
const GROUPS_MAX: usize = 100_000;

/// The sums of all activities at one position of the journal, moved on when somebody asks.
#[derive(Debug)]
pub struct SumsTail {
    tail: Tail,
    sums: Sums,
}

impl SumsTail {
    /// The sums that recovery found.
    #[must_use]
    pub fn new(engine: &Arc<Engine>) -> Self {
        let recovery = engine.recovery();
        Self { tail: engine.tail(recovery.position), sums: recovery.sums.clone() }
    }

    /// Moves on to what is durable now; the sums and their position.
    ///
    /// # Errors
    /// [`ReadError`]; the sums stay where they were.
    pub fn catch_up(&mut self) -> Result<(&Sums, u64), ReadError> {
        for _ in 0..GROUPS_MAX {
            let sums = &mut self.sums;
            if !self.tail.next_group(&mut |_, record| sums.apply(&record))? {
                break;
            }
        }
        Ok((&self.sums, self.tail.position()))
    }
}

impl Control {
    /// Closes the activities that have ended and hold nothing any more.
    pub(super) async fn close_ended(&self) {
        for (id, unsold) in self.closable() {
            let owner = id.owner(self.engine.cores());
            let verdict = self.owners.ask(owner, Command::Close { activity: id, unsold }).await;
            match verdict {
                Verdict::ActivityChanged => {
                    tracing::info!(activity = id.0, unsold, "activity closed");
                    self.stale.notify_one();
                    self.preheat().await;
                }
                other => tracing::debug!(activity = id.0, ?other, "not closed yet"),
            }
        }
    }

    fn closable(&self) -> Vec<(ActivityId, u32)> {
        let now = self.engine.clock().now();
        let activities = self.engine.activities();
        let ended =
            |id: &ActivityId| activities.get(id).is_some_and(|it| it.phase(now) == Phase::Ended);
        if !activities.keys().any(ended) {
            return Vec::new();
        }
        let mut sums = self.sums.lock().expect("nobody panics under this lock");
        let sums = match sums.catch_up() {
            Ok((sums, _)) => sums,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "sums stand still");
                return Vec::new();
            }
        };
        let idle = sums.activities.iter().filter(|(_, sum)| !sum.closed && sum.totals.held == 0);
        let unsold = |free: u64| u32::try_from(free).expect("not more than was stocked");
        idle.filter(|(id, _)| ended(id)).map(|(&id, sum)| (id, unsold(sum.free()))).collect()
    }
}
