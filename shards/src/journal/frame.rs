//! The frame: one group of records with the checksum that makes it whole.
//!
//! It knows bytes of one segment; it knows nothing of files or of what the records say. The byte
//! tables are in JOURNAL.md.

use crate::limits::SECTOR_BYTES;

/// Bytes of a frame's header.
pub const FRAME_HEAD_BYTES: usize = 40;
const MAGIC: u32 = u32::from_le_bytes(*b"SkGr");
const CHECKED_FROM: usize = 8;

/// What a frame's header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHead {
    /// Bytes of records after the header.
    pub payload_bytes: u32,
    /// How many records.
    pub records: u32,
    /// The run of the gateway that wrote it.
    pub run: u64,
    /// The group's number in its run, from 0.
    pub group: u64,
    /// Position of its first record.
    pub first_position: u64,
}

impl FrameHead {
    /// Bytes of the whole frame on disk, padded to a sector.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        (FRAME_HEAD_BYTES + self.payload_bytes as usize).next_multiple_of(SECTOR_BYTES)
    }

    /// Position after its last record.
    #[must_use]
    pub fn end_position(&self) -> u64 {
        self.first_position + u64::from(self.records)
    }
}

/// Fills in the header of `frame`, whose payload is in place behind it.
///
/// # Panics
/// When `frame` is not header and payload exactly.
pub fn seal(frame: &mut [u8], segment: u64, head: FrameHead) {
    assert_eq!(frame.len(), FRAME_HEAD_BYTES + head.payload_bytes as usize);
    frame[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    frame[8..12].copy_from_slice(&head.payload_bytes.to_le_bytes());
    frame[12..16].copy_from_slice(&head.records.to_le_bytes());
    frame[16..24].copy_from_slice(&head.run.to_le_bytes());
    frame[24..32].copy_from_slice(&head.group.to_le_bytes());
    frame[32..40].copy_from_slice(&head.first_position.to_le_bytes());
    let crc = checksum(segment, &frame[CHECKED_FROM..]);
    frame[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// What stands at the beginning of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed<'a> {
    /// A whole frame: its header and its records' bytes.
    Whole(FrameHead, &'a [u8]),
    /// The header wants this many bytes; fewer are there. Only a guess: nothing is checked yet.
    Wants(usize),
    /// No frame of this segment.
    Nothing,
}

/// Reads the frame at the beginning of `bytes`.
#[must_use]
pub fn parse(bytes: &[u8], segment: u64) -> Parsed<'_> {
    let Some(header) = bytes.get(..FRAME_HEAD_BYTES) else {
        return Parsed::Wants(FRAME_HEAD_BYTES);
    };
    if u32_at(header, 0) != MAGIC {
        return Parsed::Nothing;
    }
    let head = FrameHead {
        payload_bytes: u32_at(header, 8),
        records: u32_at(header, 12),
        run: u64_at(header, 16),
        group: u64_at(header, 24),
        first_position: u64_at(header, 32),
    };
    let end = FRAME_HEAD_BYTES + head.payload_bytes as usize;
    let Some(frame) = bytes.get(..end) else {
        return Parsed::Wants(end);
    };
    // The sum of a position and a count cannot overflow in a frame that was ever written.
    let plausible = head.first_position.checked_add(u64::from(head.records)).is_some();
    if !plausible || checksum(segment, &frame[CHECKED_FROM..]) != u32_at(header, 4) {
        return Parsed::Nothing;
    }
    Parsed::Whole(head, &frame[FRAME_HEAD_BYTES..])
}

/// CRC32C over `bytes`, begun with the segment's id, so that a frame left over from the file's
/// former life does not verify.
pub(super) fn checksum(segment: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&segment.to_le_bytes()), bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
