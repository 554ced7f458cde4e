//! The shards as a core sees them: its own at hand, the others one hop away.
//!
//! It knows how a verdict is waited for. It must not know what commands mean, nor sockets; the
//! core thread calls the three tasks and the tick at the bottom.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Poll, Waker};

use crossbeam_queue::ArrayQueue;
use seckill_shards::command::{Command, Decision, OrderView, Refusal, Sequence, Verdict};
use seckill_shards::engine::AbortOnPanic;
use seckill_shards::ids::{ActivityId, OrderId, PaymentId};
use seckill_shards::shard::{Placed, Shard, Untold};
use tokio::sync::{Notify, oneshot};

use super::limits::{HOPS_MAX, TURN_RECORDS_MAX, TURN_US_MAX};

/// What one core asks of another.
#[derive(Debug)]
enum Hop {
    Command { command: Command, reply: oneshot::Sender<Verdict> },
    Orders { ids: Vec<OrderId>, reply: oneshot::Sender<Vec<OrderView>> },
    OrderOfPayment { payment: PaymentId, reply: oneshot::Sender<Option<OrderView>> },
    Untold { activity: ActivityId, until: u64, reply: oneshot::Sender<Vec<Untold>> },
    Places { activity: ActivityId, until: u64, reply: oneshot::Sender<Vec<Placed>> },
    Unasked { after: Option<OrderId>, reply: oneshot::Sender<Vec<OrderView>> },
}

/// Where the other cores leave what they ask.
#[derive(Debug)]
struct Inbox {
    hops: ArrayQueue<Hop>,
    arrived: Notify,
}

/// The way to every shard from anywhere: other cores, and the control side.
#[derive(Clone, Debug)]
pub struct Owners(Arc<[Inbox]>);

impl Owners {
    /// The way to the shards of this many cores, which may not run yet.
    #[must_use]
    pub fn new(cores: usize) -> Self {
        let inbox = |_| Inbox { hops: ArrayQueue::new(HOPS_MAX), arrived: Notify::new() };
        Self((0..cores).map(inbox).collect())
    }

    /// Cores, and so shards.
    #[must_use]
    pub fn cores(&self) -> usize {
        self.0.len()
    }

    /// Asks the shard of `owner`, which is told once and never asked again: a lost answer is
    /// [`Verdict::OutcomeUnknown`].
    pub async fn ask(&self, owner: usize, command: Command) -> Verdict {
        let (reply, verdict) = oneshot::channel();
        match self.hop(owner, Hop::Command { command, reply }) {
            Ok(()) => verdict.await.unwrap_or(Verdict::OutcomeUnknown),
            Err(Overloaded) => Verdict::Refused(Refusal::Overloaded),
        }
    }

    /// What the other gateways are to be told of an activity's orders, by shard: see
    /// [`Shard::untold`].
    ///
    /// # Errors
    /// Where a shard takes no message.
    pub async fn untold(
        &self,
        activity: ActivityId,
        until: u64,
    ) -> Result<Vec<Vec<Untold>>, Overloaded> {
        self.ask_all(|reply| Hop::Untold { activity, until, reply }).await
    }

    /// The confirmed places of an activity that the other gateways must count: see [`Shard::places`].
    ///
    /// # Errors
    /// Where a shard takes no message.
    pub async fn places(
        &self,
        activity: ActivityId,
        until: u64,
    ) -> Result<Vec<Vec<Placed>>, Overloaded> {
        self.ask_all(|reply| Hop::Places { activity, until, reply }).await
    }

    /// The first open orders of a shard behind an id whose provider is yet to be asked: see
    /// [`Shard::unasked`].
    ///
    /// # Errors
    /// Where the shard takes no message.
    pub async fn unasked(
        &self,
        owner: usize,
        after: Option<OrderId>,
    ) -> Result<Vec<OrderView>, Overloaded> {
        let (reply, unasked) = oneshot::channel();
        self.hop(owner, Hop::Unasked { after, reply })?;
        unasked.await.map_err(|_| Overloaded)
    }

