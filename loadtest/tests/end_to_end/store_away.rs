//! A store that is away: the sale goes on without it, and it catches up when it is back.

use rusqlite::Connection as Store;
use seckill_loadtest::client::Client;
use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop::{self, Sale, Shop, buy};
use seckill_loadtest::store::Nowhere;
use serde_json::json;

/// A figure of the metrics without labels.
fn figure(operations: &mut Client, name: &str) -> f64 {
    let metrics = operations.get("/metrics").expect(200).text();
    let figure = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    metrics.lines().find_map(figure).unwrap_or_else(|| panic!("no {name} in {metrics}"))
}

/// Durable records that the store has not.
fn lag(operations: &mut Client) -> f64 {
    figure(operations, "seckill_flush_lag_records")
}

fn drained(operations: &mut Client) {
    until("the store has everything", GENEROUS, || (lag(operations) == 0.0).then_some(()));
}

/// Somebody else's transaction stalls every write of the store.
#[test]
fn d7_a_stalled_store_delays_no_buyer_and_no_operator() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let mut buyers: [Client; 6] = shop::shoppers(&gateway, "buyer");
    let activity = shop.sale(Sale::of(10));
    let mut operations = Client::new(gateway.operations());
    drained(&mut operations);
    let store = Store::open(gateway.data().join("store.db")).unwrap();
    store.execute_batch("BEGIN EXCLUSIVE").unwrap();
    for (behind, buyer) in [1.0, 2.0, 3.0].into_iter().zip(&mut buyers[..3]) {
        drop(buyer.send(buy(&activity, "a", 1)).expect(202));
        assert_eq!(lag(&mut operations), behind, "nothing is flushed, one record a buy");
    }
    shop.step(&activity, "pause");
    buyers[3].send(buy(&activity, "a", 1)).problem(409, "paused");
    shop.step(&activity, "resume");
    drop(buyers[3].send(buy(&activity, "a", 1)).expect(202));
    let order = &shop::orders(&mut buyers[0])[0].id;
    drop(buyers[0].delete(&format!("/api/v1/orders/{order}")).expect(204));
    shop.step(&activity, "end");
    buyers[4].send(buy(&activity, "a", 1)).problem(409, "ended");
    assert_eq!(lag(&mut operations), 8.0, "four orders, one cancelled, three steps");
    until("the oldest of them grows older", GENEROUS, || {
        (figure(&mut operations, "seckill_flush_lag_seconds") > 1.0).then_some(())
    });
    assert!(figure(&mut operations, "seckill_flush_drain_seconds") > 0.0);

    store.execute_batch("ROLLBACK").unwrap();
    drained(&mut operations);
    for none in ["seckill_flush_lag_seconds", "seckill_flush_drain_seconds"] {
        assert_eq!(figure(&mut operations, none), 0.0, "{none}");
    }
    let audited = gateway.audit(&activity);
    assert_eq!((&audited["held"], &audited["balanced"]), (&json!(3), &json!(true)), "{audited}");
}

/// One row that the store does not take stood before all others for ever.
#[test]
fn a_poisoned_row_is_set_aside_and_told_and_the_rest_goes_on() {
    let mut gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let mut buyers: [Client; 5] = shop::shoppers(&gateway, "buyer");
    let activity = shop.sale(Sale::of(10));
    let store = Store::open(gateway.data().join("store.db")).unwrap();
    let poison = "CREATE TRIGGER poison BEFORE INSERT ON sales_order
                  WHEN new.user_id = (SELECT max(id) - 2 FROM account WHERE username LIKE 'buyer%')
                  BEGIN SELECT RAISE(ABORT, 'a poisoned row'); END";
    store.execute_batch(poison).unwrap();
    let place =
        |buyer: &mut Client| shop::id_of(&buyer.send(buy(&activity, "a", 1)).expect(202).json());
    let orders = buyers.each_mut().map(place);
    let mut operations = Client::new(gateway.operations());
    drained(&mut operations);
    assert_eq!(figure(&mut operations, "seckill_flush_set_aside_rows"), 1.0);
    let found: i64 =
        store.query_row("SELECT count(*) FROM sales_order", [], |row| row.get(0)).unwrap();
    assert_eq!(found, 4);
    let columns = "SELECT subject, records, reason FROM set_aside";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let (subject, records, reason): (String, String, String) =
        store.query_row(columns, [], row).unwrap();
    let poisoned = orders.iter().find(|order| subject == format!("order {order}"));
    assert!(poisoned.is_some() && records.contains("OrderPlaced"), "{subject}: {records}");
    assert!(reason.contains("a poisoned row"), "{reason}");
    let told = gateway.run(&["audit"]).expect(1);
    assert!(told.contains(&format!("{subject} is set aside")) && told.contains(&reason), "{told}");

    // What was removed from the table is still missing among the orders.
    store.execute_batch("DROP TRIGGER poison; DELETE FROM set_aside").unwrap();
    let told = gateway.run(&["audit"]).expect(1);
    assert!(!told.contains("is set aside") && told.contains("the store lacks orders"), "{told}");
    gateway.stop();
}

