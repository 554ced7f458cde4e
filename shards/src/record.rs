//! What happened: the records of the journal, and their bytes.
//!
//! A record is a fact and is never refused. On disk it is `kind: u8 | length: u16 | rkyv payload`:
//! each kind is a type of its own, so a small record stays small and a new kind changes no old
//! one. A type that has been released is never changed: a second version is a new kind.
//! This module knows nothing of frames, disks or tables.

use rkyv::rancor::{Error as RkyvError, Fallible};
use rkyv::ser::Serializer;
use rkyv::with::{ArchiveWith, DeserializeWith, SerializeWith};
use rkyv::{Archive, Archived, Deserialize, Place, Serialize};

use crate::clock::Timestamp;
use crate::ids::{ActivityId, OrderId, PaymentId, ProductId, UserId};
use crate::limits::RECORD_BYTES_MAX;

/// An id or an instant, archived as the number it is.
#[derive(Debug)]
struct Number;

impl<T: Copy + Into<u64>> ArchiveWith<T> for Number {
    type Archived = Archived<u64>;
    type Resolver = ();

    fn resolve_with(field: &T, (): (), out: Place<Self::Archived>) {
        (*field).into().resolve((), out);
    }
}

impl<T: Copy + Into<u64>, S: Fallible + ?Sized> SerializeWith<T, S> for Number {
    fn serialize_with(_: &T, _: &mut S) -> Result<(), S::Error> {
        Ok(())
    }
}

impl<T: From<u64>, D: Fallible + ?Sized> DeserializeWith<Archived<u64>, T, D> for Number {
    fn deserialize_with(field: &Archived<u64>, _: &mut D) -> Result<T, D::Error> {
        Ok(T::from(field.to_native()))
    }
}

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

/// A newer copy of an activity's row was taken from the store.
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

/// Unsold units left an activity: withdrawn by an operator, or all that were left at its closing.
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
    pub key: Digest,
    /// Digest of the request's body.
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
    pub key: Digest,
    /// Digest of the request's body.
    pub body: Digest,
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
    pub key: Digest,
    /// Digest of the request's body.
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
    pub key: Digest,
    /// Digest of the body.
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

macro_rules! statuses {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $number:literal $variant:ident $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $number),+
        }

        impl $name {
            /// All of them, by number.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its number on disk and in the store.
            #[must_use]
            pub fn number(self) -> u8 {
                match self { $(Self::$variant => $number),+ }
            }

            /// The status of a number.
            #[must_use]
            pub fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }

            /// Its word on the wire.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

statuses! {
    /// Where an order stands.
    Status {
        /// Durable, being confirmed between gateways.
        1 Accepted "accepted",
        /// Durable and payable.
        2 AwaitingPayment "awaiting_payment",
        /// Paid.
        3 Paid "paid",
        /// Not paid in time.
        4 Expired "expired",
        /// Given up by its buyer or an operator.
        5 Cancelled "cancelled",
        /// Lost a tie between gateways.
        6 Rejected "rejected",
        /// Paid, and its money given back.
        7 Refunded "refunded",
    }
}

impl Status {
    /// Whether its units are held: neither sold nor back.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Accepted | Self::AwaitingPayment)
    }
}

statuses! {
    /// Where a payment stands.
    PaymentStatus {
        /// The provider was asked.
        1 Started "started",
        /// The money came and paid the order.
        2 Succeeded "succeeded",
        /// No money came.
        3 Failed "failed",
        /// The money is owed back.
        4 RefundDue "refund_due",
        /// The money was given back.
        5 Refunded "refunded",
    }
}

impl PaymentStatus {
    /// Whether nothing more is expected of it.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Refunded)
    }
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
}

