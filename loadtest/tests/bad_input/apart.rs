//! Calls unlike the others: the provider's, who signs instead of signing in and may say more than is
//! known; and the document, which is served as pages are.

use seckill_loadtest::client::{Client, Request};
use seckill_loadtest::provider::{delivery, failed, forged, succeeded, unsent};
use serde_json::json;

use crate::bodies::bad_bodies;
use crate::world::{World, answer_or_end, refused};

#[test]
fn a_delivery_is_signed_for_the_very_body() {
    let mut world = World::new();
    let payment = world.payment.clone();
    world.unchanged("a delivery of a stranger", |world| {
        let mut stranger = Client::new(world.gateway.address());
        let good = succeeded(&payment, 1_000);
        for request in [
            Request::new("POST", "/api/v1/webhooks/payments").body("application/json", &good),
            forged(succeeded(&payment, 1), &good, 0),
            forged("", &good, 0),
            delivery(&good, 1_000_000),
            delivery(&good, -1_000_000),
            unsent(&good, 0),
            unsent(&good, 0).token(world.shop.admin.token.as_deref().unwrap()),
        ] {
            refused(&mut stranger, "a forged delivery", request, &[401]);
        }
        for (header, value) in [
            ("webhook-timestamp", "now"),
            ("webhook-timestamp", "99999999999999999999"),
            ("webhook-timestamp", "-1"),
            ("webhook-id", ""),
            ("webhook-signature", ""),
            ("webhook-signature", "v1,"),
            ("webhook-signature", "v2,AAAA"),
            ("webhook-signature", "v1,\u{ff}"),
        ] {
            // Of two headers of a name, the first counts.
            let request = Request::new("POST", "/api/v1/webhooks/payments").header(header, value);
            let request = ["webhook-id", "webhook-timestamp", "webhook-signature"]
                .into_iter()
                .filter(|name| *name != header)
                .fold(request, |request, name| request.header(name, "1"));
            let request = request.body("application/json", &good);
            refused(&mut stranger, &format!("{header}: {value}"), request, &[401]);
        }
        for (name, body) in bad_bodies() {
            let request = forged("{}", body, 0);
            refused(&mut stranger, &format!("unsigned, {name}"), request, &[401]);
        }
    });
}

#[test]
fn a_signed_delivery_is_a_word_about_a_payment() {
    let mut world = World::new();
    let payment = world.payment.clone();
    world.unchanged("a bad delivery", |world| {
        let mut provider = Client::new(world.gateway.address());
        for (name, body) in bad_bodies() {
            refused(&mut provider, name, delivery(body, 0), &[400, 422]);
        }
        let of = |data: serde_json::Value| json!({ "type": "payment.succeeded", "data": data });
        let money = |amount: serde_json::Value, currency: &str| {
            let amount = json!({ "amount": amount, "currency": currency });
            of(json!({ "payment_id": payment, "amount": amount }))
        };
        for body in [
            json!({ "type": "payment.failed" }),
            json!({ "data": { "payment_id": payment } }),
            json!({ "type": 1, "data": { "payment_id": payment } }),
            json!({ "type": "payment.failed", "data": [payment] }),
            json!({ "type": "payment.failed", "data": { "payment_id": 7 } }),
            json!({ "type": "payment.failed", "data": { "payment_id": "-1" } }),
            json!({ "type": "payment.failed", "data": { "payment_id": "01" } }),
            json!({ "type": "payment.failed", "data": { "payment_id": "18446744073709551616" } }),
            of(json!({ "payment_id": payment })),
            of(json!({ "payment_id": payment, "amount": 5 })),
            money(json!("1000"), "USD"),
            money(json!(1.5), "USD"),
            money(json!(u64::MAX), "USD"),
            money(json!(1_000), "US"),
            money(json!(1_000), "dollars"),
        ] {
            let what = body.to_string();
            refused(&mut provider, &what, delivery(&what, 0), &[422]);
        }
        for media_type in ["text/plain", "application/x-www-form-urlencoded", ""] {
            let body = failed(&payment);
            refused(&mut provider, media_type, unsent(&body, 0).body(media_type, &body), &[415]);
        }
        let large = format!("{}{}", failed(&payment), " ".repeat(64 << 10));
        refused(&mut provider, "a large one", delivery(large, 0), &[413]);
        let unknown = [failed("999999"), succeeded("999999", 1)];
        for body in unknown {
            refused(&mut provider, "of no payment", delivery(body, 0), &[404]);
        }
    });
}

#[test]
fn the_document_is_read_and_nothing_else() {
    let mut world = World::new();
    world.unchanged("the document", |world| {
        let mut visitor = Client::new(world.gateway.address());
        let path = "/api/v1/openapi.json";
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            refused(&mut visitor, method, Request::new(method, path), &[405]);
        }
        for (name, body) in bad_bodies() {
            let request = Request::new("GET", path).body("application/json", body);
            let answer = answer_or_end(name, visitor.try_send(request));
            assert!(answer.is_none_or(|answer| [200, 400].contains(&answer.status)), "{name}");
        }
        for header in ["accept", "accept-encoding", "if-none-match", "authorization", "cookie"] {
            for value in ["", "\u{ff}", ";;;", "nonsense", &"x".repeat(5_000)] {
                let request = Request::new("GET", path).header(header, value);
                drop(visitor.send(request).expect(200));
            }
        }
        drop(visitor.get(&format!("{path}?limit=-1")).expect(200));
        refused(&mut visitor, "below it", Request::new("GET", &format!("{path}/1")), &[404]);
    });
}