/// A store that cannot be read, either: what is in memory is shown, and said to be a part.
#[test]
fn open_orders_are_listed_without_the_store() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann, mut bob] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale::of(10));
    let mut operations = Client::new(gateway.operations());
    let id = shop::id_of(&ann.send(buy(&activity, "a", 1)).expect(202).json());
    drained(&mut operations);
    assert_eq!(ann.get("/api/v1/orders").expect(200).json().get("partial"), None);
    let store = Store::open(gateway.data().join("store.db")).unwrap();
    store.execute_batch("ALTER TABLE sales_order RENAME TO orders_away").unwrap();
    let listed = ann.get("/api/v1/orders").expect(200).json();
    assert_eq!((&listed["partial"], &listed["items"][0]["id"]), (&json!(true), &json!(id)));
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    // Who has none in memory may have some in the store.
    bob.get("/api/v1/orders").problem(503, "unavailable");
    drop(bob.send(buy(&activity, "b", 1)).expect(202));
    assert_eq!(bob.get("/api/v1/orders").expect(200).json()["partial"], true);
    shop.step(&activity, "pause");
    shop.step(&activity, "end");
    store.execute_batch("ALTER TABLE orders_away RENAME TO sales_order").unwrap();
    drained(&mut operations);
    until("reads are let through again", GENEROUS, || {
        let listed = bob.get("/api/v1/orders").expect(200).json();
        listed.get("partial").is_none().then_some(())
    });
    assert_eq!(gateway.audit(&activity)["held"], 2);
}

/// A shopper who signs out is out, whether or not the store can be told.
#[test]
fn signing_out_holds_here_without_the_store() {
    let gateway = Gateway::start(Start::cores(2));
    let mut ann = shop::register(&gateway, "ann");
    let mut elsewhere = shop::sign_in(&gateway, "ann");
    let mut last = shop::sign_in(&gateway, "ann");
    let store = Store::open(gateway.data().join("store.db")).unwrap();
    store.execute_batch("ALTER TABLE revocation RENAME TO revocations_away").unwrap();
    drop(ann.delete("/api/v1/sessions/current").expect(204));
    ann.get("/api/v1/orders").problem(401, "unauthenticated");
    drop(elsewhere.get("/api/v1/orders").expect(200));
    drop(elsewhere.delete("/api/v1/sessions").expect(204));
    elsewhere.get("/api/v1/orders").problem(401, "unauthenticated");
    last.get("/api/v1/orders").problem(401, "unauthenticated");
    store.execute_batch("ALTER TABLE revocations_away RENAME TO revocation").unwrap();
    last.get("/api/v1/orders").problem(401, "unauthenticated");
}

/// Three gateways share a file, and another process keeps it from being written to while one of them
/// comes back from a crash. It looked for its schema under the write lock, and so did not start.
#[test]
fn a_gateway_that_starts_while_its_store_is_stalled_sells_and_catches_up() {
    let mut gateway = Gateway::start(Start::cores(1));
    let mut shop = Shop::open(&gateway);
    let [ann, bob] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale::of(10));
    drained(&mut Client::new(gateway.operations()));
    gateway.kill();
    let store = Store::open(gateway.data().join("store.db")).unwrap();
    store.execute_batch("BEGIN EXCLUSIVE").unwrap();
    gateway.restart(Start::cores(1));
    for client in [&ann, &bob] {
        let token = client.token.as_ref().unwrap();
        let mut client = Client::with_token(gateway.address(), token);
        drop(client.send(buy(&activity, "a", 1)).expect(202));
    }
    store.execute_batch("ROLLBACK").unwrap();
    drained(&mut Client::new(gateway.operations()));
    assert_eq!(gateway.audit(&activity)["held"], 2);
}

/// A gateway that starts after a crash, with nobody where its store should be, sells what it has.
#[test]
fn a_gateway_that_starts_without_its_store_sells_and_catches_up() {
    let mut gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [ann, bob] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale::of(10));
    let mut clients = [ann, bob];
    drop(clients[0].send(buy(&activity, "a", 1)).expect(202));
    gateway.kill();
    let nowhere = Nowhere::take();
    let store = vec![("SECKILL_STORE_URL".to_owned(), nowhere.url())];
    gateway.restart_with(Start::cores(1), store);
    let again = |gateway: &Gateway, client: &Client| {
        Client::with_token(gateway.address(), client.token.as_ref().unwrap())
    };
    let [mut ann, mut bob] = clients.each_ref().map(|client| again(&gateway, client));
    ann.send(buy(&activity, "b", 1)).problem(409, "limit-reached");
    drop(bob.send(buy(&activity, "a", 1)).expect(202));
    assert_eq!(ann.get("/api/v1/orders").expect(200).json()["partial"], true);
    drop(Client::new(gateway.address()).get(&format!("/activities/{activity}")).expect(200));
    let sign_in = json!({ "username": "ann", "password": "not looked at" });
    Client::new(gateway.address()).post("/api/v1/sessions", &sign_in).problem(503, "unavailable");
    let mut operations = Client::new(gateway.operations());
    drop(operations.get("/readyz").expect(200));
    assert!(lag(&mut operations) >= 2.0, "nothing is flushed");

    gateway.kill();
    gateway.restart_with(Start::cores(2), Vec::new());
    drained(&mut Client::new(gateway.operations()));
    assert_eq!(gateway.audit(&activity)["held"], 2);
    gateway.run(&["audit"]).expect(0);
}
