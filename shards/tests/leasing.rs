//! A sale that several gateways share, seen from one: it sells what it was lent, its orders are
//! confirmed and released by the others' word, and all of it survives crashes and checkpoints.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use seckill_shards::clock::Timestamp;
use seckill_shards::command::{
    Answers, Command, Decision, OrderView, PhaseChange, Refusal, Verdict,
};
use seckill_shards::engine::EngineOptions;
use seckill_shards::ids::{ActivityId, Era, OrderId};
use seckill_shards::limits::CONFIRM_WITHIN_MS;
use seckill_shards::orders::Lease;
use seckill_shards::record::Status;
use seckill_shards::shard::Untold;
use seckill_shards::testing::world::{
    DISK_BYTES, NOON, buy, options, pay, publish, published, settle, withdraw,
};
use seckill_shards::testing::{SimulatedClock, SimulatedDisk, World};

const SALE: ActivityId = ActivityId(1);
const ERA: Era = Era { generation: 3, nonce: 9 };
const WINDOW_MS: u64 = 60_000;

/// A gateway that shares a sale of `stocked` units, and has been lent none.
fn shared(seed: u64, stocked: u32) -> World {
    let disk = SimulatedDisk::new(seed, DISK_BYTES);
    let clock = Arc::new(SimulatedClock::at(NOON));
    let options = EngineOptions { leases: true, ..options(2) };
    let mut world = World::open(disk, clock, options).unwrap();
    world.ask(publish(published(1, stocked)));
    world
}

/// One that was lent `units` of 100 by its first request.
fn lent(seed: u64, units: u32) -> World {
    let mut world = shared(seed, 100);
    done(&mut world, Command::Join { activity: SALE, floor: 2 });
    done(&mut world, Command::EnterEra { activity: SALE, era: ERA });
    done(&mut world, Command::Lease { activity: SALE, n: 1, quantity: units });
    world
}

#[track_caller]
fn done(world: &mut World, command: Command) {
    assert_eq!(world.ask(command), Verdict::ActivityChanged);
}

#[track_caller]
fn refused(world: &mut World, command: Command, expected: &Refusal) {
    assert_eq!(world.ask(command), Verdict::Refused(expected.clone()));
}

#[track_caller]
fn place(world: &mut World, core: usize, user: u64) -> OrderView {
    let verdict = world.ask_at(core, Command::PlaceOrder(buy(1, user, 1)));
    let Verdict::Placed(order) = verdict else { panic!("{verdict:?}") };
    order
}

fn order(world: &World, id: OrderId) -> Option<OrderView> {
    world.shards[id.owner(world.shards.len())].order(id)
}

fn status(world: &World, id: OrderId) -> Status {
    order(world, id).unwrap().status
}

fn lease(world: &World) -> Lease {
    world.engine.activity(SALE).unwrap().sale().lease.unwrap()
}

fn remaining(world: &World) -> u32 {
    world.engine.activity(SALE).unwrap().remaining()
}

/// What all cores would tell the others, of what the store has.
fn untold(world: &mut World) -> Vec<Untold> {
    let until = world.engine.flushed_position();
    world.shards.iter_mut().flat_map(|shard| shard.untold(SALE, until)).collect()
}

fn hear(world: &mut World, confirmed: &[OrderId], refused: &[OrderId], released: &[OrderId]) {
    for core in 0..world.shards.len() {
        let cores = world.shards.len();
        let mine = |ids: &[OrderId]| {
            ids.iter().copied().filter(|id| id.owner(cores) == core).collect::<Vec<_>>()
        };
        let answers = Answers {
            activity: SALE,
            confirmed: mine(confirmed),
            refused: mine(refused),
            released: mine(released),
        };
        let verdict = world.ask_at(core, Command::Hear(Box::new(answers)));
        assert!(!matches!(verdict, Verdict::Refused(_)), "{verdict:?}");
    }
}

