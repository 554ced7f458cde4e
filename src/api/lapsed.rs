//! A membership that ends between a decision and its answer: what was written down meanwhile may never be
//! heard of, so nobody is told that it stands.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use seckill_shards::clock::Clock;
use seckill_shards::command::{Answers, Command, PhaseChange, Refusal, Verdict};
use seckill_shards::engine::EngineOptions;
use seckill_shards::ids::{ActivityId, Era, OrderId, UserId};
use seckill_shards::journal::JournalWriter;
use seckill_shards::testing::world::{DISK_BYTES, NOON, options, publish, published};
use seckill_shards::testing::{SimulatedClock, SimulatedDisk, World};
use tokio::runtime::{Builder, Runtime};

use super::hot::{self, Hot, Waiting};
use super::tokens::{Claims, Tokens};
use super::{
    Access, Context, Control, Owners, Shards, Shared, SharedParts, Site, StoreBreakers, Told,
    Waiter, handle, seconds,
};
use crate::peers::{Peers, PeersParts, Vouched};
use crate::store::Roles;
use crate::store::sqlite::SimulatedStore;

/// For how many seconds a word to the store lasts.
const LASTS_S: u32 = 60;
const SALE: ActivityId = ActivityId(1);
const USER: UserId = UserId(1);
const ORDERS: &str = "/api/v1/activities/1/orders";

type Task<T> = Pin<Box<dyn Future<Output = T>>>;

/// When a membership ends, as seen from a decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Moment {
    Never,
    BeforeSync,
    AfterSync,
}

/// How it ends.
type Lapse = fn(&Gateway);

/// What its machine slept through, and what another gateway has said of it.
const LAPSES: [Lapse; 2] = [
    |gateway| gateway.clock.advance(u64::from(LASTS_S) * 1_000 + 1),
    |gateway| gateway.peers.membership().end(),
];

/// One gateway of a fleet, with units of a sale. It goes on when it is told to.
struct Gateway {
    context: Rc<Context>,
    peers: Arc<Peers>,
    clock: Arc<SimulatedClock>,
    writer: JournalWriter,
    submit: Task<()>,
    follow: Task<()>,
    token: String,
    /// Nothing that is asked here needs the store.
    _runtime: Runtime,
}

struct NoControl;

#[async_trait]
impl Control for NoControl {
    async fn republish(&self) {}

    async fn audit(&self, _: ActivityId, _: Option<Vouched>) -> anyhow::Result<Option<String>> {
        Ok(None)
    }
}

