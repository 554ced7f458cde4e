//! A clock that moves when it is told to.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::{Clock, Mark, Timestamp};

/// The simulated clock.
#[derive(Debug, Default)]
pub struct SimulatedClock {
    now_ms: AtomicU64,
}

impl SimulatedClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { now_ms: AtomicU64::new(now.0) }
    }

    /// Lets `ms` milliseconds pass.
    pub fn advance(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now_ms.load(Ordering::SeqCst))
    }

    fn raise_floor(&self, floor: Timestamp) {
        self.now_ms.fetch_max(floor.0, Ordering::SeqCst);
    }

    fn elapsed_us(&self) -> u64 {
        self.now().0.saturating_mul(1_000)
    }

    fn mark(&self) -> Mark {
        Mark { since_boot_ms: self.now().0, wall_ms: self.now().0 }
    }
}
