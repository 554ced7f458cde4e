//! The rows of the store, and what is asked of it and answered, as plain values.
//!
//! They know neither SQL nor the trait that hands them over.

use seckill_shards::clock::Timestamp;
use seckill_shards::ids::{ActivityId, OrderId, PaymentId, ProductId, UserId};
use seckill_shards::record::{ActivityPublished, Digest, PaymentStatus, Status, Terms};
use tokio::sync::mpsc;

use super::Stored;

/// A user's roles, one bit each: 1 shopper, 2 operator, 4 administrator.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Roles(pub u8);

impl Roles {
    /// May buy.
    pub const SHOPPER: Self = Self(1);
    /// May plan and run sales.
    pub const OPERATOR: Self = Self(2);
    /// May give roles.
    pub const ADMIN: Self = Self(4);

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every role of `other` is among them.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// An account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Unique, compared byte by byte.
    pub username: String,
    /// How the user is greeted; may be empty.
    pub display_name: String,
    /// A PHC string; none for load-test users, who cannot sign in with a password.
    pub password_hash: Option<String>,
    /// What the user may do.
    pub roles: Roles,
}

/// An account to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewUser {
    /// As in [`User`].
    pub username: String,
    /// As in [`User`].
    pub display_name: String,
    /// As in [`User`].
    pub password_hash: Option<String>,
    /// As in [`User`].
    pub roles: Roles,
}

/// What changes of an account; `None` leaves a field as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UserUpdate {
    /// The new display name.
    pub display_name: Option<String>,
    /// The new PHC string.
    pub password_hash: Option<String>,
    /// The new roles.
    pub roles: Option<Roles>,
    /// Tokens of the user that were issued before this instant work no more: written as a
    /// [`Revocation`] in the same transaction.
    pub sign_out: Option<SignOut>,
}

/// Every token of a user that was issued too early is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignOut {
    /// Tokens issued at this instant or later still work.
    pub valid_from: Timestamp,
    /// By when the last of the refused tokens has expired by itself: the row is dropped then.
    pub until: Timestamp,
}

/// A way to set a user's password without the old one, open once and for some time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PasswordReset {
    /// Whose password.
    pub user: UserId,
    /// Digest of the token that opens it.
    pub token: Digest,
    /// It is over at this instant.
    pub until: Timestamp,
}

/// Which tokens a revocation takes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Revoked {
    /// One token, by the id or digest it is known by.
    Token(Digest),
    /// All of a user's tokens that were issued before an instant.
    User {
        /// Whose.
        user: UserId,
        /// Tokens issued at this instant or later still work.
        valid_from: Timestamp,
    },
}

/// Tokens that work no more although they have not expired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Revocation {
    /// 1, 2, 3 … in the order of writing: a reader goes on after the last one it has seen.
    pub number: u64,
    /// Which tokens.
    pub revoked: Revoked,
    /// By when the tokens have expired by themselves.
    pub until: Timestamp,
}

/// A request that is carried out once, however often it arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Once {
    /// Who asks.
    pub user: UserId,
    /// Digest of the idempotency key.
    pub key: Digest,
    /// Digest of the method, path and body, so that a key names one request only.
    pub body: Digest,
    /// Now: the key is remembered for [`ONCE_MS`](super::ONCE_MS) from here.
    pub at: Timestamp,
}

/// By whom a request was begun that the journal of one gateway carries out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begun {
    /// By the gateway that asks, now or before: its journal knows what has come of it.
    Here,
    /// By another: its journal knows.
    By(u16),
    /// By one that was retired, and the store has it.
    Done,
    /// By one that was retired, of a release that did not say what came of it.
    Unknown(u16),
}

/// Whether a request was carried out now or before; the thing is as it is now in both cases.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome<T> {
    /// Carried out by this call.
    New(T),
    /// Carried out by an earlier call with the same key and body.
    Again(T),
}

impl<T> Outcome<T> {
    /// The thing, however it came.
    pub fn into_inner(self) -> T {
        match self {
            Self::New(thing) | Self::Again(thing) => thing,
        }
    }

    /// The same outcome of something that is found through the thing.
    ///
    /// # Errors
    /// Those of `find`.
    pub fn try_map<U, E>(self, find: impl FnOnce(T) -> Result<U, E>) -> Result<Outcome<U>, E> {
        match self {
            Self::New(thing) => find(thing).map(Outcome::New),
            Self::Again(thing) => find(thing).map(Outcome::Again),
        }
    }
}

