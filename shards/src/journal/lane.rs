//! A lane: how one core's records reach the journal, and how it learns that they are durable.
//!
//! The core encodes into a batch of its own without touching shared memory, and hands the batch
//! over once per turn of its event loop; the journal takes it whole. Two pointers are swapped, no
//! lock is held, and no byte is copied unless the journal has not come by since the last turn.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use arc_swap::ArcSwapOption;
use crossbeam_utils::CachePadded;
use crossbeam_utils::atomic::AtomicCell;

use crate::record::Record;

/// Encoded records on their way from a core to the journal.
#[derive(Debug, Default)]
pub struct Batch {
    /// The records' bytes, one behind the other.
    pub bytes: Vec<u8>,
    /// How many records.
    pub records: u32,
    /// When the first of them was appended, on the clock's microseconds.
    pub since_us: u64,
}

/// Records that were appended and not handed over yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gathered {
    /// How many.
    pub records: u32,
    /// How long ago the first was appended, in microseconds.
    pub age_us: u64,
}

/// What a core and the journal share.
#[derive(Default)]
pub struct Lane {
    /// Handed over by the core, taken by the journal.
    filled: AtomicCell<Option<Box<Batch>>>,
    /// Given back empty by the journal, so that no batch is allocated twice.
    emptied: AtomicCell<Option<Box<Batch>>>,
    /// Records of this lane that are durable: written by the journal, read by the core.
    durable: CachePadded<AtomicU64>,
    waker: ArcSwapOption<Waker>,
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("durable", &self.durable()).finish_non_exhaustive()
    }
}

impl Lane {
    /// How many of its records are durable, from the first of this run on.
    #[must_use]
    pub fn durable(&self) -> u64 {
        // Acquire, paired with `publish`: what the journal did before is seen.
        self.durable.load(Ordering::Acquire)
    }

    /// The journal takes what the core has handed over.
    pub(super) fn take_batch(&self) -> Option<Box<Batch>> {
        self.filled.take()
    }

    /// The journal gives a batch back to be filled again.
    pub(super) fn give_batch(&self, mut batch: Box<Batch>) {
        batch.bytes.clear();
        batch.records = 0;
        self.emptied.store(Some(batch));
    }

    /// The journal says that `records` more are durable.
    pub(super) fn publish(&self, records: u32) {
        // Release, paired with `durable`.
        self.durable.fetch_add(u64::from(records), Ordering::Release);
    }

    /// Wakes the core.
    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.load() {
            waker.wake_by_ref();
        }
    }
}

/// A core's end of its lane.
#[derive(Debug)]
pub struct LaneWriter {
    lane: Arc<Lane>,
    batch: Box<Batch>,
    bytes_max: usize,
    appended: u64,
}

impl LaneWriter {
    /// The writing end of `lane`, which holds at most `bytes_max` bytes that the journal has not
    /// taken.
    #[must_use]
    pub fn new(lane: Arc<Lane>, bytes_max: usize) -> Self {
        Self { lane, batch: Box::default(), bytes_max, appended: 0 }
    }

    /// Encodes a record; its number in the lane. The first of a batch asks for the time.
    pub fn append(&mut self, record: &Record, now_us: impl FnOnce() -> u64) -> u64 {
        if self.batch.records == 0 {
            self.batch.since_us = now_us();
        }
        record.encode(&mut self.batch.bytes);
        self.batch.records += 1;
        self.appended += 1;
        self.appended - 1
    }

    /// Bytes that still fit before the journal comes by, by what this end knows.
    #[must_use]
    pub fn room(&self) -> usize {
        self.bytes_max.saturating_sub(self.batch.bytes.len())
    }

    /// What is not handed over yet; the time is asked for where there is something.
    #[must_use]
    pub fn gathered(&self, now_us: impl FnOnce() -> u64) -> Gathered {
        let records = self.batch.records;
        let age_us = if records == 0 { 0 } else { now_us().saturating_sub(self.batch.since_us) };
        Gathered { records, age_us }
    }

    /// Hands over what was appended; whether there was anything.
    pub fn submit(&mut self) -> bool {
        if self.batch.records == 0 {
            return false;
        }
        let next = match self.lane.filled.take() {
            // The journal has not come by since the last turn: both turns go together.
            Some(mut waiting) if waiting.bytes.len() + self.batch.bytes.len() <= self.bytes_max => {
                waiting.bytes.extend_from_slice(&self.batch.bytes);
                waiting.records += self.batch.records;
                self.batch.bytes.clear();
                self.batch.records = 0;
                self.lane.filled.store(Some(waiting));
                return true;
            }
            // No room: what waits goes first, and this turn's records stay here.
            Some(waiting) => {
                self.lane.filled.store(Some(waiting));
                return true;
            }
            None => self.lane.emptied.take().unwrap_or_default(),
        };
        let full = std::mem::replace(&mut self.batch, next);
        self.lane.filled.store(Some(full));
        true
    }

    /// Records appended since the start.
    #[must_use]
    pub fn appended(&self) -> u64 {
        self.appended
    }

    /// The shared part.
    #[must_use]
    pub fn lane(&self) -> &Lane {
        &self.lane
    }

    /// Whom the journal wakes when records of this lane have become durable.
    pub fn wake_with(&self, waker: Waker) {
        self.lane.waker.store(Some(Arc::new(waker)));
    }
}
