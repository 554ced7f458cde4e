//! The fleet: each second this gateway says that it is there, and hears who else is, and how it stands
//! itself: whether it is to hand itself over, or another speaks for it.
//!
//! It must not know what gateways ask of each other.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use seckill_shards::clock::{Mark, Timestamp};
use seckill_shards::ids::Origin;
use tokio::time::{MissedTickBehavior, timeout};

use super::limits::NEWS;
use super::markers::Marker;
use super::{Control, SECOND};
use crate::log::causes;
use crate::peers::{Membership, Peers};
use crate::store::{Fault, GatewayRow, OutOfStep, StoreError};

/// Up to when the store has all that was journaled here.
#[derive(Debug, Default)]
pub(super) struct Followed {
    as_of: Timestamp,
    /// An instant, and a position of the journal behind all that was durable by then.
    noted: Option<(Timestamp, u64)>,
    /// What was said last.
    seen_at: Timestamp,
}

impl Followed {
    /// Looks at `now`, which was read before the `durable` position was; the store has what is
    /// before `flushed`.
    fn look(&mut self, now: Timestamp, durable: u64, flushed: u64) -> Timestamp {
        for _ in 0..2 {
            let (at, position) = *self.noted.get_or_insert((now, durable));
            if flushed < position {
                break;
            }
            self.as_of = at;
            self.noted = None;
        }
        self.as_of
    }

    /// The instant to say now: another one each time, also while the clock is held back.
    fn see(&mut self, now: Timestamp) -> Timestamp {
        self.seen_at = now.max(self.seen_at.plus_ms(1));
        self.seen_at
    }
}

impl Control {
    /// Announces until the task is ended, where there are other gateways.
    pub(super) async fn keep_fleet(self: Arc<Self>) {
        let mut second = tokio::time::interval(SECOND);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            second.tick().await;
            if let Err(error) = self.announce().await {
                tracing::warn!(
                    error = %causes(&error),
                    "nobody hears of this gateway"
                );
            }
        }
    }

    /// Says that this gateway is there, and hears who else is; one that is alone says nothing, nor does
    /// one whose journal the store has not seen to be its own: it may be another's number that it has.
    /// With the store away the others stay where they were.
    pub(super) async fn announce(&self) -> Result<(), StoreError> {
        let Some(peers) = &self.peers else { return Ok(()) };
        // Acquire: see `register`.
        let is_own = self.is_registered();
        if is_own && !self.is_adopted() {
            self.note_bound(peers.membership())?;
        }
        let begun = self.engine.clock().mark();
        let announced = self.store.announce(is_own.then(|| self.own_row(peers)));
        let late = |_| StoreError::from(Fault::unavailable("it is slow to take an announcement"));
        let rows = timeout(NEWS, announced).await.map_err(late)??;
        peers.learn(&rows);
        self.adoption.look(&rows, peers.own(), self.engine.clock().elapsed_us());
        let origin = self.engine.origin();
        match rows.iter().find(|row| row.number == origin.gateway) {
            Some(own) if is_own => {
                // Release, for `may_join`.
                self.announced.store(true, Ordering::Release);
                self.stand(own, begun);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether this gateway may hold units of a shared sale: were it lost before the store has its row,
    /// nobody could retire it, and the others would wait for it for ever.
    pub(super) fn may_join(&self) -> bool {
        self.peers.is_none() || self.announced.load(Ordering::Acquire)
    }

    /// How this gateway stands, by its own row, of which a word that was begun then is part.
    fn stand(&self, own: &GatewayRow, begun: Mark) {
        let Some(peers) = &self.peers else { return };
        let Origin { gateway, epoch } = self.engine.origin();
        if own.epoch > epoch {
            peers.membership().end();
            self.note_retired();
            return self.give_up(&OutOfStep::Retired { gateway });
        }
        // What was taken for another says nothing of this gateway.
        if !self.is_adopted() {
            let is_first = !peers.membership().has_begun();
            peers.membership().renew(begun);
            if is_first && peers.membership().lasts_s() == 0 {
                self.note_no_bound();
            }
            self.drain_to(own.drains_to);
        }
    }

    /// Another speaks for this gateway: a start must know, also with the store away.
    pub(super) fn note_retired(&self) {
        if self.is_adopted() {
            return;
        }
        if let Err(error) = Marker::Retired.set(&self.journal) {
            let error = causes(&error);
            tracing::error!(%error, "nothing but the store says that this gateway is over");
        }
    }

    /// Before the store hears of a bound: a start without one, with the store away, must know of it.
    fn note_bound(&self, membership: &Membership) -> Result<(), StoreError> {
        if membership.lasts_s() == 0 || membership.has_begun() {
            return Ok(());
        }
        Marker::Bounded.set(&self.journal).map_err(|error| Fault::unavailable(error).into())
    }

    /// The store knows that there is no bound.
    fn note_no_bound(&self) {
        if let Err(error) = Marker::Bounded.unset(&self.journal) {
            let error = causes(&error);
            tracing::error!(%error, "a start with the store away will wait for it");
        }
    }

    /// Up to when the store is known to have all that was journaled here.
    pub(super) fn as_of(&self) -> Timestamp {
        self.followed.lock().expect("nobody panics under this lock").as_of
    }

    /// Whether no unit is sold here any more, of whichever sale.
    pub(super) fn sells_no_more(&self) -> bool {
        let leaves = self.peers.as_ref().is_some_and(|peers| peers.membership().is_leaving());
        leaves || self.is_adopted()
    }

    fn own_row(&self, peers: &Peers) -> GatewayRow {
        let now = self.now();
        let durable = self.engine.journal().durable_position();
        let mut followed = self.followed.lock().expect("nobody panics under this lock");
        let as_of = followed.look(now, durable, self.engine.flushed_position());
        let seen_at = followed.see(now);
        let Origin { gateway: number, epoch } = self.engine.origin();
        // One that is adopted is called nowhere: whoever speaks for it is.
        let address = if self.is_adopted() { String::new() } else { peers.url().to_owned() };
        let membership_s = peers.membership().lasts_s();
        GatewayRow { number, epoch, address, seen_at, as_of, membership_s, ..GatewayRow::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row that stood still, since the clock did, was taken for a gateway that was away.
    #[test]
    fn what_is_said_moves_whatever_the_clock_does() {
        let mut followed = Followed::default();
        let said = [5, 5, 5, 9, 2].map(|now| followed.see(Timestamp(now)).0);
        assert_eq!(said, [5, 6, 7, 9, 10]);
    }

    #[test]
    fn an_instant_counts_once_the_flush_has_passed_what_was_durable_by_then() {
        let mut followed = Followed::default();
        let looks = [
            // Something is durable that the store lacks.
            ((1, 5, 0), 0),
            ((2, 9, 4), 0),
            // The first note is passed; what came later is not.
            ((3, 9, 5), 1),
            ((4, 9, 8), 1),
            // All of it, and so of now.
            ((5, 9, 9), 5),
            ((6, 9, 9), 6),
            ((7, 10, 9), 6),
            ((8, 12, 12), 8),
        ];
        for ((now, durable, flushed), expected) in looks {
            let as_of = followed.look(Timestamp(now), durable, flushed);
            assert_eq!(as_of, Timestamp(expected), "at {now}");
        }
    }
}
