//! What happened: the records of the journal, and their bytes.
//!
//! A record is a fact and is never refused. On disk it is `kind: u8 | length: u16 | rkyv payload`:
//! each kind is a type of its own, so a small record stays small and a new kind changes no old
//! one. A type that has been released is never changed: a second version is a new kind.
//! This module knows nothing of frames, disks or tables.

mod codec;
mod statuses;

use rkyv::rancor::Error as RkyvError;
use rkyv::{Archive, Deserialize, Serialize};

pub use codec::DecodeError;
pub use statuses::{PaymentStatus, Status};

use self::codec::{Inner, Number, Whole, serialize};
use crate::clock::Timestamp;
use crate::ids::{ActivityId, OrderId, PaymentId, ProductId, UserId};

/// 128 bits of a hash: of an idempotency key, or of the body that came with it.
pub type Digest = [u8; 16];

/// The digest that stands for "no idempotency key was sent".
pub const NO_KEY: Digest = [0; 16];

/// What an activity sells, to whom and when: the gateway's copy of the store's row.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct Terms {
    /// Title of the sale, at most [`TITLE_BYTES_MAX`](crate::limits::TITLE_BYTES_MAX) bytes.
    pub title: String,
    /// What is sold.
    #[rkyv(with = Number)]
    pub product: ProductId,
    /// Title of the product when the sale was published.
    pub product_title: String,
    /// Price of a unit in minor units of the currency.
    pub sale_price: i64,
    /// The ordinary price, for comparison, in minor units.
    pub list_price: i64,
    /// ISO 4217 code, three upper-case letters.
    pub currency: [u8; 3],
    /// Units ever moved into the activity; it never shrinks.
    pub stocked: u32,
    /// Units one buyer may hold.
    pub per_user_limit: u32,
    /// How long an order may stay unpaid, in milliseconds.
    pub pay_window_ms: u64,
    /// When selling begins.
    #[rkyv(with = Number)]
    pub starts_at: Timestamp,
    /// When selling ends.
    #[rkyv(with = Number)]
    pub ends_at: Timestamp,
    /// Whether a purchase token is asked for.
    pub admission: bool,
}

/// A newer copy of an activity's row was taken from the store: the kind says whether this gateway
/// sells its units alone or leases them.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct ActivityPublished {
    /// Which activity.
    #[rkyv(with = Number)]
    pub activity: ActivityId,
    /// The row's version; versions only rise.
    pub version: u64,
    /// The row.
    pub terms: Terms,
    /// When it was taken.
    #[rkyv(with = Number)]
    pub at: Timestamp,
}

/// An activity was paused, resumed or ended by an operator: the kind says which.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct PhaseChanged {
    /// Which activity.
    #[rkyv(with = Number)]
    pub activity: ActivityId,
    /// When.
    #[rkyv(with = Number)]
    pub at: Timestamp,
}

/// This gateway joined those that share an activity: nothing was lent to it before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct LeaseJoined {
    /// Which activity.
    #[rkyv(with = Number)]
    pub activity: ActivityId,
    /// The latest generation that the store had given; no era before it is entered.
    pub floor: u64,
    /// When.
    #[rkyv(with = Number)]
    pub at: Timestamp,
}

/// From here on no answer of an older era counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct EraEntered {
    /// Of which activity.
    #[rkyv(with = Number)]
    pub activity: ActivityId,
    /// The era's generation.
    pub generation: u64,
    /// The era's nonce.
    pub nonce: u64,
    /// When.
    #[rkyv(with = Number)]
    pub at: Timestamp,
}

/// A numbered request for units was answered, and all that the answer said of orders is in earlier
/// records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct UnitsLeased {
    /// Of which activity.
    #[rkyv(with = Number)]
    pub activity: ActivityId,
    /// The request's number.
    pub n: u64,
    /// Units that were lent; there may be none.
    pub quantity: u32,
    /// When.
    #[rkyv(with = Number)]
    pub at: Timestamp,
}

