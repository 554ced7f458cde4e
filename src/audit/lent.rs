//! What is lent by Redis's word, compared with a gateway's journal.
//!
//! It must not know orders.

use std::time::Duration;

use seckill_shards::orders::Lease;
use tokio::time::timeout;

use super::{AuditError, Audits, Books};
use crate::reconcile::{Holding, Member, Status};

/// How long Redis may take.
const REDIS: Duration = Duration::from_secs(10);

/// Why Redis was not compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Untold {
    /// It was not reached, or does not answer as it must.
    Away,
    /// What it knew is being built anew, or the gateway has yet to say what it has.
    Rebuilding,
}

/// Compares every shared activity of `audits`.
pub(super) async fn compare(books: Books<'_>, audits: &mut Audits) -> Result<(), AuditError> {
    let Some(redis) = books.redis.filter(|_| !audits.shared.is_empty()) else { return Ok(()) };
    // The functions are not loaded where they are missing: an audit changes nothing.
    let Ok(Ok(answers)) = timeout(REDIS, redis.status(&audits.shared)).await else {
        audits.untold = audits.shared.iter().map(|id| (id.0, Untold::Away)).collect();
        return Ok(());
    };
    // Read behind Redis's word: the journal has all that was answered before, but the last.
    let (_, fold) = super::read(books.journal, None).await?;
    for (id, answer) in audits.shared.iter().zip(answers) {
        let lease = fold.activities.get(id).and_then(|activity| activity.lease);
        let account = audits.compared.entry(id.0).or_default();
        match (answer, lease) {
            (Ok(Ok(status)), Some(lease)) => match own(&status, &lease, books.gateway) {
                Some(own) => {
                    account.sources.redis_units = Some(own.net.into());
                    differences(&status, &lease, own)
                        .into_iter()
                        .for_each(|text| account.differ(|| text));
                    account.balanced = account.difference_count == 0;
                }
                None => drop(audits.untold.insert(id.0, Untold::Rebuilding)),
            },
            (Ok(Err(_)), _) | (_, None) => drop(audits.untold.insert(id.0, Untold::Rebuilding)),
            (Err(_), _) => drop(audits.untold.insert(id.0, Untold::Away)),
        }
    }
    Ok(())
}

/// What Redis remembers of a gateway, where both are in one era and all have declared.
fn own<'a>(status: &'a Status, lease: &Lease, gateway: u16) -> Option<&'a Holding> {
    let is_settled = status.remembers && status.live && lease.era == Some(status.era);
    let is_own = |it: &&Holding| it.holder.member == Member::Gateway(gateway);
    status.holdings.iter().filter(|_| is_settled).find(is_own)
}

/// What cannot be, wherever the gateway is between two requests.
fn differences(status: &Status, lease: &Lease, own: &Holding) -> Vec<String> {
    let mut found = Vec::new();
    let (leased, stocked) = (status.leased, status.stock.stocked);
    let nets: u64 = status.holdings.iter().map(|it| u64::from(it.net)).sum();
    if nets != leased {
        found.push(format!("Redis counts {leased} units as lent, and {nets} gateway by gateway"));
    }
    if leased > stocked.into() {
        found.push(format!("Redis has lent {leased} units of {stocked}"));
    }
    if own.n > lease.n + 1 {
        let (heard, known) = (own.n, lease.n);
        found.push(format!("Redis has heard {heard} requests, and the journal knows {known}"));
    }
    // What is given back is journaled before Redis hears of it.
    if own.n == lease.n && lease.net > own.net {
        found.push(format!("lent: journal {}, Redis {}", lease.net, own.net));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::{Era, Holder, Stock};

    const ERA: Era = Era { generation: 3, nonce: 7 };

    fn holding(gateway: u16, n: u64, net: u32) -> Holding {
        let holder = Holder { member: Member::Gateway(gateway), epoch: 0 };
        Holding { holder, n, net, placed: 0 }
    }

    /// Gateway 1 has six units by its journal, and Redis says this of it; gateway 2 has three.
    fn found(n: u64, net: u32, leased: u64) -> Vec<String> {
        let stock = Stock { version: 1, stocked: 10, open: true };
        let holdings = vec![holding(1, n, net), holding(2, 5, 3)];
        let status = Status { era: ERA, remembers: true, live: true, stock, leased, holdings };
        let lease = Lease { floor: Some(1), era: Some(ERA), n: 4, net: 6 };
        differences(&status, &lease, own(&status, &lease, 1).unwrap())
    }

    #[test]
    fn redis_is_held_against_the_journal_wherever_the_gateway_is_between_two_requests() {
        assert_eq!(found(4, 6, 9), Vec::<String>::new());
        assert_eq!(
            found(4, 7, 10),
            Vec::<String>::new(),
            "it has yet to hear of what was given back"
        );
        assert_eq!(found(5, 2, 5), Vec::<String>::new(), "its answer is on the way");
        assert_eq!(found(3, 2, 5), Vec::<String>::new(), "the journal has gone on meanwhile");
        for ((n, net, leased), says) in [
            ((4, 5, 8), "lent: journal 6, Redis 5"),
            ((6, 6, 9), "heard 6 requests"),
            ((4, 6, 8), "counts 8 units as lent, and 9"),
            ((4, 8, 11), "has lent 11 units of 10"),
        ] {
            let found = found(n, net, leased);
            assert!(found.len() == 1 && found[0].contains(says), "{found:?}");
        }
    }

    #[test]
    fn nothing_is_compared_while_redis_is_built_anew() {
        let stock = Stock { version: 1, stocked: 10, open: true };
        let status = |live, era, remembers| Status {
            era,
            remembers,
            live,
            stock,
            leased: 0,
            holdings: vec![holding(1, 4, 6)],
        };
        let lease = Lease { floor: Some(1), era: Some(ERA), n: 4, net: 6 };
        let later = Era { generation: 4, ..ERA };
        assert!(own(&status(true, ERA, true), &lease, 1).is_some());
        for (status, gateway) in [
            (status(false, ERA, true), 1),
            (status(true, ERA, false), 1),
            (status(true, later, true), 1),
            (status(true, ERA, true), 2),
        ] {
            assert_eq!(own(&status, &lease, gateway), None, "{status:?}");
        }
    }
}
