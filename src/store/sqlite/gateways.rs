//! The gateways, as they find each other.
//!
//! It must not know how one calls another.

use rusqlite::{Connection, Row, params};

use super::values::Number;
use crate::store::{GatewayRow, Stored};

/// The store follows a gateway's journal, whether or not the gateway ever says that it is there.
pub(super) fn enter(db: &Connection, number: u16, epoch: u8) -> Stored<()> {
    let sql = "INSERT INTO gateway (number, epoch, address, seen_at, as_of)
               VALUES (?1, ?2, '', 0, 0) ON CONFLICT DO NOTHING";
    db.prepare_cached(sql)?.execute(params![number, epoch])?;
    Ok(())
}

pub(super) fn announce(db: &Connection, own: &GatewayRow) -> Stored<()> {
    let sql = "INSERT INTO gateway (number, epoch, address, seen_at, as_of)
               VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (number) DO UPDATE SET
                   epoch = excluded.epoch, address = excluded.address, seen_at = excluded.seen_at,
                   as_of = max(gateway.as_of, excluded.as_of)
               WHERE excluded.epoch >= gateway.epoch";
    let GatewayRow { number, epoch, address, seen_at, as_of } = own;
    let values = params![number, epoch, address, Number(*seen_at), Number(*as_of)];
    db.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

pub(super) fn all(db: &Connection) -> Stored<Vec<GatewayRow>> {
    let sql = "SELECT number, epoch, address, seen_at, as_of FROM gateway ORDER BY number";
    let mut select = db.prepare_cached(sql)?;
    let found = select.query_map([], gateway_of)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

fn gateway_of(row: &Row<'_>) -> rusqlite::Result<GatewayRow> {
    Ok(GatewayRow {
        number: row.get(0)?,
        epoch: row.get(1)?,
        address: row.get(2)?,
        seen_at: row.get::<_, Number<_>>(3)?.0,
        as_of: row.get::<_, Number<_>>(4)?.0,
    })
}
