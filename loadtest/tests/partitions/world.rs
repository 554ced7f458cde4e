//! Three gateways, a Redis and its replica, one store, and the links between all of them.
//!
//! It must not know when what goes wrong, nor what a test asserts.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection as Store;
use seckill_loadtest::client::Client;
use seckill_loadtest::gateway::{Gateway, Scratch, Start};
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::provider;
use seckill_loadtest::redis::Redis;
use seckill_loadtest::shop::{Sale, Shop};

use crate::link::{Link, Mode, Place};

/// Gateways: each of them is once the only one on its side of a partition.
pub(crate) const GATEWAYS: usize = 3;
const START: Start = Start { cores: 1, through: &[] };

/// Where each gateway serves shoppers; none while it is killed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses(Arc<Mutex<[Option<SocketAddr>; GATEWAYS]>>);

impl Addresses {
    pub(crate) fn of(&self, gateway: usize) -> Option<SocketAddr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[gateway]
    }

    fn set(&self, gateway: usize, address: Option<SocketAddr>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[gateway] = address;
    }
}

/// All parts. A gateway meets Redis and the others by links only, one way each.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) addresses: Addresses,
    /// From each gateway to the master.
    pub(crate) to_redis: Vec<Link>,
    /// To each gateway from the others, who are the callers.
    pub(crate) to_gateway: Vec<Link>,
    /// From the replica to its master.
    pub(crate) replication: Link,
    pub(crate) redis: [Redis; 2],
    /// Which of them is the master.
    pub(crate) master: usize,
    admin: String,
    /// Somebody else's transaction, which keeps everyone from writing.
    stalled: Option<Store>,
    store: Scratch,
}

/// The gateway that calls another, by the head of its call.
fn caller(head: &[u8]) -> usize {
    const FROM: &str = "seckill-from: ";
    let head = String::from_utf8_lossy(head);
    let from = head.lines().find_map(|line| line.strip_prefix(FROM));
    from.and_then(|number| number.trim().parse().ok()).expect("a call says from whom it is")
}

impl World {
    pub(crate) fn start() -> Self {
        let store = Scratch::new();
        let redis = [Redis::start(), Redis::start()];
        let to_redis: Vec<Link> = (0..GATEWAYS).map(|_| Link::new(1, |_| 0)).collect();
        let to_gateway: Vec<Link> = (0..GATEWAYS).map(|_| Link::new(GATEWAYS, caller)).collect();
        to_redis.iter().for_each(|link| link.turn(Place::Unix(redis[0].socket())));
        let gateways: Vec<_> = (0..GATEWAYS)
            .map(|number| {
                let store = store.path();
                let links = (to_redis[number].address(), to_gateway[number].address());
                Gateway::start_with(START, variables(number, store, links))
            })
            .collect();
        let admin = Shop::open(&gateways[0]).admin.token.expect("an administrator is signed in");
        let (addresses, replication) = (Addresses::default(), Link::new(1, |_| 0));
        let world = Self {
            gateways,
            addresses,
            to_redis,
            to_gateway,
            replication,
            redis,
            master: 0,
            admin,
            stalled: None,
            store,
        };
        (0..GATEWAYS).for_each(|gateway| world.announce(gateway));
        world.follow();
        world.await_replica();
        world
    }

    /// A gateway that has started is found where it listens now.
    fn announce(&self, gateway: usize) {
        let listens = until("it says where it answers the others", GENEROUS, || {
            let log = self.gateways[gateway].log();
            let (_, rest) = log.split_once("\"listens\":\"")?;
            rest.split_once('"')?.0.parse().ok()
        });
        self.to_gateway[gateway].turn(Place::Tcp(listens));
        self.addresses.set(gateway, Some(self.gateways[gateway].address()));
    }

    /// Ends a gateway as a power cut would.
    pub(crate) fn kill(&mut self, gateway: usize) {
        self.gateways[gateway].kill();
        self.addresses.set(gateway, None);
    }

