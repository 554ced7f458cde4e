//! The engine: recover from the journal, start the shards, keep the journal in shape.
//!
//! `open` gives the parts unstarted, so that a simulation can step them in one thread; `threads`
//! runs them for real. It knows nothing of sockets or stores: a follower reads the journal's tail
//! and tells how far it is.

mod keeper;
mod recover;
mod segments;
mod threads;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::{ArcSwap, Guard};

pub use keeper::{KeepError, Keeper};
pub use recover::{Found, read_fold};
pub use threads::{AbortOnPanic, Threads};

use crate::clock::{Clock, Timestamp};
use crate::command::Refusal;
use crate::disk::Disk;
use crate::ids::{ActivityId, Origin};
use crate::journal::{
    JournalId, JournalStatus, JournalWriter, Lane, LaneWriter, ReadError, Sizes, Tail,
};
use crate::limits::{
    ACTIVITIES_MAX, BUYERS_AHEAD_MAX, CLOSED_KEPT, GROUP_BYTES_MAX, PAYMENT_GIVEN_UP_MS,
    RECORD_BYTES_MAX, SEGMENT_BYTES, SEGMENTS_AHEAD, SETTLE_GRACE_MS, SHARDS_MAX,
};
use crate::orders::{Fold, Order, Sums};
pub use crate::shard::{Activities, Activity, Phase, Sale, Shard, ShardCounters};
use crate::shard::{Shared, has_payment_under_way, share_out};

/// How an engine is opened.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Shards, one per core thread, 1 to [`SHARDS_MAX`].
    pub cores: usize,
    /// This gateway and its epoch.
    pub origin: Origin,
    /// The name that a journal gets where there is none yet: random.
    pub new_journal: JournalId,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// Bytes that one lane may hand over.
    pub lane_bytes: usize,
    /// Segments on disk at most; with no room for another, new orders are refused.
    pub segments_max: usize,
    /// Whether activities that are new are sold by several gateways, each by what it is lent.
    pub leases: bool,
    /// Whether an unpaid order that is recovered stays until its provider was asked: the orders of
    /// another gateway, whose last records may be lost.
    pub asks: bool,
    /// Closed activities that are kept, beside those that have an order in memory still.
    pub closed_kept: usize,
    /// Activities that are not yet closed, at most; no other is published.
    pub activities_max: usize,
}

impl EngineOptions {
    /// Defaults for `cores` cores.
    #[must_use]
    pub fn new(cores: usize, origin: Origin, new_journal: JournalId) -> Self {
        let lane_bytes = GROUP_BYTES_MAX / cores.max(1);
        Self {
            cores,
            origin,
            new_journal,
            segment_bytes: SEGMENT_BYTES,
            lane_bytes,
            segments_max: 256,
            leases: false,
            asks: false,
            closed_kept: CLOSED_KEPT,
            activities_max: ACTIVITIES_MAX,
        }
    }
}

impl EngineOptions {
    fn check(&self) -> Result<(), OpenError> {
        let at_least = SEGMENTS_AHEAD + 1;
        let cores = (1..=SHARDS_MAX).contains(&self.cores);
        if !cores || self.segments_max < at_least || self.lane_bytes <= RECORD_BYTES_MAX {
            return Err(OpenError::Options { at_least });
        }
        Ok(())
    }
}

/// Why an engine cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// An option out of its bounds.
    #[error(
        "cores must be 1 to {SHARDS_MAX}, at least {at_least} segments allowed, and more than \
         {RECORD_BYTES_MAX} bytes a lane"
    )]
    Options {
        /// Segments that are needed.
        at_least: usize,
    },
    /// The journal of another gateway.
    #[error(
        "the journal is gateway {found}'s, and this is gateway {own}: a swapped data directory, or a \
         mistyped gateway number"
    )]
    OtherGateway {
        /// Whose it is.
        found: u16,
        /// Who was to go on with it.
        own: u16,
    },
    /// The journal cannot be read.
    #[error("the journal cannot be recovered")]
    Read(#[from] ReadError),
    /// The first segments cannot be made.
    #[error("the journal cannot be made ready")]
    Keep(#[from] KeepError),
    /// The disk's word.
    #[error("the journal's folder cannot be read")]
    Disk(#[from] io::Error),
}

/// What was found and done at the start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovery {
    /// Orders in memory.
    pub orders: usize,
    /// Position after the last record.
    pub position: u64,
    /// Bytes of segments that were read.
    pub bytes: u64,
    /// Position before which the journal was folded into a checkpoint: its oldest record.
    pub begin: u64,
    /// The latest instant of the journal.
    pub last_at: Timestamp,
    /// What the records add up to.
    pub sums: Sums,
}

/// A gateway's engine, as seen from beside its shards.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    journal: JournalId,
    counters: Vec<Arc<ShardCounters>>,
    recovery: Recovery,
    epoch: u8,
    preheating: Mutex<()>,
}

