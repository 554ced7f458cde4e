//! Activities that several gateways share: who may hold units, and when all are done.
//!
//! It must not know Redis, nor what a gateway was lent.

use rusqlite::{Connection, OptionalExtension, Row, params};
use seckill_shards::clock::Timestamp;
use seckill_shards::ids::ActivityId;

use super::products::{self, next_version};
use super::values::Number;
use super::{activities, flush};
use crate::store::flush::ActivityChange;
use crate::store::rows::NO_JOURNAL;
use crate::store::{
    Fault, JournalPosition, LeaseHeld, LeaseMember, LeaseRoll, OutOfStep, Refusal, Stored, steps,
};

pub(super) fn join(
    db: &Connection,
    activity: ActivityId,
    gateway: u16,
    journal: &JournalPosition,
) -> Stored<u64> {
    let row = activities::by_id(db, activity)?;
    if !row.published || row.closed {
        return Err(Refusal::State.into());
    }
    let JournalPosition { journal_id: found, epoch: found_epoch, .. } = *journal;
    steps::expect_epoch(gateway, found_epoch, flush::position(db, gateway)?)?;
    let sql = "SELECT journal_id, epoch, kept IS NOT NULL FROM lease_member
               WHERE activity_id = ?1 AND gateway = ?2";
    let of = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let known: Option<([u8; 16], u8, bool)> =
        db.prepare_cached(sql)?.query_row(params![Number(activity), gateway], of).optional()?;
    if let Some((stored, stored_epoch, is_done)) = known {
        if is_done {
            // What it keeps is its last word.
            return Err(Refusal::State.into());
        }
        if (stored, stored_epoch) != (found, found_epoch) {
            let other =
                OutOfStep::OtherJournal { gateway, stored, stored_epoch, found, found_epoch };
            return Err(other.into());
        }
    } else {
        let sql = "INSERT INTO lease_member (activity_id, gateway, epoch, journal_id)
                   VALUES (?1, ?2, ?3, ?4)";
        db.prepare_cached(sql)?.execute(params![Number(activity), gateway, found_epoch, found])?;
    }
    let sql = "SELECT generation FROM activity WHERE id = ?1";
    let floor: Number<u64> =
        db.prepare_cached(sql)?.query_row([Number(activity)], |row| row.get(0))?;
    Ok(floor.0)
}

pub(super) fn of_gateway(db: &Connection, gateway: u16) -> Stored<Vec<LeaseHeld>> {
    let sql = "SELECT m.activity_id, m.kept, a.generation, m.withdrawn, m.written_off
               FROM lease_member m JOIN activity a ON a.id = m.activity_id
               WHERE m.gateway = ?1 AND a.closed = 0 ORDER BY m.activity_id";
    let mut select = db.prepare_cached(sql)?;
    let held = select.query_map([gateway], |row| {
        Ok(LeaseHeld {
            activity: row.get::<_, Number<_>>(0)?.0,
            kept: row.get(1)?,
            generation: row.get::<_, Number<_>>(2)?.0,
            withdrawn: row.get(3)?,
            written_off: row.get(4)?,
        })
    })?;
    Ok(held.collect::<rusqlite::Result<_>>()?)
}

/// The gateway speaks in a later epoch from here on, by a journal that is yet to be made. What it had
/// said of having no open order is not known to be so in the store, unless it is done with the activity:
/// then all of it is there, and nobody would say so again.
pub(super) fn retire(db: &Connection, gateway: u16, epoch: u8) -> Stored<()> {
    let sql = "UPDATE lease_member SET epoch = ?2, journal_id = ?3,
                   resting = CASE WHEN kept IS NULL THEN 0 ELSE resting END
               WHERE gateway = ?1 AND EXISTS
                   (SELECT 1 FROM activity a WHERE a.id = activity_id AND a.closed = 0)";
    db.prepare_cached(sql)?.execute(params![gateway, epoch, NO_JOURNAL])?;
    Ok(())
}

pub(super) fn next_generation(db: &Connection, activity: ActivityId) -> Stored<u64> {
    let sql = "UPDATE activity SET generation = generation + 1 WHERE id = ?1 RETURNING generation";
    let given = db.prepare_cached(sql)?.query_row([Number(activity)], |row| row.get(0));
    let given: Option<Number<u64>> = given.optional()?;
    Ok(given.ok_or(Refusal::NotFound)?.0)
}

