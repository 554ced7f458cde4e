//! Whoever tries too often: counted by name and by address, and let in again.

use seckill_loadtest::client::{Client, Request, Response};
use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::shop::{self, PASSWORD, Shop};
use serde_json::json;

/// The longest that anybody is told to wait, in seconds: the window in which attempts are counted,
/// and half of it again to spread a crowd.
const WAIT_S_MAX: u64 = 60 + 60 / 2 + 1;
/// More attempts than any window lets through.
const ATTEMPTS_MAX: usize = 150;

/// A gateway behind a proxy on this machine.
const BEHIND_PROXY: Start =
    Start { cores: 2, through: &["env", "SECKILL_TRUSTED_PROXIES=127.0.0.1,2001:db8::1"] };

/// Tries until it is told to wait; how often it was let through.
#[track_caller]
fn until_limited(mut attempt: impl FnMut() -> Response) -> usize {
    for count in 0..ATTEMPTS_MAX {
        let answer = attempt();
        if answer.status == 429 {
            answer.problem(429, "rate-limited");
            let after_s: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=WAIT_S_MAX).contains(&after_s), "{after_s}");
            return count;
        }
    }
    panic!("never told to wait");
}

#[test]
fn an_administrator_lets_in_whose_name_was_tried_too_often() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let mut ann = shop::register(&gateway, "ann");
    let shown = ann.get("/api/v1/users/me").expect(200).json();
    let unblock = format!("/api/v1/admin/users/{}/unblock", shop::id_of(&shown));
    let mut visitor = Client::new(gateway.address());
    let mut sign_in = |password: &str| {
        let body = json!({ "username": "ann", "password": password });
        visitor.post("/api/v1/sessions", &body)
    };
    until_limited(|| sign_in("not the password"));
    sign_in(PASSWORD).problem(429, "rate-limited");

    ann.send(Request::new("POST", &unblock)).problem(403, "forbidden");
    shop::create_user(&gateway, "olga", "operator");
    shop::sign_in(&gateway, "olga").send(Request::new("POST", &unblock)).problem(403, "forbidden");
    sign_in(PASSWORD).problem(429, "rate-limited");
    assert_eq!(shop.admin.send(Request::new("POST", &unblock)).expect(200).json(), shown);
    drop(sign_in(PASSWORD).expect(201));
    let nobody = "/api/v1/admin/users/999999/unblock";
    shop.admin.send(Request::new("POST", nobody)).problem(404, "not-found");
}

#[test]
fn one_address_makes_a_bounded_number_of_accounts() {
    let gateway = Gateway::start(BEHIND_PROXY);
    let mut visitor = Client::new(gateway.address());
    let mut made = 0;
    let mut register = |from: &str| {
        made += 1;
        let account = json!({ "username": format!("user-{made}"), "password": PASSWORD });
        let request = Request::new("POST", "/api/v1/users").json(&account);
        visitor.send(request.header("x-forwarded-for", from))
    };
    assert!(until_limited(|| register("203.0.113.7")) > 20, "an office registers as well");
    drop(register("203.0.113.8").expect(201));
}

/// Links that nobody has cost no hash, so they show cheaply who is counted.
struct Guesser(Client);

impl Guesser {
    fn guess(&mut self, lines: &[&[u8]]) -> Response {
        let body = json!({ "token": "of-no-reset", "password": PASSWORD });
        let request = Request::new("POST", "/api/v1/password-resets").json(&body);
        let request =
            lines.iter().fold(request, |request, line| request.header("x-forwarded-for", line));
        self.0.send(request)
    }

    /// Asserts that both are one whoever is counted, or two.
    #[track_caller]
    fn compare(&mut self, one: &[&[u8]], other: &[&[u8]], is_same: bool) {
        until_limited(|| self.guess(one));
        let expected = if is_same { 429 } else { 404 };
        let shown = |lines: &[&[u8]]| lines.join(&b'|').escape_ascii().to_string();
        let (one, shown) = (shown(one), shown(other));
        assert_eq!(self.guess(other).status, expected, "{one} and {shown}");
    }
}

#[test]
fn behind_a_proxy_the_client_is_who_the_proxy_says() {
    let gateway = Gateway::start(BEHIND_PROXY);
    let mut guesser = Guesser(Client::new(gateway.address()));
    guesser.compare(&[b"203.0.113.1"], &[b"203.0.113.2"], false);
    // What the client says of itself stands before what the proxy adds.
    guesser.compare(&[b"198.51.100.1, 203.0.113.3"], &[b"198.51.100.2, 203.0.113.3"], true);
    guesser.compare(&[b"198.51.100.3", b"203.0.113.4"], &[b"203.0.113.4"], true);
    guesser.compare(&[b"203.0.113.5", b"127.0.0.1"], &[b"203.0.113.5, [2001:db8::1]:443"], true);
    guesser.compare(&[b"\xff\xfe, 203.0.113.6"], &[b"203.0.113.6:4711"], true);
    guesser.compare(&[b"::ffff:203.0.113.9"], &[b"203.0.113.9"], true);
    guesser.compare(&[b"2001:db8:1::1"], &[b"[2001:db8:1::ffff]:4711"], true);
    guesser.compare(&[b"2001:db8:2::1"], &[b"2001:db8:3::1"], false);
    // Garbage of many kinds is the proxy itself, and one.
    guesser.compare(&[b"unknown"], &[b"203.0.113.10, \xff\xfe"], true);
    guesser.compare(&[b""], &[], true);
}

#[test]
fn without_a_proxy_nobody_is_believed() {
    let gateway = Gateway::start(Start::cores(1));
    let mut guesser = Guesser(Client::new(gateway.address()));
    guesser.compare(&[b"203.0.113.1"], &[b"203.0.113.2"], true);
    assert_eq!(guesser.guess(&[b"127.0.0.1"]).status, 429);
}
