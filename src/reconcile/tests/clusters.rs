//! A cluster: each key has a node, and gets another one where its slot moves or its master is gone.
//!
//! It must not know what the functions do.

use std::net::Ipv4Addr;
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

use seckill_shards::ids::{ActivityId, Era};

use super::sale::{ACTIVITY, G0, G1, KEY, Sale, declaration, orders, place};
use super::server::{Server, ended, until};
use crate::reconcile::limits::MESSAGES_PER_ROUND_MAX;
use crate::reconcile::{
    Answer, Declaration, Fault, Leases, Refusal, Resumed, Status, Stock, library,
};

/// Slots of a cluster.
const SLOTS: usize = 16_384;
/// A gateway's user, who may do what ARCHITECTURE.md lists and no more, on the keys of leases: so it must
/// follow them.
const USER: &str = "user gateway on >secret ~seckill:lease:* -@all +hset +hdel +hmget +hget +type +unlink \
                    +time +info +fcall +function|list +function|load +cluster|slots +ping +asking";

/// A node and its port.
struct Node {
    server: Server,
    port: u16,
}

struct Cluster(Vec<Node>);

/// One of the loopback's that no other process has: whatever port is taken there is free.
fn address() -> Ipv4Addr {
    // A process id has 22 bits; the highest one keeps away from 127.0.0.1.
    let [low, middle, high, _] = process::id().to_le_bytes();
    Ipv4Addr::new(127, high | 0x80, middle, low)
}

fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(10_000);
    // Relaxed: only the number counts.
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Node {
    fn start() -> Self {
        let (address, port) = (address(), port());
        // By default nodes talk to each other 10,000 ports further, which may be beyond the last one.
        let options = [
            &*format!("bind {address}"),
            &*format!("port {port}"),
            &*format!("cluster-port {}", self::port()),
            &*format!("cluster-announce-ip {address}"),
            USER,
            "cluster-enabled yes",
            // A replica stands for election however long its master had not spoken.
            "cluster-replica-validity-factor 0",
            "repl-diskless-sync-delay 0",
        ];
        Self { server: Server::start_with(library::TEXT, &options), port }
    }

    fn id(&self) -> String {
        self.server.tell(&["CLUSTER", "MYID"])
    }

    fn is_ok(&self, nodes: usize) -> bool {
        let info: String = self.server.tell(&["CLUSTER", "INFO"]);
        let known = format!("cluster_known_nodes:{nodes}\r");
        info.contains("cluster_state:ok") && info.contains(&known)
    }

    /// A figure of its INFO.
    fn figure(&self, name: &str) -> Option<String> {
        let info: String = self.server.tell(&["INFO", "replication"]);
        let found = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.map(str::to_owned)
    }
}

