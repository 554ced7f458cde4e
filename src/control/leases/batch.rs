//! What one request tells the others of this gateway's orders.
//!
//! Pure: it must not know how shards are asked, nor how the request travels.

use std::collections::BTreeSet;

use seckill_shards::ids::OrderId;
use seckill_shards::limits::ORDERS_PER_RECORD_MAX;
use seckill_shards::shard::Untold;

use crate::reconcile::limits::ORDERS_PER_MESSAGE_MAX;
use crate::reconcile::{LeaseReply, Place, Release};

const _: () = assert!(ORDERS_PER_MESSAGE_MAX <= ORDERS_PER_RECORD_MAX);

/// Releases and confirms of one request.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub releases: Vec<Release>,
    pub confirms: Vec<Place>,
    /// Whether there is more to tell than one request takes.
    pub is_full: bool,
}

impl Batch {
    /// Leaves out the confirms of these orders, and says which they were.
    pub(super) fn leave_out(&mut self, orders: &BTreeSet<OrderId>) -> Vec<OrderId> {
        if orders.is_empty() {
            return Vec::new();
        }
        let (out, rest) = std::mem::take(&mut self.confirms)
            .into_iter()
            .partition(|place| orders.contains(&place.order));
        self.confirms = rest;
        let out: Vec<Place> = out;
        // Nor is one taken back that is not asked for: it is open here.
        self.releases.retain(|it| out.iter().all(|place| place.order != it.order));
        out.into_iter().map(|place| place.order).collect()
    }
}

/// The first orders of all shards in the journal's order: an end is told before whatever it made
/// room for, on whichever shard that is. What a shard has not listed yet stands behind the last
/// that it has, so nothing behind that is told before.
pub(super) fn batch(shards: Vec<Vec<Untold>>) -> Batch {
    let cut = |shard: &Vec<Untold>| {
        let last = shard.last().filter(|_| shard.len() >= ORDERS_PER_RECORD_MAX);
        last.map(|last| last.position)
    };
    let cut = shards.iter().filter_map(cut).min();
    let mut untold = shards.concat();
    untold.sort_by_key(Untold::rank);
    let reach = untold.partition_point(|it| cut.is_none_or(|cut| it.position <= cut));
    let mut orders = 0;
    let fits = untold[..reach].iter().take_while(|it| {
        orders += 1 + usize::from(it.may_stand);
        orders <= ORDERS_PER_MESSAGE_MAX
    });
    let fits = before_split(&untold, fits.count());
    let is_full = fits < untold.len() || cut.is_some();
    untold.truncate(fits);
    let mut batch = Batch { is_full, ..Batch::default() };
    for Untold { user, order, quantity, ended, may_stand, .. } in untold {
        // All of a buyer's that may stand are taken back and asked for in one step, the older ones first, as they
        // were before: those that never had a place do not stand against one that can be paid already.
        if ended || may_stand {
            batch.releases.push(Release { user, order });
        }
        if !ended {
            batch.confirms.push(Place { user, order, quantity });
        }
    }
    batch
}

/// How many orders go into a message that has room for `fits`: none of a buyer's that may stand, where the next
/// message would have the rest of them, which stands against these until then. Of one who has more than a message
/// takes as many as fit.
fn before_split(untold: &[Untold], fits: usize) -> usize {
    let Some(next) = untold.get(fits).filter(|it| it.may_stand) else { return fits };
    let is_of_next = |it: &Untold| it.may_stand && it.user == next.user;
    untold[..fits].iter().rposition(|it| !is_of_next(it)).map_or(fits, |at| at + 1)
}

/// The orders of whose ends the others have heard by an answer. What was taken back and asked for in one step has
/// a verdict there: it may have its place now, though it has ended here meanwhile.
pub(super) fn ended(reply: &LeaseReply) -> Vec<OrderId> {
    let asked: BTreeSet<_> = reply.yes.iter().chain(&reply.no).collect();
    reply.released.iter().copied().filter(|order| !asked.contains(order)).collect()
}

/// Those of `ids` that a core owns.
pub(super) fn of_core(ids: &[OrderId], core: usize, cores: usize) -> Vec<OrderId> {
    ids.iter().copied().filter(|id| id.owner(cores) == core).collect()
}

