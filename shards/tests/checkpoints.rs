//! Checkpoints: the disk's use is bounded whatever the uptime, nothing is lost whatever fails while one is made, and
//! no buyer waits for it.

#![expect(clippy::unwrap_used, reason = "a test may fail, and names the verdicts it wants")]

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use seckill_shards::command::{Command, PlaceOrder, Refusal, Verdict};
use seckill_shards::disk::{Disk, DiskFile};
use seckill_shards::engine::{Engine, KeepError, OpenError, Parts, read_fold};
use seckill_shards::ids::{ActivityId, OrderId};
use seckill_shards::journal::{SegmentQueues, checkpoint_name, list};
use seckill_shards::limits::{CHECKPOINT_SEGMENTS, SEGMENTS_AHEAD};
use seckill_shards::record::Status;
use seckill_shards::testing::world::{SEGMENT_BYTES, buy, digest, placed, publish, published};
use seckill_shards::testing::{SimulatedDisk, World};

/// Places an order and cancels it; what the disk keeps of it in the end is nothing.
fn churn(world: &mut World, user: u64) {
    let order = placed(world.ask(Command::PlaceOrder(buy(1, user, 1))));
    let verdict = world.ask(Command::CancelOrder { order, user: None });
    assert!(matches!(verdict, Verdict::Moved(_)), "{verdict:?}");
}

#[test]
fn disk_use_is_bounded_whatever_the_uptime() {
    let mut world = World::new(3, 2);
    world.ask(publish(published(1, 10)));
    let (mut files, mut used) = (0, 0);
    let segments = |world: &World| *list(&world.disk).unwrap().segments.last().unwrap();
    for user in 0.. {
        if segments(&world) > 50 {
            break;
        }
        churn(&mut world, user);
        world.flush();
        world.keep();
        if segments(&world) > 12 {
            files = files.max(world.disk.list().unwrap().len());
            used = used.max(world.disk.used());
        }
    }
    let segments_most = CHECKPOINT_SEGMENTS + 1 + 2 * SEGMENTS_AHEAD;
    assert!(files <= segments_most + 2, "{files} files");
    assert!(used <= segments_most as u64 * SEGMENT_BYTES + 4 * 4_096, "{used} bytes");
    assert!(world.keeper.checkpoints.load(Relaxed) >= 10);
    world.pass(10);
    let world = world.crash(2).unwrap();
    assert!(world.engine.recovery().orders < 200, "settled orders are not read again");
    assert_eq!(world.engine.activity(ActivityId(1)).unwrap().remaining(), 10);
}

/// A world whose keeper is about to make its second checkpoint, and the orders that are open in it.
fn world_before_checkpoint(seed: u64) -> (World, Vec<OrderId>) {
    let mut world = World::new(seed, 2);
    world.ask(publish(published(1, 20)));
    let mut open = Vec::new();
    for user in 0.. {
        if user % 40 == 0 && open.len() < 9 {
            open.push(placed(world.ask(Command::PlaceOrder(buy(1, 10_000 + user, 1)))));
        }
        churn(&mut world, user);
        let made = world.keeper.checkpoints.load(Relaxed);
        if made == 0 {
            world.flush();
            world.keep();
            continue;
        }
        // Segments are made ahead, but the store is behind, until enough are closed.
        world.keep();
        let behind = world.keeper.files();
        if behind > CHECKPOINT_SEGMENTS + 2 * SEGMENTS_AHEAD {
            world.flush();
            return (world, open);
        }
    }
    unreachable!("segments fill up")
}

fn check_open(world: &World, open: &[OrderId]) {
    let (found, fold) = read_fold(&world.disk, None).unwrap();
    assert_eq!(found.position, world.engine.journal().durable_position());
    let units = u32::try_from(open.len()).unwrap();
    assert_eq!(fold.activities[&ActivityId(1)].free(), 20 - units);
    for order in open {
        let view = world.shards[order.owner(world.shards.len())].order(*order).unwrap();
        assert_eq!(view.status, Status::AwaitingPayment);
        assert_eq!(fold.orders.order(*order).unwrap().view(), view);
    }
}

