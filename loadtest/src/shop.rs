//! A shop on a running gateway: its administrator, products, sales and shoppers.
//!
//! It must not know what a test does with them.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::client::{Client, Request, Response};
use crate::gateway::Gateway;
use crate::order::Order;

/// The password of every account made here.
pub const PASSWORD: &str = "correct horse battery";
/// The administrator's name.
pub const ADMIN: &str = "admin";
/// How long a sale is open.
const SALE_LASTS_MS: i64 = 3_600_000;
/// Items of a page where a whole list is read.
const LIST_ITEMS: u32 = 100;

/// What a sale sells, to whom and when.
#[derive(Clone, Copy, Debug)]
pub struct Sale {
    /// Units.
    pub stock: u32,
    /// Units that one shopper may hold.
    pub limit: u32,
    /// How long an order waits for its payment, in seconds.
    pub pay_within_s: u32,
    /// When it opens, in milliseconds from now; negative for a sale that has begun.
    pub opens_in_ms: i64,
}

impl Sale {
    /// So many units, one for each shopper, an hour to pay; it has begun.
    #[must_use]
    pub fn of(stock: u32) -> Self {
        Self { stock, limit: 1, pay_within_s: 3_600, opens_in_ms: -1_000 }
    }
}

/// An instant so many milliseconds from now, as the API writes it.
///
/// # Panics
/// Beyond the calendar.
#[must_use]
pub fn instant(from_now_ms: i64) -> String {
    let instant = Timestamp::now().checked_add(SignedDuration::from_millis(from_now_ms));
    format!("{:.3}", instant.expect("a test stays in its century"))
}

/// A shop and its administrator, who is signed in.
#[derive(Debug)]
pub struct Shop {
    /// The administrator.
    pub admin: Client,
}

impl Shop {
    /// Makes the administrator of a fresh gateway.
    ///
    /// # Panics
    /// Where that is refused.
    #[track_caller]
    #[must_use]
    pub fn open(gateway: &Gateway) -> Self {
        create_user(gateway, ADMIN, "admin");
        Self { admin: sign_in(gateway, ADMIN) }
    }

    /// Makes a product with so many units; its id.
    ///
    /// # Panics
    /// Where that is refused.
    #[track_caller]
    pub fn product(&mut self, stock: u32) -> String {
        let made = self.admin.post("/api/v1/admin/products", &product(stock)).expect(201);
        id_of(&made.json())
    }

    /// The units that a product has.
    ///
    /// # Panics
    /// Where there is no such product.
    #[track_caller]
    pub fn stock(&mut self, product: &str) -> u64 {
        let shown = self.admin.get(&format!("/api/v1/products/{product}")).expect(200).json();
        shown["stock"].as_u64().expect("a product has a stock")
    }

    /// Plans a sale of a product; its id.
    ///
    /// # Panics
    /// Where that is refused.
    #[track_caller]
    pub fn draft(&mut self, product: &str, sale: Sale) -> String {
        let body = activity(product, sale);
        id_of(&self.admin.post("/api/v1/admin/activities", &body).expect(201).json())
    }

    /// Takes a step of an activity: `publish`, `pause`, `resume` or `end`.
    ///
    /// # Panics
    /// Where that is refused.
    #[track_caller]
    pub fn step(&mut self, activity: &str, step: &str) -> Value {
        let path = format!("/api/v1/admin/activities/{activity}/{step}");
        self.admin.send(Request::new("POST", &path)).expect(200).json()
    }

    /// Withdraws unsold units of an activity.
    ///
    /// # Panics
    /// Where that is refused.
    #[track_caller]
    pub fn withdraw(&mut self, activity: &str, quantity: u32) {
        let path = format!("/api/v1/admin/activities/{activity}/withdraw");
        drop(self.admin.post(&path, &json!({ "quantity": quantity })).expect(200));
    }

    /// A published sale of all the units of a product of its own; its id.
    ///
    /// # Panics
    /// Where that is refused.
    #[track_caller]
    pub fn sale(&mut self, sale: Sale) -> String {
        let product = self.product(sale.stock);
        let activity = self.draft(&product, sale);
        self.step(&activity, "publish");
        activity
    }

    /// The state of an activity.
    ///
    /// # Panics
    /// Where there is none.
    #[track_caller]
    pub fn state(&mut self, activity: &str) -> Value {
        self.admin.get(&format!("/api/v1/activities/{activity}/state")).expect(200).json()
    }

    /// The units of an activity that can be taken now.
    ///
    /// # Panics
    /// Where there is no such activity.
    #[track_caller]
    pub fn remaining(&mut self, activity: &str) -> u64 {
        self.state(activity)["remaining"].as_u64().expect("a state says what remains")
    }
}

/// The body that makes a product.
#[must_use]
pub fn product(stock: u32) -> Value {
    json!({
        "title": "Kettle",
        "description": "Pours where you point it.",
        "price": { "amount": 5_900, "currency": "USD" },
        "stock": stock,
    })
}

