//! The payment provider as the gateway hears of it: deliveries, signed as Standard Webhooks are.
//!
//! It must not know what a test expects of them.

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::json;
use sha2::Sha256;

use crate::client::Request;
use crate::gateway::{Gateway, Start};

const KEY: &[u8] = b"a key that signs for the provider";
/// The same in base64, and a second one, as while a secret is changed.
const VARIABLES: [(&str, &str); 2] = [
    ("SECKILL_PAYMENT_PROVIDER", "sandbox"),
    (
        "SECKILL_PAYMENT_WEBHOOK_SECRET",
        "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA,whsec_YSBrZXkgdGhhdCBzaWducyBmb3IgdGhlIHByb3ZpZGVy",
    ),
];

/// What a gateway is told that has the sandbox and takes these deliveries.
#[must_use]
pub fn variables() -> Vec<(String, String)> {
    VARIABLES.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Such a gateway.
#[must_use]
pub fn gateway(start: Start) -> Gateway {
    Gateway::start_with(start, variables())
}

fn signature(id: &str, sent_s: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).expect("a key may have any length");
    mac.update(format!("{id}.{sent_s}.").as_bytes());
    mac.update(body);
    format!("v1,{}", Base64::encode_string(&mac.finalize().into_bytes()))
}

/// A delivery of the provider, sent so many seconds ago.
#[must_use]
pub fn delivery(body: impl AsRef<[u8]>, age_s: i64) -> Request {
    forged(body.as_ref(), body.as_ref(), age_s)
}

/// One whose signature is of another body.
#[must_use]
pub fn forged(signed: impl AsRef<[u8]>, body: impl AsRef<[u8]>, age_s: i64) -> Request {
    unsent(signed, age_s).body("application/json", body)
}

/// The head of a delivery, signed for a body that is to come.
#[must_use]
pub fn unsent(signed: impl AsRef<[u8]>, age_s: i64) -> Request {
    let sent_s = Timestamp::now().as_second() - age_s;
    Request::new("POST", "/api/v1/webhooks/payments")
        .header("webhook-id", "msg_1")
        .header("webhook-timestamp", sent_s.to_string())
        .header("webhook-signature", signature("msg_1", sent_s, signed.as_ref()))
}

/// The word that so much money has come for a payment.
#[must_use]
pub fn succeeded(payment: &str, amount: i64) -> String {
    let data = json!({ "payment_id": payment, "amount": { "amount": amount, "currency": "USD" } });
    let at = Timestamp::now().to_string();
    json!({ "type": "payment.succeeded", "timestamp": at, "data": data }).to_string()
}

/// The word that a payment has failed.
#[must_use]
pub fn failed(payment: &str) -> String {
    json!({ "type": "payment.failed", "data": { "payment_id": payment } }).to_string()
}
