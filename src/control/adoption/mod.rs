//! Adoption: a gateway that was retired lives on in its adopter. Its orders are read from the store into
//! a journal of their own, and an engine and a control side beside this gateway's go on with it, under its
//! number and its next epoch: it has one shard, no listener, and sells nothing.
//!
//! It must not know what becomes of an order: that is the engine's, as anywhere.

mod asking;
mod core;
mod first;
mod journal;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use seckill_shards::clock::Clock;
use seckill_shards::disk::MachineDisk;
use seckill_shards::engine::{Engine, EngineOptions, OpenError, Parts, Threads};
use seckill_shards::ids::Origin;
use seckill_shards::record::Record;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use self::core::Core;
use self::first::First;
use super::draining::is_flushed;
use super::limits::{ADOPTED_SEGMENT_BYTES, MEMBERSHIP_MARGIN_PERCENT, NEWS};
use super::register::RegisterError;
use super::{Control, ControlParts, SECOND};
use crate::api::{Adopted, Owners};
use crate::log::causes;
use crate::store::{GatewayRow, LeaseHeld, StoreError};

#[cfg(test)]
pub(super) use self::journal::begin;
pub use self::journal::list as adopted_journals;

/// The gateways that this one speaks for.
#[derive(Debug)]
pub(super) struct Adoption {
    /// Where their journals are.
    folder: PathBuf,
    /// Those that the store gives to this gateway.
    wards: Mutex<BTreeMap<u16, Ward>>,
    /// Those that it has taken over.
    running: Mutex<Taken>,
}

/// What goes on for others.
#[derive(Debug, Default)]
struct Taken {
    all: BTreeMap<u16, Running>,
    /// This gateway ends: what it takes over now goes on with its next start.
    is_over: bool,
}

/// How long after it could not be a gateway is taken over again, in microseconds: each try reads all its
/// orders. A store that is away is asked again at once.
const ADOPT_AGAIN_US: u64 = 10_000_000;

/// A gateway that is to be taken over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ward {
    origin: Origin,
    /// When whoever spoke for it before is off, on this gateway's microseconds.
    due_us: u64,
}

/// A gateway that was taken over.
#[derive(Debug)]
struct Running {
    adopted: Arc<Adopted>,
    control: Arc<Control>,
    core: Core,
    threads: Threads,
    tasks: JoinHandle<()>,
    /// Has its adopter end with it.
    together: JoinHandle<()>,
}

