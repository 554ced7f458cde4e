//! Requests: numbers, give-backs, and places.

use seckill_shards::record::Status;

use super::{Case, ask_for_everything, check, is, start};
use crate::reconcile::testing::Flaw;

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
    check(case, 2, Flaw::AddsReturns, "");
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

/// An order is confirmed, and ends before the answer is heard.
#[test]
fn c15_c16_every_ended_order_is_released() {
    let case: Case = |world| {
        start(world, 2)?;
        let order = world.payable(0, 1)?;
        world.cancel(0, order);
        world.calm(2_000)?;
        world.payable(1, 1).map(drop)
    };
    check(case, 2, Flaw::KeepsPlaces, "it does not come about that it is payable");
}
