//! One sale from its publication to its closing, stopped at every call of the disk on the way: what
//! was told stands, no unit is lost or sold twice, and the sale can be brought to its end.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use seckill_shards::command::{Command, PhaseChange, Verdict};
use seckill_shards::engine::read_fold;
use seckill_shards::ids::{ActivityId, OrderId};
use seckill_shards::limits::{CHECKPOINT_SEGMENTS, SETTLE_GRACE_MS};
use seckill_shards::orders::FoldedActivity;
use seckill_shards::record::Status;
use seckill_shards::testing::World;
use seckill_shards::testing::world::{buy, pay, publish, published, settle, withdraw};

const SALE: ActivityId = ActivityId(1);
const UNITS: u32 = 20;
const WITHDRAWN: u32 = 2;
const PRICE: i64 = 19_900;
const WINDOW_MS: u64 = 60_000;
/// Buyers, and what becomes of their orders.
const FATES: [Status; 6] = [
    Status::Paid,
    Status::Refunded,
    Status::Cancelled,
    Status::Expired,
    Status::Expired,
    Status::Expired,
];

/// What was told until the disk failed.
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that was told")]
#[derive(Debug, Default)]
struct Told {
    is_published: bool,
    orders: BTreeMap<OrderId, Status>,
    is_withdrawn: bool,
    is_closed: bool,
    /// A checkpoint may have folded settled orders away.
    may_be_folded: bool,
    checkpoints: u64,
}

/// A world with closed segments enough for one checkpoint: each start begins another.
fn world(seed: u64) -> World {
    let mut world = World::new(seed, 2);
    for other in 0..=CHECKPOINT_SEGMENTS as u64 {
        let published = world.ask(publish(published(100 + other, 1)));
        assert_eq!(published, Verdict::ActivityChanged);
        world = world.kill(2).unwrap();
        world.keep();
    }
    world
}

/// Goes through a sale; none where something was not told, and so the rest is not asked.
/// The checkpoint is made amid the sale or at its end.
fn live(world: &mut World, told: &mut Told, amid: bool) -> Option<()> {
    told.is_published = world.ask(publish(published(1, UNITS))) == Verdict::ActivityChanged;
    told.is_published.then_some(())?;
    let mut orders = Vec::new();
    for user in 0..FATES.len() as u64 {
        let core = usize::try_from(user % 2).unwrap();
        let placed = world.ask_at(core, Command::PlaceOrder(buy(1, user, 1)));
        let Verdict::Placed(order) = placed else { return None };
        told.orders.insert(order.id, Status::AwaitingPayment);
        orders.push(order.id);
    }
    for user in 0..2 {
        let order = orders[usize::try_from(user).unwrap()];
        let Verdict::PaymentStarted(payment) = world.ask(pay(order, user)) else { return None };
        let settled = world.ask(settle(payment.id, Some(PRICE)));
        let Verdict::PaymentSettled(_) = settled else { return None };
        told.orders.insert(order, Status::Paid);
    }
    let (refunded, cancelled) = (orders[1], orders[2]);
    moved(told, world.ask(Command::RefundOrder { order: refunded, return_units: true }))?;
    moved(told, world.ask(Command::CancelOrder { order: cancelled, user: None }))?;
    if amid {
        checkpoint(world, told);
    }
    world.clock.advance(WINDOW_MS);
    world.pass(100);
    for verdict in std::mem::take(&mut world.verdicts).into_values() {
        moved(told, verdict)?;
    }
    let left = world.ask(Command::Withdraw(withdraw(1, WITHDRAWN)));
    told.is_withdrawn = left == Verdict::ActivityChanged;
    told.is_withdrawn.then_some(())?;
    let end = Command::ChangePhase { activity: SALE, change: PhaseChange::End };
    (world.ask(end) == Verdict::ActivityChanged).then_some(())?;
    let close = Command::Close { activity: SALE, unsold: UNITS - WITHDRAWN - 1 };
    told.is_closed = world.ask(close) == Verdict::ActivityChanged;
    told.is_closed.then_some(())?;
    if !amid {
        checkpoint(world, told);
    }
    Some(())
}

fn moved(told: &mut Told, verdict: Verdict) -> Option<()> {
    let Verdict::Moved(order) = verdict else { return None };
    told.orders.insert(order.id, order.status);
    Some(())
}

fn checkpoint(world: &mut World, told: &mut Told) {
    world.flush();
    told.may_be_folded = true;
    world.keep();
    told.checkpoints += world.keeper.checkpoints.load(Relaxed);
}

