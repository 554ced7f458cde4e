//! Another gateway as this one knows it: where it is, whether it is there, how calls to it went.
//!
//! It must not know what is asked of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use seckill_shards::clock::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limits::{CALLS_MAX, LOOK_US_MAX, PEER_BREAKER, STILL_US_MAX, WORDS_MAX};
use crate::flow::{Breaker, Pass};
use crate::store::GatewayRow;

/// What became of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The peer has answered.
    Answered,
    /// It was not asked: it says no more that it is there, or is left alone for a while.
    Away,
    /// It was not asked: too many calls to it are under way.
    Crowded,
    /// It was not reached.
    Unreached,
    /// It may have got the call, and has not answered in time.
    Unanswered,
    /// Somebody has answered who is not the peer, or does not know its secret.
    Unproven,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Answered,
        Self::Away,
        Self::Crowded,
        Self::Unreached,
        Self::Unanswered,
        Self::Unproven,
    ];

    /// Its word in the metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Away => "away",
            Self::Crowded => "crowded",
            Self::Unreached => "unreached",
            Self::Unanswered => "unanswered",
            Self::Unproven => "unproven",
        }
    }
}

/// Another gateway of the fleet.
#[derive(Debug)]
pub struct Peer {
    /// Its number.
    pub number: u16,
    /// What stops calls to it while they fail.
    pub breaker: Arc<Breaker>,
    pub(super) room: Arc<Semaphore>,
    words: Arc<Semaphore>,
    known: Mutex<Known>,
    outcomes: [AtomicU64; Outcome::ALL.len()],
}

/// What its rows have told.
#[derive(Debug, Default)]
struct Known {
    /// `host:port`.
    address: String,
    seen_at: Option<Timestamp>,
    /// When its row was looked at last, on this gateway's microseconds.
    looked_us: u64,
    /// For how long it has been seen to stand still.
    still_us: u64,
    is_present: bool,
    as_of: Timestamp,
    /// Who speaks for it, where it is retired.
    adopter: Option<u16>,
}

impl Peer {
    /// A peer of which nothing is known yet.
    pub(super) fn new(number: u16) -> Self {
        Self {
            number,
            breaker: Breaker::new(format!("gateway {number}"), PEER_BREAKER),
            room: Arc::new(Semaphore::new(CALLS_MAX)),
            words: Arc::new(Semaphore::new(WORDS_MAX)),
            known: Mutex::new(Known { still_us: STILL_US_MAX, ..Known::default() }),
            outcomes: Default::default(),
        }
    }

