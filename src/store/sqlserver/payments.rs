//! Payments by themselves: what the flush wrote of them, and debts to shoppers.
//!
//! It must not know providers.

use seckill_shards::clock::Timestamp;
use seckill_shards::ids::{OrderId, PaymentId};
use seckill_shards::record::PaymentStatus;

use super::orders::{PAYMENT, payment_of};
use super::sessions::Transaction;
use super::values::{Columns, number};
use crate::store::{PAGE_ROWS_MAX, PaymentRow, Refusal, Stored};

pub(super) async fn by_id(tx: &mut Transaction, id: PaymentId) -> Stored<PaymentRow> {
    let sql = format!("SELECT {PAYMENT} FROM payment p WHERE p.id = @P1");
    let found = tx.row(&sql, &[&number(id)]).await?;
    payment_of(&found.ok_or(Refusal::NotFound)?)
}

/// Returns the payment's order.
pub(super) async fn owe_back(
    tx: &mut Transaction,
    id: PaymentId,
    from: &[PaymentStatus],
    at: Timestamp,
) -> Stored<OrderId> {
    let order = by_id(tx, id).await?.order;
    for from in from {
        let is_changed = change(tx, id, *from, PaymentStatus::RefundDue, at).await?;
        if is_changed && *from == PaymentStatus::Succeeded {
            let sql = "UPDATE sales_order SET refunded_at = @P2 WHERE id = @P1";
            tx.run(sql, &[&number(order), &number(at)]).await?;
        }
    }
    Ok(order)
}

pub(super) async fn refunded(tx: &mut Transaction, id: PaymentId, at: Timestamp) -> Stored<()> {
    change(tx, id, PaymentStatus::RefundDue, PaymentStatus::Refunded, at).await?;
    by_id(tx, id).await.map(drop)
}

/// Moves a payment that stands at `from`, and says whether it did.
async fn change(
    tx: &mut Transaction,
    id: PaymentId,
    from: PaymentStatus,
    to: PaymentStatus,
    at: Timestamp,
) -> Stored<bool> {
    let sql = "UPDATE payment SET status = @P3, moved_at = @P4 WHERE id = @P1 AND status = @P2";
    let rows = tx.run(sql, &[&number(id), &from.number(), &to.number(), &number(at)]).await?;
    Ok(rows == 1)
}

pub(super) async fn owed_back(
    tx: &mut Transaction,
    after: Option<PaymentId>,
    limit: u32,
) -> Stored<Vec<PaymentId>> {
    // Ids begin at zero, and so does what comes after none.
    let after = after.map_or(-1, number);
    let rows = tx.rows(OWED_BACK, &[&after, &i64::from(limit.min(PAGE_ROWS_MAX))]).await?;
    rows.iter().map(|row| Columns::of(row).number()).collect()
}

/// The status is written out, or the index of just these payments would not be used.
const OWED_BACK: &str =
    "SELECT TOP (@P2) id FROM payment WHERE status = 4 AND id > @P1 ORDER BY id";
