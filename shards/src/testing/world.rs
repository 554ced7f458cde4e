//! A gateway's engine in one thread: its parts are stepped one by one, in any order, and the world
//! they run in can stop at any moment and go on.
//!
//! It knows what the event loops of a gateway do, and nothing of what a sale should come to.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{SimulatedClock, SimulatedDisk};
use crate::clock::{Clock, Timestamp};
use crate::command::{
    Command, Decision, Paid, PlaceOrder, Sequence, StartPayment, Verdict, Withdraw,
};
use crate::disk::Disk;
use crate::engine::{Engine, EngineOptions, Keeper, OpenError};
use crate::ids::{ActivityId, OrderId, Origin, PaymentId, ProductId, UserId};
use crate::journal::{JournalWriter, Written};
use crate::record::{ActivityPublished, Digest, NO_KEY, Terms};
use crate::shard::Shard;

/// When simulated time begins: noon of 15 June 2025, UTC, in milliseconds.
pub const NOON: Timestamp = Timestamp(1_749_988_800_000);
/// What sales are in.
pub const CURRENCY: [u8; 3] = *b"USD";
/// Bytes of a simulated segment: small, so that many are used up.
pub const SEGMENT_BYTES: u64 = 32 << 10;
/// Bytes of a simulated lane.
pub const LANE_BYTES: usize = 5 << 10;
/// Closed sales that are kept: few, so that some are forgotten.
pub const CLOSED_KEPT: usize = 2;
/// A simulated disk with room for what a test may want.
pub const DISK_BYTES: u64 = 4 << 20;

/// An engine and its world.
#[derive(Debug)]
pub struct World {
    /// What survives the engine.
    pub disk: SimulatedDisk,
    /// Its time.
    pub clock: Arc<SimulatedClock>,
    /// How it was opened.
    pub options: EngineOptions,
    /// The engine, from beside.
    pub engine: Arc<Engine>,
    /// One shard per core.
    pub shards: Vec<Shard>,
    /// The journal's writing end.
    pub writer: JournalWriter,
    /// Who makes segments ahead, and checkpoints.
    pub keeper: Keeper,
    /// Verdicts that came late, by core and sequence, until somebody asks for them.
    pub verdicts: BTreeMap<(usize, Sequence), Verdict>,
}

/// Small sizes for `cores` cores.
#[must_use]
pub fn options(cores: usize) -> EngineOptions {
    EngineOptions {
        segment_bytes: SEGMENT_BYTES,
        lane_bytes: LANE_BYTES,
        segments_max: 32,
        closed_kept: CLOSED_KEPT,
        ..EngineOptions::new(cores, Origin { gateway: 7, epoch: 1 }, *b"simulated world.")
    }
}

impl World {
    /// A new world with an empty disk, in which `seed` decides what a crash leaves.
    ///
    /// # Panics
    /// When an empty disk cannot be opened.
    #[must_use]
    pub fn new(seed: u64, cores: usize) -> Self {
        let disk = SimulatedDisk::new(seed, DISK_BYTES);
        let clock = Arc::new(SimulatedClock::at(NOON));
        Self::open(disk, clock, options(cores)).expect("an empty disk opens")
    }

    /// Recovers the engine from what is on `disk`.
    ///
    /// # Errors
    /// The engine's.
    pub fn open(
        disk: SimulatedDisk,
        clock: Arc<SimulatedClock>,
        options: EngineOptions,
    ) -> Result<Self, OpenError> {
        let time = Arc::clone(&clock) as Arc<dyn Clock>;
        let folder = Arc::new(disk.clone()) as Arc<dyn Disk>;
        let parts = Engine::open(&options, time, folder)?;
        let mut world = Self {
            disk,
            clock,
            options,
            engine: parts.engine,
            shards: parts.shards,
            writer: parts.writer,
            keeper: parts.keeper,
            verdicts: BTreeMap::new(),
        };
        // The journal thread says what is taken before it first sleeps.
        world.write_group();
        Ok(world)
    }

    /// The machine stops and starts again with `cores` cores.
    ///
    /// # Errors
    /// The engine's.
    pub fn crash(self, cores: usize) -> Result<Self, OpenError> {
        self.disk.crash();
        self.reopen(cores)
    }

    /// The process is killed and starts again with `cores` cores.
    ///
    /// # Errors
    /// The engine's.
    pub fn kill(self, cores: usize) -> Result<Self, OpenError> {
        self.disk.heal();
        self.reopen(cores)
    }

    fn reopen(self, cores: usize) -> Result<Self, OpenError> {
        let options = EngineOptions { cores, ..self.options };
        Self::open(self.disk, self.clock, options)
    }

    /// The instant now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Which core a command belongs to; a buy goes anywhere, and so to the first.
    #[must_use]
    pub fn owner(&self, command: &Command) -> usize {
        let cores = self.shards.len();
        match command {
            Command::PlaceOrder(_) => 0,
            Command::CancelOrder { order, .. }
            | Command::RefundOrder { order, .. }
            | Command::RecallPayment { order, .. }
            | Command::NoteAsked { order }
            | Command::GiveUpPayment { order, .. } => order.owner(cores),
            Command::StartPayment(start) => start.order.owner(cores),
            Command::SettlePayment { payment, .. } | Command::CompleteRefund { payment } => {
                payment.owner(cores)
            }
            Command::Publish { row, .. } => row.activity.owner(cores),
            Command::Join { activity, .. }
            | Command::EnterEra { activity, .. }
            | Command::FollowPhase { activity, .. }
            | Command::Lease { activity, .. }
            | Command::ReturnUnits { activity, .. } => activity.owner(cores),
            Command::Hear(_) => panic!("each shard hears of its own orders"),
            Command::Withdraw(withdraw) => withdraw.activity.owner(cores),
            Command::ChangePhase { activity, .. } | Command::Close { activity, .. } => {
                activity.owner(cores)
            }
        }
    }

