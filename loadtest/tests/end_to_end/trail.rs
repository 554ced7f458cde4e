//! The operators' trail: who did what, when, to what.

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection as Store;
use seckill_loadtest::client::{Client, Request, Response};
use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::provider::{self, delivery, succeeded};
use seckill_loadtest::shop::{self, ADMIN, PASSWORD, Sale, Shop, buy};
use serde_json::{Value, json};

const TRAIL: &str = "/api/v1/admin/trail?";

/// Who did what to what, and what is said of it, oldest first.
fn told(gateway: &Gateway, admin: &mut Client) -> Vec<String> {
    let mut operations = Client::new(gateway.operations());
    until("all acts are noted", GENEROUS, || {
        let metrics = operations.get("/metrics").expect(200).text();
        metrics.contains("\nseckill_acts_unwritten 0\n").then_some(())
    });
    listed(admin)
}

/// Those that the store has by now.
fn listed(admin: &mut Client) -> Vec<String> {
    let line = |act: &Value| {
        let text = |member: &Value| member.as_str().unwrap_or_default().to_owned();
        let target = &act["target"];
        let line = [&act["by"], &act["act"], &target["kind"], &target["id"], &act["detail"]];
        line.map(text).join(" ").trim_end().to_owned()
    };
    shop::items(admin, TRAIL).iter().rev().map(line).collect()
}

fn patch(client: &mut Client, path: &str, version: u64, body: &Value) -> Response {
    let request = Request::new("PATCH", path).header("if-match", format!("\"{version}\""));
    client.send(request.json(body))
}

fn version(client: &mut Client, path: &str) -> u64 {
    client.get(path).expect(200).json()["version"].as_u64().unwrap()
}

fn post(client: &mut Client, path: &str, body: &Value) -> Value {
    client.post(path, body).expect(200).json()
}

/// A product and its sale, from the plan to the end; what the trail is to say of them.
fn run_a_sale(shop: &mut Shop) -> Vec<String> {
    let product = shop.product(50);
    let (public, own) =
        (format!("/api/v1/products/{product}"), format!("/api/v1/admin/products/{product}"));
    let price = json!({ "amount": 5_000, "currency": "USD" });
    let now = version(&mut shop.admin, &public);
    let change = json!({ "title": "Kettle, blue", "price": price, "stock": 60 });
    drop(patch(&mut shop.admin, &own, now, &change).expect(200));
    patch(&mut shop.admin, &own, now, &change).problem(409, "conflict");
    let sale = shop.draft(&product, Sale::of(10));
    let own = format!("/api/v1/admin/activities/{sale}");
    let now = version(&mut shop.admin, &format!("/api/v1/activities/{sale}"));
    drop(patch(&mut shop.admin, &own, now, &json!({ "per_user_limit": 2 })).expect(200));
    for step in ["publish", "pause", "resume"] {
        shop.step(&sale, step);
    }
    let too_many = json!({ "quantity": 1_000 });
    shop.admin.post(&format!("{own}/restock"), &too_many).problem(409, "insufficient-stock");
    for _ in 0..2 {
        let more = json!({ "quantity": 5 });
        let request = Request::new("POST", &format!("{own}/restock")).key("five-more").json(&more);
        drop(shop.admin.send(request).expect(200));
    }
    post(&mut shop.admin, &format!("{own}/withdraw"), &json!({ "quantity": 3 }));
    shop.step(&sale, "end");
    let of_sale = |act: &str| format!("{ADMIN} {act} activity {sale}");
    vec![
        format!("{ADMIN} created product {product} price 5900, stock 50"),
        format!("{ADMIN} changed product {product} title, price 5000, stock 60"),
        of_sale("created") + " sale_price 1000, stock_total 10",
        of_sale("changed") + " per_user_limit 2",
        of_sale("published"),
        of_sale("paused"),
        of_sale("resumed"),
        of_sale("restocked") + " quantity 5",
        of_sale("withdrawn") + " quantity 3",
        of_sale("ended"),
    ]
}

