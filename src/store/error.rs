//! Why the store did not do what was asked: refusals, faults and broken sequences, kept apart.
//!
//! It knows neither SQL nor statuses of HTTP.

use std::error::Error;

use seckill_shards::record::Digest;

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No, and for a reason that the caller can be told; nothing happened.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store itself went wrong.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A journal is not the one, or not at the place, that the store has followed.
    #[error(transparent)]
    OutOfStep(#[from] OutOfStep),
}

impl StoreError {
    /// Whether the store cannot be asked now, and may be later.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Fault(Fault::Overloaded | Fault::Unavailable(_)))
    }

    /// Whether the store itself is in trouble, so that other calls would fare alike. A refusal is an
    /// answer; so is a row that is not as it must be, or a journal that is not the one.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Refused(_) | Self::OutOfStep(_) | Self::Fault(Fault::Diverged(_)) => false,
            Self::Fault(
                Fault::Overloaded
                | Fault::Unavailable(_)
                | Fault::Unusable(_)
                | Fault::NewerSchema { .. },
            ) => true,
        }
    }

    /// Whether it was for the sake of a row: without that one the rest may go well.
    #[must_use]
    pub fn lies_in_a_row(&self) -> bool {
        matches!(self, Self::Fault(Fault::Diverged(_)))
    }
}

/// A reason that the caller can be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// A unique name is taken.
    #[error("the name is taken")]
    Taken,
    /// The row has changed since it was read.
    #[error("the row is of version {current} now")]
    Stale {
        /// The version it has now.
        current: u64,
    },
    /// No such row.
    #[error("no such row")]
    NotFound,
    /// The product has fewer units.
    #[error("the product has {remaining} units")]
    InsufficientStock {
        /// How many it has.
        remaining: u64,
    },
    /// The row is not in a state that allows it.
    #[error("the row is not in a state that allows this")]
    State,
    /// The idempotency key came with another body before.
    #[error("the key was used for another request")]
    Mismatch,
}

/// The store itself went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Too many calls are waiting; nothing happened.
    #[error("too many calls are waiting for the store")]
    Overloaded,
    /// It cannot be reached, or failed; a write may or may not have happened.
    #[error("the store is unavailable: {0}")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// It holds a row that it cannot hold, or lacks one that it must have; nothing happened.
    #[error("the store is damaged or not this gateway's: {0}")]
    Diverged(String),
    /// It is damaged, another program's, or does not let this gateway in, which no waiting mends;
    /// nothing happened.
    #[error("the store cannot be used: {0}")]
    Unusable(String),
    /// A newer version of seckill made its schema.
    #[error(
        "the store has schema {found}, and this version of seckill knows schemas up to {known}: one \
         that knows schema {found} is needed"
    )]
    NewerSchema {
        /// The store's.
        found: u32,
        /// The newest known here.
        known: u32,
    },
}

impl Fault {
    /// A fault of the database behind the store.
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(source.into())
    }
}

/// A journal is not the one, or not at the place, that the store has followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OutOfStep {
    /// The gateway's number belongs to another journal of the same or a later epoch.
    #[error(
        "the store follows journal {} (epoch {stored_epoch}) of gateway {gateway}, but the data \
         directory has journal {} (epoch {found_epoch}): a lost or mistyped data directory, or a gateway number used twice",
        hex(stored),
        hex(found)
    )]
    OtherJournal {
        /// The gateway's number.
        gateway: u16,
        /// The journal that the store follows.
        stored: Digest,
        /// Its epoch.
        stored_epoch: u8,
        /// The journal that was found.
        found: Digest,
        /// Its epoch.
        found_epoch: u8,
    },
    /// The gateway was retired: another speaks for it, under a later epoch.
    #[error(
        "gateway {gateway} was retired: another gateway has taken over its orders, so neither its data \
         directory nor its number is to be used again"
    )]
    Retired {
        /// The gateway's number.
        gateway: u16,
    },
    /// The store has seen more of the journal than there is.
    #[error(
        "the store has followed the journal to position {stored}, but it ends at {end}: an older \
         copy of the data directory was restored"
    )]
    BeyondEnd {
        /// How far the store has followed.
        stored: u64,
        /// Where the journal ends.
        end: u64,
    },
    /// The store has not seen what is gone from the journal.
    #[error(
        "the store has followed the journal to position {stored}, but it begins at {begin}: an \
         older copy of the store was restored, or it is another store"
    )]
    BeforeBegin {
        /// How far the store has followed.
        stored: u64,
        /// Where the journal begins.
        begin: u64,
    },
    /// A batch does not begin where the store stands.
    #[error("the batch goes from {from} to {to}, but the store stands at {stored}")]
    NotNext {
        /// How far the store has followed.
        stored: u64,
        /// Where the batch begins.
        from: u64,
        /// Where the batch ends.
        to: u64,
    },
    /// The gateway has not said which journal it has.
    #[error("gateway {gateway} is not registered with the store")]
    NotRegistered {
        /// The gateway's number.
        gateway: u16,
    },
}

fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
