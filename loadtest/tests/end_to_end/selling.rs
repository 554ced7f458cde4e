//! Products and sales as operators keep, plan and run them.

use std::thread;

use seckill_loadtest::client::{Client, Connection, Request, Response};
use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop::{self, Sale, Shop, buy};
use serde_json::{Value, json};

fn patch(shop: &mut Shop, path: &str, version: &Value, body: &Value) -> Response {
    let version = format!("\"{version}\"");
    shop.admin.send(Request::new("PATCH", path).header("if-match", version).json(body))
}

fn post_with_key(shop: &mut Shop, path: &str, key: &str, body: &Value) -> Response {
    shop.admin.send(Request::new("POST", path).key(key).json(body))
}

#[test]
fn an_operator_keeps_products() {
    let gateway = Gateway::start(Start::cores(1));
    let mut shop = Shop::open(&gateway);
    let body = shop::product(12);
    let made = post_with_key(&mut shop, "/api/v1/admin/products", "make", &body).expect(201);
    let product = made.json();
    let id = shop::id_of(&product);
    assert_eq!(made.header("location"), Some(format!("/api/v1/products/{id}").as_str()));
    for (name, value) in body.as_object().unwrap() {
        assert_eq!(product[name], *value, "{name}");
    }
    let shown = Client::new(gateway.address()).get(&format!("/api/v1/products/{id}")).expect(200);
    assert_eq!(shown.header("etag"), Some(format!("\"{}\"", product["version"]).as_str()));
    assert_eq!(shown.json(), product);

    let again = post_with_key(&mut shop, "/api/v1/admin/products", "make", &body);
    assert!([200, 201].contains(&again.status), "{}", again.text());
    assert_eq!(again.json(), product);
    post_with_key(&mut shop, "/api/v1/admin/products", "make", &shop::product(13))
        .problem(422, "idempotency-mismatch");
    assert_eq!(shop::items(&mut shop.admin, "/api/v1/products?").len(), 1);

    let path = format!("/api/v1/admin/products/{id}");
    let dearer = json!({ "price": { "amount": 6_000, "currency": "USD" } });
    shop.admin
        .send(Request::new("PATCH", &path).json(&dearer))
        .problem(428, "precondition-required");
    let changed = patch(&mut shop, &path, &product["version"], &dearer).expect(200).json();
    assert_eq!((&changed["price"], &changed["stock"]), (&dearer["price"], &json!(12)));
    assert_ne!(changed["version"], product["version"]);
    patch(&mut shop, &path, &product["version"], &json!({ "stock": 1 })).problem(409, "conflict");
    assert_eq!(shop.stock(&id), 12);
    patch(&mut shop, "/api/v1/admin/products/999999", &json!(1), &dearer).problem(404, "not-found");
}

