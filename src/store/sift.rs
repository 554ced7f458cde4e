//! Sifting: the rows for whose sake the store does not take a batch are found and left out of it,
//! so that one row never stops the rest.
//!
//! It must not know SQL, nor why a row is refused: it asks the store what it would take.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use seckill_shards::ids::{ActivityId, OrderId, PaymentId};
use seckill_shards::record::Record;

use super::flush::{Changes, Row};
use super::{Batch, Fault, FlushBatch, JournalPosition, Store, Stored};

/// Rows of one batch that are left out at most: where more do not fit, the store is another one.
pub const LEFT_OUT_MAX: usize = 64;

/// What a row of a batch is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// An activity.
    Activity(ActivityId),
    /// An order.
    Order(OrderId),
    /// A payment.
    Payment(PaymentId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Activity(id) => write!(f, "activity {id}"),
            Self::Order(id) => write!(f, "order {id}"),
            Self::Payment(id) => write!(f, "payment {id}"),
        }
    }
}

impl Subject {
    /// The order, where it is one.
    #[must_use]
    pub fn order(&self) -> Option<OrderId> {
        match self {
            Self::Order(id) => Some(*id),
            Self::Activity(_) | Self::Payment(_) => None,
        }
    }

    /// The order that a row that is set aside is about, where it is about one.
    #[must_use]
    pub fn order_named(subject: &str) -> Option<OrderId> {
        subject.strip_prefix("order ")?.parse().ok().map(OrderId)
    }

    /// What a record makes rows of.
    #[must_use]
    pub fn of(record: &Record) -> Vec<Self> {
        // Folded alone, so that there is one place that knows.
        let from = JournalPosition { journal_id: [0; 16], epoch: 0, position: 0 };
        let mut batch = Batch::new(0, from);
        batch.push(record);
        subjects(&batch.finish(1))
    }
}

/// A batch without the rows that the store refuses, and these with the reasons.
///
/// # Errors
/// What the store says where it is not a row's fault, or the fault of more than [`LEFT_OUT_MAX`].
pub async fn sift(
    store: &dyn Store,
    batch: &FlushBatch,
) -> Stored<(FlushBatch, Vec<(Subject, String)>)> {
    let subjects = subjects(batch);
    let sieve = Sieve { store, batch };
    let mut refused = BTreeMap::new();
    let mut taken = 0;
    while let Some(reason) = sieve.reason(subjects.len(), &refused).await? {
        if taken == subjects.len() || refused.len() == LEFT_OUT_MAX {
            let text =
                format!("rows of a batch are not taken, {} and more: {reason}", refused.len());
            return Err(Fault::Diverged(text).into());
        }
        let (row, reason) = sieve.next(taken..subjects.len(), &refused, reason).await?;
        refused.insert(row, reason);
        taken = row + 1;
    }
    let rest = only(batch, |row| !refused.contains_key(&row));
    let refused = refused.into_iter().map(|(row, reason)| (subjects[row], reason)).collect();
    Ok((rest, refused))
}

/// A batch, and the store that is asked about it.
struct Sieve<'a> {
    store: &'a dyn Store,
    batch: &'a FlushBatch,
}

impl Sieve<'_> {
    /// Why the store does not take the first rows without the refused ones; none where it does.
    async fn reason(
        &self,
        rows: usize,
        refused: &BTreeMap<usize, String>,
    ) -> Stored<Option<String>> {
        let part = only(self.batch, |row| row < rows && !refused.contains_key(&row));
        match self.store.rehearse(Arc::new(part)).await {
            Ok(()) => Ok(None),
            Err(error) if error.lies_in_a_row() => Ok(Some(error.to_string())),
            Err(error) => Err(error),
        }
    }

    /// The first row in a range that the store does not take behind all before it. Everything
    /// before the range is taken, and everything before its end is not, for this reason.
    async fn next(
        &self,
        range: std::ops::Range<usize>,
        refused: &BTreeMap<usize, String>,
        mut reason: String,
    ) -> Stored<(usize, String)> {
        let (mut taken, mut untaken) = (range.start, range.end);
        while untaken - taken > 1 {
            let middle = taken.midpoint(untaken);
            match self.reason(middle, refused).await? {
                None => taken = middle,
                Some(why) => (untaken, reason) = (middle, why),
            }
        }
        Ok((taken, reason))
    }
}

/// What the rows of a batch are about, in their order.
fn subjects(batch: &FlushBatch) -> Vec<Subject> {
    let orders = ids(&batch.orders).map(Subject::Order);
    let payments = ids(&batch.payments).map(Subject::Payment);
    let activities = batch.activities.iter().map(|change| Subject::Activity(change.activity));
    orders.chain(payments).chain(activities).collect()
}

fn ids<R: Row>(changes: &Changes<R>) -> impl Iterator<Item = R::Id> {
    changes.new.iter().map(Row::id).chain(changes.moves.iter().map(|moved| moved.id))
}

/// The batch with those rows only whose numbers, in the order of [`subjects`], are taken.
fn only(batch: &FlushBatch, takes: impl Fn(usize) -> bool) -> FlushBatch {
    let mut rows = 0..;
    let mut next = || rows.next().is_some_and(&takes);
    let mut part = batch.clone();
    part.orders.new.retain(|_| next());
    part.orders.moves.retain(|_| next());
    part.payments.new.retain(|_| next());
    part.payments.moves.retain(|_| next());
    part.activities.retain(|_| next());
    part
}
