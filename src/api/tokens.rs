//! Bearer tokens: made at sign-in, checked without asking anyone.
//!
//! `<uid>.<base64url(version | key id | issued | expires | roles | session | mac)>`: HMAC-SHA256 over
//! the user id and everything before it, cut to 16 bytes. The user id stands in clear so that a
//! load balancer can hash it. This file must not know HTTP, nor which tokens were taken back.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use seckill_shards::clock::Timestamp;
use seckill_shards::ids::UserId;
use sha2::Sha256;

use super::route;
use crate::store::Roles;

/// How long a token works, in seconds (12 h).
pub const LIFETIME_S: u32 = 12 * 3_600;

const VERSION: u8 = 1;
const SESSION_BYTES: usize = 8;
const MAC_BYTES: usize = 16;
const CLAIMS_BYTES: usize = 1 + 1 + 4 + 4 + 1 + SESSION_BYTES;
const SEALED_BYTES: usize = CLAIMS_BYTES + MAC_BYTES;
/// Characters of `SEALED_BYTES` in base64 without padding.
const SEALED_CHARS: usize = (SEALED_BYTES * 4).div_ceil(3);

/// A secret that tokens are signed with.
pub type Secret = [u8; 32];

/// Names one sign-in.
pub type SessionId = [u8; SESSION_BYTES];

/// What a token says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claims {
    /// Whose it is.
    pub user: UserId,
    /// What they might do when it was issued.
    pub roles: Roles,
    /// The sign-in it was issued at.
    pub session: SessionId,
    /// When it was issued, in seconds since the Unix epoch.
    pub issued_s: u32,
    /// The first second in which it works no more.
    pub expires_s: u32,
}

impl Claims {
    /// Claims of a sign-in at `issued_s`.
    #[must_use]
    pub fn new(user: UserId, roles: Roles, session: SessionId, issued_s: u32) -> Self {
        let expires_s = issued_s.saturating_add(LIFETIME_S);
        Self { user, roles, session, issued_s, expires_s }
    }
}

/// Whole seconds of an instant, as tokens count them: good until 2106.
#[must_use]
pub fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.0 / 1_000).unwrap_or(u32::MAX)
}

/// Signs and checks tokens. Its keys are expanded once; they are never printed.
#[derive(Clone)]
pub struct Tokens {
    /// The key that signs, then the one before it, which only checks.
    keys: Vec<(u8, Hmac<Sha256>)>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// Signs with `current`; checks with `previous` as well, so that a secret can be changed
    /// without signing everyone out.
    #[must_use]
    pub fn new(current: &Secret, previous: Option<&Secret>) -> Self {
        let keys = std::iter::once(current).chain(previous).map(expand).collect();
        Self { keys }
    }

    /// A token that says `claims`.
    #[must_use]
    pub fn issue(&self, claims: &Claims) -> String {
        let (key_id, key) = self.keys.first().expect("there is a current key");
        let mut sealed = [0; SEALED_BYTES];
        let (body, mac) = sealed.split_at_mut(CLAIMS_BYTES);
        body[0] = VERSION;
        body[1] = *key_id;
        body[2..6].copy_from_slice(&claims.issued_s.to_le_bytes());
        body[6..10].copy_from_slice(&claims.expires_s.to_le_bytes());
        body[10] = claims.roles.0;
        body[11..].copy_from_slice(&claims.session);
        mac.copy_from_slice(&seal(key, claims.user, body)[..MAC_BYTES]);
        let mut token = format!("{}.", claims.user);
        encode(&sealed, &mut token);
        token
    }

    /// What a token says; none when it is forged, mangled, or not for `now_s`.
    #[must_use]
    pub fn check(&self, token: &str, now_s: u32) -> Option<Claims> {
        let (user, sealed) = token.split_once('.')?;
        let user: UserId = route::id(user)?;
        let sealed = decode(sealed.as_bytes())?;
        let (body, mac) = sealed.split_at(CLAIMS_BYTES);
        let (_, key) = self.keys.iter().find(|(key_id, _)| *key_id == body[1])?;
        let mut expected = key.clone();
        expected.update(&user.0.to_le_bytes());
        expected.update(body);
        expected.verify_truncated_left(mac).ok()?;
        let claims = Claims {
            user,
            issued_s: u32::from_le_bytes([body[2], body[3], body[4], body[5]]),
            expires_s: u32::from_le_bytes([body[6], body[7], body[8], body[9]]),
            roles: Roles(body[10]),
            session: body[11..].try_into().expect("the rest of the claims"),
        };
        (body[0] == VERSION && now_s < claims.expires_s).then_some(claims)
    }
}