#[test]
fn products_are_found_by_a_word() {
    let gateway = Gateway::start(Start::cores(1));
    let mut shop = Shop::open(&gateway);
    shop.product(1);
    let mut other = shop::product(1);
    other["title"] = json!("100% umbrella_stand");
    drop(shop.admin.post("/api/v1/admin/products", &other).expect(201));
    let mut found = |query: &str| {
        let items = shop::items(&mut shop.admin, &format!("/api/v1/products?q={query}&"));
        items.iter().map(|item| item["title"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found("umbrella"), ["100% umbrella_stand"]);
    assert_eq!(found("Kettle"), ["Kettle"]);
    assert_eq!(found("100%25"), ["100% umbrella_stand"], "a sign is no wildcard");
    assert!(found("nothing").is_empty());
}

#[test]
fn a_draft_is_an_operators_business_until_it_is_published() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann] = shop::shoppers(&gateway, "ann");
    let product = shop.product(10);
    let id = shop.draft(&product, Sale { limit: 2, ..Sale::of(12) });
    let public = format!("/api/v1/activities/{id}");
    ann.get(&public).problem(404, "not-found");
    ann.get(&format!("{public}/state")).problem(404, "not-found");
    ann.send(buy(&id, "draft", 1)).problem(404, "not-found");
    assert!(shop::items(&mut ann, "/api/v1/activities?").is_empty());
    let draft = shop.admin.get(&public).expect(200).json();
    assert_eq!((&draft["phase"], &draft["product"]["id"]), (&json!("draft"), &json!(product)));
    assert_eq!(shop.stock(&product), 10, "a draft holds nothing");

    let admin = format!("/api/v1/admin/activities/{id}");
    let publish = Request::new("POST", &format!("{admin}/publish"));
    let short = shop.admin.send(publish.clone()).problem(409, "insufficient-stock");
    assert_eq!((&short["remaining"], shop.stock(&product)), (&json!(10), 10));

    let smaller = json!({ "stock_total": 8, "per_user_limit": 3 });
    shop.admin
        .send(Request::new("PATCH", &admin).json(&smaller))
        .problem(428, "precondition-required");
    let changed = patch(&mut shop, &admin, &draft["version"], &smaller).expect(200).json();
    assert_eq!((&changed["stock_total"], &changed["per_user_limit"]), (&json!(8), &json!(3)));
    patch(&mut shop, &admin, &draft["version"], &smaller).problem(409, "conflict");

    let published = shop.admin.send(publish.clone()).expect(200).json();
    assert_eq!((&published["phase"], shop.stock(&product)), (&json!("live"), 2));
    drop(shop.admin.send(publish));
    assert_eq!(shop.stock(&product), 2, "published twice, moved once");
    assert_eq!(ann.get(&public).expect(200).json()["stock_total"], 8);
    assert_eq!(shop::items(&mut ann, "/api/v1/activities?phase=live&").len(), 1);
    assert!(shop::items(&mut ann, "/api/v1/activities?phase=ended&").is_empty());
    drop(ann.send(buy(&id, "live", 3)).expect(202));

    let version = &shop.admin.get(&public).expect(200).json()["version"];
    for fixed in [
        json!({ "stock_total": 9 }),
        json!({ "per_user_limit": 4 }),
        json!({ "sale_price": { "amount": 1, "currency": "USD" } }),
    ] {
        patch(&mut shop, &admin, version, &fixed).problem(409, "conflict");
    }
    let renamed = patch(&mut shop, &admin, version, &json!({ "title": "Kettles!" })).expect(200);
    assert_eq!(renamed.json()["title"], "Kettles!");
    assert_eq!((shop.remaining(&id), shop.stock(&product)), (5, 2));
}

#[test]
fn a_sale_is_paused_resumed_and_ended() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann, mut bob, mut eve] = shop::shoppers(&gateway, "ann");
    let product = shop.product(10);
    let id = shop.draft(&product, Sale::of(10));
    shop.step(&id, "publish");
    assert_eq!(shop.stock(&product), 0);
    let order = shop::id_of(&ann.send(buy(&id, "a", 1)).expect(202).json());
    assert_eq!(shop.step(&id, "pause")["phase"], "paused");
    bob.send(buy(&id, "b", 1)).problem(409, "paused");
    assert_eq!(shop.state(&id)["phase"], "paused");
    assert_eq!(shop.step(&id, "resume")["phase"], "live");
    drop(bob.send(buy(&id, "b", 1)).expect(202));
    assert_eq!(shop.step(&id, "end")["phase"], "ended");
    eve.send(buy(&id, "e", 1)).problem(409, "ended");
    let resume = Request::new("POST", &format!("/api/v1/admin/activities/{id}/resume"));
    let refused = shop.admin.send(resume);
    assert_eq!((refused.status, &shop.state(&id)["phase"]), (409, &json!("ended")));

    // Held orders keep it open; the rest goes back when the last of them is closed, once.
    assert_eq!(shop.stock(&product), 0);
    for (shopper, path) in
        [(&mut ann, format!("/api/v1/orders/{order}")), (&mut bob, "/api/v1/orders".to_owned())]
    {
        let path = if path.ends_with("orders") {
            format!("/api/v1/orders/{}", shop::orders(shopper)[0].id)
        } else {
            path
        };
        drop(shopper.delete(&path).expect(204));
    }
    until("the units are back", GENEROUS, || (shop.stock(&product) > 0).then_some(()));
    assert_eq!(shop.stock(&product), 10);
    let shown = shop.admin.get(&format!("/api/v1/activities/{id}")).expect(200).json();
    assert_eq!(shown["phase"], "closed");
    let account = gateway.audit(&id);
    assert_eq!((&account["returned"], &account["remaining"]), (&json!(10), &json!(0)));
}

