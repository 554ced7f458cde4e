//! What is asked of a shard and what it answers.
//!
//! A refusal is a value with a reason of its own; a fault is `OutcomeUnknown`. Nothing here knows
//! how an answer looks on the wire.

use crate::clock::Timestamp;
use crate::ids::{ActivityId, Era, OrderId, PaymentId, UserId};
use crate::record::{ActivityPublished, Digest, PaymentStatus, Status};

/// Something asked of the shard that owns what is named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// A shopper presses the button. Any shard takes it.
    PlaceOrder(PlaceOrder),
    /// A shopper (or, without `user`, an operator) gives up an unpaid order.
    CancelOrder {
        /// The order.
        order: OrderId,
        /// Whose it must be; none for an operator.
        user: Option<UserId>,
    },
    /// A shopper starts to pay.
    StartPayment(StartPayment),
    /// A shopper gives up a payment that leads nowhere, for another one.
    GiveUpPayment {
        /// The payment.
        payment: PaymentId,
        /// The order that it must be for.
        order: OrderId,
        /// Whose that must be.
        user: UserId,
    },
    /// The provider says how a payment ended.
    SettlePayment {
        /// The payment.
        payment: PaymentId,
        /// The money that came; none where it failed.
        paid: Option<Paid>,
    },
    /// An operator gives a paid order's money back.
    RefundOrder {
        /// The order.
        order: OrderId,
        /// Whether its units are for sale again.
        return_units: bool,
    },
    /// The provider has carried out a refund that was due.
    CompleteRefund {
        /// The payment.
        payment: PaymentId,
    },
    /// The provider knows a payment of an order that no record here has started.
    RecallPayment {
        /// The payment.
        payment: PaymentId,
        /// The order that it is for.
        order: OrderId,
    },
    /// The provider was asked about an order that was taken over, and its word is written down.
    NoteAsked {
        /// The order.
        order: OrderId,
    },
    /// The store has a newer row of an activity.
    Publish {
        /// The row.
        row: Box<ActivityPublished>,
        /// How many activities the engine had forgotten before the row was read: one that was
        /// forgotten since is closed in the store, which the row may not say.
        forgotten: u64,
    },
    /// An operator pauses, resumes or ends an activity.
    ChangePhase {
        /// Which activity.
        activity: ActivityId,
        /// To what.
        change: PhaseChange,
    },
    /// An operator takes unsold units out of an activity.
    Withdraw(Withdraw),
    /// The gateway joins the others that sell an activity: no era before `floor` is entered.
    Join {
        /// Which activity.
        activity: ActivityId,
        /// The latest generation that the store has given.
        floor: u64,
    },
    /// What operators did to a shared activity at other gateways is taken over.
    FollowPhase {
        /// Which activity.
        activity: ActivityId,
        /// Whether it is paused.
        paused: bool,
        /// Whether it was ended.
        ended: bool,
    },
    /// From here on no answer of an older era of an activity counts.
    EnterEra {
        /// Which activity.
        activity: ActivityId,
        /// The era.
        era: Era,
    },
    /// Some orders of this shard were confirmed, refused, or are known to have ended.
    Hear(Box<Answers>),
    /// A request was answered, and every shard has heard what was said of its orders.
    Lease {
        /// Of which activity.
        activity: ActivityId,
        /// The request's number: one more than the last.
        n: u64,
        /// Units that were lent.
        quantity: u32,
    },
    /// Free units are given back to the other gateways.
    ReturnUnits {
        /// Of which activity.
        activity: ActivityId,
        /// How many at most.
        at_most: u32,
    },
    /// An ended activity without open orders gives its unsold units back.
    Close {
        /// Which activity.
        activity: ActivityId,
        /// The units that must be left, by the journal's fold.
        unsold: u32,
    },
}

/// A buy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlaceOrder {
    /// Of which activity.
    pub activity: ActivityId,
    /// By whom.
    pub user: UserId,
    /// Units, 1 to [`PER_USER_LIMIT_MAX`](crate::limits::PER_USER_LIMIT_MAX).
    pub quantity: u32,
    /// Digest of the idempotency key, or [`NO_KEY`](crate::record::NO_KEY).
    pub key: Digest,
    /// Digest of the body.
    pub body: Digest,
    /// Whether the request carried a purchase token that is valid for this activity and user.
    pub admitted: bool,
}

/// The start of a payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StartPayment {
    /// For which order.
    pub order: OrderId,
    /// Whose it must be.
    pub user: UserId,
    /// Digest of the idempotency key, or [`NO_KEY`](crate::record::NO_KEY).
    pub key: Digest,
    /// Digest of the body.
    pub body: Digest,
}

/// A withdrawal of unsold units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Withdraw {
    /// From which activity.
    pub activity: ActivityId,
    /// How many units, at least one.
    pub quantity: u32,
    /// Digest of the idempotency key, or [`NO_KEY`](crate::record::NO_KEY).
    pub key: Digest,
    /// Digest of the body.
    pub body: Digest,
}

/// What the other gateways say of a shard's orders, at most
/// [`ORDERS_PER_RECORD_MAX`](crate::limits::ORDERS_PER_RECORD_MAX) of each kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answers {
    /// Of which activity.
    pub activity: ActivityId,
    /// Orders whose places are confirmed: they are payable.
    pub confirmed: Vec<OrderId>,
    /// Orders whose buyers have reached their limit elsewhere.
    pub refused: Vec<OrderId>,
    /// Orders that are known to have ended.
    pub released: Vec<OrderId>,
}

