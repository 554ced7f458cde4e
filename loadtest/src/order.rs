//! An order as a client sees it, and what may become of it.
//!
//! It must not know how it was read.

use serde::Deserialize;
use serde_json::Value;

/// Bits of an order's id below its gateway's number.
const GATEWAY_SHIFT: u32 = 53;

/// Where an order stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Durable, being confirmed between gateways.
    Accepted,
    /// Confirmed; the pay clock runs.
    AwaitingPayment,
    /// The money is there.
    Paid,
    /// Not paid in time.
    Expired,
    /// Given up by its buyer or an operator.
    Cancelled,
    /// Not confirmed.
    Rejected,
    /// Paid, and the money given back.
    Refunded,
}

impl Status {
    /// Whether an order that was seen so may be seen as `later` afterwards.
    #[must_use]
    pub fn may_become(self, later: Self) -> bool {
        let next: &[Self] = match self {
            Self::Accepted => &[Self::AwaitingPayment, Self::Rejected, Self::Cancelled],
            Self::AwaitingPayment => &[Self::Paid, Self::Expired, Self::Cancelled],
            Self::Paid => &[Self::Refunded],
            Self::Expired | Self::Cancelled | Self::Rejected | Self::Refunded => &[],
        };
        self == later || next.iter().any(|next| next.may_become(later))
    }

    /// Whether its units are reserved for its buyer and unpaid.
    #[must_use]
    pub fn is_held(self) -> bool {
        matches!(self, Self::Accepted | Self::AwaitingPayment)
    }

    /// Whether its units are not for sale.
    #[must_use]
    pub fn takes_units(self) -> bool {
        self.is_held() || self == Self::Paid
    }
}

/// Where a payment stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Nobody has said what became of it.
    Started,
    /// The money is there, and the order is paid by it.
    Succeeded,
    /// There will be no money.
    Failed,
    /// The money is there, and owed back.
    RefundDue,
    /// The money went back.
    Refunded,
}

/// A payment of an order.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Payment {
    /// Its id.
    #[serde(rename = "payment_id")]
    pub id: String,
    /// Where it stands.
    pub status: PaymentStatus,
}

/// An order as a client sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// Its id.
    pub id: String,
    /// Of which activity.
    pub activity: String,
    /// Units.
    pub quantity: u32,
    /// Where it stands.
    pub status: Status,
    /// What was begun to pay it.
    pub payments: Vec<Payment>,
}

impl Order {
    /// An order of the API.
    ///
    /// # Panics
    /// Where it is not as the contract says.
    #[track_caller]
    #[must_use]
    pub fn of(json: &Value) -> Self {
        #[derive(Deserialize)]
        struct Wire {
            id: String,
            activity_id: String,
            lines: Vec<Line>,
            status: Status,
            payments: Vec<Payment>,
        }
        #[derive(Deserialize)]
        struct Line {
            quantity: u32,
        }
        let wire = Wire::deserialize(json);
        let Wire { id, activity_id: activity, lines, status, payments } =
            wire.unwrap_or_else(|error| panic!("{json} is no order: {error}"));
        let quantity = lines.iter().map(|line| line.quantity).sum();
        Self { id, activity, quantity, status, payments }
    }

    /// The number of the gateway that made it.
    ///
    /// # Panics
    /// Where its id is none.
    #[track_caller]
    #[must_use]
    pub fn gateway(&self) -> usize {
        Self::gateway_of(&self.id)
    }

    /// The number of the gateway that made the order of an id: its highest bits say so.
    ///
    /// # Panics
    /// Where it is none.
    #[track_caller]
    #[must_use]
    pub fn gateway_of(id: &str) -> usize {
        let id: u64 = id.parse().expect("an id is a number");
        usize::try_from(id >> GATEWAY_SHIFT).expect("a gateway has a small number")
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn what_is_closed_stays_closed() {
        assert!(Status::Accepted.may_become(Status::Refunded), "step by step");
        assert!(Status::AwaitingPayment.may_become(Status::Expired));
        for closed in [Status::Expired, Status::Cancelled, Status::Rejected, Status::Refunded] {
            assert!(closed.may_become(closed));
            assert!(!closed.may_become(Status::AwaitingPayment), "{closed:?}");
            assert!(!closed.may_become(Status::Paid), "{closed:?}");
        }
        assert!(!Status::Paid.may_become(Status::Cancelled));
    }
}