#[test]
fn what_is_stocked_is_not_here_until_it_is_lent() {
    let mut world = shared(1, 100);
    let sold_out = Refusal::SoldOut { may_return: true };
    refused(&mut world, Command::PlaceOrder(buy(1, 1, 1)), &sold_out);
    // In this order: nothing is entered before it is joined, nothing counts but the next number.
    refused(&mut world, Command::EnterEra { activity: SALE, era: ERA }, &Refusal::Stale);
    done(&mut world, Command::Join { activity: SALE, floor: 3 });
    for (generation, nonce) in [(2, 1), (0, 0)] {
        let era = Era { generation, nonce };
        refused(&mut world, Command::EnterEra { activity: SALE, era }, &Refusal::Stale);
    }
    done(&mut world, Command::EnterEra { activity: SALE, era: ERA });
    let same_generation = Era { nonce: 10, ..ERA };
    let again = Command::EnterEra { activity: SALE, era: same_generation };
    refused(&mut world, again, &Refusal::Stale);
    for n in [0, 2] {
        refused(&mut world, Command::Lease { activity: SALE, n, quantity: 5 }, &Refusal::Stale);
    }
    done(&mut world, Command::Lease { activity: SALE, n: 1, quantity: 2 });
    refused(&mut world, Command::Lease { activity: SALE, n: 1, quantity: 2 }, &Refusal::Stale);
    assert_eq!((remaining(&world), lease(&world).net), (2, 2));
    (1..=2).for_each(|user| drop(place(&mut world, 0, user)));
    refused(&mut world, Command::PlaceOrder(buy(1, 3, 1)), &sold_out);
    // A restock is lent, too.
    let mut more = published(1, 200);
    more.version = 2;
    done(&mut world, publish(more));
    assert_eq!(remaining(&world), 0);
}

/// Whoever asked had gone, and asked anew while the first record was on its way: both were journaled, and no
/// start went on with that.
#[test]
fn a_lease_changes_by_one_record_after_the_other() {
    let mut world = shared(1, 100);
    let again = |world: &mut World, command: Command| {
        let core = world.owner(&command);
        let Decision::Pending(sequence) = world.shards[core].decide(command.clone()) else {
            panic!("{command:?} is not journaled")
        };
        refused(world, command, &Refusal::Overloaded);
        world.go_on();
        assert_eq!(world.verdicts.remove(&(core, sequence)), Some(Verdict::ActivityChanged));
    };
    again(&mut world, Command::Join { activity: SALE, floor: 2 });
    again(&mut world, Command::EnterEra { activity: SALE, era: ERA });
    again(&mut world, Command::Lease { activity: SALE, n: 1, quantity: 5 });
    again(&mut world, Command::ReturnUnits { activity: SALE, at_most: 2 });
    assert_eq!(lease(&world).net, 3);
    // Nor is a sale closed with units that are on their way back.
    done(&mut world, Command::ChangePhase { activity: SALE, change: PhaseChange::End });
    let returned = Command::ReturnUnits { activity: SALE, at_most: 3 };
    let core = world.owner(&returned);
    assert!(matches!(world.shards[core].decide(returned), Decision::Pending(_)));
    refused(&mut world, Command::Close { activity: SALE, unsold: 0 }, &Refusal::Overloaded);
    world.go_on();
    done(&mut world, Command::Close { activity: SALE, unsold: 0 });
    let world = world.crash(1).unwrap();
    assert_eq!(lease(&world).net, 0);
}

/// All that was journaled before a crash had to reach the store before another's pause was followed.
#[test]
fn where_an_operator_changed_a_sale_last_is_known_after_a_start() {
    let mut world = lent(2, 10);
    let phased_at = |world: &World| world.engine.activity(SALE).unwrap().sale().phased_at;
    drop(place(&mut world, 0, 1));
    let mut world = world.crash(2).unwrap();
    assert_eq!(phased_at(&world), 0);
    for change in [PhaseChange::Pause, PhaseChange::Resume, PhaseChange::End] {
        let before = world.engine.journal().durable_position();
        done(&mut world, Command::ChangePhase { activity: SALE, change });
        assert_eq!(phased_at(&world), before + 1);
        world = world.crash(2).unwrap();
        assert_eq!(phased_at(&world), before + 1);
    }
}

