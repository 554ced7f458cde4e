//! A checkpoint: everything before a segment, as the records that make it anew.
//!
//! It is written beside the sale under another name and renamed when it is durable, so a
//! checkpoint is whole or not there. Its frames are a segment's; an empty one ends it.

use std::io;

use super::frame::{FRAME_HEAD_BYTES, FrameHead, seal};
use super::reader::{ReadError, SegmentReader, disk_error, read_head};
use super::replay::for_each_record;
use super::segment::{JournalId, SEGMENT_HEAD_BYTES, SegmentHead, checkpoint_name};
use crate::disk::{AlignedBuffer, Disk};
use crate::limits::{GROUP_BYTES_MAX, PIECE_BYTES};
use crate::record::Record;

const MAKING: &str = "checkpoint.making";

/// Writes the checkpoint of everything before the segment of `head`, which ends at `position`. No run has
/// written it: the head's is 0. `records` is called with a sink for the records.
///
/// # Errors
/// The disk's; an older checkpoint is then still in force.
pub fn write_checkpoint(
    disk: &dyn Disk,
    head: SegmentHead,
    position: u64,
    records: impl FnOnce(&mut dyn FnMut(&Record)),
) -> io::Result<()> {
    let mut frames = Frames {
        segment: head.segment,
        position,
        frames: Vec::new(),
        payload: Vec::new(),
        count: 0,
    };
    records(&mut |record| frames.push(record));
    let frames = frames.finish();
    let bytes =
        SEGMENT_HEAD_BYTES + frames.iter().map(|it| it.as_slice().len() as u64).sum::<u64>();
    let encoded = head.encode();
    if let Err(error) = make_file(disk, bytes, std::iter::once(&encoded).chain(&frames)) {
        // What was made of it takes the room that segments need.
        return match disk.remove(MAKING) {
            Ok(()) | Err(_) => Err(error),
        };
    }
    disk.rename(MAKING, &checkpoint_name(head.segment))?;
    disk.sync_names()
}

fn make_file<'a>(
    disk: &dyn Disk,
    bytes: u64,
    frames: impl Iterator<Item = &'a AlignedBuffer>,
) -> io::Result<()> {
    let file = disk.create(MAKING, bytes)?;
    let mut offset = 0;
    for piece in frames.flat_map(|frame| frame.as_slice().chunks(PIECE_BYTES)) {
        file.write_at(offset, piece)?;
        offset += piece.len() as u64;
    }
    file.sync()
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

/// Packs records into sealed frames.
struct Frames {
    segment: u64,
    position: u64,
    frames: Vec<AlignedBuffer>,
    payload: Vec<u8>,
    count: u32,
}

impl Frames {
    fn push(&mut self, record: &Record) {
        record.encode(&mut self.payload);
        self.count += 1;
        if self.payload.len() >= GROUP_BYTES_MAX {
            self.seal_frame();
        }
    }

    fn finish(mut self) -> Vec<AlignedBuffer> {
        if self.count > 0 {
            self.seal_frame();
        }
        self.seal_frame();
        self.frames
    }

    fn seal_frame(&mut self) {
        let head = FrameHead {
            payload_bytes: u32::try_from(self.payload.len()).expect("bounded by the group's size"),
            records: self.count,
            run: 0,
            group: self.frames.len() as u64,
            first_position: self.position,
        };
        let mut frame = AlignedBuffer::with_capacity(head.frame_bytes());
        frame.extend(&[0; FRAME_HEAD_BYTES]);
        frame.extend(&self.payload);
        seal(frame.as_mut_slice(), self.segment, head);
        frame.pad_to_sector();
        self.frames.push(frame);
        self.payload.clear();
        self.count = 0;
    }
}
