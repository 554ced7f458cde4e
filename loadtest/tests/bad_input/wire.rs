//! Bytes that are no HTTP, or not whole.

use std::time::Duration;

use seckill_loadtest::client::{Connection, Request};
use seckill_loadtest::patience::{now, sleep_until};
use seckill_loadtest::shop;
use serde_json::json;

use crate::world::{World, answer_or_end, assert_problem};

/// Time for a packet to arrive alone; nothing goes wrong where it does not.
const PACKET_GAP: Duration = Duration::from_millis(3);

/// Requests that are broken before anything in them counts; `{}` is the path that buys and a token.
fn broken(buys: &str, token: &str) -> Vec<(&'static str, Vec<u8>)> {
    let head = format!(
        "POST {buys} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
    );
    let with = |rest: &str| format!("{head}{rest}").into_bytes();
    let body = "{\"quantity\":1}";
    vec![
        ("noise", vec![0, 1, 2, 3, 0xff, 0xfe, b'\r', b'\n', b'\r', b'\n']),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec()),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("no version", b"GET /\r\n\r\n".to_vec()),
        ("another version", b"GET / HTTP/9.9\r\nhost: x\r\n\r\n".to_vec()),
        ("no path", b"GET HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()),
        ("a space in the path", b"GET /a b HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()),
        ("a NUL in the path", b"GET /a\0b HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()),
        ("a header without a colon", with("nonsense\r\n\r\n")),
        ("a space before the colon", with("content-length : 14\r\n\r\n")),
        ("a NUL in a header", with("x-a: a\0b\r\n\r\n")),
        ("a bare carriage return in a header", with("x-a: a\rb\r\n\r\n")),
        ("a negative length", with(&format!("content-length: -1\r\n\r\n{body}"))),
        ("a length that is no number", with(&format!("content-length: abc\r\n\r\n{body}"))),
        ("a signed length", with(&format!("content-length: +14\r\n\r\n{body}"))),
        ("an endless length", with(&format!("content-length: 99999999999999999999\r\n\r\n{body}"))),
        ("two lengths", with(&format!("content-length: 14\r\ncontent-length: 2\r\n\r\n{body}"))),
        ("a list of lengths", with(&format!("content-length: 14, 2\r\n\r\n{body}"))),
        ("another encoding", with(&format!("transfer-encoding: gzip\r\n\r\n{body}"))),
        (
            "an encoding behind chunks",
            with(&format!("transfer-encoding: chunked, gzip\r\n\r\n{body}")),
        ),
        ("a chunk without a size", with("transfer-encoding: chunked\r\n\r\nzz\r\n")),
        ("a negative chunk", with("transfer-encoding: chunked\r\n\r\n-1\r\n")),
        ("an endless chunk", with("transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n")),
        (
            "a chunk longer than its size",
            with(&format!("transfer-encoding: chunked\r\n\r\n2\r\n{body}\r\n0\r\n\r\n")),
        ),
        ("a chunk that is cut", with("transfer-encoding: chunked\r\n\r\ne\r\n{\"quan")),
        (
            "chunks that do not end",
            with(&format!("transfer-encoding: chunked\r\n\r\ne\r\n{body}\r\n")),
        ),
        ("a body that is cut", with("content-length: 14\r\n\r\n{\"quan")),
        ("a head that is cut", with("content-le")),
    ]
}

#[test]
fn what_is_no_request_changes_nothing() {
    let mut world = World::new();
    let buys = format!("/api/v1/activities/{}/orders", world.live);
    let token = world.ann.token.clone().unwrap();
    for (name, bytes) in broken(&buys, &token) {
        world.unchanged(name, |world| {
            let mut connection = Connection::open(world.gateway.address()).unwrap();
            connection.send(&bytes).unwrap();
            // The rest will never come: what is cut is known to be.
            connection.half_close().unwrap();
            let answer = answer_or_end(name, connection.receive(true));
            let Some(answer) = answer else { return };
            assert_problem(name, &answer, &[400, 404, 405, 408, 413, 414, 415, 422, 431]);
        });
    }
    drop(world.ann.send(shop::buy(&world.live, "after", 1)).expect(202));
}

/// What hyper or the socket's reader cannot read as a request, and how it is answered.
fn unreadable() -> Vec<(&'static str, Vec<u8>, u16)> {
    let with = |line: &str| format!("GET / HTTP/1.1\r\nhost: x\r\n{line}\r\n\r\n").into_bytes();
    let post =
        |lines: &str| format!("POST / HTTP/1.1\r\nhost: x\r\n{lines}\r\n\r\n{{}}").into_bytes();
    let fields: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    vec![
        ("a method of other bytes", b"G\x01T / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(), 400),
        ("another version", b"GET / HTTP/9.9\r\nhost: x\r\n\r\n".to_vec(), 400),
        ("no HTTP at all", b"EHLO shop.test\r\n\r\n".to_vec(), 400),
        ("HTTP/0.9", b"GET /\r\n\r\n".to_vec(), 400),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(), 400),
        ("TLS", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(), 400),
        ("a name with a space", with("x y: 1"), 400),
        ("a name of other bytes", with("x\u{1}: 1"), 400),
        ("a NUL in a value", with("x-a: a\0b"), 400),
        ("a value on two lines", with("x-a: a\r\n b"), 400),
        ("two lengths", post("content-length: 2\r\ncontent-length: 1"), 400),
        ("a length that is none", post("content-length: two"), 400),
        ("an encoding that is none", post("transfer-encoding: gzip"), 400),
        ("too many fields", with(fields.trim_end()), 431),
        ("a long field", with(&format!("x-long: {}", "x".repeat(13_000))), 431),
        ("a longer field", with(&format!("x-long: {}", "x".repeat(200_000))), 431),
        ("a long path", format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000)).into(), 431),
    ]
}

