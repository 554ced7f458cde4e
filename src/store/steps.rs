//! Whether a journal, or a run of it, follows what the store has of it.
//!
//! Pure: it must not know SQL, nor who asks.

use std::collections::BTreeSet;

use seckill_shards::ids::ActivityId;
use seckill_shards::record::Digest;

use super::{
    Begun, FlushBatch, GatewayRow, JournalFound, JournalPosition, OrderRow, OutOfStep, Refusal,
    Retired,
};

/// The activities of orders, each once: of sales that go on together, orders come in turns.
pub(super) fn activities_of(orders: &[OrderRow]) -> BTreeSet<ActivityId> {
    orders.iter().map(|order| order.activity).collect()
}

/// From where a gateway that starts is to flush; none where it is entered anew, at zero.
///
/// # Errors
/// [`OutOfStep`] where this is not the journal that the store has followed.
pub fn resume(
    found: &JournalFound,
    stored: Option<JournalPosition>,
) -> Result<Option<u64>, OutOfStep> {
    let JournalFound { gateway, journal_id, epoch, begin, end } = *found;
    if let Some(stored) = stored.filter(|stored| !is_succeeded_by(stored, found)) {
        let position = position(&stored, gateway, journal_id, epoch)?;
        if position > end {
            return Err(OutOfStep::BeyondEnd { stored: position, end });
        }
        if position < begin {
            return Err(OutOfStep::BeforeBegin { stored: position, begin });
        }
        return Ok(Some(position));
    }
    if begin > 0 {
        return Err(OutOfStep::BeforeBegin { stored: 0, begin });
    }
    Ok(None)
}

/// Whether the gateway was retired, and this is the journal that its adopter goes on in.
fn is_succeeded_by(stored: &JournalPosition, found: &JournalFound) -> bool {
    let is_first = found.epoch == stored.epoch && !stored.is_followed();
    is_first || (found.epoch > stored.epoch && found.journal_id != stored.journal_id)
}

/// Whether a gateway may still do anything in this epoch.
///
/// # Errors
/// [`OutOfStep::Retired`] where it may not.
pub(super) fn expect_epoch(
    gateway: u16,
    epoch: u8,
    stored: Option<JournalPosition>,
) -> Result<(), OutOfStep> {
    match stored {
        Some(stored) if stored.epoch > epoch => Err(OutOfStep::Retired { gateway }),
        _ => Ok(()),
    }
}

/// Whether a gateway is asked to hand itself over to another.
///
/// # Errors
/// [`Refusal::NotFound`] where there is no such gateway, [`Refusal::State`] where it is not.
pub(super) fn expect_asked(rows: &[GatewayRow], number: u16, to: u16) -> Result<(), Refusal> {
    let row = rows.iter().find(|row| row.number == number).ok_or(Refusal::NotFound)?;
    if row.drains_to == Some(to) { Ok(()) } else { Err(Refusal::State) }
}

/// The rows of all gateways that are retired with one of them, as they stand from then on: those that
/// it has adopted go with it.
///
/// # Errors
/// [`Refusal::NotFound`] where there is no such gateway or adopter, [`Refusal::State`] where either is
/// retired, both are one, or nobody could tell when the gateway is off.
pub(super) fn retire(
    rows: Vec<GatewayRow>,
    number: u16,
    retired: Retired,
) -> Result<Vec<GatewayRow>, Refusal> {
    let find = |number| rows.iter().find(|row| row.number == number).ok_or(Refusal::NotFound);
    let (gateway, adopter) = (find(number)?.clone(), find(retired.adopter)?);
    let is_over = gateway.retired.is_some() || adopter.retired.is_some();
    let never_off = !retired.is_off && gateway.membership_s == 0;
    if is_over || number == retired.adopter || never_off {
        return Err(Refusal::State);
    }
    let is_its = |row: &GatewayRow| row.retired.is_some_and(|it| it.adopter == number);
    let gone = rows.into_iter().filter(|row| row.number == number || is_its(row));
    gone.map(|row| pass_on(row, &gateway, retired)).collect()
}

/// A gateway's row once `last`, which has spoken for it, is retired. What may still be on, of those two,
/// is waited for.
fn pass_on(row: GatewayRow, last: &GatewayRow, retired: Retired) -> Result<GatewayRow, Refusal> {
    let of_last = if retired.is_off { 0 } else { last.membership_s };
    let before = if row.may_be_on() { row.membership_s } else { 0 };
    let is_off = retired.is_off && !row.may_be_on();
    let epoch = row.epoch.checked_add(1).ok_or(Refusal::State)?;
    let membership_s = of_last.max(before);
    let (drains_to, retired) = (None, Some(Retired { is_off, ..retired }));
    Ok(GatewayRow { epoch, membership_s, drains_to, retired, ..row })
}

