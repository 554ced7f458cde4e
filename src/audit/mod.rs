//! The audit: the journal and the store, compared order by order at the store's position; and with
//! Redis, where several gateways sell.
//!
//! It trusts none of them: the journal is folded from its files beside the running gateway, the store's
//! rows are read in one transaction. What it could not compare it says, and never calls balanced.

mod buyers;
mod fleet;
mod lent;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use seckill_shards::command::OrderView;
use seckill_shards::disk::MachineDisk;
use seckill_shards::engine::{Found, OpenError, read_fold};
use seckill_shards::ids::{ActivityId, UserId};
use seckill_shards::orders::{Fold, FoldedActivity, fingerprint};
use serde::{Deserialize, Serialize};

use crate::reconcile::Leases;
use crate::store::{self, OrderRow, SetAside, Store, StoreError};

pub use self::fleet::FleetAudit;

use self::buyers::Buyers;
use self::lent::Shared;

/// Differences that a report spells out; the rest is counted.
const DIFFERENCES_SHOWN: usize = 20;
/// A deadline that the journal has passed by more than this, in milliseconds, without an expiry.
const OVERDUE_MS: u64 = 1_000;
/// Times that a running gateway's files are read again after they changed under the reader.
const READS_MAX: usize = 5;

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// There is no journal.
    #[error("there is no journal in the data directory")]
    NoJournal,
    /// The journal cannot be read.
    #[error("the journal cannot be read")]
    Journal(#[from] OpenError),
    /// The disk's word.
    #[error("the data directory cannot be read")]
    Disk(#[from] std::io::Error),
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
    /// A gateway that runs has moved on faster than it could be read, several times.
    #[error("the journal moves faster than it can be read")]
    Outrun,
    /// The store follows another journal, or none.
    #[error("the store does not follow this journal")]
    NotFollowed,
}

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub struct Books<'a> {
    /// Whose they are.
    pub gateway: u16,
    /// Another speaks for it: its unpaid orders wait until their provider was asked.
    pub is_adopted: bool,
    /// The folder of its journal.
    pub journal: &'a Path,
    /// The store.
    pub store: &'a dyn Store,
    /// The Redis through which it shares its sales; none where it is alone.
    pub redis: Option<&'a Leases>,
}

/// One activity's account.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ActivityAudit {
    /// Units ever stocked, or lent to this gateway where several share the activity.
    pub stock_total: u64,
    /// In paid orders.
    pub sold: u64,
    /// Held by open orders.
    pub held: u64,
    /// Decided and not durable: none at a position of the journal.
    pub reserved: u64,
    /// Withdrawn, or back at the closing.
    pub returned: u64,
    /// Refunded without coming back.
    pub written_off: u64,
    /// Free.
    pub remaining: u64,
    /// Buyers with more units than the limit: by the journal, or by the rows of all gateways.
    pub over_limit_users: u64,
    /// Open orders whose deadline the journal has passed; none of a gateway that was adopted.
    pub overdue_unpaid: u64,
    /// Whether everything was compared, and agrees.
    pub balanced: bool,
    /// What was not compared, and why.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub not_compared: BTreeSet<NotCompared>,
    /// The position compared.
    pub at_position: u64,
    /// What each source says.
    pub sources: Sources,
    /// How many differences there are.
    pub difference_count: u64,
    /// The first of them, for people.
    pub differences: Vec<String>,
}

/// Why something of an account was not compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotCompared {
    /// Redis was not reached, or does not answer as it must.
    RedisAway,
    /// What Redis knew is being built anew, or the gateway has yet to say what it has.
    RedisRebuilding,
    /// Redis has the leases of a newer release.
    RedisNewer,
    /// The store did not take rows of the journal, of whatever activity.
    RowsSetAside,
}

/// What the sources say of an activity.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Sources {
    /// Orders by the journal, folded away ones among them.
    pub journal_orders: u64,
    /// Orders by the store's rows.
    pub store_orders: u64,
    /// Units that are lent by Redis's word, where it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis_units: Option<u64>,
}

impl ActivityAudit {
    fn differ(&mut self, text: impl FnOnce() -> String) {
        self.difference_count += 1;
        if self.differences.len() < DIFFERENCES_SHOWN {
            self.differences.push(text());
        }
    }