/// An engine and what makes it go.
#[derive(Debug)]
pub struct Parts {
    /// The engine.
    pub engine: Arc<Engine>,
    /// One shard per core.
    pub shards: Vec<Shard>,
    /// The journal's writing end.
    pub writer: JournalWriter,
    /// Who makes segments ahead, and checkpoints.
    pub keeper: Keeper,
}

impl Engine {
    /// Recovers from the journal on `disk`, or begins one, and makes the shards.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was overwritten then.
    pub fn open(
        options: &EngineOptions,
        clock: Arc<dyn Clock>,
        disk: Arc<dyn Disk>,
    ) -> Result<Parts, OpenError> {
        options.check()?;
        let (found, fold) = read_fold(&*disk, None)?;
        let own = options.origin.gateway;
        if let Some(found) = found.gateway.filter(|&found| found != own) {
            return Err(OpenError::OtherGateway { found, own });
        }
        clock.raise_floor(fold.last_at);
        let journal = found.journal.unwrap_or(options.new_journal);
        let mut keeper = Keeper::new(Arc::clone(&disk), journal, options, &found)?;
        let lanes: Vec<_> = (0..options.cores).map(|_| Arc::<Lane>::default()).collect();
        let sizes = Sizes { segment_bytes: options.segment_bytes, lane_bytes: options.lane_bytes };
        let start = (found.last_run + 1, found.position);
        let writer = JournalWriter::new(
            Arc::clone(&clock),
            lanes.clone(),
            Arc::clone(keeper.queues()),
            sizes,
            start,
        );
        let shared = Arc::new(Shared {
            activities: ArcSwap::from_pointee(Activities::default()),
            journal: Arc::clone(writer.status()),
            clock,
            origin: options.origin,
            cores: options.cores,
            leases: options.leases,
            asks: options.asks,
            takes_orders: AtomicBool::new(true),
            knows_sales: AtomicBool::new(true),
            activities_max: options.activities_max,
            flushed: AtomicU64::new(found.checkpoint_position),
            closed: AtomicU64::new(0),
            forgotten: AtomicU64::new(0),
            spare_pages: Arc::default(),
        });
        keeper.follow(Arc::clone(&shared));
        let recovery = Recovery {
            orders: fold.orders.len(),
            position: found.position,
            begin: found.checkpoint_position,
            bytes: found.bytes,
            last_at: fold.last_at,
            sums: Sums::of(&fold),
        };
        let shards = make_shards(options, &shared, lanes, fold);
        let counters = shards.iter().map(|shard| Arc::clone(shard.counters())).collect();
        let (epoch, preheating) = (options.origin.epoch, Mutex::default());
        let engine = Self { shared, disk, journal, counters, recovery, epoch, preheating };
        Ok(Parts { engine: Arc::new(engine), shards, writer, keeper })
    }

    /// The activities.
    #[must_use]
    pub fn activities(&self) -> Guard<Arc<Activities>> {
        self.shared.activities.load()
    }

    /// An activity by its id.
    #[must_use]
    pub fn activity(&self, id: ActivityId) -> Option<Arc<Activity>> {
        self.shared.activity(id)
    }

    /// An activity by its id, or what its absence means.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] where there is none, and [`Refusal::Unavailable`] where it may be one that is
    /// [not known yet](Self::know_sales).
    pub fn find_activity(&self, id: ActivityId) -> Result<Arc<Activity>, Refusal> {
        self.shared.find_activity(id)
    }

