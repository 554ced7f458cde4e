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
        let mut accounts = self.audit_own(activity).await?;
        let Some(peers) = &self.peers else {
            let own = accounts.into_values().next();
            return Ok(own.map(|own| serde_json::to_string(&own)).transpose()?);
        };
        let mut unanswered = self.not_adopted_yet(peers);
        if let Some(vouched) = asks {
            let others = peers.all().into_iter().filter(|peer| peer.adopter().is_none());
            let asked = others.map(|peer| ask(peers, peer, activity, vouched));
            for (gateway, answer) in join_all(asked).await {
                match answer {
                    Some(Some(theirs)) => {
                        accounts.extend(theirs.gateways);
                        unanswered.extend(theirs.unanswered);
                    }
                    Some(None) => {}
                    None => drop(unanswered.insert(gateway)),
                }
            }
        }
        if accounts.is_empty() {
            anyhow::ensure!(unanswered.is_empty(), "gateways {unanswered:?} do not answer");
            return Ok(None);
        }
        Ok(Some(serde_json::to_string(&FleetAudit::of(accounts, unanswered))?))
    }

    /// By the journals of this process.
    async fn audit_own(
        &self,
        activity: ActivityId,
    ) -> anyhow::Result<BTreeMap<u16, ActivityAudit>> {
        let own = (self.engine.origin().gateway, self.journal.clone());
        let adopted = adopted_journals(self.adoption.folder())?;
        let adopted = adopted.into_iter().map(|(origin, journal)| (origin.gateway, journal));
        let redis = self.settling.as_ref().map(|settling| settling.redis());
        let mut accounts = BTreeMap::new();
        for (gateway, journal) in [own].into_iter().chain(adopted) {
            let books = Books { gateway, journal: &journal, store: &*self.store, redis };
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
