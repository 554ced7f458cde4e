//! What is taken back at one gateway is taken back at all.

use seckill_loadtest::client::{Client, Request};
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop::{self, PASSWORD};
use serde_json::json;

use crate::fleet::Fleet;

#[track_caller]
fn ends(what: &str, client: &mut Client) {
    until(what, GENEROUS, || {
        let answer = client.get("/api/v1/users/me");
        (answer.status == 401).then_some(())
    });
}

#[test]
fn signing_out_at_one_gateway_is_signing_out_at_all() {
    let fleet = Fleet::start(2);
    let [here, there] = [&fleet.gateways[0], &fleet.gateways[1]];
    let clones = |client: &Client| {
        let token = client.token.as_ref().unwrap();
        [here, there].map(|gateway| Client::with_token(gateway.address(), token))
    };
    let [mut first, mut first_there] = clones(&shop::register(here, "ann"));
    let [mut second, mut second_there] = clones(&shop::sign_in(there, "ann"));
    for client in [&mut first, &mut first_there, &mut second, &mut second_there] {
        drop(client.get("/api/v1/users/me").expect(200));
    }
    drop(first.delete("/api/v1/sessions/current").expect(204));
    ends("the session has ended there too", &mut first_there);
    drop(second_there.get("/api/v1/users/me").expect(200));

    let change = json!({ "password": "a better password", "old_password": PASSWORD });
    drop(second.send(Request::new("PATCH", "/api/v1/users/me").json(&change)).expect(200));
    ends("a new password ends the sessions there too", &mut second_there);
}

/// It was told by the store alone, and where that did not take it, to nobody and never.
#[test]
fn a_sign_out_that_the_store_does_not_take_holds_everywhere_and_for_good() {
    let mut fleet = Fleet::start(2);
    let [here, there] = [&fleet.gateways[0], &fleet.gateways[1]];
    let mut leaving = ["one", "everywhere"].map(|name| shop::register(here, name));
    let there_too = |client: &Client| {
        let mut there = Client::with_token(there.address(), client.token.as_ref().unwrap());
        drop(there.get("/api/v1/users/me").expect(200));
        there
    };
    let mut left_there = [0, 1].map(|who| there_too(&leaving[who]));
    // Who is there is learned from the store.
    until("they know of each other", GENEROUS, || {
        (fleet.labelled(0, "seckill_peers{state=\"present\"}") == Some(1)).then_some(())
    });
    let store = fleet.hold_store();
    let paths = ["/api/v1/sessions/current", "/api/v1/sessions"];
    for ((client, there), path) in leaving.iter_mut().zip(&mut left_there).zip(paths) {
        drop(client.delete(path).expect(204));
        ends("the session has ended there too", there);
    }
    let unwritten = |fleet: &Fleet| fleet.labelled(0, "seckill_sign_outs_unwritten");
    assert_eq!(unwritten(&fleet), Some(2));
    drop(store);
    until("a gateway that starts knows it", GENEROUS, || {
        fleet.crash(1);
        let address = fleet.gateways[1].address();
        let works = |client: &Client| {
            let token = client.token.as_ref().unwrap();
            Client::with_token(address, token).get("/api/v1/users/me").status != 401
        };
        (!leaving.iter().any(works)).then_some(())
    });
    until("nothing is kept any more", GENEROUS, || (unwritten(&fleet) == Some(0)).then_some(()));
}
