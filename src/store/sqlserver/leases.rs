//! Activities that several gateways share: who may hold units, and when all are done. Whoever changes
//! any of it holds the versions, so all members see each other's changes.
//!
//! It must not know Redis, nor what a gateway was lent.

use seckill_shards::clock::Timestamp;
use seckill_shards::ids::ActivityId;

use super::counters::hold_versions;
use super::sessions::Transaction;
use super::values::{Columns, number};
use super::{activities, flush, gateway_number};
use crate::store::flush::ActivityChange;
use crate::store::rows::NO_JOURNAL;
use crate::store::{
    Fault, JournalPosition, LeaseHeld, LeaseMember, LeaseRoll, OutOfStep, Refusal, Stored, steps,
};

pub(super) async fn join(
    tx: &mut Transaction,
    activity: ActivityId,
    gateway: u16,
    journal: &JournalPosition,
) -> Stored<u64> {
    let JournalPosition { journal_id: found, epoch: found_epoch, .. } = *journal;
    steps::expect_epoch(gateway, found_epoch, flush::hold_position(tx, gateway).await?)?;
    hold_versions(tx).await?;
    let row = activities::by_id(tx, activity).await?;
    if !row.published || row.closed {
        return Err(Refusal::State.into());
    }
    let (key, member) = (number(activity), gateway_number(gateway));
    let sql = "SELECT journal_id, epoch, kept FROM lease_member WHERE activity_id = @P1 AND gateway = @P2";
    if let Some(row) = tx.row(sql, &[&key, &member]).await? {
        let mut columns = Columns::of(&row);
        let (stored, stored_epoch) = (columns.digest()?, columns.small()?);
        if columns.optional_count()?.is_some() {
            // It is done with the activity, and what it keeps is its last word.
            return Err(Refusal::State.into());
        }
        if (stored, stored_epoch) != (found, found_epoch) {
            let other =
                OutOfStep::OtherJournal { gateway, stored, stored_epoch, found, found_epoch };
            return Err(other.into());
        }
    } else {
        let sql = "INSERT INTO lease_member (activity_id, gateway, epoch, journal_id)
                   VALUES (@P1, @P2, @P3, @P4)";
        tx.run(sql, &[&key, &member, &i16::from(found_epoch), &&found[..]]).await?;
    }
    generation(tx, activity).await
}

pub(super) async fn of_gateway(tx: &mut Transaction, gateway: u16) -> Stored<Vec<LeaseHeld>> {
    let sql = "SELECT m.activity_id, m.kept, a.generation, m.withdrawn, m.written_off
               FROM lease_member m JOIN activity a ON a.id = m.activity_id
               WHERE m.gateway = @P1 AND a.closed = 0 ORDER BY m.activity_id";
    let held = tx.rows(sql, &[&gateway_number(gateway)]).await?;
    let held = held.iter().map(|row| {
        let mut columns = Columns::of(row);
        let (activity, kept) = (columns.number()?, columns.optional_count()?);
        let generation = columns.number()?;
        let (withdrawn, written_off) = (columns.count()?, columns.count()?);
        Ok(LeaseHeld { activity, kept, generation, withdrawn, written_off })
    });
    held.collect()
}

/// The gateway speaks in a later epoch from here on, by a journal that is yet to be made. What it had
/// said of having no open order is not known to be so in the store, unless it is done with the activity:
/// then all of it is there, and nobody would say so again.
pub(super) async fn retire(tx: &mut Transaction, gateway: u16, epoch: u8) -> Stored<()> {
    let sql = "UPDATE lease_member SET epoch = @P2, journal_id = @P3,
                   resting = CASE WHEN kept IS NULL THEN 0 ELSE resting END
               WHERE gateway = @P1 AND activity_id IN (SELECT id FROM activity WHERE closed = 0)";
    let journal = &NO_JOURNAL[..];
    tx.run(sql, &[&gateway_number(gateway), &i16::from(epoch), &journal]).await?;
    Ok(())
}

async fn generation(tx: &mut Transaction, activity: ActivityId) -> Stored<u64> {
    let sql = "SELECT generation FROM activity WHERE id = @P1";
    let row = tx.row(sql, &[&number(activity)]).await?.ok_or(Refusal::NotFound)?;
    Columns::of(&row).number()
}

/// Whoever joins meanwhile has this one as its floor, or is among the members that are read behind it.
pub(super) async fn next_generation(tx: &mut Transaction, activity: ActivityId) -> Stored<u64> {
    hold_versions(tx).await?;
    let sql = "UPDATE activity SET generation = generation + 1 WHERE id = @P1";
    tx.run(sql, &[&number(activity)]).await?;
    generation(tx, activity).await
}