impl Answers {
    /// Whether they say nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.confirmed.is_empty() && self.refused.is_empty() && self.released.is_empty()
    }
}

/// Money that came for a payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Paid {
    /// Minor units of its currency.
    pub amount: i64,
    /// ISO 4217 code, three upper-case letters.
    pub currency: [u8; 3],
}

/// What an operator does to an activity's phase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PhaseChange {
    /// Stop selling for now.
    Pause,
    /// Sell again.
    Resume,
    /// Stop selling for good.
    End,
}

/// What becomes of a command at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// It is answered: a refusal, or something that was done before.
    Answered(Verdict),
    /// A record is on its way to the disk; the verdict comes under this number of the shard.
    Pending(Sequence),
}

/// A pending command's number on its shard: 0, 1, 2 … in the order of the lane.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Sequence(pub u64);

/// What a command is answered with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The order is durable.
    Placed(OrderView),
    /// The same key and body were answered with this order before; read it where it is owned.
    PlacedBefore(OrderId),
    /// The order moved as asked, or had moved so before.
    Moved(OrderView),
    /// The payment is durable, or was started before under the same key.
    PaymentStarted(PaymentView),
    /// The payment is settled, now or before.
    PaymentSettled(PaymentView),
    /// The activity is as asked.
    ActivityChanged,
    /// No; nothing happened.
    Refused(Refusal),
    /// The disk failed while the record was under way: it may or may not have happened.
    OutcomeUnknown,
}

/// Why not; its [`Reason`] is what metrics count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// No such thing, or not yours.
    NotFound,
    /// Selling has not begun.
    NotStarted {
        /// When it does.
        starts_at: Timestamp,
    },
    /// Selling is over.
    Ended,
    /// Selling is paused.
    Paused,
    /// No unit can be taken now.
    SoldOut {
        /// Whether a unit may come back.
        may_return: bool,
    },
    /// Fewer units are left than asked for.
    InsufficientStock {
        /// How many are left, at least one.
        remaining: u32,
    },
    /// The buyer holds the most that the activity allows.
    LimitReached {
        /// Their orders.
        orders: Vec<OrderId>,
        /// One of them is on its way to the disk.
        pending: bool,
    },
    /// A purchase token is asked for.
    AdmissionRequired,
    /// The same key came with another body.
    IdempotencyMismatch,
    /// The order or payment is not in a state that allows this.
    OrderState,
    /// The buyer dropped too many orders of this activity.
    TooManyDropped,
    /// A queue is full, or another change of the same thing is under way.
    Overloaded,
    /// The journal takes no such record now: no room, or a disk fault; or the sale may be one that is not
    /// known yet.
    Unavailable,
    /// An older version of the row than the one known.
    Stale,
}

macro_rules! reasons {
    ($($name:ident $number:literal $word:literal),+ $(,)?) => {
        /// A refusal without what it says about the case: what is counted.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Reason {
            $(#[doc = concat!("`", $word, "`")] $name = $number),+
        }

        impl Reason {
            /// All of them, by number, from 1 on.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The word that metrics name it by.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }
        }
    };
}

reasons! {
    NotFound 1 "not-found",
    NotStarted 2 "not-started",
    Ended 3 "ended",
    Paused 4 "paused",
    SoldOut 5 "sold-out",
    InsufficientStock 6 "insufficient-stock",
    LimitReached 7 "limit-reached",
    AdmissionRequired 8 "admission-required",
    IdempotencyMismatch 9 "idempotency-mismatch",
    OrderState 10 "order-state",
    TooManyDropped 11 "too-many-dropped",
    Overloaded 12 "overloaded",
    Unavailable 13 "unavailable",
    Stale 14 "stale",
}

impl Reason {
    /// Its number.
    #[must_use]
    pub fn number(self) -> usize {
        self as usize
    }
}

impl Refusal {
    /// Its reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::NotFound => Reason::NotFound,
            Self::NotStarted { .. } => Reason::NotStarted,
            Self::Ended => Reason::Ended,
            Self::Paused => Reason::Paused,
            Self::SoldOut { .. } => Reason::SoldOut,
            Self::InsufficientStock { .. } => Reason::InsufficientStock,
            Self::LimitReached { .. } => Reason::LimitReached,
            Self::AdmissionRequired => Reason::AdmissionRequired,
            Self::IdempotencyMismatch => Reason::IdempotencyMismatch,
            Self::OrderState => Reason::OrderState,
            Self::TooManyDropped => Reason::TooManyDropped,
            Self::Overloaded => Reason::Overloaded,
            Self::Unavailable => Reason::Unavailable,
            Self::Stale => Reason::Stale,
        }
    }
}

/// An order as it is now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderView {
    /// Its id.
    pub id: OrderId,
    /// Of which activity.
    pub activity: ActivityId,
    /// Whose.
    pub user: UserId,
    /// Units.
    pub quantity: u32,
    /// Where it stands.
    pub status: Status,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// Until when it may be paid.
    pub pay_before: Timestamp,
    /// When it was paid, expired, cancelled, rejected or refunded; none while it is open.
    pub moved_at: Option<Timestamp>,
    /// Its payments, oldest first.
    pub payments: Vec<PaymentView>,
}

/// A payment as it is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PaymentView {
    /// Its id.
    pub id: PaymentId,
    /// For which order.
    pub order: OrderId,
    /// How much was asked for, in minor units.
    pub amount: i64,
    /// Where it stands.
    pub status: PaymentStatus,
}
