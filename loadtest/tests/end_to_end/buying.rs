//! Orders of a shopper: bought, repeated, listed, cancelled, expired, refused.

use jiff::Timestamp;
use seckill_loadtest::client::{Client, Request};
use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::order::Status;
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop::{self, Sale, Shop, buy};
use serde_json::{Value, json};

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

fn show(client: &mut Client, order: &str) -> Value {
    client.get(&format!("/api/v1/orders/{order}")).expect(200).json()
}

fn cancel(client: &mut Client, order: &str) {
    drop(client.delete(&format!("/api/v1/orders/{order}")).expect(204));
}

#[test]
fn a_buy_before_the_start_is_told_when_to_come() {
    let gateway = Gateway::start(Start::cores(1));
    let mut shop = Shop::open(&gateway);
    let [mut ann] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale { opens_in_ms: 600_000, ..Sale::of(5) });
    let refused = ann.send(buy(&activity, "early", 1)).problem(409, "not-started");
    let shown = shop.admin.get(&format!("/api/v1/activities/{activity}")).expect(200).json();
    assert_eq!(refused["starts_at"], shown["starts_at"]);
    assert!(time(&refused["server_time"]) < time(&refused["starts_at"]));
    let state = shop.state(&activity);
    assert_eq!((&state["phase"], &state["remaining"]), (&json!("scheduled"), &json!(5)));
    assert!(shop::orders(&mut ann).is_empty());
}

#[test]
fn the_sale_opens_by_itself() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale { opens_in_ms: 1_500, ..Sale::of(5) });
    // The key of a refusal is not remembered, so it buys once the sale is open.
    let order = until("the sale is open", GENEROUS, || {
        let answer = ann.send(buy(&activity, "patient", 1));
        if answer.status != 202 {
            answer.problem(409, "not-started");
        }
        (answer.status == 202).then(|| answer.json())
    });
    let state = shop.state(&activity);
    assert!(time(&order["created_at"]) >= time(&state["starts_at"]), "{order} {state}");
    assert_eq!((&state["phase"], &state["remaining"]), (&json!("live"), &json!(4)));
}

#[test]
fn an_order_is_what_was_bought() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann, mut bob] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale { limit: 3, ..Sale::of(5) });
    let accepted = ann.send(buy(&activity, "first", 2)).expect(202);
    let order = accepted.json();
    let id = shop::id_of(&order);
    assert_eq!(accepted.header("location"), Some(format!("/api/v1/orders/{id}").as_str()));
    let sold = shop.admin.get(&format!("/api/v1/activities/{activity}")).expect(200).json();
    let money = |amount: u32| json!({ "amount": amount, "currency": "USD" });
    assert_eq!(
        order,
        json!({
            "id": id,
            "kind": "flash",
            "activity_id": activity,
            "lines": [{
                "product_id": sold["product"]["id"],
                "title": "Kettle",
                "quantity": 2,
                "unit_price": money(1_000),
            }],
            "total": money(2_000),
            "status": "awaiting_payment",
            "created_at": order["created_at"],
            "pay_before": order["pay_before"],
            "payments": [],
        })
    );
    let pay_within = time(&order["pay_before"]).duration_since(time(&order["created_at"]));
    assert_eq!(pay_within.as_secs(), 3_600);
    assert_eq!(show(&mut ann, &id), order);
    assert_eq!(shop::orders(&mut ann).len(), 1);
    bob.get(&format!("/api/v1/orders/{id}")).problem(404, "not-found");
    bob.delete(&format!("/api/v1/orders/{id}")).problem(404, "not-found");
    Client::new(gateway.address()).get("/api/v1/orders").problem(401, "unauthenticated");
    assert_eq!(show(&mut ann, &id)["status"], "awaiting_payment");
}

