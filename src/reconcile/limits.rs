//! The bounds of what is asked of Redis.
//!
//! It knows numbers only.

use std::time::Duration;

/// A connection is made in this time or not at all.
pub const CONNECT_MAX: Duration = Duration::from_secs(1);
/// An answer that takes longer counts as lost; what was asked may or may not have happened.
pub const ANSWER_MAX: Duration = Duration::from_millis(500);
/// Sentinels say where the master is, and the master that it is one, in this time or not at all.
pub const SENTINELS_MAX: Duration = Duration::from_secs(2);
/// A peer that acknowledges nothing for this long is gone.
pub const SILENCE_MAX: Duration = Duration::from_secs(3);
/// Releases and confirms of one request, and places of one part of a declaration. All of Redis
/// waits for a message: 250 orders took it 1.7 ms on a busy machine.
pub const ORDERS_PER_MESSAGE_MAX: usize = 250;
/// Messages that are sent together before their answers are awaited; more go in several rounds.
pub const MESSAGES_PER_ROUND_MAX: usize = 64;

const _: () = assert!(CONNECT_MAX.as_millis() < SILENCE_MAX.as_millis());
const _: () = assert!(CONNECT_MAX.as_millis() < SENTINELS_MAX.as_millis());
const _: () = assert!(ANSWER_MAX.as_millis() < SILENCE_MAX.as_millis());
