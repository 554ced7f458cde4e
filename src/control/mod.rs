//! What runs beside the sale and may be slow or dead without touching it: the flush to the store,
//! what the store has to say, closings, and the pages.
//!
//! It knows no sockets. Each task is a file; a fault is logged and tried again.

mod adoption;
mod auditing;
mod backlog;
mod catalogue;
mod closing;
mod draining;
mod fleet;
mod flush;
mod learn;
pub mod leases;
mod limits;
mod markers;
mod pages;
mod refunds;
mod register;
mod sign_outs;
#[cfg(test)]
mod simulation;
mod telling;
#[cfg(test)]
mod testing;
mod trail;
mod views;

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use futures_util::stream::{FuturesUnordered, StreamExt};
use seckill_shards::clock::{MachineClock, Timestamp};
use seckill_shards::engine::Engine;
use seckill_shards::ids::ActivityId;
use tokio::sync::{Mutex, Notify, oneshot, watch};
use tokio::task::JoinHandle;

use crate::api::{self, Access, Adopted, Owners, PageMap, Said, Word};
use crate::flow::Breaker;
use crate::log::causes;
use crate::payment::PaymentPort;
use crate::peers::{Peers, Vouched};
use crate::store::{Act, Revoked, Store, StoreError};
use adoption::Adoption;
use backlog::Backlog;
use draining::Draining;
use leases::Settling;

pub use adoption::adopted_journals;
pub use backlog::Behind;
pub use closing::SumsTail;
pub use draining::HandOverError;
pub use flush::FlushStatus;
pub use markers::Marker;
pub use pages::pages_of;
pub use refunds::RefundStatus;
pub use register::RegisterError;

/// How often the store and the clock are looked at.
const SECOND: Duration = Duration::from_secs(1);
/// How often the store drops what has expired.
const SWEEP: Duration = Duration::from_secs(60);

/// Why a gateway ends by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It must not be used as it is.
    Unusable(String),
    /// Another goes on with all that it has.
    HandOver(u16),
}

/// What the tasks share.
#[derive(Debug)]
pub struct Control {
    engine: Arc<Engine>,
    store: Arc<dyn Store>,
    owners: Owners,
    access: Arc<Access>,
    clock: Arc<MachineClock>,
    pages: Arc<ArcSwap<PageMap>>,
    journal: PathBuf,
    /// Something that the pages show has changed.
    stale: Notify,
    /// The pages are to show what the store did not tell when they were rendered last.
    pages_lack: AtomicBool,
    /// What was rendered last: held while it is rendered again, so that an older state of the
    /// pages never replaces a newer one.
    rendered: Mutex<pages::Rendered>,
    /// What the flush is at.
    pub flush: Arc<FlushStatus>,
    /// Where journal and store stood of late.
    backlog: std::sync::Mutex<Backlog>,
    /// What shoppers pay by.
    payment: Option<PaymentPort>,
    /// What the refunds are at.
    pub refunds: Arc<RefundStatus>,
    /// What the journal adds up to; never behind what the flush has told the keeper, or the
    /// segments that it reads could be recycled.
    pub sums: Arc<std::sync::Mutex<SumsTail>>,
    /// Held while journals are audited: each audit reads a whole one, and the next waits.
    auditing: Mutex<()>,
    /// How far the store's changes were read.
    learned: Mutex<learn::Learned>,
    store_breaker: Arc<Breaker>,
    /// What is settled with other gateways; none where this one sells alone.
    settling: Option<Settling>,
    /// The other gateways; none where this one is alone.
    peers: Option<Arc<Peers>>,
    /// Those of them that this one speaks for.
    adoption: Adoption,
    /// What was said of sales here or there and the store may lack.
    newest: telling::Newest,
    /// Sign-outs that the store did not take.
    sign_outs: sign_outs::SignOuts,
    /// Acts that the trail does not have yet.
    acts: trail::Acts,
    /// What they are told of the store.
    followed: std::sync::Mutex<fleet::Followed>,
    /// Whether the store has said that it follows this journal, and from where to flush.
    registered: AtomicBool,
    /// Whether the store has this gateway's row: who has none cannot be retired.
    announced: AtomicBool,
    /// How far it is in handing itself over.
    draining: Draining,
    /// Why the gateway ends by itself; none while it goes on.
    must_stop: watch::Sender<Option<Ending>>,
    /// Ends the tasks that ask the shards.
    stop: watch::Sender<bool>,
    /// The journal has ended: the flush writes what is left, and ends.
    is_last: AtomicBool,
}

