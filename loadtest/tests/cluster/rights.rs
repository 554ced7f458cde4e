//! What gateways must be allowed to do in Redis.

use seckill_loadtest::gateway::Gateway;
use seckill_loadtest::order::Status;
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::redis::Redis;
use seckill_loadtest::shop::Sale;

use crate::fleet::{Fleet, SERVE, START, await_status, buy};

/// What ARCHITECTURE.md lists, and no more.
const RIGHTS: [&str; 12] = [
    "-@all",
    "+hset",
    "+hdel",
    "+hmget",
    "+hget",
    "+type",
    "+unlink",
    "+time",
    "+info",
    "+fcall",
    "+function|list",
    "+function|load",
];

fn allow(redis: &Redis, rights: &[&str]) {
    assert_eq!(redis.tell(&[&["ACL", "SETUSER", "gateway"], rights].concat()), ["OK"]);
}

/// Gateways whose user may do just that, on the keys of leases.
fn fleet_of_few_rights(gateways: usize) -> Fleet {
    Fleet::start_over(gateways, |redis| {
        allow(redis, &[&["on", ">secret", "~seckill:lease:*"], &RIGHTS[..]].concat());
        vec![("SECKILL_REDIS_URL", format!("{}?user=gateway&pass=secret", redis.url()))]
    })
}

#[test]
fn a_user_with_the_rights_that_are_asked_for_sells_and_closes() {
    let mut fleet = fleet_of_few_rights(2);
    let product = fleet.shop.product(10);
    let activity = fleet.shop.draft(&product, Sale::of(10));
    fleet.shop.step(&activity, "publish");
    let mut shopper = fleet.shoppers("buyer", 1).remove(0);
    let order = until("they are served", GENEROUS, || buy(&mut shopper[1], &activity, "key").ok());
    await_status(&mut shopper[1], &order.id, Status::AwaitingPayment);
    drop(shopper[0].delete(&format!("/api/v1/orders/{}", order.id)).expect(204));
    fleet.shop.step(&activity, "end");
    until("all units are the product's again", GENEROUS, || {
        (fleet.shop.stock(&product) == 10).then_some(())
    });
    until("Redis has forgotten it", GENEROUS, || {
        (fleet.redis.tell(&["EXISTS", &format!("seckill:lease:{activity}")]) == ["0"]).then_some(())
    });
}

/// Nobody would notice that it has forgotten.
#[test]
fn a_redis_that_hides_its_incarnation_stops_the_start_and_no_sale() {
    let hidden = "redis does not tell its run_id and master_replid: it could forget unnoticed";
    let mut fleet = fleet_of_few_rights(2);
    let activity = fleet.sale(Sale::of(40));
    let mut shopper = fleet.shoppers("buyer", 1).remove(0);
    until("there is something to sell", GENEROUS, || {
        (fleet.figure(0, "seckill_lease_units", &activity)? > 3).then_some(())
    });
    let live = |fleet: &Fleet, at| fleet.figure(at, "seckill_lease_live", &activity);
    let tells = |gateway: &Gateway| gateway.log().contains(hidden);
    allow(&fleet.redis, &["-info"]);
    for at in 0..2 {
        until("it is known, and told", GENEROUS, || {
            (live(&fleet, at) == Some(0) && tells(&fleet.gateways[at])).then_some(())
        });
    }
    let order = buy(&mut shopper[0], &activity, "key").unwrap();
    assert_eq!(order.status, Status::Accepted);
    fleet.gateways[1].kill();
    let ended = fleet.gateways[1].run(&SERVE);
    assert!(!ended.stdout.contains("ready on"), "nobody is served: {}", ended.stdout);
    ended.refused(hidden);
    assert_eq!(buy(&mut shopper[0], &activity, "key").unwrap().status, Status::Accepted);

    allow(&fleet.redis, &["+info"]);
    fleet.gateways[1].restart(START);
    await_status(&mut shopper[0], &order.id, Status::AwaitingPayment);
    until("both settle again", GENEROUS, || {
        (0..2).all(|at| live(&fleet, at) == Some(1)).then_some(())
    });
}