/// What a status may have become by a record that was under way, and so was not told.
fn may_have_become(told: Status, fate: Status) -> [Status; 2] {
    match (told, fate) {
        (Status::AwaitingPayment, Status::Paid | Status::Refunded) => [told, Status::Paid],
        (told, fate) => [told, fate],
    }
}

fn check(world: &World, told: &Told) {
    let (_, fold) = read_fold(&world.disk, None).unwrap();
    let Some(sale) = fold.activities.get(&SALE) else {
        assert!(!told.is_published, "what was published is there");
        return;
    };
    balanced(sale);
    for ((id, told_status), fate) in told.orders.iter().zip(fates(told)) {
        let order = world.shards[id.owner(world.shards.len())].order(*id);
        let Some(order) = order else {
            assert!(told.may_be_folded && *told_status != Status::AwaitingPayment, "{id} is lost");
            continue;
        };
        let expected = may_have_become(*told_status, fate);
        assert!(expected.contains(&order.status), "{order:?}, but {told_status:?} was told");
    }
    let placed = told.orders.len() as u64;
    let more = u64::from(told.orders.len() < FATES.len());
    assert!((placed..=placed + more).contains(&sale.totals.placed_orders));
    let left = u64::from(WITHDRAWN);
    assert!(!told.is_withdrawn || sale.totals.left >= left);
    assert!(!told.is_closed || sale.closed);
}

/// What becomes of the orders that were told, by id: the counter of a core rises with its buyers.
fn fates(told: &Told) -> Vec<Status> {
    let mut by_user: Vec<_> = (0..told.orders.len()).collect();
    // Even users were served by the first core, odd ones by the second.
    by_user.sort_by_key(|user| user % 2);
    by_user.into_iter().map(|user| FATES[user]).collect()
}

/// The stock equation; and no order has ended twice.
fn balanced(sale: &FoldedActivity) {
    let totals = sale.totals;
    let gone = totals.held + totals.sold + totals.written_off + totals.left;
    assert_eq!(gone + u64::from(sale.free()), u64::from(UNITS));
    let ended = totals.paid_orders + totals.expired_orders + totals.cancelled_orders;
    assert!(ended <= totals.placed_orders, "{totals:?}");
}

/// Brings the sale to its end, whatever had become of it.
fn finish(world: &mut World) {
    if world.engine.activity(SALE).is_none() {
        assert_eq!(world.ask(publish(published(1, UNITS))), Verdict::ActivityChanged);
    }
    world.keep();
    if !world.engine.activity(SALE).unwrap().sale().closed {
        world.ask(Command::ChangePhase { activity: SALE, change: PhaseChange::End });
        world.clock.advance(WINDOW_MS + SETTLE_GRACE_MS);
        world.pass(100);
        let (_, fold) = read_fold(&world.disk, None).unwrap();
        let unsold = fold.activities[&SALE].free();
        let close = world.ask(Command::Close { activity: SALE, unsold });
        assert_eq!(close, Verdict::ActivityChanged, "nothing is open");
    }
    let (_, fold) = read_fold(&world.disk, None).unwrap();
    let sale = &fold.activities[&SALE];
    balanced(sale);
    let totals = sale.totals;
    let ended = totals.paid_orders + totals.expired_orders + totals.cancelled_orders;
    assert_eq!((sale.free(), totals.held, ended), (0, 0, totals.placed_orders), "{totals:?}");
}

#[test]
fn a_crash_at_any_disk_call_of_a_whole_sale_loses_nothing_of_it() {
    for seed in 0..12 {
        let amid = seed % 4 < 2;
        let mut whole = world(seed);
        let before = whole.disk.calls();
        let mut told = Told::default();
        assert_eq!(
            live(&mut whole, &mut told, amid),
            Some(()),
            "without a fault it comes to its end"
        );
        assert_eq!(told.checkpoints, 1);
        assert!(told.orders.values().copied().eq(fates(&told)), "{told:?}");
        let calls = whole.disk.calls() - before;
        assert!(calls > 2 * 15, "a write and a sync for each record: {calls}");
        for call in 0..calls {
            let mut world = world(seed);
            let mut told = Told::default();
            world.disk.fail_after(call);
            live(&mut world, &mut told, amid);
            let cores = 1 + usize::try_from(call % 3).unwrap();
            let again = if seed % 2 == 0 { world.crash(cores) } else { world.kill(cores) };
            let mut world = again.unwrap();
            check(&world, &told);
            finish(&mut world);
        }
    }
}
