//! A fleet of model gateways around a real Redis, and a network that loses, doubles, delays and
//! reorders whatever they say.
//!
//! It must not know why a gateway says it.

use std::collections::{BTreeMap, BTreeSet};

use seckill_shards::ids::ActivityId;
use seckill_shards::testing::Random;

use super::account::{Account, LIMIT, Message};
use super::machines::Machines;
use super::store::Store;
use super::{Flaw, Violation, percent, units};
use crate::reconcile::{Answer, Fault, Holder, LeaseReply, Leases, Member, Refusal, Status};

const USERS: u64 = 3;
/// Messages under way at most; the rest is lost.
const UNDER_WAY: usize = 40;
/// In which everything must come to rest once nothing goes wrong any more.
const ROUNDS: usize = 300;
const SETTLED_ROUNDS: usize = 4;

#[derive(Clone)]
enum Reply {
    Status(u64, Answer<Status>),
    Lease(Answer<LeaseReply>),
    Refused(Refusal),
}

pub(super) struct World<'a> {
    pub(super) random: Random,
    machines: Machines<'a>,
    activity: ActivityId,
    flaw: Flaw,
    store: Store,
    accounts: Vec<Account>,
    asked: Vec<(Holder, Message)>,
    told: Vec<(Holder, Reply)>,
    /// Replies that take their time.
    slow: Vec<(Holder, Reply)>,
    /// Orders that were paid, by the provider's word.
    paid: BTreeSet<u64>,
    orders: u64,
    retired: Option<Member>,
    /// What Redis was seen to do.
    pub(super) seen: BTreeSet<&'static str>,
}

impl<'a> World<'a> {
    pub(super) fn new(machines: Machines<'a>, seed: u64, flaw: Flaw) -> Self {
        let mut random = Random::new(seed);
        let mut store = Store::new(units(&mut random, 4) + 1);
        let members = [Member::Gateway(0), Member::Gateway(1), Member::Withdrawals];
        let holders = members.map(|member| Holder { member, epoch: 0 });
        let accounts = holders.map(|holder| Account::join(holder, &mut store)).into();
        Self {
            random,
            machines,
            activity: ActivityId(seed),
            flaw,
            store,
            accounts,
            asked: Vec::new(),
            told: Vec::new(),
            slow: Vec::new(),
            paid: BTreeSet::new(),
            orders: 0,
            retired: None,
            seen: BTreeSet::new(),
        }
    }

    pub(super) async fn step(&mut self) -> Result<(), Violation> {
        match self.random.index(1_000) {
            0..270 => self.speak(),
            270..560 => self.carry_message().await,
            560..820 => self.carry_reply()?,
            820..880 => self.buy(),
            880..910 => self.pay(),
            910..940 => self.end(),
            940..980 => self.flush(),
            980..986 => self.crash(),
            986..988 => self.machines.flush(),
            988..992 => self.machines.save(),
            992..994 => self.machines.fail(&mut self.random),
            994..996 => self.restock(),
            _ => self.change_fleet(),
        }
        self.check()
    }

    fn pick(&mut self) -> usize {
        self.random.index(self.accounts.len())
    }

    fn speak(&mut self) {
        let at = self.pick();
        let account = &mut self.accounts[at];
        if account.stopped {
            return;
        }
        if let Some(message) = account.speak(&mut self.store, &mut self.random, self.flaw) {
            self.asked.push((account.holder, message));
        }
        if self.asked.len() > UNDER_WAY {
            let lost = self.random.index(self.asked.len());
            self.asked.swap_remove(lost);
        }
    }

    async fn carry_message(&mut self) {
        if self.asked.is_empty() {
            return;
        }
        let at = next_of(&mut self.random, self.asked.len());
        // Some arrive again, much later.
        let (holder, message) = if percent(&mut self.random, 25) {
            self.asked[at].clone()
        } else {
            self.asked.swap_remove(at)
        };
        let reached = self.machines.reached(&mut self.random);
        let reply = self.ask(message, reached).await;
        self.seen.extend(reply.iter().flat_map(names));
        if let Some(reply) = reply.filter(|_| percent(&mut self.random, 85)) {
            let is_slow = percent(&mut self.random, 10);
            if is_slow { &mut self.slow } else { &mut self.told }.push((holder, reply));
        }
        for under_way in [&mut self.told, &mut self.slow] {
            if under_way.len() > UNDER_WAY {
                under_way.swap_remove(self.random.index(UNDER_WAY));
            }
        }
    }

    /// What Redis says; nothing where it could not be reached.
    async fn ask(&self, message: Message, leases: &Leases) -> Option<Reply> {
        fn refused<T>(answer: Result<Answer<T>, Fault>) -> Option<Reply> {
            answer.ok()?.err().map(Reply::Refused)
        }
        let activity = self.activity;
        match message {
            Message::Status(asked_at) => {
                let round = leases.status(&[activity]).await.ok()?;
                Some(Reply::Status(asked_at, round.into_iter().next()?.ok()?))
            }
            Message::Begin(seen, generation) => {
                refused(leases.begin(activity, seen, generation, generation).await)
            }
            Message::Declare(declaration) => refused(leases.declare(activity, &declaration).await),
            Message::Resume(roll) => refused(leases.resume(activity, &roll).await),
            Message::Lease(request) => {
                let round = leases.lease(&[(activity, request)]).await.ok()?;
                Some(Reply::Lease(round.into_iter().next()?.ok()?))
            }
        }
    }

