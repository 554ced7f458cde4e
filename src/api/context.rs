//! What a request can reach: what all cores share, and what is its core's own.
//!
//! It must not know what any resource does with it.

use std::cell::Cell;
use std::fmt;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use seckill_shards::clock::{Clock, Timestamp};
use seckill_shards::engine::Engine;
use seckill_shards::ids::ActivityId;
use seckill_shards::shard::Activity;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::access::Access;
use super::adopted::Adopted;
use super::auth::Site;
use super::breakers::StoreBreakers;
use super::counters::Counters;
use super::limits::{STORE_CALLS_MAX, STORE_READ, STORE_SLOW, STORE_WRITE};
use super::pages::PageMap;
use super::passwords::Passwords;
use super::problem::{self, Effect, Problem, Slug};
use super::reply::Desk;
use super::shards::Shards;
use super::throttle::Throttle;
use super::tokens::Tokens;
use super::words::{Said, Word};
use crate::flow::Pass;
use crate::log::causes;
use crate::payment::PaymentPort;
use crate::peers::{Peers, Vouched};
use crate::store::{Act, Revoked, Store, StoreError, Stored};

/// What the control side does for the API.
#[async_trait]
pub trait Control: Send + Sync + 'static {
    /// An activity or something that the pages show has changed: by the time this returns new
    /// activities are preheated, and the pages rendered again and served.
    async fn republish(&self);

    /// The audit of an activity as JSON text; none where there is no such activity, or every journal
    /// has forgotten it. The other gateways are asked for whoever `asks`, and otherwise left out.
    ///
    /// # Errors
    /// Where something that must be compared did not answer.
    async fn audit(
        &self,
        activity: ActivityId,
        asks: Option<Vouched>,
    ) -> anyhow::Result<Option<String>>;

    /// Somebody waits until the store has what stands before a position of the journal.
    fn hasten_flush(&self, _position: u64) {}

    /// Tells a word to the other gateways, and waits for them a moment.
    async fn tell(&self, _word: Word) {}

    /// Does what was done at another gateway; false where that cannot be now.
    async fn hear(&self, _word: Word, _said: Said) -> bool {
        false
    }

    /// Keeps a sign-out that the store did not take until it does.
    fn keep(&self, _revoked: Revoked, _until: Timestamp) {}

    /// Has an act written into the trail as soon as the store takes it; what is given back is closed then.
    fn note(&self, _act: Act) -> oneshot::Receiver<()> {
        oneshot::channel().1
    }

    /// A gateway that this one has adopted, and goes on with; none unless it has.
    fn adopted(&self, _gateway: u16) -> Option<Arc<Adopted>> {
        None
    }

    /// All of them.
    fn all_adopted(&self) -> Vec<Arc<Adopted>> {
        Vec::new()
    }
}

/// What [`Shared`] is made of.
pub struct SharedParts {
    /// The engine.
    pub engine: Arc<Engine>,
    /// The gateway's clock.
    pub clock: Arc<dyn Clock>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// What the control side does for the API.
    pub control: Arc<dyn Control>,
    /// Where calls of the store and hashing run, away from the cores.
    pub runtime: tokio::runtime::Handle,
    /// Signs and checks tokens.
    pub tokens: Tokens,
    /// What was taken back; the control side feeds it what other gateways took back.
    pub access: Arc<Access>,
    /// The published pages; the control side swaps them whole.
    pub pages: Arc<ArcSwap<PageMap>>,
    /// Where the gateway is on the web.
    pub site: Site,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Core threads, and so shards.
    pub cores: usize,
    /// What shoppers pay by; none: paying is unavailable.
    pub payment: Option<PaymentPort>,
    /// The other gateways; none where this one is alone.
    pub peers: Option<Arc<Peers>>,
    /// What stops calls of the store while it fails or is slow.
    pub breakers: StoreBreakers,
}

/// What all cores share.
pub struct Shared {
    pub(super) engine: Arc<Engine>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) control: Arc<dyn Control>,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) tokens: Tokens,
    pub(super) access: Arc<Access>,
    pub(super) pages: Arc<ArcSwap<PageMap>>,
    pub(super) site: Site,
    pub(super) trusted_proxies: Vec<IpAddr>,
    pub(super) passwords: Passwords,
    pub(super) throttle: Throttle,
    pub(super) payment: Option<PaymentPort>,
    pub(super) peers: Option<Arc<Peers>>,
    store: Arc<dyn Store>,
    breakers: StoreBreakers,
    store_calls: Arc<Semaphore>,
    counters: Vec<Arc<Counters>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("site", &self.site).finish_non_exhaustive()
    }
}

