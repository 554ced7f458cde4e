//! What each buyer has by the store's rows, which are of every gateway.
//!
//! Only the store sees who has bought at two of them. It must not know journals.

use std::collections::HashMap;

use seckill_shards::ids::{ActivityId, UserId};
use seckill_shards::record::Status;

use crate::store::{Activity, OrderRow};

/// Units of payable and paid orders: each has its place, which no end of another may share.
#[derive(Debug, Default)]
pub(super) struct Buyers(HashMap<ActivityId, HashMap<UserId, u64>>);

impl Buyers {
    /// Counts an order, whichever gateway's it is.
    pub(super) fn count(&mut self, row: &OrderRow) {
        if matches!(row.status, Status::AwaitingPayment | Status::Paid) {
            let buyers = self.0.entry(row.activity).or_default();
            *buyers.entry(row.user).or_default() += u64::from(row.quantity);
        }
    }

    /// How many have more units of an activity than one may.
    pub(super) fn over_limit(&self, row: &Activity) -> u64 {
        let limit = u64::from(row.per_user_limit);
        let buyers = self.0.get(&row.id).into_iter().flat_map(HashMap::values);
        buyers.filter(|&&units| units > limit).count() as u64
    }
}