    fn carry_reply(&mut self) -> Result<(), Violation> {
        if !self.slow.is_empty() && percent(&mut self.random, 5) {
            let at = self.random.index(self.slow.len());
            self.told.push(self.slow.swap_remove(at));
        }
        if self.told.is_empty() {
            return Ok(());
        }
        let at = next_of(&mut self.random, self.told.len());
        let (holder, reply) = if percent(&mut self.random, 15) {
            self.told[at].clone()
        } else {
            self.told.swap_remove(at)
        };
        self.hear(holder, reply)
    }

    fn hear(&mut self, holder: Holder, reply: Reply) -> Result<(), Violation> {
        let mut accounts = self.accounts.iter_mut();
        let Some(account) = accounts.find(|account| account.holder == holder) else {
            return Ok(());
        };
        match reply {
            Reply::Status(asked_at, status) => account.hear_status(asked_at, status),
            Reply::Refused(refusal) | Reply::Lease(Err(refusal)) => {
                account.hear_refusal(refusal)?;
            }
            Reply::Lease(Ok(reply)) => {
                if let Some(order) = reply.no.iter().find(|order| self.paid.contains(&order.0)) {
                    return Err(format!("{order} was paid, and was refused"));
                }
                account.hear_lease(&reply, self.flaw)?;
            }
        }
        Ok(())
    }

    fn buy(&mut self) {
        let at = self.pick();
        let (user, quantity) = (self.random.below(USERS), units(&mut self.random, LIMIT - 1) + 1);
        self.orders += 1;
        let account = &mut self.accounts[at];
        // An adopter only finishes what is there.
        if account.holder.member != Member::Withdrawals && !account.adopted && !account.stopped {
            account.place(self.orders, user, quantity);
        }
    }

    fn pay(&mut self) {
        let at = self.pick();
        let account = &mut self.accounts[at];
        let mut orders = account.orders.iter();
        let payable = orders.find(|(_, order)| account.is_payable(order)).map(|(&id, _)| id);
        if let Some(id) = payable {
            account.position += 1;
            let position = account.position;
            account.orders.entry(id).and_modify(|order| order.paid_at = Some(position));
            self.paid.insert(id);
        }
    }

    /// An order that nobody has paid ends; of an adopted one the provider is asked before.
    fn end(&mut self) {
        let at = self.pick();
        let skipped = self.random.index(3);
        let account = &mut self.accounts[at];
        account.position += 1;
        let position = account.position;
        let mut open = account
            .orders
            .iter_mut()
            .filter(|(_, order)| order.ended_at.is_none() && order.paid_at.is_none());
        if let Some((id, order)) = open.nth(skipped) {
            if self.paid.contains(id) {
                (order.paid_at, order.confirmed) = (Some(position), true);
            } else {
                order.ended_at = Some(position);
            }
        }
    }

    fn flush(&mut self) {
        let at = self.pick();
        let account = &mut self.accounts[at];
        let ahead = account.position - account.flushed;
        let to = account.flushed + self.random.index(ahead + 1);
        account.flush(to, &mut self.store);
    }

    fn crash(&mut self) {
        let at = self.pick();
        self.accounts[at].crash(&self.store);
    }

    fn restock(&mut self) {
        self.store.stock.stocked += units(&mut self.random, 2);
        self.store.stock.version += 1;
    }

    /// A gateway joins late; one is retired, and adopted when it is off; so is its adopter.
    fn change_fleet(&mut self) {
        let late = Holder { member: Member::Gateway(2), epoch: 0 };
        if let Some(member) = self.retired {
            self.adopt(member);
        } else if !self.store.members.contains_key(&late.member) {
            self.accounts.push(Account::join(late, &mut self.store));
        } else {
            let mut adopted = self.accounts.iter().filter(|account| account.adopted);
            let adopted = adopted.next().map(|account| account.holder.member);
            let any = u16::try_from(self.random.index(3)).unwrap();
            let member = adopted.unwrap_or(Member::Gateway(any));
            self.store.members.entry(member).and_modify(|epoch| *epoch += 1);
            self.retired = Some(member);
        }
    }

    fn adopt(&mut self, member: Member) {
        self.accounts.retain(|account| account.holder.member != member);
        self.accounts.push(Account::adopt(member, &mut self.store));
        self.retired = None;
    }

