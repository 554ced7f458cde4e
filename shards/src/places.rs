//! Places: the units of a buyer's limit, and the idempotency keys that were answered with them.
//!
//! A place is taken before a unit is, so repeated clicks never drain stock. One concurrent map an
//! activity, shared by the cores; no reference into it outlives a call. It knows nothing of stock.

use foldhash::fast::FixedState;

use crate::ids::{OrderId, UserId};
use crate::limits::{DROPPED_ORDERS_MAX, ORDERS_AHEAD_MAX};
use crate::record::{Digest, NO_KEY};
use crate::sync::map::{DashMap, Entry};

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
    /// Behind a pointer of its own, so that a buyer's entry is as long as a cache line.
    more: Option<Box<More>>,
}

#[derive(Clone, Debug, Default)]
struct More {
    claims: Vec<Claim>,
}

const _: () = assert!(size_of::<(UserId, Place)>() == 64, "as long as a cache line");

/// The places of one activity.
#[derive(Debug)]
pub struct Places {
    buyers: DashMap<UserId, Place, FixedState>,
    /// Buyers that there was room for at the start.
    room: usize,
}

impl Places {
    /// Places with room for about `buyers`.
    #[must_use]
    pub fn with_room_for(buyers: usize) -> Self {
        let room = buyers.min(ORDERS_AHEAD_MAX);
        let buyers = DashMap::with_capacity_and_hasher(room, FixedState::default());
        Self { buyers, room }
    }

    /// Buyers that there was room for at the start.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// Makes and touches all the memory that `room` buyers will need, so that none of the first
    /// second waits for the machine to find it. Others may use the places meanwhile.
    pub(crate) fn preheat(&self, room: usize) {
        let nobody = Claim {
            order: OrderId(0),
            quantity: 0,
            state: ClaimState::Dropped,
            key: NO_KEY,
            body: NO_KEY,
        };
        let strangers = u64::MAX - room.saturating_sub(self.buyers()) as u64..u64::MAX;
        for user in strangers.clone() {
            self.restore(UserId(user), nobody);
        }
        for user in strangers {
            self.buyers.remove(&UserId(user));
        }
    }