#[test]
fn a_lone_gateway_leases_nothing() {
    let mut world = World::new(1, 1);
    world.ask(publish(published(1, 5)));
    refused(&mut world, Command::Join { activity: SALE, floor: 1 }, &Refusal::OrderState);
    refused(&mut world, Command::Lease { activity: SALE, n: 1, quantity: 2 }, &Refusal::Stale);
    assert_eq!(place(&mut world, 0, 1).status, Status::AwaitingPayment);
}

#[test]
fn an_order_is_payable_once_it_is_confirmed_and_its_time_begins_then() {
    let mut world = lent(1, 10);
    let placed = place(&mut world, 0, 1);
    assert_eq!(placed.status, Status::Accepted);
    refused(&mut world, pay(placed.id, 1), &Refusal::OrderState);
    assert_eq!(untold(&mut world), [], "the store has not heard of it");
    world.flush();
    assert_eq!(untold(&mut world).len(), 1);
    world.pass(CONFIRM_WITHIN_MS - 1_000);
    hear(&mut world, &[placed.id], &[], &[]);
    hear(&mut world, &[placed.id], &[placed.id], &[]);
    assert_eq!(untold(&mut world), []);
    let payable = order(&world, placed.id).unwrap();
    assert_eq!(payable.status, Status::AwaitingPayment);
    assert_eq!(payable.pay_before, world.now().plus_ms(WINDOW_MS));
    world.pass(WINDOW_MS - 1_000);
    let Verdict::PaymentStarted(payment) = world.ask(pay(placed.id, 1)) else { panic!() };
    world.ask(settle(payment.id, Some(payment.amount)));
    assert_eq!(status(&world, placed.id), Status::Paid);
    world.flush();
    assert_eq!(untold(&mut world), [], "a paid order keeps its place");
}

#[test]
fn an_order_that_nobody_confirms_or_that_loses_is_rejected_and_its_unit_is_free() {
    let mut world = lent(1, 2);
    let (late, lost) = (place(&mut world, 0, 1), place(&mut world, 1, 2));
    assert_eq!(remaining(&world), 0);
    hear(&mut world, &[], &[lost.id], &[]);
    assert_eq!((status(&world, lost.id), remaining(&world)), (Status::Rejected, 1));
    world.pass(CONFIRM_WITHIN_MS + 20);
    assert_eq!((status(&world, late.id), remaining(&world)), (Status::Rejected, 2));
    // The others may know of both: each is released.
    world.flush();
    let ended: Vec<_> = untold(&mut world).iter().map(|it| (it.order, it.ended)).collect();
    assert_eq!(ended, [(late.id, true), (lost.id, true)]);
    hear(&mut world, &[late.id], &[], &[late.id, lost.id]);
    assert_eq!(untold(&mut world), []);
    world.flush();
    world.pass(20);
    assert_eq!(order(&world, late.id), None, "it has left memory");
}

#[test]
fn a_buyer_who_comes_back_is_told_of_after_the_end_of_what_they_had() {
    let mut world = lent(1, 4);
    let (first, other) = (place(&mut world, 0, 1), place(&mut world, 1, 9));
    hear(&mut world, &[first.id], &[], &[]);
    world.ask(Command::CancelOrder { order: first.id, user: None });
    // Its unit and its place are free here at once, on any core.
    let second = place(&mut world, 1, 1);
    world.flush();
    let mut told = untold(&mut world);
    told.sort_by_key(|it| (it.position, !it.ended));
    let told: Vec<_> = told.iter().map(|it| (it.order, it.ended)).collect();
    assert_eq!(told, [(other.id, false), (first.id, true), (second.id, false)]);
}

