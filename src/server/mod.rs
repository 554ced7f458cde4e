//! Sockets: an acceptor for each listener, one pinned thread per core, and the way out of both.
//!
//! It knows connections, time limits and turns of an event loop. It must not know routes, JSON or
//! what a verdict means.

mod acceptor;
mod connection;
mod core;
pub mod limits;

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use seckill_shards::shard::Shard;
use socket2::{SockRef, Socket};

use self::acceptor::Acceptor;
use self::core::{CoreParts, Door, Side};
use self::limits::DRAIN_LOOK;
use crate::api::{Owners, Shared};
use crate::peers::limits::CONNECTIONS_MAX as PEER_CONNECTIONS_MAX;

/// How the gateway listens.
#[derive(Debug)]
pub struct ServerOptions {
    /// The public listener, bound and listening.
    pub listener: TcpListener,
    /// The one for other gateways, where there are any, likewise.
    pub peer_listener: Option<TcpListener>,
    /// The CPU that each core thread is pinned to, by index; one that has none is left to the
    /// scheduler.
    pub cpus: Vec<Option<usize>>,
    /// Connections at once to the public listener, over all cores.
    pub connections_max: usize,
}

/// The running public side of the gateway.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// The listeners again, to shut them down under the acceptors' hands.
    listeners: Vec<Socket>,
    is_ending: Arc<AtomicBool>,
    doors: Vec<Arc<Door>>,
    /// The acceptors before they run.
    acceptors: Vec<Acceptor>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts one core thread per shard. They take commands at once; connections wait in the
    /// listener's queue until [`open`](Self::open).
    ///
    /// # Errors
    /// When a thread cannot be made.
    pub fn start(
        options: ServerOptions,
        shards: Vec<Shard>,
        owners: Owners,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let doors: Vec<_> = shards.iter().map(|_| Arc::new(Door::new())).collect();
        let mut threads = Vec::with_capacity(shards.len() + 1);
        for (index, (shard, door)) in shards.into_iter().zip(&doors).enumerate() {
            let parts = CoreParts {
                shard,
                owners: owners.clone(),
                shared: Arc::clone(&shared),
                door: Arc::clone(door),
                random: u64::from_le_bytes(crate::random_bytes()?),
            };
            threads.push(start_core(index, options.cpus.get(index).copied().flatten(), parts)?);
        }
        let is_ending = Arc::new(AtomicBool::new(false));
        let address = options.listener.local_addr()?;
        let public = (options.listener, Side::Public, options.connections_max);
        let peers = options.peer_listener.map(|it| (it, Side::Peers, PEER_CONNECTIONS_MAX));
        let (mut listeners, mut acceptors) = (Vec::new(), Vec::new());
        for (listener, side, connections_max) in [public].into_iter().chain(peers) {
            // An acceptor has a thread of its own to wait in.
            listener.set_nonblocking(false)?;
            listeners.push(SockRef::from(&listener).try_clone()?);
            acceptors.push(Acceptor {
                listener,
                side,
                doors: doors.clone(),
                connections_max,
                is_ending: Arc::clone(&is_ending),
                random: u64::from_le_bytes(crate::random_bytes()?),
                refused: Cell::new(0),
            });
        }
        Ok(Self { address, listeners, is_ending, doors, acceptors, threads })
    }

    /// Starts to accept: from here on the gateway serves.
    ///
    /// # Errors
    /// When an acceptor's thread cannot be made.
    pub fn open(&mut self) -> io::Result<()> {
        for acceptor in self.acceptors.drain(..) {
            let thread = std::thread::Builder::new().name("acceptor".to_owned());
            self.threads.push(thread.spawn(|| acceptor.run())?);
        }
        Ok(())
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.doors.iter().map(|door| door.open()).sum()
    }

    /// Accepts no more connections and lets each finish the request it is at. Returns at once.
    pub fn drain(&self) {
        self.is_ending.store(true, Ordering::Release);
        // On Linux this ends the acceptor's call; a listener that is shut already stays so.
        for listener in &self.listeners {
            drop(listener.shutdown(std::net::Shutdown::Both));
        }
        self.doors.iter().for_each(|door| door.drain());
    }

    /// Drains, waits until every connection is gone or `patience` is over, then ends the threads;
    /// the shards go on ticking until then. True when all connections ended by themselves.
    pub fn join(self, patience: Duration) -> bool {
        self.drain();
        let mut waited = Duration::ZERO;
        while self.connections() > 0 && waited < patience {
            std::thread::sleep(DRAIN_LOOK);
            waited += DRAIN_LOOK;
        }
        let is_empty = self.connections() == 0;
        self.doors.iter().for_each(|door| door.end());
        for thread in self.threads {
            // A thread that panicked has said so; there is nothing left to end.
            drop(thread.join());
        }
        is_empty
    }
}

fn start_core(index: usize, cpu: Option<usize>, parts: CoreParts) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(format!("core-{index}")).spawn(move || {
        if let Some(cpu) = cpu {
            pin(cpu);
        }
        if let Err(error) = core::run(parts) {
            tracing::error!(%error, index, "a core thread has no runtime");
            // Without this core the gateway would lose every hop to it, silently.
            std::process::abort();
        }
    })
}

/// Keeps the calling thread on one CPU. Where that is not allowed it runs on any.
pub fn pin(cpu: usize) {
    let mut cpus = rustix::thread::CpuSet::new();
    cpus.set(cpu);
    if let Err(error) = rustix::thread::sched_setaffinity(None, &cpus) {
        tracing::warn!(%error, cpu, "a thread could not be pinned");
    }
}
