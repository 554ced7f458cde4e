//! A circuit breaker: a follower of the sale that fails or is slow is not asked for a while, and a
//! few probes find out when it is back (M. Nygard, *Release It!*, 2007).
//!
//! It reads no clock: instants are told, in microseconds of the gateway's.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// When a breaker opens, and how it closes again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Calls that are looked back at, at least one.
    pub calls: usize,
    /// Bad ones among them that open it, at least one.
    pub bad: usize,
    /// A call that takes this long is bad, whatever comes of it, in microseconds.
    pub slow_us: u64,
    /// How long nobody asks once it is open, in microseconds.
    pub rest_us: u64,
    /// Calls that are let through after the rest; it closes when all of them were good, and opens at the
    /// first that was not.
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
}

#[derive(Debug)]
enum State {
    /// The last calls, oldest first: whether each was bad.
    Closed(VecDeque<bool>),
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
    asked_us: u64,
    is_told: bool,
}

impl Breaker {
    /// A closed breaker.
    ///
    /// # Panics
    /// When a number of the rule is zero, or it wants more bad calls than it looks at.
    #[must_use]
    pub fn new(rule: Rule) -> Arc<Self> {
        assert!(rule.bad > 0 && rule.bad <= rule.calls && rule.probes > 0, "{rule:?}");
        let inner = Inner { state: State::Closed(VecDeque::with_capacity(rule.calls)), era: 0 };
        let (opened, refused) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { rule, inner: Mutex::new(inner), opened, refused })
    }

    /// Asks to make a call now; none where the follower is left alone.
    #[must_use]
    pub fn ask(self: &Arc<Self>, now_us: u64) -> Option<Pass> {
        let mut inner = self.lock();
        if let State::Open { until_us } = inner.state
            && now_us >= until_us
        {
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
        let (breaker, era) = (Arc::clone(self), inner.era);
        Some(Pass { breaker, era, asked_us: now_us, is_told: false })
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

    /// Counts a call of an era.
    fn count(&self, era: u64, is_bad: bool, now_us: u64) {
        let mut inner = self.lock();
        if inner.era != era {
            return;
        }
        let opens = match &mut inner.state {
            State::Closed(recent) => {
                if recent.len() == self.rule.calls {
                    recent.pop_front();
                }
                recent.push_back(is_bad);
                recent.iter().filter(|bad| **bad).count() >= self.rule.bad
            }
            State::HalfOpen { .. } if is_bad => true,
            State::HalfOpen { good, .. } => {
                *good += 1;
                if *good == self.rule.probes {
                    inner.turn(State::Closed(VecDeque::with_capacity(self.rule.calls)));
                }
                false
            }
            State::Open { .. } => unreachable!("nobody asks in this era"),
        };
        if opens {
            inner.turn(State::Open { until_us: now_us.saturating_add(self.rule.rest_us) });
            // Relaxed: a figure for people.
            self.opened.fetch_add(1, Ordering::Relaxed);
        }
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
}

impl Pass {
    /// Says what came of the call: `is_good` when it was answered, a refusal included.
    pub fn done(mut self, is_good: bool, now_us: u64) {
        self.is_told = true;
        let is_slow = now_us.saturating_sub(self.asked_us) >= self.breaker.rule.slow_us;
        self.breaker.count(self.era, !is_good || is_slow, now_us);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !self.is_told {
            self.breaker.count(self.era, true, self.asked_us);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULE: Rule = Rule { calls: 4, bad: 2, slow_us: 100, rest_us: 1_000, probes: 2 };

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
        let breaker = Breaker::new(RULE);
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
            let breaker = Breaker::new(RULE);
            for mark in calls.chars() {
                assert!(call(&breaker, mark == '.', 0), "{calls}");
            }
            assert_eq!(breaker.state(), expected, "{calls}");
        }
    }

    #[test]
    fn a_slow_call_and_a_lost_one_are_bad() {
        let breaker = Breaker::new(RULE);
        breaker.ask(0).unwrap().done(true, 99);
        breaker.ask(0).unwrap().done(true, 100);
        assert_eq!(breaker.state(), BreakerState::Closed);
        drop(breaker.ask(100).unwrap());
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[test]
    fn after_its_rest_it_lets_a_few_through_and_closes_when_all_were_good() {
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
        let breaker = Breaker::new(RULE);
        let late: Vec<_> = (0..3).map(|_| breaker.ask(0).unwrap()).collect();
        assert!(call(&breaker, false, 0) && call(&breaker, false, 0));
        for pass in late {
            pass.done(false, 500);
        }
        assert_eq!((breaker.state(), breaker.opened()), (BreakerState::Open, 1));
        assert!(breaker.ask(1_000).is_some(), "late failures did not prolong the rest");
    }

    proptest! {
        /// Whatever comes: an open breaker is never asked before its rest is over, and never more
        /// probes are under way than the rule has.
        #[test]
        fn it_never_asks_more_than_it_may(steps in prop::collection::vec((0..4_u8, 0..700_u64), 1..200)) {
            let breaker = Breaker::new(RULE);
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
