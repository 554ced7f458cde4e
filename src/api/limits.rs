//! Every bound of the API in one place, with the checks that hold them together.
//!
//! It knows numbers only.

use std::time::Duration;

use crate::flow::Rule;

/// Bytes of a request's body.
pub const BODY_BYTES_MAX: usize = 64 << 10;
/// Items that a list holds unless asked otherwise.
pub const LIST_ITEMS: u32 = 20;
/// Items that a list holds at most.
pub const LIST_ITEMS_MAX: u32 = 100;
/// Bytes of an idempotency key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// Headers of a request that is answered on the hot path; one with more is hyper's.
pub const HOT_HEADERS_MAX: usize = 32;
/// Bytes of a caller's request id.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Characters of a username.
pub const USERNAME_CHARS: std::ops::RangeInclusive<usize> = 3..=32;
/// Characters of a password.
pub const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 8..=128;
/// Bytes of a display name.
pub const DISPLAY_NAME_BYTES_MAX: usize = 100;
/// Bytes of a product's description.
pub const DESCRIPTION_BYTES_MAX: usize = 10_000;
/// Price of a unit in minor units.
pub const PRICE_MAX: i64 = 1_000_000_000_000;
/// What a sandbox may say has come, in minor units: the dearest order, and more.
pub const SANDBOX_AMOUNT_MAX: i64 = PRICE_MAX * seckill_shards::limits::PER_USER_LIMIT_MAX as i64;
/// Units of a product's stock.
pub const PRODUCT_STOCK_MAX: i64 = 1_000_000_000;

/// Messages from other cores that wait for one core.
pub const HOPS_MAX: usize = 4_096;
/// Records of a core that are handed to the journal at the latest when so many have come together.
pub const TURN_RECORDS_MAX: u32 = 128;
/// How old the first of them may be then, in microseconds: two or three syncs of a quick disk.
pub const TURN_US_MAX: u64 = 250;
/// Calls of the store that all cores together wait for.
pub const STORE_CALLS_MAX: usize = 256;
/// How long a read of the store may take.
pub const STORE_READ: Duration = Duration::from_secs(3);
/// How long a change in the store may take.
pub const STORE_WRITE: Duration = Duration::from_secs(10);
/// A call of the store that takes longer than this is a bad one, though it may still be answered.
pub const STORE_SLOW: Duration = Duration::from_secs(2);
/// When the store is left alone, and how it is asked again: half of the last calls were bad.
pub const STORE_BREAKER: Rule =
    Rule { calls: 20, age_us: 60_000_000, bad: 10, rest_us: 2_000_000, probes: 3 };
/// How often, and how many times, a changed sale is given to the engine while that takes another copy.
pub const COPIED_LOOK: Duration = Duration::from_millis(10);
/// See [`COPIED_LOOK`]: one second, many times what a disk takes.
pub const COPIED_LOOKS: u32 = 100;
/// How often, and how many times, a withdrawal from a shared sale looks whether the other gateways
/// have given back what it needs.
pub const GATHERED_LOOK: Duration = Duration::from_millis(100);
/// See [`GATHERED_LOOK`]: three seconds, in which an idle gateway gives back several times.
pub const GATHERED_LOOKS: u32 = 30;
/// How often, and how many times, it is looked whether the store has what a provider is to know of.
pub const STORED_LOOK: Duration = Duration::from_millis(50);
/// See [`STORED_LOOK`]: nine seconds, within what a gateway waits for another.
pub const STORED_LOOKS: u32 = 180;
/// How long an audit may take.
pub const AUDIT: Duration = Duration::from_secs(60);
/// How long whoever has changed something waits for the trail to have it.
pub const NOTED: Duration = Duration::from_secs(1);
/// Passwords hashed at the same time: each takes 19 MiB and a CPU for some 20 ms.
pub const HASHES_AT_ONCE: usize = 2;
/// Passwords that wait to be hashed.
pub const HASHES_WAITING_MAX: usize = 64;
/// How far ahead a sign-out is dated, in seconds: longer than its write may take, and clocks differ.
/// Who signs in again before is dated later still.
pub const SIGN_OUT_AHEAD_S: u32 = 20;
const _: () = assert!(SIGN_OUT_AHEAD_S as u64 >= STORE_WRITE.as_secs() + 5);
/// Revocations in memory, of tokens and of users each.
pub const REVOCATIONS_MAX: usize = 1 << 20;
/// Users and addresses whose attempts are counted.
pub const THROTTLED_MAX: usize = 1 << 16;
/// How often a full table of them is looked through, in milliseconds at least.
pub const THROTTLE_SWEEP_MS: u64 = 1_000;
/// Length of the window in which attempts are counted, in milliseconds.
pub const THROTTLE_WINDOW_MS: u64 = 60_000;
/// When to come back to a full table of counts, in seconds before jitter.
pub const THROTTLE_FULL_S: u16 = 30;
/// Failed sign-ins for one username in a window.
pub const FAILURES_PER_USER_MAX: u32 = 10;
/// Failed sign-ins from one address in a window.
pub const FAILURES_PER_ADDRESS_MAX: u32 = 100;
/// Accounts that one address asks for in a window: many shoppers may share one.
pub const REGISTRATIONS_PER_ADDRESS_MAX: u32 = 100;
/// Failed password resets from one address in a window.
pub const RESETS_PER_ADDRESS_MAX: u32 = 20;
/// How long the link of a password reset works, in milliseconds (24 h).
pub const PASSWORD_RESET_MS: u64 = 24 * 3_600 * 1_000;
/// Random bytes of its token.
pub const RESET_TOKEN_BYTES: usize = 32;
/// Characters that are looked at as its token.
pub const RESET_TOKEN_CHARS: std::ops::RangeInclusive<usize> = 1..=128;

const _: () = {
    assert!(
        crate::peers::limits::AUDIT.as_secs() < AUDIT.as_secs(),
        "who asks the others has time to say which of them have not answered"
    );
    assert!(STORE_SLOW.as_secs() < STORE_READ.as_secs(), "a read may be slow before it is late");
    assert!(STORE_READ.as_secs() <= STORE_WRITE.as_secs());
    assert!(LIST_ITEMS <= LIST_ITEMS_MAX);
    assert!(
        LIST_ITEMS_MAX < crate::store::PAGE_ROWS_MAX,
        "one row more says whether there are more"
    );
    assert!(DESCRIPTION_BYTES_MAX * 6 < BODY_BYTES_MAX, "an escaped description fits a body");
    assert!(
        PRICE_MAX <= i64::MAX / seckill_shards::limits::PER_USER_LIMIT_MAX as i64,
        "the total of an order fits 64 bits"
    );
    assert!(THROTTLE_WINDOW_MS / 1_000 < u16::MAX as u64, "a wait for its end can be told");
    assert!(
        THROTTLE_FULL_S as u64 * 3 / 2 + 1 < THROTTLE_WINDOW_MS / 1_000,
        "no one waits for longer than a window"
    );
    assert!(RESET_TOKEN_BYTES * 4 / 3 < *RESET_TOKEN_CHARS.end());
};
