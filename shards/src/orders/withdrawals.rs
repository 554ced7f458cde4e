//! Withdrawals that were carried out under an idempotency key, so that none is carried out twice.
//!
//! It knows keys; it does not know what was withdrawn, nor by whom.

use std::collections::VecDeque;

use crate::clock::Timestamp;
use crate::limits::{WITHDRAWAL_KEPT_MS, WITHDRAWALS_KEPT_MAX};
use crate::record::{Digest, UnitsLeftOnce};

/// The remembered withdrawals of one activity, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Withdrawals(VecDeque<UnitsLeftOnce>);

impl Withdrawals {
    /// Remembers one more; where there are too many the oldest is forgotten, which
    /// [`room`](Self::room) has seen to be old enough.
    pub fn remember(&mut self, withdrawal: UnitsLeftOnce) {
        if self.0.len() == WITHDRAWALS_KEPT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(withdrawal);
    }

    /// The withdrawal that a key was answered with.
    #[must_use]
    pub fn find(&self, key: Digest) -> Option<&UnitsLeftOnce> {
        self.0.iter().find(|it| it.key == key)
    }

    /// How many more may be remembered at `now` without forgetting one too early.
    #[must_use]
    pub fn room(&self, now: Timestamp) -> usize {
        let old = |it: &&UnitsLeftOnce| it.left.at.plus_ms(WITHDRAWAL_KEPT_MS) <= now;
        WITHDRAWALS_KEPT_MAX - self.0.len() + self.0.iter().take_while(old).count()
    }

    /// Whether one of them is too young at `now` to be forgotten.
    #[must_use]
    pub fn are_needed(&self, now: Timestamp) -> bool {
        self.0.back().is_some_and(|it| it.left.at.plus_ms(WITHDRAWAL_KEPT_MS) > now)
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &UnitsLeftOnce> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ActivityId;
    use crate::record::UnitsLeft;

    fn withdrawal(number: u64) -> UnitsLeftOnce {
        let left = UnitsLeft { activity: ActivityId(1), quantity: 1, at: Timestamp(number) };
        UnitsLeftOnce { left, key: u128::from(number).to_le_bytes(), body: [7; 16] }
    }

    #[test]
    fn the_oldest_are_forgotten_and_not_before_their_time() {
        let most = WITHDRAWALS_KEPT_MAX as u64;
        let mut withdrawals = Withdrawals::default();
        for number in 1..=most {
            assert_eq!(withdrawals.room(Timestamp(number)) as u64, most + 1 - number);
            withdrawals.remember(withdrawal(number));
        }
        let at = |ms| Timestamp(WITHDRAWAL_KEPT_MS + ms);
        let room = [at(0), at(1), at(2), at(most)].map(|now| withdrawals.room(now));
        assert_eq!(room, [0, 1, 2, WITHDRAWALS_KEPT_MAX]);
        assert!(withdrawals.are_needed(at(most - 1)) && !withdrawals.are_needed(at(most)));
        withdrawals.remember(withdrawal(most + 1));
        assert_eq!(withdrawals.iter().count(), WITHDRAWALS_KEPT_MAX);
        assert_eq!(withdrawals.find(withdrawal(1).key), None);
        for number in [2, most, most + 1] {
            assert_eq!(withdrawals.find(withdrawal(number).key), Some(&withdrawal(number)));
        }
    }
}
