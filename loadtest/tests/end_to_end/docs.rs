//! What the gateway tells of its API: a document for programs, a page for people.

use std::io::Read;

use seckill_loadtest::client::{Client, Request};
use seckill_loadtest::contract::DOCUMENT;
use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::patience::{GENEROUS, until};

#[test]
fn the_document_is_served_at_once_and_compressed_soon() {
    let gateway = Gateway::start(Start::cores(1));
    let mut visitor = Client::new(gateway.address());
    let plain = visitor.get(DOCUMENT).expect(200);
    let document = plain.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(plain.header("content-type"), Some("application/json"));
    let etag = plain.header("etag").unwrap();
    assert!(etag.starts_with('"'), "a strong tag: {etag}");
    drop(visitor.send(Request::new("GET", DOCUMENT).header("if-none-match", etag)).expect(304));
    let packed = until("it is compressed", GENEROUS, || {
        let packed = visitor.send(Request::new("GET", DOCUMENT).header("accept-encoding", "br"));
        (packed.header("content-encoding") == Some("br")).then_some(packed)
    });
    let mut text = String::new();
    brotli::Decompressor::new(&*packed.body, 4_096).read_to_string(&mut text).unwrap();
    assert_eq!(text, plain.text());
    assert_eq!(visitor.get(DOCUMENT).header("etag"), Some(etag));
}

/// A `type` is a name and no address; the document says where each is explained, and there it is.
#[test]
fn every_type_of_problem_is_explained_where_the_document_says() {
    let gateway = Gateway::start(Start::cores(1));
    let mut visitor = Client::new(gateway.address());
    let document = visitor.get(DOCUMENT).expect(200).text();
    assert!(document.contains("/docs#problem-<slug>"));
    let page = visitor.get("/docs").expect(200);
    assert!(page.header("content-security-policy").is_some());
    let html = page.text();
    let types = document.split("\"urn:seckill:").skip(1);
    let mut slugs: Vec<&str> = types.map(|rest| rest.split_once('"').unwrap().0).collect();
    slugs.sort_unstable();
    slugs.dedup();
    assert!(slugs.contains(&"sold-out"), "{slugs:?}");
    for slug in slugs {
        assert!(html.contains(&format!("id=\"problem-{slug}\"")), "{slug}");
    }
}
