//! Refunds: what is owed back is asked of the provider until it is given, then written down.
//!
//! What is owed is read from the store, which has it whatever crashes: a provider is asked again
//! rather than never, and gives once.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seckill_shards::command::{Command, Refusal, Verdict};
use seckill_shards::ids::{OrderId, PaymentId};
use tokio::time::{MissedTickBehavior, timeout};

use super::limits::{REFUND, REFUNDS_READ};
use super::{Control, SECOND};
use crate::log::causes;
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
#[derive(Debug)]
struct Round {
    /// How long a provider may take to give one back.
    patience: Duration,
    after: Option<PaymentId>,
    /// Given, but owed still by the store, which follows.
    given: HashSet<PaymentId>,
    /// Those of them that the store owed in this round.
    owed: HashSet<PaymentId>,
}

impl Round {
    fn new(patience: Duration) -> Self {
        Self { patience, after: None, given: HashSet::new(), owed: HashSet::new() }
    }

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
        let mut round = Round::new(REFUND);
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
                if !self.refund(provider, payment, round.patience).await {
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
    async fn refund(
        &self,
        provider: &Arc<dyn Provider>,
        payment: PaymentId,
        patience: Duration,
    ) -> bool {
        let asked = Arc::clone(provider);
        // A task of its own: a panic in an adapter is a fault like any other.
        let told =
            tokio::spawn(async move { timeout(patience, asked.refund(payment)).await }).await;
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
        tracing::warn!(error = %causes(error), "a refund has to wait");
        // Relaxed: a figure for people.
        self.refunds.faults.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use seckill_shards::ids::UserId;
    use seckill_shards::record::{
        NO_KEY, OrderPlaced, PaymentMoved, PaymentStarted, PaymentStatus, Record,
    };
    use tokio::task::LocalSet;

    use super::super::testing::{Desk, runtime, sale};
    use super::*;
    use crate::payment::webhook::WebhookKeys;
    use crate::payment::{Came, Declined};
    use crate::store::{Batch, JournalFound, JournalPosition};

    const OWED: [u64; 4] = [101, 102, 103, 104];
    const AMOUNT: i64 = 1_000;

    /// A provider that was asked so often for each payment, and gives the money at the third time
    /// at the latest.
    #[derive(Debug, Default)]
    struct Reluctant(Mutex<Vec<u64>>);

    #[async_trait]
    impl Provider for Reluctant {
        fn method(&self) -> &'static str {
            "reluctant"
        }

        fn redirect_url(&self, _: PaymentId) -> String {
            String::new()
        }

        async fn refund(&self, payment: PaymentId) -> Result<(), Declined> {
            let number = OrderId(payment.0).counter();
            let before = {
                let mut asked = self.0.lock().unwrap();
                asked.push(number);
                asked.iter().filter(|it| **it == number).count()
            };
            match (number, before) {
                (101, 1 | 2) => Err(Declined("not now".into())),
                (102, 1) => std::future::pending().await,
                (103, 1) => panic!("an adapter has a bug"),
                _ => Ok(()),
            }
        }

        async fn came_for(&self, _: OrderId) -> Result<Vec<Came>, Declined> {
            Ok(Vec::new())
        }
    }

    /// Four payments of an order that has left memory are owed back.
    async fn owe(Desk { control, store, .. }: &Desk) {
        let origin = control.engine.origin();
        let id = |number| OrderId::new(origin, 0, number);
        let (activity, order, at) = (sale(&**store).await, id(100), control.now());
        let (gateway, journal_id, epoch) = (origin.gateway, [1; 16], 1);
        let found = JournalFound { gateway, journal_id, epoch, begin: 0, end: 1_000 };
        store.register(found).await.unwrap();
        let (key, body) = (NO_KEY, NO_KEY);
        let (user, quantity, pay_before) = (UserId(7), 1, at.plus_ms(60_000));
        let order_placed =
            OrderPlaced { order, activity, user, quantity, at, pay_before, key, body };
        let from = JournalPosition { journal_id, epoch, position: 0 };
        let mut batch = Batch::new(gateway, from);
        batch.push(&Record::OrderPlaced(order_placed));
        for payment in OWED.map(|number| PaymentId(id(number).0)) {
            let amount = AMOUNT;
            let started = PaymentStarted { payment, order, amount, at, key, body };
            batch.push(&Record::PaymentStarted(started));
            batch.push(&Record::PaymentRefundDue(PaymentMoved { payment, order, amount, at }));
        }
        store.flush(Arc::new(batch.finish(9))).await.unwrap();
    }

    /// A refund that failed once was never tried again, and kept those behind it waiting.
    #[test]
    fn p6_a_refund_that_fails_is_asked_again_and_holds_up_no_other() {
        LocalSet::new().block_on(&runtime(), async {
            let provider = Arc::new(Reluctant::default());
            let asked: Arc<dyn Provider> = Arc::<Reluctant>::clone(&provider);
            let keys = WebhookKeys::of(&[1; 32]);
            let port = PaymentPort { provider: Arc::clone(&asked), keys, sandbox: None };
            let desk = Desk::new(1, Some(port));
            owe(&desk).await;
            // The one who never answers is given up at once.
            let mut round = Round::new(Duration::ZERO);
            for _ in 0..7 {
                desk.control.refund_owed(&asked, &mut round).await;
            }
            let told = provider.0.lock().unwrap().clone();
            assert_eq!(
                told,
                [101, 102, 103, 104, 101, 102, 103, 101],
                "each is asked until it is given"
            );
            for number in OWED {
                let payment = PaymentId(OrderId::new(desk.control.engine.origin(), 0, number).0);
                let status = desk.store.payment(payment).await.unwrap().status;
                assert_eq!(status, PaymentStatus::Refunded, "{number}");
            }
            let figures = &desk.control.refunds;
            let of = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
            assert_eq!((of(&figures.given), of(&figures.faults)), (4, 4));
        });
    }

    #[test]
    fn what_was_given_is_not_given_again_while_the_store_follows() {
        let (first, second) = (PaymentId(1), PaymentId(2));
        let mut round = Round::new(REFUND);
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
