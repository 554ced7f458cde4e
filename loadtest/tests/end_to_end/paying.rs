//! Paying: started, told by signed webhooks, late, double, wrong, given back.

use jiff::Timestamp;
use seckill_loadtest::client::{Client, Request, Response};
use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::provider::{self, delivery, failed, forged, succeeded};
use seckill_loadtest::shop::{self, Sale, Shop, buy};
use serde_json::{Value, json};

fn start_payment(order: &str, key: &str) -> Request {
    let path = format!("/api/v1/orders/{order}/payments");
    Request::new("POST", &path).key(key).json(&json!({ "method": "sandbox" }))
}

fn give_up(order: &str, payment: &str) -> Request {
    Request::new("DELETE", &format!("/api/v1/orders/{order}/payments/{payment}"))
}

fn pay(shopper: &mut Client, order: &str, key: &str) -> String {
    let started = shopper.send(start_payment(order, key)).expect(201);
    assert_eq!(started.header("location"), Some(format!("/api/v1/orders/{order}").as_str()));
    let started = started.json();
    let payment = started["payment_id"].as_str().unwrap().to_owned();
    assert_eq!(started["redirect_url"], format!("/pay/{payment}"));
    assert_eq!(started["status"], "started");
    // Whoever looks at the order from elsewhere is led to the same payment.
    let shown = shopper.get(&format!("/api/v1/orders/{order}")).expect(200).json();
    let shown = shown["payments"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(shown["redirect_url"], started["redirect_url"]);
    payment
}

fn place(shopper: &mut Client, activity: &str) -> String {
    shop::id_of(&shopper.send(buy(activity, "buy", 1)).expect(202).json())
}

fn order(shopper: &mut Client, id: &str) -> Value {
    shopper.get(&format!("/api/v1/orders/{id}")).expect(200).json()
}

fn statuses(shopper: &mut Client, id: &str) -> (String, Vec<String>) {
    let order = order(shopper, id);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let payments = order["payments"].as_array().unwrap();
    (text(&order["status"]), payments.iter().map(|payment| text(&payment["status"])).collect())
}

fn wait_for(shopper: &mut Client, id: &str, status: &str, payments: &[&str]) {
    until(status, GENEROUS, || {
        let (now, of_payments) = statuses(shopper, id);
        (now == status && of_payments == payments).then_some(())
    });
}

#[test]
fn a_signed_word_of_the_provider_pays_once() {
    let gateway = provider::gateway(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann, mut bob] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale { limit: 2, ..Sale::of(5) });
    let id = place(&mut ann, &activity);
    let payment = pay(&mut ann, &id, "pay");
    assert_eq!(pay(&mut ann, &id, "pay"), payment, "the same key is the same payment");
    bob.send(start_payment(&id, "pay")).problem(404, "not-found");
    let mut provider = Client::new(gateway.address());
    let body = succeeded(&payment, 1_000);
    provider.send(delivery(&body, 301)).problem(401, "unauthenticated");
    provider.send(delivery(&body, -301)).problem(401, "unauthenticated");
    provider.send(forged(&body, succeeded(&payment, 1), 0)).problem(401, "unauthenticated");
    provider.post("/api/v1/webhooks/payments", &json!({})).problem(401, "unauthenticated");
    assert_eq!(order(&mut ann, &id)["status"], "awaiting_payment");
    for age_s in [0, 100, 0] {
        drop(provider.send(delivery(&body, age_s)).expect(204));
    }
    drop(provider.send(delivery(failed(&payment), 0)).expect(204));
    let paid = order(&mut ann, &id);
    assert_eq!(
        (&paid["status"], &paid["payments"][0]["status"]),
        (&json!("paid"), &json!("succeeded"))
    );
    assert!(paid["paid_at"].is_string() && paid.get("pay_before").is_none(), "{paid}");
    ann.send(start_payment(&id, "again")).problem(409, "order-state");
    ann.delete(&format!("/api/v1/orders/{id}")).problem(409, "order-state");
    assert_eq!(shop.remaining(&activity), 4);
}

