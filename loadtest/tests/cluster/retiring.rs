//! Gateways that leave the fleet: lost for good, cut off, or handing themselves over. Their orders go on
//! with another, and what they had not sold is sold.

use std::collections::BTreeSet;
use std::fs;

use seckill_loadtest::client::{Client, Request, Response};
use seckill_loadtest::gateway::Ended;
use seckill_loadtest::order::Status;
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::provider::{delivery, succeeded};
use seckill_loadtest::shop::{self, Sale, id_of};
use serde_json::{Value, json};

use crate::fleet::{Fleet, SERVE, START, await_status, buy, sell};

/// Who is lost, and who takes over.
pub(crate) const LOST: usize = 1;
pub(crate) const ADOPTER: usize = 0;
/// Who has nothing to do with it.
pub(crate) const OTHER: usize = 2;

/// A payable order at the one that will be lost, as the store has it, too.
pub(crate) fn payable(shopper: &mut [Client], activity: &str, key: &str) -> String {
    let order =
        until("the shopper is served", GENEROUS, || buy(&mut shopper[LOST], activity, key).ok());
    await_status(&mut shopper[LOST], &order.id, Status::AwaitingPayment);
    await_stored(shopper, &order.id, |it| it["status"] == "awaiting_payment");
    order.id
}

/// Waits until the store has an order as it should be, as another gateway's list shows it.
fn await_stored(shopper: &mut [Client], order: &str, is_so: impl Fn(&Value) -> bool) {
    until("the store has the order", GENEROUS, || {
        let known = shop::items(&mut shopper[ADOPTER], "/api/v1/orders?");
        known.iter().any(|it| it["id"] == order && is_so(it)).then_some(())
    });
}

fn show(client: &mut Client, order: &str) -> Value {
    client.get(&format!("/api/v1/orders/{order}")).expect(200).json()
}

pub(crate) fn pay(client: &mut Client, order: &str) -> String {
    let path = format!("/api/v1/orders/{order}/payments");
    let start = || Request::new("POST", &path).json(&json!({ "method": "sandbox" }));
    // While its gateway is being taken over nobody can.
    let started = until("a payment can be started", GENEROUS, || {
        let answer = client.send(start());
        (answer.status != 503).then_some(answer)
    });
    started.expect(201).json()["payment_id"].as_str().unwrap().to_owned()
}

pub(crate) fn tell_paid(fleet: &Fleet, gateway: usize, payment: &str) -> Response {
    let mut provider = Client::new(fleet.gateways[gateway].address());
    provider.send(delivery(succeeded(payment, 1_000), 0))
}

pub(crate) fn retire(fleet: &Fleet, arguments: &[&str]) -> Ended {
    retire_to(fleet, [LOST, ADOPTER], arguments)
}

fn retire_to(fleet: &Fleet, [lost, adopter]: [usize; 2], arguments: &[&str]) -> Ended {
    let [lost, number] = [lost, adopter].map(|it| it.to_string());
    let command = ["gateway", "retire", &lost, "--adopter", &number];
    fleet.gateways[adopter].run(&[&command[..], arguments].concat())
}

/// What a command line or an operator did to what, and what the trail says of it.
fn acts(fleet: &mut Fleet) -> Vec<[String; 3]> {
    let acts = shop::items(&mut fleet.shop.admin, "/api/v1/admin/trail?");
    let text = |member: &Value| member.as_str().unwrap_or_default().to_owned();
    let act = |act: &Value| [&act["act"], &act["target"]["id"], &act["detail"]].map(text);
    acts.iter().map(act).collect()
}

pub(crate) fn await_adoption(fleet: &Fleet) {
    await_adoption_by(fleet, [LOST, ADOPTER]);
}

pub(crate) fn await_adoption_by(fleet: &Fleet, [lost, adopter]: [usize; 2]) {
    let orders = format!("seckill_adopted_orders{{gateway=\"{lost}\"}}");
    until("the lost gateway is adopted", GENEROUS, || fleet.labelled(adopter, &orders));
}