impl fmt::Debug for SharedParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedParts").field("site", &self.site).finish_non_exhaustive()
    }
}

impl Shared {
    /// Puts it together.
    #[must_use]
    pub fn new(parts: SharedParts) -> Self {
        Self {
            engine: parts.engine,
            clock: parts.clock,
            control: parts.control,
            tokens: parts.tokens,
            access: parts.access,
            pages: parts.pages,
            site: parts.site,
            trusted_proxies: parts.trusted_proxies.iter().map(IpAddr::to_canonical).collect(),
            passwords: Passwords::new(parts.runtime.clone()),
            throttle: Throttle::default(),
            payment: parts.payment,
            peers: parts.peers,
            store: parts.store,
            breakers: parts.breakers,
            store_calls: Arc::new(Semaphore::new(STORE_CALLS_MAX)),
            counters: (0..parts.cores).map(|_| Arc::default()).collect(),
            runtime: parts.runtime,
        }
    }

    /// What each core has counted, by its index.
    #[must_use]
    pub fn counters(&self) -> &[Arc<Counters>] {
        &self.counters
    }

    /// What stops calls of the store while it fails or is slow.
    #[must_use]
    pub fn breakers(&self) -> &StoreBreakers {
        &self.breakers
    }

    /// An activity that is in memory.
    ///
    /// # Errors
    /// There is none; or it may be one that is not known yet.
    pub(super) fn find_activity(&self, id: ActivityId) -> Result<Arc<Activity>, Problem> {
        let found = self.engine.find_activity(id);
        found.map_err(|refusal| problem::refused(&refusal, self.now()))
    }

    /// The gateway's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// What is one core's own.
#[derive(Debug)]
pub struct Context {
    pub(super) shared: Arc<Shared>,
    pub(super) shards: Rc<Shards>,
    pub(super) desk: Desk,
    index: usize,
    recently: Cell<Timestamp>,
}

impl Context {
    /// The context of the core that `shards` is seen from; `random` begins its request ids.
    #[must_use]
    pub fn new(shared: Arc<Shared>, shards: Rc<Shards>, random: u64) -> Self {
        let recently = Cell::new(shared.now());
        Self { index: shards.index(), shared, shards, desk: Desk::new(random), recently }
    }

    /// This core's counters.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.shared.counters[self.index]
    }

    /// The instant of the last tick: good enough where ten milliseconds do not matter.
    #[must_use]
    pub fn recently(&self) -> Timestamp {
        self.recently.get()
    }

    /// Reads the clock, and shuts or opens the door for new orders by how the gateway stands in its
    /// fleet. Call it on every tick.
    pub fn tick(&self) {
        self.recently.set(self.shared.now());
        let Some(peers) = &self.shared.peers else { return };
        let takes = peers.membership().takes_orders();
        if self.shared.engine.takes_orders() != takes {
            self.shared.engine.take_orders(takes);
        }
    }

    /// Whether the gateway may speak for itself at this moment: looked at once more before what it has
    /// written down is answered.
    pub(super) fn is_member(&self) -> bool {
        self.shared.peers.as_ref().is_none_or(|peers| peers.membership().holds())
    }

    /// Has the pages rendered again, away from the cores.
    pub(super) async fn republish(&self) {
        let control = Arc::clone(&self.shared.control);
        let rendered = self.shared.runtime.spawn(async move { control.republish().await });
        // Where the control runtime is going down, nobody asks for a page any more.
        drop(rendered.await);
    }

