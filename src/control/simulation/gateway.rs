//! One gateway: the real engine on a simulated disk and clock, the real tasks of its cores and of its
//! control side, and what somebody asks of it. Each goes on when it is told to.
//!
//! It must not know the other gateways, nor what should come of anything.

use std::future::{pending, poll_fn};
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use seckill_shards::clock::{Clock, MachineClock};
use seckill_shards::command::{Command, Verdict};
use seckill_shards::engine::{Engine, EngineOptions, Keeper};
use seckill_shards::ids::Origin;
use seckill_shards::journal::{JournalWriter, Tail};
use seckill_shards::testing::world::{DISK_BYTES, NOON, options};
use seckill_shards::testing::{SimulatedClock, SimulatedDisk, World};

use super::Violation;
use super::ledger::Ledger;
use crate::api::{Access, Owners, Shards, StoreBreakers};
use crate::control::learn::Learned;
use crate::control::leases::{REDIS_BREAKER, Round, Settling};
use crate::control::{Control, ControlParts, Ending, flush};
use crate::flow::Breaker;
use crate::reconcile::testing::Network;
use crate::store::sqlite::{Line, SimulatedStore};

type Task<T> = Pin<Box<dyn Future<Output = T>>>;

/// A task of the control side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    Settle,
    Flush,
    Learn,
}

/// What survives the process, and the process where there is one.
pub(super) struct Gateway {
    pub(super) number: u16,
    pub(super) clock: Arc<SimulatedClock>,
    pub(super) ledger: Ledger,
    pub(super) running: Option<Running>,
    /// How far the store has followed its journal, at least.
    flushed: u64,
    disk: SimulatedDisk,
    options: EngineOptions,
    network: Arc<Mutex<Network>>,
}

/// A process.
pub(super) struct Running {
    pub(super) control: Arc<Control>,
    pub(super) line: Line,
    pub(super) shards: Vec<Rc<Shards>>,
    writer: JournalWriter,
    keeper: Keeper,
    cores: Vec<Task<()>>,
    parts: [Task<()>; 3],
    calls: Vec<(Command, Task<Verdict>)>,
    tail: Tail,
}

impl Gateway {
    /// One that has not started yet, with an empty disk of its own.
    pub(super) fn new(number: u16, seed: u64, network: &Arc<Mutex<Network>>) -> Self {
        let origin = Origin { gateway: number, epoch: 0 };
        let mut new_journal = *b"a new journal 00";
        new_journal[..8].copy_from_slice(&seed.to_le_bytes());
        let options = EngineOptions { origin, new_journal, leases: true, ..options(1) };
        Self {
            number,
            // No two clocks agree.
            clock: Arc::new(SimulatedClock::at(NOON.plus_ms(seed % 400))),
            ledger: Ledger::default(),
            running: None,
            flushed: 0,
            disk: SimulatedDisk::new(seed, DISK_BYTES),
            options,
            network: Arc::clone(network),
        }
    }

    /// Starts on what is on its disk, with so many cores.
    pub(super) fn start(&mut self, cores: usize) {
        // What was to go wrong has gone wrong, or never will.
        self.disk.heal();
        self.options.cores = cores;
        let clock = Arc::clone(&self.clock);
        let world = World::open(self.disk.clone(), Arc::clone(&clock), self.options.clone());
        let World { engine, shards, writer, keeper, .. } =
            world.expect("what was synced can be read");
        let owners = Owners::new(cores);
        let shards = shards.into_iter().map(|it| Rc::new(Shards::new(it, owners.clone())));
        let shards: Vec<_> = shards.collect();
        let mut tasks: Vec<Task<()>> = Vec::new();
        for shard in &shards {
            tasks.push(Box::pin(Rc::clone(shard).serve_hops()));
            tasks.push(Box::pin(Rc::clone(shard).submit_turns()));
            tasks.push(Box::pin(Rc::clone(shard).follow_journal()));
        }
        let (store, line) = SimulatedStore::line();
        let redis = Network::leases(&self.network, self.number);
        let settling = Settling::new(redis, Breaker::new("redis", REDIS_BREAKER));
        let tail = engine.tail(self.ledger.position);
        let control = control(engine, store, owners, settling);
        let parts: [Task<()>; 3] = [
            Box::pin(settle(Arc::clone(&control), Arc::clone(&clock))),
            Box::pin(follow(Arc::clone(&control), Arc::clone(&clock))),
            Box::pin(learn(Arc::clone(&control), clock)),
        ];
        let (cores, calls) = (tasks, Vec::new());
        let running = Running { control, line, shards, writer, keeper, cores, parts, calls, tail };
        self.running = Some(running);
    }

    /// The power fails, or the process is killed. Whoever waited hears nothing.
    pub(super) fn crash(&mut self, power_fails: bool) {
        self.running = None;
        if power_fails {
            self.disk.crash();
        } else {
            self.disk.heal();
        }
    }

    /// The disk will fail soon.
    pub(super) fn fail_disk(&mut self, calls: u64) {
        self.disk.fail_after(calls);
    }