    fn weigh(&mut self) {
        self.balanced = self.difference_count == 0 && self.not_compared.is_empty();
    }
}

/// What an audit comes to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Audits {
    /// The activities that were compared.
    pub compared: BTreeMap<u64, ActivityAudit>,
    /// Closed ones that the journal has forgotten: nothing can be said of them.
    pub forgotten: u64,
    /// Rows of this journal that the store did not take, of whatever activity.
    pub set_aside: Vec<SetAside>,
    /// All shared ones that are not closed.
    shared: BTreeMap<ActivityId, Shared>,
}

impl Audits {
    /// Whether something differs, or was set aside.
    #[must_use]
    pub fn differ(&self) -> bool {
        let differs = |audit: &ActivityAudit| audit.difference_count > 0;
        !self.set_aside.is_empty() || self.compared.values().any(differs)
    }

    fn weigh(&mut self) {
        for account in self.compared.values_mut() {
            if !self.set_aside.is_empty() {
                account.not_compared.insert(NotCompared::RowsSetAside);
            }
            account.weigh();
        }
    }
}

/// Audits one activity, or all, of a gateway.
///
/// # Errors
/// [`AuditError`] where nothing could be compared.
pub async fn audit(books: Books<'_>, activity: Option<ActivityId>) -> Result<Audits, AuditError> {
    for _ in 0..READS_MAX {
        if let Some(mut audits) = compare(books, activity).await? {
            lent::compare(books, &mut audits).await?;
            audits.weigh();
            return Ok(audits);
        }
    }
    Err(AuditError::Outrun)
}

/// Compares at the position that the store has now; none where a checkpoint has overtaken it
/// meanwhile, so that the journal cannot be folded to there any more.
async fn compare(
    books: Books<'_>,
    activity: Option<ActivityId>,
) -> Result<Option<Audits>, AuditError> {
    let Books { gateway, is_adopted, journal, store, redis } = books;
    let mut snapshot = store.snapshot(activity).await?;
    let followed = snapshot.positions.iter().find(|(number, _)| *number == gateway);
    let followed = followed.map(|(_, position)| *position).ok_or(AuditError::NotFollowed)?;
    let position = followed.position;
    let (found, fold) = read(journal, Some(position)).await?;
    if found.journal != Some(followed.journal_id) || found.position < position {
        return Err(AuditError::NotFollowed);
    }
    if found.checkpoint_position > position {
        return Ok(None);
    }
    let mut audit = Audit { shares: redis.is_some(), ..Audit::of(&fold, position, gateway) };
    if !is_adopted {
        audit.find_overdue(&fold);
    }
    if found.checkpoint.is_some() {
        audit.leave_out(&fold, &snapshot.activities);
    }
    while let Some(chunk) = snapshot.orders.recv().await {
        for (order, _payments) in chunk? {
            audit.compare(&fold, &order);
        }
    }
    for row in &snapshot.activities {
        audit.compare_activity(&fold, row);
    }
    let set_aside = store.all_set_aside(gateway).await?;
    Ok(Some(Audits { set_aside, ..audit.finish(&fold, activity) }))
}

/// Folds the journal up to a position, or all of it.
async fn read(journal: &Path, until: Option<u64>) -> Result<(Found, Fold), AuditError> {
    let folder = journal.to_owned();
    let read = tokio::task::spawn_blocking(move || read_until(&folder, until));
    read.await.expect("reading a journal does not panic")
}

/// A running gateway may recycle a file meanwhile, and then the reading begins again.
fn read_until(folder: &Path, until: Option<u64>) -> Result<(Found, Fold), AuditError> {
    let disk = MachineDisk::open_beside(folder).map_err(|_| AuditError::NoJournal)?;
    let mut reads = 0;
    loop {
        reads += 1;
        match read_fold(&disk, until) {
            Ok((found, _)) if found.journal.is_none() => return Err(AuditError::NoJournal),
            Ok(read) => return Ok(read),
            Err(error) if reads >= READS_MAX => return Err(error.into()),
            Err(_) => {}
        }
    }
}

