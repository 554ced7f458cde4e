//! One shopper to one gateway, and what a gateway is told of them.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use seckill_loadtest::client::{Client, Connection, Request};
use seckill_loadtest::gateway::Scratch;
use seckill_loadtest::nginx::{self, Nginx};
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop::{self, PASSWORD, id_of};
use serde_json::{Value, json};

use crate::fake::Fake;
use crate::front::Fleet;

/// What nginx has to say about the shipped configuration; a warning is a mistake that is not yet
/// one, but whoever is not root gets one for `user`.
#[track_caller]
fn expect_good(program: &str, folder: &Path) {
    let tested = nginx::run(program, folder, &["-t"]);
    let told = String::from_utf8_lossy(&tested.stderr);
    let warns = told.lines().any(|line| line.contains("[warn]") && !line.contains("\"user\""));
    assert!(tested.status.success() && !warns, "{told}");
}

#[test]
fn the_shipped_configuration_is_one_and_so_is_all_that_it_offers() {
    let Some(program) = nginx::program() else { return };
    let folder = Scratch::new();
    // Ports that are taken: nginx looks whether it could have them, and does not mind.
    let taken = [(), ()].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let [plain, tls] = taken.each_ref().map(|listener| listener.local_addr().unwrap());
    nginx::configure(folder.path(), plain, &[plain], &[]);
    expect_good(program, folder.path());

    // The same with every line that waits for an operator, where there is a certificate for it.
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("shop.pem"), path("shop.key"));
    let words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=shop.example"];
    let made =
        Command::new("openssl").args(words).args(["-out", &certificate, "-keyout", &key]).output();
    if !made.is_ok_and(|made| made.status.success()) {
        return;
    }
    let site = fs::read_to_string(path("site.conf")).unwrap();
    let offered = ["listen 443", "ssl_", "if (", "set_real_ip_from"];
    let lines = site.lines().map(|line| match line.strip_prefix("# ") {
        Some(offer) if offered.iter().any(|words| offer.starts_with(words)) => offer,
        _ => line,
    });
    let site = lines.collect::<Vec<_>>().join("\n");
    let site = site.replace("listen 443 ", &format!("listen {tls} "));
    let site = site.replace("/etc/ssl/certs/shop.pem", &certificate);
    fs::write(path("site.conf"), site.replace("/etc/ssl/private/shop.key", &key)).unwrap();
    expect_good(program, folder.path());
}

#[test]
fn a_shopper_meets_one_gateway_by_token_and_by_cookie() {
    let Some(fleet) = Fleet::start(&[]) else { return };
    let mut homes = [0; 2];
    for token in &fleet.tokens {
        let home = fleet.home(token);
        homes[home] += 1;
        // The cookie of a browser leads to the same one: the order is there.
        let cookie = format!("theme=dark; seckill_session={token}; a=b");
        let list = Request::new("GET", "/api/v1/orders").header("cookie", cookie);
        let orders = fleet.nginx.answer(&list).expect(200).json();
        let order = id_of(&orders["items"][0]);
        assert_eq!(Fleet::placed_by(&order) - 1, home);
    }
    assert!(homes.iter().all(|count| *count > 0), "all at one gateway: {homes:?}");

    // A new sign-in is a new token, and the same gateway: it knows the buy by its key.
    let mut places = BTreeSet::new();
    for name in ["ann", "bob", "cat"] {
        for gateway in &fleet.gateways {
            shop::create_user(gateway, name, "shopper");
        }
        let mut visitor = Client::new(fleet.nginx.address());
        let mut sign_in = || {
            let body = json!({ "username": name, "password": PASSWORD });
            let session = visitor.post("/api/v1/sessions", &body).expect(201);
            let cookie = session.header("set-cookie").unwrap().split(';').next().unwrap();
            (session.json()["token"].as_str().unwrap().to_owned(), cookie.to_owned())
        };
        let ((first, _), (second, cookie)) = (sign_in(), sign_in());
        assert_ne!(first, second);
        let order = id_of(&fleet.buy(&first, "a").expect(202).json());
        assert_eq!(id_of(&fleet.buy(&second, "a").expect(202).json()), order);
        let by_browser = shop::buy(&fleet.activity, "a", 1)
            .header("cookie", cookie)
            .header("origin", "http://seckill.test");
        assert_eq!(id_of(&fleet.nginx.answer(&by_browser).expect(202).json()), order);
        places.insert(order);
    }
    assert_eq!(places.len(), 3);

    // The log tells all that, and no secret.
    let line = until("the log is written", GENEROUS, || {
        let log = fleet.nginx.log("access.log");
        log.lines().find(|line| line.contains("/orders\",\"status\":202")).map(str::to_owned)
    });
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["method"], &line["client"]), (&json!("POST"), &json!("127.0.0.1")));
    let sealed = |token: &String| token.split_once('.').unwrap().1.to_owned();
    let log = fleet.nginx.log("access.log");
    assert!(!fleet.tokens.iter().any(|token| log.contains(&sealed(token))));
}

