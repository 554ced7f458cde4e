//! A circuit breaker: a follower of the sale that fails or is slow is not asked for a while, and a
//! few probes find out when it is back (M. Nygard, *Release It!*, 2007).
//!
//! It reads no clock: instants are told, in microseconds of the gateway's.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// When a breaker opens, and how it closes again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Calls that are looked back at, at least one.
    pub calls: usize,
    /// How far they are looked back at, in microseconds.
    pub age_us: u64,
    /// Bad ones among them that open it, at least one.
    pub bad: usize,
    /// How long nobody asks once it is open, in microseconds.
    pub rest_us: u64,
    /// Calls that are let through after the rest, at least one; it closes when all of them were
    /// good, and opens at the first that was not.
    pub probes: u32,
}

/// How a breaker stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BreakerState {
    /// Everybody may ask.
    Closed,
    /// A few ask, to find out.
    HalfOpen,
    /// Nobody asks.
    Open,
}

/// The breaker before one follower.
#[derive(Debug)]
pub struct Breaker {
    name: Cow<'static, str>,
    rule: Rule,
    inner: Mutex<Inner>,
    opened: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// Rises with every change of state, so that a call counts only in the one it was made in.
    era: u64,
    /// The latest instant that was told.
    latest_us: u64,
}

#[derive(Debug)]
enum State {
    /// The last calls, oldest first: when each ended, and whether it was bad.
    Closed(VecDeque<(u64, bool)>),
    HalfOpen {
        asked: u32,
        good: u32,
    },
    Open {
        until_us: u64,
    },
}

/// The right to one call. Dropped without a word it counts as bad: the call was lost.
#[derive(Debug)]
#[must_use]
pub struct Pass {
    breaker: Arc<Breaker>,
    era: u64,
    is_told: bool,
}

impl Breaker {
    /// A closed breaker, by the name that the log has for it.
    ///
    /// # Panics
    /// When a number of the rule is zero that must not be, or it wants more bad calls than it
    /// looks at.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>, rule: Rule) -> Arc<Self> {
        assert!(rule.bad > 0 && rule.bad <= rule.calls && rule.probes > 0, "{rule:?}");
        let inner = Inner { state: State::Closed(VecDeque::new()), era: 0, latest_us: 0 };
        let (opened, refused) = (AtomicU64::new(0), AtomicU64::new(0));
        let name = name.into();
        Arc::new(Self { name, rule, inner: Mutex::new(inner), opened, refused })
    }

    /// Asks to make a call now; none where the follower is left alone.
    #[must_use]
    pub fn ask(self: &Arc<Self>, now_us: u64) -> Option<Pass> {
        let mut inner = self.at(now_us);
        if inner.rests_until().is_some_and(|until_us| now_us >= until_us) {
            inner.turn(State::HalfOpen { asked: 0, good: 0 });
        }
        let may = match &mut inner.state {
            State::Closed(_) => true,
            State::HalfOpen { asked, .. } if *asked < self.rule.probes => {
                *asked += 1;
                true
            }
            State::HalfOpen { .. } | State::Open { .. } => false,
        };
        if !may {
            // Relaxed: a figure for people.
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(Pass { breaker: Arc::clone(self), era: inner.era, is_told: false })
    }

    /// Whether it would be in vain to ask now: for whoever has work to do before.
    #[must_use]
    pub fn rests(&self, now_us: u64) -> bool {
        self.lock().rests_until().is_some_and(|until_us| now_us < until_us)
    }

    /// How it stands. One that has rested enough is open still, until somebody asks.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        match self.lock().state {
            State::Closed(_) => BreakerState::Closed,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
            State::Open { .. } => BreakerState::Open,
        }
    }

    /// How often it has opened.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Calls that it has not let through.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Counts a call of an era that has ended now.
    fn count(&self, mut inner: MutexGuard<'_, Inner>, era: u64, is_bad: bool) {
        if inner.era != era {
            return;
        }
        let now_us = inner.latest_us;
        let rule = self.rule;
        let opens = match &mut inner.state {
            State::Closed(recent) => {
                recent.push_back((now_us, is_bad));
                let is_old = |ended_us: u64| now_us - ended_us > rule.age_us;
                while recent.len() > rule.calls || recent.front().is_some_and(|it| is_old(it.0)) {
                    recent.pop_front();
                }
                recent.iter().filter(|(_, is_bad)| *is_bad).count() >= rule.bad
            }
            State::HalfOpen { .. } if is_bad => true,
            State::HalfOpen { good, .. } => {
                *good += 1;
                if *good == rule.probes {
                    inner.turn(State::Closed(VecDeque::new()));
                    tracing::info!(breaker = &*self.name, "closed: calls are let through again");
                }
                false
            }
            State::Open { .. } => unreachable!("nobody asks in this era"),
        };
        if opens {
            inner.turn(State::Open { until_us: now_us.saturating_add(rule.rest_us) });
            // Relaxed: a figure for people.
            self.opened.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(breaker = &*self.name, "opened: calls are refused for a while");
        }
    }

    fn at(&self, now_us: u64) -> MutexGuard<'_, Inner> {
        let mut inner = self.lock();
        inner.latest_us = inner.latest_us.max(now_us);
        inner
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics under this lock")
    }
}

impl Inner {
    fn turn(&mut self, state: State) {
        self.state = state;
        self.era += 1;
    }

