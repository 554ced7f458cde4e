//! The pool of an activity: its units outside every bucket, and the word by which motion is seen.
//! It must not know the buckets, nor why units leave it or come back.
//!
//! One word, `version: 28 | transit: 8 | units: 28` bits, is changed by single atomic operations:
//! *units* are in the pool, *transit* counts the threads that carry units between the pool and the
//! buckets, *version* rises with every change. A word that is read twice and is equal therefore
//! stood still between the readings, unless a multiple of 2^28 changes fell between them: at
//! fifty million changes a second a thread would have to lose its core for more than five
//! seconds and come back at the one right change.

use crate::sync::atomic::AtomicU64;

use super::{CARRIERS_MAX, ONE_ORDER};
use crate::limits::STOCKED_MAX;

const UNITS_BITS: u32 = 28;
const TRANSIT_BITS: u32 = 8;
const UNITS_MASK: u64 = (1 << UNITS_BITS) - 1;
const TRANSIT_MASK: u64 = (1 << TRANSIT_BITS) - 1;
const ONE_IN_TRANSIT: u64 = 1 << UNITS_BITS;
/// The version is uppermost: where it overflows it falls off the word and touches no other field.
const ONE_VERSION: u64 = 1 << (UNITS_BITS + TRANSIT_BITS);

// A full pool and one wrong give on top still fit: the give's assert speaks before a field spills.
const _: () = assert!(2 * (STOCKED_MAX as u64) <= UNITS_MASK);
const _: () = assert!(CARRIERS_MAX as u64 <= TRANSIT_MASK);

/// One reading of the pool. Equal readings mean that the pool did not change between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(u64);

impl Word {
    pub(super) fn units(self) -> u32 {
        u32::try_from(self.0 & UNITS_MASK).expect("28 bits fit in 32")
    }

    /// No thread carries units: each free unit lies in the pool or in a bucket.
    pub(super) fn is_settled(self) -> bool {
        self.carriers() == 0
    }

    fn carriers(self) -> u64 {
        (self.0 >> UNITS_BITS) & TRANSIT_MASK
    }

    /// The word after `units` left. Only the version may wrap, so the sum wraps with it.
    fn without(self, units: u32) -> Self {
        assert!(units <= self.units(), "units leave a pool that has them");
        Self((self.0 - u64::from(units)).wrapping_add(ONE_VERSION))
    }
}

/// The pool's word, written by any core that refills, gathers or gives; read by all of them.
#[derive(Debug)]
pub(super) struct Pool(AtomicU64);

impl Pool {
    pub(super) fn new(units: u32) -> Self {
        Self(AtomicU64::new(u64::from(units)))
    }

    #[cfg(test)]
    pub(super) fn at_last_version(units: u32) -> Self {
        Self(AtomicU64::new(u64::from(units).wrapping_sub(ONE_VERSION)))
    }

    pub(super) fn read(&self) -> Word {
        Word(self.0.load(ONE_ORDER))
    }

    /// Units come back; the version tells a reader in the middle of its scan.
    pub(super) fn give(&self, units: u32) {
        let before = self.add(u64::from(units).wrapping_add(ONE_VERSION));
        assert_room(before, units);
    }

    /// `units` leave for good; false, and nothing done, if the pool is no longer as `seen`.
    pub(super) fn take(&self, seen: Word, units: u32) -> bool {
        self.replace(seen, seen.without(units))
    }

    /// `units`, which may be none, leave with a carrier; false, and nothing done, if the pool is no
    /// longer as `seen`. The carrier must [`arrive`](Self::arrive).
    pub(super) fn depart(&self, seen: Word, units: u32) -> bool {
        // A spilt count of carriers would be a unit of version, and a refusal would no longer wait.
        assert!(seen.carriers() < TRANSIT_MASK, "one carrier per calling thread");
        let Word(left) = seen.without(units);
        self.replace(seen, Word(left + ONE_IN_TRANSIT))
    }

    /// A carrier is done; the `units` it still has come back in the same operation, so that no
    /// reader finds the pool settled while they are missing.
    pub(super) fn arrive(&self, units: u32) {
        let before = self.add(u64::from(units).wrapping_add(ONE_VERSION - ONE_IN_TRANSIT));
        assert!(before.carriers() > 0, "who arrives has departed");
        assert_room(before, units);
    }

    fn add(&self, change: u64) -> Word {
        Word(self.0.fetch_add(change, ONE_ORDER))
    }

    fn replace(&self, seen: Word, next: Word) -> bool {
        self.0.compare_exchange(seen.0, next.0, ONE_ORDER, ONE_ORDER).is_ok()
    }
}

/// No more units come back than an activity can have.
fn assert_room(before: Word, units: u32) {
    assert!(units <= STOCKED_MAX - before.units().min(STOCKED_MAX), "units given that no one took");
}