pub(super) async fn roll(tx: &mut Transaction, activity: ActivityId) -> Stored<LeaseRoll> {
    let row = activities::by_id(tx, activity).await?;
    let sql = "SELECT gateway, epoch FROM lease_member WHERE activity_id = @P1 ORDER BY gateway";
    let members = tx.rows(sql, &[&number(activity)]).await?;
    let members = members.iter().map(|row| {
        let mut columns = Columns::of(row);
        Ok(LeaseMember { gateway: columns.small()?, epoch: columns.small()? })
    });
    let members = members.collect::<Stored<_>>()?;
    let open = !row.ended && !row.closed;
    Ok(LeaseRoll { members, version: row.version, stocked: row.stocked, open })
}

pub(super) async fn rest(
    tx: &mut Transaction,
    activity: ActivityId,
    LeaseMember { gateway, epoch }: LeaseMember,
    now: Timestamp,
) -> Stored<bool> {
    steps::expect_epoch(gateway, epoch, flush::hold_position(tx, gateway).await?)?;
    hold_versions(tx).await?;
    let row = activities::by_id(tx, activity).await?;
    if !row.ended && row.ends_at > now {
        return Err(Refusal::State.into());
    }
    let (key, member) = (number(activity), gateway_number(gateway));
    let sql = "UPDATE lease_member SET resting = 1 WHERE activity_id = @P1 AND gateway = @P2";
    if tx.run(sql, &[&key, &member]).await? != 1 {
        return Err(Refusal::NotFound.into());
    }
    let sql = "SELECT TOP (1) gateway FROM lease_member WHERE activity_id = @P1 AND resting = 0";
    Ok(tx.row(sql, &[&key]).await?.is_none())
}

/// What a gateway did to its part in an activity. Units that were withdrawn or written off it is lent
/// for good, and nobody sells them. Of an activity that one gateway sells alone there is no member. Once the
/// last member is done with it: the units that none of them keeps.
pub(super) async fn apply(
    tx: &mut Transaction,
    gateway: u16,
    change: &ActivityChange,
) -> Stored<Option<u32>> {
    if let Some(kept) = change.kept {
        return close(tx, gateway, change, kept).await;
    }
    let ActivityChange { activity, left, written_off, .. } = *change;
    if left + written_off > 0 {
        let sql = "UPDATE lease_member
                   SET withdrawn = withdrawn + @P3, written_off = written_off + @P4
                   WHERE activity_id = @P1 AND gateway = @P2";
        let (key, member) = (number(activity), gateway_number(gateway));
        let (left, written_off) = (number(left), number(written_off));
        tx.run(sql, &[&key, &member, &left, &written_off]).await?;
    }
    Ok(None)
}

/// The same of a gateway that is done with the activity, in one statement, as [`activities::apply`].
async fn close(
    tx: &mut Transaction,
    gateway: u16,
    change: &ActivityChange,
    kept: u32,
) -> Stored<Option<u32>> {
    let ActivityChange { activity, left, written_off, .. } = *change;
    let (key, member) = (number(activity), gateway_number(gateway));
    let sql = "UPDATE lease_member
               SET kept = @P3, withdrawn = withdrawn + @P4, written_off = written_off + @P5
               WHERE activity_id = @P1 AND gateway = @P2 AND kept IS NULL";
    let (left, written_off) = (number(left), number(written_off));
    let rows = tx.run(sql, &[&key, &member, &i64::from(kept), &left, &written_off]).await?;
    if rows != 1 && kept == 0 {
        // It knew of the activity, and never joined, or is done with it already.
        return Ok(None);
    }
    if rows != 1 {
        let text =
            format!("gateway {gateway} is done with activity {activity}, and no member of it");
        return Err(Fault::Diverged(text).into());
    }
    let sql =
        "SELECT CAST(COUNT(*) - COUNT(kept) AS BIGINT), CAST(COALESCE(SUM(kept), 0) AS BIGINT)
               FROM lease_member WHERE activity_id = @P1";
    let sums = tx.row(sql, &[&key]).await?.ok_or(Refusal::NotFound)?;
    let mut sums = Columns::of(&sums);
    let (busy, kept) = (sums.count()?, sums.count()?);
    if busy > 0 {
        return Ok(None);
    }
    let row = activities::by_id(tx, activity).await?;
    // What was withdrawn is among what they keep, and is the product's already.
    let left = row.stocked.checked_sub(kept).ok_or_else(|| {
        Fault::Diverged(format!("{kept} units of activity {activity} are kept, which has fewer"))
    })?;
    Ok(Some(left))
}
