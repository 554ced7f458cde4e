//! The world of one run: gateways, the network to Redis, the store, shoppers and operators; and what
//! befalls them.
//!
//! It must not know what should come of it: that is checked beside it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use seckill_shards::command::{Command, PhaseChange, Withdraw};
use seckill_shards::ids::{ActivityId, OrderId, PaymentId};
use seckill_shards::record::NO_KEY;
use seckill_shards::testing::Random;
use seckill_shards::testing::world::{CURRENCY, NOON};

use super::Violation;
use super::bank::Bank;
use super::end::ROUND_MS;
use super::gateway::{Fate, Gateway, Part};
use super::losses::Promised;
use super::words::UnderWay;
use crate::reconcile::testing::{Flaw, Machines, Network, Way};
use crate::store::sqlite::SimulatedStore;
use crate::store::{NewActivity, NewProduct, Store};

/// Steps that a run's last words tell of.
const TOLD_MAX: usize = 150;
/// How long an order may be paid, in milliseconds.
const PAY_WINDOW_MS: u64 = 5_000;
/// Units that the product of a sale has.
pub(super) const PRODUCED: u32 = 1_000;
/// After this long an order that nobody confirms is rejected, in milliseconds, and some more.
const ACCEPTED_TOO_LONG_MS: u64 = 16 * 60_000;

/// A sale that the gateways share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sale {
    pub(super) id: ActivityId,
    pub(super) stocked: u32,
    pub(super) limit: u32,
}

/// What a gateway cannot reach, until when, in simulated milliseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Cut {
    redis: u64,
    store: u64,
    peers: u64,
    /// Whether it meets the other Redis of two.
    strays: bool,
}

pub(super) struct World {
    pub(super) random: Random,
    pub(super) network: Arc<Mutex<Network>>,
    pub(super) store: SimulatedStore,
    pub(super) gateways: Vec<Gateway>,
    pub(super) sales: Vec<Sale>,
    pub(super) acknowledged: BTreeSet<OrderId>,
    /// Orders of lost gateways that could be paid, or were.
    pub(super) promised: BTreeMap<OrderId, Promised>,
    /// Payments that were started, with their amounts.
    pub(super) payments: Vec<(PaymentId, i64)>,
    pub(super) bank: Arc<Bank>,
    /// Gateways whose messages wait.
    pub(super) held: BTreeSet<u16>,
    /// A gateway whose messages wait once it has said this.
    pub(super) held_after: Option<(u16, &'static str)>,
    /// What gateways tell each other.
    pub(super) words: UnderWay,
    /// Whether shoppers are many, and come together.
    is_crowd: bool,
    cuts: Vec<Cut>,
    passed_ms: u64,
    is_calm: bool,
    /// Whether the last steps are noted.
    pub(super) is_told: bool,
    pub(super) told: VecDeque<String>,
}

impl World {
    /// So many gateways, of which none has started, and no sale yet.
    pub(super) fn new(seed: u64, gateways: u16, flaw: Flaw) -> Self {
        let mut random = Random::new(seed);
        let network = Network::new(Machines::new(flaw));
        let is_calm = random.once_in(3);
        let mut world = Self {
            is_calm,
            random,
            network,
            store: SimulatedStore::new(),
            cuts: Vec::new(),
            gateways: Vec::new(),
            sales: Vec::new(),
            acknowledged: BTreeSet::new(),
            promised: BTreeMap::new(),
            payments: Vec::new(),
            bank: Arc::default(),
            held: BTreeSet::new(),
            held_after: None,
            words: UnderWay::default(),
            is_crowd: false,
            passed_ms: 0,
            is_told: false,
            told: VecDeque::new(),
        };
        (0..gateways).for_each(|_| world.add_gateway());
        world
    }