/// One page of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<C> {
    /// Where the page before it ended; `None` for the first.
    pub after: Option<C>,
    /// Rows, at most [`PAGE_ROWS_MAX`](super::PAGE_ROWS_MAX).
    pub limit: u32,
}

/// Something that is sold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Product {
    /// Its id.
    pub id: ProductId,
    /// At most [`TITLE_BYTES_MAX`](seckill_shards::limits::TITLE_BYTES_MAX) bytes.
    pub title: String,
    /// May be empty.
    pub description: String,
    /// Empty where there is no picture.
    pub image_url: String,
    /// List price of a unit in minor units.
    pub price: i64,
    /// ISO 4217 code; it never changes, so every price of the product's activities is in it.
    pub currency: [u8; 3],
    /// Units that are in no activity; never negative.
    pub stock: i64,
    /// Rises with every change of the row, the moving of units included. Versions are drawn from
    /// one counter for all rows, so they also say in which order the rows changed.
    pub version: u64,
}

/// A product to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewProduct {
    /// As in [`Product`].
    pub title: String,
    /// As in [`Product`].
    pub description: String,
    /// As in [`Product`].
    pub image_url: String,
    /// As in [`Product`].
    pub price: i64,
    /// As in [`Product`].
    pub currency: [u8; 3],
    /// As in [`Product`].
    pub stock: i64,
}

/// What changes of a product; `None` leaves a field as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProductUpdate {
    /// The new title.
    pub title: Option<String>,
    /// The new description.
    pub description: Option<String>,
    /// The new picture; empty for none.
    pub image_url: Option<String>,
    /// The new list price in minor units.
    pub price: Option<i64>,
    /// The new number of units.
    pub stock: Option<i64>,
}

/// A flash sale, drafted or published.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "columns, none of which implies another")]
pub struct Activity {
    /// Its id.
    pub id: ActivityId,
    /// Title of the sale.
    pub title: String,
    /// What is sold.
    pub product: ProductId,
    /// The product's title: of now in a draft, of its publishing afterwards.
    pub product_title: String,
    /// Price of a unit in minor units; fixed when it is published.
    pub sale_price: i64,
    /// The product's price: of now in a draft, of its publishing afterwards.
    pub list_price: i64,
    /// The product's currency.
    pub currency: [u8; 3],
    /// Units planned in a draft; units ever moved into the activity afterwards.
    pub stocked: u32,
    /// Units that went back to the product, withdrawn or at the closing.
    pub left: u32,
    /// Units one buyer may hold.
    pub per_user_limit: u32,
    /// How long an order may stay unpaid, in milliseconds.
    pub pay_window_ms: u64,
    /// When selling begins.
    pub starts_at: Timestamp,
    /// When selling ends.
    pub ends_at: Timestamp,
    /// Whether a purchase token is asked for.
    pub admission: bool,
    /// No draft any more.
    pub published: bool,
    /// Paused by an operator, as flushed.
    pub paused: bool,
    /// Ended by an operator, as flushed.
    pub ended: bool,
    /// Closed, as flushed.
    pub closed: bool,
    /// As in [`Product`].
    pub version: u64,
}

impl Activity {
    /// Whether gateways sell by it: not yet by a draft, and never again by a closed one, which they
    /// may have forgotten.
    #[must_use]
    pub fn is_copied(&self) -> bool {
        self.published && !self.closed
    }

    /// Whether nothing will be sold by it any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ended || self.closed
    }

    /// Whether it may be changed so. Price, units and limit are promises from the publishing on; an
    /// ended sale is history.
    #[must_use]
    pub fn allows(&self, update: &ActivityUpdate) -> bool {
        let promised = update.sale_price.is_some()
            || update.stocked.is_some()
            || update.per_user_limit.is_some();
        !(self.is_over() || (self.published && promised))
    }

    /// The row as gateways journal it.
    #[must_use]
    pub fn publication(&self, at: Timestamp) -> ActivityPublished {
        let terms = Terms {
            title: self.title.clone(),
            product: self.product,
            product_title: self.product_title.clone(),
            sale_price: self.sale_price,
            list_price: self.list_price,
            currency: self.currency,
            stocked: self.stocked,
            per_user_limit: self.per_user_limit,
            pay_window_ms: self.pay_window_ms,
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            admission: self.admission,
        };
        ActivityPublished { activity: self.id, version: self.version, terms, at }
    }
}