#[test]
fn what_is_not_a_delivery_is_told_apart() {
    let gateway = provider::gateway(Start::cores(1));
    let mut provider = Client::new(gateway.address());
    let mut send = |body: &str| -> Response { provider.send(delivery(body, 0)) };
    send("{").problem(400, "invalid-request");
    send("[]").problem(422, "invalid-request");
    send(r#"{"type":"payment.succeeded","data":{"payment_id":"1"}}"#)
        .problem(422, "invalid-request");
    send(&succeeded("999999", 1)).problem(404, "not-found");
    send(&failed("999999")).problem(404, "not-found");
    drop(send(r#"{"type":"payment.disputed","data":{}}"#).expect(204));
    let [mut ann] = shop::shoppers(&gateway, "ann");
    ann.send(start_payment("12345", "pay")).problem(404, "not-found");
    let odd = Request::new("POST", "/api/v1/orders/1/payments").json(&json!({ "method": "gold" }));
    let refused = ann.send(odd).problem(422, "invalid-request");
    assert_eq!(refused["errors"][0]["pointer"], "/method");
}

#[test]
fn without_a_provider_paying_is_unavailable() {
    let gateway = Gateway::start(Start::cores(1));
    let mut shop = Shop::open(&gateway);
    let [mut ann] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale::of(1));
    let id = place(&mut ann, &activity);
    ann.send(start_payment(&id, "pay")).problem(503, "unavailable");
    Client::new(gateway.address()).send(delivery("{}", 0)).problem(503, "unavailable");
    ann.get("/api/v1/sandbox/payments/1").problem(404, "not-found");
}

#[test]
fn late_double_and_wrong_money_goes_back_and_the_order_says_so() {
    let gateway = provider::gateway(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann, mut bob, mut eve] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale::of(3));
    let mut provider = Client::new(gateway.address());
    let mut tell = |body: String| drop(provider.send(delivery(&body, 0)).expect(204));
    let late = place(&mut ann, &activity);
    let payment = pay(&mut ann, &late, "pay");
    drop(ann.delete(&format!("/api/v1/orders/{late}")).expect(204));
    tell(succeeded(&payment, 1_000));
    wait_for(&mut ann, &late, "cancelled", &["refunded"]);
    let double = place(&mut bob, &activity);
    let (first, second) = (pay(&mut bob, &double, "one"), pay(&mut bob, &double, "two"));
    tell(succeeded(&second, 1_000));
    tell(succeeded(&first, 1_000));
    wait_for(&mut bob, &double, "paid", &["refunded", "succeeded"]);
    let wrong = place(&mut eve, &activity);
    let payment = pay(&mut eve, &wrong, "pay");
    tell(succeeded(&payment, 999));
    wait_for(&mut eve, &wrong, "awaiting_payment", &["refunded"]);
    let payment = pay(&mut eve, &wrong, "better");
    tell(succeeded(&payment, 1_000));
    wait_for(&mut eve, &wrong, "paid", &["refunded", "succeeded"]);
    assert_eq!(shop.remaining(&activity), 1, "the cancelled unit is for sale again");
}

#[test]
fn money_for_an_order_that_has_left_memory_goes_back() {
    let mut gateway = provider::gateway(Start::cores(1));
    let mut shop = Shop::open(&gateway);
    let [mut ann] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale::of(1));
    let id = place(&mut ann, &activity);
    let payment = pay(&mut ann, &id, "pay");
    let mut provider = Client::new(gateway.address());
    drop(provider.send(delivery(failed(&payment), 0)).expect(204));
    drop(ann.delete(&format!("/api/v1/orders/{id}")).expect(204));
    // Settled and flushed it leaves memory; a start later it is nowhere but in the store.
    gateway.stop();
    gateway.restart(Start::cores(1));
    let mut provider = Client::new(gateway.address());
    let mut ann = Client::with_token(gateway.address(), ann.token.as_deref().unwrap());
    until("the store is asked", GENEROUS, || {
        let told = provider.send(delivery(succeeded(&payment, 1_000), 0));
        (told.status == 204).then_some(())
    });
    wait_for(&mut ann, &id, "cancelled", &["refunded"]);
    drop(provider.send(delivery(succeeded(&payment, 1_000), 0)).expect(204));
    assert_eq!(statuses(&mut ann, &id).1, ["refunded"]);
    gateway.run(&["audit"]).expect(0);
}

