//! Leases: what this gateway settles with the others that sell the same activities, through Redis.
//!
//! Each account goes on step by step, one message under way: look, rebuild what Redis has
//! forgotten, then the daily work. Redis and the store may be away; the sale goes on with what was
//! lent. It must not know what Redis does inside, nor how orders are decided.

mod account;
mod batch;
mod demand;
mod limits;
mod next;
mod rebuild;
mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use seckill_shards::command::{Command, Verdict};
use seckill_shards::engine::Engine;
use seckill_shards::ids::{ActivityId, OrderId, Origin};
use seckill_shards::shard::Activity;

use self::account::{Account, Saying};
use self::limits::{HEARD_AT_ONCE, REST, REST_AFTER_FAULT, STORE, STORE_REST_US, VIEW_US};
use super::Control;
use crate::flow::Breaker;
use crate::log::causes;
use crate::reconcile::{Fault, Holder, Leases, Member, Refusal};
use crate::store::{JournalPosition, LeaseMember, OutOfStep, StoreError};

pub use self::account::Figures;
pub use self::limits::REDIS_BREAKER;
pub use self::next::{Next, View, next};

/// What this gateway settles with the others.
#[derive(Debug)]
pub struct Settling {
    redis: Arc<Leases>,
    /// What stops asking Redis.
    pub breaker: Arc<Breaker>,
    /// Whether Redis was reached at the start.
    met: AtomicBool,
    /// Shared activities that are closed in the store: nothing is to be settled any more.
    over: Mutex<BTreeSet<ActivityId>>,
    /// Orders that the store does not take: they must not become payable, or they are gone with this
    /// gateway.
    aside: Mutex<BTreeSet<OrderId>>,
    /// For people.
    pub figures: Mutex<BTreeMap<ActivityId, Figures>>,
    /// Requests that Redis has refused since no gateway may ever make them.
    pub alarms: AtomicU64,
}

/// Why this gateway must stop for good: another speaks for it, or its journal is an older copy.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error("activity {activity}: {why}")]
    OtherJournal { activity: ActivityId, why: OutOfStep },
    #[error("activity {0}: this gateway was retired, and another has taken over what it had")]
    Retired(ActivityId),
    #[error(
        "activity {activity}: the others have heard {n} requests of this gateway, and its journal \
         knows {known}: an older copy of its data directory was restored"
    )]
    OlderJournal { activity: ActivityId, n: u64, known: u64 },
}

/// Why a step was not made; the next one tries again.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Redis(#[from] Fault),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store does not answer in time, or is let alone for a while")]
    Slow,
    #[error("the shards take no message")]
    Shards,
    #[error(transparent)]
    Stop(#[from] Stop),
}

impl Settling {
    /// Nothing is settled before [`Control::run`].
    #[must_use]
    pub fn new(redis: Leases, breaker: Arc<Breaker>) -> Self {
        Self::over(Arc::new(redis), breaker)
    }

    fn over(redis: Arc<Leases>, breaker: Arc<Breaker>) -> Self {
        let (over, aside, figures) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (met, alarms) = (AtomicBool::new(false), AtomicU64::new(0));
        Self { redis, breaker, met, over, aside, figures, alarms }
    }

    /// The Redis.
    pub(super) fn redis(&self) -> &Leases {
        &self.redis
    }

    /// What a gateway that this one has adopted settles, through the same Redis.
    pub(super) fn beside(&self) -> Self {
        Self::over(Arc::clone(&self.redis), Arc::clone(&self.breaker))
    }

    /// Most refusals are news, after which everybody looks again; some must never be.
    fn note_refusal(&self, activity: ActivityId, refusal: Refusal) {
        match refusal {
            Refusal::Protocol(alarm) => {
                tracing::error!(activity = activity.0, ?alarm, "Redis was told what cannot be");
                // Relaxed: a figure for people.
                self.alarms.fetch_add(1, Ordering::Relaxed);
            }
            other => tracing::debug!(activity = activity.0, ?other, "Redis stands otherwise"),
        }
    }

    /// The store does not take these orders. Each is rejected once it would be confirmed.
    pub(super) fn put_aside(&self, orders: impl Iterator<Item = OrderId>) {
        self.aside.lock().expect("nobody panics under this lock").extend(orders);
    }

    /// All that the store does not take.
    pub(super) fn aside(&self) -> BTreeSet<OrderId> {
        self.aside.lock().expect("nobody panics under this lock").clone()
    }

    /// The store has closed a shared activity.
    pub(super) fn note_over(&self, activity: ActivityId) {
        self.over.lock().expect("nobody panics under this lock").insert(activity);
    }
}

