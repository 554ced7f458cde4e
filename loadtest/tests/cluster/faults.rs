//! Redis and gateways that are away, stopped, killed or forgetful while a sale goes on.

use seckill_loadtest::client::{Client, Request};
use seckill_loadtest::gateway::Scratch;
use seckill_loadtest::order::Status;
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop::{self, Sale};
use seckill_loadtest::store::Nowhere;
use serde_json::json;

use crate::auditing::audit;
use crate::breakers;
use crate::fleet::{Fleet, SERVE, START, await_status, buy, sell};

#[test]
fn with_redis_stopped_or_killed_gateways_sell_what_they_were_lent() {
    let mut fleet = Fleet::start(2);
    let mut shoppers = fleet.shoppers("patient", 6);
    for round in 0..2 {
        // Of a sale where more was sold the one that sells less gives its units to the other.
        let activity = fleet.sale(Sale::of(40));
        let lent = [0, 1].map(|at| {
            until("something is lent", GENEROUS, || {
                let units = fleet.figure(at, "seckill_lease_units", &activity)?;
                (units > 3).then_some(units)
            })
        });
        assert!(lent.iter().sum::<u64>() <= 40);
        if round == 0 {
            fleet.redis.stop();
        } else {
            fleet.redis.kill();
        }
        let mut orders = Vec::new();
        for (number, shopper) in shoppers.iter_mut().enumerate().skip(round * 3).take(3) {
            let at = number % 2;
            let order = buy(&mut shopper[at], &activity, &format!("patient-{number}")).unwrap();
            assert_eq!(order.status, Status::Accepted);
            orders.push((number, at, order.id));
        }
        let mut probe = Client::new(fleet.gateways[0].operations());
        let mut await_ready = |text: &str| {
            until(text, GENEROUS, || {
                (probe.get("/readyz").expect(200).text() == text).then_some(())
            });
        };
        await_ready("ready, without Redis\n");
        assert!(fleet.labelled(0, breakers::STATE) > Some(0), "it is told by its figure, too");
        if round == 0 {
            fleet.redis.go_on();
        } else {
            fleet.redis.restart();
        }
        for (number, at, order) in orders {
            await_status(&mut shoppers[number][at], &order, Status::AwaitingPayment);
        }
        await_ready("ready\n");
        assert_eq!(fleet.labelled(0, breakers::STATE), Some(0));
    }
}

/// What newer gateways keep there an older one would not understand.
#[test]
fn functions_of_a_newer_version_stop_the_start_and_no_sale() {
    let mut fleet = Fleet::start(2);
    let activity = fleet.sale(Sale::of(40));
    let mut shopper = fleet.shoppers("buyer", 1).remove(0);
    let newer = "#!lua name=seckill_leases_v12\nredis.register_function('x', function() end)";
    drop(fleet.redis.tell(&["FUNCTION", "LOAD", newer]));
    fleet.gateways[1].kill();
    fleet.gateways[1].run(&SERVE).refused("at least 12 is needed");
    drop(until("the other sells", GENEROUS, || buy(&mut shopper[0], &activity, "key").ok()));
    drop(fleet.redis.tell(&["FUNCTION", "DELETE", "seckill_leases_v12"]));
    fleet.gateways[1].restart(START);
}