    /// The orders of these ids that are in memory, in no order.
    ///
    /// # Errors
    /// Where an owner takes no message.
    pub async fn orders(&self, ids: Vec<OrderId>) -> Result<Vec<OrderView>, Overloaded> {
        let mut by_owner = vec![Vec::new(); self.cores()];
        for id in ids {
            by_owner[id.owner(self.cores())].push(id);
        }
        let mut replies = Vec::new();
        for (owner, ids) in by_owner.into_iter().enumerate().filter(|(_, ids)| !ids.is_empty()) {
            let (reply, found) = oneshot::channel();
            self.hop(owner, Hop::Orders { ids, reply })?;
            replies.push(found);
        }
        let mut orders = Vec::new();
        for found in replies {
            orders.extend(found.await.map_err(|_| Overloaded)?);
        }
        Ok(orders)
    }

    /// The order that a payment is for, where it is in memory.
    ///
    /// # Errors
    /// Where its owner takes no message.
    pub async fn order_of_payment(
        &self,
        payment: PaymentId,
    ) -> Result<Option<OrderView>, Overloaded> {
        let (reply, found) = oneshot::channel();
        self.hop(payment.owner(self.cores()), Hop::OrderOfPayment { payment, reply })?;
        found.await.map_err(|_| Overloaded)
    }

    /// Asks every shard the same, and gives their answers by shard.
    async fn ask_all<T>(
        &self,
        hop: impl Fn(oneshot::Sender<T>) -> Hop,
    ) -> Result<Vec<T>, Overloaded> {
        let mut replies = Vec::with_capacity(self.cores());
        for owner in 0..self.cores() {
            let (reply, answer) = oneshot::channel();
            self.hop(owner, hop(reply))?;
            replies.push(answer);
        }
        let mut answers = Vec::with_capacity(replies.len());
        for answer in replies {
            answers.push(answer.await.map_err(|_| Overloaded)?);
        }
        Ok(answers)
    }

    fn hop(&self, owner: usize, hop: Hop) -> Result<(), Overloaded> {
        let inbox = &self.0[owner];
        inbox.hops.push(hop).map_err(|_| Overloaded)?;
        inbox.arrived.notify_one();
        Ok(())
    }
}

/// Another core took no message: its inbox is full, or it is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overloaded;

/// Whoever is told a verdict where it is made known, in the turn of the group that it was in: that
/// spares a wake-up for each buyer.
pub trait Waiter {
    /// The verdict is there. It is called once, outside of the shard.
    fn tell(&self, told: Told);
}

/// A verdict on its way through the hands of one who must not know what it means.
#[derive(Debug)]
pub struct Told(pub(super) Verdict);

/// All shards, from one core.
#[derive(Debug)]
pub struct Shards {
    shard: RefCell<Shard>,
    waiting: RefCell<Waiting>,
    /// Verdicts of one group on their way to those who wait; kept for its memory.
    told: RefCell<Vec<(Slot, Verdict)>>,
    turn: Turn,
    index: usize,
    owners: Owners,
}

/// Wakes the task that submits, once for each of its hand-overs.
#[derive(Debug, Default)]
struct Turn {
    has_records: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// Who waits for the commands whose records are on their way to the disk, in lane order.
#[derive(Debug, Default)]
struct Waiting(VecDeque<(Sequence, Slot)>);

enum Slot {
    Waiter(Weak<dyn Waiter>),
    Reply(oneshot::Sender<Verdict>),
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiter(_) => "Waiter",
            Self::Reply(_) => "Reply",
        })
    }
}

impl Slot {
    fn tell(self, verdict: Verdict) {
        match self {
            // The client may have gone away; the verdict stands either way.
            Self::Waiter(waiter) => {
                if let Some(waiter) = waiter.upgrade() {
                    waiter.tell(Told(verdict));
                }
            }
            Self::Reply(reply) => drop(reply.send(verdict)),
        }
    }
}