/// What became of the lost one's four orders shows at the adopter, under the lost one's number.
fn await_figures(fleet: &Fleet, activity: &str) {
    let gateway = format!("gateway=\"{LOST}\"");
    let of_sale = format!("{gateway},activity=\"{activity}\"");
    let outcomes = [("placed", 4), ("paid", 2), ("cancelled", 1), ("refunded", 1), ("rejected", 0)];
    let outcomes = outcomes.map(|(outcome, count)| {
        ("orders_total", format!("{of_sale},outcome=\"{outcome}\""), count)
    });
    let others = [
        ("refunds_total", &gateway, 1),
        ("refund_faults_total", &gateway, 0),
        ("flush_faults_total", &gateway, 0),
        ("flush_lag_records", &gateway, 0),
        ("flush_lag_seconds", &gateway, 0),
        ("flush_set_aside_rows", &gateway, 0),
        ("lease_live", &of_sale, 1),
        ("lease_drift_units", &of_sale, 0),
    ];
    let others = others.map(|(name, labels, figure)| (name, labels.clone(), figure));
    for (name, labels, figure) in outcomes.into_iter().chain(others) {
        let family = format!("seckill_adopted_{name}{{{labels}}}");
        until(&format!("{family} is {figure}"), GENEROUS, || {
            (fleet.labelled(ADOPTER, &family) == Some(figure)).then_some(())
        });
    }
}

/// All books of the adopter, its own and those of whom it has adopted, agree with the store.
pub(crate) fn audit(fleet: &Fleet) {
    let ended = fleet.gateways[ADOPTER].audited(&["audit"]);
    assert!(ended.contains(&format!("adopted gateway {LOST}: activity")), "{ended}");
    let sound = fleet.gateways[ADOPTER].run(&["journal", "verify"]).expect(0);
    assert!(sound.contains(&format!("adopted gateway {LOST}: journal")), "{sound}");
}

#[test]
fn c18_a_lost_gateways_orders_go_on_and_its_units_are_sold_by_others() {
    let mut fleet = Fleet::start(3);
    let activity = fleet.sale(Sale { limit: 2, ..Sale::of(24) });
    let mut buyers = fleet.shoppers("buyer", 4);
    let orders: Vec<String> =
        buyers.iter_mut().map(|buyer| payable(buyer, &activity, "here")).collect();
    let before = pay(&mut buyers[0][LOST], &orders[0]);
    await_stored(&mut buyers[0], &orders[0], |it| it["payments"][0]["payment_id"] == *before);
    let mut crowd = fleet.shoppers("crowd", 30);
    fleet.gateways[LOST].kill();
    fs::remove_dir_all(fleet.gateways[LOST].data()).unwrap();
    tell_paid(&fleet, OTHER, &before).problem(503, "unavailable");
    retire(&fleet, &[]).refused("SECKILL_MEMBERSHIP_LASTS");
    let told = retire(&fleet, &["--machine-is-off"]).expect(0);
    assert!(told.contains("takes over its orders now"), "{told}");
    await_adoption(&fleet);
    retire(&fleet, &["--machine-is-off"]).refused("retired already");
    let list = fleet.gateways[OTHER].run(&["gateway", "list"]).expect(0);
    assert!(list.contains(&format!("adopted by {ADOPTER}")), "{list}");
    let retired = acts(&mut fleet).into_iter().filter(|act| act[0] == "retired");
    let what = format!("adopted by {ADOPTER}, its machine is off");
    assert!(retired.eq([["retired".to_owned(), LOST.to_string(), what]]), "it was refused twice");
    // Readable, payable, cancellable, at any gateway.
    until("the provider's word meets the adopter", GENEROUS, || {
        (tell_paid(&fleet, OTHER, &before).status == 204).then_some(())
    });
    for gateway in [ADOPTER, OTHER] {
        let paid = show(&mut buyers[0][gateway], &orders[0]);
        assert_eq!((&paid["status"], paid.get("as_of")), (&json!("paid"), None));
        assert_eq!(show(&mut buyers[1][gateway], &orders[1])["status"], "awaiting_payment");
        let listed = shop::items(&mut buyers[1][gateway], "/api/v1/orders?");
        assert_eq!((listed.len(), &listed[0]["id"]), (1, &json!(orders[1])));
    }
    let after = pay(&mut buyers[1][OTHER], &orders[1]);
    drop(tell_paid(&fleet, ADOPTER, &after).expect(204));
    drop(buyers[2][OTHER].delete(&format!("/api/v1/orders/{}", orders[2])).expect(204));
    await_status(&mut buyers[1][OTHER], &orders[1], Status::Paid);
    await_status(&mut buyers[2][ADOPTER], &orders[2], Status::Cancelled);
    // An operator's word, too.
    let refund = format!("/api/v1/admin/orders/{}/refund", orders[0]);
    let refund = Request::new("POST", &refund).json(&json!({ "return_units": true }));
    assert_eq!(fleet.shop.admin.send(refund).expect(200).json()["status"], "refunded");
    let by_the_adopter = ["refunded".to_owned(), orders[0].clone(), "return_units true".to_owned()];
    until("by the one that has the order it is noted, and only there", GENEROUS, || {
        let refunded = acts(&mut fleet).into_iter().filter(|act| act[0] == "refunded");
        refunded.eq([by_the_adopter.clone()]).then_some(())
    });
    await_figures(&fleet, &activity);
    // A Redis that has forgotten all is built anew without the lost one.
    fleet.redis.flush();
    for gateway in [ADOPTER, OTHER] {
        until("all is rebuilt", GENEROUS, || {
            let live = fleet.figure(gateway, "seckill_lease_live", &activity) == Some(1);
            let later = fleet.figure(gateway, "seckill_lease_generation", &activity) > Some(1);
            (live && later).then_some(())
        });
    }
    // Of 24 units one is paid for, and one is payable.
    sell(&mut crowd, &[ADOPTER, OTHER], &activity, 22);
    audit(&fleet);
    fleet.crash(ADOPTER);
    await_adoption(&fleet);
    // It goes on with both, and every unit is where it was.
    let token = fleet.tokens("late", 1).remove(0);
    let mut late = Client::with_token(fleet.gateways[ADOPTER].address(), &token);
    let refused = buy(&mut late, &activity, "late").unwrap_err();
    assert!(refused.ends_with("sold-out"), "{refused}");
    await_status(&mut buyers[1][OTHER], &orders[1], Status::Paid);
    audit(&fleet);
}

