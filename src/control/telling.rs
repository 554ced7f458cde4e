//! Telling: what is done at this gateway is told the others at once, and what they tell is done.
//!
//! The journal that has a record brings it to the store, which has the last word: a sale of which
//! something was told is looked at once more when the store has that. It must not know how a row is
//! followed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::future::join_all;
use http::{HeaderMap, Method};
use seckill_shards::clock::Timestamp;
use seckill_shards::command::{Command, PhaseChange, Refusal, Verdict};
use seckill_shards::ids::ActivityId;
use tokio::time::{sleep, timeout};

use super::Control;
use super::limits::{TELL, TELL_AGAIN, TELL_PATIENCE, TELL_US_MAX};
use crate::api::{Said, WORDS, Word, seconds};
use crate::peers::{self, Peer, Peers};

/// The newest word on each sale that the store may lack: of open sales alone, so they are few.
#[derive(Debug, Default)]
pub(super) struct Newest {
    words: Mutex<BTreeMap<ActivityId, Said>>,
    turn: tokio::sync::Mutex<()>,
}

impl Newest {
    /// Words and rows are carried out one after the other: of two words that come together the newer one is
    /// the last, and what is said here is behind whatever was carried out before.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Notes a word; false where a newer one is known, which stands.
    pub(super) fn note(&self, activity: ActivityId, said: Said) -> bool {
        let mut all = self.lock();
        let newest = all.entry(activity).or_insert(said);
        *newest = said.max(*newest);
        *newest == said
    }

    /// Notes a word of this gateway's own, and when it counts as said: behind all that was known here, though
    /// the clock of whoever said that may be ahead.
    fn note_own(&self, activity: ActivityId, said: Said) -> Said {
        let mut all = self.lock();
        let known = all.get(&activity).map(|known| known.at.plus_ms(1));
        let said = Said { at: known.unwrap_or_default().max(said.at), ..said };
        all.insert(activity, said);
        said
    }

    /// Whether something was said of a sale that the store may lack.
    pub(super) fn awaits_store(&self, activity: ActivityId) -> bool {
        self.lock().contains_key(&activity)
    }

