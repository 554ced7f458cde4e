//! Units: where somebody wants them.

use std::collections::BTreeSet;
use std::sync::Arc;

use seckill_shards::ids::UserId;
use seckill_shards::record::Status;

use super::{Case, ROUND_MS, check, is, run, start};
use crate::control::simulation::Violation;
use crate::control::simulation::world::World;
use crate::reconcile::testing::{Flaw, Way};

impl World {
    /// A gateway's messages wait: the next that gives units back is lost.
    fn lose_give_back(&mut self, from: u16) -> Result<(), Violation> {
        let who = from.to_string();
        let at = self.carry_up_to(from, |it| is(it, "lease", &who) && it[8] == "0")?;
        self.carry_one(at, Way::Lost, false);
        Ok(())
    }
}

/// A gateway that asked for twenty units in vain is gone. The other gave all of its own back, as if each
/// time anew, and had none for whoever came next.
#[test]
fn the_wish_of_one_who_is_gone_is_met_once() {
    let case: Case = |world| {
        world.sales.clear();
        world.publish(40, 20);
        start(world, 2)?;
        let orders = [world.try_buy(1, 1, 20)?, world.try_buy(1, 2, 20)?];
        world.try_buy(0, 3, 20)?;
        world.crash(0);
        for order in orders {
            world.cancel(1, order.ok_or("nothing is sold")?);
        }
        world.calm(5_000)?;
        for _ in 0..50 {
            world.go_on(ROUND_MS)?;
            if world.net(1) != 20 {
                return Err(format!("it keeps {} units of 40", world.net(1)));
            }
        }
        Ok(())
    };
    check(case, 2, Flaw::TellsOldWishes, "it keeps 0 units of 40");
}

/// Whoever comes first at a gateway that has just come was told that nothing is left, of a sale that had plenty.
/// It serves nobody before it has settled once with the others.
#[test]
fn a_newcomer_has_units_for_its_first_buyer() {
    fn case(world: &mut World, settles_first: bool) -> Result<(), Violation> {
        world.sales.clear();
        let id = world.publish(60, 1);
        start(world, 2)?;
        for user in 1..5 {
            world.payable(usize::from(user % 2 == 0), user)?;
        }
        world.start(2);
        world.until("it knows the sale", |world| {
            let running = world.gateways[2].running.as_ref();
            running.is_some_and(|it| it.engine().activity(id).is_some())
        })?;
        if settles_first {
            let clock = Arc::clone(&world.gateways[2].clock);
            let running = world.gateways[2].running.as_mut().expect("it has started");
            let is_over = running.settle_first(clock);
            world.until("it has settled once", |_| is_over.get())?;
        }
        match world.try_buy_in((1, 0), 2, (9, 1))? {
            Some(_) => Ok(()),
            None => Err("its first buyer is sent away".to_owned()),
        }
    }
    check(|world| case(world, true), 3, Flaw::None, "");
    let violation = run(|world| case(world, false), 3, Flaw::None).expect_err("it has not settled");
    assert!(violation.starts_with("its first buyer is sent away"), "{violation}");
}

/// Simulated time is no wall clock: nothing but waiting for each other takes any. All are looked at more
/// often than they do anything, so that what they wait is what they mean to.
#[test]
fn the_last_unit_anywhere_is_sold_to_a_buyer_at_another_gateway_within_a_second() {
    fn within_a_second(world: &mut World, user: u64) -> Result<(), Violation> {
        let order = world.try_buy_in((50, 20), 0, (user, 1))?;
        order.map(drop).ok_or_else(|| "the last unit is not sold within a second".to_owned())
    }
    let right_after_a_sale: Case = |world| {
        start(world, 2)?;
        world.try_buy(1, 1, 1)?.ok_or("nothing is sold")?;
        within_a_second(world, 2)
    };
    let idle: Case = |world| {
        start(world, 2)?;
        let orders = [world.try_buy(1, 1, 1)?, world.try_buy(1, 2, 1)?];
        world.until("the other has all", |world| world.net(1) == 2)?;
        let [order, _] = orders.map(|it| it.expect("it holds both"));
        world.cancel(1, order);
        world.calm(5_000)?;
        within_a_second(world, 3)
    };
    let though_a_message_is_lost: Case = |world| {
        world.sales.clear();
        world.publish(1, 1);
        start(world, 2)?;
        let order = world.try_buy(1, 1, 1)?.ok_or("nothing is sold")?;
        world.cancel(1, order);
        world.calm(5_000)?;
        // It hears that the first one lacks a unit, and gives all that it has back in vain.
        world.held_after = Some((1, "\"1\"])]"));
        world.try_buy_in((50, 20), 0, (3, 1))?;
        world.lose_give_back(1)?;
        (world.held_after, world.held) = (None, BTreeSet::new());
        within_a_second(world, 3)
    };
    for case in [right_after_a_sale, idle, though_a_message_is_lost] {
        check(case, 2, Flaw::None, "");
    }
}

/// It is at the third, and comes free a moment before or long before whoever wants it comes, in a storm of
/// other orders there or not.
#[test]
fn the_last_unit_of_three_gateways_is_sold_within_a_second_however_many_want_it() {
    fn within_a_second(
        world: &mut World,
        later_ms: u64,
        rages: bool,
        many: u64,
    ) -> Result<(), Violation> {
        world.sales.clear();
        world.publish(1, 1);
        start(world, 3)?;
        let order = world.try_buy(2, 1, 1)?.ok_or("nothing is sold")?;
        world.until("it is in the store", |it| it.status(2, order) == Status::AwaitingPayment)?;
        world.gateways[2].storm.set(rages);
        world.cancel(2, order);
        world.calm(later_ms)?;
        world.go_on(later_ms % ROUND_MS)?;
        for _ in 0..50 {
            for user in 2..2 + many {
                world.buy(usize::from(user % 2 == 1), world.sale(), UserId(user), 1);
            }
            world.go_on(20)?;
            if world.entries().any(|it| it.status.is_open()) {
                world.gateways[2].storm.set(false);
                return Ok(());
            }
        }
        Err(format!("{many} may not have it within a second, {later_ms} ms later, {rages}"))
    }
    let moments = (0..10).flat_map(|at| [20 + 25 * at, 5_000 + 25 * at]);
    for (later_ms, rages) in moments.flat_map(|at| [(at, false), (at, true)]) {
        for many in 1..5 {
            check(|world| within_a_second(world, later_ms, rages, many), 3, Flaw::None, "");
        }
    }
}
