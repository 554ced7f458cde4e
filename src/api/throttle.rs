//! Slows down who guesses passwords or floods the shop with accounts: attempts are counted per
//! username and per address, in windows.
//!
//! It must not know passwords, nor what an attempt asks of whom.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use seckill_shards::clock::Timestamp;

use super::limits::{
    FAILURES_PER_ADDRESS_MAX, FAILURES_PER_USER_MAX, REGISTRATIONS_PER_ADDRESS_MAX,
    RESETS_PER_ADDRESS_MAX, THROTTLE_FULL_S, THROTTLE_SWEEP_MS, THROTTLE_WINDOW_MS, THROTTLED_MAX,
};
use super::problem::{Problem, Retry, Slug};

/// What is tried, and from where.
#[derive(Clone, Copy, Debug)]
pub(super) enum Attempt<'a> {
    /// A password for this username; a failure counts.
    SignIn(&'a str, IpAddr),
    /// The token of a password reset; a failure counts.
    Reset(IpAddr),
    /// A new account; made or not, it counts.
    Register(IpAddr),
}

impl Attempt<'_> {
    /// Who is counted for it, and how often in a window.
    fn counted(self) -> Vec<(Subject, u32)> {
        match self {
            Self::SignIn(username, address) => vec![
                (user(username), FAILURES_PER_USER_MAX),
                (Subject::SignIns(block(address)), FAILURES_PER_ADDRESS_MAX),
            ],
            Self::Reset(address) => {
                vec![(Subject::Resets(block(address)), RESETS_PER_ADDRESS_MAX)]
            }
            Self::Register(address) => {
                vec![(Subject::Registrations(block(address)), REGISTRATIONS_PER_ADDRESS_MAX)]
            }
        }
    }

    /// Whether it stays counted. What the gateway could not carry out tells a guesser nothing.
    fn counts<T>(self, outcome: &Result<T, Problem>) -> bool {
        match outcome {
            Ok(_) => matches!(self, Self::Register(_)),
            Err(problem) => !problem.status().is_server_error(),
        }
    }

    fn limited(self, retry: Retry) -> Problem {
        let detail = match self {
            Self::SignIn(..) => "Too many attempts to sign in.",
            Self::Reset(_) => "Too many attempts to set a password.",
            Self::Register(_) => "Too many accounts from one address.",
        };
        Problem::new(Slug::RateLimited, detail).retry(retry)
    }
}

/// Who is counted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Subject {
    User(String),
    SignIns(Block),
    Resets(Block),
    Registrations(Block),
}

/// An IPv4 address, or the 64 bits of an IPv6 one that a subscriber has.
type Block = u64;

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Timestamp,
    attempts: u32,
}

/// Attempts of the last minute, on this gateway.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<Windows>);

#[derive(Debug, Default)]
struct Windows {
    of: HashMap<Subject, Window>,
    /// When windows that were over were dropped last.
    swept_at: Timestamp,
}

impl Windows {
    /// Drops those that are over where there is no room, and not at every attempt: a look at all of
    /// them takes a core's time.
    fn make_room(&mut self, now: Timestamp) {
        if self.of.len() < THROTTLED_MAX || now.ms_since(self.swept_at) < THROTTLE_SWEEP_MS {
            return;
        }
        self.of.retain(|_, window| now.ms_since(window.began) < THROTTLE_WINDOW_MS);
        self.swept_at = now;
    }
}

impl Throttle {
    /// Carries out an attempt. It is counted before it is looked at, so that a crowd of attempts
    /// at once gets no further than one after another, and so that who hangs up is counted too.
    ///
    /// # Errors
    /// [`Slug::RateLimited`] where there were too many, until the window is over; its own.
    pub(super) async fn attempt<T>(
        &self,
        attempt: Attempt<'_>,
        now: Timestamp,
        outcome: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        self.take(attempt, now)?;
        let outcome = outcome.await;
        if !attempt.counts(&outcome) {
            self.give(attempt, now);
        }
        outcome
    }

    fn take(&self, attempt: Attempt<'_>, now: Timestamp) -> Result<(), Problem> {
        let mut windows = self.windows();
        windows.make_room(now);
        let counted = attempt.counted();
        for (subject, most) in &counted {
            let Some(window) = windows.of.get(subject) else { continue };
            let age_ms = now.ms_since(window.began);
            if age_ms < THROTTLE_WINDOW_MS && window.attempts >= *most {
                let left_s = (THROTTLE_WINDOW_MS - age_ms).div_ceil(1_000);
                let left_s = u16::try_from(left_s).expect("a window is short");
                return Err(attempt.limited(Retry::Jittered(left_s)));
            }
        }
        // A full table of fresh windows is an attack from many places: it is met as one.
        if windows.of.len() >= THROTTLED_MAX {
            return Err(attempt.limited(Retry::Jittered(THROTTLE_FULL_S)));
        }
        for (subject, _) in counted {
            let fresh = Window { began: now, attempts: 0 };
            let window = windows.of.entry(subject).or_insert(fresh);
            if now.ms_since(window.began) >= THROTTLE_WINDOW_MS {
                *window = fresh;
            }
            window.attempts += 1;
        }
        Ok(())
    }

