//! One activity's account: what this gateway says of it to the others, and does by their answer.
//!
//! It must not know other activities, nor how Redis is reached.

use std::collections::BTreeSet;

use seckill_shards::clock::Timestamp;
use seckill_shards::command::{Answers, Command, Verdict};
use seckill_shards::ids::{ActivityId, OrderId};
use seckill_shards::orders::Lease;
use seckill_shards::shard::{Activity, Phase};

use super::Failed;
use super::batch::{batch, ended, of_core};
use super::demand::{Demand, Supply};
use super::limits::{AGAIN_US, HEARTBEAT_US, IDLE_HEARTBEAT_US, VIEW_US};
use super::next::{Next, View, next};
use crate::control::Control;
use crate::reconcile::{Holder, Holding, LeaseReply, LeaseRequest, Status, Stock};

/// What is known of one activity beside the journal; a restart begins anew.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub view: View,
    /// When Redis was looked at last.
    pub seen_us: u64,
    /// When it was last told anything.
    said_us: u64,
    /// What was prepared to be told then.
    told: Option<Told>,
    /// Whether it has answered since.
    pub is_heard: bool,
    /// After what it refused, until when it is asked nothing more of this.
    rests_until_us: u64,
    /// When what did not come about is tried again.
    again_us: u64,
    /// A generation that the store gave for an era, and of which nobody knows whether it was begun.
    pub unbegun: Option<u64>,
    /// Units that the others asked for in vain.
    short: u64,
    /// See [`Figures::drift`].
    drift: u64,
    demand: Demand,
}

/// What a request says beside orders.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Told {
    have: u32,
    want: u32,
    stock: Stock,
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Saying {
    pub request: LeaseRequest,
    /// Whether there was more to tell.
    pub is_full: bool,
}

/// An account's figures, for people.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Units lent to this gateway, by its journal.
    pub net: u32,
    /// The most units that Redis was ever seen to count wrongly. Of this gateway's it counts at least as
    /// many under the same number, until it has heard what is given back; and all that are lent are those
    /// of each gateway, and no more than there are. What is amiss may be built anew at once, and would not
    /// show.
    pub drift: u64,
    /// The generation of its era.
    pub generation: u64,
    /// Units that the others asked for in vain.
    pub short: u64,
    /// Whether units are lent and places confirmed.
    pub live: bool,
}

impl Account {
    pub(super) fn is_look_due(&self, now_us: u64) -> bool {
        matches!(self.view, View::Unknown) || now_us >= self.seen_us + VIEW_US
    }

    /// What was said last may not have been heard: it is said again as soon as Redis was seen.
    pub(super) fn doubt(&mut self) {
        (self.view, self.told) = (View::Unknown, None);
    }

    /// Redis has refused a step, not by its functions: it may not a second later.
    pub(super) fn rest(&mut self, now_us: u64) {
        self.doubt();
        self.rests_until_us = now_us + AGAIN_US;
    }

    pub(super) fn rests(&self, now_us: u64) -> bool {
        now_us < self.rests_until_us
    }

    /// Whether it is time to try what did not come about; if so, the next try is a second later.
    pub(super) fn may_try(&mut self, now_us: u64) -> bool {
        let may = now_us >= self.again_us;
        if may {
            self.again_us = now_us + AGAIN_US;
        }
        may
    }

    /// The next request, where there is something to say: what is given back is journaled first.
    pub(super) async fn prepare(
        &mut self,
        control: &Control,
        activity: &Activity,
        (holder, aside): (Holder, &BTreeSet<OrderId>),
    ) -> Result<Option<Saying>, Failed> {
        let sale = activity.sale();
        let Some(lease) = sale.lease.filter(|_| !sale.closed) else { return Ok(None) };
        drop(sale);
        if next(&self.view, &lease, holder, self.unbegun) != Next::Lease {
            return Ok(None);
        }
        let now_us = control.engine.clock().elapsed_us();
        let want = self.settle_demand(control, activity, now_us).await;
        let until = control.engine.flushed_position();
        let untold = control.owners.untold(activity.id, until).await;
        let mut batch = batch(untold.map_err(|_| Failed::Shards)?);
        reject(control, activity.id, batch.leave_out(aside)).await?;
        let sale = activity.sale();
        let (Some(lease), terms) = (sale.lease, &sale.terms) else { return Ok(None) };
        let Some(era) = lease.era else { return Ok(None) };
        let open = !sale.ended && !sale.closed;
        let stock = Stock { version: sale.version, stocked: terms.stocked, open };
        let told = Told { have: lease.net, want, stock };
        let has_orders = !batch.releases.is_empty() || !batch.confirms.is_empty();
        let is_news = has_orders || self.told != Some(told);
        let may_matter =
            want > 0 || (activity.remaining() > 0 && activity.phase(control.now()) == Phase::Live);
        let heartbeat_us = if may_matter { HEARTBEAT_US } else { IDLE_HEARTBEAT_US };
        if !is_news && now_us < self.said_us + heartbeat_us {
            return Ok(None);
        }
        (self.said_us, self.told) = (now_us, Some(told));
        let request = LeaseRequest {
            era,
            holder,
            n: lease.n + 1,
            have: lease.net,
            want,
            stock,
            limit: terms.per_user_limit,
            releases: batch.releases,
            confirms: batch.confirms,
        };
        Ok(Some(Saying { request, is_full: batch.is_full }))
    }