pub(super) fn roll(db: &Connection, activity: ActivityId) -> Stored<LeaseRoll> {
    let row = activities::by_id(db, activity)?;
    let sql = "SELECT gateway, epoch FROM lease_member WHERE activity_id = ?1 ORDER BY gateway";
    let mut select = db.prepare_cached(sql)?;
    let members = select.query_map([Number(activity)], |row| {
        Ok(LeaseMember { gateway: row.get(0)?, epoch: row.get(1)? })
    })?;
    let members = members.collect::<rusqlite::Result<_>>()?;
    let open = !row.ended && !row.closed;
    Ok(LeaseRoll { members, version: row.version, stocked: row.stocked, open })
}

pub(super) fn rest(
    db: &Connection,
    activity: ActivityId,
    LeaseMember { gateway, epoch }: LeaseMember,
    now: Timestamp,
) -> Stored<bool> {
    steps::expect_epoch(gateway, epoch, flush::position(db, gateway)?)?;
    let row = activities::by_id(db, activity)?;
    if !row.ended && row.ends_at > now {
        return Err(Refusal::State.into());
    }
    let sql = "UPDATE lease_member SET resting = 1 WHERE activity_id = ?1 AND gateway = ?2";
    let rows = db.prepare_cached(sql)?.execute(params![Number(activity), gateway])?;
    if rows != 1 {
        return Err(Refusal::NotFound.into());
    }
    let sql = "SELECT NOT EXISTS
                   (SELECT 1 FROM lease_member WHERE activity_id = ?1 AND resting = 0)";
    Ok(db.prepare_cached(sql)?.query_row([Number(activity)], |row| row.get(0))?)
}

/// What a gateway did to its part in an activity. Units that were withdrawn or written off it is lent
/// for good, and nobody sells them. Of an activity that one gateway sells alone there is no member.
pub(super) fn apply(db: &Connection, gateway: u16, change: &ActivityChange) -> Stored<()> {
    let ActivityChange { activity, left, written_off, kept, .. } = *change;
    if left + written_off > 0 {
        let sql = "UPDATE lease_member
                   SET withdrawn = withdrawn + ?3, written_off = written_off + ?4
                   WHERE activity_id = ?1 AND gateway = ?2";
        let values = params![Number(activity), gateway, Number(left), Number(written_off)];
        db.prepare_cached(sql)?.execute(values)?;
    }
    kept.map_or(Ok(()), |kept| close(db, activity, gateway, kept))
}

/// A gateway is done with an activity. After the last, what none of them keeps is the product's.
fn close(db: &Connection, activity: ActivityId, gateway: u16, kept: u32) -> Stored<()> {
    let sql = "UPDATE lease_member SET kept = ?3
               WHERE activity_id = ?1 AND gateway = ?2 AND kept IS NULL";
    let rows = db.prepare_cached(sql)?.execute(params![Number(activity), gateway, kept])?;
    if rows != 1 && kept == 0 {
        // It knew of the activity, and never joined, or is done with it already.
        return Ok(());
    }
    if rows != 1 {
        let text =
            format!("gateway {gateway} is done with activity {activity}, and no member of it");
        return Err(Fault::Diverged(text).into());
    }
    let sql = "SELECT count(*) - count(kept), coalesce(sum(kept), 0) FROM lease_member
               WHERE activity_id = ?1";
    let (busy, kept): (u32, u32) = db
        .prepare_cached(sql)?
        .query_row([Number(activity)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if busy > 0 {
        return Ok(());
    }
    let row = activities::by_id(db, activity)?;
    // What was withdrawn is among what they keep, and is the product's already.
    let left = row.stocked.checked_sub(kept).ok_or_else(|| {
        Fault::Diverged(format!("{kept} units of activity {activity} are kept, which has fewer"))
    })?;
    if left > 0 {
        products::give(db, row.product, left)?;
    }
    let sql = "UPDATE activity SET closed = 1, left_units = left_units + ?2, version = ?3
               WHERE id = ?1";
    let values = params![Number(activity), left, Number(next_version(db)?)];
    db.prepare_cached(sql)?.execute(values)?;
    Ok(())
}
