//! Words between gateways: what an operator did at one is told to the others that are there, by calls that
//! are lost, late or not answered, and is heard by the real code.
//!
//! It must not know what becomes of a word.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::{Either, join_all, select};
use seckill_shards::clock::Clock;
use seckill_shards::testing::SimulatedClock;
use tokio::sync::oneshot;

use super::gateway::rest;
use super::world::World;
use crate::api::{Said, Word};
use crate::control::limits::{TELL_AGAIN, TELL_PATIENCE, TELL_US_MAX};
use crate::peers::limits::AGE_MS_MAX;
use crate::reconcile::testing::Way;

/// A call that tells a word.
#[derive(Debug)]
pub(super) struct Call {
    to: u16,
    word: Word,
    said: Said,
    answer: oneshot::Sender<bool>,
}

/// The calls that have not arrived yet.
pub(super) type UnderWay = Rc<RefCell<Vec<Call>>>;

impl World {
    /// Something was done at a gateway, which tells all others that are there, as far as it knows.
    pub(super) fn tell(&mut self, at: usize, word: Word) {
        let gateway = &mut self.gateways[at];
        let (under_way, clock) = (Rc::clone(&self.words), Arc::clone(&gateway.clock));
        let Some(running) = gateway.running.as_mut().filter(|_| gateway.host.is_none()) else {
            return;
        };
        let control = Arc::clone(&running.control);
        running.begin_word(async move {
            let Some(said) = control.say(word).await else { return };
            let peers = control.peers().expect("there are others").all();
            let others = peers.into_iter().filter(|peer| peer.is_present());
            // They are few, so that each goes on whenever one does.
            join_all(others.map(|it| tell(&under_way, &clock, it.number, (word, said)))).await;
        });
    }

    /// A call goes on to another gateway, not always the first one first.
    pub(super) fn carry_word(&mut self) {
        let calls = self.words.borrow().len();
        let at = if self.random.once_in(4) { self.random.index(calls) } else { 0 };
        let call = self.words.borrow_mut().remove(at);
        let way = match self.random.index(10) {
            0 => Way::Lost,
            1 | 2 => Way::Unanswered,
            _ => Way::Whole,
        };
        self.arrive(call, way);
    }

    /// All calls go on; whether there were any.
    pub(super) fn carry_words(&mut self) -> bool {
        let calls = self.words.take();
        let are_some = !calls.is_empty();
        calls.into_iter().for_each(|call| self.arrive(call, Way::Whole));
        are_some
    }

    /// Whoever tells a word sees at once that a call, or its answer, is lost.
    fn arrive(&mut self, call: Call, way: Way) {
        let Call { to, word, said, answer } = call;
        let are_linked = self.reaches_peers(said.by) && self.reaches_peers(to);
        let way = if are_linked { way } else { Way::Lost };
        self.note(|| format!("{} tells {to} {word:?} of {}, {way:?}", said.by, said.at.0));
        let at = usize::from(to);
        let is_there = self.is_own(at) && way != Way::Lost;
        let gateway = &mut self.gateways[at];
        // As the door for such calls does.
        let is_fresh = said.at.0.abs_diff(gateway.clock.now().0) <= AGE_MS_MAX;
        let Some(running) = gateway.running.as_mut().filter(|_| is_there && is_fresh) else {
            return;
        };
        let control = Arc::clone(&running.control);
        running.begin_word(async move {
            let is_done = control.hear_word(word, said).await;
            if way == Way::Whole {
                // Whoever told it may have given up.
                answer.send(is_done).unwrap_or_default();
            }
        });
    }
}

/// As [`Control::tell_all`](crate::control::Control::tell_all) does with each of the others.
async fn tell(under_way: &UnderWay, clock: &SimulatedClock, to: u16, (word, said): (Word, Said)) {
    let until_us = clock.elapsed_us() + TELL_US_MAX;
    loop {
        let (answer, answered) = oneshot::channel();
        under_way.borrow_mut().push(Call { to, word, said, answer });
        let patience = pin!(rest(clock, TELL_PATIENCE));
        let is_done = matches!(select(answered, patience).await, Either::Left((Ok(true), _)));
        if is_done || clock.elapsed_us() >= until_us {
            return;
        }
        rest(clock, TELL_AGAIN).await;
    }
}