    /// Starts it again on its data.
    pub(crate) fn restart(&mut self, gateway: usize) {
        self.gateways[gateway].restart(START);
        self.announce(gateway);
    }

    /// The Redis that is no master.
    pub(crate) fn other(&self) -> usize {
        1 - self.master
    }

    /// The other Redis follows the master.
    pub(crate) fn follow(&self) {
        self.replication.turn(Place::Unix(self.redis[self.master].socket()));
        self.replication.set_all(Mode::Well);
        self.redis[self.other()].follow(self.replication.address());
    }

    /// Waits until the replica has everything.
    pub(crate) fn await_replica(&self) {
        until("the replica follows", GENEROUS, || {
            let told = self.redis[self.other()].tell(&["INFO", "replication"]).concat();
            told.contains("master_link_status:up").then_some(())
        });
    }

    /// A gateway's link leads to this Redis.
    pub(crate) fn lead_to(&self, gateway: usize, redis: usize) {
        self.to_redis[gateway].turn(Place::Unix(self.redis[redis].socket()));
    }

    pub(crate) fn stall_store(&mut self) {
        let store = Store::open(self.store.path().join("store.db")).unwrap();
        store.busy_timeout(GENEROUS).unwrap();
        store.execute_batch("BEGIN EXCLUSIVE").unwrap();
        self.stalled = Some(store);
    }

    pub(crate) fn let_store_go(&mut self) {
        // What was open is rolled back.
        drop(self.stalled.take());
    }

    /// Waits until nothing is left of any fault: everybody sees everybody, and has caught up.
    pub(crate) fn recover(&self) {
        self.await_replica();
        for gateway in 0..GATEWAYS {
            for (name, figure) in [
                ("seckill_flush_lag_records", 0),
                ("seckill_peers{state=\"present\"}", GATEWAYS - 1),
                ("seckill_breaker_state{follower=\"store\",calls=\"read\"}", 0),
            ] {
                until(&format!("{name} is {figure} at gateway {gateway}"), GENEROUS, || {
                    (self.figure(gateway, name) == Some(figure)).then_some(())
                });
            }
        }
    }

    /// A figure of a gateway's metrics, by its name and labels as they stand there.
    pub(crate) fn figure(&self, gateway: usize, name: &str) -> Option<usize> {
        let mut operations = Client::new(self.gateways[gateway].operations());
        let text = operations.get("/metrics").expect(200).text();
        let head = format!("{name} ");
        text.lines().find_map(|line| line.strip_prefix(&head)?.parse().ok())
    }

    /// The shop as its administrator has it, at the first gateway.
    pub(crate) fn shop(&self) -> Shop {
        Shop { admin: Client::with_token(self.gateways[0].address(), &self.admin) }
    }

    /// A published sale of a product, which all gateways know and may lease: both ids.
    pub(crate) fn sale(&self, sale: Sale) -> (String, String) {
        let mut shop = self.shop();
        let product = shop.product(sale.stock);
        let activity = shop.draft(&product, sale);
        shop.step(&activity, "publish");
        for gateway in 0..GATEWAYS {
            let live = format!("seckill_lease_live{{activity=\"{activity}\"}}");
            until("the sale is known, and lent", GENEROUS, || {
                (self.figure(gateway, &live) == Some(1)).then_some(())
            });
        }
        (product, activity)
    }
}

fn variables(
    number: usize,
    store: &Path,
    links: (SocketAddr, SocketAddr),
) -> Vec<(String, String)> {
    let own = [
        ("SECKILL_SECRET", "the secret that all gateways have".to_owned()),
        ("SECKILL_GATEWAY_ID", number.to_string()),
        ("SECKILL_STORE_URL", format!("sqlite:{}/store.db", store.display())),
        ("SECKILL_REDIS_URL", format!("redis://{}", links.0)),
        ("SECKILL_PEER_LISTEN", "127.0.0.1:0".to_owned()),
        ("SECKILL_PEER_URL", format!("http://{}", links.1)),
        ("SECKILL_LOG", "info,seckill=debug".to_owned()),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value));
    [provider::variables(), own.into()].concat()
}