    /// Leave for one more call, unless there are too many under way, or it is left alone for a while.
    pub(super) fn leave(
        &self,
        now_us: u64,
    ) -> Result<(OwnedSemaphorePermit, Option<Pass>), Outcome> {
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| Outcome::Crowded)?;
        let pass = self.breaker.ask(now_us).ok_or(Outcome::Away)?;
        Ok((room, Some(pass)))
    }

    /// Leave for one more word, whatever other calls there are.
    pub(super) fn leave_word(&self) -> Result<OwnedSemaphorePermit, Outcome> {
        Arc::clone(&self.words).try_acquire_owned().map_err(|_| Outcome::Crowded)
    }

    /// Takes its row over, as it was read at `now`. Whether it is there is told by its row moving,
    /// since clocks differ; a row that is seen for the first time is believed where it is of now.
    pub(super) fn learn(&self, row: &GatewayRow, now: Timestamp, now_us: u64) {
        let mut known = self.known.lock().expect("nobody panics under this lock");
        let has_moved = match known.seen_at.replace(row.seen_at) {
            None => row.seen_at.0.abs_diff(now.0) < STILL_US_MAX / 1_000,
            Some(before) => before != row.seen_at,
        };
        let since_us = now_us.saturating_sub(known.looked_us).min(LOOK_US_MAX);
        known.looked_us = known.looked_us.max(now_us);
        known.still_us = if has_moved { 0 } else { known.still_us.saturating_add(since_us) };
        known.as_of = row.as_of;
        known.address = row.address.strip_prefix("http://").unwrap_or_default().to_owned();
        known.adopter = row.retired.map(|retired| retired.adopter);
        let may_be_present = !known.address.is_empty() && known.adopter.is_none();
        let is_present = known.still_us < STILL_US_MAX && may_be_present;
        if std::mem::replace(&mut known.is_present, is_present) != is_present {
            let gateway = self.number;
            match is_present {
                true => tracing::info!(gateway, address = known.address, "a gateway is there"),
                false => tracing::warn!(gateway, "a gateway is away"),
            }
        }
    }

    /// Whether it has said lately that it is there.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.known.lock().expect("nobody panics under this lock").is_present
    }

    /// Who speaks for it, where it is retired.
    #[must_use]
    pub fn adopter(&self) -> Option<u16> {
        self.known.lock().expect("nobody panics under this lock").adopter
    }

    /// Up to when the store has all that it has journaled.
    #[must_use]
    pub fn as_of(&self) -> Timestamp {
        self.known.lock().expect("nobody panics under this lock").as_of
    }

    /// How many calls to it came to this.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize].load(Ordering::Relaxed)
    }

    /// Where it is, if it is there.
    pub(super) fn address(&self) -> Option<String> {
        let known = self.known.lock().expect("nobody panics under this lock");
        known.is_present.then(|| known.address.clone())
    }

    pub(super) fn note(&self, outcome: Outcome) {
        // Relaxed: a figure for people.
        self.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Retired;

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    /// Whether a peer is there after rows of these instants, each read so many seconds later.
    fn is_present(rows: &[(u64, u64)]) -> bool {
        let peer = Peer::new(1);
        for (seen_ms, read_s) in rows {
            let (seen_at, address) = (Timestamp(*seen_ms), "http://127.0.0.1:1".to_owned());
            let as_of = seen_at;
            let row = GatewayRow { number: 1, address, seen_at, as_of, ..GatewayRow::default() };
            peer.learn(&row, NOW, read_s * 1_000_000);
        }
        peer.is_present()
    }

    /// A row that says the same each second from one to another.
    fn still(seen_ms: u64, seconds: std::ops::RangeInclusive<u64>) -> Vec<(u64, u64)> {
        seconds.map(|read_s| (seen_ms, read_s)).collect()
    }

    #[test]
    fn a_peer_is_there_while_its_row_moves_whatever_its_clock_says() {
        for (rows, expected) in [
            (vec![(NOW.0, 0)], true),
            (vec![(NOW.0 - 60_000, 0)], false),
            (vec![(NOW.0 + 60_000, 0)], false),
            (vec![(NOW.0 - 60_000, 0), (NOW.0 - 59_000, 1)], true),
            (still(NOW.0, 0..=9), true),
            (still(NOW.0, 0..=10), false),
            ([still(NOW.0, 0..=30), vec![(NOW.0 + 1, 31)]].concat(), true),
            // Its clock was set back.
            ([still(NOW.0, 0..=30), vec![(NOW.0 - 60_000, 31)]].concat(), true),
            // Nobody could look for an hour.
            (vec![(NOW.0, 0), (NOW.0, 3_600), (NOW.0, 3_601)], true),
        ] {
            assert_eq!(is_present(&rows), expected, "{rows:?}");
        }
    }

    #[test]
    fn one_that_is_retired_is_not_there_whatever_its_row_does() {
        let retired = Some(Retired { adopter: 5, at: NOW, is_off: true });
        let (address, seen_at) = ("http://127.0.0.1:1".to_owned(), NOW);
        let row = GatewayRow { number: 1, address, seen_at, ..GatewayRow::default() };
        let peer = Peer::new(1);
        peer.learn(&row, NOW, 0);
        assert_eq!((peer.is_present(), peer.adopter()), (true, None));
        peer.learn(&GatewayRow { retired, seen_at: NOW.plus_ms(1), ..row }, NOW, 1);
        assert_eq!((peer.is_present(), peer.adopter()), (false, Some(5)));
    }

    #[test]
    fn one_that_has_no_address_is_never_there() {
        for address in ["", "127.0.0.1:1", "https://127.0.0.1:1"] {
            let (address, seen_at) = (address.to_owned(), NOW);
            let as_of = NOW;
            let row = GatewayRow { number: 1, address, seen_at, as_of, ..GatewayRow::default() };
            let peer = Peer::new(1);
            peer.learn(&row, NOW, 0);
            assert!(!peer.is_present() && peer.as_of() == NOW);
        }
    }
}
