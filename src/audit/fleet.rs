//! The accounts of all gateways that share an activity, put together.
//!
//! It must not know how the others are asked.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{ActivityAudit, DIFFERENCES_SHOWN, Sources};

/// One activity's account with every gateway, and their sum.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FleetAudit {
    /// All together; its position is the first gateway's.
    #[serde(flatten)]
    pub sum: ActivityAudit,
    /// Each by itself.
    pub gateways: BTreeMap<u16, ActivityAudit>,
    /// Those that have not answered, or have a part in it and do not know of it: nothing is balanced without them.
    pub unanswered: BTreeSet<u16>,
}

impl FleetAudit {
    /// The accounts with their sum.
    #[must_use]
    pub fn of(gateways: BTreeMap<u16, ActivityAudit>, unanswered: BTreeSet<u16>) -> Self {
        let at_position = gateways.values().next().map_or(0, |first| first.at_position);
        let mut sum = ActivityAudit { at_position, ..ActivityAudit::default() };
        for (gateway, account) in &gateways {
            add(&mut sum, *gateway, account);
        }
        sum.balanced = unanswered.is_empty() && gateways.values().all(|it| it.balanced);
        Self { sum, gateways, unanswered }
    }

    /// The same with what no gateway was lent of the units that were ever stocked: it is free until the
    /// sale is closed, and went back then. Nobody knows it while some have not answered.
    #[must_use]
    pub fn with_pool(mut self, stocked: u32, is_closed: bool) -> Self {
        if !self.unanswered.is_empty() {
            return self;
        }
        let pool = u64::from(stocked).saturating_sub(self.sum.stock_total);
        self.sum.stock_total += pool;
        match is_closed {
            true => self.sum.returned += pool,
            false => self.sum.remaining += pool,
        }
        self
    }
}

fn add(sum: &mut ActivityAudit, gateway: u16, account: &ActivityAudit) {
    for (total, part) in [
        (&mut sum.stock_total, account.stock_total),
        (&mut sum.sold, account.sold),
        (&mut sum.held, account.held),
        (&mut sum.reserved, account.reserved),
        (&mut sum.returned, account.returned),
        (&mut sum.written_off, account.written_off),
        (&mut sum.remaining, account.remaining),
        (&mut sum.overdue_unpaid, account.overdue_unpaid),
        (&mut sum.difference_count, account.difference_count),
    ] {
        *total += part;
    }
    // Each knows of those whom the store's rows name.
    sum.over_limit_users = sum.over_limit_users.max(account.over_limit_users);
    sum.not_compared.extend(&account.not_compared);
    let Sources { journal_orders, store_orders, redis_units } = &account.sources;
    sum.sources.journal_orders += journal_orders;
    sum.sources.store_orders += store_orders;
    if let Some(units) = redis_units {
        *sum.sources.redis_units.get_or_insert(0) += units;
    }
    let room = DIFFERENCES_SHOWN.saturating_sub(sum.differences.len());
    let named = account.differences.iter().map(|text| format!("gateway {gateway}: {text}"));
    sum.differences.extend(named.take(room));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::NotCompared;

    #[test]
    fn what_nobody_was_lent_is_free_until_the_closing() {
        let account =
            ActivityAudit { stock_total: 4, held: 3, remaining: 1, ..ActivityAudit::default() };
        let of = |stocked, is_closed| {
            let gateways = BTreeMap::from([(0, account.clone()), (1, account.clone())]);
            let sum = FleetAudit::of(gateways, BTreeSet::new()).with_pool(stocked, is_closed).sum;
            (sum.stock_total, sum.held, sum.remaining, sum.returned)
        };
        assert_eq!(of(10, false), (10, 6, 4, 0));
        assert_eq!(of(10, true), (10, 6, 2, 2));
        assert_eq!(of(7, false), (8, 6, 2, 0), "a restock is in a journal before it is seen here");
        let alone = FleetAudit::of(BTreeMap::from([(0, account.clone())]), BTreeSet::from([1]));
        assert_eq!(alone.clone().with_pool(10, false), alone);
    }

    #[test]
    fn a_fleet_is_balanced_where_all_have_answered_and_nobody_differs() {
        let account = |held, balanced| {
            let differences = if balanced { vec![] } else { vec!["it lacks one".to_owned()] };
            let difference_count = differences.len() as u64;
            let sources =
                Sources { journal_orders: held, store_orders: held, redis_units: Some(9) };
            let at_position = 10 + held;
            ActivityAudit {
                held,
                balanced,
                at_position,
                sources,
                difference_count,
                differences,
                ..ActivityAudit::default()
            }
        };
        let of = |second, unanswered: &[u16]| {
            let gateways = BTreeMap::from([(1, account(2, true)), (4, account(3, second))]);
            FleetAudit::of(gateways, unanswered.iter().copied().collect())
        };
        let FleetAudit { sum, .. } = of(true, &[]);
        assert_eq!((sum.held, sum.at_position, sum.balanced), (5, 12, true));
        let sources = Sources { journal_orders: 5, store_orders: 5, redis_units: Some(18) };
        assert_eq!(sum.sources, sources);
        let FleetAudit { sum, .. } = of(false, &[]);
        assert_eq!((sum.balanced, sum.difference_count), (false, 1));
        assert_eq!(sum.differences, ["gateway 4: it lacks one"]);
        assert!(!of(true, &[7]).sum.balanced, "it may have anything");
        let not_compared = BTreeSet::from([NotCompared::RedisAway]);
        let away = ActivityAudit { not_compared, over_limit_users: 1, ..account(1, false) };
        let FleetAudit { sum, .. } =
            FleetAudit::of(BTreeMap::from([(1, away.clone()), (2, away)]), BTreeSet::new());
        assert_eq!(
            (sum.over_limit_users, sum.not_compared.len()),
            (1, 1),
            "it is one and the same"
        );
    }
}
