//! Clients that are slow, silent, or half gone: others are served, and the stalled are let go.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use seckill_loadtest::client::{Client, Connection, Request, is_end};
use seckill_loadtest::patience::{GENEROUS, now, sleep_until, until};
use seckill_loadtest::shop::{self, buy};
use serde_json::json;

use crate::world::{World, assert_problem};

/// Silent connections at once.
const SILENT: usize = 300;
/// How often a slow client sends a byte.
const DRIP: Duration = Duration::from_millis(200);
/// What a client that does not read is sent at most, before the gateway stops to answer it.
const UNREAD_BYTES_MAX: usize = 64 << 20;

/// Sends a byte now and then until the connection is closed; what was answered.
fn drip(address: SocketAddr, bytes: &[u8]) -> Option<seckill_loadtest::client::Response> {
    let mut connection = Connection::open(address).unwrap();
    let deadline = now() + GENEROUS;
    for byte in bytes.iter().chain(std::iter::repeat(&b'x')) {
        assert!(now() < deadline, "a request that never ends is let go");
        if connection.has_something() || connection.send(&[*byte]).is_err() {
            break;
        }
        sleep_until(now() + DRIP);
    }
    connection.receive(true).ok()
}

/// Sends what it has, then nothing; what was answered.
fn stall(address: SocketAddr, bytes: &[u8]) -> Option<seckill_loadtest::client::Response> {
    let mut connection = Connection::open(address).unwrap();
    connection.send(bytes).unwrap();
    match connection.receive(true) {
        Ok(response) => Some(response),
        Err(error) if is_end(&error) => None,
        Err(error) => panic!("a request that stalls is let go: {error}"),
    }
}

/// Asks and never reads; the gateway stops to read when it cannot write.
fn never_read(address: SocketAddr) {
    let connection = Connection::open(address).unwrap();
    let mut writer = connection.writer().unwrap();
    connection.patience(Duration::from_secs(2)).unwrap();
    let requests = Request::new("GET", "/").bytes().repeat(100);
    let mut sent = 0;
    loop {
        match writer.write(&requests) {
            Ok(length) => sent += length,
            Err(error) => {
                let is_full = [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind());
                assert!(is_full || is_end(&error), "{error}");
                return;
            }
        }
        assert!(sent < UNREAD_BYTES_MAX, "answers that nobody reads are bounded");
    }
}

#[test]
fn others_are_served_and_the_stalled_are_let_go() {
    let mut world = World::new();
    let address = world.gateway.address();
    let token = world.ann.token.clone().unwrap();
    let path = format!("/api/v1/activities/{}/orders", world.live);
    let post = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{{\"quan"
    );
    let silent: Vec<Connection> = (0..SILENT).map(|_| Connection::open(address).unwrap()).collect();
    let is_over = AtomicBool::new(false);
    let [mut shopper] = shop::shoppers::<1>(&world.gateway, "other");
    let held = shop::id_of(&shopper.send(buy(&world.live, "held", 1)).expect(202).json());
    until("the store has the order", GENEROUS, || {
        (world.gateway.audit(&world.live)["held"] == 2).then_some(())
    });
    world.unchanged("slow clients", |world| {
        let live = world.live.clone();
        thread::scope(|scope| {
            let over = Over(&is_over);
            let served = scope.spawn(|| serve_others(shopper, &live, &held, &is_over));
            let slow = [
                scope.spawn(|| drip(address, b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ")),
                scope.spawn(|| drip(address, post.as_bytes().split_at(post.len() - 6).0)),
                scope.spawn(|| stall(address, post.as_bytes())),
                scope.spawn(|| stall(address, b"GET / HTT")),
            ];
            let unread = scope.spawn(|| never_read(address));
            for client in slow {
                if let Some(answer) = client.join().unwrap() {
                    assert_problem("a slow client", &answer, &[408]);
                }
            }
            unread.join().unwrap();
            drop(over);
            assert!(served.join().unwrap() > 0);
        });
    });
    assert!(silent.iter().all(|silent| !silent.is_closed()), "silence alone is no crime yet");
}

/// Says so when it is dropped, in a test that fails as well.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        // A flag only: nothing else is read of whoever sets it.
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks for the same order until it is over; how often.
fn serve_others(mut shopper: Client, live: &str, held: &str, is_over: &AtomicBool) -> usize {
    let mut served = 0;
    while !is_over.load(Ordering::Relaxed) {
        let order = shopper.send(buy(live, "held", 1)).expect(202).json();
        assert_eq!(shop::id_of(&order), held);
        drop(shopper.get(&format!("/api/v1/orders/{held}")).expect(200));
        drop(shopper.get("/").expect(200));
        served += 1;
    }
    served
}

/// Whoever has said all there is to say still listens, whichever path answers.
#[test]
fn a_half_closed_connection_is_answered() {
    let mut world = World::new();
    let token = world.ann.token.clone().unwrap();
    let before = world.shop.remaining(&world.live);
    let credentials = json!({ "username": "ann", "password": shop::PASSWORD });
    let name = json!({ "display_name": "Ann" });
    let requests = [
        (buy(&world.live, "half", 1), 202),
        (buy(&world.live, "half", 1).header("expect", "100-continue"), 202),
        (Request::new("GET", "/"), 200),
        (Request::new("GET", "/api/v1/products"), 200),
        (Request::new("GET", "/api/v1/orders").header("connection", "close"), 200),
        // Such take their time, away from the core.
        (Request::new("POST", "/api/v1/sessions").json(&credentials), 201),
        (Request::new("PATCH", "/api/v1/users/me").json(&name), 200),
        (Request::new("POST", "/api/v1/nothing").json(&name), 404),
    ];
    for (request, status) in requests {
        let mut connection = Connection::open(world.gateway.address()).unwrap();
        connection.send(&request.token(&token).bytes()).unwrap();
        connection.half_close().unwrap();
        drop(connection.receive(true).unwrap().expect(status));
        assert_eq!(connection.take_rest().unwrap(), b"", "nothing follows, and it ends");
    }
    assert_eq!(world.shop.remaining(&world.live), before - 1);
}

#[test]
fn clients_that_go_away_leave_nothing_behind() {
    let mut world = World::new();
    let token = world.ann.token.clone().unwrap();
    let address = world.gateway.address();
    for n in 0..50 {
        let request = buy(&world.live, &format!("gone{n}"), 1).token(&token).bytes();
        let mut connection = Connection::open(address).unwrap();
        connection.send(&request[..request.len() - n % 3]).unwrap();
    }
    let live = world.live.clone();
    let orders = shop::orders(&mut world.ann).len() as u64;
    until("all units are accounted for", GENEROUS, || {
        let held = shop::orders(&mut world.ann).len() as u64;
        (world.shop.remaining(&live) + held == 50).then_some(())
    });
    assert!(orders <= 50);
    let refused = world.ann.send(buy(&live, "too-many", 100));
    assert_problem("more than is left", &refused, &[409]);
}
