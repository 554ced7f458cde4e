//! Auditing: an activity's account with this gateway and those that it has adopted, and with the others
//! where they are to be asked, too.
//!
//! It must not know what is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, Method, StatusCode};
use seckill_shards::ids::ActivityId;

use super::Control;
use super::adoption::adopted_journals;
use crate::audit::{ActivityAudit, AuditError, Books, FleetAudit, audit};
use crate::peers::limits::AUDIT;
use crate::peers::{self, Peer, Peers, Vouched};
use crate::store::StoreError;

impl Control {
    /// The account as JSON text; none where nobody knows the activity. The other gateways are asked for
    /// whoever `asks`, and otherwise left out.
    pub(super) async fn audit_all(
        &self,
        activity: ActivityId,
        asks: Option<Vouched>,
    ) -> anyhow::Result<Option<String>> {
        let Some(peers) = &self.peers else {
            let own = self.audit_own(activity).await?.into_values().next();
            return Ok(own.map(|own| serde_json::to_string(&own)).transpose()?);
        };
        let Heard { accounts, silent, strangers } = match asks {
            Some(vouched) => self.audit_fleet(peers, activity, vouched).await?,
            None => self.audit_here(peers, activity).await?,
        };
        if accounts.is_empty() {
            anyhow::ensure!(silent.is_empty(), "gateways {silent:?} do not answer");
            return Ok(None);
        }
        let members = self.members(activity).await?;
        let forgetful = strangers.intersection(&members);
        let unanswered = silent.iter().chain(forgetful).copied().collect();
        let row = self.store.activity(activity).await?;
        let fleet = FleetAudit::of(accounts, unanswered).with_pool(row.stocked, row.closed);
        Ok(Some(serde_json::to_string(&fleet)?))
    }

    /// By the journals of this process, and by those of all others that the store knows.
    async fn audit_fleet(
        &self,
        peers: &Peers,
        activity: ActivityId,
        vouched: Vouched,
    ) -> anyhow::Result<Heard> {
        peers.learn(&self.store.announce(None).await?);
        let others = peers.all().into_iter().filter(|peer| peer.adopter().is_none());
        let asked = join_all(others.map(|peer| ask(peers, peer, activity, vouched)));
        let (heard, answers) = tokio::join!(self.audit_here(peers, activity), asked);
        let mut heard = heard?;
        for (gateway, answer) in answers {
            match answer {
                Some(Some(theirs)) => {
                    heard.accounts.extend(theirs.gateways);
                    heard.silent.extend(theirs.unanswered);
                }
                Some(None) => drop(heard.strangers.insert(gateway)),
                None => drop(heard.silent.insert(gateway)),
            }
        }
        Ok(heard)
    }

    /// By the journals of this process alone.
    async fn audit_here(&self, peers: &Peers, activity: ActivityId) -> anyhow::Result<Heard> {
        let accounts = self.audit_own(activity).await?;
        let own = Some(peers.own()).filter(|own| !accounts.contains_key(own));
        let (silent, strangers) = (self.not_adopted_yet(peers), own.into_iter().collect());
        Ok(Heard { accounts, silent, strangers })
    }

    /// Who may have had units of an activity, by the store.
    async fn members(&self, activity: ActivityId) -> anyhow::Result<BTreeSet<u16>> {
        let roll = self.store.roll(activity).await?;
        Ok(roll.members.iter().map(|member| member.gateway).collect())
    }

    /// By the journals of this process.
    async fn audit_own(
        &self,
        activity: ActivityId,
    ) -> anyhow::Result<BTreeMap<u16, ActivityAudit>> {
        let _turn = self.auditing.lock().await;
        let own = (self.engine.origin().gateway, self.journal.clone());
        let adopted = adopted_journals(self.adoption.folder())?;
        let adopted = adopted.into_iter().map(|(origin, journal)| (origin.gateway, journal));
        let redis = self.settling.as_ref().map(|settling| settling.redis());
        let mut accounts = BTreeMap::new();
        for (gateway, journal) in [own].into_iter().chain(adopted) {
            let (is_adopted, store) = (gateway != self.engine.origin().gateway, &*self.store);
            let books = Books { gateway, is_adopted, journal: &journal, store, redis };
            match audit(books, Some(activity)).await {
                Ok(mut audits) => {
                    let account = audits.compared.remove(&activity.0);
                    accounts.extend(account.map(|account| (gateway, account)));
                }
                Err(AuditError::Store(StoreError::Refused(_))) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(accounts)
    }

    /// Gateways that this one is to speak for, and has yet to take over.
    fn not_adopted_yet(&self, peers: &Peers) -> BTreeSet<u16> {
        let all = peers.all().into_iter();
        let wards = all.filter(|peer| peer.adopter() == Some(peers.own()));
        let numbers = wards.map(|peer| peer.number);
        numbers.filter(|&number| self.adoption.find(number).is_none()).collect()
    }
}

/// What there is of an activity's audit.
struct Heard {
    /// By gateway.
    accounts: BTreeMap<u16, ActivityAudit>,
    /// Gateways that do not answer.
    silent: BTreeSet<u16>,
    /// Those that do not know the activity: they have never had a part in it, or have forgotten it.
    strangers: BTreeSet<u16>,
}

/// What another gateway says by its own journals: none where it does not answer as it must, and none
/// within where it does not know the activity.
async fn ask(
    peers: &Peers,
    peer: Arc<Peer>,
    activity: ActivityId,
    vouched: Vouched,
) -> (u16, Option<Option<FleetAudit>>) {
    let call = peers::Call {
        method: Method::GET,
        path: format!("/api/v1/admin/audit/{activity}"),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        vouched: Some(vouched),
        patience: AUDIT,
        said_at: None,
    };
    let answer = match peers.call(&peer, call).await {
        Ok(answer) if answer.status == StatusCode::OK => {
            serde_json::from_slice(&answer.body).ok().map(Some)
        }
        Ok(answer) => (answer.status == StatusCode::NOT_FOUND).then_some(None),
        Err(_) => None,
    };
    (peer.number, answer)
}
