//! An activity as the cores share it: its stock, its places, and its terms, swapped whole.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use arc_swap::{ArcSwap, Guard};
use crossbeam_utils::CachePadded;
use foldhash::fast::FixedState;

use super::ahead::Want;
use crate::clock::Timestamp;
use crate::ids::{ActivityId, OrderId, UserId};
use crate::limits::ORDERS_AHEAD_MAX;
use crate::orders::{Lease, Withdrawals};
use crate::places::Places;
use crate::record::Terms;
use crate::stock::{Stock, Take};

/// The activities of a gateway, by id.
pub type Activities = HashMap<ActivityId, Arc<Activity>, FixedState>;

/// Rounds of [`Activity::may_return`] before it gives the careful answer.
const LOOKS_MAX: usize = 16;

/// What an activity sells and how it stands: replaced whole when a record changes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sale {
    /// Version of the row that the terms are from.
    pub version: u64,
    /// The terms.
    pub terms: Terms,
    /// Paused by an operator.
    pub paused: bool,
    /// Ended by an operator.
    pub ended: bool,
    /// Closed.
    pub closed: bool,
    /// A position behind the record by which an operator changed it last.
    pub phased_at: u64,
    /// What was withdrawn under a key.
    pub withdrawals: Withdrawals,
    /// What was lent to this gateway; none where it sells alone.
    pub lease: Option<Lease>,
}

/// Where a sale stands in time. It never goes back but from paused to live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// It opens later.
    Scheduled,
    /// It sells.
    Live,
    /// An operator has stopped it for now.
    Paused,
    /// It sells no more; orders may still be open.
    Ended,
    /// No order is open and the unsold units have left.
    Closed,
}

/// One activity, shared by the cores.
#[derive(Debug)]
pub struct Activity {
    /// Its id.
    pub id: ActivityId,
    pub(super) stock: Stock,
    pub(super) places: Places,
    /// Units reserved or held, by the core that counts them: each is written by one core, and only
    /// their sum means anything (an order may be freed by another core than took it, so one
    /// counter may wrap below zero).
    outstanding: Box<[CachePadded<AtomicU64>]>,
    /// Units of ended orders of whose end the other gateways have not heard.
    ending: AtomicU64,
    /// A position behind the last of those ends.
    last_end: AtomicU64,
    /// The most units for want of which a buyer was sent away since somebody looked.
    asked_in_vain: AtomicU32,
    /// Units that operators took out since the start of the process.
    withdrawn: AtomicU64,
    /// Records under way that closing must wait for: withdrawals, and changes of orders that it
    /// would settle for good.
    late_moves: AtomicU64,
    /// Set from the decision to close it on.
    closing: AtomicBool,
    /// All gateways that share it are done with it.
    over: AtomicBool,
    pub(super) sale: ArcSwap<Sale>,
    /// Buyers that there is memory for ahead of them.
    room: AtomicUsize,
    is_preheated: AtomicBool,
}

impl Sale {
    /// Where the sale stands at `now`.
    #[must_use]
    pub fn phase(&self, now: Timestamp) -> Phase {
        if self.closed {
            Phase::Closed
        } else if self.ended || now >= self.terms.ends_at {
            Phase::Ended
        } else if self.paused {
            Phase::Paused
        } else if now < self.terms.starts_at {
            Phase::Scheduled
        } else {
            Phase::Live
        }
    }
}

