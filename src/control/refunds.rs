//! Refunds: what is owed back is asked of the provider until it is given, then written down.
//!
//! What is owed is read from the store, which has it whatever crashes: a provider is asked again
//! rather than never, and gives once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use seckill_shards::command::{Command, Refusal, Verdict};
use seckill_shards::ids::PaymentId;

use super::{Control, SECOND};
use crate::payment::{PaymentPort, Provider};

/// Payments that one look takes from the store at a time.
const PAYMENTS_MAX: u32 = 100;

/// What the refunds are at; read by the metrics.
#[derive(Debug, Default)]
pub struct RefundStatus {
    /// Payments whose money was given back.
    pub given: AtomicU64,
    /// Attempts that a provider, the store or a shard did not take.
    pub faults: AtomicU64,
}

impl Control {
    /// Looks every second for what is owed.
    pub(super) async fn keep_refunds(self: Arc<Self>) {
        let mut second = tokio::time::interval(SECOND);
        loop {
            second.tick().await;
            self.refund_owed().await;
        }
    }

    /// Gives back what is owed. Whatever fails is tried again at the next look.
    async fn refund_owed(&self) {
        let Some(PaymentPort { provider, .. }) = &self.payment else { return };
        let mut after = None;
        loop {
            let owed = match self.store.payments_owed_back(after, PAYMENTS_MAX).await {
                Ok(owed) => owed,
                Err(error) => return self.refund_fault(&error),
            };
            let Some(last) = owed.last().copied() else { return };
            for payment in owed {
                self.refund(provider, payment).await;
            }
            after = Some(last);
        }
    }

    async fn refund(&self, provider: &Arc<dyn Provider>, payment: PaymentId) {
        if let Err(declined) = provider.refund(payment).await {
            return self.refund_fault(&declined);
        }
        let owner = payment.owner(self.engine.cores());
        match self.owners.ask(owner, Command::CompleteRefund { payment }).await {
            Verdict::PaymentSettled(_) => self.refunded(payment),
            // Its order has left memory, so the store alone knows of the debt.
            Verdict::Refused(Refusal::NotFound) => {
                match self.store.refunded(payment, self.now()).await {
                    Ok(()) => self.refunded(payment),
                    Err(error) => self.refund_fault(&error),
                }
            }
            verdict => tracing::debug!(payment = payment.0, ?verdict, "not written down yet"),
        }
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
