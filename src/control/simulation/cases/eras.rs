//! Eras: what Redis forgets, who declares, and who resumes.

use std::task::{Context, Waker};

use seckill_shards::ids::{Era, UserId};
use seckill_shards::record::Status;

use super::{Case, ask_for_everything, check, is, run, start};
use crate::control::simulation::Violation;
use crate::control::simulation::gateway::Part;
use crate::control::simulation::world::World;
use crate::reconcile::testing::{Flaw, Network, Way};
use crate::reconcile::{Declaration, Holder, Member};

impl World {
    /// The store answers what the leases of a gateway ask next, and is not heard yet.
    fn late_answer(&mut self, at: usize) -> Result<impl FnOnce() + use<>, Violation> {
        for _ in 0..100 {
            self.pass(20);
            let running = self.gateways[at].running.as_mut().expect("it runs");
            running.run_part(Part::Settle);
            if let Some(answer) = running.line.work(&mut self.store) {
                return Ok(answer);
            }
            let from = self.gateways[at].number;
            let said = self.network().senders().iter().position(|it| *it == from);
            if let Some(said) = said {
                self.carry_one(said, Way::Whole, false);
            }
        }
        Err("it asks the store for nothing".to_owned())
    }
}

/// O12: Redis comes back without a grant, in the same era, and the other's numbers fit yet.
#[test]
fn c1_memory_that_was_rolled_back_is_not_lent_from() {
    let case: Case = |world| {
        start(world, 2)?;
        world.network().machines.save();
        // Nobody has been answered since.
        world.held.insert(1);
        world.payable(0, 1)?;
        world.network().machines.restart();
        world.held.clear();
        ask_for_everything(world)
    };
    check(case, 2, Flaw::TrustsMemory, "units of 2 are lent");
}

/// A fails over to B, which lacks a grant, and back to A, the process on which the era began.
#[test]
fn c2_a_fail_over_there_and_back_is_not_lent_from() {
    let case: Case = |world| {
        start(world, 2)?;
        world.network().machines.replicate();
        world.held.insert(1);
        world.payable(0, 1)?;
        {
            let mut network = world.network();
            network.machines.promote();
            network.machines.follow(1);
            network.machines.promote();
            network.machines.follow(0);
        }
        world.held.clear();
        ask_for_everything(world)
    };
    check(case, 2, Flaw::TrustsHistory, "units of 2 are lent");
}

/// A gateway has a unit and is not heard. Redis is flushed, and what that one has declared in the first era, to
/// have nothing, comes again in the next.
///
/// A gateway waits for each answer before it enters an era, so the era that Redis compares is its journal's: what
/// it takes of an older one is what a gateway without the rule would.
#[test]
fn c3_what_was_said_in_an_older_era_does_not_count() {
    let case: Case = |world| {
        start(world, 2)?;
        world.payable(0, 1)?;
        world.held.insert(0);
        world.network().machines.flush();
        world.calm(1_000)?;
        world.again(|it| is(it, "declare", "0"));
        ask_for_everything(world)
    };
    check(case, 2, Flaw::HearsAnyEra, "units of 2 are lent");
}

/// The old master goes on, and has granted a unit, of which the new one is told. The first request of the new era
/// meets the old one, which knows its sender and the number.
#[test]
fn c4_an_old_masters_grant_does_not_count() {
    let case: Case = |world| {
        start(world, 2)?;
        world.network().machines.promote();
        world.stray(0, true);
        // It would like more, and is not heard before it has entered the new era.
        world.try_buy(0, 1, 1)?.ok_or("nothing is sold")?;
        world.held.insert(0);
        world.stray(0, false);
        let before = world.era(0).ok_or("it lives in none")?.to_string();
        let asks = |it: &[String]| is(it, "lease", "0") && it[4] != before && it[9] != "0";
        let asks = world.carry_up_to(0, asks)?;
        world.carry_one(asks, Way::Whole, true);
        ask_for_everything(world)
    };
    check(case, 2, Flaw::HearsAnyEra, "units of 2 are lent");
}

