//! Bodies that come in: bounded, JSON by their media type, and strict to the last field.
//!
//! It knows shapes of fields. It must not know resources.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::BodyExt;
use hyper::body::Body;
use seckill_shards::clock::Timestamp;
use serde_json::{Map, Value};

use super::limits::{BODY_BYTES_MAX, PRICE_MAX};
use super::problem::{FieldError, Problem, Slug};
use super::route;
use super::strict::Strict;

/// Reads a body to its end.
///
/// # Errors
/// [`Slug::TooLarge`] by `content-length` before anything is read, or when that much has come;
/// [`Slug::InvalidRequest`] where the body breaks off.
pub(super) async fn read<B: Body<Data = Bytes> + Unpin>(
    headers: &HeaderMap,
    mut body: B,
) -> Result<Bytes, Problem> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let announced = announced.and_then(|digits| digits.parse::<u64>().ok()).unwrap_or(0);
    if announced > BODY_BYTES_MAX as u64 {
        return Err(Slug::TooLarge.into());
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::new(Slug::InvalidRequest, "The body broke off."))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + rest.len() + data.len() > BODY_BYTES_MAX {
            return Err(Slug::TooLarge.into());
        }
        match first.is_empty() {
            true => first = data,
            false => rest.extend_from_slice(&data),
        }
        if body.is_end_stream() {
            break;
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    Ok([first.as_ref(), rest.as_ref()].concat().into())
}

/// # Errors
/// [`Slug::UnsupportedMediaType`] unless the body is JSON by its media type.
pub(super) fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if value == "application/json" {
        return Ok(());
    }
    let (media_type, parameter) = value.split_once(';').unwrap_or((value, ""));
    let parameter = parameter.trim().to_ascii_lowercase();
    let is_utf8 = ["", "charset=utf-8", "charset=\"utf-8\""].contains(&parameter.as_str());
    if media_type.trim().eq_ignore_ascii_case("application/json") && is_utf8 {
        return Ok(());
    }
    Err(Problem::new(Slug::UnsupportedMediaType, "Send application/json."))
}

/// # Errors
/// [`Slug::NotAcceptable`] where the client says that it takes no JSON.
pub(super) fn accept_json(headers: &HeaderMap) -> Result<(), Problem> {
    let mut lines = headers.get_all(ACCEPT).iter().peekable();
    if lines.peek().is_none() {
        return Ok(());
    }
    let takes = |range: &str| {
        let (media, parameters) = range.split_once(';').unwrap_or((range, ""));
        let refused = parameters.split(';').any(|parameter| {
            let (name, weight) = parameter.split_once('=').unwrap_or((parameter, "1"));
            name.trim().eq_ignore_ascii_case("q")
                && weight.trim().trim_end_matches(['0', '.']).is_empty()
        });
        let media = media.trim();
        !refused
            && ["*/*", "application/json", "application/*"]
                .iter()
                .any(|json| media.eq_ignore_ascii_case(json))
    };
    let any = lines.any(|line| line.to_str().is_ok_and(|line| line.split(',').any(takes)));
    if any {
        Ok(())
    } else {
        Err(Problem::new(Slug::NotAcceptable, "This speaks application/json."))
    }
}

/// The fields of an object, taken one by one; what is wrong with them is told together.
#[derive(Debug)]
pub(super) struct Fields {
    parent: String,
    fields: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// The fields of a body.
    ///
    /// # Errors
    /// [`Slug::InvalidRequest`], with status 400 where it is not JSON at all.
    pub(super) fn of(body: &[u8]) -> Result<Self, Problem> {
        match serde_json::from_slice(body) {
            Ok(Strict(Value::Object(fields))) => {
                Ok(Self { parent: String::new(), fields, errors: Vec::new() })
            }
            Ok(_) => Err(Problem::field("", "must be an object")),
            // JSON all the same, but not one that everybody reads alike.
            Err(error) if error.is_data() => Err(Problem::field("", "a name comes twice")),
            Err(_) => Err(Problem::not_json()),
        }
    }

    /// Says what is wrong with a field.
    pub(super) fn reject(&mut self, name: &str, detail: impl Into<Cow<'static, str>>) {
        let pointer = format!("{}/{}", self.parent, name.replace('~', "~0").replace('/', "~1"));
        self.errors.push(FieldError { pointer, detail: detail.into() });
    }