    /// Whether one more activity may be published.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.shared.has_room()
    }

    /// How many closed activities were forgotten since the start. Whoever publishes a row of the
    /// store asks before it is read: what was forgotten by then is closed in the store.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        // Acquire, paired with `Shared::forget`: the row is read behind this.
        self.shared.forgotten.load(Ordering::Acquire)
    }

    /// Makes memory ready for the buyers of the first second of the sales that are not closed, the
    /// next to open first, [`BUYERS_AHEAD_MAX`] at most; others may buy meanwhile. It takes about a
    /// third of a second for a million buyers that were not made ready before: call it beside the
    /// cores.
    pub fn preheat(&self) {
        // One at a time: each goes by the memory that is there.
        let _preheating = self.preheating.lock().expect("nobody panics under this lock");
        let (open, now) = (self.shared.open_activities(), self.shared.clock.now());
        let wants: Vec<_> = open.iter().map(|activity| activity.wants(now)).collect();
        let shares = share_out(&wants, BUYERS_AHEAD_MAX);
        // Who gives before who gets: so there is never more of it.
        open.iter().zip(&shares).for_each(|(activity, &room)| activity.give_up_room(room));
        open.iter().zip(&shares).for_each(|(activity, &room)| activity.preheat(room));
        let most = open.iter().map(|activity| activity.remaining()).max().unwrap_or(0);
        self.shared.spare_pages.keep_for(usize::try_from(most).unwrap_or(usize::MAX));
    }

    /// Whether new orders are taken from here on. Those that exist go on either way.
    pub fn take_orders(&self, takes: bool) {
        // Relaxed: advice. See `Shard::check_sale`.
        self.shared.takes_orders.store(takes, Ordering::Relaxed);
    }

    /// Whether new orders are taken.
    #[must_use]
    pub fn takes_orders(&self) -> bool {
        self.shared.takes_orders.load(Ordering::Relaxed)
    }

    /// Whether every published sale is known from here on; until then one that is not found may be one that
    /// has yet to come. An engine that is told nothing knows them all.
    pub fn know_sales(&self, knows: bool) {
        // Release: who sees it finds the sales that were published before.
        self.shared.knows_sales.store(knows, Ordering::Release);
    }

    /// Whether every published sale is known.
    #[must_use]
    pub fn knows_sales(&self) -> bool {
        self.shared.knows_sales.load(Ordering::Acquire)
    }

    /// The clock of the process.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    /// The journal's status.
    #[must_use]
    pub fn journal(&self) -> &Arc<JournalStatus> {
        &self.shared.journal
    }

    /// The journal's name.
    #[must_use]
    pub fn journal_id(&self) -> JournalId {
        self.journal
    }

    /// This gateway.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin { epoch: self.epoch, ..self.shared.origin }
    }

    /// How many cores there are.
    #[must_use]
    pub fn cores(&self) -> usize {
        self.shared.cores
    }

    /// What was found at the start.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// The shards' figures, by core.
    #[must_use]
    pub fn counters(&self) -> &[Arc<ShardCounters>] {
        &self.counters
    }

    /// A follower's cursor at `position`.
    #[must_use]
    pub fn tail(&self, position: u64) -> Tail {
        let (disk, status) = (Arc::clone(&self.disk), Arc::clone(&self.shared.journal));
        Tail::new(disk, self.journal, status, position)
    }

    /// The store has everything before `position`: settled orders may leave memory, segments may
    /// be recycled.
    pub fn set_flushed(&self, position: u64) {
        // Release, paired with `Shard::forget_settled`: an order leaves memory only when its row
        // can be read.
        self.shared.flushed.fetch_max(position, Ordering::Release);
    }

    /// Position before which the store has everything.
    #[must_use]
    pub fn flushed_position(&self) -> u64 {
        self.shared.flushed.load(Ordering::Acquire)
    }
}

/// Deals a fold out to shards: each order to its owner, each activity to all.
fn make_shards(
    options: &EngineOptions,
    shared: &Arc<Shared>,
    lanes: Vec<Arc<Lane>>,
    fold: Fold,
) -> Vec<Shard> {
    let cores = options.cores;
    let mut shards: Vec<_> = lanes
        .into_iter()
        .enumerate()
        .map(|(index, lane)| {
            let writer = LaneWriter::new(lane, options.lane_bytes);
            Shard::new(index, Arc::clone(shared), writer, fold.counters.clone())
        })
        .collect();
    let activities = fold.activities.into_iter().map(|(id, folded)| {
        let (free, paused) = (folded.free(), folded.paused);
        let (ended, closed) = (folded.ended, folded.closed);
        let (version, terms) = (folded.published.version, folded.published.terms);
        let (withdrawals, lease) = (folded.withdrawals, folded.lease);
        let phased_at = folded.phased_at;
        let sale = Sale { version, terms, paused, ended, closed, phased_at, withdrawals, lease };
        (id, Activity::new(id, sale, cores, free, folded.places))
    });
    let activities: Activities = activities.collect();
    shared.activities.store(Arc::new(activities));
    let now = shared.clock.now();
    for (shard, orders) in shards.iter_mut().zip(fold.orders.deal(cores, &shared.spare_pages)) {
        shard.take_over(orders, |order| due_at(order, now));
    }
    shards
}

/// When a recovered order expires, or a payment of a closed one is given up. One that fell due during the outage while somebody was paying
/// for it waits for the provider's word.
fn due_at(order: &Order, now: Timestamp) -> Option<Timestamp> {
    if !order.status.is_open() {
        let given_up = || order.moved_at.plus_ms(PAYMENT_GIVEN_UP_MS);
        return order.payment_under_way().map(|_| given_up());
    }
    let overdue = order.pay_before <= now;
    let grace = overdue && has_payment_under_way(order);
    Some(if grace { now.plus_ms(SETTLE_GRACE_MS) } else { order.pay_before })
}
