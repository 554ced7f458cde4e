//! Replies: what a resource answers with, and how it becomes a response without wasting anything.
//!
//! The request's header map is emptied and becomes the response's, which hyper then keeps for the
//! next request of the connection. It must not know resources.

use std::cell::{Cell, RefCell};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION,
    RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use seckill_shards::clock::Timestamp;

use super::limits::REQUEST_ID_BYTES_MAX;
use super::problem::{Problem, Slug};
use super::text;

/// What goes back over the socket.
pub type HttpResponse = Response<Full<Bytes>>;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// A positive answer.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its body, which may be empty.
    pub body: Bytes,
    /// Its headers, `content-length` and `date` aside.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The media type of the body; none for no body.
    pub content_type: Option<HeaderValue>,
    /// The address of what was made.
    pub location: Option<HeaderValue>,
}

impl Reply {
    /// No body.
    #[must_use]
    pub(super) fn empty(status: StatusCode) -> Self {
        let (body, headers) = (Bytes::new(), Vec::new());
        Self { status, body, headers, content_type: None, location: None }
    }

    /// A JSON body.
    #[must_use]
    pub(super) fn json(status: StatusCode, body: Bytes) -> Self {
        Self { body, content_type: Some(JSON), ..Self::empty(status) }
    }

    /// Whether it says no: so it does where another gateway has answered.
    #[must_use]
    pub(super) fn is_refusal(&self) -> bool {
        self.status.is_client_error() || self.status.is_server_error()
    }

    /// With a header more.
    #[must_use]
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Not to be kept by any cache.
    #[must_use]
    pub(super) fn no_store(self) -> Self {
        self.with(CACHE_CONTROL, NO_STORE)
    }

    /// With the version of what it shows as its entity tag, for `If-Match`.
    #[must_use]
    pub(super) fn version(self, version: u64) -> Self {
        self.with(ETAG, ascii(format!("\"{version}\"")))
    }

    /// With the address of what was made.
    #[must_use]
    pub(super) fn at(self, address: String) -> Self {
        Self { location: Some(ascii(address)), ..self }
    }
}

/// A header value of text that was made here and so is visible ASCII.
pub(super) fn ascii(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text)).expect("made of visible ASCII here")
}

/// What a core needs to answer: a buffer that is written again and again, and request ids.
#[derive(Debug)]
pub(super) struct Desk {
    scratch: RefCell<Vec<u8>>,
    ids: RequestIds,
    refused: Cell<u64>,
    /// The second that was written last, and how.
    date: Cell<(u64, [u8; DATE_BYTES])>,
}

const DATE_BYTES: usize = 29;

/// Ids for requests that bring none: a random start and a count, cut from a block made ahead.
#[derive(Debug)]
struct RequestIds {
    start: u64,
    made: Cell<u32>,
    block: RefCell<Bytes>,
}

const ID_BYTES: usize = 24;
const IDS_PER_BLOCK: usize = 128;

impl RequestIds {
    fn give(&self) -> HeaderValue {
        let mut block = self.block.borrow_mut();
        if block.is_empty() {
            *block = self.make();
        }
        HeaderValue::from_maybe_shared(block.split_to(ID_BYTES)).expect("hexadecimal digits")
    }

    fn make(&self) -> Bytes {
        let mut out = Vec::with_capacity(ID_BYTES * IDS_PER_BLOCK);
        for _ in 0..IDS_PER_BLOCK {
            let made = self.made.replace(self.made.get().wrapping_add(1));
            text::hex(&mut out, self.start);
            text::hex(&mut out, made);
        }
        out.into()
    }
}

impl Desk {
    /// A desk whose request ids begin with `start`, which should be random.
    #[must_use]
    pub(super) fn new(start: u64) -> Self {
        let ids = RequestIds { start, made: Cell::new(0), block: RefCell::default() };
        let date = Cell::new((0, [0; DATE_BYTES]));
        Self { scratch: RefCell::default(), ids, refused: Cell::new(start), date }
    }

    /// Bytes as written by `write`, copied once into a piece of their own size.
    pub(super) fn bytes(&self, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        let mut scratch = self.scratch.take();
        scratch.clear();
        write(&mut scratch);
        let bytes = Bytes::copy_from_slice(&scratch);
        self.scratch.replace(scratch);
        bytes
    }