    /// Forgets a word, unless a newer one is known.
    pub(super) fn forget(&self, activity: ActivityId, said: Said) {
        let mut all = self.lock();
        if all.get(&activity) == Some(&said) {
            all.remove(&activity);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ActivityId, Said>> {
        self.words.lock().expect("nobody panics under this lock")
    }
}

impl Control {
    /// Tells a word to all others that are there, and waits for them a moment; whom it does not reach within
    /// some seconds the store tells.
    pub(super) async fn tell_all(&self, word: Word) {
        let (Some(peers), Some(said)) = (&self.peers, self.say(word).await) else { return };
        let others = peers.all().into_iter().filter(|peer| peer.is_present());
        // By the clock that runs on: the other may stand still for hours.
        let until_us = self.engine.clock().elapsed_us() + TELL_US_MAX;
        let told = others.map(|peer| {
            let (peers, clock) = (Arc::clone(peers), Arc::clone(self.engine.clock()));
            tokio::spawn(async move {
                while !tell(&peers, &peer, word, said.at).await && clock.elapsed_us() < until_us {
                    sleep(TELL_AGAIN).await;
                }
            })
        });
        let told: Vec<_> = told.collect();
        // Those that were not heard in time go on.
        drop(timeout(TELL, join_all(told)).await);
    }

    /// Says a word, whoever is told of it: when, and by whom; none where there is nobody else, or where an end has
    /// come before it.
    pub(super) async fn say(&self, word: Word) -> Option<Said> {
        let by = self.peers.as_ref()?.own();
        let Word::Phase(activity, change) = word else { return Some(Said { at: self.now(), by }) };
        let _turn = self.newest.turn().await;
        let known = self.engine.activity(activity)?;
        let (paused, ended) = (known.sale().paused, known.sale().ended);
        let is_end = change == PhaseChange::End;
        // An end is for good, and nothing stands behind it.
        if ended && !is_end {
            return None;
        }
        if !is_end && paused != (change == PhaseChange::Pause) {
            // Something else was heard while this was written down, and done behind it. Where it cannot be done once
            // more the others do it all the same, and this gateway when the store has it.
            let command = Command::ChangePhase { activity, change };
            self.owners.ask(activity.owner(self.engine.cores()), command).await;
        }
        // Now, when its record is durable. Of this gateway's own words, too, the newest counts.
        let said = self.newest.note_own(activity, Said { at: self.now(), by });
        // Whom it does not reach is not to wait for the end of a storm.
        self.flush.hasten(self.engine.journal().durable_position());
        Some(said)
    }

    /// Does what was done at another gateway, unless something newer is known; false where that cannot
    /// be now. A call that comes again changes nothing.
    pub(super) async fn hear_word(&self, word: Word, said: Said) -> bool {
        match word {
            Word::Phase(activity, change) => self.hear_phase(activity, change, said).await,
            Word::SignOut(revoked, until) => {
                self.access.apply(revoked, until, seconds(self.now()));
                true
            }
        }
    }

    async fn hear_phase(&self, activity: ActivityId, change: PhaseChange, said: Said) -> bool {
        let Some(known) = self.engine.activity(activity) else { return false };
        // What a gateway that is no member writes down may never come to the store: it has not heard it.
        if self.peers.as_ref().is_some_and(|peers| !peers.membership().holds()) {
            return false;
        }
        let _turn = self.newest.turn().await;
        let sale = known.sale();
        if sale.ended || sale.closed || sale.lease.is_none() {
            return true;
        }
        // An end is for good, whatever else was said, and comes to the store from whoever has heard it: the journal
        // of whoever said it may be lost.
        let is_end = change == PhaseChange::End;
        // What the store has already is in its row, with whatever came behind it.
        let teller = self.peers.as_ref().and_then(|peers| peers.find(said.by));
        let is_stored = teller.is_some_and(|teller| teller.as_of() > said.at);
        if !is_end && (is_stored || !self.newest.note(activity, said)) {
            return true;
        }
        // An older word of this gateway's own would come to the store later, and be its last.
        let command = match is_end || sale.phased_at > self.engine.flushed_position() {
            true => Command::ChangePhase { activity, change },
            false => {
                let paused = change == PhaseChange::Pause;
                Command::FollowPhase { activity, paused, ended: false }
            }
        };
        let verdict = self.owners.ask(activity.owner(self.engine.cores()), command).await;
        self.stale.notify_one();
        matches!(verdict, Verdict::ActivityChanged | Verdict::Refused(Refusal::Ended))
    }

    /// The newest words that the store has by now, or will never have, or that are of sales that are over:
    /// looked at before rows are read, so these say what came of them.
    pub(super) fn said_and_stored(&self) -> Vec<(ActivityId, Said)> {
        let Some(peers) = &self.peers else { return Vec::new() };
        let all = self.newest.lock();
        let is_over = |id| self.engine.activity(id).is_none_or(|it| it.sale().closed);
        let stored = all.iter().filter(|(id, said)| is_over(**id) || self.store_has(peers, **said));
        stored.map(|(activity, said)| (*activity, *said)).collect()
    }

    fn store_has(&self, peers: &Peers, said: Said) -> bool {
        if said.by == peers.own() {
            return self.as_of() > said.at;
        }
        // Nothing more comes of one that is retired.
        let theirs = peers.find(said.by);
        theirs.is_none_or(|peer| peer.adopter().is_some() || peer.as_of() > said.at)
    }
}

/// Tells a word once; whether it was done. One that comes again, or behind a newer one, changes nothing.
async fn tell(peers: &Peers, peer: &Arc<Peer>, word: Word, said_at: Timestamp) -> bool {
    let call = peers::Call {
        method: Method::POST,
        path: WORDS.to_owned(),
        headers: HeaderMap::new(),
        body: word.body(),
        vouched: None,
        patience: TELL_PATIENCE,
        said_at: Some(said_at),
    };
    peers.call(peer, call).await.is_ok_and(|answer| answer.status.is_success())
}

#[cfg(test)]
mod tests {
    use futures_util::future::join;
    use seckill_shards::engine::Sale;
    use tokio::task::{LocalSet, yield_now};

    use super::super::flush::{Reach, next_batch};
    use super::super::learn::Learned;
    use super::super::testing::{Desk, runtime, sale};
    use super::*;
    use crate::store::GatewayRow;

    const PAUSE: PhaseChange = PhaseChange::Pause;
    const RESUME: PhaseChange = PhaseChange::Resume;
    const END: PhaseChange = PhaseChange::End;

    /// Gateway 7, with another that the store has all of up to an instant.
    struct Fleet {
        desk: Desk,
        activity: ActivityId,
        learned: Learned,
    }

    fn said(at: u64, by: u16) -> Said {
        Said { at: Timestamp(at), by }
    }

    impl Fleet {
        async fn start() -> Self {
            let desk = Desk::sharing(7);
            let activity = sale(&*desk.store).await;
            desk.control.register().await.unwrap();
            let mut learned = Learned::default();
            desk.control.learn_all(&mut learned).await.unwrap();
            Self { desk, activity, learned }
        }

        fn sale(&self) -> Arc<Sale> {
            Arc::clone(&self.desk.control.engine.activity(self.activity).unwrap().sale())
        }

        async fn hear(&self, change: PhaseChange, said: Said) {
            let word = Word::Phase(self.activity, change);
            assert!(self.desk.control.hear_word(word, said).await);
        }

        /// The store has all of gateway 3 before an instant.
        fn store_has(&self, before: u64) {
            let (number, as_of) = (3, Timestamp(before));
            let row = GatewayRow { number, as_of, ..GatewayRow::default() };
            self.desk.control.peers.as_ref().unwrap().learn(&[row]);
        }

        async fn learn(&mut self) {
            self.desk.control.learn_all(&mut self.learned).await.unwrap();
        }

        /// Some other change of the sale gives its row another version.
        async fn restock(&self) {
            drop(self.desk.store.restock(self.activity, 1, None).await.unwrap());
        }

        async fn flush(&self) {
            let control = &self.desk.control;
            let mut tail = control.engine.tail(control.engine.flushed_position());
            while let Some(batch) =
                next_batch(&control.engine, &mut tail, &Reach::default()).unwrap()
            {
                control.store.flush(Arc::clone(&batch)).await.unwrap();
                control.flushed(&batch);
            }
        }
    }

    fn in_fleet(test: impl AsyncFnOnce(Fleet)) {
        LocalSet::new().block_on(&runtime(), async { test(Fleet::start().await).await });
    }

    /// A row that changed for another reason, and did not have the word yet, took it back.
    #[test]
    fn a_word_stands_until_the_store_has_it_and_then_the_stores_does() {
        in_fleet(async |mut fleet| {
            fleet.store_has(100);
            fleet.hear(PAUSE, said(100, 3)).await;
            assert!(fleet.sale().paused);
            fleet.restock().await;
            fleet.learn().await;
            assert!(fleet.sale().paused && fleet.sale().terms.stocked == 11);
            // That gateway was lost, or its word is not the store's last.
            fleet.store_has(101);
            fleet.learn().await;
            assert!(!fleet.sale().paused);
            assert_eq!(fleet.desk.control.said_and_stored(), []);
        });
    }

    #[test]
    fn the_newest_word_counts_in_whatever_order_they_come() {
        in_fleet(async |fleet| {
            fleet.hear(RESUME, said(200, 3)).await;
            fleet.hear(PAUSE, said(100, 3)).await;
            fleet.hear(PAUSE, said(200, 2)).await;
            assert!(!fleet.sale().paused);
            let before = fleet.desk.control.engine.journal().durable_position();
            fleet.hear(RESUME, said(200, 3)).await;
            assert_eq!(fleet.desk.control.engine.journal().durable_position(), before);
            fleet.hear(PAUSE, said(200, 4)).await;
            assert!(fleet.sale().paused);
            fleet.hear(END, said(300, 3)).await;
            assert!(fleet.sale().paused && fleet.sale().ended);
        });
    }

    /// It was dropped, and whoever told it took it for done: with its teller's journal lost nobody had it.
    #[test]
    fn an_end_counts_whatever_newer_word_came_first() {
        in_fleet(async |fleet| {
            fleet.store_has(150);
            fleet.hear(RESUME, said(200, 3)).await;
            fleet.hear(END, said(100, 3)).await;
            assert!(fleet.sale().ended);
            let resume = Word::Phase(fleet.activity, RESUME);
            assert_eq!(fleet.desk.control.say(resume).await, None, "nothing stands behind an end");
        });
    }

    /// Its instant was from before its record was durable: with the store a moment behind, the others took it for
    /// stored, and did as the row said.
    #[test]
    fn a_word_that_is_done_once_more_is_said_when_that_is_durable() {
        in_fleet(async |fleet| {
            let (control, activity) = (&fleet.desk.control, fleet.activity);
            let resume = Command::ChangePhase { activity, change: RESUME };
            assert_eq!(control.owners.ask(0, resume).await, Verdict::ActivityChanged);
            fleet.hear(PAUSE, said(100, 3)).await;
            let durable = || control.engine.journal().durable_position();
            let before = durable();
            let durable_at = async {
                while durable() == before {
                    fleet.desk.clock.advance(1);
                    yield_now().await;
                }
                control.now()
            };
            let (said, durable_at) =
                join(control.say(Word::Phase(activity, RESUME)), durable_at).await;
            assert!(!fleet.sale().paused);
            assert!(said.unwrap().at >= durable_at);
        });
    }

    /// A word that was said again for some seconds came behind a newer one that the store had by then.
    #[test]
    fn what_the_store_has_already_changes_nothing() {
        in_fleet(async |mut fleet| {
            fleet.hear(RESUME, said(200, 3)).await;
            fleet.store_has(201);
            fleet.learn().await;
            fleet.hear(PAUSE, said(100, 3)).await;
            assert!(!fleet.sale().paused);
            fleet.hear(PAUSE, said(100, 9)).await;
            assert!(fleet.sale().paused, "nobody knows what the store has of that one");
            fleet.learn().await;
            assert!(!fleet.sale().paused);
        });
    }

    /// A gateway that no call reached sold on until the storm at the other was over.
    #[test]
    fn the_store_has_a_word_soon_whatever_pours_in_behind_it() {
        in_fleet(async |fleet| {
            let (control, activity) = (&fleet.desk.control, fleet.activity);
            let flushed = control.engine.flushed_position();
            assert!(!control.flush.is_awaited(flushed));
            let pause = Command::ChangePhase { activity, change: PAUSE };
            assert_eq!(control.owners.ask(0, pause).await, Verdict::ActivityChanged);
            control.tell_all(Word::Phase(activity, PAUSE)).await;
            assert!(control.flush.is_awaited(flushed));
            fleet.flush().await;
            assert!(!control.flush.is_awaited(control.engine.flushed_position()));
        });
    }

    /// The older word came to the store later, and all followed it.
    #[test]
    fn an_older_word_of_its_own_is_not_the_stores_last() {
        in_fleet(async |mut fleet| {
            let control = &fleet.desk.control;
            let activity = fleet.activity;
            let pause = Command::ChangePhase { activity, change: PAUSE };
            assert_eq!(control.owners.ask(0, pause).await, Verdict::ActivityChanged);
            control.tell_all(Word::Phase(activity, PAUSE)).await;
            let newer = Said { at: control.now().plus_ms(1), by: 3 };
            fleet.hear(RESUME, newer).await;
            fleet.flush().await;
            assert!(!fleet.desk.store.activity(activity).await.unwrap().paused);
            fleet.learn().await;
            assert!(!fleet.sale().paused);
        });
    }

    /// Whoever does something has seen what they undo: by a clock that is behind they said so before it, and
    /// what came while it was written down was done behind it.
    #[test]
    fn what_is_done_here_is_newer_than_all_that_was_heard_and_done_last() {
        in_fleet(async |fleet| {
            let (control, activity) = (&fleet.desk.control, fleet.activity);
            let ahead = control.now().plus_ms(5_000);
            let resume = Command::ChangePhase { activity, change: RESUME };
            assert_eq!(control.owners.ask(0, resume).await, Verdict::ActivityChanged);
            fleet.hear(PAUSE, Said { at: ahead, by: 3 }).await;
            assert!(fleet.sale().paused);
            let own = control.say(Word::Phase(activity, RESUME)).await.unwrap();
            assert!(own.at > ahead && !fleet.sale().paused);
            fleet.hear(PAUSE, Said { at: ahead, by: 9 }).await;
            assert!(!fleet.sale().paused);
        });
    }
}
