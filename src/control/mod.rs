//! What runs beside the sale and may be slow or dead without touching it: the flush to the store,
//! what the store has to say, closings, and the pages.
//!
//! It knows no sockets. Each task is a file; a fault is logged and tried again.

mod closing;
mod flush;
mod learn;
mod pages;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use seckill_shards::clock::{MachineClock, Timestamp};
use seckill_shards::engine::Engine;
use seckill_shards::ids::ActivityId;
use tokio::sync::{Mutex, Notify, watch};

use crate::api::{self, Access, Owners, PageMap};
use crate::audit::{AuditError, audit};
use crate::store::{Store, StoreError};

pub use closing::SumsTail;
pub use flush::FlushStatus;

/// How often the store and the clock are looked at.
const SECOND: Duration = Duration::from_secs(1);

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
    /// What was rendered last: held while it is rendered again, so that an older state of the
    /// pages never replaces a newer one.
    rendered: Mutex<pages::Rendered>,
    /// What the flush is at.
    pub flush: Arc<FlushStatus>,
    stop: watch::Sender<bool>,
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
}

impl Control {
    /// The tasks' common ground; nothing runs yet.
    #[must_use]
    pub fn new(parts: ControlParts) -> Arc<Self> {
        let ControlParts { engine, store, owners, access, clock, pages, journal } = parts;
        let (stop, _) = watch::channel(false);
        Arc::new(Self {
            engine,
            store,
            owners,
            access,
            clock,
            pages,
            journal,
            stale: Notify::new(),
            rendered: Mutex::default(),
            flush: Arc::default(),
            stop,
        })
    }

    /// Takes over what the store has that the journal lacks, and renders the pages: done before
    /// the gateway serves. With the store away it serves what the journal has.
    pub async fn prepare(&self) {
        let mut learned = learn::Learned::default();
        self.learn(&mut learned).await;
        self.preheat().await;
        self.render_pages().await;
    }

    /// Makes the memory of newly published activities ready.
    async fn preheat(&self) {
        let activities: Vec<_> = self.engine.activities().values().map(Arc::clone).collect();
        let done = tokio::task::spawn_blocking(move || {
            activities.iter().for_each(|activity| activity.preheat());
        });
        if let Err(error) = done.await {
            tracing::error!(%error, "an activity is not preheated");
        }
    }

    /// Runs the tasks until [`stop`](Self::stop); call it on the control runtime.
    pub async fn run(self: Arc<Self>) {
        let flush = tokio::task::spawn_blocking({
            let control = Arc::clone(&self);
            let runtime = tokio::runtime::Handle::current();
            move || flush::run(&control, &runtime)
        });
        let pages = tokio::spawn(Arc::clone(&self).keep_pages());
        let mut learned = learn::Learned::default();
        let mut sums = SumsTail::new(&self.engine);
        let mut stopped = self.stop.subscribe();
        let mut second = tokio::time::interval(SECOND);
        while !*stopped.borrow() {
            tokio::select! {
                _ = second.tick() => {
                    self.clock.correct();
                    self.learn(&mut learned).await;
                    self.close_ended(&mut sums).await;
                }
                _ = stopped.changed() => {}
            }
        }
        pages.abort();
        if let Err(error) = flush.await {
            tracing::error!(%error, "the flush ended badly");
        }
    }

    /// Ends the tasks; the flush first writes what is durable.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// The instant now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.engine.clock().now()
    }

    fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }
}

#[async_trait]
impl api::Control for Control {
    async fn republish(&self) {
        self.preheat().await;
        self.render_pages().await;
    }

    async fn audit(&self, activity: ActivityId) -> anyhow::Result<Option<String>> {
        let gateway = self.engine.origin().gateway;
        match audit(&self.journal, &*self.store, gateway, Some(activity)).await {
            Ok(audits) => Ok(audits.get(&activity.0).map(serde_json::to_string).transpose()?),
            Err(AuditError::Store(StoreError::Refused(_))) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