impl Cluster {
    /// Masters that have a part of the slots each, but for the last ones, which have none.
    async fn start(masters: usize, idle: usize) -> Self {
        let cluster = Self((0..masters + idle).map(|_| Node::start()).collect());
        for (number, node) in cluster.0.iter().enumerate() {
            // Each has an epoch of its own from the start, and need not settle whose is whose.
            let epoch = (number + 1).to_string();
            node.server.tell::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
            if number < masters {
                let [first, behind] = [number, number + 1].map(|it| it * SLOTS / masters);
                let (first, last) = (first.to_string(), (behind - 1).to_string());
                node.server.tell::<()>(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
            }
        }
        for node in &cluster.0[1..] {
            let bus: String =
                node.server.tell::<Vec<String>>(&["CONFIG", "GET", "cluster-port"]).remove(1);
            let (address, port) = (address().to_string(), node.port.to_string());
            cluster.0[0].server.tell::<()>(&["CLUSTER", "MEET", &address, &port, &bus]);
        }
        let nodes = cluster.0.len();
        until("the nodes have met", async || {
            cluster.0.iter().all(|node| node.is_ok(nodes)).then_some(())
        })
        .await;
        cluster
    }

    /// What a gateway has of it.
    fn leases(&self) -> Leases {
        let url = format!("redis-cluster://gateway:secret@{}:{}", address(), self.0[0].port);
        Leases::open(&url).unwrap()
    }

    /// The sale as one gateway sees it.
    fn sale(&self, stocked: u32) -> Sale {
        let stock = Stock { version: 1, stocked, open: true };
        Sale { leases: self.leases(), stock, limit: 1 }
    }

    /// The number of the node that has the sale's key; no other has one.
    fn home(&self) -> usize {
        let has_key = |node: &Node| node.server.tell::<usize>(&["DBSIZE"]) == 1;
        let homes: Vec<_> = (0..self.0.len()).filter(|&it| has_key(&self.0[it])).collect();
        assert_eq!(homes.len(), 1, "the key is at one node: {homes:?}");
        homes[0]
    }

    /// The sale's slot is to move.
    fn begin_move(&self, from: usize, to: usize) {
        let [source, target] = [from, to].map(|it| &self.0[it]);
        let slot = slot(source);
        let set = ["CLUSTER", "SETSLOT", &slot];
        target.server.tell::<()>(&[&set[..], &["IMPORTING", &source.id()]].concat());
        source.server.tell::<()>(&[&set[..], &["MIGRATING", &target.id()]].concat());
    }

    /// The sale's key is moved, and nothing else of its slot.
    fn move_key(&self, from: usize, to: usize) {
        let (address, port) = (address().to_string(), self.0[to].port.to_string());
        let moved: String =
            self.0[from].server.tell(&["MIGRATE", &address, &port, KEY, "0", "10000"]);
        assert_eq!(moved, "OK");
    }

    /// The slot is the target's, and all know it.
    async fn end_move(&self, from: usize, to: usize) {
        let (slot, id) = (slot(&self.0[to]), self.0[to].id());
        let set = ["CLUSTER", "SETSLOT", &slot, "NODE", &id];
        for node in [to, from] {
            self.0[node].server.tell::<()>(&set);
        }
        until("all know where it is", async || {
            let port = self.0[to].port;
            let knows = |node: &Node| {
                let asked = node.server.try_tell::<bool>(&["EXISTS", KEY]);
                asked == Ok(true)
                    || asked.is_err_and(|error| error.to_string().contains(&format!(":{port}")))
            };
            self.0.iter().all(knows).then_some(())
        })
        .await;
    }
}

fn slot(node: &Node) -> String {
    node.server.tell::<u64>(&["CLUSTER", "KEYSLOT", KEY]).to_string()
}

#[tokio::test]
async fn a_cluster_is_asked_at_each_keys_node() {
    let cluster = Cluster::start(2, 0).await;
    let leases = cluster.leases();
    leases.ready().await.unwrap();
    let activities: Vec<_> = (1..=MESSAGES_PER_ROUND_MAX as u64 + 8).map(ActivityId).collect();
    let mut eras = Vec::new();
    for &activity in &activities {
        eras.push(leases.begin(activity, None, 1, 0).await.unwrap().unwrap());
    }
    for node in &cluster.0 {
        assert!(node.server.tell::<usize>(&["DBSIZE"]) > 0, "each has some");
    }
    // A node that has lost its functions gets them again.
    cluster.0[1].server.tell::<()>(&["FUNCTION", "FLUSH"]);
    let seen = leases.status(&activities).await.unwrap();
    let seen: Vec<_> = seen.into_iter().map(|it| it.unwrap().unwrap().era).collect();
    assert_eq!(seen, eras);
    leases.forget(activities[0]).await.unwrap();
    let gone = leases.status(&activities[..1]).await.unwrap().remove(0).unwrap();
    assert_eq!(gone, Err(Refusal::Absent));
}

/// What a gateway was answered of each of some sales: their eras, or that it was lost.
async fn eras(leases: &Leases, activities: &[ActivityId]) -> Vec<Option<Era>> {
    let round = ended("a round", leases.status(activities)).await.unwrap();
    let era = |it: Result<Answer<Status>, Fault>| match it {
        Ok(status) => Some(status.unwrap().era),
        Err(Fault::Redis(_)) => None,
        Err(fault) => panic!("{fault:?}"),
    };
    round.into_iter().map(era).collect()
}

/// It takes connections and says nothing. The client waited for it as long as it stood still, with all
/// that was asked of the others.
#[tokio::test]
async fn a_node_of_a_cluster_that_stands_still_loses_what_is_asked_of_it_and_nothing_else() {
    let cluster = Cluster::start(2, 0).await;
    let leases = cluster.leases();
    leases.ready().await.unwrap();
    let activities: Vec<_> = (1..=16).map(ActivityId).collect();
    let mut begun = Vec::new();
    for &activity in &activities {
        begun.push(Some(leases.begin(activity, None, 1, 0).await.unwrap().unwrap()));
    }
    for node in &cluster.0 {
        let keys: usize = node.server.tell(&["DBSIZE"]);
        assert!((1..16).contains(&keys), "each has some: {keys}");
        node.server.stop();
        for _ in 0..2 {
            let seen = eras(&leases, &activities).await;
            let lost = seen.iter().filter(|era| era.is_none()).count();
            assert_eq!(lost, keys, "{seen:?}");
            assert!(seen.iter().zip(&begun).all(|(seen, begun)| seen.is_none() || seen == begun));
        }
        let fault = ended("who looks whether all is there", leases.ready()).await.unwrap_err();
        assert!(matches!(fault, Fault::Redis(_)), "{fault:?}");
        // Whoever comes now may find the other alone.
        drop(ended("a newcomer", cluster.leases().ready()).await);
        node.server.go_on();
        until("all of it is answered again", async || {
            leases.ready().await.ok()?;
            (eras(&leases, &activities).await == begun).then_some(())
        })
        .await;
    }
}

/// Of five units g0 has three, one of them sold, and g1 has one.
async fn sell_some(sale: &Sale) -> Era {
    sale.leases.ready().await.unwrap();
    let era = sale.live(&[G0, G1]).await;
    assert_eq!(sale.take(sale.request(era, G0, 1), 0, 3).await, Ok(3));
    assert_eq!(sale.take(sale.request(era, G1, 1), 0, 1).await, Ok(1));
    let yes = sale.confirm(sale.request(era, G0, 2), 3, &[place(1, 10, 1)]).await;
    assert_eq!(yes, Ok(orders(&[10])));
    era
}

/// What g0 has sold, and has to sell.
fn of_g0(era: Era, n: u64, net: u32) -> Declaration {
    Declaration { places: vec![place(1, 10, 1)], ..declaration(era, G0, n, net) }
}

/// One unit is nobody's: it is lent once, and the buyer of before is known.
async fn expect_one_left(sale: &Sale, other: &Sale, era: Era) {
    assert_eq!(sale.take(sale.request(era, G0, 3), 3, 2).await, Ok(1));
    assert_eq!(other.take(other.request(era, G1, 2), 1, 2).await, Ok(0));
    let yes = other.confirm(other.request(era, G1, 3), 1, &[place(1, 20, 1)]).await;
    assert_eq!(yes, Ok(Vec::new()));
}

/// All that the former node knew comes along, and none of it counts: whoever moves a key may as well have
/// put an older copy there.
#[tokio::test]
async fn a_sale_whose_slot_moves_is_rebuilt_on_the_way_and_on_the_way_back() {
    let cluster = Cluster::start(2, 0).await;
    let (sale, other) = (cluster.sale(5), cluster.sale(5));
    let first = sell_some(&sale).await;
    let from = cluster.home();
    let to = 1 - from;
    cluster.begin_move(from, to);
    // Until its key has gone the sale goes on.
    assert!(other.status().await.unwrap().remembers);
    cluster.move_key(from, to);
    assert_eq!(cluster.home(), to);
    let forgot = Err(Refusal::Forgot { era: first });
    assert_eq!(sale.take(sale.request(first, G0, 3), 3, 2).await, forgot);
    assert_eq!(other.take(other.request(first, G1, 2), 1, 2).await, forgot);
    // Half of the rebuild meets the slot on its way, the other half at its end.
    let second = sale.begin(Some(first), 2).await.unwrap();
    assert_eq!(sale.declare(of_g0(second, 2, 3)).await, Ok(()));
    cluster.end_move(from, to).await;
    assert_eq!(other.declare(declaration(second, G1, 1, 1)).await, Ok(()));
    assert_eq!(other.resume(second, &[G0, G1]).await, Ok(Resumed { excess: 0 }));
    assert_eq!(
        sale.take(sale.request(first, G0, 3), 3, 2).await,
        Err(Refusal::Era { era: second })
    );
    expect_one_left(&sale, &other, second).await;

    // The process that it comes back to is the one of the first era.
    cluster.begin_move(to, from);
    cluster.move_key(to, from);
    cluster.end_move(to, from).await;
    let forgot = Err(Refusal::Forgot { era: second });
    assert_eq!(other.take(other.request(second, G1, 4), 1, 2).await, forgot);
    let third = other.begin(Some(second), 3).await.unwrap();
    assert_eq!(other.declare(declaration(third, G1, 3, 1)).await, Ok(()));
    assert_eq!(sale.declare(of_g0(third, 3, 4)).await, Ok(()));
    assert_eq!(sale.resume(third, &[G0, G1]).await, Ok(Resumed { excess: 0 }));
    assert_eq!(sale.take(sale.request(third, G0, 4), 4, 2).await, Ok(0), "all are lent");
    assert_eq!(cluster.home(), from);
}

/// A node that has just come to the cluster has no functions, and as long as it has no slot nobody
/// loads any there.
#[tokio::test]
async fn a_sale_whose_slot_moves_to_a_node_without_functions_goes_on_once_that_has_it() {
    let cluster = Cluster::start(1, 1).await;
    let (sale, other) = (cluster.sale(5), cluster.sale(5));
    let first = sell_some(&sale).await;
    let loaded = |node: &Node| node.server.tell::<Vec<redis::Value>>(&["FUNCTION", "LIST"]);
    assert!(loaded(&cluster.0[1]).is_empty());
    cluster.begin_move(0, 1);
    cluster.move_key(0, 1);
    let refused = sale.leases.status(&[ACTIVITY]).await.unwrap().remove(0);
    assert!(refused.as_ref().is_err_and(|fault| fault.is_refused()), "{refused:?}");
    cluster.end_move(0, 1).await;
    for sale in [&sale, &other] {
        let status = until("the node has the functions", async || {
            sale.leases.ready().await.ok()?;
            sale.leases.status(&[ACTIVITY]).await.ok()?.remove(0).ok()
        })
        .await
        .unwrap();
        assert_eq!((status.era, status.leased, status.remembers), (first, 4, false));
    }
    let second = sale.begin(Some(first), 2).await.unwrap();
    assert_eq!(sale.declare(of_g0(second, 2, 3)).await, Ok(()));
    assert_eq!(other.declare(declaration(second, G1, 1, 1)).await, Ok(()));
    assert_eq!(other.resume(second, &[G0, G1]).await, Ok(Resumed { excess: 0 }));
    expect_one_left(&sale, &other, second).await;
}

/// A replica may lack the last writes, and so may the master that comes back as its replica.
#[tokio::test]
async fn a_master_of_a_cluster_that_dies_has_forgotten_when_its_replica_goes_on() {
    let mut cluster = Cluster::start(3, 1).await;
    let (sale, other) = (cluster.sale(5), cluster.sale(5));
    let first = sell_some(&sale).await;
    let (master, replica) = (cluster.home(), 3);
    let id = cluster.0[master].id();
    cluster.0[replica].server.tell::<()>(&["CLUSTER", "REPLICATE", &id]);
    until("the replica has everything", async || {
        let is_up = cluster.0[replica].figure("master_link_status")? == "up";
        let written = cluster.0[master].figure("master_repl_offset");
        (is_up && cluster.0[replica].figure("slave_repl_offset") == written).then_some(())
    })
    .await;
    // A first replica gives its history a name: what was begun before is begun again.
    let second = sale.begin(Some(first), 2).await.unwrap();
    assert_eq!(sale.declare(of_g0(second, 2, 3)).await, Ok(()));
    assert_eq!(sale.declare(declaration(second, G1, 1, 1)).await, Ok(()));
    assert_eq!(sale.resume(second, &[G0, G1]).await, Ok(Resumed { excess: 0 }));
    until("the replica has heard of it", async || {
        let written = cluster.0[master].figure("master_repl_offset");
        (cluster.0[replica].figure("slave_repl_offset") == written).then_some(())
    })
    .await;

    cluster.0[master].server.kill();
    for sale in [&sale, &other] {
        let status = until("the replica goes on", async || {
            sale.leases.ready().await.ok()?;
            sale.leases.status(&[ACTIVITY]).await.ok()?.remove(0).ok()
        })
        .await
        .unwrap();
        assert_eq!((status.era, status.leased, status.remembers), (second, 4, false));
    }
    let third = sale.begin(Some(second), 3).await.unwrap();
    assert_eq!(sale.declare(of_g0(third, 2, 3)).await, Ok(()));
    assert_eq!(other.declare(declaration(third, G1, 1, 1)).await, Ok(()));
    assert_eq!(other.resume(third, &[G0, G1]).await, Ok(Resumed { excess: 0 }));
    expect_one_left(&sale, &other, third).await;

    cluster.0[master].server.kill_and_start();
    until("it is a replica now", async || {
        (cluster.0[master].figure("role")? == "slave").then_some(())
    })
    .await;
    let found = cluster.sale(5).status().await.unwrap();
    assert_eq!((found.era, found.leased, found.remembers), (third, 5, true));
}
