//! The other gateways of the fleet: who there is, and calls to them about what they own.
//!
//! A call is the request itself, signed, to the listener that its owner has for such calls, once:
//! whoever forwards a call has authenticated who sends it, and the owner takes its word. It must not
//! know routes, nor what an answer means.

mod exchange;
pub mod limits;
mod membership;
mod peer;
mod signature;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use seckill_shards::clock::Clock;
use tokio::runtime::Handle;

use self::exchange::exchange;
use self::signature::{Envelope, PeerKey};
use crate::store::GatewayRow;

pub use self::membership::Membership;
pub use self::peer::{Outcome, Peer};
pub use self::signature::Vouched;
pub use self::wire::{Answered, Call, Claim, Proven};

/// The header of an answer that proves whose it is.
pub const SEAL: &str = wire::SEAL;

/// Why a call has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unanswered {
    /// It never went out: nothing happened.
    NotSent,
    /// It may have been carried out.
    Unknown,
}

/// What [`Peers`] are made of.
#[derive(Debug)]
pub struct PeersParts<'a> {
    /// This gateway's number.
    pub own: u16,
    /// Where the others call it, as `host:port`.
    pub address: String,
    /// The secret that all gateways have.
    pub secret: &'a [u8; 32],
    /// The gateway's clock.
    pub clock: Arc<dyn Clock>,
    /// Where calls wait for their answers, away from the cores.
    pub runtime: Handle,
    /// For how many seconds a word to the store lasts; none: for ever.
    pub membership_s: Option<u32>,
    /// Whether the store may yet know of such a time from an earlier run.
    pub was_bounded: bool,
}

/// The fleet, seen from one gateway.
#[derive(Debug)]
pub struct Peers {
    own: u16,
    url: String,
    key: PeerKey,
    clock: Arc<dyn Clock>,
    runtime: Handle,
    /// How this gateway stands itself.
    membership: Membership,
    /// All others that the store knows of, by number: as many as there are numbers at most.
    fleet: Mutex<BTreeMap<u16, Arc<Peer>>>,
}

impl Peers {
    /// Nobody else is known yet.
    #[must_use]
    pub fn new(parts: PeersParts<'_>) -> Self {
        let PeersParts { own, address, secret, clock, runtime, membership_s, was_bounded } = parts;
        let (url, key) = (format!("http://{address}"), PeerKey::new(secret));
        let membership = Membership::new(Arc::clone(&clock), membership_s, was_bounded);
        Self { own, url, key, clock, runtime, membership, fleet: Mutex::default() }
    }

    /// How this gateway stands itself.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// This gateway's number.
    #[must_use]
    pub fn own(&self) -> u16 {
        self.own
    }

    /// Where the others call this gateway: `http://host:port`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Takes over what the store says of all gateways.
    pub fn learn(&self, rows: &[GatewayRow]) {
        let (now, now_us) = (self.clock.now(), self.clock.elapsed_us());
        let mut fleet = self.fleet.lock().expect("nobody panics under this lock");
        for row in rows.iter().filter(|row| row.number != self.own) {
            let peer = fleet.entry(row.number).or_insert_with(|| Arc::new(Peer::new(row.number)));
            peer.learn(row, now, now_us);
        }
    }

    /// The gateway of a number, where the store knows of it.
    #[must_use]
    pub fn find(&self, number: u16) -> Option<Arc<Peer>> {
        self.fleet.lock().expect("nobody panics under this lock").get(&number).cloned()
    }

    /// Who speaks for a gateway: itself, or whoever has adopted it.
    #[must_use]
    pub fn speaker_of(&self, number: u16) -> u16 {
        self.find(number).and_then(|peer| peer.adopter()).unwrap_or(number)
    }

    /// All others, by number.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Peer>> {
        self.fleet.lock().expect("nobody panics under this lock").values().cloned().collect()
    }

    /// Has a peer answer a call. It goes on if the caller goes away.
    ///
    /// # Errors
    /// [`Unanswered`], which says whether anything may have happened.
    pub async fn call(&self, peer: &Arc<Peer>, call: Call) -> Result<Answered, Unanswered> {
        let answered = self.attempt(peer, call).await;
        let outcome = answered.as_ref().err().copied().unwrap_or(Outcome::Answered);
        peer.note(outcome);
        answered.map_err(|outcome| match outcome {
            Outcome::Away | Outcome::Crowded | Outcome::Unreached => Unanswered::NotSent,
            Outcome::Answered | Outcome::Unanswered | Outcome::Unproven => Unanswered::Unknown,
        })
    }

    async fn attempt(&self, peer: &Arc<Peer>, call: Call) -> Result<Answered, Outcome> {
        let address = peer.address().ok_or(Outcome::Away)?;
        let leave = match call.said_at {
            Some(_) => (peer.leave_word()?, None),
            None => peer.leave(self.clock.elapsed_us())?,
        };
        let sent_at = call.said_at.unwrap_or_else(|| self.clock.now());
        let (from, to) = (self.own, peer.number);
        let envelope = Envelope { from, to, sent_at, vouched: call.vouched };
        let (is_read, patience) = (call.method == Method::GET, call.patience);
        let (request, signature) = wire::request(&self.key, &envelope, &address, call);
        let (key, clock, gateway) = (self.key.clone(), Arc::clone(&self.clock), peer.number);
        let attempted = self.runtime.spawn(async move {
            let answered = match exchange(&address, request, patience).await {
                Ok(answer) => wire::answered(&key, &signature, answer).ok_or(Outcome::Unproven),
                Err(exchange::Lost::Unreached) => Err(Outcome::Unreached),
                Err(exchange::Lost::Unanswered) => Err(Outcome::Unanswered),
            };
            // A read may wait for the store, which changes do not need.
            let is_slow_read = is_read && matches!(answered, Err(Outcome::Unanswered));
            let (room, pass) = leave;
            if let Some(pass) = pass {
                pass.done(answered.is_ok() || is_slow_read, clock.elapsed_us());
            }
            drop(room);
            answered
        });
        // The control runtime is going down, with the call under way.
        let answered = attempted.await.unwrap_or(Err(Outcome::Unanswered));
        if matches!(answered, Err(Outcome::Unproven)) {
            tracing::warn!(gateway, "an answer is not signed: secret or address differ");
        }
        answered
    }

    /// What the head of a call claims, where it may be a peer's: looked at before its body is read.
    #[must_use]
    pub fn claim(&self, head: &Parts) -> Option<Claim> {
        wire::claim(head, self.own, self.clock.now())
    }

    /// Whether a call is what its head claims, which then has what was signed and nothing else.
    #[must_use]
    pub fn prove(&self, claim: &Claim, head: &mut Parts, body: &[u8]) -> Option<Proven> {
        wire::prove(&self.key, claim, head, body)
    }

    /// The value of [`SEAL`] for the answer to a call.
    #[must_use]
    pub fn seal(&self, call: &Proven, answer: (StatusCode, &HeaderMap, &[u8])) -> HeaderValue {
        wire::seal(&self.key, call, answer)
    }
}