    /// The value of an optional field, as read by `read`; `shape` says what it must be.
    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        shape: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.fields.remove(name)?;
        let read = read(&value);
        if read.is_none() {
            self.reject(name, format!("must be {shape}"));
        }
        read
    }

    /// A field that must be there; until [`finish`](Self::finish) a missing one has its default.
    pub(super) fn required<T: Default>(
        &mut self,
        name: &str,
        field: fn(&mut Self, &str) -> Option<T>,
    ) -> T {
        self.required_by(name, |fields| field(fields, name))
    }

    /// The same, for a field whose bounds the caller gives.
    pub(super) fn required_by<T: Default>(
        &mut self,
        name: &str,
        field: impl FnOnce(&mut Self) -> Option<T>,
    ) -> T {
        if !self.fields.contains_key(name) {
            self.reject(name, "is missing");
            return T::default();
        }
        field(self).unwrap_or_default()
    }

    /// Text of so many bytes, without control characters other than line breaks.
    pub(super) fn text(&mut self, name: &str, bytes: RangeInclusive<usize>) -> Option<String> {
        let shape = format!("text of {} to {} bytes", bytes.start(), bytes.end());
        self.optional(name, &shape, |value| {
            let text = value.as_str()?;
            let clean = !text.chars().any(|char| char.is_control() && char != '\n');
            (clean && bytes.contains(&text.len())).then(|| text.to_owned())
        })
    }

    /// Text of so many characters, whatever they are.
    pub(super) fn secret(&mut self, name: &str, chars: RangeInclusive<usize>) -> Option<String> {
        let shape = format!("text of {} to {} characters", chars.start(), chars.end());
        self.optional(name, &shape, |value| {
            let text = value.as_str()?;
            chars.contains(&text.chars().count()).then(|| text.to_owned())
        })
    }

    /// A whole number in a range.
    pub(super) fn number(&mut self, name: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let shape = format!("a whole number from {} to {}", range.start(), range.end());
        self.optional(name, &shape, |value| value.as_i64().filter(|number| range.contains(number)))
    }

    /// A whole number in a range that 32 bits hold.
    pub(super) fn count(&mut self, name: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let range = i64::from(*range.start())..=i64::from(*range.end());
        self.number(name, range).and_then(|number| u32::try_from(number).ok())
    }

    /// An id: a decimal string.
    pub(super) fn id<T: From<u64>>(&mut self, name: &str) -> Option<T> {
        self.optional(name, "an id: a decimal string", |value| route::id(value.as_str()?))
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        self.optional(name, "true or false", Value::as_bool)
    }

    /// An instant in RFC 3339, to the millisecond.
    pub(super) fn instant(&mut self, name: &str) -> Option<Timestamp> {
        self.optional(name, "an instant in RFC 3339", |value| {
            let instant: jiff::Timestamp = value.as_str()?.parse().ok()?;
            u64::try_from(instant.as_millisecond()).ok().map(Timestamp)
        })
    }

    /// Money: an amount in minor units and an ISO 4217 code.
    pub(super) fn money(&mut self, name: &str) -> Option<Money> {
        let value = self.fields.remove(name)?;
        let Value::Object(fields) = value else {
            self.reject(name, "must be {\"amount\", \"currency\"}");
            return None;
        };
        let parent = format!("{}/{name}", self.parent);
        let mut inner = Self { parent, fields, errors: Vec::new() };
        let amount = inner.required_by("amount", |fields| fields.number("amount", 0..=PRICE_MAX));
        let currency = inner.required_by("currency", |fields| {
            fields.optional("currency", "three upper-case letters", |value| {
                let code: [u8; 3] = value.as_str()?.as_bytes().try_into().ok()?;
                code.iter().all(u8::is_ascii_uppercase).then_some(code)
            })
        });
        inner.reject_unknown();
        let valid = inner.errors.is_empty();
        self.errors.append(&mut inner.errors);
        valid.then_some(Money { amount, currency })
    }

    /// # Errors
    /// [`Slug::InvalidRequest`] with every field that is missing, unknown or out of range.
    pub(super) fn finish(mut self) -> Result<(), Problem> {
        self.reject_unknown();
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::fields(self.errors)) }
    }

    fn reject_unknown(&mut self) {
        let unknown: Vec<String> = self.fields.keys().take(10).cloned().collect();
        for name in unknown {
            self.reject(&name, "is unknown");
        }
    }
}

