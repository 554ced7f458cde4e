//! Names of things, as numbers.
//!
//! An order id says which gateway and which shard own the order, so any gateway and any core can
//! find the owner without asking. Ids are made from counters that continue from the journal: no
//! clock, no randomness, no repeat.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name(pub u64);

        impl From<u64> for $name {
            fn from(number: u64) -> Self {
                Self(number)
            }
        }

        impl From<$name> for u64 {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// One flash sale; numbered by the store.
    ActivityId
);
id!(
    /// What is sold; numbered by the store.
    ProductId
);
id!(
    /// A shopper, operator or administrator; numbered by the store.
    UserId
);
id!(
    /// An order: gateway 10 bits, epoch 8, shard 8, counter 37; 63 in all, so it fits a signed
    /// integer of any database.
    OrderId
);
id!(
    /// A payment; laid out like an order id and drawn from the same counter, so it names its owner.
    PaymentId
);

const COUNTER_BITS: u32 = 37;
const SHARD_BITS: u32 = 8;
const EPOCH_BITS: u32 = 8;
const GATEWAY_BITS: u32 = 10;
const _: () = assert!(COUNTER_BITS + SHARD_BITS + EPOCH_BITS + GATEWAY_BITS == 63);

const COUNTER_MASK: u64 = (1 << COUNTER_BITS) - 1;
const SHARD_MASK: u64 = (1 << SHARD_BITS) - 1;
const EPOCH_MASK: u64 = (1 << EPOCH_BITS) - 1;

/// Largest gateway number.
pub const GATEWAY_MAX: u16 = (1 << GATEWAY_BITS) - 1;
/// Number of shards that an id can name.
pub const SHARD_COUNT: usize = 1 << SHARD_BITS;
/// The first number of each shard's counter: no order is number 0, which people take for none.
pub const COUNTER_FIRST: u64 = 1;

/// Where an id was made: a gateway in one of its epochs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Origin {
    /// 0 to [`GATEWAY_MAX`].
    pub gateway: u16,
    /// Grows when the gateway is declared lost and its number is used again.
    pub epoch: u8,
}

/// One life of what Redis remembers of an activity. A later one has a larger generation; two of
/// one generation, of which one was lost, differ in their nonces.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Era {
    /// Given by the store, which gives each once.
    pub generation: u64,
    /// Made by Redis when the era began.
    pub nonce: u64,
}

impl fmt::Display for Era {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:016x}", self.generation, self.nonce)
    }
}

impl FromStr for Era {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let (generation, nonce) = text.split_once('.').unwrap_or((text, ""));
        Ok(Self { generation: generation.parse()?, nonce: u64::from_str_radix(nonce, 16)? })
    }
}

impl OrderId {
    /// Puts an id together.
    ///
    /// # Panics
    /// When the gateway or the counter does not fit its bits: 137 billion orders a shard and epoch.
    #[must_use]
    pub fn new(origin: Origin, shard: u8, counter: u64) -> Self {
        assert!(origin.gateway <= GATEWAY_MAX, "a gateway number has {GATEWAY_BITS} bits");
        assert!(counter <= COUNTER_MASK, "a shard's counter has {COUNTER_BITS} bits");
        let head = (u64::from(origin.gateway) << EPOCH_BITS) | u64::from(origin.epoch);
        Self((((head << SHARD_BITS) | u64::from(shard)) << COUNTER_BITS) | counter)
    }

    /// The shard it was made on; its owner is this modulo the cores of today.
    #[must_use]
    pub fn shard(self) -> u8 {
        u8::try_from((self.0 >> COUNTER_BITS) & SHARD_MASK).expect("masked to 8 bits")
    }

    /// The gateway and epoch it was made in.
    #[must_use]
    pub fn origin(self) -> Origin {
        let head = self.0 >> (COUNTER_BITS + SHARD_BITS);
        Origin {
            gateway: u16::try_from((head >> EPOCH_BITS) & u64::from(GATEWAY_MAX))
                .expect("masked to 10 bits"),
            epoch: u8::try_from(head & EPOCH_MASK).expect("masked to 8 bits"),
        }
    }

    /// Its number on its shard.
    #[must_use]
    pub fn counter(self) -> u64 {
        self.0 & COUNTER_MASK
    }

    /// Which of `cores` owns it.
    #[must_use]
    pub fn owner(self, cores: usize) -> usize {
        usize::from(self.shard()) % cores
    }
}

impl PaymentId {
    /// Which of `cores` owns it, and its order.
    #[must_use]
    pub fn owner(self, cores: usize) -> usize {
        OrderId(self.0).owner(cores)
    }
}

impl ActivityId {
    /// Which of `cores` speaks for the activity when its terms or its phase change.
    #[must_use]
    pub fn owner(self, cores: usize) -> usize {
        usize::try_from(self.0 % cores as u64).expect("less than the number of cores")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_id_gives_back_its_parts() {
        for gateway in [0, 1, 512, GATEWAY_MAX] {
            for epoch in [0, 1, 255] {
                for shard in [0, 7, 255] {
                    for counter in [0, 1, COUNTER_MASK] {
                        let origin = Origin { gateway, epoch };
                        let id = OrderId::new(origin, shard, counter);
                        assert!(id.0 < 1 << 63, "fits a signed 64-bit integer");
                        assert_eq!(
                            (id.origin(), id.shard(), id.counter()),
                            (origin, shard, counter)
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn an_era_is_read_as_it_is_written() {
        let era = Era { generation: 3, nonce: 0xab };
        assert_eq!(era.to_string(), "3.00000000000000ab");
        assert_eq!(era.to_string().parse(), Ok(era));
        assert!("3".parse::<Era>().is_err() && "x.1".parse::<Era>().is_err());
    }

    /// Java's `hashCode % n` can be negative, and such a buyer can never buy. Ours cannot.
    #[test]
    fn u5_every_id_has_an_owner() {
        for id in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
            for cores in 1..=128 {
                assert!(OrderId(id).owner(cores) < cores);
                assert!(ActivityId(id).owner(cores) < cores);
            }
        }
    }
}
