//! One holder's journal and the rules that it follows: what a gateway will do, without its files,
//! threads and clock.
//!
//! Its fields are journaled, but for `view` and `stock`, which a crash takes. It must not know how
//! messages travel.

use std::collections::BTreeMap;

use super::store::Store;
use super::{Flaw, Violation, percent, units};
use crate::control::leases::{Next, View, next};
use crate::reconcile::{
    Answer, Declaration, Era, Holder, LeaseReply, LeaseRequest, Member, Place, Refusal, Release,
    Roll, Status, Stock,
};
use seckill_shards::ids::{OrderId, UserId};
use seckill_shards::orders::Lease;
use seckill_shards::testing::Random;

/// What everybody may have at most.
pub(super) const LIMIT: u32 = 2;
/// Orders of one request, so that a queue of them takes several.
const BATCH: usize = 3;

#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) user: u64,
    pub(super) quantity: u32,
    /// Positions in the journal.
    pub(super) placed_at: usize,
    pub(super) paid_at: Option<usize>,
    pub(super) ended_at: Option<usize>,
    pub(super) confirmed: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Message {
    /// With the number of the last journaled answer: what is told of another moment is not heard.
    Status(u64),
    Begin(Option<Era>, u64),
    Declare(Declaration),
    Resume(Roll),
    Lease(LeaseRequest),
}

pub(super) struct Account {
    pub(super) holder: Holder,
    /// Whether its orders were another journal's.
    pub(super) adopted: bool,
    pub(super) stopped: bool,
    pub(super) era: Option<Era>,
    pub(super) floor: u64,
    pub(super) n: u64,
    pub(super) net: u32,
    /// Those that are not released.
    pub(super) orders: BTreeMap<u64, Order>,
    pub(super) position: usize,
    pub(super) flushed: usize,
    pub(super) view: View,
    /// A generation that it was given, and may have begun.
    unbegun: Option<u64>,
    pub(super) stock: Stock,
    /// It gives back whatever is free and asks for nothing.
    pub(super) idle: bool,
}

impl Account {
    /// Joins: its row is in the store before it asks anybody.
    pub(super) fn join(holder: Holder, store: &mut Store) -> Self {
        store.members.insert(holder.member, holder.epoch);
        Self {
            holder,
            adopted: false,
            stopped: false,
            era: None,
            floor: store.generation,
            n: 0,
            net: 0,
            orders: BTreeMap::new(),
            position: 0,
            flushed: 0,
            view: View::Unknown,
            unbegun: None,
            stock: store.stock,
            idle: false,
        }
    }

    /// What an adopter makes of the orders that the store has.
    pub(super) fn adopt(member: Member, store: &mut Store) -> Self {
        let epoch = store.members[&member];
        let mut account = Self::join(Holder { member, epoch }, store);
        let theirs = store
            .orders
            .iter()
            .filter(|(_, (owner, order))| *owner == member && order.ended_at.is_none());
        for (&id, (_, order)) in theirs {
            let paid_at = order.paid_at.map(|_| 0);
            let confirmed = paid_at.is_some();
            account.net += order.quantity;
            account.orders.insert(id, Order { placed_at: 0, paid_at, confirmed, ..order.clone() });
        }
        (account.adopted, account.idle) = (true, true);
        account
    }

    pub(super) fn crash(&mut self, store: &Store) {
        self.view = View::Unknown;
        self.stock = store.stock;
    }

    fn is_flushed(&self, position: Option<usize>) -> bool {
        position.is_some_and(|position| position <= self.flushed)
    }

    /// Whether somebody may pay it.
    pub(super) fn is_payable(&self, order: &Order) -> bool {
        let is_open = order.ended_at.is_none() && order.paid_at.is_none();
        is_open && order.confirmed && self.is_flushed(Some(order.placed_at))
    }

    /// Units of orders that are open or paid.
    pub(super) fn bound(&self) -> u32 {
        let open = self.orders.values().filter(|order| order.ended_at.is_none());
        open.map(|order| order.quantity).sum()
    }

    /// Units of orders that have ended and stand in Redis yet.
    fn ending(&self) -> u32 {
        let ended = self.orders.values().filter(|order| order.ended_at.is_some());
        ended.map(|order| order.quantity).sum()
    }

    pub(super) fn place(&mut self, id: u64, user: u64, quantity: u32) {
        if self.net - self.bound() >= quantity {
            self.position += 1;
            let order = Order {
                user,
                quantity,
                placed_at: self.position,
                paid_at: None,
                ended_at: None,
                confirmed: false,
            };
            self.orders.insert(id, order);
        }
    }

    /// Copies the journal up to a position into the store.
    pub(super) fn flush(&mut self, to: usize, store: &mut Store) {
        if !store.is_current(self.holder) {
            return;
        }
        self.flushed = to;
        for (&id, order) in &self.orders {
            if order.placed_at <= to {
                let mut flushed = order.clone();
                flushed.paid_at = order.paid_at.filter(|&at| at <= to);
                flushed.ended_at = order.ended_at.filter(|&at| at <= to);
                store.orders.insert(id, (self.holder.member, flushed));
            }
        }
    }

    fn judge(&self, flaw: Flaw) -> Next {
        let mut view = self.view.clone();
        if let View::Seen { status, .. } = &mut view {
            status.remembers |= flaw == Flaw::TrustsNumbers;
        }
        next(&view, &self.lease(), self.holder, self.unbegun)
    }

    fn lease(&self) -> Lease {
        let Self { floor, era, n, net, .. } = *self;
        Lease { floor: Some(floor), era, n, net }
    }