/// It is told why in the form of every problem, and then the connection ends: in one packet or in
/// two, alone or behind requests that are answered.
#[test]
fn what_cannot_be_read_is_told_so_and_the_connection_ends() {
    let world = World::new();
    let good = Request::new("GET", "/").bytes();
    let list = Request::new("GET", "/api/v1/products?limit=1").bytes();
    for (name, bytes, status) in unreadable() {
        for before in [&b""[..], &good, &list] {
            let mut connection = Connection::open(world.gateway.address()).unwrap();
            let (first, rest) = bytes.split_at(bytes.len() / 2);
            connection.send(&[before, first].concat()).unwrap();
            if name.contains("long") || name == "a value on two lines" {
                sleep_until(now() + PACKET_GAP);
            }
            connection.send(rest).unwrap();
            if !before.is_empty() {
                assert_eq!(connection.receive(true).unwrap().status, 200, "{name}");
            }
            let answer = connection.receive(true).unwrap();
            assert_problem(name, &answer, &[status]);
            assert_eq!(answer.header("connection"), Some("close"), "{name}");
            assert_eq!(connection.take_rest().unwrap(), b"", "{name}");
        }
    }
}

/// Both a length and chunks: whoever stands in front may have read the other one.
#[test]
fn a_request_of_two_lengths_does_not_hide_another() {
    let mut world = World::new();
    let order = format!("/api/v1/orders/{}", world.order);
    let token = world.ann.token.clone().unwrap();
    world.unchanged("a hidden request", |world| {
        let hidden =
            format!("DELETE {order} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
        let length = hidden.len() + 5;
        let bytes = format!(
            "POST /api/v1/users HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
        );
        let mut connection = Connection::open(world.gateway.address()).unwrap();
        connection.send(bytes.as_bytes()).unwrap();
        let answer = answer_or_end("two lengths", connection.receive(true));
        if let Some(answer) = answer {
            assert!((400..500).contains(&answer.status), "{answer:?}");
        }
        // RFC 9112, 6.1: the connection is closed behind such a request.
        let second = answer_or_end("the hidden request", connection.receive(true));
        assert!(second.is_none(), "{second:?}");
    });
}

/// Requests in one packet are answered one by one, in their order.
#[test]
fn requests_in_one_packet_are_answered_in_order() {
    let world = World::new();
    let mut connection = Connection::open(world.gateway.address()).unwrap();
    let ids: Vec<String> = (0..50).map(|n| format!("pipelined-{n}")).collect();
    let paths = ["/api/v1/products", "/", "/api/v1/nothing", "/api/v1/activities?limit=0"];
    let requests = ids.iter().enumerate().flat_map(|(n, id)| {
        let request = Request::new("GET", paths[n % paths.len()]);
        request.header("x-request-id", id).bytes()
    });
    connection.send(&requests.collect::<Vec<u8>>()).unwrap();
    for id in &ids {
        let answer = connection.receive(true).unwrap();
        assert_eq!(answer.header("x-request-id"), Some(id.as_str()));
    }
}

/// The same in a packet each, sent while the first is at work: whoever shares a connection with
/// others must never be given their answer.
#[test]
fn requests_in_a_packet_each_are_answered_in_order() {
    let mut world = World::new();
    let token = world.ann.token.clone().unwrap();
    let mut connection = Connection::open(world.gateway.address()).unwrap();
    // A password takes its time, so that the others arrive in the meantime; a page takes none.
    let sign_in = json!({ "username": "ann", "password": shop::PASSWORD });
    let requests = [
        Request::new("POST", "/api/v1/sessions").json(&sign_in),
        shop::buy(&world.live, "two", 2),
        Request::new("GET", "/"),
    ];
    for round in 0..20 {
        let id = |n: usize| format!("packet-{round}-{n}");
        for (n, request) in requests.iter().enumerate() {
            let request = request.clone().token(&token).header("x-request-id", id(n));
            connection.send(&request.bytes()).unwrap();
            sleep_until(now() + PACKET_GAP);
        }
        for n in 0..requests.len() {
            let answer = connection.receive(true).unwrap();
            assert_eq!(answer.header("x-request-id"), Some(id(n).as_str()));
        }
    }
    assert_eq!(world.shop.remaining(&world.live), 47);
}

/// A request longer than hyper's first read, answered before its body was read: none of it may be
/// taken for the next one.
#[test]
fn what_is_left_of_a_long_request_is_no_part_of_the_next() {
    let world = World::new();
    for length in [8_000, 8_192, 9_000, 12_000, 15_000] {
        let mut connection = Connection::open(world.gateway.address()).unwrap();
        let long = Request::new("POST", "/api/v1/nothing").body("text/plain", vec![b'x'; length]);
        connection.send(&long.bytes()).unwrap();
        assert_eq!(connection.receive(true).unwrap().status, 404, "{length}");
        for path in ["/", "/api/v1/products", "/", "/api/v1/activities?limit=1"] {
            // The gateway may close behind a body that it did not read, but answers nothing else.
            let sent = connection.send(&Request::new("GET", path).bytes());
            let answer = sent.and_then(|()| connection.receive(true));
            match answer_or_end(path, answer) {
                Some(answer) => assert_eq!(answer.status, 200, "{length} {path}"),
                None => break,
            }
        }
    }
}