/// The comparison under way.
struct Audit {
    position: u64,
    /// Whose journal it is: other gateways' orders are in theirs.
    gateway: u16,
    /// Whether others sell what it sells.
    shares: bool,
    activities: BTreeMap<ActivityId, ActivityAudit>,
    /// By the rows of all gateways.
    buyers: Buyers,
    /// Activities that are shared, and not closed.
    shared: BTreeMap<ActivityId, Shared>,
    /// Wrapping sums of the fingerprints of rows that the journal has folded away.
    folded_away: HashMap<ActivityId, u64>,
    /// Orders in the fold.
    folded: HashMap<ActivityId, u64>,
    /// Those of them that a row was found for.
    seen: HashMap<ActivityId, u64>,
    /// Closed activities that a checkpoint has forgotten.
    forgotten: HashSet<ActivityId>,
}

impl Audit {
    fn of(fold: &Fold, position: u64, gateway: u16) -> Self {
        let account = |activity: &FoldedActivity| account(activity, position);
        let activities = fold.activities.iter().map(|(&id, activity)| (id, account(activity)));
        let mut audit = Self {
            position,
            gateway,
            shares: false,
            activities: activities.collect(),
            buyers: Buyers::default(),
            shared: BTreeMap::new(),
            folded_away: HashMap::new(),
            folded: HashMap::new(),
            seen: HashMap::new(),
            forgotten: HashSet::new(),
        };
        for order in fold.orders.iter() {
            *audit.folded.entry(order.activity).or_default() += 1;
        }
        audit
    }

    /// Orders that should have expired by now.
    fn find_overdue(&mut self, fold: &Fold) {
        for order in fold.orders.iter() {
            let is_due = order.pay_before.plus_ms(OVERDUE_MS) < fold.last_at;
            let is_being_paid = order.payments.iter().any(|it| !it.status.is_final());
            if order.status.is_open() && is_due && !is_being_paid {
                let account = self.activities.entry(order.activity).or_default();
                account.overdue_unpaid += 1;
                account.differ(|| format!("order {} is overdue and not expired", order.id));
            }
        }
    }

    /// What the store has as closed and the journal does not know, a checkpoint may have forgotten:
    /// then there is nothing to compare it with.
    fn leave_out(&mut self, fold: &Fold, rows: &[store::Activity]) {
        let forgotten =
            rows.iter().filter(|row| row.closed && !fold.activities.contains_key(&row.id));
        self.forgotten = forgotten.map(|row| row.id).collect();
    }

    /// One row of the store against the journal.
    fn compare(&mut self, fold: &Fold, row: &OrderRow) {
        if self.forgotten.contains(&row.activity) {
            return;
        }
        self.buyers.count(row);
        if row.id.origin().gateway != self.gateway {
            return;
        }
        let account = self.activities.entry(row.activity).or_default();
        account.at_position = self.position;
        account.sources.store_orders += 1;
        let stored = view(row);
        match fold
            .orders
            .order(row.id)
            .map(|order| OrderView { payments: Vec::new(), ..order.view() })
        {
            Some(journaled) => {
                *self.seen.entry(row.activity).or_default() += 1;
                if journaled != stored {
                    account.differ(|| {
                        format!("order {}: journal {journaled:?}, store {stored:?}", row.id)
                    });
                }
            }
            None => {
                let sum = self.folded_away.entry(row.activity).or_default();
                *sum = sum.wrapping_add(fingerprint(&stored));
            }
        }
    }

    fn compare_activity(&mut self, fold: &Fold, row: &store::Activity) {
        if self.forgotten.contains(&row.id) {
            return;
        }
        let account = self.activities.entry(row.id).or_default();
        let over = self.buyers.over_limit(row);
        if over > account.over_limit_users {
            account.over_limit_users = over;
            let limit = row.per_user_limit;
            account.differ(|| format!("{over} users have orders at all gateways of more units than the limit of {limit}"));
        }
        let activity = fold.activities.get(&row.id);
        if let Some(activity) = activity.filter(|activity| activity.lease.is_some()) {
            // What other gateways have, and gave back, is in their journals.
            if !activity.closed {
                self.shared.insert(row.id, row.into());
            }
            return;
        }
        // It has no part in the sale, so nothing of it but its orders, of which there are none.
        if activity.is_none() && self.shares {
            return;
        }
        if account.stock_total > u64::from(row.stocked) {
            let (journal, store) = (account.stock_total, row.stocked);
            account.differ(|| format!("stocked: journal {journal}, store {store}"));
        }
        if account.returned != u64::from(row.left) {
            let (journal, store) = (account.returned, row.left);
            account.differ(|| format!("returned: journal {journal}, store {store}"));
        }
    }

