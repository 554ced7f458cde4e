//! Refunds: what is owed back is asked of the provider until it is given, then written down.
//!
//! What is owed is read from the store, which has it whatever crashes: a provider is asked again
//! rather than never, and gives once.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use seckill_shards::command::{Command, Refusal, Verdict};
use seckill_shards::ids::{OrderId, PaymentId};
use tokio::time::{MissedTickBehavior, timeout};

use super::limits::{REFUND, REFUNDS_READ};
use super::{Control, SECOND};
use crate::payment::{PaymentPort, Provider};

/// What the refunds are at; read by the metrics.
#[derive(Debug, Default)]
pub struct RefundStatus {
    /// Payments whose money was given back.
    pub given: AtomicU64,
    /// Attempts that a provider, the store or a shard did not take.
    pub faults: AtomicU64,
}

/// One way through all debts, which may take several looks.
#[derive(Debug, Default)]
struct Round {
    after: Option<PaymentId>,
    /// Given, but owed still by the store, which follows.
    given: HashSet<PaymentId>,
    /// Those of them that the store owed in this round.
    owed: HashSet<PaymentId>,
}

impl Round {
    /// Whether a payment that the store owes was not given yet.
    fn is_due(&mut self, payment: PaymentId) -> bool {
        let is_given = self.given.contains(&payment);
        if is_given {
            self.owed.insert(payment);
        }
        !is_given
    }

    /// It was given; the store owes it for some rounds still.
    fn give(&mut self, payment: PaymentId) {
        self.given.insert(payment);
        self.owed.insert(payment);
    }

    /// All were seen: what the store owes no more is forgotten, and the next round begins.
    fn end(&mut self) {
        let owed = std::mem::take(&mut self.owed);
        self.given.retain(|payment| owed.contains(payment));
        self.after = None;
    }
}

impl Control {
    /// Looks every second for what is owed.
    pub(super) async fn keep_refunds(self: Arc<Self>) {
        let mut second = tokio::time::interval(SECOND);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut round = Round::default();
        loop {
            second.tick().await;
            if let Some(PaymentPort { provider, .. }) = &self.payment {
                self.refund_owed(provider, &mut round).await;
            }
        }
    }

    /// Gives back what this gateway owes, up to the first that is not taken: the next look goes on
    /// behind it, so that none that is refused for ever keeps the others waiting.
    async fn refund_owed(&self, provider: &Arc<dyn Provider>, round: &mut Round) {
        loop {
            let owed = match self.store.payments_owed_back(round.after, REFUNDS_READ).await {
                Ok(owed) => owed,
                Err(error) => return self.refund_fault(&error),
            };
            if owed.is_empty() {
                return round.end();
            }
            for payment in owed {
                round.after = Some(payment);
                if !self.is_own(payment) || !round.is_due(payment) {
                    continue;
                }
                if !self.refund(provider, payment).await {
                    return;
                }
                round.give(payment);
            }
        }
    }

    /// Another gateway gives back what it owes itself.
    fn is_own(&self, payment: PaymentId) -> bool {
        OrderId(payment.0).origin().gateway == self.engine.origin().gateway
    }

    /// Whether a payment was given back and that is written down.
    async fn refund(&self, provider: &Arc<dyn Provider>, payment: PaymentId) -> bool {
        let asked = Arc::clone(provider);
        // A task of its own: a panic in an adapter is a fault like any other.
        let told = tokio::spawn(async move { timeout(REFUND, asked.refund(payment)).await }).await;
        let fault: Box<dyn std::error::Error + Send + Sync> = match told {
            Ok(Ok(Ok(()))) => return self.write_down(payment).await,
            Ok(Ok(Err(declined))) => declined.into(),
            Ok(Err(late)) => late.into(),
            Err(panic) => panic.into(),
        };
        self.refund_fault(&*fault);
        false
    }

    async fn write_down(&self, payment: PaymentId) -> bool {
        let owner = payment.owner(self.engine.cores());
        match self.owners.ask(owner, Command::CompleteRefund { payment }).await {
            Verdict::PaymentSettled(_) => {}
            // Its order has left memory, so the store alone knows of the debt.
            Verdict::Refused(Refusal::NotFound) => {
                if let Err(error) = self.store.refunded(payment, self.now()).await {
                    self.refund_fault(&error);
                    return false;
                }
            }
            verdict => {
                tracing::debug!(payment = payment.0, ?verdict, "not written down yet");
                return false;
            }
        }
        self.refunded(payment);
        true
    }

    fn refunded(&self, payment: PaymentId) {
        tracing::info!(payment = payment.0, "money given back");
        // Relaxed: a figure for people.
        self.refunds.given.fetch_add(1, Ordering::Relaxed);
    }

    fn refund_fault(&self, error: &(dyn std::error::Error + 'static)) {
        tracing::warn!(error, "a refund has to wait");
        // Relaxed: a figure for people.
        self.refunds.faults.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_not_given_again_while_the_store_follows() {
        let (first, second) = (PaymentId(1), PaymentId(2));
        let mut round = Round::default();
        for payment in [first, second] {
            assert!(round.is_due(payment));
            round.give(payment);
        }
        round.end();
        // The store follows with the second only.
        assert!(!round.is_due(first));
        round.end();
        assert!(!round.is_due(first) && round.is_due(second));
    }
}
