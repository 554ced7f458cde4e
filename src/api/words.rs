//! Words: what was done at one gateway and is to be done at all, told to the others at once, and heard.
//!
//! The store says the same later, to whoever was not reached. It must not know how gateways reach each
//! other, nor what becomes of a word.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use seckill_shards::clock::Timestamp;
use seckill_shards::command::PhaseChange;
use seckill_shards::ids::{ActivityId, UserId};
use seckill_shards::record::Digest;
use serde::{Deserialize, Serialize};

use super::problem::{Problem, Slug};
use super::reply::Reply;
use super::{Answer, Context};
use crate::store::Revoked;

/// Where gateways take words; there is nothing for shoppers.
pub const WORDS: &str = "/api/v1/words";

/// What was done at one gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Word {
    /// An operator has paused, resumed or ended a sale.
    Phase(ActivityId, PhaseChange),
    /// Somebody has signed out: their tokens work no more, and have expired by themselves at an instant.
    SignOut(Revoked, Timestamp),
}

/// When a word was said, by the clock of the gateway that says it, or behind what was heard there, and by
/// which: of two words the later one counts, for everybody the same one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Said {
    /// Its record is durable there.
    pub at: Timestamp,
    /// The gateway's number.
    pub by: u16,
}

/// A word as it travels.
#[derive(Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case", deny_unknown_fields)]
enum Told {
    Pause { activity: u64 },
    Resume { activity: u64 },
    End { activity: u64 },
    SignOut { token: Digest, until: u64 },
    SignOutEverywhere { user: u64, valid_from: u64, until: u64 },
}

impl Word {
    /// The body of the call that tells it.
    #[must_use]
    pub fn body(self) -> Bytes {
        let told = match self {
            Self::Phase(ActivityId(activity), PhaseChange::Pause) => Told::Pause { activity },
            Self::Phase(ActivityId(activity), PhaseChange::Resume) => Told::Resume { activity },
            Self::Phase(ActivityId(activity), PhaseChange::End) => Told::End { activity },
            Self::SignOut(Revoked::Token(token), until) => Told::SignOut { token, until: until.0 },
            Self::SignOut(Revoked::User { user, valid_from }, until) => {
                let (user, valid_from) = (user.0, valid_from.0);
                Told::SignOutEverywhere { user, valid_from, until: until.0 }
            }
        };
        serde_json::to_vec(&told).expect("names and numbers").into()
    }

    fn of(body: &[u8]) -> Option<Self> {
        let phase = |activity, change| Self::Phase(ActivityId(activity), change);
        Some(match serde_json::from_slice(body).ok()? {
            Told::Pause { activity } => phase(activity, PhaseChange::Pause),
            Told::Resume { activity } => phase(activity, PhaseChange::Resume),
            Told::End { activity } => phase(activity, PhaseChange::End),
            Told::SignOut { token, until } => {
                Self::SignOut(Revoked::Token(token), Timestamp(until))
            }
            Told::SignOutEverywhere { user, valid_from, until } => {
                let (user, valid_from) = (UserId(user), Timestamp(valid_from));
                Self::SignOut(Revoked::User { user, valid_from }, Timestamp(until))
            }
        })
    }
}

impl Context {
    /// Tells a word to the other gateways, and waits a moment for them. It goes on if the client goes
    /// away.
    pub(super) async fn tell(&self, word: Word) {
        if self.shared.peers.is_none() {
            return;
        }
        let control = Arc::clone(&self.shared.control);
        let told = self.shared.runtime.spawn(async move { control.tell(word).await });
        // Where the control runtime is going down, the store tells it.
        drop(told.await);
    }

    /// Takes another gateway's word, and tells nobody.
    pub(super) async fn hear(&self, body: &[u8], said: Said) -> Answer {
        let unknown = || Problem::new(Slug::InvalidRequest, "No gateway says this.");
        let word = Word::of(body).ok_or_else(unknown)?;
        let control = Arc::clone(&self.shared.control);
        let heard = self.shared.runtime.spawn(async move { control.hear(word, said).await });
        match heard.await {
            Ok(true) => Ok(Reply::empty(StatusCode::NO_CONTENT)),
            Ok(false) | Err(_) => Err(Slug::Unavailable.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_arrives_as_it_was_said() {
        for change in [PhaseChange::Pause, PhaseChange::Resume, PhaseChange::End] {
            let word = Word::Phase(ActivityId(u64::MAX), change);
            assert_eq!(Word::of(&word.body()), Some(word));
        }
        let everywhere = Revoked::User { user: UserId(7), valid_from: Timestamp(8) };
        for revoked in [Revoked::Token([9; 16]), everywhere] {
            let word = Word::SignOut(revoked, Timestamp(u64::MAX));
            assert_eq!(Word::of(&word.body()), Some(word));
        }
        assert_eq!(
            &Word::Phase(ActivityId(7), PhaseChange::End).body()[..],
            br#"{"word":"end","activity":7}"#
        );
        for other in ["", "{}", r#"{"word":"close","activity":7}"#, r#"{"word":"end"}"#] {
            assert_eq!(Word::of(other.as_bytes()), None, "{other}");
        }
    }
}