#[test]
fn the_same_key_is_the_same_order() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann, mut bob] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale::of(2));
    let id = shop::id_of(&ann.send(buy(&activity, "click", 1)).expect(202).json());
    let again = ann.send(buy(&activity, "click", 1)).expect(202);
    assert_eq!(again.header("location"), Some(format!("/api/v1/orders/{id}").as_str()));
    assert_eq!(shop::id_of(&again.json()), id);
    ann.send(buy(&activity, "click", 2)).problem(422, "idempotency-mismatch");
    let limited = ann.send(buy(&activity, "another", 1)).problem(409, "limit-reached");
    assert_eq!(limited["orders"], json!([id]));
    assert_eq!(shop.remaining(&activity), 1);

    // A key is its user's own.
    let other = shop::id_of(&bob.send(buy(&activity, "click", 1)).expect(202).json());
    assert_ne!(other, id);

    // The place of a buyer is looked at before the phase and the stock: whoever lost the answer
    // finds the order again, and is not told "sold out".
    let told_again = |ann: &mut Client| {
        assert_eq!(shop::id_of(&ann.send(buy(&activity, "click", 1)).expect(202).json()), id);
        let limited = ann.send(buy(&activity, "another", 1)).problem(409, "limit-reached");
        assert_eq!(limited["orders"], json!([id]));
    };
    told_again(&mut ann);
    for step in ["pause", "resume", "end"] {
        shop.step(&activity, step);
        told_again(&mut ann);
    }
    // It is the order as it is now.
    cancel(&mut ann, &id);
    assert_eq!(ann.send(buy(&activity, "click", 1)).expect(202).json()["status"], "cancelled");
}

#[test]
fn a_cancelled_order_gives_its_unit_and_its_place_back() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann, mut bob] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale::of(1));
    let id = shop::id_of(&ann.send(buy(&activity, "first", 1)).expect(202).json());
    let refused = bob.send(buy(&activity, "first", 1)).problem(409, "sold-out");
    assert_eq!(refused["may_return"], true);
    cancel(&mut ann, &id);
    let order = show(&mut ann, &id);
    assert_eq!(order["status"], "cancelled");
    assert!(time(&order["closed_at"]) >= time(&order["created_at"]));
    assert_eq!(shop.remaining(&activity), 1);
    cancel(&mut ann, &id);
    assert_eq!(shop.remaining(&activity), 1, "cancelled twice, given back once");
    drop(ann.send(buy(&activity, "second", 1)).expect(202));
    bob.send(buy(&activity, "second", 1)).problem(409, "sold-out");
}

#[test]
fn an_unpaid_order_expires_and_is_sold_again() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann, mut bob] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale { pay_within_s: 1, ..Sale::of(1) });
    let id = shop::id_of(&ann.send(buy(&activity, "first", 1)).expect(202).json());
    let order = until("the order is expired", GENEROUS, || {
        let order = show(&mut ann, &id);
        (order["status"] == "expired").then_some(order)
    });
    let paid_late = time(&order["closed_at"]).duration_since(time(&order["created_at"]));
    assert!(paid_late.as_millis() >= 1_000, "not before its time: {order}");
    ann.delete(&format!("/api/v1/orders/{id}")).problem(409, "order-state");
    drop(bob.send(buy(&activity, "first", 1)).expect(202));
    assert_eq!(show(&mut ann, &id)["status"], "expired");
}

#[test]
fn sold_out_says_whether_to_wait() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann, mut bob] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale::of(1));
    let id = shop::id_of(&ann.send(buy(&activity, "first", 1)).expect(202).json());
    let refused = bob.send(buy(&activity, "first", 1)).problem(409, "sold-out");
    assert_eq!(refused["may_return"], true, "it is not paid yet");
    let state = shop.state(&activity);
    assert_eq!(
        (&state["phase"], &state["remaining"], &state["may_return"]),
        (&json!("sold_out"), &json!(0), &json!(true))
    );
    cancel(&mut ann, &id);
    assert_eq!(shop.state(&activity)["phase"], "live");

    // Withdrawn units are nobody's: with nothing held, nothing can come back.
    let path = format!("/api/v1/admin/activities/{activity}/withdraw");
    drop(shop.admin.post(&path, &json!({ "quantity": 1 })).expect(200));
    let refused = bob.send(buy(&activity, "first", 1)).problem(409, "sold-out");
    assert_eq!(refused["may_return"], false);
    assert_eq!(shop.state(&activity)["may_return"], false);
}

