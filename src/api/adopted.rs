//! The orders of gateways that this one has adopted: where they are asked about, which is not among the
//! cores' shards.
//!
//! It must not know what is asked.

use std::sync::Arc;

use seckill_shards::command::{Command, OrderView, Refusal, Verdict};
use seckill_shards::engine::{Activity, Engine};
use seckill_shards::ids::{ActivityId, OrderId, PaymentId, UserId};

use super::limits::{STORED_LOOK, STORED_LOOKS};
use super::problem::{Problem, Slug};
use super::shards::{Overloaded, Owners};
use super::{Context, looks};

/// A gateway that this one has adopted.
#[derive(Debug)]
pub struct Adopted {
    /// Its engine.
    pub engine: Arc<Engine>,
    /// The way to its shard.
    pub owners: Owners,
}

/// Where an order is.
enum Home {
    /// Here.
    Own,
    /// With a gateway that this one has adopted.
    Adopted(Arc<Adopted>),
    /// Elsewhere, or nobody speaks for its gateway yet.
    Nobody,
}

impl Adopted {
    /// The orders of a buyer that are in memory.
    async fn orders_of(&self, user: UserId) -> Result<Vec<OrderView>, Overloaded> {
        let ids = {
            let activities = self.engine.activities();
            activities.values().flat_map(|activity| activity.orders_of(user)).collect()
        };
        self.owners.orders(ids).await
    }
}

impl Context {
    fn home(&self, order: OrderId) -> Home {
        let gateway = order.origin().gateway;
        if gateway == self.shared.engine.origin().gateway {
            return Home::Own;
        }
        self.shared.control.adopted(gateway).map_or(Home::Nobody, Home::Adopted)
    }

    /// Whether this gateway has the last word on an order.
    pub(super) fn speaks_for(&self, order: OrderId) -> bool {
        !matches!(self.home(order), Home::Nobody)
    }

    /// Asks the owner of an order, or of a payment of the same number, where that is in this process.
    pub(super) async fn ask_owner(&self, order: OrderId, command: Command) -> Verdict {
        let asked = async {
            match self.home(order) {
                Home::Own => self.shards.ask(order.owner(self.shards.cores()), command).await,
                Home::Adopted(it) => it.owners.ask(order.owner(it.owners.cores()), command).await,
                // Of an order that no gateway can have made, a gateway that is alone is sure.
                Home::Nobody if self.shared.peers.is_none() => Verdict::Refused(Refusal::NotFound),
                Home::Nobody => Verdict::Refused(Refusal::Unavailable),
            }
        };
        self.as_member(asked).await
    }

    /// Asks the owner of an activity.
    pub(super) async fn ask_activity(&self, id: ActivityId, command: Command) -> Verdict {
        self.as_member(self.shards.ask(id.owner(self.shards.cores()), command)).await
    }

    /// What comes of a command while this gateway may speak for itself. What it writes down later may
    /// never be heard of.
    async fn as_member(&self, asked: impl Future<Output = Verdict>) -> Verdict {
        if !self.is_member() {
            return Verdict::Refused(Refusal::Unavailable);
        }
        let verdict = asked.await;
        if self.is_member() { verdict } else { Verdict::OutcomeUnknown }
    }

    /// Waits until the store has all that is written down by now, where another gateway may come to speak
    /// for this one: what a provider is told, or has told and been thanked for, must outlive the journal.
    pub(super) async fn await_store(&self, order: OrderId) -> Result<(), Problem> {
        let home = self.home(order);
        let engine = match &home {
            _ if self.shared.peers.is_none() => return Ok(()),
            Home::Own => &self.shared.engine,
            Home::Adopted(it) => &it.engine,
            Home::Nobody => return Ok(()),
        };
        let durable = engine.journal().durable_position();
        // One that is adopted takes no orders, so it knows no storm.
        if matches!(home, Home::Own) {
            self.shared.control.hasten_flush(durable);
        }
        let mut look = looks(STORED_LOOK);
        for _ in 0..STORED_LOOKS {
            if engine.flushed_position() >= durable {
                return Ok(());
            }
            look.tick().await;
        }
        let text = "It is written down, and not in the store yet. Send the same again.";
        Err(Problem::new(Slug::Unavailable, text))
    }

    /// An order, where it is in memory.
    pub(super) async fn order(&self, id: OrderId) -> Result<Option<OrderView>, Problem> {
        let found = match self.home(id) {
            Home::Own => self.shards.order(id).await,
            Home::Adopted(it) => it.owners.orders(vec![id]).await.map(|mut found| found.pop()),
            Home::Nobody => Ok(None),
        };
        found.map_err(|_| Slug::Overloaded.into())
    }

    /// The order that a payment is for, where it is in memory.
    pub(super) async fn order_of_payment(
        &self,
        payment: PaymentId,
    ) -> Result<Option<OrderView>, Problem> {
        let found = match self.home(OrderId(payment.0)) {
            Home::Own => self.shards.order_of_payment(payment).await,
            Home::Adopted(it) => it.owners.order_of_payment(payment).await,
            Home::Nobody => Ok(None),
        };
        found.map_err(|_| Slug::Overloaded.into())
    }

    /// The activity of an order, as its owner knows it.
    pub(super) fn activity_of(&self, order: OrderId, id: ActivityId) -> Option<Arc<Activity>> {
        match self.home(order) {
            Home::Own => self.shared.engine.activity(id),
            Home::Adopted(it) => it.engine.activity(id),
            Home::Nobody => None,
        }
    }

    /// Every order of a shopper that is in memory.
    pub(super) async fn orders_of(&self, user: UserId) -> Result<Vec<OrderView>, Problem> {
        let ids = {
            let activities = self.shared.engine.activities();
            activities.values().flat_map(|activity| activity.orders_of(user)).collect()
        };
        let mut orders = self.shards.orders(ids).await.map_err(|_| Slug::Overloaded)?;
        for adopted in self.shared.control.all_adopted() {
            orders.extend(adopted.orders_of(user).await.map_err(|_| Slug::Overloaded)?);
        }
        Ok(orders)
    }
}