    /// Gives back what memory the buyers who are there do not need.
    pub(crate) fn shrink(&self) {
        self.buyers.shrink_to_fit();
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
                    place.get_mut().more_mut().push(wanted);
                    Ok(())
                }
            },
            Entry::Vacant(_) if wanted.quantity > limit => Err(Standing::nobody_may()),
            Entry::Vacant(vacant) => {
                vacant.insert(Place { first: wanted, more: None });
                Ok(())
            }
        }
    }

    /// Gives back a place for which no record was written. The activity may have been closed, and
    /// everybody forgotten, while the buyer's core stood still.
    pub fn give(&self, user: UserId, order: OrderId) {
        self.replace(user, order, |_| None);
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
            Entry::Occupied(mut place) => place.get_mut().more_mut().push(claim),
            Entry::Vacant(vacant) => {
                vacant.insert(Place { first: claim, more: None });
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
        for place in self.buyers.iter() {
            place.value().claims().for_each(|claim| visit(*place.key(), claim));
        }
    }

    /// Forgets everybody: the activity is closed.
    pub fn clear(&self) {
        self.buyers.clear();
        self.shrink();
    }

    /// Replaces a claim that a record names, so it was made before.
    ///
    /// # Panics
    /// When the claim is not there.
    fn change(&self, user: UserId, order: OrderId, change: impl FnOnce(Claim) -> Option<Claim>) {
        assert!(self.replace(user, order, change), "order {order} has no place");
    }

    /// Replaces one claim by what `change` makes of it, if it is there: a look and a change in one
    /// access, or everybody could be forgotten between them.
    fn replace(
        &self,
        user: UserId,
        order: OrderId,
        change: impl FnOnce(Claim) -> Option<Claim>,
    ) -> bool {
        let Entry::Occupied(mut entry) = self.buyers.entry(user) else { return false };
        let place = entry.get_mut();
        if place.first.order == order {
            match (change(place.first), place.more().is_empty()) {
                (Some(claim), _) => place.first = claim,
                (None, false) => place.first = place.more_mut().remove(0),
                (None, true) => {
                    entry.remove();
                }
            }
            return true;
        }
        let Some(at) = place.more().iter().position(|claim| claim.order == order) else {
            return false;
        };
        let more = place.more_mut();
        match change(more[at]) {
            Some(claim) => more[at] = claim,
            None => {
                more.remove(at);
            }
        }
        true
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
        std::iter::once(&self.first).chain(self.more())
    }

    /// The claims behind the first.
    fn more(&self) -> &[Claim] {
        self.more.as_ref().map_or(&[], |more| &more.claims)
    }

    fn more_mut(&mut self) -> &mut Vec<Claim> {
        &mut self.more.get_or_insert_default().claims
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

#[cfg(test)]
mod tests {
    use super::*;

    const USER: UserId = UserId(1);
    const LIMIT: u32 = 2;
    const KEY: Digest = [1; 16];
    const BODY: Digest = [2; 16];
    const OTHER: Digest = [3; 16];
    const STATES: [ClaimState; 3] = [ClaimState::Pending, ClaimState::Held, ClaimState::Dropped];

    fn claim(order: u64, quantity: u32, state: ClaimState, key: Digest) -> Claim {
        Claim { order: OrderId(order), quantity, state, key, body: BODY }
    }

    fn wanted(quantity: u32, key: Digest, body: Digest) -> Claim {
        Claim { body, ..claim(9, quantity, ClaimState::Pending, key) }
    }

    /// A look and a take say the same, and only a take that is granted changes anything.
    fn check(claims: &[Claim], wanted: Claim, expected: Option<Standing>) {
        let places = Places::with_room_for(0);
        claims.iter().for_each(|claim| places.restore(USER, *claim));
        assert_eq!(places.look(USER, &wanted, LIMIT), expected, "{claims:?} {wanted:?}");
        assert_eq!(places.claims_of(USER), claims);
        assert_eq!(places.take(USER, wanted, LIMIT).err(), expected);
        let granted = expected.is_none().then_some(wanted);
        assert_eq!(
            places.claims_of(USER),
            claims.iter().copied().chain(granted).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_key_that_was_answered_is_answered_again_before_the_limit_is_looked_at() {
        for quantity in [1, LIMIT, LIMIT + 1] {
            for state in STATES {
                let first = claim(1, LIMIT, state, KEY);
                let again = match state {
                    ClaimState::Pending => {
                        Standing::Reached { orders: vec![OrderId(1)], pending: true }
                    }
                    ClaimState::Held | ClaimState::Dropped => Standing::Again(OrderId(1)),
                };
                check(&[first], wanted(quantity, KEY, BODY), Some(again));
                check(&[first], wanted(quantity, KEY, OTHER), Some(Standing::Mismatch));
            }
        }
    }

    /// Every two claims of 1 or 2 units in every state, and every quantity wanted.
    #[test]
    fn b1_b2_units_that_count_never_pass_the_limit() {
        for (first, second) in STATES.into_iter().flat_map(|it| STATES.map(|other| (it, other))) {
            for (q1, q2, want) in [1, 2]
                .into_iter()
                .flat_map(|a| [1, 2].map(|b| (a, b)))
                .flat_map(|(a, b)| [1, 2, 3].map(|want| (a, b, want)))
            {
                let claims = [claim(1, q1, first, NO_KEY), claim(2, q2, second, NO_KEY)];
                let counting = claims.iter().filter(|it| it.state != ClaimState::Dropped);
                let units: u32 = counting.clone().map(|it| it.quantity).sum();
                let reached = Standing::Reached {
                    orders: counting.clone().map(|it| it.order).collect(),
                    pending: counting.clone().any(|it| it.state == ClaimState::Pending),
                };
                let expected = (units + want > LIMIT).then_some(reached);
                check(&claims, wanted(want, KEY, BODY), expected);
            }
        }
    }

    #[test]
    fn nobody_may_hold_more_than_the_limit() {
        check(&[], wanted(LIMIT + 1, NO_KEY, BODY), Some(Standing::nobody_may()));
        check(&[], wanted(LIMIT, NO_KEY, BODY), None);
    }

    #[test]
    fn who_has_dropped_too_many_is_told_so() {
        let key = |order: u64| u128::from(order).to_le_bytes();
        let dropped = |orders: u64| -> Vec<_> {
            (1..=orders).map(|it| claim(it, 1, ClaimState::Dropped, key(it))).collect()
        };
        let most = DROPPED_ORDERS_MAX as u64;
        check(&dropped(most - 1), wanted(1, NO_KEY, BODY), None);
        check(&dropped(most), wanted(1, NO_KEY, BODY), Some(Standing::TooManyDropped));
        check(&dropped(most), wanted(1, key(3), BODY), Some(Standing::Again(OrderId(3))));
    }

    #[test]
    fn memory_is_made_ahead_and_given_back_around_the_buyers_who_are_there() {
        let places = Places::with_room_for(0);
        places.restore(USER, claim(1, 1, ClaimState::Held, NO_KEY));
        places.preheat(10_000);
        assert!(places.buyers.capacity() >= 10_000);
        places.shrink();
        assert!(places.buyers.capacity() < 10_000);
        assert_eq!((places.buyers(), places.claims_of(USER).len()), (1, 1));
    }

    /// Both ends of a claim's life, for the first and a later claim of a buyer.
    #[test]
    fn a_claim_is_confirmed_freed_or_given_back() {
        for at in 0..3 {
            for (key, left) in [(NO_KEY, 2), (KEY, 3)] {
                let places = Places::with_room_for(0);
                for order in 0..3 {
                    let key = if order == at { key } else { NO_KEY };
                    let pending = claim(order, 1, ClaimState::Pending, key);
                    assert_eq!(places.take(USER, pending, 3), Ok(()));
                    places.confirm(USER, OrderId(order));
                }
                places.free(USER, OrderId(at));
                let claims = places.claims_of(USER);
                assert_eq!(claims.len(), left, "a key is remembered, without one nothing is");
                let counting = claims.iter().filter(|it| it.state == ClaimState::Held).count();
                assert_eq!(counting, 2);
                for order in (0..3).filter(|order| *order != at) {
                    places.give(USER, OrderId(order));
                }
                assert_eq!(places.claims_of(USER).len(), left - 2);
                assert_eq!(places.buyers(), left - 2);
            }
        }
    }
}
