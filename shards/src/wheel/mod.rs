//! The wheel ends the wait of unpaid orders: timers that are set, cancelled and fired in O(1).
//! It must not know what a timer is for, nor read a clock: it is told the time.
//!
//! It is the hierarchical timing wheel of G. Varghese and T. Lauck, "Hashed and hierarchical timing
//! wheels" (SOSP 1987, scheme 7). Each level is a ring of 64 slots; a slot of the lowest is one
//! millisecond, and a slot of any other spans 32 of the level below, half of its ring. So the slot
//! that comes next can be moved to the level below at any time in the turn before it begins. This
//! cascade is therefore done ahead, a bounded share in each `advance`, where levels that meet end
//! to end would have to move all of a slot's timers in one instant. Seven levels reach 795 days;
//! deadlines beyond are parked in the last slot and placed again.

mod level;
mod lists;
#[cfg(test)]
mod tests;
mod timers;

pub use timers::TimerKey;

use crate::clock::Timestamp;
use level::{LEVELS, list, place, slot, slot_of, start, ticks};
use lists::Lists;
use timers::{LATEST, Timers};

/// Most timers that one `advance` moves to a lower level: a fraction of a millisecond of work.
const MOVES_MOST: usize = 4096;

/// Timers of one core, each with a small value that comes out at its deadline.
///
/// A timer takes 24 bytes with a value of eight. The memory of one that has ended is kept for
/// another. Growing copies all timers, so give `with_capacity` the bound on how many may wait:
/// until they do, the system gives that memory an address but no pages.
#[derive(Debug)]
pub struct Wheel<T> {
    timers: Timers<T>,
    lists: Lists,
    /// For each level, a bit for each slot that is not empty.
    occupied: [u64; LEVELS as usize],
    len: usize,
    /// The instant that the wheel has come to: all that was due before it has fired.
    at: u64,
    /// The latest instant that the wheel was told.
    now: u64,
}

impl<T: Copy> Wheel<T> {
    /// An empty wheel that stands at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self::with_capacity(now, 0)
    }

    /// An empty wheel that stands at `now` and grows only when more than `timers` wait at once.
    pub fn with_capacity(now: Timestamp, timers: usize) -> Self {
        let now = tellable(now);
        Self {
            timers: Timers::with_capacity(timers),
            lists: Lists::with_capacity(timers),
            occupied: [0; LEVELS as usize],
            len: 0,
            at: now,
            now,
        }
    }

    /// How many timers wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets a timer. One whose deadline is past is due at the next `advance`; one whose deadline
    /// is after the year 10889 never is.
    pub fn insert(&mut self, deadline: Timestamp, value: T) -> TimerKey {
        let deadline = deadline.0.min(LATEST).max(self.at);
        let timer = self.lists.take().unwrap_or_else(|| self.extend(value));
        self.link(timer, deadline);
        self.len += 1;
        self.timers.set(timer, deadline, value)
    }

    /// Ends a timer before it fires and returns its value; `None` when it has fired or was
    /// cancelled already.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let timer = self.timers.find(key)?;
        Some(self.end(timer))
    }

    /// Moves the wheel to `now` and appends at most `most` due values to `due`, in the order of
    /// their deadlines, to the millisecond. Returns whether more may be due: the next call goes on
    /// from there, so that any number of timers due at once is met in steps of bounded work.
    ///
    /// Time never goes back: a `now` before that of an earlier call counts as the earlier one.
    pub fn advance(&mut self, now: Timestamp, most: usize, due: &mut Vec<T>) -> bool {
        self.now = self.now.max(tellable(now));
        let mut fires_left = most;
        let mut moves_left = MOVES_MOST;
        loop {
            fires_left -= self.fire(fires_left, due);
            moves_left -= self.cascade(moves_left);
            let stop = self.next_stop();
            if stop == self.at {
                return self.at < self.now || self.lists.first(list(0, self.at)).is_some();
            }
            self.at = stop;
        }
    }

    /// Fires at most `most` timers of the present millisecond. Returns how many.
    fn fire(&mut self, most: usize, due: &mut Vec<T>) -> usize {
        let list = list(0, self.at);
        let mut fired = 0;
        while fired < most
            && let Some(timer) = self.lists.first(list)
        {
            due.push(self.end(timer));
            fired += 1;
        }
        fired
    }

    /// Moves at most `most` timers out of the levels' next slots. Returns how many.
    fn cascade(&mut self, most: usize) -> usize {
        let mut moved = 0;
        // The lowest first, since its next slot begins the soonest. What comes down from above need
        // not go further in the same pass: it is placed as low as it can be.
        for level in 1..LEVELS {
            let list = list(level, ticks(self.at, level) + 1);
            while moved < most
                && let Some(timer) = self.lists.first(list)
            {
                self.unlink(timer);
                self.link(timer, self.timers.deadline(timer));
                moved += 1;
            }
        }
        moved
    }

    /// How far the wheel may go until there is something to fire or to move: not past `now`, and
    /// no further than `at` if what is to be done there is not finished.
    fn next_stop(&self) -> u64 {
        let fire = self.first_occupied(0, self.at).unwrap_or(self.now);
        (1..LEVELS).map(|level| self.cascade_stop(level)).fold(fire.min(self.now), u64::min)
    }

    /// When the level's first timers may be moved; or if they may already, the last instant before
    /// their slot begins, since they must be.
    fn cascade_stop(&self, level: u32) -> u64 {
        let next = ticks(self.at, level) + 1;
        match self.first_occupied(level, next) {
            None => self.now,
            Some(tick) if tick == next => start(tick, level) - 1,
            Some(tick) => start(tick - 1, level),
        }
    }

    /// The level's first tick from `tick` on, within one turn, whose slot is not empty.
    fn first_occupied(&self, level: u32, tick: u64) -> Option<u64> {
        let ahead = self.occupied[level as usize].rotate_right(slot(tick));
        (ahead != 0).then(|| tick + u64::from(ahead.trailing_zeros()))
    }

    // Rare, and kept out of `insert`, which it would slow down.
    #[cold]
    #[inline(never)]
    fn extend(&mut self, value: T) -> u32 {
        self.timers.extend(value);
        self.lists.extend()
    }

    fn end(&mut self, timer: u32) -> T {
        let (value, reusable) = self.timers.end(timer);
        self.unlink(timer);
        if reusable {
            self.lists.give(timer);
        }
        self.len -= 1;
        value
    }

    fn link(&mut self, timer: u32, deadline: u64) {
        let (level, tick) = place(self.at, deadline);
        self.occupied[level as usize] |= 1 << slot(tick);
        self.lists.link(list(level, tick), timer);
    }

    fn unlink(&mut self, timer: u32) {
        if let Some(emptied) = self.lists.unlink(timer) {
            let (level, slot) = slot_of(emptied);
            self.occupied[level as usize] &= !(1 << slot);
        }
    }
}

/// The wheel stands before the latest deadline, so that one that had to be cut to it never fires.
fn tellable(now: Timestamp) -> u64 {
    now.0.min(LATEST - 1)
}