/// Whom it had adopted goes along.
#[test]
fn an_adopter_that_is_lost_as_well_is_adopted_with_all_it_had() {
    let mut fleet = Fleet::start(3);
    let activity = fleet.sale(Sale { limit: 2, ..Sale::of(12) });
    let buyer = &mut fleet.shoppers("buyer", 1)[0];
    let first = payable(buyer, &activity, "first");
    let second =
        until("they are served", GENEROUS, || buy(&mut buyer[ADOPTER], &activity, "second").ok())
            .id;
    await_status(&mut buyer[ADOPTER], &second, Status::AwaitingPayment);
    await_stored(buyer, &second, |it| it["status"] == "awaiting_payment");
    let mut crowd = fleet.shoppers("crowd", 14);
    for [lost, adopter] in [[LOST, ADOPTER], [ADOPTER, OTHER]] {
        fleet.gateways[lost].kill();
        fs::remove_dir_all(fleet.gateways[lost].data()).unwrap();
        drop(retire_to(&fleet, [lost, adopter], &["--machine-is-off"]).expect(0));
        await_adoption_by(&fleet, [lost, adopter]);
    }
    await_adoption_by(&fleet, [LOST, OTHER]);
    for order in [&first, &second] {
        await_status(&mut buyer[OTHER], order, Status::AwaitingPayment);
        let payment = pay(&mut buyer[OTHER], order);
        drop(tell_paid(&fleet, OTHER, &payment).expect(204));
        await_status(&mut buyer[OTHER], order, Status::Paid);
    }
    sell(&mut crowd, &[OTHER], &activity, 10);
    let told = fleet.gateways[OTHER].audited(&["audit"]);
    for lost in [LOST, ADOPTER] {
        assert!(told.contains(&format!("adopted gateway {lost}: activity")), "{told}");
    }
}

#[test]
fn what_nobody_pays_for_expires_with_the_adopter_and_the_sale_closes() {
    let mut fleet = Fleet::start(2);
    let activity = fleet.sale(Sale { pay_within_s: 2, ..Sale::of(6) });
    let mut buyers = fleet.shoppers("buyer", 2);
    for buyer in &mut buyers {
        let order =
            until("they are served", GENEROUS, || buy(&mut buyer[LOST], &activity, "key").ok());
        await_stored(buyer, &order.id, |_| true);
    }
    fleet.gateways[LOST].kill();
    retire(&fleet, &["--machine-is-off"]).expect(0);
    await_adoption(&fleet);
    for buyer in &mut buyers {
        until("the order has expired", GENEROUS, || {
            let orders = shop::items(&mut buyer[ADOPTER], "/api/v1/orders?");
            matches!(orders[0]["status"].as_str(), Some("expired" | "rejected")).then_some(())
        });
    }
    // Its old data is of no use any more, and says so.
    fleet.gateways[LOST].run(&SERVE).refused("was retired");
    drop(fleet.shop.step(&activity, "end"));
    let path = format!("/api/v1/activities/{activity}");
    until("the sale is closed", GENEROUS, || {
        (fleet.shop.admin.get(&path).expect(200).json()["phase"] == "closed").then_some(())
    });
    audit(&fleet);
}