    /// One more gateway, which has not started yet, under the next number.
    pub(super) fn add_gateway(&mut self) {
        let number = u16::try_from(self.gateways.len()).expect("a few");
        let seed = self.random.bits();
        let gateway = Gateway::new(number, seed, &self.network, &self.bank);
        // It comes in the time of the others: what was promised by a clock stands until that instant.
        gateway.clock.advance(self.passed_ms);
        self.gateways.push(gateway);
        self.cuts.push(Cut::default());
    }

    /// A gateway that was not off is there beside the one that goes on for it, and reaches what it did.
    pub(super) fn keep_on(&mut self, gateway: Gateway) {
        let cut = std::mem::take(&mut self.cuts[usize::from(gateway.number)]);
        self.gateways.push(gateway);
        self.cuts.push(cut);
    }

    /// A random fleet with a sale or two.
    pub(super) fn random(seed: u64, flaw: Flaw) -> Self {
        let mut world = Self::new(seed, 2 + u16::try_from(seed % 2).expect("0 or 1"), flaw);
        world.is_crowd = world.random.once_in(16);
        for _ in 0..=world.random.index(2) {
            let most = if world.is_crowd { 700 } else { 9 };
            let stocked = 1 + u32::try_from(world.random.below(most)).expect("below 700");
            let limit = 1 + u32::try_from(world.random.below(3)).expect("below three");
            world.publish(stocked, limit);
        }
        for at in 0..world.gateways.len() {
            if at == 0 || !world.random.once_in(3) {
                world.start(at);
            }
        }
        world
    }

    /// Whether shoppers are many, and come together.
    pub(super) fn is_crowd(&self) -> bool {
        self.is_crowd
    }

    pub(super) fn note(&mut self, step: impl FnOnce() -> String) {
        if self.is_told {
            if self.told.len() == TOLD_MAX {
                self.told.pop_front();
            }
            let step = step();
            if self.told.back().is_none_or(|last| !last.ends_with(&step)) {
                self.told.push_back(format!("{:>6} {step}", self.passed_ms));
            }
        }
    }

    pub(super) fn network(&self) -> MutexGuard<'_, Network> {
        self.network.lock().expect("nobody panics under this lock")
    }

    pub(super) fn publish(&mut self, stocked: u32, limit: u32) -> ActivityId {
        self.publish_for(PAY_WINDOW_MS, stocked, limit)
    }

    /// A sale whose orders may be paid for so many milliseconds.
    pub(super) fn publish_for(
        &mut self,
        pay_window_ms: u64,
        stocked: u32,
        limit: u32,
    ) -> ActivityId {
        let product = NewProduct {
            title: "Kettle".to_owned(),
            description: String::new(),
            image_url: String::new(),
            price: 2_000,
            currency: CURRENCY,
            stock: i64::from(PRODUCED),
        };
        let activity = NewActivity {
            title: "Kettles".to_owned(),
            product: seckill_shards::ids::ProductId(0),
            sale_price: 1_000,
            stocked,
            per_user_limit: limit,
            pay_window_ms,
            starts_at: NOON,
            ends_at: NOON.plus_ms(3_600_000),
            admission: false,
        };
        let published = self.store.ask(async |store| {
            let product = store.create_product(product, None).await?.into_inner().id;
            let activity = NewActivity { product, ..activity };
            let id = store.create_activity(activity, None).await?.into_inner().id;
            store.publish(id, None).await
        });
        let id = published.expect("the store takes a sale").id;
        self.sales.push(Sale { id, stocked, limit });
        id
    }

    /// Starts a gateway where it may run, and whoever goes on inside it.
    pub(super) fn start(&mut self, at: usize) {
        let Gateway { fate, host, .. } = self.gateways[at];
        if fate != Fate::Here {
            return;
        }
        // One that was adopted has one shard, whatever it had before.
        let cores = if host.is_none() { 1 + self.random.index(3) } else { 1 };
        match host {
            None => {
                self.gateways[at].start(cores, None);
                if self.gateways[at].has_left() && !self.stays(at) {
                    return;
                }
            }
            Some(host) => {
                let [gateway, host] =
                    self.gateways.get_disjoint_mut([at, host]).expect("nobody is inside itself");
                let Some(host) = &host.running else { return };
                gateway.start(cores, Some(host));
            }
        }
        self.note(|| format!("gateway {at} starts with {cores} cores"));
        self.guests(at).into_iter().for_each(|guest| self.start(guest));
    }

