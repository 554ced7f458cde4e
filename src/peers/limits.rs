//! Every bound of calls between gateways, with the checks that hold them together.
//!
//! It knows numbers only.

use std::time::Duration;

use crate::flow::Rule;

/// A connection to a peer is made in this time or not at all.
pub const CONNECT: Duration = Duration::from_secs(1);
/// A change is given up after this time, the making of its connection included.
pub const CALL: Duration = Duration::from_secs(12);
/// One that only reads is given up after this time, likewise: a proxy before the gateways waits for a
/// read no longer.
pub const READ: Duration = Duration::from_secs(3);
/// An audit is given up after this time, likewise: the gateway asked reads its whole journal.
pub const AUDIT: Duration = Duration::from_secs(50);
/// A call that is older, or sent so far in the future, is not carried out, in milliseconds.
pub const AGE_MS_MAX: u64 = 10_000;
/// Calls under way to one peer.
pub const CALLS_MAX: usize = 64;
/// Words under way to one peer, beside them.
pub const WORDS_MAX: usize = 256;
/// Bytes of an answer's body: an order with many payments, and more.
pub const ANSWER_BYTES_MAX: usize = 256 << 10;
/// A peer whose row has not moved for so long is away, in microseconds.
pub const STILL_US_MAX: u64 = 10_000_000;
/// What counts of the time between two looks at the rows, in microseconds: while nobody could look,
/// the store was away, and no row could move.
pub const LOOK_US_MAX: u64 = 2_000_000;
/// When a peer is left alone, and how it is asked again.
pub const PEER_BREAKER: Rule =
    Rule { calls: 10, age_us: 30_000_000, bad: 3, rest_us: 2_000_000, probes: 1 };
/// Connections of peers at once, all together.
pub const CONNECTIONS_MAX: usize = 4_096;

const _: () = {
    assert!(CONNECT.as_millis() < READ.as_millis() && READ.as_millis() < CALL.as_millis());
    assert!(CALL.as_millis() < AUDIT.as_millis());
    assert!(
        AGE_MS_MAX as u128 + CONNECT.as_millis() <= CALL.as_millis(),
        "what its caller has given up is not begun any more"
    );
    assert!(PEER_BREAKER.age_us > 2 * CALL.as_secs() * 1_000_000, "slow failures come together");
    assert!(CALLS_MAX <= CONNECTIONS_MAX);
    assert!(LOOK_US_MAX * 2 < STILL_US_MAX, "a gateway that misses one look is there still");
};
