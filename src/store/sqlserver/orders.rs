//! Reads of flushed orders and payments.
//!
//! It must not know how they came here.

use std::collections::HashMap;

use seckill_shards::clock::Timestamp;
use seckill_shards::ids::{ActivityId, OrderId};
use seckill_shards::record::NO_KEY;
use tiberius::{Row, ToSql};
use tokio::sync::mpsc;

use super::sessions::Transaction;
use super::values::{Columns, number};
use crate::store::{
    OrderChunk, OrderCursor, OrderFilter, OrderRow, OrdersOf, PAGE_ROWS_MAX, Page, PaymentRow,
    Refusal, StatusSum, Stored, StoredOrder,
};

/// Orders of one chunk of the audit.
const CHUNK_ORDERS: i64 = 1_024;

const ORDER: &str = "o.id, o.activity_id, o.user_id, o.quantity, o.status, o.placed_at,
    o.pay_before, o.moved_at";
const BESIDE: &str = "a.product_id, COALESCE(a.product_title, p.title), a.title, a.sale_price,
    p.currency, o.refunded_at";
const FROM: &str = "FROM sales_order o JOIN activity a ON a.id = o.activity_id
    JOIN product p ON p.id = a.product_id";
/// As `StoredOrder::standing`: 7 is "refunded".
const STANDING: &str = "CASE WHEN o.refunded_at IS NULL THEN o.status ELSE 7 END";
pub(super) const PAYMENT: &str =
    "p.id, p.order_id, p.amount, p.status, p.started_at, p.moved_at, p.digest, p.body";

fn order_of(columns: &mut Columns<'_>) -> Stored<OrderRow> {
    Ok(OrderRow {
        id: columns.number()?,
        activity: columns.number()?,
        user: columns.number()?,
        quantity: columns.count()?,
        status: columns.word()?,
        placed_at: columns.number()?,
        pay_before: columns.number()?,
        moved_at: columns.optional_number()?,
    })
}

/// Without its payments: they are another query.
fn stored_order_of(row: &Row) -> Stored<StoredOrder> {
    let mut columns = Columns::of(row);
    Ok(StoredOrder {
        order: order_of(&mut columns)?,
        product: columns.number()?,
        product_title: columns.text()?,
        activity_title: columns.text()?,
        unit_price: columns.signed()?,
        currency: columns.currency()?,
        refunded_at: columns.optional_number()?,
        payments: Vec::new(),
    })
}

pub(super) fn payment_of(row: &Row) -> Stored<PaymentRow> {
    let mut columns = Columns::of(row);
    Ok(PaymentRow {
        id: columns.number()?,
        order: columns.number()?,
        amount: columns.signed()?,
        status: columns.word()?,
        started_at: columns.number()?,
        moved_at: columns.optional_number()?,
        key: columns.optional_digest()?.unwrap_or(NO_KEY),
        body: columns.optional_digest()?.unwrap_or(NO_KEY),
    })
}

pub(super) async fn by_id(tx: &mut Transaction, id: OrderId) -> Stored<StoredOrder> {
    let sql = format!("SELECT {ORDER}, {BESIDE} {FROM} WHERE o.id = @P1");
    let row = tx.row(&sql, &[&number(id)]).await?.ok_or(Refusal::NotFound)?;
    let mut order = stored_order_of(&row)?;
    order.payments = payments_of(tx, id).await?;
    Ok(order)
}

async fn payments_of(tx: &mut Transaction, order: OrderId) -> Stored<Vec<PaymentRow>> {
    let sql = format!("SELECT {PAYMENT} FROM payment p WHERE p.order_id = @P1");
    let found = tx.rows(&sql, &[&number(order)]).await?;
    let mut found = found.iter().map(payment_of).collect::<Stored<Vec<_>>>()?;
    // An order's payments come from one shard, whose ids rise; the instants say so too.
    found.sort_by_key(|payment| (payment.started_at, payment.id));
    Ok(found)
}

