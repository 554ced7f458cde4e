//! Whether a journal, or a run of it, follows what the store has of it.
//!
//! Pure: it must not know SQL, nor who asks.

use seckill_shards::record::Digest;

use super::{FlushBatch, JournalFound, JournalPosition, OutOfStep};

/// From where a gateway that starts is to flush; none where it is entered anew, at zero.
///
/// # Errors
/// [`OutOfStep`] where this is not the journal that the store has followed.
pub(super) fn resume(
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

/// Whether the gateway was declared lost and its number is used again, by a new journal.
fn is_succeeded_by(stored: &JournalPosition, found: &JournalFound) -> bool {
    found.epoch > stored.epoch && found.journal_id != stored.journal_id
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
    let (stored, stored_epoch) = (stored.journal_id, stored.epoch);
    Err(OutOfStep::OtherJournal { gateway, stored, stored_epoch, found, found_epoch })
}
