//! The functions inside Redis: their names, their version, and how they get there.
//!
//! It must not know what they do.

use redis::{ErrorKind, RedisError, ServerErrorKind, Value, cmd, from_redis_value_ref};

use super::Fault;
use super::topology::Channel;

/// The version of the functions and of the hash that they keep.
pub(super) const VERSION: u64 = 1;
/// The library of this version.
pub(super) const NAME: &str = "seckill_leases_v1";
/// The libraries of all versions, as Redis takes a pattern.
const ALL_VERSIONS: &str = "seckill_leases_v*";
const BEFORE_VERSION: &str = "seckill_leases_v";
/// Its text.
pub(super) const TEXT: &str = include_str!("leases.lua");

/// A function, by its name in Redis.
pub(super) mod function {
    pub(crate) const STATUS: &str = "seckill_leases_v1_status";
    pub(crate) const BEGIN: &str = "seckill_leases_v1_begin";
    pub(crate) const PART: &str = "seckill_leases_v1_part";
    pub(crate) const DECLARE: &str = "seckill_leases_v1_declare";
    pub(crate) const RESUME: &str = "seckill_leases_v1_resume";
    pub(crate) const LEASE: &str = "seckill_leases_v1_lease";
}

/// What is there of the library, on the server that has the least of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Found {
    Nothing,
    Ours,
}

/// Loads the functions where they are missing.
pub(super) async fn ensure(channel: &mut Channel, text: &str) -> Result<(), Fault> {
    if find(channel, text).await? == Found::Ours {
        return Ok(());
    }
    let mut load = cmd("FUNCTION");
    let loaded = channel.everywhere(load.arg("LOAD").arg(text)).await;
    // Where another gateway was faster this fails, and then they must be there.
    match (find(channel, text).await?, loaded) {
        (Found::Nothing, Err(error)) => Err(error.into()),
        _ => Ok(()),
    }
}

async fn find(channel: &mut Channel, text: &str) -> Result<Found, Fault> {
    let mut list = cmd("FUNCTION");
    list.arg("LIST").arg("LIBRARYNAME").arg(ALL_VERSIONS).arg("WITHCODE");
    let mut least = Found::Ours;
    for server in channel.everywhere(&list).await? {
        let libraries: Vec<Vec<Value>> = from_redis_value_ref(&server)?;
        least = least.min(look(&libraries, text)?);
    }
    Ok(least)
}

fn look(libraries: &[Vec<Value>], text: &str) -> Result<Found, Fault> {
    let mut found = Found::Nothing;
    for library in libraries {
        let name = entry(library, "library_name");
        let version = name.strip_prefix(BEFORE_VERSION).and_then(|it| it.parse().ok());
        if let Some(version) = version.filter(|&version| version > VERSION) {
            return Err(Fault::Newer { found: version, ours: VERSION });
        }
        if name == NAME {
            if !same_code(entry(library, "library_code"), text) {
                return Err(Fault::Altered(NAME));
            }
            found = Found::Ours;
        }
    }
    Ok(found)
}

/// A named entry of a library's description; empty where it has none.
fn entry<'a>(library: &'a [Value], name: &str) -> &'a str {
    let text = |value: &'a Value| match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
        Value::SimpleString(text) => text,
        _ => "",
    };
    let mut entries = library.chunks_exact(2);
    entries.find(|entry| text(&entry[0]) == name).map_or("", |entry| text(&entry[1]))
}

/// Comments may be mended without a new version; code may not.
fn same_code(left: &str, right: &str) -> bool {
    fn code(text: &str) -> impl Iterator<Item = &str> {
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("--"))
    }
    code(left).eq(code(right))
}

/// Whether a call failed because the functions are not there: Redis was started without them.
pub(super) fn is_missing(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError)
        && error.detail().is_some_and(|detail| detail.starts_with("Function not found"))
}

/// Whether a server said that it is not the one to be asked: a replica now, not ready to be asked,
/// or a master without the replicas that it must have, as one is from which the others are cut off.
pub(super) fn is_no_master(error: &RedisError) -> bool {
    matches!(error.code(), Some("READONLY" | "LOADING" | "MASTERDOWN" | "NOREPLICAS"))
}

#[cfg(test)]
mod tests {
    use super::super::limits::ORDERS_PER_MESSAGE_MAX;
    use super::*;

    #[test]
    fn names_and_text_agree_on_the_version() {
        assert_eq!(NAME, format!("{BEFORE_VERSION}{VERSION}"));
        assert!(TEXT.starts_with(&format!("#!lua name={NAME}\n")));
        assert!(TEXT.contains(&format!("local VERSION = '{VERSION}'\n")));
        assert!(TEXT.contains(&format!("local ORDERS_MAX = {ORDERS_PER_MESSAGE_MAX}\n")));
    }

    #[test]
    fn words_may_be_mended_and_code_may_not() {
        let text = "#!lua name=a\n-- It does.\nlocal function f()\n  return 1 -- one\nend\n";
        assert!(same_code(text, &text.replace("It does.", "It does so.\n\n")));
        assert!(!same_code(text, &text.replace("return 1", "return 2")));
    }
}
