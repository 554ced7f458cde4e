//! What an operator changes of a sale that goes on, at one gateway: more units, other words.

use seckill_loadtest::client::{Client, Request};
use seckill_loadtest::order::Status;
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop::Sale;
use serde_json::{Value, json};

use crate::auditing::audit;
use crate::fleet::{Fleet, await_status, buy};

/// Units of the sale before anything is restocked.
const STOCK: u32 = 30;
/// Units that come by each restock.
const MORE: u32 = 4;

/// A buyer's place among the shoppers, the gateway where they bought, and the order.
type Bought = (usize, usize, String);

/// The administrator's connection to a gateway.
fn admin_at(fleet: &Fleet, at: usize) -> Client {
    Client::with_token(fleet.gateways[at].address(), fleet.shop.admin.token.as_ref().unwrap())
}

fn restock(activity: &str, key: &str) -> Request {
    let path = format!("/api/v1/admin/activities/{activity}/restock");
    Request::new("POST", &path).key(key).json(&json!({ "quantity": MORE }))
}

/// Shoppers press, each at a gateway, until so many more of them have bought; no more may.
fn sell(
    shoppers: &mut [Vec<Client>],
    (activity, at): (&str, impl Fn(usize) -> usize),
    (bought, units): (&mut Vec<Bought>, u32),
) {
    let all = bought.len() + units as usize;
    until(&format!("{all} units are sold"), GENEROUS, || {
        for (number, shopper) in shoppers.iter_mut().enumerate() {
            if bought.iter().any(|(buyer, ..)| *buyer == number) {
                continue;
            }
            let at = at(number);
            match buy(&mut shopper[at], activity, &format!("crowd-{number}")) {
                Ok(order) => bought.push((number, at, order.id)),
                Err(refusal) => assert!(refusal.ends_with("sold-out"), "{refusal}"),
            }
        }
        assert!(bought.len() <= all, "oversold: {bought:?}");
        (bought.len() == all).then_some(())
    });
}

/// Whoever comes to any gateway is sent away, and no unit appears for them.
fn expect_sold_out(fleet: &Fleet, activity: &str, shopper: &mut [Client], units: u32) {
    for client in shopper {
        let refusal = buy(client, activity, "late").unwrap_err();
        assert!(refusal.ends_with("sold-out"), "{refusal}");
    }
    assert_eq!(fleet.lent(activity), u64::from(units));
}

/// All books of all gateways have so many orders of one unit each, and no unit beside.
fn expect_books(fleet: &Fleet, activity: &str, units: u32) {
    for gateway in 0..fleet.gateways.len() {
        let whole = until("all books have all orders", GENEROUS, || {
            let audit = audit(fleet, gateway, activity);
            assert_eq!(audit["difference_count"], 0, "{audit}");
            let is_whole = audit["balanced"] == true && audit["unanswered"] == json!([]);
            let shown = ["stock_total", "held", "remaining"].map(|name| &audit[name]);
            // Units that go from one to another while each is asked are at both, or at none.
            let is_calm = shown == [units, units, 0];
            (is_whole && is_calm && audit["sources"]["journal_orders"] == units).then_some(audit)
        });
        assert_eq!(whole["sources"]["redis_units"], units, "{whole}");
        let drift = fleet.figure(gateway, "seckill_lease_drift_units", activity);
        assert_eq!(drift, Some(0), "gateway {gateway}");
    }
}

#[test]
fn what_is_restocked_at_one_gateway_is_sold_at_any_and_once() {
    let mut fleet = Fleet::start(3);
    let product = fleet.shop.product(STOCK + 3 * MORE + 1);
    let activity = fleet.shop.draft(&product, Sale::of(STOCK));
    fleet.shop.step(&activity, "publish");
    fleet.await_shared(&activity);
    let mut shoppers = fleet.shoppers("crowd", 50);
    let mut late = fleet.shoppers("late", 1).remove(0);
    let mut bought = Vec::new();
    let anywhere = |number: usize| number % 3;
    sell(&mut shoppers, (&activity, anywhere), (&mut bought, STOCK));
    fleet.await_lent(&activity, STOCK.into());
    expect_sold_out(&fleet, &activity, &mut late, STOCK);
    let mut now = STOCK;
    for there in 0..3 {
        // The units come to one gateway, and all who want them are at another.
        let mut admin = admin_at(&fleet, (there + 1) % 3);
        let key = format!("more-{there}");
        now += MORE;
        until("it is restocked", GENEROUS, || {
            let answer = admin.send(restock(&activity, &key));
            // That this gateway has the new row may take longer than it waits for.
            assert!([200, 504].contains(&answer.status), "{}", answer.text());
            (answer.status == 200).then_some(())
        });
        // The answer was lost, and the operator's next request comes to another gateway.
        let again = admin_at(&fleet, there).send(restock(&activity, &key)).expect(200);
        assert_eq!(again.json()["stock_total"], now, "the same key moves them once");
        sell(&mut shoppers, (&activity, |_| there), (&mut bought, MORE));
        fleet.await_lent(&activity, now.into());
        expect_sold_out(&fleet, &activity, &mut late, now);
    }
    admin_at(&fleet, 2).send(restock(&activity, "too-many")).problem(409, "insufficient-stock");
    assert_eq!(fleet.shop.stock(&product), 1);
    for (number, at, order) in &bought {
        await_status(&mut shoppers[*number][*at], order, Status::AwaitingPayment);
    }
    expect_books(&fleet, &activity, now);
}

