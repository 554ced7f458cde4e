//! Rows that were set aside: written with the batch that they were to be in, and read by people.
//!
//! It must not know what was wrong with them.

use rusqlite::{Connection, Row, params};

use super::values::Number;
use crate::store::{FlushBatch, PAGE_ROWS_MAX, SetAside, Stored};

pub(super) fn insert(db: &Connection, batch: &FlushBatch) -> Stored<()> {
    let sql = "INSERT INTO set_aside (gateway, epoch, position, number, subject, records, reason)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut insert = db.prepare_cached(sql)?;
    for (number, row) in (0_u32..).zip(&batch.set_aside) {
        let SetAside { subject, records, reason } = row;
        let (gateway, epoch, to) = (batch.gateway, batch.from.epoch, Number(batch.to));
        insert.execute(params![gateway, epoch, to, number, subject, records, reason])?;
    }
    Ok(())
}

pub(super) fn of(db: &Connection, gateway: u16, behind: u32) -> Stored<Vec<SetAside>> {
    let sql = "SELECT subject, records, reason FROM set_aside WHERE gateway = ?1
               ORDER BY epoch, position, number LIMIT ?2 OFFSET ?3";
    let of = |row: &Row<'_>| {
        Ok(SetAside { subject: row.get(0)?, records: row.get(1)?, reason: row.get(2)? })
    };
    let mut select = db.prepare_cached(sql)?;
    let found = select.query_map(params![gateway, PAGE_ROWS_MAX, behind], of)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn count(db: &Connection, gateway: u16) -> Stored<u64> {
    let mut select = db.prepare_cached("SELECT count(*) FROM set_aside WHERE gateway = ?1")?;
    let Number(rows) = select.query_row([gateway], |row| row.get(0))?;
    Ok(rows)
}
