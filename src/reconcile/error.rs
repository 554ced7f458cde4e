//! How Redis says no, and what goes wrong on the way there.
//!
//! A refusal is a value: Redis did nothing, and says what it has. A fault leaves open whether it
//! did anything; the same message may be sent again.

use redis::{ParsingError, RedisError};

use super::{Era, Member};

/// What Redis did, or why it did nothing.
pub type Answer<T> = Result<T, Refusal>;

/// Why Redis did nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// There is no hash: never begun, or lost.
    Absent,
    /// There is one, and since its era began Redis was restarted or promoted: what it says may
    /// have been rolled back.
    Forgot {
        /// The era that it remembers wrongly.
        era: Era,
    },
    /// The message is of another era than this one.
    Era {
        /// The era that Redis has.
        era: Era,
    },
    /// The holder has been retired: another has declared for it under a later epoch.
    Fenced,
    /// What no faultless fleet sends; somebody must look.
    Protocol(Alarm),
    /// Lending begins when this member has declared under its epoch.
    NotYet {
        /// Who is missing.
        member: Member,
    },
    /// The era is not live yet.
    Rebuilding,
    /// The holder has not declared in this era under this epoch.
    Undeclared,
    /// The request does not follow the last one, which had this number.
    Number {
        /// The number.
        n: u64,
    },
}

/// What must never happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Alarm {
    /// Something else is stored under the key.
    Foreign,
    /// A holder that nobody knew when lending began declares units.
    UnknownUnits,
    /// Parts of a declaration are not there.
    PartsMissing,
    /// A holder says it has more units than it was lent.
    HaveAboveNet,
    /// A holder says it has fewer units than stand behind its places.
    HaveBelowPlaced,
    /// A newer word on the stock has fewer units than an older one.
    StockShrank,
    /// Lending is to begin again, and nobody may have units.
    Nobody,
}

/// It may or may not have happened.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Redis was not reached, did not answer in time, or failed.
    #[error("redis did not do what it was asked")]
    Redis(#[source] RedisError),
    /// Nobody would notice that it has forgotten.
    #[error("redis does not tell its run_id and master_replid: it could forget unnoticed")]
    Hidden,
    /// A newer gateway has been here: this one must not go on.
    #[error(
        "redis has leases of version {found}; this gateway has {ours}, and at least {found} is needed"
    )]
    Newer {
        /// The version found.
        found: u64,
        /// The version of this gateway.
        ours: u64,
    },
    /// Functions of this version are loaded, and they are not these.
    #[error(
        "redis has other functions under the name {0}; FUNCTION DELETE removes them once no \
         gateway runs with them"
    )]
    Altered(&'static str),
    /// An answer of a form that the functions do not have.
    #[error("redis answered {0:?}")]
    Answer(Vec<String>),
}

impl Fault {
    /// Whether a server has answered, and not done it: another may.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Redis(error) if error.code().is_some())
    }

    /// Whether no waiting mends it: this gateway must not go on with this Redis.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Hidden | Self::Newer { .. } | Self::Altered(_) => true,
            Self::Redis(_) | Self::Answer(_) => false,
        }
    }
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        if error.code() == Some("NOINFO") { Self::Hidden } else { Self::Redis(error) }
    }
}

impl From<ParsingError> for Fault {
    fn from(error: ParsingError) -> Self {
        Self::Redis(error.into())
    }
}
