//! Calls and answers as they travel: plain HTTP with a signature in its headers.
//!
//! It must not know which calls there are, nor how a connection is made.

use std::time::Duration;

use base64ct::{Base64, Encoding};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use seckill_shards::clock::Timestamp;
use seckill_shards::ids::UserId;

use super::limits::{AGE_MS_MAX, CALL, READ};
use super::signature::{Content, Envelope, PeerKey, SIGNATURE_BYTES, Signature, Vouched};
use crate::store::Roles;

const FROM: &str = "seckill-from";
const TO: &str = "seckill-to";
const SENT_AT: &str = "seckill-sent-at";
/// User and roles: `17.1`. Empty where nobody has signed in.
const VOUCHED: &str = "seckill-vouched";
const SIGNATURE: &str = "seckill-signature";

/// Headers of a request that go with it, and all that its owner sees.
const OF_CALLS: [&str; 6] = [
    "content-type",
    "idempotency-key",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
    "x-request-id",
];
/// Headers of an answer that come back with it.
const OF_ANSWERS: [&str; 4] = ["cache-control", "content-type", "location", "retry-after"];

/// A request on its way to the gateway that can answer it.
#[derive(Debug)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// Its path.
    pub path: String,
    /// Its headers, of which those go that its owner looks at.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Who has sent it; none where nobody has signed in.
    pub vouched: Option<Vouched>,
    /// After which time it is given up, the making of its connection included.
    pub patience: Duration,
    /// When it was said, where it is a word of what is to be done everywhere at once: it goes out however
    /// many calls are under way, and whatever became of others. None: now.
    pub said_at: Option<Timestamp>,
}

impl Call {
    /// The patience that most calls of a method have.
    #[must_use]
    pub fn patience_of(method: &Method) -> Duration {
        if *method == Method::GET { READ } else { CALL }
    }
}