/// An order that is cancelled and one that is paid and refunded; what the trail is to say of them.
fn end_two_orders(gateway: &Gateway, shop: &mut Shop, sale: &str) -> Vec<String> {
    let [mut ann] = shop::shoppers(gateway, "ann");
    let mut orders = [(); 2].map(|()| {
        let order = shop::id_of(&ann.send(buy(sale, "first", 1)).expect(202).json());
        post(&mut shop.admin, &format!("/api/v1/admin/orders/{order}/cancel"), &json!({}));
        order
    });
    assert_eq!(orders[0], orders[1], "the key's order, as it is now");
    orders[1] = shop::id_of(&ann.send(buy(sale, "second", 1)).expect(202).json());
    let refund = format!("/api/v1/admin/orders/{}/refund", orders[1]);
    let body = json!({ "return_units": true });
    shop.admin.post(&refund, &body).problem(409, "order-state");
    let pay = Request::new("POST", &format!("/api/v1/orders/{}/payments", orders[1])).key("pay");
    let paid = ann.send(pay.json(&json!({ "method": "sandbox" }))).expect(201).json();
    let paid = succeeded(paid["payment_id"].as_str().unwrap(), 1_000);
    drop(Client::new(gateway.address()).send(delivery(&paid, 0)).expect(204));
    post(&mut shop.admin, &refund, &body);
    // Twice: an act that found done what it asked for is one all the same.
    let cancelled = format!("{ADMIN} cancelled order {}", orders[0]);
    let refunded = format!("{ADMIN} refunded order {} return_units true", orders[1]);
    vec![cancelled.clone(), cancelled, refunded]
}

#[test]
fn every_act_is_told_once_it_is_done_and_no_refused_one() {
    let gateway = provider::gateway(Start::cores(2));
    let begun = Timestamp::now();
    let mut shop = Shop::open(&gateway);
    let me = shop::id_of(&shop.admin.get("/api/v1/users/me").expect(200).json());
    let mut expected = vec![format!("command line created user {me} admin")];
    assert_eq!(told(&gateway, &mut shop.admin), expected);
    expected.extend(run_a_sale(&mut shop));
    assert_eq!(told(&gateway, &mut shop.admin), expected);
    let sale = shop.sale(Sale::of(5));
    let so_far = told(&gateway, &mut shop.admin).len();
    let orders = end_two_orders(&gateway, &mut shop, &sale);
    let lines = told(&gateway, &mut shop.admin);
    assert!(
        lines[so_far].starts_with("command line created user ") && lines[so_far].contains("token")
    );
    assert_eq!(lines[so_far + 1..], orders);

    let mut zoe = shop::register(&gateway, "zoe");
    let id = shop::id_of(&zoe.get("/api/v1/users/me").expect(200).json());
    let of_zoe = format!("/api/v1/admin/users/{id}");
    drop(shop.admin.send(Request::new("POST", &format!("{of_zoe}/unblock"))).expect(200));
    let reset = format!("{of_zoe}/password-reset");
    let link = shop.admin.send(Request::new("POST", &reset)).expect(200).json();
    zoe.get(TRAIL).problem(403, "forbidden");
    zoe.send(Request::new("POST", &reset)).problem(403, "forbidden");
    let roles = Request::new("PUT", &format!("{of_zoe}/roles"));
    let roles = roles.json(&json!({ "roles": ["shopper", "operator"] }));
    drop(shop.admin.send(roles).expect(200));
    // An operator is no administrator, but acts like one where that is allowed.
    let mut zoe = shop::sign_in(&gateway, "zoe");
    zoe.get(TRAIL).problem(403, "forbidden");
    zoe.send(Request::new("POST", &reset)).problem(403, "forbidden");
    let pause = format!("/api/v1/admin/activities/{sale}/pause");
    drop(zoe.send(Request::new("POST", &pause)).expect(200));
    let last = told(&gateway, &mut shop.admin).split_off(so_far + 1 + orders.len());
    let expected = [
        format!("{ADMIN} unblocked user {id}"),
        format!("{ADMIN} password_link_made user {id}"),
        format!("{ADMIN} roles_set user {id} shopper, operator"),
        format!("zoe paused activity {sale}"),
    ];
    assert_eq!(last, expected);

    let page = shop.admin.get(&format!("{TRAIL}limit=1")).expect(200).json();
    let act = &page["items"][0];
    assert_eq!((&act["user_id"], &act["gateway"]), (&json!(id), &json!(0)));
    assert_eq!(act["outcome"], "done");
    let at: Timestamp = act["at"].as_str().unwrap().parse().unwrap();
    // The gateway's clock may be slewed against the machine's.
    let slack = SignedDuration::from_secs(1);
    assert!(at >= begun - slack && at <= Timestamp::now() + slack, "{at}");
    let all = shop.admin.get(&format!("{TRAIL}limit=100")).expect(200).text();
    for secret in [PASSWORD, link["token"].as_str().unwrap(), zoe.token.as_deref().unwrap()] {
        assert!(!all.contains(secret), "{secret}");
    }
}