#[test]
fn the_key_of_a_payment_outlives_its_order_in_memory() {
    let mut gateway = provider::gateway(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann, mut bob] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale::of(1));
    let id = place(&mut ann, &activity);
    let payment = pay(&mut ann, &id, "pay");
    let mut provider = Client::new(gateway.address());
    drop(provider.send(delivery(failed(&payment), 0)).expect(204));
    drop(ann.delete(&format!("/api/v1/orders/{id}")).expect(204));
    let answers = |gateway: &Gateway, ann: &mut Client, bob: &mut Client| {
        wait_for_empty_memory(gateway);
        let again = ann.send(start_payment(&id, "pay")).expect(201).json();
        assert_eq!((&again["payment_id"], &again["status"]), (&json!(payment), &json!("failed")));
        ann.send(start_payment(&id, "other")).problem(409, "order-state");
        let without_key = Request::new("POST", &format!("/api/v1/orders/{id}/payments"));
        ann.send(without_key.json(&json!({ "method": "sandbox" }))).problem(409, "order-state");
        bob.send(start_payment(&id, "pay")).problem(404, "not-found");
        drop(ann.send(give_up(&id, &payment)).expect(204));
        ann.send(give_up(&id, "999")).problem(404, "not-found");
        bob.send(give_up(&id, &payment)).problem(404, "not-found");
    };
    answers(&gateway, &mut ann, &mut bob);
    gateway.kill();
    gateway.restart(Start::cores(1));
    let again =
        |client: &Client| Client::with_token(gateway.address(), client.token.as_deref().unwrap());
    let (mut ann, mut bob) = (again(&ann), again(&bob));
    answers(&gateway, &mut ann, &mut bob);
    // Of late money it tells what became of it.
    let mut provider = Client::new(gateway.address());
    drop(provider.send(delivery(succeeded(&payment, 1_000), 0)).expect(204));
    wait_for(&mut ann, &id, "cancelled", &["refunded"]);
    let again = ann.send(start_payment(&id, "pay")).expect(201).json();
    assert_eq!((&again["payment_id"], &again["status"]), (&json!(payment), &json!("refunded")));
    ann.send(give_up(&id, &payment)).problem(409, "order-state");
}

#[test]
fn a_payment_that_leads_nowhere_is_given_up_for_another() {
    let gateway = provider::gateway(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann, mut bob] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale::of(2));
    let mut provider = Client::new(gateway.address());
    let mut tell = |body: String| drop(provider.send(delivery(&body, 0)).expect(204));
    let id = place(&mut ann, &activity);
    let first = pay(&mut ann, &id, "one");
    bob.send(give_up(&id, &first)).problem(404, "not-found");
    ann.send(give_up(&id, "999")).problem(404, "not-found");
    for _ in 0..2 {
        drop(ann.send(give_up(&id, &first)).expect(204));
    }
    assert_eq!(statuses(&mut ann, &id), ("awaiting_payment".to_owned(), vec!["failed".to_owned()]));
    assert_eq!(ann.send(start_payment(&id, "one")).expect(201).json()["status"], "failed");
    let second = pay(&mut ann, &id, "two");
    tell(succeeded(&second, 1_000));
    wait_for(&mut ann, &id, "paid", &["failed", "succeeded"]);
    ann.send(give_up(&id, &second)).problem(409, "order-state");
    tell(succeeded(&first, 1_000));
    wait_for(&mut ann, &id, "paid", &["refunded", "succeeded"]);
    // The shopper may have paid before they gave up.
    let id = place(&mut bob, &activity);
    let first = pay(&mut bob, &id, "one");
    drop(bob.send(give_up(&id, &first)).expect(204));
    let second = pay(&mut bob, &id, "two");
    tell(succeeded(&first, 1_000));
    wait_for(&mut bob, &id, "paid", &["succeeded", "started"]);
    drop(bob.send(give_up(&id, &second)).expect(204));
    wait_for(&mut bob, &id, "paid", &["succeeded", "failed"]);
}

