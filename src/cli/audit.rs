//! `seckill audit`: 0 balanced, 1 a difference, 2 something could not be compared. Adopted gateways have
//! books of their own.

use std::collections::BTreeMap;
use std::process::ExitCode;

use seckill_shards::ids::ActivityId;
use serde::Serialize;

use super::{Place, UNUSABLE, Unusable, open_present_store, open_redis, runtime, say, tell};
use crate::audit::{ActivityAudit, Audits, Books, NotCompared, audit};
use crate::config::Config;
use crate::control::adopted_journals;
use crate::store::{SetAside, Store};

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    own: &'a BTreeMap<u64, ActivityAudit>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    adopted: BTreeMap<u16, &'a BTreeMap<u64, ActivityAudit>>,
}

pub(super) fn run(place: &Place, activity: Option<u64>, json: bool) -> anyhow::Result<ExitCode> {
    let config = place.config()?;
    let store = open_present_store(&config)?;
    let only = activity.map(ActivityId);
    let (own, adopted) = runtime()?.block_on(all(&config, &*store, only))?;
    if let Some(id) = activity.filter(|id| !own.compared.contains_key(id)) {
        say(&match own.forgotten {
            0 => format!("there is no activity {id}"),
            _ => format!("activity {id} is closed, and the journal has forgotten it"),
        })?;
        return Ok(ExitCode::from(UNUSABLE));
    }
    if json {
        let adopted = adopted.iter().map(|(gateway, it)| (*gateway, &it.compared)).collect();
        say(&serde_json::to_string(&Printed { own: &own.compared, adopted })?)?;
    } else {
        say_all("", &own.compared)?;
        for (gateway, audits) in &adopted {
            say_all(&format!("adopted gateway {gateway}: "), &audits.compared)?;
        }
        if own.forgotten > 0 {
            say(&format!(
                "{} closed activities were not compared: the journal has forgotten them",
                own.forgotten
            ))?;
        }
    }
    let books = || adopted.values().chain([&own]);
    for SetAside { subject, reason, .. } in books().flat_map(|it| &it.set_aside) {
        let line = format!("{subject} is set aside, the store did not take it: {reason}");
        // The figures are the activities', and so is their JSON.
        if json { tell(&line) } else { say(&line)? }
    }
    let mut are_compared = true;
    for (id, account) in books().flat_map(|it| &it.compared) {
        for why in account.not_compared.iter().filter_map(|why| not_compared(*why)) {
            are_compared = false;
            tell(&format!("activity {id}: {why}"));
        }
    }
    Ok(match (books().any(Audits::differ), are_compared) {
        (true, _) => ExitCode::FAILURE,
        (false, false) => ExitCode::from(UNUSABLE),
        (false, true) => ExitCode::SUCCESS,
    })
}

/// The books of this gateway, and those of each that it has adopted.
async fn all(
    config: &Config,
    store: &dyn Store,
    only: Option<ActivityId>,
) -> anyhow::Result<(Audits, BTreeMap<u16, Audits>)> {
    let redis = open_redis(&config.redis_url)?;
    let (redis, gateway, journal) = (redis.as_ref(), config.gateway_id, &*config.journal());
    let is_adopted = false;
    let own = audit(Books { gateway, is_adopted, journal, store, redis }, only).await;
    let own = own.map_err(|error| Unusable::from(&error))?;
    let mut adopted = BTreeMap::new();
    for (origin, journal) in adopted_journals(&config.adopted())? {
        let (gateway, journal) = (origin.gateway, &*journal);
        let is_adopted = true;
        let audits = audit(Books { gateway, is_adopted, journal, store, redis }, only).await;
        adopted.insert(gateway, audits.map_err(|error| Unusable::from(&error))?);
    }
    Ok((own, adopted))
}

/// For people; rows that were set aside are told of one by one.
fn not_compared(why: NotCompared) -> Option<&'static str> {
    match why {
        NotCompared::RedisAway => Some("Redis was not compared: it does not answer"),
        NotCompared::RedisRebuilding => {
            Some("Redis was not compared: what it knew is being built anew")
        }
        NotCompared::RedisNewer => {
            Some("Redis was not compared: a newer release of seckill keeps its books there")
        }
        NotCompared::RowsSetAside => None,
    }
}

fn say_all(of: &str, audits: &BTreeMap<u64, ActivityAudit>) -> std::io::Result<()> {
    for (id, audit) in audits {
        say(&format!("{of}{}", line(*id, audit)))?;
        for difference in &audit.differences {
            say(&format!("  {difference}"))?;
        }
    }
    Ok(())
}

fn line(id: u64, audit: &ActivityAudit) -> String {
    let ActivityAudit { stock_total, remaining, held, sold, returned, at_position, .. } = audit;
    let orders = audit.sources.journal_orders;
    let lent =
        audit.sources.redis_units.map_or(String::new(), |it| format!("; {it} lent by Redis"));
    let word = match (audit.balanced, audit.difference_count) {
        (true, _) => "balanced",
        (false, 0) => "NOT COMPARED",
        (false, _) => "DIFFERENT",
    };
    format!(
        "activity {id}: {word} at position {at_position}: {stock_total} stocked = {remaining} free \
         + {held} held + {sold} sold + {returned} returned + {} written off; {orders} orders{lent}",
        audit.written_off
    )
}