#[cfg(test)]
mod tests {
    use seckill_shards::clock::Timestamp;
    use seckill_shards::ids::{Era, UserId};

    use super::*;

    fn untold(position: u64, order: u64, ended: bool) -> Untold {
        let (order, placed_at) = (OrderId(order), Timestamp(order));
        let (user, quantity, may_stand) = (UserId(1), 1, false);
        Untold { position, order, user, quantity, ended, placed_at, may_stand }
    }

    fn told(batch: &Batch) -> (Vec<u64>, Vec<u64>) {
        let releases = batch.releases.iter().map(|it| it.order.0).collect();
        (releases, batch.confirms.iter().map(|it| it.order.0).collect())
    }

    #[test]
    fn shards_are_told_of_in_one_order() {
        let shards = vec![
            vec![untold(1, 10, false), untold(5, 11, true)],
            vec![untold(3, 20, true), untold(5, 21, false)],
        ];
        let batch = batch(shards);
        assert_eq!(told(&batch), (vec![20, 11], vec![10, 21]));
        assert!(!batch.is_full);
    }

    /// After a start all have one position.
    #[test]
    fn of_those_that_were_recovered_the_older_one_is_asked_for_first() {
        let shards = vec![
            vec![untold(5, 12, false), untold(5, 14, false)],
            vec![untold(5, 11, false), untold(5, 13, true)],
        ];
        assert_eq!(told(&batch(shards)), (vec![13], vec![11, 12, 14]));
    }

    /// Orders that may stand; each buyer has so many.
    fn may_stand(each: u64) -> Vec<Untold> {
        let most = ORDERS_PER_MESSAGE_MAX as u64;
        let of = |at: u64| Untold { user: UserId(at / each), ..untold(0, at, false) };
        (0..most).map(of).map(|it| Untold { may_stand: true, ..it }).collect()
    }

    /// With both words on each; a part of a buyer's, asked for alone, was refused for the rest, which was let then.
    #[test]
    fn a_buyers_orders_that_may_stand_are_taken_back_and_asked_for_in_one_message() {
        for (each, first) in [(1, 125), (2, 124), (3, 123), (126, 125), (250, 125)] {
            let batch = batch(vec![may_stand(each)]);
            let (releases, confirms) = told(&batch);
            assert!(batch.is_full && releases == confirms);
            assert_eq!(confirms.len(), first, "{each} of each buyer");
        }
        let behind_another = may_stand(100);
        assert_eq!(told(&batch(vec![behind_another])).1.len(), 100);
    }

    #[test]
    fn what_is_not_asked_for_is_not_taken_back() {
        let mut batch = batch(vec![may_stand(1)[..3].to_vec()]);
        assert_eq!(batch.leave_out(&[OrderId(1)].into()), [OrderId(1)]);
        assert_eq!(told(&batch), (vec![0, 2], vec![0, 2]));
    }

    /// It was taken for free though it had its place, and its buyer could buy nowhere any more.
    #[test]
    fn what_was_taken_back_and_asked_for_has_not_ended_for_the_others() {
        let [yes, no, released] =
            [vec![1], vec![2], vec![1, 2, 3]].map(|ids| ids.into_iter().map(OrderId).collect());
        let era = Era { generation: 1, nonce: 1 };
        let reply = LeaseReply { era, n: 1, granted: 0, yes, no, released, short: 0 };
        assert_eq!(ended(&reply), [OrderId(3)]);
    }

    /// The second shard may have an end behind its 250th order that made room for order 5,000.
    #[test]
    fn nothing_is_told_before_what_a_shard_has_not_listed_yet() {
        let most = ORDERS_PER_RECORD_MAX as u64;
        let full = (1..=most).map(|at| untold(at, at, false)).collect();
        let batch = batch(vec![vec![untold(most + 1, 5_000, false), untold(2, 5_001, true)], full]);
        assert!(batch.is_full);
        assert_eq!(batch.releases.len() + batch.confirms.len(), ORDERS_PER_MESSAGE_MAX);
        let (releases, confirms) = told(&batch);
        assert_eq!(releases, [5_001]);
        assert!(!confirms.contains(&5_000));
    }
}
