//! The backlog: for how long records have waited for the store, and how long the rest will take.
//!
//! It reads no clock and no journal: it is told where both stand, once a second.

use std::collections::VecDeque;
use std::time::Duration;

use seckill_shards::clock::Timestamp;

/// Looks that are remembered. Where there are more, every other one is dropped, so that a store that
/// is away for days is known to be, if less exactly.
const LOOKS_MAX: usize = 256;
/// Of how late the flush's rate is, in milliseconds.
const RATE_MS: u64 = 60_000;

/// Where journal and store stood once.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: Timestamp,
    durable: u64,
    flushed: u64,
}

/// What the store has not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Behind {
    /// Durable records.
    pub records: u64,
    /// How long ago the oldest of them was written, to a second or so.
    pub since: Duration,
    /// How long the store will take for them at the rate of the last minute; none where it took
    /// nothing.
    pub drained_in: Option<Duration>,
}

/// Where journal and store stood of late, oldest first.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    looks: VecDeque<Look>,
}

impl Backlog {
    /// The oldest record that the store had not at the start is at `position`, and of this instant.
    pub(super) fn begin(&mut self, at: Timestamp, position: u64) {
        self.looks.push_front(Look { at, durable: position, flushed: position });
    }

    /// Remembers where both stand now.
    pub(super) fn look(&mut self, at: Timestamp, durable: u64, flushed: u64) {
        if self.looks.len() == LOOKS_MAX {
            let mut index = 0;
            self.looks.retain(|_| {
                index += 1;
                index % 2 == 1
            });
        }
        self.looks.push_back(Look { at, durable, flushed });
        // What was passed twice over tells nothing any more.
        while self
            .looks
            .get(1)
            .is_some_and(|next| next.durable <= flushed && at.ms_since(next.at) > RATE_MS)
        {
            self.looks.pop_front();
        }
    }

    /// What the store has not, where both stand now.
    #[must_use]
    pub(super) fn behind(&self, now: Timestamp, durable: u64, flushed: u64) -> Behind {
        let records = durable.saturating_sub(flushed);
        if records == 0 {
            return Behind { drained_in: Some(Duration::ZERO), ..Behind::default() };
        }
        // Everything that was durable by then is flushed, so what is not was written later.
        let passed = self.looks.iter().rev().find(|look| look.durable <= flushed);
        let since = passed.or_else(|| self.looks.front()).map_or(0, |look| now.ms_since(look.at));
        let late = self.looks.iter().find(|look| now.ms_since(look.at) <= RATE_MS);
        let drained_in = late.and_then(|look| {
            let (took, ms) = (flushed.saturating_sub(look.flushed), now.ms_since(look.at));
            records.saturating_mul(ms).checked_div(took).map(Duration::from_millis)
        });
        Behind { records, since: Duration::from_millis(since), drained_in }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(looks: &[(u64, u64, u64)]) -> Backlog {
        let mut backlog = Backlog::default();
        for &(at, durable, flushed) in looks {
            backlog.look(Timestamp(at), durable, flushed);
        }
        backlog
    }

    fn behind(records: u64, since_ms: u64, drained_in_ms: Option<u64>) -> Behind {
        let drained_in = drained_in_ms.map(Duration::from_millis);
        Behind { records, since: Duration::from_millis(since_ms), drained_in }
    }

    #[test]
    fn the_oldest_record_is_as_old_as_the_last_look_that_was_passed() {
        let backlog = looked(&[(1_000, 0, 0), (2_000, 50, 10), (3_000, 90, 30), (4_000, 100, 60)]);
        for ((now, durable, flushed), expected) in [
            // 60 of 3 seconds.
            ((4_000, 100, 60), behind(40, 2_000, Some(2_000))),
            ((5_000, 120, 80), behind(40, 3_000, Some(2_000))),
            ((5_000, 120, 95), behind(25, 2_000, Some(1_052))),
            ((5_000, 120, 100), behind(20, 1_000, Some(800))),
            ((5_000, 120, 120), behind(0, 0, Some(0))),
        ] {
            assert_eq!(backlog.behind(Timestamp(now), durable, flushed), expected, "at {flushed}");
        }
    }

    #[test]
    fn a_store_that_takes_nothing_is_never_done_with() {
        let backlog = looked(&[(1_000, 0, 0), (2_000, 50, 0), (3_000, 90, 0)]);
        assert_eq!(backlog.behind(Timestamp(4_000), 90, 0), behind(90, 3_000, None));
        assert_eq!(Backlog::default().behind(Timestamp(4_000), 90, 0), behind(90, 0, None));
    }

    #[test]
    fn what_waited_before_the_start_is_as_old_as_its_record() {
        let mut backlog = looked(&[(500_000, 90, 7), (501_000, 91, 7)]);
        backlog.begin(Timestamp(100_000), 7);
        assert_eq!(backlog.behind(Timestamp(502_000), 91, 7), behind(84, 402_000, None));
    }

    #[test]
    fn a_store_that_is_away_for_days_is_remembered_in_bounds() {
        let mut backlog = looked(&[(0, 5, 5)]);
        for second in 1..=200_000 {
            backlog.look(Timestamp(second * 1_000), 5 + second, 5);
            assert!(backlog.looks.len() <= LOOKS_MAX);
        }
        let now = Timestamp(200_000_000);
        assert_eq!(backlog.behind(now, 200_005, 5), behind(200_000, 200_000_000, None));
        // Back, and nearly done: what waits is younger than the looks that are dropped by then.
        for second in 200_001..=200_100 {
            backlog.look(Timestamp(second * 1_000), 5 + second, 5 + second);
        }
        assert!(backlog.looks.len() < 70, "{}", backlog.looks.len());
    }
}
