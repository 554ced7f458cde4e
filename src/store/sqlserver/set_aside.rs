//! Rows that were set aside: written with the batch that they were to be in, and read by people.
//!
//! It must not know what was wrong with them.

use tiberius::Row;

use super::gateway_number;
use super::sessions::Transaction;
use super::values::{Columns, number};
use crate::store::{FlushBatch, PAGE_ROWS_MAX, SetAside, Stored};

pub(super) async fn insert(tx: &mut Transaction, batch: &FlushBatch) -> Stored<()> {
    let sql = "INSERT INTO set_aside (gateway, epoch, position, number, subject, records, reason)
               VALUES (@P1, @P2, @P3, @P4, @P5, @P6, @P7)";
    let (gateway, epoch) = (gateway_number(batch.gateway), i16::from(batch.from.epoch));
    for (at, row) in (0_i64..).zip(&batch.set_aside) {
        let (subject, records, reason) = (&*row.subject, &*row.records, &*row.reason);
        let to = number(batch.to);
        tx.run(sql, &[&gateway, &epoch, &to, &at, &subject, &records, &reason]).await?;
    }
    Ok(())
}

pub(super) async fn of(tx: &mut Transaction, gateway: u16, behind: u32) -> Stored<Vec<SetAside>> {
    let sql = "SELECT subject, records, reason FROM set_aside WHERE gateway = @P2
               ORDER BY gateway, epoch, position, number
               OFFSET @P3 ROWS FETCH NEXT @P1 ROWS ONLY";
    let of = |row: &Row| {
        let mut columns = Columns::of(row);
        let (subject, records, reason) = (columns.text()?, columns.text()?, columns.text()?);
        Ok(SetAside { subject, records, reason })
    };
    let values = (i64::from(PAGE_ROWS_MAX), gateway_number(gateway), i64::from(behind));
    tx.rows(sql, &[&values.0, &values.1, &values.2]).await?.iter().map(of).collect()
}

pub(super) async fn count(tx: &mut Transaction, gateway: u16) -> Stored<u64> {
    let sql = "SELECT CAST(COUNT(*) AS BIGINT) FROM set_aside WHERE gateway = @P1";
    let row = tx.row(sql, &[&gateway_number(gateway)]).await?;
    row.map_or(Ok(0), |row| Columns::of(&row).number())
}
