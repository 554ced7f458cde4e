//! The schemas of what is sent, with the bounds that the gateway holds it to.

use seckill_shards::limits::{
    PAY_WINDOW_MS_MAX, PAY_WINDOW_MS_MIN, PER_USER_LIMIT_MAX, STOCKED_MAX, TITLE_BYTES_MAX,
};
use serde_json::json;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};

use super::shapes::{
    Member, clean, closed, currency, flag, formed, id, instant, list, may, must, named, number,
    object, secret, text, word,
};
use crate::api::limits::{
    DESCRIPTION_BYTES_MAX, DISPLAY_NAME_BYTES_MAX, PASSWORD_CHARS, PRICE_MAX, PRODUCT_STOCK_MAX,
    SANDBOX_AMOUNT_MAX, USERNAME_CHARS,
};
use crate::payment::limits::{SANDBOX_COPIES_MAX, SANDBOX_DELAY_MS_MAX, SANDBOX_DELIVERIES_MAX};

/// Every one of them by name.
pub(super) fn schemas() -> Vec<(&'static str, RefOr<Schema>)> {
    let schemas: Vec<(&'static str, ObjectBuilder)> = vec![
        ("Nothing", closed([])),
        ("Price", closed([must("amount", number(0..=PRICE_MAX)), must("currency", currency())])),
        ("NewUser", new_user()),
        ("UserChanges", user_changes()),
        ("Credentials", credentials()),
        ("PasswordReset", password_reset()),
        ("Buy", buy()),
        ("Pay", closed([must("method", word(["sandbox"]))])),
        ("PaymentEvent", payment_event()),
        ("SandboxChoice", sandbox_choice()),
        ("NewProduct", new_product()),
        ("ProductChanges", closed(product(may))),
        ("NewActivity", new_activity()),
        ("ActivityChanges", closed(activity(may))),
        ("Quantity", closed([must("quantity", number(1..=STOCKED_MAX.into()))])),
        ("Roles", closed([must("roles", list(named("Role")))])),
        ("Refund", closed([must("return_units", flag())])),
    ];
    schemas.into_iter().map(|(name, schema)| (name, schema.into())).collect()
}

fn password() -> ObjectBuilder {
    secret(PASSWORD_CHARS)
}

fn display_name() -> ObjectBuilder {
    clean(0..=DISPLAY_NAME_BYTES_MAX)
}

fn new_user() -> ObjectBuilder {
    let (least, most) = USERNAME_CHARS.into_inner();
    let username = formed(&format!("^[a-z0-9_.-]{{{least},{most}}}$"));
    closed([
        must("username", username),
        must("password", password()),
        may("display_name", display_name()),
    ])
    .examples([json!({ "username": "ada.l", "password": "correct horse battery" })])
}

fn buy() -> ObjectBuilder {
    closed([may("quantity", number(1..=PER_USER_LIMIT_MAX.into()))])
        .examples([json!({ "quantity": 1 })])
}

fn user_changes() -> ObjectBuilder {
    let old = password().description(Some("Asked for where `password` is given"));
    closed([
        may("display_name", display_name()),
        may("password", password()),
        may("old_password", old),
    ])
}

fn credentials() -> ObjectBuilder {
    let most = *PASSWORD_CHARS.end();
    closed([must("username", secret(1..=most)), must("password", secret(1..=most))])
}

fn password_reset() -> ObjectBuilder {
    closed([must("token", text()), must("password", password())])
}

fn payment_event() -> ObjectBuilder {
    let amount = named("Money");
    let data = object([must("payment_id", id()), may("amount", amount)])
        .description(Some("`amount` is what came, where it did"));
    object([
        must("type", text().description(Some("Others than the two of payments mean nothing here"))),
        may("timestamp", instant()),
        must("data", data),
    ])
    .examples([json!({
        "type": "payment.succeeded",
        "timestamp": "2026-11-27T00:00:01.000Z",
        "data": { "payment_id": "1", "amount": { "amount": 1_000, "currency": "USD" } },
    })])
}

fn sandbox_choice() -> ObjectBuilder {
    let delivery = closed([
        must("type", word(["payment.succeeded", "payment.failed"])),
        may("delay_ms", number(0..=SANDBOX_DELAY_MS_MAX.into())),
        may("amount", number(0..=SANDBOX_AMOUNT_MAX)),
        may("copies", number(1..=SANDBOX_COPIES_MAX.into())),
    ]);
    closed([must(
        "deliveries",
        list(delivery).min_items(Some(1)).max_items(Some(SANDBOX_DELIVERIES_MAX)),
    )])
}

/// A member that is asked for, or may be left out.
type Presence = fn(&'static str, RefOr<Schema>) -> Member;

fn product(presence: Presence) -> [Member; 4] {
    [
        presence("title", clean(1..=TITLE_BYTES_MAX).into()),
        may("description", clean(0..=DESCRIPTION_BYTES_MAX)),
        presence("price", named("Price").into()),
        presence("stock", number(0..=PRODUCT_STOCK_MAX).into()),
    ]
}

fn new_product() -> ObjectBuilder {
    closed(product(must)).examples([json!({
        "title": "Kettle",
        "description": "Pours where you point it.",
        "price": { "amount": 5_900, "currency": "USD" },
        "stock": 100,
    })])
}

fn activity(presence: Presence) -> Vec<Member> {
    let [least, most] = [PAY_WINDOW_MS_MIN, PAY_WINDOW_MS_MAX]
        .map(|ms| i64::try_from(ms / 1_000).expect("a few days"));
    vec![
        presence("title", clean(1..=TITLE_BYTES_MAX).into()),
        presence("sale_price", named("Price").into()),
        presence("stock_total", number(1..=STOCKED_MAX.into()).into()),
        presence("per_user_limit", number(1..=PER_USER_LIMIT_MAX.into()).into()),
        presence("pay_within_seconds", number(least..=most).into()),
        presence("starts_at", instant().into()),
        presence("ends_at", instant().into()),
        may("admission", flag()),
    ]
}

fn new_activity() -> ObjectBuilder {
    closed(activity(must).into_iter().chain([must("product_id", id())])).examples([json!({
        "title": "Kettles for a song",
        "product_id": "1",
        "sale_price": { "amount": 1_000, "currency": "USD" },
        "stock_total": 10,
        "per_user_limit": 1,
        "pay_within_seconds": 900,
        "starts_at": "2026-11-27T00:00:00.000Z",
        "ends_at": "2099-11-27T00:00:00.000Z",
    })])
}