/// This gateway is done with an activity that it shared: all that it was lent and has not given
/// back is sold, written off, or withdrawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct LeaseClosed {
    /// Which activity.
    #[rkyv(with = Number)]
    pub activity: ActivityId,
    /// Units that stay out of the activity.
    pub kept: u32,
    /// When.
    #[rkyv(with = Number)]
    pub at: Timestamp,
}

/// What operators did to a shared activity at other gateways was taken over, as these or the store told it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct PhaseFollowed {
    /// Which activity.
    #[rkyv(with = Number)]
    pub activity: ActivityId,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether it was ended.
    pub ended: bool,
    /// When.
    #[rkyv(with = Number)]
    pub at: Timestamp,
}

/// Unsold units left an activity: withdrawn by an operator, all that were left at its closing, or
/// given back to the other gateways.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct UnitsLeft {
    /// Which activity.
    #[rkyv(with = Number)]
    pub activity: ActivityId,
    /// How many units.
    pub quantity: u32,
    /// When.
    #[rkyv(with = Number)]
    pub at: Timestamp,
}

/// Unsold units were withdrawn by a request that is carried out once, however often it arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct UnitsLeftOnce {
    /// The units.
    pub left: UnitsLeft,
    /// Digest of the idempotency key; never [`NO_KEY`].
    #[rkyv(with = Whole)]
    pub key: Digest,
    /// Digest of the request's body.
    #[rkyv(with = Whole)]
    pub body: Digest,
}

/// An order was placed: its units are held from here on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct OrderPlaced {
    /// The order.
    #[rkyv(with = Number)]
    pub order: OrderId,
    /// Of which activity.
    #[rkyv(with = Number)]
    pub activity: ActivityId,
    /// By whom.
    #[rkyv(with = Number)]
    pub user: UserId,
    /// Units, at least one.
    pub quantity: u32,
    /// When it was decided.
    #[rkyv(with = Number)]
    pub at: Timestamp,
    /// Until when it may be paid.
    #[rkyv(with = Number)]
    pub pay_before: Timestamp,
    /// Digest of the idempotency key, or [`NO_KEY`].
    #[rkyv(with = Whole)]
    pub key: Digest,
    /// Digest of the request's body.
    #[rkyv(with = Whole)]
    pub body: Digest,
}

/// Orders of one activity became payable at once: their places are confirmed between gateways.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct OrdersConfirmed {
    /// Of which activity.
    #[rkyv(with = Number)]
    pub activity: ActivityId,
    /// When.
    #[rkyv(with = Number)]
    pub at: Timestamp,
    /// Until when they may be paid.
    #[rkyv(with = Number)]
    pub pay_before: Timestamp,
    /// Their ids, at most [`ORDERS_PER_RECORD_MAX`](crate::limits::ORDERS_PER_RECORD_MAX).
    pub orders: Vec<u64>,
}

/// The other gateways know that these orders of one activity have ended.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct OrdersReleased {
    /// Of which activity.
    #[rkyv(with = Number)]
    pub activity: ActivityId,
    /// When.
    #[rkyv(with = Number)]
    pub at: Timestamp,
    /// Their ids, at most [`ORDERS_PER_RECORD_MAX`](crate::limits::ORDERS_PER_RECORD_MAX).
    pub orders: Vec<u64>,
}

/// An order moved to another status: the kind says which.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct OrderMoved {
    /// The order.
    #[rkyv(with = Number)]
    pub order: OrderId,
    /// Of which activity.
    #[rkyv(with = Number)]
    pub activity: ActivityId,
    /// Its units.
    pub quantity: u32,
    /// When.
    #[rkyv(with = Number)]
    pub at: Timestamp,
}

