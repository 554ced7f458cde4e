//! The store: accounts, products and activities, whose truth it is, and the orders that gateways
//! flush into it. One trait: SQLite is embedded, SQL Server is for several machines.
//!
//! This file must not know SQL, and nothing below it knows HTTP or the engine. The store reads no
//! clock: every instant is given.

use std::sync::Arc;

use async_trait::async_trait;
use seckill_shards::clock::Timestamp;
use seckill_shards::ids::{ActivityId, OrderId, PaymentId, ProductId, UserId};
use seckill_shards::record::{Digest, PaymentStatus};

pub use error::{Fault, OutOfStep, Refusal, StoreError};
pub use flush::{Batch, FlushBatch};
pub use rows::{
    Activity, ActivityUpdate, Begun, GatewayRow, JournalFound, JournalPosition, LeaseHeld,
    LeaseMember, LeaseRoll, Migrated, NewActivity, NewProduct, NewUser, Once, OrderChunk,
    OrderCursor, OrderFilter, OrderRow, OrdersOf, Outcome, Page, PasswordReset, PaymentRow,
    Product, ProductUpdate, Retired, Revocation, Revoked, Roles, SetAside, SignOut, Snapshot,
    StatusSum, StoredOrder, User, UserUpdate,
};
pub use steps::resume;
pub use trail::{Act, Deed, Doer, Noted};

#[cfg(test)]
mod conformance;
mod error;
pub mod flush;
mod rows;
pub mod sift;
pub mod sqlite;
#[cfg(feature = "sqlserver")]
pub mod sqlserver;
mod steps;
mod trail;

/// Rows that one page of a list holds at most; a larger limit is cut to it.
pub const PAGE_ROWS_MAX: u32 = 1_000;
/// For how long the key of an operator's request is remembered, in milliseconds (24 h).
pub const ONCE_MS: u64 = 24 * 3_600 * 1_000;
/// For how long an act stays in the trail, in milliseconds (two years).
pub const TRAIL_MS: u64 = 2 * 366 * 24 * 3_600 * 1_000;
/// Users that one call creates at most.
pub const USERS_PER_CALL_MAX: u32 = 10_000_000;

/// What a method of the store answers with.
pub type Stored<T> = Result<T, StoreError>;

