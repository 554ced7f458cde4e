//! Signatures of webhooks, by the scheme of Standard Webhooks (specification 1.0): HMAC-SHA256 over
//! `id.timestamp.body`, in base64, under keys that are written `whsec_<base64>`.
//!
//! Several keys may be good at once, so that a secret is changed without losing a delivery. It must
//! not know what a webhook says. Replays within the window are harmless, since what they say has
//! happened already.

use std::fmt;

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use seckill_shards::clock::Timestamp;
use sha2::Sha256;

use super::limits::{
    WEBHOOK_AGE_S_MAX, WEBHOOK_ID_BYTES_MAX, WEBHOOK_KEY_BYTES, WEBHOOK_KEYS_MAX,
    WEBHOOK_SIGNATURES_MAX,
};

const KEY_PREFIX: &str = "whsec_";
const VERSION_PREFIX: &str = "v1,";

/// The keys that webhooks may be signed with. They are never printed.
#[derive(Clone)]
pub struct WebhookKeys(Vec<Hmac<Sha256>>);

impl fmt::Debug for WebhookKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookKeys").finish_non_exhaustive()
    }
}

/// What came with a webhook.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// `webhook-id`: the same for every attempt of one delivery.
    pub id: &'a str,
    /// `webhook-timestamp`: seconds since the Unix epoch.
    pub timestamp: &'a str,
    /// `webhook-signature`: one or more, with spaces between.
    pub signatures: &'a str,
    /// The body as it came, to the byte.
    pub body: &'a [u8],
}

impl WebhookKeys {
    /// Keys as they are configured: `whsec_…`, the newest first, with commas or spaces between.
    ///
    /// # Errors
    /// What they must be; nothing of them is repeated.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let words = text.split([',', ' ', '\n']).map(str::trim).filter(|word| !word.is_empty());
        let keys: Option<Vec<_>> = words.map(key).collect();
        match keys {
            Some(keys) if (1..=WEBHOOK_KEYS_MAX).contains(&keys.len()) => Ok(Self(keys)),
            _ => Err("must be one to four keys, each whsec_ and 24 to 64 bytes in base64"),
        }
    }

    /// One key of these bytes.
    #[must_use]
    pub fn of(secret: &[u8; 32]) -> Self {
        Self(vec![expand(secret)])
    }

    /// Whether one of the keys signed it, not long ago.
    #[must_use]
    pub fn verify(&self, signed: &Signed<'_>, now: Timestamp) -> bool {
        let Ok(sent_s) = signed.timestamp.parse::<u64>() else { return false };
        let is_fresh = sent_s.abs_diff(now.0 / 1_000) <= WEBHOOK_AGE_S_MAX;
        if !is_fresh || signed.id.is_empty() || signed.id.len() > WEBHOOK_ID_BYTES_MAX {
            return false;
        }
        let macs = self.0.iter().map(|key| mac(key, signed.id, signed.timestamp, signed.body));
        let macs: Vec<_> = macs.collect();
        signed
            .signatures
            .split(' ')
            .take(WEBHOOK_SIGNATURES_MAX)
            .filter_map(|signature| {
                Base64::decode_vec(signature.strip_prefix(VERSION_PREFIX)?).ok()
            })
            .any(|signature| macs.iter().any(|mac| mac.clone().verify_slice(&signature).is_ok()))
    }

    /// The signature of a webhook by the newest key.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp_s: u64, body: &[u8]) -> String {
        let newest = self.0.first().expect("there is a key");
        let mac = mac(newest, id, &timestamp_s.to_string(), body).finalize().into_bytes();
        format!("{VERSION_PREFIX}{}", Base64::encode_string(&mac))
    }
}

fn key(word: &str) -> Option<Hmac<Sha256>> {
    let bytes = Base64::decode_vec(word.strip_prefix(KEY_PREFIX)?).ok()?;
    WEBHOOK_KEY_BYTES.contains(&bytes.len()).then(|| expand(&bytes))
}

fn expand(bytes: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(bytes).expect("HMAC takes keys of any length")
}

fn mac(key: &Hmac<Sha256>, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = key.clone();
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SENT_S: u64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const NOW: Timestamp = Timestamp(SENT_S * 1_000);

    fn signed<'a>(timestamp: &'a str, signatures: &'a str) -> Signed<'a> {
        Signed { id: ID, timestamp, signatures, body: BODY }
    }

    #[test]
    fn the_example_of_the_specification_holds() {
        let keys = WebhookKeys::parse(SECRET).unwrap();
        assert_eq!(keys.sign(ID, SENT_S, BODY), SIGNATURE);
        assert!(keys.verify(&signed("1614265330", SIGNATURE), NOW));
    }

    #[test]
    fn any_good_signature_by_any_key_is_enough() {
        let newer = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let keys = WebhookKeys::parse(&format!("{newer}, {SECRET}")).unwrap();
        let by_newer = keys.sign(ID, SENT_S, BODY);
        assert_ne!(by_newer, SIGNATURE);
        for signatures in [
            SIGNATURE.to_owned(),
            by_newer.clone(),
            format!("v1,AAAA {SIGNATURE}"),
            format!("v1a,xyz v2,{} {by_newer}", &SIGNATURE[3..]),
        ] {
            assert!(keys.verify(&signed("1614265330", &signatures), NOW), "{signatures}");
        }
        let old = WebhookKeys::parse(SECRET).unwrap();
        assert!(!old.verify(&signed("1614265330", &by_newer), NOW));
    }

    #[test]
    fn a_forged_or_old_one_is_not_good() {
        let keys = WebhookKeys::parse(SECRET).unwrap();
        for signatures in ["", "v1,", "v1", &SIGNATURE[3..], "v2,g0hM9SsE", "v1,!!!!"] {
            assert!(!keys.verify(&signed("1614265330", signatures), NOW), "{signatures}");
        }
        for timestamp in ["", "1614265331", "-1614265330", "1614265330.0", "soon"] {
            assert!(!keys.verify(&signed(timestamp, SIGNATURE), NOW), "{timestamp}");
        }
        let other = Signed { body: b"{}", ..signed("1614265330", SIGNATURE) };
        assert!(!keys.verify(&other, NOW));
        assert!(!keys.verify(&Signed { id: "", ..signed("1614265330", SIGNATURE) }, NOW));
        for (seconds, good) in [(-301_i64, false), (-300, true), (300, true), (301, false)] {
            let now = Timestamp(NOW.0.checked_add_signed(seconds * 1_000).unwrap());
            assert_eq!(keys.verify(&signed("1614265330", SIGNATURE), now), good, "{seconds} s");
        }
    }

    #[test]
    fn keys_are_whole_or_refused_and_never_shown() {
        let long = format!("whsec_{}", Base64::encode_string(&[7; 65]));
        for bad in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_short", &long] {
            assert!(WebhookKeys::parse(bad).is_err(), "{bad}");
        }
        let five = [SECRET; 5].join(" ");
        assert!(WebhookKeys::parse(&five).is_err());
        let shown = format!("{:?}", WebhookKeys::parse(SECRET).unwrap());
        assert_eq!(shown, "WebhookKeys { .. }");
    }
}
