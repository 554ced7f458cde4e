//! The gateways, as they find each other, and how they leave.
//!
//! It must not know how one calls another.

use tiberius::Row;

use super::counters::hold_versions;
use super::sessions::Transaction;
use super::values::{Columns, number};
use super::{flush, gateway_number, leases};
use crate::store::rows::NO_JOURNAL;
use crate::store::{GatewayRow, JournalPosition, Refusal, Retired, Stored, steps};

/// The store follows a gateway's journal, whether or not the gateway ever says that it is there.
pub(super) async fn enter(tx: &mut Transaction, gateway: u16, epoch: u8) -> Stored<()> {
    let sql = "INSERT INTO gateway (number, epoch, address, seen_at, as_of)
               SELECT @P1, @P2, N'', 0, 0
               WHERE NOT EXISTS (SELECT 1 FROM gateway WHERE number = @P1)";
    tx.run(sql, &[&gateway_number(gateway), &i16::from(epoch)]).await?;
    Ok(())
}

pub(super) async fn announce(tx: &mut Transaction, own: &GatewayRow) -> Stored<()> {
    enter(tx, own.number, own.epoch).await?;
    let sql = "UPDATE gateway SET epoch = @P2, address = @P3, seen_at = @P4,
                   as_of = CASE WHEN as_of > @P5 THEN as_of ELSE @P5 END,
                   membership_s = CASE WHEN adopter IS NULL THEN @P6 ELSE membership_s END
               WHERE number = @P1 AND epoch <= @P2";
    let (gateway, epoch) = (gateway_number(own.number), i16::from(own.epoch));
    let (seen_at, as_of) = (number(own.seen_at), number(own.as_of));
    let membership_s = i64::from(own.membership_s);
    tx.run(sql, &[&gateway, &epoch, &own.address, &seen_at, &as_of, &membership_s]).await?;
    Ok(())
}

pub(super) async fn ask_to_drain(tx: &mut Transaction, number: u16, to: Option<u16>) -> Stored<()> {
    hold_versions(tx).await?;
    let rows = all(tx).await?;
    let row = rows.iter().find(|row| row.number == number).ok_or(Refusal::NotFound)?;
    if row.retired.is_some() {
        return Err(Refusal::State.into());
    }
    let sql = "UPDATE gateway SET drains_to = @P2 WHERE number = @P1";
    tx.run(sql, &[&gateway_number(number), &to.map(gateway_number)]).await?;
    Ok(())
}

/// Whoever retires gateways holds their journals' rows, as their flushes do, then their own, of which an
/// announcement would be undone, and then the versions: so retirements come one after the other, and none
/// waits for a flush that waits for it.
async fn hold(tx: &mut Transaction, gateway: u16) -> Stored<()> {
    let held = |row: &GatewayRow| {
        row.number == gateway || row.retired.is_some_and(|it| it.adopter == gateway)
    };
    let rows: Vec<_> = all(tx).await?.into_iter().filter(held).collect();
    for row in &rows {
        flush::hold_position(tx, row.number).await?;
    }
    for row in &rows {
        let sql = "UPDATE gateway SET seen_at = seen_at WHERE number = @P1";
        tx.run(sql, &[&gateway_number(row.number)]).await?;
    }
    hold_versions(tx).await
}

pub(super) async fn hand_over(tx: &mut Transaction, gateway: u16, retired: Retired) -> Stored<()> {
    hold(tx, gateway).await?;
    steps::expect_asked(&all(tx).await?, gateway, retired.adopter)?;
    retire(tx, gateway, retired).await
}

pub(super) async fn retire(tx: &mut Transaction, gateway: u16, retired: Retired) -> Stored<()> {
    hold(tx, gateway).await?;
    for row in steps::retire(all(tx).await?, gateway, retired)? {
        let Retired { adopter, at, is_off } = row.retired.unwrap_or(retired);
        let sql = "UPDATE gateway SET epoch = @P2, membership_s = @P3, drains_to = NULL,
                       adopter = @P4, retired_at = @P5, is_off = @P6
                   WHERE number = @P1";
        let (key, epoch) = (gateway_number(row.number), i16::from(row.epoch));
        let (membership_s, adopter) = (i64::from(row.membership_s), gateway_number(adopter));
        tx.run(sql, &[&key, &epoch, &membership_s, &adopter, &number(at), &is_off]).await?;
        let journal = JournalPosition { journal_id: NO_JOURNAL, epoch: row.epoch, position: 0 };
        flush::set_position(tx, row.number, journal).await?;
        leases::retire(tx, row.number, row.epoch).await?;
    }
    Ok(())
}

pub(super) async fn all(tx: &mut Transaction) -> Stored<Vec<GatewayRow>> {
    let sql = "SELECT number, epoch, address, seen_at, as_of, membership_s, drains_to, adopter,
                   retired_at, is_off
               FROM gateway ORDER BY number";
    tx.rows(sql, &[]).await?.iter().map(gateway_of).collect()
}

fn gateway_of(row: &Row) -> Stored<GatewayRow> {
    let mut columns = Columns::of(row);
    let (number, epoch) = (columns.small()?, columns.small()?);
    let (address, seen_at, as_of) = (columns.text()?, columns.number()?, columns.number()?);
    let (membership_s, drains_to) = (columns.count()?, columns.optional_small()?);
    let adopter: Option<u16> = columns.optional_small()?;
    let (at, is_off) = (columns.optional_number()?.unwrap_or_default(), columns.flag()?);
    let retired = adopter.map(|adopter| Retired { adopter, at, is_off });
    Ok(GatewayRow { number, epoch, address, seen_at, as_of, membership_s, drains_to, retired })
}
