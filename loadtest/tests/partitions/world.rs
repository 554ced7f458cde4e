//! Three gateways behind nginx, a Redis and its replica, one store, and the links between all of them. A gateway that
//! never comes back leaves its place to a fresh one under a number that none has had.
//!
//! It must not know when what goes wrong, nor what a test asserts.

use std::collections::BTreeMap;
use std::fs;
use std::mem::replace;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use seckill_loadtest::client::{Client, Request, Response};
use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::link::{Link, Mode, Place};
use seckill_loadtest::losses::Losses;
use seckill_loadtest::nginx::Nginx;
use seckill_loadtest::patience::{GENEROUS, now, until};
use seckill_loadtest::provider;
use seckill_loadtest::redis::Redis;
use seckill_loadtest::shop::{Sale, Shop};
use seckill_loadtest::store::{Held, Store};

/// Gateways: each of them is once the only one on its side of a partition.
pub(crate) const GATEWAYS: usize = 3;
/// How long a gateway is a member unless the store says so again, where it is for a time only: the least.
const MEMBERSHIP: Duration = Duration::from_secs(5);
const START: Start = Start { cores: 1, through: &[] };

/// To start one by hand.
pub(crate) const SERVE: [&str; 5] =
    ["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];

/// A gateway's number, and where it serves shoppers.
type Serving = (usize, SocketAddr);

/// Where shoppers come in: a door at each place, and one more, which is nginx.
pub(crate) const DOORS: usize = GATEWAYS + 1;
pub(crate) const FRONT: usize = GATEWAYS;

/// Who is behind each door; none while it is away.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses(Arc<Mutex<[Option<Serving>; DOORS]>>);

impl Addresses {
    pub(crate) fn of(&self, door: usize) -> Option<Serving> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[door]
    }

    fn set(&self, door: usize, address: Option<Serving>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[door] = address;
    }
}

/// All parts. A gateway meets Redis and the others by links only, one way each. It is known by its
/// place, which is what its number leaves when it is divided by the number of places.
#[derive(Debug)]
pub(crate) struct World {
    // Dropped first: it would only log that gateways are gone.
    front: Option<Nginx>,
    /// From nginx to each gateway.
    pub(crate) to_shop: Vec<Link>,
    pub(crate) gateways: Vec<Gateway>,
    /// By place.
    pub(crate) numbers: [usize; GATEWAYS],
    /// By number, the place of whoever speaks for a gateway.
    pub(crate) speakers: BTreeMap<usize, usize>,
    pub(crate) losses: Losses,
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
    /// Whether gateways are members for a time only, unless the store says so again.
    pub(crate) lapses: bool,
    /// The sale that is on.
    pub(crate) activity: String,
    /// What keeps everyone from writing.
    stalled: Option<Held>,
    store: Store,
}

/// The place of the gateway that calls another, by the head of its call.
fn caller(head: &[u8]) -> usize {
    const FROM: &str = "seckill-from: ";
    let head = String::from_utf8_lossy(head);
    let from = head.lines().find_map(|line| line.strip_prefix(FROM));
    let number = from.and_then(|number| number.trim().parse::<usize>().ok());
    number.expect("a call says from whom it is") % GATEWAYS
}

impl World {
    pub(crate) fn start(lapses: bool) -> Self {
        let store = Store::new(GATEWAYS);
        let redis = [Redis::start(), Redis::start()];
        let to_redis: Vec<Link> = (0..GATEWAYS).map(|_| Link::new(1, |_| 0)).collect();
        let to_gateway: Vec<Link> = (0..GATEWAYS).map(|_| Link::new(GATEWAYS, caller)).collect();
        let to_shop: Vec<Link> = (0..GATEWAYS).map(|_| Link::new(1, |_| 0)).collect();
        to_redis.iter().for_each(|link| link.turn(Place::Unix(redis[0].socket())));
        let gateways: Vec<_> = (0..GATEWAYS)
            .map(|number| {
                let links = (to_redis[number].address(), to_gateway[number].address());
                Gateway::start_with(START, variables(number, store.url(number), links, lapses))
            })
            .collect();
        let admin = Shop::open(&gateways[0]).admin.token.expect("an administrator is signed in");
        let (addresses, replication) = (Addresses::default(), Link::new(1, |_| 0));
        let numbers: [usize; GATEWAYS] = std::array::from_fn(|number| number);
        let mut world = Self {
            front: None,
            to_shop,
            gateways,
            numbers,
            speakers: numbers.map(|number| (number, number)).into(),
            losses: Losses::new(),
            addresses,
            to_redis,
            to_gateway,
            replication,
            redis,
            master: 0,
            admin,
            lapses,
            activity: String::new(),
            stalled: None,
            store,
        };
        (0..GATEWAYS).for_each(|gateway| world.announce(gateway));
        world.open_front();
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
        let address = self.gateways[gateway].address();
        self.to_shop[gateway].turn(Place::Tcp(address));
        self.addresses.set(gateway, Some((self.numbers[gateway], address)));
    }