/// Neither is needed to sell what was lent, nor to know what was sold; nor is an answer of theirs.
#[test]
fn with_redis_and_the_store_away_a_gateway_that_crashed_starts_and_sells() {
    let mut fleet = Fleet::start(2);
    let activity = fleet.sale(Sale::of(40));
    let tokens = fleet.tokens("buyer", 3);
    let buy_at = |fleet: &Fleet, buyer: usize| {
        let client = &mut fleet.clients(&tokens[buyer])[1];
        buy(client, &activity, &format!("key-{buyer}"))
    };
    let before = until("they are served", GENEROUS, || buy_at(&fleet, 0).ok());
    for (buyer, is_silent) in [(1, false), (2, true)] {
        until("there is more to sell", GENEROUS, || {
            (fleet.figure(1, "seckill_lease_units", &activity)? > 3).then_some(())
        });
        if is_silent {
            fleet.redis.stop();
        } else {
            fleet.redis.kill();
        }
        let store = fleet.hold_store();
        fleet.crash(1);
        // By what it says first, whoever asks.
        let order = buy_at(&fleet, buyer).unwrap();
        assert_eq!(order.status, Status::Accepted);
        assert_eq!(buy_at(&fleet, 0).unwrap().id, before.id);
        drop(store);
        if is_silent {
            fleet.redis.go_on();
        } else {
            fleet.redis.restart();
        }
        let client = &mut fleet.clients(&tokens[buyer])[1];
        await_status(client, &order.id, Status::AwaitingPayment);
    }
}

/// The power was cut for all of them at once, and only the gateways have it again: none can hear of another.
#[test]
fn gateways_that_all_start_without_redis_and_store_sell_what_they_have_and_lose_nothing() {
    let mut fleet = Fleet::start(2);
    let activity = fleet.sale(Sale::of(40));
    // Of a gateway that was lent all there is somebody is sent away.
    let buyers = ["here", "there"].map(|name| fleet.tokens(name, 41));
    let mut sold = sell_to_two_each(&mut fleet, &activity, &buyers);
    let nowhere = Nowhere::take();
    fleet.restart_all(&nowhere.url());
    for (at, (buyers, sold)) in buyers.iter().zip(&mut sold).enumerate() {
        expect_alone(&fleet, at, &activity);
        sell_all_it_has(&fleet, at, &activity, buyers, sold);
    }

    fleet.redis.restart();
    fleet.kill_all();
    let store = fleet.store.url(0);
    fleet.restart_all(&store);
    for (at, (buyers, sold)) in buyers.iter().zip(&sold).enumerate() {
        for (token, order) in buyers.iter().zip(sold) {
            await_status(&mut client(&fleet, at, token), order, Status::AwaitingPayment);
        }
    }
    let held: usize = sold.iter().map(Vec::len).sum();
    for at in 0..2 {
        let whole = until("all books have all orders", GENEROUS, || {
            let audit = audit(&fleet, at, &activity);
            assert_eq!(audit["difference_count"], 0, "{audit}");
            let agrees = audit["balanced"] == true && audit["unanswered"] == json!([]);
            (agrees && audit["sources"]["journal_orders"] == held).then_some(audit)
        });
        let units = ["stock_total", "held", "remaining"].map(|name| &whole[name]);
        assert_eq!(units, [40, held, 40 - held], "{whole}");
    }
}

/// It told each buyer that there is no such sale.
#[test]
fn a_gateway_that_could_not_read_the_store_yet_says_so_and_not_that_there_is_no_sale() {
    let mut fleet = Fleet::start(1);
    let activity = fleet.sale(Sale::of(40));
    let tokens = fleet.tokens("early", 1);
    let nowhere = Nowhere::take();
    let newcomer = fleet.join_with(vec![("SECKILL_STORE_URL".to_owned(), nowhere.url())]);
    let mut visitor = client(&fleet, newcomer, &tokens[0]);
    visitor.send(shop::buy(&activity, "early", 1)).problem(503, "unavailable");
    let [page, sale] =
        [format!("/activities/{activity}"), format!("/api/v1/activities/{activity}")];
    let paths = [&*page, "/", &sale, &format!("{sale}/state"), "/api/v1/activities"];
    let others = ["/products/7", "/sales/2", "/api/v1/activities?phase=live"];
    for path in paths.into_iter().chain(others) {
        let told = visitor.get(path);
        told.problem(503, "unavailable");
        assert!(told.header("retry-after").is_some(), "{path}");
    }
    visitor.get("/nothing").problem(404, "not-found");
    let by_people = Request::new("GET", &page).header("accept", "text/html");
    let told = visitor.send(by_people).expect(503);
    assert!(told.text().contains("still finding out what it sells"));
    assert!(told.header("retry-after").is_some());
    let mut operations = Client::new(fleet.gateways[newcomer].operations());
    let unready = operations.get("/readyz").expect(503).text();
    assert!(unready.contains("no sale is known yet"), "{unready}");

    let store = fleet.store.url(0);
    fleet.kill_all();
    fleet.restart_all(&store);
    let mut visitor = client(&fleet, newcomer, &tokens[0]);
    for path in paths {
        drop(visitor.get(path).expect(200));
    }
    visitor.get("/activities/4711").problem(404, "not-found");
    drop(Client::new(fleet.gateways[newcomer].operations()).get("/readyz").expect(200));
    let order = until("they are served", GENEROUS, || buy(&mut visitor, &activity, "early").ok());
    await_status(&mut visitor, &order.id, Status::AwaitingPayment);
}

