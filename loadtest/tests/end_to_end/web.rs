//! Pages, and what HTTP asks of every answer.

use std::io::Read;

use seckill_loadtest::client::{Client, Request, Response};
use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop::{self, Sale, Shop};
use serde_json::json;

/// The body as it was before it was compressed.
fn decoded(response: &Response) -> String {
    let mut text = String::new();
    let body = response.body.as_slice();
    match response.header("content-encoding") {
        Some("br") => brotli::Decompressor::new(body, 4_096).read_to_string(&mut text).unwrap(),
        Some("gzip") => flate2::read::GzDecoder::new(body).read_to_string(&mut text).unwrap(),
        other => {
            assert_eq!(other, None);
            return response.text();
        }
    };
    text
}

fn get(client: &mut Client, path: &str, name: &str, value: &str) -> Response {
    client.send(Request::new("GET", path).header(name, value))
}

#[test]
fn pages_are_served_whole_compressed_and_unchanged() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let activity = format!("/activities/{}", shop.sale(Sale::of(5)));
    let mut visitor = Client::new(gateway.address());
    until("the page of the sale is rendered", GENEROUS, || {
        let is_there = visitor.get(&activity).status == 200;
        (is_there && visitor.get("/").text().contains(&activity)).then_some(())
    });
    let mine = ["/orders", "/orders/12", "/account", "/reset"];
    for path in ["/", &activity, "/sign-in", "/register"].into_iter().chain(mine) {
        let plain = visitor.get(path).expect(200);
        assert!(plain.header("content-type").unwrap().starts_with("text/html"), "{path}");
        assert!(plain.text().starts_with("<!DOCTYPE html>"), "{path}");
        let policy = plain.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(plain.header("x-content-type-options"), Some("nosniff"));
        for encoding in ["br", "gzip"] {
            let packed = get(&mut visitor, path, "accept-encoding", encoding).expect(200);
            assert_eq!(packed.header("content-encoding"), Some(encoding), "{path}");
            assert!(packed.header("vary").unwrap().contains("accept-encoding"));
            assert!(packed.body.len() < plain.body.len(), "{path}");
            assert_eq!(decoded(&packed), plain.text(), "{path}");
            assert_ne!(packed.header("etag"), plain.header("etag"), "other bytes, another tag");
        }
        // A browser asks each time; a cache that all come through may give it for a second.
        let shared = Some("public, max-age=0, s-maxage=1");
        assert_eq!(plain.header("cache-control"), shared, "{path}");
        let etag = plain.header("etag").unwrap();
        assert!(etag.starts_with('"'), "{path} has a strong tag: {etag}");
        let known = get(&mut visitor, path, "if-none-match", etag).expect(304);
        assert_eq!((known.header("etag"), known.body.len()), (Some(etag), 0));
        assert_eq!(known.header("cache-control"), shared, "what is kept is kept on: {path}");
        drop(get(&mut visitor, path, "if-none-match", "\"another\"").expect(200));
        let head = visitor.send(Request::new("HEAD", path)).expect(200);
        let length = plain.body.len().to_string();
        assert_eq!(head.header("content-length"), Some(length.as_str()), "{path}");
        assert_eq!(head.header("etag"), Some(etag), "{path}");
    }
}

#[test]
fn one_page_serves_every_order_and_knows_none() {
    let gateway = Gateway::start(Start::cores(1));
    let mut visitor = Client::new(gateway.address());
    let page = visitor.get("/orders/12").expect(200);
    for path in ["/orders/0", "/orders/18446744073709551615"] {
        let other = visitor.get(path).expect(200);
        assert_eq!(other.body, page.body, "{path}");
        assert_eq!(other.header("etag"), page.header("etag"), "{path}");
    }
}

