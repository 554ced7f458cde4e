//! Requests: numbers, give-backs, and places.

use std::task::{Context, Waker};

use seckill_shards::ids::{OrderId, UserId};
use seckill_shards::record::Status;

use super::{Case, ask_for_everything, check, is, run, start};
use crate::control::simulation::Violation;
use crate::control::simulation::world::World;
use crate::reconcile::testing::{Flaw, Network, Way};
use crate::reconcile::{Holder, LeaseRequest, Member, Stock};

/// A request that was answered long ago comes again: it says that its sender has nothing.
#[test]
fn c11_c13_one_number_has_one_answer() {
    let case: Case = |world| {
        start(world, 2)?;
        // It has a unit that nobody holds any more.
        let order = world.payable(0, 1)?;
        world.cancel(0, order);
        world.calm(1_500)?;
        world.again(|it| is(it, "lease", "0") && it[8] == "0" && it[9] == "0");
        ask_for_everything(world)
    };
    check(case, 2, Flaw::AnswersAnew, "units of 2 are lent");
}

/// Redis has done a request of which the answer is lost, and its sender says it again under the same number, by
/// then with a greater wish. It hears what was done, and has the rest by the next number.
#[test]
fn c13_a_number_that_is_said_again_is_answered_with_what_was_done() {
    let case: Case = |world| {
        world.sales.clear();
        world.publish(3, 2);
        start(world, 2)?;
        world.held.insert(0);
        world.buy(0, world.sale(), UserId(1), 1);
        let first = world.carry_up_to(0, |it| is(it, "lease", "0") && it[9] == "1")?;
        let n = world.network().messages(first)[0][7].clone();
        world.carry_one(first, Way::Unanswered, false);
        world.buy(0, world.sale(), UserId(2), 2);
        let again = |it: &[String]| is(it, "lease", "0") && it[7] == n && it[9] == "2";
        let again = world.carry_up_to(0, again)?;
        world.carry_one(again, Way::Whole, false);
        world.calm(500)?;
        if world.net(0) != 1 {
            return Err(format!("{} units are lent under a number that had one", world.net(0)));
        }
        for user in [11, 12] {
            world.try_buy(1, user, 1)?;
        }
        let lent = world.ledgers().map(|it| it.sum(world.sale().id).units()).sum::<u32>();
        if lent == 3 { Ok(()) } else { Err(format!("{lent} units of 3 can be sold")) }
    };
    check(case, 2, Flaw::ForgetsReplies, "gateway 0 must not go on");
    check(case, 2, Flaw::AnswersLastAnew, "2 units are lent under a number that had one");
}

/// Of two requests under one number the later one is done first: the other, in which nothing was wanted yet, comes
/// when the unit is sold.
#[test]
fn c13_what_is_late_under_a_number_that_was_answered_changes_nothing() {
    let case: Case = |world| {
        start(world, 2)?;
        // It soon says that it is there.
        world.calm(2_000)?;
        world.held.insert(0);
        let late = world.carry_up_to(0, |it| is(it, "lease", "0") && it[9] == "0")?;
        let n = world.network().messages(late)[0][7].clone();
        world.carry_one(late, Way::Lost, false);
        world.buy(0, world.sale(), UserId(1), 1);
        let wants = |it: &[String]| is(it, "lease", "0") && it[7] == n && it[9] == "1";
        let wants = world.carry_up_to(0, wants)?;
        world.carry_one(wants, Way::Whole, false);
        world.try_buy(0, 1, 1)?.ok_or("nothing is sold")?;
        world.again(|it| is(it, "lease", "0") && it[7] == n && it[9] == "0");
        ask_for_everything(world)
    };
    check(case, 2, Flaw::AnswersLastAnew, "units of 2 are lent");
}

/// What is given back is said again by each request that follows.
#[test]
fn c12_a_give_back_is_absolute() {
    let case: Case = |world| {
        start(world, 2)?;
        let order = world.payable(0, 1)?;
        world.cancel(0, order);
        // The other asks in vain for what the first has free.
        world.payable(1, 2)?;
        world.payable(1, 3)?;
        world.calm(2_000)?;
        world.try_buy(0, 4, 1).map(drop)
    };
    check(case, 2, Flaw::AddsReturns, "units of 2 are lent");
}

