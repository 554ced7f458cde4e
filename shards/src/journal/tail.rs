//! The tail: a follower's cursor over the durable records of a running journal.

use std::sync::Arc;

use super::reader::{ReadError, SegmentReader, disk_error};
use super::replay::for_each_record;
use super::segment::{JournalId, list};
use super::status::JournalStatus;
use crate::disk::Disk;
use crate::record::Record;

/// Reads what has become durable since the last look, group by group.
#[derive(Debug)]
pub struct Tail {
    disk: Arc<dyn Disk>,
    journal: JournalId,
    status: Arc<JournalStatus>,
    reader: Option<SegmentReader>,
    position: u64,
}

impl Tail {
    /// A cursor at `position`, which must not have been recycled.
    #[must_use]
    pub fn new(
        disk: Arc<dyn Disk>,
        journal: JournalId,
        status: Arc<JournalStatus>,
        position: u64,
    ) -> Self {
        Self { disk, journal, status, reader: None, position }
    }

    /// Position of the next record it gives.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How many records are durable and not yet given.
    #[must_use]
    pub fn behind(&self) -> u64 {
        self.status.durable_position().saturating_sub(self.position)
    }

    /// Gives the records of the next durable group to `apply`; false where there is none.
    ///
    /// # Errors
    /// [`ReadError`]; the cursor stays where it was.
    pub fn next_group(&mut self, apply: &mut dyn FnMut(u64, Record)) -> Result<bool, ReadError> {
        if self.behind() == 0 {
            return Ok(false);
        }
        loop {
            let mut reader = match self.reader.take() {
                Some(reader) => reader,
                None => self.open_segment()?,
            };
            if self.read_group(&mut reader, apply)? {
                self.reader = Some(reader);
                return Ok(true);
            }
            // This segment has no more; what is durable goes on in the next.
            self.reader = Some(self.next_segment(reader.head().segment)?);
        }
    }

    fn read_group(
        &mut self,
        reader: &mut SegmentReader,
        apply: &mut dyn FnMut(u64, Record),
    ) -> Result<bool, ReadError> {
        let name = reader.name().to_owned();
        let mut refreshed = false;
        loop {
            let position = self.position;
            match reader.next_frame()? {
                Some(frame) if frame.head.end_position() <= position => {}
                Some(frame) => {
                    let found = frame.head.first_position;
                    if found > position {
                        return Err(ReadError::Gap { name, found, expected: position });
                    }
                    let end = frame.head.end_position();
                    for_each_record(&name, frame, &mut |at, record| {
                        if at >= position {
                            apply(at, record);
                        }
                    })?;
                    self.position = end;
                    return Ok(true);
                }
                None if refreshed => return Ok(false),
                None => {
                    reader.refresh();
                    refreshed = true;
                }
            }
        }
    }

    /// The segment that holds the cursor: the last one that begins at or before it.
    fn open_segment(&self) -> Result<SegmentReader, ReadError> {
        let listing = list(&*self.disk).map_err(|source| disk_error("the journal", source))?;
        for &segment in listing.segments.iter().rev() {
            let mut reader = SegmentReader::open(&*self.disk, segment, self.journal)?;
            let begins = reader.next_frame()?.map(|frame| frame.head.first_position);
            if begins.is_some_and(|begins| begins <= self.position) {
                return SegmentReader::open(&*self.disk, segment, self.journal);
            }
        }
        self.gap()
    }

    fn next_segment(&self, after: u64) -> Result<SegmentReader, ReadError> {
        let listing = list(&*self.disk).map_err(|source| disk_error("the journal", source))?;
        match listing.segments.iter().find(|&&segment| segment > after) {
            Some(&segment) => SegmentReader::open(&*self.disk, segment, self.journal),
            None => self.gap(),
        }
    }

    fn gap(&self) -> Result<SegmentReader, ReadError> {
        let name = "the journal".to_owned();
        let (found, expected) = (self.status.durable_position(), self.position);
        Err(ReadError::Gap { name, found, expected })
    }
}