    /// The response of an answer; `headers` are the request's.
    pub(super) fn respond(
        &self,
        headers: HeaderMap,
        answer: Result<Reply, Problem>,
    ) -> HttpResponse {
        let answer = self.reply(answer);
        let mut headers = headers;
        let id = headers
            .remove(REQUEST_ID)
            .filter(|id| is_request_id(id.as_bytes()))
            .unwrap_or_else(|| self.ids.give());
        headers.clear();
        headers.insert(REQUEST_ID, id);
        if let Some(content_type) = answer.content_type {
            headers.insert(CONTENT_TYPE, content_type);
        }
        if let Some(location) = answer.location {
            headers.insert(LOCATION, location);
        }
        for (name, value) in answer.headers {
            headers.append(name, value);
        }
        let mut response = Response::new(Full::new(answer.body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = headers;
        response
    }

    /// The same response as bytes, for the hot path.
    pub(super) fn write(
        &self,
        now: Timestamp,
        request_id: Option<&[u8]>,
        answer: &Result<Reply, Problem>,
        out: &mut Vec<u8>,
    ) {
        let negative;
        let answer = match answer {
            Ok(reply) => reply,
            Err(problem) => {
                negative = self.negative(problem);
                &negative
            }
        };
        self.write_head(answer.status, request_id, out);
        let fixed = [(&CONTENT_TYPE, &answer.content_type), (&LOCATION, &answer.location)];
        let fixed = fixed.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let others = answer.headers.iter().map(|(name, value)| (name, value));
        for (name, value) in fixed.chain(others) {
            Self::write_field(name.as_str(), value.as_bytes(), out);
        }
        self.write_rest(answer.status, now, &answer.body, out);
    }

    /// The status line, and the request's id.
    pub(super) fn write_head(
        &self,
        status: StatusCode,
        request_id: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.as_str().as_bytes());
        out.push(b' ');
        text::raw(out, status.canonical_reason().unwrap_or_default());
        out.extend_from_slice(b"\r\nx-request-id: ");
        match request_id.filter(|id| is_request_id(id)) {
            Some(id) => out.extend_from_slice(id),
            None => out.extend_from_slice(self.ids.give().as_bytes()),
        }
    }

    /// One header field.
    pub(super) fn write_field(name: &str, value: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
    }

    /// Length, date and body.
    pub(super) fn write_rest(
        &self,
        status: StatusCode,
        now: Timestamp,
        body: &[u8],
        out: &mut Vec<u8>,
    ) {
        if status != StatusCode::NOT_MODIFIED && status != StatusCode::NO_CONTENT {
            out.extend_from_slice(b"\r\ncontent-length: ");
            text::number(out, body.len() as u64);
        }
        out.extend_from_slice(b"\r\ndate: ");
        out.extend_from_slice(&self.date(now));
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(body);
    }

    /// The second as HTTP writes it, made once a second.
    fn date(&self, now: Timestamp) -> [u8; DATE_BYTES] {
        let second = now.0 / 1_000;
        let (made, date) = self.date.get();
        if made == second {
            return date;
        }
        let at = UNIX_EPOCH + Duration::from_secs(second);
        let text = httpdate::fmt_http_date(at);
        let date = text.as_bytes().try_into().expect("a date of HTTP has 29 characters");
        self.date.set((second, date));
        date
    }

    /// What an answer says, be it a problem.
    pub(super) fn reply(&self, answer: Result<Reply, Problem>) -> Reply {
        answer.unwrap_or_else(|problem| self.negative(&problem))
    }

    fn negative(&self, problem: &Problem) -> Reply {
        let body = self.bytes(|out| problem.write(out));
        let mut reply = Reply::empty(problem.status());
        reply.body = body;
        reply.content_type = Some(PROBLEM_JSON);
        reply.headers.extend(self.retry_field(problem));
        if let Some(allow) = problem.allow() {
            reply.headers.push((ALLOW, HeaderValue::from_static(allow)));
        }
        if problem.closes() {
            reply.headers.push((CONNECTION, HeaderValue::from_static("close")));
        }
        if problem.slug == Slug::Unauthenticated {
            reply.headers.push((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        }
        reply
    }

    /// When to come again, where it is said.
    pub(super) fn retry_field(&self, problem: &Problem) -> Option<(HeaderName, HeaderValue)> {
        let seconds = problem.retry_after(self.random())?;
        Some((RETRY_AFTER, HeaderValue::from(seconds)))
    }

    /// Spreads a crowd; not for secrets. Fibonacci hashing of a count.
    fn random(&self) -> u64 {
        self.refused.set(self.refused.get().wrapping_add(1));
        self.refused.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
    }
}

/// Whether a caller's request id is kept: short, and nothing that a log or a shell could trip over.
fn is_request_id(bytes: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:~/+=".contains(byte);
    (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn id_for(sent: Option<&'static str>) -> String {
        let mut headers = HeaderMap::new();
        if let Some(sent) = sent {
            headers.insert(REQUEST_ID, HeaderValue::from_static(sent));
        }
        let response = Desk::new(7).respond(headers, Ok(Reply::empty(StatusCode::OK)));
        response.headers()["x-request-id"].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_valid_request_id_comes_back_and_another_is_replaced() {
        assert_eq!(id_for(Some("a-1_b.c:d")), "a-1_b.c:d");
        for bad in ["", "a b", "a\"b", "<script>"] {
            assert_eq!(id_for(Some(bad)), "000000000000000700000000", "{bad}");
        }
        assert_eq!(id_for(None).len(), ID_BYTES);
    }

    #[test]
    fn request_ids_do_not_repeat() {
        let ids = Desk::new(1).ids;
        let given: std::collections::HashSet<_> = (0..1_000).map(|_| ids.give()).collect();
        assert_eq!(given.len(), 1_000);
    }

    #[test]
    fn nothing_of_the_request_is_left_in_the_response() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Bearer secret"));
        headers.append("cookie", HeaderValue::from_static("a=b"));
        headers.append("cookie", HeaderValue::from_static("c=d"));
        let response = Desk::new(1).respond(headers, Err(Slug::Unauthenticated.into()));
        let names: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-request-id", "content-type", "www-authenticate"]);
    }

    #[tokio::test]
    async fn a_problem_becomes_a_response() {
        let problem = Problem::method_not_allowed("GET, HEAD");
        let response = Desk::new(1).respond(HeaderMap::new(), Err(problem));
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()["allow"], "GET, HEAD");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["type"], "urn:seckill:method-not-allowed");
    }
}