fn client(fleet: &Fleet, at: usize, token: &str) -> Client {
    Client::with_token(fleet.gateways[at].address(), token)
}

/// Each gateway's first buyer has an order that can be paid, the second one that only its journal has; then
/// all gateways and Redis are killed. The orders by gateway.
fn sell_to_two_each(
    fleet: &mut Fleet,
    activity: &str,
    buyers: &[Vec<String>; 2],
) -> [Vec<String>; 2] {
    let mut sold = [0, 1].map(|at| {
        let client = &mut client(fleet, at, &buyers[at][0]);
        let order = until("they are served", GENEROUS, || buy(client, activity, "key").ok());
        await_status(client, &order.id, Status::AwaitingPayment);
        vec![order.id]
    });
    for at in 0..2 {
        until("there is more to sell", GENEROUS, || {
            (fleet.figure(at, "seckill_lease_units", activity)? > 3).then_some(())
        });
    }
    let store = fleet.hold_store();
    for (at, sold) in sold.iter_mut().enumerate() {
        let order = buy(&mut client(fleet, at, &buyers[at][1]), activity, "key").unwrap();
        assert_eq!(order.status, Status::Accepted);
        sold.push(order.id);
    }
    fleet.kill_all();
    fleet.redis.kill();
    drop(store);
    sold
}

/// A gateway asks for traffic and shows the sale, and knows nobody else.
fn expect_alone(fleet: &Fleet, at: usize, activity: &str) {
    let gateway = &fleet.gateways[at];
    drop(Client::new(gateway.operations()).get("/readyz").expect(200));
    assert_eq!(fleet.labelled(at, "seckill_peers{state=\"present\"}"), Some(0));
    let mut visitor = Client::new(gateway.address());
    let page = visitor.get(&format!("/activities/{activity}")).expect(200).text();
    assert!(page.contains("Kettles for a song"), "{page}");
    let state = visitor.get(&format!("/api/v1/activities/{activity}/state")).expect(200).json();
    assert_eq!(state["phase"], "live", "{state}");
    until("the log says what is wrong with Redis", GENEROUS, || {
        let log = gateway.log();
        let mut told = log.lines().filter(|line| line.contains("\"not settled yet\""));
        told.any(|line| line.contains("(os error ")).then_some(())
    });
}

/// Who has bought is told of their order, and the others are served until all is sold that the gateway
/// was lent.
fn sell_all_it_has(
    fleet: &Fleet,
    at: usize,
    activity: &str,
    buyers: &[String],
    sold: &mut Vec<String>,
) {
    let lent = until("it says what it has", GENEROUS, || {
        fleet.figure(at, "seckill_lease_units", activity)
    });
    for (number, token) in buyers.iter().enumerate() {
        match (buy(&mut client(fleet, at, token), activity, "key"), sold.get(number)) {
            (Ok(order), Some(before)) => assert_eq!(order.id, *before),
            (Ok(order), None) => {
                assert_eq!(order.status, Status::Accepted);
                sold.push(order.id);
            }
            (Err(refusal), before) => {
                assert!(before.is_none() && refusal.ends_with("sold-out"), "{refusal}");
                break;
            }
        }
    }
    assert_eq!(sold.len() as u64, lent, "neither more nor less");
}

