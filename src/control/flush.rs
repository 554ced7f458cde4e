//! The flush: the journal's durable records, in batches, to the store, each once.
//!
//! The batch and the position it leads to are one transaction of the store. With the store away
//! the journal keeps what is not flushed, and the sale goes on.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seckill_shards::engine::Engine;
use seckill_shards::ids::Origin;
use seckill_shards::journal::{ReadError, Tail, Takes};
use seckill_shards::orders::instant_of;
use seckill_shards::record::Record;
use tokio::runtime::Handle;

use super::Control;
use super::backlog::{Backlog, Behind};
use super::leases::Settling;
use crate::log::causes;
use crate::store::flush::BATCH_ROWS;
use crate::store::sift::{Subject, sift};
use crate::store::{Batch, FlushBatch, JournalPosition, SetAside, StoreError};

/// Rest between two batches.
pub(super) const REST: Duration = Duration::from_millis(100);
/// Records within one rest that make a storm: 10,000 orders a second.
const STORM_RECORDS: u64 = 1_000;
/// How long the store is let alone in a storm, in microseconds: the machine belongs to the buyers.
const STORM_US_MAX: u64 = 10_000_000;
/// A batch that the store fails with is made no smaller than so many rows.
const BATCH_ROWS_MIN: usize = 512;
/// Rest after a fault, before the same batch is tried again.
pub(super) const REST_AFTER_FAULT: Duration = Duration::from_millis(500);

/// What the flush is at; written by its thread, read by the metrics.
#[derive(Debug, Default)]
pub struct FlushStatus {
    /// Batches that the store has taken.
    pub batches: AtomicU64,
    /// Records in them.
    pub records: AtomicU64,
    /// Attempts that the store has failed.
    pub faults: AtomicU64,
    /// Rows that stand aside in the store; looked for once a minute.
    pub set_aside: AtomicU64,
    /// Somebody waits for what stands before this position.
    awaited: AtomicU64,
}

impl FlushStatus {
    /// Somebody waits until the store has what stands before a position: no storm is waited for with it.
    pub fn hasten(&self, position: u64) {
        // Relaxed: only the number counts.
        self.awaited.fetch_max(position, Ordering::Relaxed);
    }

    /// Whether somebody waits for more than what stands before a position.
    pub(super) fn is_awaited(&self, position: u64) -> bool {
        // Relaxed: as above.
        self.awaited.load(Ordering::Relaxed) > position
    }
}

/// Follows the journal until the control is stopped and nothing durable is left to flush.
pub(super) fn run(control: &Arc<Control>, runtime: &Handle) {
    if !control.registers(runtime) {
        return;
    }
    let mut tail = control.engine.tail(control.engine.flushed_position());
    control.begin_backlog();
    let mut pending: Option<Pending> = None;
    let (mut storm, mut reach) = (Storm::new(&control.engine), Reach::default());
    loop {
        let is_last = control.is_last();
        let rages = storm.rages(&control.engine, tail.behind());
        if rages && !is_last && !control.flush.is_awaited(control.engine.flushed_position()) {
            std::thread::sleep(REST);
            continue;
        }
        if pending.is_none() {
            pending = match next_batch(&control.engine, &mut tail, &reach) {
                Ok(batch) => batch
                    .map(|batch| Pending { batch: control.without_known(batch), is_sifted: false }),
                Err(error) => {
                    control.flush_fault(&error, "flush cannot read");
                    None
                }
            };
        }
        match &mut pending {
            None if is_last => return,
            None => std::thread::sleep(REST),
            Some(full) => match runtime.block_on(control.take(full)) {
                Ok(()) => {
                    control.flushed(&full.batch);
                    reach.grow(full.batch.to);
                    if !is_last && tail.behind() < reach.rows as u64 {
                        std::thread::sleep(REST);
                    }
                    pending = None;
                }
                Err(error) => {
                    control.flush_fault(&error, "the store did not take a batch");
                    if is_last {
                        return;
                    }
                    // Perhaps it was too much for the time that the store has.
                    if error.is_away() && reach.shrink(full.batch.to) {
                        tail = control.engine.tail(full.batch.from.position);
                        pending = None;
                    }
                    std::thread::sleep(REST_AFTER_FAULT);
                }
            },
        }
    }
}

/// A batch that the store has yet to take.
#[derive(Debug)]
struct Pending {
    batch: Arc<FlushBatch>,
    /// The rows that it refuses were looked for, which takes long: once is enough.
    is_sifted: bool,
}

/// How far a batch goes. One that takes the store longer than a call may would fail for ever, so where it has
/// failed the next ones are smaller, and then larger again.
#[derive(Debug)]
pub(super) struct Reach {
    rows: usize,
    /// Where batches end of which nobody knows whether the store has taken them: none goes across.
    ends: BTreeSet<u64>,
}

