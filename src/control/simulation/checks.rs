//! What must hold at each moment, over all gateways, by what their journals have.
//!
//! It must not know why anything happened.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use seckill_shards::ids::Era;
use seckill_shards::orders::Sum;

use super::Violation;
use super::gateway::Running;
use super::ledger::{Entry, Ledger};
use super::world::World;
use crate::control::Ending;

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
            let must_stop = gateway.running.as_ref().and_then(|it| it.must_stop());
            if let Some(why @ Ending::Unusable(_)) = must_stop {
                return Err(format!("gateway {} must not go on: {why:?}", gateway.number));
            }
        }
        self.check_declarations()?;
        self.check_give_backs()?;
        if !is_news {
            return Ok(());
        }
        self.check_units()?;
        self.check_limits()?;
        self.check_acknowledged()?;
        self.check_promises()
    }

    /// Whoever declares in an era has entered it, and counts no grant of an older one any more. What is
    /// declared of a closed sale is final.
    fn check_declarations(&self) -> Result<(), Violation> {
        for message in self.network().under_way().filter(|it| it[1].ends_with("declare")) {
            let Some(sum) = self.sum_of_sender(message) else { continue };
            let entered = sum.lease.and_then(|lease| lease.era);
            let era: Era = message[4].parse().expect("an era is named");
            if entered.is_none_or(|entered| entered.generation < era.generation) {
                return Err(format!("{era} is declared in, and {entered:?} was entered"));
            }
        }
        Ok(())
    }

    /// What is given back is durable before it is said: whoever went down in between would sell it again.
    fn check_give_backs(&self) -> Result<(), Violation> {
        for message in self.network().under_way().filter(|it| it[1].ends_with("_lease")) {
            let lease = self.sum_of_sender(message).and_then(|sum| sum.lease);
            let number = |at: usize| message[at].parse::<u64>().expect("a number");
            let (n, have) = (number(7), number(8));
            // What was answered by now says nothing of what came since.
            let Some(lease) = lease.filter(|lease| n == lease.n + 1) else { continue };
            if have < u64::from(lease.net) {
                return Err(format!("{have} units are said to be left, and {lease:?} is durable"));
            }
        }
        Ok(())
    }

    /// What the journal of a message's sender has of its sale, where that one runs and has not closed it.
    fn sum_of_sender(&self, message: &[String]) -> Option<Sum> {
        let [_, _, _, key, _, from, epoch, ..] = message else { return None };
        let sale = self.sales.iter().find(|sale| key.ends_with(&format!(":{}", sale.id)))?;
        let from = self.gateways.get(from.parse::<usize>().ok()?)?;
        let speaks = |it: &Running| it.engine().origin().epoch.to_string() == *epoch;
        let sum = from.ledger.sum(sale.id);
        (!sum.closed && from.running.as_ref().is_some_and(speaks)).then_some(sum)
    }

    /// However often Redis forgot, it never counted wrongly what it knew.
    pub(super) fn check_drift(&self) -> Result<(), Violation> {
        for running in self.gateways.iter().filter_map(|it| it.running.as_ref()) {
            let settling = running.control.settling().expect("it shares its sales");
            if settling.alarms.load(Ordering::Relaxed) > 0 {
                return Err("a gateway has asked Redis what none may ever ask".to_owned());
            }
            let figures = settling.figures.lock().expect("nobody panics under this lock");
            if let Some((id, figures)) = figures.iter().find(|(_, it)| it.drift > 0) {
                return Err(format!("Redis counted wrongly of {id}: {figures:?}"));
            }
        }
        Ok(())
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