/// A draft to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewActivity {
    /// As in [`Activity`].
    pub title: String,
    /// As in [`Activity`].
    pub product: ProductId,
    /// As in [`Activity`], in the product's currency.
    pub sale_price: i64,
    /// Units planned.
    pub stocked: u32,
    /// As in [`Activity`].
    pub per_user_limit: u32,
    /// As in [`Activity`].
    pub pay_window_ms: u64,
    /// As in [`Activity`].
    pub starts_at: Timestamp,
    /// As in [`Activity`].
    pub ends_at: Timestamp,
    /// As in [`Activity`].
    pub admission: bool,
}

/// What changes of an activity; `None` leaves a field as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ActivityUpdate {
    /// The new title.
    pub title: Option<String>,
    /// The new price, of a draft only.
    pub sale_price: Option<i64>,
    /// The new number of units, of a draft only.
    pub stocked: Option<u32>,
    /// The new limit, of a draft only.
    pub per_user_limit: Option<u32>,
    /// The new pay window in milliseconds, for orders placed from now on.
    pub pay_window_ms: Option<u64>,
    /// The new beginning.
    pub starts_at: Option<Timestamp>,
    /// The new end.
    pub ends_at: Option<Timestamp>,
    /// Whether a purchase token is asked for from now on.
    pub admission: Option<bool>,
}

/// A flash order as flushed. Its price is its activity's, which never changes once published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderRow {
    /// Its id.
    pub id: OrderId,
    /// Of which activity.
    pub activity: ActivityId,
    /// Whose.
    pub user: UserId,
    /// Units.
    pub quantity: u32,
    /// Where it stood at the flushed position.
    pub status: Status,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// Until when it may be paid.
    pub pay_before: Timestamp,
    /// When it came to its status; `None` for one that has not moved since it was placed.
    pub moved_at: Option<Timestamp>,
}

/// A payment of a flash order as flushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PaymentRow {
    /// Its id.
    pub id: PaymentId,
    /// For which order.
    pub order: OrderId,
    /// How much was asked for, in minor units of the activity's currency.
    pub amount: i64,
    /// Where it stood at the flushed position.
    pub status: PaymentStatus,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it came to its status; `None` while it is started.
    pub moved_at: Option<Timestamp>,
    /// Digest of the idempotency key that started it, or [`NO_KEY`](seckill_shards::record::NO_KEY).
    pub key: Digest,
    /// Digest of the body that came with a key.
    pub body: Digest,
}

/// A flushed order with what its reader wants beside it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredOrder {
    /// The order.
    pub order: OrderRow,
    /// What was sold.
    pub product: ProductId,
    /// Title of the product when the activity was published.
    pub product_title: String,
    /// Title of the activity.
    pub activity_title: String,
    /// Price of a unit in minor units.
    pub unit_price: i64,
    /// ISO 4217 code.
    pub currency: [u8; 3],
    /// Since when its money is owed back, where its sale had closed before: the journal's books,
    /// which are closed with the sale, have it as paid for ever.
    pub refunded_at: Option<Timestamp>,
    /// Its payments, oldest first.
    pub payments: Vec<PaymentRow>,
}

impl StoredOrder {
    /// How it stands for people, and since when.
    #[must_use]
    pub fn standing(&self) -> (Status, Option<Timestamp>) {
        match self.refunded_at {
            Some(_) => (Status::Refunded, self.refunded_at),
            None => (self.order.status, self.order.moved_at),
        }
    }
}

/// Which orders a list shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderFilter {
    /// Of whom or of what.
    pub of: OrdersOf,
    /// In which status only.
    pub status: Option<Status>,
}

/// Whose orders, or those of which activity: each has an index, and nothing else is listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrdersOf {
    /// A buyer's, of all activities.
    User(UserId),
    /// An activity's, of all buyers.
    Activity(ActivityId),
    /// A buyer's of one activity.
    Both(UserId, ActivityId),
}

/// Where a page of orders ended: newest first, by id where two are of the same instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderCursor {
    /// Of the last order.
    pub placed_at: Timestamp,
    /// The last order.
    pub id: OrderId,
}

