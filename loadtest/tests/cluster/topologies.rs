//! A sale over a master that Sentinels name and replace, and over a cluster in which its slot moves.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

use seckill_loadtest::books::Lent;
use seckill_loadtest::client::Client;
use seckill_loadtest::gateway::Scratch;
use seckill_loadtest::order::Status;
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::redis::Redis;
use seckill_loadtest::shop::Sale;
use serde_json::json;

use crate::auditing::audit;
use crate::fleet::{Fleet, await_status, buy};

const GATEWAYS: usize = 2;
const STOCK: u32 = 60;
/// Units as shoppers are counted.
const UNITS: usize = STOCK as usize;
/// Slots of a cluster.
const SLOTS: usize = 16_384;
/// The name under which Sentinels know the master.
const SERVICE: &str = "shop";

/// One of the loopback's that no other process has: whatever port is taken there is free.
fn address() -> String {
    // A process id has 22 bits; the highest one keeps away from 127.0.0.1.
    let [low, middle, high, _] = process::id().to_le_bytes();
    Ipv4Addr::new(127, high | 0x80, middle, low).to_string()
}

fn port() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(10_000);
    // Relaxed: only the number counts.
    NEXT.fetch_add(1, Ordering::Relaxed).to_string()
}

/// A Redis that others reach by its port.
struct Node {
    redis: Redis,
    port: String,
}

impl Node {
    fn start(options: &[&str]) -> Self {
        let (address, port) = (address(), port());
        // A master takes a replica to be where its connection comes from.
        let own = ["--bind", &address, "--port", &port, "--replica-announce-ip", &address];
        Self { redis: Redis::start_with(&[&own[..], options].concat()), port }
    }

    /// Has it do something, which it does not refuse.
    #[track_caller]
    fn does(&self, words: &[&str]) {
        assert_eq!(self.redis.tell(words), ["OK"], "{words:?}");
    }

    fn await_link(&self, state: &str) {
        until(&format!("the way to its master is {state}"), GENEROUS, || {
            let info = self.redis.tell(&["INFO", "replication"]).remove(0);
            info.contains(&format!("master_link_status:{state}\r\n")).then_some(())
        });
    }

    /// What it has of a sale.
    fn lent(&self, activity: &str) -> Lent {
        Lent::of(&self.redis.tell(&["HGETALL", &key(activity)]))
    }
}

/// Where the units of a sale are.
fn key(activity: &str) -> String {
    format!("seckill:lease:{activity}")
}

/// Shoppers who want one unit each of a sale, each at one of the gateways.
struct Crowd {
    activity: String,
    shoppers: Vec<Client>,
    /// The orders, by shopper.
    orders: BTreeMap<usize, String>,
}

impl Crowd {
    fn of(fleet: &mut Fleet) -> Self {
        let activity = fleet.sale(Sale::of(STOCK));
        let shoppers = fleet.shoppers("crowd", UNITS * 3 / 2).into_iter().enumerate();
        let shoppers = shoppers.map(|(number, mut them)| them.swap_remove(number % GATEWAYS));
        Self { activity, shoppers: shoppers.collect(), orders: BTreeMap::new() }
    }

    /// A shopper who has none yet asks.
    fn ask(&mut self, number: usize) {
        if !self.orders.contains_key(&number) {
            let client = &mut self.shoppers[number];
            if let Ok(order) = buy(client, &self.activity, &format!("crowd-{number}")) {
                self.orders.insert(number, order.id);
            }
        }
    }

    /// They ask until so many are sold in all.
    #[track_caller]
    fn buy_until(&mut self, sold: usize) {
        until(&format!("{sold} are sold"), GENEROUS, || {
            for number in 0..self.shoppers.len() {
                if self.orders.len() < sold {
                    self.ask(number);
                }
            }
            (self.orders.len() == sold).then_some(())
        });
    }

    /// All ask, however many are sold: one too many would be seen.
    #[track_caller]
    fn buy_all(&mut self) {
        let mut round = || {
            (0..self.shoppers.len()).for_each(|number| self.ask(number));
            assert!(self.orders.len() <= UNITS, "oversold: {}", self.orders.len());
            (self.orders.len() == UNITS).then_some(())
        };
        until("every unit is sold", GENEROUS, &mut round);
        round();
    }

    /// Every order can be paid.
    #[track_caller]
    fn await_payable(&mut self) {
        for (&number, order) in &self.orders {
            await_status(&mut self.shoppers[number], order, Status::AwaitingPayment);
        }
    }

    /// How many orders are still to be confirmed.
    fn accepted(&mut self) -> usize {
        let mut count = 0;
        for (&number, order) in &self.orders {
            let client = &mut self.shoppers[number];
            let order = client.get(&format!("/api/v1/orders/{order}")).expect(200).json();
            count += usize::from(order["status"] == "accepted");
        }
        count
    }