/// A request that the journal of one gateway carries out, as the store has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    /// Who began it.
    pub(super) gateway: u16,
    /// Whether the store has it from the gateway's journal; none where nobody says so.
    pub(super) is_done: Option<bool>,
    /// Whether the gateway is retired: the store takes nothing more of its journal.
    pub(super) is_retired: bool,
}

/// By whom a request was begun, where a gateway asks.
pub(super) fn begun(known: &Beginning, own: u16) -> Begun {
    let Beginning { gateway, is_done, is_retired } = *known;
    if gateway == own {
        return Begun::Here;
    }
    if !is_retired {
        return Begun::By(gateway);
    }
    match is_done {
        Some(true) => Begun::Done,
        // What it had not told the store is lost with its journal: it is begun anew.
        Some(false) => Begun::Here,
        None => Begun::Unknown(gateway),
    }
}

/// Whether a request that is begun by a gateway, or once more, is done.
pub(super) fn is_done(known: Option<Beginning>, own: u16) -> Option<bool> {
    known.filter(|it| it.gateway == own).map_or(Some(false), |it| it.is_done)
}

/// Whether a batch is to be applied; false where it was applied before.
///
/// # Errors
/// [`OutOfStep`] where it does not begin where the store stands.
pub(super) fn is_next(
    batch: &FlushBatch,
    stored: Option<JournalPosition>,
) -> Result<bool, OutOfStep> {
    let FlushBatch { gateway, from, to, .. } = *batch;
    let stored = stored.ok_or(OutOfStep::NotRegistered { gateway })?;
    let stored = position(&stored, gateway, from.journal_id, from.epoch)?;
    if to <= stored {
        return Ok(false);
    }
    if from.position != stored {
        return Err(OutOfStep::NotNext { stored, from: from.position, to });
    }
    Ok(true)
}

/// The position, if the journal is the one that was followed.
fn position(
    stored: &JournalPosition,
    gateway: u16,
    found: Digest,
    found_epoch: u8,
) -> Result<u64, OutOfStep> {
    if stored.journal_id == found && stored.epoch == found_epoch {
        return Ok(stored.position);
    }
    if stored.epoch > found_epoch {
        return Err(OutOfStep::Retired { gateway });
    }
    let (stored, stored_epoch) = (stored.journal_id, stored.epoch);
    Err(OutOfStep::OtherJournal { gateway, stored, stored_epoch, found, found_epoch })
}

#[cfg(test)]
mod tests {
    use seckill_shards::clock::Timestamp;

    use super::*;

    fn row(number: u16, membership_s: u32, retired: Option<Retired>) -> GatewayRow {
        let (address, seen_at, as_of) = (String::new(), Timestamp(5), Timestamp(4));
        let (epoch, drains_to) = (0, Some(9));
        GatewayRow { number, epoch, address, seen_at, as_of, membership_s, drains_to, retired }
    }

    fn by(adopter: u16, is_off: bool) -> Retired {
        Retired { adopter, at: Timestamp(7), is_off }
    }

    #[test]
    fn whoever_may_still_be_on_is_waited_for_by_the_longest_membership() {
        // What is known of gateway 1, which 2 has adopted; whether 2 is off for certain; then how 1
        // stands with its next adopter.
        for (first, second, expected) in [
            ((60, true), (0, true), (0, true)),
            ((60, true), (90, false), (90, false)),
            ((60, false), (0, true), (60, false)),
            ((60, false), (90, true), (60, false)),
            ((60, false), (30, false), (60, false)),
        ] {
            let (of_first, of_second) =
                (row(1, first.0, Some(by(2, first.1))), row(2, second.0, None));
            let rows = vec![of_first, of_second, row(3, 0, None)];
            let gone = retire(rows, 2, by(3, second.1)).unwrap();
            let stands =
                gone.iter().map(|it| (it.number, it.epoch, it.drains_to)).collect::<Vec<_>>();
            assert_eq!(stands, [(1, 1, None), (2, 1, None)]);
            let retired = gone[0].retired.unwrap();
            assert_eq!(
                (gone[0].membership_s, retired.is_off, retired.adopter),
                (expected.0, expected.1, 3)
            );
        }
    }

    #[test]
    fn nobody_is_retired_who_cannot_be() {
        let rows = || vec![row(1, 0, None), row(2, 60, None), row(3, 60, Some(by(2, true)))];
        for (number, retired, expected) in [
            (9, by(2, true), Refusal::NotFound),
            (1, by(9, true), Refusal::NotFound),
            (1, by(1, true), Refusal::State),
            (3, by(1, true), Refusal::State),
            (1, by(3, true), Refusal::State),
            // Nobody could tell when it is off.
            (1, by(2, false), Refusal::State),
        ] {
            assert_eq!(retire(rows(), number, retired), Err(expected), "{number} {retired:?}");
        }
        let last = GatewayRow { epoch: u8::MAX, ..row(1, 0, None) };
        assert_eq!(retire(vec![last, row(2, 0, None)], 1, by(2, true)), Err(Refusal::State));
    }
}
