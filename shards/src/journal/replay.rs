//! Replay: every record from a position on, in order, with the checks that tell a torn tail from
//! damage.

use super::reader::{Frame, ReadError, SegmentReader};
use super::segment::{JournalId, segment_name};
use super::writer::ClosedSegment;
use crate::disk::Disk;
use crate::record::Record;

/// Where a replay ended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Replayed {
    /// Position after the last record.
    pub position: u64,
    /// The highest run seen.
    pub last_run: u64,
    /// The segments read, each with its end.
    pub segments: Vec<ClosedSegment>,
    /// Bytes read.
    pub bytes: u64,
}

/// Gives every record of `segments` from position `from` on to `apply`, and makes sure that what
/// was read is durable: a crash may have left a group in memory of the machine only, and whoever
/// acts on it may not see it vanish.
///
/// # Errors
/// [`ReadError`]: what cannot be read, is damaged, missing or not known.
pub fn replay(
    disk: &dyn Disk,
    journal: JournalId,
    segments: &[u64],
    from: u64,
    apply: &mut dyn FnMut(u64, Record),
) -> Result<Replayed, ReadError> {
    let mut replayed = Replayed { position: from, ..Replayed::default() };
    // The machine reads one segment while the records of the one before are applied.
    let mut ahead = segments.iter();
    read_ahead(disk, ahead.next());
    for &segment in segments {
        read_ahead(disk, ahead.next());
        let mut reader = SegmentReader::open(disk, segment, journal)?;
        replay_segment(&mut reader, &mut replayed.position, apply)?;
        if reader.frame_after_end()?.is_some() {
            let (name, offset) = (reader.name().to_owned(), reader.end());
            return Err(ReadError::Damaged { name, offset });
        }
        reader.file().sync().map_err(|source| super::reader::disk_error(reader.name(), source))?;
        replayed.last_run = replayed.last_run.max(reader.head().run);
        replayed.bytes += reader.end();
        replayed.segments.push(ClosedSegment { segment, end_position: replayed.position });
    }
    Ok(replayed)
}

/// Checks every frame and record of `segments` without acting on them.
///
/// # Errors
/// As [`replay`].
pub fn verify_segments(
    disk: &dyn Disk,
    journal: JournalId,
    segments: &[u64],
    from: u64,
) -> Result<Replayed, ReadError> {
    replay(disk, journal, segments, from, &mut |_, _| {})
}

fn read_ahead(disk: &dyn Disk, segment: Option<&u64>) {
    // A segment that cannot be opened is reported when its turn comes.
    if let Some(Ok(file)) = segment.map(|&segment| disk.open(&segment_name(segment))) {
        file.read_ahead();
    }
}

fn replay_segment(
    reader: &mut SegmentReader,
    position: &mut u64,
    apply: &mut dyn FnMut(u64, Record),
) -> Result<(), ReadError> {
    let name = reader.name().to_owned();
    while let Some(frame) = reader.next_frame()? {
        if frame.head.end_position() <= *position {
            continue;
        }
        if frame.head.first_position > *position {
            let (found, expected) = (frame.head.first_position, *position);
            return Err(ReadError::Gap { name, found, expected });
        }
        for_each_record(&name, frame, &mut |at, record| {
            if at >= *position {
                apply(at, record);
            }
        })?;
        *position = frame.head.end_position();
    }
    Ok(())
}

/// Decodes a frame's records, each with its position.
pub(super) fn for_each_record(
    name: &str,
    frame: Frame<'_>,
    apply: &mut dyn FnMut(u64, Record),
) -> Result<(), ReadError> {
    let mut payload = frame.payload;
    for position in frame.head.first_position..frame.head.end_position() {
        let record = Record::decode(&mut payload).map_err(|why| ReadError::Record {
            name: name.to_owned(),
            offset: frame.offset,
            why,
        })?;
        apply(position, record);
    }
    Ok(())
}
