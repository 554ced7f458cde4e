//! What goes wrong, and how it ends.
//!
//! It must not know who notices.

use std::collections::BTreeSet;
use std::ops::Range;

use seckill_loadtest::link::Mode;
use seckill_loadtest::random::Random;

use crate::world::{GATEWAYS, SERVE, World};

/// Faults of one round, at most.
const FAULTS_MAX: usize = 4;
/// Faults to draw from: more likely ones more than once.
const KINDS: Range<usize> = 0..18;
/// Those of nginx, where there is one.
const KINDS_OF_FRONT: Range<usize> = 18..21;
/// Those of the ways to the store, where each gateway has one of its own.
const KINDS_OF_STORE: Range<usize> = 21..23;
/// Those of gateways that are members for a time only, unless the store says so again.
const KINDS_OF_MEMBERS: Range<usize> = 23..27;
/// How a link fails.
const MODES: [Mode; 4] = [Mode::SilentThere, Mode::SilentBack, Mode::Silent, Mode::Cut];

/// Something that goes wrong for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// A gateway is killed, and comes back.
    GatewayKilled(usize),
    /// A gateway is killed and never comes back, and its journal is gone, too: another goes on with
    /// its orders, and a fresh gateway takes its place.
    GatewayLost(usize),
    /// The same, and its data is there yet: it would be refused.
    GatewayLeft(usize),
    /// A gateway that lives is retired, for want of a link to it or for no reason: it goes on until it hears so, or
    /// is no member any more, and a fresh one takes its place.
    GatewayRetired(usize, Mode),
    /// Nobody can write to the store for so long that nobody is a member any more.
    MembersLapsed,
    /// An operator pauses the sale at a gateway, and has it go on later wherever it is paused.
    SalePaused(usize),
    /// Redis is killed, and comes back without anything.
    RedisKilled,
    /// Redis stands still.
    RedisStopped,
    /// Redis forgets everything.
    RedisFlushed,
    /// Redis' replica is killed, and comes back.
    ReplicaKilled,
    /// Redis dies, and its replica takes over without what was written last.
    ReplicaPromoted,
    /// The same, but the old master lives on, and one gateway goes on with it.
    RedisSplit(usize),
    /// The same, and after a while all go back to the old master, who knows what it knew.
    OldMasterBack,
    /// A gateway's link to Redis fails.
    ToRedis(usize, Mode),
    /// One gateway's link to another fails: calls of the first, or their answers.
    Between(usize, usize, Mode),
    /// All links of a gateway fail.
    Alone(usize, Mode),
    /// Nobody can write to the store.
    StoreStalled,
    /// nginx is killed, and comes back.
    FrontKilled,
    /// nginx' link to a gateway fails.
    FromFront(usize, Mode),
    /// One gateway's way to the store fails.
    ToStore(usize, Mode),
}

/// Some faults that can be there together in a world; whichever is drawn.
pub(crate) fn draw(world: &World, random: &mut Random) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    for _ in 0..=random.below(FAULTS_MAX) {
        let fault = one(random, &kinds(world));
        if faults.iter().all(|&it| fault.goes_with(it)) && !loses_all(&faults, fault) {
            faults.push(fault);
        }
    }
    faults
}

/// The names of all that can be drawn in a world.
pub(crate) fn drawable(world: &World) -> BTreeSet<String> {
    kinds(world).into_iter().map(|kind| of_kind(kind, 0, 1, Mode::Cut).name()).collect()
}

fn kinds(world: &World) -> Vec<usize> {
    let of_front = if world.has_front() { KINDS_OF_FRONT } else { 0..0 };
    let of_store = if world.has_ways_to_store() { KINDS_OF_STORE } else { 0..0 };
    let of_members = if world.lapses { KINDS_OF_MEMBERS } else { 0..0 };
    KINDS.chain(of_front).chain(of_store).chain(of_members).collect()
}

/// Whether nobody would be there who could go on for the others.
fn loses_all(faults: &[Fault], fault: Fault) -> bool {
    let lost = faults.iter().chain([&fault]).filter(|it| it.loses().is_some());
    lost.count() == GATEWAYS
}