    /// Takes back what was counted at an instant, where its window goes on.
    fn give(&self, attempt: Attempt<'_>, taken_at: Timestamp) {
        let mut windows = self.windows();
        for (subject, _) in attempt.counted() {
            let window = windows.of.get_mut(&subject);
            if let Some(window) = window.filter(|window| window.began <= taken_at) {
                window.attempts = window.attempts.saturating_sub(1);
            }
        }
    }

    /// Forgets the failures that were counted for a username; those of addresses stay.
    pub(super) fn forget(&self, username: &str) {
        self.windows().of.remove(&user(username));
    }

    fn windows(&self) -> MutexGuard<'_, Windows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn user(username: &str) -> Subject {
    Subject::User(username.to_owned())
}

fn block(address: IpAddr) -> Block {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).expect("64 bits are left"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn address(index: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(index))
    }

    fn sign_in(throttle: &Throttle, name: &str, from: IpAddr, at_ms: u64) -> Result<(), Problem> {
        throttle.take(Attempt::SignIn(name, from), Timestamp(at_ms))
    }

    #[test]
    fn one_username_is_guessed_a_few_times_only() {
        let throttle = Throttle::default();
        for index in 0..FAILURES_PER_USER_MAX {
            assert!(sign_in(&throttle, "ann", address(index), 0).is_ok());
        }
        let refused = sign_in(&throttle, "ann", HERE, 59_999).unwrap_err();
        assert_eq!(refused.slug, Slug::RateLimited);
        assert!(sign_in(&throttle, "bob", HERE, 59_999).is_ok());
        assert!(sign_in(&throttle, "ann", HERE, 60_000).is_ok(), "a new window");
    }

    #[test]
    fn one_address_guesses_a_few_times_only() {
        let throttle = Throttle::default();
        for index in 0..FAILURES_PER_ADDRESS_MAX {
            assert!(sign_in(&throttle, &format!("user{index}"), HERE, 0).is_ok());
        }
        assert!(sign_in(&throttle, "another", HERE, 0).is_err());
        assert!(sign_in(&throttle, "another", address(1), 0).is_ok());
    }

    #[test]
    fn accounts_and_resets_are_counted_apart_from_sign_ins() {
        let throttle = Throttle::default();
        for (attempt, most) in [
            (Attempt::Register(HERE), REGISTRATIONS_PER_ADDRESS_MAX),
            (Attempt::Reset(HERE), RESETS_PER_ADDRESS_MAX),
        ] {
            for _ in 0..most {
                assert!(throttle.take(attempt, Timestamp(0)).is_ok());
            }
            assert!(throttle.take(attempt, Timestamp(0)).is_err(), "{attempt:?}");
        }
        assert!(sign_in(&throttle, "ann", HERE, 0).is_ok());
        assert!(throttle.take(Attempt::Register(address(1)), Timestamp(0)).is_ok());
    }

    #[test]
    fn who_comes_back_when_told_to_is_let_in() {
        let throttle = Throttle::default();
        while sign_in(&throttle, "ann", HERE, 0).is_ok() {}
        for (at_ms, after_s) in [(0, 60), (1, 60), (30_500, 30), (59_000, 1), (59_999, 1)] {
            let refused = sign_in(&throttle, "ann", HERE, at_ms).unwrap_err();
            assert_eq!(refused.retry, Retry::Jittered(after_s), "{at_ms} ms");
        }
        assert!(sign_in(&throttle, "ann", HERE, 59_000 + 1_000).is_ok());
    }

    #[test]
    fn a_name_is_forgotten_and_its_address_is_not() {
        let throttle = Throttle::default();
        while sign_in(&throttle, "ann", HERE, 0).is_ok() {}
        throttle.forget("bob");
        assert!(sign_in(&throttle, "ann", HERE, 0).is_err());
        throttle.forget("ann");
        assert!(sign_in(&throttle, "ann", HERE, 0).is_ok());
        while sign_in(&throttle, &format!("{}", throttle.windows().of.len()), HERE, 0).is_ok() {}
        throttle.forget("ann");
        assert!(sign_in(&throttle, "ann", HERE, 0).is_err());
    }

    #[test]
    fn neighbours_of_one_subscriber_are_one() {
        let throttle = Throttle::default();
        let of = |text: &str| Attempt::Reset(text.parse().unwrap());
        while throttle.take(of("2001:db8::1"), Timestamp(0)).is_ok() {}
        assert!(throttle.take(of("2001:db8::ffff:2"), Timestamp(0)).is_err());
        assert!(throttle.take(of("2001:db8:0:1::1"), Timestamp(0)).is_ok());
        while throttle.take(of("192.0.2.1"), Timestamp(0)).is_ok() {}
        assert!(throttle.take(of("::ffff:192.0.2.1"), Timestamp(0)).is_err());
        assert!(throttle.take(of("192.0.2.2"), Timestamp(0)).is_ok());
    }

    /// A gateway whose store was away locked out whoever knew their password.
    #[tokio::test]
    async fn only_failures_of_the_shoppers_own_are_counted() {
        let ours = [Slug::Unavailable, Slug::Overloaded, Slug::OutcomeUnknown];
        let cases = ours.map(Err).into_iter().chain([Ok(())]).chain(
            [Slug::Unauthenticated, Slug::InvalidRequest, Slug::NotFound, Slug::Conflict].map(Err),
        );
        for outcome in cases {
            for attempt in
                [Attempt::SignIn("ann", HERE), Attempt::Reset(HERE), Attempt::Register(HERE)]
            {
                let throttle = Throttle::default();
                let mut last = Ok(());
                for _ in 0..10 * REGISTRATIONS_PER_ADDRESS_MAX {
                    let outcome = async { outcome.map_err(Problem::from) };
                    last = throttle.attempt(attempt, Timestamp(0), outcome).await;
                }
                let is_limited = last.is_err_and(|problem| problem.slug == Slug::RateLimited);
                let counts = match outcome {
                    Ok(()) => matches!(attempt, Attempt::Register(_)),
                    Err(slug) => !ours.contains(&slug),
                };
                assert_eq!(is_limited, counts, "{attempt:?} {outcome:?}");
            }
        }
    }

    /// A window's good attempts, answered in the next, were taken off the next one's failures.
    #[tokio::test]
    async fn what_ends_in_another_window_takes_nothing_off_it() {
        let throttle = Throttle::default();
        let attempt = Attempt::SignIn("ann", HERE);
        let ends_late = throttle.attempt(attempt, Timestamp(59_999), async {
            while sign_in(&throttle, "ann", HERE, 120_000).is_ok() {}
            Ok(())
        });
        ends_late.await.unwrap();
        assert!(sign_in(&throttle, "ann", HERE, 120_000).is_err());
    }

    #[test]
    fn who_hangs_up_is_counted() {
        let throttle = Throttle::default();
        let attempt = Attempt::SignIn("ann", HERE);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for _ in 0..FAILURES_PER_USER_MAX {
            let hangs = std::future::pending::<Result<(), Problem>>();
            let attempt = std::pin::pin!(throttle.attempt(attempt, Timestamp(0), hangs));
            assert!(attempt.poll(&mut context).is_pending());
        }
        assert!(throttle.take(attempt, Timestamp(0)).is_err());
    }

    #[test]
    fn the_table_is_bounded() {
        let throttle = Throttle::default();
        for index in 0..u32::try_from(THROTTLED_MAX).unwrap() {
            drop(sign_in(&throttle, &format!("user{index}"), address(index), 0));
        }
        assert!(throttle.windows().of.len() <= THROTTLED_MAX + 1);
        let refused = sign_in(&throttle, "new", address(u32::MAX), 1).unwrap_err();
        let longest = (0..1_000).filter_map(|random| refused.retry_after(random)).max().unwrap();
        assert!(longest * 1_000 < THROTTLE_WINDOW_MS, "{longest}");
        assert!(sign_in(&throttle, "new", address(u32::MAX), 60_000).is_ok());
    }

    /// Who read the count and passed by it let a burst through.
    #[test]
    fn f2_a_crowd_at_once_gets_no_further_than_one_after_another() {
        const THREADS: u32 = 64;
        let throttle = Throttle::default();
        let passed = std::sync::atomic::AtomicU32::new(0);
        let start = std::sync::Barrier::new(THREADS as usize);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..FAILURES_PER_USER_MAX {
                        let passes = sign_in(&throttle, "ann", HERE, 0).is_ok();
                        passed.fetch_add(passes.into(), std::sync::atomic::Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), FAILURES_PER_USER_MAX);
    }
}
