//! Accounts, sessions and roles.

use jiff::Timestamp;
use seckill_loadtest::client::{Client, HOST, Request};
use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::shop::{self, ADMIN, PASSWORD, Sale, Shop};
use serde_json::{Value, json};

fn credentials(username: &str, password: &str) -> Value {
    json!({ "username": username, "password": password })
}

fn patch_me(client: &mut Client, body: &Value) -> seckill_loadtest::client::Response {
    client.send(Request::new("PATCH", "/api/v1/users/me").json(body))
}

#[test]
fn a_shopper_registers_and_signs_in_and_out() {
    let gateway = Gateway::start(Start::cores(1));
    let mut ann = Client::new(gateway.address());
    let account = json!({ "username": "ann", "password": PASSWORD, "display_name": "Ann" });
    let user = ann.post("/api/v1/users", &account).expect(201).json();
    let id = shop::id_of(&user);
    let shown = json!({
        "id": id, "username": "ann", "display_name": "Ann", "roles": ["shopper"],
    });
    assert_eq!(user, shown);
    ann.post("/api/v1/users", &account).problem(409, "conflict");
    ann.get("/api/v1/users/me").problem(401, "unauthenticated");

    let session = ann.post("/api/v1/sessions", &credentials("ann", PASSWORD)).expect(201);
    let cookie = session.header("set-cookie").unwrap().to_owned();
    assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Lax"), "{cookie}");
    assert!(!cookie.contains("; Secure"), "over http a browser would not keep it: {cookie}");
    let session = session.json();
    let token = session["token"].as_str().unwrap();
    assert!(token.starts_with(&format!("{id}.")), "a load balancer reads the user id: {token}");
    let expires_at: Timestamp = session["expires_at"].as_str().unwrap().parse().unwrap();
    assert!(expires_at > Timestamp::now());
    assert_eq!(session["user"], shown);

    ann.token = Some(token.to_owned());
    assert_eq!(ann.get("/api/v1/users/me").expect(200).json(), shown);
    drop(ann.delete("/api/v1/sessions/current").expect(204));
    ann.get("/api/v1/users/me").problem(401, "unauthenticated");
}

#[test]
fn a_wrong_password_and_an_unknown_user_are_told_alike() {
    let gateway = Gateway::start(Start::cores(1));
    drop(shop::register(&gateway, "ann"));
    let mut visitor = Client::new(gateway.address());
    let told = ["ann", "nobody"].map(|name| {
        let body = credentials(name, "not the password");
        visitor.post("/api/v1/sessions", &body).problem(401, "unauthenticated")
    });
    assert_eq!(told[0], told[1]);
}

#[test]
fn signing_out_everywhere_ends_every_session() {
    let gateway = Gateway::start(Start::cores(2));
    let mut first = shop::register(&gateway, "ann");
    let mut second = shop::sign_in(&gateway, "ann");
    let mut other = shop::register(&gateway, "bob");
    drop(second.get("/api/v1/users/me").expect(200));
    drop(first.delete("/api/v1/sessions").expect(204));
    first.get("/api/v1/users/me").problem(401, "unauthenticated");
    second.get("/api/v1/users/me").problem(401, "unauthenticated");
    drop(other.get("/api/v1/users/me").expect(200));
    drop(shop::sign_in(&gateway, "ann").get("/api/v1/users/me").expect(200));
}

#[test]
fn a_session_that_was_ended_stays_ended_after_a_restart() {
    let mut gateway = Gateway::start(Start::cores(1));
    let mut ended = shop::register(&gateway, "ann");
    let kept = shop::sign_in(&gateway, "ann").token.unwrap();
    drop(ended.delete("/api/v1/sessions/current").expect(204));
    gateway.kill();
    gateway.restart(Start::cores(2));
    let mut ended = Client::with_token(gateway.address(), &ended.token.unwrap());
    ended.get("/api/v1/users/me").problem(401, "unauthenticated");
    drop(Client::with_token(gateway.address(), &kept).get("/api/v1/users/me").expect(200));
}

#[test]
fn a_shopper_changes_name_and_password() {
    let gateway = Gateway::start(Start::cores(1));
    let mut ann = shop::register(&gateway, "ann");
    let renamed = patch_me(&mut ann, &json!({ "display_name": "Ann A." })).expect(200).json();
    assert_eq!(renamed["display_name"], "Ann A.");

    let new = "a better password";
    patch_me(&mut ann, &json!({ "password": new })).problem(422, "invalid-request");
    let wrong = json!({ "password": new, "old_password": "not the password" });
    let refused = patch_me(&mut ann, &wrong);
    assert!((400..500).contains(&refused.status), "{}", refused.text());
    let right = json!({ "password": new, "old_password": PASSWORD });
    drop(patch_me(&mut ann, &right).expect(200));

    let mut visitor = Client::new(gateway.address());
    let old = visitor.post("/api/v1/sessions", &credentials("ann", PASSWORD));
    old.problem(401, "unauthenticated");
    drop(visitor.post("/api/v1/sessions", &credentials("ann", new)).expect(201));
}

