//! The engine without HTTP: durable orders against a raw append and sync of the same bytes,
//! recovery of the open orders against a raw reading of the same files, and memory per order.
//!
//! A program of its own rather than a criterion bench, since it measures a disk and a process.
//! `ORDERS=1000000` sets the number of orders, `IN_FLIGHT=256` how many wait at once.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "a benchmark measures time and prints figures"
)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use seckill_shards::clock::{Clock, MachineClock, Timestamp};
use seckill_shards::command::{Command, Decision, PlaceOrder, Verdict};
use seckill_shards::disk::{AlignedBuffer, Disk, MachineDisk};
use seckill_shards::engine::{Engine, EngineOptions, Parts, Shard, Threads};
use seckill_shards::ids::{ActivityId, Origin, ProductId, UserId};
use seckill_shards::record::{ActivityPublished, Terms};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ACTIVITY: ActivityId = ActivityId(1);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn main() {
    let orders = number("ORDERS", 1_000_000);
    let in_flight = number("IN_FLIGHT", 256);
    let folder = PathBuf::from("target/bench-engine");
    drop(std::fs::remove_dir_all(&folder));
    let placed = place_orders(&folder, orders, in_flight);
    let raw = raw_append(&folder, placed.groups, placed.bytes);
    println!("orders                 {orders}, {in_flight} in flight");
    println!("durable orders/s       {:.0}", per_second(orders, placed.took));
    println!("  of a raw append+sync {:.2}  (target 0.50)", ratio(raw, placed.took));
    println!(
        "groups                 {}, {:.1} orders each",
        placed.groups,
        each(orders, placed.groups)
    );
    println!("bytes per order        {:.1}, padding included", each(placed.bytes, orders));
    println!("memory per open order  {:.0} bytes  (target 300)", each(placed.memory, orders));
    recovery(&folder, orders);
    drop(std::fs::remove_dir_all(&folder));
}

struct Placed {
    took: Duration,
    groups: u64,
    bytes: u64,
    memory: u64,
}

fn open(folder: &Path) -> (Arc<Engine>, Shard, Threads) {
    let disk: Arc<dyn Disk> = Arc::new(MachineDisk::open_locked(folder).expect("a folder"));
    let clock: Arc<dyn Clock> = Arc::new(MachineClock::start());
    let options = EngineOptions::new(1, Origin::default(), [7; 16]);
    let Parts { engine, mut shards, writer, keeper } =
        Engine::open(&options, clock, disk).expect("a journal");
    let threads = Threads::start(writer, keeper, || {}, |_| {}).expect("threads");
    let shard = shards.pop().expect("one core has one shard");
    shard.wake_with(Waker::from(Arc::new(Unpark(std::thread::current()))));
    (engine, shard, threads)
}

/// Orders that a core decides before it looks what is durable, as in a turn of its event loop.
const TURN_ORDERS: u64 = 64;

/// Places orders as `in_flight` shoppers would who press again as soon as they are answered.
fn place_orders(folder: &Path, orders: u64, in_flight: u64) -> Placed {
    let (engine, mut shard, threads) = open(folder);
    publish(&engine, &mut shard, orders);
    let before = resident();
    let status = Arc::clone(engine.journal());
    let written = |of: &std::sync::atomic::AtomicU64| of.load(std::sync::atomic::Ordering::Relaxed);
    let (groups, bytes) = (written(&status.groups), written(&status.bytes));
    let begun = Instant::now();
    let (mut asked, mut answered) = (0, 0);
    while answered < orders {
        let turn = (asked + TURN_ORDERS).min(orders).min(answered + in_flight);
        while asked < turn {
            let buy = PlaceOrder {
                activity: ACTIVITY,
                user: UserId(asked * 7_919),
                quantity: 1,
                key: asked.wrapping_add(1).to_le_bytes().repeat(2).try_into().expect("16 bytes"),
                body: [3; 16],
                admitted: false,
            };
            let decision = shard.decide(Command::PlaceOrder(buy));
            assert!(matches!(decision, Decision::Pending(_)), "{decision:?}");
            asked += 1;
        }
        shard.submit();
        let before = answered;
        shard.apply_durable(&mut |_, verdict| {
            assert!(matches!(verdict, Verdict::Placed(_)), "{verdict:?}");
            answered += 1;
        });
        // Whoever may still ask does so; then there is nothing to do but to wait.
        if answered == before && asked == orders.min(answered + in_flight) {
            std::thread::park();
        }
    }
    let took = begun.elapsed();
    let memory = resident().saturating_sub(before);
    let (groups, bytes) = (written(&status.groups) - groups, written(&status.bytes) - bytes);
    drop(threads);
    drop(shard);
    Placed { took, groups, bytes, memory }
}