/// The other half of C4, which is looked at in each step of each run: whoever declares has entered before.
#[test]
fn c4_whoever_declares_in_an_era_that_they_have_not_entered_is_seen() {
    fn case(world: &mut World, ahead: u64) -> Result<(), Violation> {
        start(world, 2)?;
        let Era { generation, nonce } = world.era(0).ok_or("it lives in none")?;
        let era = Era { generation: generation + ahead, nonce };
        let holder = Holder { member: Member::Gateway(0), epoch: 0 };
        let declaration = Declaration { era, holder, n: 0, net: 0, places: Vec::new() };
        let leases = Network::leases(&world.network, 0);
        let mut said = Box::pin(leases.declare(world.sale().id, &declaration));
        let is_said = said.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
        assert!(is_said, "it is under way");
        world.check()
    }
    check(|world| case(world, 0), 2, Flaw::None, "");
    let violation = run(|world| case(world, 1), 2, Flaw::None).expect_err("it has not entered it");
    assert!(violation.contains(" is declared in, and "), "{violation}");
}

/// A doubled "I have nothing" arrives after a unit was lent.
#[test]
fn c5_the_first_declaration_counts() {
    let case: Case = |world| {
        start(world, 2)?;
        world.payable(0, 1)?;
        world.again(|it| is(it, "declare", "0"));
        ask_for_everything(world)
    };
    check(case, 2, Flaw::DeclaresAgain, "units of 2 are lent");
}

/// A member that has not declared has a unit.
#[test]
fn c6_lending_waits_for_everybody() {
    let case: Case = |world| {
        start(world, 2)?;
        world.payable(0, 1)?;
        world.network().machines.flush();
        ask_for_everything(world)
    };
    check(case, 2, Flaw::AsksNobody, "units of 2 are lent");
}

/// A third gateway has joined, and was lent a unit, since the others looked who is there. All whom the store names
/// are waited for.
#[test]
fn c7_the_members_are_read_once_the_era_is_seen() {
    fn case(world: &mut World, forgets: bool) -> Result<(), Violation> {
        start(world, 2)?;
        world.payable(0, 1)?;
        world.start(2);
        world.until_live()?;
        world.payable(2, 2)?;
        world.held.insert(2);
        if forgets {
            let forget = "DELETE FROM lease_member WHERE gateway = 2";
            world.store.db.execute(forget, []).expect("the table is there");
        }
        world.network().machines.flush();
        world.try_buy(1, 3, 1)?;
        if world.net(1) > 0 {
            return Err("the other has a unit of nobody".to_owned());
        }
        world.held.clear();
        world.until_live()
    }
    check(|world| case(world, false), 3, Flaw::None, "");
    let violation = run(|world| case(world, true), 3, Flaw::None).expect_err("it is not asked");
    assert!(violation.contains("units of 2 are lent"), "{violation}");
}

/// The second gateway has seen an era and asks who is there, and the answer is late. Meanwhile a third joins and is
/// lent a unit, and Redis is flushed: what was read before the next era was seen does not resume that, even where
/// both who are named have declared.
#[test]
fn c7_members_that_were_read_before_the_era_was_seen_are_of_no_use() {
    let case: Case = |world| {
        start(world, 2)?;
        world.payable(0, 1)?;
        let before = world.era(1).ok_or("it lives in none")?.to_string();
        let declares = |it: &[String]| is(it, "declare", "1") && it[4] != before;
        world.held.extend([0, 1]);
        world.network().machines.flush();
        // The first one's wish to resume waits until the second has asked the store.
        world.carry_up_to(0, |it| is(it, "resume", ""))?;
        let declaration = world.carry_up_to(1, declares)?;
        world.carry_one(declaration, Way::Whole, false);
        let answer = world.late_answer(1)?;
        world.held = [1].into();
        world.start(2);
        world.payable(2, 2)?;
        world.held.insert(2);
        world.network().machines.flush();
        world.calm(2_000)?;
        world.again(declares);
        world.held.remove(&1);
        answer();
        world.try_buy(1, 3, 1)?;
        if world.net(1) > 0 {
            return Err("the second has a unit of nobody".to_owned());
        }
        world.held.clear();
        world.until_live()
    };
    check(case, 3, Flaw::HearsAnyEra, "units of 2 are lent");
}

/// A newcomer meets the old master, where an older era is live. The store forgets by what is carried out in it
/// once all are live, and before the newcomer comes.
fn a_newcomer_strays(world: &mut World, [early, late]: [&str; 2]) -> Result<(), Violation> {
    let forget = |world: &World, how| world.store.db.execute_batch(how).expect("all is there");
    (0..2).for_each(|at| world.start(at));
    world.until_live()?;
    forget(world, early);
    world.network().machines.promote();
    world.calm(3_000)?;
    world.payable(0, 1)?;
    world.payable(1, 2)?;
    forget(world, late);
    world.stray(2, true);
    world.start(2);
    world.try_buy(2, 3, 1)?;
    Ok(())
}

