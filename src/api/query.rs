//! What stands behind the question mark, and how lists are cut into pages.
//!
//! It must not know what is listed.

use std::borrow::Cow;

use super::limits::{LIST_ITEMS, LIST_ITEMS_MAX};
use super::problem::Problem;
use super::text;

/// The parameters of a request; unknown ones are passed over, since links collect them.
#[derive(Debug)]
pub(super) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// The parameters of a URL.
    pub(super) fn of(query: Option<&'a str>) -> Result<Self, Problem> {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &'a str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(name)?, decoded(value)?))
        };
        let pairs: Option<Vec<_>> = pairs.map(pair).collect();
        pairs.map(Self).ok_or_else(|| Problem::field("", "the query is not percent-encoded UTF-8"))
    }

    /// The last value of a name; an empty one counts as absent.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_ref()).filter(|value| !value.is_empty())
    }

    /// The value of a name as `read` reads it; `shape` says what it must be.
    pub(super) fn read<T>(
        &self,
        name: &str,
        shape: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.value(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| Problem::field(format!("/{name}"), shape))
    }

    /// How many items are wanted.
    pub(super) fn limit(&self) -> Result<u32, Problem> {
        let limit = self.read("limit", "must be a whole number from 1 to 100", |value| {
            value.parse().ok().filter(|limit| (1..=LIST_ITEMS_MAX).contains(limit))
        })?;
        Ok(limit.unwrap_or(LIST_ITEMS))
    }
}

/// Percent-decoding, where a plus is a space.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(text.into());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Writes a page of a list.
pub(super) fn page<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    next_cursor: Option<&str>,
    item: impl FnMut(&mut Vec<u8>, T),
) {
    text::raw(out, "{\"items\":");
    text::list(out, items, item);
    text::raw(out, ",\"next_cursor\":");
    match next_cursor {
        Some(cursor) => text::string(out, cursor),
        None => text::raw(out, "null"),
    }
    out.push(b'}');
}

/// Cuts what was read to `limit`, where one more was asked for to see whether there is more; the
/// cursor is that of the last item kept.
pub(super) fn cut<T>(
    items: &mut Vec<T>,
    limit: u32,
    cursor: impl FnOnce(&T) -> String,
) -> Option<String> {
    let limit = limit as usize;
    if items.len() <= limit {
        return None;
    }
    items.truncate(limit);
    items.last().map(cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::of(Some("q=a+b%2Bc%C3%A9&limit=5&empty=&q2&limit=7")).unwrap();
        assert_eq!(query.value("q"), Some("a b+cé"));
        assert_eq!(
            (query.value("empty"), query.value("q2"), query.value("none")),
            (None, None, None)
        );
        assert_eq!(query.limit().unwrap(), 7);
        for bad in ["a=%", "a=%4", "a=%zz", "a=%ff", "%=1"] {
            assert!(Query::of(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_are_bounded() {
        assert_eq!(Query::of(None).unwrap().limit().unwrap(), 20);
        for bad in ["0", "101", "-1", "x", "99999999999"] {
            assert!(Query::of(Some(&format!("limit={bad}"))).unwrap().limit().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_list_says_where_it_goes_on() {
        let mut items = vec![1_u64, 2, 3];
        assert_eq!(cut(&mut items, 3, u64::to_string), None);
        let cursor = cut(&mut items, 2, u64::to_string);
        let mut out = Vec::new();
        page(&mut out, items, cursor.as_deref(), text::number);
        assert_eq!(out, b"{\"items\":[1,2],\"next_cursor\":\"2\"}");
    }
}