    /// Carries out a call of the store on the control runtime. It goes on if the client goes away.
    /// While the store fails or is slow it is not asked: the call is refused as unavailable.
    pub(super) async fn store<T, F>(
        &self,
        effect: Effect,
        call: impl FnOnce(Arc<dyn Store>) -> F,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = Stored<T>> + Send + 'static,
    {
        let breaker = self.shared.breakers.of(effect);
        let pass = breaker.ask(self.shared.clock.elapsed_us()).ok_or(Slug::Unavailable)?;
        self.call_store(effect, Some(pass), call).await
    }

    /// The same for what must not be lost as long as the store can take it: it is asked whatever
    /// the breaker says.
    pub(super) async fn store_regardless<T, F>(
        &self,
        effect: Effect,
        call: impl FnOnce(Arc<dyn Store>) -> F,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = Stored<T>> + Send + 'static,
    {
        self.call_store(effect, None, call).await
    }

    /// Refuses at once what the store would have to be asked for, where that would be in vain: called
    /// before an attempt is counted or a password hashed.
    pub(super) fn expect_store(&self, effect: Effect) -> Result<(), Problem> {
        match self.shared.breakers.of(effect).rests(self.shared.clock.elapsed_us()) {
            true => Err(Slug::Unavailable.into()),
            false => Ok(()),
        }
    }

    async fn call_store<T, F>(
        &self,
        effect: Effect,
        pass: Option<Pass>,
        call: impl FnOnce(Arc<dyn Store>) -> F,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = Stored<T>> + Send + 'static,
    {
        let permit = Arc::clone(&self.shared.store_calls).try_acquire_owned();
        let permit = permit.map_err(|_| Slug::Overloaded)?;
        let (deadline, late) = match effect {
            Effect::Read => (STORE_READ, Slug::Unavailable),
            Effect::Write => (STORE_WRITE, Slug::OutcomeUnknown),
        };
        let call = call(Arc::clone(&self.shared.store));
        let clock = Arc::clone(&self.shared.clock);
        let done = self.shared.runtime.spawn(async move {
            let done = watch(call, [STORE_SLOW, deadline], pass, &*clock).await;
            drop(permit);
            done
        });
        match done.await {
            Ok(Some(stored)) => stored.map_err(|error| {
                tell(&error);
                problem::stored(&error, effect)
            }),
            // It is late, it panicked, or the control runtime is going down.
            Ok(None) | Err(_) => Err(late.into()),
        }
    }
}

/// Waits for a call until its deadline, and tells the breaker what it has come to as soon as that
/// is known: for a slow one before it ends, so that others do not wait as long.
async fn watch<T>(
    call: impl Future<Output = Stored<T>>,
    [slow, deadline]: [Duration; 2],
    pass: Option<Pass>,
    clock: &dyn Clock,
) -> Option<Stored<T>> {
    let tell = |is_good| {
        if let Some(pass) = pass {
            pass.done(is_good, clock.elapsed_us());
        }
    };
    let mut call = pin!(call);
    match timeout(slow, &mut call).await {
        Ok(done) => {
            tell(!done.as_ref().is_err_and(StoreError::is_outage));
            Some(done)
        }
        Err(_) => {
            tell(false);
            timeout(deadline - slow, call).await.ok()
        }
    }
}

/// Faults go to the log; refusals are the caller's business.
fn tell(error: &StoreError) {
    if !matches!(error, StoreError::Refused(_)) {
        tracing::warn!(error = %causes(error), "a call of the store failed");
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use futures_util::future::join_all;
    use seckill_shards::clock::MachineClock;
    use tokio::task::yield_now;

    use super::super::limits::STORE_BREAKER;
    use super::*;
    use crate::flow::BreakerState;

    /// What has its answer at once is in time, and nothing else: so nobody waits for a call to be slow.
    const BOUNDS: [Duration; 2] = [Duration::ZERO, STORE_WRITE];

    #[tokio::test]
    async fn slow_calls_open_the_breaker_before_they_end_though_all_are_answered_well() {
        let (StoreBreakers { read: breaker, .. }, clock) =
            (StoreBreakers::default(), MachineClock::start());
        let pass = || Some(breaker.ask(clock.elapsed_us()).expect("it is closed"));
        for _ in 0..STORE_BREAKER.calls {
            assert!(matches!(watch(ready(Ok(1)), BOUNDS, pass(), &clock).await, Some(Ok(1))));
        }
        assert_eq!((breaker.state(), breaker.opened()), (BreakerState::Closed, 0));

        let calls = (0..STORE_BREAKER.bad).map(|_| oneshot::channel());
        let (answers, calls): (Vec<_>, Vec<_>) = calls.unzip();
        let calls = calls.into_iter().map(|answered| {
            let call = async { answered.await.expect("it is answered") };
            watch(call, BOUNDS, pass(), &clock)
        });
        let calls = join_all(calls);
        let answering = async {
            while breaker.state() == BreakerState::Closed {
                yield_now().await;
            }
            answers.into_iter().for_each(|answer| answer.send(Ok(2)).expect("it is waited for"));
        };
        let (done, answered) = tokio::join!(calls, timeout(STORE_WRITE, answering));
        answered.expect("they are bad while they are waited for");
        assert!(done.iter().all(|it| matches!(it, Some(Ok(2)))), "{done:?}");
        assert_eq!((breaker.state(), breaker.opened()), (BreakerState::Open, 1));
    }
}