/// Whoever had the old password is out; whoever changed it stays in.
#[test]
fn a_new_password_ends_every_other_session() {
    let gateway = Gateway::start(Start::cores(2));
    let mut ann = shop::register(&gateway, "ann");
    let mut other = shop::sign_in(&gateway, "ann");
    let mut bob = shop::register(&gateway, "bob");
    let change = json!({ "password": "a better password", "old_password": PASSWORD });
    let changed = patch_me(&mut ann, &change).expect(200);
    assert_eq!(changed.header("cache-control"), Some("no-store"));
    assert!(changed.header("set-cookie").is_none(), "they did not come with a cookie");
    let mut changed = changed.json();
    let token = changed["token"].take();
    changed.as_object_mut().unwrap().remove("token");
    ann.get("/api/v1/users/me").problem(401, "unauthenticated");
    other.get("/api/v1/users/me").problem(401, "unauthenticated");
    drop(bob.get("/api/v1/users/me").expect(200));
    let mut ann = Client::with_token(gateway.address(), token.as_str().unwrap());
    assert_eq!(ann.get("/api/v1/users/me").expect(200).json(), changed);

    let name = patch_me(&mut ann, &json!({ "display_name": "A." })).expect(200).json();
    assert_eq!(name.get("token"), None, "a name ends no session");
    drop(ann.get("/api/v1/users/me").expect(200));
}

/// A script of the page must not see what is in the cookie.
#[test]
fn a_new_password_renews_the_cookie_of_a_browser() {
    let gateway = Gateway::start(Start::cores(1));
    drop(shop::register(&gateway, "ann"));
    let mut browser = Client::new(gateway.address());
    let session = browser.post("/api/v1/sessions", &credentials("ann", PASSWORD)).expect(201);
    let cookie_of = |response: &seckill_loadtest::client::Response| {
        response.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    };
    let old = cookie_of(&session);
    let change = json!({ "password": "a better password", "old_password": PASSWORD });
    let change = Request::new("PATCH", "/api/v1/users/me").json(&change).header("cookie", &old);
    let changed = browser.send(change.header("sec-fetch-site", "same-origin")).expect(200);
    let new = cookie_of(&changed);
    assert_eq!(changed.json().get("token"), None);
    let mut me = |cookie: &str| {
        browser.send(Request::new("GET", "/api/v1/users/me").header("cookie", cookie))
    };
    me(&old).problem(401, "unauthenticated");
    drop(me(&new).expect(200));
}

/// A browser sends the cookie with whatever page asks for it, so a change needs more than that.
#[test]
fn a_cookie_changes_state_only_from_pages_of_the_shop() {
    let gateway = Gateway::start(Start::cores(1));
    drop(shop::register(&gateway, "ann"));
    let mut browser = Client::new(gateway.address());
    let session = browser.post("/api/v1/sessions", &credentials("ann", PASSWORD)).expect(201);
    let cookie = session.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let mut ask = |method: &str, path: &str, from: Option<(&str, &str)>| {
        let mut request = Request::new(method, path).header("cookie", &cookie);
        if let Some((name, value)) = from {
            request = request.header(name, value);
        }
        browser.send(request)
    };
    drop(ask("GET", "/api/v1/users/me", None).expect(200));
    let sign_out = "/api/v1/sessions/current";
    for from in [
        None,
        Some(("origin", "http://elsewhere.test")),
        Some(("origin", "null")),
        Some(("sec-fetch-site", "cross-site")),
        Some(("sec-fetch-site", "same-site")),
    ] {
        ask("DELETE", sign_out, from).problem(403, "cross-origin");
    }
    drop(ask("GET", "/api/v1/users/me", None).expect(200));
    let own = format!("http://{HOST}");
    drop(ask("DELETE", sign_out, Some(("origin", &own))).expect(204));
    ask("GET", "/api/v1/users/me", None).problem(401, "unauthenticated");
}

/// Behind a public https address, whatever the gateway itself listens on.
#[test]
fn a_public_address_makes_cookies_its_own_and_is_the_only_origin() {
    let public = ("SECKILL_PUBLIC_URL".to_owned(), "https://Shop.example:443".to_owned());
    let gateway = Gateway::start_with(Start::cores(1), vec![public]);
    drop(shop::register(&gateway, "ann"));
    let mut browser = Client::new(gateway.address());
    let session = browser.post("/api/v1/sessions", &credentials("ann", PASSWORD)).expect(201);
    let cookie = session.header("set-cookie").unwrap().to_owned();
    assert!(cookie.starts_with("__Host-seckill_session="), "{cookie}");
    for attribute in ["; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/"] {
        assert!(cookie.contains(attribute), "{attribute} in {cookie}");
    }
    assert!(!cookie.contains("; Domain"), "a browser would not keep it: {cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let mut sign_out = |cookie: &str, origin: &str| {
        let request = Request::new("DELETE", "/api/v1/sessions/current");
        browser.send(request.header("cookie", cookie).header("origin", origin))
    };
    let host = format!("http://{HOST}");
    for origin in [host.as_str(), "http://shop.example", "https://shop.example.evil.test", "null"] {
        sign_out(&cookie, origin).problem(403, "cross-origin");
    }
    // What another site, or http, could have set is no session.
    let bare = cookie.strip_prefix("__Host-").unwrap();
    sign_out(bare, "https://shop.example").problem(401, "unauthenticated");
    let signed_out = sign_out(&cookie, "https://shop.example").expect(204);
    let cleared = signed_out.header("set-cookie").unwrap();
    assert!(cleared.starts_with("__Host-seckill_session=; Max-Age=0"), "{cleared}");
    assert!(cleared.contains("; Secure"), "{cleared}");
}

