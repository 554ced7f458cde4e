//! Pages: rendered and compressed by others, served from memory.
//!
//! It must not know what a page shows.

use std::collections::HashMap;

use bytes::Bytes;
use http::StatusCode;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use seckill_pages::{Encoded, Page};

use super::problem::Slug;
use super::reply::Reply;
use super::{Answer, Call, route};

/// The published pages by path, for example `/activities/7`; [`NOT_FOUND`] is the one for an
/// address with nothing at it, and a shell is one page for every id.
pub type PageMap = HashMap<String, Page>;

pub(super) const NOT_FOUND: &str = "/404";

/// Where the page is that stands in for those of sales and products while the gateway may know of none; it is
/// in a [`PageMap`] that long. No path of a request begins like this.
pub const NOT_YET: &str = "instead:sales";
/// Where the page of every order is in a [`PageMap`]. No path of a request begins like this.
pub const ORDER_SHELL: &str = "shell:/orders/";
/// Where the sandbox bank's page for every payment is in a [`PageMap`], if it is there.
pub const PAY_SHELL: &str = "shell:/pay/";

const SHELLS: [&str; 2] = [ORDER_SHELL, PAY_SHELL];

/// The shell for a path that ends with an id.
fn shell(path: &str) -> Option<&'static str> {
    let is_of = |shell: &&str| {
        let prefix = shell.strip_prefix("shell:");
        prefix.is_some_and(|prefix| has_id_behind(path, prefix))
    };
    SHELLS.into_iter().find(is_of)
}

/// Whether a path may have a page once all sales and products are known.
fn may_come(path: &str) -> bool {
    let prefixes = ["/activities/", "/products/", "/sales/"];
    path == "/" || prefixes.into_iter().any(|prefix| has_id_behind(path, prefix))
}

fn has_id_behind(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).and_then(route::id::<u64>).is_some()
}

/// `GET` of anything outside `/api/`.
pub(super) fn serve(call: &Call<'_>) -> Answer {
    let pages = call.context.shared.pages.load();
    let path = call.head.uri.path();
    let page = pages.get(path).or_else(|| pages.get(shell(path)?));
    if let Some(page) = page.filter(|_| path != NOT_FOUND) {
        let (encoding, known) = (header(call, &ACCEPT_ENCODING), header(call, &IF_NONE_MATCH));
        return Ok(found(page, encoding, known));
    }
    match pages.get(NOT_YET).filter(|_| may_come(path)) {
        Some(page) => in_place(call, Some(page), Slug::Unavailable),
        None => in_place(call, pages.get(NOT_FOUND), Slug::NotFound),
    }
}

/// The answer where no page is: for a program a problem, and for people a page, where there is one.
fn in_place(call: &Call<'_>, page: Option<&Page>, slug: Slug) -> Answer {
    let Some(page) = page.filter(|_| takes_html(call)) else { return Err(slug.into()) };
    let mut reply = found(page, header(call, &ACCEPT_ENCODING), None);
    // Who asks decides between this page and a problem, and a sale may be here any moment.
    reply.headers.retain(|(name, _)| *name != CACHE_CONTROL);
    reply.headers.extend(call.context.desk.retry_field(&slug.into()));
    Ok(Reply { status: slug.status(), ..reply }.no_store())
}

/// A page for a client that takes these encodings and may know it by these tags.
fn found(page: &Page, accept_encoding: Option<&str>, known: Option<&str>) -> Reply {
    let sent = Sent::of(page, accept_encoding, known);
    let mut reply = Reply::empty(sent.status);
    reply.body = sent.body.clone();
    let value = |text| HeaderValue::from_str(text).expect("pages name visible ASCII");
    reply.headers = sent.fields().map(|(name, text)| (name, value(text))).collect();
    reply
}

/// What is sent of a page to one client.
pub(super) struct Sent<'a> {
    pub(super) status: StatusCode,
    pub(super) body: &'a Bytes,
    page: &'a Page,
    encoded: &'a Encoded,
}

static NOTHING: Bytes = Bytes::new();

impl<'a> Sent<'a> {
    /// The page itself, or that the client has it already.
    pub(super) fn of(page: &'a Page, accept_encoding: Option<&str>, known: Option<&str>) -> Self {
        let encoded = page.select(accept_encoding);
        if known.is_some_and(|known| seckill_pages::matches(known, &encoded.etag)) {
            return Self { status: StatusCode::NOT_MODIFIED, body: &NOTHING, page, encoded };
        }
        Self { status: StatusCode::OK, body: &encoded.body, page, encoded }
    }

    /// The header fields that tell of the page; a 304 has the first three.
    pub(super) fn fields(&self) -> impl Iterator<Item = (HeaderName, &'a str)> + use<'a> {
        let Self { page, encoded, .. } = *self;
        let is_whole = self.status != StatusCode::NOT_MODIFIED;
        let is_html = is_whole && page.content_type.starts_with("text/html");
        let html = |name, text| is_html.then_some((name, text));
        [
            Some((ETAG, encoded.etag.as_str())),
            Some((CACHE_CONTROL, page.cache_control)),
            Some((VARY, "accept-encoding")),
            is_whole.then_some((CONTENT_TYPE, page.content_type)),
            is_whole.then_some((X_CONTENT_TYPE_OPTIONS, "nosniff")),
            encoded.content_encoding.filter(|_| is_whole).map(|it| (CONTENT_ENCODING, it)),
            html(CONTENT_SECURITY_POLICY, seckill_pages::CONTENT_SECURITY_POLICY),
            html(REFERRER_POLICY, "same-origin"),
        ]
        .into_iter()
        .flatten()
    }
}

/// The first value of a header, where it is text.
fn header<'a>(call: &'a Call<'_>, name: &HeaderName) -> Option<&'a str> {
    call.head.headers.get(name)?.to_str().ok()
}

/// Whether a browser asks, rather than a program.
fn takes_html(call: &Call<'_>) -> bool {
    header(call, &ACCEPT).is_some_and(|accept| accept.contains("text/html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_for_every_id_and_nothing_else() {
        for (path, expected) in [
            ("/orders/0", Some(ORDER_SHELL)),
            ("/orders/18446744073709551615", Some(ORDER_SHELL)),
            ("/pay/7", Some(PAY_SHELL)),
            ("/orders/", None),
            ("/orders", None),
            ("/orders/007", None),
            ("/orders/18446744073709551616", None),
            ("/orders/7/", None),
            ("/orders/x", None),
            ("/orders/7/pay", None),
            ("/pay/-7", None),
            ("shell:/orders/7", None),
        ] {
            assert_eq!(shell(path), expected, "{path}");
        }
    }
}
