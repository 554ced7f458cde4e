//! The gateways, as they find each other, and how they leave.
//!
//! It must not know how one calls another.

use rusqlite::{Connection, Row, params};

use super::values::Number;
use super::{flush, leases};
use crate::store::rows::NO_JOURNAL;
use crate::store::{GatewayRow, JournalPosition, Refusal, Retired, Stored, steps};

/// The store follows a gateway's journal, whether or not the gateway ever says that it is there.
pub(super) fn enter(db: &Connection, number: u16, epoch: u8) -> Stored<()> {
    let sql = "INSERT INTO gateway (number, epoch, address, seen_at, as_of)
               VALUES (?1, ?2, '', 0, 0) ON CONFLICT DO NOTHING";
    db.prepare_cached(sql)?.execute(params![number, epoch])?;
    Ok(())
}

pub(super) fn announce(db: &Connection, own: &GatewayRow) -> Stored<()> {
    let sql = "INSERT INTO gateway (number, epoch, address, seen_at, as_of, membership_s)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT (number) DO UPDATE SET
                   epoch = excluded.epoch, address = excluded.address, seen_at = excluded.seen_at,
                   as_of = max(gateway.as_of, excluded.as_of),
                   membership_s = iif(gateway.adopter IS NULL, excluded.membership_s,
                       gateway.membership_s)
               WHERE excluded.epoch >= gateway.epoch";
    let GatewayRow { number, epoch, address, seen_at, as_of, membership_s, .. } = own;
    let (seen_at, as_of) = (Number(*seen_at), Number(*as_of));
    let values = params![number, epoch, address, seen_at, as_of, membership_s];
    db.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

pub(super) fn ask_to_drain(db: &Connection, number: u16, to: Option<u16>) -> Stored<()> {
    let rows = all(db)?;
    let row = rows.iter().find(|row| row.number == number).ok_or(Refusal::NotFound)?;
    if row.retired.is_some() {
        return Err(Refusal::State.into());
    }
    let sql = "UPDATE gateway SET drains_to = ?2 WHERE number = ?1";
    db.prepare_cached(sql)?.execute(params![number, to])?;
    Ok(())
}

pub(super) fn retire(db: &Connection, number: u16, retired: Retired) -> Stored<()> {
    for row in steps::retire(all(db)?, number, retired)? {
        let GatewayRow { number, epoch, membership_s, .. } = row;
        let retired = row.retired.unwrap_or(retired);
        let Retired { adopter, at, is_off } = retired;
        let sql =
            "UPDATE gateway SET epoch = ?2, membership_s = ?3, drains_to = NULL, adopter = ?4,
                       retired_at = ?5, is_off = ?6
                   WHERE number = ?1";
        let values = params![number, epoch, membership_s, adopter, Number(at), is_off];
        db.prepare_cached(sql)?.execute(values)?;
        let journal = JournalPosition { journal_id: NO_JOURNAL, epoch, position: 0 };
        flush::set_position(db, number, journal)?;
        leases::retire(db, number, epoch)?;
    }
    Ok(())
}

pub(super) fn hand_over(db: &Connection, number: u16, retired: Retired) -> Stored<()> {
    steps::expect_asked(&all(db)?, number, retired.adopter)?;
    retire(db, number, retired)
}

pub(super) fn all(db: &Connection) -> Stored<Vec<GatewayRow>> {
    let sql = "SELECT number, epoch, address, seen_at, as_of, membership_s, drains_to, adopter,
                   retired_at, is_off
               FROM gateway ORDER BY number";
    let mut select = db.prepare_cached(sql)?;
    let found = select.query_map([], gateway_of)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

fn gateway_of(row: &Row<'_>) -> rusqlite::Result<GatewayRow> {
    let (adopter, at) = (row.get(7)?, row.get::<_, Option<Number<_>>>(8)?);
    let (at, is_off) = (at.map_or_else(Default::default, |at| at.0), row.get(9)?);
    Ok(GatewayRow {
        number: row.get(0)?,
        epoch: row.get(1)?,
        address: row.get(2)?,
        seen_at: row.get::<_, Number<_>>(3)?.0,
        as_of: row.get::<_, Number<_>>(4)?.0,
        membership_s: row.get(5)?,
        drains_to: row.get(6)?,
        retired: Option::map(adopter, |adopter| Retired { adopter, at, is_off }),
    })
}
