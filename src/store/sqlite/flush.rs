//! Batches of a journal, applied once, and the positions that say so.
//!
//! It must not know records: `store::flush` has folded them.

use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use seckill_shards::ids::OrderId;
use seckill_shards::record::NO_KEY;

use super::values::{Number, Word, signed};
use super::{activities, gateways, leases, once, set_aside};
use crate::store::flush::Changes;
use crate::store::{
    Fault, FlushBatch, JournalFound, JournalPosition, OrderRow, PaymentRow, Stored, steps,
};

/// Rows of one statement: more make it no quicker.
const ROWS_AT_ONCE: usize = 32;
/// Orders at which a part of the index by buyer is closed and the next one begun.
const PART_ORDERS: i64 = 1 << 17;

fn position_of(row: &Row<'_>) -> rusqlite::Result<JournalPosition> {
    Ok(JournalPosition {
        journal_id: row.get(0)?,
        epoch: row.get(1)?,
        position: row.get::<_, Number<_>>(2)?.0,
    })
}

pub(super) fn position(db: &Connection, gateway: u16) -> Stored<Option<JournalPosition>> {
    let sql = "SELECT journal_id, epoch, position FROM journal WHERE gateway = ?1";
    Ok(db.prepare_cached(sql)?.query_row([gateway], position_of).optional()?)
}

pub(super) fn positions(db: &Connection) -> Stored<Vec<(u16, JournalPosition)>> {
    let sql = "SELECT journal_id, epoch, position, gateway FROM journal ORDER BY gateway";
    let mut select = db.prepare_cached(sql)?;
    let found = select.query_map([], |row| Ok((row.get(3)?, position_of(row)?)))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn set_position(db: &Connection, gateway: u16, to: JournalPosition) -> Stored<()> {
    let sql = "INSERT OR REPLACE INTO journal (gateway, journal_id, epoch, position)
               VALUES (?1, ?2, ?3, ?4)";
    let values = params![gateway, to.journal_id, to.epoch, Number(to.position)];
    db.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

pub(super) fn register(db: &Connection, found: &JournalFound) -> Stored<u64> {
    let JournalFound { gateway, journal_id, epoch, .. } = *found;
    if let Some(position) = steps::resume(found, position(db, gateway)?)? {
        return Ok(position);
    }
    set_position(db, gateway, JournalPosition { journal_id, epoch, position: 0 })?;
    gateways::enter(db, gateway, epoch)?;
    Ok(0)
}

pub(super) fn flush(db: &Connection, batch: &FlushBatch) -> Stored<()> {
    let FlushBatch { gateway, from, to, .. } = *batch;
    if !steps::is_next(batch, position(db, gateway)?)? {
        return Ok(());
    }
    insert_orders(db, &batch.orders.new)?;
    insert_orders_of_users(db, &batch.orders.new)?;
    move_orders(db, &batch.orders)?;
    insert_payments(db, &batch.payments.new)?;
    move_payments(db, &batch.payments)?;
    for change in &batch.activities {
        activities::apply(db, change)?;
        leases::apply(db, gateway, change)?;
        once::done(db, gateway, &change.withdrawals)?;
    }
    set_aside::insert(db, batch)?;
    set_position(db, gateway, JournalPosition { position: to, ..from })
}

fn insert_orders(db: &Connection, orders: &[OrderRow]) -> Stored<()> {
    for activity in steps::activities_of(orders) {
        activities::published_row(db, activity)?;
    }
    let mut orders: Vec<&OrderRow> = orders.iter().collect();
    // Sorted, so that one page after the other is filled.
    orders.sort_unstable_by_key(|order| order.id);
    let into = "sales_order
        (id, activity_id, user_id, quantity, status, placed_at, pay_before, moved_at)";
    insert(db, into, &orders, |order| {
        [
            Some(signed(order.id)),
            Some(signed(order.activity)),
            Some(signed(order.user)),
            Some(order.quantity.into()),
            Some(order.status.number().into()),
            Some(signed(order.placed_at)),
            Some(signed(order.pay_before)),
            order.moved_at.map(signed),
        ]
    })
}

/// Inserts rows of numbers. A statement has a price of its own, so it takes many of them.
fn insert<T, const COLUMNS: usize>(
    db: &Connection,
    into: &str,
    rows: &[T],
    columns: impl Fn(&T) -> [Option<i64>; COLUMNS],
) -> Stored<()> {
    let place = format!("({})", ["?"; COLUMNS].join(", "));
    let mut rest = rows;
    for size in [ROWS_AT_ONCE, 1] {
        let places = vec![&*place; size].join(", ");
        let mut insert = db.prepare_cached(&format!("INSERT INTO {into} VALUES {places}"))?;
        let many = rest.chunks_exact(size);
        rest = many.remainder();
        for rows in many {
            insert.execute(params_from_iter(rows.iter().flat_map(&columns)))?;
        }
    }
    Ok(())
}

fn insert_orders_of_users(db: &Connection, orders: &[OrderRow]) -> Stored<()> {
    if orders.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(orders.len()).expect("rows in memory are far fewer");
    let part = open_part(db, count)?;
    let mut keys: Vec<_> = orders.iter().map(|order| (order.user, order.id)).collect();
    keys.sort_unstable();
    insert(db, "order_of_user", &keys, |&(user, order)| {
        [Some(part), Some(signed(user)), Some(signed(order))]
    })
}

/// The part that takes a batch's orders, counted into it.
fn open_part(db: &Connection, orders: i64) -> Stored<i64> {
    let sql = "SELECT id, orders FROM part ORDER BY id DESC LIMIT 1";
    let last = db.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)));
    let (part, filled) = match last.optional()? {
        Some((last, filled)) if filled < PART_ORDERS => (last, filled),
        Some((last, _)) => (last + 1, 0),
        None => (1, 0),
    };
    let sql = "INSERT OR REPLACE INTO part (id, orders) VALUES (?1, ?2)";
    db.prepare_cached(sql)?.execute((part, filled + orders))?;
    Ok(part)
}

