//! A cluster: each key has a node.
//!
//! It must not know what the functions do.

use std::iter;

use seckill_shards::ids::ActivityId;

use super::server::{Server, free_port, until};
use crate::reconcile::limits::MESSAGES_PER_ROUND_MAX;
use crate::reconcile::{Leases, Refusal, library};

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
