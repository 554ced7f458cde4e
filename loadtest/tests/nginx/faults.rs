//! Gateways that are gone, and gateways that are silent.

use seckill_loadtest::client::{Client, Request};
use seckill_loadtest::gateway::Gateway;
use seckill_loadtest::nginx::{Edit, Nginx};
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop;

use crate::fake::Fake;
use crate::front::{self, Fleet};

/// Shorter waits, so that a test need not be as patient as a shopper.
const QUICK: [Edit; 1] = [("proxy_read_timeout 15s", "proxy_read_timeout 5s")];

/// How many requests a gateway has answered well, by its own count.
fn answered(gateway: &Gateway) -> u64 {
    let metrics = Client::new(gateway.operations()).get("/metrics").expect(200).text();
    let mut lines = metrics.lines();
    let line = lines.find(|line| line.starts_with("seckill_http_answers_total{")).unwrap();
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn the_shoppers_of_a_gateway_that_is_gone_are_answered_by_the_other() {
    let Some(mut fleet) = Fleet::start(&[]) else { return };
    let homes: Vec<usize> = fleet.tokens.iter().map(|token| fleet.home(token)).collect();
    fleet.gateways[0].kill();
    for (token, home) in fleet.tokens.iter().zip(&homes) {
        // Not one of them is told to come back.
        let order = shop::id_of(&fleet.buy(token, "after").expect(202).json());
        assert_eq!(Fleet::placed_by(&order), 2, "of gateway {home}");
    }
    assert!(homes.contains(&0) && homes.contains(&1), "{homes:?}");

    fleet.gateways[1].kill();
    let token = &fleet.tokens[0];
    // Nobody has it: nothing happened, and that is said. So it is of a cancellation.
    let refused = fleet.buy(token, "nobody");
    refused.problem(503, "unavailable");
    assert!(refused.header("retry-after").is_some());
    let cancel = Request::new("DELETE", "/api/v1/orders/1").token(token);
    fleet.nginx.answer(&cancel).problem(503, "unavailable");
    let read = fleet.nginx.answer(&Request::new("GET", "/api/v1/orders").token(token));
    read.problem(503, "unavailable");
    assert!(read.header("retry-after").is_some());
}

/// A gateway that dies over a request has perhaps done it.
#[test]
fn what_has_gone_out_to_a_gateway_goes_out_once_unless_it_only_reads() {
    let fakes = [Fake::start(""), Fake::start("")];
    let edit = [("max_fails=3", "max_fails=0")];
    let Some(nginx) = Nginx::start(&fakes.each_ref().map(|fake| fake.address), &edit) else {
        return;
    };
    for (method, path, asked) in [
        ("GET", "/api/v1/orders", 2),
        ("HEAD", "/api/v1/orders", 2),
        ("POST", "/api/v1/activities/1/orders", 1),
        ("PATCH", "/api/v1/users/me", 1),
        ("PUT", "/api/v1/cart/items/1", 1),
        ("DELETE", "/api/v1/orders/1", 1),
        ("GET", "/api/v1/admin/orders", 1),
        ("POST", "/api/v1/admin/activities/1/publish", 1),
        ("PUT", "/api/v1/admin/users/1/roles", 1),
    ] {
        let answer = nginx.answer(&Request::new(method, path).token("7.sealed"));
        let expected = if matches!(method, "GET" | "HEAD") { 503 } else { 504 };
        assert_eq!(answer.status, expected, "{method} {path}");
        let may_come_back = answer.header("retry-after").is_some();
        assert_eq!(may_come_back, expected == 503, "{method} {path}");
        let heads: usize = fakes.iter().map(Fake::unseen).sum();
        assert_eq!(heads, asked, "{method} {path}");
    }
}

/// A gateway that hangs may have the buy, so nobody else may get it: were it sent on, the shopper
/// would have it twice once the first goes on.
#[test]
fn a_change_that_may_have_reached_a_silent_gateway_is_sent_nowhere_else() {
    let Some(fleet) = Fleet::start(&QUICK) else { return };
    let [shopper, _] = fleet.one_of_each();
    let [silent, other] = &fleet.gateways;
    let first = shop::orders(&mut Client::with_token(silent.address(), &shopper))[0].id.clone();
    let answered_before = answered(other);
    front::stop(silent);

    let unknown = fleet.buy(&shopper, "in-flight");
    unknown.problem(504, "outcome-unknown");
    assert_eq!(unknown.header("retry-after"), None, "it is not to be repeated blindly");
    let cancel = Request::new("DELETE", &format!("/api/v1/orders/{first}")).token(&shopper);
    fleet.nginx.answer(&cancel).problem(504, "outcome-unknown");
    assert_eq!(answered(other), answered_before, "the other gateway was asked");
    // A read may be asked again, and is.
    let read = Request::new("GET", "/api/v1/orders").token(&shopper);
    drop(fleet.nginx.answer(&read).expect(200));
    assert_eq!(answered(other), answered_before + 1);
    // Now it has failed three times, and its shoppers are let wait no longer.
    let elsewhere = shop::id_of(&fleet.buy(&shopper, "elsewhere").expect(202).json());
    assert_eq!(Fleet::placed_by(&elsewhere), 2);

    // It goes on, with the buy that it had all the time; its shoppers come home.
    front::go_on(silent);
    let mut at_home = Client::with_token(silent.address(), &shopper);
    until("the buy in flight is placed", GENEROUS, || {
        (shop::orders(&mut at_home).len() == 2).then_some(())
    });
    let mut at_other = Client::with_token(other.address(), &shopper);
    assert_eq!(shop::orders(&mut at_other).len(), 1, "there it was never placed");
    let again = until("its shoppers are home", GENEROUS, || {
        let order = shop::id_of(&fleet.buy(&shopper, "home").expect(202).json());
        (Fleet::placed_by(&order) == 1).then_some(order)
    });
    assert_eq!(again, first, "the key of the first buy");
    let orders = shop::orders(&mut at_home);
    let in_flight = shop::id_of(&fleet.buy(&shopper, "in-flight").expect(202).json());
    assert!(orders.iter().any(|order| order.id == in_flight));
    assert_eq!(shop::orders(&mut at_home).len(), 2, "the same key, the same order");
}
