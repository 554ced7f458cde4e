//! Every call that there is: a request that would do, to be spoiled in one respect.

use seckill_loadtest::client::{Client, Request};
use seckill_loadtest::shop::{self, PASSWORD, Sale};
use serde_json::{Value, json};

use crate::world::World;

/// Who may make a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    Anyone,
    Shopper,
    Operator,
    Admin,
}

/// A call as it should be.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) who: Who,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) if_match: Option<&'static str>,
    /// None for a call that takes no fields.
    pub(crate) body: Option<Value>,
    /// Of the body's fields, those that must be there.
    pub(crate) required: &'static [&'static str],
}

impl Call {
    fn of(who: Who, method: &'static str, path: impl Into<String>) -> Self {
        Self { who, method, path: path.into(), if_match: None, body: None, required: &[] }
    }

    fn takes(mut self, body: Value, required: &'static [&'static str]) -> Self {
        self.body = Some(body);
        self.required = required;
        self
    }

    /// The version that never is: a spoiled request must not get as far as to be compared with it.
    fn versioned(mut self) -> Self {
        self.if_match = Some("\"999999999\"");
        self
    }

    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The request without its body.
    pub(crate) fn request(&self) -> Request {
        self.request_to(&self.path)
    }

    /// The same to another path.
    pub(crate) fn request_to(&self, path: &str) -> Request {
        let request = Request::new(self.method, path);
        match self.if_match {
            Some(version) => request.header("if-match", version),
            None => request,
        }
    }

    /// The whole request to another path.
    pub(crate) fn whole_to(&self, path: &str) -> Request {
        let request = self.request_to(path);
        match &self.body {
            Some(body) => request.json(body),
            None => request,
        }
    }

    /// Whether the body may be left away.
    pub(crate) fn takes_no_body(&self) -> bool {
        self.body.is_none() || (self.required.is_empty() && self.method == "POST")
    }

    pub(crate) fn client<'a>(&self, world: &'a mut World) -> &'a mut Client {
        match self.who {
            Who::Anyone | Who::Shopper => &mut world.ann,
            Who::Operator | Who::Admin => &mut world.shop.admin,
        }
    }
}

/// All calls; what they name is there.
pub(crate) fn calls(world: &World) -> Vec<Call> {
    use Who::{Admin, Anyone, Operator, Shopper};
    let World { product, draft, live, order, ann_id, .. } = world;
    let credentials = json!({ "username": "ann", "password": PASSWORD });
    let mut account = json!({ "username": "zoe", "password": PASSWORD, "display_name": "Zoe" });
    account["display_name"] = json!("Zoe");
    let me =
        json!({ "display_name": "Z", "password": PASSWORD, "old_password": "not the password" });
    let admin = "/api/v1/admin";
    let step = |name: &str| Call::of(Operator, "POST", format!("{admin}/activities/{live}/{name}"));
    let quantity = || json!({ "quantity": 1 });
    let mut calls = orders(world);
    calls.extend([
        Call::of(Anyone, "POST", "/api/v1/users").takes(account, &["username", "password"]),
        Call::of(Anyone, "POST", "/api/v1/sessions").takes(credentials, &["username", "password"]),
        Call::of(Anyone, "POST", "/api/v1/password-resets")
            .takes(json!({ "token": "of-no-reset", "password": PASSWORD }), &["token", "password"]),
        Call::of(Shopper, "DELETE", "/api/v1/sessions/current"),
        Call::of(Shopper, "DELETE", "/api/v1/sessions"),
        Call::of(Shopper, "GET", "/api/v1/users/me"),
        Call::of(Shopper, "PATCH", "/api/v1/users/me").takes(me, &[]),
        Call::of(Anyone, "GET", "/api/v1/products"),
        Call::of(Anyone, "GET", format!("/api/v1/products/{product}")),
        Call::of(Anyone, "GET", "/api/v1/activities"),
        Call::of(Anyone, "GET", format!("/api/v1/activities/{live}")),
        Call::of(Anyone, "GET", format!("/api/v1/activities/{live}/state")),
        Call::of(Shopper, "POST", format!("/api/v1/activities/{live}/orders"))
            .takes(quantity(), &[]),
        Call::of(Operator, "POST", format!("{admin}/products"))
            .takes(shop::product(5), &["title", "price", "stock"]),
        Call::of(Operator, "PATCH", format!("{admin}/products/{product}"))
            .takes(shop::product(5), &[])
            .versioned(),
        Call::of(Operator, "POST", format!("{admin}/activities")).takes(
            shop::activity(product, Sale::of(5)),
            &[
                "title",
                "product_id",
                "sale_price",
                "stock_total",
                "per_user_limit",
                "pay_within_seconds",
                "starts_at",
                "ends_at",
            ],
        ),
        Call::of(Operator, "PATCH", format!("{admin}/activities/{draft}"))
            .takes(json!({ "title": "New", "stock_total": 5, "admission": false }), &[])
            .versioned(),
        step("publish"),
        step("pause"),
        step("resume"),
        step("end"),
        step("restock").takes(quantity(), &["quantity"]),
        step("withdraw").takes(quantity(), &["quantity"]),
        Call::of(Operator, "POST", format!("{admin}/orders/{order}/cancel")),
        Call::of(Operator, "POST", format!("{admin}/orders/{order}/refund"))
            .takes(json!({ "return_units": true }), &["return_units"]),
        Call::of(Operator, "GET", format!("{admin}/orders?activity_id={live}")),
        Call::of(Operator, "GET", format!("{admin}/users")),
        Call::of(Operator, "GET", format!("{admin}/audit/{live}")),
        Call::of(Admin, "GET", format!("{admin}/trail")),
        Call::of(Admin, "PUT", format!("{admin}/users/{ann_id}/roles"))
            .takes(json!({ "roles": ["shopper"] }), &["roles"]),
        Call::of(Admin, "POST", format!("{admin}/users/{ann_id}/unblock")),
        Call::of(Admin, "POST", format!("{admin}/users/{ann_id}/password-reset")),
    ]);
    calls
}

