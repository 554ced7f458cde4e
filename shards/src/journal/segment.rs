//! Segments: files of one length, each with a header that says whose it is, then frames.
//!
//! A `.segment` has a durable header that fits its name; a file that is being made ready is a
//! `.spare`. So a `.segment` whose header is wrong is damage, never an accident of timing.

use std::io;

use super::frame::{checksum, u32_at, u64_at};
use crate::disk::{AlignedBuffer, Disk, DiskFile};
use crate::limits::SECTOR_BYTES;

/// The version of the journal's format; a newer one stops the start.
pub const FORMAT: u32 = 1;
/// Where the first frame of a segment begins.
pub const SEGMENT_HEAD_BYTES: u64 = SECTOR_BYTES as u64;

const MAGIC: u32 = u32::from_le_bytes(*b"SkSg");
const HEAD_BYTES: usize = 48;

/// A journal's random name: it tells a directory from a copy of another.
pub type JournalId = [u8; 16];

/// What a segment's or a checkpoint's header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHead {
    /// Of which journal.
    pub journal: JournalId,
    /// The number of the gateway that writes it; none where it was written before numbers were noted.
    pub gateway: Option<u16>,
    /// Its number; segments are used in this order.
    pub segment: u64,
    /// The run that uses it.
    pub run: u64,
}

/// Why a header is not one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeadError {
    /// Not a header, or its checksum is wrong.
    #[error("its header is damaged")]
    Damaged,
    /// A newer format.
    #[error(
        "it has format {found}, and this version of seckill reads format {FORMAT}: one that reads \
         format {found} is needed"
    )]
    Newer {
        /// The number found.
        found: u32,
    },
}

impl SegmentHead {
    /// The header's bytes, one sector.
    #[must_use]
    pub fn encode(&self) -> AlignedBuffer {
        let mut bytes = [0; HEAD_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..16].copy_from_slice(&gateway_bytes(self.gateway));
        bytes[16..32].copy_from_slice(&self.journal);
        bytes[32..40].copy_from_slice(&self.segment.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.run.to_le_bytes());
        let crc = checksum(self.segment, &bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        let mut sector = AlignedBuffer::with_capacity(SECTOR_BYTES);
        sector.extend(&bytes);
        sector.pad_to_sector();
        sector
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`HeadError`] where it is damaged or of a newer format.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeadError> {
        let bytes = bytes.get(..HEAD_BYTES).ok_or(HeadError::Damaged)?;
        let segment = u64_at(bytes, 32);
        if u32_at(bytes, 0) != MAGIC || u32_at(bytes, 4) != checksum(segment, &bytes[8..]) {
            return Err(HeadError::Damaged);
        }
        let found = u32_at(bytes, 8);
        if found > FORMAT {
            return Err(HeadError::Newer { found });
        }
        let gateway = gateway_of(u32_at(bytes, 12))?;
        let journal = bytes[16..32].try_into().expect("sixteen bytes");
        Ok(Self { journal, gateway, segment, run: u64_at(bytes, 40) })
    }

    /// Reads the header of a file.
    ///
    /// # Errors
    /// The disk's, or a [`HeadError`] as `InvalidData`.
    pub fn read(file: &dyn DiskFile) -> io::Result<Self> {
        let mut sector = [0; SECTOR_BYTES];
        file.read_at(0, &mut sector)?;
        Self::decode(&sector).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// A gateway's number and one: 0 stood here before numbers were noted.
fn gateway_bytes(gateway: Option<u16>) -> [u8; 4] {
    gateway.map_or(0, |number| u32::from(number) + 1).to_le_bytes()
}

fn gateway_of(noted: u32) -> Result<Option<u16>, HeadError> {
    let number = noted.checked_sub(1).map(u16::try_from).transpose();
    number.map_err(|_| HeadError::Damaged)
}

/// The name of a segment.
#[must_use]
pub fn segment_name(segment: u64) -> String {
    format!("{segment:020}.segment")
}

/// The name of the checkpoint that holds everything before a segment.
#[must_use]
pub fn checkpoint_name(segment: u64) -> String {
    format!("{segment:020}.checkpoint")
}

/// The name of a file that is being made ready to be segment `segment`.
#[must_use]
pub fn spare_name(segment: u64) -> String {
    format!("{segment:020}.spare")
}

/// The files of a journal, by kind, each in the order of its numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listing {
    /// Segments.
    pub segments: Vec<u64>,
    /// Checkpoints.
    pub checkpoints: Vec<u64>,
    /// Files without a use.
    pub spares: Vec<u64>,
}

/// Lists a journal's files.
///
/// # Errors
/// The disk's.
pub fn list(disk: &dyn Disk) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for name in disk.list()? {
        let Some((number, kind)) = name.split_once('.') else { continue };
        let Ok(number) = number.parse::<u64>() else { continue };
        match kind {
            "segment" => listing.segments.push(number),
            "checkpoint" => listing.checkpoints.push(number),
            "spare" => listing.spares.push(number),
            _ => {}
        }
    }
    listing.segments.sort_unstable();
    listing.checkpoints.sort_unstable();
    listing.spares.sort_unstable();
    Ok(listing)
}