    /// Every unit is sold once, in an era that began when Redis had forgotten, and all books say so.
    #[track_caller]
    fn expect_sold_once(&mut self, fleet: &Fleet) {
        self.await_payable();
        fleet.await_lent(&self.activity, STOCK.into());
        for gateway in 0..GATEWAYS {
            let figure = |name| fleet.figure(gateway, name, &self.activity);
            until("all is rebuilt, and nothing amiss", GENEROUS, || {
                let is_live = figure("seckill_lease_live") == Some(1);
                let is_later = figure("seckill_lease_generation") > Some(1);
                let is_right = figure("seckill_lease_drift_units") == Some(0);
                (is_live && is_later && is_right).then_some(())
            });
            let told = fleet.gateways[gateway].audited(&["audit"]);
            assert!(told.contains("lent by Redis"), "{told}");
            until("all books have all orders", GENEROUS, || {
                let whole = audit(fleet, gateway, &self.activity);
                assert_eq!(whole["difference_count"], 0, "{whole}");
                let units = ["stock_total", "held", "remaining"].map(|name| &whole[name]);
                let is_whole = units == [UNITS, UNITS, 0] && whole["unanswered"] == json!([]);
                (is_whole && whole["balanced"] == true).then_some(())
            });
        }
    }
}

/// A master, its replica, and the Sentinels that know both.
struct Watched {
    master: Node,
    replica: Node,
    sentinels: Vec<Node>,
    // Dropped last: the Sentinels' files are in it.
    _folder: Scratch,
}

impl Watched {
    fn start() -> Self {
        let folder = Scratch::new();
        let (address, master) = (address(), Node::start(&[]));
        let replica = Node::start(&["--replicaof", &address, &master.port]);
        // Sentinels ask a master for its replicas when they first see it, and then seldom.
        replica.await_link("up");
        let sentinel = |number: usize| {
            let file = folder.path().join(format!("sentinel-{number}.conf"));
            // Nobody is taken to be down until a test says so.
            let text = format!(
                "sentinel announce-ip {address}\n\
                 sentinel monitor {SERVICE} {address} {} 2\n\
                 sentinel down-after-milliseconds {SERVICE} 600000\n\
                 sentinel failover-timeout {SERVICE} 3000\n",
                master.port
            );
            fs::write(&file, text).unwrap();
            let (file, port) = (file.display().to_string(), port());
            let words = [&*file, "--sentinel", "--bind", &address, "--port", &port];
            Node { redis: Redis::start_with(&words), port }
        };
        let sentinels: Vec<_> = (0..3).map(sentinel).collect();
        for sentinel in &sentinels {
            until("a Sentinel knows the replica and the others", GENEROUS, || {
                let told = sentinel.redis.tell(&["SENTINEL", "MASTER", SERVICE]);
                let is = |name: &str, value: &str| told.windows(2).any(|it| it == [name, value]);
                (is("num-slaves", "1") && is("num-other-sentinels", "2")).then_some(())
            });
        }
        Self { master, replica, sentinels, _folder: folder }
    }

    fn url(&self) -> String {
        let hosts = self.sentinels.iter().map(|it| format!("{}:{}", address(), it.port));
        format!("redis-sentinel://{}#{SERVICE}", hosts.collect::<Vec<_>>().join(","))
    }

    /// What the master is told from here on the replica does not hear.
    fn cut_off(&self) {
        // The master has no password, so it refuses whoever says one.
        self.replica.does(&["CONFIG", "SET", "masterauth", "wrong"]);
        assert_eq!(self.master.redis.tell(&["CLIENT", "KILL", "TYPE", "replica"]), ["1"]);
        self.replica.await_link("down");
    }

    /// The Sentinels find that the master is gone, and promote the replica.
    fn fail_over(&self) {
        // They let a replica be ten times as long without its master.
        let patience = ["SENTINEL", "SET", SERVICE, "down-after-milliseconds", "5000"];
        self.sentinels.iter().for_each(|sentinel| sentinel.does(&patience));
        // Whoever asks the replica itself in that moment may see the connection end.
        let named = [address(), self.replica.port.clone()];
        for sentinel in &self.sentinels {
            until("the replica is named", GENEROUS, || {
                let told = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE];
                (sentinel.redis.tell(&told) == named).then_some(())
            });
        }
    }
}

/// The replica lacks what came last, as one may that is promoted: places that were confirmed.
#[test]
fn a_sale_goes_on_while_sentinels_replace_a_dead_master_by_a_replica_that_lacks_a_part() {
    let mut redis = Watched::start();
    // The fleet's own Redis is asked by nobody.
    let mut fleet = Fleet::start_over(GATEWAYS, |_| vec![("SECKILL_REDIS_URL", redis.url())]);
    let mut crowd = Crowd::of(&mut fleet);
    crowd.buy_until(UNITS / 6);
    redis.cut_off();
    crowd.buy_until(UNITS / 4);
    crowd.await_payable();
    let placed = [&redis.master, &redis.replica].map(|it| it.lent(&crowd.activity).places.len());
    assert!(placed[0] == UNITS / 4 && placed[1] < placed[0], "{placed:?}");
    // Before a sale they were lent half of it.
    until("some that are lent are unsold", GENEROUS, || {
        (fleet.lent(&crowd.activity) >= u64::from(STOCK / 4 + 4)).then_some(())
    });

    redis.master.redis.kill();
    // Nobody can say which of these have a place.
    crowd.buy_until(UNITS / 4 + 4);
    assert_eq!(crowd.accepted(), 4);
    redis.fail_over();
    crowd.await_payable();
    crowd.buy_all();
    crowd.expect_sold_once(&fleet);
    assert_eq!(redis.replica.lent(&crowd.activity).places.len(), UNITS);
}

