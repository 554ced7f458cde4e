//! Membership: whether this gateway may still speak for itself, by its last good word to the store.
//!
//! Where membership lasts for a bounded time, a gateway that cannot reach the store ends its part by
//! itself, so that another may speak for it some time later. It must not know who that is, nor what a
//! gateway does that is no member.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use seckill_shards::clock::{Clock, Mark};

/// A gateway's own standing in the fleet.
#[derive(Debug)]
pub struct Membership {
    clock: Arc<dyn Clock>,
    /// How long a word to the store lasts; none: for ever.
    lasts_s: Option<u32>,
    /// The store may yet believe that it lasts for a bounded time: an earlier run told it so.
    was_bounded: bool,
    /// When the last good word to the store was begun: written by one task, read by every core. Before
    /// the first both are zero, which is long ago.
    since_boot_ms: AtomicU64,
    wall_ms: AtomicU64,
    /// Another speaks for this gateway.
    is_retired: AtomicBool,
    /// It was asked to hand itself over.
    is_leaving: AtomicBool,
}

impl Membership {
    /// Where it lasts for a bounded time, or did in an earlier run, it begins with the first word to the
    /// store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, lasts_s: Option<u32>, was_bounded: bool) -> Self {
        Self {
            clock,
            lasts_s,
            was_bounded,
            since_boot_ms: AtomicU64::new(0),
            wall_ms: AtomicU64::new(0),
            is_retired: AtomicBool::new(false),
            is_leaving: AtomicBool::new(false),
        }
    }

    /// For how many seconds a word lasts; 0: for ever.
    #[must_use]
    pub fn lasts_s(&self) -> u32 {
        self.lasts_s.unwrap_or(0)
    }

    /// The store has taken a word of this gateway, in its epoch, which was begun at this moment.
    pub fn renew(&self, begun: Mark) {
        // Relaxed: a reader that sees but one of them counts from an older moment.
        self.since_boot_ms.store(begun.since_boot_ms, Ordering::Relaxed);
        self.wall_ms.store(begun.wall_ms, Ordering::Relaxed);
    }

    /// Whether the store has taken a word of this run.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.since_boot_ms.load(Ordering::Relaxed) > 0 || self.wall_ms.load(Ordering::Relaxed) > 0
    }

    /// Another speaks for this gateway from here on, for good.
    pub fn end(&self) {
        self.is_retired.store(true, Ordering::Release);
    }

    /// It hands itself over soon, or stays after all.
    pub fn leave(&self, leaves: bool) {
        self.is_leaving.store(leaves, Ordering::Release);
    }

    /// Whether it is about to hand itself over.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Acquire)
    }

    /// Whether it may speak for itself at this moment. What was decided before is looked at again with
    /// this before it is answered: meanwhile the machine may have stood still.
    #[must_use]
    pub fn holds(&self) -> bool {
        if self.is_retired.load(Ordering::Acquire) {
            return false;
        }
        // The clock is not read where it does not matter.
        match self.lasts_s {
            Some(lasts_s) => self.age_ms() <= u64::from(lasts_s) * 1_000,
            None => !self.was_bounded || self.has_begun(),
        }
    }

    /// Whether new orders are taken.
    #[must_use]
    pub fn takes_orders(&self) -> bool {
        !self.is_leaving() && self.holds()
    }

    /// Why it should get no traffic; none while it should.
    #[must_use]
    pub fn unready(&self) -> Option<&'static str> {
        if self.is_retired.load(Ordering::Acquire) {
            return Some("retired: another gateway speaks for this one");
        }
        if self.is_leaving() {
            return Some("draining");
        }
        (!self.holds()).then_some("no member: the store was not reached for too long")
    }

    fn age_ms(&self) -> u64 {
        let since_boot_ms = self.since_boot_ms.load(Ordering::Relaxed);
        let since = Mark { since_boot_ms, wall_ms: self.wall_ms.load(Ordering::Relaxed) };
        self.clock.mark().ms_since(since)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use seckill_shards::clock::Timestamp;

    use super::*;

    /// A clock whose marks a test sets.
    #[derive(Debug, Default)]
    struct Marks(Mutex<Mark>);

    impl Clock for Marks {
        fn now(&self) -> Timestamp {
            Timestamp(self.mark().wall_ms)
        }

        fn raise_floor(&self, _: Timestamp) {}

        fn elapsed_us(&self) -> u64 {
            self.mark().since_boot_ms * 1_000
        }

        fn mark(&self) -> Mark {
            *self.0.lock().unwrap()
        }
    }

    fn mark(since_boot_ms: u64, wall_ms: u64) -> Mark {
        Mark { since_boot_ms, wall_ms }
    }

    /// Each moment, whether a word to the store was begun then, and whether it holds afterwards.
    fn check(lasts_s: Option<u32>, moments: &[(Mark, bool, bool)]) {
        let clock = Arc::new(Marks::default());
        let membership = Membership::new(Arc::<Marks>::clone(&clock), lasts_s, false);
        for (at, renews, expected) in moments {
            *clock.0.lock().unwrap() = *at;
            if *renews {
                membership.renew(*at);
            }
            assert_eq!(membership.holds(), *expected, "{at:?}");
            assert_eq!(membership.unready().is_none(), *expected, "{at:?}");
        }
    }

    #[test]
    fn c17_it_lasts_from_the_beginning_of_the_last_word_by_the_clock_that_says_more() {
        check(
            Some(60),
            &[
                (mark(1_000_000, 5_000_000), false, false),
                (mark(1_000_000, 5_000_000), true, true),
                (mark(1_060_000, 5_060_000), false, true),
                (mark(1_060_001, 5_060_001), false, false),
                (mark(1_061_000, 5_061_000), true, true),
                // The machine slept, and only one clock was told.
                (mark(1_061_100, 5_200_000), false, false),
                (mark(1_200_000, 5_061_100), false, false),
                // The wall clock was set back.
                (mark(1_090_000, 4_000_000), false, true),
            ],
        );
    }

    #[test]
    fn without_a_bound_it_holds_until_another_speaks_for_it() {
        check(None, &[(mark(9, 9), false, true), (mark(u64::MAX, u64::MAX), false, true)]);
        let membership = Membership::new(Arc::new(Marks::default()), None, false);
        membership.leave(true);
        assert!(membership.holds() && !membership.takes_orders());
        assert_eq!(membership.unready(), Some("draining"));
        membership.leave(false);
        assert!(membership.takes_orders());
        membership.end();
        membership.renew(mark(5, 5));
        assert!(!membership.holds() && !membership.takes_orders());
    }

    /// Somebody may have retired it by the bound that the store knows.
    #[test]
    fn a_bound_that_is_gone_counts_until_the_store_knows() {
        let membership = Membership::new(Arc::new(Marks::default()), None, true);
        assert!(!membership.holds() && !membership.has_begun());
        membership.renew(mark(5, 5));
        assert!(membership.holds() && membership.has_begun());
    }
}
