//! Every bound of the sockets in one place, with the checks that hold them together.
//!
//! It knows numbers only.

use std::time::Duration;

/// How long a request may be at work, in milliseconds: longer than any limit of the API, so that
/// only a disk that hangs comes to it.
pub const HANDLING_MS: u64 = 90_000;
/// From the first byte of a request to the end of its headers, in milliseconds.
pub const HEAD_MS: u64 = 10_000;
/// From the end of the headers to the end of the body, in milliseconds.
pub const BODY_MS: u64 = 10_000;
/// Between two requests of a connection, in milliseconds.
pub const IDLE_MS: u64 = 75_000;
/// Without a byte of an answer taken by the client, in milliseconds.
pub const WRITE_MS: u64 = 20_000;
/// After an answer that came before the whole request did, in milliseconds: the client reads it.
pub const LINGER_MS: u64 = 2_000;
/// What a client may still send in that time, in bytes.
pub const LINGER_BYTES_MAX: usize = 1 << 20;
/// How often overdue connections are looked for.
pub const SWEEP: Duration = Duration::from_millis(500);
/// How often shards tick.
pub const TICK: Duration = Duration::from_millis(10);
/// Bytes that hyper buffers of a connection: the largest head, and what comes with it.
pub const BUFFER_BYTES_MAX: usize = 16 << 10;
/// Bytes that the hot path reads at once: what hyper takes in its first read, so that a request
/// which is handed to it whole is taken whole.
pub const HOT_READ_BYTES_MAX: usize = 8_192;
/// Bytes of a request's head; more is answered 431.
pub const HEAD_BYTES_MAX: usize = 12 << 10;
/// Sockets that wait for one core to take them.
pub const SOCKETS_WAITING_MAX: usize = 4_096;
/// How long the acceptor rests when there are no file descriptors left.
pub const ACCEPT_REST: Duration = Duration::from_millis(10);
/// How often the end of a drain is looked for.
pub const DRAIN_LOOK: Duration = Duration::from_millis(5);

const _: () = {
    assert!(HEAD_BYTES_MAX < BUFFER_BYTES_MAX, "a head that is too large is seen to be");
    assert!(HOT_READ_BYTES_MAX <= 8_192, "hyper's smallest buffer");
    assert!(HOT_READ_BYTES_MAX <= HEAD_BYTES_MAX, "a head that is too large is hyper's");
    assert!(BUFFER_BYTES_MAX >= HOT_READ_BYTES_MAX);
    assert!(SWEEP.as_millis() * 4 <= LINGER_MS as u128, "the sweep is finer than what it measures");
    assert!(TICK.as_millis() < SWEEP.as_millis());
};
