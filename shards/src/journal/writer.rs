//! The writing end: one group, one write, one sync.
//!
//! A group is what has come together while the last one was being written. Group n+1 is written
//! only after n is synced, so a bad group with a good one of the same run behind it is damage.
//! After the first I/O error nothing is written any more: what the disk holds is then unknown.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_queue::{ArrayQueue, SegQueue};

use super::frame::{FRAME_HEAD_BYTES, FrameHead, seal};
use super::lane::{Batch, Lane};
use super::segment::SEGMENT_HEAD_BYTES;
use super::status::{JournalStatus, Takes};
use crate::clock::Clock;
use crate::disk::{AlignedBuffer, DiskFile};
use crate::limits::{SECTOR_BYTES, SEGMENTS_RESERVED};

/// A segment whose header is durable and that holds no frame yet.
#[derive(Debug)]
pub struct ReadySegment {
    /// Its number.
    pub segment: u64,
    /// The file.
    pub file: Box<dyn DiskFile>,
}

/// A segment that is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClosedSegment {
    /// Its number.
    pub segment: u64,
    /// Position after its last record.
    pub end_position: u64,
}

/// The segments' way to the writer and from it.
#[derive(Debug)]
pub struct SegmentQueues {
    /// Made ahead, in the order of their numbers.
    pub ready: ArrayQueue<ReadySegment>,
    /// Full ones, in the order of their numbers.
    pub closed: SegQueue<ClosedSegment>,
    /// Whether the segment in use is to end before it is full; set by the keeper, taken back by the
    /// writer when one has ended.
    pub ends_early: AtomicBool,
}

impl SegmentQueues {
    /// Queues for `ready` segments made ahead.
    #[must_use]
    pub fn new(ready: usize) -> Self {
        Self {
            ready: ArrayQueue::new(ready),
            closed: SegQueue::new(),
            ends_early: AtomicBool::new(false),
        }
    }
}

/// The sizes that the writer keeps to.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// Bytes that one lane may hand over.
    pub lane_bytes: usize,
}

/// The journal's one writer.
#[derive(Debug)]
pub struct JournalWriter {
    clock: Arc<dyn Clock>,
    lanes: Vec<Arc<Lane>>,
    queues: Arc<SegmentQueues>,
    status: Arc<JournalStatus>,
    sizes: Sizes,
    run: u64,
    group: u64,
    position: u64,
    active: Option<Active>,
    frame: AlignedBuffer,
    /// The batches of the group that is being written, by lane.
    taken: Vec<(usize, Box<Batch>)>,
}

#[derive(Debug)]
struct Active {
    segment: u64,
    file: Box<dyn DiskFile>,
    offset: u64,
}

/// What became of one turn of the writer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Written {
    /// No lane had anything.
    Nothing,
    /// A group is durable and its cores are woken.
    Group,
    /// There is no segment to write to; the group waits for one.
    NoRoom,
    /// The disk failed, now or before.
    Latched,
}

impl JournalWriter {
    /// A writer for run `run`, whose first record gets `position`.
    #[must_use]
    pub fn new(
        clock: Arc<dyn Clock>,
        lanes: Vec<Arc<Lane>>,
        queues: Arc<SegmentQueues>,
        sizes: Sizes,
        (run, position): (u64, u64),
    ) -> Self {
        let group = group_bytes(lanes.len(), sizes.lane_bytes);
        assert!(group + SEGMENT_HEAD_BYTES <= sizes.segment_bytes, "a full group fits a segment");
        let group = usize::try_from(group).expect("a group fits in memory");
        Self {
            clock,
            lanes,
            queues,
            status: Arc::new(JournalStatus::new(position)),
            sizes,
            run,
            group: 0,
            position,
            active: None,
            frame: AlignedBuffer::with_capacity(group),
            taken: Vec::new(),
        }
    }

    /// What others may know of it.
    #[must_use]
    pub fn status(&self) -> &Arc<JournalStatus> {
        &self.status
    }

    /// Writes what the lanes have handed over as one group, and wakes their cores.
    pub fn write_group(&mut self) -> Written {
        if self.status.is_latched() {
            return Written::Latched;
        }
        if !self.collect() {
            self.tell_room();
            return Written::Nothing;
        }
        let head = self.encode_group();
        if !self.has_room(head.frame_bytes() as u64) {
            self.tell_room();
            return Written::NoRoom;
        }
        let begun_us = self.clock.elapsed_us();
        if self.write_frame(head).is_err() {
            self.status.latch();
            self.lanes.iter().for_each(|lane| lane.wake());
            return Written::Latched;
        }
        self.publish_group(head, begun_us);
        Written::Group
    }

    /// Whether there is anything to write, or to say of the room that is left.
    pub fn has_work(&mut self) -> bool {
        // Relaxed: this thread wrote it.
        let told = self.status.segments_ready.load(Ordering::Relaxed);
        self.collect() || self.queues.ready.len() as u64 != told
    }