#[test]
fn a_pause_outlasts_a_restart() {
    let mut gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann] = shop::shoppers(&gateway, "ann");
    let [paused, ended] = [(), ()].map(|()| shop.sale(Sale::of(3)));
    shop.step(&paused, "pause");
    shop.step(&ended, "end");
    gateway.kill();
    gateway.restart(Start::cores(1));
    ann = Client::with_token(gateway.address(), ann.token.as_ref().unwrap());
    ann.send(buy(&paused, "p", 1)).problem(409, "paused");
    ann.send(buy(&ended, "e", 1)).problem(409, "ended");
}

#[test]
fn units_move_into_a_sale_and_out_of_it() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann] = shop::shoppers(&gateway, "ann");
    let product = shop.product(10);
    let id = shop.draft(&product, Sale { limit: 4, ..Sale::of(6) });
    shop.step(&id, "publish");
    drop(ann.send(buy(&id, "a", 4)).expect(202));
    let [restock, withdraw] =
        ["restock", "withdraw"].map(|step| format!("/api/v1/admin/activities/{id}/{step}"));
    let units = |quantity: u32| json!({ "quantity": quantity });
    let mut move_units = |path: &str, key: &str, quantity: u32| {
        let answer = post_with_key(&mut shop, path, key, &units(quantity));
        (answer, shop.stock(&product), shop.remaining(&id))
    };
    for _ in 0..2 {
        let (answer, stock, remaining) = move_units(&restock, "in", 3);
        assert_eq!(answer.expect(200).json()["stock_total"], 9);
        assert_eq!((stock, remaining), (1, 5), "the same key moves them once");
    }
    let (answer, ..) = move_units(&restock, "in", 2);
    answer.problem(422, "idempotency-mismatch");
    let (answer, stock, remaining) = move_units(&restock, "more", 2);
    assert_eq!(answer.problem(409, "insufficient-stock")["remaining"], 1);
    assert_eq!((stock, remaining), (1, 5));

    for _ in 0..2 {
        let (answer, _, remaining) = move_units(&withdraw, "out", 4);
        drop(answer.expect(200));
        assert_eq!(remaining, 1, "the same key moves them once");
    }
    let (answer, _, remaining) = move_units(&withdraw, "too many", 2);
    answer.problem(422, "invalid-request");
    assert_eq!(remaining, 1, "such a key is none");
    let (answer, _, remaining) = move_units(&withdraw, "too-many", 2);
    answer.problem(409, "insufficient-stock");
    assert_eq!(remaining, 1, "what is held stays");
    until("the units are with the product", GENEROUS, || (shop.stock(&product) == 5).then_some(()));
    let account = gateway.audit(&id);
    let shown = ["stock_total", "held", "returned", "remaining"].map(|name| &account[name]);
    assert_eq!(shown, [&json!(9), &json!(4), &json!(4), &json!(1)]);
}

/// Sends one step under a key eight times, killing the gateway on the way, and asserts that it
/// happened once each time: `after` says how many of a hundred units are left after so many.
fn happens_once_whenever_killed(step: &str, after: impl Fn(u64) -> u64) -> (Gateway, Shop, String) {
    let mut gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let product = shop.product(200);
    let id = shop.draft(&product, Sale::of(100));
    shop.step(&id, "publish");
    let token = shop.admin.token.clone().unwrap();
    let path = format!("/api/v1/admin/activities/{id}/{step}");
    for round in 1..=8 {
        let request = Request::new("POST", &path).key(format!("key-{round}"));
        let request = request.json(&json!({ "quantity": 1 }));
        let mut connection = Connection::open(gateway.address()).unwrap();
        connection.send(&request.clone().token(&token).bytes()).unwrap();
        // Some rounds kill it before the request is read, some when it is half done, or done.
        for _ in 0..round % 4 {
            drop(Client::new(gateway.address()).get("/").expect(200));
        }
        gateway.kill();
        gateway.restart(Start::cores(1 + round % 2));
        shop.admin = Client::with_token(gateway.address(), &token);
        for _ in 0..2 {
            drop(shop.admin.send(request.clone()).expect(200));
            assert_eq!(shop.remaining(&id), after(round as u64), "round {round}");
        }
        let other = Request::new("POST", &path).key(format!("key-{round}"));
        shop.admin.send(other.json(&json!({ "quantity": 2 }))).problem(422, "idempotency-mismatch");
    }
    (gateway, shop, id)
}

