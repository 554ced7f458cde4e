//! The gateways, as they find each other.
//!
//! It must not know how one calls another.

use tiberius::Row;

use super::gateway_number;
use super::sessions::Transaction;
use super::values::{Columns, number};
use crate::store::{GatewayRow, Stored};

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
                   as_of = CASE WHEN as_of > @P5 THEN as_of ELSE @P5 END
               WHERE number = @P1 AND epoch <= @P2";
    let (gateway, epoch) = (gateway_number(own.number), i16::from(own.epoch));
    let (seen_at, as_of) = (number(own.seen_at), number(own.as_of));
    tx.run(sql, &[&gateway, &epoch, &own.address, &seen_at, &as_of]).await?;
    Ok(())
}

pub(super) async fn all(tx: &mut Transaction) -> Stored<Vec<GatewayRow>> {
    let sql = "SELECT number, epoch, address, seen_at, as_of FROM gateway ORDER BY number";
    tx.rows(sql, &[]).await?.iter().map(gateway_of).collect()
}

fn gateway_of(row: &Row) -> Stored<GatewayRow> {
    let mut columns = Columns::of(row);
    Ok(GatewayRow {
        number: columns.small()?,
        epoch: columns.small()?,
        address: columns.text()?,
        seen_at: columns.number()?,
        as_of: columns.number()?,
    })
}
