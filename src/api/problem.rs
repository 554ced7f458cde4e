//! The one table of statuses: every way to say no, with its slug, status and title (RFC 9457).
//!
//! Nothing internal may get into a detail: it is written here or by whoever validates a field,
//! never taken from an error.

use std::borrow::Cow;

use http::StatusCode;
use seckill_shards::clock::Timestamp;
use seckill_shards::command::{Refusal, Verdict};
use seckill_shards::ids::OrderId;

use super::text;
use crate::store::{self, StoreError};

macro_rules! slugs {
    ($(
        $(#[doc = $when:literal])+
        $name:ident $slug:literal $status:ident $title:literal
        $remedy:literal
    ),+ $(,)?) => {
        /// The stable name of a problem.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Slug {
            $($(#[doc = $when])+ $name),+
        }

        impl Slug {
            /// All of them, by index.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its place in [`ALL`](Self::ALL).
            #[must_use]
            pub fn index(self) -> usize {
                self as usize
            }

            /// Its word on the wire, after `urn:seckill:`.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $slug),+ }
            }

            /// The status it is answered with.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),+ }
            }

            /// What a person reads first.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title),+ }
            }

            /// When it comes, in one sentence.
            #[must_use]
            pub fn when(self) -> &'static str {
                match self { $(Self::$name => concat!($($when),+).trim_start()),+ }
            }

            /// What a client does about it.
            #[must_use]
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy),+ }
            }
        }
    };
}

slugs! {
    /// A field is missing, unknown or out of range.
    InvalidRequest "invalid-request" UNPROCESSABLE_ENTITY "The request is not valid"
        "Correct the fields that `errors` names by JSON pointer; sending the same again is of no use.",
    /// No token, or not a good one.
    Unauthenticated "unauthenticated" UNAUTHORIZED "Please sign in"
        "Sign in, and send the token as `Authorization: Bearer …`.",
    /// The role is too small.
    Forbidden "forbidden" FORBIDDEN "You may not do this"
        "Ask an administrator for the role, then sign in again.",
    /// A state change with a cookie from another site.
    CrossOrigin "cross-origin" FORBIDDEN "The request comes from another site"
        "Send the bearer token instead of the cookie, or call from a page of this site.",
    /// No such thing, or not the caller's.
    NotFound "not-found" NOT_FOUND "There is no such thing"
        "Check the address; ids are decimal, without leading zeros.",
    /// Selling has not begun.
    NotStarted "not-started" CONFLICT "The sale has not started"
        "Wait until `starts_at`; `server_time` tells how far your clock is off.",
    /// Selling is over.
    Ended "ended" CONFLICT "The sale has ended"
        "Nothing more is sold; look for another sale.",
    /// Selling is paused.
    Paused "paused" CONFLICT "The sale is paused"
        "Ask for the state of the sale until its phase is `live` again.",
    /// No unit can be taken now.
    SoldOut "sold-out" CONFLICT "Sold out"
        "Where `may_return` is true, try again: unpaid orders expire and give their units back. False is final.",
    /// Fewer units are left than asked for.
    InsufficientStock "insufficient-stock" CONFLICT "Fewer units are left"
        "Ask for `remaining` units or fewer.",
    /// The buyer holds the most that is allowed, or the same request is under way.
    LimitReached "limit-reached" CONFLICT "You have all that one shopper may have"
        "Read the orders that `orders` names: a lost answer is among them. With `pending`, repeat with the same key after Retry-After.",
    /// A purchase token is asked for.
    AdmissionRequired "admission-required" FORBIDDEN "It is not your turn yet"
        "Ask for admission to the activity, then send its purchase token.",
    /// The order is not in a state that allows this.
    OrderState "order-state" CONFLICT "The order does not allow this now"
        "Read the order: its status says what may be done with it.",
    /// A version does not match, a unique name is taken, or the thing is past this step.
    Conflict "conflict" CONFLICT "The request conflicts with how things are now"
        "Read the thing again and decide anew with its present version, or take another name.",
    /// No `If-Match`.
    PreconditionRequired "precondition-required" PRECONDITION_REQUIRED "Say which version you change"
        "Read the thing, and send the version you saw as `If-Match`.",
    /// The same key came with another request.
    IdempotencyMismatch "idempotency-mismatch" UNPROCESSABLE_ENTITY "The idempotency key was used for another request"
        "Use a new key for a new request; repeat a request with exactly the same body.",
    /// Too many of something.
    RateLimited "rate-limited" TOO_MANY_REQUESTS "Too many requests"
        "Wait for as long as Retry-After says.",
    /// A queue is full; nothing happened.
    Overloaded "overloaded" SERVICE_UNAVAILABLE "Too busy right now"
        "Nothing happened: repeat it after Retry-After.",
    /// Something this needs is away; nothing happened.
    Unavailable "unavailable" SERVICE_UNAVAILABLE "Not available right now"
        "Nothing happened: repeat it after Retry-After.",
    /// It may or may not have happened.
    OutcomeUnknown "outcome-unknown" GATEWAY_TIMEOUT "It may or may not have happened"
        "Repeat it with the same Idempotency-Key, or read whether it happened; do not repeat it without a key.",
    /// The path has other methods.
    MethodNotAllowed "method-not-allowed" METHOD_NOT_ALLOWED "The method is not allowed here"
        "Use one of the methods that `Allow` lists.",
    /// The client takes no JSON.
    NotAcceptable "not-acceptable" NOT_ACCEPTABLE "No acceptable representation"
        "Accept `application/json`.",
    /// The body is not JSON by its media type.
    UnsupportedMediaType "unsupported-media-type" UNSUPPORTED_MEDIA_TYPE "The media type is not supported"
        "Send the body as `application/json`, in UTF-8.",
    /// The body is too large.
    TooLarge "too-large" PAYLOAD_TOO_LARGE "The request is too large"
        "Send less.",
    /// The head is too large, or has too many fields.
    HeadTooLarge "head-too-large" REQUEST_HEADER_FIELDS_TOO_LARGE "The head of the request is too large"
        "Send fewer and shorter header fields.",
    /// The request did not arrive in time.
    Timeout "timeout" REQUEST_TIMEOUT "The request took too long to arrive"
        "Send the whole request without a pause.",
    /// A bug.
    Internal "internal" INTERNAL_SERVER_ERROR "Something went wrong"
        "Report it with the `x-request-id` of the answer.",
}