/// What a peer has answered.
#[derive(Debug)]
pub struct Answered {
    /// The status.
    pub status: StatusCode,
    /// The headers that come with it.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// What the head of a call claims, before its signature is known to be good.
#[derive(Debug)]
pub struct Claim {
    envelope: Envelope,
    signature: Signature,
    is_fresh: bool,
}

/// Whose answer it is to be.
#[derive(Clone, Copy, Debug)]
pub struct Proven {
    /// Who has signed in, by the word of the gateway that has forwarded the call.
    pub vouched: Option<Vouched>,
    /// By which gateway it was sent.
    pub from: u16,
    /// And when, by that one's clock.
    pub sent_at: Timestamp,
    /// Whether that is now. One that is older is answered, and not carried out.
    pub is_fresh: bool,
    signature: Signature,
}

/// A call as a request, and its signature, which the answer's belongs to.
pub(super) fn request(
    key: &PeerKey,
    envelope: &Envelope,
    address: &str,
    call: Call,
) -> (Request<Full<Bytes>>, Signature) {
    let Call { method, path, headers, body, .. } = call;
    let mut headers = only(&headers, &OF_CALLS);
    let line = [method.as_str(), &path];
    let content = Content { line: &line, headers: &signed(&headers, &OF_CALLS), body: &body };
    let signature = key.sign(envelope, &content);
    let vouched =
        envelope.vouched.map(|it| format!("{}.{}", it.user, it.roles.0)).unwrap_or_default();
    for (name, text) in [
        ("host", address.to_owned()),
        (FROM, envelope.from.to_string()),
        (TO, envelope.to.to_string()),
        (SENT_AT, envelope.sent_at.0.to_string()),
        (VOUCHED, vouched),
        (SIGNATURE, Base64::encode_string(&signature)),
    ] {
        headers.insert(name, value(&text));
    }
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().expect("the path of a request");
    *request.headers_mut() = headers;
    (request, signature)
}

/// What a head claims, where it is from a peer to `own`: looked at before a body is read.
pub(super) fn claim(head: &Parts, own: u16, now: Timestamp) -> Option<Claim> {
    let text = |name| {
        let mut values = head.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    };
    let (from, to) = (number(text(FROM)?)?, number(text(TO)?)?);
    let sent_at = Timestamp(number(text(SENT_AT)?)?);
    let vouched = match text(VOUCHED)? {
        "" => None,
        words => {
            let (user, roles) = words.split_once('.')?;
            Some(Vouched { user: UserId(number(user)?), roles: Roles(number(roles)?) })
        }
    };
    let signature = signature_of(text(SIGNATURE)?)?;
    let is_fresh = sent_at.0.abs_diff(now.0) <= AGE_MS_MAX;
    let envelope = Envelope { from, to, sent_at, vouched };
    (to == own && from != own).then_some(Claim { envelope, signature, is_fresh })
}

/// Whether a call is what it claims. From here on its head has what was signed and nothing else.
pub(super) fn prove(key: &PeerKey, claim: &Claim, head: &mut Parts, body: &[u8]) -> Option<Proven> {
    // As it came: a path with a query is another text than the one that was signed.
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    let line = [head.method.as_str(), target];
    let content = Content { line: &line, headers: &signed(&head.headers, &OF_CALLS), body };
    let Claim { envelope, signature, is_fresh } = *claim;
    if !key.verify(&envelope, &content, &signature) {
        return None;
    }
    head.headers = only(&head.headers, &OF_CALLS);
    let Envelope { from, sent_at, vouched, .. } = envelope;
    Some(Proven { vouched, from, sent_at, is_fresh, signature })
}

/// The header that proves whose answer it is.
pub(super) fn seal(
    key: &PeerKey,
    call: &Proven,
    answer: (StatusCode, &HeaderMap, &[u8]),
) -> HeaderValue {
    let (status, headers, body) = answer;
    let headers = signed(headers, &OF_ANSWERS);
    let content = Content { line: &[status.as_str()], headers: &headers, body };
    value(&Base64::encode_string(&key.sign_answer(&call.signature, &content)))
}

/// An answer, where its signature is the owner's and belongs to the call.
pub(super) fn answered(
    key: &PeerKey,
    call: &Signature,
    answer: (StatusCode, HeaderMap, Bytes),
) -> Option<Answered> {
    let (status, headers, body) = answer;
    let signature = signature_of(headers.get(SIGNATURE)?.to_str().ok()?)?;
    let relayed = signed(&headers, &OF_ANSWERS);
    let content = Content { line: &[status.as_str()], headers: &relayed, body: &body };
    let is_good = key.verify_answer(call, &content, &signature);
    is_good.then(|| Answered { status, headers: only(&headers, &OF_ANSWERS), body })
}

/// The name of the header that [`seal`] makes.
pub(super) const SEAL: &str = SIGNATURE;

/// The first header of each of these names.
fn only(headers: &HeaderMap, names: &[&'static str]) -> HeaderMap {
    let named = names.iter().filter_map(|name| Some((name, headers.get(*name)?.clone())));
    named.map(|(name, value)| (http::HeaderName::from_static(name), value)).collect()
}

fn signed<'a>(headers: &'a HeaderMap, names: &[&'static str]) -> Vec<(&'static str, &'a [u8])> {
    names.iter().filter_map(|name| Some((*name, headers.get(*name)?.as_bytes()))).collect()
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits, letters and dots")
}

fn signature_of(text: &str) -> Option<Signature> {
    let mut signature = [0; SIGNATURE_BYTES];
    let length = Base64::decode(text, &mut signature).ok()?.len();
    (length == SIGNATURE_BYTES).then_some(signature)
}

/// A number in the one form that gateways write it in.
fn number<T: std::str::FromStr + ToString>(digits: &str) -> Option<T> {
    let number: T = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    fn key() -> PeerKey {
        PeerKey::new(&[1; 32])
    }

    /// What a gateway 1 sends to gateway 2 for an operator.
    fn sent() -> (Parts, Bytes) {
        let vouched = Some(Vouched { user: UserId(7), roles: Roles::OPERATOR });
        let envelope = Envelope { from: 1, to: 2, sent_at: NOW, vouched };
        let mut headers = HeaderMap::new();
        for (name, text) in [
            ("content-type", "application/json"),
            ("idempotency-key", "key-1"),
            ("authorization", "Bearer secret"),
            ("cookie", "seckill_session=secret"),
        ] {
            headers.append(name, HeaderValue::from_static(text));
        }
        let body = Bytes::from_static(b"{\"return_units\":true}");
        let path = "/api/v1/admin/orders/7/refund".to_owned();
        let (method, patience, said_at) = (Method::POST, CALL, None);
        let call = Call { method, path, headers, body: body.clone(), vouched, patience, said_at };
        let (head, _) = request(&key(), &envelope, "peer:1", call).0.into_parts();
        (head, body)
    }

    fn believed(head: &mut Parts, body: &[u8], own: u16, now: Timestamp) -> Option<Vouched> {
        let claim = claim(head, own, now)?;
        prove(&key(), &claim, head, body).filter(|proven| proven.is_fresh)?.vouched
    }

    #[test]
    fn a_call_arrives_with_what_its_owner_looks_at_and_nothing_more() {
        let (mut head, body) = sent();
        let operator = Vouched { user: UserId(7), roles: Roles::OPERATOR };
        assert!(
            !head.headers.contains_key("authorization") && !head.headers.contains_key("cookie")
        );
        head.headers.insert("if-match", HeaderValue::from_static("\"1\""));
        assert_eq!(believed(&mut head, &body, 2, NOW), Some(operator));
        let mut names: Vec<_> = head.headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "idempotency-key"]);
    }