/// What its journal alone had as written off was free again, and sold once more: the product has fewer.
#[test]
fn what_was_refunded_without_its_unit_stays_out_of_the_sale() {
    let mut fleet = Fleet::start(3);
    let activity = fleet.sale(Sale::of(24));
    let shown = format!("/api/v1/activities/{activity}");
    let product = id_of(&fleet.shop.admin.get(&shown).expect(200).json()["product"]);
    let buyer = &mut fleet.shoppers("buyer", 1)[0];
    let order = payable(buyer, &activity, "key");
    let payment = pay(&mut buyer[LOST], &order);
    until("the provider is thanked", GENEROUS, || {
        (tell_paid(&fleet, LOST, &payment).status == 204).then_some(())
    });
    let refund = format!("/api/v1/admin/orders/{order}/refund");
    let refund = Request::new("POST", &refund).json(&json!({ "return_units": false }));
    drop(fleet.shop.admin.send(refund).expect(200));
    await_stored(buyer, &order, |it| it["status"] == "refunded");
    fleet.gateways[LOST].kill();
    fs::remove_dir_all(fleet.gateways[LOST].data()).unwrap();
    drop(retire(&fleet, &["--machine-is-off"]).expect(0));
    await_adoption(&fleet);
    drop(fleet.shop.step(&activity, "end"));
    until("the sale is closed", GENEROUS, || {
        (fleet.shop.admin.get(&shown).expect(200).json()["phase"] == "closed").then_some(())
    });
    until("all others are the product's again", GENEROUS, || {
        (fleet.shop.stock(&product) == 23).then_some(())
    });
    audit(&fleet);
}

/// Its keys were of no use any more, and nobody knew what had come of them.
#[test]
fn what_an_operator_had_begun_to_withdraw_there_any_other_tells_of_or_withdraws() {
    let mut fleet = Fleet::start(3);
    let activity = fleet.sale(Sale::of(24));
    let shown = fleet.shop.admin.get(&format!("/api/v1/activities/{activity}")).expect(200);
    let product = id_of(&shown.json()["product"]);
    let path = format!("/api/v1/admin/activities/{activity}/withdraw");
    let token = fleet.shop.admin.token.clone().expect("the administrator is signed in");
    let mut operator = fleet.clients(&token);
    let mut withdraw = |gateway: usize, key: &str, quantity: u32| {
        let body = json!({ "quantity": quantity });
        operator[gateway].send(Request::new("POST", &path).key(key).json(&body))
    };
    let buyer = &mut fleet.shoppers("buyer", 1)[0];
    let order =
        until("they are served", GENEROUS, || buy(&mut buyer[OTHER], &activity, "key").ok());
    until("three are gathered", GENEROUS, || {
        let answer = withdraw(LOST, "made", 3);
        assert!([200, 409].contains(&answer.status), "{}", answer.text());
        (answer.status == 200).then_some(())
    });
    until("the store has it", GENEROUS, || (fleet.shop.stock(&product) == 3).then_some(()));
    // One unit is not to be had, so nothing comes of this; but the key has its gateway.
    until("the rest is gathered", GENEROUS, || {
        let refusal = withdraw(LOST, "begun", 21).expect(409).json();
        refusal["type"].as_str()?.ends_with("insufficient-stock").then_some(())
    });
    await_status(&mut buyer[OTHER], &order.id, Status::AwaitingPayment);
    drop(buyer[OTHER].delete(&format!("/api/v1/orders/{}", order.id)).expect(204));
    fleet.gateways[LOST].kill();
    fs::remove_dir_all(fleet.gateways[LOST].data()).unwrap();
    for (key, quantity) in [("made", 3), ("begun", 21)] {
        withdraw(OTHER, key, quantity).problem(503, "unavailable");
    }
    drop(retire(&fleet, &["--machine-is-off"]).expect(0));
    drop(withdraw(OTHER, "made", 3).expect(200));
    // Once the adopter has given back what was lent to the lost one.
    until("all that is left is withdrawn", GENEROUS, || {
        let answer = withdraw(OTHER, "begun", 21);
        assert!([200, 409].contains(&answer.status), "{}", answer.text());
        (answer.status == 200).then_some(())
    });
    withdraw(ADOPTER, "begun", 21).problem(503, "unavailable");
    drop(withdraw(OTHER, "begun", 21).expect(200));
    until("the product has all", GENEROUS, || (fleet.shop.stock(&product) == 24).then_some(()));
}