impl Waiting {
    /// Who waits for a sequence; nobody does for an expiry. Sequences are asked for as they rise.
    fn take(&mut self, sequence: Sequence) -> Option<Slot> {
        let (_, slot) = self.0.pop_front_if(|(first, _)| *first == sequence)?;
        Some(slot)
    }
}

impl Shards {
    /// The shards, seen from the core that `shard` belongs to.
    #[must_use]
    pub fn new(shard: Shard, owners: Owners) -> Self {
        Self {
            index: shard.index(),
            shard: RefCell::new(shard),
            waiting: RefCell::default(),
            told: RefCell::default(),
            turn: Turn::default(),
            owners,
        }
    }

    /// Cores, and so shards.
    #[must_use]
    pub fn cores(&self) -> usize {
        self.owners.cores()
    }

    /// This core.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Asks this core's shard; the verdict comes when the disk has it.
    pub async fn ask_here(&self, command: Command) -> Verdict {
        match self.with_shard(|shard| shard.decide(command)) {
            Decision::Answered(verdict) => verdict,
            Decision::Pending(sequence) => {
                let (reply, verdict) = oneshot::channel();
                self.wait(sequence, Slot::Reply(reply));
                verdict.await.unwrap_or(Verdict::OutcomeUnknown)
            }
        }
    }

    /// Has this core's shard decide; none where `waiter` will be told the verdict.
    pub(super) fn decide_for(
        &self,
        command: Command,
        waiter: impl FnOnce() -> Weak<dyn Waiter>,
    ) -> Option<Verdict> {
        match self.with_shard(|shard| shard.decide(command)) {
            Decision::Answered(verdict) => Some(verdict),
            Decision::Pending(sequence) => {
                self.wait(sequence, Slot::Waiter(waiter()));
                None
            }
        }
    }

    /// Asks the shard of `owner`, which may be this core's.
    pub async fn ask(&self, owner: usize, command: Command) -> Verdict {
        if owner == self.index {
            self.ask_here(command).await
        } else {
            self.owners.ask(owner, command).await
        }
    }

    /// The orders of these ids that are in memory, in no order.
    ///
    /// # Errors
    /// Where an owner takes no message.
    pub async fn orders(&self, ids: Vec<OrderId>) -> Result<Vec<OrderView>, Overloaded> {
        let is_here = |id: &OrderId| id.owner(self.cores()) == self.index;
        let (here, elsewhere): (Vec<_>, Vec<_>) = ids.into_iter().partition(is_here);
        let mut orders = self.orders_here(&here);
        orders.extend(self.owners.orders(elsewhere).await?);
        Ok(orders)
    }

    /// The order of an id, where it is in memory.
    ///
    /// # Errors
    /// Where its owner takes no message.
    pub async fn order(&self, id: OrderId) -> Result<Option<OrderView>, Overloaded> {
        if id.owner(self.cores()) == self.index {
            return Ok(self.shard.borrow().order(id));
        }
        Ok(self.orders(vec![id]).await?.pop())
    }

    /// The order that a payment is for, where it is in memory.
    ///
    /// # Errors
    /// Where its owner takes no message.
    pub async fn order_of_payment(
        &self,
        payment: PaymentId,
    ) -> Result<Option<OrderView>, Overloaded> {
        let owner = payment.owner(self.cores());
        if owner == self.index {
            return Ok(self.shard.borrow().order_of_payment(payment));
        }
        self.owners.order_of_payment(payment).await
    }

    fn orders_here(&self, ids: &[OrderId]) -> Vec<OrderView> {
        let shard = self.shard.borrow();
        ids.iter().filter_map(|id| shard.order(*id)).collect()
    }

