//! One gateway: the real engine on a simulated disk and clock, the real tasks of its cores and of its
//! control side, and what somebody asks of it. Each goes on when it is told to. One that was adopted goes
//! on inside another's process.
//!
//! It must not know the other gateways, nor what should come of anything.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use seckill_shards::clock::{Clock, MachineClock, Timestamp};
use seckill_shards::command::{Command, Verdict};
use seckill_shards::engine::{Engine, EngineOptions, Keeper, read_fold};
use seckill_shards::ids::Origin;
use seckill_shards::journal::{JournalWriter, Tail, Written};
use seckill_shards::orders::Fold;
use seckill_shards::record::Record;
use seckill_shards::testing::world::{DISK_BYTES, NOON, options};
use seckill_shards::testing::{SimulatedClock, SimulatedDisk, World};

use super::Violation;
use super::bank::Bank;
use super::data::Data;
use super::leaving::Leaving;
use super::ledger::Ledger;
use crate::api::{Access, Owners, Shards, StoreBreakers};
use crate::control::learn::Learned;
use crate::control::leases::{REDIS_BREAKER, Round, Settling};
use crate::control::{Control, ControlParts, Ending, Marker, SECOND, adoption, draining, flush};
use crate::flow::Breaker;
use crate::payment::PaymentPort;
use crate::payment::webhook::WebhookKeys;
use crate::peers::{Peers, PeersParts};
use crate::reconcile::testing::Network;
use crate::store::sqlite::{Line, SimulatedStore};

/// The folder of an adopted gateway's journal: nothing is ever written beside it.
const NOWHERE: &str = "nowhere/journal";

pub(super) type Task<T> = Pin<Box<dyn Future<Output = T>>>;

/// What the journals of lost gateways are to begin with.
type Read = Rc<RefCell<Vec<(Origin, Vec<Record>)>>>;

/// A task of the control side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    Settle,
    Flush,
    Learn,
    Announce,
    /// Takes over others; or, adopted itself, asks the provider.
    Adopt,
}

impl Part {
    pub(super) const ALL: [Self; 5] =
        [Self::Settle, Self::Flush, Self::Learn, Self::Announce, Self::Adopt];
}

/// Whether a gateway may run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Here,
    /// Its journal is gone, and nobody has taken it over yet.
    Lost,
    /// It was handed over, and whoever is to has not taken it over yet.
    Left,
    /// Nobody has ever heard of it.
    Gone,
}

/// What survives the process, and the process where there is one.
pub(super) struct Gateway {
    pub(super) number: u16,
    pub(super) clock: Arc<SimulatedClock>,
    pub(super) ledger: Ledger,
    pub(super) running: Option<Running>,
    pub(super) fate: Fate,
    /// Inside which gateway it goes on, where it was adopted.
    pub(super) host: Option<usize>,
    /// Whether its provider is asked before its orders end, where it was adopted.
    pub(super) asks: bool,
    /// Whether orders pour in, so that the flush lets the store alone.
    pub(super) storm: Rc<Cell<bool>>,
    /// How far the store has followed its journal, at least.
    flushed: u64,
    seed: u64,
    /// Of the process that it runs in.
    pub(super) data: Rc<Data>,
    disk: SimulatedDisk,
    options: EngineOptions,
    network: Arc<Mutex<Network>>,
    bank: Arc<Bank>,
}

/// A process.
pub(super) struct Running {
    pub(super) control: Arc<Control>,
    pub(super) line: Rc<Line>,
    pub(super) shards: Vec<Rc<Shards>>,
    pub(super) read: Read,
    /// How far it is in ending by itself.
    pub(super) leaving: Option<Leaving>,
    writer: JournalWriter,
    keeper: Keeper,
    cores: Vec<Task<()>>,
    parts: [Task<()>; Part::ALL.len()],
    calls: Vec<(Command, Task<Verdict>)>,
    /// What is told to other gateways, and heard of them.
    words: Vec<Task<()>>,
    tail: Tail,
}

