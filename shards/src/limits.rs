//! Every bound of the engine in one place, with the checks that hold them together.
//!
//! It knows numbers only. What may be set at run time is in the gateway's configuration.

/// Cores, and so shards, lanes and buckets: one transit count each fits the pool's word.
pub const SHARDS_MAX: usize = 128;
/// Units an activity may stock.
pub const STOCKED_MAX: u32 = 100_000_000;
/// Units one buyer may hold of an activity, and so units of one order.
pub const PER_USER_LIMIT_MAX: u32 = 10_000;
/// Shortest pay window, in milliseconds.
pub const PAY_WINDOW_MS_MIN: u64 = 1_000;
/// Longest pay window, in milliseconds (7 days).
pub const PAY_WINDOW_MS_MAX: u64 = 7 * 24 * 3_600 * 1_000;
/// Activities that are not yet closed, on one gateway.
pub const ACTIVITIES_MAX: usize = 4_096;
/// Closed activities that are kept, beside those that have an order in memory still. Of more, the
/// lowest ids are forgotten at a checkpoint, and one is made after as many closings.
pub const CLOSED_KEPT: usize = 1_024;
/// Bytes of an activity's or a product's title, UTF-8.
pub const TITLE_BYTES_MAX: usize = 200;
/// Orders in memory on one core: open ones, and those that the store has not taken yet.
pub const ORDERS_PER_SHARD_MAX: usize = 16_000_000;
/// Orders, and so buyers of one activity, that memory is made ready for before a sale, at most.
pub const ORDERS_AHEAD_MAX: usize = 1 << 20;
/// Buyers of all sales together that memory is made ready for ahead of them, at most: some 130 bytes
/// each. Those of other sales have it made while they come.
pub const BUYERS_AHEAD_MAX: usize = 2 << 20;
/// Closed orders of one buyer and one activity whose idempotency keys are remembered; a buyer who
/// has dropped this many is told to slow down rather than forgotten.
pub const DROPPED_ORDERS_MAX: usize = 64;
/// Withdrawals of one activity whose idempotency keys are remembered; who makes more under keys
/// within [`WITHDRAWAL_KEPT_MS`] is told to slow down rather than forgotten.
pub const WITHDRAWALS_KEPT_MAX: usize = 256;
/// How long the key of a withdrawal is remembered at least, in milliseconds (24 h).
pub const WITHDRAWAL_KEPT_MS: u64 = 24 * 3_600 * 1_000;
/// Orders that one record names: what is confirmed, or known to have ended, at once.
pub const ORDERS_PER_RECORD_MAX: usize = 250;
/// How long an order may wait to be confirmed between gateways, in milliseconds (15 min): Redis or
/// the store may be away for as long. Then it is rejected, and its units are free.
pub const CONFIRM_WITHIN_MS: u64 = 15 * 60_000;
/// Payments that one order may have.
pub const PAYMENTS_PER_ORDER_MAX: usize = 8;
/// Orders whose payment was under way when the gateway went down wait this long, in milliseconds.
pub const SETTLE_GRACE_MS: u64 = 60_000;
/// A payment of a closed order is given up when its provider has said nothing for this long, in
/// milliseconds (1 h), so that the order can leave memory. Money that comes later is owed back.
pub const PAYMENT_GIVEN_UP_MS: u64 = 3_600_000;
/// Orders that one tick expires at most, so that a crowd of timers never stalls a core.
pub const EXPIRIES_PER_TICK_MAX: usize = 16_384;
/// Due orders that meet a full lane are looked at again after this long, in milliseconds.
pub const EXPIRY_RETRY_MS: u64 = 10;
/// Due orders whose provider is yet to be asked are looked at again after this long, in
/// milliseconds: it is asked over a network, and may be away.
pub const ASK_RETRY_MS: u64 = 1_000;
/// Orders whose provider is yet to be asked that a shard names at once.
pub const UNASKED_MAX: usize = 100;

/// A refill's largest chunk. A thousand takes share one visit to the pool, which is then no longer
/// felt; more would only give idle cores more to be robbed of.
pub const CHUNK_UNITS_MAX: u32 = 1_024;
/// A refill leaves this many chunks of its size per core: all cores can refill several times
/// before the pool is dry, and below twice as many units chunks are gone and with them transit.
pub const CHUNKS_PER_SHARD: u32 = 4;
/// Attempts before a take is `Contended`. Units are in transit for a fraction of a microsecond;
/// these attempts outlast several, yet end within microseconds when a carrier has lost its core.
pub const TRANSIT_ATTEMPTS_MAX: u32 = if cfg!(loom) { 3 } else { 64 };

/// Bytes of the largest encoded record.
pub const RECORD_BYTES_MAX: usize = 4_096;
/// Payload of a group: what one write and one sync carry at most.
pub const GROUP_BYTES_MAX: usize = 1 << 20;
/// Sector: frames begin on one, and a disk tears writes between them, not within.
pub const SECTOR_BYTES: usize = 512;
/// What is written to the disk beside the groups goes out in pieces of this size, one after the
/// other: a group waits for one of them at most.
pub const PIECE_BYTES: usize = 128 << 10;
/// Buffers given to direct I/O begin on such an address.
pub const BUFFER_ALIGN_BYTES: usize = 4_096;
/// Default size of a segment.
pub const SEGMENT_BYTES: u64 = 32 << 20;
/// Segments made ahead: one to go on with, the rest are the reserve for orders that exist.
pub const SEGMENTS_AHEAD: usize = 3;
/// With this many segments left or fewer, only transitions of existing orders are taken.
pub const SEGMENTS_RESERVED: usize = 1;
/// Closed segments that make a checkpoint worth its reading, at least.
pub const CHECKPOINT_SEGMENTS: usize = 4;

const _: () = {
    assert!(SHARDS_MAX <= 255, "a pool's word counts transits in 8 bits");
    assert!(SHARDS_MAX <= 1 << 8, "an order id names its shard in 8 bits");
    assert!(PER_USER_LIMIT_MAX <= STOCKED_MAX);
    assert!(SETTLE_GRACE_MS < PAYMENT_GIVEN_UP_MS);
    assert!(ORDERS_AHEAD_MAX <= ORDERS_PER_SHARD_MAX);
    assert!(ORDERS_AHEAD_MAX <= BUYERS_AHEAD_MAX, "the largest sale has room");
    assert!(SEGMENTS_RESERVED < SEGMENTS_AHEAD);
    assert!(ORDERS_PER_RECORD_MAX * 8 < RECORD_BYTES_MAX / 2);
    assert!(RECORD_BYTES_MAX <= GROUP_BYTES_MAX);
    assert!(SEGMENT_BYTES > 4 * GROUP_BYTES_MAX as u64, "a segment holds several full groups");
    assert!(PIECE_BYTES.is_multiple_of(BUFFER_ALIGN_BYTES), "pieces keep the alignment");
    assert!(BUFFER_ALIGN_BYTES.is_multiple_of(SECTOR_BYTES));
    assert!(TITLE_BYTES_MAX * 2 < RECORD_BYTES_MAX, "both titles fit one record");
};