impl Activity {
    pub(crate) fn new(
        id: ActivityId,
        sale: Sale,
        cores: usize,
        free: u32,
        places: Places,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            stock: Stock::new(cores, free),
            room: AtomicUsize::new(places.room()),
            places,
            outstanding: (0..cores).map(|_| CachePadded::default()).collect(),
            ending: AtomicU64::new(0),
            last_end: AtomicU64::new(0),
            asked_in_vain: AtomicU32::new(0),
            withdrawn: AtomicU64::new(0),
            late_moves: AtomicU64::new(0),
            closing: AtomicBool::new(sale.closed),
            over: AtomicBool::new(false),
            sale: ArcSwap::from_pointee(sale),
            is_preheated: AtomicBool::new(false),
        })
    }

    /// Buyers that there is memory for ahead of them.
    #[must_use]
    pub fn room(&self) -> usize {
        // Relaxed: it says nothing of other memory; nor do the accesses below.
        self.room.load(Ordering::Relaxed)
    }

    /// What it would have in memory ahead of its buyers at `now`.
    pub(crate) fn wants(&self, now: Timestamp) -> Want {
        let Terms { starts_at, stocked, .. } = self.sale.load().terms;
        let stocked = usize::try_from(stocked).unwrap_or(usize::MAX);
        let keeps = starts_at <= now && self.room() > 0;
        Want { keeps, starts_at, buyers: stocked.min(ORDERS_AHEAD_MAX) }
    }

    /// Gives back the memory that is there for more than `room` buyers.
    pub(crate) fn give_up_room(&self, room: usize) {
        if room < self.room() {
            self.room.store(room, Ordering::Relaxed);
            self.is_preheated.store(false, Ordering::Relaxed);
            self.places.shrink();
        }
    }

    /// Makes its places ready for `room` buyers, once; others may buy meanwhile.
    pub(crate) fn preheat(&self, room: usize) {
        let had = self.room.swap(room, Ordering::Relaxed);
        if !self.is_preheated.swap(true, Ordering::Relaxed) || had < room {
            self.places.preheat(room);
        }
    }

    /// Its terms and flags now.
    pub fn sale(&self) -> Guard<Arc<Sale>> {
        self.sale.load()
    }

    /// Where it stands at `now`.
    #[must_use]
    pub fn phase(&self, now: Timestamp) -> Phase {
        self.sale.load().phase(now)
    }

    /// Units that can be taken: a momentary sum for display.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.stock.free()
    }

    /// Whether no unit can be taken now.
    #[must_use]
    pub fn is_sold_out(&self) -> bool {
        self.stock.sold_out().is_some()
    }

    /// Whether units that are reserved or unpaid may come back. `false` is exact: nothing is free
    /// and nothing is outstanding at the same instant; where that cannot be told, it is `true`, and
    /// so it is where other gateways may have units.
    #[must_use]
    pub fn may_return(&self) -> bool {
        if self.sale().lease.is_some() {
            return true;
        }
        for _ in 0..LOOKS_MAX {
            let Some(before) = self.stock.sold_out() else { return true };
            let outstanding = self.outstanding();
            // Units come back through the pool before they stop being outstanding, so an unchanged
            // stamp means that none came back while the counters were read.
            if self.stock.sold_out() == Some(before) {
                return outstanding > 0;
            }
        }
        true
    }

    /// Units reserved or held.
    #[must_use]
    pub fn outstanding(&self) -> u64 {
        // Acquire, paired with `count_out` and `count_in`: an order between them is not missed.
        let counters = self.outstanding.iter();
        counters.fold(0, |sum: u64, it| sum.wrapping_add(it.load(Ordering::Acquire)))
    }

    /// The orders of a buyer, open, paid and remembered, oldest first.
    #[must_use]
    pub fn orders_of(&self, user: UserId) -> Vec<OrderId> {
        self.places.claims_of(user).iter().map(|claim| claim.order).collect()
    }

    /// Units are about to be taken, or were by an order that is recovered.
    pub(crate) fn count_out(&self, core: usize, quantity: u32) {
        self.outstanding[core].fetch_add(u64::from(quantity), Ordering::AcqRel);
    }

    /// Units were given back or sold.
    pub(crate) fn count_in(&self, core: usize, quantity: u32) {
        self.outstanding[core].fetch_sub(u64::from(quantity), Ordering::AcqRel);
    }

    /// Units of ended orders of whose end the other gateways have not heard.
    #[must_use]
    pub fn ending(&self) -> u64 {
        // SeqCst, as the stock is: see `take_spare`.
        self.ending.load(Ordering::SeqCst)
    }

    /// Units that operators took out since the start of the process.
    #[must_use]
    pub fn withdrawn(&self) -> u64 {
        // Relaxed: advice.
        self.withdrawn.load(Ordering::Relaxed)
    }

    pub(super) fn count_withdrawn(&self, quantity: u32) {
        self.withdrawn.fetch_add(u64::from(quantity), Ordering::Relaxed);
    }

    /// A buyer who may have them is sent away for want of units.
    pub(super) fn ask_in_vain(&self, quantity: u32) {
        // Relaxed, and read first: advice, and but for the first a refusal writes to no shared line.
        if self.asked_in_vain.load(Ordering::Relaxed) < quantity {
            self.asked_in_vain.fetch_max(quantity, Ordering::Relaxed);
        }
    }

    /// The most units for want of which a buyer was sent away since this was asked last.
    pub fn asked_in_vain(&self) -> u32 {
        self.asked_in_vain.swap(0, Ordering::Relaxed)
    }

    /// Once the store has what stands before this position of the journal, the other gateways may hear of all
    /// ends so far.
    #[must_use]
    pub fn last_end(&self) -> u64 {
        // Relaxed: only the number counts.
        self.last_end.load(Ordering::Relaxed)
    }

    pub(super) fn count_ending(&self, quantity: u32, position: u64) {
        // Relaxed: as above.
        self.last_end.fetch_max(position, Ordering::Relaxed);
        self.ending.fetch_add(u64::from(quantity), Ordering::SeqCst);
    }

    pub(super) fn count_ended(&self, quantity: u32) {
        self.ending.fetch_sub(u64::from(quantity), Ordering::SeqCst);
    }

    /// Announces a record that closing must wait for; false, and nothing done, once the activity is
    /// being closed. So what closing settles stays as it is, and may be folded away.
    pub(super) fn begin_late_move(&self) -> bool {
        // SeqCst, paired with `begin_closing`: either this sees the closing, or that sees this.
        self.late_moves.fetch_add(1, Ordering::SeqCst);
        let closing = self.closing.load(Ordering::SeqCst);
        if closing {
            self.end_late_move();
        }
        !closing
    }

    /// The announced record has been applied.
    pub(super) fn end_late_move(&self) {
        self.late_moves.fetch_sub(1, Ordering::SeqCst);
    }

    /// The store has it as closed: all gateways that share it are done with it.
    pub fn note_over(&self) {
        // Relaxed: it says nothing of other memory; nor does the load below.
        self.over.store(true, Ordering::Relaxed);
    }

    /// Whether nobody asks for it any more once it is closed here. While others share it that are not
    /// done with it the store has it as open, and what it was lent would be forgotten.
    pub(crate) fn may_be_forgotten(&self) -> bool {
        self.sale().lease.is_none() || self.over.load(Ordering::Relaxed)
    }

    /// Whether the activity is being closed, or is.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Takes the `unsold` units that are left, for good, if no others are left, no order is open,
    /// no late move is under way, and the other gateways know of every end; else does nothing. For
    /// the owner core alone.
    pub(super) fn begin_closing(&self, core: usize, unsold: u32) -> bool {
        self.closing.store(true, Ordering::SeqCst);
        let taken = self.late_moves.load(Ordering::SeqCst) == 0
            && self.ending() == 0
            && (unsold == 0 || self.stock.take(core, unsold) == Take::All);
        // A buyer counts out before a unit is taken, so who got one before these is seen.
        if taken && self.is_sold_out() && self.outstanding() == 0 {
            return true;
        }
        if taken && unsold > 0 {
            self.stock.give(unsold);
        }
        self.closing.store(false, Ordering::SeqCst);
        false
    }

    /// Changes the sale's flags or terms; for the owner core alone.
    pub(super) fn change_sale(&self, change: impl FnOnce(&mut Sale)) {
        let mut sale = Sale::clone(&self.sale.load());
        change(&mut sale);
        self.sale.store(Arc::new(sale));
    }
}