impl Gateway {
    /// A member, whose last good word to the store was a moment ago.
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let (disk, clock) = (SimulatedDisk::new(1, DISK_BYTES), SimulatedClock::at(NOON));
        let options = EngineOptions { leases: true, ..options(1) };
        let mut world = World::open(disk, Arc::new(clock), options).unwrap();
        world.ask(publish(published(SALE.0, 10)));
        world.ask(Command::Join { activity: SALE, floor: 0 });
        let era = Era { generation: 1, nonce: 9 };
        world.ask(Command::EnterEra { activity: SALE, era });
        world.ask(Command::Lease { activity: SALE, n: 1, quantity: 10 });
        let World { engine, clock, mut shards, writer, .. } = world;
        let shards = Rc::new(Shards::new(shards.pop().unwrap(), Owners::new(1)));
        let peers = Arc::new(Peers::new(PeersParts {
            own: engine.origin().gateway,
            address: "own:1".to_owned(),
            secret: &[7; 32],
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            runtime: runtime.handle().clone(),
            membership_s: Some(LASTS_S),
            was_bounded: false,
        }));
        peers.membership().renew(clock.mark());
        let tokens = Tokens::new(&[7; 32], None);
        let claims = Claims::new(USER, Roles::SHOPPER, [1; 8], seconds(clock.now()));
        let shared = Shared::new(SharedParts {
            engine,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            store: Arc::new(SimulatedStore::line().0),
            control: Arc::new(NoControl),
            runtime: runtime.handle().clone(),
            tokens: tokens.clone(),
            access: Arc::new(Access::new()),
            pages: Arc::default(),
            site: Site::new(None),
            trusted_proxies: Vec::new(),
            cores: 1,
            payment: None,
            peers: Some(Arc::clone(&peers)),
            breakers: StoreBreakers::default(),
        });
        Self {
            context: Rc::new(Context::new(Arc::new(shared), Rc::clone(&shards), 1)),
            peers,
            clock,
            writer,
            submit: Box::pin(Rc::clone(&shards).submit_turns()),
            follow: Box::pin(shards.follow_journal()),
            token: tokens.issue(&claims),
            _runtime: runtime,
        }
    }

    /// What was decided is written down and answered; meanwhile the membership ends.
    fn sync(&mut self, moment: Moment, lapse: Lapse) {
        // It gathers for a turn or two of the event loop.
        for _ in 0..4 {
            assert!(poll(&mut self.submit).is_none(), "it goes on for ever");
        }
        if moment == Moment::BeforeSync {
            lapse(self);
        }
        self.writer.write_group();
        if moment == Moment::AfterSync {
            lapse(self);
        }
        assert!(poll(&mut self.follow).is_none(), "it goes on for ever");
    }

    /// What a call is answered: at once, or when the disk has what it comes to.
    fn call(&mut self, method: &str, path: &str, when: (Moment, Lapse)) -> (StatusCode, String) {
        self.call_with("once", (method, path), when)
    }

    fn call_with(
        &mut self,
        key: &str,
        (method, path): (&str, &str),
        when: (Moment, Lapse),
    ) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        let request = request.header("idempotency-key", key);
        let request = request.body(Full::new(Bytes::new())).unwrap();
        let context = Rc::clone(&self.context);
        let mut answer: Task<_> = Box::pin(async move {
            let peer = std::net::Ipv4Addr::LOCALHOST.into();
            let (head, body) = handle(&context, request, peer).await.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            (head.status, String::from_utf8(body.to_vec()).unwrap())
        });
        if let Some(answered) = poll(&mut answer) {
            return answered;
        }
        self.sync(when.0, when.1);
        poll(&mut answer).expect("it was decided")
    }

    /// A buy whose answer comes in time; the order's number.
    fn buy(&mut self) -> String {
        let (status, placed) = self.call("POST", ORDERS, (Moment::Never, LAPSES[0]));
        assert_eq!(status, StatusCode::ACCEPTED, "{placed}");
        let placed: serde_json::Value = serde_json::from_str(&placed).unwrap();
        placed["id"].as_str().unwrap().to_owned()
    }

    /// The store has an order, and Redis its place: it can be paid.
    fn confirm(&mut self, order: &str) {
        let (confirmed, refused, released) =
            (vec![OrderId(order.parse().unwrap())], Vec::new(), Vec::new());
        let answers = Answers { activity: SALE, confirmed, refused, released };
        let context = Rc::clone(&self.context);
        let mut heard: Task<_> =
            Box::pin(
                async move { context.shards.ask_here(Command::Hear(Box::new(answers))).await },
            );
        assert!(poll(&mut heard).is_none(), "the disk has not got it");
        self.sync(Moment::Never, LAPSES[0]);
        assert!(poll(&mut heard).is_some());
    }

    /// A buy in the plain form; the response as it is on the wire.
    fn hot_buy(&mut self, moment: Moment, lapse: Lapse) -> String {
        let client = Rc::new(Client {
            context: Rc::clone(&self.context),
            waiting: Cell::default(),
            out: RefCell::default(),
        });
        let waiter = || {
            let client: Rc<dyn Waiter> = Rc::<Client>::clone(&client);
            Rc::downgrade(&client)
        };
        let head = format!("Host: a\r\nAuthorization: Bearer {}\r\n", self.token);
        let bytes = format!("POST {ORDERS} HTTP/1.1\r\n{head}\r\n");
        let mut out = Vec::new();
        let hot = hot::answer(&self.context, bytes.as_bytes(), &waiter, &mut out);
        let Hot::Waiting(waiting) = hot else { panic!("{hot:?}") };
        client.waiting.set(Some(waiting));
        self.sync(moment, lapse);
        let out = client.out.take();
        String::from_utf8(out).unwrap()
    }
}

/// Who waits for a verdict.
struct Client {
    context: Rc<Context>,
    waiting: Cell<Option<Waiting>>,
    out: RefCell<Vec<u8>>,
}

impl Waiter for Client {
    fn tell(&self, told: Told) {
        let waiting = self.waiting.take().expect("it is told once");
        hot::tell(&waiting, &self.context, &told, &mut self.out.borrow_mut());
    }
}