/// What a page shows of a product: its name, its price and its words.
type Shown = [&'static str; 3];

const BEFORE: Shown = ["<h1>Kettle</h1>", "$59.00", "Pours where you point it."];
const BEHIND: Shown = ["<h1>Teapot</h1>", "$41.00", "Keeps what you pour."];

/// Waits until a page is as it is to be: before it is as it was, and nothing in between.
fn await_page(client: &mut Client, path: &str, before: &[&str], behind: &[&str]) {
    let has = |page: &str, words: &[&str]| words.iter().all(|word| page.contains(word));
    let has_none = |page: &str, words: &[&str]| !words.iter().any(|word| page.contains(word));
    until(&format!("{path} has changed"), GENEROUS, || {
        let answer = client.get(path).expect(200);
        let page = answer.text();
        let is_old = has(&page, before) && has_none(&page, behind);
        let is_new = has(&page, behind) && has_none(&page, before);
        assert!(is_old != is_new, "half of it has changed: {page}");
        is_new.then_some(())
    });
}

fn patch(client: &mut Client, path: &str, version: &Value, body: &Value) -> Value {
    let version = format!("\"{version}\"");
    client
        .send(Request::new("PATCH", path).header("if-match", version).json(body))
        .expect(200)
        .json()
}

/// T6: a page was rendered once, and showed yesterday's price wherever it had been rendered.
#[test]
fn other_words_and_another_price_are_seen_at_every_gateway_and_whole() {
    let mut fleet = Fleet::start(3);
    let product = fleet.shop.product(12);
    let activity = fleet.shop.draft(&product, Sale::of(10));
    fleet.shop.step(&activity, "publish");
    fleet.await_shared(&activity);
    let mut visitors: Vec<_> =
        fleet.gateways.iter().map(|gateway| Client::new(gateway.address())).collect();
    let [of_product, of_sale] = [format!("/products/{product}"), format!("/activities/{activity}")];
    let [product, sale] = [&of_product, &of_sale].map(|path| format!("/api/v1{path}"));
    let admin = |path: &str| path.replace("/api/v1/", "/api/v1/admin/");
    // What a browser keeps of before, which is not to be told that it is good still.
    let kept = visitors.iter_mut().map(|visitor| {
        until("it is shown", GENEROUS, || {
            [&of_product, &of_sale].iter().all(|it| visitor.get(it).status == 200).then_some(())
        });
        await_page(visitor, &of_product, &[], &BEFORE);
        await_page(visitor, &of_sale, &[], &["Kettles for a song", BEFORE[2]]);
        let page = visitor.get(&of_product).expect(200);
        page.header("etag").expect("a page has a tag").to_owned()
    });
    let kept: Vec<_> = kept.collect();

    let version = visitors[1].get(&product).expect(200).json()["version"].clone();
    let price = json!({ "amount": 4_100, "currency": "USD" });
    let body = json!({ "title": "Teapot", "description": BEHIND[2], "price": price });
    let changed = patch(&mut admin_at(&fleet, 1), &admin(&product), &version, &body);
    for (visitor, tag) in visitors.iter_mut().zip(&kept) {
        await_page(visitor, &of_product, &BEFORE, &BEHIND);
        // Of a sale that is published the name and the price stay, of what is sold.
        await_page(visitor, &of_sale, &[BEFORE[2]], &[BEHIND[2]]);
        assert_eq!(visitor.get(&product).expect(200).json(), changed);
        let revisit = Request::new("GET", &of_product).header("if-none-match", tag);
        drop(visitor.send(revisit).expect(200));
    }
    let stale =
        Request::new("PATCH", &admin(&product)).header("if-match", format!("\"{version}\""));
    admin_at(&fleet, 2).send(stale.json(&json!({ "title": "Jug" }))).problem(409, "conflict");

    let version = visitors[2].get(&sale).expect(200).json()["version"].clone();
    let body = json!({ "title": "Teapots, too" });
    drop(patch(&mut admin_at(&fleet, 2), &admin(&sale), &version, &body));
    for visitor in &mut visitors {
        for path in [&*of_sale, "/"] {
            await_page(visitor, path, &["Kettles for a song"], &["Teapots, too"]);
        }
        until("the API says so, too", GENEROUS, || {
            (visitor.get(&sale).expect(200).json()["title"] == "Teapots, too").then_some(())
        });
    }
}