    /// Every other fleet sells before anything befalls it, and in some one is about to leave by then.
    pub(super) fn warm_up(&mut self) -> Result<(), Violation> {
        if self.random.once_in(2) {
            return Ok(());
        }
        self.sell_for(30)?;
        if self.random.once_in(2) {
            self.drain_any();
            let rounds = self.random.index(50);
            self.sell_for(rounds)?;
        }
        Ok(())
    }

    fn sell_for(&mut self, rounds: usize) -> Result<(), Violation> {
        (0..rounds).try_for_each(|_| {
            self.shop();
            self.go_on(ROUND_MS)
        })
    }

    /// Makes a step of what may happen.
    pub(super) fn step(&mut self) -> Result<(), Violation> {
        match self.random.below(1_000) {
            0..520 => self.work()?,
            520..700 => self.carry(),
            700..800 => self.serve(),
            800..880 if self.is_crowd => self.rush(),
            800..880 => self.shop(),
            880..990 => {
                let ms = 1 + self.random.below(60);
                self.pass(ms);
            }
            _ if self.is_calm && !self.random.once_in(6) => {}
            _ => self.befall()?,
        }
        self.check()
    }

    fn any_running(&mut self) -> Option<usize> {
        let at = self.random.index(self.gateways.len());
        if self.gateways[at].running.is_some() {
            return Some(at);
        }
        // Nobody stays down for long.
        if self.random.once_in(15) {
            self.start(self.gateways[at].host.unwrap_or(at));
        }
        None
    }

    /// A gateway goes on for a while, or a part of it does.
    pub(super) fn work(&mut self) -> Result<(), Violation> {
        let Some(at) = self.any_running() else { return Ok(()) };
        for _ in 0..=self.random.index(6) {
            let random = &mut self.random;
            let running = self.gateways[at].running.as_mut().expect("it runs");
            let core = random.index(running.shards.len());
            match random.index(15) {
                0 => running.run_core(core),
                1 => running.write_group(),
                2 => running.keep(),
                3 => running.run_part(Part::Flush),
                4 => running.run_part(Part::Learn),
                5 if random.once_in(2) => running.run_part(Part::Announce),
                5 => running.run_part(Part::Adopt),
                6..9 => running.run_part(Part::Settle),
                9 => running.run_words(),
                10 => self.leave(at)?,
                _ => running.run_all(),
            }
            if self.gateways[at].running.is_none() {
                return Ok(());
            }
            self.hear(at);
            self.take_over(at)?;
            if self.random.once_in(3) {
                self.carry();
                self.serve();
            }
            self.check()?;
        }
        let running = self.gateways[at].running.as_ref().expect("it runs");
        if running.engine().journal().is_latched() && self.random.once_in(10) {
            self.crash(at);
        }
        Ok(())
    }

    /// A process ends, with all that run in it.
    pub(super) fn crash(&mut self, at: usize) {
        let power_fails = self.random.once_in(2);
        let at = self.gateways[at].host.unwrap_or(at);
        for ended in self.guests(at).into_iter().chain([at]) {
            self.gateways[ended].crash(power_fails);
        }
        self.note(|| format!("gateway {at} ends, power fails: {power_fails}"));
    }

