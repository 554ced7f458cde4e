//! The ways to Redis: its addresses, and a master that Sentinels name and replace.
//!
//! It must not know what the functions do.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use seckill_shards::ids::ActivityId;

use super::server::{Server, free_port, program, tell, until};
use crate::reconcile::{Fault, Leases, library};

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
