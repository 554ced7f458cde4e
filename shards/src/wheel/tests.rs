//! The wheel against tables, every deadline of small spaces, a plain model, and a million timers.

use std::collections::{BTreeMap, HashSet};

use proptest::collection::vec;
use proptest::prelude::{Strategy, prop_oneof, proptest};

use super::level::{LEVELS, place, ticks};
use super::{MOVES_MOST, TimerKey, Wheel};
use crate::clock::Timestamp;

const MINUTE: u64 = 60 * 1000;
const DAY: u64 = 24 * 60 * MINUTE;

/// All that is due at `now`.
fn advance(wheel: &mut Wheel<u64>, now: u64) -> Vec<u64> {
    let mut due = Vec::new();
    while wheel.advance(Timestamp(now), usize::MAX, &mut due) {}
    due
}

#[test]
fn a_deadline_has_the_lowest_level_that_reaches_it() {
    let check = |at, wait, level, tick| {
        assert_eq!(place(at, at + wait), (level, tick), "at {at}, after {wait} ms");
    };
    check(0, 0, 0, 0);
    check(0, 63, 0, 63);
    check(0, 64, 1, 2);
    check(0, 2047, 1, 63);
    check(0, 2048, 2, 2);
    check(0, 65_535, 2, 63);
    check(0, 65_536, 3, 2);
    check(0, 15 * MINUTE, 3, 27);
    check(31, 64, 1, 2);
    check(31, 2047, 1, 64);
    check(1023, 2048, 2, 2);
    check(1023, 65_535, 2, 64);
    check(0, 30 * DAY, 6, 2);
    check(0, (64 << 30) - 1, 6, 63);
    check(0, 64 << 30, 6, 63);
    check((1 << 30) - 1, 1 << 47, 6, 64);
}

#[test]
fn a_place_is_never_in_a_slot_that_is_being_emptied() {
    for at in (0..3000).chain((1 << 30) - 40..(1 << 30) + 40) {
        for wait in (0..40).map(|bit| 1 << bit).flat_map(|wait| [wait - 1, wait, wait + 1]) {
            let (level, tick) = place(at, at + wait);
            let ahead = tick - ticks(at, level);
            assert!(level < LEVELS && ahead <= 64, "at {at}, after {wait} ms");
            assert!(if level == 0 { ahead < 64 } else { ahead >= 2 }, "at {at}, after {wait} ms");
        }
    }
}

#[test]
fn every_deadline_of_five_seconds_fires_on_its_millisecond() {
    for at in [0, 1, 31, 32, 33, 63, 64, 1000, 1023, 1024, 2047, 2048, 4097, 32_767, 65_535] {
        let mut wheel = Wheel::new(Timestamp(at));
        for deadline in at..at + 5000 {
            wheel.insert(Timestamp(deadline), deadline);
        }
        for now in at..at + 5000 {
            assert_eq!(advance(&mut wheel, now), [now], "set at {at}");
        }
        assert!(wheel.is_empty());
    }
}

#[test]
fn every_deadline_of_five_seconds_fires_after_one_leap() {
    for at in [0, 17, 1023, 2047] {
        for deadline in 0..5000 {
            let mut wheel = Wheel::new(Timestamp(at));
            wheel.insert(Timestamp(deadline), deadline);
            if deadline > at {
                assert_eq!(advance(&mut wheel, deadline - 1), [0_u64; 0], "set at {at}");
            }
            assert_eq!(advance(&mut wheel, deadline.max(at)), [deadline], "set at {at}");
        }
    }
}

#[test]
fn what_is_cancelled_does_not_fire_and_what_is_not_does() {
    let mut wheel = Wheel::new(Timestamp(500));
    let mut kept: Vec<_> =
        (0..5000).map(|ms| (ms, wheel.insert(Timestamp(500 + ms), ms))).collect();
    for step in [2, 3, 7] {
        assert_eq!(wheel.len(), kept.len());
        for &(ms, key) in kept.iter().step_by(step) {
            assert_eq!(wheel.cancel(key), Some(ms));
            assert_eq!(wheel.cancel(key), None);
        }
        let cancelled = kept.iter().step_by(step).copied().collect::<HashSet<_>>();
        kept.retain(|timer| !cancelled.contains(timer));
    }
    let kept: Vec<_> = kept.into_iter().map(|(ms, _)| ms).collect();
    assert_eq!(advance(&mut wheel, 5500), kept);
    assert_eq!(wheel.occupied, [0; LEVELS as usize]);
}

