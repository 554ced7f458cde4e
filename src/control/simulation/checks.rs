//! What must hold at each moment, over all gateways, by what their journals have.
//!
//! It must not know why anything happened.

use std::collections::BTreeMap;

use super::Violation;
use super::ledger::{Entry, Ledger};
use super::world::World;

impl World {
    pub(super) fn ledgers(&self) -> impl Iterator<Item = &Ledger> {
        self.gateways.iter().map(|it| &it.ledger)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.ledgers().flat_map(|it| it.orders.values())
    }

    /// Takes what has become durable, and looks at all of it where there is anything new.
    pub(super) fn check(&mut self) -> Result<(), Violation> {
        let mut is_news = false;
        for gateway in &mut self.gateways {
            is_news |= gateway.catch_up()?;
            if let Some(why) = gateway.running.as_ref().and_then(|it| it.must_stop()) {
                return Err(format!("gateway {} must not go on: {why:?}", gateway.number));
            }
        }
        if !is_news {
            return Ok(());
        }
        self.check_units()?;
        self.check_limits()?;
        self.check_acknowledged()?;
        self.check_promises()
    }

    fn check_units(&self) -> Result<(), Violation> {
        for sale in &self.sales {
            let lent: u64 = self.ledgers().map(|it| u64::from(it.sum(sale.id).units())).sum();
            if lent > u64::from(sale.stocked) {
                return Err(format!("{lent} units of {} are lent: {sale:?}", sale.stocked));
            }
            for ledger in self.ledgers() {
                let sum = ledger.sum(sale.id);
                if sum.lease.is_some() && sum.totals.not_free() > u64::from(sum.units()) {
                    return Err(format!("more is sold than was lent: {sum:?}"));
                }
            }
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), Violation> {
        let mut units: BTreeMap<_, u32> = BTreeMap::new();
        for entry in self.entries().filter(|it| it.is_payable()) {
            *units.entry((entry.activity, entry.user)).or_default() += entry.quantity;
        }
        for sale in &self.sales {
            let mut over = units.iter().filter(|((activity, _), _)| *activity == sale.id);
            if let Some(((_, user), units)) = over.find(|(_, units)| **units > sale.limit) {
                return Err(format!("user {user} may pay {units} units of {sale:?}"));
            }
        }
        Ok(())
    }

    fn check_acknowledged(&self) -> Result<(), Violation> {
        let is_there = |order| self.ledgers().any(|it| it.orders.contains_key(order));
        match self.acknowledged.iter().find(|order| !is_there(order)) {
            Some(order) => Err(format!("order {order} was acknowledged, and is nowhere")),
            None => Ok(()),
        }
    }
}
