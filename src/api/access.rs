//! Which tokens work no more although they have not expired: looked at on every request, so it is
//! in memory, and a look costs next to nothing while nothing was taken back.
//!
//! It must not know the store: the control side feeds it what other gateways took back.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use seckill_shards::clock::Timestamp;
use seckill_shards::ids::UserId;

use super::limits::REVOCATIONS_MAX;
use super::tokens::{Claims, LIFETIME_S, SessionId};
use crate::store::Revoked;

const STRIPES: usize = 16;

/// What was taken back, on this gateway or another.
#[derive(Debug, Default)]
pub struct Access {
    /// Whether anything ever was; false lets every check pass without a lock.
    has_any: AtomicBool,
    sessions: [RwLock<Stripe<SessionId>>; STRIPES],
    users: [RwLock<Stripe<UserId>>; STRIPES],
}

impl Access {
    /// Nothing taken back.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a token with these claims still works.
    #[must_use]
    pub fn allows(&self, claims: &Claims) -> bool {
        // Relaxed: who has just been told of a revocation is told by a lock on the way.
        !self.has_any.load(Ordering::Relaxed)
            || claims.issued_s >= self.valid_from_s(claims.user, claims.session)
    }

    /// The first second of which a token of this user with this session works.
    #[must_use]
    pub fn valid_from_s(&self, user: UserId, session: SessionId) -> u32 {
        let of_session = read(&self.sessions[session_stripe(&session)]).valid_from_s(session);
        self.user_valid_from_s(user).max(of_session)
    }

    /// The same as far as it is the user's.
    #[must_use]
    pub fn user_valid_from_s(&self, user: UserId) -> u32 {
        read(&self.users[user_stripe(user)]).valid_from_s(user)
    }

    /// Takes one token back, until it has expired by itself.
    pub fn revoke_session(&self, session: SessionId, until_s: u32, now_s: u32) {
        let issued_s = until_s.saturating_sub(LIFETIME_S);
        let taken = TakenBack { valid_from_s: issued_s.saturating_add(1), until_s };
        write(&self.sessions[session_stripe(&session)]).add(session, taken, now_s);
        self.has_any.store(true, Ordering::Relaxed);
    }

    /// Takes back every token of a user that was issued before a second.
    pub fn revoke_user(&self, user: UserId, valid_from_s: u32, until_s: u32, now_s: u32) {
        let taken = TakenBack { valid_from_s, until_s };
        write(&self.users[user_stripe(user)]).add(user, taken, now_s);
        self.has_any.store(true, Ordering::Relaxed);
    }

    /// Takes back what the store or another gateway says was taken back.
    pub fn apply(&self, revoked: Revoked, until: Timestamp, now_s: u32) {
        let until_s = super::tokens::seconds(until);
        if until_s <= now_s {
            return;
        }
        match revoked {
            Revoked::Token(digest) => {
                let (session, _) = digest.split_first_chunk().expect("a digest is longer");
                self.revoke_session(*session, until_s, now_s);
            }
            Revoked::User { user, valid_from } => {
                // Tokens count seconds: one issued in the second of a sign-out is refused.
                let valid_from_s = super::tokens::seconds(valid_from.plus_ms(999));
                self.revoke_user(user, valid_from_s, until_s, now_s);
            }
        }
    }
}

/// A part of what was taken back, under a lock of its own.
#[derive(Debug)]
struct Stripe<K> {
    taken: HashMap<K, TakenBack>,
    /// What was issued before this second works no more, whosever it is.
    valid_from_s: u32,
}

impl<K> Default for Stripe<K> {
    fn default() -> Self {
        Self { taken: HashMap::new(), valid_from_s: 0 }
    }
}

#[derive(Clone, Copy, Debug)]
struct TakenBack {
    /// Tokens issued in this second or later work.
    valid_from_s: u32,
    /// The second in which the last of the others has expired.
    until_s: u32,
}

impl<K: Eq + Hash> Stripe<K> {
    fn valid_from_s(&self, whose: K) -> u32 {
        let own = self.taken.get(&whose).map_or(0, |taken| taken.valid_from_s);
        own.max(self.valid_from_s)
    }

