//! The machines that Redis runs on, and what befalls them: one that is killed and comes back with
//! what was saved, or two of which either may be promoted while the other goes on.
//!
//! It must not know what is asked of Redis.

use seckill_shards::testing::Random;

use super::percent;
use crate::reconcile::Leases;
use crate::reconcile::tests::server::Server;

/// Either line ends a synchronisation.
const SYNCHRONISED: [&str; 2] = ["Finished with success", "accepted a Partial Resynchronization"];

pub(super) enum Machines<'a> {
    One(&'a mut Server, Leases),
    Two(Box<Pair<'a>>),
}

pub(super) struct Pair<'a> {
    servers: [(&'a Server, u16); 2],
    leases: [Leases; 2],
    master: usize,
    /// Both are masters.
    is_split: bool,
}

impl<'a> Pair<'a> {
    /// Two masters that know nothing of each other yet.
    pub(super) fn new(servers: [(&'a Server, u16); 2], text: &'static str) -> Self {
        let leases = servers.map(|(server, _)| Leases::open_with(&server.url(), text).unwrap());
        Self { servers, leases, master: 0, is_split: true }
    }

    /// The second follows the first, whatever they were before.
    pub(super) fn meet(&mut self) {
        for (server, _) in self.servers {
            server.tell::<()>(&["REPLICAOF", "NO", "ONE"]);
        }
        self.follow(0);
    }

    fn follow(&mut self, master: usize) {
        let (follower, port) = (self.servers[1 - master].0, self.servers[master].1);
        follower.tell::<()>(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
        follower.until_any(&SYNCHRONISED);
        (self.master, self.is_split) = (master, false);
    }
}

impl Machines<'_> {
    /// The Redis that a message reaches.
    pub(super) fn reached(&self, random: &mut Random) -> &Leases {
        match self {
            Self::One(_, leases) => leases,
            Self::Two(pair) => {
                let strays = percent(random, if pair.is_split { 50 } else { 10 });
                &pair.leases[if strays { 1 - pair.master } else { pair.master }]
            }
        }
    }

    /// The Redis that is left when all is well.
    pub(super) fn lasting(&self) -> &Leases {
        match self {
            Self::One(_, leases) => leases,
            Self::Two(pair) => &pair.leases[pair.master],
        }
    }

    pub(super) fn flush(&self) {
        match self {
            Self::One(server, _) => server.tell::<()>(&["FLUSHALL"]),
            Self::Two(pair) => pair.servers[pair.master].0.tell::<()>(&["FLUSHALL"]),
        }
    }

    pub(super) fn save(&self) {
        if let Self::One(server, _) = self {
            server.tell::<()>(&["SAVE"]);
        }
    }

    /// A process dies and comes back; of two, the replica is promoted, or one of two masters
    /// forgets what it did and follows the other.
    pub(super) fn fail(&mut self, random: &mut Random) {
        match self {
            Self::One(server, _) => server.kill_and_start(),
            Self::Two(pair) if pair.is_split => pair.follow(random.index(2)),
            Self::Two(pair) => {
                pair.servers[1 - pair.master].0.tell::<()>(&["REPLICAOF", "NO", "ONE"]);
                pair.is_split = true;
            }
        }
    }

    pub(super) fn mend(&mut self) {
        if let Self::Two(pair) = self
            && pair.is_split
        {
            pair.follow(pair.master);
        }
    }
}
