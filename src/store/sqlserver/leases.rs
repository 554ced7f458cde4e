//! Activities that several gateways share: who may hold units, and when all are done. Whoever changes
//! any of it holds the versions, so all members see each other's changes.
//!
//! It must not know Redis, nor what a gateway was lent.

use seckill_shards::clock::Timestamp;
use seckill_shards::ids::ActivityId;

use super::counters::{hold_versions, next_version};
use super::sessions::Transaction;
use super::values::{Columns, number};
use super::{activities, gateway_number, products};
use crate::store::{Fault, JournalPosition, LeaseMember, LeaseRoll, OutOfStep, Refusal, Stored};

pub(super) async fn join(
    tx: &mut Transaction,
    activity: ActivityId,
    gateway: u16,
    journal: &JournalPosition,
) -> Stored<u64> {
    hold_versions(tx).await?;
    let row = activities::by_id(tx, activity).await?;
    if !row.published || row.closed {
        return Err(Refusal::State.into());
    }
    let JournalPosition { journal_id: found, epoch: found_epoch, .. } = *journal;
    let (key, member) = (number(activity), gateway_number(gateway));
    let sql =
        "SELECT journal_id, epoch FROM lease_member WHERE activity_id = @P1 AND gateway = @P2";
    if let Some(row) = tx.row(sql, &[&key, &member]).await? {
        let mut columns = Columns::of(&row);
        let (stored, stored_epoch) = (columns.digest()?, columns.small()?);
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

async fn generation(tx: &mut Transaction, activity: ActivityId) -> Stored<u64> {
    let sql = "SELECT generation FROM activity WHERE id = @P1";
    let row = tx.row(sql, &[&number(activity)]).await?.ok_or(Refusal::NotFound)?;
    Columns::of(&row).number()
}

pub(super) async fn next_generation(tx: &mut Transaction, activity: ActivityId) -> Stored<u64> {
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
    gateway: u16,
    now: Timestamp,
) -> Stored<bool> {
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

/// A gateway is done with an activity. After the last, what none of them keeps is the product's.
pub(super) async fn close(
    tx: &mut Transaction,
    activity: ActivityId,
    gateway: u16,
    kept: u32,
) -> Stored<()> {
    hold_versions(tx).await?;
    let (key, member) = (number(activity), gateway_number(gateway));
    let sql = "UPDATE lease_member SET kept = @P3 WHERE activity_id = @P1 AND gateway = @P2";
    let rows = tx.run(sql, &[&key, &member, &i64::from(kept)]).await?;
    if rows != 1 && kept == 0 {
        // It knew of the activity, and never joined.
        return Ok(());
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
        return Ok(());
    }
    let row = activities::by_id(tx, activity).await?;
    let left = row.stocked.checked_sub(kept).and_then(|left| left.checked_sub(row.left));
    let left = left.ok_or_else(|| {
        Fault::Diverged(format!("{kept} units of activity {activity} are kept, which has fewer"))
    })?;
    if left > 0 {
        products::give(tx, row.product, left).await?;
    }
    let sql = "UPDATE activity SET closed = 1, left_units = left_units + @P2, version = @P3
               WHERE id = @P1";
    let version = next_version(tx).await?;
    tx.run(sql, &[&key, &i64::from(left), &version]).await?;
    Ok(())
}