#[test]
fn a_product_has_a_page_that_follows_its_changes() {
    let gateway = Gateway::start(Start::cores(1));
    let mut shop = Shop::open(&gateway);
    let sale = format!("/activities/{}", shop.sale(Sale::of(5)));
    let mut visitor = Client::new(gateway.address());
    let product = until("the sale leads to its product", GENEROUS, || {
        let page = visitor.get(&sale).text();
        let (_, rest) = page.split_once("href=\"/products/")?;
        Some(format!("/products/{}", rest.split_once('"')?.0))
    });
    until("the product leads to its sale", GENEROUS, || {
        let page = visitor.get(&product);
        (page.status == 200 && page.text().contains(&sale)).then_some(())
    });
    let id = &product["/products/".len()..];
    let version = visitor.get(&format!("/api/v1{product}")).expect(200).json()["version"].clone();
    let hostile = "<script>alert(1)</script>";
    let change = Request::new("PATCH", &format!("/api/v1/admin/products/{id}"))
        .header("if-match", format!("\"{version}\""))
        .json(&json!({ "title": hostile }));
    drop(shop.admin.send(change).expect(200));
    until("the page shows the new title, as text", GENEROUS, || {
        let page = visitor.get(&product).expect(200).text();
        assert!(!page.contains(hostile));
        page.contains("&lt;script&gt;alert(1)").then_some(())
    });
}

#[test]
fn what_a_page_needs_is_served_and_kept() {
    let gateway = Gateway::start(Start::cores(1));
    let mut visitor = Client::new(gateway.address());
    let home = visitor.get("/").expect(200).text();
    let parts = home.split('"').filter(|text| text.starts_with("/assets/"));
    let parts: Vec<String> = parts.map(str::to_owned).collect();
    assert!(parts.iter().any(|path| path.ends_with(".css")), "{parts:?}");
    for path in parts {
        let part = visitor.get(&path).expect(200);
        let kept = part.header("cache-control").unwrap();
        assert!(kept.contains("immutable"), "{path} has its hash in its name: {kept}");
    }
}

#[test]
fn nothing_there_is_a_page_for_people_and_a_problem_for_programs() {
    let gateway = Gateway::start(Start::cores(1));
    let mut visitor = Client::new(gateway.address());
    for path in [
        "/nothing",
        "/activities/999999",
        "/activities/",
        "/assets/none.js",
        "/products/999999",
        "/orders/",
        "/orders/012",
        "/orders/x",
        "/orders/18446744073709551616",
        "/orders/1/pay",
        "/shell:/orders/",
    ] {
        let page = get(&mut visitor, path, "accept", "text/html,*/*;q=0.8").expect(404);
        assert!(page.header("content-type").unwrap().starts_with("text/html"), "{path}");
        let mut kept = page.headers.clone();
        kept.retain(|(name, _)| name == "cache-control");
        let expected = [("cache-control".to_owned(), "no-store".to_owned())];
        assert_eq!(kept, expected, "a program gets another answer: {path}");
        get(&mut visitor, path, "accept", "application/json").problem(404, "not-found");
    }
    for path in ["/api/v1/nothing", "/api/v1/activities/999999", "/api/v2/activities", "/api/v1"] {
        visitor.get(path).problem(404, "not-found");
        get(&mut visitor, path, "accept", "*/*").problem(404, "not-found");
    }
}

#[test]
fn head_is_get_without_a_body() {
    let gateway = Gateway::start(Start::cores(1));
    let mut shop = Shop::open(&gateway);
    let activity = shop.sale(Sale::of(5));
    let ann = shop::register(&gateway, "ann").token.unwrap();
    let mut ann = Client::with_token(gateway.address(), &ann);
    for path in [
        "/api/v1/users/me",
        "/api/v1/products",
        "/api/v1/activities",
        &format!("/api/v1/activities/{activity}"),
        "/api/v1/orders",
    ] {
        let shown = ann.get(path).expect(200);
        let head = ann.send(Request::new("HEAD", path)).expect(200);
        for name in ["content-type", "content-length"] {
            assert_eq!(head.header(name), shown.header(name), "{name} of {path}");
        }
    }
    drop(ann.send(Request::new("HEAD", "/api/v1/orders/999")).expect(404));
}