impl Default for Reach {
    fn default() -> Self {
        Self { rows: BATCH_ROWS, ends: BTreeSet::new() }
    }
}

impl Reach {
    /// The store has failed with a batch up to a position. False where it was small already.
    fn shrink(&mut self, to: u64) -> bool {
        let is_large = self.rows > BATCH_ROWS_MIN;
        self.rows = (self.rows / 2).max(BATCH_ROWS_MIN);
        self.ends.insert(to);
        is_large
    }

    /// The store has taken what stands before a position.
    fn grow(&mut self, to: u64) {
        self.rows = (self.rows * 2).min(BATCH_ROWS);
        self.ends = self.ends.split_off(&(to + 1));
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
    /// Flushes a batch, without the rows for whose sake the store refuses it: these are set aside.
    async fn take(&self, pending: &mut Pending) -> Result<(), StoreError> {
        match self.store.flush(Arc::clone(&pending.batch)).await {
            Err(error) if error.lies_in_a_row() && !pending.is_sifted => {
                self.flush_fault(&error, "a row of a batch is not taken, and looked for");
            }
            done => return done,
        }
        let sifted = sift(&*self.store, &pending.batch).await;
        // Unless the store was lost over it.
        pending.is_sifted = sifted.as_ref().err().is_none_or(StoreError::lies_in_a_row);
        let (mut rest, refused) = sifted?;
        if let Some(settling) = &self.settling {
            // Before the position moves: from then on they could be confirmed.
            settling.put_aside(refused.iter().filter_map(|(subject, _)| subject.order()));
        }
        rest.set_aside.extend(self.set_aside(&pending.batch, refused));
        pending.batch = Arc::new(rest);
        self.store.flush(Arc::clone(&pending.batch)).await
    }

    /// A batch without what moves orders that are set aside, with which it is set aside, too: the
    /// gateway itself rejects them, so looking for these rows would be idle, and there may be many.
    fn without_known(&self, batch: Arc<FlushBatch>) -> Arc<FlushBatch> {
        let aside = self.settling.as_ref().map_or_else(BTreeSet::new, Settling::aside);
        let moved = batch.orders.moves.iter().map(|moved| moved.id);
        let known: Vec<_> = moved.filter(|id| aside.contains(id)).collect();
        if known.is_empty() {
            return batch;
        }
        let mut rest = FlushBatch::clone(&batch);
        rest.orders.moves.retain(|moved| !known.contains(&moved.id));
        let reason = || "its order is set aside".to_owned();
        let known = known.into_iter().map(|id| (Subject::Order(id), reason())).collect();
        rest.set_aside = self.set_aside(&batch, known);
        Arc::new(rest)
    }

    /// The rows that a batch is flushed without, with the records of the journal that they are of.
    fn set_aside(&self, batch: &FlushBatch, refused: Vec<(Subject, String)>) -> Vec<SetAside> {
        let mut records = vec![String::new(); refused.len()];
        let mut tail = self.engine.tail(batch.from.position);
        let mut note = |position: u64, record: Record| {
            let subjects = Subject::of(&record);
            for ((subject, _), records) in refused.iter().zip(&mut records) {
                if subjects.contains(subject) {
                    writeln!(records, "{position} {record:?}").expect("a string takes all text");
                }
            }
        };
        while tail.position() < batch.to {
            match tail.next_group(&mut note) {
                Ok(true) => {}
                Ok(false) => break,
                // The row is kept all the same: its subject and reason are known.
                Err(error) => {
                    self.flush_fault(&error, "the records of a row cannot be read");
                    break;
                }
            }
        }
        let rows = refused.into_iter().zip(records).map(|((subject, reason), records)| SetAside {
            subject: subject.to_string(),
            records,
            reason,
        });
        rows.collect()
    }

    /// Counts the rows that stand aside in the store, where it says.
    pub(super) async fn count_set_aside(&self) {
        match self.store.count_set_aside(self.engine.origin().gateway).await {
            Ok(rows) => self.flush.set_aside.store(rows, Ordering::Relaxed),
            Err(error) => {
                let error = causes(&error);
                tracing::warn!(%error, "nobody knows what is set aside");
            }
        }
    }

    /// Notes how old the oldest record is that an earlier run of the gateway has not flushed.
    fn begin_backlog(&self) {
        let position = self.engine.flushed_position();
        let mut oldest = None;
        let mut note = |at: u64, record: Record| {
            oldest = oldest.or_else(|| (at == position).then(|| instant_of(&record)));
        };
        // What cannot be read is told by the flush itself.
        if self.engine.tail(position).next_group(&mut note).is_ok_and(|is_there| is_there) {
            self.backlog().begin(oldest.unwrap_or_else(|| self.now()), position);
        }
    }

    /// Remembers where journal and store stand now.
    pub(super) fn look_at_backlog(&self) {
        let (now, durable) = (self.now(), self.engine.journal().durable_position());
        self.backlog().look(now, durable, self.engine.flushed_position());
    }

    /// What the store has not.
    #[must_use]
    pub fn behind(&self) -> Behind {
        let durable = self.engine.journal().durable_position();
        self.backlog().behind(self.now(), durable, self.engine.flushed_position())
    }

    fn backlog(&self) -> std::sync::MutexGuard<'_, Backlog> {
        self.backlog.lock().expect("nobody panics under this lock")
    }