#[test]
fn a_restock_under_a_key_happens_once_whenever_the_gateway_is_killed() {
    let (gateway, ..) = happens_once_whenever_killed("restock", |times| 100 + times);
    gateway.run(&["audit"]).expect(0);
}

/// The store once remembered the key before the journal had the withdrawal: with a kill between the
/// two, the same request was answered 200 though nothing had been withdrawn.
#[test]
fn a_withdrawal_under_a_key_happens_once_whenever_the_gateway_is_killed() {
    let (gateway, mut shop, id) = happens_once_whenever_killed("withdraw", |times| 100 - times);
    shop.step(&id, "end");
    until("it is closed", GENEROUS, || (shop.state(&id)["phase"] == "closed").then_some(()));
    let path = format!("/api/v1/admin/activities/{id}/withdraw");
    let again = Request::new("POST", &path).key("key-1").json(&json!({ "quantity": 1 }));
    assert_eq!(shop.admin.send(again).expect(200).json()["phase"], "closed");
    until("the store follows", GENEROUS, || (gateway.audit(&id)["returned"] == 100).then_some(()));
    assert_eq!(gateway.audit(&id)["balanced"], true);
}

/// A sale was given to the engine once, and where another's change of it was on its way to the disk the
/// operator was told that nobody knew.
#[test]
fn operators_who_change_a_sale_together_are_all_told_that_it_is_done() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let product = shop.product(200);
    let id = shop.draft(&product, Sale::of(10));
    shop.step(&id, "publish");
    let path = format!("/api/v1/admin/activities/{id}/restock");
    let token = shop.admin.token.clone().unwrap();
    thread::scope(|scope| {
        for operator in 0..8 {
            let mut client = Client::with_token(gateway.address(), &token);
            let path = &path;
            scope.spawn(move || {
                for round in 0..10 {
                    let key = format!("{operator}-{round}");
                    let restock = Request::new("POST", path).key(key);
                    drop(client.send(restock.json(&json!({ "quantity": 1 }))).expect(200));
                }
            });
        }
    });
    assert_eq!(shop.remaining(&id), 90);
    assert_eq!(gateway.audit(&id)["balanced"], true);
}

#[test]
fn an_operator_sees_orders_and_the_account() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann, mut bob] = shop::shoppers(&gateway, "ann");
    let id = shop.sale(Sale::of(5));
    let order = shop::id_of(&ann.send(buy(&id, "a", 1)).expect(202).json());
    drop(bob.send(buy(&id, "b", 1)).expect(202));
    drop(ann.delete(&format!("/api/v1/orders/{order}")).expect(204));
    let mut find =
        |query: &str| shop::items(&mut shop.admin, &format!("/api/v1/admin/orders?{query}&"));
    until("the store has both orders", GENEROUS, || {
        let cancelled = find(&format!("activity_id={id}&status=cancelled"));
        (cancelled.len() == 1 && find(&format!("activity_id={id}")).len() == 2).then_some(())
    });
    let cancelled = find(&format!("activity_id={id}&status=cancelled"));
    assert_eq!(shop::id_of(&cancelled[0]), order);
    let user = ann.token.as_ref().unwrap().split('.').next().unwrap().to_owned();
    assert_eq!(find(&format!("user={user}")).len(), 1);

    let account = shop.admin.get(&format!("/api/v1/admin/audit/{id}")).expect(200).json();
    for (name, units) in [
        ("stock_total", 5),
        ("sold", 0),
        ("held", 1),
        ("reserved", 0),
        ("returned", 0),
        ("remaining", 4),
        ("over_limit_users", 0),
        ("overdue_unpaid", 0),
    ] {
        assert_eq!(account[name], units, "{name} in {account}");
    }
    assert_eq!(account["balanced"], true);
    assert!(account["at_position"].is_u64() && account["sources"].is_object(), "{account}");
    shop.admin.get("/api/v1/admin/audit/999999").problem(404, "not-found");
}
