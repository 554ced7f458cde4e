//! What a holder does next, by its journal and by what it has last seen of Redis.
//!
//! Pure: it must not know how messages travel, nor where the journal is.

use seckill_shards::ids::Era;
use seckill_shards::orders::Lease;

use crate::reconcile::{Holder, Status};

/// What was last seen of an activity in Redis.
#[derive(Clone, Debug, Default)]
pub enum View {
    /// Nothing, or what was seen is not to be relied on any more.
    #[default]
    Unknown,
    /// There is no hash.
    Absent,
    /// There is one.
    Seen {
        /// The number of the holder's last answered request when it was asked for.
        n: u64,
        /// What was seen.
        status: Status,
    },
}

/// What a view of Redis calls for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Ask how Redis stands.
    Look,
    /// Redis has forgotten: begin an era in the place of the one that was seen.
    Begin(Option<Era>),
    /// Journal that this era is entered, then declare what the journal has.
    Enter(Era),
    /// Declare what the journal has.
    Declare,
    /// All may have declared: ask that units are lent again.
    Resume(Era),
    /// The daily work.
    Lease,
    /// Another speaks for this holder, under a later epoch: stop for good.
    Stop,
}

/// What `holder`, whose journal has `lease`, does next. `unbegun` is the latest generation that the store gave it
/// and that may not have been begun, since another's era came before or nobody has answered: it is begun while
/// that era is not live, or whoever joins would take the live era for one of before, and end it.
#[must_use]
pub fn next(view: &View, lease: &Lease, holder: Holder, unbegun: Option<u64>) -> Next {
    let (asked_at, status) = match view {
        View::Unknown => return Next::Look,
        View::Absent => return Next::Begin(None),
        View::Seen { n, status } => (*n, status),
    };
    let forgot = Next::Begin(Some(status.era));
    let is_behind = unbegun.is_some_and(|generation| generation > status.era.generation);
    if !status.remembers || (is_behind && !status.live) {
        return forgot;
    }
    if lease.era != Some(status.era) {
        return if lease.may_enter(status.era) { Next::Enter(status.era) } else { forgot };
    }
    let mut holdings = status.holdings.iter();
    match holdings.find(|holding| holding.holder.member == holder.member) {
        None => Next::Declare,
        Some(it) if it.holder.epoch > holder.epoch => Next::Stop,
        Some(it) if it.holder.epoch < holder.epoch => Next::Declare,
        // What was seen before the last answer says nothing of it.
        Some(_) if asked_at != lease.n && status.live => Next::Lease,
        Some(it) if it.n < lease.n || (it.n == lease.n && it.net < lease.net) => forgot,
        Some(_) if status.live => Next::Lease,
        Some(_) => Next::Resume(status.era),
    }
}