fn one(random: &mut Random, kinds: &[usize]) -> Fault {
    let gateway = random.below(GATEWAYS);
    let other = (gateway + 1 + random.below(GATEWAYS - 1)) % GATEWAYS;
    let mode = *random.one_of(&MODES);
    of_kind(*random.one_of(kinds), gateway, other, mode)
}

fn of_kind(kind: usize, gateway: usize, other: usize, mode: Mode) -> Fault {
    match kind {
        0..3 => Fault::GatewayKilled(gateway),
        3 => Fault::RedisKilled,
        4 => Fault::RedisStopped,
        5 => Fault::RedisFlushed,
        6 => Fault::ReplicaPromoted,
        7 => Fault::RedisSplit(gateway),
        8 => Fault::OldMasterBack,
        9 => Fault::ToRedis(gateway, mode),
        10 => Fault::Between(gateway, other, mode),
        11 => Fault::Alone(gateway, mode),
        12 | 13 => Fault::GatewayLost(gateway),
        14 => Fault::GatewayLeft(gateway),
        15 => Fault::StoreStalled,
        16 => Fault::ReplicaKilled,
        17 => Fault::SalePaused(gateway),
        18 => Fault::FrontKilled,
        19 | 20 => Fault::FromFront(gateway, mode),
        21 | 22 => Fault::ToStore(gateway, mode),
        23 => Fault::GatewayRetired(gateway, Mode::Well),
        24 => Fault::GatewayRetired(gateway, mode),
        25.. => Fault::MembersLapsed,
    }
}

impl Fault {
    /// What it is, whomever it is about.
    pub(crate) fn name(self) -> String {
        let shown = format!("{self:?}");
        shown.split('(').take(1).collect()
    }

    /// Whether another may be there as well.
    fn goes_with(self, other: Self) -> bool {
        let is_of_both = self.is_of_redis() && other.is_of_redis();
        let ends_one_twice = self.ends().is_some() && self.ends() == other.ends();
        let stalls = |it: Self| matches!(it, Self::StoreStalled | Self::MembersLapsed);
        let pauses = |it: Self| matches!(it, Self::SalePaused(_));
        let is_twice = [stalls(self) && stalls(other), pauses(self) && pauses(other)];
        self != other && !is_of_both && !ends_one_twice && is_twice == [false; 2]
    }

    fn is_of_redis(self) -> bool {
        match self {
            Self::RedisKilled
            | Self::RedisStopped
            | Self::RedisFlushed
            | Self::ReplicaKilled
            | Self::ReplicaPromoted
            | Self::RedisSplit(_)
            | Self::OldMasterBack => true,
            Self::GatewayKilled(_)
            | Self::GatewayLost(_)
            | Self::GatewayLeft(_)
            | Self::ToRedis(..)
            | Self::Between(..)
            | Self::Alone(..)
            | Self::GatewayRetired(..)
            | Self::MembersLapsed
            | Self::SalePaused(_)
            | Self::StoreStalled
            | Self::FrontKilled
            | Self::FromFront(..)
            | Self::ToStore(..) => false,
        }
    }

    /// The gateway whose process it ends.
    fn ends(self) -> Option<usize> {
        if let Self::GatewayKilled(gateway) = self { Some(gateway) } else { self.loses() }
    }

    /// The gateway that never comes back.
    fn loses(self) -> Option<usize> {
        if let Self::GatewayLost(gateway)
        | Self::GatewayLeft(gateway)
        | Self::GatewayRetired(gateway, _) = self
        {
            Some(gateway)
        } else {
            None
        }
    }

    /// Whether it can end as things are.
    pub(crate) fn may_end(self, world: &World) -> bool {
        if let Self::GatewayRetired(gateway, _) = self {
            return world.may_retire(gateway);
        }
        // Who is no member takes no word.
        let is_heard = !matches!(self, Self::SalePaused(_)) || world.all_reach_store();
        is_heard && self.loses().is_none_or(|gateway| world.may_replace(gateway))
    }

    /// A while before it begins: a replica that takes over lacks what is written from now on.
    pub(crate) fn announce(self, world: &World) {
        if matches!(self, Self::ReplicaPromoted | Self::RedisSplit(_) | Self::OldMasterBack) {
            world.replication.set_all(Mode::Cut);
        }
    }