/// Masters that have a part of the slots each.
struct Cluster(Vec<Node>);

impl Cluster {
    fn start(masters: usize) -> Self {
        let address = address();
        let buses: Vec<_> = (0..masters).map(|_| port()).collect();
        // By default nodes talk to each other 10,000 ports further, which may be beyond the last one.
        let node = |bus: &String| {
            let own = ["--cluster-enabled", "yes", "--cluster-announce-ip", &address];
            Node::start(&[&own[..], &["--cluster-port", bus]].concat())
        };
        let cluster = Self(buses.iter().map(node).collect());
        for (number, node) in cluster.0.iter().enumerate() {
            // Each has an epoch of its own from the start, and need not settle whose is whose.
            node.does(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
            let [first, behind] = [number, number + 1].map(|it| it * SLOTS / masters);
            let (first, last) = (first.to_string(), (behind - 1).to_string());
            node.does(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
        }
        for (node, bus) in cluster.0.iter().zip(&buses).skip(1) {
            cluster.0[0].does(&["CLUSTER", "MEET", &address, &node.port, bus]);
        }
        until("the nodes have met", GENEROUS, || {
            let known = format!("cluster_known_nodes:{masters}\r");
            let is_ok = |node: &Node| {
                let info = node.redis.tell(&["CLUSTER", "INFO"]).remove(0);
                info.contains("cluster_state:ok") && info.contains(&known)
            };
            cluster.0.iter().all(is_ok).then_some(())
        });
        cluster
    }

    fn url(&self) -> String {
        let hosts = self.0.iter().map(|node| format!("{}:{}", address(), node.port));
        format!("redis-cluster://{}", hosts.collect::<Vec<_>>().join(","))
    }

    /// The number of the node that has the sale; no other has anything.
    fn home(&self) -> usize {
        let has_it = |node: &usize| self.0[*node].redis.tell(&["DBSIZE"]) == ["1"];
        let homes: Vec<_> = (0..self.0.len()).filter(has_it).collect();
        assert_eq!(homes.len(), 1, "the sale is at one node: {homes:?}");
        homes[0]
    }

    fn id(&self, node: usize) -> String {
        self.0[node].redis.tell(&["CLUSTER", "MYID"]).remove(0)
    }

    /// A key's slot is to move.
    fn begin_move(&self, key: &str, from: usize, to: usize) {
        let slot = self.0[from].redis.tell(&["CLUSTER", "KEYSLOT", key]).remove(0);
        self.0[to].does(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &self.id(from)]);
        self.0[from].does(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &self.id(to)]);
    }

    /// The key moves, and its slot is on its way.
    fn move_key(&self, key: &str, from: usize, to: usize) {
        let port = &self.0[to].port;
        self.0[from].does(&["MIGRATE", &address(), port, key, "0", "10000"]);
    }

    /// The slot is the target's, and all are told so: the target first, or nobody had it for a moment.
    fn end_move(&self, key: &str, to: usize) {
        let (slot, id) =
            (self.0[to].redis.tell(&["CLUSTER", "KEYSLOT", key]).remove(0), self.id(to));
        let others = (0..self.0.len()).filter(|&it| it != to);
        for node in [to].into_iter().chain(others) {
            self.0[node].does(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]);
        }
    }
}

#[test]
fn a_sale_goes_on_while_its_slot_moves_to_another_node_of_a_cluster() {
    let redis = Cluster::start(3);
    // The fleet's own Redis is asked by nobody.
    let mut fleet = Fleet::start_over(GATEWAYS, |_| vec![("SECKILL_REDIS_URL", redis.url())]);
    let mut crowd = Crowd::of(&mut fleet);
    let key = key(&crowd.activity);
    crowd.buy_until(UNITS / 4);
    let from = redis.home();
    let to = (from + 1) % 3;
    redis.begin_move(&key, from, to);
    crowd.buy_until(UNITS / 3);
    crowd.await_payable();
    redis.move_key(&key, from, to);
    crowd.buy_until(UNITS / 2);
    crowd.await_payable();
    redis.end_move(&key, to);
    crowd.buy_all();
    crowd.expect_sold_once(&fleet);
    assert_eq!(redis.home(), to);
    assert_eq!(redis.0[to].lent(&crowd.activity).places.len(), UNITS);
}
