//! Closings: an ended activity without an open order gives its unsold units back, once. Those that
//! several gateways share are closed where they settle it.

use std::sync::Arc;

use seckill_shards::command::{Command, Verdict};
use seckill_shards::engine::Engine;
use seckill_shards::ids::ActivityId;
use seckill_shards::journal::{ReadError, Tail};
use seckill_shards::orders::Sums;
use seckill_shards::shard::Phase;

use super::Control;
use crate::log::causes;

/// Groups that one catching up reads at most, so that it never runs after a journal for ever.
const GROUPS_MAX: usize = 100_000;

/// The sums of all activities at one position of the journal, moved on when somebody asks.
#[derive(Debug)]
pub struct SumsTail {
    engine: Arc<Engine>,
    tail: Tail,
    sums: Sums,
}

impl SumsTail {
    /// The sums that recovery found.
    #[must_use]
    pub fn new(engine: &Arc<Engine>) -> Self {
        let recovery = engine.recovery();
        let tail = engine.tail(recovery.position);
        Self { engine: Arc::clone(engine), tail, sums: recovery.sums.clone() }
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
        self.forget();
        Ok((&self.sums, self.tail.position()))
    }

    /// Drops what the engine has forgotten. One that is open here and not there is yet to come.
    fn forget(&mut self) {
        let known = self.engine.activities();
        if self.sums.activities.len() > known.len() {
            self.sums.activities.retain(|id, sum| !sum.closed || known.contains_key(id));
        }
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
                tracing::error!(error = %causes(&error), "sums stand still");
                return Vec::new();
            }
        };
        // Of those that gateways share, each waits for the others: see `leases`.
        let alone = sums.activities.iter().filter(|(_, sum)| sum.lease.is_none());
        let idle = alone.filter(|(_, sum)| !sum.closed && sum.totals.held == 0);
        let unsold = |free: u64| u32::try_from(free).expect("not more than was stocked");
        idle.filter(|(id, _)| ended(id)).map(|(&id, sum)| (id, unsold(sum.free()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use seckill_shards::command::PhaseChange;
    use seckill_shards::testing::World;
    use seckill_shards::testing::world::{CLOSED_KEPT, published};

    use super::*;

    /// Publishes and closes a sale of which nothing is sold.
    fn whole_sale(world: &mut World, sale: u64) {
        let forgotten = world.engine.forgotten();
        let (activity, row) = (ActivityId(sale), Box::new(published(sale, 1)));
        world.ask(Command::Publish { row, forgotten });
        world.ask(Command::ChangePhase { activity, change: PhaseChange::End });
        let verdict = world.ask(Command::Close { activity, unsold: 1 });
        assert_eq!(verdict, Verdict::ActivityChanged);
    }

    #[test]
    fn sums_go_with_the_sales_that_are_forgotten() {
        let mut world = World::new(1, 1);
        let mut sums = SumsTail::new(&world.engine);
        for sale in 1.. {
            if world.keeper.checkpoints.load(Relaxed) > 2 {
                break;
            }
            whole_sale(&mut world, sale);
            sums.catch_up().unwrap();
            world.flush();
            world.keep();
            world.keep();
            let (sums, _) = sums.catch_up().unwrap();
            assert!(sums.activities.keys().all(|id| world.engine.activity(*id).is_some()));
            assert!(sums.activities[&ActivityId(sale)].closed);
            assert!(sums.activities.len() <= 3 * CLOSED_KEPT + 2, "{sums:?}");
        }
    }
}