#[test]
fn a_crash_at_any_disk_call_of_a_checkpoint_loses_nothing() {
    let (mut world, _) = world_before_checkpoint(1);
    let before = world.disk.calls();
    assert!(world.keeper.step().unwrap(), "it makes a checkpoint");
    assert_eq!(world.keeper.checkpoints.load(Relaxed), 2);
    let calls = world.disk.calls() - before;
    assert!(calls > 8, "{calls} calls");
    for call in 0..calls {
        let (mut world, open) = world_before_checkpoint(call);
        world.disk.fail_after(call);
        world.keeper.step().expect_err("the disk fails");
        let mut world = world.crash(2).unwrap();
        check_open(&world, &open);
        world.flush();
        world.keep();
        churn(&mut world, 77);
        check_open(&world.crash(1).unwrap(), &open);
    }
}

/// A disk that cannot be read stops the start, or leaves a checkpoint undone; nothing is taken for
/// empty, and all is there when it can be read again.
#[test]
fn d8_a_read_that_fails_is_no_end_of_the_journal() {
    let (world, open) = world_before_checkpoint(1);
    let World { disk, clock, options, .. } = world;
    let open_world = || World::open(disk.clone(), Arc::clone(&clock), options.clone());
    for call in 0.. {
        disk.fail_reads_after(call);
        let opened = open_world();
        disk.heal_reads();
        match opened {
            Err(OpenError::Read(_) | OpenError::Disk(_) | OpenError::Keep(_)) => {}
            Err(other) => panic!("{other:?}"),
            Ok(world) => {
                check_open(&world, &open);
                assert!(call > 10, "a start reads more: {call}");
                break;
            }
        }
    }
    let mut world = open_world().unwrap();
    for call in 0.. {
        let reads = disk.reads();
        disk.fail_reads_after(call);
        let kept = world.keeper.step();
        disk.heal_reads();
        if kept.is_ok() && disk.reads() - reads <= call {
            break;
        }
        check_open(&world, &open);
    }
    world.keep();
    check_open(&world, &open);
    check_open(&world.kill(1).unwrap(), &open);
}

/// A checkpoint was once made anew under its own name after its recycling had failed, and then
/// removed as the one before itself.
#[test]
fn a_checkpoint_survives_one_failing_disk_call() {
    let (mut world, _) = world_before_checkpoint(0);
    let before = world.disk.calls();
    world.keep();
    let calls = world.disk.calls() - before;
    assert!(calls > 12, "{calls} calls");
    for crash in [true, false] {
        for call in 0..calls {
            let (mut world, open) = world_before_checkpoint(call);
            world.disk.fail_once_after(call);
            for _ in 0..8 {
                if let Err(KeepError::NoRoom(error)) = world.keeper.step() {
                    panic!("call {call}: {error}");
                }
            }
            assert!(world.disk.list().unwrap().iter().any(|name| name.ends_with(".checkpoint")));
            churn(&mut world, 77);
            let world = if crash { world.crash(2) } else { world.kill(2) };
            check_open(&world.unwrap(), &open);
        }
    }
}

/// A disk on which the writer takes all segments that are ready while a checkpoint is read, and again while it is
/// written.
#[derive(Debug)]
struct BusyDisk {
    disk: SimulatedDisk,
    queues: OnceLock<Arc<SegmentQueues>>,
    /// Whether all were ready again when the writing began.
    was_ready: AtomicBool,
}

impl BusyDisk {
    fn take_ready(&self, name: &str) {
        if let Some(queues) = self.queues.get().filter(|_| name.contains("checkpoint")) {
            while queues.ready.pop().is_some() {}
        }
    }
}

impl Disk for BusyDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        if let Some(queues) = self.queues.get().filter(|_| name == "checkpoint.making") {
            self.was_ready.store(queues.ready.is_full(), Relaxed);
        }
        self.take_ready(name);
        self.disk.create(name, bytes)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.take_ready(name);
        self.disk.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.disk.sync_names()
    }
}

/// A gateway that is about to make a checkpoint, on a disk whose writer will be busy meanwhile, and its open orders.
fn busy_gateway(seed: u64) -> (Arc<BusyDisk>, Parts, World, Vec<OrderId>) {
    let (world, open) = world_before_checkpoint(seed);
    let (queues, was_ready) = (OnceLock::new(), AtomicBool::new(false));
    let disk = Arc::new(BusyDisk { disk: world.disk.clone(), queues, was_ready });
    let (folder, clock) = (Arc::clone(&disk) as Arc<dyn Disk>, Arc::clone(&world.clock));
    let parts = Engine::open(&world.options, clock, folder).unwrap();
    parts.engine.set_flushed(parts.engine.journal().durable_position());
    disk.queues.set(Arc::clone(parts.keeper.queues())).unwrap();
    assert!(parts.keeper.queues().ready.is_full());
    (disk, parts, world, open)
}