/// A sale is paused with the store away, and that is told as done; the trail has it when the store is
/// back, though the gateway goes down meanwhile.
#[test]
fn what_is_done_with_the_store_away_is_noted_when_it_is_back() {
    let mut gateway = Gateway::start(Start::cores(1));
    let mut shop = Shop::open(&gateway);
    let sale = shop.sale(Sale::of(5));
    let before = told(&gateway, &mut shop.admin);
    let store = Store::open(gateway.data().join("store.db")).unwrap();
    store.execute_batch("ALTER TABLE trail RENAME TO trail_away").unwrap();
    shop.step(&sale, "pause");
    let mut operations = Client::new(gateway.operations());
    let metrics = operations.get("/metrics").expect(200).text();
    assert!(metrics.contains("\nseckill_acts_unwritten 1\n"), "it waits for the store");
    store.execute_batch("ALTER TABLE trail_away RENAME TO trail").unwrap();
    let paused = format!("{ADMIN} paused activity {sale}");
    until("the pause is noted", GENEROUS, || {
        (listed(&mut shop.admin).last() == Some(&paused)).then_some(())
    });
    store.execute_batch("ALTER TABLE trail RENAME TO trail_away").unwrap();
    shop.step(&sale, "resume");
    store.execute_batch("ALTER TABLE trail_away RENAME TO trail").unwrap();
    drop(store);
    gateway.stop();
    gateway.restart(Start::cores(1));
    let mut admin = shop::sign_in(&gateway, ADMIN);
    let resumed = format!("{ADMIN} resumed activity {sale}");
    assert_eq!(told(&gateway, &mut admin), [&before[..], &[paused, resumed]].concat());
}

/// Whoever is not told what came of a request did it, or did not: the trail says that nobody knows.
#[test]
fn what_nobody_was_told_of_is_noted_as_unknown() {
    let gateway = Gateway::start(Start::cores(1));
    let mut shop = Shop::open(&gateway);
    let sale = shop.sale(Sale::of(5));
    let store = Store::open(gateway.data().join("store.db")).unwrap();
    store.execute_batch("ALTER TABLE product RENAME TO product_away").unwrap();
    let more = json!({ "quantity": 1 });
    let own = format!("/api/v1/admin/activities/{sale}/restock");
    shop.admin.post(&own, &more).problem(504, "outcome-unknown");
    store.execute_batch("ALTER TABLE product_away RENAME TO product").unwrap();
    let last = until("it is noted", GENEROUS, || {
        let items = shop::items(&mut shop.admin, TRAIL);
        items.first().filter(|act| act["act"] == "restocked").cloned()
    });
    assert_eq!((&last["outcome"], &last["target"]["id"]), (&json!("unknown"), &json!(sale)));
    assert_eq!(last.get("detail"), None);
}