fn publish(engine: &Engine, shard: &mut Shard, units: u64) {
    let now = engine.clock().now();
    let terms = Terms {
        title: "bench".to_owned(),
        product: ProductId(1),
        product_title: "bench".to_owned(),
        sale_price: 100,
        list_price: 200,
        currency: *b"USD",
        stocked: u32::try_from(units).expect("as many units as orders"),
        per_user_limit: 1,
        pay_window_ms: 900_000,
        starts_at: Timestamp(0),
        ends_at: now.plus_ms(3_600_000),
        admission: false,
    };
    let published = ActivityPublished { activity: ACTIVITY, version: 1, terms, at: now };
    // The journal's thread may not have said yet that it takes anything.
    let publish = || Command::Publish { row: Box::new(published.clone()), forgotten: 0 };
    while !matches!(shard.decide(publish()), Decision::Pending(_)) {
        std::thread::yield_now();
    }
    shard.submit();
    while engine.activity(ACTIVITY).is_none() {
        shard.apply_durable(&mut |_, _| {});
    }
}

/// The same bytes in as many writes and syncs, into a file that was written before.
fn raw_append(folder: &Path, groups: u64, bytes: u64) -> Duration {
    let disk = MachineDisk::open_beside(folder).expect("it was made a moment ago");
    let each = usize::try_from(bytes / groups).expect("small").next_multiple_of(512);
    let length = 256 << 20;
    let file = disk.create("raw", length).expect("room");
    let mut buffer = AlignedBuffer::with_capacity(each);
    buffer.extend(&vec![1; each]);
    let begun = Instant::now();
    let mut offset = 0;
    for _ in 0..groups {
        if offset + each as u64 > length {
            offset = 0;
        }
        file.write_at(offset, buffer.as_slice()).expect("room");
        file.sync().expect("a disk");
        offset += each as u64;
    }
    let took = begun.elapsed();
    disk.remove("raw").expect("it was made above");
    took
}

fn recovery(folder: &Path, orders: u64) {
    let names = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).expect("the folder").flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.retain(|path| {
            path.extension().is_some_and(|it| it == "segment" || it == "checkpoint")
        });
        paths.sort();
        paths
    };
    let mut measured = Vec::new();
    for cold in [true, false] {
        forget_files(cold);
        let begun = Instant::now();
        let mut bytes = 0;
        let mut buffer = vec![0; 1 << 20];
        for path in names(folder) {
            let mut file = File::open(path).expect("a file");
            loop {
                let read = file.read(&mut buffer).expect("readable");
                if read == 0 {
                    break;
                }
                bytes += read as u64;
            }
        }
        let raw = begun.elapsed();
        forget_files(cold);
        let begun = Instant::now();
        let (engine, shard, threads) = open(folder);
        let took = begun.elapsed();
        assert_eq!(engine.recovery().orders as u64, orders);
        drop(threads);
        drop(shard);
        measured.push((cold, raw, took, bytes));
    }
    for (cold, raw, took, bytes) in measured {
        let state = if cold { "after a reboot" } else { "files in memory" };
        println!(
            "recovery, {state:<15} {:.2} s, {:.2} of reading its {} MiB  (target 3)",
            took.as_secs_f64(),
            ratio(took, raw),
            bytes >> 20,
        );
    }
}

/// Makes the machine forget the files, as a reboot does; needs root.
fn forget_files(forget: bool) {
    if forget {
        let done =
            File::create("/proc/sys/vm/drop_caches").and_then(|mut file| file.write_all(b"3"));
        if done.is_err() {
            println!("not root: files stay in memory");
        }
    }
}

fn resident() -> u64 {
    let mut buffer = [0; 256];
    let file = File::open("/proc/self/statm").expect("Linux");
    let read = file.read_at(&mut buffer, 0).expect("readable");
    let text = String::from_utf8_lossy(&buffer[..read]);
    let pages: u64 = text.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a number");
    pages * 4_096
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

fn each(total: u64, of: u64) -> f64 {
    total as f64 / of as f64
}
