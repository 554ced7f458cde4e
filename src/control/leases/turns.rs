//! When it is settled with the other gateways: before anybody is served, and then turn by turn.
//!
//! It must not know what a turn does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::limits::FIRST_LEASES;
use super::{Round, Settling, Stop};
use crate::control::Control;
use crate::reconcile::Fault;

impl Settling {
    /// Looks whether Redis, where it is reached soon, can be gone on with; one that is away may come later.
    ///
    /// # Errors
    /// A [lasting](Fault::is_lasting) fault.
    pub async fn meet(&self) -> Result<(), Fault> {
        match tokio::time::timeout(FIRST_LEASES, self.redis.ready()).await {
            Ok(Err(fault)) if fault.is_lasting() => Err(fault),
            Ok(Ok(())) => {
                // Relaxed: only the start asks.
                self.met.store(true, Ordering::Relaxed);
                Ok(())
            }
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }

    /// Whether Redis was reached at the start.
    fn is_met(&self) -> bool {
        self.met.load(Ordering::Relaxed)
    }
}

impl Control {
    /// Settles until the task is ended, where there are other gateways.
    pub(in crate::control) async fn keep_leases(self: Arc<Self>) {
        let Some(settling) = &self.settling else { return };
        let mut round = Round::new(&self, settling);
        loop {
            match round.turn().await {
                Ok(None) => {}
                Ok(Some(rest)) => tokio::time::sleep(rest).await,
                Err(stop) => return self.stop_for(&stop),
            }
        }
    }

    /// Settles with the others before anybody is served, unless that takes too long or Redis was not met:
    /// they may know that this journal is an older copy, and who comes first would be told that nothing is left.
    pub(in crate::control) async fn lease_first(&self, has_store: bool) {
        let Some(settling) = self.settling.as_ref().filter(|it| it.is_met()) else { return };
        let settled = self.settle_first(settling, has_store, tokio::time::sleep);
        match tokio::time::timeout(FIRST_LEASES, settled).await {
            Ok(Ok(())) => {}
            Ok(Err(stop)) => self.stop_for(&stop),
            Err(_) => tracing::warn!("serves before it has settled all sales with the others"),
        }
    }

    /// Settles until Redis has answered of every sale.
    pub(in crate::control) async fn settle_first(
        &self,
        settling: &Settling,
        has_store: bool,
        rest: impl AsyncFn(Duration),
    ) -> Result<(), Stop> {
        let mut round = Round::new(self, settling);
        while self.has_unsettled_sale(&round, has_store) {
            rest(round.turn().await?.unwrap_or_default()).await;
        }
        Ok(())
    }

    /// Whether Redis has yet to answer of a sale. Of one that was not joined it will not without the store.
    fn has_unsettled_sale(&self, round: &Round<'_>, has_store: bool) -> bool {
        let activities = self.engine.activities();
        let mut open = activities.values().filter(|it| !it.sale().closed);
        open.any(|it| {
            let lease = it.sale().lease;
            let may_settle = lease.is_some_and(|lease| has_store || lease.floor.is_some());
            may_settle && !round.accounts.get(&it.id).is_some_and(|it| it.is_heard)
        })
    }

    fn stop_for(&self, stop: &Stop) {
        if let (Stop::Retired(_), Some(peers)) = (stop, &self.peers) {
            peers.membership().end();
            self.note_retired();
        }
        self.give_up(stop);
    }
}