    /// Takes each lane's batch for the next group; a group that found no room keeps what it has.
    /// Whether there is anything to write.
    fn collect(&mut self) -> bool {
        if self.taken.is_empty() {
            for (index, lane) in self.lanes.iter().enumerate() {
                if let Some(batch) = lane.take_batch() {
                    self.taken.push((index, batch));
                }
            }
        }
        !self.taken.is_empty()
    }

    fn encode_group(&mut self) -> FrameHead {
        self.frame.clear();
        self.frame.extend(&[0; FRAME_HEAD_BYTES]);
        let mut records = 0;
        for (_, batch) in &self.taken {
            self.frame.extend(&batch.bytes);
            records += batch.records;
        }
        let payload = self.frame.as_slice().len() - FRAME_HEAD_BYTES;
        FrameHead {
            payload_bytes: u32::try_from(payload).expect("a group fits a segment"),
            records,
            run: self.run,
            group: self.group,
            first_position: self.position,
        }
    }

    /// Sees to an active segment with room for a frame, if there is one.
    fn has_room(&mut self, frame_bytes: u64) -> bool {
        let end = self.sizes.segment_bytes;
        let fits = self.active.as_ref().is_some_and(|active| active.offset + frame_bytes <= end);
        if fits && !self.is_to_end_early() {
            return true;
        }
        let Some(next) = self.queues.ready.pop() else {
            return false;
        };
        // Relaxed: advice; a wish that comes at this moment is fulfilled by this end.
        self.queues.ends_early.store(false, Ordering::Relaxed);
        if let Some(full) = self.active.take() {
            let closed = ClosedSegment { segment: full.segment, end_position: self.position };
            self.queues.closed.push(closed);
        }
        let ReadySegment { segment, file } = next;
        self.active = Some(Active { segment, file, offset: SEGMENT_HEAD_BYTES });
        true
    }

    /// Whether the segment in use ends before it is full. Only where all that are made ahead are
    /// there: whole segments are left then for what the lanes were told that there is room for.
    fn is_to_end_early(&self) -> bool {
        self.queues.ends_early.load(Ordering::Relaxed) && self.queues.ready.is_full()
    }

    fn write_frame(&mut self, head: FrameHead) -> io::Result<()> {
        let active = self.active.as_mut().expect("has_room saw to it");
        seal(self.frame.as_mut_slice(), active.segment, head);
        self.frame.pad_to_sector();
        active.file.write_at(active.offset, self.frame.as_slice())?;
        active.file.sync()?;
        active.offset += self.frame.as_slice().len() as u64;
        Ok(())
    }

    fn publish_group(&mut self, head: FrameHead, begun_us: u64) {
        self.group += 1;
        self.position = head.end_position();
        self.status.set_durable(self.position);
        for (index, batch) in &self.taken {
            self.lanes[*index].publish(batch.records);
            self.lanes[*index].wake();
        }
        let now_us = self.clock.elapsed_us();
        self.status.sync_latency.observe_us(now_us.saturating_sub(begun_us));
        self.status.group_records.observe_us(u64::from(head.records));
        // Relaxed: figures for people.
        self.status.groups.fetch_add(1, Ordering::Relaxed);
        self.status.records.fetch_add(u64::from(head.records), Ordering::Relaxed);
        self.status.bytes.fetch_add(head.frame_bytes() as u64, Ordering::Relaxed);
        for (index, batch) in self.taken.drain(..) {
            self.status.durable_latency.observe_us(now_us.saturating_sub(batch.since_us));
            self.lanes[index].give_batch(batch);
        }
        self.tell_room();
    }

    /// Says what is taken, by the room that is left: what the lanes may hold already always fits,
    /// and the reserve is for orders that exist.
    fn tell_room(&self) {
        let ready = self.queues.ready.len() as u64;
        let active = self.active.as_ref().map_or(0, |it| self.sizes.segment_bytes - it.offset);
        let group = group_bytes(self.lanes.len(), self.sizes.lane_bytes);
        let groups =
            active / group + ready * ((self.sizes.segment_bytes - SEGMENT_HEAD_BYTES) / group);
        let takes = if groups < GROUPS_UNDER_WAY {
            Takes::Nothing
        } else if ready <= SEGMENTS_RESERVED as u64 {
            Takes::Transitions
        } else {
            Takes::Everything
        };
        self.status.set_takes(takes);
        // Relaxed: a figure for people, and for this thread.
        self.status.segments_ready.store(ready, Ordering::Relaxed);
    }
}

/// Full groups that may come after the room was told last: one that is being written, one handed
/// over by the lanes meanwhile, and one that their cores hold still.
const GROUPS_UNDER_WAY: u64 = 3;

/// Bytes of the largest group on disk.
fn group_bytes(lanes: usize, lane_bytes: usize) -> u64 {
    (FRAME_HEAD_BYTES + lanes * lane_bytes).next_multiple_of(SECTOR_BYTES) as u64
}
