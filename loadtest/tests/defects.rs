//! Defects of the field that a lone gateway can have and that need the real process to be seen,
//! each by its id.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its parts")]

use std::sync::Barrier;
use std::thread;

use rustix::process::{Resource, Rlimit, prlimit};
use seckill_loadtest::client::{Client, Request, Response};
use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::provider::{self, delivery, succeeded};
use seckill_loadtest::shop::{self, Sale, Shop, buy};
use serde_json::{Value, json};

/// A gateway with a sale and so many shoppers.
fn sale<const N: usize>(sale: Sale) -> (Gateway, Shop, String, [Client; N]) {
    let gateway = provider::gateway(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let activity = shop.sale(sale);
    let shoppers = shop::shoppers(&gateway, "buyer");
    (gateway, shop, activity, shoppers)
}

/// Sends one request of each client at the same moment.
fn at_once(clients: &mut [Client], request: impl Fn(usize) -> Request + Sync) -> Vec<Response> {
    let barrier = Barrier::new(clients.len());
    thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter_mut()
            .enumerate()
            .map(|(index, client)| {
                let (barrier, request) = (&barrier, &request);
                scope.spawn(move || {
                    barrier.wait();
                    client.send(request(index))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// The account of a sale once the store has followed the journal to so many held units.
#[track_caller]
fn settled(gateway: &Gateway, activity: &str, held: u64) -> Value {
    until("the store has all that happened", GENEROUS, || {
        let account = gateway.audit(activity);
        let remaining = account["stock_total"].as_u64()?.checked_sub(held)?;
        let is_settled = account["held"] == held && account["remaining"] == remaining;
        (is_settled && remaining + held > 0).then_some(account)
    })
}

fn count(responses: &[Response], status: u16) -> usize {
    responses.iter().filter(|response| response.status == status).count()
}

/// Starts a payment of an order; its id.
#[track_caller]
fn start_payment(shopper: &mut Client, order: &str) -> String {
    let started = shopper.send(pay(order)).expect(201).json();
    started["payment_id"].as_str().unwrap().to_owned()
}

fn pay(order: &str) -> Request {
    let path = format!("/api/v1/orders/{order}/payments");
    Request::new("POST", &path).key("pay").json(&json!({ "method": "sandbox" }))
}

/// The same shopper on many connections.
fn clones<const N: usize>(gateway: &Gateway, client: &Client) -> [Client; N] {
    let token = client.token.as_ref().unwrap();
    std::array::from_fn(|_| Client::with_token(gateway.address(), token))
}

fn cancel(order: &str) -> Request {
    Request::new("DELETE", &format!("/api/v1/orders/{order}"))
}

#[test]
fn o1_one_unit_is_sold_to_one_of_many_at_once() {
    let (_gateway, mut shop, activity, mut buyers) = sale::<32>(Sale::of(1));
    let responses = at_once(&mut buyers, |_| buy(&activity, "a", 1));
    assert_eq!((count(&responses, 202), count(&responses, 409)), (1, 31));
    for refused in responses.iter().filter(|response| response.status == 409) {
        refused.problem(409, "sold-out");
    }
    assert_eq!(shop.remaining(&activity), 0);
    // O13: who was refused has no order either.
    let orders: usize = buyers.iter_mut().map(|buyer| shop::orders(buyer).len()).sum();
    assert_eq!(orders, 1);
}

#[test]
fn o4_many_cancellations_give_the_units_back_once() {
    let (gateway, mut shop, activity, [mut ann]) = sale(Sale { limit: 2, ..Sale::of(5) });
    let order = shop::id_of(&ann.send(buy(&activity, "a", 2)).expect(202).json());
    let mut clones: [Client; 8] = clones(&gateway, &ann);
    let responses = at_once(&mut clones, |_| cancel(&order));
    let busy = responses.iter().filter(|response| response.status == 503);
    assert_eq!(count(&responses, 204) + busy.count(), 8, "{responses:?}");
    assert!(count(&responses, 204) > 0);
    assert_eq!(shop.remaining(&activity), 5);
    settled(&gateway, &activity, 0);
}

#[test]
fn o5_restart_in_mid_sale_keeps_the_stock_equation() {
    let (mut gateway, mut shop, activity, mut buyers) = sale::<12>(Sale::of(10));
    for buyer in &mut buyers[..6] {
        drop(buyer.send(buy(&activity, "a", 1)).expect(202));
    }
    let order = shop::orders(&mut buyers[0])[0].id.clone();
    drop(buyers[0].send(cancel(&order)).expect(204));
    assert_eq!(shop.remaining(&activity), 5);
    gateway.kill();
    gateway.restart(Start::cores(3));
    let mut admin = Client::with_token(gateway.address(), shop.admin.token.as_ref().unwrap());
    let state = admin.get(&format!("/api/v1/activities/{activity}/state")).expect(200).json();
    assert_eq!((&state["remaining"], &state["phase"]), (&json!(5), &json!("live")));
    let mut sold = 0;
    for buyer in &buyers {
        let mut buyer = Client::with_token(gateway.address(), buyer.token.as_ref().unwrap());
        sold += usize::from(buyer.send(buy(&activity, "b", 1)).status == 202);
    }
    assert_eq!(sold, 5);
    assert_eq!(settled(&gateway, &activity, 10)["remaining"], 0);
}

#[test]
fn o7_a_sold_out_storm_opens_nothing() {
    let (_gateway, mut shop, activity, mut buyers) = sale::<8>(Sale::of(3));
    for buyer in &mut buyers[..3] {
        drop(buyer.send(buy(&activity, "a", 1)).expect(202));
    }
    for round in 0..100 {
        let responses = at_once(&mut buyers[3..], |_| buy(&activity, &format!("key{round}"), 1));
        assert_eq!(count(&responses, 409), 5, "{responses:?}");
    }
    let state = shop.state(&activity);
    assert_eq!((&state["remaining"], &state["phase"]), (&json!(0), &json!("sold_out")));
}

#[test]
fn u2_one_shopper_who_clicks_ten_thousand_times_takes_one_unit() {
    let (gateway, mut shop, activity, [ann, mut bob]) = sale(Sale::of(2));
    let mut clones: [Client; 8] = clones(&gateway, &ann);
    let accepted: usize = thread::scope(|scope| {
        let threads: Vec<_> = clones
            .iter_mut()
            .enumerate()
            .map(|(index, ann)| {
                let activity = &activity;
                scope.spawn(move || {
                    let click =
                        |n: usize| ann.send(buy(activity, &format!("{index}-{n}"), 1)).status;
                    (0..1_250).map(click).filter(|status| *status == 202).count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!((accepted, shop.remaining(&activity)), (1, 1));
    drop(bob.send(buy(&activity, "a", 1)).expect(202));
}

#[test]
fn u4_the_last_units_are_sold_to_whoever_asks() {
    for stock in [1, 2, 3, 5, 40] {
        let (_gateway, mut shop, activity, mut buyers) = sale::<48>(Sale::of(stock));
        let responses = at_once(&mut buyers, |_| buy(&activity, "a", 1));
        assert_eq!(count(&responses, 202), usize::try_from(stock).unwrap());
        assert_eq!(shop.remaining(&activity), 0);
    }
}

#[test]
fn u8_units_that_come_back_are_sold_by_every_core() {
    let (_gateway, _shop, activity, mut buyers) = sale::<9>(Sale::of(1));
    let [holder, others @ ..] = &mut buyers;
    for round in 0..4 {
        let key = format!("key{round}");
        let order = shop::id_of(&holder.send(buy(&activity, &key, 1)).expect(202).json());
        for other in &mut *others {
            other.send(buy(&activity, &key, 1)).problem(409, "sold-out");
        }
        drop(holder.send(cancel(&order)).expect(204));
        let other = &mut others[round];
        let order = shop::id_of(&other.send(buy(&activity, "mine", 1)).expect(202).json());
        drop(other.send(cancel(&order)).expect(204));
    }
}

#[test]
fn u9_buys_before_the_start_move_nothing() {
    let early = Sale { opens_in_ms: 3_600_000, ..Sale::of(7) };
    let (gateway, mut shop, activity, mut buyers) = sale::<16>(early);
    for response in at_once(&mut buyers, |_| buy(&activity, "a", 1)) {
        response.problem(409, "not-started");
    }
    assert_eq!(shop.remaining(&activity), 7);
    assert_eq!(settled(&gateway, &activity, 0)["remaining"], 7);
}

/// Everything that a GET could change, as its owners see it.
fn everything(shop: &mut Shop, ann: &mut Client, activity: &str) -> Value {
    let mut state = shop.state(activity);
    state["server_time"] = Value::Null;
    json!([
        state,
        ann.get("/api/v1/orders").json(),
        ann.get("/api/v1/users/me").json(),
        shop.admin.get("/api/v1/products").json(),
        shop.admin.get("/api/v1/activities").json(),
        shop.admin.get("/api/v1/admin/users").json(),
    ])
}

#[test]
fn u10_no_get_changes_state() {
    let (gateway, mut shop, activity, [mut ann]) = sale(Sale { limit: 2, ..Sale::of(5) });
    let order = shop::id_of(&ann.send(buy(&activity, "a", 1)).expect(202).json());
    let payment = start_payment(&mut ann, &order);
    let before = everything(&mut shop, &mut ann, &activity);
    // The sale, the order and its payment.
    let position = until("the store has all that happened", GENEROUS, || {
        let position = gateway.audit(&activity)["at_position"].clone();
        (position == 3).then_some(position)
    });
    for method in ["GET", "HEAD"] {
        for path in [
            "/api/v1/users",
            "/api/v1/sessions",
            "/api/v1/sessions/current",
            &format!("/api/v1/activities/{activity}/orders"),
            &format!("/api/v1/activities/{activity}/orders?quantity=1"),
            &format!("/api/v1/orders/{order}"),
            &format!("/api/v1/orders/{order}/cancel"),
            &format!("/api/v1/orders/{order}?_method=DELETE"),
            &format!("/api/v1/orders/{order}/payments"),
            &format!("/api/v1/orders/{order}/payments/{payment}"),
            &format!("/api/v1/sandbox/payments/{payment}"),
            &format!("/api/v1/webhooks/payments?payment_id={payment}&type=payment.succeeded"),
            &format!("/pay/{payment}?type=payment.succeeded"),
            &format!("/api/v1/admin/orders/{order}/cancel"),
            &format!("/api/v1/admin/orders/{order}/refund?return_units=true"),
            &format!("/api/v1/admin/activities/{activity}/end"),
            &format!("/api/v1/admin/activities/{activity}/withdraw?quantity=1"),
            &format!("/activities/{activity}"),
            &format!("/seckill/{activity}"),
        ] {
            for client in [&mut ann, &mut shop.admin] {
                let asked = Request::new(method, path).header("x-http-method-override", "POST");
                assert!(client.send(asked).status < 500, "{method} {path}");
            }
        }
    }
    assert_eq!(everything(&mut shop, &mut ann, &activity), before);
    assert_eq!(gateway.audit(&activity)["at_position"], position);
}

#[test]
fn u13_a_shopper_is_led_to_their_own_order() {
    let (_gateway, mut shop, activity, [mut ann]) = sale(Sale { limit: 2, ..Sale::of(2) });
    let orders: Vec<String> = ["a", "b"]
        .map(|key| shop::id_of(&ann.send(buy(&activity, key, 1)).expect(202).json()))
        .into();
    let refused = ann.send(buy(&activity, "c", 1)).problem(409, "limit-reached");
    let mut told: Vec<String> = serde_json::from_value(refused["orders"].clone()).unwrap();
    told.sort();
    let mut held = orders.clone();
    held.sort();
    assert_eq!(told, held);
    drop(ann.send(cancel(&orders[0])).expect(204));
    drop(ann.send(buy(&activity, "c", 1)).expect(202));
    assert_eq!(shop.remaining(&activity), 0);
}

#[test]
fn b1_a_second_buy_is_refused_and_changes_nothing() {
    let (_gateway, mut shop, activity, [mut ann]) = sale(Sale::of(5));
    let order = shop::id_of(&ann.send(buy(&activity, "a", 1)).expect(202).json());
    for key in ["b", "c", "d"] {
        let refused = ann.send(buy(&activity, key, 1)).problem(409, "limit-reached");
        assert_eq!(refused["orders"], json!([order]));
    }
    assert_eq!((shop.remaining(&activity), shop::orders(&mut ann).len()), (4, 1));
}

/// B10 as well: other keys at once.
#[test]
fn b2_one_shopper_on_many_connections_at_once_has_one_order() {
    for same_key in [true, false] {
        let (gateway, mut shop, activity, [mut ann]) = sale(Sale::of(50));
        let mut clones: [Client; 32] = clones(&gateway, &ann);
        let responses = at_once(&mut clones, |index| {
            buy(&activity, &format!("key{}", if same_key { 0 } else { index }), 1)
        });
        let mut ids = Vec::new();
        for response in &responses {
            if response.status == 202 {
                ids.push(shop::id_of(&response.json()));
                continue;
            }
            let refused = response.problem(409, "limit-reached");
            if refused["pending"] == true {
                assert!(response.header("retry-after").is_some(), "{response:?}");
            }
        }
        ids.dedup();
        assert_eq!(ids.len(), 1, "{responses:?}");
        assert_eq!((shop.remaining(&activity), shop::orders(&mut ann).len()), (49, 1));
    }
}

#[test]
fn b3_nothing_of_anybody_is_anybody_elses() {
    let (gateway, _shop, activity, [mut ann, mut eve]) = sale(Sale { limit: 2, ..Sale::of(5) });
    let order = shop::id_of(&ann.send(buy(&activity, "a", 1)).expect(202).json());
    let path = format!("/api/v1/orders/{order}");
    let payment = start_payment(&mut ann, &order);
    let at_bank = format!("/api/v1/sandbox/payments/{payment}");
    let paid = json!({ "deliveries": [{ "type": "payment.succeeded" }] });
    for request in [
        Request::new("GET", &path),
        Request::new("DELETE", &path),
        pay(&order),
        Request::new("DELETE", &format!("{path}/payments/{payment}")),
        Request::new("GET", &at_bank),
        Request::new("POST", &at_bank).json(&paid),
    ] {
        eve.send(request).problem(404, "not-found");
    }
    assert!(shop::orders(&mut eve).is_empty());
    let uid = ann.token.as_ref().unwrap().split('.').next().unwrap().to_owned();
    for query in [format!("?user={uid}"), format!("?user_id={uid}")] {
        let listed = eve.get(&format!("/api/v1/orders{query}")).expect(200).json();
        assert_eq!(listed["items"], json!([]), "{query}");
    }
    // Nor can a token, a body or a header make one shopper the other.
    let (eves_id, eves_seal) = {
        let token = eve.token.as_ref().unwrap();
        let (id, seal) = token.split_once('.').unwrap();
        (id.to_owned(), seal.to_owned())
    };
    let mut forger = Client::with_token(gateway.address(), &format!("{uid}.{eves_seal}"));
    forger.get(&path).problem(401, "unauthenticated");
    let in_her_name = json!({ "quantity": 1, "user_id": uid });
    let buys = format!("/api/v1/activities/{activity}/orders");
    eve.post(&buys, &in_her_name).problem(422, "invalid-request");
    for name in ["x-user-id", "x-forwarded-user", "user"] {
        let asked = Request::new("GET", "/api/v1/users/me").header(name, &uid);
        assert_eq!(shop::id_of(&eve.send(asked).expect(200).json()), eves_id);
    }
    // A key is its user's own, and so is what it made.
    let other = shop::id_of(&eve.send(buy(&activity, "a", 1)).expect(202).json());
    assert_ne!(other, order);
    let shown = ann.get(&path).expect(200).json();
    let of_payment = &shown["payments"][0]["status"];
    assert_eq!((&shown["status"], of_payment), (&json!("awaiting_payment"), &json!("started")));
}

#[test]
fn b5_the_limit_counts_all_unpaid_orders_of_a_shopper() {
    let (_gateway, mut shop, activity, [mut ann]) = sale(Sale { limit: 3, ..Sale::of(50) });
    for key in ["a", "b"] {
        drop(ann.send(buy(&activity, key, 1)).expect(202));
    }
    ann.send(buy(&activity, "c", 2)).problem(409, "limit-reached");
    drop(ann.send(buy(&activity, "d", 1)).expect(202));
    ann.send(buy(&activity, "e", 1)).problem(409, "limit-reached");
    assert_eq!(shop.remaining(&activity), 47);
}

#[test]
fn d3_buyers_are_known_after_a_cold_restart() {
    let (mut gateway, _shop, activity, [mut ann]) = sale(Sale::of(5));
    let order = shop::id_of(&ann.send(buy(&activity, "a", 1)).expect(202).json());
    gateway.kill();
    gateway.restart(Start::cores(1));
    let mut ann = Client::with_token(gateway.address(), ann.token.as_ref().unwrap());
    let refused = ann.send(buy(&activity, "b", 1)).problem(409, "limit-reached");
    assert_eq!(refused["orders"], json!([order]));
    assert_eq!(shop::id_of(&ann.send(buy(&activity, "a", 1)).expect(202).json()), order);
}

/// Starts a process whose writes beyond a limit of its files fail, instead of ending it.
const WITHOUT_SIGXFSZ: &[&str] = &["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""];

#[test]
fn d8_a_disk_that_fails_is_never_lied_about() {
    let mut gateway = Gateway::start(Start { cores: 2, through: WITHOUT_SIGXFSZ });
    let mut shop = Shop::open(&gateway);
    let activity = shop.sale(Sale::of(50));
    let mut buyers: [Client; 12] = shop::shoppers(&gateway, "buyer");
    let (before, after) = buyers.split_at_mut(4);
    let kept: Vec<String> = before
        .iter_mut()
        .map(|buyer| shop::id_of(&buyer.send(buy(&activity, "a", 1)).expect(202).json()))
        .collect();

    // From here on no byte can be written to any file.
    let none = Rlimit { current: Some(0), maximum: None };
    prlimit(Some(gateway.pid()), Resource::Fsize, none).unwrap();
    let unknown = after[0].send(buy(&activity, "a", 1));
    unknown.problem(504, "outcome-unknown");
    assert!(unknown.header("retry-after").is_none(), "it may have happened: {unknown:?}");
    for buyer in &mut after[1..] {
        let refused = buyer.send(buy(&activity, "a", 1));
        refused.problem(503, "unavailable");
        let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!(wait > 0);
    }
    let mut operations = Client::new(gateway.operations());
    drop(operations.get("/readyz").expect(503));
    drop(operations.get("/livez").expect(200));
    // What is there can still be read.
    let path = format!("/api/v1/orders/{}", kept[0]);
    drop(before[0].get(&path).expect(200));
    drop(Client::new(gateway.address()).get("/").expect(200));

    gateway.kill();
    gateway.restart(Start::cores(2));
    for (buyer, order) in before.iter().zip(&kept) {
        let mut buyer = Client::with_token(gateway.address(), buyer.token.as_ref().unwrap());
        assert_eq!(&shop::orders(&mut buyer)[0].id, order);
    }
    let mut lost = Client::with_token(gateway.address(), after[0].token.as_ref().unwrap());
    drop(lost.send(buy(&activity, "a", 1)).expect(202));
    assert_eq!(shop::orders(&mut lost).len(), 1, "repeated with its key, bought once");
    settled(&gateway, &activity, 5);
}

/// What happens to each of the other calls that write, when it meets the disk first.
#[test]
fn d8_whoever_meets_the_failing_disk_is_told_that_nobody_knows() {
    type Asked = fn(&str, &str) -> Request;
    let asked: [(Asked, u16, &str); 4] = [
        (
            |order, _| Request::new("DELETE", &format!("/api/v1/orders/{order}")),
            504,
            "outcome-unknown",
        ),
        (
            |order, payment| {
                let path = format!("/api/v1/orders/{order}/payments/{payment}");
                Request::new("DELETE", &path)
            },
            504,
            "outcome-unknown",
        ),
        (|order, _| pay(order).key("another"), 504, "outcome-unknown"),
        // A provider tells again whatever is not taken, and need not be told why.
        (|_, payment| delivery(succeeded(payment, 1_000), 0), 503, "unavailable"),
    ];
    for (index, (request, status, slug)) in asked.into_iter().enumerate() {
        let start = Start { cores: 2, through: WITHOUT_SIGXFSZ };
        let mut gateway = provider::gateway(start);
        let mut shop = Shop::open(&gateway);
        let activity = shop.sale(Sale::of(5));
        let [mut ann] = shop::shoppers(&gateway, "ann");
        let order = shop::id_of(&ann.send(buy(&activity, "a", 1)).expect(202).json());
        let payment = if index == 2 { String::new() } else { start_payment(&mut ann, &order) };
        let none = Rlimit { current: Some(0), maximum: None };
        prlimit(Some(gateway.pid()), Resource::Fsize, none).unwrap();
        let answer = ann.send(request(&order, &payment));
        answer.problem(status, slug);
        assert_eq!(answer.header("retry-after").is_some(), status == 503, "{answer:?}");
        gateway.kill();
        gateway.restart(Start::cores(1));
        let mut ann = Client::with_token(gateway.address(), ann.token.as_ref().unwrap());
        // Asked again, it is as if it had been asked once.
        let answer = ann.send(request(&order, &payment));
        assert!(matches!(answer.status, 201 | 204), "{answer:?}");
        let shown = ann.get(&format!("/api/v1/orders/{order}")).expect(200).json();
        let of_payments = shown["payments"].as_array().unwrap();
        assert_eq!(of_payments.len(), 1, "{shown}");
        gateway.run(&["audit"]).expect(0);
    }
}

/// Counts, not speeds: what a refusal must not cost.
#[test]
fn f9_a_refusal_writes_nothing() {
    let (gateway, _shop, activity, mut buyers) = sale::<10>(Sale::of(1));
    let [holder, others @ ..] = &mut buyers;
    drop(holder.send(buy(&activity, "a", 1)).expect(202));
    let mut operations = Client::new(gateway.operations());
    let mut figures = || {
        let metrics = operations.get("/metrics").expect(200).text();
        let names = [
            "seckill_journal_position ",
            "seckill_journal_groups_total ",
            "seckill_journal_bytes_total ",
        ];
        names.map(|name| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name}in {metrics}")).to_owned()
        })
    };
    // A group is counted a moment after its buyers are told.
    let before = until("both groups are counted", GENEROUS, || {
        let now = figures();
        (now[1] == "2").then_some(now)
    });
    for round in 0..200 {
        for other in &mut *others {
            other.send(buy(&activity, &format!("key{round}"), 1)).problem(409, "sold-out");
        }
        holder.send(buy(&activity, &format!("key{round}"), 1)).problem(409, "limit-reached");
    }
    assert_eq!(figures(), before);
}

#[test]
fn f11_whoever_is_turned_away_is_told_when_to_come_back() {
    let gateway = Gateway::start(Start::cores(1));
    drop(shop::register(&gateway, "ann"));
    let mut visitor = Client::new(gateway.address());
    let wrong = json!({ "username": "ann", "password": "not the password" });
    let mut limited: Vec<Response> = Vec::new();
    for _ in 0..60 {
        let refused = visitor.post("/api/v1/sessions", &wrong);
        if refused.status == 429 {
            limited.push(refused);
        } else {
            refused.problem(401, "unauthenticated");
        }
    }
    assert!(limited.len() > 1, "sign-in is throttled for a user");
    let mut waits: Vec<u32> = limited
        .iter()
        .map(|refused| {
            refused.problem(429, "rate-limited");
            refused.header("retry-after").unwrap().parse().unwrap()
        })
        .collect();
    assert!(waits.iter().all(|wait| *wait > 0));
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 1, "a crowd is not told to come back in the same second: {waits:?}");
}

#[test]
fn p9_timers_outlast_a_restart() {
    let (mut gateway, _shop, activity, mut buyers) =
        sale::<5>(Sale { pay_within_s: 2, ..Sale::of(5) });
    for buyer in &mut buyers {
        drop(buyer.send(buy(&activity, "a", 1)).expect(202));
    }
    gateway.kill();
    gateway.restart(Start::cores(3));
    let mut visitor = Client::new(gateway.address());
    let path = format!("/api/v1/activities/{activity}/state");
    until("all orders are expired", GENEROUS, || {
        (visitor.get(&path).json()["remaining"] == 5).then_some(())
    });
    for buyer in &buyers {
        let mut buyer = Client::with_token(gateway.address(), buyer.token.as_ref().unwrap());
        let orders = shop::orders(&mut buyer);
        assert_eq!(orders.len(), 1);
        assert_eq!(orders[0].status, seckill_loadtest::order::Status::Expired);
    }
}

#[test]
fn t3_an_activity_made_while_running_sells_at_once() {
    let (gateway, mut shop, _, [mut ann]) = sale(Sale::of(1));
    for _ in 0..5 {
        let activity = shop.sale(Sale::of(1));
        drop(ann.send(buy(&activity, "a", 1)).expect(202));
    }
    drop(gateway);
}

/// F5 as well: names that nobody knows leave nothing behind.
#[test]
fn t4_unknown_ids_are_answered_404_and_leave_nothing_behind() {
    let (gateway, _shop, _, [mut ann]) = sale(Sale::of(1));
    let mut operations = Client::new(gateway.operations());
    let mut resident = || {
        let metrics = operations.get("/metrics").expect(200).text();
        let name = "\nprocess_resident_memory_bytes ";
        let (_, rest) = metrics.split_once(name).unwrap();
        rest.lines().next().unwrap().parse::<u64>().unwrap()
    };
    let mut ask = |from: u64, count: u64| {
        let ids = (0..count).map(|n| (from + n).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 << 20);
        for id in ids {
            ann.get(&format!("/api/v1/activities/{id}/state")).problem(404, "not-found");
            let buys = buy(&id.to_string(), &format!("key{id}"), 1);
            ann.send(buys).problem(404, "not-found");
            ann.get(&format!("/api/v1/orders/{id}")).problem(404, "not-found");
            drop(ann.get(&format!("/activities/{id}")).expect(404));
        }
    };
    ask(0, 500);
    let before = resident();
    ask(500, 3_000);
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more");
}

#[test]
fn t6_an_edit_is_seen_everywhere() {
    let (gateway, mut shop, activity, [_ann]) = sale(Sale::of(5));
    let public = format!("/api/v1/activities/{activity}");
    let version = shop.admin.get(&public).json()["version"].to_string();
    let admin = format!("/api/v1/admin/activities/{activity}");
    let edit = Request::new("PATCH", &admin)
        .header("if-match", format!("\"{version}\""))
        .json(&json!({ "title": "Teapots for a song" }));
    drop(shop.admin.send(edit).expect(200));
    let mut visitor = Client::new(gateway.address());
    assert_eq!(visitor.get(&public).json()["title"], "Teapots for a song");
    for page in ["/".to_owned(), format!("/activities/{activity}")] {
        until("the page is rendered again", GENEROUS, || {
            let text = visitor.get(&page).text();
            (text.contains("Teapots") && !text.contains("Kettles for a song")).then_some(())
        });
    }
}
