//! The ways to Redis: its addresses, and a master that Sentinels name and replace.
//!
//! It must not know what the functions do.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use seckill_shards::ids::ActivityId;

use super::server::{Server, ended, free_port, go_on, program, stop, tell, until};
use crate::reconcile::{Era, Fault, Leases, Refusal, library};

const ACTIVITY: ActivityId = ActivityId(7);

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

    /// A gateway's way to the master of a service.
    fn leases(&self, service: &str) -> Leases {
        Leases::open(&format!("redis-sentinel://127.0.0.1:{}#{service}", self.port)).unwrap()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
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
    let era = leases.begin(ACTIVITY, None, 1, 0).await.unwrap().unwrap();
    master.replicate();
    master.kill();
    let status = until("the replica is the master", async || {
        leases.ready().await.ok()?;
        leases.status(&[ACTIVITY]).await.ok()?.remove(0).ok()
    })
    .await
    .unwrap();
    assert_eq!((status.era, status.remembers), (era, false), "a promotion is noticed");
    assert_eq!(leases.begin(ACTIVITY, Some(era), 2, 0).await.unwrap().unwrap().generation, 2);
    assert!(replica.tell::<String>(&["INFO", "replication"]).contains("role:master"));

    let other = url.replace("#shop", "#other");
    let fault = Leases::open(&other).unwrap().ready().await.unwrap_err();
    assert!(matches!(fault, Fault::Redis(_)), "{fault:?}");
}

/// A master, the Sentinel that names it, and a gateway that has begun a sale there.
async fn begun() -> (Server, Sentinel, Leases, Era) {
    let (master, port) = Server::start_open(library::TEXT);
    let sentinel = Sentinel::start(master.folder(), "shop", port);
    let leases = sentinel.leases("shop");
    until("the Sentinel names the master", async || leases.ready().await.ok()).await;
    let era = leases.begin(ACTIVITY, None, 1, 0).await.unwrap().unwrap();
    (master, sentinel, leases, era)
}

/// What a gateway hears of the sale once nothing stands still any more.
async fn expect_known(leases: &Leases, era: Era) {
    let status = until("it goes on", async || {
        leases.ready().await.ok()?;
        leases.status(&[ACTIVITY]).await.ok()?.remove(0).ok()
    })
    .await
    .unwrap();
    assert_eq!((status.era, status.remembers), (era, true), "nobody has become another");
}

/// It takes connections and says nothing. Only who has to ask it waits for it, and not for ever.
#[tokio::test]
async fn a_sentinel_that_stands_still_ends_no_connection_and_holds_nobody_for_ever() {
    let (_master, sentinel, leases, era) = begun().await;
    stop(&sentinel.child);
    let newcomer = sentinel.leases("shop");
    for _ in 0..2 {
        let fault = ended("who asks where the master is", newcomer.ready()).await.unwrap_err();
        assert!(matches!(fault, Fault::Redis(_)), "{fault:?}");
        let known = ended("who knows it", leases.status(&[ACTIVITY])).await.unwrap().remove(0);
        assert_eq!(known.unwrap().map(|status| status.era), Ok(era));
    }
    go_on(&sentinel.child);
    expect_known(&newcomer, era).await;
    assert_eq!(newcomer.begin(ACTIVITY, None, 2, 0).await.unwrap(), Err(Refusal::Era { era }));
}

/// The Sentinel goes on to name it, since there is no other.
#[tokio::test]
async fn a_master_that_stands_still_loses_what_it_is_asked_and_goes_on() {
    let (master, sentinel, leases, era) = begun().await;
    let newcomer = sentinel.leases("shop");
    master.stop();
    for _ in 0..2 {
        let lost = ended("a question", leases.status(&[ACTIVITY])).await;
        assert!(matches!(lost, Err(Fault::Redis(_))), "{lost:?}");
        for leases in [&leases, &newcomer] {
            let fault = ended("who looks whether it is there", leases.ready()).await.unwrap_err();
            assert!(matches!(fault, Fault::Redis(_)), "{fault:?}");
        }
    }
    master.go_on();
    expect_known(&leases, era).await;
    expect_known(&newcomer, era).await;
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
