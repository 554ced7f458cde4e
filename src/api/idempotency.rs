//! Idempotency keys: read from a header, kept as digests.
//!
//! It must not know who remembers them.

use http::{HeaderMap, HeaderName, Method};
use seckill_shards::ids::UserId;
use seckill_shards::record::Digest;

use super::Call;
use super::limits::IDEMPOTENCY_KEY_BYTES_MAX;
use super::problem::Problem;
use crate::store::Once;

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The digest of a request's key, within this user's keys.
pub(super) fn key(headers: &HeaderMap, user: UserId) -> Result<Option<Digest>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    of_user(value.as_bytes(), user).map(Some).ok_or_else(|| {
        let detail = "Idempotency-Key must be 1 to 255 visible ASCII characters";
        Problem::field("", detail)
    })
}

/// The digest of a key within this user's keys; none where it is not a key.
pub(super) fn of_user(value: &[u8], user: UserId) -> Option<Digest> {
    let valid = (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&value.len())
        && value.iter().all(u8::is_ascii_graphic);
    if !valid {
        return None;
    }
    // One buffer and one call: a hasher of its own would cost more than the hash.
    let mut scoped = [0; 8 + IDEMPOTENCY_KEY_BYTES_MAX];
    scoped[..8].copy_from_slice(&user.0.to_le_bytes());
    scoped[8..8 + value.len()].copy_from_slice(value);
    Some(digest(&scoped[..8 + value.len()]))
}

/// The first 128 bits of BLAKE3.
pub(super) fn digest(bytes: &[u8]) -> Digest {
    *blake3::hash(bytes).as_bytes().first_chunk().expect("a hash has 32 bytes")
}

/// What makes a call of the store happen once, where the request brought a key.
pub(super) fn once(call: &Call<'_>, user: UserId, body: &[u8]) -> Result<Option<Once>, Problem> {
    let key = key(&call.head.headers, user)?;
    let (method, path): (&Method, _) = (&call.head.method, call.head.uri.path());
    let request = [method.as_str().as_bytes(), b" ", path.as_bytes(), b"\n", body].concat();
    let at = call.context.shared.now();
    Ok(key.map(|key| Once { user, key, body: digest(&request), at }))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(value: &str, user: u64) -> Result<Option<Digest>, Problem> {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        key(&HeaderMap::from_iter([("idempotency-key".parse().unwrap(), value)]), UserId(user))
    }

    #[test]
    fn a_key_is_its_users_own() {
        assert_eq!(key(&HeaderMap::new(), UserId(1)).unwrap(), None);
        assert_eq!(of("a", 1).unwrap(), of("a", 1).unwrap());
        assert_ne!(of("a", 1).unwrap(), of("a", 2).unwrap());
        assert_ne!(of("a", 1).unwrap(), of("b", 1).unwrap());
    }

    #[test]
    fn a_key_is_short_and_visible() {
        assert!(of(&"x".repeat(255), 1).is_ok());
        for bad in ["", &"x".repeat(256), "a b", "a\tb", "é"] {
            assert!(of(bad, 1).is_err(), "{bad:?}");
        }
    }
}
