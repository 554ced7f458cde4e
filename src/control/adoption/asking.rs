//! Asking the provider about the unpaid orders of an adopted gateway, each before it may end: what was
//! paid by records that are lost is written down once more.
//!
//! It must not know providers by name.

use std::sync::Arc;

use seckill_shards::command::{Command, OrderView, Paid, Verdict};
use seckill_shards::ids::OrderId;
use tokio::time::{MissedTickBehavior, timeout};

use crate::control::limits::ASK;
use crate::control::{Control, SECOND};
use crate::log::causes;
use crate::payment::{Came, Provider};

impl Control {
    /// Asks until all were asked about; then there is nothing left to do.
    pub(in crate::control) async fn keep_asking(self: Arc<Self>) {
        let Some(port) = &self.payment else { return };
        let mut second = tokio::time::interval(SECOND);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            second.tick().await;
            if self.ask_all(&*port.provider).await {
                tracing::info!("the provider was asked about every unpaid order that was adopted");
                return;
            }
        }
    }

    /// One way through all that are yet to be asked about; whether none is left. One that cannot be
    /// told of keeps no other waiting.
    pub(in crate::control) async fn ask_all(&self, provider: &dyn Provider) -> bool {
        let (mut after, mut is_done) = (None, true);
        loop {
            // An adopted gateway has one shard, whatever it had before.
            let Ok(orders) = self.owners.unasked(0, after).await else { return false };
            let Some(last) = orders.last() else { return is_done };
            after = Some(last.id);
            for order in &orders {
                is_done &= self.ask_about(provider, order).await;
            }
        }
    }

    /// Whether a provider has told of an order, and that is written down.
    async fn ask_about(&self, provider: &dyn Provider, order: &OrderView) -> bool {
        let came = match timeout(ASK, provider.came_for(order.id)).await {
            Ok(Ok(came)) => came,
            Ok(Err(declined)) => {
                let error = causes(&declined);
                tracing::warn!(order = order.id.0, %error, "the provider does not tell of an order");
                return false;
            }
            Err(_) => {
                tracing::warn!(order = order.id.0, "the provider is slow to tell of an order");
                return false;
            }
        };
        for money in came {
            if !self.take_money(order, money).await {
                return false;
            }
        }
        matches!(
            self.ask(Command::NoteAsked { order: order.id }, order.id).await,
            Verdict::Moved(_)
        )
    }

    /// Writes down what the lost records had: that the payment was started, and how it ended. Each is done once,
    /// whatever of it is known; neither before the others have said whether the order has its place.
    async fn take_money(&self, order: &OrderView, money: Came) -> bool {
        let (id, Came { payment, amount, currency }) = (order.id, money);
        let recalled = self.ask(Command::RecallPayment { payment, order: id }, id).await;
        let paid = Some(Paid { amount, currency });
        let is_settled = matches!(recalled, Verdict::PaymentStarted(_))
            && matches!(
                self.ask(Command::SettlePayment { payment, paid }, id).await,
                Verdict::PaymentSettled(_)
            );
        if is_settled {
            tracing::warn!(
                order = id.0,
                payment = payment.0,
                "money had come for an adopted order"
            );
        }
        is_settled
    }

    async fn ask(&self, command: Command, order: OrderId) -> Verdict {
        self.owners.ask(order.owner(self.engine.cores()), command).await
    }
}
