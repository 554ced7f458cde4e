//! What holds for any bytes that stand where the journal's should: nothing panics, nothing damaged
//! is taken, and whatever is taken says the same when it is written again.
//!
//! It knows the journal's readers. It must not know who makes up the bytes: the fuzz targets use
//! this file as well.

use seckill_shards::journal::{FRAME_HEAD_BYTES, FrameHead, Parsed, SegmentHead, parse, seal};
use seckill_shards::limits::RECORD_BYTES_MAX;
use seckill_shards::record::Record;

/// Where a frame says how long it is.
const LENGTH_AT: std::ops::Range<usize> = 8..12;

/// Claims about `bytes` as the content of segment `segment`.
pub(crate) fn frame(bytes: &[u8], segment: u64) {
    match parse(bytes, segment) {
        Parsed::Wants(wanted) => assert!(wanted > bytes.len(), "it has what it wants"),
        Parsed::Nothing => {}
        Parsed::Whole(head, payload) => {
            let whole = &bytes[..FRAME_HEAD_BYTES + payload.len()];
            let mut again = whole.to_vec();
            seal(&mut again, segment, head);
            assert_eq!(again, whole, "a frame has one spelling");
            records(payload);
        }
    }
}

/// Claims about a frame around `payload`, and about that frame with one bit turned.
pub(crate) fn sealed_frame(payload: &[u8], (segment, position): (u64, u64), turned_bit: usize) {
    let head = FrameHead {
        payload_bytes: u32::try_from(payload.len()).expect("made up to be short"),
        records: 1,
        run: segment ^ position,
        group: position,
        first_position: position.min(u64::MAX - 1),
    };
    let mut frame = vec![0; FRAME_HEAD_BYTES];
    frame.extend_from_slice(payload);
    seal(&mut frame, segment, head);
    assert_eq!(parse(&frame, segment), Parsed::Whole(head, payload));
    assert_eq!(parse(&frame, segment ^ 1), Parsed::Nothing, "it is of another segment");
    let turned = turned_bit % (frame.len() * 8);
    frame[turned / 8] ^= 1 << (turned % 8);
    // A sum of 32 bits sees any one bit, but not surely a sum over other bytes than it was made of.
    if !LENGTH_AT.contains(&(turned / 8)) {
        assert_eq!(parse(&frame, segment), Parsed::Nothing, "bit {turned} was turned");
    }
}

/// Claims about `bytes` as the header of a segment.
pub(crate) fn segment_head(bytes: &[u8]) {
    if let Ok(head) = SegmentHead::decode(bytes) {
        assert_eq!(SegmentHead::decode(head.encode().as_slice()), Ok(head));
    }
}

/// Claims about the header that says this, and about it with one bit turned.
pub(crate) fn sealed_segment_head(journal: [u8; 16], segment: u64, run: u64, turned_bit: usize) {
    let gateway = u16::try_from(run % 70_000).ok();
    let head = SegmentHead { journal, gateway, segment, run };
    let mut encoded = head.encode();
    assert_eq!(SegmentHead::decode(encoded.as_slice()), Ok(head));
    let said = &mut encoded.as_mut_slice()[..48];
    let turned = turned_bit % (said.len() * 8);
    said[turned / 8] ^= 1 << (turned % 8);
    // The number of the segment begins the sum, and a sum of 32 bits does not tell all numbers.
    let number = 32..40;
    if !number.contains(&(turned / 8)) {
        assert!(SegmentHead::decode(said).is_err(), "bit {turned} was turned");
    }
}

/// Claims about `bytes` as records one after another.
pub(crate) fn records(bytes: &[u8]) {
    let mut rest = bytes;
    loop {
        let before = rest.len();
        let Ok(record) = Record::decode(&mut rest) else { break };
        assert!(rest.len() < before, "a record has bytes");
        if before - rest.len() <= RECORD_BYTES_MAX {
            record_again(&record);
        }
    }
}

fn record_again(record: &Record) {
    let mut written = Vec::new();
    let length = record.encode(&mut written);
    assert_eq!(length, written.len());
    let mut rest = &*written;
    assert_eq!(Record::decode(&mut rest).as_ref(), Ok(record));
    assert!(rest.is_empty(), "a record takes its own bytes and no more");
}