    fn rests_until(&self) -> Option<u64> {
        match self.state {
            State::Open { until_us } => Some(until_us),
            State::Closed(_) | State::HalfOpen { .. } => None,
        }
    }
}

impl Pass {
    /// Says what the call has come to by now: `is_good` when it was answered in time, whatever the
    /// answer was.
    pub fn done(mut self, is_good: bool, now_us: u64) {
        self.is_told = true;
        self.breaker.count(self.breaker.at(now_us), self.era, !is_good);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !self.is_told {
            self.breaker.count(self.breaker.lock(), self.era, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULE: Rule = Rule { calls: 4, age_us: 5_000, bad: 2, rest_us: 1_000, probes: 2 };

    fn call(breaker: &Arc<Breaker>, is_good: bool, now_us: u64) -> bool {
        let pass = breaker.ask(now_us);
        let asked = pass.is_some();
        if let Some(pass) = pass {
            pass.done(is_good, now_us);
        }
        asked
    }

    /// A breaker that has opened at instant 0.
    fn open() -> Arc<Breaker> {
        let breaker = Breaker::new("test", RULE);
        assert!(call(&breaker, false, 0) && call(&breaker, false, 0));
        assert_eq!((breaker.state(), breaker.opened()), (BreakerState::Open, 1));
        breaker
    }

    #[test]
    fn it_opens_at_as_many_bad_calls_among_the_last() {
        for (calls, expected) in [
            ("..x.", BreakerState::Closed),
            ("x...x", BreakerState::Closed),
            ("x..x", BreakerState::Open),
            ("....xx", BreakerState::Open),
        ] {
            let breaker = Breaker::new("test", RULE);
            for mark in calls.chars() {
                assert!(call(&breaker, mark == '.', 0), "{calls}");
            }
            assert_eq!(breaker.state(), expected, "{calls}");
        }
    }

    #[test]
    fn a_lost_call_is_bad_and_an_old_one_is_forgotten() {
        let breaker = Breaker::new("test", RULE);
        assert!(call(&breaker, false, 0));
        assert!(call(&breaker, false, 5_001));
        assert_eq!(breaker.state(), BreakerState::Closed);
        drop(breaker.ask(5_100).unwrap());
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(breaker.rests(6_099) && !breaker.rests(6_100));
    }

    #[test]
    fn f8_after_its_rest_it_lets_a_few_through_and_closes_when_all_were_good() {
        let breaker = open();
        assert!(!call(&breaker, true, 999));
        let probes = [breaker.ask(1_000).unwrap(), breaker.ask(1_000).unwrap()];
        assert!(breaker.ask(1_000).is_none());
        assert_eq!((breaker.state(), breaker.refused()), (BreakerState::HalfOpen, 2));
        for probe in probes {
            assert_eq!(breaker.state(), BreakerState::HalfOpen);
            probe.done(true, 1_001);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        // What was bad before is forgotten.
        assert!(call(&breaker, false, 1_002) && call(&breaker, true, 1_002));
        assert_eq!((breaker.state(), breaker.opened()), (BreakerState::Closed, 1));
    }

    #[test]
    fn a_bad_probe_opens_it_for_another_rest() {
        let breaker = open();
        let late = breaker.ask(1_000).unwrap();
        assert!(call(&breaker, false, 1_500));
        assert_eq!((breaker.state(), breaker.opened()), (BreakerState::Open, 2));
        late.done(true, 1_501);
        assert!(!call(&breaker, true, 2_499));
        assert!(call(&breaker, true, 2_500));
    }

    #[test]
    fn a_call_counts_only_in_the_state_it_was_made_in() {
        let breaker = Breaker::new("test", RULE);
        let late: Vec<_> = (0..3).map(|_| breaker.ask(0).unwrap()).collect();
        assert!(call(&breaker, false, 0) && call(&breaker, false, 0));
        for pass in late {
            pass.done(false, 500);
        }
        assert_eq!((breaker.state(), breaker.opened()), (BreakerState::Open, 1));
        assert!(breaker.ask(1_000).is_some(), "late failures did not prolong the rest");
    }

    proptest! {
        /// Whatever comes: an open breaker is never asked before its rest is over, and no half-open
        /// one lets more through than the rule has.
        #[test]
        fn it_never_asks_more_than_it_may(steps in prop::collection::vec((0..4_u8, 0..700_u64), 1..200)) {
            let breaker = Breaker::new("test", RULE);
            let (mut now, mut under_way, mut opened_at) = (0, Vec::new(), None);
            for (step, later) in steps {
                now += later;
                let before = breaker.state();
                match step {
                    0 | 1 => {
                        let pass = breaker.ask(now);
                        if let (Some(at), BreakerState::Open) = (opened_at, before) {
                            prop_assert_eq!(pass.is_some(), now >= at + RULE.rest_us);
                        }
                        under_way.extend(pass);
                    }
                    _ if under_way.is_empty() => {}
                    _ => under_way.remove(0).done(step == 2, now),
                }
                let era = breaker.lock().era;
                let probes = under_way.iter().filter(|pass| pass.era == era).count();
                if breaker.state() == BreakerState::HalfOpen {
                    prop_assert!(probes <= RULE.probes as usize);
                }
                if breaker.state() == BreakerState::Open && before != BreakerState::Open {
                    opened_at = Some(now);
                }
            }
        }
    }
}