/// Why a gateway is not taken over yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdoptError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("its journal cannot be made or opened")]
    Disk(#[from] io::Error),
    #[error("its journal cannot be opened")]
    Engine(#[from] OpenError),
    #[error("the store does not follow its journal")]
    Register(#[from] RegisterError),
    #[error("the store follows a journal of it that is not in the data directory: it was lost")]
    Lost,
    #[error("it has payments, and this gateway has no provider to ask about them")]
    NoProvider,
    #[error("{0} rows of it are set aside: the store lacks what it has sold")]
    SetAside(usize),
    #[error("what reads or opens it has ended badly")]
    Ended(#[from] tokio::task::JoinError),
}

impl Running {
    /// Ends what goes on, and flushes what is durable, as far as there is time for it. Whether the store
    /// has all of it.
    async fn end(self, last_flush: Duration) -> bool {
        let Self { adopted, control, core, threads, tasks, together } = self;
        together.abort();
        drop(together.await);
        control.stop();
        core.end();
        drop(threads);
        control.finish();
        drop(tokio::time::timeout(last_flush, tasks).await);
        let (gateway, flushed) = (adopted.engine.origin().gateway, is_flushed(&adopted.engine));
        tracing::info!(gateway, flushed, "an adopted gateway has stopped");
        flushed
    }
}

impl Ward {
    /// By its row as it is seen for the first time, at `now_us`. Its retirement is older than that, so
    /// no clock but this gateway's counts.
    fn of(row: &GatewayRow, now_us: u64) -> Self {
        let origin = Origin { gateway: row.number, epoch: row.epoch };
        let lasts_us = if row.may_be_on() { u64::from(row.membership_s) * 1_000_000 } else { 0 };
        Self { origin, due_us: now_us + lasts_us / 100 * MEMBERSHIP_MARGIN_PERCENT }
    }
}

impl Adoption {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, wards: Mutex::default(), running: Mutex::default() }
    }

    /// Where their journals are.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes over what the store says of all gateways: `own` is this one.
    pub(super) fn look(&self, rows: &[GatewayRow], own: u16, now_us: u64) {
        let is_own = |row: &&GatewayRow| row.retired.is_some_and(|it| it.adopter == own);
        let mut wards = self.wards.lock().expect("nobody panics under this lock");
        for row in rows.iter().filter(is_own) {
            let ward = wards.entry(row.number).or_insert_with(|| Ward::of(row, now_us));
            if ward.origin.epoch != row.epoch {
                *ward = Ward::of(row, now_us);
            }
        }
    }

    /// Has a gateway wait until then.
    fn put_off(&self, gateway: u16, until_us: u64) {
        let mut wards = self.wards.lock().expect("nobody panics under this lock");
        wards.entry(gateway).and_modify(|ward| ward.due_us = until_us);
    }

    /// Those whose time has come and that were not taken over.
    pub(super) fn due(&self, now_us: u64) -> Vec<Origin> {
        let wards = self.wards.lock().expect("nobody panics under this lock");
        let running = self.running.lock().expect("nobody panics under this lock");
        let due = wards.values().filter(|ward| now_us >= ward.due_us).map(|ward| ward.origin);
        due.filter(|origin| !running.all.contains_key(&origin.gateway)).collect()
    }

    /// Has it go on, unless this gateway ends: then it is handed back.
    fn take_over(&self, running: Running) -> Option<Running> {
        let mut taken = self.running.lock().expect("nobody panics under this lock");
        if taken.is_over {
            return Some(running);
        }
        taken.all.insert(running.adopted.engine.origin().gateway, running);
        None
    }

    /// All that goes on, to be ended; nothing else is taken over any more.
    fn end(&self) -> BTreeMap<u16, Running> {
        let mut taken = self.running.lock().expect("nobody panics under this lock");
        taken.is_over = true;
        std::mem::take(&mut taken.all)
    }

    pub(super) fn find(&self, gateway: u16) -> Option<Arc<Adopted>> {
        let running = self.running.lock().expect("nobody panics under this lock");
        running.all.get(&gateway).map(|it| Arc::clone(&it.adopted))
    }

    pub(super) fn all(&self) -> Vec<Arc<Adopted>> {
        let running = self.running.lock().expect("nobody panics under this lock");
        running.all.values().map(|it| Arc::clone(&it.adopted)).collect()
    }

    /// Their control sides.
    pub(super) fn controls(&self) -> Vec<Arc<Control>> {
        let running = self.running.lock().expect("nobody panics under this lock");
        running.all.values().map(|it| Arc::clone(&it.control)).collect()
    }
}

impl Control {
    /// Takes over each second whom the store gives to this gateway, until the task is ended.
    pub(super) async fn keep_adopting(self: Arc<Self>) {
        let mut second = tokio::time::interval(SECOND);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            second.tick().await;
            for origin in self.adoption.due(self.engine.clock().elapsed_us()) {
                let Origin { gateway, epoch } = origin;
                match self.adopt(origin).await {
                    Ok(()) => tracing::info!(gateway, epoch, "a gateway is adopted"),
                    Err(error) => {
                        if !matches!(error, AdoptError::Store(_)) {
                            let now_us = self.engine.clock().elapsed_us();
                            self.adoption.put_off(gateway, now_us + ADOPT_AGAIN_US);
                        }
                        let error = causes(&error);
                        tracing::warn!(gateway, epoch, %error, "a gateway is not adopted yet");
                    }
                }
            }
        }
    }

    /// Goes on with the gateways that were taken over before, by their journals: the store may be away.
    /// Nobody would see that one of them is missing but its buyers, so a person decides to go on without.
    ///
    /// # Errors
    /// Where a journal cannot be opened, or is not the one that the store follows.
    pub async fn open_adopted(self: &Arc<Self>) -> anyhow::Result<()> {
        self.adoption.running.lock().expect("nobody panics under this lock").is_over = false;
        // A store that is away is waited for once, and not for each of them: buyers wait for all.
        let mut is_there = self.is_registered();
        for (origin, folder) in journal::list(&self.adoption.folder)? {
            is_there = self.open(origin, is_there).await.with_context(|| {
                format!(
                    "adopted gateway {} cannot go on by {}, which alone has its orders (put a sound copy \
                     in its place, or move it away to start without them)",
                    origin.gateway,
                    folder.display()
                )
            })?;
            tracing::info!(
                gateway = origin.gateway,
                epoch = origin.epoch,
                "an adopted gateway goes on"
            );
        }
        Ok(())
    }

    /// The journal is made first, once; then the gateway goes on by it, as after any start.
    async fn adopt(self: &Arc<Self>, origin: Origin) -> Result<(), AdoptError> {
        let adopted = self.adoption.folder.clone();
        if !journal::folder_of(&adopted, origin).try_exists()? {
            let (records, journal) = (self.first_records(origin).await?, crate::random_bytes()?);
            let make = move || journal::make(&adopted, origin, journal, &records);
            tokio::task::spawn_blocking(make).await??;
        }
        self.open(origin, true).await.map(drop)
    }

    /// What a gateway's journal begins with.
    ///
    /// # Errors
    /// [`AdoptError`]; it is not to be taken over yet.
    pub(super) async fn first_records(&self, origin: Origin) -> Result<Vec<Record>, AdoptError> {
        let followed = self.store.position(origin.gateway).await?;
        if followed.is_none_or(|it| it.is_followed() || it.epoch != origin.epoch) {
            return Err(AdoptError::Lost);
        }
        let aside = self.store.all_set_aside(origin.gateway).await?.len();
        if aside > 0 {
            return Err(AdoptError::SetAside(aside));
        }
        let records = self.read_first(origin.gateway).await?.finish();
        let is_payment = |it: &Record| matches!(it, Record::PaymentKept(_));
        if self.payment.is_none() && records.iter().any(is_payment) {
            return Err(AdoptError::NoProvider);
        }
        Ok(records)
    }

    /// What the store has of a gateway's orders in all activities that are not closed. Nothing of it
    /// changes any more: whoever spoke for it before is refused by the store.
    async fn read_first(&self, gateway: u16) -> Result<First, StoreError> {
        let (mut first, now) = (First::default(), self.now());
        for held in self.store.leases_of(gateway).await? {
            let LeaseHeld { activity, .. } = held;
            let mut snapshot = self.store.snapshot(Some(activity)).await?;
            let mut orders = Vec::new();
            while let Some(chunk) = snapshot.orders.recv().await {
                let own = chunk?.into_iter().filter(|(it, _)| it.id.origin().gateway == gateway);
                orders.extend(own);
            }
            for row in &snapshot.activities {
                first.add(row, held, &orders, now);
            }
        }
        Ok(first)
    }

    /// Opens a gateway's journal and goes on with it. Whether the store, if it is to be asked, says that it
    /// follows that journal.
    async fn open(self: &Arc<Self>, origin: Origin, asks: bool) -> Result<bool, AdoptError> {
        let folder = journal::folder_of(&self.adoption.folder, origin);
        let (clock, options) = (Arc::clone(&self.clock) as Arc<dyn Clock>, self.options_of(origin));
        let journal = folder.clone();
        let opened = move || -> Result<Parts, AdoptError> {
            journal::keep(&journal)?;
            let disk = Arc::new(MachineDisk::open_locked(&journal)?);
            Ok(Engine::open(&options, clock, disk)?)
        };
        let parts = tokio::task::spawn_blocking(opened).await??;
        let Parts { engine, mut shards, writer, keeper } = parts;
        let owners = Owners::new(1);
        let control = self.beside(Arc::clone(&engine), owners.clone(), folder);
        match if asks { control.register().await } else { Ok(()) } {
            Err(error) if !error.is_away() => return Err(error.into()),
            // With the store away the flush asks again.
            Ok(()) | Err(_) => {}
        }
        let is_followed = control.is_registered();
        let shard = shards.pop().expect("an engine of one core has one shard");
        let threads = Threads::start(writer, keeper, || {}, tell_fault)?;
        let core = Core::start(shard, owners.clone())?;
        let tasks = tokio::spawn(Arc::clone(&control).run_adopted());
        let together = tokio::spawn(stop_together(Arc::clone(&control), Arc::clone(self)));
        let adopted = Arc::new(Adopted { engine, owners });
        let running = Running { adopted, control, core, threads, tasks, together };
        if let Some(late) = self.adoption.take_over(running) {
            late.end(NEWS).await;
        }
        Ok(is_followed)
    }

    /// How an adopted gateway's engine is opened.
    pub(super) fn options_of(&self, origin: Origin) -> EngineOptions {
        EngineOptions {
            leases: true,
            asks: self.payment.is_some(),
            segment_bytes: ADOPTED_SEGMENT_BYTES,
            ..EngineOptions::new(1, origin, [0; 16])
        }
    }

    /// The control side of an adopted gateway, beside this one's. It takes no orders.
    pub(super) fn beside(
        &self,
        engine: Arc<Engine>,
        owners: Owners,
        journal: PathBuf,
    ) -> Arc<Self> {
        engine.take_orders(false);
        let settling = self.settling.as_ref().map(super::leases::Settling::beside);
        Self::new(ControlParts { engine, owners, journal, settling, ..self.parts() })
    }

    /// Ends what goes on for others: what is durable is flushed, as far as there is time for it. Whether
    /// the store has all of it.
    pub async fn close_adopted(&self, last_flush: Duration) -> bool {
        let running = self.adoption.end();
        let mut is_whole = true;
        for running in running.into_values() {
            is_whole &= running.end(last_flush).await;
        }
        is_whole
    }

    /// Whether this is the control side of a gateway that another has adopted.
    pub(super) fn is_adopted(&self) -> bool {
        let own = self.engine.origin().gateway;
        self.peers.as_ref().is_some_and(|peers| peers.own() != own)
    }
}

/// A gateway that may not speak for another any more does not go on by itself either: whoever has
/// retired it has retired both.
async fn stop_together(adopted: Arc<Control>, own: Arc<Control>) {
    let why = adopted.must_stop().await;
    own.must_stop.send_replace(Some(why));
}

fn tell_fault(error: &seckill_shards::engine::KeepError) {
    let error = causes(error);
    tracing::error!(%error, "the journal of an adopted gateway cannot be kept in shape");
}
