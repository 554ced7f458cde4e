//! The breakers before the store: one for what reads, one for what writes, since a store whose
//! writes hang may answer reads, and the other way round.
//!
//! It must not know what is read or written.

use std::sync::Arc;

use super::limits::STORE_BREAKER;
use super::problem::Effect;
use crate::flow::Breaker;

/// Both breakers.
#[derive(Clone, Debug)]
pub struct StoreBreakers {
    /// Before what reads.
    pub read: Arc<Breaker>,
    /// Before what writes.
    pub write: Arc<Breaker>,
}

impl Default for StoreBreakers {
    fn default() -> Self {
        Self {
            read: Breaker::new("store, reads", STORE_BREAKER),
            write: Breaker::new("store, writes", STORE_BREAKER),
        }
    }
}

impl StoreBreakers {
    /// The one before calls of this effect.
    pub(super) fn of(&self, effect: Effect) -> &Arc<Breaker> {
        match effect {
            Effect::Read => &self.read,
            Effect::Write => &self.write,
        }
    }
}
