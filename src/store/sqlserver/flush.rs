//! Batches of a journal, applied once, and the positions that say so.
//!
//! Rows go into temporary tables in bulk, and on from there by one statement a table. It must not
//! know records: `store::flush` has folded them.

use seckill_shards::record::{Digest, NO_KEY};
use tiberius::{IntoRow, Row};

use super::counters::hold_versions;
use super::sessions::Transaction;
use super::values::{Columns, number};
use super::{activities, gateway_number, gateways, leases, once, set_aside};
use crate::store::flush::{Changes, Move};
use crate::store::{
    Fault, FlushBatch, JournalFound, JournalPosition, OrderRow, PaymentRow, Stored, steps,
};

fn position_of(columns: &mut Columns<'_>) -> Stored<JournalPosition> {
    Ok(JournalPosition {
        journal_id: columns.digest()?,
        epoch: columns.small()?,
        position: columns.number()?,
    })
}

pub(super) async fn position(
    tx: &mut Transaction,
    gateway: u16,
) -> Stored<Option<JournalPosition>> {
    let sql = "SELECT journal_id, epoch, position FROM journal WHERE gateway = @P1";
    let row = tx.row(sql, &[&gateway_number(gateway)]).await?;
    row.map(|row| position_of(&mut Columns::of(&row))).transpose()
}

pub(super) async fn positions(tx: &mut Transaction) -> Stored<Vec<(u16, JournalPosition)>> {
    let sql = "SELECT gateway, journal_id, epoch, position FROM journal ORDER BY gateway";
    let of = |row: &Row| {
        let mut columns = Columns::of(row);
        Ok((columns.small()?, position_of(&mut columns)?))
    };
    tx.rows(sql, &[]).await?.iter().map(of).collect()
}

/// The position as [`position`] reads it, held until the end of the transaction.
pub(super) async fn hold_position(
    tx: &mut Transaction,
    gateway: u16,
) -> Stored<Option<JournalPosition>> {
    let sql = "UPDATE journal SET position = position WHERE gateway = @P1";
    tx.run(sql, &[&gateway_number(gateway)]).await?;
    position(tx, gateway).await
}

pub(super) async fn set_position(
    tx: &mut Transaction,
    gateway: u16,
    to: JournalPosition,
) -> Stored<()> {
    let (gateway, id, epoch) = (gateway_number(gateway), &to.journal_id[..], i16::from(to.epoch));
    let sql =
        "UPDATE journal SET journal_id = @P2, epoch = @P3, position = @P4 WHERE gateway = @P1";
    let position = number(to.position);
    if tx.run(sql, &[&gateway, &id, &epoch, &position]).await? == 0 {
        let sql = "INSERT INTO journal (gateway, journal_id, epoch, position)
                   VALUES (@P1, @P2, @P3, @P4)";
        tx.run(sql, &[&gateway, &id, &epoch, &position]).await?;
    }
    Ok(())
}

pub(super) async fn register(tx: &mut Transaction, found: &JournalFound) -> Stored<u64> {
    let JournalFound { gateway, journal_id, epoch, .. } = *found;
    if let Some(position) = steps::resume(found, hold_position(tx, gateway).await?)? {
        return Ok(position);
    }
    set_position(tx, gateway, JournalPosition { journal_id, epoch, position: 0 }).await?;
    gateways::enter(tx, gateway, epoch).await?;
    Ok(0)
}

pub(super) async fn flush(tx: &mut Transaction, batch: &FlushBatch) -> Stored<()> {
    let FlushBatch { gateway, from, to, .. } = *batch;
    if !steps::is_next(batch, hold_position(tx, gateway).await?)? {
        return Ok(());
    }
    insert_orders(tx, &batch.orders.new).await?;
    move_orders(tx, &batch.orders).await?;
    insert_payments(tx, &batch.payments.new).await?;
    move_payments(tx, &batch.payments).await?;
    if !batch.activities.is_empty() {
        // Before any activity is touched, as whoever else changes one does.
        hold_versions(tx).await?;
    }
    for change in &batch.activities {
        let unkept = leases::apply(tx, gateway, change).await?;
        activities::apply(tx, change, unkept).await?;
        once::done(tx, gateway, &change.withdrawals).await?;
    }
    set_aside::insert(tx, batch).await?;
    set_position(tx, gateway, JournalPosition { position: to, ..from }).await
}