/// One look at all accounts after the other.
pub(super) struct Round<'a> {
    control: &'a Control,
    settling: &'a Settling,
    accounts: BTreeMap<ActivityId, Account>,
    /// Whether Redis had the functions, and no fault has come since.
    is_ready: bool,
    /// What Redis has refused in this step first, and whether it has done anything.
    refused: Option<Fault>,
    is_answered: bool,
    /// When the store is asked again, after a fault.
    store_again_us: u64,
    /// When Redis was looked at last while there was nothing to settle.
    greeted_us: u64,
}

impl<'a> Round<'a> {
    /// Nothing is known of Redis yet.
    pub(super) fn new(control: &'a Control, settling: &'a Settling) -> Self {
        let accounts = BTreeMap::new();
        let (is_ready, store_again_us, greeted_us) = (false, 0, 0);
        let (refused, is_answered) = (None, false);
        Self {
            control,
            settling,
            accounts,
            is_ready,
            refused,
            is_answered,
            store_again_us,
            greeted_us,
        }
    }

    /// One turn: a step of every account, unless Redis is left alone. Says how long to rest then;
    /// there is no rest while there is more to say.
    pub(super) async fn turn(&mut self) -> Result<Option<Duration>, Stop> {
        let now_us = self.engine().clock().elapsed_us();
        let Some(pass) = self.settling.breaker.ask(now_us) else { return Ok(Some(REST)) };
        let made = self.step().await;
        let is_redis = matches!(made, Err(Failed::Redis(_)));
        pass.done(!is_redis, self.engine().clock().elapsed_us());
        if made.is_err() {
            self.accounts.values_mut().for_each(Account::doubt);
        }
        self.tell_figures();
        match made {
            Ok(true) => Ok(None),
            Ok(false) => Ok(Some(REST)),
            Err(Failed::Stop(stop)) => Err(stop),
            Err(failed) => {
                report(&failed);
                self.is_ready = false;
                Ok(Some(REST_AFTER_FAULT))
            }
        }
    }

    /// A step of every account; whether there is more to say at once. What Redis refuses to one account it
    /// may do for the others: where sales have nodes of their own, one that takes no writes holds up its own.
    /// Where it has done nothing for anybody the whole of it is to be looked for anew.
    async fn step(&mut self) -> Result<bool, Failed> {
        (self.refused, self.is_answered) = (None, false);
        self.open_accounts();
        self.end_accounts().await?;
        if self.accounts.is_empty() {
            self.greet().await?;
            return Ok(false);
        }
        if !self.is_ready {
            self.settling.redis.ready().await?;
            self.is_ready = true;
        }
        let activities: Vec<_> = self.accounts.keys().copied().collect();
        for &activity in &activities {
            later(self.join(activity).await)?;
        }
        self.look().await?;
        for &activity in &activities {
            let made = self.rebuild(activity).await;
            self.apart(activity, made)?;
        }
        let more = self.lease(&activities).await?;
        for &activity in &activities {
            later(self.rest(activity).await)?;
        }
        match self.refused.take() {
            Some(fault) if !self.is_answered => Err(fault.into()),
            _ => Ok(more),
        }
    }

    /// Like [`later`], and what Redis refuses to one account lets that one rest.
    fn apart(&mut self, id: ActivityId, made: Result<(), Failed>) -> Result<(), Failed> {
        match made {
            Err(Failed::Redis(fault)) if fault.is_refused() => {
                let now_us = self.engine().clock().elapsed_us();
                self.accounts.entry(id).and_modify(|account| account.rest(now_us));
                tracing::warn!(
                    activity = id.0,
                    error = %causes(&fault),
                    "refused"
                );
                self.refused.get_or_insert(fault);
                Ok(())
            }
            made => later(made),
        }
    }

    /// Looks whether Redis is there while nothing is to be settled, so that it is known before a sale.
    async fn greet(&mut self) -> Result<(), Failed> {
        let now_us = self.engine().clock().elapsed_us();
        if now_us >= self.greeted_us + VIEW_US {
            self.greeted_us = now_us;
            self.settling.redis.ready().await?;
        }
        Ok(())
    }

    fn engine(&self) -> &Engine {
        &self.control.engine
    }

    fn holder(&self) -> Holder {
        let origin = self.engine().origin();
        Holder { member: Member::Gateway(origin.gateway), epoch: origin.epoch }
    }

    /// An account for each shared activity that is not over.
    fn open_accounts(&mut self) {
        let activities = self.control.engine.activities();
        let mut over = self.settling.over.lock().expect("nobody panics under this lock");
        over.retain(|id| activities.contains_key(id));
        // One that is over and open here was known here and never joined: its account closes it.
        let is_shared = |it: &&Arc<Activity>| {
            it.sale().lease.is_some() && !(over.contains(&it.id) && it.sale().closed)
        };
        for activity in activities.values().filter(is_shared) {
            self.accounts.entry(activity.id).or_default();
        }
        self.accounts.retain(|id, _| activities.contains_key(id));
    }

