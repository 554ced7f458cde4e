//! The reading end: frames in order, from a segment on, up to where the journal is durable.
//!
//! One reader serves recovery, the auditor and the followers of a running journal. It tells a torn
//! tail (the last group of a run, cut short by a crash: never acknowledged, dropped whole) from
//! damage (a bad group with a good later one of the same run behind it, or a missing position).

use std::io;

use super::frame::{FrameHead, Parsed, parse};
use super::segment::{HeadError, JournalId, SEGMENT_HEAD_BYTES, SegmentHead, segment_name};
use crate::disk::{Disk, DiskFile};
use crate::limits::SECTOR_BYTES;

/// Bytes that the reader asks the disk for at once.
const WINDOW_BYTES: usize = 1 << 20;

/// Why the journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk's word.
    #[error("{name} cannot be read")]
    Disk {
        /// The file.
        name: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A header that is not one.
    #[error("{name}: {why}")]
    Head {
        /// The file.
        name: String,
        /// The cause.
        why: HeadError,
    },
    /// A file of another journal, or under another's name.
    #[error("{name} belongs to another journal or to another place in it")]
    Foreign {
        /// The file.
        name: String,
    },
    /// A group is bad although a later one of its run is good.
    #[error("{name} is damaged at byte {offset}: a group cannot be read, and a later one can")]
    Damaged {
        /// The file.
        name: String,
        /// Where the bad group begins.
        offset: u64,
    },
    /// Records are missing between two groups.
    #[error("{name} begins at position {found}, but the records before end at {expected}")]
    Gap {
        /// The file.
        name: String,
        /// The position found.
        found: u64,
        /// The position expected.
        expected: u64,
    },
    /// A record inside a whole group makes no sense.
    #[error("{name}, byte {offset}: {why}")]
    Record {
        /// The file.
        name: String,
        /// Where the group begins.
        offset: u64,
        /// The cause.
        why: crate::record::DecodeError,
    },
}

/// Reads the frames of one segment.
#[derive(Debug)]
pub struct SegmentReader {
    name: String,
    file: Box<dyn DiskFile>,
    head: SegmentHead,
    bytes: u64,
    /// Where the next frame begins.
    offset: u64,
    window: Vec<u8>,
    window_at: u64,
    /// Group number that the next frame has, once one was read.
    next_group: Option<u64>,
}

/// A frame in its place.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its header.
    pub head: FrameHead,
    /// Its records' bytes.
    pub payload: &'a [u8],
    /// Where it begins in its segment.
    pub offset: u64,
}

impl SegmentReader {
    /// Opens a segment and checks whose it is.
    ///
    /// # Errors
    /// [`ReadError`] where it cannot be read, is damaged or foreign.
    pub fn open(disk: &dyn Disk, segment: u64, journal: JournalId) -> Result<Self, ReadError> {
        let name = segment_name(segment);
        let file = disk.open(&name).map_err(|source| disk_error(&name, source))?;
        let head = read_head(&name, &*file)?;
        if head.segment != segment || head.journal != journal {
            return Err(ReadError::Foreign { name });
        }
        Self::over(name, file, head)
    }

    /// A reader of an open file whose header is known.
    pub(super) fn over(
        name: String,
        file: Box<dyn DiskFile>,
        head: SegmentHead,
    ) -> Result<Self, ReadError> {
        let bytes = file.bytes().map_err(|source| disk_error(&name, source))?;
        let offset = SEGMENT_HEAD_BYTES;
        let window = Vec::new();
        Ok(Self { name, file, head, bytes, offset, window, window_at: 0, next_group: None })
    }

    /// What the header of a segment or a checkpoint says.
    ///
    /// # Errors
    /// [`ReadError`] where it cannot be read or is damaged.
    pub fn read_head(disk: &dyn Disk, name: &str) -> Result<SegmentHead, ReadError> {
        let file = disk.open(name).map_err(|source| disk_error(name, source))?;
        read_head(name, &*file)
    }

    /// What its header says.
    #[must_use]
    pub fn head(&self) -> SegmentHead {
        self.head
    }

    /// The file's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The open file.
    #[must_use]
    pub fn file(&self) -> &dyn DiskFile {
        &*self.file
    }

    /// The next whole frame; none where the readable frames of the segment end.
    ///
    /// # Errors
    /// [`ReadError::Disk`].
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        let Some(head) = self.frame_head_at(self.offset)? else {
            return Ok(None);
        };
        let follows = self.next_group.is_none_or(|group| group == head.group);
        if head.run != self.head.run || !follows {
            return Ok(None);
        }
        let offset = self.offset;
        self.offset += head.frame_bytes() as u64;
        self.next_group = Some(head.group + 1);
        let start = index(offset - self.window_at);
        let Parsed::Whole(head, payload) = parse(&self.window[start..], self.head.segment) else {
            unreachable!("it was whole a moment ago");
        };
        Ok(Some(Frame { head, payload, offset }))
    }

    /// Where the readable frames end, once [`next_frame`](Self::next_frame) has said so.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset
    }

    /// The head of any whole frame of this segment's run behind the end of the readable ones.
    ///
    /// # Errors
    /// [`ReadError::Disk`].
    pub fn frame_after_end(&mut self) -> Result<Option<FrameHead>, ReadError> {
        let mut offset = self.offset + SECTOR_BYTES as u64;
        while offset < self.bytes {
            match self.frame_head_at(offset)? {
                Some(head) if head.run == self.head.run => return Ok(Some(head)),
                _ => offset += SECTOR_BYTES as u64,
            }
        }
        Ok(None)
    }

    /// Forgets what was read ahead, since the file has grown meanwhile.
    pub(super) fn refresh(&mut self) {
        self.window.clear();
    }

    fn frame_head_at(&mut self, offset: u64) -> Result<Option<FrameHead>, ReadError> {
        let mut wanted = SECTOR_BYTES;
        loop {
            if offset + wanted as u64 > self.bytes {
                return Ok(None);
            }
            self.fill(offset, wanted)?;
            let start = index(offset - self.window_at);
            match parse(&self.window[start..], self.head.segment) {
                Parsed::Whole(head, _) => return Ok(Some(head)),
                Parsed::Wants(bytes) => wanted = bytes,
                Parsed::Nothing => return Ok(None),
            }
        }
    }

    /// Sees to it that the window holds `wanted` bytes from `offset` on.
    fn fill(&mut self, offset: u64, wanted: usize) -> Result<(), ReadError> {
        let end = self.window_at + self.window.len() as u64;
        if offset >= self.window_at && offset + wanted as u64 <= end {
            return Ok(());
        }
        let length = WINDOW_BYTES.max(wanted).min(index(self.bytes - offset));
        self.window.resize(length, 0);
        self.window_at = offset;
        let read = self.file.read_at(offset, &mut self.window);
        if read.is_err() {
            self.window.clear();
        }
        read.map_err(|source| disk_error(&self.name, source))
    }
}

/// Reads and checks a file's header.
pub(super) fn read_head(name: &str, file: &dyn DiskFile) -> Result<SegmentHead, ReadError> {
    let mut sector = [0; SECTOR_BYTES];
    file.read_at(0, &mut sector).map_err(|source| disk_error(name, source))?;
    SegmentHead::decode(&sector).map_err(|why| ReadError::Head { name: name.to_owned(), why })
}

pub(super) fn disk_error(name: &str, source: io::Error) -> ReadError {
    ReadError::Disk { name: name.to_owned(), source }
}

fn index(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a segment fits in memory")
}