async fn insert_orders(tx: &mut Transaction, orders: &[OrderRow]) -> Stored<()> {
    if orders.is_empty() {
        return Ok(());
    }
    for activity in steps::activities_of(orders) {
        activities::published_row(tx, activity).await?;
    }
    tx.batch(
        "CREATE TABLE #placed (
             id BIGINT NOT NULL, activity_id BIGINT NOT NULL, user_id BIGINT NOT NULL,
             quantity BIGINT NOT NULL, status TINYINT NOT NULL, placed_at BIGINT NOT NULL,
             pay_before BIGINT NOT NULL, moved_at BIGINT NULL)",
    )
    .await?;
    let rows = orders.iter().map(|order| {
        (
            number(order.id),
            number(order.activity),
            number(order.user),
            i64::from(order.quantity),
            order.status.number(),
            number(order.placed_at),
            number(order.pay_before),
            order.moved_at.map(number),
        )
            .into_row()
    });
    tx.load("#placed", rows).await?;
    // In the order of the key, so that one page after the other is filled.
    tx.batch(
        "INSERT INTO sales_order
             (id, activity_id, user_id, quantity, status, placed_at, pay_before, moved_at)
         SELECT id, activity_id, user_id, quantity, status, placed_at, pay_before, moved_at
         FROM #placed ORDER BY id;
         DROP TABLE #placed",
    )
    .await?;
    Ok(())
}

async fn insert_payments(tx: &mut Transaction, payments: &[PaymentRow]) -> Stored<()> {
    if payments.is_empty() {
        return Ok(());
    }
    tx.batch(
        "CREATE TABLE #started (
             id BIGINT NOT NULL, order_id BIGINT NOT NULL, amount BIGINT NOT NULL,
             status TINYINT NOT NULL, started_at BIGINT NOT NULL, moved_at BIGINT NULL,
             digest BINARY(16) NULL, body BINARY(16) NULL)",
    )
    .await?;
    let rows = payments.iter().map(|payment| {
        let keyed = |digest: Digest| (payment.key != NO_KEY).then(|| digest.to_vec());
        (
            number(payment.id),
            number(payment.order),
            payment.amount,
            payment.status.number(),
            number(payment.started_at),
            payment.moved_at.map(number),
            keyed(payment.key),
            keyed(payment.body),
        )
            .into_row()
    });
    tx.load("#started", rows).await?;
    tx.batch(
        "INSERT INTO payment (id, order_id, amount, status, started_at, moved_at, digest, body)
         SELECT id, order_id, amount, status, started_at, moved_at, digest, body
         FROM #started ORDER BY id;
         DROP TABLE #started",
    )
    .await?;
    Ok(())
}

async fn move_orders(tx: &mut Transaction, orders: &Changes<OrderRow>) -> Stored<()> {
    let moves = orders.moves.iter().map(|moved| moved_row(moved, moved.status.number()));
    let update = "UPDATE o SET status = m.status, moved_at = m.moved_at,
                      pay_before = COALESCE(m.pay_before, o.pay_before)
                  FROM sales_order o JOIN #moved m ON m.id = o.id";
    move_rows(tx, "sales_order", moves.collect(), update).await
}

async fn move_payments(tx: &mut Transaction, payments: &Changes<PaymentRow>) -> Stored<()> {
    let moves = payments.moves.iter().map(|moved| moved_row(moved, moved.status.number()));
    let update = "UPDATE p SET status = m.status, moved_at = m.moved_at
                  FROM payment p JOIN #moved m ON m.id = p.id";
    move_rows(tx, "payment", moves.collect(), update).await
}

/// Id, status, when it came to it, its new deadline.
type MovedRow = (i64, u8, Option<i64>, Option<i64>);

fn moved_row<I: Copy + Into<u64>, S>(moved: &Move<I, S>, status: u8) -> MovedRow {
    (number(moved.id), status, moved.at.map(number), moved.pay_before.map(number))
}

/// A journal moves only what it has placed: a store without the row is another one.
async fn move_rows(
    tx: &mut Transaction,
    table: &str,
    moves: Vec<MovedRow>,
    update: &str,
) -> Stored<()> {
    if moves.is_empty() {
        return Ok(());
    }
    tx.batch(
        "CREATE TABLE #moved (
             id BIGINT NOT NULL PRIMARY KEY, status TINYINT NOT NULL, moved_at BIGINT NULL,
             pay_before BIGINT NULL)",
    )
    .await?;
    tx.load("#moved", moves.into_iter().map(IntoRow::into_row)).await?;
    let lacks = format!(
        "SELECT TOP (1) id FROM #moved m
         WHERE NOT EXISTS (SELECT 1 FROM {table} t WHERE t.id = m.id) ORDER BY id"
    );
    if let Some(row) = tx.row(&lacks, &[]).await? {
        let id = Columns::of(&row).signed()?;
        let text = format!("row {id} of {table} is moved, but it is not in the store");
        return Err(Fault::Diverged(text).into());
    }
    tx.run(update, &[]).await?;
    tx.batch("DROP TABLE #moved").await?;
    Ok(())
}
