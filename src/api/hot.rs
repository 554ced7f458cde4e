//! The hot path: what a sale is asked for by the hundred thousand, answered from the bytes as they
//! came, before hyper sees them.
//!
//! A buy, the state of a sale and a page, in the plain form that browsers, proxies and load
//! generators send: one whole request in one piece. Anything else is hyper's, whose handlers give
//! the same answers; nothing that is refused for its form is refused here. It must not know sockets.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Weak;

use httparse::{EMPTY_HEADER, Header, Status};
use seckill_shards::command::{Command, PlaceOrder, Refusal, Verdict};
use seckill_shards::ids::UserId;
use seckill_shards::record::NO_KEY;

use super::context::Context;
use super::limits::HOT_HEADERS_MAX;
use super::orders::OrderFacts;
use super::problem::{Problem, Slug, denied};
use super::reply::{Desk, Reply};
use super::route::Route;
use super::shards::{Told, Waiter};
use super::tokens::seconds;
use super::{activities, idempotency, pages};

/// What becomes of some bytes.
#[derive(Debug)]
pub enum Hot {
    /// They are hyper's. `is_whole`: they are one request and nothing else, so that hyper keeps
    /// nothing back once it has answered.
    NotHere {
        /// See above.
        is_whole: bool,
    },
    /// The response is written.
    Answered,
    /// The response follows when the disk has the order.
    Waiting(Waiting),
}

/// A buy whose verdict is on its way.
#[derive(Debug)]
pub struct Waiting {
    request_id: Option<Box<[u8]>>,
}

/// The headers that a plain request may have and that somebody looks at here.
#[derive(Debug, Default)]
struct Known<'a> {
    accept: Option<&'a [u8]>,
    accept_encoding: Option<&'a [u8]>,
    authorization: Option<&'a [u8]>,
    content_length: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
    cookie: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    idempotency_key: Option<&'a [u8]>,
    if_none_match: Option<&'a [u8]>,
    origin: Option<&'a [u8]>,
    request_id: Option<&'a [u8]>,
    sec_fetch_site: Option<&'a [u8]>,
}