/// When to try again, where that helps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retry {
    /// Never said.
    No,
    /// After this many seconds, plus up to half as many, and at least one, of jitter.
    Jittered(u16),
    /// After exactly this many seconds.
    After(u16),
}

/// A field that is not as it must be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldError {
    /// JSON pointer into the body, or `/name` of a query parameter.
    pub pointer: String,
    /// What it must be.
    pub detail: Cow<'static, str>,
}

/// A negative answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Which.
    pub slug: Slug,
    /// One sentence about this occurrence; empty for none.
    pub detail: Cow<'static, str>,
    /// When to try again.
    pub retry: Retry,
    /// Members as JSON text, each with a comma before it.
    members: Cow<'static, str>,
    rare: Option<Box<Rare>>,
}

/// What few problems have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Rare {
    status: Option<StatusCode>,
    errors: Vec<FieldError>,
    allow: Option<&'static str>,
    closes: bool,
}

impl From<Slug> for Problem {
    fn from(slug: Slug) -> Self {
        Self::new(slug, "")
    }
}

impl Problem {
    /// A problem with a sentence about it.
    pub fn new(slug: Slug, detail: impl Into<Cow<'static, str>>) -> Self {
        let retry = match slug.status() {
            StatusCode::SERVICE_UNAVAILABLE => Retry::Jittered(2),
            StatusCode::TOO_MANY_REQUESTS => Retry::Jittered(10),
            _ => Retry::No,
        };
        let members = Cow::Borrowed("");
        Self { slug, detail: detail.into(), retry, members, rare: None }
    }

    /// The body is not JSON at all.
    #[must_use]
    pub fn not_json() -> Self {
        let mut problem = Self::new(Slug::InvalidRequest, "The body is not JSON.");
        problem.rare().status = Some(StatusCode::BAD_REQUEST);
        problem
    }