    #[test]
    fn one_for_another_or_of_another_time_is_not_believed() {
        let now = |ms: i64| Timestamp(NOW.0.checked_add_signed(ms).unwrap());
        for (own, ms, is_good) in [
            (2, 0, true),
            (2, 10_000, true),
            (2, -10_000, true),
            (2, 10_001, false),
            (2, -10_001, false),
            (3, 0, false),
            // Its own call, sent back to it.
            (1, 0, false),
        ] {
            let (mut head, body) = sent();
            assert_eq!(believed(&mut head, &body, own, now(ms)).is_some(), is_good, "{own} {ms}");
        }
    }

    #[test]
    fn whatever_is_altered_on_the_way_is_not_believed() {
        type Spoil = fn(&mut Parts);
        let spoiled: [(&str, Spoil); 10] = [
            ("method", |head| head.method = Method::DELETE),
            ("path", |head| head.uri = "/api/v1/admin/orders/8/refund".parse().unwrap()),
            ("query", |head| head.uri = "/api/v1/admin/orders/7/refund?x".parse().unwrap()),
            ("key", |head| set(head, "idempotency-key", "key-2")),
            ("key", |head| drop(head.headers.remove("idempotency-key"))),
            ("request id", |head| set(head, "x-request-id", "1")),
            ("user", |head| set(head, VOUCHED, "8.2")),
            ("roles", |head| set(head, VOUCHED, "7.7")),
            ("nobody", |head| set(head, VOUCHED, "")),
            ("instant", |head| set(head, SENT_AT, "1790000000001")),
        ];
        for (what, spoil) in spoiled {
            let (mut head, body) = sent();
            spoil(&mut head);
            assert_eq!(believed(&mut head, &body, 2, NOW), None, "{what}");
        }
        let (mut head, _) = sent();
        assert_eq!(believed(&mut head, b"{\"return_units\":false}", 2, NOW), None);
    }

    #[test]
    fn a_head_that_no_gateway_writes_is_not_looked_at() {
        for name in [FROM, TO, SENT_AT, VOUCHED, SIGNATURE] {
            let (mut head, _) = sent();
            let value = head.headers.remove(name).unwrap();
            assert!(claim(&head, 2, NOW).is_none(), "without {name}");
            head.headers.append(name, value.clone());
            assert!(claim(&head, 2, NOW).is_some(), "with {name}");
            head.headers.append(name, value);
            assert!(claim(&head, 2, NOW).is_none(), "twice {name}");
        }
        for (name, text) in [
            (FROM, "+1"),
            (TO, "02"),
            (TO, "65536"),
            (VOUCHED, "7"),
            (VOUCHED, "7.256"),
            (VOUCHED, "07.2"),
            (SIGNATURE, ""),
            (SIGNATURE, "AAAA"),
            (SIGNATURE, "!"),
        ] {
            let (mut head, _) = sent();
            set(&mut head, name, text);
            assert!(claim(&head, 2, NOW).is_none(), "{name}: {text}");
        }
    }

    #[test]
    fn an_answer_is_believed_from_the_owner_alone() {
        let (mut head, body) = sent();
        let claim = claim(&head, 2, NOW).unwrap();
        let proven = prove(&key(), &claim, &mut head, &body).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("location", HeaderValue::from_static("/a"));
        headers.insert("set-cookie", HeaderValue::from_static("a=b"));
        let seal = seal(&key(), &proven, (StatusCode::CREATED, &headers, b"{}"));
        headers.insert(SEAL, seal);
        let read = |status, headers: &HeaderMap, body: &'static [u8]| {
            answered(&key(), &claim.signature, (status, headers.clone(), Bytes::from_static(body)))
        };
        let good = read(StatusCode::CREATED, &headers, b"{}").unwrap();
        assert_eq!((good.headers.len(), &good.headers["location"]), (1, &headers["location"]));
        assert!(read(StatusCode::OK, &headers, b"{}").is_none());
        assert!(read(StatusCode::CREATED, &headers, b"[]").is_none());
        headers.insert("location", HeaderValue::from_static("/b"));
        assert!(read(StatusCode::CREATED, &headers, b"{}").is_none());
        assert!(read(StatusCode::CREATED, &HeaderMap::new(), b"{}").is_none());
    }

    fn set(head: &mut Parts, name: &'static str, text: &'static str) {
        head.headers.insert(name, HeaderValue::from_static(text));
    }
}
