//! What one shard counts: plain atomics, written by its core alone, read by the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::command::{Reason, Refusal};
use crate::journal::Histogram;

/// A shard's figures.
#[derive(Debug, Default)]
pub struct ShardCounters {
    /// Orders made durable.
    pub placed: AtomicU64,
    /// Orders paid.
    pub paid: AtomicU64,
    /// Orders expired.
    pub expired: AtomicU64,
    /// Orders cancelled.
    pub cancelled: AtomicU64,
    /// Orders that were not confirmed between gateways.
    pub rejected: AtomicU64,
    /// Orders refunded.
    pub refunded: AtomicU64,
    /// Commands whose outcome is not known: the disk failed.
    pub unknown: AtomicU64,
    /// Orders in memory now.
    pub orders: AtomicU64,
    /// Timers set now.
    pub timers: AtomicU64,
    /// Records on their way to the disk now.
    pub in_flight: AtomicU64,
    /// How late expiries were decided, in microseconds.
    pub lateness: Histogram,
    /// By the reason's number, less one.
    refusals: [AtomicU64; Reason::ALL.len()],
}

impl ShardCounters {
    pub(super) fn refused(&self, refusal: &Refusal) {
        bump(&self.refusals[refusal.reason().number() - 1]);
    }

    /// How often it was refused for this reason.
    #[must_use]
    pub fn refusals(&self, reason: Reason) -> u64 {
        self.refusals[reason.number() - 1].load(Ordering::Relaxed)
    }
}

/// One more. A load and a store, since the core is the only writer.
pub(super) fn bump(counter: &AtomicU64) {
    // Relaxed: a figure for people; nothing is decided on it.
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn every_reason_has_a_count_and_a_word_of_its_own() {
        let counters = ShardCounters::default();
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.number(), index + 1, "{reason:?}");
            let same = Reason::ALL.iter().filter(|other| other.word() == reason.word());
            assert_eq!(same.count(), 1, "{reason:?}");
        }
        counters.refused(&Refusal::NotStarted { starts_at: Timestamp(1) });
        counters.refused(&Refusal::Stale);
        counters.refused(&Refusal::Stale);
        let counted = Reason::ALL.iter().map(|reason| (reason.word(), counters.refusals(*reason)));
        let counted: Vec<_> = counted.filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("not-started", 1), ("stale", 2)]);
    }
}