    /// What came is no request at all: where the next one begins is anybody's guess.
    #[must_use]
    pub fn malformed() -> Self {
        let mut problem = Self::new(Slug::InvalidRequest, "This is not a request of HTTP/1.1.");
        *problem.rare() =
            Rare { status: Some(StatusCode::BAD_REQUEST), closes: true, ..Rare::default() };
        problem
    }

    /// One field is not as it must be.
    pub fn field(pointer: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::fields(vec![FieldError { pointer: pointer.into(), detail: detail.into() }])
    }

    /// Some fields are not as they must be.
    #[must_use]
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let mut problem = Self::new(Slug::InvalidRequest, "Some fields are not valid.");
        problem.rare().errors = errors;
        problem
    }

    /// The path has other methods, as listed.
    #[must_use]
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let mut problem = Self::from(Slug::MethodNotAllowed);
        problem.rare().allow = Some(allow);
        problem
    }

    /// With a member whose value is JSON text already.
    #[must_use]
    pub fn member(mut self, name: &str, json: &str) -> Self {
        let members = self.members.to_mut();
        for part in [",\"", name, "\":", json] {
            members.push_str(part);
        }
        self
    }

    /// With another time to try again.
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// The status it is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.rare.as_ref().and_then(|rare| rare.status).unwrap_or_else(|| self.slug.status())
    }

    /// Whether something of the request is left unread, so that the connection cannot go on.
    #[must_use]
    pub fn closes(&self) -> bool {
        matches!(self.slug, Slug::Timeout | Slug::TooLarge | Slug::HeadTooLarge)
            || self.rare.as_ref().is_some_and(|rare| rare.closes)
    }

    /// The value of `Allow`, where it has one.
    #[must_use]
    pub fn allow(&self) -> Option<&'static str> {
        self.rare.as_ref()?.allow
    }

    /// Seconds for `Retry-After`, where it has one; `random` spreads the crowd.
    #[must_use]
    pub fn retry_after(&self, random: u64) -> Option<u64> {
        match self.retry {
            Retry::No => None,
            Retry::After(seconds) => Some(seconds.into()),
            Retry::Jittered(seconds) => {
                let seconds = u64::from(seconds);
                Some(seconds + random % (seconds / 2 + 2))
            }
        }
    }

    /// Writes it as JSON.
    pub fn write(&self, out: &mut Vec<u8>) {
        text::raw(out, "{\"type\":\"urn:seckill:");
        text::raw(out, self.slug.word());
        text::raw(out, "\",\"title\":\"");
        text::raw(out, self.slug.title());
        text::raw(out, "\",\"status\":");
        text::number(out, self.status().as_u16().into());
        if !self.detail.is_empty() {
            text::raw(out, ",\"detail\":");
            text::string(out, &self.detail);
        }
        if let Some(rare) = &self.rare {
            rare.write(out);
        }
        text::raw(out, &self.members);
        out.push(b'}');
    }
}

impl Rare {
    fn write(&self, out: &mut Vec<u8>) {
        for (index, error) in self.errors.iter().enumerate() {
            text::raw(
                out,
                if index == 0 { ",\"errors\":[{\"pointer\":" } else { ",{\"pointer\":" },
            );
            text::string(out, &error.pointer);
            text::raw(out, ",\"detail\":");
            text::string(out, &error.detail);
            out.push(b'}');
        }
        if !self.errors.is_empty() {
            out.push(b']');
        }
    }
}

