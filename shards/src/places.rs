//! Places: the units of a buyer's limit, and the idempotency keys that were answered with them.
//!
//! A place is taken before a unit is, so repeated clicks never drain stock. One concurrent map an
//! activity, shared by the cores; no reference into it outlives a call. It knows nothing of stock.

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::fast::FixedState;

use crate::ids::{OrderId, UserId};
use crate::limits::DROPPED_ORDERS_MAX;
use crate::record::{Digest, NO_KEY};

/// Buyers that room is made for when a sale is preheated, at most.
const PREHEATED_BUYERS_MAX: usize = 1 << 20;

/// How far a claim's order has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClaimState {
    /// Decided, its record is on its way to the disk.
    Pending,
    /// Durable: its units count.
    Held,
    /// Its units have come back; only its key is remembered.
    Dropped,
}

/// One order's part of a buyer's limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The order.
    pub order: OrderId,
    /// Its units.
    pub quantity: u32,
    /// How far it has come.
    pub state: ClaimState,
    /// Digest of its idempotency key, or [`NO_KEY`].
    pub key: Digest,
    /// Digest of the body that came with the key.
    pub body: Digest,
}

/// Why a buyer gets no place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// The same key and body were answered with this order.
    Again(OrderId),
    /// The same key came with another body.
    Mismatch,
    /// The limit is reached by these orders, or the first one under this key is not durable yet.
    Reached {
        /// The buyer's orders.
        orders: Vec<OrderId>,
        /// Whether one of them is on its way to the disk.
        pending: bool,
    },
    /// The buyer has dropped as many orders as are remembered.
    TooManyDropped,
}

/// A buyer's claims: nearly always one, so the first needs no allocation.
#[derive(Clone, Debug)]
struct Place {
    first: Claim,
    more: Vec<Claim>,
}

/// The places of one activity.
#[derive(Debug)]
pub struct Places {
    buyers: DashMap<UserId, Place, FixedState>,
}

impl Places {
    /// Places with room for about `buyers`.
    #[must_use]
    pub fn with_room_for(buyers: usize) -> Self {
        let capacity = buyers.min(PREHEATED_BUYERS_MAX);
        Self { buyers: DashMap::with_capacity_and_hasher(capacity, FixedState::default()) }
    }

    /// Whether `wanted` could be placed now under `limit`: a look without a claim, so that a
    /// refusal writes nothing.
    #[must_use]
    pub fn look(&self, user: UserId, wanted: &Claim, limit: u32) -> Option<Standing> {
        match self.buyers.get(&user) {
            Some(place) => place.standing(wanted, limit),
            None if wanted.quantity > limit => Some(Standing::nobody_may()),
            None => None,
        }
    }

    /// Takes a place for `wanted`, which is pending from here on.
    ///
    /// # Errors
    /// [`Standing`]; nothing has changed then.
    pub fn take(&self, user: UserId, wanted: Claim, limit: u32) -> Result<(), Standing> {
        match self.buyers.entry(user) {
            Entry::Occupied(mut place) => match place.get().standing(&wanted, limit) {
                Some(standing) => Err(standing),
                None => {
                    place.get_mut().more.push(wanted);
                    Ok(())
                }
            },
            Entry::Vacant(_) if wanted.quantity > limit => Err(Standing::nobody_may()),
            Entry::Vacant(vacant) => {
                vacant.insert(Place { first: wanted, more: Vec::new() });
                Ok(())
            }
        }
    }

    /// Gives back a place for which no record was written.
    pub fn give(&self, user: UserId, order: OrderId) {
        self.change(user, order, |_| None);
    }

    /// The claim's order is durable.
    pub fn confirm(&self, user: UserId, order: OrderId) {
        self.change(user, order, |claim| Some(Claim { state: ClaimState::Held, ..claim }));
    }

    /// The record that frees the claim's units is durable: they count no more, and the key is
    /// remembered where there is one.
    pub fn free(&self, user: UserId, order: OrderId) {
        self.change(user, order, |claim| {
            (claim.key != NO_KEY).then_some(Claim { state: ClaimState::Dropped, ..claim })
        });
    }

    /// Puts a claim as a record has it, without asking.
    pub fn restore(&self, user: UserId, claim: Claim) {
        match self.buyers.entry(user) {
            Entry::Occupied(mut place) => place.get_mut().more.push(claim),
            Entry::Vacant(vacant) => {
                vacant.insert(Place { first: claim, more: Vec::new() });
            }
        }
    }

    /// The claims of a buyer, oldest first.
    #[must_use]
    pub fn claims_of(&self, user: UserId) -> Vec<Claim> {
        self.buyers.get(&user).map_or_else(Vec::new, |place| place.claims().copied().collect())
    }

    /// Buyers with a claim.
    #[must_use]
    pub fn buyers(&self) -> usize {
        self.buyers.len()
    }

    /// Gives every buyer's claims to `visit`.
    pub fn for_each(&self, mut visit: impl FnMut(UserId, &Claim)) {
        for place in &self.buyers {
            place.value().claims().for_each(|claim| visit(*place.key(), claim));
        }
    }

    /// Forgets everybody: the activity is closed.
    pub fn clear(&self) {
        self.buyers.clear();
        self.buyers.shrink_to_fit();
    }

    /// Replaces one claim by what `change` makes of it.
    ///
    /// # Panics
    /// When the claim is not there: a record names a claim that was made before.
    fn change(&self, user: UserId, order: OrderId, change: impl FnOnce(Claim) -> Option<Claim>) {
        let Entry::Occupied(mut entry) = self.buyers.entry(user) else {
            panic!("order {order} has no place");
        };
        let place = entry.get_mut();
        if place.first.order == order {
            match (change(place.first), place.more.is_empty()) {
                (Some(claim), _) => place.first = claim,
                (None, false) => place.first = place.more.remove(0),
                (None, true) => {
                    entry.remove();
                }
            }
            return;
        }
        let at = place.more.iter().position(|claim| claim.order == order);
        let at = at.unwrap_or_else(|| panic!("order {order} has no place"));
        match change(place.more[at]) {
            Some(claim) => place.more[at] = claim,
            None => {
                place.more.remove(at);
            }
        }
    }
}

impl Standing {
    /// The answer to one who asks for more than anybody may hold.
    fn nobody_may() -> Self {
        Self::Reached { orders: Vec::new(), pending: false }
    }
}

impl Place {
    fn claims(&self) -> impl Iterator<Item = &Claim> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// Why `wanted` gets no place beside these claims; none where it does.
    fn standing(&self, wanted: &Claim, limit: u32) -> Option<Standing> {
        let same_key = |claim: &&Claim| wanted.key != NO_KEY && claim.key == wanted.key;
        if let Some(before) = self.claims().find(same_key) {
            return Some(match before.state {
                _ if before.body != wanted.body => Standing::Mismatch,
                ClaimState::Pending => {
                    Standing::Reached { orders: vec![before.order], pending: true }
                }
                ClaimState::Held | ClaimState::Dropped => Standing::Again(before.order),
            });
        }
        let counting = || self.claims().filter(|claim| claim.state != ClaimState::Dropped);
        let units: u32 = counting().map(|claim| claim.quantity).sum();
        if units + wanted.quantity > limit {
            let pending = counting().any(|claim| claim.state == ClaimState::Pending);
            let orders = counting().map(|claim| claim.order).collect();
            return Some(Standing::Reached { orders, pending });
        }
        let dropped = self.claims().filter(|claim| claim.state == ClaimState::Dropped).count();
        (dropped >= DROPPED_ORDERS_MAX).then_some(Standing::TooManyDropped)
    }
}