impl Record {
    /// The activity whose totals it changes; none for records that change none.
    #[must_use]
    pub fn counted_activity(&self) -> Option<ActivityId> {
        Some(match self {
            Self::OrderPlaced(it) => it.activity,
            Self::OrderPaid(it) => it.moved.activity,
            Self::OrderExpired(it) | Self::OrderCancelled(it) | Self::OrderRejected(it) => {
                it.activity
            }
            Self::OrderRefunded(it) => it.moved.activity,
            Self::UnitsWithdrawn(it) | Self::ActivityClosed(it) => it.activity,
            Self::UnitsWithdrawnOnce(it) => it.left.activity,
            Self::ActivityPublished(_)
            | Self::ActivityPaused(_)
            | Self::ActivityResumed(_)
            | Self::ActivityEnded(_)
            | Self::PaymentStarted(_)
            | Self::PaymentFailed(_)
            | Self::PaymentRefundDue(_)
            | Self::PaymentRefunded(_)
            | Self::ActivityKept(_)
            | Self::OrderKept(_)
            | Self::PaymentKept(_)
            | Self::KeyKept(_)
            | Self::CounterKept(_)
            | Self::WithdrawalKept(_) => return None,
        })
    }
}

/// Lets the macro treat a boxed payload like the payload.
trait Inner {
    type Of;
    fn inner(&self) -> &Self::Of;
}

impl<T> Inner for Box<T> {
    type Of = T;
    fn inner(&self) -> &T {
        self
    }
}

macro_rules! inner {
    ($($type:ty),+) => {$(
        impl Inner for $type {
            type Of = Self;
            fn inner(&self) -> &Self {
                self
            }
        }
    )+};
}
inner!(PhaseChanged, UnitsLeft, UnitsLeftOnce, OrderPlaced, OrderPaid, OrderMoved, OrderRefunded);
inner!(PaymentStarted, PaymentMoved, OrderKept, PaymentKept, KeyKept, CounterKept);

/// Why bytes are not a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a record.
    #[error("the bytes end inside a record")]
    Short,
    /// A newer version wrote it.
    #[error("record kind {kind} is not known: a newer version of seckill wrote it")]
    UnknownKind {
        /// The number found.
        kind: u8,
    },
    /// The payload is not of its kind.
    #[error("the payload of a record of kind {kind} is not valid")]
    Invalid {
        /// The number found.
        kind: u8,
    },
}

const HEAD_BYTES: usize = 3;

impl Record {
    /// Appends the record's bytes; returns how many.
    ///
    /// # Panics
    /// When a record is larger than [`RECORD_BYTES_MAX`]: titles are bounded where they come in.
    pub fn encode(&self, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        out.extend_from_slice(&[self.kind(), 0, 0]);
        self.encode_payload(out);
        let bytes = out.len() - start;
        assert!(bytes <= RECORD_BYTES_MAX, "a record of {bytes} bytes");
        let length = u16::try_from(bytes - HEAD_BYTES).expect("bounded above");
        out[start + 1..start + HEAD_BYTES].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    /// Takes the first record off `bytes`.
    ///
    /// # Errors
    /// [`DecodeError`] where the bytes are cut, of an unknown kind or not valid.
    pub fn decode(bytes: &mut &[u8]) -> Result<Self, DecodeError> {
        let (head, rest) = bytes.split_at_checked(HEAD_BYTES).ok_or(DecodeError::Short)?;
        let length = usize::from(u16::from_le_bytes([head[1], head[2]]));
        let (payload, rest) = rest.split_at_checked(length).ok_or(DecodeError::Short)?;
        *bytes = rest;
        let record = Self::decode_payload(head[0], payload)?;
        if record.has_known_status() {
            Ok(record)
        } else {
            Err(DecodeError::Invalid { kind: head[0] })
        }
    }

    /// Whether a status that is kept as a number is one.
    fn has_known_status(&self) -> bool {
        if let Self::OrderKept(kept) = self {
            return Status::from_number(kept.status).is_some();
        }
        if let Self::PaymentKept(kept) = self {
            return PaymentStatus::from_number(kept.status).is_some();
        }
        true
    }
}

fn serialize<T>(payload: &T, out: &mut Vec<u8>)
where
    T: for<'a> Serialize<rkyv::rancor::Strategy<Serializer<&'a mut Vec<u8>, (), ()>, RkyvError>>,
{
    rkyv::api::serialize_using(payload, &mut Serializer::new(out, (), ()))
        .expect("a vector takes all bytes, and records share nothing");
}
