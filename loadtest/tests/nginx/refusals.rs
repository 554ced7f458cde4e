//! What nginx refuses by itself: as a gateway would, word for word.

use std::io::{Read, Write};
use std::net::TcpStream;

use seckill_loadtest::client::{Connection, Request, Response};
use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::nginx::Nginx;
use seckill_loadtest::patience::GENEROUS;
use serde_json::Value;

use crate::fake::Fake;

/// The same bytes to nginx and to a gateway.
fn both(nginx: &Nginx, gateway: &Gateway, bytes: &[u8]) -> [Response; 2] {
    let mut direct = Connection::open(gateway.address()).unwrap();
    direct.send(bytes).unwrap();
    [nginx.answer_to(bytes), direct.receive(true).unwrap()]
}

#[test]
fn what_no_gateway_takes_is_refused_as_they_refuse_it() {
    let fake = Fake::start("HTTP/1.1 204 No Content\r\n\r\n");
    let Some(nginx) = Nginx::start(&[fake.address], &[]) else { return };
    let gateway = Gateway::start(Start::cores(1));
    let path = "/api/v1/users";
    let large = Request::new("POST", path).body("application/json", " ".repeat((64 << 10) + 1));
    let long_field = Request::new("GET", path).header("cookie", "a".repeat(20_000));
    let long_line = Request::new("GET", &format!("{path}?q={}", "a".repeat(20_000)));
    let head = "host: seckill.test\r\ncontent-type: application/json\r\n";
    let twice = "content-length: 4\r\ntransfer-encoding: chunked\r\n";
    let smuggled =
        format!("POST {path} HTTP/1.1\r\n{head}{twice}\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    for (bytes, status, slug) in [
        (large.bytes(), 413, "too-large"),
        (long_field.bytes(), 431, "head-too-large"),
        (long_line.bytes(), 431, "head-too-large"),
        (smuggled.into_bytes(), 400, "invalid-request"),
        (b"GET /api/v1/users\tHTTP/1.1\r\n\r\n".to_vec(), 400, "invalid-request"),
        (b"GET /api/v1/users HTTP/1.1\r\n\r\n".to_vec(), 400, "invalid-request"),
    ] {
        let [refused, direct] = both(&nginx, &gateway, &bytes);
        let shown = bytes[..bytes.len().min(60)].escape_ascii().to_string();
        refused.problem(status, slug);
        assert_eq!(refused.header("connection"), Some("close"), "{shown}");
        // A gateway does not mind a request without a host; nginx, which has to choose by it, does.
        if direct.status == status {
            let (mut told, mut expected) = (refused.json(), direct.json());
            for it in [&mut told, &mut expected] {
                it.as_object_mut().unwrap().remove("detail");
            }
            assert_eq!(told, expected, "{shown}");
        }
    }
    assert_eq!(fake.unseen(), 0, "some of it reached the gateway");
}

#[test]
fn who_asks_too_often_is_told_so_as_people_and_as_programs_are() {
    let fake = Fake::start("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx");
    let edits = [("rate=500r/s", "rate=1r/m"), ("burst=2000", "burst=2")];
    let Some(nginx) = Nginx::start(&[fake.address], &edits) else { return };
    let ask = |path: &str| nginx.answer(&Request::new("GET", path).header("accept", "text/html"));
    for _ in 0..3 {
        drop(ask("/api/v1/products").expect(200));
    }
    let refused = ask("/api/v1/products");
    let problem: Value = refused.problem(429, "rate-limited");
    assert_eq!(problem["title"], "Too many requests");
    let after_s: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((10..=16).contains(&after_s), "{after_s}");
    let busy = ask("/").expect(429);
    assert!(busy.header("content-type").unwrap().starts_with("text/html"));
    assert!(busy.header("retry-after").is_some() && busy.text().contains("Too many requests"));
    // Others are not in their way, and a header does not make another of them.
    let mut other = nginx.from([127, 0, 0, 2].into());
    other.send(&Request::new("GET", "/api/v1/products").bytes()).unwrap();
    drop(other.receive(true).unwrap().expect(200));
    let forged = Request::new("GET", "/api/v1/products").header("x-forwarded-for", "127.0.0.3");
    nginx.answer(&forged).problem(429, "rate-limited");
}

/// The answer to a body that is too large was itself refused for that body, ten times over, and came
/// as a page of nginx's about an error of its own.
#[test]
fn a_body_too_large_is_told_so_over_http_2_as_well() {
    let fake = Fake::start("HTTP/1.1 204 No Content\r\n\r\n");
    let edits = [("backlog=4096;", "backlog=4096 http2;")];
    let Some(nginx) = Nginx::start(&[fake.address], &edits) else { return };
    let field = |prefix: &[u8], value: &str| {
        [prefix, &[u8::try_from(value.len()).unwrap()], value.as_bytes()].concat()
    };
    // POST, http, then path, authority and content-length by their numbers in the static table.
    let head = [
        vec![0x83, 0x86],
        field(&[0x04], "/api/v1/users"),
        field(&[0x01], "seckill.test"),
        field(&[0x0f, 0x0d], "70000"),
    ];
    let head = head.concat();
    let (settings, headers, end_headers) = (4, 1, 4);
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let mut connection = TcpStream::connect(nginx.address()).unwrap();
    connection.set_read_timeout(Some(GENEROUS)).unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let frames = [preface, frame(settings, 0, 0, &[]), frame(headers, end_headers, 1, &head)];
    connection.write_all(&frames.concat()).unwrap();
    let mut told = String::new();
    while !told.contains("\"status\":") {
        let mut buffer = [0; 4_096];
        let length = connection.read(&mut buffer).unwrap();
        assert_ne!(length, 0, "{told}");
        told.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    assert!(told.contains("urn:seckill:too-large"), "{told}");
}