pub(super) async fn list(
    tx: &mut Transaction,
    filter: OrderFilter,
    page: &Page<OrderCursor>,
) -> Stored<Vec<StoredOrder>> {
    let latest = OrderCursor { placed_at: Timestamp(u64::MAX), id: OrderId(u64::MAX) };
    let after = page.after.unwrap_or(latest);
    let (limit, at, id) =
        (i64::from(page.limit.min(PAGE_ROWS_MAX)), number(after.placed_at), number(after.id));
    let of: [i64; 2] = match filter.of {
        OrdersOf::User(user) => [number(user), 0],
        OrdersOf::Activity(activity) => [number(activity), 0],
        OrdersOf::Both(user, activity) => [number(user), number(activity)],
    };
    let status = filter.status.map(|status| status.number());
    let mut values: Vec<&dyn ToSql> = vec![&limit, &at, &id, &of[0], &of[1]];
    values.extend(status.as_ref().map(|status| status as &dyn ToSql));
    let found = tx.rows(&list_sql(filter), &values).await?;
    let mut orders = found.iter().map(stored_order_of).collect::<Stored<Vec<_>>>()?;
    for order in &mut orders {
        order.payments = payments_of(tx, order.order.id).await?;
    }
    Ok(orders)
}

pub(super) fn list_sql(filter: OrderFilter) -> String {
    let of = match filter.of {
        OrdersOf::User(_) => "o.user_id = @P4 AND @P5 = 0",
        OrdersOf::Activity(_) => "o.activity_id = @P4 AND @P5 = 0",
        OrdersOf::Both(..) => "o.user_id = @P4 AND o.activity_id = @P5",
    };
    let status = filter.status.map(|_| format!("AND {STANDING} = @P6")).unwrap_or_default();
    format!(
        "SELECT TOP (@P1) {ORDER}, {BESIDE} {FROM}
         WHERE {of} {status} AND o.placed_at <= @P2 AND (o.placed_at < @P2 OR o.id < @P3)
         ORDER BY o.placed_at DESC, o.id DESC"
    )
}

pub(super) async fn sums(tx: &mut Transaction, activity: ActivityId) -> Stored<Vec<StatusSum>> {
    let sql = "SELECT status, CAST(COUNT(*) AS BIGINT), CAST(SUM(quantity) AS BIGINT)
               FROM sales_order WHERE activity_id = @P1 GROUP BY status ORDER BY status";
    let sum_of = |row: &Row| {
        let mut columns = Columns::of(row);
        Ok(StatusSum {
            status: columns.word()?,
            orders: columns.number()?,
            units: columns.number()?,
        })
    };
    tx.rows(sql, &[&number(activity)]).await?.iter().map(sum_of).collect()
}

/// Sends an activity's orders in chunks; false where no one listens any more.
pub(super) async fn stream(
    tx: &mut Transaction,
    activity: ActivityId,
    listener: &mpsc::Sender<Stored<OrderChunk>>,
) -> Stored<bool> {
    let mut after = OrderCursor { placed_at: Timestamp(0), id: OrderId(0) };
    loop {
        let chunk = chunk(tx, activity, after).await?;
        let Some((last, _)) = chunk.last() else { return Ok(true) };
        after = OrderCursor { placed_at: last.placed_at, id: last.id };
        if listener.send(Ok(chunk)).await.is_err() {
            return Ok(false);
        }
    }
}

/// The next orders of an activity by instant and id, with their payments.
async fn chunk(
    tx: &mut Transaction,
    activity: ActivityId,
    after: OrderCursor,
) -> Stored<OrderChunk> {
    let next = "FROM sales_order o
         WHERE o.activity_id = @P2 AND o.placed_at >= @P3 AND (o.placed_at > @P3 OR o.id > @P4)
         ORDER BY o.placed_at, o.id";
    let (activity, at, id) = (number(activity), number(after.placed_at), number(after.id));
    let values: [&dyn ToSql; 4] = [&CHUNK_ORDERS, &activity, &at, &id];
    let orders = tx.rows(&format!("SELECT TOP (@P1) {ORDER} {next}"), &values).await?;
    let payments = format!(
        "SELECT {PAYMENT} FROM payment p
         WHERE p.order_id IN (SELECT TOP (@P1) o.id {next}) ORDER BY p.id"
    );
    let payments = tx.rows(&payments, &values).await?;
    let mut of_orders: HashMap<OrderId, Vec<PaymentRow>> = HashMap::new();
    for payment in &payments {
        let payment = payment_of(payment)?;
        of_orders.entry(payment.order).or_default().push(payment);
    }
    let with_payments = |row: &Row| {
        let order = order_of(&mut Columns::of(row))?;
        Ok((order, of_orders.remove(&order.id).unwrap_or_default()))
    };
    orders.iter().map(with_payments).collect()
}
