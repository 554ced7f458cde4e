//! Payments by themselves: what the flush wrote of them, and debts to shoppers.
//!
//! It must not know providers.

use rusqlite::{Connection, OptionalExtension, params};
use seckill_shards::clock::Timestamp;
use seckill_shards::ids::{OrderId, PaymentId};
use seckill_shards::record::PaymentStatus;

use super::orders::{PAYMENT, payment_of};
use super::values::{Number, Word};
use crate::store::{PAGE_ROWS_MAX, PaymentRow, Refusal, Stored};

pub(super) fn by_id(db: &Connection, id: PaymentId) -> Stored<PaymentRow> {
    let sql = format!("SELECT {PAYMENT} FROM payment p WHERE p.id = ?1");
    let found =
        db.prepare_cached(&sql)?.query_row([Number(id)], |row| payment_of(row, 0)).optional()?;
    Ok(found.ok_or(Refusal::NotFound)?)
}

/// Returns the payment's order.
pub(super) fn owe_back(
    db: &Connection,
    id: PaymentId,
    from: &[PaymentStatus],
    at: Timestamp,
) -> Stored<OrderId> {
    let order = by_id(db, id)?.order;
    for from in from {
        let is_changed = change(db, id, *from, PaymentStatus::RefundDue, at)?;
        if is_changed && *from == PaymentStatus::Succeeded {
            let sql = "UPDATE sales_order SET refunded_at = ?2 WHERE id = ?1";
            db.prepare_cached(sql)?.execute((Number(order), Number(at)))?;
        }
    }
    Ok(order)
}

pub(super) fn refunded(db: &Connection, id: PaymentId, at: Timestamp) -> Stored<()> {
    change(db, id, PaymentStatus::RefundDue, PaymentStatus::Refunded, at)?;
    by_id(db, id).map(drop)
}

/// Moves a payment that stands at `from`, and says whether it did.
fn change(
    db: &Connection,
    id: PaymentId,
    from: PaymentStatus,
    to: PaymentStatus,
    at: Timestamp,
) -> Stored<bool> {
    let sql = "UPDATE payment SET status = ?3, moved_at = ?4 WHERE id = ?1 AND status = ?2";
    let values = params![Number(id), Word(from), Word(to), Number(at)];
    Ok(db.prepare_cached(sql)?.execute(values)? == 1)
}

pub(super) fn owed_back(
    db: &Connection,
    after: Option<PaymentId>,
    limit: u32,
) -> Stored<Vec<PaymentId>> {
    let mut select = db.prepare_cached(OWED_BACK)?;
    // Ids begin at zero, and so does what comes after none.
    let after = after.map_or(-1, |id| i64::try_from(id.0).unwrap_or(i64::MAX));
    let found = select.query_map((after, limit.min(PAGE_ROWS_MAX)), |row| {
        row.get::<_, Number<PaymentId>>(0).map(|id| id.0)
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// The status is written out, or the index of just these payments would not be used.
pub(super) const OWED_BACK: &str =
    "SELECT id FROM payment WHERE status = 4 AND id > ?1 ORDER BY id LIMIT ?2";
