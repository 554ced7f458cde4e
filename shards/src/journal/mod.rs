//! The journal: groups of records, one write and one sync each, in segments that are recycled.
//!
//! It knows what a record's bytes are and when they are durable; it does not know what they mean.
//! The layout of the bytes is in JOURNAL.md.

mod checkpoint;
mod copy;
mod frame;
mod lane;
mod reader;
mod replay;
mod segment;
mod status;
mod tail;
mod writer;

pub use checkpoint::{read_checkpoint, write_checkpoint};
pub use copy::copy_journal;
pub use frame::{FRAME_HEAD_BYTES, FrameHead, Parsed, parse, seal};
pub use lane::{Batch, Gathered, Lane, LaneWriter};
pub use reader::{Frame, ReadError, SegmentReader};
pub use replay::{Replayed, replay, verify_segments};
pub use segment::{
    FORMAT, HeadError, JournalId, Listing, SEGMENT_HEAD_BYTES, SegmentHead, checkpoint_name, list,
    segment_name, spare_name,
};
pub use status::{Histogram, JournalStatus, Takes};
pub use tail::Tail;
pub use writer::{ClosedSegment, JournalWriter, ReadySegment, SegmentQueues, Sizes, Written};