/// C17: it goes on answering until it is no member any more, and is waited for.
#[test]
fn c17_one_that_stands_still_is_waited_for_and_ends_when_it_goes_on() {
    let mut fleet = Fleet::start_with(3, &[("SECKILL_MEMBERSHIP_LASTS", "5")]);
    let activity = fleet.sale(Sale::of(12));
    let mut buyers = fleet.shoppers("buyer", 2);
    let order = payable(&mut buyers[0], &activity, "key");
    let mut crowd = fleet.shoppers("crowd", 15);
    fleet.stop(LOST);
    let told = retire(&fleet, &[]).expect(0);
    assert!(told.contains("in 5 s"), "{told}");
    await_adoption(&fleet);
    await_status(&mut buyers[0][OTHER], &order, Status::AwaitingPayment);
    fleet.go_on(LOST);
    assert_eq!(fleet.gateways[LOST].wait(), Some(2));
    sell(&mut crowd, &[ADOPTER, OTHER], &activity, 11);
    audit(&fleet);
}

#[test]
fn one_that_does_not_reach_the_store_for_too_long_takes_no_orders() {
    let mut fleet = Fleet::start_with(2, &[("SECKILL_MEMBERSHIP_LASTS", "5")]);
    let activity = fleet.sale(Sale { limit: 5, ..Sale::of(12) });
    let mut buyers = fleet.shoppers("buyer", 2);
    let order =
        until("they are served", GENEROUS, || buy(&mut buyers[0][LOST], &activity, "first").ok());
    await_status(&mut buyers[0][LOST], &order.id, Status::AwaitingPayment);
    let payment = pay(&mut buyers[0][LOST], &order.id);
    let store = fleet.hold_store();
    let mut probe = Client::new(fleet.gateways[LOST].operations());
    let ready = until("it is no member any more", GENEROUS, || {
        let answer = probe.get("/readyz");
        (answer.status == 503).then(|| answer.text())
    });
    assert!(ready.contains("no member"), "{ready}");
    let mut keys = 0..;
    until("it takes no orders", GENEROUS, || {
        // One that was decided beside the change is written down, and not answered as placed.
        let key = format!("second-{}", keys.next().unwrap());
        let refused = buy(&mut buyers[1][LOST], &activity, &key).unwrap_err();
        let is_shut = refused.ends_with("unavailable");
        assert!(is_shut || refused.ends_with("outcome-unknown"), "{refused}");
        is_shut.then_some(())
    });
    // What they have is told all the same.
    assert_eq!(buy(&mut buyers[0][LOST], &activity, "first").unwrap().id, order.id);
    tell_paid(&fleet, LOST, &payment).problem(503, "unavailable");
    assert_eq!(fleet.labelled(LOST, "seckill_member"), Some(0));
    drop(store);
    until("it is a member again", GENEROUS, || (probe.get("/readyz").status == 200).then_some(()));
    drop(until("it sells again", GENEROUS, || buy(&mut buyers[1][LOST], &activity, "third").ok()));
    drop(tell_paid(&fleet, LOST, &payment).expect(204));
}

/// Somebody may have retired it by the bound that the store knows.
#[test]
fn one_that_had_a_bound_sells_without_one_only_once_the_store_knows() {
    const BOUND: &str = "SECKILL_MEMBERSHIP_LASTS";
    let mut fleet = Fleet::start_with(2, &[(BOUND, "5")]);
    let activity = fleet.sale(Sale { limit: 9, ..Sale::of(12) });
    let token = fleet.tokens("buyer", 1).remove(0);
    let unbounded = fleet.common.iter().filter(|(name, _)| name != BOUND).cloned();
    let number = ("SECKILL_GATEWAY_ID".to_owned(), LOST.to_string());
    let unbounded: Vec<_> = unbounded.chain([number]).collect();
    let restart = |fleet: &mut Fleet| {
        fleet.gateways[LOST].kill();
        let store = fleet.hold_store();
        fleet.gateways[LOST].restart_with(START, unbounded.clone());
        (Client::with_token(fleet.gateways[LOST].address(), &token), store)
    };
    let (mut buyer, store) = restart(&mut fleet);
    assert!(buy(&mut buyer, &activity, "first").unwrap_err().ends_with("unavailable"));
    drop(store);
    drop(until("it sells", GENEROUS, || buy(&mut buyer, &activity, "first").ok()));
    let (mut buyer, store) = restart(&mut fleet);
    drop(until("it sells at once", GENEROUS, || buy(&mut buyer, &activity, "second").ok()));
    drop(store);
}

