//! What goes wrong without one of the protocol's rules: each the shortest run with real gateways. Where a
//! rule can be left out by Redis or the store, a canary does, and the checks notice.

use std::collections::BTreeSet;

use seckill_shards::command::PhaseChange;
use seckill_shards::ids::{OrderId, UserId};
use seckill_shards::record::Status;

use super::gateway::Fate;
use super::world::{Sale, World};
use super::{Violation, in_a_runtime, seeds};
use crate::reconcile::testing::{Flaw, Way};

/// What a case does to a fleet.
type Case = fn(&mut World) -> Result<(), Violation>;

const ROUND_MS: u64 = 100;

impl World {
    fn sale(&self) -> Sale {
        self.sales[0]
    }

    /// Units lent to a gateway.
    fn net(&self, at: usize) -> u32 {
        self.gateways[at].ledger.sum(self.sale().id).units()
    }

    fn calm(&mut self, ms: u64) -> Result<(), Violation> {
        (0..ms / ROUND_MS).try_for_each(|_| self.go_on(ROUND_MS))
    }

    /// Whether all who run have entered the same era, and may lease in it.
    fn all_live(&mut self) -> bool {
        let id = self.sale().id;
        let running = self.gateways.iter().filter_map(|it| it.running.as_ref());
        let figures = running.map(|running| {
            let settling = running.control.settling().expect("it shares its sales");
            settling.figures.lock().expect("nobody panics under this lock").get(&id).copied()
        });
        let figures: Vec<_> = figures.collect();
        let generation = figures[0].map(|it| it.generation);
        figures
            .iter()
            .all(|it| it.is_some_and(|it| it.live) && it.map(|it| it.generation) == generation)
    }

    fn until_live(&mut self) -> Result<(), Violation> {
        self.until("units are lent", Self::all_live)
    }

    /// Somebody asks a gateway for some units for a while; the order that they have then.
    fn try_buy(
        &mut self,
        at: usize,
        user: u64,
        quantity: u32,
    ) -> Result<Option<OrderId>, Violation> {
        self.try_buy_in((30, ROUND_MS), at, (user, quantity))
    }

    /// The same for so many rounds, of so many milliseconds.
    fn try_buy_in(
        &mut self,
        (rounds, ms): (u64, u64),
        at: usize,
        (user, quantity): (u64, u32),
    ) -> Result<Option<OrderId>, Violation> {
        let own = |world: &Self| {
            let mut orders = world.gateways[at].ledger.orders.iter();
            let found = orders.find(|(_, it)| it.user == UserId(user) && it.status.is_open());
            found.map(|(&id, _)| id)
        };
        for _ in 0..rounds {
            if own(self).is_some() {
                break;
            }
            self.buy(at, self.sale(), UserId(user), quantity);
            self.go_on(ms)?;
        }
        Ok(own(self))
    }

    fn status(&self, at: usize, order: OrderId) -> Status {
        self.gateways[at].ledger.orders[&order].status
    }

    fn payable(&mut self, at: usize, user: u64) -> Result<OrderId, Violation> {
        let order = self.try_buy(at, user, 1)?.ok_or("nothing is sold")?;
        self.until("it is payable", |world| world.status(at, order) == Status::AwaitingPayment)?;
        Ok(order)
    }

    fn paid(&mut self, at: usize, user: u64) -> Result<(), Violation> {
        let order = self.payable(at, user)?;
        self.pay(at, order);
        self.until("it is paid", |world| {
            for (payment, amount) in std::mem::take(&mut world.payments) {
                world.settle(payment, Some(amount));
            }
            world.status(at, order) == Status::Paid
        })
    }

    /// Whether the sale is paused and has ended at a gateway.
    fn phase(&self, at: usize) -> Option<(bool, bool)> {
        let running = self.gateways[at].running.as_ref()?;
        let known = running.engine().activity(self.sale().id)?;
        let sale = known.sale();
        Some((sale.paused, sale.ended))
    }

    /// Goes on for a second at most, until all are at the same.
    fn phase_within_a_second(&mut self, expected: (bool, bool)) -> Result<(), Violation> {
        let other =
            |world: &Self| (0..world.gateways.len()).find(|&at| world.phase(at) != Some(expected));
        for _ in 0..50 {
            if other(self).is_none() {
                return Ok(());
            }
            self.go_on(20)?;
        }
        match other(self) {
            None => Ok(()),
            Some(at) => Err(format!("gateway {at} does not do as an operator says in a second")),
        }
    }