/// The other half of C12, which is looked at in each step of each run: a give-back is durable before it is said.
#[test]
fn c12_whoever_says_a_give_back_before_it_is_durable_is_seen() {
    fn case(world: &mut World, ahead: u32) -> Result<(), Violation> {
        start(world, 2)?;
        world.payable(0, 1)?;
        let (id, era) = (world.sale().id, world.era(0).ok_or("it lives in none")?);
        let lease = world.gateways[0].ledger.sum(id).lease.ok_or("it has none")?;
        let request = LeaseRequest {
            era,
            holder: Holder { member: Member::Gateway(0), epoch: 0 },
            n: lease.n + 1,
            have: lease.net - ahead,
            want: 0,
            stock: Stock { version: 0, stocked: 2, open: true },
            limit: 1,
            releases: Vec::new(),
            confirms: Vec::new(),
        };
        let (leases, requests) = (Network::leases(&world.network, 0), [(id, request)]);
        let mut said = Box::pin(leases.lease(&requests));
        let is_said = said.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
        assert!(is_said, "it is under way");
        world.check()
    }
    check(|world| case(world, 0), 2, Flaw::None, "");
    let violation = run(|world| case(world, 1), 2, Flaw::None).expect_err("it is not durable");
    assert!(violation.contains(" units are said to be left, and "), "{violation}");
}

/// Two gateways serve one buyer; Redis forgets the place of the first one's order before the second
/// one's is asked for.
#[test]
fn c14_c20_a_forgotten_place_is_not_confirmed_to_another() {
    let case: Case = |world| {
        start(world, 2)?;
        world.paid(0, 1)?;
        // The second gets a unit, which the same buyer takes when Redis has forgotten.
        let order = world.payable(1, 2)?;
        world.held.insert(0);
        world.network().machines.flush();
        world.cancel(1, order);
        let same = world.try_buy(1, 1, 1)?.ok_or("nothing is sold")?;
        world.calm(2_000)?;
        world.held.clear();
        world.until("it is refused", |world| world.status(1, same) == Status::Rejected)
    };
    check(case, 2, Flaw::LendsAtOnce, "may pay 2 units");
    check(case, 2, Flaw::DropsDeclared, "may pay 2 units");
}

/// Whether a request of the first gateway says that an order has ended, and whether it asks for its place.
fn names(message: &[String], order: OrderId) -> [bool; 2] {
    if !is(message, "lease", "0") {
        return [false; 2];
    }
    let released: usize = message[14].parse().expect("a number");
    let (releases, confirms) = message[15..].split_at(2 * released);
    let order = order.0.to_string();
    [(releases, 2), (confirms, 3)]
        .map(|(named, words)| named.chunks(words).any(|it| it[1] == order))
}

/// An order is confirmed, and ends before the answer is heard; or its place is asked for in vain, or nobody was
/// asked. Redis hears of each end, and its buyer may buy elsewhere.
#[test]
fn c15_c16_every_ended_order_is_released() {
    fn case(world: &mut World, asked: Option<Way>) -> Result<(), Violation> {
        start(world, 2)?;
        // The first one has a unit that it need not ask for.
        let other = world.payable(0, 2)?;
        world.cancel(0, other);
        world.calm(1_500)?;
        world.held.insert(0);
        world.until("it waits for an answer", |it| it.network().senders().contains(&0))?;
        let order = world.try_buy(0, 1, 1)?.ok_or("nothing is sold")?;
        if let Some(way) = asked {
            let at = world.carry_up_to(0, |it| names(it, order)[1])?;
            world.carry_one(at, way, false);
        }
        world.cancel(0, order);
        world.calm(1_000)?;
        if world.status(0, order) != Status::Cancelled {
            return Err("it has not ended".to_owned());
        }
        world.held.clear();
        world
            .until("its end is told", |it| it.network().find(|it| names(it, order)[0]).is_some())?;
        let was_asked = world.network().find(|it| names(it, order)[1]).is_some();
        assert_eq!(was_asked, asked.is_some(), "{asked:?}");
        world.payable(1, 1).map(drop)
    }
    let is_stranded = "it does not come about that it is payable";
    check(|world| case(world, Some(Way::Unanswered)), 2, Flaw::KeepsPlaces, is_stranded);
    for asked in [Some(Way::Lost), None] {
        check(|world| case(world, asked), 2, Flaw::None, "");
    }
}

/// A copy of the request that asked for a place comes behind the release of that order: it leaves none, and the
/// buyer may buy elsewhere.
#[test]
fn c15_a_place_that_is_asked_for_behind_its_release_is_not_taken() {
    let case: Case = |world| {
        start(world, 2)?;
        let order = world.payable(0, 1)?;
        world.cancel(0, order);
        world
            .until("its end is told", |it| it.network().find(|it| names(it, order)[0]).is_some())?;
        world.again(|it| names(it, order)[1]);
        world.payable(1, 1).map(drop)
    };
    check(case, 2, Flaw::ConfirmsAnyNumber, "it does not come about that it is payable");
}
