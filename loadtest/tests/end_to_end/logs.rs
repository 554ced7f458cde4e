//! What a gateway writes down of itself: lines that a program can read, and no secret.

use seckill_loadtest::client::{Client, Request};
use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop::{self, PASSWORD, Sale, Shop, buy};
use serde_json::{Value, json};

const SECRET: &str = "a secret of thirty-two bytes, or more";
const WEBHOOK_SECRET: &str = "YSBrZXkgdGhhdCBzaWducyBmb3IgdGhlIHByb3ZpZGVy";
const TALKATIVE: &[&str] = &[
    "env",
    "SECKILL_LOG=debug",
    "SECKILL_SECRET=a secret of thirty-two bytes, or more",
    "SECKILL_PAYMENT_PROVIDER=sandbox",
    "SECKILL_PAYMENT_WEBHOOK_SECRET=whsec_YSBrZXkgdGhhdCBzaWducyBmb3IgdGhlIHByb3ZpZGVy",
];
const KEY: &str = "a-key-that-tells";
const NEW_PASSWORD: &str = "another horse battery";
const WRONG_PASSWORD: &str = "nobody's horse battery";

/// Says all that is secret to a gateway; what that was.
fn tell_secrets(gateway: &Gateway) -> Vec<String> {
    let mut shop = Shop::open(gateway);
    let activity = shop.sale(Sale::of(5));
    let mut ann = shop::register(gateway, "ann");
    let wrong = json!({ "username": "ann", "password": WRONG_PASSWORD });
    Client::new(gateway.address()).post("/api/v1/sessions", &wrong).problem(401, "unauthenticated");
    let order = shop::id_of(&ann.send(buy(&activity, KEY, 1)).expect(202).json());
    let pay = Request::new("POST", &format!("/api/v1/orders/{order}/payments")).key(KEY);
    let payment = ann.send(pay.json(&json!({ "method": "sandbox" }))).expect(201).json();
    let bank = format!("/api/v1/sandbox/payments/{}", payment["payment_id"].as_str().unwrap());
    let paid = json!({ "deliveries": [{ "type": "payment.succeeded" }] });
    drop(ann.post(&bank, &paid).expect(202));
    until("it is paid by a signed webhook", GENEROUS, || {
        let order = ann.get(&format!("/api/v1/orders/{order}")).expect(200).json();
        (order["status"] == "paid").then_some(())
    });
    let forged = Request::new("POST", "/api/v1/webhooks/payments").json(&paid);
    Client::new(gateway.address()).send(forged).problem(401, "unauthenticated");
    let id = shop::id_of(&ann.get("/api/v1/users/me").expect(200).json());
    let path = format!("/api/v1/admin/users/{id}/password-reset");
    let reset = shop.admin.send(Request::new("POST", &path)).expect(200).json();
    let reset = reset["token"].as_str().unwrap().to_owned();
    let body = json!({ "token": reset, "password": NEW_PASSWORD });
    drop(Client::new(gateway.address()).post("/api/v1/password-resets", &body).expect(204));
    let tokens = [ann.token.unwrap(), shop.admin.token.unwrap(), reset];
    let said = [SECRET, WEBHOOK_SECRET, KEY, PASSWORD, NEW_PASSWORD, WRONG_PASSWORD];
    said.map(str::to_owned).into_iter().chain(tokens).collect()
}

#[test]
fn a_log_is_read_by_programs_and_tells_no_secret() {
    let gateway = Gateway::start(Start { through: TALKATIVE, ..Start::cores(2) });
    let mut secrets = tell_secrets(&gateway);
    // The seal of a token alone is as good as the whole.
    let seals = secrets.iter().filter_map(|secret| Some(secret.split_once('.')?.1.to_owned()));
    let seals: Vec<_> = seals.collect();
    secrets.extend(seals);
    assert_eq!(secrets.len(), 11, "two of the tokens have seals");
    gateway.terminate();
    let log = until("its last words", GENEROUS, || {
        let log = gateway.log();
        log.contains("\"stopped\"").then_some(log)
    });
    let mut levels = std::collections::BTreeSet::new();
    for line in log.lines() {
        let told: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        assert!(told["timestamp"].is_string() && told["target"].is_string(), "{line}");
        levels.insert(told["level"].as_str().unwrap().to_owned());
        let secret = secrets.iter().find(|secret| line.contains(secret.as_str()));
        assert_eq!(secret, None, "{line}");
    }
    assert!(levels.contains("INFO") && levels.contains("DEBUG"), "{levels:?}");
}