/// What a refusal of the engine looks like to a client.
pub fn refused(refusal: &Refusal, now: Timestamp) -> Problem {
    match refusal {
        Refusal::NotFound => Slug::NotFound.into(),
        Refusal::NotStarted { starts_at } => Problem::from(Slug::NotStarted)
            .member("starts_at", &text::quoted_instant(*starts_at))
            .member("server_time", &text::quoted_instant(now)),
        Refusal::Ended => Slug::Ended.into(),
        Refusal::Paused => Slug::Paused.into(),
        // Most of a flash sale is this refusal, so nothing of it is made anew.
        Refusal::SoldOut { may_return } => Problem {
            members: Cow::Borrowed(match may_return {
                true => ",\"may_return\":true",
                false => ",\"may_return\":false",
            }),
            ..Slug::SoldOut.into()
        },
        Refusal::InsufficientStock { remaining } => {
            Problem::from(Slug::InsufficientStock).member("remaining", &remaining.to_string())
        }
        Refusal::LimitReached { orders, pending } => {
            let members = Cow::Owned(their_orders(orders));
            let problem = Problem { members, ..Slug::LimitReached.into() };
            if !pending {
                return problem;
            }
            problem.member("pending", "true").retry(Retry::After(1))
        }
        Refusal::AdmissionRequired => Slug::AdmissionRequired.into(),
        Refusal::IdempotencyMismatch => Slug::IdempotencyMismatch.into(),
        Refusal::OrderState => Slug::OrderState.into(),
        Refusal::TooManyDropped => {
            Problem::new(Slug::RateLimited, "You gave up too many orders of this sale.")
                .retry(Retry::Jittered(60))
        }
        Refusal::Overloaded => Slug::Overloaded.into(),
        Refusal::Unavailable => Slug::Unavailable.into(),
        Refusal::Stale => Slug::Conflict.into(),
    }
}

/// The member that names a buyer's orders: written at once, since most who come again get it.
fn their_orders(orders: &[OrderId]) -> String {
    let mut out = b",\"orders\":".to_vec();
    text::list(&mut out, orders, |out, order| text::id(out, *order));
    String::from_utf8(out).expect("digits, quotes and commas")
}

/// What a verdict that is no success looks like to a client.
pub fn denied(verdict: &Verdict, now: Timestamp) -> Problem {
    match verdict {
        Verdict::Refused(refusal) => refused(refusal, now),
        Verdict::OutcomeUnknown => Slug::OutcomeUnknown.into(),
        // A command is answered by its own kind of verdict; anything else is a bug.
        Verdict::Placed(_)
        | Verdict::PlacedBefore(_)
        | Verdict::Moved(_)
        | Verdict::PaymentStarted(_)
        | Verdict::PaymentSettled(_)
        | Verdict::ActivityChanged => Slug::Internal.into(),
    }
}

/// Whether a call of the store changes something: a fault then leaves open whether it did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// It only reads.
    Read,
    /// It changes something.
    Write,
}

/// What an error of the store looks like to a client.
pub fn stored(error: &StoreError, effect: Effect) -> Problem {
    let refusal = match error {
        StoreError::Refused(refusal) => *refusal,
        StoreError::Fault(store::Fault::Overloaded) => return Slug::Overloaded.into(),
        StoreError::Fault(store::Fault::Unavailable(_)) if effect == Effect::Write => {
            return Slug::OutcomeUnknown.into();
        }
        StoreError::Fault(_) | StoreError::OutOfStep(_) => return Slug::Unavailable.into(),
    };
    match refusal {
        store::Refusal::Taken => Problem::new(Slug::Conflict, "The name is taken."),
        store::Refusal::Stale { current } => {
            Problem::new(Slug::Conflict, "It has changed since you read it.")
                .member("version", &current.to_string())
        }
        store::Refusal::NotFound => Slug::NotFound.into(),
        store::Refusal::InsufficientStock { remaining } => {
            Problem::new(Slug::InsufficientStock, "The product has fewer units.")
                .member("remaining", &remaining.to_string())
        }
        store::Refusal::State => {
            Problem::new(Slug::Conflict, "It is not in a state that allows this.")
        }
        store::Refusal::Mismatch => Slug::IdempotencyMismatch.into(),
    }
}

#[cfg(test)]
mod tests {
    use seckill_shards::ids::OrderId;

    use super::*;

    fn json(problem: &Problem) -> serde_json::Value {
        let mut out = Vec::new();
        problem.write(&mut out);
        serde_json::from_slice(&out).unwrap()
    }

