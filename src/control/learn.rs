//! Learning: once a second, what the store has changed is taken over.
//!
//! Versions only rise, so a row that is known is not journaled again; a gateway that went down
//! between the store's transaction and its own record learns the rest at its start.

use std::sync::atomic::Ordering;

use seckill_shards::clock::Clock;
use seckill_shards::command::{Command, Refusal, Verdict};
use tokio::time::{sleep, timeout};

use super::Control;
use super::limits::{LEARN_AGAIN, LEARN_FIRST_TIMES, NEWS};
use crate::api::tokens::seconds;
use crate::log::causes;
use crate::store::{Activity, PAGE_ROWS_MAX, StoreError};

/// How far the store's changes were read.
#[derive(Debug, Default)]
pub(super) struct Learned {
    /// All rows up to this version are known; those behind it may be, and are read again.
    activity_version: u64,
    product_version: u64,
    revocation: u64,
    /// Some row was not taken over, and is read again.
    waits: bool,
    /// Some row is a sale's that is not known yet.
    lacks_sales: bool,
}

impl Control {
    /// Reads the news, unless the store is left alone; so it is known to be back though nobody asks
    /// it for anything else.
    pub(super) async fn learn(&self) {
        let Some(pass) = self.store_breaker.ask(self.clock.elapsed_us()) else { return };
        let mut learned = self.learned.lock().await;
        let news = timeout(NEWS, self.learn_all(&mut learned)).await;
        let is_good =
            news.as_ref().is_ok_and(|read| !read.as_ref().is_err_and(StoreError::is_outage));
        pass.done(is_good, self.clock.elapsed_us());
        match news {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %causes(&error), "the store has no news");
            }
            Err(_) => tracing::warn!("the store is slow to tell its news"),
        }
    }

    /// All that the store has, before anybody is served: a sale that is not known would be told to be none. A
    /// journal that has just begun may have no room for a moment.
    pub(super) async fn learn_first(&self) -> Result<(), StoreError> {
        let mut learned = self.learned.lock().await;
        for _ in 0..LEARN_FIRST_TIMES {
            self.learn_all(&mut learned).await?;
            if !learned.waits {
                return Ok(());
            }
            sleep(LEARN_AGAIN).await;
        }
        tracing::warn!("serves before it knows all sales");
        Ok(())
    }

    /// Reads all that is new in the store.
    pub(super) async fn learn_all(&self, learned: &mut Learned) -> Result<(), StoreError> {
        // Sign-outs first: whatever else the store cannot tell must not keep a session alive. Those, and
        // products, are this process's, whomever it speaks for.
        if !self.is_adopted() {
            self.learn_sign_outs(learned).await?;
        }
        self.learn_activities(learned).await?;
        if !learned.lacks_sales {
            self.engine.know_sales(true);
        }
        self.learn_what_was_said().await?;
        if self.is_adopted() {
            return Ok(());
        }
        if let Some(last) = self.store.products_changed(learned.product_version).await?.last() {
            learned.product_version = last.version;
            self.stale.notify_one();
        }
        // Relaxed: the store was read a moment ago, and is there for the pages, too.
        if self.pages_lack.load(Ordering::Relaxed) {
            self.stale.notify_one();
        }
        Ok(())
    }

    async fn learn_sign_outs(&self, learned: &mut Learned) -> Result<(), StoreError> {
        let now = self.engine.clock().now();
        loop {
            let revocations = self.store.revocations(learned.revocation).await?;
            for revocation in &revocations {
                self.access.apply(revocation.revoked, revocation.until, seconds(now));
                learned.revocation = revocation.number;
            }
            if revocations.len() < PAGE_ROWS_MAX as usize {
                return Ok(());
            }
        }
    }

    /// A row that has to wait, since there is no room for another sale, holds up none behind it.
    async fn learn_activities(&self, learned: &mut Learned) -> Result<(), StoreError> {
        let (mut version, mut waits, mut lacks_sales) = (learned.activity_version, false, false);
        loop {
            // Before the rows are read: what is forgotten later is open in them, and what the store
            // has later is not.
            let (forgotten, flushed) = (self.engine.forgotten(), self.engine.flushed_position());
            let changed = self.store.activities_changed(version).await?;
            for row in &changed {
                version = row.version;
                let is_done = self.publish(row, forgotten, flushed).await;
                waits |= !is_done;
                lacks_sales |= !is_done && self.engine.activity(row.id).is_none();
                if !waits {
                    learned.activity_version = version;
                    self.stale.notify_one();
                }
            }
            if changed.len() < PAGE_ROWS_MAX as usize {
                (learned.waits, learned.lacks_sales) = (waits, lacks_sales);
                return Ok(());
            }
        }
    }

    /// Looks once more at the sales of which something was said that the store has by now: its word is
    /// the last, whatever came late or in another order.
    async fn learn_what_was_said(&self) -> Result<(), StoreError> {
        for (activity, said) in self.said_and_stored() {
            // Before the row is read, as above.
            let flushed = self.engine.flushed_position();
            let row = self.store.activity(activity).await?;
            self.newest.forget(activity, said);
            if !self.follow_phase(&row, flushed).await {
                self.newest.note(activity, said);
            }
        }
        Ok(())
    }

    /// Has a row journaled; false where it must be read and tried again.
    async fn publish(&self, row: &Activity, forgotten: u64, flushed: u64) -> bool {
        let known = self.engine.activity(row.id);
        let version = known.as_ref().map(|it| it.sale().version);
        let shared = known.filter(|it| it.sale().lease.is_some());
        if let Some(shared) = shared.filter(|_| row.closed) {
            shared.note_over();
            self.settling.iter().for_each(|settling| settling.note_over(row.id));
            return self.follow_phase(row, flushed).await;
        }
        let is_new = version.is_none();
        if !row.is_copied() || (is_new && self.is_adopted()) {
            return true;
        }
        if version.is_some_and(|known| known >= row.version) {
            return self.follow_phase(row, flushed).await;
        }
        // That it has ended, before its version: Redis hears what a version says once. What cannot be
        // followed yet is below.
        self.follow_phase(row, flushed).await;
        let row_now = Box::new(row.publication(self.engine.clock().now()));
        let command = Command::Publish { row: row_now, forgotten };
        let owner = row.id.owner(self.engine.cores());
        match self.owners.ask(owner, command).await {
            Verdict::ActivityChanged | Verdict::Refused(Refusal::Stale) => {
                self.stale.notify_one();
                self.follow_phase(row, flushed).await
            }
            other => {
                tracing::warn!(activity = row.id.0, ?other, "a published activity waits");
                false
            }
        }
    }

    /// Does what an operator did at another gateway; false where the row is to be looked at again. What one did
    /// here, or elsewhere and was told here, is in the row once the store has its record; before, the row
    /// says nothing of a pause. An end is for good. `flushed` is how far the store was, at least.
    async fn follow_phase(&self, row: &Activity, flushed: u64) -> bool {
        let Some(activity) = self.engine.activity(row.id) else { return true };
        let _turn = self.newest.turn().await;
        let sale = activity.sale();
        if sale.lease.is_none() {
            return true;
        }
        let is_stored = sale.phased_at <= flushed;
        if !is_stored {
            // Nobody sells on for the length of a storm.
            self.flush.hasten(sale.phased_at);
        }
        let ended = row.ended || row.closed;
        // While the store may lack what was said last elsewhere it is looked at again, too.
        let paused = match is_stored && !self.newest.awaits_store(row.id) {
            true => row.paused,
            false => sale.paused,
        };
        let is_known = is_stored || row.paused == sale.paused;
        if sale.closed || (paused == sale.paused && sale.ended >= ended) {
            return sale.closed || is_known;
        }
        let owner = row.id.owner(self.engine.cores());
        let command = Command::FollowPhase { activity: row.id, paused, ended };
        let verdict = self.owners.ask(owner, command).await;
        self.stale.notify_one();
        is_known && matches!(verdict, Verdict::ActivityChanged | Verdict::Refused(Refusal::Ended))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::future::join;
    use seckill_shards::command::PhaseChange;
    use seckill_shards::record::{PhaseChanged, Record};
    use tokio::task::{LocalSet, yield_now};

    use super::super::flush::{Reach, next_batch};
    use super::super::testing::{Desk, runtime, sale};
    use super::*;
    use crate::store::{Batch, JournalFound, JournalPosition};

    /// With as many open sales as there is room for, a newly published one was refused, and what
    /// had changed behind it was not learned until a sale closed.
    #[test]
    fn a_sale_that_has_to_wait_holds_up_no_news_and_comes_when_there_is_room() {
        LocalSet::new().block_on(&runtime(), async {
            let desk = Desk::new(2, None);
            let Desk { control, store, .. } = &desk;
            let mut learned = Learned::default();
            control.engine.know_sales(false);
            let there_is_room = [sale(&**store).await, sale(&**store).await];
            control.learn_all(&mut learned).await.unwrap();
            assert!(control.engine.knows_sales());
            control.engine.know_sales(false);
            let sales = [there_is_room[0], there_is_room[1], sale(&**store).await];
            store.restock(sales[0], 5, None).await.unwrap();
            control.learn_all(&mut learned).await.unwrap();
            let stocked = |id| control.engine.activity(id).map(|it| it.sale().terms.stocked);
            assert_eq!(sales.map(stocked), [Some(15), Some(10), None]);
            assert!(!control.engine.knows_sales(), "there is one more");
            let end = Command::ChangePhase { activity: sales[1], change: PhaseChange::End };
            assert_eq!(control.owners.ask(0, end).await, Verdict::ActivityChanged);
            let close = Command::Close { activity: sales[1], unsold: 10 };
            assert_eq!(control.owners.ask(0, close).await, Verdict::ActivityChanged);
            control.learn_all(&mut learned).await.unwrap();
            assert_eq!(sales.map(stocked), [Some(15), Some(10), Some(10)]);
            assert!(control.engine.knows_sales());
            let newest = store.activity(sales[0]).await.unwrap().version;
            assert_eq!(learned.activity_version, newest, "no row waits any more");
        });
    }

    /// A journal that had just begun had no room for a sale, of which shoppers heard for a second that there is none.
    #[test]
    fn a_start_waits_a_moment_for_a_sale_that_has_no_room_yet() {
        LocalSet::new().block_on(&runtime(), async {
            let desk = Desk::new(1, None);
            let Desk { control, store, .. } = &desk;
            let [over, waits] = [sale(&**store).await, sale(&**store).await];
            let make_room = async {
                while control.engine.activity(over).is_none() {
                    yield_now().await;
                }
                let end = Command::ChangePhase { activity: over, change: PhaseChange::End };
                assert_eq!(control.owners.ask(0, end).await, Verdict::ActivityChanged);
                let close = Command::Close { activity: over, unsold: 10 };
                assert_eq!(control.owners.ask(0, close).await, Verdict::ActivityChanged);
            };
            let (learned, ()) = join(control.learn_first(), make_room).await;
            learned.unwrap();
            assert!(control.engine.activity(waits).is_some());
        });
    }

    /// A gateway that had yet to flush a word of its own sold on after another had ended the sale.
    #[test]
    fn an_end_is_followed_at_once_and_a_pause_once_the_store_has_ones_own_word() {
        LocalSet::new().block_on(&runtime(), async {
            let desk = Desk::sharing(7);
            let Desk { control, store, .. } = &desk;
            let activity = sale(&**store).await;
            control.register().await.unwrap();
            let mut learned = Learned::default();
            control.learn_all(&mut learned).await.unwrap();
            let pause = Command::ChangePhase { activity, change: PhaseChange::Pause };
            assert_eq!(control.owners.ask(0, pause).await, Verdict::ActivityChanged);
            let (gateway, journal_id) = (9, [9; 16]);
            let found = JournalFound { gateway, journal_id, epoch: 0, begin: 0, end: 1 };
            store.register(found).await.unwrap();
            let begin = JournalPosition { journal_id, epoch: 0, position: 0 };
            let mut batch = Batch::new(gateway, begin);
            let at = control.now();
            batch.push(&Record::ActivityEnded(PhaseChanged { activity, at }));
            store.flush(Arc::new(batch.finish(1))).await.unwrap();
            control.learn_all(&mut learned).await.unwrap();
            let known = control.engine.activity(activity).unwrap();
            let sale = known.sale();
            assert_eq!((sale.paused, sale.ended), (true, true));
            assert!(
                control.flush.is_awaited(sale.phased_at - 1),
                "its own word is to be there soon"
            );
            let version = async || store.activity(activity).await.unwrap().version;
            assert!(learned.activity_version < version().await, "the row is looked at again");
            let mut tail = control.engine.tail(control.engine.flushed_position());
            while let Some(batch) =
                next_batch(&control.engine, &mut tail, &Reach::default()).unwrap()
            {
                store.flush(Arc::clone(&batch)).await.unwrap();
                control.flushed(&batch);
            }
            control.learn_all(&mut learned).await.unwrap();
            assert!(known.sale().paused, "as the row has it by now");
            assert_eq!(learned.activity_version, version().await);
        });
    }
}
