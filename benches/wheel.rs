//! One timer is set and one cancelled while a million wait: the wheel, and beside it tokio-util's
//! `DelayQueue`. Both get the same deadlines and cancel in the same order.
//! It must not measure what is not theirs: keys are put in the order of use beforehand.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput};
use seckill_shards::clock::Timestamp;
use seckill_shards::wheel::{TimerKey, Wheel};
use tokio::time::Instant;
use tokio_util::time::{DelayQueue, delay_queue};

const WAITING: usize = 1_000_000;

const WINDOW_MS: u64 = 15 * 60 * 1000;

/// What both can do, each in its own way; milliseconds count from when it was made.
trait Timers {
    type Key: Copy;

    fn set(&mut self, deadline_ms: u64, value: u64) -> Self::Key;

    fn cancel(&mut self, key: Self::Key) -> u64;
}

impl Timers for Wheel<u64> {
    type Key = TimerKey;

    fn set(&mut self, deadline_ms: u64, value: u64) -> TimerKey {
        self.insert(Timestamp(deadline_ms), value)
    }

    fn cancel(&mut self, key: TimerKey) -> u64 {
        Self::cancel(self, key).expect("each key is used once")
    }
}

struct Peer {
    queue: DelayQueue<u64>,
    start: Instant,
}

impl Timers for Peer {
    type Key = delay_queue::Key;

    fn set(&mut self, deadline_ms: u64, value: u64) -> delay_queue::Key {
        self.queue.insert_at(value, self.start + Duration::from_millis(deadline_ms))
    }

    fn cancel(&mut self, key: delay_queue::Key) -> u64 {
        self.queue.remove(&key).into_inner()
    }
}

fn wheel() -> Wheel<u64> {
    Wheel::with_capacity(Timestamp(0), WAITING + 1)
}

fn peer() -> Peer {
    Peer { queue: DelayQueue::with_capacity(WAITING + 1), start: Instant::now() }
}

/// A million timers wait; then each step sets one more and cancels one of the million.
struct Pattern {
    first: Vec<u64>,
    then: Vec<u64>,
    cancels: Vec<usize>,
}

impl Pattern {
    fn new(deadlines: impl Iterator<Item = u64>, cancels: Vec<usize>) -> Self {
        let mut first: Vec<_> = deadlines.take(2 * WAITING).collect();
        let then = first.split_off(WAITING);
        Self { first, then, cancels }
    }

    /// The time of a million steps.
    fn run<M: Timers>(&self, mut timers: M) -> Duration {
        let keys: Vec<_> = self.first.iter().map(|&deadline| timers.set(deadline, 1)).collect();
        let keys: Vec<_> = self.cancels.iter().map(|&index| keys[index]).collect();
        let start = Instant::now();
        for (&deadline, &key) in self.then.iter().zip(&keys) {
            black_box(timers.set(deadline, 2));
            black_box(timers.cancel(key));
        }
        start.elapsed()
    }
}

/// Sebastiano Vigna's SplitMix64, the same numbers in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// Deadlines anywhere in the window.
fn scattered() -> impl Iterator<Item = u64> {
    let mut random = Random(42);
    std::iter::repeat_with(move || random.below(WINDOW_MS))
}

/// Deadlines one window after orders that come at 100 a millisecond.
fn steady() -> impl Iterator<Item = u64> {
    (0..).map(|order| WINDOW_MS + order / 100)
}

fn oldest_first() -> Vec<usize> {
    (0..WAITING).collect()
}

fn shuffled() -> Vec<usize> {
    let mut random = Random(7);
    let mut keyed: Vec<_> =
        oldest_first().into_iter().map(|n| (random.below(u64::MAX), n)).collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, n)| n).collect()
}

fn bench<M: Timers>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: BenchmarkId,
    pattern: &Pattern,
    make: fn() -> M,
) {
    group.bench_function(id, |bencher| {
        bencher.iter_custom(|runs| (0..runs).map(|_| pattern.run(make())).sum());
    });
}

fn main() {
    // A `DelayQueue` asks the runtime for its clock, though it is never polled here.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime without I/O needs nothing of the system");
    let _context = runtime.enter();
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("set and cancel");
    group.throughput(Throughput::Elements(WAITING as u64));
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    for (name, pattern) in [
        ("scattered, oldest first", Pattern::new(scattered(), oldest_first())),
        ("scattered, shuffled", Pattern::new(scattered(), shuffled())),
        ("steady, oldest first", Pattern::new(steady(), oldest_first())),
        ("steady, shuffled", Pattern::new(steady(), shuffled())),
    ] {
        bench(&mut group, BenchmarkId::new("Wheel", name), &pattern, wheel);
        bench(&mut group, BenchmarkId::new("DelayQueue", name), &pattern, peer);
    }
    group.finish();
    criterion.final_summary();
}