    /// Lets accounts go that are over, and what Redis has of them.
    async fn end_accounts(&mut self) -> Result<(), Failed> {
        let over = self.settling.over.lock().expect("nobody panics under this lock").clone();
        let ended: Vec<_> = self.accounts.keys().copied().filter(|id| over.contains(id)).collect();
        for id in ended {
            let is_open = |it: &Self| it.activity(id).is_some_and(|it| !it.sale().closed);
            // It knew of the sale, and never joined: nobody waited for it.
            if is_open(self) && self.may_try(id) {
                later(self.change(id, Command::Close { activity: id, unsold: 0 }).await)?;
            }
            let now_us = self.engine().clock().elapsed_us();
            if is_open(self) || self.accounts[&id].rests(now_us) {
                continue;
            }
            match self.settling.redis.forget(id).await {
                Ok(()) => drop(self.accounts.remove(&id)),
                Err(fault) => self.apart(id, Err(fault.into()))?,
            }
        }
        Ok(())
    }

    /// What the figures of each account are now.
    fn tell_figures(&self) {
        let figures = self
            .accounts
            .iter()
            .filter_map(|(&id, account)| Some((id, account.figures(&*self.activity(id)?))));
        let figures = figures.collect();
        *self.settling.figures.lock().expect("nobody panics under this lock") = figures;
    }

    /// The activity of an account, which is there: accounts were opened a moment ago.
    fn activity(&self, id: ActivityId) -> Option<Arc<Activity>> {
        self.engine().activity(id).filter(|it| it.sale().lease.is_some())
    }

    /// Enters this gateway among those that may hold units, before it asks for any.
    async fn join(&mut self, id: ActivityId) -> Result<(), Failed> {
        let lease = self.activity(id).and_then(|it| it.sale().lease);
        let has_joined = lease.is_none_or(|lease| lease.floor.is_some());
        if has_joined || !self.control.may_join() || !self.may_try(id) {
            return Ok(());
        }
        let (journal_id, origin) = (self.engine().journal_id(), self.engine().origin());
        let journal = JournalPosition { journal_id, epoch: origin.epoch, position: 0 };
        let joined = self.control.store.join(id, origin.gateway, journal);
        let floor = self.in_time(joined).await.map_err(|failed| match failed {
            Failed::Store(StoreError::OutOfStep(why)) => {
                Stop::OtherJournal { activity: id, why }.into()
            }
            other => other,
        })?;
        self.change(id, Command::Join { activity: id, floor }).await
    }

    /// Sees how Redis stands, where that is not known or long ago.
    async fn look(&mut self) -> Result<(), Failed> {
        let now_us = self.engine().clock().elapsed_us();
        let due: Vec<_> = self
            .accounts
            .iter()
            .filter(|(_, it)| it.is_look_due(now_us))
            .map(|(&id, _)| id)
            .collect();
        if due.is_empty() {
            return Ok(());
        }
        let asked_at: Vec<_> = due.iter().map(|&id| self.activity(id)).collect();
        let answers = self.settling.redis.status(&due).await?;
        let holder = self.holder();
        for ((id, activity), answer) in due.into_iter().zip(asked_at).zip(answers) {
            let Some(lease) = activity.and_then(|it| it.sale().lease) else { continue };
            let account = self.accounts.get_mut(&id).expect("it was listed a moment ago");
            account.seen_us = now_us;
            match answer {
                Ok(Ok(status)) => account.see(status, &lease, holder),
                Ok(Err(Refusal::Absent)) => account.view = View::Absent,
                Ok(Err(refusal)) => {
                    self.settling.note_refusal(id, refusal);
                    account.view = View::Unknown;
                }
                // One hash's trouble is not the others'.
                Err(fault) => {
                    report(&fault.into());
                    account.view = View::Unknown;
                }
            }
        }
        Ok(())
    }

    fn may_try(&mut self, id: ActivityId) -> bool {
        let now_us = self.engine().clock().elapsed_us();
        self.accounts.get_mut(&id).is_some_and(|account| account.may_try(now_us))
    }

