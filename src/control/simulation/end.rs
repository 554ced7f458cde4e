//! The end of a run: nothing goes wrong any more, so everything comes to something. Every order is
//! payable or over, every unit can be sold, no place is taken by nobody, and what was not sold is the
//! product's again.
//!
//! It must not know what went wrong before.

use seckill_shards::command::PhaseChange;
use seckill_shards::ids::{OrderId, UserId};
use seckill_shards::record::Status;

use super::Violation;
use super::gateway::Fate;
use super::shoppers::USERS;
use super::world::{PRODUCED, Sale, World};
use crate::store::{Activity, Store};

/// Between two looks at everything, in simulated milliseconds.
pub(super) const ROUND_MS: u64 = 100;
/// What comes about comes about within this time, in simulated milliseconds.
const PATIENCE_MS: u64 = 120_000;
/// The first of the shoppers who come for what is left.
const LATE_USERS: u64 = 1_000;

impl World {
    /// Goes on until something holds.
    pub(super) fn until(
        &mut self,
        what: &str,
        holds: impl Fn(&mut Self) -> bool,
    ) -> Result<(), Violation> {
        for _ in 0..PATIENCE_MS / ROUND_MS {
            if holds(self) {
                return Ok(());
            }
            self.go_on(ROUND_MS)?;
        }
        let open = self.entries().filter(|it| it.status.is_open()).count();
        Err(format!("it does not come about that {what}; {open} orders are open"))
    }

    /// Ends a run.
    pub(super) fn finish(&mut self) -> Result<(), Violation> {
        self.check_drift()?;
        self.mend();
        self.until("everybody has come", |world| {
            world.own().into_iter().all(|at| world.has_come(at))
        })?;
        self.until("whoever was asked to is handed over", |world| {
            world.start_again();
            !world.is_any_leaving()
        })?;
        self.retire_lost()?;
        self.until("another goes on for whoever is not here", |world| {
            world.gateways.iter().all(|it| !matches!(it.fate, Fate::Lost | Fate::Left))
        })?;
        let count = |world: &Self, status| world.entries().filter(|it| it.status == status).count();
        self.until("every accepted order is confirmed or refused", |world| {
            count(world, Status::Accepted) == 0
        })?;
        self.until("every order is paid or over", |world| {
            for (payment, amount) in world.payments.clone() {
                world.settle(payment, Some(amount));
            }
            count(world, Status::Accepted) + count(world, Status::AwaitingPayment) == 0
        })?;
        self.payments.clear();
        // What an operator did last is known everywhere.
        for _ in 0..40 {
            self.go_on(ROUND_MS)?;
        }
        self.check_phases()?;
        for sale in self.sales.clone() {
            if !self.row(sale).is_over() {
                if !self.is_crowd() {
                    self.sell_out(sale)?;
                }
                let at = self.any_own();
                self.change_phase(at, sale.id, PhaseChange::End);
            }
        }
        self.until("every sale is closed", |world| {
            world.sales.clone().into_iter().all(|sale| world.row(sale).closed)
        })?;
        self.until("everybody who runs has closed them", |world| {
            let running = || world.gateways.iter().filter_map(|it| it.running.as_ref());
            let is_closed = |sale: &Sale| {
                let known = running().filter_map(|it| it.engine().activity(sale.id));
                known.into_iter().all(|it| it.sale().closed)
            };
            world.sales.iter().all(is_closed)
        })?;
        self.sales.clone().into_iter().try_for_each(|sale| self.check_product(sale))
    }

    fn row(&mut self, sale: Sale) -> Activity {
        let row = self.store.ask(async |store| store.activity(sale.id).await);
        row.expect("it was published")
    }

    /// Whatever words were lost, or came late: the store has them all by now, and everybody does as it says.
    pub(super) fn check_phases(&mut self) -> Result<(), Violation> {
        for sale in self.sales.clone() {
            let row = self.row(sale);
            let ended = row.ended || row.closed;
            for gateway in &self.gateways {
                let running = gateway.running.as_ref();
                let Some(known) = running.and_then(|it| it.engine().activity(sale.id)) else {
                    continue;
                };
                let known = known.sale();
                // Of a sale that has ended nobody asks whether it is paused.
                let differs = known.ended != ended || (!ended && known.paused != row.paused);
                if differs && !known.closed {
                    let (number, is) = (gateway.number, (known.paused, known.ended));
                    let row = (row.paused, ended);
                    return Err(format!(
                        "gateway {number} has {is:?} of {sale:?}, the store {row:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Units that may be sold yet.
    fn left(&self, sale: Sale) -> u64 {
        let gone = self.ledgers().map(|it| it.sum(sale.id).totals.not_free());
        u64::from(sale.stocked) - gone.sum::<u64>()
    }

    /// Sells what is left, one by one at any gateway, to whoever may have one more.
    fn sell_out(&mut self, sale: Sale) -> Result<(), Violation> {
        let at = self.any_own();
        self.change_phase(at, sale.id, PhaseChange::Resume);
        let mut late = LATE_USERS;
        while self.left(sale) > 0 {
            let user = (1..=USERS).map(UserId).find(|&user| self.holds(sale, user) < sale.limit);
            let user = user.unwrap_or_else(|| {
                late += 1;
                UserId(late)
            });
            self.sell(sale, user)?;
        }
        Ok(())
    }

    pub(super) fn holds(&self, sale: Sale, user: UserId) -> u32 {
        let own = self.entries().filter(|it| it.activity == sale.id && it.user == user);
        own.filter(|it| it.is_payable()).map(|it| it.quantity).sum()
    }

    /// Somebody asks for one unit until they have it, and pays.
    fn sell(&mut self, sale: Sale, user: UserId) -> Result<(), Violation> {
        let at = self.any_own();
        let before: Vec<OrderId> = self.gateways[at].ledger.orders.keys().copied().collect();
        let new = |world: &Self| {
            let mut orders = world.gateways[at].ledger.orders.iter();
            let found = orders.find(|(id, it)| it.user == user && !before.contains(id));
            found.map(|(&id, it)| (id, it.status))
        };
        let what = format!("{user} is sold one of {} units of {sale:?} at {at}", self.left(sale));
        self.until(&what, |world| {
            if new(world).is_none() {
                world.buy(at, sale, user, 1);
            }
            new(world).is_some_and(|(_, status)| status != Status::Accepted)
        })?;
        let (order, status) = new(self).expect("it was there a moment ago");
        if status != Status::AwaitingPayment {
            return Err(format!("order {order} is {status:?}, though {user} has room: {sale:?}"));
        }
        self.pay(at, order);
        self.until("it is paid", |world| {
            for (payment, amount) in std::mem::take(&mut world.payments) {
                world.settle(payment, Some(amount));
            }
            new(world).is_some_and(|(_, status)| status == Status::Paid)
        })
    }

    /// What was not sold is the product's again.
    fn check_product(&mut self, sale: Sale) -> Result<(), Violation> {
        let row = self.row(sale);
        let product = self.store.ask(async |store| store.product(row.product).await);
        let stock = product.expect("it was made").stock;
        let kept = self.ledgers().map(|it| it.sum(sale.id).totals);
        let kept: u64 = kept.map(|it| it.sold + it.written_off).sum();
        if stock.cast_unsigned() + kept != u64::from(PRODUCED) {
            return Err(format!("{stock} are on stock and {kept} are gone, of {PRODUCED}"));
        }
        Ok(())
    }
}