/// A shopper's calls of an order and its payment.
fn orders(world: &World) -> Vec<Call> {
    use Who::Shopper;
    let World { order, payment, .. } = world;
    vec![
        Call::of(Shopper, "GET", "/api/v1/orders"),
        Call::of(Shopper, "GET", format!("/api/v1/orders/{order}")),
        Call::of(Shopper, "DELETE", format!("/api/v1/orders/{order}")),
        Call::of(Shopper, "POST", format!("/api/v1/orders/{order}/payments"))
            .takes(json!({ "method": "sandbox" }), &["method"]),
        Call::of(Shopper, "GET", format!("/api/v1/sandbox/payments/{payment}")),
        Call::of(Shopper, "POST", format!("/api/v1/sandbox/payments/{payment}"))
            .takes(json!({ "deliveries": [{ "type": "payment.failed" }] }), &["deliveries"]),
        Call::of(Shopper, "DELETE", format!("/api/v1/orders/{order}/payments/{payment}")),
    ]
}

/// Calls unlike the others, with tests of their own.
const APART: [(&str, &str); 2] =
    [("POST", "/api/v1/webhooks/payments"), ("GET", "/api/v1/openapi.json")];

/// Whether a path is one that the document means; what it leaves open is any one segment.
fn means(template: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap();
    let [template, path]: [Vec<_>; 2] = [template, path].map(|path| path.split('/').collect());
    let same = |(open, segment): (&&str, &&str)| open.starts_with('{') || open == segment;
    template.len() == path.len() && template.iter().zip(&path).all(same)
}

#[test]
fn these_are_all_the_calls_that_the_gateway_has() {
    let world = World::new();
    let calls = calls(&world);
    let known = calls.iter().map(|call| (call.method, call.path.as_str())).chain(APART);
    let known: Vec<_> = known.collect();
    let mut visitor = Client::new(world.gateway.address());
    let document = visitor.get("/api/v1/openapi.json").expect(200).json();
    let mut served = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let methods = methods.as_object().unwrap().keys().map(|method| method.to_uppercase());
        let is_call =
            |method: &String| ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str());
        served.extend(methods.filter(is_call).map(|method| (method, path)));
    }
    for (method, path) in &served {
        let is_known = known.iter().any(|(of, call)| of == method && means(path, call));
        assert!(is_known, "no bad input for {method} {path}");
    }
    for (method, path) in known {
        let is_served = served.iter().any(|(of, template)| of == method && means(template, path));
        assert!(is_served, "{method} {path} is not in the document");
    }
}
