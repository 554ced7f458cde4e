//! Calls about an order that meet another gateway than its owner: which may be there, killed,
//! silent, or back again.

use std::thread;

use seckill_loadtest::client::{Client, Request, Response};
use seckill_loadtest::order::Status;
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::provider::{delivery, failed, succeeded};
use seckill_loadtest::shop::{self, Sale};
use serde_json::{Value, json};

use crate::fleet::{Fleet, START, await_status, buy};

/// Where the shoppers of these tests buy, and where they ask then.
const OWNER: usize = 1;

/// A payable order at the owner.
fn payable(shopper: &mut [Client], activity: &str, key: &str) -> String {
    let order =
        until("the shopper is served", GENEROUS, || buy(&mut shopper[OWNER], activity, key).ok());
    await_status(&mut shopper[OWNER], &order.id, Status::AwaitingPayment);
    order.id
}

fn show(client: &mut Client, order: &str) -> Response {
    client.get(&format!("/api/v1/orders/{order}"))
}

fn cancel(client: &mut Client, order: &str) -> Response {
    client.delete(&format!("/api/v1/orders/{order}"))
}

fn pay(order: &str) -> Request {
    let path = format!("/api/v1/orders/{order}/payments");
    Request::new("POST", &path).json(&json!({ "method": "sandbox" }))
}

fn step(order: &str, step: &str, body: &Value) -> Request {
    Request::new("POST", &format!("/api/v1/admin/orders/{order}/{step}")).json(body)
}

fn payment_of(started: Response) -> String {
    started.expect(201).json()["payment_id"].as_str().unwrap().to_owned()
}

/// An order's payments as the store has them: where to pay is for its gateway to say.
fn read_from_store(known: &Value) -> Value {
    let mut payments = known["payments"].clone();
    for payment in payments.as_array_mut().unwrap() {
        payment.as_object_mut().unwrap().remove("redirect_url");
    }
    payments
}

/// An order id of a gateway: the highest bits say whose it is.
fn id_of_gateway(gateway: u64, counter: u64) -> String {
    ((gateway << 53) | counter).to_string()
}

#[test]
fn any_call_about_an_order_meets_any_gateway() {
    let mut fleet = Fleet::start(3);
    let activity = fleet.sale(Sale { limit: 3, ..Sale::of(30) });
    let [mut ann, mut bob] = <[_; 2]>::try_from(fleet.shoppers("ann", 2)).unwrap();
    let order = payable(&mut ann, &activity, "first");
    let at_home = show(&mut ann[OWNER], &order).expect(200).json();
    for gateway in [0, 2] {
        let client = &mut ann[gateway];
        assert_eq!(show(client, &order).expect(200).json(), at_home);
        let head = Request::new("HEAD", &format!("/api/v1/orders/{order}"));
        assert_eq!(client.send(head).expect(200).text(), "");
    }
    show(&mut bob[0], &order).problem(404, "not-found");
    show(&mut Client::new(fleet.gateways[0].address()), &order).problem(401, "unauthenticated");
    // Paid for: started twice under one key, once without, given up, told of at yet another gateway.
    let keyed = || pay(&order).key("pay");
    let payment = payment_of(ann[2].send(keyed()));
    assert_eq!(payment_of(ann[OWNER].send(keyed())), payment);
    let payments = format!("/api/v1/orders/{order}/payments");
    ann[0].post(&payments, &json!({})).problem(422, "invalid-request");
    let other = payment_of(ann[0].send(pay(&order)));
    assert_ne!(other, payment);
    let give_up = format!("/api/v1/orders/{order}/payments/{other}");
    bob[2].delete(&give_up).problem(404, "not-found");
    drop(ann[2].delete(&give_up).expect(204));
    assert_eq!(
        ann[0].get(&format!("/api/v1/sandbox/payments/{payment}")).expect(200).json()["order_id"],
        order
    );
    for gateway in [0, 2, OWNER] {
        let mut provider = Client::new(fleet.gateways[gateway].address());
        drop(provider.send(delivery(succeeded(&payment, 1_000), 0)).expect(204));
        let nothing = id_of_gateway(1, 1 << 36);
        provider.send(delivery(failed(&nothing), 0)).problem(404, "not-found");
    }
    let paid = show(&mut ann[2], &order).expect(200).json();
    assert_eq!((&paid["status"], paid.get("as_of")), (&json!("paid"), None));
    cancel(&mut ann[0], &order).problem(409, "order-state");
    // Operators, too; a shopper is none at any gateway.
    ann[0].send(step(&order, "refund", &json!({ "return_units": true }))).problem(403, "forbidden");
    let refund = || step(&order, "refund", &json!({ "return_units": true })).key("refund");
    for _ in 0..2 {
        let refunded = fleet.shop.admin.send(refund()).expect(200).json();
        assert_eq!((&refunded["id"], &refunded["status"]), (&json!(order), &json!("refunded")));
        assert!(refunded["user_id"].is_string());
    }
    let [by_admin, by_shopper] = ["second", "third"].map(|key| payable(&mut ann, &activity, key));
    drop(fleet.shop.admin.send(step(&by_admin, "cancel", &json!({}))).expect(200));
    drop(cancel(&mut ann[2], &by_shopper).expect(204));
    drop(cancel(&mut ann[0], &by_shopper).expect(204));
    for order in [&by_admin, &by_shopper] {
        await_status(&mut ann[OWNER], order, Status::Cancelled);
    }
    // The list has the others' orders as the store has them.
    until("all orders are listed", GENEROUS, || {
        let listed = shop::items(&mut ann[2], "/api/v1/orders?");
        assert!(listed.iter().all(|order| order["as_of"].is_string()), "{listed:?}");
        (listed.len() == 3).then_some(())
    });
    let own = shop::items(&mut ann[OWNER], "/api/v1/orders?");
    assert!(own.len() == 3 && own.iter().all(|order| order.get("as_of").is_none()), "{own:?}");
    assert_eq!(fleet.labelled(0, "seckill_peers{state=\"present\"}"), Some(2));
    let answered = "seckill_peer_calls_total{peer=\"1\",outcome=\"answered\"}";
    assert!(fleet.labelled(0, answered) >= Some(10) && fleet.labelled(2, answered) >= Some(5));
    assert_eq!(fleet.labelled(OWNER, &answered.replace("\"1\"", "\"0\"")), Some(0));
    show(&mut ann[0], &id_of_gateway(900, 1)).problem(404, "not-found");
    cancel(&mut ann[0], &id_of_gateway(1, 1 << 36)).problem(404, "not-found");
}

