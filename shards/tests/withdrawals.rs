//! A withdrawal under an idempotency key is carried out once: sent twice at once, through crashes,
//! checkpoints and the closing of its sale.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::atomic::Ordering::Relaxed;

use seckill_shards::command::{Command, Decision, PhaseChange, Refusal, Verdict, Withdraw};
use seckill_shards::ids::ActivityId;
use seckill_shards::limits::{WITHDRAWAL_KEPT_MS, WITHDRAWALS_KEPT_MAX};
use seckill_shards::testing::World;
use seckill_shards::testing::world::{buy, digest, publish, published, withdraw};

const SALE: ActivityId = ActivityId(1);

fn keyed(key: u64, quantity: u32) -> Withdraw {
    Withdraw { key: digest(key), body: digest(100), ..withdraw(1, quantity) }
}

fn sale(units: u32) -> World {
    let mut world = World::new(1, 2);
    world.ask(publish(published(1, units)));
    world
}

#[track_caller]
fn check(world: &mut World, withdraw: Withdraw, expected: &Verdict, left: u32) {
    assert_eq!(world.ask(Command::Withdraw(withdraw)), *expected);
    assert_eq!(world.engine.activity(SALE).unwrap().remaining(), left);
}

/// The same key with another body, and the same request once more.
#[track_caller]
fn check_again(world: &mut World, done: Withdraw, left: u32) {
    check(world, done, &Verdict::ActivityChanged, left);
    let other = Withdraw { body: digest(101), ..done };
    check(world, other, &Verdict::Refused(Refusal::IdempotencyMismatch), left);
}

#[test]
fn a_key_is_remembered_over_checkpoint_restart_and_closing() {
    let mut world = sale(10);
    let done = keyed(7, 3);
    check(&mut world, done, &Verdict::ActivityChanged, 7);
    check_again(&mut world, done, 7);
    let mut user = 0;
    while world.keeper.checkpoints.load(Relaxed) < 2 {
        let Verdict::Placed(order) = world.ask(Command::PlaceOrder(buy(1, user, 1))) else {
            panic!()
        };
        world.ask(Command::CancelOrder { order: order.id, user: None });
        user += 1;
        world.flush();
        world.keep();
    }
    for cores in [2, 1, 3] {
        world = world.crash(cores).unwrap();
        check_again(&mut world, done, 7);
    }
    world.ask(Command::ChangePhase { activity: SALE, change: PhaseChange::End });
    assert_eq!(world.ask(Command::Close { activity: SALE, unsold: 7 }), Verdict::ActivityChanged);
    check_again(&mut world, done, 0);
    check(&mut world, keyed(8, 1), &Verdict::Refused(Refusal::Ended), 0);
    check_again(&mut world.kill(2).unwrap(), done, 0);
}

#[test]
fn one_that_is_under_way_is_not_begun_again() {
    let mut world = sale(10);
    let owner = SALE.owner(2);
    let first = world.shards[owner].decide(Command::Withdraw(keyed(7, 3)));
    assert!(matches!(first, Decision::Pending(_)), "{first:?}");
    let pending = Verdict::Refused(Refusal::LimitReached { orders: Vec::new(), pending: true });
    let other = Withdraw { body: digest(101), ..keyed(7, 3) };
    for (withdraw, expected) in
        [(keyed(7, 3), pending), (other, Verdict::Refused(Refusal::IdempotencyMismatch))]
    {
        let decision = world.shards[owner].decide(Command::Withdraw(withdraw));
        assert_eq!(decision, Decision::Answered(expected));
    }
    world.go_on();
    check_again(&mut world, keyed(7, 3), 7);
}

/// Whatever the disk's last call was: it happened and is known, or it did not and may be repeated.
#[test]
fn a_crash_at_any_disk_call_leaves_the_withdrawal_whole_or_not_begun() {
    for call in 0..3 {
        let mut world = sale(10);
        let decision = world.shards[SALE.owner(2)].decide(Command::Withdraw(keyed(7, 3)));
        assert!(matches!(decision, Decision::Pending(_)), "{decision:?}");
        world.disk.fail_after(call);
        world.go_on();
        let mut world = world.crash(1).unwrap();
        let left = world.engine.activity(SALE).unwrap().remaining();
        assert!([7, 10].contains(&left), "{left} units are left");
        for _ in 0..2 {
            check(&mut world, keyed(7, 3), &Verdict::ActivityChanged, 7);
        }
    }
}

#[test]
fn a_key_that_was_refused_may_be_used_again() {
    let mut world = sale(2);
    let short = Verdict::Refused(Refusal::InsufficientStock { remaining: 2 });
    check(&mut world, keyed(7, 3), &short, 2);
    check(&mut world, keyed(7, 2), &Verdict::ActivityChanged, 0);
}

#[test]
fn who_withdraws_too_often_is_told_to_slow_down_rather_than_forgotten() {
    let most = WITHDRAWALS_KEPT_MAX as u64;
    let mut world = sale(1_000);
    for key in 1..=most {
        world.keep();
        assert_eq!(world.ask(Command::Withdraw(keyed(key, 1))), Verdict::ActivityChanged);
    }
    let left = 1_000 - u32::try_from(most).unwrap();
    check(&mut world, keyed(most + 1, 1), &Verdict::Refused(Refusal::Overloaded), left);
    check_again(&mut world, keyed(1, 1), left);
    check(&mut world, withdraw(1, 1), &Verdict::ActivityChanged, left - 1);
    world.clock.advance(WITHDRAWAL_KEPT_MS);
    check(&mut world, keyed(most + 1, 1), &Verdict::ActivityChanged, left - 2);
    let mut world = world.crash(2).unwrap();
    check_again(&mut world, keyed(2, 1), left - 2);
    check_again(&mut world, keyed(most + 1, 1), left - 2);
}