/// An order was paid by a payment that succeeded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct OrderPaid {
    /// The transition.
    pub moved: OrderMoved,
    /// What paid it.
    #[rkyv(with = Number)]
    pub payment: PaymentId,
}

/// A paid order was refunded; its payment is owed back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct OrderRefunded {
    /// The transition.
    pub moved: OrderMoved,
    /// What is owed back.
    #[rkyv(with = Number)]
    pub payment: PaymentId,
    /// Whether its units are for sale again.
    pub units_returned: bool,
}

/// A payment was started for an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct PaymentStarted {
    /// The payment.
    #[rkyv(with = Number)]
    pub payment: PaymentId,
    /// For which order.
    #[rkyv(with = Number)]
    pub order: OrderId,
    /// How much, in minor units of the activity's currency.
    pub amount: i64,
    /// When.
    #[rkyv(with = Number)]
    pub at: Timestamp,
    /// Digest of the idempotency key, or [`NO_KEY`].
    #[rkyv(with = Whole)]
    pub key: Digest,
    /// Digest of the request's body.
    #[rkyv(with = Whole)]
    pub body: Digest,
}

/// A payment moved to another status: the kind says which.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct PaymentMoved {
    /// The payment.
    #[rkyv(with = Number)]
    pub payment: PaymentId,
    /// For which order.
    #[rkyv(with = Number)]
    pub order: OrderId,
    /// Money that came, in minor units.
    pub amount: i64,
    /// When.
    #[rkyv(with = Number)]
    pub at: Timestamp,
}

/// Checkpoint: an activity as folded so far.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct ActivityKept {
    /// The last copy of its row.
    pub published: ActivityPublished,
    /// Paused by an operator.
    pub paused: bool,
    /// Ended by an operator.
    pub ended: bool,
    /// Closed: no order is open and the unsold units have left.
    pub closed: bool,
    /// What was counted.
    pub totals: Totals,
    /// Wrapping sum of the fingerprints of orders that were folded away.
    pub folded_away: u64,
}

/// Checkpoint: how an activity's units are leased, as folded so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct LeaseKept {
    /// Which activity.
    #[rkyv(with = Number)]
    pub activity: ActivityId,
    /// The generation at which it was joined; none before.
    pub floor: Option<u64>,
    /// Generation and nonce of the era that was entered last.
    pub era: Option<(u64, u64)>,
    /// The number of the last request that was answered.
    pub n: u64,
    /// Units that are lent.
    pub net: u32,
}

/// Checkpoint: an order in memory, with the place it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct OrderKept {
    /// As it was placed.
    pub placed: OrderPlaced,
    /// Number of its status, as in [`Status`].
    pub status: u8,
    /// When it was paid or closed; zero while it is open.
    #[rkyv(with = Number)]
    pub moved_at: Timestamp,
}

/// Checkpoint: an order in memory of whose end the other gateways are to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct LeasedOrderKept {
    /// The order.
    pub kept: OrderKept,
    /// Whether its place was confirmed.
    pub confirmed: bool,
}

/// Checkpoint: a payment of an order in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct PaymentKept {
    /// As it was started.
    pub started: PaymentStarted,
    /// Number of its status, as in [`PaymentStatus`].
    pub status: u8,
}

/// Checkpoint: the idempotency key of an order that has left memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct KeyKept {
    /// Of which activity.
    #[rkyv(with = Number)]
    pub activity: ActivityId,
    /// Of whom.
    #[rkyv(with = Number)]
    pub user: UserId,
    /// What the key was answered with.
    #[rkyv(with = Number)]
    pub order: OrderId,
    /// The units that the order still counts against the buyer's limit (a paid order's).
    pub quantity: u32,
    /// Digest of the key.
    #[rkyv(with = Whole)]
    pub key: Digest,
    /// Digest of the body.
    #[rkyv(with = Whole)]
    pub body: Digest,
}

