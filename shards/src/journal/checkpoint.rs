//! A checkpoint: everything before a segment, as the records that make it anew.
//!
//! It is written beside the sale under another name and renamed when it is durable, so a
//! checkpoint is whole or not there. Its frames are a segment's; an empty one ends it.

use std::io;

use super::frame::{FRAME_HEAD_BYTES, FrameHead, seal};
use super::reader::{ReadError, SegmentReader, disk_error, read_head};
use super::replay::for_each_record;
use super::segment::{JournalId, SEGMENT_HEAD_BYTES, SegmentHead, checkpoint_name};
use crate::disk::{AlignedBuffer, Disk, DiskFile};
use crate::limits::{GROUP_BYTES_MAX, PIECE_BYTES};
use crate::record::Record;

const MAKING: &str = "checkpoint.making";

/// Writes the checkpoint of everything before the segment of `head`, which ends at `position`. No run has
/// written it: the head's is 0. `records` is called with a sink for the records. Returns its bytes.
///
/// # Errors
/// The disk's; an older checkpoint is then still in force.
pub fn write_checkpoint(
    disk: &dyn Disk,
    head: SegmentHead,
    position: u64,
    records: impl FnOnce(&mut dyn FnMut(&Record)),
) -> io::Result<u64> {
    let bytes = match make_file(disk, head, position, records) {
        Ok(bytes) => bytes,
        Err(error) => {
            // What was made of it takes the room that segments need.
            return match disk.remove(MAKING) {
                Ok(()) | Err(_) => Err(error),
            };
        }
    };
    disk.rename(MAKING, &checkpoint_name(head.segment))?;
    disk.sync_names()?;
    Ok(bytes)
}

fn make_file(
    disk: &dyn Disk,
    head: SegmentHead,
    position: u64,
    records: impl FnOnce(&mut dyn FnMut(&Record)),
) -> io::Result<u64> {
    let file = disk.create(MAKING, 0)?;
    file.write_at(0, head.encode().as_slice())?;
    let mut frames = Frames {
        segment: head.segment,
        position,
        file,
        bytes: SEGMENT_HEAD_BYTES,
        group: 0,
        payload: Vec::new(),
        count: 0,
        written: Ok(()),
    };
    records(&mut |record| frames.push(record));
    frames.finish()
}

/// Gives the records of the checkpoint before `segment` to `apply`; the position at its end.
///
/// # Errors
/// [`ReadError`]; a checkpoint without its end is damaged.
pub fn read_checkpoint(
    disk: &dyn Disk,
    (journal, segment): (JournalId, u64),
    apply: &mut dyn FnMut(Record),
) -> Result<u64, ReadError> {
    let name = checkpoint_name(segment);
    let file = disk.open(&name).map_err(|source| disk_error(&name, source))?;
    let head = read_head(&name, &*file)?;
    if head.segment != segment || head.journal != journal {
        return Err(ReadError::Foreign { name });
    }
    let mut reader = SegmentReader::over(name.clone(), file, head)?;
    while let Some(frame) = reader.next_frame()? {
        if frame.head.records == 0 {
            return Ok(frame.head.first_position);
        }
        for_each_record(&name, frame, &mut |_, record| apply(record))?;
    }
    Err(ReadError::Damaged { offset: reader.end(), name })
}

/// Packs records into sealed frames, which go to the file one by one.
struct Frames {
    segment: u64,
    position: u64,
    file: Box<dyn DiskFile>,
    /// Of the file, up to now.
    bytes: u64,
    group: u64,
    payload: Vec<u8>,
    count: u32,
    /// How writing went; after a fault nothing is written any more.
    written: io::Result<()>,
}

impl Frames {
    fn push(&mut self, record: &Record) {
        if self.written.is_err() {
            return;
        }
        record.encode(&mut self.payload);
        self.count += 1;
        if self.payload.len() >= GROUP_BYTES_MAX {
            self.end_frame();
        }
    }

    fn finish(mut self) -> io::Result<u64> {
        if self.count > 0 {
            self.end_frame();
        }
        if self.written.is_ok() {
            self.end_frame();
        }
        self.written?;
        self.file.sync()?;
        Ok(self.bytes)
    }

    fn end_frame(&mut self) {
        self.written = self.write_frame();
        self.payload.clear();
        self.count = 0;
    }

    fn write_frame(&mut self) -> io::Result<()> {
        let head = FrameHead {
            payload_bytes: u32::try_from(self.payload.len()).expect("bounded by the group's size"),
            records: self.count,
            run: 0,
            group: self.group,
            first_position: self.position,
        };
        let mut frame = AlignedBuffer::with_capacity(head.frame_bytes());
        frame.extend(&[0; FRAME_HEAD_BYTES]);
        frame.extend(&self.payload);
        seal(frame.as_mut_slice(), self.segment, head);
        frame.pad_to_sector();
        for piece in frame.as_slice().chunks(PIECE_BYTES) {
            self.file.write_at(self.bytes, piece)?;
            self.bytes += piece.len() as u64;
        }
        self.group += 1;
        Ok(())
    }
}
