//! The totals of every activity at one position: the fold without its orders.
//!
//! A follower that only counts keeps this; it costs a few additions a record.

use std::collections::BTreeMap;

use super::fold::Fold;
use crate::ids::ActivityId;
use crate::record::{Record, Totals};

/// One activity's sum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sum {
    /// Units ever stocked.
    pub stocked: u32,
    /// Whether it is closed.
    pub closed: bool,
    /// What its records add up to.
    pub totals: Totals,
}

impl Sum {
    /// Units that are free at this position: `stocked = free + held + sold + written off + left`.
    ///
    /// # Panics
    /// When more units are gone than were ever stocked: an oversell.
    #[must_use]
    pub fn free(&self) -> u64 {
        let free = u64::from(self.stocked).checked_sub(self.totals.not_free());
        free.expect("no more units are gone than were stocked")
    }
}

/// The sums of all activities.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sums {
    /// By activity.
    pub activities: BTreeMap<ActivityId, Sum>,
}

impl Sums {
    /// The sums of a fold.
    #[must_use]
    pub fn of(fold: &Fold) -> Self {
        let activities = fold.activities.iter().map(|(&id, activity)| {
            let stocked = activity.published.terms.stocked;
            (id, Sum { stocked, closed: activity.closed, totals: activity.totals })
        });
        Self { activities: activities.collect() }
    }

    /// Counts a record.
    pub fn apply(&mut self, record: &Record) {
        if let Record::ActivityPublished(published) = record {
            let sum = self.activities.entry(published.activity).or_default();
            sum.stocked = published.terms.stocked;
        }
        if let Some(id) = record.counted_activity() {
            let sum = self.activities.entry(id).or_default();
            sum.totals.apply(record);
            sum.closed |= matches!(record, Record::ActivityClosed(_));
        }
    }
}