/// An activity's flushed orders of one status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatusSum {
    /// The status.
    pub status: Status,
    /// How many orders.
    pub orders: u64,
    /// How many units.
    pub units: u64,
}

/// How far the store has followed a gateway's journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JournalPosition {
    /// The random id of the journal.
    pub journal_id: Digest,
    /// The gateway's epoch.
    pub epoch: u8,
    /// Everything before it is in the store.
    pub position: u64,
}

/// The journal of a gateway that was retired, until its adopter has made one.
pub(super) const NO_JOURNAL: Digest = [0; 16];

impl JournalPosition {
    /// Whether there is a journal: not of a gateway that nobody has adopted yet.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        self.journal_id != NO_JOURNAL
    }
}

/// What a gateway finds in its data directory at the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JournalFound {
    /// The gateway's number.
    pub gateway: u16,
    /// The random id of the journal.
    pub journal_id: Digest,
    /// The gateway's epoch.
    pub epoch: u8,
    /// The first position that can still be read; segments before it are recycled.
    pub begin: u64,
    /// The position behind the last record.
    pub end: u64,
}

/// From which schema to which a store was brought; an empty one has schema 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Migrated {
    /// The schema that was found.
    pub from: u32,
    /// The schema that it has now.
    pub to: u32,
}

/// A row that the store did not take, kept so that nothing is lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetAside {
    /// What it is about, for people: `order 42`.
    pub subject: String,
    /// The records that it came from, one a line, for people.
    pub records: String,
    /// Why the store did not take it.
    pub reason: String,
}

/// A gateway, as the others find it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GatewayRow {
    /// Its number.
    pub number: u16,
    /// Its epoch.
    pub epoch: u8,
    /// Where the others call it: `http://host:port`; empty while it has not said so.
    pub address: String,
    /// When it last said that it is there, on its own clock.
    pub seen_at: Timestamp,
    /// Everything that it had journaled by then is in the store.
    pub as_of: Timestamp,
    /// It stops by itself so many seconds after its last good word to the store; 0: never.
    pub membership_s: u32,
    /// The gateway that it was asked to hand itself over to.
    pub drains_to: Option<u16>,
    /// Who speaks for it; none while it does so itself.
    pub retired: Option<Retired>,
}

impl GatewayRow {
    /// Whether whoever speaks for it after its retirement may begin only when its membership, which
    /// nobody has ended for certain, is over.
    #[must_use]
    pub fn may_be_on(&self) -> bool {
        self.retired.is_some_and(|retired| !retired.is_off)
    }
}

/// How a gateway left the fleet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retired {
    /// Who speaks for it from then on.
    pub adopter: u16,
    /// When.
    pub at: Timestamp,
    /// Whether whoever spoke for it before is off for certain.
    pub is_off: bool,
}

/// A gateway's part in an activity that is not closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaseHeld {
    /// Which activity.
    pub activity: ActivityId,
    /// Units that stay with the gateway, where it is done with the activity.
    pub kept: Option<u32>,
    /// Units of its own that an operator has withdrawn: it is lent them for good.
    pub withdrawn: u32,
    /// Units of orders of its own that were refunded without them: likewise.
    pub written_off: u32,
    /// The latest generation that was given.
    pub generation: u64,
}

/// A gateway, in one of its epochs, that may hold units of an activity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaseMember {
    /// The gateway's number.
    pub gateway: u16,
    /// Its epoch.
    pub epoch: u8,
}

/// Who may hold units of an activity, and how many units there are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaseRoll {
    /// All who have joined, by number.
    pub members: Vec<LeaseMember>,
    /// Version of the activity's row.
    pub version: u64,
    /// Units ever moved into it.
    pub stocked: u32,
    /// Whether it is neither ended by an operator nor closed.
    pub open: bool,
}

/// A chunk of an audit: orders with their payments.
pub type OrderChunk = Vec<(OrderRow, Vec<PaymentRow>)>;

/// Everything an audit compares, read at one instant of the store.
#[derive(Debug)]
pub struct Snapshot {
    /// Gateway and position of every journal that the store follows.
    pub positions: Vec<(u16, JournalPosition)>,
    /// The activities that were asked for.
    pub activities: Vec<Activity>,
    /// Their orders with their payments, in chunks, each activity's together; the channel is bounded,
    /// and dropping it ends the reading.
    pub orders: mpsc::Receiver<Stored<OrderChunk>>,
}