#[test]
fn a_gateway_is_told_who_asks_and_nothing_by_strangers() {
    let fake = Fake::start("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
    let Some(nginx) = Nginx::start(&[fake.address], &[]) else { return };
    let asked = |path: &str, headers: &[(&str, &str)]| {
        let request = Request::new("GET", path);
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        drop(nginx.answer(&request).expect(204));
        fake.head()
    };
    let forged = [
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-for", "203.0.113.8"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=203.0.113.7"),
        ("x-request-id", "mine-1"),
        ("authorization", "Bearer 7.sealed"),
        ("cookie", "seckill_session=7.sealed"),
        ("connection", "upgrade"),
        ("upgrade", "h2c"),
        ("accept-encoding", "zstd, br;q=0.5, gzip;q=0"),
    ];
    let head = asked("/api/v1/orders?cursor=secret", &forged);
    for line in [
        "get /api/v1/orders?cursor=secret http/1.1",
        "host: seckill.test",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-request-id: mine-1",
        "authorization: bearer 7.sealed",
        "cookie: seckill_session=7.sealed",
    ] {
        assert_eq!(head.matches(&format!("{line}\r\n")).count(), 1, "{line}: {head}");
    }
    for stranger in ["203.0.113", "\r\nforwarded:", "h2c", "\r\nconnection:"] {
        assert!(!head.contains(stranger), "{stranger}: {head}");
    }
    // No page is made for one visitor.
    let head = asked("/a-page", &forged);
    for secret in ["authorization", "cookie", "sealed", "203.0.113"] {
        assert!(!head.contains(secret), "{secret}: {head}");
    }
    assert!(head.contains("accept-encoding: br\r\n"), "{head}");
    for refused in ["br;q=0", "gzip;q=0.000, br;q=0.0", "brotli", "*"] {
        let head = asked("/another", &[("accept-encoding", refused), ("x-request-id", "<x>")]);
        assert!(!head.contains("accept-encoding"), "{head}");
        assert!(head.contains("x-request-id: ") && !head.contains('<'), "{head}");
    }
    let line = until("the log is written", GENEROUS, || {
        let log = nginx.log("access.log");
        log.lines().find(|line| line.contains("\"/api")).map(str::to_owned)
    });
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["path"], "/api/v1/orders");
    assert_eq!((&line["user"], &line["method"]), (&json!("7"), &json!("GET")));
    assert!(!line.to_string().contains("secret") && !line.to_string().contains("sealed"));
}

/// Guesses at links that nobody has, until the gateway has heard enough from this address.
fn guesses(connection: &mut Connection, forwarded: impl Fn(usize) -> String) -> Vec<u16> {
    let body = json!({ "token": "of-no-reset", "password": PASSWORD });
    let guess = |count: usize| {
        let request = Request::new("POST", "/api/v1/password-resets").json(&body);
        let request = request.header("x-forwarded-for", forwarded(count));
        connection.exchange(&request).unwrap().status
    };
    (0..25).map(guess).collect()
}

#[test]
fn the_client_is_who_connects_or_whom_a_trusted_proxy_names() {
    let balancer = ("# set_real_ip_from 192.0.2.10;", "set_real_ip_from 127.0.0.9;");
    let Some(fleet) = Fleet::start(&[balancer]) else { return };
    let from = |last: u8, forwarded: &dyn Fn(usize) -> String| {
        let mut connection = fleet.nginx.from(Ipv4Addr::new(127, 0, 0, last));
        let statuses = guesses(&mut connection, forwarded);
        (statuses[0], statuses[24])
    };
    // Whatever a stranger says of where they come from, they are one and counted as one.
    assert_eq!(from(5, &|count| format!("203.0.113.{count}")), (404, 429));
    assert_eq!(from(5, &|_| "198.51.100.1".to_owned()), (429, 429));
    assert_eq!(from(6, &|_| "198.51.100.1".to_owned()), (404, 429), "another is another");
    // The load balancer is believed as far as it knows: the last address is its own word.
    assert_eq!(from(9, &|count| format!("203.0.113.{count}")), (404, 404));
    assert_eq!(from(9, &|count| format!("10.0.0.{count}, 192.0.2.7")), (404, 429));
    assert_eq!(from(9, &|_| "192.0.2.8".to_owned()), (404, 429));
    let log = until("the log is written", GENEROUS, || {
        let log = fleet.nginx.log("access.log");
        log.contains("\"client\":\"192.0.2.8\"").then_some(log)
    });
    assert!(log.contains("\"client\":\"127.0.0.5\"") && !log.contains("\"client\":\"10.0.0"));
}
