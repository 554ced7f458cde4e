//! Where orders and payments stand: each status with its number on disk and its word on the wire.

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
