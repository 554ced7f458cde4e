//! Copying: a journal onto another disk, beside the gateway that goes on writing it.
//!
//! It must not know what a record means. Files may go while they are copied; whoever has copied a
//! journal reads the copy, and begins again where it is not whole.

use super::reader::{ReadError, SegmentReader, disk_error};
use super::segment::{checkpoint_name, list, segment_name};
use crate::disk::{AlignedBuffer, Disk, DiskFile};
use crate::limits::PIECE_BYTES;

/// Copies the newest checkpoint and the segments behind it, the last one as far as it is written.
///
/// # Errors
/// [`ReadError`]: what cannot be read or written, is damaged, or has gone meanwhile.
pub fn copy_journal(from: &dyn Disk, to: &dyn Disk) -> Result<(), ReadError> {
    let listing = list(from).map_err(|source| disk_error("the journal", source))?;
    let checkpoint = listing.checkpoints.last().copied();
    if let Some(segment) = checkpoint {
        let name = checkpoint_name(segment);
        let file = from.open(&name).map_err(|source| disk_error(&name, source))?;
        let bytes = file.bytes().map_err(|source| disk_error(&name, source))?;
        copy_bytes(&*file, bytes, (to, &name, bytes))?;
    }
    let needed = listing.segments.iter().filter(|&&it| it >= checkpoint.unwrap_or(0));
    for &segment in needed {
        copy_segment(from, to, segment)?;
    }
    to.sync_names().map_err(|source| disk_error("the copy", source))
}

fn copy_segment(from: &dyn Disk, to: &dyn Disk, segment: u64) -> Result<(), ReadError> {
    let name = segment_name(segment);
    let journal = SegmentReader::read_head(from, &name)?.journal;
    let mut reader = SegmentReader::open(from, segment, journal)?;
    while reader.next_frame()?.is_some() {}
    // What is behind a group that cannot be read was written meanwhile, or it is damage.
    while reader.frame_after_end()?.is_some() {
        reader.refresh();
        if reader.next_frame()?.is_none() {
            return Err(ReadError::Damaged { offset: reader.end(), name });
        }
        while reader.next_frame()?.is_some() {}
    }
    let whole = reader.file().bytes().map_err(|source| disk_error(&name, source))?;
    copy_bytes(reader.file(), reader.end(), (to, &name, whole))
}

/// Copies the first bytes of a file into one of its name that is `whole` bytes long.
fn copy_bytes(
    from: &dyn DiskFile,
    bytes: u64,
    (to, name, whole): (&dyn Disk, &str, u64),
) -> Result<(), ReadError> {
    let copy = || {
        let file = to.create(name, whole)?;
        let mut piece = AlignedBuffer::with_capacity(PIECE_BYTES);
        piece.extend(&[0; PIECE_BYTES]);
        let mut offset = 0;
        while offset < bytes {
            let length = PIECE_BYTES.min(usize::try_from(bytes - offset).unwrap_or(PIECE_BYTES));
            let piece = &mut piece.as_mut_slice()[..length];
            from.read_at(offset, piece)?;
            file.write_at(offset, piece)?;
            offset += length as u64;
        }
        file.sync()
    };
    copy().map_err(|source| disk_error(name, source))
}