/// The body that plans a sale.
#[must_use]
pub fn activity(product: &str, sale: Sale) -> Value {
    json!({
        "title": "Kettles for a song",
        "product_id": product,
        "sale_price": { "amount": 1_000, "currency": "USD" },
        "stock_total": sale.stock,
        "per_user_limit": sale.limit,
        "pay_within_seconds": sale.pay_within_s,
        "starts_at": instant(sale.opens_in_ms),
        "ends_at": instant(sale.opens_in_ms + SALE_LASTS_MS),
    })
}

/// Makes an account on the command line.
///
/// # Panics
/// Where that is refused.
#[track_caller]
pub fn create_user(gateway: &Gateway, username: &str, role: &str) {
    let arguments = ["user", "create", "--username", username, "--role", role];
    gateway.run_with(&arguments, &[("SECKILL_PASSWORD", PASSWORD)]).expect(0);
}

/// Signs in.
///
/// # Panics
/// Where that is refused.
#[track_caller]
#[must_use]
pub fn sign_in(gateway: &Gateway, username: &str) -> Client {
    let mut client = Client::new(gateway.address());
    let body = json!({ "username": username, "password": PASSWORD });
    let session = client.post("/api/v1/sessions", &body).expect(201).json();
    client.token = session["token"].as_str().map(str::to_owned);
    client
}

/// Registers and signs in.
///
/// # Panics
/// Where that is refused.
#[track_caller]
#[must_use]
pub fn register(gateway: &Gateway, username: &str) -> Client {
    let body = json!({ "username": username, "password": PASSWORD });
    drop(Client::new(gateway.address()).post("/api/v1/users", &body).expect(201));
    sign_in(gateway, username)
}

/// Makes load-test shoppers on the command line; their tokens.
///
/// # Panics
/// Where that is refused.
#[track_caller]
#[must_use]
pub fn tokens(gateway: &Gateway, prefix: &str, users: usize) -> Vec<String> {
    let path = gateway.data().join(format!("tokens-{prefix}"));
    let out = path.to_str().expect("a scratch directory has a plain name");
    let users = users.to_string();
    gateway.run(&["tokens", "--users", &users, "--prefix", prefix, "--out", out]).expect(0);
    let text = fs::read_to_string(&path).expect("the tokens were written");
    text.lines().map(str::to_owned).collect()
}

/// Load-test shoppers, each with a connection of their own.
///
/// # Panics
/// Where they cannot be made.
#[track_caller]
#[must_use]
pub fn shoppers<const N: usize>(gateway: &Gateway, prefix: &str) -> [Client; N] {
    let tokens = tokens(gateway, prefix, N);
    let clients = tokens.iter().map(|token| Client::with_token(gateway.address(), token));
    let clients: Vec<Client> = clients.collect();
    clients.try_into().expect("one for each token")
}

/// The request that buys.
#[must_use]
pub fn buy(activity: &str, key: &str, quantity: u32) -> Request {
    let path = format!("/api/v1/activities/{activity}/orders");
    Request::new("POST", &path).key(key).json(&json!({ "quantity": quantity }))
}

/// Every order of a shopper, newest first.
///
/// # Panics
/// Where the list is not as the contract says.
#[track_caller]
pub fn orders(shopper: &mut Client) -> Vec<Order> {
    items(shopper, "/api/v1/orders?").iter().map(Order::of).collect()
}

/// The same, where the gateway can list all of them now.
pub fn whole_orders(shopper: &mut Client) -> Option<Vec<Order>> {
    let is_whole = |page: &Value| page.get("partial").is_none();
    let page = |page: Response| (page.status == 200).then(|| page.json()).filter(is_whole);
    Some(pages(shopper, "/api/v1/orders?", page)?.iter().map(Order::of).collect())
}

/// Every item of a list; the path ends where its next parameter goes.
///
/// # Panics
/// Where the list is not as the contract says.
#[track_caller]
pub fn items(client: &mut Client, path: &str) -> Vec<Value> {
    pages(client, path, |page| Some(page.expect(200).json())).expect("each page is one")
}

/// Every item of a list, as long as all answers are pages.
#[track_caller]
fn pages(
    client: &mut Client,
    path: &str,
    page: impl Fn(Response) -> Option<Value>,
) -> Option<Vec<Value>> {
    let mut items = Vec::new();
    let mut next = String::new();
    loop {
        let page = page(client.get(&format!("{path}limit={LIST_ITEMS}{next}")))?;
        items.extend(page["items"].as_array().expect("a list has items").iter().cloned());
        let Some(cursor) = page["next_cursor"].as_str() else { return Some(items) };
        next = format!("&cursor={cursor}");
    }
}

/// The id of something that was made.
///
/// # Panics
/// Where it has none.
#[track_caller]
#[must_use]
pub fn id_of(thing: &Value) -> String {
    thing["id"].as_str().expect("an id is a string").to_owned()
}