    /// What it says next, given what it has seen.
    pub(super) fn speak(
        &mut self,
        store: &mut Store,
        random: &mut Random,
        flaw: Flaw,
    ) -> Option<Message> {
        if percent(random, 50) {
            self.stock = store.stock;
        }
        if percent(random, 10) {
            self.view = View::Unknown;
        }
        // A view is good for one step; only the daily work goes on with it.
        let next = self.judge(flaw);
        if !matches!(next, Next::Lease) {
            self.view = View::Unknown;
        }
        Some(match next {
            Next::Look => Message::Status(self.n),
            Next::Begin(seen) => {
                let lease = self.lease();
                let is_later = |&generation: &u64| {
                    seen.is_none_or(|seen| generation > seen.generation)
                        && lease.may_enter(Era { generation, nonce: 0 })
                };
                let unbegun = self.unbegun.filter(is_later);
                let generation = unbegun.unwrap_or_else(|| store.next_generation());
                self.unbegun = Some(generation);
                Message::Begin(seen, generation)
            }
            Next::Enter(era) => {
                // Journaled before it is declared: from here on no older era's answer counts.
                self.era = Some(era);
                Message::Declare(self.declaration(era))
            }
            Next::Declare => Message::Declare(self.declaration(self.era?)),
            Next::Resume(era) => {
                let mut members = store.roster();
                if flaw == Flaw::AsksNobody {
                    members.retain(|it| it.member == self.holder.member);
                }
                Message::Resume(Roll { era, stock: store.stock, members })
            }
            Next::Lease => Message::Lease(self.request(self.era?, random, flaw)),
            Next::Stop => {
                self.stopped = true;
                return None;
            }
        })
    }

    fn declaration(&self, era: Era) -> Declaration {
        let orders = self.orders.iter();
        let is_free = |order: &Order| self.is_flushed(order.ended_at);
        let declared = orders.filter(|(_, order)| order.confirmed || self.adopted);
        let declared = declared.filter(|(_, order)| !is_free(order));
        let places = declared.map(|(&id, order)| place(id, order)).collect();
        Declaration { era, holder: self.holder, n: self.n, net: self.net, places }
    }

    fn request(&mut self, era: Era, random: &mut Random, flaw: Flaw) -> LeaseRequest {
        // Given back is what nothing stands on, here or in Redis; journaled before it is said.
        let spare = self.net.saturating_sub(self.bound() + self.ending());
        if self.idle {
            self.net -= spare;
        } else if percent(random, 20) {
            self.net -= units(random, spare);
        }
        let want = if self.idle { 0 } else { units(random, 4) };
        let mut work: Vec<(usize, u64, bool)> = Vec::new();
        for (&id, order) in &self.orders {
            let is_known = order.confirmed || flaw != Flaw::KeepsUnconfirmed;
            match order.ended_at {
                Some(at) if at <= self.flushed && is_known => work.push((at, id, true)),
                None if order.placed_at <= self.flushed && !order.confirmed => {
                    work.push((order.placed_at, id, false));
                }
                _ => {}
            }
        }
        work.sort_unstable();
        work.truncate(BATCH);
        let of = |is_release: bool| work.iter().filter(move |it| it.2 == is_release);
        let release = |id: u64| Release { user: UserId(self.orders[&id].user), order: OrderId(id) };
        LeaseRequest {
            era,
            holder: self.holder,
            n: self.n + 1,
            have: self.net,
            want,
            stock: self.stock,
            limit: LIMIT,
            releases: of(true).map(|it| release(it.1)).collect(),
            confirms: of(false).map(|it| place(it.1, &self.orders[&it.1])).collect(),
        }
    }

    pub(super) fn hear_status(&mut self, asked_at: u64, status: Answer<Status>) {
        if asked_at == self.n {
            self.view = match status {
                Ok(status) => View::Seen { n: asked_at, status },
                Err(Refusal::Absent) => View::Absent,
                Err(refusal) => panic!("{refusal:?}"),
            };
        }
    }

    pub(super) fn hear_refusal(&mut self, refusal: Refusal) -> Result<(), Violation> {
        match refusal {
            Refusal::Fenced => self.stopped = true,
            Refusal::Protocol(alarm) => return Err(format!("{:?}: {alarm:?}", self.holder)),
            Refusal::Number { n } if n > self.n + 1 => {
                return Err(format!("{:?}: told of {n} at {}", self.holder, self.n));
            }
            _ => self.view = View::Unknown,
        }
        Ok(())
    }

    pub(super) fn hear_lease(&mut self, reply: &LeaseReply, flaw: Flaw) -> Result<(), Violation> {
        let is_mine = self.era == Some(reply.era) || flaw == Flaw::HearsAnyEra;
        if !is_mine || reply.n != self.n + 1 {
            return Ok(());
        }
        self.n = reply.n;
        self.net += reply.granted;
        self.position += 1;
        for OrderId(id) in &reply.yes {
            if let Some(order) = self.orders.get_mut(id) {
                order.confirmed = true;
            }
        }
        for OrderId(id) in &reply.no {
            let position = self.position;
            if let Some(order) = self.orders.get_mut(id) {
                if order.paid_at.is_some() {
                    return Err(format!("{id} is paid, and was refused"));
                }
                order.ended_at.get_or_insert(position);
            }
        }
        for OrderId(id) in &reply.released {
            self.orders.remove(id);
        }
        Ok(())
    }

    /// Whether nothing of it waits for anything.
    pub(super) fn is_settled(&self) -> bool {
        let live = matches!(&self.view, View::Seen { status, .. } if status.live);
        let orders = self.orders.values();
        let settled = orders.filter(|it| it.paid_at.is_some()).count() == self.orders.len();
        self.stopped || (live && settled && self.net == self.bound())
    }
}

fn place(id: u64, order: &Order) -> Place {
    Place { user: UserId(order.user), order: OrderId(id), quantity: order.quantity }
}
