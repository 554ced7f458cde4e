//! What comes to the listener where gateways answer each other: from a gateway, or from somebody who
//! would like to be one.
//!
//! The signature is made here a second time, from its description alone.

use std::net::SocketAddr;

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use seckill_loadtest::client::{Client, Connection, Request, Response};
use seckill_loadtest::order::Status;
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop::Sale;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::fleet::{Fleet, SECRET, await_status, buy};

/// A call as a gateway sends it.
#[derive(Clone, Copy)]
struct Call<'a> {
    secret: &'a str,
    from: u16,
    to: u16,
    age_ms: i64,
    /// User and roles.
    vouched: Option<(u64, u8)>,
    method: &'a str,
    path: &'a str,
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    for part in parts {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

impl Call<'_> {
    fn request(&self) -> Request {
        let sent_at = u64::try_from(Timestamp::now().as_millisecond() - self.age_ms).unwrap();
        let label = b"seckill: calls between gateways, version 1";
        let key = Hmac::<Sha256>::new_from_slice(&Sha256::digest(self.secret)).unwrap();
        let key = key.chain_update(label).finalize().into_bytes();
        let (user, roles) = self.vouched.unwrap_or_default();
        let (user, roles) = (user.to_le_bytes(), [roles]);
        let vouched: &[&[u8]] = if self.vouched.is_some() { &[&user, &roles] } else { &[b""] };
        let head: &[&[u8]] =
            &[b"call", &self.from.to_le_bytes(), &self.to.to_le_bytes(), &sent_at.to_le_bytes()];
        let rest: &[&[u8]] = &[self.method.as_bytes(), self.path.as_bytes(), b""];
        let signature = mac(&key, &[head, vouched, rest].concat());
        let vouched = self.vouched.map(|(user, roles)| format!("{user}.{roles}"));
        Request::new(self.method, self.path)
            .header("seckill-from", self.from.to_string())
            .header("seckill-to", self.to.to_string())
            .header("seckill-sent-at", sent_at.to_string())
            .header("seckill-vouched", vouched.unwrap_or_default())
            .header("seckill-signature", Base64::encode_string(&signature))
    }
}

fn send(address: SocketAddr, request: &Request) -> Response {
    let mut connection = Connection::open(address).unwrap();
    connection.send(&request.bytes()).unwrap();
    connection.receive(true).unwrap()
}

/// Two gateways, and a payable order that the second one has.
struct World {
    fleet: Fleet,
    activity: String,
    ann: Vec<Client>,
    token: String,
    user: u64,
    /// The order's.
    path: String,
    /// Where its owner answers gateways.
    listener: SocketAddr,
}

const SHOPPER: u8 = 1;

impl World {
    fn new() -> Self {
        let mut fleet = Fleet::start(2);
        let activity = fleet.sale(Sale::of(20));
        let token = fleet.tokens("ann", 1).remove(0);
        let user = token.split_once('.').unwrap().0.parse().unwrap();
        let mut ann = fleet.clients(&token);
        let bought = || buy(&mut ann[1], &activity, "a").ok();
        let order = until("the shopper is served", GENEROUS, bought).id;
        await_status(&mut ann[1], &order, Status::AwaitingPayment);
        let (path, listener) = (format!("/api/v1/orders/{order}"), fleet.listeners()[1]);
        Self { fleet, activity, ann, token, user, path, listener }
    }

    /// The owner is asked by the other gateway to cancel the order, for its buyer.
    fn cancel(&self) -> Call<'_> {
        Call {
            secret: SECRET,
            from: 0,
            to: 1,
            age_ms: 0,
            vouched: Some((self.user, SHOPPER)),
            method: "DELETE",
            path: &self.path,
        }
    }

    #[track_caller]
    fn expect_unchanged(&mut self) {
        assert_eq!(self.ann[1].get(&self.path).expect(200).json()["status"], "awaiting_payment");
    }
}

