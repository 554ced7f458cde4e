//! When it is settled with the other gateways: before anybody is served, and then turn by turn.
//!
//! It must not know what a turn does.

use std::sync::Arc;

use seckill_shards::orders::Lease;

use super::limits::FIRST_LEASES;
use super::{Round, Stop};
use crate::control::Control;

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
    /// a turn without a fault, for they may know that this journal is an older copy; and where the store is
    /// there, until something of every sale was asked for, or who comes first would be told that nothing is left.
    pub(in crate::control) async fn lease_first(&self, has_store: bool) {
        let Some(settling) = self.settling.as_ref().filter(|it| it.is_met()) else { return };
        if !self.shares_a_sale(|_| true) {
            return;
        }
        let mut round = Round::new(self, settling);
        let asked = async {
            loop {
                let rest = match round.turn().await {
                    Ok(rest) => rest.unwrap_or_default(),
                    Err(stop) => return self.stop_for(&stop),
                };
                if round.is_ready && !(has_store && self.shares_a_sale(|lease| lease.n == 0)) {
                    return;
                }
                tokio::time::sleep(rest).await;
            }
        };
        if tokio::time::timeout(FIRST_LEASES, asked).await.is_err() {
            tracing::warn!("serves before it was lent anything of some sales");
        }
    }

    /// Whether there is a shared sale that is not closed, and stands like this.
    fn shares_a_sale(&self, stands: impl Fn(Lease) -> bool) -> bool {
        let activities = self.engine.activities();
        let mut sales = activities.values().map(|it| it.sale()).filter(|sale| !sale.closed);
        sales.any(|sale| sale.lease.is_some_and(&stands))
    }

    fn stop_for(&self, stop: &Stop) {
        if let (Stop::Retired(_), Some(peers)) = (stop, &self.peers) {
            peers.membership().end();
            self.note_retired();
        }
        self.give_up(stop);
    }
}