/// With millions of open orders a checkpoint took ten seconds, and a crowd was refused for want of a segment.
#[test]
fn segments_are_made_while_a_checkpoint_is() {
    let (disk, Parts { mut keeper, .. }, _, open) = busy_gateway(1);
    assert!(keeper.step().unwrap());
    assert_eq!(keeper.checkpoints.load(Relaxed), 1);
    assert!(disk.was_ready.load(Relaxed), "made while the last checkpoint was read");
    assert!(keeper.queues().ready.is_full(), "made while this one was written");
    let (_, fold) = read_fold(&disk.disk, None).unwrap();
    assert!(open.iter().all(|&order| fold.orders.order(order).is_some()));
}

#[test]
fn whatever_fails_while_segments_and_a_checkpoint_are_made_loses_nothing() {
    let (disk, Parts { mut keeper, .. }, ..) = busy_gateway(1);
    let before = disk.disk.calls();
    assert!(keeper.step().unwrap());
    let calls = disk.disk.calls() - before;
    assert!(calls > 30, "{calls} calls");
    for call in 0..calls {
        for once in [true, false] {
            let (disk, Parts { mut keeper, .. }, world, open) = busy_gateway(call);
            match once {
                true => disk.disk.fail_once_after(call),
                false => disk.disk.fail_after(call),
            }
            let told = keeper.step();
            // Want of room is not told where there is room behind it.
            assert!(once || told.is_err(), "call {call} of {calls}: {told:?}");
            if once {
                while let Ok(true) = keeper.step() {}
                assert!(keeper.queues().ready.is_full(), "after call {call}");
            }
            check_open(&world.crash(2).unwrap(), &open);
        }
    }
}

/// Each checkpoint once rewrote all that was open for every few segments that came.
#[test]
fn what_checkpoints_write_stays_in_proportion_to_what_came() {
    let mut world = World::new(4, 2);
    world.ask(publish(published(1, 100_000)));
    let (mut last, mut made, mut written, mut came) = (None, 0, 0, 0);
    for user in 0..16_000 {
        placed(world.ask(Command::PlaceOrder(buy(1, user, 1))));
        world.flush();
        world.keep();
        let newest = list(&world.disk).unwrap().checkpoints.pop();
        if last != newest {
            last = newest;
            made += 1;
            written += world.disk.content(&checkpoint_name(newest.unwrap())).unwrap().len() as u64;
        }
        let files = world.keeper.files();
        assert!(files < world.options.segments_max, "{files} files: there is room for more");
        if user % 1_000 == 999 {
            came += world.engine.journal().bytes.load(Relaxed);
            world = world.kill(2).unwrap();
        }
    }
    assert!(made > 4, "{made} checkpoints");
    assert!(written < 2 * came, "{written} bytes for {came}");
}

#[test]
fn d3_keys_of_dropped_orders_are_remembered_over_checkpoint_and_restart() {
    let mut world = World::new(4, 2);
    world.ask(publish(published(1, 10)));
    let with_key = PlaceOrder { key: digest(7), body: digest(8), ..buy(1, 1_000_000, 1) };
    let order = placed(world.ask(Command::PlaceOrder(with_key)));
    world.ask(Command::CancelOrder { order, user: None });
    let mut user = 0;
    while world.keeper.checkpoints.load(Relaxed) < 2 {
        churn(&mut world, user);
        user += 1;
        world.flush();
        world.keep();
    }
    for cores in [2, 1] {
        world = world.crash(cores).unwrap();
        let (_, fold) = read_fold(&world.disk, None).unwrap();
        assert!(fold.orders.order(order).is_none(), "the order itself is the store's");
        let again = world.ask(Command::PlaceOrder(with_key));
        assert_eq!(again, Verdict::PlacedBefore(order));
        let other = PlaceOrder { body: digest(9), ..with_key };
        let refused = world.ask(Command::PlaceOrder(other));
        assert_eq!(refused, Verdict::Refused(Refusal::IdempotencyMismatch));
    }
    let without_key = world.ask(Command::PlaceOrder(buy(1, 1_000_000, 1)));
    placed(without_key);
}
