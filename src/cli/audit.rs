//! `seckill audit`: 0 balanced, 1 a difference, 2 nothing could be compared.

use std::process::ExitCode;

use seckill_shards::ids::ActivityId;

use super::{Place, UNUSABLE, Unusable, open_present_store, runtime, say, tell};
use crate::audit::{ActivityAudit, Audits, audit};
use crate::store::SetAside;

pub(super) fn run(place: &Place, activity: Option<u64>, json: bool) -> anyhow::Result<ExitCode> {
    let config = place.config()?;
    let store = open_present_store(&config)?;
    let journal = config.journal();
    let only = activity.map(ActivityId);
    let compared = runtime()?.block_on(audit(&journal, &*store, config.gateway_id, only));
    let audits = compared.map_err(|error| Unusable::from(&error))?;
    let Audits { compared, forgotten, set_aside } = &audits;
    if let Some(id) = activity.filter(|id| !compared.contains_key(id)) {
        say(&match *forgotten {
            0 => format!("there is no activity {id}"),
            _ => format!("activity {id} is closed, and the journal has forgotten it"),
        })?;
        return Ok(ExitCode::from(UNUSABLE));
    }
    if json {
        say(&serde_json::to_string(compared)?)?;
    } else {
        for (id, audit) in compared {
            say(&line(*id, audit))?;
            for difference in &audit.differences {
                say(&format!("  {difference}"))?;
            }
        }
        if *forgotten > 0 {
            say(&format!(
                "{forgotten} closed activities were not compared: the journal has forgotten them"
            ))?;
        }
    }
    for SetAside { subject, reason, .. } in set_aside {
        let line = format!("{subject} is set aside, the store did not take it: {reason}");
        // The figures are the activities', and so is their JSON.
        if json { tell(&line) } else { say(&line)? }
    }
    Ok(if audits.are_balanced() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn line(id: u64, audit: &ActivityAudit) -> String {
    let ActivityAudit { stock_total, remaining, held, sold, returned, at_position, .. } = audit;
    let orders = audit.sources.journal_orders;
    let word = if audit.balanced { "balanced" } else { "DIFFERENT" };
    format!(
        "activity {id}: {word} at position {at_position}: {stock_total} stocked = {remaining} free \
         + {held} held + {sold} sold + {returned} returned + {} written off; {orders} orders",
        audit.written_off
    )
}