#[test]
fn long_waits_end_on_their_millisecond() {
    let at = 1_750_000_000_000;
    for wait in [15 * MINUTE, DAY, 30 * DAY, 783 * DAY, 795 * DAY, 796 * DAY, 5000 * DAY] {
        let mut wheel = Wheel::new(Timestamp(at));
        wheel.insert(Timestamp(at + wait), 1);
        assert_eq!(advance(&mut wheel, at + wait - 1), [0_u64; 0], "after {wait} ms");
        assert_eq!(advance(&mut wheel, at + wait), [1], "after {wait} ms");
    }
}

#[test]
fn the_end_of_time_is_never_reached() {
    let mut wheel = Wheel::new(Timestamp(0));
    wheel.insert(Timestamp(u64::MAX), 1);
    assert_eq!(advance(&mut wheel, u64::MAX), [0_u64; 0]);
    wheel.insert(Timestamp(0), 2);
    assert_eq!(advance(&mut wheel, u64::MAX), [2]);
    assert_eq!(wheel.len(), 1);
}

#[test]
fn a_past_deadline_is_due_at_once_and_time_never_goes_back() {
    let mut wheel = Wheel::new(Timestamp(1000));
    wheel.insert(Timestamp(1), 1);
    wheel.insert(Timestamp(1001), 2);
    assert_eq!(advance(&mut wheel, 0), [1]);
    assert_eq!(advance(&mut wheel, 1001), [2]);
    assert_eq!(advance(&mut wheel, 5), [0_u64; 0]);
    wheel.insert(Timestamp(600), 4);
    assert_eq!(advance(&mut wheel, 500), [4]);
    wheel.insert(Timestamp(1002), 3);
    assert_eq!(advance(&mut wheel, 1001), [0_u64; 0]);
    assert_eq!(advance(&mut wheel, 1002), [3]);
}

#[test]
fn many_due_at_once_come_in_order_a_few_at_a_time() {
    let mut wheel = Wheel::with_capacity(Timestamp(0), 10_000);
    for n in 0..10_000 {
        wheel.insert(Timestamp(100 + n * 7919 % 1000), n * 7919 % 1000);
    }
    let mut due = Vec::new();
    loop {
        let before = due.len();
        let more = wheel.advance(Timestamp(DAY), 300, &mut due);
        assert!(due.len() - before <= 300);
        assert_eq!(more, due.len() < 10_000);
        if !more {
            break;
        }
    }
    assert!(due.is_sorted());
    assert!(!wheel.advance(Timestamp(DAY), 0, &mut due));
}

/// An hour's orders of one second: more than one call may move, and none may fire early or out of
/// order for it, wherever the calls happen to stop.
#[test]
fn moves_are_bounded_too() {
    let timers = 3 * MOVES_MOST;
    for steps in [1, 7, 100] {
        let mut wheel = Wheel::new(Timestamp(0));
        for deadline in (60 * MINUTE..60 * MINUTE + 1000).cycle().take(timers) {
            wheel.insert(Timestamp(deadline), deadline);
        }
        let mut due = Vec::new();
        let mut calls = 0;
        for step in 1..=steps {
            let now = 61 * MINUTE * step / steps;
            while wheel.advance(Timestamp(now), usize::MAX, &mut due) {
                calls += 1;
            }
            assert!(due.last().is_none_or(|&deadline| deadline <= now));
        }
        assert!(calls >= 3, "{calls} calls went on");
        assert!(due.is_sorted() && due.len() == timers);
    }
}

#[test]
fn a_key_names_one_timer_only() {
    let mut wheel = Wheel::new(Timestamp(0));
    let fired = wheel.insert(Timestamp(1), 1);
    assert_eq!(advance(&mut wheel, 1), [1]);
    let cancelled = wheel.insert(Timestamp(2), 2);
    assert_eq!(wheel.cancel(cancelled), Some(2));
    let waits = wheel.insert(Timestamp(3), 3);
    assert_eq!(wheel.timers_made(), 1);
    assert_eq!(wheel.cancel(fired), None);
    assert_eq!(wheel.cancel(cancelled), None);
    assert_eq!(wheel.cancel(waits), Some(3));
}

#[test]
fn a_key_does_not_come_back_when_generations_are_used_up() {
    let mut wheel = Wheel::new(Timestamp(0));
    let first = wheel.insert(Timestamp(1), 0);
    assert_eq!(wheel.cancel(first), Some(0));
    for n in 1..=u64::from(u16::MAX) {
        let key = wheel.insert(Timestamp(1), n);
        assert_eq!(wheel.cancel(first), None);
        assert_eq!(wheel.cancel(key), Some(n));
    }
    assert_eq!(wheel.timers_made(), 2);
}