impl<'a> Known<'a> {
    /// Sorts the headers; none where one of them is not plain, or comes twice.
    fn of(headers: &[Header<'a>]) -> Option<Self> {
        let mut known = Self::default();
        for header in headers {
            let slot = match header.name.len() {
                4 if is(header, "host") => &mut known.host,
                6 if is(header, "accept") => &mut known.accept,
                6 if is(header, "cookie") => &mut known.cookie,
                6 if is(header, "origin") => &mut known.origin,
                6 if is(header, "expect") => return None,
                7 if is(header, "upgrade") => return None,
                10 if is(header, "connection") => {
                    if header.value.eq_ignore_ascii_case(b"keep-alive") {
                        continue;
                    }
                    return None;
                }
                12 if is(header, "content-type") => &mut known.content_type,
                12 if is(header, "x-request-id") => &mut known.request_id,
                13 if is(header, "authorization") => &mut known.authorization,
                13 if is(header, "if-none-match") => &mut known.if_none_match,
                14 if is(header, "content-length") => &mut known.content_length,
                14 if is(header, "sec-fetch-site") => &mut known.sec_fetch_site,
                15 if is(header, "idempotency-key") => &mut known.idempotency_key,
                15 if is(header, "accept-encoding") => &mut known.accept_encoding,
                17 if is(header, "transfer-encoding") => return None,
                _ => continue,
            };
            if slot.replace(header.value).is_some() {
                return None;
            }
        }
        Some(known)
    }

    /// The length of the body; none where it is not said plainly.
    fn body_length(&self) -> Option<usize> {
        let Some(digits) = self.content_length else { return Some(0) };
        let plain = (1..=5).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
        text(Some(digits)).filter(|_| plain)?.parse().ok()
    }
}

fn is(header: &Header<'_>, name: &str) -> bool {
    header.name.eq_ignore_ascii_case(name)
}

fn text(value: Option<&[u8]>) -> Option<&str> {
    std::str::from_utf8(value?).ok()
}

/// Answers `bytes` into `out`, where they are one plain request of the hot path; `waiter` is told
/// a verdict that takes the disk.
pub fn answer(
    context: &Context,
    bytes: &[u8],
    waiter: &dyn Fn() -> Weak<dyn Waiter>,
    out: &mut Vec<u8>,
) -> Hot {
    let mut headers = [EMPTY_HEADER; HOT_HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let Ok(Status::Complete(head_length)) = request.parse(bytes) else {
        return Hot::NotHere { is_whole: false };
    };
    let body = &bytes[head_length..];
    let known = Known::of(request.headers);
    let Some(known) = known.filter(|known| known.body_length() == Some(body.len())) else {
        return Hot::NotHere { is_whole: false };
    };
    let (Some(method), Some(path), Some(1)) = (request.method, request.path, request.version)
    else {
        return Hot::NotHere { is_whole: true };
    };
    let mut desk = Counter { context, out, request_id: known.request_id };
    // A panic is answered by hyper's handlers, which meet the same one, count it and say 500.
    let answered = catch_unwind(AssertUnwindSafe(|| match method {
        "POST" => desk.post(path, &known, body, waiter),
        "GET" if body.is_empty() => desk.get(path, &known),
        _ => None,
    }));
    answered.ok().flatten().unwrap_or(Hot::NotHere { is_whole: true })
}

/// Writes the verdict of a buy into `out`.
pub fn tell(waiting: &Waiting, context: &Context, told: &Told, out: &mut Vec<u8>) {
    let request_id = waiting.request_id.as_deref();
    let written = catch_unwind(AssertUnwindSafe(|| {
        let mut desk = Counter { context, out, request_id };
        // Its activity may have left memory: the handlers know the way to the store, but the order
        // is placed, and a key or the list finds it. Or this gateway is no member of its fleet any more.
        if desk.verdict(&told.0).is_none() {
            desk.write(&Err(Slug::OutcomeUnknown.into()));
        }
    }));
    if written.is_err() {
        out.clear();
        Counter { context, out, request_id }.write(&Err(Slug::Internal.into()));
    }
}

/// Writes the answer to a request that no handler sees: it took too long, or is none. The socket is
/// closed behind it.
pub fn cut_short(context: &Context, problem: Problem, out: &mut Vec<u8>) {
    Counter { context, out, request_id: None }.write(&Err(problem));
}

/// Where one request is answered: like the counter of a shop.
struct Counter<'a> {
    context: &'a Context,
    out: &'a mut Vec<u8>,
    request_id: Option<&'a [u8]>,
}

impl Counter<'_> {
    /// The button; none where it is hyper's.
    fn post(
        &mut self,
        path: &str,
        known: &Known<'_>,
        body: &[u8],
        waiter: &dyn Fn() -> Weak<dyn Waiter>,
    ) -> Option<Hot> {
        let Some(Route::ActivityOrders(activity)) = Route::of(path) else { return None };
        let quantity = match body {
            b"" | b"{}" | b"{\"quantity\":1}" => 1,
            _ => return None,
        };
        let is_json = known.content_type.is_none_or(|value| value == b"application/json");
        let takes_json = takes_json(known);
        if !is_json || (known.content_type.is_none() && !body.is_empty()) || !takes_json {
            return None;
        }
        let user = self.user(known)?;
        let key = match known.idempotency_key {
            Some(key) => idempotency::of_user(key, user)?,
            None => NO_KEY,
        };
        let body = super::orders::body_digest(quantity);
        let order = PlaceOrder { activity, user, quantity, key, body, admitted: false };
        match self.context.shards.decide_for(Command::PlaceOrder(order), waiter) {
            Some(verdict) => self.verdict(&verdict),
            None => Some(Hot::Waiting(Waiting { request_id: self.request_id.map(Box::from) })),
        }
    }

    /// A buy's verdict; none where it takes more than what is in memory here.
    fn verdict(&mut self, verdict: &Verdict) -> Option<Hot> {
        match verdict {
            Verdict::Placed(_) if !self.context.is_member() => return None,
            Verdict::Placed(order) => {
                let activity = self.context.shared.engine.activity(order.activity)?;
                let sale = activity.sale();
                let facts = OrderFacts::in_memory(order, &sale.terms);
                self.write(&Ok(super::orders::accepted(self.context, &facts)));
            }
            Verdict::PlacedBefore(_) => return None,
            Verdict::Refused(Refusal::LimitReached { .. }) if !self.context.is_member() => {
                return None;
            }
            _ => self.write(&Err(denied(verdict, self.context.shared.now()))),
        }
        Some(Hot::Answered)
    }

