//! Time as the engine sees it: instants of one clock per process, handed in.
//!
//! The engine reads no clock by itself. The real one is wall time at the start, advanced by the
//! machine's monotonic clock and slewed towards wall time; the simulated one is in `testing`.

use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// An instant: milliseconds since the Unix epoch on the gateway's clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(pub u64);

impl From<u64> for Timestamp {
    fn from(ms: u64) -> Self {
        Self(ms)
    }
}

impl From<Timestamp> for u64 {
    fn from(at: Timestamp) -> Self {
        at.0
    }
}

impl Timestamp {
    /// This much later, saturating.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`, zero if that is later.
    #[must_use]
    pub const fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A moment that a promise is counted from, on clocks that no sleep of the machine stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mark {
    /// Milliseconds since the machine was started, those in which it slept among them.
    pub since_boot_ms: u64,
    /// Milliseconds since the Unix epoch, by the wall clock as it stands.
    pub wall_ms: u64,
}

impl Mark {
    /// Milliseconds since `earlier`, by whichever clock says more: a machine that stood still may have
    /// been told of it by only one of them.
    #[must_use]
    pub fn ms_since(self, earlier: Self) -> u64 {
        let since_boot = self.since_boot_ms.saturating_sub(earlier.since_boot_ms);
        since_boot.max(self.wall_ms.saturating_sub(earlier.wall_ms))
    }
}

/// Where the engine gets the time.
pub trait Clock: Send + Sync + Debug + 'static {
    /// The instant now; never earlier than one it gave before.
    fn now(&self) -> Timestamp;

    /// From here on it never shows less than `floor`, the last instant of the journal: phases and
    /// deadlines do not go back with a wall clock that was set back between two runs.
    fn raise_floor(&self, floor: Timestamp);

    /// Microseconds since the clock's start, for measuring; neither slewed nor floored.
    fn elapsed_us(&self) -> u64;

    /// The moment now, for what must not outlast its time whatever the machine does.
    fn mark(&self) -> Mark;
}

/// Wall time at the start, advanced by the monotonic clock, slewed by at most 1 ms a correction.
#[derive(Debug)]
pub struct MachineClock {
    origin: Instant,
    wall_at_origin_us: i64,
    /// Written by [`correct`](Self::correct) alone, read by every core: how far the corrections
    /// have moved the clock.
    slewed_us: AtomicI64,
    /// The latest instant given out or promised, so that a slew backwards never shows.
    floor_ms: AtomicU64,
}

/// A correction moves the clock by at most this much; called once a second, that is 0.1 %.
const SLEW_US_MAX: i64 = 1_000;

impl MachineClock {
    /// A clock that starts at the machine's wall time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock that others ask")]
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
            wall_at_origin_us: wall_us(),
            slewed_us: AtomicI64::new(0),
            floor_ms: AtomicU64::new(0),
        }
    }

    /// Microseconds by which the wall clock is ahead of this one.
    #[must_use]
    pub fn offset_us(&self) -> i64 {
        wall_us() - self.unfloored_us()
    }

    /// Moves this clock towards wall time by at most 1 ms. Call it about once a second.
    pub fn correct(&self) {
        let slew = self.offset_us().clamp(-SLEW_US_MAX, SLEW_US_MAX);
        // Relaxed: an instant carries no other data with it.
        self.slewed_us.fetch_add(slew, Ordering::Relaxed);
    }

    fn unfloored_us(&self) -> i64 {
        let elapsed = i64::try_from(self.elapsed_us()).expect("292,000 years have not passed");
        // Relaxed: an instant carries no other data with it.
        self.wall_at_origin_us + elapsed + self.slewed_us.load(Ordering::Relaxed)
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        let now = u64::try_from(self.unfloored_us() / 1_000).unwrap_or(0);
        // Relaxed: an instant carries no other data with it. The load first, since nearly every
        // call finds the floor below and writes nothing that other cores read.
        let floor = self.floor_ms.load(Ordering::Relaxed);
        if now <= floor {
            return Timestamp(floor);
        }
        self.floor_ms.fetch_max(now, Ordering::Relaxed);
        Timestamp(now)
    }

    fn raise_floor(&self, floor: Timestamp) {
        // Relaxed: an instant carries no other data with it.
        self.floor_ms.fetch_max(floor.0, Ordering::Relaxed);
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock that others ask")]
    fn elapsed_us(&self) -> u64 {
        let elapsed = Instant::now().duration_since(self.origin).as_micros();
        u64::try_from(elapsed).expect("292,000 years have not passed")
    }

    fn mark(&self) -> Mark {
        let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let since_boot_ms = u64::try_from(since_boot.tv_sec).unwrap_or(0).saturating_mul(1_000)
            + u64::try_from(since_boot.tv_nsec / 1_000_000).unwrap_or(0);
        Mark { since_boot_ms, wall_ms: u64::try_from(wall_us() / 1_000).unwrap_or(0) }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock that others ask")]
fn wall_us() -> i64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(wall.as_micros()).expect("292,000 years have not passed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_back_and_keeps_its_floor() {
        let clock = MachineClock::start();
        let first = clock.now();
        clock.raise_floor(first.plus_ms(50));
        assert_eq!(clock.now(), first.plus_ms(50), "held at the floor until time has caught up");
        clock.correct();
        assert!(clock.now() >= first.plus_ms(50));
    }

    #[test]
    fn a_mark_ages_by_the_clock_that_says_more() {
        let mark = |since_boot_ms, wall_ms| Mark { since_boot_ms, wall_ms };
        for (now, expected) in [
            (mark(1_000, 5_000), 0),
            (mark(1_300, 5_200), 300),
            // The machine slept, and only one clock was told.
            (mark(1_100, 65_000), 60_000),
            (mark(61_000, 5_100), 60_000),
            // The wall clock was set back.
            (mark(1_700, 2_000), 700),
        ] {
            assert_eq!(now.ms_since(mark(1_000, 5_000)), expected, "{now:?}");
        }
        let clock = MachineClock::start();
        assert!(clock.mark().since_boot_ms > 0 && clock.mark().wall_ms > 1_700_000_000_000);
    }

    #[test]
    fn a_correction_is_slewed_not_stepped() {
        let clock = MachineClock::start();
        clock.slewed_us.store(-5_000_000, Ordering::Relaxed);
        let before = clock.offset_us();
        clock.correct();
        let moved = before - clock.offset_us();
        // Both readings take a little time, and cut off what is less than a microsecond.
        assert!(before > 4_900_000 && (900..=SLEW_US_MAX + 100).contains(&moved), "moved {moved}");
    }
}
