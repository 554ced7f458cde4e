//! Closed sales leave memory, checkpoints and recovery, however many there were; what may still change
//! stays, and what was forgotten never begins anew.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use seckill_shards::command::{Command, Decision, PhaseChange, PlaceOrder, Refusal, Verdict};
use seckill_shards::engine::{EngineOptions, read_fold};
use seckill_shards::ids::{ActivityId, OrderId, PaymentId};
use seckill_shards::journal::{checkpoint_name, list};
use seckill_shards::record::ActivityPublished;
use seckill_shards::testing::world::{
    CLOSED_KEPT, DISK_BYTES, NOON, buy, digest, options, pay, published, settle, withdraw,
};
use seckill_shards::testing::{SimulatedClock, SimulatedDisk, World};

const PRICE: i64 = 19_900;
const UNITS: u32 = 5;

fn publish(world: &mut World, row: ActivityPublished) {
    let forgotten = world.engine.forgotten();
    let verdict = world.ask(Command::Publish { row: Box::new(row), forgotten });
    assert_eq!(verdict, Verdict::ActivityChanged);
}

fn place(world: &mut World, buy: PlaceOrder) -> OrderId {
    let verdict = world.ask(Command::PlaceOrder(buy));
    let Verdict::Placed(order) = verdict else { panic!("not placed: {verdict:?}") };
    order.id
}

fn start(world: &mut World, order: OrderId, user: u64) -> PaymentId {
    let verdict = world.ask(pay(order, user));
    let Verdict::PaymentStarted(payment) = verdict else { panic!("not started: {verdict:?}") };
    payment.id
}

fn end(sale: u64) -> Command {
    Command::ChangePhase { activity: ActivityId(sale), change: PhaseChange::End }
}

fn close(sale: u64, unsold: u32) -> Command {
    Command::Close { activity: ActivityId(sale), unsold }
}

fn knows(world: &World, sale: u64) -> bool {
    world.engine.activity(ActivityId(sale)).is_some()
}

/// A sale from its publishing to its closing: one order is paid, one is given up. The paid one.
fn whole_sale(world: &mut World, sale: u64) -> (OrderId, PaymentId) {
    publish(world, published(sale, UNITS));
    let paid = place(world, PlaceOrder { key: digest(7), ..buy(sale, 1, 1) });
    let payment = start(world, paid, 1);
    world.ask(settle(payment, Some(PRICE)));
    let dropped = place(world, PlaceOrder { key: digest(8), ..buy(sale, 2, 1) });
    world.ask(Command::CancelOrder { order: dropped, user: None });
    world.ask(end(sale));
    assert_eq!(world.ask(close(sale, UNITS - 1)), Verdict::ActivityChanged);
    (paid, payment)
}

/// The store takes everything, and the keeper does what it can.
fn settle_down(world: &mut World) {
    world.flush();
    world.pass(10);
    world.keep();
    world.keep();
}

/// Closed sales until checkpoint number `checkpoints` of this start, from `first` on; the next one.
fn sell_until(world: &mut World, first: u64, checkpoints: u64) -> u64 {
    for sale in first.. {
        if world.keeper.checkpoints.load(Relaxed) >= checkpoints {
            return sale;
        }
        whole_sale(world, sale);
        settle_down(world);
    }
    unreachable!("segments fill up")
}

fn checkpoint_bytes(world: &World) -> usize {
    let checkpoints = list(&world.disk).unwrap().checkpoints;
    checkpoints.last().map_or(0, |it| world.disk.content(&checkpoint_name(*it)).unwrap().len())
}

#[test]
fn memory_and_checkpoints_are_bounded_whatever_the_number_of_sales() {
    let mut world = World::new(1, 2);
    let (mut most_known, mut most_bytes) = (0, 0);
    for sale in 1..=200 {
        whole_sale(&mut world, sale);
        settle_down(&mut world);
        most_known = most_known.max(world.engine.activities().len());
        most_bytes = most_bytes.max(checkpoint_bytes(&world));
        if sale % 50 == 0 {
            world = world.crash(2).unwrap();
            most_known = most_known.max(world.engine.activities().len());
        }
    }
    // Those kept, as many until a checkpoint is wanted, and some until it is made.
    assert!(most_known <= 3 * CLOSED_KEPT + 2, "{most_known} sales in memory");
    assert!((1..8 << 10).contains(&most_bytes), "a checkpoint of {most_bytes} bytes");
    let (_, fold) = read_fold(&world.disk, None).unwrap();
    assert!(fold.activities.keys().eq(world.engine.recovery().sums.activities.keys()));
    assert!(knows(&world, 200) && !knows(&world, 1), "the oldest go");
}