#[test]
fn a_method_that_a_path_does_not_have_is_told_the_others() {
    let gateway = Gateway::start(Start::cores(1));
    let mut visitor = Client::new(gateway.address());
    for (method, path, allowed) in [
        ("GET", "/api/v1/users", vec!["POST"]),
        ("PUT", "/api/v1/sessions", vec!["POST", "DELETE"]),
        ("POST", "/api/v1/users/me", vec!["GET", "HEAD", "PATCH"]),
        ("DELETE", "/api/v1/products", vec!["GET", "HEAD"]),
        ("POST", "/api/v1/activities/1/state", vec!["GET", "HEAD"]),
        ("GET", "/api/v1/activities/1/orders", vec!["POST"]),
        ("PATCH", "/api/v1/orders/1", vec!["GET", "HEAD", "DELETE"]),
        ("GET", "/api/v1/admin/activities/1/publish", vec!["POST"]),
        ("POST", "/", vec!["GET", "HEAD"]),
        ("BREW", "/api/v1/products", vec!["GET", "HEAD"]),
    ] {
        let refused = visitor.send(Request::new(method, path));
        assert_eq!(refused.status, 405, "{method} {path}: {}", refused.text());
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
        let mut told: Vec<&str> = refused.header("allow").unwrap().split(", ").collect();
        told.retain(|method| *method != "OPTIONS");
        assert_eq!(told, allowed, "{method} {path}");
    }
}

#[test]
fn media_types_and_sizes_are_negotiated_as_http_says() {
    let gateway = Gateway::start(Start::cores(1));
    let mut visitor = Client::new(gateway.address());
    let status = |response: Response| {
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
        response.status
    };
    assert_eq!(status(get(&mut visitor, "/api/v1/products", "accept", "text/html")), 406);
    for taken in ["application/json", "*/*", "text/html, application/*;q=0.1"] {
        drop(get(&mut visitor, "/api/v1/products", "accept", taken).expect(200));
    }
    let body = json!({ "username": "ann", "password": shop::PASSWORD }).to_string();
    let users =
        |media_type: &str, body: &str| Request::new("POST", "/api/v1/users").body(media_type, body);
    for other in ["text/plain", "application/x-www-form-urlencoded", "application/json5"] {
        assert_eq!(status(visitor.send(users(other, &body))), 415, "{other}");
    }
    let large = " ".repeat(64 << 10);
    assert_eq!(status(visitor.send(users("application/json", &(body.clone() + &large)))), 413);
    drop(visitor.send(users("application/json; charset=utf-8", &body)).expect(201));
}

#[test]
fn every_answer_has_a_request_id() {
    let gateway = Gateway::start(Start::cores(1));
    let mut visitor = Client::new(gateway.address());
    for path in ["/", "/api/v1/products", "/api/v1/nothing"] {
        let mine = "018f-6c.mine_1";
        let kept = get(&mut visitor, path, "x-request-id", mine);
        assert_eq!(kept.header("x-request-id"), Some(mine), "{path}");
        let long = "x".repeat(1_000);
        for bad in ["", "<script>", "a b", &long] {
            let made = get(&mut visitor, path, "x-request-id", bad);
            let made = made.header("x-request-id").unwrap().to_owned();
            assert!(!made.is_empty() && made != bad, "{path}: {made}");
        }
        let [one, two] =
            [(), ()].map(|()| visitor.get(path).header("x-request-id").map(str::to_owned));
        assert!(one.is_some() && one != two, "{path}");
    }
}

#[test]
fn the_state_of_a_sale_may_be_kept_for_a_second() {
    let gateway = Gateway::start(Start::cores(1));
    let mut shop = Shop::open(&gateway);
    let activity = shop.sale(Sale::of(5));
    let path = format!("/api/v1/activities/{activity}/state");
    let state = Client::new(gateway.address()).get(&path).expect(200);
    let kept = state.header("cache-control").unwrap();
    let age = kept.split([',', ' ']).find_map(|part| part.strip_prefix("max-age="));
    assert!(age.is_none_or(|age| age == "0" || age == "1"), "{kept}");
    let state = state.json();
    let mut names: Vec<&str> = state.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["ends_at", "may_return", "phase", "remaining", "server_time", "starts_at"]);
    assert_eq!((&state["remaining"], &state["phase"]), (&json!(5), &json!("live")));
}