    /// A message goes on to Redis, or comes again; or a word does to another gateway.
    pub(super) fn carry(&mut self) {
        if !self.words.borrow().is_empty() && self.random.once_in(2) {
            return self.carry_word();
        }
        let mut network = self.network.lock().expect("nobody panics under this lock");
        let is_split = network.machines.is_split();
        let strays = self.random.once_in(if is_split { 2 } else { 30 });
        if network.copies() > 0 && self.random.once_in(8) {
            let copy = self.random.index(network.copies());
            let told = network.repeat(copy, strays);
            drop(network);
            return self.note(|| told);
        }
        let senders = network.senders();
        if senders.is_empty() {
            return;
        }
        let at = if self.random.once_in(4) { self.random.index(senders.len()) } else { 0 };
        let cut = self.cuts[usize::from(senders[at])];
        let way = match self.random.index(20) {
            _ if cut.redis > self.passed_ms => Way::Lost,
            0 => Way::Lost,
            1 | 2 => Way::Unanswered,
            3 => Way::Torn,
            _ => Way::Whole,
        };
        let strays = if is_split { cut.strays } else { strays };
        let told = network.carry(at, way, strays);
        drop(network);
        self.note(|| told);
    }

    /// A call goes on to the store.
    fn serve(&mut self) {
        let Some(at) = self.any_running() else { return };
        let is_cut = self.cuts[at].store > self.passed_ms;
        let running = self.gateways[at].running.as_ref().expect("it runs");
        if is_cut || self.random.once_in(25) {
            running.line.lose();
        } else if let Some(answer) = running.line.work(&mut self.store) {
            // The other answers are lost.
            if !self.random.once_in(25) {
                answer();
            }
        }
    }

    pub(super) fn pass(&mut self, ms: u64) {
        self.passed_ms += ms;
        for at in 0..self.gateways.len() {
            self.gateways[at].clock.advance(ms);
            if let Some(running) = &self.gateways[at].running {
                running.tick();
            }
        }
    }

    fn befall(&mut self) -> Result<(), Violation> {
        let at = self.random.index(self.gateways.len());
        let what = self.random.index(20);
        match what {
            0 => self.network().machines.flush(),
            1 => self.network().machines.restart(),
            2 => self.network().machines.save(),
            3 => self.network().machines.replicate(),
            4 => {
                for at in 0..self.cuts.len() {
                    self.cuts[at].strays = self.random.once_in(2);
                }
                self.network().machines.promote();
            }
            5 => {
                let master = self.random.index(2);
                let mut network = self.network();
                if network.machines.is_split() {
                    network.machines.follow(master);
                }
            }
            6 | 7 => self.crash(at),
            8 => {
                let calls = self.random.below(30);
                self.gateways[at].fail_disk(calls);
            }
            9 => self.restock(),
            10 => {
                self.cuts[at].redis = self.passed_ms + self.random.below(3_000);
            }
            11 => {
                self.cuts[at].store = self.passed_ms + self.random.below(3_000);
            }
            12 => {
                // Now and then for longer than anybody is told anything.
                self.cuts[at].peers = self.passed_ms + self.random.below(9_000);
            }
            13 | 14 => self.operate(at),
            15 => self.lose_any(),
            16 => self.retire_lost()?,
            17 => self.withdraw(at),
            18 => self.drain_any(),
            _ if self.random.once_in(6) => self.pass(ACCEPTED_TOO_LONG_MS),
            _ => self.pass(PAY_WINDOW_MS),
        }
        self.note(|| format!("fault {what} at {at}"));
        Ok(())
    }

    fn restock(&mut self) {
        let sale = self.random.index(self.sales.len());
        let id = self.sales[sale].id;
        let quantity = 1 + u32::try_from(self.random.below(3)).expect("below three");
        // Refused, where it has ended.
        if self.store.ask(async |store| store.restock(id, quantity, None).await).is_ok() {
            self.sales[sale].stocked += quantity;
        }
    }

    /// An operator takes units out of a sale at a gateway.
    fn withdraw(&mut self, at: usize) {
        let (activity, quantity) = (self.sales[self.random.index(self.sales.len())].id, 1);
        let Some(running) = &mut self.gateways[at].running else { return };
        let owner = activity.owner(running.shards.len());
        let withdraw = Withdraw { activity, quantity, key: NO_KEY, body: NO_KEY };
        running.ask(owner, Command::Withdraw(withdraw));
    }