/// Few records of many sales: without a segment that ends early there would be no checkpoint for
/// very long.
#[test]
fn a_segment_ends_early_for_the_sake_of_closed_sales() {
    let mut world = World::new(2, 2);
    let made = sell_until(&mut world, 1, 1);
    assert!(made <= 2 * CLOSED_KEPT as u64 + 2, "{made} sales before a checkpoint");
    assert_eq!(list(&world.disk).unwrap().checkpoints.len(), 1);
}

#[test]
fn a_sale_whose_money_is_on_its_way_back_is_kept() {
    let mut world = World::new(3, 2);
    publish(&mut world, published(1, UNITS));
    let order = place(&mut world, buy(1, 1, 1));
    let payment = start(&mut world, order, 1);
    world.ask(settle(payment, Some(PRICE)));
    world.ask(Command::RefundOrder { order, return_units: true });
    world.ask(end(1));
    assert_eq!(world.ask(close(1, UNITS)), Verdict::ActivityChanged);
    let next = sell_until(&mut world, 2, 3);
    assert!(knows(&world, 1) && !knows(&world, 2), "the younger one is forgotten");
    let mut world = world.crash(1).unwrap();
    assert!(knows(&world, 1));
    let verdict = world.ask(Command::CompleteRefund { payment });
    assert!(matches!(verdict, Verdict::PaymentSettled(_)), "{verdict:?}");
    sell_until(&mut world, next, 2);
    assert!(!knows(&world, 1));
    assert!(world.crash(2).unwrap().engine.activity(ActivityId(1)).is_none());
}

#[test]
fn a_forgotten_sale_is_unknown_and_never_begins_anew() {
    let mut world = World::new(4, 2);
    let before = world.engine.forgotten();
    let (order, payment) = whole_sale(&mut world, 1);
    let next = sell_until(&mut world, 2, 2);
    assert!(!knows(&world, 1) && world.engine.forgotten() > before);
    let position = world.engine.journal().durable_position();
    for command in [
        Command::PlaceOrder(buy(1, 9, 1)),
        end(1),
        close(1, 0),
        Command::Withdraw(withdraw(1, 1)),
        Command::RefundOrder { order, return_units: true },
        Command::SettlePayment { payment, paid: None },
    ] {
        assert_eq!(world.ask(command), Verdict::Refused(Refusal::NotFound));
    }
    // A row that was read while the sale was open, and comes only now.
    let row = ActivityPublished { version: 2, ..published(1, UNITS) };
    let late = Command::Publish { row: Box::new(row), forgotten: before };
    assert_eq!(world.ask(late), Verdict::Refused(Refusal::Overloaded));
    assert_eq!(world.engine.journal().durable_position(), position);
    whole_sale(&mut world, next);
}

/// The journal may have flushed and folded a closing while the core that wrote it stands still; then
/// the core finds its sale all the same.
#[test]
fn a_sale_is_forgotten_only_when_its_core_knows_that_it_is_closed() {
    let disk = SimulatedDisk::new(5, DISK_BYTES);
    let clock = Arc::new(SimulatedClock::at(NOON));
    let options = EngineOptions { closed_kept: 0, ..options(2) };
    let mut world = World::open(disk, clock, options).unwrap();
    // Core 0 speaks for sale 2, core 1 for sale 1.
    for sale in [1, 2] {
        publish(&mut world, published(sale, UNITS));
    }
    world.ask(end(2));
    let Decision::Pending(closing) = world.shards[0].decide(close(2, UNITS)) else { panic!() };
    world.shards[0].submit();
    for user in 0.. {
        if world.keeper.checkpoints.load(Relaxed) > 0 {
            break;
        }
        let bought = world.shards[1].decide(Command::PlaceOrder(buy(1, user, 1)));
        let Decision::Pending(sequence) = bought else { panic!("{bought:?}") };
        world.shards[1].submit();
        world.write_group();
        world.apply(1);
        let Some(Verdict::Placed(order)) = world.verdicts.remove(&(1, sequence)) else { panic!() };
        let cancel = Command::CancelOrder { order: order.id, user: None };
        assert!(matches!(world.shards[1].decide(cancel), Decision::Pending(_)));
        world.shards[1].submit();
        world.write_group();
        world.apply(1);
        world.flush();
        world.keep();
    }
    let (_, fold) = read_fold(&world.disk, None).unwrap();
    assert!(!fold.activities.contains_key(&ActivityId(2)), "the checkpoint has forgotten it");
    assert!(knows(&world, 2), "its core has yet to apply the closing");
    world.apply(0);
    assert_eq!(world.verdicts.remove(&(0, closing)), Some(Verdict::ActivityChanged));
    world.keep();
    assert!(!knows(&world, 2) && knows(&world, 1));
}
