//! An order and its payments, as small as they can be: millions are in memory at once.

use crate::clock::Timestamp;
use crate::command::{OrderView, PaymentView};
use crate::ids::{ActivityId, OrderId, PaymentId, UserId};
use crate::record::{Digest, OrderPlaced, PaymentStarted, PaymentStatus, Status};
use crate::wheel::TimerKey;

/// An order in memory.
#[derive(Debug)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Of which activity.
    pub activity: ActivityId,
    /// Whose.
    pub user: UserId,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// Until when it may be paid.
    pub pay_before: Timestamp,
    /// When it last moved; zero while it has not.
    pub moved_at: Timestamp,
    /// Oldest first; nothing is allocated for an order without any.
    pub payments: Vec<Payment>,
    /// Its expiry, while it is open and live; a fold sets none.
    pub timer: Option<TimerKey>,
    /// Units.
    pub quantity: u32,
    /// Where it stands.
    pub status: Status,
    /// Whether a transition is on its way to the disk: at most one is. Live only.
    pub moving: bool,
    /// Whether its place was confirmed between gateways.
    pub confirmed: bool,
    /// Whether other gateways may know of its place, and are to be told of its end.
    pub unreleased: bool,
}

/// A payment in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// Asked for, in minor units.
    pub amount: i64,
    /// When it was started.
    pub started_at: Timestamp,
    /// Where it stands.
    pub status: PaymentStatus,
    /// Digest of the idempotency key.
    pub key: Digest,
    /// Digest of the body.
    pub body: Digest,
}

impl Order {
    /// An order as it was placed, awaiting its payment.
    #[must_use]
    pub fn placed(record: &OrderPlaced) -> Self {
        Self {
            id: record.order,
            activity: record.activity,
            user: record.user,
            placed_at: record.at,
            pay_before: record.pay_before,
            moved_at: Timestamp(0),
            payments: Vec::new(),
            timer: None,
            quantity: record.quantity,
            status: Status::AwaitingPayment,
            moving: false,
            confirmed: false,
            unreleased: false,
        }
    }

    /// An order as it was placed, to be confirmed between gateways.
    #[must_use]
    pub fn accepted(record: &OrderPlaced) -> Self {
        Self { status: Status::Accepted, unreleased: true, ..Self::placed(record) }
    }

    /// Whether nothing more can happen to it while its activity sells: it may leave memory once
    /// the store has it. A paid order stays until its activity is closed, since it may be refunded;
    /// so does one of whose end the other gateways do not know.
    #[must_use]
    pub fn is_settled(&self, activity_closed: bool) -> bool {
        !self.status.is_open()
            && ((self.status != Status::Paid && !self.unreleased) || activity_closed)
            && self.payments.iter().all(|payment| payment.status.is_final())
    }

    /// Whether it has ended and the other gateways do not know.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.unreleased && !self.status.is_open() && self.status != Status::Paid
    }

    /// A payment whose provider has not had its word.
    #[must_use]
    pub fn payment_under_way(&self) -> Option<PaymentId> {
        let mut payments = self.payments.iter();
        payments.find(|it| it.status == PaymentStatus::Started).map(|it| it.id)
    }

    /// What others may see of it.
    #[must_use]
    pub fn view(&self) -> OrderView {
        OrderView {
            id: self.id,
            activity: self.activity,
            user: self.user,
            quantity: self.quantity,
            status: self.status,
            placed_at: self.placed_at,
            pay_before: self.pay_before,
            moved_at: (self.moved_at != Timestamp(0)).then_some(self.moved_at),
            payments: self.payments.iter().map(|payment| payment.view(self.id)).collect(),
        }
    }
}

impl Payment {
    /// A payment as it was started.
    #[must_use]
    pub fn started(record: &PaymentStarted) -> Self {
        Self {
            id: record.payment,
            amount: record.amount,
            started_at: record.at,
            status: PaymentStatus::Started,
            key: record.key,
            body: record.body,
        }
    }

    /// What others may see of it.
    #[must_use]
    pub fn view(&self, order: OrderId) -> PaymentView {
        PaymentView { id: self.id, order, amount: self.amount, status: self.status }
    }
}

/// A number for an order in its final state, to be summed up over those that have left memory and
/// compared with the same sum over the store's rows. Mixing is SplitMix64's (Steele et al. 2014).
#[must_use]
pub fn fingerprint(order: &OrderView) -> u64 {
    let moved_at = order.moved_at.unwrap_or_default();
    let fields = [
        order.id.0,
        order.activity.0,
        order.user.0,
        u64::from(order.quantity),
        u64::from(order.status.number()),
        order.placed_at.0,
        order.pay_before.0,
        moved_at.0,
    ];
    fields.into_iter().fold(0, |hash, field| mix(hash ^ field))
}

fn mix(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
