//! A shop to be bad at, and the proof that nothing in it has changed.

use std::io;

use seckill_loadtest::client::{Client, Request, Response};
use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::provider;
use seckill_loadtest::shop::{self, Sale, Shop, buy};
use serde_json::{Value, json};

/// A gateway with something of everything.
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) shop: Shop,
    /// A shopper with an order, who may buy more.
    pub(crate) ann: Client,
    pub(crate) ann_id: String,
    pub(crate) product: String,
    pub(crate) draft: String,
    pub(crate) live: String,
    pub(crate) order: String,
    /// A payment of it that has started.
    pub(crate) payment: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let gateway = provider::gateway(Start::cores(2));
        let mut shop = Shop::open(&gateway);
        let product = shop.product(100);
        let draft = shop.draft(&product, Sale::of(10));
        let live = shop.draft(&product, Sale { limit: 100, ..Sale::of(50) });
        shop.step(&live, "publish");
        let mut ann = shop::register(&gateway, "ann");
        let ann_id = shop::id_of(&ann.get("/api/v1/users/me").expect(200).json());
        let order = shop::id_of(&ann.send(buy(&live, "first", 1)).expect(202).json());
        let path = format!("/api/v1/orders/{order}/payments");
        let started = ann.post(&path, &json!({ "method": "sandbox" })).expect(201).json();
        let payment = started["payment_id"].as_str().unwrap().to_owned();
        let of_sale = format!("/api/v1/admin/orders?activity_id={live}&");
        until("the store has the order and its payment", GENEROUS, || {
            let orders = shop::items(&mut shop.admin, &of_sale);
            (orders.first()?["payments"][0]["payment_id"] == payment).then_some(())
        });
        Self { gateway, shop, ann, ann_id, product, draft, live, order, payment }
    }

    /// Everything that can be seen by shopper and administrator, except the time.
    #[track_caller]
    pub(crate) fn snapshot(&mut self) -> Value {
        let mut state = self.shop.state(&self.live);
        state["server_time"] = Value::Null;
        let admin = &mut self.shop.admin;
        json!([
            state,
            shop::items(admin, "/api/v1/products?"),
            shop::items(admin, "/api/v1/activities?"),
            shop::items(admin, "/api/v1/admin/users?"),
            shop::items(admin, &format!("/api/v1/admin/orders?activity_id={}&", self.live)),
            shop::items(&mut self.ann, "/api/v1/orders?"),
            self.ann.get("/api/v1/users/me").expect(200).json(),
        ])
    }

    /// Does something that must change nothing.
    #[track_caller]
    pub(crate) fn unchanged(&mut self, what: &str, act: impl FnOnce(&mut Self)) {
        let before = self.snapshot();
        act(self);
        assert_eq!(self.snapshot(), before, "{what} changed something");
    }
}

/// Statuses of the problems that the contract names.
const SLUGS: [(&str, &[u16]); 20] = [
    ("invalid-request", &[422, 400]),
    ("unauthenticated", &[401]),
    ("forbidden", &[403]),
    ("cross-origin", &[403]),
    ("not-found", &[404]),
    ("not-started", &[409]),
    ("ended", &[409]),
    ("paused", &[409]),
    ("sold-out", &[409]),
    ("insufficient-stock", &[409]),
    ("limit-reached", &[409]),
    ("admission-required", &[403]),
    ("order-state", &[409]),
    ("conflict", &[409]),
    ("precondition-required", &[428]),
    ("idempotency-mismatch", &[422]),
    ("rate-limited", &[429]),
    ("overloaded", &[503]),
    ("unavailable", &[503]),
    ("outcome-unknown", &[504]),
];
/// Statuses that the contract leaves to HTTP; it names no slugs for them.
const OF_HTTP: [u16; 7] = [405, 406, 408, 413, 414, 415, 431];

/// Asserts that an answer is a problem of the contract with one of these statuses.
#[track_caller]
pub(crate) fn assert_problem(what: &str, response: &Response, statuses: &[u16]) {
    let status = response.status;
    let shown = format!("{what}: {status} {:?} {}", response.headers, response.text());
    assert!(statuses.contains(&status), "not {statuses:?}: {shown}");
    let slug = response.json()["type"].as_str().map(str::to_owned).expect(&shown);
    let slug = slug.strip_prefix("urn:seckill:").expect(&shown);
    response.problem(status, slug);
    let known = SLUGS.iter().any(|(name, of)| *name == slug && of.contains(&status));
    assert!(known || OF_HTTP.contains(&status), "the contract has no such problem: {shown}");
    for inside in ["sqlite", "SELECT", "panicked", "src/", "/home", "/tmp", "rusqlite", "serde"] {
        assert!(!response.text().contains(inside), "something internal: {shown}");
    }
}

/// Sends a request and asserts that a problem comes back; a body that is too large may also be
/// met by a connection that closes while it is sent.
#[track_caller]
pub(crate) fn refused(client: &mut Client, what: &str, request: Request, statuses: &[u16]) {
    match client.try_send(request) {
        Ok(response) => assert_problem(what, &response, statuses),
        Err(error) => assert!(
            statuses.contains(&413) && seckill_loadtest::client::is_end(&error),
            "{what}: {error}"
        ),
    }
}

/// An answer where one comes, none where the connection is closed; anything else fails.
#[track_caller]
pub(crate) fn answer_or_end(what: &str, answer: io::Result<Response>) -> Option<Response> {
    match answer {
        Ok(response) => Some(response),
        Err(error) if seckill_loadtest::client::is_end(&error) => None,
        Err(error) => panic!("{what}: {error}"),
    }
}