    pub(crate) fn begin(self, world: &mut World) {
        let (master, other) = (world.master, world.other());
        match self {
            Self::GatewayKilled(gateway) => world.kill(gateway),
            Self::GatewayLost(gateway) => world.lose(gateway, true),
            Self::GatewayLeft(gateway) => world.lose(gateway, false),
            Self::GatewayRetired(_, Mode::Well) => {}
            Self::GatewayRetired(gateway, mode) => alone(world, gateway, mode),
            Self::MembersLapsed | Self::StoreStalled => world.stall_store(),
            Self::SalePaused(gateway) => world.pause(gateway),
            Self::RedisKilled => world.redis[master].kill(),
            Self::RedisStopped => world.redis[master].stop(),
            Self::RedisFlushed => world.redis[master].flush(),
            Self::ReplicaKilled => world.redis[other].kill(),
            Self::ReplicaPromoted => {
                world.redis[master].kill();
                world.redis[other].lead();
                (0..GATEWAYS).for_each(|gateway| world.lead_to(gateway, other));
            }
            Self::RedisSplit(behind) => {
                world.redis[other].lead();
                let moved = (0..GATEWAYS).filter(|&gateway| gateway != behind);
                moved.for_each(|gateway| world.lead_to(gateway, other));
            }
            Self::OldMasterBack => {
                world.redis[other].lead();
                (0..GATEWAYS).for_each(|gateway| world.lead_to(gateway, other));
            }
            Self::ToRedis(gateway, mode) => world.to_redis[gateway].set_all(mode),
            Self::Between(from, to, mode) => world.to_gateway[to].set(from, mode),
            Self::Alone(gateway, mode) => alone(world, gateway, mode),
            Self::FrontKilled => world.kill_front(),
            Self::FromFront(gateway, mode) => world.to_shop[gateway].set_all(mode),
            Self::ToStore(gateway, mode) => world.set_way_to_store(gateway, mode),
        }
    }

    pub(crate) fn end(self, world: &mut World) {
        let (master, other) = (world.master, world.other());
        match self {
            Self::GatewayKilled(gateway) => world.restart(gateway),
            Self::GatewayLost(gateway) => drop(world.replace(gateway)),
            Self::GatewayLeft(gateway) => world.replace(gateway).run(&SERVE).refused("was retired"),
            Self::GatewayRetired(gateway, _) => {
                let retired = world.replace_living(gateway);
                alone(world, gateway, Mode::Well);
                retired.run(&SERVE).refused("was retired");
            }
            Self::MembersLapsed => {
                world.await_lapse();
                world.let_store_go();
            }
            Self::SalePaused(_) => world.resume(),
            Self::RedisKilled => world.redis[master].restart(),
            Self::RedisStopped => world.redis[master].go_on(),
            Self::RedisFlushed => {}
            Self::ReplicaKilled => {
                world.redis[other].restart();
                world.follow();
            }
            Self::ReplicaPromoted => {
                world.redis[master].restart();
                world.master = other;
                world.follow();
            }
            Self::RedisSplit(behind) => {
                world.lead_to(behind, other);
                world.master = other;
                world.follow();
            }
            Self::OldMasterBack => {
                (0..GATEWAYS).for_each(|gateway| world.lead_to(gateway, master));
                world.follow();
            }
            Self::ToRedis(gateway, _) => world.to_redis[gateway].set_all(Mode::Well),
            Self::ToStore(gateway, _) => world.set_way_to_store(gateway, Mode::Well),
            Self::Between(from, to, _) => world.to_gateway[to].set(from, Mode::Well),
            Self::Alone(gateway, _) => alone(world, gateway, Mode::Well),
            Self::StoreStalled => world.let_store_go(),
            Self::FrontKilled => world.open_front(),
            Self::FromFront(gateway, _) => world.to_shop[gateway].set_all(Mode::Well),
        }
    }
}

fn alone(world: &World, gateway: usize, mode: Mode) {
    world.to_redis[gateway].set_all(mode);
    world.set_way_to_store(gateway, mode);
    world.to_shop[gateway].set_all(mode);
    world.to_gateway[gateway].set_all(mode);
    world.to_gateway.iter().for_each(|link| link.set(gateway, mode));
}