    /// A gateway's messages wait: the next that gives units back is lost.
    fn lose_give_back(&mut self, from: u16) -> Result<(), Violation> {
        let who = from.to_string();
        for _ in 0..100 {
            self.go_on(20)?;
            let mut network = self.network();
            let gives = network.under_way().any(|it| is(it, "lease", &who) && it[8] == "0");
            let Some(at) = network.senders().iter().position(|it| *it == from) else { continue };
            network.carry(at, if gives { Way::Lost } else { Way::Whole }, false);
            if gives {
                return Ok(());
            }
        }
        Err("it gives nothing back".to_owned())
    }

    /// The first message of a gateway is lost.
    fn lose_one(&mut self, from: u16) {
        let mut network = self.network();
        let at =
            network.senders().iter().position(|it| *it == from).expect("it has said something");
        let told = network.carry(at, Way::Lost, false);
        drop(network);
        self.note(|| told);
    }

    /// The first message that is like this comes again.
    fn again(&mut self, is_it: impl Fn(&[String]) -> bool) {
        let mut network = self.network();
        let copy = network.find(is_it).expect("it was said");
        let told = network.repeat(copy, false);
        drop(network);
        self.note(|| told);
    }
}

/// Whether a message is a function's, from a gateway where it names one.
fn is(message: &[String], function: &str, from: &str) -> bool {
    let names_none = matches!(function, "begin" | "resume");
    message[1].ends_with(function) && (names_none || message[5] == from)
}

/// A fleet of `gateways` that share `stocked` units, two a buyer; all live.
fn fleet(gateways: u16, flaw: Flaw) -> World {
    let mut world = World::new(1, gateways, flaw);
    world.is_told = true;
    world.publish(2, 1);
    world
}

fn start(world: &mut World, gateways: usize) -> Result<(), Violation> {
    (0..gateways).for_each(|at| world.start(at));
    world.until_live()
}

fn run(
    case: impl Fn(&mut World) -> Result<(), Violation>,
    gateways: u16,
    flaw: Flaw,
) -> Result<(), Violation> {
    in_a_runtime(|| {
        let mut world = fleet(gateways, flaw);
        let done = case(&mut world).and_then(|()| world.finish());
        let told = world.told.make_contiguous().join("\n  ");
        done.map_err(|violation| format!("{violation}\nthe last steps:\n  {told}"))
    })
}

/// A case holds, and what its rule keeps away comes about without it.
fn check(
    case: impl Fn(&mut World) -> Result<(), Violation>,
    gateways: u16,
    flaw: Flaw,
    expected: &str,
) {
    run(&case, gateways, Flaw::None).unwrap_or_else(|violation| panic!("{violation}"));
    if flaw != Flaw::None {
        let violation = run(&case, gateways, flaw).expect_err("the rule is left out");
        let head = violation.lines().next().unwrap_or_default();
        assert!(head.contains(expected), "{violation}");
    }
}

