//! Gateways that hand themselves over.

use seckill_shards::record::Status;

use super::{Case, check, run, start};
use crate::control::simulation::Violation;
use crate::control::simulation::gateway::Fate;
use crate::control::simulation::world::World;
use crate::reconcile::testing::Flaw;

/// One order is paid, one can be, and one is accepted that Redis never heard of; what was free the other
/// sells. Of a gateway that is lost the store need not have the last one.
#[test]
fn whoever_is_drained_loses_nothing() {
    fn case(world: &mut World, forgets: bool) -> Result<(), Violation> {
        world.sales.clear();
        world.publish_for(60_000, 8, 1);
        start(world, 2)?;
        world.paid(0, 1)?;
        let payable = world.payable(0, 2)?;
        world.until("some are free there", |world| world.net(0) > 3)?;
        world.held.insert(0);
        let accepted = world.try_buy(0, 3, 1)?.ok_or("nothing is sold")?;
        world.drain(0, Some(1));
        world.until("it is over", |world| world.gateways[0].fate == Fate::Left)?;
        if forgets {
            let forget = "DELETE FROM sales_order WHERE user_id = 3";
            world.store.db.execute(forget, []).expect("the table is there");
        }
        world.until_first_goes_on()?;
        let stands = [payable, accepted].map(|order| world.status(0, order));
        if stands[0] != Status::AwaitingPayment {
            return Err(format!("they are {stands:?}"));
        }
        world.until("all can be paid", |it| it.status(0, accepted) == Status::AwaitingPayment)?;
        (11..16).try_for_each(|user| world.payable(1, user).map(drop))
    }
    check(|world| case(world, false), 2, Flaw::None, "");
    let violation = run(|world| case(world, true), 2, Flaw::None).expect_err("the store lacks it");
    assert!(violation.contains("was handed over Accepted, and the store has Err"), "{violation}");
}

/// It is killed while its last word is under way, which the store has heard or not. It cannot know, and serves
/// nobody before the store says so: then another goes on, or it does, and is drained once more.
#[test]
fn who_is_killed_at_its_last_word_asks_whether_it_was_heard() {
    fn case(world: &mut World, is_heard: bool) -> Result<(), Violation> {
        world.sales.clear();
        world.publish_for(60_000, 4, 1);
        start(world, 2)?;
        world.paid(0, 1)?;
        let order = world.payable(0, 2)?;
        world.drain(0, Some(1));
        world.until("its last word is under way", |world| world.gateways[0].has_left())?;
        if is_heard {
            let running = world.gateways[0].running.as_ref().expect("it ends");
            drop(running.line.work(&mut world.store).expect("it has said so"));
        }
        world.crash(0);
        world.cut_from_store(0);
        world.start(0);
        let serves = |world: &World| world.gateways[0].running.is_some();
        if serves(world) {
            return Err("it serves, and may be over".to_owned());
        }
        world.link();
        world.start(0);
        if serves(world) == is_heard {
            return Err(format!("it does not do as the store says: {is_heard}"));
        }
        world.until_first_goes_on()?;
        match world.status(0, order) {
            Status::AwaitingPayment => (3..5).try_for_each(|user| world.payable(1, user).map(drop)),
            stands => Err(format!("it is {stands:?}")),
        }
    }
    for is_heard in [false, true] {
        check(|world| case(world, is_heard), 2, Flaw::None, "");
    }
}

/// The store is lost while it ends: what it has written down last is in its journal alone, and it is not
/// handed over before the store has that.
#[test]
fn who_cannot_flush_at_its_end_is_not_handed_over() {
    let case: Case = |world| {
        world.sales.clear();
        world.publish_for(60_000, 4, 1);
        start(world, 2)?;
        let order = world.payable(0, 1)?;
        world.drain(0, Some(1));
        world.until("it ends", |world| {
            world.gateways[0].running.as_ref().is_some_and(|it| it.leaving.is_some())
        })?;
        world.cut_from_store(0);
        world.cancel(0, order);
        world.until("it has ended", |world| world.gateways[0].running.is_none())?;
        if world.gateways[0].fate != Fate::Here || world.gateways[0].has_left() {
            return Err("it is handed over".to_owned());
        }
        world.link();
        world.start(0);
        world.until_first_goes_on()?;
        world.payable(1, 1).map(drop)
    };
    check(case, 2, Flaw::None, "");
}