    fn wait(&self, sequence: Sequence, slot: Slot) {
        self.waiting.borrow_mut().0.push_back((sequence, slot));
        if !self.turn.has_records.replace(true)
            && let Some(waker) = &*self.turn.waker.borrow()
        {
            waker.wake_by_ref();
        }
    }

    /// Task: answers what is durable, woken by the journal once per group.
    pub async fn follow_journal(self: Rc<Self>) {
        let mut known = false;
        poll_fn(|context| -> Poll<()> {
            if !std::mem::replace(&mut known, true) {
                self.with_shard(|shard| shard.wake_with(context.waker().clone()));
            }
            self.answer_group();
            Poll::Pending
        })
        .await;
    }

    fn answer_group(&self) {
        let (mut waiting, mut told) = (self.waiting.borrow_mut(), self.told.take());
        self.with_shard(|shard| {
            shard.apply_durable(&mut |sequence, verdict| {
                told.extend(waiting.take(sequence).map(|slot| (slot, verdict)));
            });
        });
        drop(waiting);
        told.drain(..).for_each(|(slot, verdict)| slot.tell(verdict));
        self.told.replace(told);
    }

    /// Task: submits what was decided, woken by the first record. One turn of the event loop more is
    /// given for as long as each brings records, within bounds: groups grow with the load, and a
    /// lone buyer's record goes at once.
    pub async fn submit_turns(self: Rc<Self>) {
        loop {
            self.first_record().await;
            let mut seen = 0;
            loop {
                let gathered = self.shard.borrow().gathered();
                if gathered.records == seen
                    || gathered.records >= TURN_RECORDS_MAX
                    || gathered.age_us >= TURN_US_MAX
                {
                    break;
                }
                seen = gathered.records;
                // Behind all that is ready, and a look at the sockets without waiting.
                tokio::task::yield_now().await;
            }
            self.turn.has_records.set(false);
            self.with_shard(Shard::submit);
        }
    }

    async fn first_record(&self) {
        poll_fn(|context| {
            self.turn.waker.borrow_mut().get_or_insert_with(|| context.waker().clone());
            if self.turn.has_records.get() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Task: does what the other cores ask.
    pub async fn serve_hops(self: Rc<Self>) {
        let inbox = &self.owners.0[self.index];
        loop {
            while let Some(hop) = inbox.hops.pop() {
                self.serve(hop);
            }
            inbox.arrived.notified().await;
        }
    }

    /// Moves this shard's timing wheel. Call it every 10 ms, and again on the next turn while it
    /// says that more is due.
    pub fn tick(&self) -> bool {
        self.with_shard(|shard| {
            let is_more_due = shard.tick();
            shard.submit();
            is_more_due
        })
    }

    /// Uses the shard; a panic in it ends the process.
    fn with_shard<T>(&self, work: impl FnOnce(&mut Shard) -> T) -> T {
        let _abort = AbortOnPanic;
        work(&mut self.shard.borrow_mut())
    }

    fn serve(&self, hop: Hop) {
        // A client that has gone away reads no reply; there is nothing to do about it.
        match hop {
            Hop::Orders { ids, reply } => drop(reply.send(self.orders_here(&ids))),
            Hop::OrderOfPayment { payment, reply } => {
                drop(reply.send(self.shard.borrow().order_of_payment(payment)));
            }
            Hop::Untold { activity, until, reply } => {
                drop(reply.send(self.with_shard(|shard| shard.untold(activity, until))));
            }
            Hop::Places { activity, until, reply } => {
                drop(reply.send(self.shard.borrow().places(activity, until)));
            }
            Hop::Unasked { after, reply } => {
                drop(reply.send(self.shard.borrow().unasked(after)));
            }
            Hop::Command { command, reply } => {
                let decision = self.with_shard(|shard| shard.decide(command));
                match decision {
                    Decision::Answered(verdict) => drop(reply.send(verdict)),
                    Decision::Pending(sequence) => self.wait(sequence, Slot::Reply(reply)),
                }
            }
        }
    }
}
