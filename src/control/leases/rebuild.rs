//! Rebuilding: what Redis has forgotten it is told anew, by everybody who may hold units, before it lends
//! again.
//!
//! It must not know the daily work.

use seckill_shards::command::Command;
use seckill_shards::ids::{ActivityId, Era};

use super::account::Account;
use super::next::{Next, View, next};
use super::{Failed, Round, Stop};
use crate::reconcile::{Declaration, Holder, Holding, Member, Place, Refusal, Roll, Stock};
use crate::store::LeaseMember;

impl Round<'_> {
    /// What must be done before the daily work: one step, and then a new look.
    pub(super) async fn rebuild(&mut self, id: ActivityId) -> Result<(), Failed> {
        let Some(activity) = self.activity(id) else { return Ok(()) };
        let (lease, closed) = (activity.sale().lease.unwrap_or_default(), activity.sale().closed);
        // Who has not joined has nothing to rebuild, and must not end what the others live in.
        if lease.floor.is_none() {
            return Ok(());
        }
        let (holder, now_us) = (self.holder(), self.engine().clock().elapsed_us());
        let account = self.account(id);
        if account.rests(now_us) {
            return Ok(());
        }
        if closed {
            return self.witness(id).await;
        }
        let next = next(&account.view, &lease, holder, account.unbegun);
        if matches!(next, Next::Look | Next::Lease) {
            return Ok(());
        }
        account.view = View::Unknown;
        let refused = match next {
            Next::Begin(seen) => self.begin(id, seen).await?,
            Next::Enter(era) => {
                self.change(id, Command::EnterEra { activity: id, era }).await?;
                self.declare(id, era).await?
            }
            Next::Declare => match lease.era {
                Some(era) => self.declare(id, era).await?,
                None => None,
            },
            Next::Resume(era) if self.may_try(id) => self.resume(id, era).await?,
            Next::Stop => return Err(Stop::Retired(id).into()),
            Next::Look | Next::Lease | Next::Resume(_) => None,
        };
        if let Some(refusal) = refused {
            self.settling.note_refusal(id, refusal);
        }
        Ok(())
    }

    /// Of a sale that is closed here and not everywhere: the others lend again only once this gateway
    /// has said what it keeps. Nothing is journaled behind the closing, and no answer is waited for.
    async fn witness(&mut self, id: ActivityId) -> Result<(), Failed> {
        let (holder, account) = (self.holder(), &self.accounts[&id]);
        let View::Seen { status, .. } = &account.view else { return Ok(()) };
        let is_mine = |it: &Holding| it.holder == holder;
        if status.live || !status.remembers || status.holdings.iter().any(is_mine) {
            return Ok(());
        }
        let era = status.era;
        if self.may_try(id)
            && let Some(refusal) = self.declare(id, era).await?
        {
            self.settling.note_refusal(id, refusal);
        }
        Ok(())
    }

    fn account(&mut self, id: ActivityId) -> &mut Account {
        self.accounts.get_mut(&id).expect("accounts are opened before")
    }

    async fn begin(
        &mut self,
        id: ActivityId,
        seen: Option<Era>,
    ) -> Result<Option<Refusal>, Failed> {
        let lease = self.activity(id).and_then(|it| it.sale().lease).unwrap_or_default();
        // None is begun below what Redis or the journals have.
        let is_of_use = |&generation: &u64| {
            seen.is_none_or(|seen| generation > seen.generation)
                && lease.may_enter(Era { generation, nonce: 0 })
        };
        let generation = match self.account(id).unbegun.filter(is_of_use) {
            Some(generation) => generation,
            None => self.in_time(self.control.store.next_generation(id)).await?,
        };
        // It is kept until Redis says that it was begun: the message, or its answer, may be lost.
        self.account(id).unbegun = Some(generation);
        let random = crate::random_bytes().map(u64::from_le_bytes).unwrap_or(generation);
        let begun = self.settling.redis.begin(id, seen, generation, random).await?;
        tracing::warn!(activity = id.0, ?seen, ?begun, "what Redis knew is built anew");
        if begun.is_ok() {
            self.account(id).unbegun = None;
        }
        Ok(begun.err())
    }

    async fn declare(&self, id: ActivityId, era: Era) -> Result<Option<Refusal>, Failed> {
        let until = self.control.engine.flushed_position();
        let places = self.control.owners.places(id, until).await.map_err(|_| Failed::Shards)?;
        let place = |it: &seckill_shards::shard::Placed| Place {
            user: it.user,
            order: it.order,
            quantity: it.quantity,
        };
        let places = places.concat().iter().map(place).collect();
        let lease = self.activity(id).and_then(|it| it.sale().lease);
        let Some(lease) = lease else { return Ok(None) };
        let declaration =
            Declaration { era, holder: self.holder(), n: lease.n, net: lease.net, places };
        Ok(self.settling.redis.declare(id, &declaration).await?.err())
    }

    /// The members are read after the era was seen, so that none is left out who may have units.
    async fn resume(&mut self, id: ActivityId, era: Era) -> Result<Option<Refusal>, Failed> {
        let roll = self.in_time(self.control.store.roll(id)).await?;
        let holder =
            |it: &LeaseMember| Holder { member: Member::Gateway(it.gateway), epoch: it.epoch };
        let members = roll.members.iter().map(holder).collect();
        let stock = Stock { version: roll.version, stocked: roll.stocked, open: roll.open };
        match self.settling.redis.resume(id, &Roll { era, stock, members }).await? {
            Ok(resumed) if resumed.excess > 0 => {
                tracing::error!(activity = id.0, resumed.excess, "more is lent than there is");
                Ok(None)
            }
            Ok(_) => Ok(None),
            // Whoever is missing declares in its turn.
            Err(Refusal::NotYet { member }) => {
                tracing::info!(activity = id.0, %member, "waiting for a gateway to declare");
                Ok(None)
            }
            Err(refusal) => Ok(Some(refusal)),
        }
    }
}