    /// Takes the records into the ledger that have become durable.
    pub(super) fn catch_up(&mut self) -> Result<bool, Violation> {
        let Some(running) = &mut self.running else { return Ok(false) };
        // A process that has just started does not know it yet.
        self.flushed = self.flushed.max(running.control.engine.flushed_position());
        let flushed = self.flushed;
        let (ledger, mut done) = (&mut self.ledger, Ok(()));
        let before = ledger.position;
        let mut enter = |position, record| {
            let entered = ledger.enter(position, &record, flushed);
            done = std::mem::replace(&mut done, Ok(())).and(entered);
        };
        while running.tail.next_group(&mut enter).expect("durable records can be read") {}
        done.map(|()| self.ledger.position > before)
    }
}

impl Running {
    pub(super) fn engine(&self) -> &Engine {
        &self.control.engine
    }

    /// Why this process must end, where it must.
    pub(super) fn must_stop(&self) -> Option<Ending> {
        self.control.must_stop.borrow().clone()
    }

    /// A core's tasks go on.
    pub(super) fn run_core(&mut self, core: usize) {
        for task in &mut self.cores[3 * core..3 * core + 3] {
            go_on(task);
        }
    }

    pub(super) fn write_group(&mut self) {
        self.writer.write_group();
    }

    pub(super) fn keep(&mut self) {
        // A keeper that meets a fault tries again.
        drop(self.keeper.step());
    }

    /// Time has passed: what is due expires.
    pub(super) fn tick(&self) {
        for shard in &self.shards {
            while shard.tick() {}
        }
    }

    pub(super) fn run_part(&mut self, part: Part) {
        go_on(&mut self.parts[part as usize]);
    }

    /// Asks a core; the verdict is [heard](Self::hear) later.
    pub(super) fn ask(&mut self, core: usize, command: Command) {
        let (shard, asked) = (Rc::clone(&self.shards[core]), command.clone());
        self.calls.push((command, Box::pin(async move { shard.ask_here(asked).await })));
    }

    /// What was answered by now.
    pub(super) fn hear(&mut self) -> Vec<(Command, Verdict)> {
        let mut heard = Vec::new();
        let mut context = Context::from_waker(Waker::noop());
        self.calls.retain_mut(|(command, call)| match call.as_mut().poll(&mut context) {
            Poll::Ready(verdict) => {
                heard.push((command.clone(), verdict));
                false
            }
            Poll::Pending => true,
        });
        heard
    }

    /// Everything goes on until nothing does by itself.
    pub(super) fn run_all(&mut self) {
        for _ in 0..3 {
            for core in 0..self.shards.len() {
                self.run_core(core);
            }
            self.write_group();
        }
        self.keep();
        for core in 0..self.shards.len() {
            self.run_core(core);
        }
    }
}

fn go_on(task: &mut Task<()>) {
    let mut context = Context::from_waker(Waker::noop());
    if task.as_mut().poll(&mut context).is_ready() {
        *task = Box::pin(pending());
    }
}

fn control(
    engine: Arc<Engine>,
    store: impl crate::store::Store + 'static,
    owners: Owners,
    settling: Settling,
) -> Arc<Control> {
    Control::new(ControlParts {
        engine,
        store: Arc::new(store),
        owners,
        access: Arc::new(Access::new()),
        clock: Arc::new(MachineClock::start()),
        pages: Arc::default(),
        journal: PathBuf::new(),
        payment: None,
        store_breaker: Arc::clone(&StoreBreakers::default().read),
        settling: Some(settling),
        peers: None,
        adopted: PathBuf::new(),
    })
}

/// Waits on the simulated clock.
async fn rest(clock: &SimulatedClock, rest: Duration) {
    let until_us = clock.elapsed_us() + u64::try_from(rest.as_micros()).expect("a short rest");
    poll_fn(|_| match clock.elapsed_us() >= until_us {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// As [`Control::keep_leases`] does.
async fn settle(control: Arc<Control>, clock: Arc<SimulatedClock>) {
    let settling = control.settling().expect("it shares its sales");
    let mut round = Round::new(&control, settling);
    loop {
        match round.turn().await {
            Ok(None) => {}
            Ok(Some(due)) => rest(&clock, due).await,
            Err(stop) => return control.give_up(&stop),
        }
    }
}

/// As the thread of the flush does.
async fn follow(control: Arc<Control>, clock: Arc<SimulatedClock>) {
    while let Err(error) = control.register().await {
        if !error.is_away() {
            return control.give_up(&error);
        }
        rest(&clock, flush::REST_AFTER_FAULT).await;
    }
    let mut tail = control.engine.tail(control.engine.flushed_position());
    loop {
        if let Some(batch) = flush::next_batch(&control.engine, &mut tail).expect("it is durable") {
            while control.store.flush(Arc::clone(&batch)).await.is_err() {
                rest(&clock, flush::REST_AFTER_FAULT).await;
            }
            control.flushed(&batch);
        }
        rest(&clock, flush::REST).await;
    }
}

/// As [`Control::run`] does each second.
async fn learn(control: Arc<Control>, clock: Arc<SimulatedClock>) {
    let mut learned = Learned::default();
    loop {
        // The next second tries again.
        drop(control.learn_all(&mut learned).await);
        rest(&clock, crate::control::SECOND).await;
    }
}