    pub(super) fn flush_fault(&self, error: &(dyn std::error::Error + 'static), what: &str) {
        tracing::warn!(error = %causes(error), "{what}");
        // Relaxed: a figure for people.
        self.flush.faults.fetch_add(1, Ordering::Relaxed);
    }

    /// The store has taken a batch.
    pub(super) fn flushed(&self, batch: &FlushBatch) {
        // The sums first: what the store has may be recycled.
        match self.sums.lock().expect("nobody panics under this lock").catch_up() {
            Ok((_, position)) if position >= batch.to => self.engine.set_flushed(batch.to),
            Ok(_) => {}
            Err(error) => {
                tracing::error!(error = %causes(&error), "sums stand still");
            }
        }
        // Relaxed: figures for people.
        self.flush.batches.fetch_add(1, Ordering::Relaxed);
        self.flush.records.fetch_add(batch.to - batch.from.position, Ordering::Relaxed);
        self.flush.set_aside.fetch_add(batch.set_aside.len() as u64, Ordering::Relaxed);
        for SetAside { subject, reason, .. } in &batch.set_aside {
            tracing::error!(subject, reason, "a row is set aside, and the rest goes on");
        }
    }
}

/// What is durable now, as far as a batch may go; none where nothing is. Where reading fails the tail goes back
/// to where the batch began: what was read of it is lost with it.
pub(super) fn next_batch(
    engine: &Engine,
    tail: &mut Tail,
    reach: &Reach,
) -> Result<Option<Arc<FlushBatch>>, ReadError> {
    if tail.behind() == 0 {
        return Ok(None);
    }
    let Origin { gateway, epoch } = engine.origin();
    let (journal_id, position) = (engine.journal_id(), tail.position());
    let mut batch = Batch::new(gateway, JournalPosition { journal_id, epoch, position });
    while batch.rows() < reach.rows {
        match tail.next_group(&mut |_, record| batch.push(&record)) {
            Ok(true) if reach.ends.contains(&tail.position()) => break,
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                *tail = engine.tail(position);
                return Err(error);
            }
        }
    }
    Ok(Some(Arc::new(batch.finish(tail.position()))))
}

#[cfg(test)]
mod tests {
    use seckill_shards::command::Command;
    use seckill_shards::ids::{ActivityId, OrderId, UserId};
    use seckill_shards::record::{NO_KEY, OrderPlaced};
    use seckill_shards::testing::World;
    use seckill_shards::testing::world::published;
    use tokio::task::LocalSet;

    use super::super::learn::Learned;
    use super::super::testing::{Desk, buy, runtime, sale};
    use super::*;
    use crate::store::JournalFound;

    /// Another gateway has put an order of this id into the store.
    async fn poison(desk: &Desk, order: OrderId, activity: ActivityId) {
        let (journal_id, epoch) = ([9; 16], 0);
        let found = JournalFound { gateway: 9, journal_id, epoch, begin: 0, end: 1 };
        desk.store.register(found).await.unwrap();
        let mut batch = Batch::new(9, JournalPosition { journal_id, epoch, position: 0 });
        let at = desk.control.now();
        batch.push(&Record::OrderPlaced(OrderPlaced {
            order,
            activity,
            user: UserId(1),
            quantity: 1,
            at,
            pay_before: at.plus_ms(1),
            key: NO_KEY,
            body: NO_KEY,
        }));
        desk.store.flush(Arc::new(batch.finish(1))).await.unwrap();
    }

    /// Nobody waits long for the store in a storm, nor for more of it than was there.
    #[test]
    fn the_flush_does_not_rest_before_what_somebody_waits_for() {
        let status = FlushStatus::default();
        assert!(!status.is_awaited(0));
        status.hasten(7);
        status.hasten(5);
        assert!(status.is_awaited(6));
        assert!(!status.is_awaited(7));
    }

