//! What a request's `Accept-Encoding` and `If-None-Match` ask for, after RFC 9110.
//! It must not know pages: it reads the two header values and nothing else.

/// How much a client wants each encoding, in thousandths; `None` is "not named, nor by `*`".
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) br: Option<u16>,
    pub(crate) gzip: Option<u16>,
    pub(crate) identity: Option<u16>,
}

/// Reads an `Accept-Encoding` value (RFC 9110, 12.5.3). A member whose weight is not one is passed
/// over; of two members with one name the later counts; a name counts before `*`.
pub(crate) fn wanted(accept_encoding: &str) -> Wanted {
    let mut named = Wanted::default();
    let mut any = None;
    for member in accept_encoding.split(',') {
        let Some((coding, weight)) = weighted(member) else { continue };
        match coding.to_ascii_lowercase().as_str() {
            "br" => named.br = Some(weight),
            "gzip" | "x-gzip" => named.gzip = Some(weight),
            "identity" => named.identity = Some(weight),
            "*" => any = Some(weight),
            _ => {}
        }
    }
    Wanted { br: named.br.or(any), gzip: named.gzip.or(any), identity: named.identity.or(any) }
}

/// One member of the list: its coding and its weight, which is 1 where none is given.
fn weighted(member: &str) -> Option<(&str, u16)> {
    let Some((coding, weight)) = member.split_once(';') else {
        return Some((member.trim(), 1_000));
    };
    let (name, value) = weight.trim().split_once('=')?;
    if !name.eq_ignore_ascii_case("q") {
        return None;
    }
    Some((coding.trim(), thousandths(value)?))
}

/// `qvalue` of RFC 9110, 12.4.2: `0` or `1` and at most three digits, never above 1.
fn thousandths(qvalue: &str) -> Option<u16> {
    let (whole, fraction) = qvalue.split_once('.').unwrap_or((qvalue, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match (whole, fraction) {
        ("0", fraction) => Some(fraction),
        ("1", 0) => Some(1_000),
        _ => None,
    }
}

/// Whether an `If-None-Match` value names `etag` (RFC 9110, 13.1.2), so that 304 is the answer:
/// by weak comparison, since a proxy on the way may have weakened the tag. `*` matches all.
/// Reading stops at the first thing that is not an entity tag.
#[must_use]
pub fn matches(if_none_match: &str, etag: &str) -> bool {
    let mut rest = if_none_match.trim();
    if rest == "*" {
        return true;
    }
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        rest = rest.strip_prefix("W/").unwrap_or(rest);
        // A tag may hold commas, so the list is cut at the quotes.
        let Some(length) = rest.strip_prefix('"').and_then(|tag| tag.find('"')) else {
            return false;
        };
        let (tag, after) = rest.split_at(length + 2);
        if tag == etag {
            return true;
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::{Wanted, matches, wanted};

    fn check(accept_encoding: &str, br: Option<u16>, gzip: Option<u16>, identity: Option<u16>) {
        assert_eq!(wanted(accept_encoding), Wanted { br, gzip, identity }, "{accept_encoding:?}");
    }

    #[test]
    fn weights_are_read_as_written() {
        let all = Some(1_000);
        check("", None, None, None);
        check("gzip, deflate, br, zstd", all, all, None);
        check("BR;Q=0.5 , X-GZIP ; q=0.25", Some(500), Some(250), None);
        check("br;q=0", Some(0), None, None);
        check("*", all, all, all);
        check("*;q=0", Some(0), Some(0), Some(0));
        check("br;q=0, *;q=0.1", Some(0), Some(100), Some(100));
        check("identity;q=0", None, None, Some(0));
        check("gzip;q=1.000, br;q=0.001", Some(1), all, None);
        check("gzip;q=0.2, gzip;q=0.7", None, Some(700), None);
        check(",, gzip ,", None, all, None);
    }

    #[test]
    fn a_member_without_a_right_weight_is_passed_over() {
        let members = [
            "br;q=2",
            "br;q=1.001",
            "br;q=0.1234",
            "br;q=",
            "br;q=-0",
            "br;q=x",
            "br;q=.5",
            "br;q",
            "br;level=5",
            "br;q=0.5;q=1",
            "br;q=٠",
        ];
        for member in members {
            check(member, None, None, None);
        }
    }

    #[test]
    fn entity_tags_are_compared_weakly_in_lists() {
        let etag = "\"00ff\"";
        for value in [
            "*",
            " * ",
            "\"00ff\"",
            "W/\"00ff\"",
            "\"x\", \"00ff\"",
            "\"x\",W/\"00ff\"",
            "\"a,b\", \"00ff\"",
            ", ,\"00ff\",",
            "W/\"\",\t\"00ff\"",
        ] {
            assert!(matches(value, etag), "{value:?}");
        }
        for value in [
            "",
            "00ff",
            "\"00FF\"",
            "w/\"00ff\"",
            "\"00ff",
            "\"x\"",
            "\"x, \"00ff",
            "\"00ff-gzip\"",
            "junk, \"00ff\"",
            "*, \"x\"",
        ] {
            assert!(!matches(value, etag), "{value:?}");
        }
    }
}