fn move_orders(db: &Connection, orders: &Changes<OrderRow>) -> Stored<()> {
    let mut moves: Vec<_> = orders.moves.iter().collect();
    moves.sort_unstable_by_key(|moved| moved.id);
    let sql =
        "UPDATE sales_order SET status = ?2, moved_at = ?3, pay_before = coalesce(?4, pay_before)
               WHERE id = ?1";
    let mut update = db.prepare_cached(sql)?;
    for moved in moves {
        let (at, pay_before) = (moved.at.map(Number), moved.pay_before.map(Number));
        let values = (Number(moved.id), Word(moved.status), at, pay_before);
        one_row(update.execute(values)?, "order", moved.id)?;
    }
    Ok(())
}

fn insert_payments(db: &Connection, payments: &[PaymentRow]) -> Stored<()> {
    let sql = "INSERT INTO payment (id, order_id, amount, status, started_at, moved_at, key, body)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let mut insert = db.prepare_cached(sql)?;
    for payment in payments {
        let has_key = payment.key != NO_KEY;
        insert.execute(params![
            Number(payment.id),
            Number(payment.order),
            payment.amount,
            Word(payment.status),
            Number(payment.started_at),
            payment.moved_at.map(Number),
            has_key.then_some(payment.key),
            has_key.then_some(payment.body),
        ])?;
    }
    Ok(())
}

fn move_payments(db: &Connection, payments: &Changes<PaymentRow>) -> Stored<()> {
    let sql = "UPDATE payment SET status = ?2, moved_at = ?3 WHERE id = ?1";
    let mut update = db.prepare_cached(sql)?;
    for moved in &payments.moves {
        let values = (Number(moved.id), Word(moved.status), moved.at.map(Number));
        one_row(update.execute(values)?, "payment", OrderId(moved.id.0))?;
    }
    Ok(())
}

/// A journal moves only what it has placed: a store without the row is another one.
fn one_row(rows: usize, what: &str, id: OrderId) -> Result<(), Fault> {
    match rows {
        1 => Ok(()),
        _ => Err(Fault::Diverged(format!("{what} {id} is moved, but it is not in the store"))),
    }
}
