//! Gateways that are lost, and those who go on for them.

use seckill_shards::ids::UserId;
use seckill_shards::record::Status;

use super::{check, is, run, start};
use crate::control::simulation::Violation;
use crate::control::simulation::world::World;
use crate::reconcile::testing::{Flaw, Way};

impl World {
    /// An operator has the second gateway go on for the first, and it does.
    fn adopt_first(&mut self) -> Result<(), Violation> {
        self.retire(0, 1)?;
        self.until_first_goes_on()
    }
}

/// A gateway that the store does not hear of is retired while it sells what it was lent.
#[test]
fn c17_whoever_is_retired_is_off() {
    fn case(world: &mut World, is_off: bool) -> Result<(), Violation> {
        start(world, 2)?;
        let order = world.payable(0, 1)?;
        world.cancel(0, order);
        world.calm(2_000)?;
        world.cut_from_store(0);
        world.try_buy(0, 2, 1)?;
        if is_off {
            world.lose(0);
        } else {
            world.held.insert(0);
        }
        world.adopt_first()?;
        for user in [11, 12] {
            world.try_buy(1, user, 1)?;
        }
        Ok(())
    }
    check(|world| case(world, true), 2, Flaw::None, "");
    let violation = run(|world| case(world, false), 2, Flaw::None).expect_err("it is not off");
    assert!(violation.contains("units of 2 are lent"), "{violation}");
}

/// U11: a gateway is lost. What can be paid is in the store, and where to pay it, and so goes on; what it had free
/// the others sell.
#[test]
fn c18_what_can_be_paid_is_in_the_store() {
    fn case(world: &mut World, forgotten: Option<&str>) -> Result<(), Violation> {
        start(world, 2)?;
        let order = world.payable(0, 1)?;
        world.pay(0, order);
        world.until("somebody is told where to pay", |world| !world.payments.is_empty())?;
        if let Some(table) = forgotten {
            let forget = format!("DELETE FROM {table}");
            world.store.db.execute(&forget, []).expect("the table is there");
        }
        world.lose(0);
        world.adopt_first()?;
        world.until("it can be paid", |it| it.status(0, order) == Status::AwaitingPayment)?;
        world.payable(1, 2).map(drop)
    }
    check(|world| case(world, None), 2, Flaw::None, "");
    for (table, expected) in
        [("sales_order", "is AwaitingPayment, and is lost"), ("payment", "told of, and is lost")]
    {
        let violation = run(|world| case(world, Some(table)), 2, Flaw::None);
        let violation = violation.expect_err("the store lacks it");
        assert!(violation.contains(expected), "{violation}");
    }
}

/// A buyer has units elsewhere and two orders at a gateway, of which one more is let: it is told so, and is lost
/// before the store has it. Who goes on cannot tell which it was: the older one, or a newer one that is smaller.
#[test]
fn c20_of_a_buyers_orders_the_one_that_could_be_paid_goes_on() {
    fn one_of_two(
        world: &mut World,
        limit: u32,
        has: u32,
        wants: [u32; 2],
    ) -> Result<(), Violation> {
        world.sales.clear();
        world.publish_for(60_000, 8, limit);
        start(world, 2)?;
        let elsewhere = world.try_buy(1, 1, has)?.ok_or("nothing is sold")?;
        let payable =
            |at, order| move |it: &mut World| it.status(at, order) == Status::AwaitingPayment;
        world.until("it is payable", payable(1, elsewhere))?;
        let other = world.try_buy(0, 2, limit)?.ok_or("nothing is sold")?;
        world.until("it is payable", payable(0, other))?;
        world.held.insert(0);
        world.cancel(0, other);
        world.calm(1_000)?;
        for quantity in wants {
            world.buy(0, world.sale(), UserId(1), quantity);
            world.calm(1_000)?;
        }
        let orders = world.gateways[0].ledger.orders.iter();
        let orders: Vec<_> =
            orders.filter(|(_, it)| it.status == Status::Accepted).map(|(&id, _)| id).collect();
        assert_eq!(orders.len(), 2, "both are in the store");
        world.cut_from_store(0);
        world.held.clear();
        let is_told = |world: &World, stands| {
            orders.iter().copied().find(|&order| world.status(0, order) == stands)
        };
        world.until("one is refused", |it| is_told(it, Status::Rejected).is_some())?;
        let order = is_told(world, Status::AwaitingPayment).ok_or("both are refused")?;
        world.lose(0);
        world.adopt_first()?;
        world.until("it can be paid", payable(0, order))
    }
    check(|world| one_of_two(world, 2, 1, [1, 1]), 2, Flaw::None, "");
    check(|world| one_of_two(world, 3, 2, [2, 1]), 2, Flaw::None, "");
}

/// A buyer's place was freed, and whoever freed it has not heard so; the buyer has another order at a gateway that is
/// lost, and Redis forgets. The place that nobody has any more was declared, and stood against the other one.
#[test]
fn c20_a_place_that_was_freed_does_not_stand_against_one_that_could_be_paid() {
    fn case(world: &mut World) -> Result<(), Violation> {
        world.sales.clear();
        world.publish_for(60_000, 8, 1);
        start(world, 2)?;
        let ended = world.payable(1, 1)?;
        world.held.insert(1);
        world.cancel(1, ended);
        let releases = |it: &[String]| is(it, "lease", "1") && it[14] != "0";
        let at = world.carry_up_to(1, releases)?;
        world.carry_one(at, Way::Unanswered, false);
        world.held.insert(0);
        let order = world.try_buy(0, 1, 1)?.ok_or("nothing is sold")?;
        world.calm(1_000)?;
        world.cut_from_store(0);
        world.held.remove(&0);
        let stands = |stands| move |world: &mut World| world.status(0, order) == stands;
        world.until("it can be paid", stands(Status::AwaitingPayment))?;
        world.network().machines.flush();
        world.lose(0);
        world.held.clear();
        world.adopt_first()?;
        world.until("it can be paid again", stands(Status::AwaitingPayment))
    }
    check(case, 2, Flaw::None, "");
}

/// A gateway writes down that an order is paid, and is lost before the store has it.
#[test]
fn c19_the_provider_is_asked_before_an_order_ends() {
    fn case(world: &mut World, asks: bool) -> Result<(), Violation> {
        start(world, 2)?;
        let order = world.payable(0, 1)?;
        world.pay(0, order);
        world.until("somebody is told where to pay", |world| !world.payments.is_empty())?;
        world.calm(1_000)?;
        world.cut_from_store(0);
        for (payment, amount) in std::mem::take(&mut world.payments) {
            world.settle(payment, Some(amount));
        }
        world.until("it is paid", |world| world.status(0, order) == Status::Paid)?;
        world.gateways[0].asks = asks;
        world.lose(0);
        world.adopt_first()?;
        world.calm(70_000)?;
        world.payable(1, 2).map(drop)
    }
    check(|world| case(world, true), 2, Flaw::None, "");
    let violation = run(|world| case(world, false), 2, Flaw::None).expect_err("nobody is asked");
    assert!(violation.contains("was Paid, and is Expired"), "{violation}");
}
