//! Bodies that are no JSON, no object, too large, or of another type.

use seckill_loadtest::client::{Connection, Request};

use crate::calls::calls;
use crate::world::{World, answer_or_end, assert_problem, refused};

/// Brackets inside brackets: deep for a stack, and still a body that is read.
const DEPTH: usize = 12_000;

/// Bodies of no call, with a name.
pub(crate) fn bad_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    let deep = |open: &str| open.repeat(DEPTH).into_bytes();
    vec![
        ("a cut object", text("{")),
        ("a cut text", text("{\"quantity")),
        ("no JSON", text("quantity=1")),
        ("single quotes", text("{'quantity':1}")),
        ("a comment", text("{/* */}")),
        ("a trailing comma", text("{\"quantity\":1,}")),
        ("two bodies", text("{}{}")),
        ("a word", text("nul")),
        ("null", text("null")),
        ("a list", text("[]")),
        ("a list of objects", text("[{\"quantity\":1}]")),
        ("a text", text("\"{}\"")),
        ("a number", text("1")),
        ("NaN", text("{\"quantity\":NaN}")),
        ("infinity", text("{\"quantity\":-Infinity}")),
        ("a hexadecimal", text("{\"quantity\":0x1}")),
        ("a leading zero", text("{\"quantity\":01}")),
        ("deep lists", deep("[")),
        ("deep objects", deep("{\"\":")),
        ("a deep field", [text("{\"quantity\":"), deep("["), deep("]"), text("}")].concat()),
        ("no UTF-8", vec![0xff, 0xfe, 0xfd]),
        ("a text that is no UTF-8", b"{\"quantity\":\"\xc3\x28\"}".to_vec()),
        ("a name that is no UTF-8", b"{\"\xf0\x28\x8c\x28\":1}".to_vec()),
        ("UTF-16", "{\"quantity\":1}".bytes().flat_map(|byte| [byte, 0]).collect()),
        ("a byte order mark", text("\u{feff}{\"quantity\":1}")),
        ("NULs", vec![0; 100]),
        ("spaces", text("   ")),
    ]
}

#[test]
fn a_body_is_a_json_object() {
    let mut world = World::new();
    for call in calls(&world) {
        if matches!(call.method, "GET" | "DELETE") {
            continue;
        }
        world.unchanged(&call.name(), |world| {
            for (name, body) in bad_bodies() {
                let what = format!("{} with {name}", call.name());
                let request = call.request().body("application/json", body);
                refused(call.client(world), &what, request, &[400, 422]);
            }
            if !call.takes_no_body() {
                let what = format!("{} without a body", call.name());
                let nothing = call.request().body("application/json", "");
                refused(call.client(world), &what, nothing, &[400, 422]);
                refused(call.client(world), &what, call.request(), &[400, 415, 422]);
            }
        });
    }
}

#[test]
fn a_body_is_of_one_media_type() {
    let mut world = World::new();
    for call in calls(&world) {
        let Some(body) = call.body.clone() else { continue };
        world.unchanged(&call.name(), |world| {
            for media_type in [
                "",
                "text/plain",
                "text/json",
                "application/x-www-form-urlencoded",
                "multipart/form-data; boundary=x",
                "application/json; charset=latin1",
                "application/jsonx",
                "application/json, text/plain",
                "\u{ff}",
            ] {
                let what = format!("{} as {media_type:?}", call.name());
                let request = call.request().body(media_type, body.to_string());
                refused(call.client(world), &what, request, &[415]);
            }
        });
    }
}

#[test]
fn a_body_is_of_64_kib_at_most() {
    let mut world = World::new();
    for call in calls(&world) {
        world.unchanged(&call.name(), |world| {
            // Nothing is asked of an order that is there: a body is no reason to keep it.
            let path = match call.method {
                "DELETE" => "/api/v1/orders/999999".to_owned(),
                _ => call.path.clone(),
            };
            let body = call.body.clone().unwrap_or_else(|| serde_json::json!({})).to_string();
            for bytes in [64 << 10, 1 << 20] {
                let what = format!("{} and {bytes} bytes more", call.name());
                let large = format!("{body}{}", " ".repeat(bytes));
                let request = call.request_to(&path).body("application/json", large);
                match call.method {
                    "GET" => {
                        // A body means nothing here: it may be refused or passed over.
                        let answer = call.client(world).try_send(request);
                        if let Some(answer) = answer_or_end(&what, answer) {
                            assert!([200, 400, 413].contains(&answer.status), "{what}: {answer:?}");
                        }
                    }
                    "DELETE" => refused(call.client(world), &what, request, &[404, 413]),
                    _ => refused(call.client(world), &what, request, &[413]),
                }
            }
        });
    }
}

/// A length that is announced is believed, one that is not is counted.
#[test]
fn a_large_body_is_refused_however_it_comes() {
    let mut world = World::new();
    let path = format!("/api/v1/activities/{}/orders", world.live);
    let token = world.ann.token.clone().unwrap();
    world.unchanged("a large body", |world| {
        // The largest is more than HTTP libraries count.
        for (length, statuses) in [
            ("65537", &[413][..]),
            ("9223372036854775807", &[413]),
            ("18446744073709551615", &[400, 413, 431]),
        ] {
            let mut connection = Connection::open(world.gateway.address()).unwrap();
            let head = Request::new("POST", &path)
                .token(&token)
                .header("content-type", "application/json")
                .header("content-length", length);
            connection.send(&head.bytes()).unwrap();
            let answer = connection.receive(true).unwrap();
            assert!(statuses.contains(&answer.status), "{length}: {answer:?}");
        }

        let mut connection = Connection::open(world.gateway.address()).unwrap();
        let head = Request::new("POST", &path)
            .token(&token)
            .header("content-type", "application/json")
            .header("transfer-encoding", "chunked");
        connection.send(&head.bytes()).unwrap();
        let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
        // The gateway may close before all of it is sent.
        let sent = (0..256).try_for_each(|_| connection.send(chunk.as_bytes()));
        let answer = answer_or_end("chunks", connection.receive(true));
        assert!(sent.is_err() || answer.is_some());
        if let Some(answer) = answer {
            assert_problem("chunks", &answer, &[413]);
        }
    });
}
