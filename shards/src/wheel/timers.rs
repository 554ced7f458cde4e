//! The timers are what waits in the wheel, and what the keys to it name.
//! They know neither slots nor the time: a deadline is a number to keep.

use std::num::NonZeroU16;

/// Names one timer for as long as it waits; afterwards it names nothing, ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey {
    index: u32,
    /// Not zero, so that an `Option<TimerKey>` takes no more than the key's own eight bytes.
    generation: NonZeroU16,
}

const _: () = assert!(size_of::<Option<TimerKey>>() == 8);

#[derive(Debug)]
struct Timer<T> {
    value: T,
    /// 48 bits of deadline above 16 bits of generation, which rises each time the timer ends.
    stamp: u64,
}

const _: () = assert!(size_of::<Timer<u64>>() == 16, "two thirds of the 24 bytes of a timer");

const GENERATION_BITS: u32 = 16;

/// The latest deadline that can be kept, in milliseconds since the Unix epoch: the year 10889.
pub(super) const LATEST: u64 = u64::MAX >> GENERATION_BITS;

#[derive(Debug)]
pub(super) struct Timers<T> {
    timers: Vec<Timer<T>>,
}

impl<T: Copy> Timers<T> {
    pub(super) fn with_capacity(timers: usize) -> Self {
        Self { timers: Vec::with_capacity(timers) }
    }

    /// Makes one more timer, in its first generation.
    pub(super) fn extend(&mut self, value: T) {
        self.timers.push(Timer { value, stamp: 1 });
    }

    pub(super) fn set(&mut self, index: u32, deadline: u64, value: T) -> TimerKey {
        let timer = &mut self.timers[index as usize];
        let generation = NonZeroU16::new(timer.generation()).expect("a used-up timer stays idle");
        let stamp = deadline << GENERATION_BITS | u64::from(generation.get());
        *timer = Timer { value, stamp };
        TimerKey { index, generation }
    }

    /// The timer of the key, if it has not ended.
    pub(super) fn find(&self, key: TimerKey) -> Option<u32> {
        let timer = self.timers.get(key.index as usize)?;
        (timer.generation() == key.generation.get()).then_some(key.index)
    }

    pub(super) fn deadline(&self, index: u32) -> u64 {
        self.timers[index as usize].stamp >> GENERATION_BITS
    }

    /// Ends the timer: its key names nothing from here on. Returns its value and whether the timer
    /// may be set again. It may not when its generations are used up, lest an old key come back:
    /// that costs one timer's memory in 65,535 timers.
    pub(super) fn end(&mut self, index: u32) -> (T, bool) {
        let timer = &mut self.timers[index as usize];
        // What a carry makes of the deadline does not matter: it has been kept long enough.
        timer.stamp = timer.stamp.wrapping_add(1);
        (timer.value, timer.generation() != 0)
    }
}

impl<T> Timer<T> {
    fn generation(&self) -> u16 {
        (self.stamp & 0xffff) as u16
    }
}
