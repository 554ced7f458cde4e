//! The countable units of one activity: a pool and one bucket per core, without a lock.
//! It must not know buyers, places, orders or time, nor why units are taken and given.
//!
//! Units flow pool → bucket → taken. A core *refills* its bucket from the pool in chunks and takes
//! from it without touching a line that others write; when the pool runs dry it *steals* exactly
//! what it sells from one neighbour, and when no single place has enough it *gathers* parts. Units
//! that come back always go to the pool.
//!
//! # Why a refusal is exact
//!
//! `take` behaves as if it did all its work at one instant between call and return. A refusal must
//! therefore name an instant at which fewer than `quantity` units were free, and adding up the pool
//! and then each bucket does not: (a) units can be given during the sum, behind the reader's back,
//! (b) a refill carries a chunk that is neither in the pool nor in the bucket, (c) a gatherer
//! carries parts that it may have to return. The pool's word shows all three: each give changes
//! its version, and a refill or gather is counted in its transit from before the first unit is
//! out of sight until after the last is in its place. A refusal stands on three readings:
//!
//! 1. the word, with no transit; 2. every bucket; 3. the same word again.
//!
//! The word stood still between 1 and 3, so no one gave, and no one set out or was under way.
//! Only refills fill a bucket, so in that time the pool was constant and the buckets could only
//! fall. If everything read was zero, then everything is zero at 3: `SoldOut`. If the sum is below
//! `quantity`, reading the buckets twice and finding the same sum means that none of them fell
//! between the two passes, so the sum was the number of free units at that time: `Short`. In any
//! other case something moved and the reader tries again, a bounded number of times; then it is
//! `Contended`, and nothing has happened.
//!
//! So two gatherers cannot refuse each other: each sees the other in transit, and waits for it to
//! succeed or to return its parts. Returned parts lie in the pool, where one operation takes them
//! all, so gatherers that collide do not collide for ever. A gather begins only after a sum showed
//! enough units, so a refusal that did not lose a race for them has written to no shared line.
//!
//! A give waits for no one, and nor does a take of units that lie in sight: where its
//! compare-exchange fails, another's succeeded. Who can find no unit, or too few, may be held up by
//! a carrier that lost its core, and `Contended` bounds that wait. Carriers are rare where this
//! matters: chunks shrink with the pool, and single takes fetch its last units in one operation
//! each, without transit.

mod bucket;
mod pool;
#[cfg(test)]
mod tests;

use crossbeam_utils::CachePadded;

use self::{
    bucket::Bucket,
    pool::{Pool, Word},
};
use crate::limits::{
    CHUNK_UNITS_MAX, CHUNKS_PER_SHARD, SHARDS_MAX, STOCKED_MAX, TRANSIT_ATTEMPTS_MAX,
};
use crate::sync::{atomic::Ordering, hint};

/// Threads inside `take` at one time: one per shard, and as many again for callers beside them.
const CARRIERS_MAX: usize = 2 * SHARDS_MAX - 1;

/// The order of every access to pool and buckets. The argument above speaks of instants, and only
/// sequential consistency has them: with acquire and release alone two readers may see a give and
/// a take in opposite orders. On x86-64 and aarch64 it is the same instructions. (loom takes it for
/// acquire and release, so its models prove a little more than is needed.)
const ONE_ORDER: Ordering = Ordering::SeqCst;

/// The answer to [`Stock::take`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// All units asked for are the caller's, to sell or to [`give`](Stock::give) back.
    All,
    /// No unit was taken: at one instant of the call exactly `remaining` units were free, at least
    /// one and fewer than were asked for.
    Short {
        /// Units free at that instant.
        remaining: u32,
    },
    /// No unit was taken: at one instant of the call none was free.
    SoldOut,
    /// No unit was taken, and nothing is known: units were in motion all the time. Worth a retry.
    Contended,
}

/// Proof that nothing was free: the pool's word, which changes with every unit that comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoldOut(Word);

/// The free units of one activity, shared by all cores.
#[derive(Debug)]
pub struct Stock {
    /// Any core writes it, but on the fast path none does.
    pool: CachePadded<Pool>,
    /// One per shard, each on its own lines: written by its owner, and by thieves at the end.
    buckets: Box<[CachePadded<Bucket>]>,
}

impl Stock {
    /// A stock of at most [`STOCKED_MAX`] units, all in the pool, for 1 to [`SHARDS_MAX`] shards.
    ///
    /// # Panics
    ///
    /// If either number is out of its bounds.
    pub fn new(shards: usize, units: u32) -> Self {
        assert!((1..=SHARDS_MAX).contains(&shards), "1 to {SHARDS_MAX} shards");
        assert!(units <= STOCKED_MAX, "at most {STOCKED_MAX} units");
        Self {
            pool: CachePadded::new(Pool::new(units)),
            buckets: (0..shards).map(|_| CachePadded::new(Bucket::new())).collect(),
        }
    }