    /// What must hold at every moment.
    fn check(&self) -> Result<(), Violation> {
        let lent: u32 = self.accounts.iter().map(|account| account.net).sum();
        if lent > self.store.stock.stocked {
            return Err(format!("{lent} of {} are lent", self.store.stock.stocked));
        }
        let mut units = BTreeMap::<u64, u32>::new();
        for account in &self.accounts {
            if account.bound() > account.net {
                return Err(format!("{:?} sold more than it has", account.holder));
            }
            for (id, order) in &account.orders {
                if account.is_payable(order) || self.paid.contains(id) {
                    *units.entry(order.user).or_default() += order.quantity;
                }
            }
        }
        match units.iter().find(|(_, units)| **units > LIMIT) {
            Some((user, units)) => Err(format!("user {user} has {units} of {LIMIT}")),
            None => Ok(()),
        }
    }

    /// Nothing goes wrong any more: every unit that is not sold comes back, and every place.
    pub(super) async fn rest(&mut self) -> Result<(), Violation> {
        self.machines.mend();
        // The connection may be to a process that has ended: the first message is lost then.
        drop(self.machines.lasting().ready().await);
        if let Some(member) = self.retired {
            self.adopt(member);
        }
        while !self.asked.is_empty() {
            self.carry_message().await;
        }
        self.told.append(&mut self.slow);
        while !self.told.is_empty() {
            self.carry_reply()?;
        }
        let mut settled = 0;
        for _ in 0..ROUNDS {
            for at in 0..self.accounts.len() {
                self.finish(at);
                let account = &mut self.accounts[at];
                if account.stopped {
                    continue;
                }
                let message = account.speak(&mut self.store, &mut self.random, self.flaw);
                let holder = account.holder;
                if let Some(message) = message
                    && let Some(reply) = self.ask(message, self.machines.lasting()).await
                {
                    self.hear(holder, reply)?;
                }
                self.check()?;
            }
            // The last word of each must have been heard, too.
            settled = if self.accounts.iter().all(Account::is_settled) { settled + 1 } else { 0 };
            if settled == SETTLED_ROUNDS {
                break;
            }
        }
        self.compare().await
    }

    /// Ends what is open, flushes it, wants no more.
    fn finish(&mut self, at: usize) {
        let account = &mut self.accounts[at];
        account.idle = true;
        account.position += 1;
        let position = account.position;
        for (id, order) in &mut account.orders {
            if order.ended_at.is_none() && order.paid_at.is_none() {
                if self.paid.contains(id) {
                    (order.paid_at, order.confirmed) = (Some(position), true);
                } else {
                    order.ended_at = Some(position);
                }
            }
        }
        account.flush(position, &mut self.store);
    }

    async fn compare(&self) -> Result<(), Violation> {
        let sold: u32 = self.accounts.iter().map(Account::bound).sum();
        let status = self.machines.lasting().status(&[self.activity]).await;
        let status = status.ok().and_then(|round| round.into_iter().next()?.ok()?.ok());
        let Some(status) = status else { return Err("Redis does not come back".to_owned()) };
        let placed: u32 = status.holdings.iter().map(|holding| holding.placed).sum();
        let is_sound = status.live && status.leased == u64::from(sold) && placed == sold;
        if !is_sound {
            return Err(format!("{sold} are sold, and Redis has {placed} placed, {status:?}"));
        }
        Ok(())
    }
}

/// Most arrive soon after they were sent, and some when hardly anybody remembers them.
fn next_of(random: &mut Random, under_way: usize) -> usize {
    if percent(random, 80) { under_way - 1 } else { random.index(under_way) }
}

/// What Redis did, by the names in [`EVERYTHING`].
fn names(reply: &Reply) -> Vec<&'static str> {
    let (refusal, done) = match reply {
        Reply::Refused(refusal) | Reply::Status(_, Err(refusal)) | Reply::Lease(Err(refusal)) => {
            (Some(refusal), Vec::new())
        }
        Reply::Status(_, Ok(status)) => {
            (None, vec![(!status.remembers, "a lost memory"), (status.live, "a live era")])
        }
        Reply::Lease(Ok(it)) => (
            None,
            vec![
                (it.granted > 0, "granted"),
                (it.short > 0, "short"),
                (!it.yes.is_empty(), "yes"),
                (!it.no.is_empty(), "no"),
                (!it.released.is_empty(), "released"),
            ],
        ),
    };
    let refused = refusal.map(|refusal| match refusal {
        Refusal::Absent => "absent",
        Refusal::Forgot { .. } => "forgot",
        Refusal::Era { .. } => "era",
        Refusal::Fenced => "fenced",
        Refusal::Protocol(_) => "protocol",
        Refusal::NotYet { .. } => "not yet",
        Refusal::Rebuilding | Refusal::Undeclared => "too early",
        Refusal::Number { .. } => "number",
    });
    done.into_iter().filter_map(|(is, name)| is.then_some(name)).chain(refused).collect()
}

/// What a run of some seeds must come across: a fleet that does nothing does nothing wrong. Nobody
/// here asks too early, and whoever is fenced is gone.
pub(super) const EVERYTHING: [&str; 12] = [
    "a lost memory",
    "a live era",
    "granted",
    "short",
    "yes",
    "no",
    "released",
    "absent",
    "forgot",
    "era",
    "not yet",
    "number",
];
