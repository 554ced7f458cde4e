//! Every bound of payments in one place.
//!
//! It knows numbers only.

use std::time::Duration;

/// How far a webhook's own instant may be from now, in seconds, either way.
pub const WEBHOOK_AGE_S_MAX: u64 = 300;
/// Bytes of a webhook's key, decoded: those that Standard Webhooks allows.
pub const WEBHOOK_KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Keys at once: one that signs and those before it.
pub const WEBHOOK_KEYS_MAX: usize = 4;
/// Signatures of one webhook that are looked at.
pub const WEBHOOK_SIGNATURES_MAX: usize = 16;
/// Bytes of a webhook's id.
pub const WEBHOOK_ID_BYTES_MAX: usize = 255;

/// Deliveries that one choice on the sandbox's page makes.
pub const SANDBOX_DELIVERIES_MAX: usize = 8;
/// Times that one of them is sent.
pub const SANDBOX_COPIES_MAX: u32 = 3;
/// How long one of them may be put off, in milliseconds.
pub const SANDBOX_DELAY_MS_MAX: u32 = 60_000;
/// Deliveries of the sandbox under way; more are refused.
pub const SANDBOX_UNDER_WAY_MAX: usize = 1_024;
/// Attempts of one delivery before the sandbox gives up.
pub const SANDBOX_ATTEMPTS_MAX: u32 = 8;
/// Rest after its first failed attempt; it doubles with each.
pub const SANDBOX_REST: Duration = Duration::from_millis(500);
/// How long one attempt may take.
pub const SANDBOX_ATTEMPT: Duration = Duration::from_secs(10);