#[test]
fn what_no_gateway_has_signed_or_for_another_is_refused() {
    let mut world = World::new();
    let (listener, good) = (world.listener, world.cancel());
    // A shopper's own token opens nothing here.
    for (method, path) in [("DELETE", good.path), ("GET", "/")] {
        let unsigned = Request::new(method, path).token(&world.token);
        send(listener, &unsigned).problem(401, "unauthenticated");
    }
    for (what, call) in [
        ("another secret", Call { secret: "the secret of another fleet altogether", ..good }),
        ("to another gateway", Call { to: 0, from: 1, ..good }),
        ("from itself", Call { from: 1, ..good }),
    ] {
        let refused = send(listener, &call.request());
        assert_eq!(refused.status, 401, "{what}");
        assert_eq!(refused.header("seckill-signature"), None, "{what}");
    }
    for (what, age_ms) in [("old", 11_000), ("of the future", -60_000)] {
        let stale = send(listener, &Call { age_ms, ..good }.request());
        stale.problem(503, "unavailable");
        assert!(
            stale.header("seckill-signature").is_some(),
            "{what}: it knows that nothing happened"
        );
    }
    // Signed for one thing, sent for another.
    let other = Call { path: "/api/v1/orders/1", ..good }.request();
    let altered = String::from_utf8(other.bytes()).unwrap();
    let altered = altered.replace(" /api/v1/orders/1 ", &format!(" {} ", good.path));
    let mut connection = Connection::open(listener).unwrap();
    connection.send(altered.as_bytes()).unwrap();
    connection.receive(true).unwrap().problem(401, "unauthenticated");
    for spoiled in [
        good.request().header("seckill-vouched", "1.7"),
        good.request().key("not-signed"),
        good.request().json(&json!({})),
    ] {
        send(listener, &spoiled).problem(401, "unauthenticated");
    }
    let large = good.request().body("text/plain", vec![b' '; 65_537]);
    send(listener, &large).problem(413, "too-large");
    world.expect_unchanged();
}

#[test]
fn only_what_is_forwarded_is_answered_where_gateways_call() {
    let mut world = World::new();
    let (listener, good) = (world.listener, world.cancel());
    let buying = format!("/api/v1/activities/{}/orders", world.activity);
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/api/v1/users/me"),
        ("GET", "/api/v1/orders"),
        ("POST", buying.as_str()),
        ("DELETE", "/api/v1/sessions"),
        ("GET", "/api/v1/admin/users"),
        ("PATCH", good.path),
    ] {
        let answer = send(listener, &Call { method, path, ..good }.request());
        answer.problem(404, "not-found");
        assert!(answer.header("seckill-signature").is_some());
    }
    // Another gateway's order: it goes no further, and may be there all the same.
    let other = Call { method: "GET", path: "/api/v1/orders/1", ..good };
    send(listener, &other.request()).problem(503, "unavailable");
    // Whose order it is not, and what roles do not allow, it does not become by being forwarded.
    let stranger = Call { vouched: Some((world.user + 1, SHOPPER)), ..good };
    send(listener, &stranger.request()).problem(404, "not-found");
    let nobody = Call { vouched: None, ..good };
    send(listener, &nobody.request()).problem(401, "unauthenticated");
    let path = good.path.replace("/v1/", "/v1/admin/") + "/cancel";
    let operators = Call { method: "POST", path: &path, ..good };
    send(listener, &operators.request()).problem(403, "forbidden");
    // Shoppers' own listener believes no gateway.
    send(world.fleet.gateways[1].address(), &good.request()).problem(401, "unauthenticated");
    // What gateways tell each other is said there alone, and in their words.
    let word = Call { method: "POST", path: "/api/v1/words", vouched: None, ..good }.request();
    send(world.fleet.gateways[1].address(), &word).problem(404, "not-found");
    send(listener, &word).problem(422, "invalid-request");
    // The call as it should be; and once more, as one who listens might send it again.
    let call = good.request();
    world.expect_unchanged();
    for _ in 0..2 {
        assert_eq!(send(listener, &call).status, 204);
    }
    let order = world.path.rsplit_once('/').unwrap().1.to_owned();
    await_status(&mut world.ann[1], &order, Status::Cancelled);
}