/// What a [`Control`] is made of.
#[derive(Debug)]
pub struct ControlParts {
    /// The engine.
    pub engine: Arc<Engine>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The way to the shards.
    pub owners: Owners,
    /// Revocations.
    pub access: Arc<Access>,
    /// The clock, to be corrected.
    pub clock: Arc<MachineClock>,
    /// Where the pages are swapped in.
    pub pages: Arc<ArcSwap<PageMap>>,
    /// The journal's folder, for the audit.
    pub journal: PathBuf,
    /// What shoppers pay by; none: nothing is ever owed back.
    pub payment: Option<PaymentPort>,
    /// What stops reads of the store: the news that are read each second tell it how the store is.
    pub store_breaker: Arc<Breaker>,
    /// What is settled with other gateways; none where this one sells alone.
    pub settling: Option<Settling>,
    /// The other gateways; none where this one is alone.
    pub peers: Option<Arc<Peers>>,
    /// Where the journals of adopted gateways are.
    pub adopted: PathBuf,
}

/// What a task of the control side was to do nobody does any more, though all looks well.
#[derive(Debug, thiserror::Error)]
#[error("a part of it has ended by a bug; a start goes on from the journal")]
struct Panicked;

/// Waits until one of the tasks panics; those that end otherwise were not needed.
async fn one_panics(tasks: &mut [JoinHandle<()>]) {
    let mut running: FuturesUnordered<_> = tasks.iter_mut().collect();
    while let Some(ended) = running.next().await {
        if ended.is_err_and(|error| error.is_panic()) {
            return;
        }
    }
    pending::<()>().await;
}

impl Control {
    /// The tasks' common ground; nothing runs yet.
    #[must_use]
    pub fn new(parts: ControlParts) -> Arc<Self> {
        let ControlParts { engine, store, owners, access, clock, pages, journal, payment, .. } =
            parts;
        let has_sandbox = has_sandbox(payment.as_ref());
        let (stop, _) = watch::channel(false);
        let sums = Arc::new(std::sync::Mutex::new(SumsTail::new(&engine)));
        Arc::new(Self {
            engine,
            store,
            owners,
            access,
            clock,
            pages,
            journal,
            stale: Notify::new(),
            pages_lack: AtomicBool::new(false),
            rendered: Mutex::new(pages::Rendered::new(has_sandbox)),
            flush: Arc::default(),
            backlog: std::sync::Mutex::default(),
            payment,
            refunds: Arc::default(),
            sums,
            auditing: Mutex::default(),
            learned: Mutex::default(),
            store_breaker: parts.store_breaker,
            settling: parts.settling,
            peers: parts.peers,
            adoption: Adoption::new(parts.adopted),
            newest: telling::Newest::default(),
            sign_outs: sign_outs::SignOuts::default(),
            acts: trail::Acts::default(),
            followed: std::sync::Mutex::default(),
            registered: AtomicBool::new(false),
            announced: AtomicBool::new(false),
            draining: Draining::default(),
            must_stop: watch::Sender::new(None),
            stop,
            is_last: AtomicBool::new(false),
        })
    }

    /// What another control side beside this one is made of, but for what is its own.
    fn parts(&self) -> ControlParts {
        ControlParts {
            engine: Arc::clone(&self.engine),
            store: Arc::clone(&self.store),
            owners: self.owners.clone(),
            access: Arc::clone(&self.access),
            clock: Arc::clone(&self.clock),
            pages: Arc::clone(&self.pages),
            journal: self.journal.clone(),
            payment: self.payment.clone(),
            store_breaker: Arc::clone(&self.store_breaker),
            settling: None,
            peers: self.peers.clone(),
            adopted: PathBuf::new(),
        }
    }

