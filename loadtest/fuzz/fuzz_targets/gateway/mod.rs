//! One gateway in one thread: the API over a simulated journal and a store of its own.

pub(crate) mod raw;

use std::borrow::Cow;
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::response::Parts;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use seckill::api::tokens::{Claims, Tokens};
use seckill::api::{
    Access, Context, Control, HttpResponse, Owners, PageMap, Shards, Shared, SharedParts, Site,
    StoreBreakers, handle, seconds,
};
use seckill::peers::Vouched;
use seckill::store::sqlite::Sqlite;
use seckill::store::{Roles, Store};
use seckill_shards::clock::Clock;
use seckill_shards::engine::EngineOptions;
use seckill_shards::ids::{ActivityId, UserId};
use seckill_shards::testing::world::{DISK_BYTES, NOON, options, publish, published};
use seckill_shards::testing::{SimulatedClock, SimulatedDisk, World};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{LocalSet, yield_now};

/// The whole of it, kept from input to input: its start hashes a password, which takes as long as a
/// thousand requests. Its clock stands still.
pub(crate) struct Gateway {
    runtime: Runtime,
    tasks: LocalSet,
    context: Rc<Context>,
    tokens: Tokens,
    now_s: u32,
    /// How many tokens were given.
    given: Cell<u64>,
}

/// Shoppers that take turns, so that some are at their limit and some are not.
const SHOPPERS: u64 = 64;
/// Units for sale: fewer than the shoppers may hold, so that they run out.
const UNITS: u32 = 100;
/// Where requests come from.
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct NoControl;

#[async_trait]
impl Control for NoControl {
    async fn republish(&self) {}

    async fn audit(&self, _: ActivityId, _: Option<Vouched>) -> anyhow::Result<Option<String>> {
        Ok(None)
    }
}

impl Gateway {
    /// Starts it with activity 1 live.
    pub(crate) fn start() -> Self {
        Self::with(options(1))
    }