    fn finish(mut self, fold: &Fold, only: Option<ActivityId>) -> Audits {
        for (id, activity) in &fold.activities {
            let account = self.activities.entry(*id).or_default();
            let asked = only.is_none_or(|only| only == *id);
            if asked && self.seen.get(id) != self.folded.get(id) {
                account.differ(|| "the store lacks orders that the journal has".to_owned());
            }
            let summed = self.folded_away.get(id).copied().unwrap_or(0);
            if asked && summed != activity.folded_away {
                account
                    .differ(|| "orders that have left the journal differ in the store".to_owned());
            }
        }
        let asked = |id: &ActivityId| only.is_none_or(|only| only == *id);
        let accounts = self.activities.into_iter().filter(|(id, _)| asked(id));
        let compared = accounts.map(|(id, mut account)| {
            // Also where the journal does not know the activity, and so counts none.
            if account.sources.store_orders != account.sources.journal_orders {
                account.differ(|| "journal and store count different numbers of orders".to_owned());
            }
            account.weigh();
            (id.0, account)
        });
        let compared = compared.collect();
        let (forgotten, shared) = (self.forgotten.len() as u64, self.shared);
        Audits { compared, forgotten, shared, ..Audits::default() }
    }
}

/// The account of an activity by the journal alone.
fn account(activity: &FoldedActivity, position: u64) -> ActivityAudit {
    let totals = activity.totals;
    let stocked = u64::from(activity.units());
    let mut account = ActivityAudit {
        stock_total: stocked,
        sold: totals.sold,
        held: totals.held,
        returned: totals.left,
        written_off: totals.written_off,
        remaining: stocked.saturating_sub(totals.not_free()),
        at_position: position,
        ..ActivityAudit::default()
    };
    account.sources.journal_orders = totals.placed_orders;
    if totals.not_free() > stocked {
        account.differ(|| format!("oversold: {} of {stocked} units are gone", totals.not_free()));
    }
    let limit = u64::from(activity.published.terms.per_user_limit);
    let mut units: HashMap<UserId, u64> = HashMap::new();
    activity.places.for_each(|user, claim| {
        if claim.state != seckill_shards::places::ClaimState::Dropped {
            *units.entry(user).or_default() += u64::from(claim.quantity);
        }
    });
    account.over_limit_users = units.values().filter(|&&units| units > limit).count() as u64;
    if account.over_limit_users > 0 {
        let users = account.over_limit_users;
        account.differ(|| format!("{users} users hold more than the limit of {limit}"));
    }
    account
}

