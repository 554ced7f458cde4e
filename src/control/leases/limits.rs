//! The bounds of settling with the other gateways.
//!
//! It knows numbers only.

use std::time::Duration;

use crate::flow::Rule;

/// How long a start waits at most for Redis, and then until something of every sale was asked for.
pub(super) const FIRST_LEASES: Duration = Duration::from_secs(3);

/// When Redis is left alone, and how it is asked again: half of the last steps were bad.
pub const REDIS_BREAKER: Rule =
    Rule { calls: 10, age_us: 60_000_000, bad: 5, rest_us: 1_000_000, probes: 2 };

/// Between two looks at what there is to settle, while there is.
pub(super) const REST: Duration = Duration::from_millis(50);
/// After a fault of Redis.
pub(super) const REST_AFTER_FAULT: Duration = Duration::from_millis(500);
/// A gateway that has nothing to say asks after this long what the others lack, in microseconds.
pub(super) const HEARTBEAT_US: u64 = 300_000;
/// The same where it has nothing that others could lack: each answer is a record of its journal.
pub(super) const IDLE_HEARTBEAT_US: u64 = 3_000_000;
/// How long after a try that came to nothing the next one is, in microseconds.
pub(super) const AGAIN_US: u64 = 1_000_000;
/// How old what is known of Redis may be, in microseconds.
pub(super) const VIEW_US: u64 = 1_000_000;
/// How long the store may take to answer: the daily work of every account waits for it.
pub(super) const STORE: Duration = Duration::from_secs(1);
/// How long the store is let alone after a fault, in microseconds.
pub(super) const STORE_REST_US: u64 = 5_000_000;
/// Sales whose answers are written down at once.
pub(super) const HEARD_AT_ONCE: usize = 64;