fn poll<T>(task: &mut Task<T>) -> Option<T> {
    match task.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

/// Every moment and way in which a membership ends.
fn each(mut check: impl FnMut(Moment, Lapse)) {
    for moment in [Moment::Never, Moment::BeforeSync, Moment::AfterSync] {
        LAPSES.into_iter().for_each(|lapse| check(moment, lapse));
    }
}

#[test]
fn a_buy_is_answered_by_a_member_or_nobody_knows() {
    each(|moment, lapse| {
        let expected = if moment == Moment::Never { 202 } else { 504 };
        let hot = Gateway::start().hot_buy(moment, lapse);
        assert!(hot.starts_with(&format!("HTTP/1.1 {expected} ")), "{moment:?}: {hot}");
        let (status, body) = Gateway::start().call("POST", ORDERS, (moment, lapse));
        assert_eq!(status.as_u16(), expected, "{moment:?}: {body}");
        for answer in [hot, body] {
            assert_eq!(answer.contains("outcome-unknown"), expected == 504, "{answer}");
        }
    });
}

#[test]
fn whatever_moves_an_order_is_answered_by_a_member_or_nobody_knows() {
    each(|moment, lapse| {
        let mut gateway = Gateway::start();
        let path = format!("/api/v1/orders/{}", gateway.buy());
        let expected = if moment == Moment::Never { 204 } else { 504 };
        let (status, body) = gateway.call("DELETE", &path, (moment, lapse));
        assert_eq!(status.as_u16(), expected, "{moment:?}: {body}");
        assert_eq!(body.contains("outcome-unknown"), expected == 504, "{body}");
    });
}

/// What operators do, too; and of what it is no member for at all nothing is written down.
#[test]
fn a_sale_is_moved_by_a_member_or_nobody_knows() {
    let pause = |gateway: &Gateway| -> Task<Verdict> {
        let context = Rc::clone(&gateway.context);
        let pause = Command::ChangePhase { activity: SALE, change: PhaseChange::Pause };
        Box::pin(async move { context.ask_activity(SALE, pause).await })
    };
    each(|moment, lapse| {
        let mut gateway = Gateway::start();
        let mut paused = pause(&gateway);
        assert_eq!(poll(&mut paused), None, "the disk has not got it");
        gateway.sync(moment, lapse);
        let expected = match moment {
            Moment::Never => Verdict::ActivityChanged,
            Moment::BeforeSync | Moment::AfterSync => Verdict::OutcomeUnknown,
        };
        assert_eq!(poll(&mut paused), Some(expected), "{moment:?}");

        let gateway = Gateway::start();
        lapse(&gateway);
        let refused = Verdict::Refused(Refusal::Unavailable);
        assert_eq!(poll(&mut pause(&gateway)), Some(refused));
        assert!(!gateway.context.shared.engine.activity(SALE).unwrap().sale().paused);
    });
}

/// A shopper who was told that nobody knows comes again with the same key, as they were told to.
#[test]
fn a_key_that_comes_again_is_answered_by_a_member_or_nobody_knows() {
    each(|moment, lapse| {
        let mut gateway = Gateway::start();
        gateway.call("POST", ORDERS, (moment, lapse));
        let expected = if moment == Moment::Never { 202 } else { 504 };
        for ticks in [false, true] {
            if ticks {
                gateway.context.tick();
            }
            let (status, body) = gateway.call("POST", ORDERS, (moment, lapse));
            assert_eq!(status.as_u16(), expected, "{moment:?}, {ticks}: {body}");
        }
    });
}

/// An order that nobody else may ever hear of takes no place of its buyer's.
#[test]
fn a_limit_that_is_reached_is_told_by_a_member_alone() {
    for lapse in LAPSES {
        let mut gateway = Gateway::start();
        drop(gateway.buy());
        let buy = |gateway: &mut Gateway, key: &str| {
            gateway.call_with(key, ("POST", ORDERS), (Moment::Never, lapse))
        };
        assert_eq!(buy(&mut gateway, "second").0, StatusCode::ACCEPTED);
        let (status, body) = buy(&mut gateway, "third");
        assert!(status == StatusCode::CONFLICT && body.contains("limit-reached"), "{body}");
        lapse(&gateway);
        for ticks in [false, true] {
            if ticks {
                gateway.context.tick();
            }
            let (status, body) = buy(&mut gateway, "third");
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{ticks}: {body}");
        }
    }
}

/// Whoever speaks for this gateway has an order that can be paid, and goes on with it.
#[test]
fn a_key_of_what_can_be_paid_is_told_by_whom_it_meets() {
    for lapse in LAPSES {
        let mut gateway = Gateway::start();
        let order = gateway.buy();
        gateway.confirm(&order);
        lapse(&gateway);
        let (status, body) = gateway.call("POST", ORDERS, (Moment::Never, lapse));
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        assert!(body.contains(&order) && body.contains("awaiting_payment"), "{body}");
    }
}
