//! Every bound of what runs beside the sale, with the checks that hold them together.
//!
//! It knows numbers only.

use std::time::Duration;

use crate::peers::limits::AGE_MS_MAX;

/// Products that have a page: each takes some 10 KiB of memory, and some 10 ms of a CPU when it
/// changes.
pub(super) const PRODUCT_PAGES_MAX: usize = 2_000;
/// Pages of products that are rendered in one go, before the pages are swapped and it is looked
/// again at what is stale: about half a second.
pub(super) const PRODUCT_PAGES_AT_ONCE: usize = 50;
/// Pages of sales that are over, likewise.
pub(super) const OVER_PAGES_AT_ONCE: usize = 50;
/// Pages that list sales, likewise; each is some 30 KiB before it is compressed, and one sale that
/// ends changes all behind it.
pub(super) const LIST_PAGES_AT_ONCE: usize = 15;

const _: () = assert!(PRODUCT_PAGES_AT_ONCE <= PRODUCT_PAGES_MAX);
/// How long the store may take to tell its news.
pub(super) const NEWS: Duration = Duration::from_secs(10);
/// How often a start reads the sales before it serves without one for which its journal has no room, and rests in
/// between: three seconds.
pub(super) const LEARN_FIRST_TIMES: u32 = 30;
pub(super) const LEARN_AGAIN: Duration = Duration::from_millis(100);
/// How long whoever has done something waits for the other gateways to do the same.
pub(super) const TELL: Duration = Duration::from_secs(1);
/// How long one call of those may take.
pub(super) const TELL_PATIENCE: Duration = Duration::from_secs(2);
/// Rest before somebody who was not reached is told once more.
pub(super) const TELL_AGAIN: Duration = Duration::from_millis(250);
/// For so many microseconds: what is older is not carried out by whoever hears it.
pub(super) const TELL_US_MAX: u64 = 6_000_000;

const _: () = assert!(
    TELL_US_MAX as u128 / 1_000 + TELL_AGAIN.as_millis() + TELL_PATIENCE.as_millis()
        < AGE_MS_MAX as u128
);
/// Sign-outs that wait for the store, at some 40 bytes each.
pub(super) const SIGN_OUTS_KEPT_MAX: usize = 1 << 16;
/// Acts that wait for the trail, at some 300 bytes each.
pub(super) const ACTS_KEPT_MAX: usize = 1 << 14;
/// Payments owed back that one read takes from the store.
pub(super) const REFUNDS_READ: u32 = 100;
/// How long a provider may take to say what came for an order.
pub(super) const ASK: Duration = Duration::from_secs(30);
/// How long a gateway that may still be on is waited for, in hundredths of the time for which its
/// membership lasts: clocks of two machines run apart.
pub(super) const MEMBERSHIP_MARGIN_PERCENT: u64 = 110;
/// A gateway that hands itself over says so for as many seconds at least before it ends, so that those
/// who look whether it is ready see it; and waits so long at most for its free units to be taken back.
pub(super) const DRAIN_S_MIN: u64 = 3;
pub(super) const DRAIN_S_MAX: u64 = 15;
/// Bytes of a segment of an adopted gateway's journal: it takes transitions of orders that exist.
pub(super) const ADOPTED_SEGMENT_BYTES: u64 = 8 << 20;
/// How long a provider may take to give one back.
pub(super) const REFUND: Duration = Duration::from_secs(30);
