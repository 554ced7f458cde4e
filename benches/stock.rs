//! What a take costs beside one shared atomic, with one core at work and with all.
//! It must not know how a stock is built: it takes, from full to sold out.
//!
//! Criterion shows absolute times. The ratios, which are the targets, come from rounds in which
//! the rivals alternate, so that slow spells of the machine meet all of them alike. Other work on
//! it spoils the contended ratio: threads that share a core take turns and do not contend.

use std::{
    hint::black_box,
    sync::atomic::{AtomicI64, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput};
use seckill_shards::stock::{Stock, Take};

/// Takes of each thread in one measurement: long beside the start of a thread on its core.
const TAKES: u32 = 2_000_000;
/// Measurements behind each ratio.
const ROUNDS: usize = 21;

/// One way to keep a countable stock; `take` is one unit, true if it was there.
trait Counter: Sync {
    fn stocked(shards: usize, units: u32) -> Self;
    fn take(&self, shard: usize) -> bool;
}

impl Counter for Stock {
    fn stocked(shards: usize, units: u32) -> Self {
        Self::new(shards, units)
    }
    fn take(&self, shard: usize) -> bool {
        Self::take(self, shard, black_box(1)) == Take::All
    }
}

/// The classic token bucket: subtract, and undo if that was too much.
#[repr(align(128))]
struct Undo(AtomicI64);

impl Counter for Undo {
    fn stocked(_: usize, units: u32) -> Self {
        Self(AtomicI64::new(i64::from(units)))
    }
    fn take(&self, _: usize) -> bool {
        let quantity = black_box(1);
        let taken = self.0.fetch_sub(quantity, Ordering::AcqRel) >= quantity;
        if !taken {
            self.0.fetch_add(quantity, Ordering::AcqRel);
        }
        taken
    }
}

/// The token bucket that never goes below zero: compare-exchange until it holds.
#[repr(align(128))]
struct Exchange(AtomicI64);

impl Counter for Exchange {
    fn stocked(_: usize, units: u32) -> Self {
        Self(AtomicI64::new(i64::from(units)))
    }
    fn take(&self, _: usize) -> bool {
        let quantity = black_box(1);
        let left = |units: i64| (units >= quantity).then(|| units - quantity);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, left).is_ok()
    }
}

/// Sells a stock out on `threads` threads at once; the time of the slowest thread.
fn sell_out<C: Counter>(threads: usize) -> Duration {
    let units = TAKES * u32::try_from(threads).expect("threads are few");
    let counter = C::stocked(threads, units);
    let waiting = AtomicUsize::new(threads);
    let run = &|shard: usize| {
        waiting.fetch_sub(1, Ordering::AcqRel);
        while waiting.load(Ordering::Acquire) > 0 {
            thread::yield_now();
        }
        #[expect(clippy::disallowed_methods, reason = "a bench measures the machine's time")]
        let start = Instant::now();
        for _ in 0..TAKES {
            assert!(counter.take(shard), "there is a unit for each take");
        }
        start.elapsed()
    };
    thread::scope(|scope| {
        let mut running = Vec::with_capacity(threads);
        for shard in 0..threads {
            running.push(scope.spawn(move || run(shard)));
        }
        running
            .into_iter()
            .map(|thread| thread.join().expect("takes do not panic"))
            .fold(Duration::ZERO, Duration::max)
    })
}

fn times(criterion: &mut Criterion, threads: usize) {
    let mut group = criterion.benchmark_group(format!("take/{threads}_cores"));
    group.throughput(Throughput::Elements(u64::from(TAKES))).sample_size(20);
    let mut rival = |name: &str, sell_out: fn(usize) -> Duration| {
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter_custom(|rounds| (0..rounds).map(|_| sell_out(threads)).sum());
        });
    };
    rival("stock", sell_out::<Stock>);
    rival("undo", sell_out::<Undo>);
    rival("exchange", sell_out::<Exchange>);
    group.finish();
}

/// A refusal reads every bucket; this is its price at the smallest and the largest machine.
fn refusals(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("refuse");
    for shards in [2, 8, 128] {
        let stock = Stock::new(shards, 0);
        group.bench_function(BenchmarkId::from_parameter(shards), |bencher| {
            bencher.iter(|| black_box(&stock).take(0, black_box(1)));
        });
    }
    group.finish();
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[expect(clippy::print_stdout, reason = "the ratios are the result")]
#[expect(clippy::float_arithmetic, reason = "a ratio for people to read")]
fn ratios(threads: usize) {
    let rivals = [sell_out::<Stock>, sell_out::<Undo>, sell_out::<Exchange>];
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for (rival, times) in rivals.iter().zip(&mut times) {
            times.push(rival(threads));
        }
    }
    let [stock, undo, exchange] =
        times.map(|times| median(times).as_secs_f64() * 1e9 / f64::from(TAKES));
    println!("{threads} core(s): stock {stock:.2} ns a take");
    println!("  {:.3} of undo ({undo:.2} ns)", stock / undo);
    println!("  {:.3} of exchange ({exchange:.2} ns)", stock / exchange);
}

fn main() {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut criterion = Criterion::default().configure_from_args();
    for threads in [1, cores] {
        times(&mut criterion, threads);
    }
    refusals(&mut criterion);
    for threads in [1, cores] {
        ratios(threads);
    }
    criterion.final_summary();
}