    /// The same with these options.
    pub(crate) fn with(options: EngineOptions) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(&file()).expect("a new store"));
        let users = u32::try_from(SHOPPERS).expect("few");
        let users = runtime.block_on(store.create_users("fuzz".to_owned(), users));
        assert_eq!(users.expect("new accounts"), UserId(1));
        let (disk, clock) = (SimulatedDisk::new(1, DISK_BYTES), SimulatedClock::at(NOON));
        let mut world = World::open(disk, Arc::new(clock), options).expect("an empty disk opens");
        world.ask(publish(published(1, UNITS)));
        let World { engine, clock, mut shards, mut writer, mut keeper, .. } = world;
        let (now_s, tokens) = (seconds(clock.now()), Tokens::new(&[7; 32], None));
        let shard = shards.pop().expect("a world of one core");
        let shards = Rc::new(Shards::new(shard, Owners::new(1)));
        let journal = Arc::clone(&engine);
        let shared = Shared::new(SharedParts {
            engine,
            clock,
            store,
            control: Arc::new(NoControl),
            runtime: runtime.handle().clone(),
            tokens: tokens.clone(),
            access: Arc::new(Access::new()),
            pages: Arc::new(ArcSwap::from_pointee(pages())),
            site: Site::new(None),
            trusted_proxies: Vec::new(),
            cores: 1,
            payment: None,
            peers: None,
            breakers: StoreBreakers::default(),
        });
        let context = Rc::new(Context::new(Arc::new(shared), Rc::clone(&shards), 1));
        let tasks = LocalSet::new();
        drop(tasks.spawn_local(Rc::clone(&shards).follow_journal()));
        drop(tasks.spawn_local(Rc::clone(&shards).submit_turns()));
        drop(tasks.spawn_local(Rc::clone(&shards).serve_hops()));
        drop(tasks.spawn_local(async move {
            loop {
                writer.write_group();
                journal.set_flushed(journal.journal().durable_position());
                // Without room new orders are refused, and that is an answer, too.
                drop(keeper.step());
                shards.tick();
                yield_now().await;
            }
        }));
        Self { runtime, tasks, context, tokens, now_s, given: Cell::new(0) }
    }

    /// The value of a header, a good token where it names one.
    pub(crate) fn token<'v>(&self, value: &'v [u8]) -> Cow<'v, [u8]> {
        let roles = match value {
            b"Shopper" => Roles::SHOPPER,
            b"Admin" => Roles::SHOPPER.with(Roles::ADMIN),
            other => return Cow::Borrowed(other),
        };
        let given = self.given.replace(self.given.get() + 1);
        let user = UserId(1 + given % SHOPPERS);
        // Each token is a sign-in of its own, since a request may sign out.
        let claims = Claims::new(user, roles, given.to_le_bytes(), self.now_s + 1);
        Cow::Owned(format!("Bearer {}", self.tokens.issue(&claims)).into_bytes())
    }

    /// Bytes with a good token wherever `Bearer Shopper 7` names one of shopper 7's.
    pub(crate) fn with_tokens(&self, bytes: &[u8]) -> Vec<u8> {
        const NAME: &[u8] = b"Bearer Shopper ";
        let Some(at) = bytes.windows(NAME.len()).position(|window| window == NAME) else {
            return bytes.to_vec();
        };
        let (before, rest) = bytes.split_at(at + NAME.len());
        let Some(digit) = rest.first().filter(|digit| digit.is_ascii_digit()) else {
            return bytes.to_vec();
        };
        let user = UserId(1 + u64::from(digit - b'0'));
        let claims = Claims::new(user, Roles::SHOPPER, [*digit; 8], self.now_s + 1);
        let token = format!("Bearer {}", self.tokens.issue(&claims));
        [&before[..at], token.as_bytes(), &rest[1..]].concat()
    }

    /// Sends one request; the answer's head and body.
    pub(crate) fn ask(&self, request: Request<Full<Bytes>>) -> (Parts, Bytes) {
        let context = Rc::clone(&self.context);
        self.tasks.block_on(&self.runtime, async move {
            let answer: HttpResponse = handle(&context, request, PEER).await;
            let (head, body) = answer.into_parts();
            (head, body.collect().await.expect("a body in memory").to_bytes())
        })
    }

    /// Sends one request and looks at the answer.
    pub(crate) fn check(&self, request: Request<Full<Bytes>>) {
        let asked = format!("{} {}", request.method(), request.uri());
        let is_head = request.method() == Method::HEAD;
        let (head, body) = self.ask(request);
        assert_ne!(head.status, StatusCode::INTERNAL_SERVER_ERROR, "{asked}");
        let media = head.headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes());
        if media.is_some_and(|media| media.ends_with(b"json")) && !is_head {
            serde_json::from_slice::<serde_json::Value>(&body)
                .unwrap_or_else(|error| panic!("{asked}: {error}: {body:?}"));
        }
        let is_problem = media == Some(b"application/problem+json");
        let failed = head.status.is_client_error() || head.status.is_server_error();
        assert!(is_problem || !failed || !asked.contains(" /api/"), "{asked}: {}", head.status);
    }
}

/// Pages that show nothing which could change.
fn pages() -> PageMap {
    let mut pages: PageMap = seckill_pages::assets().into_iter().collect();
    pages.insert("/sign-in".to_owned(), seckill_pages::sign_in());
    pages.insert("/404".to_owned(), seckill_pages::not_found());
    pages
}

/// A file for a gateway's store: a new one each time.
fn file() -> PathBuf {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let name = format!("seckill-fuzz-{}-{number}.db", std::process::id());
    let path = std::env::temp_dir().join(name);
    for suffix in ["", "-wal", "-shm"] {
        // It is not there, but for a process of the same number that was killed.
        drop(std::fs::remove_file(format!("{}{suffix}", path.display())));
    }
    path
}
