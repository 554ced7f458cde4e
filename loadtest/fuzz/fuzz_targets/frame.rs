//! The journal's readers: frames, segment headers and records out of any bytes.
#![no_main]

#[path = "../../../shards/tests/arbitrary_bytes/claims.rs"]
mod claims;

use libfuzzer_sys::fuzz_target;

/// Bytes of input that say where the rest stands.
const HEAD_BYTES: usize = 24;

fuzz_target!(|bytes: &[u8]| {
    claims::records(bytes);
    claims::segment_head(bytes);
    let Some((head, rest)) = bytes.split_at_checked(HEAD_BYTES) else { return };
    let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
    let (segment, position) = (number(0), number(8));
    let turned_bit = usize::try_from(number(16)).expect("a 64-bit machine");
    let journal = head[..16].try_into().expect("sixteen bytes");
    claims::frame(rest, segment);
    claims::records(rest);
    claims::sealed_frame(rest, (segment, position), turned_bit);
    claims::sealed_segment_head(journal, segment, position, turned_bit);
});