    /// Takes over what the store has that the journal lacks, and renders the pages: done before
    /// the gateway serves, since it must know which tokens were taken back, and the others where it is.
    /// With the store away it serves by what it knows itself, and learns the rest later.
    ///
    /// # Errors
    /// What the store says, unless it is away.
    pub async fn prepare(&self) -> Result<(), StoreError> {
        self.engine.know_sales(false);
        // A store that was away is not waited for once more.
        let has_store = self.is_registered();
        if has_store {
            unless_away(self.learn_first().await)?;
        }
        self.preheat().await;
        if has_store {
            unless_away(self.announce().await)?;
        }
        self.lease_first(has_store).await;
        self.render_pages().await;
        Ok(())
    }

    /// Takes over what the store has by now, beside what runs.
    ///
    /// # Errors
    /// What the store says, unless it is away.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        unless_away(self.learn_all(&mut *self.learned.lock().await).await)?;
        self.preheat().await;
        self.render_pages().await;
        Ok(())
    }

    /// Makes the memory of newly published activities ready.
    async fn preheat(&self) {
        let engine = Arc::clone(&self.engine);
        if let Err(error) = tokio::task::spawn_blocking(move || engine.preheat()).await {
            tracing::error!(%error, "the sales are not preheated");
        }
    }

    /// Runs the tasks until [`stop`](Self::stop); call it on the control runtime.
    pub async fn run(self: Arc<Self>) {
        let pages = tokio::spawn(Arc::clone(&self).keep_pages());
        let adopting = tokio::spawn(Arc::clone(&self).keep_adopting());
        let signing_out = tokio::spawn(Arc::clone(&self).keep_writing_sign_outs());
        let noting = tokio::spawn(Arc::clone(&self).keep_noting());
        Arc::clone(&self).run_beside(vec![pages, adopting, signing_out, noting]).await;
        // What was done while the gateway went down, and what the store has not taken before.
        self.write_acts().await;
    }

    /// The same for a gateway that was adopted.
    async fn run_adopted(self: Arc<Self>) {
        let asking = tokio::spawn(Arc::clone(&self).keep_asking());
        self.run_beside(vec![asking]).await;
    }

    /// Runs what every control side runs beside its own tasks, and ends these with it.
    async fn run_beside(self: Arc<Self>, mut tasks: Vec<JoinHandle<()>>) {
        let flush = tokio::task::spawn_blocking({
            let control = Arc::clone(&self);
            let runtime = tokio::runtime::Handle::current();
            move || {
                let flushed = catch_unwind(AssertUnwindSafe(|| flush::run(&control, &runtime)));
                if flushed.is_err() {
                    control.give_up(&Panicked);
                }
            }
        });
        tasks.push(tokio::spawn(Arc::clone(&self).keep_refunds()));
        tasks.push(tokio::spawn(Arc::clone(&self).keep_leases()));
        tasks.push(tokio::spawn(Arc::clone(&self).keep_fleet()));
        let looking = {
            let control = Arc::clone(&self);
            tokio::spawn(async move { control.look_each_second().await })
        };
        let watching = async {
            one_panics(&mut tasks).await;
            self.give_up(&Panicked);
            pending::<()>().await;
        };
        tokio::select! {
            looked = looking => looked.unwrap_or_else(|_| self.give_up(&Panicked)),
            () = watching => {}
        }
        tasks.iter().for_each(JoinHandle::abort);
        if let Err(error) = flush.await {
            tracing::error!(%error, "the flush ended badly");
        }
    }

    /// What is looked at each second until [`stop`](Self::stop). What all control sides of a process
    /// share is the first one's.
    async fn look_each_second(&self) {
        let mut stopped = self.stop.subscribe();
        let mut second = tokio::time::interval(SECOND);
        let mut sweep = tokio::time::interval(SWEEP);
        while !*stopped.borrow() {
            tokio::select! {
                _ = second.tick() => {
                    if !self.is_adopted() {
                        self.clock.correct();
                    }
                    self.look_at_backlog();
                    self.learn().await;
                    self.close_ended().await;
                }
                _ = sweep.tick() => {
                    if !self.is_adopted() {
                        self.sweep().await;
                    }
                    self.count_set_aside().await;
                }
                _ = stopped.changed() => {}
            }
        }
    }

    /// Ends the tasks that ask the shards, while there are shards.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The control sides of the gateways that this one has adopted.
    #[must_use]
    pub fn adopted_controls(&self) -> Vec<Arc<Self>> {
        self.adoption.controls()
    }

    /// What is settled with other gateways; none where this one sells alone.
    #[must_use]
    pub fn settling(&self) -> Option<&Settling> {
        self.settling.as_ref()
    }

    /// The other gateways; none where this one is alone.
    #[must_use]
    pub fn peers(&self) -> Option<&Arc<Peers>> {
        self.peers.as_ref()
    }

    /// Waits until this gateway ends by itself, and says why.
    pub async fn must_stop(&self) -> Ending {
        let mut why = self.must_stop.subscribe();
        let why = why.wait_for(Option::is_some).await.map(|why| why.clone());
        why.ok().flatten().expect("the sender lives as long as this does")
    }

    /// Why this gateway ends by itself, where it is to by now.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        self.must_stop.borrow().clone()
    }

    /// This gateway must not go on.
    fn give_up(&self, why: &(dyn std::error::Error + 'static)) {
        let why = causes(why);
        tracing::error!(error = %why, "this gateway must not go on");
        self.must_stop.send_replace(Some(Ending::Unusable(why.to_string())));
    }

    /// The journal has ended: the flush writes what is durable, and ends.
    pub fn finish(&self) {
        self.stop();
        // Release: who sees it sees the journal's last position.
        self.is_last.store(true, Ordering::Release);
    }

    /// Drops what the store need not remember any more.
    async fn sweep(&self) {
        if let Err(error) = self.store.sweep(self.now()).await {
            tracing::warn!(error = %causes(&error), "the store is not swept");
        }
    }

    /// The instant now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.engine.clock().now()
    }

    fn is_last(&self) -> bool {
        self.is_last.load(Ordering::Acquire)
    }
}

