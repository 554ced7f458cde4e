//! What is asked together goes together, as a server counts what it reads.
//!
//! It must not know what the functions do.

use std::slice;

use seckill_shards::ids::ActivityId;

use super::sale::{G0, Sale};
use super::server::Server;
use crate::reconcile::library;
use crate::reconcile::limits::MESSAGES_PER_ROUND_MAX;

/// How often a server has read something from a connection.
fn reads(server: &Server) -> usize {
    let info: String = server.tell(&["INFO", "stats"]);
    let count = info.lines().find_map(|line| line.strip_prefix("total_reads_processed:"));
    count.unwrap().parse().unwrap()
}

/// A server reads up to 16 KiB at once, some sixty requests. Who waits for one answer before the next
/// request is read once for each.
#[tokio::test]
async fn requests_of_many_activities_are_read_together() {
    let server = Server::start(library::TEXT);
    let sale = Sale::of(&server, 10);
    let era = sale.live(&[G0]).await;
    let activities = u64::try_from(3 * MESSAGES_PER_ROUND_MAX).unwrap();
    let asked: Vec<_> =
        (1..=activities).map(|id| (ActivityId(id), sale.request(era, G0, 1))).collect();
    let before = reads(&server);
    for one in &asked {
        drop(sale.leases.lease(slice::from_ref(one)).await.unwrap());
    }
    let alone = reads(&server) - before;
    assert!(alone >= asked.len(), "the server counts: {alone}");
    let before = reads(&server);
    let replies = sale.leases.lease(&asked).await.unwrap();
    let together = reads(&server) - before;
    assert_eq!(replies.len(), asked.len());
    // Whoever looks is counted, too.
    assert!(together < asked.len() / 4, "{together} reads of {} requests", asked.len());
}