    /// The state of a sale, or a page.
    fn get(&mut self, path: &str, known: &Known<'_>) -> Option<Hot> {
        match Route::of(path)? {
            Route::ActivityState(activity) if takes_json(known) => {
                let answer = activities::state(self.context, activity);
                self.write(&answer);
            }
            Route::Page => {
                let pages = self.context.shared.pages.load();
                let page = pages.get(path).filter(|_| path != pages::NOT_FOUND)?;
                let encoding = text(known.accept_encoding);
                if known.accept_encoding.is_some() && encoding.is_none() {
                    return None;
                }
                let sent = pages::Sent::of(page, encoding, text(known.if_none_match));
                self.write_page(&sent);
            }
            _ => return None,
        }
        Some(Hot::Answered)
    }

    /// Whose request it is; none where the token is not a good one, or a cookie comes from another
    /// site: hyper's handlers say which.
    fn user(&self, known: &Known<'_>) -> Option<UserId> {
        let shared = &self.context.shared;
        let token = match (known.authorization, known.cookie) {
            (Some(authorization), _) => text(Some(authorization))?.strip_prefix("Bearer ")?,
            (None, Some(cookie)) => {
                let (origin, host) = (text(known.origin), text(known.host));
                let fetched_by = text(known.sec_fetch_site);
                if !shared.site.is_same_origin(origin, host, fetched_by) {
                    return None;
                }
                shared.site.cookie_token(text(Some(cookie))?)?
            }
            (None, None) => return None,
        };
        let claims = shared.tokens.check(token, seconds(self.context.recently()))?;
        shared.access.allows(&claims).then_some(claims.user)
    }

    fn write_page(&mut self, sent: &pages::Sent<'_>) {
        self.context.counters().count_positive();
        let desk = &self.context.desk;
        desk.write_head(sent.status, self.request_id, self.out);
        for (name, value) in sent.fields() {
            Desk::write_field(name.as_str(), value.as_bytes(), self.out);
        }
        desk.write_rest(sent.status, self.context.recently(), sent.body, self.out);
    }

    fn write(&mut self, answer: &Result<Reply, Problem>) {
        self.context.counters().count(answer);
        self.context.desk.write(self.context.recently(), self.request_id, answer, self.out);
    }
}

/// Whether a client plainly takes JSON.
fn takes_json(known: &Known<'_>) -> bool {
    known.accept.is_none_or(|value| matches!(value, b"*/*" | b"application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(head: &str) -> Option<Option<usize>> {
        let mut headers = [EMPTY_HEADER; HOT_HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let bytes = format!("POST / HTTP/1.1\r\n{head}\r\n");
        assert!(request.parse(bytes.as_bytes()).unwrap().is_complete());
        Known::of(request.headers).map(|known| known.body_length())
    }

    #[test]
    fn only_plain_heads_are_taken() {
        for (head, expected) in [
            ("Host: a\r\n", Some(Some(0))),
            ("host: a\r\nCONTENT-LENGTH: 14\r\n", Some(Some(14))),
            ("Connection: Keep-Alive\r\n", Some(Some(0))),
            ("Connection: close\r\n", None),
            ("Connection: keep-alive, upgrade\r\n", None),
            ("Transfer-Encoding: chunked\r\n", None),
            ("Expect: 100-continue\r\n", None),
            ("Upgrade: h2c\r\n", None),
            ("Content-Length: 1\r\nContent-Length: 1\r\n", None),
            ("Authorization: a\r\nauthorization: b\r\n", None),
            ("Content-Length: +1\r\n", Some(None)),
            ("Content-Length: 1, 1\r\n", Some(None)),
            ("Content-Length: 0x1\r\n", Some(None)),
            ("Content-Length: 123456\r\n", Some(None)),
            ("Content-Length:\r\n", Some(None)),
        ] {
            assert_eq!(known(head), expected, "{head:?}");
        }
    }
}