#[test]
fn with_its_owner_killed_an_order_can_be_read_and_nothing_else() {
    let mut fleet = Fleet::start(2);
    let activity = fleet.sale(Sale::of(20));
    let [mut ann, mut bob] = <[_; 2]>::try_from(fleet.shoppers("ann", 2)).unwrap();
    let order = payable(&mut ann, &activity, "first");
    let payment = payment_of(ann[0].send(pay(&order)));
    let known = show(&mut ann[0], &order).expect(200).json();
    let as_of = until("the store has it all, and says so", GENEROUS, || {
        let listed = shop::items(&mut ann[0], "/api/v1/orders?").remove(0);
        let as_of = listed["as_of"].as_str().unwrap();
        let is_later = as_of > known["created_at"].as_str().unwrap();
        (is_later && listed["payments"] == read_from_store(&known)).then(|| as_of.to_owned())
    });
    fleet.gateways[OWNER].kill();
    let read = show(&mut ann[0], &order).expect(200).json();
    assert!(read["as_of"].as_str().unwrap() >= as_of.as_str(), "{read}");
    assert_eq!(read["payments"], read_from_store(&known));
    assert_eq!((&read["status"], &read["id"]), (&known["status"], &known["id"]));
    assert!(shop::items(&mut ann[0], "/api/v1/orders?")[0]["as_of"].is_string());
    show(&mut bob[0], &order).problem(404, "not-found");
    // What the store does not have its gateway may have.
    show(&mut ann[0], &id_of_gateway(1, 1 << 36)).problem(503, "unavailable");
    let away = |answer: Response| {
        answer.problem(503, "unavailable");
        assert!(answer.header("retry-after").is_some());
    };
    // More than its breaker lets through, so that both ways of being away are met.
    for _ in 0..3 {
        away(cancel(&mut ann[0], &order));
        away(ann[0].send(pay(&order)));
        away(ann[0].delete(&format!("/api/v1/orders/{order}/payments/{payment}")));
        away(fleet.shop.admin.send(step(&order, "cancel", &json!({}))));
        let mut provider = Client::new(fleet.gateways[0].address());
        away(provider.send(delivery(succeeded(&payment, 1_000), 0)));
        drop(show(&mut ann[0], &order).expect(200));
    }
    let opened = "seckill_breaker_opened_total{follower=\"gateway 1\",calls=\"all\"}";
    assert!(fleet.labelled(0, opened) >= Some(1));
    let list = fleet.gateways[0].run(&["gateway", "list"]).expect(0);
    let is_whole = |line: &str| line.contains(" seen ") && line.contains(" as of 20");
    assert!(list.lines().count() == 2 && list.lines().all(is_whole), "{list}");
    fleet.gateways[OWNER].restart(START);
    let back = until("its owner is back", GENEROUS, || {
        let read = show(&mut ann[0], &order).expect(200).json();
        read.get("as_of").is_none().then_some(read)
    });
    assert_eq!(back["status"], "awaiting_payment", "nothing happened meanwhile");
    drop(cancel(&mut ann[0], &order).expect(204));
}

/// A gateway that is stopped takes connections still, and says nothing. What its callers have given
/// up it does not begin when it goes on.
#[test]
fn a_silent_owner_leaves_open_what_a_change_has_come_to() {
    let mut fleet = Fleet::start(2);
    let activity = fleet.sale(Sale::of(20));
    let [mut ann] = <[_; 1]>::try_from(fleet.shoppers("ann", 1)).unwrap();
    let order = payable(&mut ann, &activity, "first");
    let payment = payment_of(ann[0].send(pay(&order)));
    let token = ann[0].token.clone().unwrap();
    let address = fleet.gateways[0].address();
    fleet.stop(OWNER);
    let client = || Client::with_token(address, &token);
    thread::scope(|scope| {
        scope.spawn(|| cancel(&mut client(), &order).problem(504, "outcome-unknown"));
        scope.spawn(|| client().send(pay(&order)).problem(504, "outcome-unknown"));
        scope.spawn(|| show(&mut client(), &order).problem(503, "unavailable"));
        scope.spawn(|| {
            let word = delivery(succeeded(&payment, 1_000), 0);
            Client::new(address).send(word).problem(503, "unavailable");
        });
    });
    // Four calls in vain, and a row that stands still: it is away, and the store has the order.
    assert!(show(&mut ann[0], &order).expect(200).json()["as_of"].is_string());
    cancel(&mut ann[0], &order).problem(503, "unavailable");
    fleet.go_on(OWNER);
    let back = until("its owner is back", GENEROUS, || {
        let read = show(&mut ann[0], &order).expect(200).json();
        read.get("as_of").is_none().then_some(read)
    });
    assert_eq!(back["status"], "awaiting_payment");
    assert_eq!(back["payments"].as_array().unwrap().len(), 1);
    drop(cancel(&mut ann[0], &order).expect(204));
}