/// A row as the journal would have it, without its payments.
pub(crate) fn view(row: &OrderRow) -> OrderView {
    OrderView {
        id: row.id,
        activity: row.activity,
        user: row.user,
        quantity: row.quantity,
        status: row.status,
        placed_at: row.placed_at,
        pay_before: row.pay_before,
        moved_at: row.moved_at,
        payments: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use seckill_shards::clock::Timestamp;
    use seckill_shards::ids::{OrderId, Origin, ProductId};
    use seckill_shards::record::{OrderPlaced, Record, Status};
    use seckill_shards::testing::world::published;

    use super::*;

    fn row(id: u64, closed: bool) -> store::Activity {
        store::Activity {
            id: ActivityId(id),
            title: String::new(),
            product: ProductId(1),
            product_title: String::new(),
            sale_price: 1,
            list_price: 1,
            currency: *b"USD",
            stocked: 5,
            left: if closed { 4 } else { 0 },
            per_user_limit: 1,
            pay_window_ms: 1_000,
            starts_at: Timestamp(0),
            ends_at: Timestamp(1),
            admission: false,
            published: true,
            paused: false,
            ended: closed,
            closed,
            version: 1,
        }
    }

    fn order(activity: u64) -> OrderRow {
        OrderRow {
            id: OrderId(activity),
            activity: ActivityId(activity),
            user: UserId(1),
            quantity: 1,
            status: Status::AwaitingPayment,
            placed_at: Timestamp(10),
            pay_before: Timestamp(u64::MAX),
            moved_at: None,
        }
    }

    /// The journal knows activity 9 alone; the store has these rows, each with one order.
    fn audits(has_checkpoint: bool, rows: &[store::Activity]) -> Audits {
        let mut fold = Fold::default();
        fold.apply(&Record::ActivityPublished(Box::new(published(9, 5))));
        let OrderRow { id, activity, user, quantity, placed_at, pay_before, .. } = order(9);
        let (order_id, at, key, body) = (id, placed_at, [0; 16], [0; 16]);
        let placed =
            OrderPlaced { order: order_id, activity, user, quantity, at, pay_before, key, body };
        fold.apply(&Record::OrderPlaced(placed));
        let mut audit = Audit::of(&fold, 2, 0);
        if has_checkpoint {
            audit.leave_out(&fold, rows);
        }
        for row in rows {
            audit.compare(&fold, &order(row.id.0));
            audit.compare_activity(&fold, row);
        }
        audit.finish(&fold, None)
    }

    /// Each gateway's journal has one order of the buyer's, which is all that it may have.
    #[test]
    fn what_a_buyer_has_at_two_gateways_together_is_held_against_the_limit() {
        let at = |gateway, status| OrderRow {
            id: OrderId::new(Origin { gateway, epoch: 0 }, 0, 1),
            status,
            ..order(9)
        };
        for (status, over) in
            [(Status::AwaitingPayment, 1), (Status::Paid, 1), (Status::Accepted, 0)]
        {
            let fold = Fold::default();
            let mut audit = Audit { shares: true, ..Audit::of(&fold, 2, 0) };
            audit.compare(&fold, &at(1, Status::Paid));
            audit.compare(&fold, &at(2, status));
            audit.compare_activity(&fold, &row(9, false));
            let account = &audit.finish(&fold, None).compared[&9];
            assert_eq!(
                (account.over_limit_users, account.balanced),
                (over, over == 0),
                "{account:?}"
            );
        }
    }

    #[test]
    fn who_had_no_part_in_a_shared_sale_has_nothing_of_it_to_compare() {
        for (shares, balanced) in [(true, true), (false, false)] {
            let fold = Fold::default();
            let mut audit = Audit { shares, ..Audit::of(&fold, 2, 0) };
            audit.compare_activity(&fold, &row(9, true));
            assert_eq!(audit.finish(&fold, None).compared[&9].balanced, balanced);
        }
    }

    #[test]
    fn an_account_beside_rows_that_were_set_aside_is_not_balanced_and_says_why() {
        let mut audits = audits(false, &[row(9, false)]);
        let (subject, records, reason) = ("order 42".to_owned(), String::new(), String::new());
        audits.set_aside.push(SetAside { subject, records, reason });
        audits.weigh();
        let account = &audits.compared[&9];
        assert!(audits.differ() && !account.balanced);
        assert_eq!(account.not_compared, BTreeSet::from([NotCompared::RowsSetAside]));
    }

    #[test]
    fn what_a_checkpoint_has_forgotten_is_neither_balanced_nor_different() {
        let audits = audits(true, &[row(8, true), row(9, false)]);
        assert_eq!((audits.compared.len(), audits.forgotten), (1, 1));
        assert!(audits.compared[&9].balanced, "{:?}", audits.compared);
    }

    #[test]
    fn what_the_journal_cannot_have_forgotten_is_different() {
        for (has_checkpoint, unknown) in [(false, row(8, true)), (true, row(8, false))] {
            let audits = audits(has_checkpoint, &[unknown, row(9, false)]);
            assert_eq!((audits.compared.len(), audits.forgotten), (2, 0));
            assert!(!audits.compared[&8].balanced && audits.compared[&9].balanced);
        }
    }
}
