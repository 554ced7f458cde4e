//! The flush: the journal's durable records, in batches, to the store, each once.
//!
//! The batch and the position it leads to are one transaction of the store. With the store away
//! the journal keeps what is not flushed, and the sale goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seckill_shards::engine::Engine;
use seckill_shards::ids::Origin;
use seckill_shards::journal::{ReadError, Tail};
use tokio::runtime::Handle;

use super::Control;
use crate::store::flush::BATCH_ROWS;
use crate::store::{Batch, FlushBatch, JournalPosition, StoreError};

/// Rest between two batches.
const REST: Duration = Duration::from_millis(100);
/// Rest after a large batch: in a storm, a larger one costs less per row, and the cores need the
/// time more than the store does.
const REST_IN_STORM: Duration = Duration::from_millis(400);
/// Records of a large batch.
const STORM_RECORDS: u64 = 4_096;
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
    let mut tail = control.engine.tail(control.engine.flushed_position());
    let mut batch = None;
    loop {
        let is_last = control.is_last();
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
                        let is_storm = full.to - full.from.position >= STORM_RECORDS;
                        std::thread::sleep(if is_storm { REST_IN_STORM } else { REST });
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

impl Control {
    fn flushed(&self, batch: &FlushBatch) {
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
fn next_batch(engine: &Engine, tail: &mut Tail) -> Result<Option<Arc<FlushBatch>>, ReadError> {
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
