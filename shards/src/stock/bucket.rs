//! A core's bucket: units its own takes find without touching a line that others write.
//! It must not know the pool, nor whether the owner or a thief is taking.

use crate::sync::atomic::AtomicU32;

use super::ONE_ORDER;

/// Free units of one core; filled by the owner's refills alone, emptied by the owner and thieves.
#[derive(Debug)]
pub(super) struct Bucket(AtomicU32);

impl Bucket {
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    pub(super) fn units(&self) -> u32 {
        self.0.load(ONE_ORDER)
    }

    /// Takes `quantity`, or nothing and says how many units there are: one load, and one
    /// compare-exchange unless a thief was quicker. An empty bucket is not written to.
    pub(super) fn take(&self, quantity: u32) -> Result<(), u32> {
        self.0.fetch_update(ONE_ORDER, ONE_ORDER, |units| units.checked_sub(quantity)).map(|_| ())
    }

    /// Takes as many of `wanted` units as there are and returns that number.
    pub(super) fn take_up_to(&self, wanted: u32) -> u32 {
        let part = |units: u32| units.min(wanted);
        self.0
            .fetch_update(ONE_ORDER, ONE_ORDER, |units| {
                (part(units) > 0).then(|| units - part(units))
            })
            .map_or(0, part)
    }

    /// The rest of a refill. The giver is a carrier, registered in the pool.
    pub(super) fn give(&self, units: u32) {
        self.0.fetch_add(units, ONE_ORDER);
    }
}