/// Nothing is given back on which an order stands, here or with the others.
#[test]
fn only_what_is_spare_is_given_back() {
    let mut world = lent(1, 10);
    let orders: Vec<_> = (0..4).map(|user| place(&mut world, 0, user).id).collect();
    hear(&mut world, &orders, &[], &[]);
    world.ask(Command::CancelOrder { order: orders[0], user: None });
    world.ask(Command::CancelOrder { order: orders[1], user: None });
    // 10 lent, 2 held, 2 ending.
    assert_eq!(remaining(&world), 8);
    done(&mut world, Command::ReturnUnits { activity: SALE, at_most: 4 });
    assert_eq!((remaining(&world), lease(&world).net), (4, 6));
    done(&mut world, Command::ReturnUnits { activity: SALE, at_most: 100 });
    assert_eq!((remaining(&world), lease(&world).net), (2, 4));
    done(&mut world, Command::ReturnUnits { activity: SALE, at_most: 100 });
    assert_eq!((remaining(&world), lease(&world).net), (2, 4));
    hear(&mut world, &[], &[], &orders[..2]);
    done(&mut world, Command::ReturnUnits { activity: SALE, at_most: 100 });
    assert_eq!((remaining(&world), lease(&world).net), (0, 2));
    world = world.crash(1).unwrap();
    assert_eq!((remaining(&world), lease(&world).net), (0, 2));
}

/// The whole state, before and after a restart; the cores change, and what they tell does not.
#[test]
fn all_of_it_survives_a_restart_and_a_checkpoint() {
    for checkpoints in [0, 2] {
        let mut world = lent(3, 50);
        let accepted = place(&mut world, 0, 1).id;
        let payable = place(&mut world, 1, 2).id;
        let ended = place(&mut world, 1, 3).id;
        let paid = place(&mut world, 0, 4).id;
        hear(&mut world, &[payable, ended, paid], &[], &[]);
        world.ask(Command::CancelOrder { order: ended, user: None });
        let Verdict::PaymentStarted(payment) = world.ask(pay(paid, 4)) else { panic!() };
        world.ask(settle(payment.id, Some(payment.amount)));
        let mut user = 10;
        while world.keeper.checkpoints.load(Relaxed) < checkpoints {
            let passing = place(&mut world, 0, user).id;
            hear(&mut world, &[], &[passing], &[]);
            world.flush();
            hear(&mut world, &[], &[], &[passing]);
            world.keep();
            user += 1;
        }
        world.flush();
        let before = lease(&world);
        let counted = sorted(places(&world));
        assert_eq!(counted, sorted(vec![payable, paid]));
        for cores in [2, 1, 3] {
            world = world.crash(cores).unwrap();
            assert_eq!((lease(&world), remaining(&world)), (before, 47));
            let statuses = [accepted, payable, ended, paid].map(|id| status(&world, id));
            let expected =
                [Status::Accepted, Status::AwaitingPayment, Status::Cancelled, Status::Paid];
            assert_eq!(statuses, expected);
            assert_eq!(untold(&mut world), [], "not before the store has what was recovered");
            world.flush();
            let mut told: Vec<_> =
                untold(&mut world).iter().map(|it| (it.order, it.ended)).collect();
            told.sort_unstable();
            let mut expected = vec![(accepted, false), (ended, true)];
            expected.sort_unstable();
            assert_eq!(told, expected);
            assert_eq!(sorted(places(&world)), counted);
            done(&mut world, Command::ReturnUnits { activity: SALE, at_most: 0 });
        }
        hear(&mut world, &[accepted], &[], &[ended]);
        assert_eq!(untold(&mut world), []);
        let pay_before = order(&world, accepted).unwrap().pay_before;
        assert_eq!(pay_before, world.now().plus_ms(WINDOW_MS));
    }
}

