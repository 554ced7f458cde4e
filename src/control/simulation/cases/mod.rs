//! What goes wrong without one of the protocol's rules: each the shortest run with real gateways. Where a
//! rule can be left out by Redis or the store, a canary does, and the checks notice.

mod drains;
mod ends;
mod eras;
mod losses;
mod requests;
mod units;
mod words;

use seckill_shards::ids::{Era, OrderId, UserId};
use seckill_shards::record::Status;

use super::world::{Sale, World};
use super::{Violation, in_a_runtime};
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

    /// The first message that is like this comes again.
    fn again(&mut self, is_it: impl Fn(&[String]) -> bool) {
        let mut network = self.network();
        let copy = network.find(is_it).expect("it was said");
        let told = network.repeat(copy, false);
        drop(network);
        self.note(|| told);
    }

    /// What a gateway says that is held goes on to the master, up to the first message that is like this: where
    /// that is under way.
    fn carry_up_to(
        &mut self,
        from: u16,
        is_it: impl Fn(&[String]) -> bool,
    ) -> Result<usize, Violation> {
        for _ in 0..100 {
            self.go_on(20)?;
            let mut network = self.network();
            let Some(at) = network.senders().iter().position(|it| *it == from) else { continue };
            if network.messages(at).iter().any(|it| is_it(it)) {
                return Ok(at);
            }
            let told = network.carry(at, Way::Whole, false);
            drop(network);
            self.note(|| told);
        }
        Err(format!("gateway {from} does not say it"))
    }

    /// A message that is held goes on by itself.
    fn carry_one(&mut self, at: usize, way: Way, strays: bool) {
        let told = self.network().carry(at, way, strays);
        self.note(|| told);
    }

    /// The era that a gateway has entered.
    fn era(&self, at: usize) -> Option<Era> {
        let running = self.gateways[at].running.as_ref()?;
        running.engine().activity(self.sale().id)?.sale().lease?.era
    }

    fn until_first_goes_on(&mut self) -> Result<(), Violation> {
        self.until("the first one goes on inside the second", |world| {
            let first = &world.gateways[0];
            first.host == Some(1) && first.running.is_some() && world.all_live()
        })
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