    fn add(&mut self, whose: K, taken: TakenBack, now_s: u32) {
        self.make_room(now_s);
        let known = self.taken.entry(whose).or_insert(taken);
        known.valid_from_s = known.valid_from_s.max(taken.valid_from_s);
        known.until_s = known.until_s.max(taken.until_s);
    }

    /// With more taken back than there is room for, some sign in again who would not have to: what
    /// was taken back must not work again.
    fn make_room(&mut self, now_s: u32) {
        const MOST: usize = REVOCATIONS_MAX / STRIPES;
        if self.taken.len() < MOST {
            return;
        }
        self.taken.retain(|_, taken| taken.until_s > now_s);
        // Half of it, or the next would look through all again.
        if self.taken.len() > MOST / 2 {
            let all = self.taken.drain().map(|(_, taken)| taken.valid_from_s);
            self.valid_from_s = all.fold(self.valid_from_s, u32::max);
        }
    }
}

fn session_stripe(session: &SessionId) -> usize {
    usize::from(session[0]) % STRIPES
}

fn user_stripe(user: UserId) -> usize {
    usize::from(user.0.to_le_bytes()[0]) % STRIPES
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    // A map is whole between two calls of it, so a panic elsewhere has not broken it.
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Roles;

    fn claims(user: u64, session: u8, issued_s: u32) -> Claims {
        Claims::new(UserId(user), Roles::SHOPPER, [session; 8], issued_s)
    }

    #[test]
    fn one_session_ends_and_the_others_go_on() {
        let access = Access::new();
        assert!(access.allows(&claims(1, 1, 100)));
        access.revoke_session([1; 8], claims(1, 1, 100).expires_s, 100);
        assert!(!access.allows(&claims(1, 1, 100)));
        assert!(access.allows(&claims(1, 2, 100)));
    }

    #[test]
    fn all_earlier_tokens_of_a_user_end() {
        let access = Access::new();
        access.revoke_user(UserId(1), 101, 200, 100);
        access.revoke_user(UserId(1), 50, 200, 100);
        assert!(!access.allows(&claims(1, 1, 100)));
        assert!(access.allows(&claims(1, 1, 101)));
        assert!(access.allows(&claims(17, 1, 100)), "a neighbour in the same stripe");
        assert_eq!(access.valid_from_s(UserId(1), [1; 8]), 101);
    }

    #[test]
    fn the_store_says_the_same() {
        let access = Access::new();
        let mut token = [0; 16];
        token[..8].fill(9);
        let until = Timestamp(u64::from(claims(1, 9, 150).expires_s) * 1_000);
        access.apply(Revoked::Token(token), until, 100);
        let revoked = Revoked::User { user: UserId(2), valid_from: Timestamp(100_001) };
        access.apply(revoked, until, 100);
        assert!(!access.allows(&claims(1, 9, 150)));
        assert!(!access.allows(&claims(2, 1, 100)));
        assert!(access.allows(&claims(2, 1, 101)));
        access.apply(Revoked::Token([5; 16]), until, claims(1, 9, 150).expires_s);
        assert!(access.allows(&claims(1, 5, 150)), "expired by itself");
    }

    /// The map grew for as long as tokens live, whoever signed out how often.
    #[test]
    fn f5_a_flood_of_sign_outs_is_bounded_and_brings_no_token_back() {
        let access = Access::new();
        let until_s = claims(1, 1, 100).expires_s;
        let session = |index: u64| (index * 256).to_le_bytes();
        let most = (REVOCATIONS_MAX / STRIPES) as u64;
        for index in 0..=most {
            access.revoke_session(session(index), until_s, 100);
        }
        assert!(read(&access.sessions[0]).taken.len() <= most as usize);
        let of = |session, issued_s| Claims::new(UserId(1), Roles::SHOPPER, session, issued_s);
        for index in [0, most / 2, most] {
            assert!(!access.allows(&of(session(index), 100)), "{index}");
        }
        assert!(access.allows(&of(session(0), 101)), "signed in again");
        assert!(access.allows(&of([1; 8], 100)), "another stripe");
        for index in most..2 * most {
            access.revoke_session(session(index), until_s, until_s);
        }
        assert!(read(&access.sessions[0]).taken.len() <= most as usize);
    }
}