/// Confirmed places that the others must count.
fn places(world: &World) -> Vec<OrderId> {
    let until = world.engine.flushed_position();
    let shards = world.shards.iter();
    shards.flat_map(|shard| shard.places(SALE, until)).map(|it| it.order).collect()
}

/// The others may have heard of it from then on, and another order may have its place.
#[test]
fn a_place_counts_until_the_store_has_the_end_of_its_order() {
    let mut world = lent(2, 5);
    let unconfirmed = place(&mut world, 0, 1).id;
    let payable = place(&mut world, 1, 2).id;
    let ended = place(&mut world, 0, 3).id;
    hear(&mut world, &[payable, ended], &[], &[]);
    world.flush();
    for order in [unconfirmed, ended] {
        world.ask(Command::CancelOrder { order, user: None });
    }
    let both = sorted(vec![payable, ended]);
    assert_eq!(sorted(places(&world)), both);
    world.flush();
    assert_eq!(places(&world), [payable]);
    world = world.crash(1).unwrap();
    assert_eq!(sorted(places(&world)), both, "nobody knows what the store has");
    world.flush();
    assert_eq!(places(&world), [payable]);
}

fn sorted(mut orders: Vec<OrderId>) -> Vec<OrderId> {
    orders.sort_unstable();
    orders
}

#[test]
fn a_sale_closes_once_the_others_know_of_every_end() {
    let mut world = lent(1, 3);
    let ended = place(&mut world, 0, 1).id;
    hear(&mut world, &[ended], &[], &[]);
    world.ask(Command::CancelOrder { order: ended, user: None });
    done(&mut world, Command::ChangePhase { activity: SALE, change: PhaseChange::End });
    let close = |unsold| Command::Close { activity: SALE, unsold };
    done(&mut world, Command::ReturnUnits { activity: SALE, at_most: 2 });
    refused(&mut world, close(1), &Refusal::OrderState);
    hear(&mut world, &[], &[], &[ended]);
    refused(&mut world, close(1), &Refusal::OrderState);
    done(&mut world, Command::ReturnUnits { activity: SALE, at_most: 1 });
    done(&mut world, close(0));
    assert_eq!(lease(&world).net, 0);
    assert_eq!(places(&world), []);
    world = world.crash(2).unwrap();
    assert_eq!(remaining(&world), 0);
    assert!(world.now() > Timestamp(0));
}

/// A wish draws the others' units here: so it is one of a buyer who may have what they ask for.
#[test]
fn who_may_have_no_more_wishes_for_nothing() {
    let mut world = lent(1, 1);
    place(&mut world, 0, 1);
    let limit = world.engine.activity(SALE).unwrap().sale().terms.per_user_limit;
    let mut wish = |user, quantity| {
        let asked = world.ask_at(0, Command::PlaceOrder(buy(1, user, quantity)));
        assert!(matches!(asked, Verdict::Refused(_)), "{asked:?}");
        world.engine.activity(SALE).unwrap().asked_in_vain()
    };
    assert_eq!(wish(1, limit), 0, "beside what they have");
    assert_eq!(wish(2, limit + 1), 0, "nobody may");
    assert_eq!(wish(2, limit), limit);
}

