//! Copies of a journal: one made beside its writer is recovered to what the journal was.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use seckill_shards::command::{Command, Verdict};
use seckill_shards::disk::Disk;
use seckill_shards::engine::read_fold;
use seckill_shards::journal::{ReadError, copy_journal, segment_name};
use seckill_shards::testing::world::{DISK_BYTES, buy, publish, published};
use seckill_shards::testing::{SimulatedDisk, World};

/// Places an order and cancels it.
fn churn(world: &mut World, user: u64) {
    let verdict = world.ask(Command::PlaceOrder(buy(1, user, 1)));
    let Verdict::Placed(order) = verdict else { panic!("not placed: {verdict:?}") };
    let verdict = world.ask(Command::CancelOrder { order: order.id, user: None });
    assert!(matches!(verdict, Verdict::Moved(_)), "{verdict:?}");
}

/// A world whose journal has a checkpoint and several segments behind it.
fn world() -> World {
    let mut world = World::new(5, 2);
    world.ask(publish(published(1, 10)));
    for user in 0.. {
        churn(&mut world, user);
        world.flush();
        world.keep();
        let (found, _) = read_fold(&world.disk, None).unwrap();
        if found.checkpoint.is_some() && found.segments.len() > 1 {
            break;
        }
    }
    world
}

fn copy(disk: &SimulatedDisk) -> Result<SimulatedDisk, ReadError> {
    let to = SimulatedDisk::new(9, DISK_BYTES);
    copy_journal(disk, &to).map(|()| to)
}

#[test]
fn a_copy_is_recovered_to_what_the_journal_was() {
    let mut world = world();
    for user in 10_000..10_050 {
        churn(&mut world, user);
        let to = copy(&world.disk).unwrap();
        // What is durable is, and the machine may stop at once.
        to.crash();
        let ((copied, fold), (found, other)) =
            (read_fold(&to, None).unwrap(), read_fold(&world.disk, None).unwrap());
        assert_eq!((copied.journal, copied.position), (found.journal, found.position));
        assert_eq!(copied.checkpoint_position, found.checkpoint_position);
        assert_eq!(fold.activities.len(), other.activities.len());
        assert_eq!(fold.orders.iter().count(), other.orders.iter().count());
    }
    let to = copy(&world.disk).unwrap();
    let World { clock, options, .. } = world;
    let mut again = World::open(to, clock, options).unwrap();
    churn(&mut again, 20_000);
}

/// Whoever copies a journal reads the copy.
fn is_whole(disk: &SimulatedDisk) -> bool {
    copy(disk).is_ok_and(|to| read_fold(&to, None).is_ok())
}

#[test]
fn damage_is_not_copied_as_an_end() {
    let world = world();
    let (found, _) = read_fold(&world.disk, None).unwrap();
    let segment = segment_name(found.segments[0].segment);
    let kept = world.disk.content(&segment).unwrap();
    assert!(is_whole(&world.disk));
    // In the records of its first group.
    world.disk.flip(&segment, 560);
    assert!(!is_whole(&world.disk), "a group that cannot be read");
    world.disk.open(&segment).unwrap().write_at(0, &kept).unwrap();
    assert!(is_whole(&world.disk));
    world.disk.remove(&segment).unwrap();
    assert!(!is_whole(&world.disk), "a segment that has gone");
}