/// Another asks for everything while the one who has a unit is not heard.
fn ask_for_everything(world: &mut World) -> Result<(), Violation> {
    world.held.insert(0);
    for user in [11, 12] {
        world.try_buy(1, user, 1)?;
    }
    if world.net(1) > 1 {
        return Err("the other has everything".to_owned());
    }
    world.held.clear();
    world.until_live()
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

/// A grant in flight over a flush, or an old master's, comes after the gateway has declared elsewhere.
/// No Redis can show what a gateway without the rule does: it waits for one answer at a time.
#[test]
fn c3_c4_what_an_older_era_says_does_not_count() {
    let case: Case = |world| {
        start(world, 2)?;
        world.network().machines.promote();
        world.stray(0, true);
        // The old master grants one to the first, which is then heard by the new one.
        world.payable(0, 1)?;
        world.stray(0, false);
        world.calm(3_000)?;
        world.stray(0, true);
        world.try_buy(0, 2, 1)?;
        world.stray(0, false);
        ask_for_everything(world)
    };
    check(case, 2, Flaw::None, "");
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

/// A third gateway has joined, and was lent a unit, since the others looked who is there.
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
        let generation = |world: &World| {
            let sale = world.gateways[0].running.as_ref()?.engine().activity(world.sale().id)?;
            Some(sale.sale().lease?.era?.generation)
        };
        let before = generation(world);
        world.start(2);
        world.until_live()?;
        match generation(world) == before {
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

impl World {
    /// An operator has the second gateway go on for the first, and it does.
    fn adopt_first(&mut self) -> Result<(), Violation> {
        self.retire(0, 1)?;
        self.until_first_goes_on()
    }

    fn until_first_goes_on(&mut self) -> Result<(), Violation> {
        self.until("the first one goes on inside the second", |world| {
            let first = &world.gateways[0];
            first.host == Some(1) && first.running.is_some() && world.all_live()
        })
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

/// U11: a gateway is lost. What can be paid is in the store, and so goes on; what it had free the others sell.
#[test]
fn c18_what_can_be_paid_is_in_the_store() {
    fn case(world: &mut World, forgets: bool) -> Result<(), Violation> {
        start(world, 2)?;
        let order = world.payable(0, 1)?;
        if forgets {
            let forget = "DELETE FROM sales_order";
            world.store.db.execute(forget, []).expect("the table is there");
        }
        world.lose(0);
        world.adopt_first()?;
        world.until("it can be paid", |it| it.status(0, order) == Status::AwaitingPayment)?;
        world.payable(1, 2).map(drop)
    }
    check(|world| case(world, false), 2, Flaw::None, "");
    let violation = run(|world| case(world, true), 2, Flaw::None).expect_err("the store lacks it");
    assert!(violation.contains("is AwaitingPayment, and is lost"), "{violation}");
}

/// A buyer has a unit elsewhere and two orders at a gateway, of which one more is let: it is told so, and
/// is lost before the store has it. Who goes on cannot tell which it was.
#[test]
fn c20_of_a_buyers_orders_the_one_that_could_be_paid_goes_on() {
    let case: Case = |world| {
        world.sales.clear();
        world.publish(4, 2);
        start(world, 2)?;
        world.payable(1, 1)?;
        let other = world.try_buy(0, 2, 2)?.ok_or("nothing is sold")?;
        world.until("it is payable", |it| it.status(0, other) == Status::AwaitingPayment)?;
        world.held.insert(0);
        world.cancel(0, other);
        let order = world.try_buy(0, 1, 1)?.ok_or("nothing is sold")?;
        world.buy(0, world.sale(), UserId(1), 1);
        world.calm(1_000)?;
        world.cut_from_store(0);
        world.held.clear();
        world.until("one is payable", |it| it.status(0, order) == Status::AwaitingPayment)?;
        world.lose(0);
        world.adopt_first()?;
        world.until("it can be paid", |it| it.status(0, order) == Status::AwaitingPayment)
    };
    check(case, 2, Flaw::None, "");
}

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

/// A gateway writes down that an order is paid, and is lost before the store has it.
#[test]
fn c19_the_provider_is_asked_before_an_order_ends() {
    fn case(world: &mut World, asks: bool) -> Result<(), Violation> {
        start(world, 2)?;
        let order = world.payable(0, 1)?;
        world.pay(0, order);
        world.until("a payment is started", |world| !world.payments.is_empty())?;
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

/// Among three, so that more than one is told. Simulated time is no wall clock, as above.
#[test]
fn what_an_operator_does_at_one_gateway_holds_at_all_within_a_second_redis_and_store_or_not() {
    fn everything_holds(world: &mut World, cut: fn(&mut World)) -> Result<(), Violation> {
        start(world, 3)?;
        // Each has seen that the others are there.
        world.calm(2_000)?;
        cut(world);
        for (change, expected) in [
            (PhaseChange::Pause, (true, false)),
            (PhaseChange::Resume, (false, false)),
            (PhaseChange::Pause, (true, false)),
            (PhaseChange::End, (true, true)),
        ] {
            world.change_phase(0, world.sale().id, change);
            world.phase_within_a_second(expected)?;
        }
        Ok(())
    }
    fn cut_all_from_store(world: &mut World) {
        (0..3).for_each(|at| world.cut_from_store(at));
    }
    let with_both: Case = |world| everything_holds(world, |_| {});
    let without_redis: Case = |world| everything_holds(world, |world| world.held.extend([0, 1, 2]));
    let without_store: Case = |world| everything_holds(world, cut_all_from_store);
    let without_both: Case = |world| {
        everything_holds(world, |world| {
            world.held.extend([0, 1, 2]);
            cut_all_from_store(world);
        })
    };
    for case in [with_both, without_redis, without_store, without_both] {
        check(case, 3, Flaw::None, "");
    }
    let without_words: Case = |world| {
        everything_holds(world, |world| {
            world.cut_from_peers(1);
            cut_all_from_store(world);
        })
    };
    let violation = run(without_words, 3, Flaw::None).expect_err("nobody tells the second");
    assert!(violation.starts_with("gateway 1 does not do as an operator says"), "{violation}");
}

/// No two clocks agree, and whoever resumes a sale has seen that it was paused: it said so with an earlier
/// instant, and the others stayed as they were until the store was there.
#[test]
fn what_is_done_after_something_was_heard_is_newer_whatever_the_clocks_say() {
    let case: Case = |world| {
        start(world, 3)?;
        world.calm(2_000)?;
        (0..3).for_each(|at| world.cut_from_store(at));
        for (at, change, expected) in [
            (0, PhaseChange::Pause, (true, false)),
            (1, PhaseChange::Resume, (false, false)),
            (2, PhaseChange::Pause, (true, false)),
            (0, PhaseChange::Resume, (false, false)),
            (2, PhaseChange::Pause, (true, false)),
            (1, PhaseChange::Resume, (false, false)),
            (0, PhaseChange::Pause, (true, false)),
            (1, PhaseChange::End, (true, true)),
        ] {
            world.change_phase(at, world.sale().id, change);
            world.phase_within_a_second(expected)?;
        }
        Ok(())
    };
    check(case, 3, Flaw::None, "");
}

/// Operators at all gateways pause and resume a sale at once, or end it, with the store away. What a gateway
/// heard while its own word was written down was done behind that, and it alone stayed so; an end that came
/// behind a newer word was dropped. Once the store is back all do as it says, though nobody has started anew,
/// and whomever words reached.
#[test]
fn of_words_that_cross_the_same_one_counts_everywhere() {
    fn all_agree(world: &mut World) -> Result<(), Violation> {
        start(world, 3)?;
        world.calm(2_000)?;
        (0..3).for_each(|at| world.cut_from_store(at));
        let is_alone = world.random.once_in(3);
        if is_alone {
            world.cut_from_peers(2);
        }
        let end_at = world.random.index(40);
        for turn in 0..20 {
            let at = world.random.index(3);
            let change = match world.random.once_in(2) {
                _ if turn == end_at => PhaseChange::End,
                true => PhaseChange::Pause,
                false => PhaseChange::Resume,
            };
            world.change_phase(at, world.sale().id, change);
            for _ in 0..world.random.index(40) {
                world.work()?;
                world.carry();
                let ms = world.random.below(5);
                world.pass(ms);
            }
        }
        // No word is said any more.
        world.calm(9_000)?;
        // Of a sale that has ended nobody asks whether it is paused.
        let stands = |world: &World, at| world.phase(at).map(|it| (it.0 && !it.1, it.1));
        let phases = [0, 1, 2].map(|at| stands(world, at));
        let linked = if is_alone { &phases[..2] } else { &phases };
        if linked.iter().any(|it| *it != phases[0]) {
            return Err(format!("they do not agree: {phases:?}"));
        }
        world.link();
        world.calm(5_000)?;
        world.check_phases()?;
        match is_alone || stands(world, 0) == phases[0] {
            true => Ok(()),
            false => Err(format!("the store undoes what was said last: {:?}", world.phase(0))),
        }
    }
    let failed = seeds().find_map(|seed| {
        in_a_runtime(|| {
            let mut world = World::new(seed, 3, Flaw::None);
            world.publish(2, 1);
            all_agree(&mut world).err().map(|violation| format!("SEED={seed}: {violation}"))
        })
    });
    assert_eq!(failed, None);
}

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
        world.lose_one(0);
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
