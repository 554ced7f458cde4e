//! One-time links that set a password.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use seckill_loadtest::client::{Client, Request, Response};
use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::shop::{self, PASSWORD, Shop};
use serde_json::{Value, json};

const NEW: &str = "a better password";

/// The path by which an administrator opens a reset for a user.
fn path_for(user: &mut Client) -> String {
    let id = shop::id_of(&user.get("/api/v1/users/me").expect(200).json());
    format!("/api/v1/admin/users/{id}/password-reset")
}

/// Opens a reset; its token.
fn open(admin: &mut Client, path: &str) -> String {
    let opened = admin.send(Request::new("POST", path)).expect(200);
    assert_eq!(opened.header("cache-control"), Some("no-store"));
    let opened = opened.json();
    let token = opened["token"].as_str().unwrap().to_owned();
    assert_eq!(token.len(), 43, "32 bytes: {token}");
    assert_eq!(opened["path"], format!("/reset#{token}"));
    let expires_at: Timestamp = opened["expires_at"].as_str().unwrap().parse().unwrap();
    let lasts = expires_at.duration_since(Timestamp::now());
    assert!(lasts > SignedDuration::from_hours(23) && lasts <= SignedDuration::from_hours(24));
    token
}

fn redeem(client: &mut Client, token: &str, password: &str) -> Response {
    let body = json!({ "token": token, "password": password });
    client.post("/api/v1/password-resets", &body)
}

fn sign_in(gateway: &Gateway, username: &str, password: &str) -> Response {
    let body = json!({ "username": username, "password": password });
    Client::new(gateway.address()).post("/api/v1/sessions", &body)
}

#[test]
fn a_link_sets_the_password_once_and_ends_every_session() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let mut ann = shop::register(&gateway, "ann");
    let mut bob = shop::register(&gateway, "bob");
    let token = open(&mut shop.admin, &path_for(&mut ann));
    drop(ann.get("/api/v1/users/me").expect(200));

    let mut visitor = Client::new(gateway.address());
    let weak = redeem(&mut visitor, &token, "short").problem(422, "invalid-request");
    assert_eq!(weak["errors"][0]["pointer"], "/password", "the link is as good as before");
    let used = redeem(&mut visitor, &token, NEW).expect(204);
    assert_eq!(used.text(), "");
    ann.get("/api/v1/users/me").problem(401, "unauthenticated");
    drop(bob.get("/api/v1/users/me").expect(200));
    sign_in(&gateway, "ann", PASSWORD).problem(401, "unauthenticated");
    let session = sign_in(&gateway, "ann", NEW).expect(201).json();
    let mut ann = Client::with_token(gateway.address(), session["token"].as_str().unwrap());
    drop(ann.get("/api/v1/users/me").expect(200));

    let again = redeem(&mut visitor, &token, "yet another password").problem(404, "not-found");
    assert!(again["detail"].as_str().is_some_and(|detail| detail.contains("link")), "{again}");
    let unknown = redeem(&mut visitor, "of-no-reset", NEW).problem(404, "not-found");
    assert_eq!(unknown, again, "a used link is told from none by nobody");
    drop(sign_in(&gateway, "ann", NEW).expect(201));
}

#[test]
fn a_newer_link_and_a_new_password_close_an_older_one() {
    let gateway = Gateway::start(Start::cores(1));
    let mut shop = Shop::open(&gateway);
    let mut ann = shop::register(&gateway, "ann");
    let path = path_for(&mut ann);
    let first = open(&mut shop.admin, &path);
    let second = open(&mut shop.admin, &path);
    let mut visitor = Client::new(gateway.address());
    redeem(&mut visitor, &first, NEW).problem(404, "not-found");
    let change = json!({ "password": NEW, "old_password": PASSWORD });
    drop(ann.send(Request::new("PATCH", "/api/v1/users/me").json(&change)).expect(200));
    redeem(&mut visitor, &second, "yet another password").problem(404, "not-found");
}

#[test]
fn only_an_administrator_opens_a_reset() {
    let gateway = Gateway::start(Start::cores(1));
    let mut shop = Shop::open(&gateway);
    let mut ann = shop::register(&gateway, "ann");
    let path = path_for(&mut ann);
    shop::create_user(&gateway, "olga", "operator");
    shop::sign_in(&gateway, "olga").send(Request::new("POST", &path)).problem(403, "forbidden");
    let nobody = "/api/v1/admin/users/999999/password-reset";
    shop.admin.send(Request::new("POST", nobody)).problem(404, "not-found");
    shop.admin.post(&path, &json!({ "days": 7 })).problem(422, "invalid-request");
    drop(shop.admin.post(&path, &json!({})).expect(200));
    shop.admin.get(&path).problem(405, "method-not-allowed");
}

/// A link is handed on by people, who take their time; whoever steals the database has none.
#[test]
fn a_link_outlives_a_crash_and_is_not_in_the_data() {
    let mut gateway = Gateway::start(Start::cores(1));
    let mut shop = Shop::open(&gateway);
    let mut ann = shop::register(&gateway, "ann");
    let old = ann.token.clone().unwrap();
    let token = open(&mut shop.admin, &path_for(&mut ann));
    gateway.kill();
    for file in fs::read_dir(gateway.data()).unwrap().map(Result::unwrap) {
        let bytes = fs::read(file.path()).unwrap_or_default();
        assert!(!bytes.windows(token.len()).any(|part| part == token.as_bytes()), "{file:?}");
    }
    gateway.restart(Start::cores(2));
    drop(redeem(&mut Client::new(gateway.address()), &token, NEW).expect(204));
    gateway.kill();
    gateway.restart(Start::cores(1));
    drop(sign_in(&gateway, "ann", NEW).expect(201));
    Client::with_token(gateway.address(), &old)
        .get("/api/v1/users/me")
        .problem(401, "unauthenticated");
}

/// Many at once have one link: one of them sets the password.
#[test]
fn a_link_is_used_by_one_of_a_crowd() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let mut ann = shop::register(&gateway, "ann");
    let token = open(&mut shop.admin, &path_for(&mut ann));
    let passwords: Vec<String> = (0..6).map(|n| format!("password number {n}")).collect();
    let (address, token) = (gateway.address(), token.as_str());
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let mut tries = Vec::new();
        for one in &passwords {
            tries.push(scope.spawn(move || redeem(&mut Client::new(address), token, one).status));
        }
        tries.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [204, 404].contains(status)), "{statuses:?}");
    let winner = statuses.iter().position(|status| *status == 204).unwrap();
    let session: Value = sign_in(&gateway, "ann", &passwords[winner]).expect(201).json();
    assert_eq!(session["user"]["username"], "ann");
}
