//! What the journal thread tells the others: how far it is, what it takes, and how it fares.
//!
//! Plain atomics, written by the journal thread alone and read by anybody.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread::Thread;

/// Powers of two of microseconds that a histogram tells apart: up to about half a minute.
const BUCKETS: usize = 26;

/// Counts of durations by power of two, in microseconds: bucket `n` holds those below `2^n`.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Counts one duration. For one writer.
    pub fn observe_us(&self, us: u64) {
        let bucket = (u64::BITS - us.leading_zeros()) as usize;
        // Relaxed: a figure for people; nothing is decided on it.
        self.buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// `(upper bound in microseconds, count below it)`, cumulative, and the sum of all.
    #[must_use]
    pub fn cumulative(&self) -> (Vec<(u64, u64)>, u64) {
        let mut below = 0;
        let counts = self.buckets.iter().enumerate().map(|(power, count)| {
            below += count.load(Ordering::Relaxed);
            (1 << power, below)
        });
        (counts.collect(), self.sum_us.load(Ordering::Relaxed))
    }
}

/// What the journal takes now, by the room that is left.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Takes {
    /// Nothing: the reserve is used up, too, or the disk has failed.
    Nothing = 0,
    /// Transitions of orders that exist.
    Transitions = 1,
    /// Everything.
    Everything = 2,
}

/// The journal's public face.
#[derive(Debug)]
pub struct JournalStatus {
    takes: AtomicU8,
    latched: AtomicBool,
    /// Position after the last durable record.
    durable: AtomicU64,
    /// Whether the journal thread sleeps, or is about to.
    asleep: AtomicBool,
    /// The journal thread, once it runs. Locked when it starts, and to wake it from its sleep.
    thread: Mutex<Option<Thread>>,
    /// Groups written.
    pub groups: AtomicU64,
    /// Records written.
    pub records: AtomicU64,
    /// Bytes written, padding among them.
    pub bytes: AtomicU64,
    /// Segments ready to be used.
    pub segments_ready: AtomicU64,
    /// Write and sync of a group.
    pub sync_latency: Histogram,
    /// From the decision to the durable record, for the oldest record of each lane's batch.
    pub durable_latency: Histogram,
    /// Records of a group; its "microseconds" are records.
    pub group_records: Histogram,
}

impl JournalStatus {
    pub(super) fn new(durable: u64) -> Self {
        Self {
            takes: AtomicU8::new(Takes::Nothing as u8),
            latched: AtomicBool::new(false),
            durable: AtomicU64::new(durable),
            asleep: AtomicBool::new(false),
            thread: Mutex::new(None),
            groups: AtomicU64::new(0),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            segments_ready: AtomicU64::new(0),
            sync_latency: Histogram::default(),
            durable_latency: Histogram::default(),
            group_records: Histogram::default(),
        }
    }

    /// What it takes now.
    #[must_use]
    pub fn takes(&self) -> Takes {
        // Relaxed: advice. A record that gets through after the change is still written or latched.
        match self.takes.load(Ordering::Relaxed) {
            0 => Takes::Nothing,
            1 => Takes::Transitions,
            _ => Takes::Everything,
        }
    }

    /// Whether an I/O error has stopped it for good: nothing more is acknowledged until a restart.
    #[must_use]
    pub fn is_latched(&self) -> bool {
        // Acquire, paired with `latch`: who sees it sees the last durable positions, too.
        self.latched.load(Ordering::Acquire)
    }

    /// Position after the last durable record.
    #[must_use]
    pub fn durable_position(&self) -> u64 {
        // Acquire, paired with `set_durable`: a reader who sees it finds the bytes in the file.
        self.durable.load(Ordering::Acquire)
    }

    /// Wakes the journal thread if it sleeps. Cheap when it does not.
    pub fn notify(&self) {
        // SeqCst: with the fence in `sleep` either this sees the sleeper, or the sleeper sees the
        // batch that was handed over before this call.
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::SeqCst) {
            let thread = self.thread.lock().expect("nobody panics under this lock");
            if let Some(thread) = &*thread {
                thread.unpark();
            }
        }
    }

    /// Says which thread `notify` wakes: the calling one.
    pub(crate) fn adopt_thread(&self) {
        let thread = std::thread::current();
        *self.thread.lock().expect("nobody panics under this lock") = Some(thread);
    }

    /// Sleeps until `notify`, unless `has_work` says there is some.
    pub(crate) fn sleep(&self, has_work: impl FnOnce() -> bool) {
        self.asleep.store(true, Ordering::SeqCst);
        std::sync::atomic::fence(Ordering::SeqCst);
        if !has_work() {
            std::thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    pub(super) fn set_takes(&self, takes: Takes) {
        self.takes.store(takes as u8, Ordering::Relaxed);
    }

    pub(super) fn set_durable(&self, position: u64) {
        self.durable.store(position, Ordering::Release);
    }

    pub(super) fn latch(&self) {
        self.set_takes(Takes::Nothing);
        self.latched.store(true, Ordering::Release);
    }
}