    /// A batch that took the store too long was tried for ever; and of the same records in other batches the
    /// store refuses one that begins before what it has and ends behind it.
    #[test]
    fn after_a_fault_batches_are_smaller_and_none_goes_across_the_end_of_one_that_may_be_taken() {
        LocalSet::new().block_on(&runtime(), async {
            let desk = Desk::new(2, None);
            let (control, activity) = (&desk.control, sale(&*desk.store).await);
            control.register().await.unwrap();
            control.learn_all(&mut Learned::default()).await.unwrap();
            for user in 0..8 {
                buy(control, activity, UserId(user)).await;
            }
            let begin = control.engine.flushed_position();
            let read = |reach: &Reach, from: u64| {
                let mut tail = control.engine.tail(from);
                next_batch(&control.engine, &mut tail, reach).unwrap().unwrap()
            };
            let mut reach = Reach::default();
            let whole = read(&reach, begin);
            reach.rows = 4;
            let taken = read(&reach, begin);
            desk.store.flush(Arc::clone(&taken)).await.unwrap();
            // Nobody has heard so.
            reach.ends.insert(taken.to);
            reach.rows = 2;
            let mut from = begin;
            while from < whole.to {
                let batch = read(&reach, from);
                assert!(batch.to <= taken.to || batch.from.position >= taken.to, "{batch:?}");
                desk.store.flush(Arc::clone(&batch)).await.unwrap();
                from = batch.to;
                reach.rows = 3;
            }
            let stored = desk.store.position(whole.gateway).await.unwrap().unwrap();
            assert_eq!(stored.position, whole.to);
        });
    }

    #[test]
    fn what_the_store_fails_with_is_halved_and_grows_again() {
        let mut reach = Reach::default();
        let mut halved = 0;
        while reach.shrink(100 + halved) {
            halved += 1;
        }
        assert_eq!((reach.rows, halved), (BATCH_ROWS_MIN, 6));
        reach.grow(103);
        assert_eq!(reach.ends, [104, 105, 106].into());
        (0..9).for_each(|_| reach.grow(200));
        assert_eq!((reach.rows, reach.ends.len()), (BATCH_ROWS, 0));
    }

    /// The groups before one that could not be read were left out of every later batch, and the store took
    /// none that did not follow: nothing was flushed until a restart.
    #[test]
    fn a_batch_whose_reading_fails_is_read_again_from_its_beginning() {
        let mut world = World::new(1, 1);
        for sale in 1..=3 {
            world.ask(Command::Publish { row: Box::new(published(sale, 1)), forgotten: 0 });
        }
        let disk = world.disk.clone();
        let end = world.engine.journal().durable_position();
        let mut failed = 0;
        for calls in 0.. {
            let mut tail = world.engine.tail(0);
            disk.fail_reads_after(calls);
            let read = next_batch(&world.engine, &mut tail, &Reach::default());
            disk.heal_reads();
            if read.is_ok() {
                break;
            }
            failed += 1;
            let batch = next_batch(&world.engine, &mut tail, &Reach::default())
                .unwrap()
                .expect("it is durable");
            assert_eq!((batch.from.position, batch.to), (0, end), "after {calls} calls");
        }
        assert!(failed > 3, "several calls read it");
    }

    /// One row that the store did not take stood before all others for ever.
    #[test]
    fn a_poisoned_row_is_set_aside_with_its_records_and_the_rest_is_flushed() {
        let runtime = runtime();
        LocalSet::new().block_on(&runtime, async {
            let desk = Desk::new(1, None);
            let activity = sale(&*desk.store).await;
            desk.control.register().await.unwrap();
            desk.control.prepare().await.unwrap();
            let mut orders = Vec::new();
            for user in 1..=5 {
                orders.push(buy(&desk.control, activity, UserId(user)).await);
            }
            poison(&desk, orders[2], activity).await;
            desk.control.finish();
            let control = Arc::clone(&desk.control);
            let handle = Handle::current();
            tokio::task::spawn_blocking(move || run(&control, &handle)).await.unwrap();

            let figures = &desk.control.flush;
            let of = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
            assert_eq!((of(&figures.set_aside), of(&figures.batches)), (1, 1));
            let durable = desk.control.engine.journal().durable_position();
            assert_eq!(desk.control.engine.flushed_position(), durable);
            let gateway = desk.control.engine.origin().gateway;
            let kept = desk.store.all_set_aside(gateway).await.unwrap();
            let [row] = &kept[..] else { panic!("{kept:?}") };
            assert_eq!(row.subject, format!("order {}", orders[2]));
            assert!(row.records.lines().count() == 1, "{}", row.records);
            assert!(row.records.contains("OrderPlaced") && row.records.contains("UserId(3)"));
            for (order, user) in orders.iter().zip([1, 2, 1, 4, 5]) {
                assert_eq!(desk.store.order(*order).await.unwrap().order.user, UserId(user));
            }
            figures.set_aside.store(0, Ordering::Relaxed);
            desk.control.count_set_aside().await;
            assert_eq!(of(&figures.set_aside), 1, "after a start, too");
        });
    }
}