#[test]
fn roles_open_doors_and_no_others() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let activity = shop.sale(Sale::of(10));
    let ann = shop::id_of(&shop::register(&gateway, "ann").get("/api/v1/users/me").json());
    let roles = format!("/api/v1/admin/users/{ann}/roles");
    let product = shop::product(1);
    let doors = [
        Request::new("POST", "/api/v1/admin/products").json(&product),
        Request::new("PATCH", "/api/v1/admin/products/1")
            .header("if-match", "\"1\"")
            .json(&json!({})),
        Request::new("POST", "/api/v1/admin/activities").json(&shop::activity("1", Sale::of(1))),
        Request::new("POST", &format!("/api/v1/admin/activities/{activity}/pause")),
        Request::new("POST", &format!("/api/v1/admin/activities/{activity}/withdraw"))
            .json(&json!({ "quantity": 1 })),
        Request::new("GET", &format!("/api/v1/admin/orders?activity_id={activity}")),
        Request::new("GET", "/api/v1/admin/users?q=ann"),
        Request::new("GET", &format!("/api/v1/admin/audit/{activity}")),
        Request::new("PUT", &roles).json(&json!({ "roles": ["admin"] })),
    ];
    let mut visitor = Client::new(gateway.address());
    let mut shopper = shop::sign_in(&gateway, "ann");
    for door in doors {
        visitor.send(door.clone()).problem(401, "unauthenticated");
        shopper.send(door).problem(403, "forbidden");
    }
    assert_eq!((shop.remaining(&activity), &shop.state(&activity)["phase"]), (10, &json!("live")));

    let grant = |roles_of: &[&str]| Request::new("PUT", &roles).json(&json!({ "roles": roles_of }));
    let granted = shop.admin.send(grant(&["shopper", "operator"])).expect(200).json();
    assert_eq!(granted["roles"], json!(["shopper", "operator"]));
    let mut operator = shop::sign_in(&gateway, "ann");
    drop(operator.post("/api/v1/admin/products", &product).expect(201));
    operator.send(grant(&["shopper", "admin"])).problem(403, "forbidden");

    drop(shop.admin.send(grant(&["shopper"])).expect(200));
    let refused = operator.post("/api/v1/admin/products", &product);
    assert!([401, 403].contains(&refused.status), "what was taken back is gone at once");
    shop::sign_in(&gateway, "ann")
        .post("/api/v1/admin/products", &product)
        .problem(403, "forbidden");
}

/// A token says what its owner might do when it was issued, so a change of roles ends it.
#[test]
fn a_change_of_roles_acts_on_tokens_that_are_there() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let mut ann = shop::register(&gateway, "ann");
    let me = ann.get("/api/v1/users/me").expect(200).json();
    let roles = format!("/api/v1/admin/users/{}/roles", shop::id_of(&me));
    for given in [json!(["shopper", "operator"]), json!(["shopper"])] {
        let grant = Request::new("PUT", &roles).json(&json!({ "roles": given }));
        assert_eq!(shop.admin.send(grant).expect(200).json()["roles"], given);
        ann.get("/api/v1/users/me").problem(401, "unauthenticated");
        ann = shop::sign_in(&gateway, "ann");
        assert_eq!(ann.get("/api/v1/users/me").expect(200).json()["roles"], given);
    }
}

#[test]
fn an_administrator_finds_accounts_by_name() {
    let gateway = Gateway::start(Start::cores(1));
    let mut shop = Shop::open(&gateway);
    for name in ["bob", "ann", "anna"] {
        drop(shop::register(&gateway, name));
    }
    let names = |found: Vec<Value>| -> Vec<String> {
        found.iter().map(|user| user["username"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(shop::items(&mut shop.admin, "/api/v1/admin/users?q=ann&")), ["ann", "anna"]);
    let all = names(shop::items(&mut shop.admin, "/api/v1/admin/users?"));
    assert_eq!(all, [ADMIN, "ann", "anna", "bob"]);
    let page = shop.admin.get("/api/v1/admin/users?limit=2").expect(200).json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = shop.admin.get(&format!("/api/v1/admin/users?limit=2&cursor={cursor}"));
    let rest = rest.expect(200).json();
    assert_eq!(names(rest["items"].as_array().unwrap().clone()), ["anna", "bob"]);
    assert_eq!(rest["next_cursor"], Value::Null);
}