    /// Starts nginx, where there is one on this machine.
    pub(crate) fn open_front(&mut self) {
        let links: Vec<SocketAddr> = self.to_shop.iter().map(Link::address).collect();
        self.front = Nginx::start(&links, &[]);
        self.addresses.set(FRONT, self.front.as_ref().map(|front| (FRONT, front.address())));
    }

    /// Ends nginx as a power cut would.
    pub(crate) fn kill_front(&mut self) {
        self.addresses.set(FRONT, None);
        self.front.as_mut().expect("there is one").kill();
    }

    /// Whether shoppers come through nginx, too.
    pub(crate) fn has_front(&self) -> bool {
        self.front.is_some()
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

    /// Ends it for good, and perhaps its disk as well: what it had not flushed is gone.
    pub(crate) fn lose(&mut self, gateway: usize, with_disk: bool) {
        self.kill(gateway);
        if with_disk {
            fs::remove_dir_all(self.gateways[gateway].data()).unwrap();
        }
        self.note_loss(gateway, now());
    }

    /// What it had not flushed by then is of no account.
    fn note_loss(&mut self, gateway: usize, lost_at: Instant) {
        let its = self.speakers.iter().filter(|(_, speaker)| **speaker == gateway);
        self.losses.extend(its.map(|(&number, _)| (number, lost_at)));
    }

    /// Who could go on with a gateway's orders: the next one that runs.
    fn successor(&self, gateway: usize) -> Option<usize> {
        let mut others = (1..GATEWAYS).map(|step| (gateway + step) % GATEWAYS);
        others.find(|&other| self.addresses.of(other).is_some())
    }

    /// Whether a gateway that is lost can be replaced just now: that is a word to the store, and somebody
    /// who is there must go on.
    pub(crate) fn may_replace(&self, gateway: usize) -> bool {
        self.may_retire(gateway) && self.reaches_store(gateway)
    }

    /// The same without the fresh one.
    pub(crate) fn may_retire(&self, gateway: usize) -> bool {
        let successor = self.successor(gateway);
        self.stalled.is_none() && successor.is_some_and(|it| self.reaches_store(it))
    }

    /// Whether nothing keeps any gateway from the store.
    pub(crate) fn all_reach_store(&self) -> bool {
        self.stalled.is_none() && (0..GATEWAYS).all(|gateway| self.reaches_store(gateway))
    }

    fn reaches_store(&self, gateway: usize) -> bool {
        self.store.ways().get(gateway).is_none_or(|it| it.is_well())
    }

    /// How a gateway's way to the store is from now on, where it has one of its own; none is well while all stand
    /// still.
    pub(crate) fn set_way_to_store(&self, gateway: usize, mode: Mode) {
        let is_kept = self.stalled.is_some() && mode == Mode::Well;
        if !is_kept && let Some(way) = self.store.ways().get(gateway) {
            way.set_all(mode);
        }
    }

    /// Whether each gateway has a way of its own to the store.
    pub(crate) fn has_ways_to_store(&self) -> bool {
        !self.store.ways().is_empty()
    }

    /// Another goes on with a lost gateway's orders, and a fresh one takes its place. What is left of
    /// the lost one.
    pub(crate) fn replace(&mut self, gateway: usize) -> Gateway {
        let adopter = self.retire(gateway, &["--machine-is-off"]);
        self.take_place(gateway, adopter)
    }

    /// The same for one that lives, and goes on until it hears so, or is no member any more. What it says behind
    /// that counts like anybody's.
    pub(crate) fn replace_living(&mut self, gateway: usize) -> Gateway {
        let adopter = self.retire(gateway, &[]);
        let lapsed_at = now() + MEMBERSHIP;
        self.await_no_member(gateway);
        let over_at = now().min(lapsed_at);
        self.set_way_to_store(gateway, Mode::Well);
        until("it says why it ends", GENEROUS, || {
            self.gateways[gateway].log().contains("was retired").then_some(())
        });
        assert_eq!(self.gateways[gateway].wait(), Some(2));
        self.addresses.set(gateway, None);
        self.note_loss(gateway, over_at);
        self.take_place(gateway, adopter)
    }

    /// Says that a gateway is done with; who goes on with its orders.
    fn retire(&self, gateway: usize, arguments: &[&str]) -> usize {
        let adopter = self.successor(gateway).expect("somebody is there");
        let names = [self.numbers[gateway], self.numbers[adopter]].map(|number| number.to_string());
        let retire = ["gateway", "retire", &names[0], "--adopter", &names[1]];
        drop(self.gateways[adopter].run(&[&retire, arguments].concat()).expect(0));
        adopter
    }

    /// A fresh gateway at the place of one that has ended, which another goes on for. What is left of that.
    fn take_place(&mut self, gateway: usize, adopter: usize) -> Gateway {
        for speaker in self.speakers.values_mut().filter(|speaker| **speaker == gateway) {
            *speaker = adopter;
        }
        self.numbers[gateway] += GATEWAYS;
        let number = self.numbers[gateway];
        let links = (self.to_redis[gateway].address(), self.to_gateway[gateway].address());
        let variables = variables(number, self.store.url(gateway), links, self.lapses);
        let fresh = Gateway::start_with(START, variables);
        let gone = replace(&mut self.gateways[gateway], fresh);
        self.speakers.insert(number, gateway);
        self.announce(gateway);
        gone
    }

    /// Waits until no gateway that runs is a member.
    pub(crate) fn await_lapse(&self) {
        let running = (0..GATEWAYS).filter(|&gateway| self.addresses.of(gateway).is_some());
        running.for_each(|gateway| self.await_no_member(gateway));
    }

    /// Waits until a gateway is no member any more, or has ended over it.
    fn await_no_member(&self, gateway: usize) {
        let mut operations = Client::new(self.gateways[gateway].operations());
        until("it is no member any more", GENEROUS, || {
            let figures = operations.try_send(Request::new("GET", "/metrics"));
            figures.map_or(true, |it| it.text().contains("\nseckill_member 0\n")).then_some(())
        });
    }

    /// An operator pauses the sale at a gateway, if that runs and takes the word.
    pub(crate) fn pause(&self, gateway: usize) {
        let is_there = self.addresses.of(gateway).is_some();
        if is_there && self.step(gateway, "pause").is_ok_and(|answer| answer.status == 200) {
            assert!(self.has_paused(gateway), "it has taken the word");
        }
    }

    /// An operator has the sale go on at each gateway that has it paused.
    pub(crate) fn resume(&self) {
        until("nobody has the sale paused", GENEROUS, || {
            let running = (0..GATEWAYS).filter(|&gateway| self.addresses.of(gateway).is_some());
            let paused: Vec<usize> = running.filter(|&it| self.has_paused(it)).collect();
            for &gateway in &paused {
                drop(self.step(gateway, "resume"));
            }
            paused.is_empty().then_some(())
        });
    }

    fn has_paused(&self, gateway: usize) -> bool {
        let path = format!("/api/v1/activities/{}/state", self.activity);
        let state =
            Client::new(self.gateways[gateway].address()).try_send(Request::new("GET", &path));
        state.is_ok_and(|it| it.status == 200 && it.json()["phase"] == "paused")
    }

    /// A step of the sale at a gateway, whatever comes of it.
    fn step(&self, gateway: usize, step: &str) -> std::io::Result<Response> {
        let path = format!("/api/v1/admin/activities/{}/{step}", self.activity);
        let mut operator = Client::with_token(self.gateways[gateway].address(), &self.admin);
        operator.try_send(Request::new("POST", &path))
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
        self.stalled = Some(self.store.hold());
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
                ("seckill_member", 1),
            ] {
                self.await_figure(gateway, name, figure);
            }
        }
        for (&number, &speaker) in &self.speakers {
            if self.numbers[speaker] != number {
                let name = format!("seckill_adopted_flush_lag_records{{gateway=\"{number}\"}}");
                self.await_figure(speaker, &name, 0);
            }
        }
    }

    fn await_figure(&self, gateway: usize, name: &str, figure: usize) {
        until(&format!("{name} is {figure} at place {gateway}"), GENEROUS, || {
            (self.figure(gateway, name) == Some(figure)).then_some(())
        });
    }

    /// Every journal and all books of every gateway, the adopted ones among them, are sound.
    pub(crate) fn check(&self) {
        for gateway in &self.gateways {
            drop(gateway.run(&["journal", "verify"]).expect(0));
            drop(gateway.audited(&["audit"]));
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
    store: String,
    links: (SocketAddr, SocketAddr),
    lapses: bool,
) -> Vec<(String, String)> {
    let own = [
        ("SECKILL_SECRET", "the secret that all gateways have".to_owned()),
        ("SECKILL_GATEWAY_ID", number.to_string()),
        ("SECKILL_STORE_URL", store),
        ("SECKILL_REDIS_URL", format!("redis://{}", links.0)),
        ("SECKILL_PEER_LISTEN", "127.0.0.1:0".to_owned()),
        ("SECKILL_PEER_URL", format!("http://{}", links.1)),
        ("SECKILL_LOG", "info,seckill=debug".to_owned()),
        ("SECKILL_TRUSTED_PROXIES", "127.0.0.1".to_owned()),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value));
    let bound =
        lapses.then(|| ("SECKILL_MEMBERSHIP_LASTS".to_owned(), MEMBERSHIP.as_secs().to_string()));
    [provider::variables(), own.into(), bound.into_iter().collect()].concat()
}