/// Where accounts, products and activities live, and where orders are flushed to.
///
/// Every method is one transaction: it happened whole, or not at all. A [`Refusal`] means that
/// nothing happened; a [`Fault::Unavailable`] of a write leaves open whether it did.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Brings the schema to the newest, where opening or a call before has not; says what came of it
    /// then.
    ///
    /// # Errors
    /// [`Fault::NewerSchema`] where a newer version of seckill made it, [`Fault::Unusable`] where it
    /// is another program's.
    async fn migrate(&self) -> Stored<Migrated>;

    /// Makes an account. Refused: [`Refusal::Taken`].
    async fn create_user(&self, user: NewUser) -> Stored<User>;

    /// Makes `count` shoppers without a password, at most [`USERS_PER_CALL_MAX`], for load tests;
    /// returns the id of the first. Their ids are consecutive and their names are `prefix` and
    /// their id. Refused: [`Refusal::Taken`].
    async fn create_users(&self, prefix: String, count: u32) -> Stored<UserId>;

    /// The account of an id. Refused: [`Refusal::NotFound`].
    async fn user(&self, id: UserId) -> Stored<User>;

    /// The account of a name. Refused: [`Refusal::NotFound`].
    async fn user_by_name(&self, username: String) -> Stored<User>;

    /// The accounts whose names begin with `prefix`, by name.
    async fn users(&self, prefix: String, page: Page<String>) -> Stored<Vec<User>>;

    /// Changes an account. A new password closes the user's open reset. Refused:
    /// [`Refusal::NotFound`].
    async fn update_user(&self, id: UserId, update: UserUpdate) -> Stored<User>;

    /// Opens a password reset; it replaces an earlier one of the user. Refused:
    /// [`Refusal::NotFound`] where there is no such user.
    async fn open_reset(&self, reset: PasswordReset) -> Stored<()>;

    /// Whose reset it is that this token opens at `now`. Refused: [`Refusal::NotFound`] where
    /// none does: it was used, is over, or was replaced.
    async fn reset_of(&self, token: Digest, now: Timestamp) -> Stored<UserId>;

    /// Uses a reset: closes it and changes its user. Refused as in [`reset_of`](Self::reset_of).
    async fn use_reset(&self, token: Digest, now: Timestamp, update: UserUpdate) -> Stored<User>;

    /// Takes one token back until it has expired by itself.
    async fn revoke_token(&self, token: Digest, until: Timestamp) -> Stored<()>;

    /// Takes tokens back, of whichever kind. Refused: [`Refusal::NotFound`] where there is no such user.
    async fn revoke(&self, revoked: Revoked, until: Timestamp) -> Stored<()> {
        match revoked {
            Revoked::Token(token) => self.revoke_token(token, until).await,
            Revoked::User { user, valid_from } => {
                let sign_out = Some(SignOut { valid_from, until });
                let update = UserUpdate { sign_out, ..UserUpdate::default() };
                self.update_user(user, update).await.map(drop)
            }
        }
    }

    /// The revocations after a number, oldest first, at most [`PAGE_ROWS_MAX`].
    async fn revocations(&self, after: u64) -> Stored<Vec<Revocation>>;

    /// Drops the revocations, password resets and idempotency keys that no one needs any more, and what
    /// the trail has for longer than [`TRAIL_MS`].
    async fn sweep(&self, now: Timestamp) -> Stored<()>;

    /// Makes a product. Refused: [`Refusal::Mismatch`].
    async fn create_product(
        &self,
        product: NewProduct,
        once: Option<Once>,
    ) -> Stored<Outcome<Product>>;

    /// The product of an id. Refused: [`Refusal::NotFound`].
    async fn product(&self, id: ProductId) -> Stored<Product>;

    /// The products whose titles contain `query` (upper and lower case of ASCII are alike; empty:
    /// all), by id.
    async fn products(&self, query: String, page: Page<ProductId>) -> Stored<Vec<Product>>;

    /// The products that changed after a version, in the order of their changes, at most
    /// [`PAGE_ROWS_MAX`].
    async fn products_changed(&self, after: u64) -> Stored<Vec<Product>>;

    /// Changes a product of the version given. Refused: [`Refusal::NotFound`],
    /// [`Refusal::Stale`].
    async fn update_product(
        &self,
        id: ProductId,
        version: u64,
        update: ProductUpdate,
    ) -> Stored<Product>;

    /// Makes a draft. Refused: [`Refusal::NotFound`] where there is no such product,
    /// [`Refusal::Mismatch`].
    async fn create_activity(
        &self,
        activity: NewActivity,
        once: Option<Once>,
    ) -> Stored<Outcome<Activity>>;

    /// The activity of an id. Refused: [`Refusal::NotFound`].
    async fn activity(&self, id: ActivityId) -> Stored<Activity>;

    /// All activities or a product's, drafts among them, by id.
    async fn activities(
        &self,
        product: Option<ProductId>,
        page: Page<ActivityId>,
    ) -> Stored<Vec<Activity>>;

    /// The published activities that changed after a version, in the order of their changes, at
    /// most [`PAGE_ROWS_MAX`].
    async fn activities_changed(&self, after: u64) -> Stored<Vec<Activity>>;

    /// Changes an activity of the version given. Refused: [`Refusal::NotFound`],
    /// [`Refusal::Stale`], [`Refusal::State`] where a field may not change any more: price, units
    /// and limit of a published one, anything of an ended or closed one.
    async fn update_activity(
        &self,
        id: ActivityId,
        version: u64,
        update: ActivityUpdate,
    ) -> Stored<Activity>;

    /// Publishes a draft: its units move from the product into it. Refused:
    /// [`Refusal::NotFound`], [`Refusal::Stale`] where a version is given,
    /// [`Refusal::InsufficientStock`], [`Refusal::State`] where it is published already.
    async fn publish(&self, id: ActivityId, version: Option<u64>) -> Stored<Activity>;

    /// Moves more units, at least one, from the product into a published activity. Refused:
    /// [`Refusal::NotFound`], [`Refusal::InsufficientStock`], [`Refusal::Mismatch`],
    /// [`Refusal::State`] where it is a draft, ended or closed, or would have stocked more than
    /// [`STOCKED_MAX`](seckill_shards::limits::STOCKED_MAX).
    async fn restock(
        &self,
        id: ActivityId,
        quantity: u32,
        once: Option<Once>,
    ) -> Stored<Outcome<Activity>>;

    /// Remembers a request that happens once by itself, as a refund does, so that its key names no
    /// other; and the object it is about. [`Outcome::Again`]: it came before. Refused:
    /// [`Refusal::Mismatch`].
    async fn remember(&self, once: Once, object: u64) -> Stored<Outcome<u64>>;

    /// Forgets a request that [`remember`](Self::remember) took and that came to nothing.
    async fn forget(&self, user: UserId, key: Digest) -> Stored<()>;

    /// A gateway begins a request that its journal carries out once, and that [`flush`](Self::flush)
    /// tells of then. Nobody else does while it may; once it is retired, whoever asks does, where the
    /// store does not have it. Refused: [`Refusal::Mismatch`].
    async fn begin(&self, once: Once, gateway: u16) -> Stored<Begun>;

    /// A gateway that starts says which journal it has; returns the position to flush from. A
    /// gateway that the store has never seen, or one of a later epoch, is entered at `begin`,
    /// which must be zero.
    ///
    /// # Errors
    /// [`OutOfStep`] where this is not the journal that the store has followed.
    async fn register(&self, found: JournalFound) -> Stored<u64>;

    /// A gateway says that it is there, where one does; returns all that the store knows of, by
    /// number. What it says of what the store has never takes back what it said before, and one of an
    /// epoch that is over changes nothing. How long its membership lasts counts while it is not retired.
    async fn announce(&self, own: Option<GatewayRow>) -> Stored<Vec<GatewayRow>>;

    /// A gateway is asked to hand itself over to another, or no more. Refused: [`Refusal::NotFound`]
    /// where it is not known, [`Refusal::State`] where it is retired.
    async fn ask_to_drain(&self, gateway: u16, to: Option<u16>) -> Stored<()>;

    /// From here on another speaks for a gateway, and for all that this one has spoken for: their
    /// epochs rise, and nothing of the former ones is taken any more. Refused: [`Refusal::NotFound`]
    /// where one of both is not known; [`Refusal::State`] where one of both is retired, both are the
    /// same, or nobody could tell when the gateway is off.
    async fn retire(&self, gateway: u16, retired: Retired) -> Stored<()>;

    /// The last word of a gateway itself: it [retires](Store::retire), and its adopter goes on. Refused
    /// like that, and with [`Refusal::State`] where it is not asked any more to hand itself over to that
    /// one.
    async fn hand_over(&self, gateway: u16, retired: Retired) -> Stored<()>;

    /// A gateway's part in the activities that are not closed, by activity.
    async fn leases_of(&self, gateway: u16) -> Stored<Vec<LeaseHeld>>;

    /// How far the store has followed a gateway; none for one it has never seen.
    async fn position(&self, gateway: u16) -> Stored<Option<JournalPosition>>;

    /// Applies a run of journal records and its position, once: a run that was applied before
    /// changes nothing.
    ///
    /// # Errors
    /// [`OutOfStep`] where the run does not begin where the store stands,
    /// [`Fault::Diverged`] where it moves an order, payment or activity that the store lacks.
    async fn flush(&self, batch: Arc<FlushBatch>) -> Stored<()>;

    /// Does what [`flush`](Self::flush) does, and undoes it: whether a batch would be taken.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    async fn rehearse(&self, batch: Arc<FlushBatch>) -> Stored<()>;

    /// The rows of a gateway's journal that were set aside, oldest first, behind so many of them: at most
    /// [`PAGE_ROWS_MAX`].
    async fn set_aside(&self, gateway: u16, behind: u32) -> Stored<Vec<SetAside>>;

    /// How many there are.
    async fn count_set_aside(&self, gateway: u16) -> Stored<u64>;

    /// All of them. Others may come meanwhile, and these are never dropped.
    async fn all_set_aside(&self, gateway: u16) -> Stored<Vec<SetAside>> {
        let mut rows = Vec::new();
        loop {
            let behind = u32::try_from(rows.len()).expect("rows in memory are far fewer");
            let page = self.set_aside(gateway, behind).await?;
            let is_last = page.len() < PAGE_ROWS_MAX as usize;
            rows.extend(page);
            if is_last {
                return Ok(rows);
            }
        }
    }

    /// A gateway with this journal, at whatever position, may hold units of an activity from here
    /// on; so it was before, if it says it again. Returns the latest generation given: no era of an
    /// earlier one is to be entered. Refused: [`Refusal::NotFound`], [`Refusal::State`] where the
    /// activity is a draft or closed.
    ///
    /// # Errors
    /// [`OutOfStep`] where another journal has joined under this gateway's number, or it is retired.
    async fn join(
        &self,
        activity: ActivityId,
        gateway: u16,
        journal: JournalPosition,
    ) -> Stored<u64>;

    /// Gives a generation of an activity that nobody else is given; they rise. Refused:
    /// [`Refusal::NotFound`].
    async fn next_generation(&self, activity: ActivityId) -> Stored<u64>;

    /// Who may hold units of an activity, and how many units there are. Refused:
    /// [`Refusal::NotFound`].
    async fn roll(&self, activity: ActivityId) -> Stored<LeaseRoll>;

    /// A member of an activity that has ended at `now` has no open order and will have none. Returns
    /// whether all members rest. Refused: [`Refusal::NotFound`] where it is no member,
    /// [`Refusal::State`] where by its newest row the activity has not ended.
    ///
    /// # Errors
    /// [`OutOfStep`] where the member is retired.
    async fn rest(&self, activity: ActivityId, member: LeaseMember, now: Timestamp)
    -> Stored<bool>;

    /// A flushed order. Refused: [`Refusal::NotFound`].
    async fn order(&self, id: OrderId) -> Stored<StoredOrder>;

    /// A flushed payment. Refused: [`Refusal::NotFound`].
    async fn payment(&self, id: PaymentId) -> Stored<PaymentRow>;

    /// The money of a payment whose order has left its gateway's memory is owed back from here on,
    /// where the payment stands at one of `from`; where it had paid the order, that is refunded.
    /// Returns the order as it is now. Refused: [`Refusal::NotFound`].
    async fn owe_back(
        &self,
        id: PaymentId,
        from: &'static [PaymentStatus],
        at: Timestamp,
    ) -> Stored<StoredOrder>;

    /// The payments after an id whose money is owed back, by id, at most [`PAGE_ROWS_MAX`].
    async fn payments_owed_back(
        &self,
        after: Option<PaymentId>,
        limit: u32,
    ) -> Stored<Vec<PaymentId>>;

    /// The money of a payment that was owed back has been given; nothing changes where it was not
    /// owed. Refused: [`Refusal::NotFound`].
    async fn refunded(&self, id: PaymentId, at: Timestamp) -> Stored<()>;

    /// Flushed orders, newest first.
    async fn orders(
        &self,
        filter: OrderFilter,
        page: Page<OrderCursor>,
    ) -> Stored<Vec<StoredOrder>>;

    /// Writes an act into the trail, with the name that its account has now; once, however often its
    /// request comes within [`ONCE_MS`].
    async fn note(&self, act: Act) -> Stored<()>;

    /// The trail, newest first, each page before a number.
    async fn trail(&self, page: Page<u64>) -> Stored<Vec<Noted>>;

    /// What an activity's flushed orders add up to, by status.
    async fn sums(&self, activity: ActivityId) -> Stored<Vec<StatusSum>>;

    /// Positions, activities (one, or all that are published) and their orders, for the audit.
    async fn snapshot(&self, activity: Option<ActivityId>) -> Stored<Snapshot>;
}
