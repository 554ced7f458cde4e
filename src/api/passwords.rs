//! Passwords: argon2id on the control runtime, a few at once, with a short queue.
//!
//! It must not know accounts, and never prints what it is given.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::Semaphore;

use super::limits::{HASHES_AT_ONCE, HASHES_WAITING_MAX};
use super::problem::{Problem, Slug};

/// Hashes and verifies passwords.
pub(super) struct Passwords {
    runtime: tokio::runtime::Handle,
    at_once: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Verified where there is no hash, so that an unknown user takes as long as a known one.
    dummy: String,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

impl Passwords {
    /// Works on `runtime`.
    #[must_use]
    pub(super) fn new(runtime: tokio::runtime::Handle) -> Self {
        let at_once = Arc::new(Semaphore::new(HASHES_AT_ONCE));
        Self { runtime, at_once, waiting: AtomicUsize::new(0), dummy: hash("no one's password") }
    }

    /// The hash of a password, as a PHC string.
    ///
    /// # Errors
    /// [`Slug::Overloaded`] where too many wait.
    pub(super) async fn hash(&self, password: String) -> Result<String, Problem> {
        self.work(move || hash(&password)).await
    }

    /// Whether a password has this hash; without a hash it has not, after the same work.
    ///
    /// # Errors
    /// [`Slug::Overloaded`] where too many wait.
    pub(super) async fn verify(
        &self,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, Problem> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy.clone());
        self.work(move || verify(&password, &hash)).await.map(|same| same && known)
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let _waiting = Place::take(&self.waiting).ok_or(Slug::Overloaded)?;
        let permit = Arc::clone(&self.at_once).acquire_owned().await;
        let permit = permit.map_err(|_| Slug::Unavailable)?;
        let work = move || {
            let done = work();
            drop(permit);
            done
        };
        // A thread that a core thread made would be pinned to the core's CPU.
        let done = self.runtime.spawn(async { tokio::task::spawn_blocking(work).await });
        done.await.and_then(|done| done).map_err(|_| Slug::Unavailable.into())
    }
}

/// A place in the queue, given back however its holder ends.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Self> {
        // Relaxed: the count guards nothing but itself.
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        let place = Self(waiting);
        (before < HASHES_AT_ONCE + HASHES_WAITING_MAX).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// OWASP's second setting for argon2id: 19 MiB, two passes, one lane.
fn argon2id() -> Argon2<'static> {
    let params = Params::new(19 * 1_024, 2, 1, None).expect("within the bounds of argon2");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// The hash of a password, as a PHC string. It takes some 20 ms.
#[must_use]
pub fn hash(password: &str) -> String {
    let hash: PasswordHash =
        argon2id().hash_password(password.as_bytes()).expect("a password is short");
    hash.to_string()
}

fn verify(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| argon2id().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_opens_its_own_hash_only() {
        let passwords = Passwords::new(tokio::runtime::Handle::current());
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        for hash in [&hash, &passwords.dummy] {
            assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        }
        for (password, hash, expected) in [
            ("correct horse", Some(hash.clone()), true),
            ("Correct horse", Some(hash), false),
            ("no one's password", None, false),
            ("correct horse", Some("not a hash".to_owned()), false),
        ] {
            let same = passwords.verify(password.to_owned(), hash).await.unwrap();
            assert_eq!(same, expected, "{password}");
        }
    }

    #[tokio::test]
    async fn f4_a_crowd_of_passwords_waits_only_where_there_are_places() {
        let passwords = Passwords::new(tokio::runtime::Handle::current());
        let most = HASHES_AT_ONCE + HASHES_WAITING_MAX;
        let mut places: Vec<_> =
            (0..most).map(|_| Place::take(&passwords.waiting).unwrap()).collect();
        for _ in 0..2 {
            let refused = passwords.hash("one too many".to_owned()).await.unwrap_err();
            assert_eq!(refused.slug, Slug::Overloaded);
        }
        // A name that nobody has waits with the others, for work that is as long.
        let refused = passwords.verify("one too many".to_owned(), None).await.unwrap_err();
        assert_eq!(refused.slug, Slug::Overloaded);
        drop(places.pop());
        assert!(passwords.hash("as many as may be".to_owned()).await.is_ok());
        drop(places);
        assert_eq!(passwords.waiting.load(Ordering::Relaxed), 0, "every place was given back");
    }

    /// The core goes on while a password is worked on, by a thread of the control side.
    #[test]
    fn f4_no_password_is_worked_on_by_a_core() {
        let control = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("control")
            .build()
            .unwrap();
        let passwords = Passwords::new(control.handle().clone());
        let core = tokio::runtime::Builder::new_current_thread().build().unwrap();
        core.block_on(async {
            let name = || std::thread::current().name().map(str::to_owned);
            assert_eq!(passwords.work(name).await.unwrap().as_deref(), Some("control"));
            let (send, receive) = std::sync::mpsc::channel();
            let asleep = passwords.work(move || receive.recv().unwrap());
            let core_goes_on = async { send.send(1).unwrap() };
            assert_eq!(tokio::join!(asleep, core_goes_on).0.unwrap(), 1);
        });
    }
}