fn wait_for_empty_memory(gateway: &Gateway) {
    let mut operations = Client::new(gateway.operations());
    until("no order is in memory", GENEROUS, || {
        let metrics = operations.get("/metrics").expect(200).text();
        let mut cores =
            metrics.lines().filter(|line| line.starts_with("seckill_orders_in_memory{"));
        cores.all(|core| core.ends_with(" 0")).then_some(())
    });
}

#[test]
fn an_operator_cancels_and_refunds() {
    let gateway = provider::gateway(Start::cores(1));
    let mut shop = Shop::open(&gateway);
    let [mut ann, mut bob] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale::of(2));
    let (id, other) = (place(&mut ann, &activity), place(&mut bob, &activity));
    let payment = pay(&mut ann, &id, "pay");
    let mut provider = Client::new(gateway.address());
    drop(provider.send(delivery(succeeded(&payment, 1_000), 0)).expect(204));
    let path = format!("/api/v1/admin/orders/{id}");
    let refund = |units: bool| {
        Request::new("POST", &format!("{path}/refund")).json(&json!({ "return_units": units }))
    };
    ann.send(refund(true)).problem(403, "forbidden");
    shop.admin.post(&format!("{path}/refund"), &json!({})).problem(422, "invalid-request");
    shop.admin.send(Request::new("POST", &format!("{path}/cancel"))).problem(409, "order-state");
    for _ in 0..2 {
        let refunded = shop.admin.send(refund(true)).expect(200).json();
        assert_eq!(refunded["status"], "refunded");
    }
    wait_for(&mut ann, &id, "refunded", &["refunded"]);
    drop(shop.admin.send(refund(true)).expect(200));
    let cancel = format!("/api/v1/admin/orders/{other}/cancel");
    let cancelled = shop.admin.send(Request::new("POST", &cancel)).expect(200).json();
    assert_eq!(
        (&cancelled["status"], cancelled["user_id"].is_string()),
        (&json!("cancelled"), true)
    );
    assert_eq!(shop.remaining(&activity), 2);
    let nobody = "/api/v1/admin/orders/999/cancel";
    shop.admin.send(Request::new("POST", nobody)).problem(404, "not-found");
}

#[test]
fn a_paid_order_is_refunded_when_its_sale_is_long_closed() {
    let gateway = provider::gateway(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale::of(3));
    let id = place(&mut ann, &activity);
    let payment = pay(&mut ann, &id, "pay");
    let mut provider = Client::new(gateway.address());
    drop(provider.send(delivery(succeeded(&payment, 1_000), 0)).expect(204));
    shop.step(&activity, "end");
    until("the sale is closed", GENEROUS, || {
        (shop.state(&activity)["phase"] == "closed").then_some(())
    });
    let path = format!("/api/v1/admin/orders/{id}/refund");
    let refund = |units: bool, key: &str| {
        Request::new("POST", &path).key(key).json(&json!({ "return_units": units }))
    };
    shop.admin.send(refund(true, "a")).problem(409, "order-state");
    let refunded = until("the order has left memory", GENEROUS, || {
        let answer = shop.admin.send(refund(false, "b"));
        (answer.status == 200).then(|| answer.json())
    });
    wait_for(&mut ann, &id, "refunded", &["refunded"]);
    // When the provider gives the money back, the order has been closed for a while.
    assert!(refunded["closed_at"].is_string(), "{refunded}");
    assert_eq!(order(&mut ann, &id)["closed_at"], refunded["closed_at"]);
    let listed = ann.get("/api/v1/orders?status=refunded").expect(200).json();
    assert_eq!(listed["items"][0]["id"], json!(id));
    assert_eq!(ann.get("/api/v1/orders?status=paid").expect(200).json()["items"], json!([]));
    drop(shop.admin.send(refund(false, "b")).expect(200));
    shop.admin.send(refund(true, "b")).problem(422, "idempotency-mismatch");
    gateway.run(&["audit"]).expect(0);
}

