//! What one shard counts: plain atomics, written by its core alone, read by the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::command::Refusal;
use crate::journal::Histogram;

/// Kinds of refusals, one more than the highest number.
const REFUSALS: usize = 16;

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
    refusals: [AtomicU64; REFUSALS],
}

impl ShardCounters {
    pub(super) fn refused(&self, refusal: &Refusal) {
        bump(&self.refusals[usize::from(refusal.number())]);
    }

    /// How often each refusal was given, by its number.
    pub fn refusals(&self) -> impl Iterator<Item = (u8, u64)> {
        let counts = (0..).zip(&self.refusals).skip(1);
        counts.map(|(number, count)| (number, count.load(Ordering::Relaxed)))
    }
}

/// One more. A load and a store, since the core is the only writer.
pub(super) fn bump(counter: &AtomicU64) {
    // Relaxed: a figure for people; nothing is decided on it.
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}
