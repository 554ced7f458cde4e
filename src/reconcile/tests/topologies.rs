//! The ways to Redis: a master that Sentinels name and replace, and a cluster.
//!
//! It must not know what the functions do.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{fs, iter};

use seckill_shards::ids::ActivityId;

use super::server::{GENEROUS, Server, program, tell};
use crate::reconcile::limits::MESSAGES_PER_ROUND_MAX;
use crate::reconcile::{Fault, Leases, Refusal, library};

/// Names the master of a service, and promotes its replica when it is gone.
struct Sentinel {
    child: Child,
    port: u16,
}

impl Sentinel {
    fn start(folder: &Path, service: &str, master: u16) -> Self {
        let (port, file) = (free_port(), folder.join("sentinel.conf"));
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {service} 127.0.0.1 {master} 1\n\
             sentinel down-after-milliseconds {service} 300\n\
             sentinel failover-timeout {service} 1000\n",
            folder.display()
        );
        fs::write(&file, text).unwrap();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program())
            .arg(file)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Self { child: child.expect("setpriv starts: it is part of util-linux"), port }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// One that is free at this moment.
fn free_port() -> u16 {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    free.local_addr().unwrap().port()
}

/// Asks until the answer is there.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asked = async {
        let mut look = tokio::time::interval(GENEROUS / 1_000);
        loop {
            look.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(GENEROUS, asked).await.unwrap_or_else(|_| panic!("{what}"))
}

#[tokio::test]
async fn the_master_that_sentinels_name_is_asked() {
    let (mut master, port) = Server::start_open(library::TEXT);
    let replica_of = format!("replicaof 127.0.0.1 {port}");
    let replica_port = format!("port {}", free_port());
    let replica = Server::start_with(library::TEXT, &[&replica_port, &replica_of]);
    let sentinel = Sentinel::start(master.folder(), "shop", port);
    until("the replica is known", async || {
        let known = tell::<Vec<redis::Value>>(&sentinel.url(), &["SENTINEL", "REPLICAS", "shop"]);
        known.ok().filter(|replicas| !replicas.is_empty())
    })
    .await;
    // One of the Sentinels is away.
    let url = format!("redis-sentinel://127.0.0.1:1,127.0.0.1:{}#shop", sentinel.port);
    let leases = Leases::open(&url).unwrap();
    leases.ready().await.unwrap();
    let activity = ActivityId(7);
    let era = leases.begin(activity, None, 1, 0).await.unwrap().unwrap();
    master.replicate();
    master.kill();
    let status = until("the replica is the master", async || {
        leases.ready().await.ok()?;
        leases.status(&[activity]).await.ok()?.remove(0).ok()
    })
    .await
    .unwrap();
    assert_eq!((status.era, status.remembers), (era, false), "a promotion is noticed");
    assert_eq!(leases.begin(activity, Some(era), 2, 0).await.unwrap().unwrap().generation, 2);
    assert!(replica.tell::<String>(&["INFO", "replication"]).contains("role:master"));

    let other = url.replace("#shop", "#other");
    let fault = Leases::open(&other).unwrap().ready().await.unwrap_err();
    assert!(matches!(fault, Fault::Redis(_)), "{fault:?}");
}

#[tokio::test]
async fn a_cluster_is_asked_at_each_keys_node() {
    let nodes: Vec<_> = iter::repeat_with(node).take(2).collect();
    let [(one, first), (other, second)] = &nodes[..] else { unreachable!("there are two") };
    one.tell::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "8191"]);
    other.tell::<()>(&["CLUSTER", "ADDSLOTSRANGE", "8192", "16383"]);
    let bus: String = other.tell::<Vec<String>>(&["CONFIG", "GET", "cluster-port"]).remove(1);
    one.tell::<()>(&["CLUSTER", "MEET", "127.0.0.1", &second.to_string(), &bus]);
    until("the nodes have met", async || {
        let is_ok =
            |node: &Server| node.tell::<String>(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
        (is_ok(one) && is_ok(other)).then_some(())
    })
    .await;
    let leases = Leases::open(&format!("redis-cluster://127.0.0.1:{first}")).unwrap();
    leases.ready().await.unwrap();
    let activities: Vec<_> = (1..=MESSAGES_PER_ROUND_MAX as u64 + 8).map(ActivityId).collect();
    let mut eras = Vec::new();
    for &activity in &activities {
        eras.push(leases.begin(activity, None, 1, 0).await.unwrap().unwrap());
    }
    for (node, _) in &nodes {
        assert!(node.tell::<usize>(&["DBSIZE"]) > 0, "each has some");
    }
    // A node that has lost its functions gets them again.
    other.tell::<()>(&["FUNCTION", "FLUSH"]);
    let seen = leases.status(&activities).await.unwrap();
    let seen: Vec<_> = seen.into_iter().map(|it| it.unwrap().unwrap().era).collect();
    assert_eq!(seen, eras);
    leases.forget(activities[0]).await.unwrap();
    let gone = leases.status(&activities[..1]).await.unwrap().remove(0).unwrap();
    assert_eq!(gone, Err(Refusal::Absent));
}

/// A node of a cluster, and its port.
fn node() -> (Server, u16) {
    let port = free_port();
    // By default the nodes talk to each other 10,000 ports further, where there may be none.
    let (own, bus) = (format!("port {port}"), format!("cluster-port {}", free_port()));
    let options = [&*own, &*bus, "cluster-enabled yes", "cluster-announce-ip 127.0.0.1"];
    (Server::start_with(library::TEXT, &options), port)
}

#[tokio::test]
async fn what_is_no_address_of_a_redis_is_refused() {
    for url in [
        "redis-sentinel://127.0.0.1:1",
        "redis-sentinel://127.0.0.1:1#",
        "redis-sentinel://#shop",
        "redis-cluster://",
        "redis-cluster://127.0.0.1:1,",
        "redis-cluster://127.0.0.1:port",
        "redis-other://127.0.0.1:1",
    ] {
        let opened = Leases::open(url);
        assert!(matches!(opened, Err(Fault::Redis(_))), "{url}: {opened:?}");
    }
    let shown = Leases::open("redis-cluster://user:s3cret@127.0.0.1:1,127.0.0.2:1").unwrap();
    assert!(!format!("{shown:?}").contains("s3cret"));
}