    /// Asks `core`, and goes on until it has answered.
    ///
    /// # Panics
    /// When the answer does not come, since the disk is full.
    pub fn ask_at(&mut self, core: usize, command: Command) -> Verdict {
        match self.shards[core].decide(command) {
            Decision::Answered(verdict) => verdict,
            Decision::Pending(sequence) => {
                self.go_on();
                self.verdicts.remove(&(core, sequence)).expect("the journal has answered")
            }
        }
    }

    /// Asks the owner, and goes on until it has answered.
    pub fn ask(&mut self, command: Command) -> Verdict {
        self.ask_at(self.owner(&command), command)
    }

    /// Submits what was decided, writes it, applies it, until nothing is under way.
    pub fn go_on(&mut self) {
        loop {
            self.shards.iter_mut().for_each(Shard::submit);
            let written = self.write_group();
            (0..self.shards.len()).for_each(|core| self.apply(core));
            match written {
                Written::Group => {}
                Written::NoRoom if self.keeper.step().is_ok_and(|more| more) => {}
                Written::Nothing | Written::NoRoom | Written::Latched => return,
            }
        }
    }

    /// One turn of the journal thread.
    pub fn write_group(&mut self) -> Written {
        self.writer.write_group()
    }

    /// One core applies what is durable; its verdicts are kept.
    pub fn apply(&mut self, core: usize) {
        let verdicts = &mut self.verdicts;
        self.shards[core].apply_durable(&mut |sequence, verdict| {
            verdicts.insert((core, sequence), verdict);
        });
    }

    /// Lets `ms` milliseconds pass, with all cores and the journal at work every 10.
    pub fn pass(&mut self, ms: u64) {
        let end = self.now().plus_ms(ms);
        while self.now() < end {
            self.clock.advance(end.ms_since(self.now()).min(10));
            for shard in &mut self.shards {
                while shard.tick() {}
            }
            self.go_on();
        }
    }

    /// The keeper works until there is nothing to do, or no room.
    pub fn keep(&mut self) {
        while self.keeper.step().is_ok_and(|more| more) {}
        self.write_group();
    }

    /// The store takes everything that is durable; the keeper may then recycle.
    pub fn flush(&mut self) {
        self.engine.set_flushed(self.engine.journal().durable_position());
    }
}

/// The order that a verdict has placed.
///
/// # Panics
/// Where it has not.
#[track_caller]
pub fn placed(verdict: Verdict) -> OrderId {
    let Verdict::Placed(order) = verdict else { panic!("not placed: {verdict:?}") };
    order.id
}

/// An activity as most tests want it: live now, for an hour, of `stocked` units.
#[must_use]
pub fn published(activity: u64, stocked: u32) -> ActivityPublished {
    let terms = Terms {
        title: format!("Sale {activity}"),
        product: ProductId(100 + activity),
        product_title: "Kettle".to_owned(),
        sale_price: 19_900,
        list_price: 39_900,
        currency: CURRENCY,
        stocked,
        per_user_limit: 2,
        pay_window_ms: 60_000,
        starts_at: NOON,
        ends_at: NOON.plus_ms(3_600_000),
        admission: false,
    };
    ActivityPublished { activity: ActivityId(activity), version: 1, terms, at: NOON }
}

/// A row is published before any activity was forgotten.
#[must_use]
pub fn publish(row: ActivityPublished) -> Command {
    Command::Publish { row: Box::new(row), forgotten: 0 }
}

/// A buy without an idempotency key.
#[must_use]
pub fn buy(activity: u64, user: u64, quantity: u32) -> PlaceOrder {
    PlaceOrder {
        activity: ActivityId(activity),
        user: UserId(user),
        quantity,
        key: NO_KEY,
        body: NO_KEY,
        admitted: false,
    }
}

/// A withdrawal without an idempotency key.
#[must_use]
pub fn withdraw(activity: u64, quantity: u32) -> Withdraw {
    Withdraw { activity: ActivityId(activity), quantity, key: NO_KEY, body: NO_KEY }
}

/// The digest that stands for the text `number` in tests.
#[must_use]
pub fn digest(number: u64) -> Digest {
    u128::from(number).to_le_bytes()
}

/// The start of a payment without an idempotency key.
#[must_use]
pub fn pay(order: OrderId, user: u64) -> Command {
    let user = UserId(user);
    Command::StartPayment(StartPayment { order, user, key: NO_KEY, body: NO_KEY })
}

/// The provider's word that `paid` has come, in the currency of [`published`] sales.
#[must_use]
pub fn settle(payment: PaymentId, paid: Option<i64>) -> Command {
    let paid = paid.map(|amount| Paid { amount, currency: CURRENCY });
    Command::SettlePayment { payment, paid }
}
