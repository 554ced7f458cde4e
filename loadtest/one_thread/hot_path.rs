//! The hot path reads bytes by itself, before hyper does. Whatever it answers must be what hyper and
//! the handlers would have said; the rest it must leave alone.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::gateway::Gateway;
use crate::gateway::raw::Answer;

/// Requests that both are sent.
const CASES: u32 = 10_000;
const METHODS: [&str; 6] = ["POST", "POST", "GET", "GET", "HEAD", "DELETE"];
const PATHS: [&str; 14] = [
    "/api/v1/activities/1/orders",
    "/api/v1/activities/1/orders",
    "/api/v1/activities/1/orders",
    "/api/v1/activities/1/state",
    "/api/v1/activities/1/state",
    "/sign-in",
    "/api/v1/activities/2/orders",
    "/api/v1/activities/2/state",
    "/api/v1/activities/01/state",
    "/api/v1/activities/1/orders?a=1",
    "/404",
    "/sign-in?next=/",
    "http://seckill.test/sign-in",
    "/api/v1/activities",
];
const BODIES: [&str; 8] =
    ["", "", "{}", r#"{"quantity":1}"#, r#"{"quantity":1}"#, r#"{"quantity": 2}"#, "{", "null"];
/// Names with values that somebody looks at; a name may come twice.
const HEADERS: [(&str, &[&str]); 15] = [
    ("host", &["seckill.test", "other.test", ""]),
    ("authorization", &["Bearer Shopper 1", "Bearer Shopper 2", "Bearer x", "bearer Shopper 1"]),
    ("authorization", &["Bearer Shopper 3", "Bearer Shopper 4", "Bearer Shopper 5"]),
    ("cookie", &["session=x", "a=b", "session=x; session=y"]),
    ("origin", &["http://seckill.test", "http://other.test", "null"]),
    ("sec-fetch-site", &["same-origin", "cross-site", "none"]),
    ("content-type", &["application/json", "application/json", "text/plain", ""]),
    ("accept", &["*/*", "application/json", "text/html", "application/*;q=0"]),
    ("accept-encoding", &["br", "gzip", "identity;q=0", "br;q=0, gzip;q=0.5", "*"]),
    ("idempotency-key", &["a", "b", "", "a b", "\"a\""]),
    ("if-none-match", &["*", "\"x\"", "W/\"x\""]),
    ("x-request-id", &["mine", "", "a b", "\u{e9}"]),
    ("connection", &["keep-alive", "Keep-Alive", "keep-alive, x"]),
    ("expect", &["x"]),
    ("x-other", &["1", ""]),
];

/// A request in nearly its plain form, and what is done to it: a byte that is replaced, or none.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let header = select(HEADERS.as_slice())
        .prop_flat_map(|(name, values)| (Just(name), select(values), any::<bool>()));
    let spoil = prop_oneof![
        6 => Just(None),
        1 => (any::<Index>(), select(b" \r\n:\0\xff,0aZ".as_slice())).prop_map(Some),
    ];
    let length = prop_oneof![8 => Just(0_isize), 1 => Just(1), 1 => Just(-1)];
    (select(METHODS.as_slice()), select(PATHS.as_slice()), vec(header, 0..7), length, spoil)
        .prop_flat_map(|(method, path, headers, length, spoil)| {
            select(BODIES.as_slice()).prop_map(move |body| {
                let mut bytes = format!("{method} {path} HTTP/1.1\r\n");
                for (name, value, is_loud) in &headers {
                    let name = if *is_loud { name.to_uppercase() } else { (*name).to_owned() };
                    bytes.push_str(&format!("{name}: {value}\r\n"));
                }
                if !body.is_empty() || length != 0 {
                    let length = body.len().saturating_add_signed(length);
                    bytes.push_str(&format!("content-length: {length}\r\n"));
                }
                let mut bytes = format!("{bytes}\r\n{body}").into_bytes();
                if let Some((at, byte)) = &spoil {
                    let at = at.index(bytes.len());
                    bytes[at] = *byte;
                }
                bytes
            })
        })
}

#[test]
fn the_hot_path_answers_as_hyper_and_the_handlers_do() {
    let [hot, plain] = [Gateway::start(), Gateway::start()];
    let seen = RefCell::new(BTreeMap::<u16, u32>::new());
    // A smaller case would meet another state of the sale.
    let config =
        Config { max_shrink_iters: 0, failure_persistence: None, ..Config::with_cases(CASES) };
    let chance = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let alike = TestRunner::new_with_rng(config, chance).run(&requests(), |bytes| {
        let bytes = hot.with_tokens(&bytes);
        if let Some(told) = hot.hot(&bytes) {
            *seen.borrow_mut().entry(told.status).or_default() += 1;
            let expected = plain.by_hyper(&bytes).map(Answer::timeless);
            prop_assert_eq!(Some(told.timeless()), expected, "{}", String::from_utf8_lossy(&bytes));
        }
        Ok(())
    });
    alike.unwrap();
    // Orders, a sale's state and pages; limits reached; what is not there or has not changed.
    let seen = seen.into_inner();
    assert!([200, 202, 304, 404, 409].iter().all(|status| seen.contains_key(status)), "{seen:?}");
}