/// An amount of money.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Money {
    /// Minor units.
    pub amount: i64,
    /// ISO 4217 code.
    pub currency: [u8; 3],
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http_body_util::Full;

    use super::*;

    fn errors(problem: &Problem) -> Vec<(String, String)> {
        let mut out = Vec::new();
        problem.write(&mut out);
        let json: Value = serde_json::from_slice(&out).unwrap();
        let text = |error: &Value, name: &str| error[name].as_str().unwrap().to_owned();
        let errors = json["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| (text(error, "pointer"), text(error, "detail"))).collect()
    }

    #[test]
    fn what_is_not_json_is_400_and_what_is_not_an_object_422() {
        for body in ["", "{", "{\"a\":1,}", "nope", "{} {}", "\u{feff}{}"] {
            assert_eq!(Fields::of(body.as_bytes()).unwrap_err().status(), 400, "{body}");
        }
        assert_eq!(Fields::of(b"{\"a\":\"\xff\"}").unwrap_err().status(), 400);
        for body in ["1", "null", "[]", "\"a\""] {
            assert_eq!(Fields::of(body.as_bytes()).unwrap_err().status(), 422, "{body}");
        }
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let body =
            br#"{"title": 7, "quantity": 0, "price": {"amount": -1, "unit": "x"}, "a/b": 1}"#;
        let mut fields = Fields::of(body).unwrap();
        fields.required_by("title", |fields| fields.text("title", 1..=10));
        fields.count("quantity", 1..=5);
        fields.required("price", Fields::money);
        fields.required::<u64>("product_id", Fields::id);
        let pointers: Vec<_> =
            errors(&fields.finish().unwrap_err()).into_iter().map(|(pointer, _)| pointer).collect();
        assert_eq!(
            pointers,
            [
                "/title",
                "/quantity",
                "/price/amount",
                "/price/currency",
                "/price/unit",
                "/product_id",
                "/a~1b"
            ]
        );
    }

    #[test]
    fn numbers_ids_and_instants_are_exact() {
        let read = |body: &str| {
            let mut fields = Fields::of(body.as_bytes()).unwrap();
            let count = fields.count("n", 1..=10);
            let id = fields.id::<u64>("id");
            let at = fields.instant("at").map(|at| at.0);
            (count, id, at, fields.finish().is_ok())
        };
        let good =
            r#"{"n": 10, "id": "18446744073709551615", "at": "2026-11-27T01:00:00.0019+01:00"}"#;
        assert_eq!(read(good), (Some(10), Some(u64::MAX), Some(1_795_737_600_001), true));
        for bad in [
            r#"{"n": 1.5}"#,
            r#"{"n": "1"}"#,
            r#"{"n": 11}"#,
            r#"{"n": null}"#,
            r#"{"n": 1e0}"#,
            r#"{"id": 7}"#,
            r#"{"id": "07"}"#,
            r#"{"id": "-7"}"#,
            r#"{"at": 1795737600001}"#,
            r#"{"at": "2026-11-27"}"#,
            r#"{"at": "1969-12-31T23:59:59Z"}"#,
        ] {
            let (count, id, at, valid) = read(bad);
            assert_eq!((count, id, at, valid), (None, None, None, false), "{bad}");
        }
    }

    #[test]
    fn text_has_no_control_characters() {
        for (text, valid) in [("a\nb", true), ("a\u{0}b", false), ("\u{1b}[2J", false), ("", false)]
        {
            let body = serde_json::json!({ "t": text }).to_string();
            let mut fields = Fields::of(body.as_bytes()).unwrap();
            assert_eq!(fields.text("t", 1..=10).is_some(), valid, "{text:?}");
        }
    }

    fn with(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_static(value))])
    }

    #[test]
    fn only_json_is_taken() {
        for good in ["application/json", "Application/JSON; charset=UTF-8", "application/json;"] {
            assert!(expect_json(&with("content-type", good)).is_ok(), "{good}");
        }
        for bad in ["text/json", "application/json; charset=latin1", "application/jsonp", ""] {
            assert!(expect_json(&with("content-type", bad)).is_err(), "{bad}");
        }
        assert!(expect_json(&HeaderMap::new()).is_err());
    }

    #[test]
    fn only_json_is_given() {
        assert!(accept_json(&HeaderMap::new()).is_ok());
        for good in ["*/*", "text/html, application/json;q=0.1", "application/*", "a/b,*/*;q=0.5"] {
            assert!(accept_json(&with("accept", good)).is_ok(), "{good}");
        }
        for bad in ["text/html", "application/json;q=0", "*/*; q=0.0", "image/*", ""] {
            assert!(accept_json(&with("accept", bad)).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn bodies_are_bounded() {
        let body = |bytes: usize| Full::new(Bytes::from(vec![b' '; bytes]));
        let none = HeaderMap::new();
        assert_eq!(read(&none, body(BODY_BYTES_MAX)).await.unwrap().len(), BODY_BYTES_MAX);
        assert_eq!(read(&none, body(BODY_BYTES_MAX + 1)).await.unwrap_err().slug, Slug::TooLarge);
        let announced = with("content-length", "65537");
        assert_eq!(read(&announced, body(1)).await.unwrap_err().slug, Slug::TooLarge);
        assert!(read(&none, body(0)).await.unwrap().is_empty());
    }
}
