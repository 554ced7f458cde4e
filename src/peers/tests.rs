//! Calls to peers that are away, silent, crowded or somebody else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use seckill_shards::clock::{Clock, MachineClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use super::limits::{CALLS_MAX, PEER_BREAKER};
use super::{Answered, Call, Outcome, Peer, Peers, PeersParts, Unanswered};
use crate::flow::BreakerState;
use crate::store::GatewayRow;

/// Gateway 1, which has heard of gateway 2 at this address just now.
fn fleet(address: SocketAddr) -> (Arc<Peers>, Arc<Peer>) {
    let (clock, runtime) = (Arc::new(MachineClock::start()), Handle::current());
    let now = clock.now();
    let (own, secret) = (1, &[7; 32]);
    let (url, membership_s) = ("own:1".to_owned(), None);
    let was_bounded = false;
    let parts = PeersParts { own, address: url, secret, clock, runtime, membership_s, was_bounded };
    let peers = Peers::new(parts);
    let row = |number, address: String| GatewayRow {
        number,
        epoch: 0,
        address,
        seen_at: now,
        as_of: now,
        ..GatewayRow::default()
    };
    peers.learn(&[row(1, peers.url().to_owned()), row(2, format!("http://{address}"))]);
    assert!(peers.find(1).is_none() && peers.find(3).is_none(), "only others, and only known ones");
    let peer = peers.find(2).unwrap();
    (Arc::new(peers), peer)
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn cancel(peers: &Peers, peer: &Arc<Peer>) -> Result<Answered, Unanswered> {
    let (method, path) = (Method::DELETE, "/api/v1/orders/7".to_owned());
    let (headers, body) = (HeaderMap::new(), Bytes::new());
    let (vouched, patience, said_at) = (None, Call::patience_of(&method), None);
    peers.call(peer, Call { method, path, headers, body, vouched, patience, said_at }).await
}

/// What all are to do at once.
async fn word(peers: &Peers, peer: &Arc<Peer>) -> Result<Answered, Unanswered> {
    let (method, path) = (Method::POST, "/api/v1/words".to_owned());
    let (headers, body, vouched) = (HeaderMap::new(), Bytes::new(), None);
    let (patience, said_at) = (Duration::from_millis(50), Some(MachineClock::start().now()));
    peers.call(peer, Call { method, path, headers, body, vouched, patience, said_at }).await
}

fn counts(peer: &Peer) -> Vec<(Outcome, u64)> {
    let all = Outcome::ALL.iter().map(|outcome| (*outcome, peer.count(*outcome)));
    all.filter(|(_, count)| *count > 0).collect()
}

#[tokio::test]
async fn where_nobody_listens_nothing_is_sent_and_soon_nobody_asks() {
    let (bound, address) = listener().await;
    drop(bound);
    let (peers, peer) = fleet(address);
    let bad = PEER_BREAKER.bad as u64;
    for _ in 0..bad + 2 {
        assert_eq!(cancel(&peers, &peer).await.unwrap_err(), Unanswered::NotSent);
    }
    assert_eq!(peer.breaker.state(), BreakerState::Open);
    assert_eq!(counts(&peer), [(Outcome::Away, 2), (Outcome::Unreached, bad)]);
    // It may be back by now, and would go on selling what was paused.
    assert_eq!(word(&peers, &peer).await.unwrap_err(), Unanswered::NotSent);
    assert_eq!(counts(&peer), [(Outcome::Away, 2), (Outcome::Unreached, bad + 1)]);
}

#[tokio::test]
async fn a_peer_that_says_no_more_that_it_is_there_is_not_asked() {
    let (bound, address) = listener().await;
    let (peers, _) = fleet(address);
    let gone = GatewayRow {
        number: 3,
        epoch: 0,
        address: format!("http://{address}"),
        seen_at: seckill_shards::clock::Timestamp(1),
        as_of: seckill_shards::clock::Timestamp(1),
        ..GatewayRow::default()
    };
    peers.learn(&[gone]);
    let peer = peers.find(3).unwrap();
    assert_eq!(cancel(&peers, &peer).await.unwrap_err(), Unanswered::NotSent);
    assert_eq!(counts(&peer), [(Outcome::Away, 1)]);
    drop(bound);
}

#[tokio::test]
async fn an_answer_of_somebody_else_is_none() {
    for (answer, outcome) in [
        ("HTTP/1.1 204 No Content\r\n\r\n", Outcome::Unproven),
        ("HTTP/1.1 204 No Content\r\nseckill-signature: AAAA\r\n\r\n", Outcome::Unproven),
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\n{}", Outcome::Unproven),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}", Outcome::Unanswered),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n", Outcome::Unanswered),
        ("", Outcome::Unanswered),
    ] {
        let (bound, address) = listener().await;
        let (peers, peer) = fleet(address);
        let answering = tokio::spawn(async move {
            let (mut stream, _) = bound.accept().await.unwrap();
            // The head of the call has come, and with it all of it.
            assert!(stream.read(&mut [0; 4_096]).await.unwrap() > 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        assert_eq!(cancel(&peers, &peer).await.unwrap_err(), Unanswered::Unknown, "{answer}");
        assert_eq!(counts(&peer), [(outcome, 1)], "{answer}");
        answering.await.unwrap();
    }
}

#[tokio::test]
async fn no_more_than_so_many_calls_are_under_way_to_a_peer() {
    // It takes connections, as a listener does by itself, and says nothing.
    let (silent, address) = listener().await;
    let (peers, peer) = fleet(address);
    let mut calls = Vec::new();
    for _ in 0..CALLS_MAX {
        let (peers, peer) = (Arc::clone(&peers), Arc::clone(&peer));
        calls.push(tokio::spawn(async move { cancel(&peers, &peer).await }));
    }
    while peer.room.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(cancel(&peers, &peer).await.unwrap_err(), Unanswered::NotSent);
    assert_eq!(counts(&peer), [(Outcome::Crowded, 1)]);
    assert_eq!(word(&peers, &peer).await.unwrap_err(), Unanswered::Unknown, "it went out");
    assert_eq!(counts(&peer), [(Outcome::Crowded, 1), (Outcome::Unanswered, 1)]);
    assert!(calls.iter().all(|call| !call.is_finished()));
    drop(silent);
    for call in calls {
        // Reset: it may have arrived, or not, by how far it had come.
        assert!(call.await.unwrap().is_err());
    }
    assert_eq!(peer.room.available_permits(), CALLS_MAX);
}
