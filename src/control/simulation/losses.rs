//! Gateways that never come back: another is named to go on for each, and does, by what the store has.
//!
//! It must not know how orders are read from the store, nor what becomes of them then.

use std::collections::BTreeSet;
use std::mem::replace;
use std::rc::Rc;

use seckill_shards::clock::{Clock, Timestamp};
use seckill_shards::ids::OrderId;
use seckill_shards::record::{Record, Status};

use super::Violation;
use super::gateway::{Fate, Gateway};
use super::ledger::{Entry, Ledger};
use super::world::World;
use crate::store::{GatewayRow, Retired, Store};

/// Gateways of a run at most, those that came for lost ones among them.
pub(super) const GATEWAYS_MAX: usize = 5;

/// What was promised of an order at a gateway that is lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Promised {
    status: Status,
    pay_before: Timestamp,
    /// Whether an order of its buyer's, at another lost gateway, stood against it once.
    is_contested: bool,
}

impl World {
    /// Whether a gateway speaks for itself: it may be lost, and may go on for others.
    pub(super) fn is_own(&self, at: usize) -> bool {
        let gateway = &self.gateways[at];
        gateway.fate == Fate::Here && gateway.host.is_none()
    }

    /// The gateways that speak for themselves.
    pub(super) fn own(&self) -> Vec<usize> {
        (0..self.gateways.len()).filter(|&at| self.is_own(at)).collect()
    }

    /// One of them.
    pub(super) fn any_own(&mut self) -> usize {
        let own = self.own();
        own[self.random.index(own.len())]
    }

    /// Those that go on inside another.
    pub(super) fn guests(&self, host: usize) -> Vec<usize> {
        let is_guest = |at: &usize| self.gateways[*at].host == Some(host);
        (0..self.gateways.len()).filter(is_guest).collect()
    }

    /// Loses a gateway, unless too few are left; a fresh one will come.
    pub(super) fn lose_any(&mut self) {
        if self.gateways.len() < GATEWAYS_MAX && self.own().len() > 1 {
            let at = self.any_own();
            self.lose(at);
            self.add_gateway();
        }
    }

    /// A gateway never comes back, nor do those that went on inside it.
    pub(super) fn lose(&mut self, at: usize) {
        for lost in self.guests(at).into_iter().chain([at]) {
            self.gateways[lost].crash(true);
            self.gateways[lost].fate = Fate::Lost;
        }
        self.note(|| format!("gateway {at} is lost"));
    }

    /// An operator names whoever goes on for each gateway that is lost, as far as that can be done now.
    pub(super) fn retire_lost(&mut self) -> Result<(), Violation> {
        for at in 0..self.gateways.len() {
            let gateway = &self.gateways[at];
            if gateway.fate == Fate::Lost && gateway.host.is_none() {
                let adopter = self.any_own();
                self.retire(at, adopter)?;
            }
        }
        Ok(())
    }

    /// Whether a gateway has ever said where it is.
    pub(super) fn has_come(&mut self, at: usize) -> bool {
        let number = self.gateways[at].number;
        self.rows().iter().any(|row| row.number == number && !row.address.is_empty())
    }

    /// What the store has of all gateways.
    pub(super) fn rows(&mut self) -> Vec<GatewayRow> {
        let rows = self.store.ask(async |store| store.announce(None).await);
        rows.expect("nothing goes wrong")
    }

    /// As the command line does it; whether the gateway is off, only the operator says.
    pub(super) fn retire(&mut self, at: usize, adopter: usize) -> Result<(), Violation> {
        if !self.has_come(at) {
            return self.forget(at);
        }
        if self.has_come(adopter) {
            let [number, adopter] = [at, adopter].map(|it| self.gateways[it].number);
            let at = self.gateways[usize::from(adopter)].clock.now();
            let retired = Retired { adopter, at, is_off: true };
            // Refused, where it is retired already.
            drop(self.store.ask(async |store| store.retire(number, retired).await));
            self.note(|| format!("gateway {number} is retired, {adopter} is to go on"));
        }
        Ok(())
    }

    /// The store has never heard of a gateway: nobody goes on, so nobody may wait for it.
    fn forget(&mut self, at: usize) -> Result<(), Violation> {
        let gateway = &mut self.gateways[at];
        let held = self.sales.iter().find(|sale| gateway.ledger.sum(sale.id).units() > 0);
        if let Some(sale) = held {
            return Err(format!("gateway {at} has units of {sale:?}, and cannot be retired"));
        }
        (gateway.ledger, gateway.fate) = (Ledger::default(), Fate::Gone);
        self.acknowledged.retain(|order| usize::from(order.origin().gateway) != at);
        Ok(())
    }

