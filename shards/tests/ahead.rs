//! Memory that is made ready ahead of the buyers: bounded over all sales, the next to open first.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use seckill_shards::command::{Command, PhaseChange, Verdict};
use seckill_shards::ids::ActivityId;
use seckill_shards::limits::{BUYERS_AHEAD_MAX, ORDERS_AHEAD_MAX};
use seckill_shards::record::Terms;
use seckill_shards::testing::World;
use seckill_shards::testing::world::{NOON, publish, published};

/// Publishes a sale of more units than memory is made ready for, open in `minutes`.
fn large_sale(world: &mut World, id: u64, minutes: u64) {
    let row = published(id, 2_000_000);
    let terms = Terms { starts_at: NOON.plus_ms(60_000 * minutes), ..row.terms.clone() };
    let verdict = world.ask(publish(seckill_shards::record::ActivityPublished { terms, ..row }));
    assert_eq!(verdict, Verdict::ActivityChanged);
}

fn rooms(world: &World, sales: [u64; 3]) -> [usize; 3] {
    sales.map(|id| world.engine.activity(ActivityId(id)).unwrap().room())
}

/// Every open sale of a million units had memory made for as many buyers: 4,096 of them would have
/// taken half a terabyte.
#[test]
fn the_sales_that_open_next_share_the_memory_that_is_made_ahead() {
    let mut world = World::new(1, 1);
    for (id, minutes) in [(1, 30), (2, 20), (3, 10)] {
        large_sale(&mut world, id, minutes);
    }
    let all = ORDERS_AHEAD_MAX;
    assert_eq!(2 * all, BUYERS_AHEAD_MAX, "room for two of the three");
    assert_eq!(rooms(&world, [1, 2, 3]), [all, all, 0], "as they were published");
    world.engine.preheat();
    assert_eq!(rooms(&world, [1, 2, 3]), [0, all, all], "as they open");
    let mut world = world.kill(1).unwrap();
    assert_eq!(rooms(&world, [1, 2, 3]).iter().sum::<usize>(), BUYERS_AHEAD_MAX);
    let activity = ActivityId(3);
    world.ask(Command::ChangePhase { activity, change: PhaseChange::End });
    let closed = world.ask(Command::Close { activity, unsold: 2_000_000 });
    assert_eq!(closed, Verdict::ActivityChanged);
    world.engine.preheat();
    assert_eq!(rooms(&world, [1, 2, 2]), [all, all, all], "what a closed one had is free");
}