    /// Gives back what is to spare; the units that it would like.
    async fn settle_demand(&mut self, control: &Control, activity: &Activity, now_us: u64) -> u32 {
        let free = activity.remaining();
        let sale = activity.sale();
        let net = sale.lease.map_or(0, |lease| lease.net);
        let is_ended = matches!(sale.phase(control.now()), Phase::Ended | Phase::Closed);
        let is_over = is_ended || control.sells_no_more();
        drop(sale);
        let in_vain = activity.asked_in_vain();
        // What operators took out was not sold.
        let gone = u64::from(net.saturating_sub(free)).saturating_sub(activity.withdrawn());
        self.demand.look(now_us, (gone, free), in_vain);
        let supply = self.supply(free);
        if supply.pool == 0 && supply.members > 1 && activity.ending() > 0 {
            // What others may want comes free once the store has those ends: no storm is waited for.
            control.flush.hasten(activity.last_end());
        }
        let spare = if is_over { free } else { self.demand.give(now_us, &supply) };
        if spare > 0 {
            let (id, at_most) = (activity.id, spare);
            let owner = id.owner(control.engine.cores());
            // Refused, it is tried again at the next look.
            drop(control.owners.ask(owner, Command::ReturnUnits { activity: id, at_most }).await);
            // Redis says anew what they lack once it has heard; until then it is not given again.
            self.short = self.short.saturating_sub(spare.into());
        }
        if is_over { 0 } else { self.demand.want(now_us, &self.supply(activity.remaining())) }
    }

    fn supply(&self, free: u32) -> Supply {
        let (pool, members) = match &self.view {
            View::Seen { status, .. } => {
                let pool = u64::from(status.stock.stocked).saturating_sub(status.leased);
                (pool, status.holdings.len() as u64)
            }
            View::Unknown | View::Absent => (0, 1),
        };
        Supply { free, pool, members, short: self.short }
    }

    /// The answer: what it says of orders first, and last that it was heard, with the units that
    /// were lent. Whatever is not journaled is told again under the same number.
    pub(super) async fn heard(
        &mut self,
        control: &Control,
        activity: ActivityId,
        saying: &Saying,
        reply: &LeaseReply,
    ) -> Result<(), Failed> {
        let LeaseReply { n, granted: quantity, .. } = *reply;
        // That it is of the era, the function has seen.
        if n != saying.request.n {
            return Ok(());
        }
        self.is_heard = true;
        self.take_from_pool(quantity, saying.request.want);
        let cores = control.engine.cores();
        let ended = ended(reply);
        // On every core first: what is confirmed on one may stand on what another releases.
        let nobody = Answers { activity, confirmed: vec![], refused: vec![], released: vec![] };
        for core in 0..cores {
            let released = of_core(&ended, core, cores);
            tell(control, core, Answers { released, ..nobody.clone() }).await?;
        }
        for core in 0..cores {
            let confirmed = of_core(&reply.yes, core, cores);
            let refused = of_core(&reply.no, core, cores);
            tell(control, core, Answers { confirmed, refused, ..nobody.clone() }).await?;
        }
        let leased = Command::Lease { activity, n, quantity };
        done(&control.owners.ask(activity.owner(cores), leased).await)?;
        self.short = reply.short;
        Ok(())
    }

    /// Until the next look at Redis: what nobody has is less by what was lent, and nothing where that was not
    /// all that was asked for.
    fn take_from_pool(&mut self, granted: u32, wanted: u32) {
        let View::Seen { status, .. } = &mut self.view else { return };
        status.leased += u64::from(granted);
        if granted < wanted {
            status.leased = status.leased.max(status.stock.stocked.into());
        }
    }

    /// Whether nothing of the activity is left here to be settled but its closing.
    pub(super) fn may_rest(&self, activity: &Activity, now: Timestamp) -> bool {
        activity.phase(now) == Phase::Ended
            && activity.outstanding() == 0
            && activity.ending() == 0
            && activity.is_sold_out()
            && self.told.is_some_and(|told| told.want == 0)
    }

    /// Redis has said this of an activity of which the journal had `lease` when it was asked.
    pub(super) fn see(&mut self, status: Status, lease: &Lease, holder: Holder) {
        let is_same = |it: &&Holding| it.holder == holder && it.n == lease.n;
        let of_now = status.remembers && lease.era == Some(status.era);
        let mine = status.holdings.iter().filter(|_| of_now).find(is_same);
        let unknown = mine.map_or(0, |it| lease.net.saturating_sub(it.net));
        let miscounted = if status.remembers { status.miscounted() } else { 0 };
        self.drift = self.drift.max(unknown.into()).max(miscounted);
        self.view = View::Seen { n: lease.n, status };
    }

    pub(super) fn figures(&self, activity: &Activity) -> Figures {
        let lease = activity.sale().lease.unwrap_or_default();
        let generation = lease.era.map_or(0, |era| era.generation);
        let live = matches!(&self.view, View::Seen { status, .. } if status.live);
        Figures { net: lease.net, drift: self.drift, generation, short: self.short, live }
    }
}

/// Rejects orders of which nobody is to be told.
async fn reject(
    control: &Control,
    activity: ActivityId,
    orders: Vec<OrderId>,
) -> Result<(), Failed> {
    let cores = control.engine.cores();
    for core in 0..cores {
        let refused = of_core(&orders, core, cores);
        let answers = Answers { activity, confirmed: vec![], refused, released: vec![] };
        tell(control, core, answers).await?;
    }
    Ok(())
}

async fn tell(control: &Control, core: usize, answers: Answers) -> Result<(), Failed> {
    if answers.is_empty() {
        return Ok(());
    }
    done(&control.owners.ask(core, Command::Hear(Box::new(answers))).await)
}

fn done(verdict: &Verdict) -> Result<(), Failed> {
    let failed = matches!(verdict, Verdict::Refused(_) | Verdict::OutcomeUnknown);
    if failed { Err(Failed::Shards) } else { Ok(()) }
}
