//! Two machines with a Redis each, and what befalls them: they are flushed, start anew with what was
//! saved, are promoted, and both go on.
//!
//! It must not know what is asked of them.

use std::collections::BTreeMap;

use super::flaw::Flaw;
use super::redis::{Hash, Incarnation, SimulatedRedis};

/// A master, and a replica that follows it or believes to be a master, too.
#[derive(Debug)]
pub(crate) struct Machines {
    machines: [SimulatedRedis; 2],
    master: usize,
    is_split: bool,
    saved: BTreeMap<String, Hash>,
    /// Names of processes and histories that were given.
    names: u64,
}

impl Machines {
    pub(crate) fn new(flaw: Flaw) -> Self {
        let mut machines = Self {
            machines: [(); 2].map(|()| SimulatedRedis { flaw, ..SimulatedRedis::default() }),
            master: 0,
            is_split: false,
            saved: BTreeMap::new(),
            names: 0,
        };
        for at in 0..2 {
            let (run, history) = (machines.name(), machines.name());
            let redis = &mut machines.machines[at];
            // No two of them name an era alike.
            (redis.here, redis.nonces) = (Incarnation { run, history }, run << 32);
        }
        machines.follow(0);
        machines
    }

    fn name(&mut self) -> u64 {
        self.names += 1;
        self.names
    }

    /// The Redis that is asked where nobody strays.
    pub(crate) fn master(&mut self) -> &mut SimulatedRedis {
        &mut self.machines[self.master]
    }

    /// The other one: a replica, or a second master.
    pub(crate) fn other(&mut self) -> &mut SimulatedRedis {
        &mut self.machines[1 - self.master]
    }

    pub(crate) fn is_split(&self) -> bool {
        self.is_split
    }

    /// Everything is dropped by somebody who may.
    pub(crate) fn flush(&mut self) {
        self.master().hashes.clear();
    }

    pub(crate) fn save(&mut self) {
        self.saved = self.master().hashes.clone();
    }

    /// The master's process ends, and another comes with what was saved.
    pub(crate) fn restart(&mut self) {
        let here = Incarnation { run: self.name(), history: self.name() };
        let hashes = self.saved.clone();
        let master = self.master();
        (master.here, master.hashes) = (here, hashes);
    }

    /// The replica gets what the master has by now.
    pub(crate) fn replicate(&mut self) {
        if !self.is_split {
            self.follow(self.master);
        }
    }

    /// The replica becomes a master, and the former goes on.
    pub(crate) fn promote(&mut self) {
        if self.is_split {
            return;
        }
        let history = self.name();
        self.master = 1 - self.master;
        let master = self.master();
        (master.here.history, master.is_replica) = (history, false);
        self.is_split = true;
    }

    /// One of the two is followed by the other, which forgets what it did.
    pub(crate) fn follow(&mut self, master: usize) {
        let followed = self.machines[master].clone();
        let follower = &mut self.machines[1 - master];
        (follower.hashes, follower.is_replica) = (followed.hashes, true);
        follower.here.history = followed.here.history;
        self.machines[master].is_replica = false;
        (self.master, self.is_split) = (master, false);
    }

    /// Which of the two is the master.
    pub(crate) fn master_index(&self) -> usize {
        self.master
    }
}
