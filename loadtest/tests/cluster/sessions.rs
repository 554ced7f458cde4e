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