    /// Takes `quantity` units for `shard`, all or none. Selling and withdrawing both take.
    ///
    /// # Panics
    ///
    /// If `quantity` is not within 1 to [`STOCKED_MAX`], or there is no such shard.
    pub fn take(&self, shard: usize, quantity: u32) -> Take {
        assert!((1..=STOCKED_MAX).contains(&quantity), "1 to {STOCKED_MAX} units");
        match self.buckets[shard].take(quantity) {
            Ok(()) => Take::All,
            Err(_) => self.take_beyond_bucket(shard, quantity),
        }
    }

    /// Gives `quantity` units to the pool. Returning, and restocking, both give.
    ///
    /// # Panics
    ///
    /// If the pool would hold more than [`STOCKED_MAX`]: more units came back than exist.
    pub fn give(&self, quantity: u32) {
        assert!((1..=STOCKED_MAX).contains(&quantity), "1 to {STOCKED_MAX} units");
        self.pool.give(quantity);
    }

    /// A stamp if at one instant of the call no unit was free; nothing if some were, or if units
    /// were in motion. Two equal stamps mean that no unit was free in all the time between. Reads
    /// only.
    pub fn sold_out(&self) -> Option<SoldOut> {
        let word = self.pool.read();
        let empty = word.units() == 0 && self.bucket_units() == 0 && self.stood_still(word);
        empty.then_some(SoldOut(word))
    }

    /// Free units, for display: read one place after another, so units in motion may be missing
    /// or counted twice. Nothing may be decided on it; zero does not mean sold out.
    pub fn free(&self) -> u32 {
        self.pool.read().units().saturating_add(self.bucket_units())
    }

    #[cold]
    fn take_beyond_bucket(&self, shard: usize, quantity: u32) -> Take {
        for _ in 0..TRANSIT_ATTEMPTS_MAX {
            if let Some(answer) = self.attempt(shard, quantity) {
                return answer;
            }
            hint::spin_loop();
        }
        Take::Contended
    }

    /// Pool, neighbours, parts, refusal, in this order; nothing if something moved on the way.
    fn attempt(&self, shard: usize, quantity: u32) -> Option<Take> {
        let word = self.pool.read();
        if word.units() >= quantity {
            return self.refill(shard, quantity, word).then_some(Take::All);
        }
        let Err(in_buckets) = self.steal(shard, quantity) else {
            return Some(Take::All);
        };
        let free = word.units().saturating_add(in_buckets);
        if free >= quantity {
            return self.gather(shard, quantity, word).then_some(Take::All);
        }
        if free == 0 {
            return self.stood_still(word).then_some(Take::SoldOut);
        }
        let is_exact = self.bucket_units() == in_buckets && self.stood_still(word);
        is_exact.then_some(Take::Short { remaining: free })
    }

    /// Takes `quantity` out of a chunk of the pool and fills the bucket with the rest.
    fn refill(&self, shard: usize, quantity: u32, word: Word) -> bool {
        let chunk = chunk(word.units(), self.buckets.len(), quantity);
        if chunk == quantity {
            return self.pool.take(word, quantity);
        }
        if !self.pool.depart(word, chunk) {
            return false;
        }
        self.buckets[shard].give(chunk - quantity);
        self.pool.arrive(0);
        true
    }

    /// Takes `quantity` from one bucket; if none has so many, returns the units seen in all.
    fn steal(&self, shard: usize, quantity: u32) -> Result<(), u32> {
        let mut seen: u32 = 0;
        for bucket in self.buckets_from(shard) {
            match bucket.take(quantity) {
                Ok(()) => return Ok(()),
                Err(units) => seen = seen.saturating_add(units),
            }
        }
        Err(seen)
    }

    /// Takes `quantity` in parts, or returns to the pool what it found.
    fn gather(&self, shard: usize, quantity: u32, word: Word) -> bool {
        let mut held = word.units();
        if !self.pool.depart(word, held) {
            return false;
        }
        for bucket in self.buckets_from(shard) {
            held += bucket.take_up_to(quantity - held);
        }
        let is_complete = held == quantity;
        self.pool.arrive(if is_complete { 0 } else { held });
        is_complete
    }

    /// No unit was given or in transit since `word` was read.
    fn stood_still(&self, word: Word) -> bool {
        word.is_settled() && self.pool.read() == word
    }

    /// A unit that moves during the sum may be counted in several buckets, so the sum saturates.
    fn bucket_units(&self) -> u32 {
        self.buckets.iter().fold(0, |sum: u32, bucket| sum.saturating_add(bucket.units()))
    }

    /// The shard's own bucket, then its neighbours; each shard robs another one first.
    fn buckets_from(&self, shard: usize) -> impl Iterator<Item = &Bucket> {
        let (before, from) = self.buckets.split_at(shard);
        from.iter().chain(before).map(|bucket| &**bucket)
    }
}

/// Units that leave a pool of `pool` units in one refill: at least `quantity`, and no more than
/// the pool has.
fn chunk(pool: u32, shards: usize, quantity: u32) -> u32 {
    let shards = u32::try_from(shards).expect("shards are few");
    (pool / (shards * CHUNKS_PER_SHARD)).min(CHUNK_UNITS_MAX).max(quantity)
}
