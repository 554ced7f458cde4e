//! The provider: it knows of all money that came, whatever gateways have forgotten.
//!
//! It must not know what becomes of an order.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use seckill_shards::command::PaymentView;
use seckill_shards::ids::{OrderId, PaymentId};
use seckill_shards::testing::world::CURRENCY;

use crate::payment::{Came, Declined, Provider};

/// Its books.
#[derive(Debug, Default)]
pub(super) struct Bank {
    orders: Mutex<BTreeMap<PaymentId, OrderId>>,
    came: Mutex<BTreeMap<PaymentId, i64>>,
}

impl Bank {
    /// A shopper was told where to pay.
    pub(super) fn open(&self, payment: &PaymentView) {
        let mut orders = self.orders.lock().expect("nobody panics under this lock");
        orders.insert(payment.id, payment.order);
    }

    /// The order that a payment is for.
    pub(super) fn order_of(&self, payment: PaymentId) -> OrderId {
        self.orders.lock().expect("nobody panics under this lock")[&payment]
    }

    /// The shopper has paid.
    pub(super) fn take(&self, payment: PaymentId, amount: i64) {
        self.came.lock().expect("nobody panics under this lock").insert(payment, amount);
    }
}

#[async_trait]
impl Provider for Bank {
    fn method(&self) -> &'static str {
        "bank"
    }

    fn redirect_url(&self, _: PaymentId) -> String {
        String::new()
    }

    async fn refund(&self, _: PaymentId) -> Result<(), Declined> {
        Ok(())
    }

    async fn came_for(&self, order: OrderId) -> Result<Vec<Came>, Declined> {
        let orders = self.orders.lock().expect("nobody panics under this lock");
        let came = self.came.lock().expect("nobody panics under this lock");
        let its = came.iter().filter(|(payment, _)| orders.get(payment) == Some(&order));
        let its = its.map(|(&payment, &amount)| Came { payment, amount, currency: CURRENCY });
        Ok(its.collect())
    }
}
