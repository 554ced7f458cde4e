//! Pages: rendered and compressed by others, served from memory.
//!
//! It must not know what a page shows.

use std::collections::HashMap;

use http::StatusCode;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ETAG,
    HeaderName, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use seckill_pages::{Encoded, Page};

use super::problem::Slug;
use super::reply::{Reply, ascii};
use super::{Answer, Call};

const CSP: HeaderValue = HeaderValue::from_static(seckill_pages::CONTENT_SECURITY_POLICY);
const BY_ENCODING: HeaderValue = HeaderValue::from_static("accept-encoding");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

/// The published pages by path, for example `/activities/7`; [`NOT_FOUND`] is the one for an
/// address with nothing at it.
pub type PageMap = HashMap<String, Page>;

pub(super) const NOT_FOUND: &str = "/404";

/// `GET` of anything outside `/api/`.
pub(super) fn serve(call: &Call<'_>) -> Answer {
    let pages = call.context.shared.pages.load();
    let path = call.head.uri.path();
    if let Some(page) = pages.get(path).filter(|_| path != NOT_FOUND) {
        let (encoding, known) = (header(call, &ACCEPT_ENCODING), header(call, &IF_NONE_MATCH));
        return Ok(found(page, encoding, known));
    }
    match pages.get(NOT_FOUND) {
        Some(page) if takes_html(call) => {
            let encoded = page.select(header(call, &ACCEPT_ENCODING));
            Ok(Reply { status: StatusCode::NOT_FOUND, ..shown(page, encoded) })
        }
        _ => Err(Slug::NotFound.into()),
    }
}

/// A page for a client that takes these encodings and may know it by these tags.
pub(super) fn found(page: &Page, accept_encoding: Option<&str>, known: Option<&str>) -> Reply {
    let encoded = page.select(accept_encoding);
    if known.is_some_and(|known| seckill_pages::matches(known, &encoded.etag)) {
        let mut reply = Reply::empty(StatusCode::NOT_MODIFIED);
        reply.headers = validators(page, encoded).into();
        return reply;
    }
    shown(page, encoded)
}

fn shown(page: &Page, encoded: &Encoded) -> Reply {
    let mut headers = Vec::with_capacity(7);
    headers.extend(validators(page, encoded));
    headers.push((X_CONTENT_TYPE_OPTIONS, NOSNIFF));
    if let Some(encoding) = encoded.content_encoding {
        headers.push((CONTENT_ENCODING, HeaderValue::from_static(encoding)));
    }
    if page.content_type.starts_with("text/html") {
        headers.push((CONTENT_SECURITY_POLICY, CSP));
        headers.push((REFERRER_POLICY, SAME_ORIGIN));
    }
    Reply {
        body: encoded.body.clone(),
        content_type: Some(HeaderValue::from_static(page.content_type)),
        headers,
        ..Reply::empty(StatusCode::OK)
    }
}

/// What a 304 carries as well.
fn validators(page: &Page, encoded: &Encoded) -> [(HeaderName, HeaderValue); 3] {
    [
        (ETAG, ascii(encoded.etag.clone())),
        (CACHE_CONTROL, HeaderValue::from_static(page.cache_control)),
        (VARY, BY_ENCODING),
    ]
}

/// The first value of a header, where it is text.
fn header<'a>(call: &'a Call<'_>, name: &HeaderName) -> Option<&'a str> {
    call.head.headers.get(name)?.to_str().ok()
}

/// Whether a browser asks, rather than a program.
fn takes_html(call: &Call<'_>) -> bool {
    header(call, &ACCEPT).is_some_and(|accept| accept.contains("text/html"))
}