impl Gateway {
    /// One that has not started yet, with an empty disk of its own.
    pub(super) fn new(
        number: u16,
        seed: u64,
        network: &Arc<Mutex<Network>>,
        bank: &Arc<Bank>,
    ) -> Self {
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
            fate: Fate::Here,
            host: None,
            asks: true,
            storm: Rc::default(),
            flushed: 0,
            seed,
            data: Rc::default(),
            disk: SimulatedDisk::new(seed, DISK_BYTES),
            options,
            network: Arc::clone(network),
            bank: Arc::clone(bank),
        }
    }

    /// The gateway as it goes on inside another, where it is now, by a journal that begins with
    /// these records.
    pub(super) fn adopted(
        &self,
        origin: Origin,
        (host, now): (usize, Timestamp),
        records: &[Record],
    ) -> Self {
        let seed = self.seed.wrapping_add(u64::from(origin.epoch));
        let mut adopted = Self::new(self.number, seed, &self.network, &self.bank);
        let journal = (origin.gateway, adopted.options.new_journal);
        adoption::begin(&adopted.disk, journal, records).expect("there is room");
        adopted.options.origin = origin;
        adopted.clock = Arc::new(SimulatedClock::at(now));
        adopted.ledger = Ledger::after(&self.ledger, records);
        (adopted.host, adopted.asks) = (Some(host), self.asks);
        adopted
    }

    /// In whose name it speaks.
    pub(super) fn origin(&self) -> Origin {
        self.options.origin
    }

    /// Starts on what is on its disk, with so many cores; one that was adopted does in a process that
    /// runs.
    pub(super) fn start(&mut self, cores: usize, host: Option<&Running>) {
        // What was to go wrong has gone wrong, or never will.
        self.disk.heal();
        self.options.cores = cores;
        if let Some(host) = host {
            let EngineOptions { leases, asks, .. } = host.control.options_of(self.options.origin);
            (self.options.leases, self.options.asks) = (leases, asks && self.asks);
        }
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
        let tail = engine.tail(self.ledger.position);
        let (control, line) = match host {
            Some(host) => {
                (host.control.beside(engine, owners, NOWHERE.into()), Rc::clone(&host.line))
            }
            None => self.control(engine, owners),
        };
        let read = Read::default();
        let adopt: Task<()> = match host {
            Some(_) if !self.asks => Box::pin(pending()),
            Some(_) => {
                Box::pin(ask(Arc::clone(&control), Arc::clone(&self.bank), Arc::clone(&clock)))
            }
            None => Box::pin(adopt(Arc::clone(&control), Rc::clone(&read), Arc::clone(&clock))),
        };
        let parts: [Task<()>; Part::ALL.len()] = [
            Box::pin(settle(Arc::clone(&control), Arc::clone(&clock))),
            Box::pin(follow(Arc::clone(&control), Arc::clone(&clock), Rc::clone(&self.storm))),
            Box::pin(learn(Arc::clone(&control), Arc::clone(&clock))),
            Box::pin(announce(Arc::clone(&control), clock)),
            adopt,
        ];
        let (cores, calls, words) = (tasks, Vec::new(), Vec::new());
        let running = Running {
            control,
            line,
            shards,
            read,
            leaving: None,
            writer,
            keeper,
            cores,
            parts,
            calls,
            words,
            tail,
        };
        self.running = Some(running);
    }

    /// The control side of one that speaks for itself, and its way to the store.
    fn control(&self, engine: Arc<Engine>, owners: Owners) -> (Arc<Control>, Rc<Line>) {
        let (store, line) = SimulatedStore::line();
        let redis = Network::leases(&self.network, self.number);
        let peers = Peers::new(PeersParts {
            own: self.number,
            address: format!("gateway{}:1", self.number),
            secret: &[7; 32],
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            runtime: tokio::runtime::Handle::current(),
            membership_s: None,
            was_bounded: false,
        });
        let (provider, keys) = (Arc::clone(&self.bank), WebhookKeys::of(&[1; 32]));
        let control = Control::new(ControlParts {
            engine,
            store: Arc::new(store),
            owners,
            access: Arc::new(Access::new()),
            clock: Arc::new(MachineClock::start()),
            pages: Arc::default(),
            journal: self.data.journal(),
            payment: Some(PaymentPort { provider, keys, sandbox: None }),
            store_breaker: Arc::clone(&StoreBreakers::default().read),
            settling: Some(Settling::new(redis, Breaker::new("redis", REDIS_BREAKER))),
            peers: Some(Arc::new(peers)),
            adopted: PathBuf::new(),
        });
        (control, Rc::new(line))
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

    /// Whether it has said its last word, or was about to, and has not heard that it stays.
    pub(super) fn has_left(&self) -> bool {
        Marker::Leaving.path(&self.data.journal()).exists()
    }

    /// What its journal has, as far as that is durable.
    pub(super) fn read_journal(&self) -> Fold {
        self.disk.heal();
        let read = read_fold(&self.disk, Some(self.ledger.position));
        read.expect("what was synced can be read").1
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

    /// It settles as it does before it serves anybody, and no further. It tells when that is over.
    pub(super) fn settle_first(&mut self, clock: Arc<SimulatedClock>) -> Rc<Cell<bool>> {
        let (control, is_over) = (Arc::clone(&self.control), Rc::new(Cell::new(false)));
        let is_over_there = Rc::clone(&is_over);
        self.parts[Part::Settle as usize] = Box::pin(async move {
            let settling = control.settling().expect("it shares its sales");
            let rest = async |it| rest(&clock, it).await;
            match control.settle_first(settling, true, rest).await {
                Ok(()) => is_over_there.set(true),
                Err(stop) => control.give_up(&stop),
            }
        });
        is_over
    }

    /// Why this process must end, where it must.
    pub(super) fn must_stop(&self) -> Option<Ending> {
        self.control.must_stop.borrow().clone()
    }

    /// It is to end: what was asked is answered yet, and all tasks but the flush are over.
    pub(super) fn stop(&mut self) {
        self.control.stop();
        for part in Part::ALL.into_iter().filter(|part| *part != Part::Flush) {
            self.parts[part as usize] = Box::pin(pending());
        }
        self.read.take();
    }

    /// Nobody is answered any more, and the last group is written.
    pub(super) fn end_journal(&mut self) {
        self.stop();
        while self.writer.write_group() == Written::Group {}
        self.control.finish();
    }

    /// Whether the store has all that it has written down.
    pub(super) fn is_flushed(&self) -> bool {
        draining::is_flushed(self.engine())
    }

    /// A core's tasks go on.
    pub(super) fn run_core(&mut self, core: usize) {
        if self.control.is_last() {
            return;
        }
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

    /// Time has passed: what is due expires, and new orders are taken or not by how it stands in its fleet.
    pub(super) fn tick(&self) {
        if self.control.is_last() {
            return;
        }
        if !self.control.is_adopted() {
            let peers = self.control.peers().expect("there are others");
            self.engine().take_orders(peers.membership().takes_orders());
        }
        for shard in &self.shards {
            while shard.tick() {}
        }
    }

    pub(super) fn run_part(&mut self, part: Part) {
        go_on(&mut self.parts[part as usize]);
    }

    /// Asks a core; the verdict is [heard](Self::hear) later.
    pub(super) fn ask(&mut self, core: usize, command: Command) {
        if self.control.is_last() {
            return;
        }
        let (shard, asked) = (Rc::clone(&self.shards[core]), command.clone());
        let control = Arc::clone(&self.control);
        let call = async move {
            let verdict = shard.ask_here(asked).await;
            if matches!(verdict, Verdict::PaymentStarted(_)) {
                await_store(&control).await;
            }
            verdict
        };
        self.calls.push((command, Box::pin(call)));
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

    /// A word is told, or heard, beside all else, until that is done.
    pub(super) fn begin_word(&mut self, word: impl Future<Output = ()> + 'static) {
        self.words.push(Box::pin(word));
    }

    pub(super) fn run_words(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        self.words.retain_mut(|word| word.as_mut().poll(&mut context).is_pending());
    }

    /// Everything goes on until nothing does by itself.
    pub(super) fn run_all(&mut self) {
        for _ in 0..3 {
            self.run_words();
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

/// Until the store has all that is written down by now, as a call waits that tells a shopper where to pay.
async fn await_store(control: &Control) {
    let durable = control.engine.journal().durable_position();
    control.flush.hasten(durable);
    poll_fn(|_| match control.engine.flushed_position() >= durable {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// Waits on the simulated clock.
pub(super) async fn rest(clock: &SimulatedClock, rest: Duration) {
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
async fn follow(control: Arc<Control>, clock: Arc<SimulatedClock>, storm: Rc<Cell<bool>>) {
    while let Err(error) = control.register().await {
        if !error.may_pass() {
            return control.give_up(&error);
        }
        rest(&clock, flush::REST_AFTER_FAULT).await;
    }
    let (mut tail, reach) =
        (control.engine.tail(control.engine.flushed_position()), flush::Reach::default());
    loop {
        if storm.get() && !control.flush.is_awaited(control.engine.flushed_position()) {
            rest(&clock, flush::REST).await;
            continue;
        }
        if let Some(batch) =
            flush::next_batch(&control.engine, &mut tail, &reach).expect("it is durable")
        {
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
        rest(&clock, SECOND).await;
    }
}

/// As [`Control::keep_fleet`] does.
async fn announce(control: Arc<Control>, clock: Arc<SimulatedClock>) {
    loop {
        // The next second tries again.
        drop(control.announce().await);
        rest(&clock, SECOND).await;
    }
}

/// As [`Control::keep_adopting`] does, up to where the journal is made.
async fn adopt(control: Arc<Control>, read: Read, clock: Arc<SimulatedClock>) {
    loop {
        for origin in control.adoption.due(clock.elapsed_us()) {
            // The next second tries again.
            if let Ok(records) = control.first_records(origin).await {
                read.borrow_mut().push((origin, records));
            }
        }
        rest(&clock, SECOND).await;
    }
}

/// As [`Control::keep_asking`] does.
async fn ask(control: Arc<Control>, bank: Arc<Bank>, clock: Arc<SimulatedClock>) {
    while !control.ask_all(&*bank).await {
        rest(&clock, SECOND).await;
    }
}
