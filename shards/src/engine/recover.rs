//! Reading a journal into a fold: the newest checkpoint, then the segments behind it.

use crate::disk::Disk;
use crate::journal::{
    ClosedSegment, JournalId, SegmentReader, checkpoint_name, list, read_checkpoint, replay,
    segment_name,
};
use crate::orders::Fold;
use crate::record::Record;

use super::OpenError;

/// What stands on the disk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// The journal's name; none where there is no journal yet.
    pub journal: Option<JournalId>,
    /// The number of the gateway that has written the newest of it, where that file says.
    pub gateway: Option<u16>,
    /// The checkpoint that was read.
    pub checkpoint: Option<u64>,
    /// Older checkpoints, which a crash has left behind.
    pub outdated: Vec<u64>,
    /// Position at the end of the checkpoint.
    pub checkpoint_position: u64,
    /// Position after the last record.
    pub position: u64,
    /// The highest run.
    pub last_run: u64,
    /// Segments with records behind the checkpoint.
    pub segments: Vec<ClosedSegment>,
    /// Segments without a record that is still needed.
    pub empty: Vec<u64>,
    /// Files that wait for a use.
    pub spares: Vec<u64>,
    /// Bytes of segments that were read.
    pub bytes: u64,
}

/// Reads the journal on `disk`, up to and without position `until` where one is given.
///
/// # Errors
/// [`OpenError::Read`] or [`OpenError::Disk`].
pub fn read_fold(disk: &dyn Disk, until: Option<u64>) -> Result<(Found, Fold), OpenError> {
    let listing = list(disk)?;
    let mut fold = Fold::default();
    let mut outdated = listing.checkpoints;
    let checkpoint = outdated.pop();
    let mut found = Found { checkpoint, outdated, spares: listing.spares, ..Found::default() };
    let oldest = found.checkpoint.unwrap_or(0);
    let (passed, needed) = listing.segments.iter().partition(|&&segment| segment < oldest);
    found.empty = passed;
    let needed: Vec<u64> = needed;
    let oldest = found.checkpoint.map(checkpoint_name);
    let Some(oldest) = oldest.or_else(|| needed.first().map(|&it| segment_name(it))) else {
        return Ok((found, fold));
    };
    let journal = SegmentReader::read_head(disk, &oldest)?.journal;
    found.journal = Some(journal);
    if let Some(segment) = found.checkpoint {
        let position =
            read_checkpoint(disk, (journal, segment), &mut |record| fold.apply(&record))?;
        found.checkpoint_position = position;
    }
    let mut apply = |position: u64, record: Record| {
        if until.is_none_or(|until| position < until) {
            fold.apply_at(position, &record);
        }
    };
    let replayed = replay(disk, journal, &needed, found.checkpoint_position, &mut apply)?;
    found.position = replayed.position;
    found.last_run = replayed.last_run;
    found.bytes = replayed.bytes;
    let mut before = found.checkpoint_position;
    for segment in replayed.segments {
        if segment.end_position == before {
            found.empty.push(segment.segment);
        } else {
            found.segments.push(segment);
        }
        before = segment.end_position;
    }
    // Files without a record say nothing: a start that the store has refused leaves some. Older ones may be of
    // a time when no numbers were noted.
    let newest = found.segments.last().map(|it| segment_name(it.segment));
    if let Some(newest) = newest.or_else(|| found.checkpoint.map(checkpoint_name)) {
        found.gateway = SegmentReader::read_head(disk, &newest)?.gateway;
    }
    Ok((found, fold))
}