/// What is withdrawn is lent for good: it is neither sold nor given back, here and after a restart.
#[test]
fn withdrawn_units_stay_lent_until_the_sale_closes() {
    let mut world = lent(1, 5);
    let paid = place(&mut world, 0, 1).id;
    hear(&mut world, &[paid], &[], &[]);
    let Verdict::PaymentStarted(payment) = world.ask(pay(paid, 1)) else { panic!() };
    world.ask(settle(payment.id, Some(payment.amount)));
    let short = Refusal::InsufficientStock { remaining: 4 };
    refused(&mut world, Command::Withdraw(withdraw(1, 6)), &short);
    let asked = |world: &World| world.engine.activity(SALE).unwrap().asked_in_vain();
    assert_eq!(asked(&world), 6, "the others are asked for it");
    done(&mut world, Command::Withdraw(withdraw(1, 3)));
    assert_eq!((remaining(&world), lease(&world).net), (1, 5));
    done(&mut world, Command::ReturnUnits { activity: SALE, at_most: 100 });
    assert_eq!((remaining(&world), lease(&world).net), (0, 4));
    for cores in [1, 3] {
        world = world.crash(cores).unwrap();
        assert_eq!((remaining(&world), lease(&world).net), (0, 4));
    }
    done(&mut world, Command::ChangePhase { activity: SALE, change: PhaseChange::End });
    done(&mut world, Command::Close { activity: SALE, unsold: 0 });
    world = world.crash(2).unwrap();
    assert_eq!((remaining(&world), lease(&world).net), (0, 4));
}

/// What an operator does at two gateways at once: the last word here is written down, though it
/// seems to change nothing, and what is followed is not an operator's.
#[test]
fn a_last_word_is_written_down_and_others_are_followed() {
    let mut world = lent(1, 3);
    let position = |world: &World| world.engine.journal().durable_position();
    let sale = |world: &World| world.engine.activity(SALE).unwrap().sale().clone();
    let follow = |paused, ended| Command::FollowPhase { activity: SALE, paused, ended };
    for _ in 0..2 {
        let before = position(&world);
        done(&mut world, Command::ChangePhase { activity: SALE, change: PhaseChange::Pause });
        assert_eq!((position(&world), sale(&world).paused), (before + 1, true));
    }
    let phased_at = sale(&world).phased_at;
    done(&mut world, follow(false, false));
    assert_eq!((sale(&world).paused, sale(&world).phased_at), (false, phased_at));
    done(&mut world, follow(true, true));
    world = world.crash(2).unwrap();
    assert!(sale(&world).paused && sale(&world).ended);
    let before = position(&world);
    done(&mut world, follow(true, false));
    assert_eq!(position(&world), before, "an end is for good");
}

/// The activity may be forgotten once it is closed: no record may name it then.
#[test]
fn nothing_of_a_lease_is_written_behind_its_closing() {
    let mut world = lent(1, 1);
    done(&mut world, Command::ReturnUnits { activity: SALE, at_most: 1 });
    done(&mut world, Command::ChangePhase { activity: SALE, change: PhaseChange::End });
    done(&mut world, Command::Close { activity: SALE, unsold: 0 });
    let before = world.engine.journal().durable_position();
    let era = Era { generation: 9, nonce: 1 };
    for command in [
        Command::EnterEra { activity: SALE, era },
        Command::Lease { activity: SALE, n: 2, quantity: 1 },
        Command::ReturnUnits { activity: SALE, at_most: 1 },
        Command::FollowPhase { activity: SALE, paused: true, ended: true },
    ] {
        refused(&mut world, command, &Refusal::Ended);
    }
    assert_eq!(world.engine.journal().durable_position(), before);
}

/// The unit of a confirmed order may be that of one whose end is heard in the same answer.
#[test]
fn an_end_is_heard_before_what_stands_on_its_unit() {
    let mut world = lent(1, 1);
    let first = place(&mut world, 0, 1).id;
    hear(&mut world, &[first], &[], &[]);
    world.ask(Command::CancelOrder { order: first, user: None });
    let second = place(&mut world, 0, 2).id;
    let answers =
        Answers { activity: SALE, confirmed: vec![second], refused: vec![], released: vec![first] };
    world.shards[0].decide(Command::Hear(Box::new(answers)));
    world.go_on();
    let mut heard = Vec::new();
    let mut tail = world.engine.tail(0);
    while tail.next_group(&mut |_, record| heard.push(record.name())).unwrap() {}
    assert_eq!(heard[heard.len() - 2..], ["OrdersReleased", "OrdersConfirmed"]);
}
