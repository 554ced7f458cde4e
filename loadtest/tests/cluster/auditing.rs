//! The books of a fleet: every journal, the store and Redis, held against each other.

use seckill_loadtest::client::Client;
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop::Sale;
use serde_json::{Value, json};

use crate::fleet::{Fleet, START, buy};

/// The audit of a sale as an administrator gets it at a gateway.
pub(crate) fn audit(fleet: &Fleet, gateway: usize, activity: &str) -> Value {
    let token = fleet.shop.admin.token.as_ref().unwrap();
    let mut admin = Client::with_token(fleet.gateways[gateway].address(), token);
    admin.get(&format!("/api/v1/admin/audit/{activity}")).expect(200).json()
}

/// One gateway alone knew of its own orders, and called that the sale.
#[test]
fn the_audit_of_a_shared_sale_is_every_gateways_wherever_it_is_asked_for() {
    let mut fleet = Fleet::start(3);
    let activity = fleet.sale(Sale::of(30));
    for (number, buyer) in fleet.shoppers("buyer", 6).iter_mut().enumerate() {
        let client = &mut buyer[number % 3];
        drop(until("they are served", GENEROUS, || buy(client, &activity, "key").ok()));
    }
    for gateway in 0..3 {
        let whole = until("all books have all orders", GENEROUS, || {
            let audit = audit(&fleet, gateway, &activity);
            assert_eq!(audit["difference_count"], 0, "{audit}");
            let is_whole = audit["balanced"] == true && audit["sources"]["journal_orders"] == 6;
            // Units that go from one to another while each is asked are at both, or at none.
            let is_calm =
                ["stock_total", "held", "remaining"].map(|name| &audit[name]) == [30, 6, 24];
            (is_whole && is_calm && audit["sources"]["redis_units"].is_u64()).then_some(audit)
        });
        assert_eq!(whole["unanswered"], json!([]), "{whole}");
        let gateways = whole["gateways"].as_object().unwrap();
        assert_eq!(gateways.keys().collect::<Vec<_>>(), ["0", "1", "2"], "{whole}");
        assert!(gateways.values().all(|it| it["sources"]["store_orders"] == 2), "{whole}");
    }
    fleet.gateways[2].kill();
    let lacking = audit(&fleet, 0, &activity);
    assert_eq!((&lacking["unanswered"], &lacking["balanced"]), (&json!([2]), &json!(false)));
}

#[test]
fn an_audit_notices_what_redis_counts_wrong_and_says_where_it_did_not_answer() {
    let mut fleet = Fleet::start(2);
    let activity = fleet.sale(Sale::of(30));
    let run = |fleet: &Fleet| fleet.gateways[0].run(&["audit", "--activity", &activity]);
    until("Redis is compared", GENEROUS, || {
        run(&fleet).expect(0).contains("lent by Redis").then_some(())
    });
    let hash = format!("seckill:lease:{activity}");
    let drift = || fleet.figure(1, "seckill_lease_drift_units", &activity);
    assert_eq!(drift(), Some(0));
    drop(fleet.redis.tell(&["HINCRBY", &hash, "leased", "1"]));
    let told = run(&fleet).expect(1);
    assert!(told.contains("gateway by gateway"), "{told}");
    until("every gateway has noticed", GENEROUS, || (drift() == Some(1)).then_some(()));
    drop(fleet.redis.tell(&["HINCRBY", &hash, "leased", "-1"]));
    drop(run(&fleet).expect(0));
    drop(fleet.redis.tell(&["HSET", &hash, "stocked", "60"]));
    let told = run(&fleet).expect(1);
    assert!(told.contains("stocked: Redis 60, store 30"), "{told}");
    drop(fleet.redis.tell(&["HSET", &hash, "stocked", "30"]));
    drop(run(&fleet).expect(0));
    fleet.redis.kill();
    run(&fleet).refused("Redis was not compared: it does not answer");
    let lacking = audit(&fleet, 0, &activity);
    assert_eq!(lacking["balanced"], false, "{lacking}");
    assert_eq!(lacking["not_compared"], json!(["redis_away"]), "{lacking}");
}

/// It was called balanced while nobody knew what the gateway that is away had been lent.
#[test]
fn what_redis_has_forgotten_is_not_compared_until_all_have_said_what_they_have() {
    let mut fleet = Fleet::start(2);
    let activity = fleet.sale(Sale::of(30));
    fleet.gateways[1].kill();
    drop(fleet.redis.tell(&["FLUSHALL"]));
    let audit_here = ["audit", "--activity", &activity];
    fleet.gateways[0].run(&audit_here).refused("what it knew is being built anew");
    let lacking = audit(&fleet, 0, &activity);
    assert_eq!(lacking["not_compared"], json!(["redis_rebuilding"]), "{lacking}");
    assert_eq!((&lacking["balanced"], &lacking["unanswered"]), (&json!(false), &json!([1])));
    fleet.gateways[1].restart(START);
    for gateway in &fleet.gateways {
        assert!(gateway.audited(&audit_here).contains("lent by Redis"));
    }
}

/// What others had been lent, and gave back, was held against a journal that has never heard of it.
#[test]
fn who_joins_after_a_sale_has_closed_has_no_part_in_it_to_differ_in() {
    let mut fleet = Fleet::start(2);
    let activity = fleet.sale(Sale::of(24));
    fleet.shop.step(&activity, "end");
    let state = format!("/api/v1/activities/{activity}/state");
    until("the sale is closed", GENEROUS, || {
        (fleet.shop.admin.get(&state).expect(200).json()["phase"] == "closed").then_some(())
    });
    let newcomer = fleet.join();
    drop(fleet.gateways[newcomer].audited(&["audit", "--activity", &activity]));
    until("all books agree", GENEROUS, || {
        let whole = audit(&fleet, newcomer, &activity);
        assert_eq!(whole["difference_count"], 0, "{whole}");
        assert_eq!(whole["stock_total"], 24, "{whole}");
        // The store is told of the closing a moment after the journal: until then the units are free.
        let units = ["returned", "remaining"].map(|name| &whole[name]);
        let agrees = whole["balanced"] == true && whole["unanswered"] == json!([]);
        (agrees && units == [24, 0]).then_some(())
    });
}

/// An alarm was a line in the log and no figure.
#[test]
fn what_somebody_else_puts_in_a_sales_place_in_redis_is_an_alarm_and_left_to_people() {
    let mut fleet = Fleet::start(2);
    let activity = fleet.sale(Sale::of(30));
    let alarms = |gateway| fleet.labelled(gateway, "seckill_lease_alarms_total");
    assert_eq!([0, 1].map(alarms), [Some(0); 2]);
    let mut buyer = fleet.shoppers("buyer", 1).remove(0);
    drop(until("the buyer is served", GENEROUS, || buy(&mut buyer[0], &activity, "key").ok()));
    let hash = format!("seckill:lease:{activity}");
    drop(fleet.redis.tell(&["SET", &hash, "theirs"]));
    for gateway in 0..2 {
        until("it is an alarm", GENEROUS, || alarms(gateway).filter(|&alarms| alarms > 0));
    }
    assert_eq!(fleet.redis.tell(&["GET", &hash]), ["theirs"]);
    drop(fleet.redis.tell(&["DEL", &hash]));
    until("all of it is counted anew", GENEROUS, || {
        let audit = audit(&fleet, 0, &activity);
        (audit["balanced"] == true && audit["sources"]["redis_units"].is_u64()).then_some(())
    });
}
