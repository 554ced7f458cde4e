//! The flush: the journal's durable records, in batches, to the store, each once.
//!
//! The batch and the position it leads to are one transaction of the store. With the store away
//! the journal keeps what is not flushed, and the sale goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seckill_shards::engine::Engine;
use seckill_shards::ids::Origin;
use seckill_shards::journal::{ReadError, Tail, Takes};
use tokio::runtime::Handle;

use super::Control;
use crate::store::flush::BATCH_ROWS;
use crate::store::{Batch, FlushBatch, JournalPosition, StoreError};

/// Rest between two batches.
const REST: Duration = Duration::from_millis(100);
/// Records within one rest that make a storm: 10,000 orders a second.
const STORM_RECORDS: u64 = 1_000;
/// How long the store is let alone in a storm, in microseconds: the machine belongs to the buyers.
const STORM_US_MAX: u64 = 10_000_000;
/// Rest after a fault, before the same batch is tried again.
const REST_AFTER_FAULT: Duration = Duration::from_millis(500);

/// What the flush is at; written by its thread, read by the metrics.
#[derive(Debug, Default)]
pub struct FlushStatus {
    /// Batches that the store has taken.
    pub batches: AtomicU64,
    /// Records in them.
    pub records: AtomicU64,
    /// Attempts that the store has failed.
    pub faults: AtomicU64,
}

/// Follows the journal until the control is stopped and nothing durable is left to flush.
pub(super) fn run(control: &Arc<Control>, runtime: &Handle) {
    if !control.registers(runtime) {
        return;
    }
    let mut tail = control.engine.tail(control.engine.flushed_position());
    let mut batch = None;
    let mut storm = Storm::new(&control.engine);
    loop {
        let is_last = control.is_last();
        if !is_last && storm.rages(&control.engine, tail.behind()) {
            std::thread::sleep(REST);
            continue;
        }
        if batch.is_none() {
            batch = match next_batch(&control.engine, &mut tail) {
                Ok(batch) => batch,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "flush cannot read");
                    control.flush.faults.fetch_add(1, Ordering::Relaxed);
                    None
                }
            };
        }
        match &batch {
            None if is_last => return,
            None => std::thread::sleep(REST),
            Some(full) => match runtime.block_on(control.store.flush(Arc::clone(full))) {
                Ok(()) => {
                    control.flushed(full);
                    if !is_last && tail.behind() < BATCH_ROWS as u64 {
                        std::thread::sleep(REST);
                    }
                    batch = None;
                }
                Err(error) => {
                    control.flush.faults.fetch_add(1, Ordering::Relaxed);
                    report(&error);
                    if is_last {
                        return;
                    }
                    std::thread::sleep(REST_AFTER_FAULT);
                }
            },
        }
    }
}

/// A storm of orders, as the flush sees it.
#[derive(Debug)]
struct Storm {
    /// Position of the journal at the last look.
    position: u64,
    /// Since when the store is let alone, on the clock's microseconds.
    since_us: Option<u64>,
    /// It was let alone for long enough: what has come together is flushed first.
    is_over: bool,
}

impl Storm {
    fn new(engine: &Engine) -> Self {
        Self { position: engine.journal().durable_position(), since_us: None, is_over: false }
    }

    /// Whether the store is to be let alone for now: records pour in, the journal has room for
    /// them, and it has not lasted for too long.
    fn rages(&mut self, engine: &Engine, behind: u64) -> bool {
        let journal = engine.journal();
        let position = journal.durable_position();
        let came = position - std::mem::replace(&mut self.position, position);
        self.is_over &= behind >= BATCH_ROWS as u64;
        self.is_over |= journal.takes() < Takes::Everything;
        if self.is_over || came < STORM_RECORDS {
            self.since_us = None;
            return false;
        }
        let now_us = engine.clock().elapsed_us();
        self.is_over = now_us - *self.since_us.get_or_insert(now_us) >= STORM_US_MAX;
        !self.is_over
    }
}

impl Control {
    /// The store has taken a batch.
    pub(super) fn flushed(&self, batch: &FlushBatch) {
        // The sums first: what the store has may be recycled.
        match self.sums.lock().expect("nobody panics under this lock").catch_up() {
            Ok((_, position)) if position >= batch.to => self.engine.set_flushed(batch.to),
            Ok(_) => {}
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "sums stand still");
            }
        }
        // Relaxed: figures for people.
        self.flush.batches.fetch_add(1, Ordering::Relaxed);
        self.flush.records.fetch_add(batch.to - batch.from.position, Ordering::Relaxed);
    }
}

/// What is durable now, up to a full batch; none where nothing is.
pub(super) fn next_batch(
    engine: &Engine,
    tail: &mut Tail,
) -> Result<Option<Arc<FlushBatch>>, ReadError> {
    if tail.behind() == 0 {
        return Ok(None);
    }
    let Origin { gateway, epoch } = engine.origin();
    let (journal_id, position) = (engine.journal_id(), tail.position());
    let mut batch = Batch::new(gateway, JournalPosition { journal_id, epoch, position });
    while !batch.is_full() && tail.next_group(&mut |_, record| batch.push(&record))? {}
    Ok(Some(Arc::new(batch.finish(tail.position()))))
}

fn report(error: &StoreError) {
    tracing::warn!(error = error as &dyn std::error::Error, "the store did not take a batch");
}
