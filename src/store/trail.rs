//! The operators' trail: who did what, when, to what.
//!
//! It knows neither SQL nor which deeds there are.

use std::borrow::Cow;

use seckill_shards::clock::Timestamp;
use seckill_shards::ids::UserId;
use seckill_shards::record::Digest;

/// What was done, and to what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deed {
    /// A past participle, as `paused`. A newer release may have words that this one does not know.
    pub act: Cow<'static, str>,
    /// The kind of the thing, as `activity`; likewise.
    pub kind: Cow<'static, str>,
    /// Its id; none where it was to be made and nobody knows whether it was.
    pub target: Option<u64>,
}

impl Deed {
    /// Something done to a thing.
    #[must_use]
    pub const fn new(act: &'static str, kind: &'static str, target: Option<u64>) -> Self {
        Self { act: Cow::Borrowed(act), kind: Cow::Borrowed(kind), target }
    }
}

/// Who has done it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doer {
    /// Whoever can run commands where the store is reached.
    CommandLine,
    /// Somebody who has signed in.
    Account {
        /// Their account.
        user: UserId,
        /// The gateway that carried it out.
        gateway: u16,
    },
}

/// A deed of somebody's. There is never a secret in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Act {
    /// When it was asked for, by the clock of whoever carried it out.
    pub at: Timestamp,
    /// What was asked, as one: what comes again within [`ONCE_MS`](super::ONCE_MS) is the same act.
    pub request: Digest,
    /// Who.
    pub by: Doer,
    /// What.
    pub deed: Deed,
    /// How much of it, or which, in words; may be empty.
    pub detail: String,
    /// Whether it is known to have been done. Who was not told so may have done it, or not.
    pub is_known: bool,
}

/// An act as the store has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Noted {
    /// Acts are numbered in the order in which they came to the store.
    pub number: u64,
    /// What the account of whoever did it was called then.
    pub username: Option<String>,
    /// The act.
    pub act: Act,
}