/// What is amiss was built anew before anybody could see it: the figure was 0 whatever Redis said.
#[test]
fn units_that_redis_does_not_know_of_show_though_they_are_counted_anew_at_once() {
    let mut fleet = Fleet::start(2);
    let activity = fleet.sale(Sale::of(30));
    let mut buyer = fleet.shoppers("buyer", 1).remove(0);
    let order =
        until("the buyer is served", GENEROUS, || buy(&mut buyer[0], &activity, "key").ok());
    await_status(&mut buyer[0], &order.id, Status::AwaitingPayment);
    let drift = |fleet: &Fleet| fleet.figure(0, "seckill_lease_drift_units", &activity);
    assert_eq!(drift(&fleet), Some(0));
    // In one step, and in this era alone, or a record would be put back into what is built anew. Its words
    // are epoch, number, units, and what follows.
    let forget_units = "local record = redis.call('HGET', KEYS[1], 'g:0')
        if record and redis.call('HGET', KEYS[1], 'era') == ARGV[1] then
          redis.call('HSET', KEYS[1], 'g:0', (string.gsub(record, '^(%d+ %d+) %d+', '%1 0')))
        end";
    let hash = format!("seckill:lease:{activity}");
    let era = fleet.redis.tell(&["HGET", &hash, "era"]).remove(0);
    until("it shows", GENEROUS, || {
        drop(fleet.redis.tell(&["EVAL", forget_units, "1", &hash, &era]));
        drift(&fleet).filter(|&units| units > 0)
    });
    until("they are counted anew", GENEROUS, || {
        let is_live = fleet.figure(0, "seckill_lease_live", &activity) == Some(1);
        is_live.then_some(())
    });
    drop(fleet.gateways[0].audited(&["audit"]));
}

/// O16: in the middle of a sale.
#[test]
fn a_redis_that_forgets_everything_lends_nothing_twice() {
    let mut fleet = Fleet::start(2);
    let activity = fleet.sale(Sale::of(30));
    let mut shoppers = fleet.shoppers("again", 45);
    let mut sold = 0;
    let mut forgotten = 0;
    until("every unit is sold", GENEROUS, || {
        for (number, shopper) in shoppers.iter_mut().enumerate() {
            // Who has bought is told of their order again, under the same key.
            let at = number % 2;
            if buy(&mut shopper[at], &activity, &format!("again-{number}")).is_ok() {
                sold += 1;
            }
            if sold > 10 * (forgotten + 1) && forgotten < 2 {
                forgotten += 1;
                fleet.redis.flush();
            }
        }
        let total = std::mem::take(&mut sold);
        assert!(total <= 30, "oversold: {total}");
        (total == 30).then_some(())
    });
    assert_eq!(forgotten, 2);
    fleet.await_lent(&activity, 30);
    until("all is rebuilt", GENEROUS, || {
        let live = |at| fleet.figure(at, "seckill_lease_live", &activity) == Some(1);
        let later = |at| fleet.figure(at, "seckill_lease_generation", &activity) > Some(1);
        [0, 1].iter().all(|&at| live(at) && later(at)).then_some(())
    });
}