#[test]
fn all_units_or_none() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann, mut bob] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale { limit: 5, ..Sale::of(4) });
    let short = ann.send(buy(&activity, "five", 5)).problem(409, "insufficient-stock");
    assert_eq!(short["remaining"], 4);
    ann.send(buy(&activity, "six", 6)).problem(409, "limit-reached");
    assert_eq!(shop.remaining(&activity), 4, "a refusal takes nothing");
    drop(ann.send(buy(&activity, "three", 3)).expect(202));
    let short = bob.send(buy(&activity, "two", 2)).problem(409, "insufficient-stock");
    assert_eq!(short["remaining"], 1);
    drop(bob.send(buy(&activity, "one", 1)).expect(202));
    // Without a body, and without a key, one unit is asked for.
    let path = format!("/api/v1/activities/{activity}/orders");
    bob.send(Request::new("POST", &path)).problem(409, "sold-out");
}

#[test]
fn orders_are_listed_in_pages_newest_first() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale { limit: 10, ..Sale::of(10) });
    let mut bought: Vec<String> = (0..7)
        .map(|n| shop::id_of(&ann.send(buy(&activity, &format!("key{n}"), 1)).expect(202).json()))
        .collect();
    cancel(&mut ann, &bought[3]);
    bought.reverse();
    let ids = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(shop::id_of).collect()
    };
    let mut listed = Vec::new();
    let mut path = "/api/v1/orders?limit=3".to_owned();
    for expected in [3, 3, 1] {
        let page = ann.get(&path).expect(200).json();
        assert_eq!(ids(&page).len(), expected);
        listed.extend(ids(&page));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/v1/orders?limit=3&cursor={cursor}");
    }
    let created = |id: &String| {
        time(
            &show(&mut Client::with_token(gateway.address(), ann.token.as_ref().unwrap()), id)["created_at"],
        )
    };
    assert!(listed.is_sorted_by_key(|id| std::cmp::Reverse(created(id))), "newest first");
    listed.sort();
    let cancelled = bought[3].clone();
    bought.sort();
    assert_eq!(listed, bought, "each once");
    let page = ann.get("/api/v1/orders?status=cancelled").expect(200).json();
    assert_eq!((ids(&page), &page["next_cursor"]), (vec![cancelled], &Value::Null));
    let open = ann.get("/api/v1/orders?status=awaiting_payment").expect(200).json();
    assert_eq!(ids(&open).len(), 6);

    // What is closed leaves memory for the store, and the list does not show the seam.
    until("the store has the orders too", GENEROUS, || {
        let path = format!("/api/v1/admin/orders?activity_id={activity}&");
        let stored = shop::items(&mut shop.admin, &path);
        let cancelled = stored.iter().filter(|order| order["status"] == "cancelled").count();
        (stored.len() == 7 && cancelled == 1).then_some(())
    });
    let orders = shop::orders(&mut ann);
    assert_eq!(orders.len(), 7);
    assert_eq!(orders.iter().filter(|order| order.status == Status::Cancelled).count(), 1);
}

/// The buyer's own place comes before the phase, the phase before admission, admission before stock.
#[test]
fn a_sale_with_admission_answers_in_the_order_of_the_contract() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann, mut bob] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale::of(1));
    let order = shop::id_of(&ann.send(buy(&activity, "first", 1)).expect(202).json());
    let path = format!("/api/v1/admin/activities/{activity}");
    let shown = shop.admin.get(&format!("/api/v1/activities/{activity}")).expect(200);
    let version = shown.header("etag").unwrap().to_owned();
    let admit = Request::new("PATCH", &path).header("if-match", version);
    drop(shop.admin.send(admit.json(&json!({ "admission": true }))).expect(200));
    let limited = ann.send(buy(&activity, "second", 1)).problem(409, "limit-reached");
    assert_eq!(limited["orders"], json!([order]));
    assert_eq!(shop::id_of(&ann.send(buy(&activity, "first", 1)).expect(202).json()), order);
    bob.send(buy(&activity, "first", 1)).problem(403, "admission-required");
    shop.step(&activity, "pause");
    bob.send(buy(&activity, "first", 1)).problem(409, "paused");
    ann.send(buy(&activity, "second", 1)).problem(409, "limit-reached");

    let product = shop.product(1);
    let mut planned = shop::activity(&product, Sale { opens_in_ms: 600_000, ..Sale::of(1) });
    planned["admission"] = json!(true);
    let planned = shop.admin.post("/api/v1/admin/activities", &planned).expect(201).json();
    let planned = shop::id_of(&planned);
    shop.step(&planned, "publish");
    bob.send(buy(&planned, "first", 1)).problem(409, "not-started");
}