impl<T: Copy> Wheel<T> {
    fn timers_made(&mut self) -> u32 {
        self.lists.extend()
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Insert { wait: u64 },
    InsertPast { late: u64 },
    Cancel { pick: usize },
    Advance { by: u64, most: usize },
}

/// Any number of bits is as likely, so that every level is met.
fn span() -> impl Strategy<Value = u64> {
    (0u32..38, 0u64..1 << 38).prop_map(|(bits, random)| random >> (38 - bits))
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => span().prop_map(|wait| Operation::Insert { wait }),
        4 => (0u64..3000).prop_map(|wait| Operation::Insert { wait }),
        1 => span().prop_map(|late| Operation::InsertPast { late }),
        3 => (0usize..1000).prop_map(|pick| Operation::Cancel { pick }),
        2 => (span(), 0usize..20).prop_map(|(by, most)| Operation::Advance { by, most }),
        2 => (0u64..200, 0usize..20).prop_map(|(by, most)| Operation::Advance { by, most }),
    ]
}

/// What the wheel does, done slowly.
struct Model {
    wheel: Wheel<u64>,
    now: u64,
    /// By when they are due, and value.
    waiting: BTreeMap<(u64, u64), TimerKey>,
    ended: Vec<TimerKey>,
    values: u64,
}

impl Model {
    fn new(now: u64) -> Self {
        let wheel = Wheel::new(Timestamp(now));
        Self { wheel, now, waiting: BTreeMap::new(), ended: Vec::new(), values: 0 }
    }

    fn run(&mut self, operation: Operation) {
        match operation {
            Operation::Insert { wait } => self.insert(self.now + wait),
            Operation::InsertPast { late } => self.insert(self.now.saturating_sub(late)),
            Operation::Cancel { pick } => self.cancel(pick),
            Operation::Advance { by, most } => self.advance(by, most),
        }
        assert_eq!(self.wheel.len(), self.waiting.len());
        assert_eq!(self.wheel.is_empty(), self.waiting.is_empty());
    }

    fn insert(&mut self, deadline: u64) {
        self.values += 1;
        let key = self.wheel.insert(Timestamp(deadline), self.values);
        self.waiting.insert((deadline.max(self.wheel.at), self.values), key);
    }

    fn cancel(&mut self, pick: usize) {
        if let Some(&old) = self.ended.get(pick) {
            assert_eq!(self.wheel.cancel(old), None);
        }
        let waiting = self.waiting.iter().nth(pick % self.waiting.len().max(1));
        if let Some((&(due, value), &key)) = waiting {
            assert_eq!(self.wheel.cancel(key), Some(value));
            self.waiting.remove(&(due, value));
            self.ended.push(key);
        }
    }

    fn advance(&mut self, by: u64, most: usize) {
        self.now += by;
        let mut fired = Vec::new();
        let more = self.wheel.advance(Timestamp(self.now), most, &mut fired);
        assert!(fired.len() <= most);
        for value in fired {
            let earliest = self.waiting.keys().next().unwrap().0;
            assert!(earliest <= self.now, "{value} fired early");
            let key = self.waiting.remove(&(earliest, value));
            self.ended.push(key.expect("fires in the order of deadlines"));
        }
        let due = self.waiting.keys().next().is_some_and(|&(due, _)| due <= self.now);
        assert_eq!(more, due);
    }
}

proptest! {
    #[test]
    fn the_wheel_does_what_a_sorted_map_does(
        start in span(),
        operations in vec(operation(), 1..400),
    ) {
        let mut model = Model::new(start);
        operations.into_iter().for_each(|operation| model.run(operation));
        model.advance(1 << 40, usize::MAX);
        assert!(model.waiting.is_empty());
    }
}

/// The project's target: a quarter of an hour of a million orders, most of them in one rush, on a
/// core that looks every 10 ms and expires at most 500 orders each time.
#[test]
fn p4_a_million_timers_fire_within_100_ms() {
    let at = 1_750_000_000_000;
    let mut wheel = Wheel::with_capacity(Timestamp(at), 1_000_000);
    for n in 0..1_000_000 {
        let wait = if n % 4 == 0 { n * 900 / 1000 } else { 14 * MINUTE + n * 30 / 1000 };
        wheel.insert(Timestamp(at + wait), at + wait);
    }
    let mut due = Vec::new();
    let mut fired = 0;
    for now in (at..=at + 15 * MINUTE + 100).step_by(10) {
        wheel.advance(Timestamp(now), 500, &mut due);
        assert!(due.iter().all(|&deadline| deadline <= now && now < deadline + 100));
        fired += due.len();
        due.clear();
    }
    assert_eq!(fired, 1_000_000);
}
