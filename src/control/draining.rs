//! Draining: a gateway that is asked to hand itself over sells no more and gives back what is free. It ends
//! once the store has what it has written down, and its last word to the store is who goes on.
//!
//! It must not know who asks, nor how the process ends.

use std::sync::atomic::{AtomicU64, Ordering};

use seckill_shards::engine::Engine;
use seckill_shards::ids::Origin;

use super::limits::{DRAIN_S_MAX, DRAIN_S_MIN};
use super::markers::Marker;
use super::{Control, Ending};
use crate::store::{Retired, StoreError};

/// How far a gateway is in handing itself over; written once a second, by one task.
#[derive(Debug, Default)]
pub(super) struct Draining {
    /// For how many seconds it has been about to.
    seconds: AtomicU64,
    /// A position of the journal that was durable a second ago.
    noted: AtomicU64,
}

/// Why a gateway that has ended is not handed over.
#[derive(Debug, thiserror::Error)]
pub enum HandOverError {
    /// The rest is in its journal alone.
    #[error(
        "the store has not taken all that this gateway has written down: it is not handed over. Start it \
         again"
    )]
    Behind,
    /// The store does not let it, as when it is not asked any more.
    #[error("it is not handed over. Start it again")]
    Refused(#[source] StoreError),
    /// Nobody has heard whether it is.
    #[error(
        "whether it is handed over is not known. Start it again once the store is there: it says so"
    )]
    Unknown(#[source] StoreError),
    /// It could not be written down that it is about to be.
    #[error("the data directory cannot be written to: it is not handed over. Start it again")]
    Disk(#[from] std::io::Error),
}

impl Control {
    /// To whom the store asks this gateway to hand itself over, if to anybody; heard each second.
    pub(super) fn drain_to(&self, to: Option<u16>) {
        let Some(peers) = &self.peers else { return };
        // One that has gone itself meanwhile could not go on.
        let is_there = |to: &u16| peers.find(*to).is_none_or(|peer| peer.adopter().is_none());
        let to = to.filter(is_there);
        let was_leaving = peers.membership().is_leaving();
        peers.membership().leave(to.is_some());
        match to {
            Some(to) if !was_leaving => {
                tracing::warn!(to, "draining: no new orders are taken, and another will go on");
            }
            None if was_leaving => tracing::warn!("it stays: new orders are taken again"),
            _ => {}
        }
        // Relaxed, here and below: one task writes and reads them.
        let Some(to) = to else { return self.draining.seconds.store(0, Ordering::Relaxed) };
        let seconds = self.draining.seconds.fetch_add(1, Ordering::Relaxed);
        let durable = self.engine.journal().durable_position();
        let noted = self.draining.noted.swap(durable, Ordering::Relaxed);
        let is_flushed = self.engine.flushed_position() >= noted;
        let is_free = seconds >= DRAIN_S_MAX || self.has_given_back();
        if seconds >= DRAIN_S_MIN && is_flushed && is_free {
            self.must_stop.send_replace(Some(Ending::HandOver(to)));
        }
    }

    /// Whether nothing is free here that the other gateways could sell.
    fn has_given_back(&self) -> bool {
        let activities = self.engine.activities();
        let shared = activities.values().filter(|it| it.sale().lease.is_some());
        shared.filter(|it| !it.sale().closed).all(|it| it.remaining() == 0)
    }

    /// The last word of a gateway whose journal has ended: another goes on. `is_whole` says whether the
    /// store has all of those that it has adopted.
    ///
    /// # Errors
    /// [`HandOverError`]; it may be started again.
    pub async fn hand_over(&self, to: u16, is_whole: bool) -> Result<(), HandOverError> {
        if !is_whole || !is_flushed(&self.engine) {
            return Err(HandOverError::Behind);
        }
        let Origin { gateway, .. } = self.engine.origin();
        let retired = Retired { adopter: to, at: self.now(), is_off: true };
        // The answer may be lost: a start must have the store's word then.
        Marker::Leaving.set(&self.journal)?;
        if let Err(error) = self.store.hand_over(gateway, retired).await {
            if !matches!(error, StoreError::Refused(_)) {
                return Err(HandOverError::Unknown(error));
            }
            Marker::Leaving.unset(&self.journal)?;
            return Err(HandOverError::Refused(error));
        }
        self.note_retired();
        tracing::info!(to, "handed over: another gateway goes on");
        Ok(())
    }
}

/// Whether the store has all that a journal has.
pub(super) fn is_flushed(engine: &Engine) -> bool {
    engine.flushed_position() >= engine.journal().durable_position()
}
