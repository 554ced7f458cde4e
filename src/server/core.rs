//! One core thread: a runtime, its connections, its shard, and the tasks that keep them going.
//!
//! It must not know routes or what a verdict means.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use seckill_shards::shard::Shard;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::{MissedTickBehavior, interval};

use super::connection::Link;
use super::limits::{BUFFER_BYTES_MAX, SOCKETS_WAITING_MAX, SWEEP, TICK};
use crate::api::{Context, Owners, Shards, Shared, add_one};

/// For whom a listener is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    /// Everybody.
    Public,
    /// The other gateways.
    Peers,
}

impl Side {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::Public, Self::Peers];
}

/// How other threads reach a core: the acceptors with sockets, the server with the end.
#[derive(Debug)]
pub(super) struct Door {
    sockets: ArrayQueue<(TcpStream, Side)>,
    changed: Notify,
    /// By side.
    open: [AtomicUsize; Side::ALL.len()],
    is_draining: AtomicBool,
    is_ending: AtomicBool,
}

impl Door {
    pub(super) fn new() -> Self {
        Self {
            sockets: ArrayQueue::new(SOCKETS_WAITING_MAX),
            changed: Notify::new(),
            open: Default::default(),
            is_draining: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
        }
    }

    /// Connections that the core has, or is about to take.
    pub(super) fn open(&self) -> usize {
        Side::ALL.iter().map(|side| self.open_on(*side)).sum()
    }

    /// Those of one side.
    pub(super) fn open_on(&self, side: Side) -> usize {
        self.open[side as usize].load(Ordering::Relaxed)
    }

    /// Gives the core a socket; it comes back when too many wait.
    pub(super) fn give(&self, socket: TcpStream, side: Side) -> Result<(), TcpStream> {
        // Counted first, so that the core never counts down what was not counted up.
        self.open[side as usize].fetch_add(1, Ordering::Relaxed);
        let given = self.sockets.push((socket, side));
        match given {
            Ok(()) => self.changed.notify_one(),
            Err(_) => self.left(side),
        }
        given.map_err(|(socket, _)| socket)
    }

    fn left(&self, side: Side) {
        self.open[side as usize].fetch_sub(1, Ordering::Relaxed);
    }

    /// Lets every connection finish the request it is at.
    pub(super) fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// Ends the core thread, whatever it is at.
    pub(super) fn end(&self) {
        self.is_ending.store(true, Ordering::Release);
        self.changed.notify_one();
    }
}

/// What a core thread is started with.
#[derive(Debug)]
pub(super) struct CoreParts {
    pub(super) shard: Shard,
    pub(super) owners: Owners,
    pub(super) shared: Arc<Shared>,
    pub(super) door: Arc<Door>,
    /// Begins the ids of requests.
    pub(super) random: u64,
}

/// Runs a core until its door ends it. It is called on the core's own thread.
pub(super) fn run(parts: CoreParts) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(Core::new(parts).work());
    // What is left of connections is dropped with the runtime.
    runtime.shutdown_timeout(Duration::ZERO);
    Ok(())
}

struct Core {
    door: Arc<Door>,
    shards: Rc<Shards>,
    context: Rc<Context>,
    links: RefCell<HashMap<u64, Rc<Link>>>,
    next_link: Cell<u64>,
    scratch: Rc<RefCell<Box<[u8]>>>,
    out: Rc<RefCell<Vec<u8>>>,
}

impl Core {
    fn new(parts: CoreParts) -> Rc<Self> {
        let shards = Rc::new(Shards::new(parts.shard, parts.owners));
        let context = Context::new(parts.shared, Rc::clone(&shards), parts.random);
        Rc::new(Self {
            door: parts.door,
            shards,
            context: Rc::new(context),
            links: RefCell::default(),
            next_link: Cell::new(0),
            scratch: Rc::new(RefCell::new(vec![0; BUFFER_BYTES_MAX].into())),
            out: Rc::default(),
        })
    }

    async fn work(self: Rc<Self>) {
        drop(spawn_local(Rc::clone(&self.shards).follow_journal()));
        drop(spawn_local(Rc::clone(&self.shards).submit_turns()));
        drop(spawn_local(Rc::clone(&self.shards).serve_hops()));
        drop(spawn_local(Rc::clone(&self).tick()));
        drop(spawn_local(Rc::clone(&self).sweep()));
        let mut is_draining = false;
        while !self.door.is_ending.load(Ordering::Acquire) {
            while let Some((socket, side)) = self.door.sockets.pop() {
                self.take(socket, side);
            }
            if self.door.is_draining.load(Ordering::Acquire) {
                is_draining = true;
            }
            if is_draining {
                self.links.borrow().values().for_each(|link| link.drain());
            }
            self.door.changed.notified().await;
        }
    }

    fn take(self: &Rc<Self>, socket: TcpStream, side: Side) {
        let peer = socket.peer_addr();
        let stream = tokio::net::TcpStream::from_std(socket);
        let (Ok(peer), Ok(stream)) = (peer, stream) else {
            // The client has gone away in the meantime.
            self.door.left(side);
            return;
        };
        let (scratch, out) = (Rc::clone(&self.scratch), Rc::clone(&self.out));
        let link = Link::new((stream, side), Rc::clone(&self.context), scratch, out);
        let link = Rc::new(link);
        let number = self.next_link.get();
        self.next_link.set(number + 1);
        self.links.borrow_mut().insert(number, Rc::clone(&link));
        add_one(&self.context.counters().connections_opened);
        let core = Rc::clone(self);
        drop(spawn_local(async move {
            let _leaving = Leaving { core: &core, number, side };
            link.serve(peer.ip().to_canonical()).await;
        }));
    }

    /// Task: time for the shard and for whoever asks what time it was recently.
    async fn tick(self: Rc<Self>) {
        let mut ticks = interval(TICK);
        // After a stall one tick catches up: the wheel goes by the clock, not by counting.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.context.tick();
            while self.shards.tick() {
                self.context.tick();
                // A crowd of timers gives way to whoever is ready.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Task: ends connections that take too long.
    async fn sweep(self: Rc<Self>) {
        let mut sweeps = interval(SWEEP);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            sweeps.tick().await;
            let now = self.context.recently();
            for link in self.links.borrow().values() {
                if link.sweep(now) {
                    add_one(&self.context.counters().connections_overdue);
                }
            }
        }
    }
}

/// Takes a connection off the books, however its task ends.
struct Leaving<'a> {
    core: &'a Core,
    number: u64,
    side: Side,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.core.links.borrow_mut().remove(&self.number);
        add_one(&self.core.context.counters().connections_closed);
        self.core.door.left(self.side);
    }
}