    /// The daily work of all accounts, in one round of messages; whether there is more at once.
    async fn lease(&mut self, activities: &[ActivityId]) -> Result<bool, Failed> {
        let mut said = Vec::new();
        let holder = self.holder();
        for &id in activities {
            let Some(activity) = self.activity(id) else { continue };
            let account = self.accounts.get_mut(&id).expect("it was listed a moment ago");
            let aside = self.settling.aside();
            match account.prepare(self.control, &activity, (holder, &aside)).await {
                Ok(saying) => said.extend(saying.map(|saying| (id, saying))),
                Err(failed) => later(Err(failed))?,
            }
        }
        if said.is_empty() {
            return Ok(false);
        }
        let requests: Vec<_> = said.iter().map(|(id, it)| (*id, it.request.clone())).collect();
        let answers = self.settling.redis.lease(&requests).await?;
        let (mut more, mut heard) = (false, BTreeMap::new());
        for ((id, saying), answer) in said.into_iter().zip(answers) {
            match answer {
                Ok(Ok(reply)) => {
                    self.is_answered = true;
                    more |= saying.is_full;
                    heard.insert(id, (saying, reply));
                }
                Ok(Err(refusal)) => {
                    self.is_answered = true;
                    self.hear_refusal(id, &saying, refusal)?;
                }
                // One hash's trouble is not the others', nor is one node's that does not answer.
                Err(fault) if fault.is_refused() => self.apart(id, Err(fault.into()))?,
                Err(fault) => {
                    report(&fault.into());
                    self.accounts.get_mut(&id).expect("it has just asked").doubt();
                }
            }
        }
        // Many at once: their records share the journal's groups.
        let control = self.control;
        let hearing = self.accounts.iter_mut().filter_map(|(&id, account)| {
            let (saying, reply) = heard.get(&id)?;
            Some(account.heard(control, id, saying, reply))
        });
        let mut hearing: Vec<_> = hearing.collect();
        while !hearing.is_empty() {
            let rest = hearing.split_off(hearing.len().min(HEARD_AT_ONCE));
            for made in join_all(hearing).await {
                later(made)?;
            }
            hearing = rest;
        }
        Ok(more)
    }

    fn hear_refusal(
        &mut self,
        id: ActivityId,
        saying: &Saying,
        refusal: Refusal,
    ) -> Result<(), Failed> {
        let known = saying.request.n - 1;
        match refusal {
            Refusal::Fenced => return Err(Stop::Retired(id).into()),
            // A journal that Redis has heard under this number has its answer, or is a newer one.
            Refusal::Number { n } if n >= saying.request.n => {
                return Err(Stop::OlderJournal { activity: id, n, known }.into());
            }
            refusal => {
                self.accounts.get_mut(&id).expect("it has just asked").view = View::Unknown;
                self.settling.note_refusal(id, refusal);
            }
        }
        Ok(())
    }

    /// An ended activity without an open order says so, and is closed once all members have.
    async fn rest(&mut self, id: ActivityId) -> Result<(), Failed> {
        let (account, now) = (&self.accounts[&id], self.control.now());
        let may_rest = self.activity(id).is_some_and(|it| account.may_rest(&it, now));
        if !may_rest || !self.may_try(id) {
            return Ok(());
        }
        let Origin { gateway, epoch } = self.engine().origin();
        let resting = self.control.store.rest(id, LeaseMember { gateway, epoch }, now);
        if !self.in_time(resting).await? {
            return Ok(());
        }
        self.change(id, Command::Close { activity: id, unsold: 0 }).await?;
        tracing::info!(activity = id.0, "activity closed");
        self.control.stale.notify_one();
        Ok(())
    }

    /// What the store answers, unless it is let alone or that takes too long.
    async fn in_time<T>(
        &mut self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Failed> {
        let now_us = self.engine().clock().elapsed_us();
        if now_us < self.store_again_us {
            return Err(Failed::Slow);
        }
        let answer = tokio::time::timeout(STORE, answer).await;
        if matches!(answer, Err(_) | Ok(Err(StoreError::Fault(_)))) {
            self.store_again_us = now_us + STORE_REST_US;
        }
        Ok(answer.map_err(|_| Failed::Slow)??)
    }

    /// Has a record of a lease journaled.
    async fn change(&self, id: ActivityId, command: Command) -> Result<(), Failed> {
        let owner = id.owner(self.engine().cores());
        let verdict = self.control.owners.ask(owner, command).await;
        if verdict == Verdict::ActivityChanged { Ok(()) } else { Err(Failed::Shards) }
    }
}

/// One account's trouble with the store or the shards is not the others': it is tried again.
fn later(made: Result<(), Failed>) -> Result<(), Failed> {
    match made {
        Err(Failed::Store(_) | Failed::Slow | Failed::Shards) => {
            made.unwrap_or_else(|failed| report(&failed));
            Ok(())
        }
        made => made,
    }
}

fn report(failed: &Failed) {
    tracing::warn!(error = %causes(failed), "not settled yet");
}
