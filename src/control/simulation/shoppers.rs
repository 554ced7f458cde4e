//! What shoppers, the provider and operators ask of gateways, and what they are told.
//!
//! It must not know what gateways do with it.

use seckill_shards::command::{Command, Paid, PlaceOrder, StartPayment, Verdict};
use seckill_shards::ids::{OrderId, PaymentId, UserId};
use seckill_shards::record::{NO_KEY, Status};
use seckill_shards::testing::world::CURRENCY;

use super::world::{Sale, World};
use crate::api::Word;

/// Shoppers; few, so that they meet their limits.
pub(super) const USERS: u64 = 4;
/// Shoppers of a crowd, and how many of them come at once.
const CROWD: u64 = 600;
const RUSH: usize = 60;

impl World {
    /// Somebody wants something.
    pub(super) fn shop(&mut self) {
        let at = self.random.index(self.gateways.len());
        match self.random.index(10) {
            0..5 => {
                let sale = self.sales[self.random.index(self.sales.len())];
                let user = UserId(1 + self.random.below(USERS));
                let quantity = 1 + u32::try_from(self.random.below(2)).expect("below two");
                self.buy(at, sale, user, quantity);
            }
            5..7 => {
                if let Some(order) = self.any_order(at, Status::AwaitingPayment) {
                    self.pay(at, order);
                }
            }
            7 => self.webhook(),
            8 => {
                let stands = [Status::Accepted, Status::AwaitingPayment][self.random.index(2)];
                if let Some(order) = self.any_order(at, stands) {
                    self.cancel(at, order);
                }
            }
            _ if self.random.once_in(4) => {
                if let Some(order) = self.any_order(at, Status::Paid) {
                    let return_units = !self.random.once_in(3);
                    let refund = Command::RefundOrder { order, return_units };
                    self.ask_owner(at, order, refund);
                }
            }
            _ => {}
        }
    }

    /// A crowd comes.
    pub(super) fn rush(&mut self) {
        self.shop();
        if !self.random.once_in(4) {
            return;
        }
        let sale = self.sales[self.random.index(self.sales.len())];
        for _ in 0..RUSH {
            let at = self.random.index(self.gateways.len());
            let user = UserId(1 + self.random.below(CROWD));
            self.buy(at, sale, user, 1);
        }
    }

    pub(super) fn buy(&mut self, at: usize, sale: Sale, user: UserId, quantity: u32) {
        let Some(running) = &mut self.gateways[at].running else { return };
        let buy = PlaceOrder {
            activity: sale.id,
            user,
            quantity,
            key: NO_KEY,
            body: NO_KEY,
            admitted: false,
        };
        let core = self.random.index(running.shards.len());
        running.ask(core, Command::PlaceOrder(buy));
    }

    fn any_order(&mut self, at: usize, stands: Status) -> Option<OrderId> {
        let orders = self.gateways[at].ledger.orders.iter();
        let found: Vec<_> =
            orders.filter(|(_, it)| it.status == stands).map(|(&id, _)| id).collect();
        (!found.is_empty()).then(|| found[self.random.index(found.len())])
    }

    pub(super) fn pay(&mut self, at: usize, order: OrderId) {
        let user = self.gateways[at].ledger.orders[&order].user;
        let start = StartPayment { order, user, key: NO_KEY, body: NO_KEY };
        self.ask_owner(at, order, Command::StartPayment(start));
    }

    pub(super) fn cancel(&mut self, at: usize, order: OrderId) {
        self.ask_owner(at, order, Command::CancelOrder { order, user: None });
    }

    fn ask_owner(&mut self, at: usize, order: OrderId, command: Command) {
        let Some(running) = &mut self.gateways[at].running else { return };
        running.ask(order.owner(running.shards.len()), command);
    }

    /// The provider tells of a payment, often more than once.
    fn webhook(&mut self) {
        if self.payments.is_empty() {
            return;
        }
        let at = self.random.index(self.payments.len());
        let (payment, amount) = self.payments[at];
        let came = !self.random.once_in(5);
        self.settle(payment, came.then_some(amount));
    }

    pub(super) fn settle(&mut self, payment: PaymentId, amount: Option<i64>) {
        if let Some(amount) = amount {
            self.bank.take(payment, amount);
        }
        let paid = amount.map(|amount| Paid { amount, currency: CURRENCY });
        let number = OrderId(payment.0).origin().gateway;
        let Some(gateway) = self.gateways.iter_mut().find(|it| it.number == number) else { return };
        let Some(running) = &mut gateway.running else { return };
        let owner = payment.owner(running.shards.len());
        running.ask(owner, Command::SettlePayment { payment, paid });
    }

    /// Takes what a gateway has answered.
    pub(super) fn hear(&mut self, at: usize) {
        let Some(running) = &mut self.gateways[at].running else { return };
        for (command, verdict) in running.hear() {
            match &verdict {
                Verdict::Placed(order) => {
                    self.acknowledged.insert(order.id);
                }
                Verdict::PaymentStarted(payment) => {
                    self.bank.open(payment);
                    self.payments.push((payment.id, payment.amount));
                }
                Verdict::ActivityChanged => {
                    if let Command::ChangePhase { activity, change } = &command {
                        self.tell(at, Word::Phase(*activity, *change));
                    }
                }
                _ => {}
            }
            self.note(|| match command {
                Command::PlaceOrder(PlaceOrder { activity, user, quantity, .. }) => {
                    format!("gateway {at}: {user} buys {quantity} of {activity} -> {verdict:?}")
                }
                command => format!("gateway {at}: {command:?} -> {verdict:?}"),
            });
        }
    }
}