    /// Goes on with those whose orders a gateway has read.
    pub(super) fn take_over(&mut self, host: usize) -> Result<(), Violation> {
        let Some(running) = &self.gateways[host].running else { return Ok(()) };
        for (origin, records) in running.read.take() {
            let at = usize::from(origin.gateway);
            // A journal is made once, and whoever has gone on with it does so after each start.
            if self.gateways[at].origin().epoch >= origin.epoch {
                continue;
            }
            let now = self.gateways[host].clock.now();
            let mut adopted = self.gateways[at].adopted(origin, (host, now), &records);
            adopted.data = Rc::clone(&self.gateways[host].data);
            let former = replace(&mut self.gateways[at], adopted);
            self.note(|| format!("gateway {host} goes on for {origin:?}"));
            let has_left = former.has_left();
            if has_left {
                self.check_handed_over(&former, &records)?;
            }
            self.keep_promises(at, &former)?;
            self.check_payments(at, &records)?;
            if former.running.is_some() && !has_left {
                self.keep_on(former);
            }
            self.start(at);
        }
        Ok(())
    }

    /// Whatever of a lost gateway's orders could be paid is there, and what is paid stays so.
    fn keep_promises(&mut self, at: usize, former: &Gateway) -> Result<(), Violation> {
        let ledger = &self.gateways[at].ledger;
        for (&order, entry) in former.ledger.orders.iter().filter(|(_, it)| it.is_payable()) {
            if !ledger.orders.contains_key(&order) {
                return Err(format!("order {order} is {:?}, and is lost", entry.status));
            }
            let Entry { status, pay_before, .. } = *entry;
            let promised = Promised { status, pay_before, is_contested: false };
            let promised = self.promised.entry(order).or_insert(promised);
            if status == Status::Paid {
                promised.status = Status::Paid;
            }
        }
        let is_here = |order: OrderId| usize::from(order.origin().gateway) == at;
        // What had ended is told of no more.
        self.promised.retain(|&it, _| !is_here(it) || ledger.orders.contains_key(&it));
        self.acknowledged.retain(|&it| !is_here(it) || ledger.orders.contains_key(&it));
        // Whoever goes on now may stand against what others were promised.
        let promised = self.promised.keys().copied();
        let contested: Vec<_> = promised.filter(|&order| self.is_contested(order)).collect();
        for order in contested {
            self.promised.get_mut(&order).expect("it was listed").is_contested = true;
        }
        Ok(())
    }

    /// Whoever goes on knows of each payment that somebody was told of and may make yet.
    fn check_payments(&self, at: usize, records: &[Record]) -> Result<(), Violation> {
        let kept = records.iter().filter_map(|record| match record {
            Record::PaymentKept(it) => Some(it.started.payment),
            _ => None,
        });
        let kept: BTreeSet<_> = kept.collect();
        let orders = &self.gateways[at].ledger.orders;
        for payment in self.payments.iter().map(|&(payment, _)| payment) {
            let order = self.bank.order_of(payment);
            let is_open = orders.get(&order).is_some_and(|it| it.status.is_open());
            if is_open && !kept.contains(&payment) {
                return Err(format!("payment {payment} of order {order} was told of, and is lost"));
            }
        }
        Ok(())
    }

    /// Promises of lost gateways are kept by whoever goes on for them.
    pub(super) fn check_promises(&self) -> Result<(), Violation> {
        for (order, &Promised { status: promised, pay_before, is_contested }) in &self.promised {
            let Gateway { ledger, clock, .. } = &self.gateways[usize::from(order.origin().gateway)];
            let stands = ledger.orders[order].status;
            let is_over = matches!(stands, Status::Expired | Status::Cancelled);
            let is_refused = stands == Status::Rejected;
            let is_broken = match promised == Status::Paid {
                true => is_over || is_refused,
                // Too late to be paid it is over one way or the other: nobody may know that it was confirmed.
                false => is_refused && clock.now() < pay_before && !is_contested,
            };
            if is_broken {
                return Err(format!("order {order} was {promised:?}, and is {stands:?}"));
            }
        }
        Ok(())
    }

    /// Whether another lost gateway has orders of the same buyer that may have places, and this one, those, and
    /// what has a place besides pass the limit. Whoever goes on cannot tell which had been confirmed, and one
    /// has to yield.
    fn is_contested(&self, order: OrderId) -> bool {
        let at = usize::from(order.origin().gateway);
        let entry = &self.gateways[at].ledger.orders[&order];
        let limit = self.sales.iter().find(|sale| sale.id == entry.activity).map(|sale| sale.limit);
        let (mut lost, mut placed) = (0, 0);
        for (other, gateway) in self.gateways.iter().enumerate() {
            let stands = |(id, it): &(&OrderId, &Entry)| match other == at {
                // At its own gateway those that could not be paid yield to it.
                true => it.is_payable() || self.promised.contains_key(id),
                false => it.may_have_a_place(),
            };
            let orders = gateway.ledger.orders.iter();
            let of_buyer =
                orders.filter(|(_, it)| it.user == entry.user && it.activity == entry.activity);
            let units = of_buyer.filter(stands).map(|(_, it)| it.quantity).sum::<u32>();
            let is_rival =
                other != at && (gateway.origin().epoch > 0 || gateway.fate != Fate::Here);
            *if is_rival { &mut lost } else { &mut placed } += units;
        }
        lost > 0 && limit.is_some_and(|limit| placed + lost > limit)
    }
}