    /// The table of API.md, with what this code adds to it.
    #[test]
    fn every_slug_has_the_status_of_the_contract() {
        let table = [
            ("invalid-request", 422),
            ("unauthenticated", 401),
            ("forbidden", 403),
            ("cross-origin", 403),
            ("not-found", 404),
            ("not-started", 409),
            ("ended", 409),
            ("paused", 409),
            ("sold-out", 409),
            ("insufficient-stock", 409),
            ("limit-reached", 409),
            ("admission-required", 403),
            ("order-state", 409),
            ("conflict", 409),
            ("precondition-required", 428),
            ("idempotency-mismatch", 422),
            ("rate-limited", 429),
            ("overloaded", 503),
            ("unavailable", 503),
            ("outcome-unknown", 504),
            ("method-not-allowed", 405),
            ("not-acceptable", 406),
            ("unsupported-media-type", 415),
            ("too-large", 413),
            ("head-too-large", 431),
            ("timeout", 408),
            ("internal", 500),
        ];
        assert_eq!(table.len(), Slug::ALL.len());
        for ((word, status), slug) in table.into_iter().zip(Slug::ALL) {
            assert_eq!((slug.word(), slug.status().as_u16()), (word, status));
            let json = json(&Problem::from(*slug));
            assert_eq!(json["type"], format!("urn:seckill:{word}"));
            assert_eq!(json["status"], status);
            assert!(json["title"].as_str().is_some_and(|title| !title.is_empty()));
            assert!(slug.when().ends_with('.') && slug.remedy().ends_with('.'), "{word}");
        }
    }

    #[test]
    fn f11_only_what_was_shed_says_when_to_come_back() {
        for slug in Slug::ALL {
            let retry_after = Problem::from(*slug).retry_after(7);
            let shed = matches!(slug, Slug::Overloaded | Slug::Unavailable | Slug::RateLimited);
            assert_eq!(retry_after.is_some(), shed, "{slug:?}");
        }
        let spread: std::collections::BTreeSet<_> =
            (0..100).map(|random| Problem::from(Slug::Overloaded).retry_after(random)).collect();
        assert!(spread.len() > 1 && !spread.contains(&Some(0)));
    }

    #[test]
    fn refusals_carry_what_the_contract_promises() {
        let now = Timestamp(1_795_737_600_000);
        let json = |refusal| json(&refused(&refusal, now));
        let not_started = json(Refusal::NotStarted { starts_at: now.plus_ms(1) });
        assert_eq!(not_started["starts_at"], "2026-11-27T00:00:00.001Z");
        assert_eq!(not_started["server_time"], "2026-11-27T00:00:00.000Z");
        assert_eq!(json(Refusal::SoldOut { may_return: true })["may_return"], true);
        assert_eq!(json(Refusal::InsufficientStock { remaining: 3 })["remaining"], 3);
        let limit =
            json(Refusal::LimitReached { orders: vec![OrderId(1), OrderId(2)], pending: true });
        assert_eq!(limit["orders"], serde_json::json!(["1", "2"]));
        assert_eq!(limit["pending"], true);
    }

    #[test]
    fn an_unknown_outcome_never_says_that_nothing_happened() {
        let now = Timestamp(0);
        let unknown = denied(&Verdict::OutcomeUnknown, now);
        assert_eq!((unknown.slug, unknown.retry_after(1)), (Slug::OutcomeUnknown, None));
        let away = StoreError::Fault(store::Fault::unavailable("gone"));
        assert_eq!(stored(&away, Effect::Write).slug, Slug::OutcomeUnknown);
        assert_eq!(stored(&away, Effect::Read).slug, Slug::Unavailable);
        assert!(!json(&stored(&away, Effect::Read)).to_string().contains("gone"));
    }

    #[test]
    fn fields_are_named_and_escaped() {
        let json = json(&Problem::fields(vec![
            FieldError { pointer: "/a\"b".to_owned(), detail: "must\nbe".into() },
            FieldError { pointer: "/c".to_owned(), detail: "is unknown".into() },
        ]));
        assert_eq!(json["errors"][0]["pointer"], "/a\"b");
        assert_eq!(json["errors"][0]["detail"], "must\nbe");
        assert_eq!(json["errors"][1]["pointer"], "/c");
        for (problem, closes) in [(Problem::not_json(), false), (Problem::malformed(), true)] {
            assert_eq!((problem.status(), problem.closes()), (StatusCode::BAD_REQUEST, closes));
        }
    }
}
