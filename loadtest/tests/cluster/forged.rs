//! What comes to the listener where gateways answer each other: from a gateway, or from somebody who
//! would like to be one.
//!
//! The signature is made here a second time, from its description alone.

use std::net::SocketAddr;

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use seckill_loadtest::client::{Connection, Request, Response};
use seckill_loadtest::order::Status;
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop::Sale;
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

#[test]
fn only_gateways_are_answered_where_gateways_call() {
    let mut fleet = Fleet::start(2);
    let activity = fleet.sale(Sale::of(20));
    let token = fleet.tokens("ann", 1).remove(0);
    let user: u64 = token.split_once('.').unwrap().0.parse().unwrap();
    let mut ann = fleet.clients(&token);
    let order = until("the shopper is served", GENEROUS, || buy(&mut ann[1], &activity, "a").ok());
    await_status(&mut ann[1], &order.id, Status::AwaitingPayment);
    let (listener, path) = (fleet.listeners()[1], format!("/api/v1/orders/{}", order.id));
    let shopper = 1;
    let good = Call {
        secret: SECRET,
        from: 0,
        to: 1,
        age_ms: 0,
        vouched: Some((user, shopper)),
        method: "DELETE",
        path: &path,
    };
    // A shopper's own token opens nothing here.
    let unsigned = Request::new("DELETE", &path).token(&token);
    send(listener, &unsigned).problem(401, "unauthenticated");
    send(listener, &Request::new("GET", "/").token(&token)).problem(401, "unauthenticated");
    for (what, call) in [
        ("another secret", Call { secret: "the secret of another fleet altogether", ..good }),
        ("to another gateway", Call { to: 0, from: 1, ..good }),
        ("from itself", Call { from: 1, ..good }),
        ("old", Call { age_ms: 11_000, ..good }),
        ("of the future", Call { age_ms: -11_000, ..good }),
    ] {
        let refused = send(listener, &call.request());
        assert_eq!(refused.status, 401, "{what}");
        assert_eq!(refused.header("seckill-signature"), None, "{what}");
    }
    // Signed for one thing, sent for another.
    let other = Call { path: "/api/v1/orders/1", ..good }.request();
    let altered =
        String::from_utf8(other.bytes()).unwrap().replace("/api/v1/orders/1 ", &format!("{path} "));
    let mut connection = Connection::open(listener).unwrap();
    connection.send(altered.as_bytes()).unwrap();
    connection.receive(true).unwrap().problem(401, "unauthenticated");
    for spoiled in [
        good.request().header("seckill-vouched", "1.7"),
        good.request().header("idempotency-key", "not-signed"),
        good.request().json(&serde_json::json!({})),
    ] {
        send(listener, &spoiled).problem(401, "unauthenticated");
    }
    send(listener, &good.request().body("text/plain", vec![b' '; 65_537]))
        .problem(413, "too-large");
    // Signed well, and none of the calls that are forwarded; the last is another gateway's.
    let foreign = format!("/api/v1/orders/{}", 1);
    let buying = format!("/api/v1/activities/{activity}/orders");
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/api/v1/users/me"),
        ("GET", "/api/v1/orders"),
        ("POST", buying.as_str()),
        ("DELETE", "/api/v1/sessions"),
        ("GET", "/api/v1/admin/users"),
        ("PATCH", path.as_str()),
        ("GET", foreign.as_str()),
    ] {
        let answer = send(listener, &Call { method, path, ..good }.request());
        answer.problem(404, "not-found");
        assert!(answer.header("seckill-signature").is_some());
    }
    // Whose order it is not, and what their roles do not allow, it does not become by being forwarded.
    send(listener, &Call { vouched: Some((user + 1, shopper)), ..good }.request())
        .problem(404, "not-found");
    send(listener, &Call { vouched: None, ..good }.request()).problem(401, "unauthenticated");
    let refund = format!("/api/v1/admin/orders/{}/cancel", order.id);
    send(listener, &Call { method: "POST", path: &refund, ..good }.request())
        .problem(403, "forbidden");
    let shown = ann[1].get(&path).expect(200).json();
    assert_eq!(shown["status"], "awaiting_payment", "nothing of this has changed anything");
    // The same call, as it should be; and once more, as one who listens might send it again.
    let call = good.request();
    for _ in 0..2 {
        assert_eq!(send(listener, &call).status, 204);
    }
    await_status(&mut ann[1], &order.id, Status::Cancelled);
    assert_eq!(send(fleet.gateways[1].address(), &good.request()).status, 401);
}