    /// An operator pauses, resumes or ends a sale at a gateway.
    fn operate(&mut self, at: usize) {
        // One that was adopted has no door of its own.
        if !self.is_own(at) {
            return;
        }
        let sale = self.sales[self.random.index(self.sales.len())];
        let change = match self.random.index(12) {
            0 => PhaseChange::End,
            1..6 => PhaseChange::Pause,
            _ => PhaseChange::Resume,
        };
        self.change_phase(at, sale.id, change);
    }

    pub(super) fn change_phase(&mut self, at: usize, activity: ActivityId, change: PhaseChange) {
        let Some(running) = &mut self.gateways[at].running else { return };
        let owner = activity.owner(running.shards.len());
        running.ask(owner, Command::ChangePhase { activity, change });
    }

    /// What nothing befalls goes on for some milliseconds.
    pub(super) fn go_on(&mut self, ms: u64) -> Result<(), Violation> {
        self.pass(ms);
        for at in 0..self.gateways.len() {
            for part in Part::ALL {
                self.go_on_with(at, part)?;
            }
            self.leave(at)?;
        }
        self.check()
    }

    /// One task of a gateway goes on as far as it can within this moment.
    fn go_on_with(&mut self, at: usize, part: Part) -> Result<(), Violation> {
        for _ in 0..12 {
            let Some(running) = &mut self.gateways[at].running else { break };
            running.run_part(part);
            running.run_all();
            let mut waits = false;
            while self.cuts[at].store <= self.passed_ms
                && let Some(answer) = running.line.work(&mut self.store)
            {
                answer();
                waits = true;
            }
            self.hear(at);
            self.take_over(at)?;
            // Before the keeper recycles what was flushed.
            self.check()?;
            waits |= self.carry_words();
            if !self.carry_all() && !waits {
                break;
            }
        }
        Ok(())
    }

    /// Carries all messages but those that are held; whether there were any.
    fn carry_all(&mut self) -> bool {
        let mut carried = false;
        loop {
            let mut network = self.network.lock().expect("nobody panics under this lock");
            let senders = network.senders();
            let Some(at) = senders.iter().position(|it| !self.held.contains(it)) else {
                return carried;
            };
            let strays = network.machines.is_split() && self.cuts[usize::from(senders[at])].strays;
            let (from, told) = (senders[at], network.carry(at, Way::Whole, strays));
            drop(network);
            if self.held_after.is_some_and(|(it, what)| it == from && told.contains(what)) {
                self.held.insert(from);
            }
            self.note(|| told);
            carried = true;
        }
    }

    /// Whether a gateway's calls to others go out, and those of others reach it.
    pub(super) fn reaches_peers(&self, number: u16) -> bool {
        self.cuts[usize::from(number)].peers <= self.passed_ms
    }

    /// Whether a gateway's calls to the store arrive.
    pub(super) fn reaches_store(&self, at: usize) -> bool {
        self.cuts[at].store <= self.passed_ms
    }

    /// A gateway reaches no other any more.
    pub(super) fn cut_from_peers(&mut self, at: usize) {
        self.cuts[at].peers = u64::MAX;
    }

    /// The store hears nothing more of a gateway.
    pub(super) fn cut_from_store(&mut self, at: usize) {
        self.cuts[at].store = u64::MAX;
    }

    /// A gateway meets the other Redis of two.
    pub(super) fn stray(&mut self, at: usize, strays: bool) {
        self.cuts[at].strays = strays;
    }

    /// Everybody reaches everything again.
    pub(super) fn link(&mut self) {
        self.cuts.fill(Cut::default());
    }

    /// Nothing befalls anybody any more, and everybody is there who ever will be.
    pub(super) fn mend(&mut self) {
        self.link();
        self.held.clear();
        self.held_after = None;
        let mut network = self.network();
        let master = network.machines.master_index();
        network.machines.follow(master);
        drop(network);
        for at in self.own() {
            // Also where its disk was about to fail.
            self.crash(at);
            self.start(at);
        }
    }
}
