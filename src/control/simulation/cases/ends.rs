//! Sales that are over.

use seckill_shards::command::PhaseChange;

use super::{Case, check, start};
use crate::control::simulation::Violation;
use crate::control::simulation::world::World;
use crate::reconcile::testing::Flaw;

/// It learned of the sale, and Redis never heard of it; the others closed the sale while it was down. It
/// kept the sale open for ever.
#[test]
fn a_sale_that_was_known_and_never_joined_is_closed_there_too() {
    let case: Case = |world| {
        let id = world.sale().id;
        let knows = move |world: &World| {
            let sale = world.gateways[1].running.as_ref()?.engine().activity(id)?;
            Some((sale.sale().closed, sale.sale().lease?.floor.is_some()))
        };
        start(world, 1)?;
        world.held.insert(1);
        world.start(1);
        world.until("it knows the sale", |world| knows(world) == Some((false, false)))?;
        world.crash(1);
        world.held.clear();
        world.change_phase(0, id, PhaseChange::End);
        world.calm(5_000)?;
        world.start(1);
        world.until("it is closed there", |world| knows(world) == Some((true, false)))
    };
    check(case, 2, Flaw::None, "");
}

/// A gateway was done with a sale and went down before its journal said so. The other forgot the sale with
/// others that were closed behind it, and learned of it anew as of one in which it never had a unit.
#[test]
fn a_sale_that_others_are_not_done_with_is_not_forgotten() {
    let case: Case = |world| {
        let first = world.sale().id;
        let is_closed = |world: &World, at: usize, id| world.gateways[at].ledger.sum(id).closed;
        start(world, 2)?;
        world.paid(0, 1)?;
        // Once both have said that they have nothing open, each tries again within a second.
        world.change_phase(1, first, PhaseChange::End);
        world.until("the first is done with it", |world| is_closed(world, 0, first))?;
        world.crash(1);
        if is_closed(world, 1, first) {
            return Err("both are done with it".to_owned());
        }
        let knows = |world: &World, id| {
            let running = world.gateways[0].running.as_ref();
            running.is_some_and(|it| it.engine().activity(id).is_some())
        };
        let close_some = |world: &mut World| {
            for _ in 0..6 {
                let id = world.publish(1, 1);
                world.until("it is known", |world| knows(world, id))?;
                world.change_phase(0, id, PhaseChange::End);
                world.until("it is closed", |world| is_closed(world, 0, id))?;
                world.calm(2_000)?;
            }
            Ok::<(), Violation>(())
        };
        close_some(world)?;
        if !knows(world, first) {
            return Err("it was forgotten".to_owned());
        }
        world.crash(0);
        world.start(0);
        world.calm(5_000)?;
        world.start(1);
        world.until("the second is done with it, too", |world| is_closed(world, 1, first))?;
        close_some(world)?;
        world.until("it is forgotten", |world| !knows(world, first))
    };
    check(case, 2, Flaw::None, "");
}
