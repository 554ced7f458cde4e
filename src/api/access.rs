//! Which tokens work no more although they have not expired: looked at on every request, so it is
//! in memory, and a look costs next to nothing while nothing was taken back.
//!
//! It must not know the store: the control side feeds it what other gateways took back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use seckill_shards::ids::UserId;

use super::limits::REVOCATIONS_MAX;
use super::tokens::{Claims, SessionId};
use crate::store::{Revocation, Revoked};

const STRIPES: usize = 16;

/// What was taken back, on this gateway or another.
#[derive(Debug, Default)]
pub struct Access {
    /// Entries in all stripes; zero lets every check pass without a lock.
    count: AtomicUsize,
    sessions: [RwLock<HashMap<SessionId, u32>>; STRIPES],
    users: [RwLock<HashMap<UserId, SignedOut>>; STRIPES],
}

#[derive(Clone, Copy, Debug)]
struct SignedOut {
    /// Tokens issued in this second or later work.
    valid_from_s: u32,
    /// The second in which the last of the others has expired.
    until_s: u32,
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
        if self.count.load(Ordering::Relaxed) == 0 {
            return true;
        }
        claims.issued_s >= self.valid_from_s(claims.user)
            && !read(&self.sessions[session_stripe(&claims.session)]).contains_key(&claims.session)
    }

    /// The first second of which a token of this user works.
    #[must_use]
    pub fn valid_from_s(&self, user: UserId) -> u32 {
        read(&self.users[user_stripe(user)]).get(&user).map_or(0, |out| out.valid_from_s)
    }

    /// Takes one token back, until it has expired by itself.
    pub fn revoke_session(&self, session: SessionId, until_s: u32, now_s: u32) {
        let mut sessions = write(&self.sessions[session_stripe(&session)]);
        if sessions.len() >= REVOCATIONS_MAX / STRIPES {
            self.drop_expired(&mut sessions, |until_s| *until_s <= now_s);
        }
        if sessions.insert(session, until_s).is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes back every token of a user that was issued before a second.
    pub fn revoke_user(&self, user: UserId, valid_from_s: u32, until_s: u32, now_s: u32) {
        let mut users = write(&self.users[user_stripe(user)]);
        if users.len() >= REVOCATIONS_MAX / STRIPES {
            self.drop_expired(&mut users, |out| out.until_s <= now_s);
        }
        match users.entry(user) {
            std::collections::hash_map::Entry::Occupied(mut entry) => {
                let out = entry.get_mut();
                out.valid_from_s = out.valid_from_s.max(valid_from_s);
                out.until_s = out.until_s.max(until_s);
            }
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(SignedOut { valid_from_s, until_s });
                self.count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Takes back what the store says was taken back, on whichever gateway.
    pub fn apply(&self, revocation: &Revocation, now_s: u32) {
        let until_s = super::tokens::seconds(revocation.until);
        if until_s <= now_s {
            return;
        }
        match revocation.revoked {
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

    fn drop_expired<K, V>(&self, map: &mut HashMap<K, V>, expired: impl Fn(&V) -> bool) {
        let before = map.len();
        map.retain(|_, entry| !expired(entry));
        self.count.fetch_sub(before - map.len(), Ordering::Relaxed);
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
    use seckill_shards::clock::Timestamp;

    use super::*;
    use crate::store::Roles;

    fn claims(user: u64, session: u8, issued_s: u32) -> Claims {
        Claims::new(UserId(user), Roles::SHOPPER, [session; 8], issued_s)
    }

    #[test]
    fn one_session_ends_and_the_others_go_on() {
        let access = Access::new();
        assert!(access.allows(&claims(1, 1, 100)));
        access.revoke_session([1; 8], 200, 100);
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
        assert_eq!(access.valid_from_s(UserId(1)), 101);
    }

    #[test]
    fn the_store_says_the_same() {
        let access = Access::new();
        let mut token = [0; 16];
        token[..8].fill(9);
        let until = Timestamp(200_000);
        access.apply(&Revocation { number: 1, revoked: Revoked::Token(token), until }, 100);
        let revoked = Revoked::User { user: UserId(2), valid_from: Timestamp(100_001) };
        access.apply(&Revocation { number: 2, revoked, until }, 100);
        assert!(!access.allows(&claims(1, 9, 150)));
        assert!(!access.allows(&claims(2, 1, 100)));
        assert!(access.allows(&claims(2, 1, 101)));
        let late = Revocation { number: 3, revoked: Revoked::Token([5; 16]), until };
        access.apply(&late, 200);
        assert!(access.allows(&claims(1, 5, 150)), "expired by itself");
    }
}