/// Checkpoint: where a shard's counter of ids goes on, and the latest instant folded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct CounterKept {
    /// The shard.
    pub shard: u8,
    /// The next number it gives.
    pub next: u64,
    /// The latest instant of any record.
    #[rkyv(with = Number)]
    pub at: Timestamp,
}

/// What an activity's records add up to, in units unless said otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Archive, Serialize, Deserialize)]
pub struct Totals {
    /// Held by open orders.
    pub held: u64,
    /// In paid orders.
    pub sold: u64,
    /// Of refunded orders whose units were not returned.
    pub written_off: u64,
    /// Left the activity, withdrawn or at its closing.
    pub left: u64,
    /// Orders placed.
    pub placed_orders: u64,
    /// Orders paid.
    pub paid_orders: u64,
    /// Orders expired.
    pub expired_orders: u64,
    /// Orders cancelled.
    pub cancelled_orders: u64,
    /// Orders rejected.
    pub rejected_orders: u64,
    /// Orders refunded.
    pub refunded_orders: u64,
}

macro_rules! records {
    ($($(#[$doc:meta])* $kind:literal $name:ident($type:ty)),+ $(,)?) => {
        /// Something that happened.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum Record {
            $($(#[$doc])* $name($type)),+
        }

        impl Record {
            /// The number of its kind on disk.
            #[must_use]
            pub fn kind(&self) -> u8 {
                match self { $(Self::$name(_) => $kind),+ }
            }

            /// The name of its kind.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => stringify!($name)),+ }
            }

            fn encode_payload(&self, out: &mut Vec<u8>) {
                match self { $(Self::$name(payload) => serialize(payload.inner(), out)),+ }
            }

            /// Checked as any bytes are; records share nothing, so no pool of pointers is kept.
            fn decode_payload(kind: u8, bytes: &[u8]) -> Result<Self, DecodeError> {
                match kind {
                    $($kind => rkyv::api::low::from_bytes::<<$type as Inner>::Of, RkyvError>(bytes)
                        .map(|payload| Self::$name(payload.into()))
                        .map_err(|_| DecodeError::Invalid { kind }),)+
                    _ => Err(DecodeError::UnknownKind { kind }),
                }
            }
        }
    };
}

records! {
    /// A newer copy of an activity was taken from the store.
    1 ActivityPublished(Box<ActivityPublished>),
    /// An operator paused the activity.
    2 ActivityPaused(PhaseChanged),
    /// An operator resumed the activity.
    3 ActivityResumed(PhaseChanged),
    /// An operator ended the activity before its time.
    4 ActivityEnded(PhaseChanged),
    /// The activity has ended, no order of it is open, and its unsold units go back.
    5 ActivityClosed(UnitsLeft),
    /// An operator withdrew unsold units.
    6 UnitsWithdrawn(UnitsLeft),
    /// The same, once for an idempotency key.
    7 UnitsWithdrawnOnce(UnitsLeftOnce),
    /// A newer copy of an activity was taken from the store, whose units are leased.
    8 LeasedActivityPublished(Box<ActivityPublished>),
    /// The gateway joined the others that sell the activity.
    9 LeaseJoined(LeaseJoined),
    /// An era of the activity was entered.
    10 EraEntered(EraEntered),
    /// Units were lent.
    11 UnitsLeased(UnitsLeased),
    /// Unsold units were given back to those who share the activity.
    12 UnitsReturned(UnitsLeft),
    /// A leased activity has ended everywhere, and no order of it is open.
    13 LeaseClosed(LeaseClosed),
    /// A shared activity was paused, resumed or ended at another gateway.
    14 PhaseFollowed(PhaseFollowed),
    /// An order was placed.
    16 OrderPlaced(OrderPlaced),
    /// An order was paid.
    17 OrderPaid(OrderPaid),
    /// An order was not paid in time.
    18 OrderExpired(OrderMoved),
    /// An order was cancelled.
    19 OrderCancelled(OrderMoved),
    /// An order lost a tie between gateways.
    20 OrderRejected(OrderMoved),
    /// A paid order was refunded.
    21 OrderRefunded(OrderRefunded),
    /// An order was placed that is to be confirmed between gateways; its deadline is that of the
    /// confirmation.
    22 OrderAccepted(OrderPlaced),
    /// Orders were confirmed.
    23 OrdersConfirmed(OrdersConfirmed),
    /// Orders that have ended are known to have.
    24 OrdersReleased(OrdersReleased),
    /// A payment was started.
    32 PaymentStarted(PaymentStarted),
    /// A payment failed.
    33 PaymentFailed(PaymentMoved),
    /// Money came that cannot pay its order; it is owed back.
    34 PaymentRefundDue(PaymentMoved),
    /// Money was given back.
    35 PaymentRefunded(PaymentMoved),
    /// Checkpoint: an activity.
    128 ActivityKept(Box<ActivityKept>),
    /// Checkpoint: an order.
    129 OrderKept(OrderKept),
    /// Checkpoint: a payment.
    130 PaymentKept(PaymentKept),
    /// Checkpoint: an idempotency key.
    131 KeyKept(KeyKept),
    /// Checkpoint: a counter.
    132 CounterKept(CounterKept),
    /// Checkpoint: a withdrawal whose idempotency key is remembered.
    133 WithdrawalKept(UnitsLeftOnce),
    /// Checkpoint: a lease.
    134 LeaseKept(LeaseKept),
    /// Checkpoint: an order of whose end the other gateways are to be told.
    135 LeasedOrderKept(LeasedOrderKept),
}

impl Record {
    /// The activity whose lease it changes; none for records that change none.
    #[must_use]
    pub fn leased_activity(&self) -> Option<ActivityId> {
        if let Self::LeaseJoined(it) = self {
            Some(it.activity)
        } else if let Self::EraEntered(it) = self {
            Some(it.activity)
        } else if let Self::UnitsLeased(it) = self {
            Some(it.activity)
        } else if let Self::UnitsReturned(it) = self {
            Some(it.activity)
        } else if let Self::LeaseKept(it) = self {
            Some(it.activity)
        } else {
            None
        }
    }

    /// The activity whose totals it changes; none for records that change none.
    #[must_use]
    pub fn counted_activity(&self) -> Option<ActivityId> {
        Some(match self {
            Self::OrderPlaced(it) | Self::OrderAccepted(it) => it.activity,
            Self::OrderPaid(it) => it.moved.activity,
            Self::OrderExpired(it) | Self::OrderCancelled(it) | Self::OrderRejected(it) => {
                it.activity
            }
            Self::OrderRefunded(it) => it.moved.activity,
            Self::UnitsWithdrawn(it) | Self::ActivityClosed(it) => it.activity,
            Self::UnitsWithdrawnOnce(it) => it.left.activity,
            Self::LeaseClosed(it) => it.activity,
            Self::ActivityPublished(_)
            | Self::LeasedActivityPublished(_)
            | Self::ActivityPaused(_)
            | Self::ActivityResumed(_)
            | Self::ActivityEnded(_)
            | Self::LeaseJoined(_)
            | Self::EraEntered(_)
            | Self::UnitsLeased(_)
            | Self::UnitsReturned(_)
            | Self::PhaseFollowed(_)
            | Self::OrdersConfirmed(_)
            | Self::OrdersReleased(_)
            | Self::PaymentStarted(_)
            | Self::PaymentFailed(_)
            | Self::PaymentRefundDue(_)
            | Self::PaymentRefunded(_)
            | Self::ActivityKept(_)
            | Self::OrderKept(_)
            | Self::PaymentKept(_)
            | Self::KeyKept(_)
            | Self::CounterKept(_)
            | Self::WithdrawalKept(_)
            | Self::LeaseKept(_)
            | Self::LeasedOrderKept(_) => return None,
        })
    }
}