/// It became payable, and would have been gone with its gateway.
#[test]
fn u7_an_order_that_the_store_does_not_take_is_rejected_never_payable_and_its_unit_is_sold() {
    let mut fleet = Fleet::start(2);
    let activity = fleet.sale(Sale::of(20));
    let tokens = ["poisoned", "sound"].map(|name| fleet.tokens(name, 1).remove(0));
    // A trigger in the words of one store.
    let Some(store) = fleet.store.file() else { return };
    let poison = "CREATE TRIGGER poison BEFORE INSERT ON sales_order
                  WHEN new.user_id IN (SELECT id FROM account WHERE username LIKE 'poisoned%')
                  BEGIN SELECT RAISE(ABORT, 'a poisoned row'); END";
    let store = rusqlite::Connection::open(store).unwrap();
    store.busy_timeout(GENEROUS).unwrap();
    store.execute_batch(poison).unwrap();
    drop(store);
    let orders = tokens.each_ref().map(|token| {
        let client = &mut fleet.clients(token)[1];
        until("they are served", GENEROUS, || buy(client, &activity, "key").ok()).id
    });
    for round in 0..2 {
        await_status(&mut fleet.clients(&tokens[1])[1], &orders[1], Status::AwaitingPayment);
        let client = &mut fleet.clients(&tokens[0])[1];
        until("it is rejected, and then nowhere", GENEROUS, || {
            let answer = client.get(&format!("/api/v1/orders/{}", orders[0]));
            let status = (answer.status == 200).then(|| answer.json()["status"].clone());
            assert!(status.is_none_or(|it| it == "accepted" || it == "rejected"));
            (answer.status == 404).then_some(())
        });
        drop(fleet.gateways[1].run(&["audit"]).expect(1));
        if round == 0 {
            fleet.crash(1);
        }
    }
    // All but the one that can be paid for.
    sell(&mut fleet.shoppers("rest", 20), &[0, 1], &activity, 19);
}

#[test]
fn a_gateway_that_is_killed_comes_back_with_its_lease_and_its_orders() {
    let mut fleet = Fleet::start(2);
    let activity = fleet.sale(Sale::of(30));
    let tokens = fleet.tokens("loyal", 4);
    let mut orders = Vec::new();
    for (number, token) in tokens.iter().enumerate() {
        let client = &mut fleet.clients(token)[1];
        let key = format!("loyal-{number}");
        let order = until("the shopper is served", GENEROUS, || buy(client, &activity, &key).ok());
        orders.push(order.id);
        // Twice: while the first orders are being confirmed, and once more.
        if number < 2 {
            fleet.crash(1);
        }
    }
    for (token, order) in tokens.iter().zip(&orders) {
        await_status(&mut fleet.clients(token)[1], order, Status::AwaitingPayment);
    }
    assert!((4..=30).contains(&fleet.lent(&activity)));
}

/// The store has heard no more than the copy knows. Redis has: what it lent since would be sold twice.
#[test]
fn an_older_copy_of_a_journal_is_known_by_what_redis_has_heard() {
    let mut fleet = Fleet::start(2);
    let activity = fleet.sale(Sale::of(30));
    let token = fleet.tokens("buyer", 1).remove(0);
    // Epoch, number, units, and what follows.
    let requests = |fleet: &Fleet| {
        let record = fleet.redis.tell(&["HGET", &format!("seckill:lease:{activity}"), "g:1"]);
        record[0].split(' ').nth(1).expect("a record has a number").parse::<u64>().unwrap()
    };
    fleet.gateways[1].kill();
    let older = Scratch::copy_of(fleet.gateways[1].data());
    let before = requests(&fleet);
    let store = fleet.hold_store();
    fleet.gateways[1].restart(START);
    let client = &mut fleet.clients(&token)[1];
    drop(until("the buyer is served", GENEROUS, || buy(client, &activity, "key").ok()));
    until("Redis has heard more", GENEROUS, || (requests(&fleet) > before + 1).then_some(()));
    fleet.gateways[1].kill();
    drop(store);
    let newer = Scratch::copy_of(fleet.gateways[1].data());
    fleet.gateways[1].put_back(&older, "journal");
    let ended = fleet.gateways[1].run(&SERVE);
    assert!(!ended.stdout.contains("ready on"), "nobody is served: {}", ended.stdout);
    ended.refused("an older copy of its data directory was restored");
    fleet.gateways[1].put_back(&newer, "journal");
    fleet.gateways[1].restart(START);
    let client = &mut fleet.clients(&token)[1];
    let order = buy(client, &activity, "key").unwrap();
    await_status(client, &order.id, Status::AwaitingPayment);
}
