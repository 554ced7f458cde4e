//! The keeper: makes segments ahead, folds closed ones into a checkpoint, recycles what is passed.
//!
//! It works beside the sale; no core stops for it. A segment is recycled only when a checkpoint
//! has passed it, and a checkpoint is made only of what the store has. What a checkpoint forgets
//! leaves the cores' memory behind it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::segments::Segments;
use super::{EngineOptions, Found};
use crate::disk::Disk;
use crate::ids::ActivityId;
use crate::journal::{
    ClosedSegment, JournalId, ReadError, SegmentHead, SegmentQueues, checkpoint_name,
    read_checkpoint, replay, write_checkpoint,
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
    segment_bytes: u64,
    segments_max: usize,
    closed_kept: usize,
    shared: Option<Arc<Shared>>,
    segments: Segments,
    closed: VecDeque<ClosedSegment>,
    checkpoint: Option<u64>,
    /// Of the checkpoint; 0 where there is none.
    checkpoint_bytes: u64,
    /// Checkpoints that a newer one has made needless.
    outdated: Vec<u64>,
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
        let checkpoint = found.checkpoint.map(|it| disk.open(&checkpoint_name(it))).transpose()?;
        let mut keeper = Self {
            segments: Segments::new(Arc::clone(&disk), journal, options, found)?,
            disk,
            journal,
            gateway: options.origin.gateway,
            segment_bytes: options.segment_bytes,
            segments_max: options.segments_max,
            closed_kept: options.closed_kept,
            shared: None,
            closed: found.segments.iter().copied().collect(),
            checkpoint: found.checkpoint,
            checkpoint_bytes: checkpoint.map_or(Ok(0), |file| file.bytes())?,
            outdated: found.outdated.clone(),
            forgotten: Vec::new(),
            closings_seen: 0,
            wanted: None,
            checkpoints: Arc::default(),
        };
        keeper.remove_outdated()?;
        while keeper.segments.are_short() && keeper.segments.make() {}
        match keeper.segments.fault.take() {
            None | Some(KeepError::NoRoom(_)) => Ok(keeper),
            Some(fault) => Err(fault),
        }
    }

    /// The segments' way to the writer and from it.
    #[must_use]
    pub fn queues(&self) -> &Arc<SegmentQueues> {
        &self.segments.queues
    }

    /// Files on disk, at most the bound that was given.
    #[must_use]
    pub fn files(&self) -> usize {
        self.segments.files
    }

    pub(super) fn follow(&mut self, shared: Arc<Shared>) {
        self.segments.tell(Arc::clone(&shared.journal));
        self.shared = Some(shared);
    }

    /// Does one piece of work; whether there may be more.
    ///
    /// # Errors
    /// [`KeepError`]; the work is still to be done.
    pub fn step(&mut self) -> Result<bool, KeepError> {
        while let Some(closed) = self.segments.queues.closed.pop() {
            self.closed.push_back(closed);
        }
        if let Some(shared) = &self.shared {
            shared.forget(&mut self.forgotten);
        }
        self.look_at_closings();
        self.segments.fault = None;
        if self.segments.are_short() && self.segments.make() {
            return Ok(true);
        }
        if self.recycle_spent()? {
            return Ok(true);
        }
        // Without room for another segment, one that can be recycled is worth a checkpoint.
        let lacks_room = self.segments.lack_room();
        let worth = if lacks_room { 1 } else { self.segments_worth_a_checkpoint() };
        let may_go_on = lacks_room || self.segments.fault.is_none();
        if !may_go_on || !self.is_checkpoint_due(worth) {
            return self.segments.fault.take().map_or(Ok(false), Err);
        }
        self.make_checkpoint()?;
        self.recycle_spent()?;
        match self.segments.fault.take() {
            // There may be room now.
            None | Some(KeepError::NoRoom(_)) => Ok(true),
            Some(fault) => Err(fault),
        }
    }

    /// Closed segments that the store has, oldest first.
    fn passed(&self) -> impl Iterator<Item = &ClosedSegment> {
        // Acquire, paired with `Engine::set_flushed`.
        let flushed =
            self.shared.as_ref().map_or(0, |shared| shared.flushed.load(Ordering::Acquire));
        self.closed.iter().take_while(move |closed| closed.end_position <= flushed)
    }

    /// A checkpoint costs what it has and what it reads, so it waits for as many segments as the last one would fill: what
    /// is read and written again stays in proportion to what came. Half of the journal's bound is left to what
    /// comes while one is made, and to what the store lacks.
    fn segments_worth_a_checkpoint(&self) -> usize {
        let filled = usize::try_from(self.checkpoint_bytes / self.segment_bytes);
        let most = (self.segments_max - SEGMENTS_AHEAD - 1) / 2;
        filled.unwrap_or(usize::MAX).min(most).max(CHECKPOINT_SEGMENTS)
    }

    fn is_checkpoint_due(&self, segments: usize) -> bool {
        let reaches = |wanted: u64| self.passed().any(|closed| closed.end_position >= wanted);
        self.passed().count() >= segments || self.wanted.is_some_and(reaches)
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
        self.segments.queues.ends_early.store(true, Ordering::Relaxed);
    }

    /// Folds the closed segments that the store has.
    fn make_checkpoint(&mut self) -> Result<(), KeepError> {
        let passed: Vec<_> = self.passed().map(|closed| closed.segment).collect();
        let last = *passed.last().expect("a checkpoint is due when a segment is passed");
        let (mut fold, position) = self.fold(&passed)?;
        let known = |id| self.shared.as_ref().and_then(|shared| shared.activity(id));
        let may_go = |id| known(id).is_none_or(|it| it.may_be_forgotten());
        let forgotten = fold.fold_away(self.closed_kept, may_go);
        let next = last + 1;
        self.checkpoint_bytes = self.write_checkpoint(next, position, &fold)?;
        self.forgotten.extend(forgotten);
        self.wanted = self.wanted.filter(|&wanted| wanted > position);
        self.outdated.extend(self.checkpoint.replace(next));
        // Relaxed: a figure for people.
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// What the checkpoint and the `passed` segments behind it make, and the position at their end.
    /// With millions of orders it takes longer than the segments made ahead may last.
    fn fold(&mut self, passed: &[u64]) -> Result<(Fold, u64), ReadError> {
        let mut fold = Fold::default();
        let mut from = 0;
        let mut apply = |record| {
            fold.apply(&record);
            self.segments.make_meanwhile();
        };
        if let Some(before) = self.checkpoint {
            from = read_checkpoint(&*self.disk, (self.journal, before), &mut apply)?;
        }
        let mut apply = |_, record| apply(record);
        let replayed = replay(&*self.disk, self.journal, passed, from, &mut apply)?;
        Ok((fold, replayed.position))
    }

    /// The bytes of it.
    fn write_checkpoint(&mut self, segment: u64, position: u64, fold: &Fold) -> io::Result<u64> {
        let Self { journal, gateway, .. } = *self;
        let head = SegmentHead { journal, gateway: Some(gateway), segment, run: 0 };
        write_checkpoint(&*self.disk, head, position, |sink| {
            fold.keep(&mut |record| {
                sink(record);
                self.segments.make_meanwhile();
            });
        })
    }

    /// Recycles the closed segments that the checkpoint has passed, once older checkpoints are gone; whether
    /// there were some.
    fn recycle_spent(&mut self) -> io::Result<bool> {
        self.remove_outdated()?;
        let (spares_max, before) = (self.segments_worth_a_checkpoint(), self.closed.len());
        while let Some(segment) = self.closed.front().map(|it| it.segment)
            && self.checkpoint.is_some_and(|checkpoint| segment < checkpoint)
        {
            self.segments.recycle(segment, spares_max)?;
            self.closed.pop_front();
        }
        Ok(self.closed.len() < before)
    }

    fn remove_outdated(&mut self) -> io::Result<()> {
        while let Some(&outdated) = self.outdated.last() {
            self.disk.remove(&checkpoint_name(outdated))?;
            self.outdated.pop();
        }
        Ok(())
    }
}