#[test]
fn the_sandbox_tells_what_a_person_chose() {
    let gateway = provider::gateway(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann, mut bob] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale::of(2));
    let id = place(&mut ann, &activity);
    let payment = pay(&mut ann, &id, "pay");
    let path = format!("/api/v1/sandbox/payments/{payment}");
    let shown = ann.get(&path).expect(200).json();
    let amount = json!({ "amount": 1_000, "currency": "USD" });
    let asked =
        json!({ "payment_id": payment, "order_id": id, "amount": amount, "status": "started" });
    assert_eq!(shown, asked);
    bob.get(&path).problem(404, "not-found");
    let declined = json!({ "type": "payment.failed" });
    let paid = json!({ "type": "payment.succeeded", "delay_ms": 300, "copies": 3 });
    drop(ann.post(&path, &json!({ "deliveries": [declined, paid] })).expect(202));
    wait_for(&mut ann, &id, "paid", &["succeeded"]);
    let many = json!({ "deliveries": vec![declined; 9] });
    ann.post(&path, &many).problem(422, "invalid-request");
}

#[test]
fn a_payment_under_way_has_its_grace_after_an_outage() {
    let mut gateway = provider::gateway(Start::cores(1));
    let mut shop = Shop::open(&gateway);
    let [mut ann, mut bob] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale { pay_within_s: 10, ..Sale::of(2) });
    let (id, other) = (place(&mut ann, &activity), place(&mut bob, &activity));
    let payment = pay(&mut ann, &id, "pay");
    let due = order(&mut bob, &other)["pay_before"].as_str().unwrap().parse::<Timestamp>().unwrap();
    gateway.kill();
    until("both fell due meanwhile", GENEROUS, || (Timestamp::now() > due).then_some(()));
    gateway.restart(Start::cores(1));
    let again =
        |client: &Client| Client::with_token(gateway.address(), client.token.as_deref().unwrap());
    let (mut ann, mut bob) = (again(&ann), again(&bob));
    wait_for(&mut bob, &other, "expired", &[]);
    assert_eq!(
        order(&mut ann, &id)["status"],
        "awaiting_payment",
        "the provider may have its word"
    );
    let mut provider = Client::new(gateway.address());
    drop(provider.send(delivery(succeeded(&payment, 1_000), 0)).expect(204));
    assert_eq!(order(&mut ann, &id)["status"], "paid");
}

/// A key is answered by the payment that it started, wherever and whenever it comes again.
#[test]
fn one_key_starts_one_payment_over_all_connections_and_a_restart() {
    let mut gateway = provider::gateway(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale::of(5));
    let id = place(&mut ann, &activity);
    let token = ann.token.clone().unwrap();
    let at_once = |gateway: &Gateway| -> Vec<String> {
        let barrier = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            let threads = [(); 8].map(|()| {
                scope.spawn(|| {
                    let mut ann = Client::with_token(gateway.address(), &token);
                    barrier.wait();
                    // The first is still under way where this one comes at the same moment.
                    until("an answer", GENEROUS, || {
                        let answer = ann.send(start_payment(&id, "pay"));
                        let started = (answer.status == 201).then(|| answer.json());
                        started.map(|it| it["payment_id"].as_str().unwrap().to_owned())
                    })
                })
            });
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    };
    let mut started = at_once(&gateway);
    gateway.kill();
    gateway.restart(Start::cores(3));
    started.extend(at_once(&gateway));
    started.dedup();
    assert_eq!(started.len(), 1, "{started:?}");
    let mut ann = Client::with_token(gateway.address(), &token);
    assert_eq!(
        statuses(&mut ann, &id),
        ("awaiting_payment".to_owned(), vec!["started".to_owned()])
    );
}
