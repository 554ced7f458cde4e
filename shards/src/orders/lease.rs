//! An activity's lease, as the journal has it: what this gateway was lent of the units that several
//! gateways sell, and how far it has come in settling with them.

use crate::ids::{ActivityId, Era};
use crate::record::{LeaseKept, Record};

/// What a gateway was lent of one activity.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lease {
    /// The latest generation that the store had given when the gateway joined; none before.
    pub floor: Option<u64>,
    /// The era that was entered last; none before the first.
    pub era: Option<Era>,
    /// The number of the last request that was answered.
    pub n: u64,
    /// Units lent: those that it may have sold, holds or may sell.
    pub net: u32,
}

impl Lease {
    /// Applies a record of this lease; any other changes nothing.
    ///
    /// # Panics
    /// When the record contradicts those before it.
    pub fn apply(&mut self, record: &Record) {
        if let Record::LeaseJoined(it) = record {
            self.floor = Some(it.floor);
        } else if let Record::EraEntered(it) = record {
            let era = Era { generation: it.generation, nonce: it.nonce };
            assert!(self.may_enter(era), "{era} is entered behind {self:?}");
            self.era = Some(era);
        } else if let Record::UnitsLeased(it) = record {
            assert_eq!(it.n, self.n + 1, "answers are numbered one by one");
            self.n = it.n;
            self.net += it.quantity;
        } else if let Record::UnitsReturned(it) = record {
            let net = self.net.checked_sub(it.quantity);
            self.net = net.expect("only what was lent is given back");
        } else if let Record::LeaseKept(kept) = record {
            *self = Self::from(*kept);
        }
    }

    /// Whether an era is later than all that this gateway knows.
    #[must_use]
    pub fn may_enter(&self, era: Era) -> bool {
        let own = self.era.map_or(0, |own| own.generation);
        era.generation > own && self.floor.is_some_and(|floor| era.generation >= floor)
    }

    pub(super) fn kept(&self, activity: ActivityId) -> LeaseKept {
        let era = self.era.map(|era| (era.generation, era.nonce));
        LeaseKept { activity, floor: self.floor, era, n: self.n, net: self.net }
    }
}

impl From<LeaseKept> for Lease {
    fn from(kept: LeaseKept) -> Self {
        let era = kept.era.map(|(generation, nonce)| Era { generation, nonce });
        Self { floor: kept.floor, era, n: kept.n, net: kept.net }
    }
}
