//! Signatures of calls between gateways and of their answers: HMAC-SHA256 under a key that is made
//! of the secret which all gateways have, and used for nothing else.
//!
//! Each part that is signed goes with its length, so no two calls are one text. It must not know
//! what a call means, nor how it travels.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use seckill_shards::clock::Timestamp;
use seckill_shards::ids::UserId;
use sha2::Sha256;

use crate::store::Roles;

/// What the key is for: another version of these signatures has another key.
const LABEL: &[u8] = b"seckill: calls between gateways, version 1";
/// Bytes of a signature.
pub(super) const SIGNATURE_BYTES: usize = 32;

/// A signature.
pub(super) type Signature = [u8; SIGNATURE_BYTES];

/// The key that gateways sign with. It is never printed.
#[derive(Clone)]
pub(super) struct PeerKey(Hmac<Sha256>);

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerKey(…)")
    }
}

/// Whose request it is, as the gateway vouches that has authenticated it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vouched {
    /// The user.
    pub user: UserId,
    /// What they may do.
    pub roles: Roles,
}

/// From whom a call is to whom, when, and for whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Envelope {
    pub(super) from: u16,
    pub(super) to: u16,
    pub(super) sent_at: Timestamp,
    /// None for a call that nobody has signed in for.
    pub(super) vouched: Option<Vouched>,
}

/// What a call or an answer says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content<'a> {
    /// Method and path of a call, the status of an answer.
    pub(super) line: &'a [&'a str],
    /// Names and values, in the order that both sides have.
    pub(super) headers: &'a [(&'static str, &'a [u8])],
    pub(super) body: &'a [u8],
}

impl PeerKey {
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        let key = expand(secret).chain_update(LABEL).finalize().into_bytes();
        Self(expand(&key))
    }

    pub(super) fn sign(&self, envelope: &Envelope, content: &Content<'_>) -> Signature {
        self.call(envelope, content).finalize().into_bytes().into()
    }

    pub(super) fn verify(
        &self,
        envelope: &Envelope,
        content: &Content<'_>,
        signature: &Signature,
    ) -> bool {
        self.call(envelope, content).verify_slice(signature).is_ok()
    }

    /// The signature of the answer to a call: nobody else's answer, and to no other call.
    pub(super) fn sign_answer(&self, call: &Signature, answer: &Content<'_>) -> Signature {
        self.answer(call, answer).finalize().into_bytes().into()
    }

    pub(super) fn verify_answer(
        &self,
        call: &Signature,
        answer: &Content<'_>,
        signature: &Signature,
    ) -> bool {
        self.answer(call, answer).verify_slice(signature).is_ok()
    }

    fn call(&self, envelope: &Envelope, content: &Content<'_>) -> Hmac<Sha256> {
        let Envelope { from, to, sent_at, vouched } = *envelope;
        let mut mac = self.0.clone();
        part(&mut mac, b"call");
        part(&mut mac, &from.to_le_bytes());
        part(&mut mac, &to.to_le_bytes());
        part(&mut mac, &sent_at.0.to_le_bytes());
        match vouched {
            Some(Vouched { user, roles }) => {
                part(&mut mac, &user.0.to_le_bytes());
                part(&mut mac, &[roles.0]);
            }
            None => part(&mut mac, b""),
        }
        content.sign(&mut mac);
        mac
    }

    fn answer(&self, call: &Signature, answer: &Content<'_>) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        part(&mut mac, b"answer");
        part(&mut mac, call);
        answer.sign(&mut mac);
        mac
    }
}

impl Content<'_> {
    fn sign(&self, mac: &mut Hmac<Sha256>) {
        for word in self.line {
            part(mac, word.as_bytes());
        }
        for (name, value) in self.headers {
            part(mac, name.as_bytes());
            part(mac, value);
        }
        part(mac, self.body);
    }
}

fn part(mac: &mut Hmac<Sha256>, bytes: &[u8]) {
    mac.update(&(bytes.len() as u64).to_le_bytes());
    mac.update(bytes);
}

fn expand(bytes: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(bytes).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS: &[(&str, &[u8])] = &[("content-type", b"a"), ("idempotency-key", b"k")];
    const ENVELOPE: Envelope = Envelope {
        from: 1,
        to: 2,
        sent_at: Timestamp(5),
        vouched: Some(Vouched { user: UserId(7), roles: Roles::SHOPPER }),
    };
    const CONTENT: Content<'_> = Content { line: &["POST", "/a"], headers: HEADERS, body: b"{}" };

    #[test]
    fn a_call_is_what_was_signed_and_nothing_else() {
        let key = PeerKey::new(&[1; 32]);
        let signature = key.sign(&ENVELOPE, &CONTENT);
        assert!(key.verify(&ENVELOPE, &CONTENT, &signature));
        assert!(!PeerKey::new(&[2; 32]).verify(&ENVELOPE, &CONTENT, &signature));
        let vouched = |user, roles| Some(Vouched { user: UserId(user), roles });
        for other in [
            Envelope { from: 3, ..ENVELOPE },
            Envelope { to: 3, ..ENVELOPE },
            Envelope { from: 2, to: 1, ..ENVELOPE },
            Envelope { sent_at: Timestamp(6), ..ENVELOPE },
            Envelope { vouched: vouched(8, Roles::SHOPPER), ..ENVELOPE },
            Envelope { vouched: vouched(7, Roles::ADMIN), ..ENVELOPE },
            Envelope { vouched: None, ..ENVELOPE },
        ] {
            assert!(!key.verify(&other, &CONTENT, &signature), "{other:?}");
        }
        for other in [
            Content { line: &["DELETE", "/a"], ..CONTENT },
            Content { line: &["POST", "/b"], ..CONTENT },
            Content { headers: &HEADERS[..1], ..CONTENT },
            Content { headers: &[HEADERS[0], ("idempotency-key", b"l")], ..CONTENT },
            Content { headers: &[HEADERS[0], ("idempotency-kez", b"k")], ..CONTENT },
            Content { body: b"{ }", ..CONTENT },
            // The same bytes, cut in another place.
            Content { line: &["POST/", "a"], ..CONTENT },
            Content { headers: &[HEADERS[0], ("idempotency-ke", b"yk")], ..CONTENT },
        ] {
            assert!(!key.verify(&ENVELOPE, &other, &signature), "{other:?}");
        }
    }

    #[test]
    fn an_answer_belongs_to_its_call() {
        let key = PeerKey::new(&[1; 32]);
        let call = key.sign(&ENVELOPE, &CONTENT);
        let answer = Content { line: &["204"], headers: &[], body: b"" };
        let signature = key.sign_answer(&call, &answer);
        assert!(key.verify_answer(&call, &answer, &signature));
        assert!(!key.verify_answer(&call, &Content { line: &["200"], ..answer }, &signature));
        let other = key.sign(&Envelope { sent_at: Timestamp(6), ..ENVELOPE }, &CONTENT);
        assert!(!key.verify_answer(&other, &answer, &signature));
        assert!(!PeerKey::new(&[2; 32]).verify_answer(&call, &answer, &signature));
        // A call is no answer, whatever it says.
        assert!(!key.verify_answer(&call, &CONTENT, &call));
    }

    #[test]
    fn the_key_is_never_shown() {
        assert_eq!(format!("{:?}", PeerKey::new(&[7; 32])), "PeerKey(…)");
    }
}
