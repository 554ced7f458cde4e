//! Waiting that ends: a deadline, and looking again until something is there.
//!
//! It must not know what is waited for. It is the only place that reads a clock.

use std::thread;
use std::time::{Duration, Instant};

/// How often something is looked at again.
const LOOK: Duration = Duration::from_millis(5);
/// What a healthy gateway on a crowded machine never takes.
pub const GENEROUS: Duration = Duration::from_secs(30);

/// A moment of the machine's monotonic clock.
#[expect(clippy::disallowed_methods, reason = "a process outside is met in real time")]
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// What `look` finds, as soon as it finds something.
///
/// # Panics
/// Where it finds nothing for as long as `patience`.
#[track_caller]
pub fn until<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(now() < deadline, "waited {patience:?} in vain until {what}");
        thread::sleep(LOOK);
    }
}

/// Waits until an instant of a schedule; returns at once where it has passed.
pub fn sleep_until(instant: Instant) {
    thread::sleep(instant.saturating_duration_since(now()));
}
