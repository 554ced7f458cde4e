//! The keeper: makes segments ahead, folds closed ones into a checkpoint, recycles what is passed.
//!
//! It works beside the sale; no core stops for it. A segment is recycled only when a checkpoint
//! has passed it, and a checkpoint is made only of what the store has. What a checkpoint forgets
//! leaves the cores' memory behind it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{EngineOptions, Found};
use crate::disk::{Disk, DiskFile};
use crate::ids::ActivityId;
use crate::journal::{
    ClosedSegment, JournalId, ReadError, ReadySegment, SegmentHead, SegmentQueues, checkpoint_name,
    read_checkpoint, replay, segment_name, spare_name, write_checkpoint,
};
use crate::limits::{CHECKPOINT_SEGMENTS, SEGMENTS_AHEAD};
use crate::orders::Fold;
use crate::shard::Shared;

/// Why the keeper could not do its work; it will try again.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// No room on the disk, or within the journal's bound, for another segment.
    #[error("there is no room for another segment")]
    NoRoom(#[source] io::Error),
    /// The disk's word.
    #[error("the journal's folder cannot be changed")]
    Disk(#[from] io::Error),
    /// A closed segment or the checkpoint cannot be read.
    #[error("closed segments cannot be folded")]
    Read(#[from] ReadError),
}

/// Keeps the journal in shape.
#[derive(Debug)]
pub struct Keeper {
    disk: Arc<dyn Disk>,
    journal: JournalId,
    gateway: u16,
    run: u64,
    segment_bytes: u64,
    segments_max: usize,
    closed_kept: usize,
    queues: Arc<SegmentQueues>,
    shared: Option<Arc<Shared>>,
    next_segment: u64,
    spares: Vec<u64>,
    closed: VecDeque<ClosedSegment>,
    checkpoint: Option<u64>,
    /// Checkpoints that a newer one has made needless.
    outdated: Vec<u64>,
    /// Whether what became of spares is durable: until then none gets a new header.
    names_synced: bool,
    /// Segments and spares on disk.
    files: usize,
    /// Activities that the checkpoint has forgotten, and the cores not yet.
    forgotten: Vec<ActivityId>,
    /// Closings since the start, up to the last for whose sake a checkpoint was wanted.
    closings_seen: u64,
    /// Position that a checkpoint is wanted to reach, so that closed activities leave memory.
    wanted: Option<u64>,
    /// Checkpoints made since the start.
    pub checkpoints: Arc<AtomicU64>,
}

impl Keeper {
    /// A keeper of what was found; the first segments are ready when it returns, as far as there
    /// is room for them: a full journal must start, too, or it could never be flushed and recycled.
    ///
    /// # Errors
    /// [`KeepError`] where the folder cannot be changed.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        journal: JournalId,
        options: &EngineOptions,
        found: &Found,
    ) -> Result<Self, KeepError> {
        let known = found.empty.iter().chain(&found.spares).copied();
        let known = known.chain(found.segments.iter().map(|it| it.segment)).chain(found.checkpoint);
        let mut keeper = Self {
            disk,
            journal,
            gateway: options.origin.gateway,
            run: found.last_run + 1,
            segment_bytes: options.segment_bytes,
            segments_max: options.segments_max,
            closed_kept: options.closed_kept,
            queues: Arc::new(SegmentQueues::new(SEGMENTS_AHEAD)),
            shared: None,
            next_segment: known.max().unwrap_or(0) + 1,
            spares: found.spares.clone(),
            closed: found.segments.iter().copied().collect(),
            checkpoint: found.checkpoint,
            outdated: found.outdated.clone(),
            names_synced: false,
            files: found.segments.len() + found.spares.len(),
            forgotten: Vec::new(),
            closings_seen: 0,
            wanted: None,
            checkpoints: Arc::default(),
        };
        for &segment in &found.empty {
            keeper.files += 1;
            keeper.recycle(segment)?;
        }
        keeper.remove_outdated()?;
        while !keeper.queues.ready.is_full() {
            match keeper.make_segment() {
                Ok(()) => {}
                Err(KeepError::NoRoom(_)) => break,
                Err(fault) => return Err(fault),
            }
        }
        Ok(keeper)
    }

    /// The segments' way to the writer and from it.
    #[must_use]
    pub fn queues(&self) -> &Arc<SegmentQueues> {
        &self.queues
    }

    /// Files on disk, at most the bound that was given.
    #[must_use]
    pub fn files(&self) -> usize {
        self.files
    }

    pub(super) fn follow(&mut self, shared: Arc<Shared>) {
        self.shared = Some(shared);
    }

    /// Does one piece of work; whether there may be more.
    ///
    /// # Errors
    /// [`KeepError`]; the work is still to be done.
    pub fn step(&mut self) -> Result<bool, KeepError> {
        while let Some(closed) = self.queues.closed.pop() {
            self.closed.push_back(closed);
        }
        if let Some(shared) = &self.shared {
            shared.forget(&mut self.forgotten);
        }
        self.look_at_closings();
        let short = !self.queues.ready.is_full();
        let fault = match short.then(|| self.make_segment()) {
            Some(Ok(())) => return Ok(true),
            Some(Err(fault)) => Some(fault),
            None => None,
        };
        // Without room for another segment, one that can be recycled is worth a checkpoint.
        let worth = if fault.is_some() { 1 } else { CHECKPOINT_SEGMENTS };
        if self.is_checkpoint_due(worth) {
            self.make_checkpoint()?;
            return Ok(true);
        }
        fault.map_or(Ok(false), Err)
    }

    /// Makes the next segment ready, out of a spare where there is one.
    fn make_segment(&mut self) -> Result<(), KeepError> {
        let segment = self.next_segment;
        let spare = match self.take_spare() {
            Some(spare) => spare,
            None => self.make_spare(segment)?,
        };
        let file = self.turn_into_segment(spare, segment).inspect_err(|_| {
            self.spares.push(spare);
        })?;
        self.next_segment += 1;
        let full = self.queues.ready.push(ReadySegment { segment, file });
        assert!(full.is_ok(), "only the keeper puts segments into the queue");
        if let Some(shared) = &self.shared {
            // The writer may sleep, and say meanwhile that it takes nothing.
            shared.journal.notify();
        }
        Ok(())
    }

    fn turn_into_segment(&mut self, spare: u64, segment: u64) -> io::Result<Box<dyn DiskFile>> {
        if !self.names_synced {
            self.sync_names()?;
        }
        let file = self.disk.open(&spare_name(spare))?;
        file.write_at(0, self.head(segment, self.run).encode().as_slice())?;
        file.sync()?;
        self.disk.rename(&spare_name(spare), &segment_name(segment))?;
        self.sync_names()?;
        Ok(file)
    }

    fn head(&self, segment: u64, run: u64) -> SegmentHead {
        SegmentHead { journal: self.journal, gateway: Some(self.gateway), segment, run }
    }

    /// Makes a file, if the disk and the journal's bound have room for it.
    fn make_spare(&mut self, spare: u64) -> Result<u64, KeepError> {
        if self.files >= self.segments_max {
            return Err(KeepError::NoRoom(io::Error::from(io::ErrorKind::QuotaExceeded)));
        }
        if let Err(error) = self.disk.create(&spare_name(spare), self.segment_bytes) {
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
            if file.and_then(|file| file.bytes()).is_ok_and(|bytes| bytes == self.segment_bytes) {
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

    /// Closed segments that the store has, oldest first.
    fn passed(&self) -> impl Iterator<Item = &ClosedSegment> {
        // Acquire, paired with `Engine::set_flushed`.
        let flushed =
            self.shared.as_ref().map_or(0, |shared| shared.flushed.load(Ordering::Acquire));
        self.closed.iter().take_while(move |closed| closed.end_position <= flushed)
    }

    fn is_checkpoint_due(&self, segments: u64) -> bool {
        let reaches = |wanted: u64| self.passed().any(|closed| closed.end_position >= wanted);
        self.passed().count() as u64 >= segments || self.wanted.is_some_and(reaches)
    }

    /// Closed activities fill memory until a checkpoint forgets the older ones. After as many
    /// closings as are kept one is wanted, though their records be too few to fill a segment.
    fn look_at_closings(&mut self) {
        let Some(shared) = &self.shared else { return };
        // Acquire, paired with `Shard::apply`: the closings are durable before the position below.
        let closings = shared.closed.load(Ordering::Acquire);
        if closings - self.closings_seen < self.closed_kept.max(1) as u64 {
            return;
        }
        self.closings_seen = closings;
        self.wanted = Some(shared.journal.durable_position());
        // Relaxed: advice to the writer.
        self.queues.ends_early.store(true, Ordering::Relaxed);
    }

    /// Folds the closed segments that the store has, and recycles them.
    fn make_checkpoint(&mut self) -> Result<(), KeepError> {
        let passed: Vec<_> = self.passed().map(|closed| closed.segment).collect();
        let last = *passed.last().expect("a checkpoint is due when a segment is passed");
        let mut fold = Fold::default();
        let mut from = 0;
        if let Some(before) = self.checkpoint {
            let mut apply = |record| fold.apply(&record);
            from = read_checkpoint(&*self.disk, (self.journal, before), &mut apply)?;
        }
        let mut apply = |_, record| fold.apply(&record);
        let replayed = replay(&*self.disk, self.journal, &passed, from, &mut apply)?;
        let known = |id| self.shared.as_ref().and_then(|shared| shared.activity(id));
        let may_go = |id| known(id).is_none_or(|it| it.may_be_forgotten());
        let forgotten = fold.fold_away(self.closed_kept, may_go);
        let next = last + 1;
        let head = self.head(next, 0);
        write_checkpoint(&*self.disk, head, replayed.position, |sink| fold.keep(sink))?;
        self.forgotten.extend(forgotten);
        self.wanted = self.wanted.filter(|&wanted| wanted > replayed.position);
        let before = self.checkpoint.replace(next);
        // A checkpoint that is made once more, since recycling had failed, replaces itself.
        self.outdated.extend(before.filter(|&before| before != next));
        self.remove_outdated()?;
        while let Some(segment) = self.closed.front().map(|it| it.segment)
            && segment <= last
        {
            self.recycle(segment)?;
        }
        // Relaxed: a figure for people.
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn remove_outdated(&mut self) -> io::Result<()> {
        while let Some(&outdated) = self.outdated.last() {
            self.disk.remove(&checkpoint_name(outdated))?;
            self.outdated.pop();
        }
        Ok(())
    }

    /// Makes a spare of a segment that nobody needs any more, or removes it where there are enough.
    fn recycle(&mut self, segment: u64) -> io::Result<()> {
        // Before its header is written anew, the file must not be found as a segment any more.
        self.names_synced = false;
        if self.spares.len() < SEGMENTS_AHEAD {
            self.disk.rename(&segment_name(segment), &spare_name(segment))?;
            self.spares.push(segment);
        } else {
            self.disk.remove(&segment_name(segment))?;
            self.files -= 1;
        }
        if self.closed.front().is_some_and(|closed| closed.segment == segment) {
            self.closed.pop_front();
        }
        self.sync_names()
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.disk.sync_names()?;
        self.names_synced = true;
        Ok(())
    }
}
