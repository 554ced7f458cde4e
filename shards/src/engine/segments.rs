//! The journal's segments: made ahead of the writer, of spares where there are some.

use std::io;
use std::sync::Arc;

use super::{EngineOptions, Found, KeepError};
use crate::disk::{Disk, DiskFile};
use crate::journal::{
    JournalId, JournalStatus, ReadySegment, SegmentHead, SegmentQueues, segment_name, spare_name,
};
use crate::limits::SEGMENTS_AHEAD;

/// Makes segments and takes back those that nobody needs any more.
#[derive(Debug)]
pub(super) struct Segments {
    disk: Arc<dyn Disk>,
    journal: JournalId,
    gateway: u16,
    run: u64,
    bytes: u64,
    files_max: usize,
    pub(super) queues: Arc<SegmentQueues>,
    status: Option<Arc<JournalStatus>>,
    next: u64,
    spares: Vec<u64>,
    /// Whether what became of spares is durable: until then none gets a new header.
    names_synced: bool,
    /// Segments and spares on disk.
    pub(super) files: usize,
    /// Why one could not be made; until somebody has taken it, none is tried in the middle of other work.
    pub(super) fault: Option<KeepError>,
}

impl Segments {
    /// What was found, with the segments that have no record made spares.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        journal: JournalId,
        options: &EngineOptions,
        found: &Found,
    ) -> io::Result<Self> {
        let known = found.empty.iter().chain(&found.spares).copied();
        let known = known.chain(found.segments.iter().map(|it| it.segment)).chain(found.checkpoint);
        let mut segments = Self {
            disk,
            journal,
            gateway: options.origin.gateway,
            run: found.last_run + 1,
            bytes: options.segment_bytes,
            files_max: options.segments_max,
            queues: Arc::new(SegmentQueues::new(SEGMENTS_AHEAD)),
            status: None,
            next: known.max().unwrap_or(0) + 1,
            spares: found.spares.clone(),
            names_synced: false,
            files: found.segments.len() + found.empty.len() + found.spares.len(),
            fault: None,
        };
        for &segment in &found.empty {
            segments.recycle(segment, SEGMENTS_AHEAD)?;
        }
        Ok(segments)
    }

    /// Whom to wake when there is one more.
    pub(super) fn tell(&mut self, status: Arc<JournalStatus>) {
        self.status = Some(status);
    }

    /// Whether fewer are ready than should be.
    pub(super) fn are_short(&self) -> bool {
        !self.queues.ready.is_full()
    }

    /// Whether one could not be made for want of room.
    pub(super) fn lack_room(&self) -> bool {
        matches!(self.fault, Some(KeepError::NoRoom(_)))
    }

    /// Makes the next one ready, out of a spare where there is one. Where it cannot be made the fault says why.
    pub(super) fn make(&mut self) -> bool {
        self.fault = self.make_next().err();
        self.fault.is_none()
    }

    /// Makes one in the middle of other work, where the writer has taken one meanwhile.
    pub(super) fn make_meanwhile(&mut self) {
        if self.are_short() && self.fault.is_none() {
            self.make();
        }
    }

    fn make_next(&mut self) -> Result<(), KeepError> {
        let segment = self.next;
        let spare = match self.take_spare() {
            Some(spare) => spare,
            None => self.make_spare(segment)?,
        };
        let file = self.turn_into_segment(spare, segment).inspect_err(|_| {
            self.spares.push(spare);
        })?;
        self.next += 1;
        let full = self.queues.ready.push(ReadySegment { segment, file });
        assert!(full.is_ok(), "only the keeper puts segments into the queue");
        if let Some(status) = &self.status {
            // The writer may sleep, and say meanwhile that it takes nothing.
            status.notify();
        }
        Ok(())
    }

    fn turn_into_segment(&mut self, spare: u64, segment: u64) -> io::Result<Box<dyn DiskFile>> {
        if !self.names_synced {
            self.sync_names()?;
        }
        let file = self.disk.open(&spare_name(spare))?;
        file.write_at(0, self.head(segment).encode().as_slice())?;
        file.sync()?;
        self.disk.rename(&spare_name(spare), &segment_name(segment))?;
        self.sync_names()?;
        Ok(file)
    }

    fn head(&self, segment: u64) -> SegmentHead {
        let Self { journal, run, .. } = *self;
        SegmentHead { journal, gateway: Some(self.gateway), segment, run }
    }

    /// Makes a file, if the disk and the journal's bound have room for it.
    fn make_spare(&mut self, spare: u64) -> Result<u64, KeepError> {
        if self.files >= self.files_max {
            return Err(KeepError::NoRoom(io::Error::from(io::ErrorKind::QuotaExceeded)));
        }
        if let Err(error) = self.disk.create(&spare_name(spare), self.bytes) {
            // What was made of it takes the room that others need.
            return match self.disk.remove(&spare_name(spare)) {
                Ok(()) | Err(_) => Err(KeepError::NoRoom(error)),
            };
        }
        self.files += 1;
        Ok(spare)
    }

    /// A spare of the right size; others are of an older configuration and go.
    fn take_spare(&mut self) -> Option<u64> {
        while let Some(spare) = self.spares.pop() {
            let file = self.disk.open(&spare_name(spare));
            if file.and_then(|file| file.bytes()).is_ok_and(|bytes| bytes == self.bytes) {
                return Some(spare);
            }
            match self.disk.remove(&spare_name(spare)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {}
                // One that is not there has become a segment whose name is not durable; the next
                // one of its number replaces it.
                Ok(()) | Err(_) => self.files -= 1,
            }
        }
        None
    }

    /// Makes a spare of a segment that nobody needs any more, or removes it where there are `spares_max`.
    pub(super) fn recycle(&mut self, segment: u64, spares_max: usize) -> io::Result<()> {
        // Before its header is written anew, the file must not be found as a segment any more.
        self.names_synced = false;
        if self.spares.len() < spares_max {
            self.disk.rename(&segment_name(segment), &spare_name(segment))?;
            self.spares.push(segment);
        } else {
            self.disk.remove(&segment_name(segment))?;
            self.files -= 1;
        }
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.disk.sync_names()?;
        self.names_synced = true;
        Ok(())
    }
}
