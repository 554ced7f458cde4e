//! A store that fails is left alone, and the sale goes on without it.

use std::sync::mpsc::channel;
use std::thread;

use rusqlite::Connection as Store;
use seckill_loadtest::client::Client;
use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop::{self, Sale, Shop, buy};

/// More calls than a breaker looks back at.
const CALLS: usize = 40;
/// Slow calls that open one, whatever has been good before.
const OPENING: usize = 12;
/// More than are let through once it has rested.
const PROBING: usize = 5;

/// A figure of the breaker before reads, or before writes.
fn figure(operations: &mut Client, calls: &str, name: &str) -> u64 {
    let metrics = operations.get("/metrics").expect(200).text();
    let name = format!("seckill_breaker_{name}{{follower=\"store\",calls=\"{calls}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap_or_else(|| panic!("no {name}in {metrics}")).parse().unwrap()
}

#[test]
fn a_row_that_is_damaged_keeps_nobody_from_the_others() {
    let gateway = Gateway::start(Start::cores(1));
    let mut shop = Shop::open(&gateway);
    let [mut ann] = shop::shoppers(&gateway, "ann");
    let [damaged, whole] = [5, 5].map(|stock| format!("/api/v1/products/{}", shop.product(stock)));
    let store = Store::open(gateway.data().join("store.db")).unwrap();
    let id = damaged.rsplit('/').next().unwrap();
    // Three letters, as the schema wants them, and not three bytes.
    let damage = "UPDATE product SET currency = '\u{e4}\u{f6}\u{fc}' WHERE id = ?1";
    assert_eq!(store.execute(damage, [id]).unwrap(), 1);
    for _ in 0..CALLS {
        ann.get(&damaged).problem(503, "unavailable");
        drop(ann.get(&whole).expect(200));
    }
    let mut operations = Client::new(gateway.operations());
    assert_eq!(figure(&mut operations, "read", "opened_total"), 0);
}

#[test]
fn a_store_that_fails_is_left_alone_and_comes_back() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let [mut ann] = shop::shoppers(&gateway, "ann");
    let activity = shop.sale(Sale::of(2));
    let product = shop.product(5);
    let product = format!("/api/v1/products/{product}");
    let mut operations = Client::new(gateway.operations());
    assert_eq!(figure(&mut operations, "read", "state"), 0);

    let store = Store::open(gateway.data().join("store.db")).unwrap();
    store.execute_batch("ALTER TABLE product RENAME TO product_away").unwrap();
    for _ in 0..CALLS {
        let refused = ann.get(&product);
        refused.problem(503, "unavailable");
        assert!(refused.header("retry-after").is_some(), "{refused:?}");
    }
    assert!(figure(&mut operations, "read", "opened_total") > 0);
    assert!(figure(&mut operations, "read", "refused_total") > 0);
    assert_eq!(operations.get("/readyz").expect(200).text(), "ready, without the store\n");
    drop(ann.send(buy(&activity, "a", 1)).expect(202));

    store.execute_batch("ALTER TABLE product_away RENAME TO product").unwrap();
    until("the breaker has closed", GENEROUS, || {
        drop(ann.get(&product));
        (figure(&mut operations, "read", "state") == 0).then_some(())
    });
    drop(ann.get(&product).expect(200));
    assert_eq!(operations.get("/readyz").expect(200).text(), "ready\n");
    assert_eq!(shop::orders(&mut ann).len(), 1);
}

/// Somebody else's transaction stalls what is written: only its slowness tells.
#[test]
fn a_store_that_takes_no_writes_is_left_alone_with_them_and_read_as_ever() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let kept = format!("/api/v1/products/{}", shop.product(5));
    let (address, token) = (gateway.address(), shop.admin.token.clone().unwrap());
    let write = || {
        let mut admin = Client::with_token(address, &token);
        admin.post("/api/v1/admin/products", &shop::product(1))
    };
    let mut operations = Client::new(gateway.operations());
    let store = Store::open(gateway.data().join("store.db")).unwrap();
    store.execute_batch("BEGIN EXCLUSIVE").unwrap();
    thread::scope(|scope| {
        let waiting = [(); OPENING].map(|()| scope.spawn(write));
        until("slow writes have opened it", GENEROUS, || {
            (figure(&mut operations, "write", "state") == 2).then_some(())
        });
        assert_eq!(operations.get("/readyz").expect(200).text(), "ready, without the store\n");
        drop(shop.admin.get(&kept).expect(200));
        assert_eq!(figure(&mut operations, "read", "opened_total"), 0);
        // Where it has rested by then, a few are let through, and wait.
        let (answer, answers) = channel();
        for answer in [(); PROBING].map(|()| answer.clone()) {
            scope.spawn(move || drop(answer.send(write())));
        }
        drop(answer);
        let refused = answers.iter().find(|it| it.status == 503).expect("not all are let through");
        refused.problem(503, "unavailable");
        assert!(refused.header("retry-after").is_some(), "{refused:?}");
        assert!(figure(&mut operations, "write", "refused_total") > 0);

        store.execute_batch("ROLLBACK").unwrap();
        for written in waiting {
            // In time, or too late to be told so; who came behind the others was refused.
            let status = written.join().unwrap().status;
            assert!([201, 504, 503].contains(&status), "{status}");
        }
    });
    until("the breaker has closed", GENEROUS, || {
        drop(write());
        (figure(&mut operations, "write", "state") == 0).then_some(())
    });
    drop(write().expect(201));
    assert_eq!(operations.get("/readyz").expect(200).text(), "ready\n");
}
