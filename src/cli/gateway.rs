//! `seckill gateway list|drain|retire`: who shares the store, and who leaves it.

use std::process::ExitCode;
use std::time::Duration;

use seckill_shards::clock::{Clock, MachineClock, Timestamp};

use super::{Place, Unusable, note, open_present_store, runtime, say};
use crate::store::{Deed, GatewayRow, Retired, Store, StoreError};

/// How long it is looked whether a row moves: gateways say each second that they are there.
const LOOK: Duration = Duration::from_millis(300);
/// How often at least, and before a gateway whose row stands still is taken to be away.
const LOOKS: std::ops::Range<usize> = 10..30;

pub(super) fn list(place: &Place) -> anyhow::Result<ExitCode> {
    let store = open_present_store(&place.config()?)?;
    let gateways = runtime()?.block_on(store.announce(None));
    let now = MachineClock::start().now();
    for gateway in gateways.map_err(|error| Unusable::from(&error))? {
        say(&line(&gateway, now))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn line(gateway: &GatewayRow, now: Timestamp) -> String {
    let GatewayRow { number, epoch, address, seen_at, as_of, .. } = gateway;
    if let Some(Retired { adopter, at, .. }) = gateway.retired {
        let at = instant(at.0);
        return format!("gateway {number}, epoch {epoch}: retired at {at}, adopted by {adopter}");
    }
    if address.is_empty() {
        return format!("gateway {number}, epoch {epoch}: alone, or not seen yet");
    }
    let seen_s = now.ms_since(*seen_at) / 1_000;
    let as_of = match as_of {
        Timestamp(0) => "not known".to_owned(),
        Timestamp(ms) => instant(*ms),
    };
    let leaves = gateway.drains_to.map_or_else(String::new, |to| format!(", draining to {to}"));
    format!(
        "gateway {number}, epoch {epoch}: {address}, seen {seen_s} s ago, as of {as_of}{leaves}"
    )
}

fn instant(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    let instant = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    format!("{instant:.3}")
}

/// Declares a gateway lost. Whoever takes over does so by itself, within seconds, or once the lost one
/// is no member any more.
pub(super) fn retire(
    place: &Place,
    number: u16,
    adopter: u16,
    is_off: bool,
) -> anyhow::Result<ExitCode> {
    let store = open_present_store(&place.config()?)?;
    let wait_s = runtime()?.block_on(retire_within(&*store, number, adopter, is_off))?;
    say(&match wait_s {
        0 => format!("gateway {number} is retired: gateway {adopter} takes over its orders now"),
        wait_s => format!(
            "gateway {number} is retired: gateway {adopter} takes over its orders in {wait_s} s, \
             when it is no member any more"
        ),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// For how many seconds the adopter waits, at least.
async fn retire_within(
    store: &dyn Store,
    number: u16,
    adopter: u16,
    is_off: bool,
) -> Result<u32, Unusable> {
    let rows = store.announce(None).await.map_err(|error| Unusable::from(&error))?;
    if let Some(why) = objection(&rows, number, adopter, is_off) {
        return Err(Unusable(why));
    }
    let [moves, adopter_moves] = who_moves(store, &rows, [number, adopter]).await?;
    if is_off && moves {
        return Err(Unusable(format!(
            "gateway {number} says each second that it is there: it is not off"
        )));
    }
    if !adopter_moves {
        return Err(away(adopter));
    }
    let at = MachineClock::start().now();
    let retired = store.retire(number, Retired { adopter, at, is_off }).await;
    retired.map_err(|error| match error {
        StoreError::Refused(_) => {
            Unusable(format!("gateway {number} or gateway {adopter} has just been retired"))
        }
        error => Unusable::from(&error),
    })?;
    let off = if is_off { ", its machine is off" } else { "" };
    let detail = format!("adopted by {adopter}{off}");
    note(store, Deed::new("retired", "gateway", Some(number.into())), detail).await;
    let row = rows.iter().find(|row| row.number == number);
    Ok(row.filter(|_| !is_off).map_or(0, |row| row.membership_s))
}

/// Asks a gateway to hand itself over, or to stay. It does so by itself, within a minute.
pub(super) fn drain(place: &Place, number: u16, to: Option<u16>) -> anyhow::Result<ExitCode> {
    let store = open_present_store(&place.config()?)?;
    runtime()?.block_on(drain_within(&*store, number, to))?;
    say(&match to {
        Some(to) => format!("gateway {number} hands itself over to gateway {to}, and ends then"),
        None => format!("gateway {number} stays"),
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn drain_within(store: &dyn Store, number: u16, to: Option<u16>) -> Result<(), Unusable> {
    let rows = store.announce(None).await.map_err(|error| Unusable::from(&error))?;
    if let Some(to) = to {
        if let Some(why) = objection_to_any(&rows, number, to) {
            return Err(Unusable(why));
        }
        let [moves, successor_moves] = who_moves(store, &rows, [number, to]).await?;
        if !moves {
            let text = "it cannot hand itself over: see `seckill gateway retire`";
            return Err(Unusable(format!("gateway {number} is away: {text}")));
        }
        if !successor_moves {
            return Err(away(to));
        }
    }
    let asked = store.ask_to_drain(number, to).await;
    asked.map_err(|error| match error {
        StoreError::Refused(_) => Unusable(format!("gateway {number} is not in the fleet")),
        error => Unusable::from(&error),
    })?;
    let (act, detail) = match to {
        Some(to) => ("drain_asked", format!("to {to}")),
        None => ("drain_cancelled", String::new()),
    };
    note(store, Deed::new(act, "gateway", Some(number.into())), detail).await;
    Ok(())
}

fn away(number: u16) -> Unusable {
    Unusable(format!("gateway {number} is away: whoever takes over must be there"))
}

/// Why a gateway cannot be retired, by what the store knows of all.
fn objection(rows: &[GatewayRow], number: u16, adopter: u16, is_off: bool) -> Option<String> {
    let gateway = rows.iter().find(|row| row.number == number);
    let is_unbounded = gateway.is_some_and(|row| row.membership_s == 0) && !is_off;
    objection_to_any(rows, number, adopter).or_else(|| {
        is_unbounded.then(|| {
            format!(
                "nobody can tell when gateway {number} stops selling: it runs without \
                 SECKILL_MEMBERSHIP_LASTS. See to it that its process does not run and will not, then \
                 say --machine-is-off"
            )
        })
    })
}

/// Why another gateway cannot go on with the orders of one, whichever way that leaves.
fn objection_to_any(rows: &[GatewayRow], number: u16, adopter: u16) -> Option<String> {
    let find = |number| rows.iter().find(|row| row.number == number);
    let unknown = |number| Some(format!("there is no gateway {number} in this store"));
    if number == adopter {
        return Some("a gateway cannot take over from itself: name another adopter".to_owned());
    }
    let Some(gateway) = find(number) else { return unknown(number) };
    let Some(successor) = find(adopter) else { return unknown(adopter) };
    for row in [gateway, successor] {
        if let (number, Some(Retired { adopter, .. })) = (row.number, row.retired) {
            return Some(format!(
                "gateway {number} is retired already: gateway {adopter} has its orders"
            ));
        }
    }
    if gateway.address.is_empty() {
        return Some(format!(
            "gateway {number} has never been in a fleet: what it sells alone is in its journal, which \
             nobody can take over"
        ));
    }
    None
}

/// Which of some gateways say that they are there. The last is waited for longest.
async fn who_moves<const N: usize>(
    store: &dyn Store,
    before: &[GatewayRow],
    numbers: [u16; N],
) -> Result<[bool; N], Unusable> {
    let seen_at = |rows: &[GatewayRow], number| {
        rows.iter().find(|row| row.number == number).map(|row| row.seen_at)
    };
    let mut moves = [false; N];
    for look in 1..=LOOKS.end {
        tokio::time::sleep(LOOK).await;
        let rows = store.announce(None).await.map_err(|error| Unusable::from(&error))?;
        moves = numbers.map(|number| seen_at(&rows, number) != seen_at(before, number));
        let is_last_there = moves.last().is_some_and(|moves| *moves);
        if moves == [true; N] || (is_last_there && look >= LOOKS.start) {
            break;
        }
    }
    Ok(moves)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u16) -> GatewayRow {
        let address = "http://10.0.0.1:9091".to_owned();
        let seen_at = Timestamp(1_795_737_600_000);
        GatewayRow { number, epoch: 1, address, seen_at, as_of: seen_at, ..GatewayRow::default() }
    }

    #[test]
    fn a_line_says_where_a_gateway_is_and_what_the_store_has_of_it() {
        let gateway = row(3);
        let now = gateway.seen_at.plus_ms(2_999);
        assert_eq!(
            line(&gateway, now),
            "gateway 3, epoch 1: http://10.0.0.1:9091, seen 2 s ago, as of 2026-11-27T00:00:00.000Z"
        );
        let fresh = GatewayRow { as_of: Timestamp(0), ..gateway.clone() };
        assert!(line(&fresh, now).ends_with("as of not known"));
        let retired = Some(Retired { adopter: 5, at: gateway.seen_at, is_off: true });
        assert_eq!(
            line(&GatewayRow { retired, ..gateway.clone() }, now),
            "gateway 3, epoch 1: retired at 2026-11-27T00:00:00.000Z, adopted by 5"
        );
        let alone = GatewayRow { address: String::new(), ..gateway };
        assert_eq!(line(&alone, now), "gateway 3, epoch 1: alone, or not seen yet");
    }

    #[test]
    fn whoever_cannot_be_retired_is_told_why() {
        let bounded = GatewayRow { membership_s: 60, ..row(2) };
        let retired = Some(Retired { adopter: 1, at: Timestamp(5), is_off: true });
        let rows = [
            row(1),
            bounded,
            GatewayRow { retired, ..row(3) },
            GatewayRow { address: String::new(), ..row(4) },
        ];
        for (number, adopter, is_off, expected) in [
            (1, 2, true, None),
            (2, 1, false, None),
            (2, 1, true, None),
            (1, 2, false, Some("SECKILL_MEMBERSHIP_LASTS")),
            (1, 1, true, Some("from itself")),
            (9, 1, true, Some("no gateway 9")),
            (1, 9, true, Some("no gateway 9")),
            (3, 1, true, Some("gateway 3 is retired already")),
            (1, 3, true, Some("gateway 3 is retired already")),
            (4, 1, true, Some("never been in a fleet")),
        ] {
            let told = objection(&rows, number, adopter, is_off);
            let is_expected = match (&told, expected) {
                (None, None) => true,
                (Some(told), Some(expected)) => told.contains(expected),
                _ => false,
            };
            assert!(is_expected, "{number} {adopter} {is_off}: {told:?}");
        }
    }
}
