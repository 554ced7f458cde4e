//! The totals of every activity at one position: the fold without its orders.
//!
//! A follower that only counts keeps this; it costs a few additions a record.

use std::collections::BTreeMap;

use super::fold::{Fold, FoldedActivity};
use super::lease::Lease;
use crate::ids::ActivityId;
use crate::record::{Record, Totals};

/// One activity's sum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sum {
    /// Units ever stocked.
    pub stocked: u32,
    /// What of them was lent to this gateway; none where it sells alone.
    pub lease: Option<Lease>,
    /// Whether it is closed.
    pub closed: bool,
    /// What its records add up to.
    pub totals: Totals,
}

impl Sum {
    /// Units that this gateway has, sold ones among them: all, or what it was lent.
    #[must_use]
    pub fn units(&self) -> u32 {
        self.lease.map_or(self.stocked, |lease| lease.net)
    }

    /// Units that are free at this position: `units = free + held + sold + written off + left`.
    ///
    /// # Panics
    /// When more units are gone than it ever had: an oversell.
    #[must_use]
    pub fn free(&self) -> u64 {
        let free = u64::from(self.units()).checked_sub(self.totals.not_free());
        free.expect("no more units are gone than there were")
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
            let FoldedActivity { lease, closed, totals, .. } = *activity;
            (id, Sum { stocked, lease, closed, totals })
        });
        Self { activities: activities.collect() }
    }

    /// Counts a record.
    pub fn apply(&mut self, record: &Record) {
        if let Record::ActivityPublished(published) | Record::LeasedActivityPublished(published) =
            record
        {
            let sum = self.activities.entry(published.activity).or_default();
            sum.stocked = published.terms.stocked;
            if matches!(record, Record::LeasedActivityPublished(_)) {
                sum.lease.get_or_insert_default();
            }
        }
        if let Some(id) = record.leased_activity() {
            let sum = self.activities.entry(id).or_default();
            sum.lease.get_or_insert_default().apply(record);
        }
        if let Some(id) = record.counted_activity() {
            let sum = self.activities.entry(id).or_default();
            sum.totals.apply(record);
            sum.closed |= matches!(record, Record::ActivityClosed(_) | Record::LeaseClosed(_));
        }
    }
}