fn unless_away(done: Result<(), StoreError>) -> Result<(), StoreError> {
    done.or_else(|error| if error.is_away() { Ok(()) } else { Err(error) })
}

#[async_trait]
impl api::Control for Control {
    async fn republish(&self) {
        self.preheat().await;
        self.render_pages().await;
    }

    async fn audit(
        &self,
        activity: ActivityId,
        asks: Option<Vouched>,
    ) -> anyhow::Result<Option<String>> {
        self.audit_all(activity, asks).await
    }

    fn hasten_flush(&self, position: u64) {
        self.flush.hasten(position);
    }

    async fn tell(&self, word: Word) {
        self.tell_all(word).await;
    }

    async fn hear(&self, word: Word, said: Said) -> bool {
        self.hear_word(word, said).await
    }

    fn keep(&self, revoked: Revoked, until: Timestamp) {
        self.keep_sign_out(revoked, until);
    }

    fn note(&self, act: Act) -> oneshot::Receiver<()> {
        self.note_act(act)
    }

    fn adopted(&self, gateway: u16) -> Option<Arc<Adopted>> {
        self.adoption.find(gateway)
    }

    fn all_adopted(&self) -> Vec<Arc<Adopted>> {
        self.adoption.all()
    }
}

/// Whether payments go to the sandbox bank, which then has a page.
fn has_sandbox(payment: Option<&PaymentPort>) -> bool {
    payment.is_some_and(|port| port.sandbox.is_some())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_noticed_and_one_that_only_ends_is_not() {
        let mut tasks = vec![tokio::spawn(async {}), tokio::spawn(pending())];
        let noticed = timeout(Duration::from_millis(50), one_panics(&mut tasks)).await;
        assert!(noticed.is_err());
        tasks.push(tokio::spawn(async { panic!("a bug") }));
        // The first has been asked what it ended as.
        one_panics(&mut tasks[1..]).await;
    }
}
