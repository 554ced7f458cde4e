//! What is lent by Redis's word, compared with a gateway's journal.
//!
//! It must not know orders.

use std::time::Duration;

use seckill_shards::orders::Lease;
use tokio::time::timeout;

use super::{AuditError, Audits, Books, NotCompared};
use crate::reconcile::{Answer, Fault, Holding, Member, Status};
use crate::store::Activity;

/// How long Redis may take.
const REDIS: Duration = Duration::from_secs(10);

/// A shared activity's row in the store, of what Redis must know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shared {
    version: u64,
    stocked: u32,
}

impl From<&Activity> for Shared {
    fn from(row: &Activity) -> Self {
        Self { version: row.version, stocked: row.stocked }
    }
}

/// Compares every shared activity of `audits`.
pub(super) async fn compare(books: Books<'_>, audits: &mut Audits) -> Result<(), AuditError> {
    let Some(redis) = books.redis.filter(|_| !audits.shared.is_empty()) else { return Ok(()) };
    let asked: Vec<_> = audits.shared.keys().copied().collect();
    // The functions are not loaded where they are missing: an audit changes nothing.
    let answers = timeout(REDIS, redis.peek(&asked)).await;
    let mut answers = answers.ok().and_then(Result::ok).into_iter().flatten();
    // Read behind Redis's word: the journal has all that was answered before, but the last.
    let (_, fold) = super::read(books.journal, None).await?;
    for (id, row) in &audits.shared {
        let lease = fold.activities.get(id).and_then(|activity| activity.lease);
        let compared = told(answers.next()).and_then(|status| {
            let lease = lease.ok_or(NotCompared::RedisRebuilding)?;
            let own = own(&status, &lease, books.gateway).ok_or(NotCompared::RedisRebuilding)?;
            Ok((own.net, differences(&status, &lease, own, row)))
        });
        let account = audits.compared.entry(id.0).or_default();
        match compared {
            Ok((net, found)) => {
                account.sources.redis_units = Some(net.into());
                found.into_iter().for_each(|text| account.differ(|| text));
            }
            Err(why) if lease.is_none_or(|lease| has_part(&lease)) => {
                account.not_compared.insert(why);
            }
            // Redis has nothing of it that could be compared.
            Err(_) => {}
        }
    }
    Ok(())
}

/// What Redis says of an activity; none where it has answered nothing at all.
fn told(answer: Option<Result<Answer<Status>, Fault>>) -> Result<Status, NotCompared> {
    match answer {
        Some(Ok(Ok(status))) => Ok(status),
        Some(Ok(Err(_))) => Err(NotCompared::RedisRebuilding),
        Some(Err(Fault::Newer { .. })) => Err(NotCompared::RedisNewer),
        Some(Err(_)) | None => Err(NotCompared::RedisAway),
    }
}

/// Whether a gateway has ever entered an era of an activity; an adopted one has units before it does.
fn has_part(lease: &Lease) -> bool {
    lease.era.is_some() || lease.net > 0
}

/// What Redis remembers of a gateway, where both are in one era and all have declared.
fn own<'a>(status: &'a Status, lease: &Lease, gateway: u16) -> Option<&'a Holding> {
    let is_settled = status.remembers && status.live && lease.era == Some(status.era);
    let is_own = |it: &&Holding| it.holder.member == Member::Gateway(gateway);
    status.holdings.iter().filter(|_| is_settled).find(is_own)
}

/// What cannot be, wherever the gateway is between two requests.
fn differences(status: &Status, lease: &Lease, own: &Holding, row: &Shared) -> Vec<String> {
    let mut found = Vec::new();
    let leased = status.leased;
    // A word that is newer than the row is of units that were moved in since.
    let known = if status.stock.version > row.version { u32::MAX } else { row.stocked };
    let stocked = status.stock.stocked.min(known);
    if status.stock.stocked > known {
        found.push(format!("stocked: Redis {}, store {known}", status.stock.stocked));
    }
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
    use crate::reconcile::{Era, Holder, Refusal, Stock};

    const ERA: Era = Era { generation: 3, nonce: 7 };
    const LEASE: Lease = Lease { floor: Some(1), era: Some(ERA), n: 4, net: 6 };
    const ROW: Shared = Shared { version: 1, stocked: 10 };

    fn holding(gateway: u16, n: u64, net: u32) -> Holding {
        let holder = Holder { member: Member::Gateway(gateway), epoch: 0 };
        Holding { holder, n, net, placed: 0 }
    }

    /// Gateway 1 has six units by its journal, and Redis says this of it; gateway 2 has three.
    fn found(n: u64, net: u32, leased: u64) -> Vec<String> {
        let stock = Stock { version: 1, stocked: 10, open: true };
        let holdings = vec![holding(1, n, net), holding(2, 5, 3)];
        let status = Status { era: ERA, remembers: true, live: true, stock, leased, holdings };
        differences(&status, &LEASE, own(&status, &LEASE, 1).unwrap(), &ROW)
    }

    /// What Redis has heard of the stock is compared with the row that the store has had before.
    #[test]
    fn units_that_only_redis_knows_of_are_a_difference_unless_they_may_be_newer_than_the_row() {
        let found = |version, stocked, leased| {
            let stock = Stock { version, stocked, open: true };
            let holdings = vec![holding(1, 4, leased)];
            let leased = leased.into();
            let status = Status { era: ERA, remembers: true, live: true, stock, leased, holdings };
            differences(&status, &LEASE, own(&status, &LEASE, 1).unwrap(), &ROW)
        };
        for (version, stocked, leased, says) in [
            (1, 10, 10, [].as_slice()),
            (2, 13, 12, &[]),
            (1, 13, 10, &["stocked: Redis 13, store 10"]),
            (1, 13, 12, &["stocked: Redis 13, store 10", "Redis has lent 12 units of 10"]),
        ] {
            assert_eq!(found(version, stocked, leased), says);
        }
    }

    #[test]
    fn who_was_never_lent_anything_has_no_part_in_an_activity() {
        let joined = Lease { floor: Some(1), era: None, n: 0, net: 0 };
        for (lease, expected) in
            [(joined, false), (Lease { net: 2, ..joined }, true), (LEASE, true)]
        {
            assert_eq!(has_part(&lease), expected, "{lease:?}");
        }
    }

    #[test]
    fn why_redis_was_not_compared_is_told() {
        let newer = Fault::Newer { found: 2, ours: 1 };
        for (answer, why) in [
            (None, NotCompared::RedisAway),
            (Some(Err(Fault::Hidden)), NotCompared::RedisAway),
            (Some(Err(newer)), NotCompared::RedisNewer),
            (Some(Ok(Err(Refusal::Absent))), NotCompared::RedisRebuilding),
        ] {
            assert_eq!(told(answer), Err(why));
        }
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