/// Who goes on after a gateway that is lost must know of all money that may come.
#[test]
fn a_provider_is_told_and_thanked_once_the_store_has_it() {
    let mut fleet = Fleet::start(2);
    let activity = fleet.sale(Sale::of(12));
    let buyer = &mut fleet.shoppers("buyer", 1)[0];
    let order = payable(buyer, &activity, "first");
    let path = format!("/api/v1/orders/{order}/payments");
    let start = || Request::new("POST", &path).key("pay").json(&json!({ "method": "sandbox" }));
    let store = fleet.hold_store();
    buyer[LOST].send(start()).problem(503, "unavailable");
    drop(store);
    let started = until("the payment is told of", GENEROUS, || {
        let answer = buyer[LOST].send(start());
        (answer.status == 201).then(|| answer.json())
    });
    let payment = started["payment_id"].as_str().unwrap();
    let store = fleet.hold_store();
    tell_paid(&fleet, LOST, payment).problem(503, "unavailable");
    drop(store);
    until("the provider is thanked", GENEROUS, || {
        (tell_paid(&fleet, LOST, payment).status == 204).then_some(())
    });
    await_stored(buyer, &order, |it| it["status"] == "paid");
}

#[test]
fn one_that_hands_itself_over_loses_no_order_and_ends_well() {
    let mut fleet = Fleet::start(3);
    let activity = fleet.sale(Sale { limit: 2, ..Sale::of(40) });
    let mut buyers = fleet.shoppers("buyer", 60);
    let mut placed = BTreeSet::new();
    for buyer in buyers.iter_mut().take(3) {
        placed.insert(payable(buyer, &activity, "first"));
    }
    let first = shop::items(&mut buyers[0][LOST], "/api/v1/orders?")[0]["id"].clone();
    let payment = pay(&mut buyers[0][LOST], first.as_str().unwrap());
    let (lost, adopter) = (LOST.to_string(), ADOPTER.to_string());
    let drain = ["gateway", "drain", &lost, "--to", &adopter];
    fleet.gateways[OTHER].run(&["gateway", "drain", &lost, "--to", &lost]).refused("itself");
    drop(fleet.gateways[OTHER].run(&drain).expect(0));
    let asked = ["drain_asked".to_owned(), LOST.to_string(), format!("to {ADOPTER}")];
    assert!(acts(&mut fleet).contains(&asked));
    // Shoppers go on until it takes no more orders, and then until it ends.
    let mut turns = (3..buyers.len()).cycle();
    until("it takes no new orders", GENEROUS, || {
        let buyer = turns.next().unwrap();
        match buy(&mut buyers[buyer][LOST], &activity, "first") {
            // Who has bought is told of their order again, under the same key.
            Ok(order) => {
                placed.insert(order.id);
            }
            Err(slug) if slug.ends_with("unavailable") => return Some(()),
            Err(_) => {}
        }
        None
    });
    assert_eq!(fleet.gateways[LOST].wait(), Some(0));
    await_adoption(&fleet);
    until("the provider's word meets the adopter", GENEROUS, || {
        (tell_paid(&fleet, OTHER, &payment).status == 204).then_some(())
    });
    let mut found = BTreeSet::new();
    for buyer in &mut buyers {
        let orders = shop::items(&mut buyer[OTHER], "/api/v1/orders?");
        found.extend(orders.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
        for order in orders {
            let id = order["id"].as_str().unwrap();
            let status = show(&mut buyer[ADOPTER], id)["status"].clone();
            let is_open = ["accepted", "awaiting_payment", "paid"].iter().any(|it| status == *it);
            assert!(is_open, "{id} is {status}");
        }
    }
    assert_eq!(found, placed);
    sell(&mut buyers, &[ADOPTER, OTHER], &activity, 40 - placed.len());
    // It knows so itself, whether or not it reaches the store.
    let store = fleet.hold_store();
    fleet.gateways[LOST].run(&SERVE).refused("was retired");
    drop(store);
    audit(&fleet);
    fleet.gateways[ADOPTER].stop();
    fleet.gateways[ADOPTER].restart(START);
    await_adoption(&fleet);
}
