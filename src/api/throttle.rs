//! Slows down who guesses passwords: failures are counted per username and per address, in windows.
//!
//! It must not know HTTP or passwords.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use seckill_shards::clock::Timestamp;

use super::limits::{
    FAILURES_PER_ADDRESS_MAX, FAILURES_PER_USER_MAX, THROTTLE_WINDOW_MS, THROTTLED_MAX,
};
use super::problem::{Problem, Retry, Slug};

/// Who is counted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Subject {
    User(String),
    /// An IPv4 address, or the 64 bits of an IPv6 one that a subscriber has.
    Address(u64),
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Timestamp,
    failures: u32,
}

/// Failed sign-ins of the last minute, on this gateway.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<HashMap<Subject, Window>>);

impl Throttle {
    /// Counts an attempt as a failure, before the password is looked at, so that a crowd of
    /// attempts at once gets no further than one after another.
    ///
    /// # Errors
    /// [`Slug::RateLimited`] where there were too many.
    pub(super) fn take(
        &self,
        username: &str,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= THROTTLED_MAX {
            windows.retain(|_, window| now.ms_since(window.began) < THROTTLE_WINDOW_MS);
        }
        let limits =
            [(user(username), FAILURES_PER_USER_MAX), (block(address), FAILURES_PER_ADDRESS_MAX)];
        for (subject, most) in &limits {
            let Some(window) = windows.get(subject) else { continue };
            let age_ms = now.ms_since(window.began);
            if age_ms < THROTTLE_WINDOW_MS && window.failures >= *most {
                return Err(limited(THROTTLE_WINDOW_MS - age_ms));
            }
        }
        // A full table of fresh windows is an attack from many places: it is met as one.
        if windows.len() >= THROTTLED_MAX {
            return Err(limited(THROTTLE_WINDOW_MS));
        }
        for (subject, _) in limits {
            let fresh = Window { began: now, failures: 0 };
            let window = windows.entry(subject).or_insert(fresh);
            if now.ms_since(window.began) >= THROTTLE_WINDOW_MS {
                *window = fresh;
            }
            window.failures += 1;
        }
        Ok(())
    }

    /// The attempt was no failure after all.
    pub(super) fn give(&self, username: &str, address: IpAddr) {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for subject in [user(username), block(address)] {
            if let Some(window) = windows.get_mut(&subject) {
                window.failures = window.failures.saturating_sub(1);
            }
        }
    }
}

fn user(username: &str) -> Subject {
    Subject::User(username.to_owned())
}

fn block(address: IpAddr) -> Subject {
    Subject::Address(match address.to_canonical() {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).expect("64 bits are left"),
    })
}

fn limited(wait_ms: u64) -> Problem {
    let seconds = u16::try_from(wait_ms.div_ceil(1_000)).unwrap_or(u16::MAX);
    Problem::new(Slug::RateLimited, "Too many attempts to sign in.").retry(Retry::Jittered(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn address(index: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(index))
    }

    #[test]
    fn one_username_is_guessed_a_few_times_only() {
        let throttle = Throttle::default();
        for index in 0..FAILURES_PER_USER_MAX {
            assert!(throttle.take("ann", address(index), Timestamp(0)).is_ok());
        }
        let refused = throttle.take("ann", HERE, Timestamp(59_999)).unwrap_err();
        assert_eq!(refused.slug, Slug::RateLimited);
        assert!(throttle.take("bob", HERE, Timestamp(59_999)).is_ok());
        assert!(throttle.take("ann", HERE, Timestamp(60_000)).is_ok(), "a new window");
    }

    #[test]
    fn one_address_guesses_a_few_times_only() {
        let throttle = Throttle::default();
        for index in 0..FAILURES_PER_ADDRESS_MAX {
            assert!(throttle.take(&format!("user{index}"), HERE, Timestamp(0)).is_ok());
        }
        assert!(throttle.take("another", HERE, Timestamp(0)).is_err());
        assert!(throttle.take("another", address(1), Timestamp(0)).is_ok());
    }

    #[test]
    fn success_costs_nothing() {
        let throttle = Throttle::default();
        for _ in 0..10 * FAILURES_PER_ADDRESS_MAX {
            assert!(throttle.take("ann", HERE, Timestamp(0)).is_ok());
            throttle.give("ann", HERE);
        }
    }

    #[test]
    fn the_table_is_bounded() {
        let throttle = Throttle::default();
        for index in 0..u32::try_from(THROTTLED_MAX).unwrap() {
            drop(throttle.take(&format!("user{index}"), address(index), Timestamp(0)));
        }
        assert!(throttle.0.lock().unwrap().len() <= THROTTLED_MAX + 1);
        assert!(throttle.take("new", address(u32::MAX), Timestamp(1)).is_err());
        assert!(throttle.take("new", address(u32::MAX), Timestamp(60_000)).is_ok());
    }
}