/// A key with its number, which is drawn from the key so that every gateway counts alike.
fn expand(secret: &Secret) -> (u8, Hmac<Sha256>) {
    let key_id = blake3::derive_key("seckill token key id v1", secret)[0];
    (key_id, Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
}

fn seal(key: &Hmac<Sha256>, user: UserId, body: &[u8]) -> [u8; 32] {
    let mut mac = key.clone();
    mac.update(&user.0.to_le_bytes());
    mac.update(body);
    mac.finalize().into_bytes().into()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The value of each character of the alphabet; 64 and more for what is not in it.
const VALUES: [u8; 256] = {
    let mut values = [255; 256];
    let mut value: u8 = 0;
    while value < 64 {
        values[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    values
};

/// Base64 for URLs (RFC 4648, 5), without padding.
pub(super) fn encode(bytes: &[u8], out: &mut String) {
    for chunk in bytes.chunks(3) {
        let [first, second, third] =
            [0, 1, 2].map(|index| u32::from(chunk.get(index).copied().unwrap_or(0)));
        let group = first << 16 | second << 8 | third;
        for index in 0..=chunk.len() {
            let value = group >> (18 - 6 * index) & 63;
            out.push(ALPHABET[value as usize].into());
        }
    }
}

/// The inverse of [`encode`] for a sealed token; none unless every bit is where it belongs, so a
/// token has one spelling.
fn decode(chars: &[u8]) -> Option<[u8; SEALED_BYTES]> {
    if chars.len() != SEALED_CHARS {
        return None;
    }
    let mut sealed = [0; SEALED_BYTES];
    let (mut bits, mut held, mut length) = (0_u32, 0, 0);
    for char in chars {
        let value = VALUES[usize::from(*char)];
        if value > 63 {
            return None;
        }
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            let [byte, ..] = (bits >> held).to_le_bytes();
            sealed[length] = byte;
            length += 1;
        }
    }
    let spilled = bits & ((1 << held) - 1);
    (spilled == 0).then_some(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u32 = 1_795_737_600;

    fn claims() -> Claims {
        Claims::new(UserId(42), Roles::SHOPPER, [1, 2, 3, 4, 5, 6, 7, 8], NOW_S)
    }

    fn tokens() -> Tokens {
        Tokens::new(&[7; 32], None)
    }

    #[test]
    fn a_token_says_what_was_put_in() {
        let token = tokens().issue(&claims());
        assert!(token.starts_with("42."));
        assert_eq!(token.len(), "42.".len() + SEALED_CHARS);
        assert_eq!(tokens().check(&token, NOW_S), Some(claims()));
        for user in [0, 1, u64::MAX] {
            let claims = Claims { user: UserId(user), ..claims() };
            assert_eq!(tokens().check(&tokens().issue(&claims), NOW_S), Some(claims));
        }
    }

    #[test]
    fn it_works_until_it_expires() {
        let token = tokens().issue(&claims());
        assert!(tokens().check(&token, NOW_S + LIFETIME_S - 1).is_some());
        assert!(tokens().check(&token, NOW_S + LIFETIME_S).is_none());
    }

    /// Every single-character change of a token must break it, trailing bits included.
    #[test]
    fn no_other_spelling_works() {
        let token = tokens().issue(&claims());
        for index in 0..token.len() {
            for char in (0..=127_u8).map(char::from) {
                let mut other = token.clone();
                other.replace_range(index..=index, &char.to_string());
                let valid = tokens().check(&other, NOW_S).is_some();
                assert_eq!(valid, other == token, "{other}");
            }
        }
        for length in 0..token.len() {
            assert!(tokens().check(&token[..length], NOW_S).is_none());
        }
        for other in [
            format!("{token}A"),
            format!("{token}="),
            format!("0{token}"),
            format!(" {token}"),
            format!("+{token}"),
        ] {
            assert!(tokens().check(&other, NOW_S).is_none(), "{other}");
        }
    }

    #[test]
    fn another_key_does_not_open_it() {
        let token = tokens().issue(&claims());
        assert!(Tokens::new(&[8; 32], None).check(&token, NOW_S).is_none());
        assert!(Tokens::new(&[8; 32], Some(&[7; 32])).check(&token, NOW_S).is_some());
        let newer = Tokens::new(&[8; 32], Some(&[7; 32])).issue(&claims());
        assert!(tokens().check(&newer, NOW_S).is_none());
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        for (bytes, expected) in
            [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            let mut out = String::new();
            encode(bytes.as_bytes(), &mut out);
            assert_eq!(out, expected);
        }
        let mut out = String::new();
        encode(&[0xfb, 0xff], &mut out);
        assert_eq!(out, "-_8");
    }
}