#[test]
fn c8_a_newcomer_enters_no_era_before_its_floor() {
    check(|world| a_newcomer_strays(world, ["", ""]), 3, Flaw::None, "");
    let forgets: Case =
        |world| a_newcomer_strays(world, ["", "UPDATE activity SET generation = 0"]);
    let violation = run(forgets, 3, Flaw::None).expect_err("the store gives no floor");
    assert!(violation.contains("units of 2 are lent"), "{violation}");
}

/// Two begin at once, each with a generation of its own: the later one wins.
#[test]
fn c9_a_generation_is_begun_once() {
    let case: Case = |world| {
        start(world, 2)?;
        world.payable(0, 1)?;
        world.held.extend([0, 1]);
        world.network().machines.flush();
        world.calm(1_000)?;
        world.held.clear();
        world.until_live()?;
        world.payable(1, 2).map(drop)
    };
    check(case, 2, Flaw::None, "");
    // One that is made by whoever begins, and that the store does not know, is no floor for who joins.
    const UNKNOWN: &str = "CREATE TRIGGER forget AFTER UPDATE OF generation ON activity
        BEGIN UPDATE activity SET generation = OLD.generation WHERE id = OLD.id; END";
    let forgets: Case = |world| a_newcomer_strays(world, [UNKNOWN, ""]);
    let violation = run(forgets, 3, Flaw::None).expect_err("the store has never given it");
    assert!(violation.contains("units of 2 are lent"), "{violation}");
}

/// The other's generation was never begun, and the newcomer took the era in which all lived for one of before: it
/// ended that, and with a gateway away nothing was lent any more.
#[test]
fn who_joins_ends_no_era_that_all_live_in() {
    let case: Case = |world| {
        start(world, 2)?;
        world.held.extend([0, 1]);
        world.network().machines.flush();
        world.calm(1_000)?;
        world.held.clear();
        world.calm(3_000)?;
        world.until_live()?;
        let before = world.era(0);
        world.start(2);
        world.until_live()?;
        match world.era(0) == before {
            true => Ok(()),
            false => Err("an era in which all lived has ended".to_owned()),
        }
    };
    check(case, 3, Flaw::None, "");
}

/// Redis is flushed, and the messages that made its first era come again.
#[test]
fn c10_a_replayed_rebuild_makes_no_era() {
    let case: Case = |world| {
        world.held_after = Some((1, "declare"));
        (0..2).for_each(|at| world.start(at));
        world.until("the first may lease", |world| {
            world.buy(0, world.sale(), UserId(1), 1);
            world.net(0) > 0
        })?;
        world.network().machines.flush();
        world.held.insert(0);
        for (function, from) in [("begin", ""), ("declare", "0"), ("declare", "1"), ("resume", "")]
        {
            world.again(|it| is(it, function, from));
        }
        (world.held_after, world.held) = (None, [0].into());
        ask_for_everything(world)
    };
    check(case, 2, Flaw::NamesNoEra, "units of 2 are lent");
}

/// More places than one message carries are declared in parts, of which one is lost: the buyers of
/// each part are at the limit elsewhere, too.
#[test]
fn many_places_are_declared_in_parts() {
    let case: Case = |world| {
        world.sales.clear();
        world.publish_for(60_000, 620, 1);
        start(world, 2)?;
        world.until("six hundred can pay", |world| {
            let sale = world.sale();
            for user in (1..=600).map(UserId) {
                if world.holds(sale, user) == 0 {
                    world.buy(0, sale, user, 1);
                }
            }
            world.entries().filter(|it| it.is_payable()).count() == 600
        })?;
        world.held_after = Some((0, "part"));
        world.network().machines.flush();
        world.until("a part is declared", |world| world.held.contains(&0))?;
        world.until("another is said", |world| world.network().senders().contains(&0))?;
        world.carry_one(0, Way::Lost, false);
        world.held.clear();
        world.held_after = None;
        world.until_live()?;
        for user in (1..=600).step_by(40) {
            let order = world.try_buy(1, user, 1)?.ok_or("nothing is sold")?;
            world.until("it is refused", |it| it.status(1, order) == Status::Rejected)?;
        }
        Ok(())
    };
    check(case, 2, Flaw::None, "");
    check(case, 2, Flaw::DropsDeclared, "may pay 2 units");
}
