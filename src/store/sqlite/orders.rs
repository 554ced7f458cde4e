//! Reads of flushed orders and payments.
//!
//! It must not know how they came here.

use rusqlite::{Connection, Params, Row, params};
use seckill_shards::clock::Timestamp;
use seckill_shards::ids::{ActivityId, OrderId};
use seckill_shards::record::NO_KEY;
use tokio::sync::mpsc;

use super::values::{Currency, Number, Word};
use crate::store::{
    OrderChunk, OrderCursor, OrderFilter, OrderRow, OrdersOf, PAGE_ROWS_MAX, Page, PaymentRow,
    Refusal, StatusSum, Stored, StoredOrder,
};

/// Orders of one chunk of the audit.
const CHUNK_ORDERS: usize = 1_024;

const ORDER: &str = "o.id, o.activity_id, o.user_id, o.quantity, o.status, o.placed_at,
    o.pay_before, o.moved_at";
/// Columns of [`ORDER`]: where what is joined to it begins.
const PAYMENT_AT: usize = 8;
const BESIDE: &str = "a.product_id, coalesce(a.product_title, p.title), a.title, a.sale_price,
    p.currency, o.refunded_at";
const JOIN_ACTIVITY: &str =
    "JOIN activity a ON a.id = o.activity_id JOIN product p ON p.id = a.product_id";
/// As `StoredOrder::standing`: 7 is "refunded".
const STANDING: &str = "CASE WHEN o.refunded_at IS NULL THEN o.status ELSE 7 END";
pub(super) const PAYMENT: &str =
    "p.id, p.order_id, p.amount, p.status, p.started_at, p.moved_at, p.key, p.body";

fn order_of(row: &Row<'_>) -> rusqlite::Result<OrderRow> {
    Ok(OrderRow {
        id: row.get::<_, Number<_>>(0)?.0,
        activity: row.get::<_, Number<_>>(1)?.0,
        user: row.get::<_, Number<_>>(2)?.0,
        quantity: row.get(3)?,
        status: row.get::<_, Word<_>>(4)?.0,
        placed_at: row.get::<_, Number<_>>(5)?.0,
        pay_before: row.get::<_, Number<_>>(6)?.0,
        moved_at: row.get::<_, Option<Number<_>>>(7)?.map(|at| at.0),
    })
}

/// Without its payments: they are another query.
fn stored_order_of(row: &Row<'_>) -> rusqlite::Result<StoredOrder> {
    Ok(StoredOrder {
        order: order_of(row)?,
        product: row.get::<_, Number<_>>(8)?.0,
        product_title: row.get(9)?,
        activity_title: row.get(10)?,
        unit_price: row.get(11)?,
        currency: row.get::<_, Currency>(12)?.0,
        refunded_at: row.get::<_, Option<Number<_>>>(13)?.map(|at| at.0),
        payments: Vec::new(),
    })
}

/// A payment whose first column is `first`.
pub(super) fn payment_of(row: &Row<'_>, first: usize) -> rusqlite::Result<PaymentRow> {
    Ok(PaymentRow {
        id: row.get::<_, Number<_>>(first)?.0,
        order: row.get::<_, Number<_>>(first + 1)?.0,
        amount: row.get(first + 2)?,
        status: row.get::<_, Word<_>>(first + 3)?.0,
        started_at: row.get::<_, Number<_>>(first + 4)?.0,
        moved_at: row.get::<_, Option<Number<_>>>(first + 5)?.map(|at| at.0),
        key: row.get::<_, Option<_>>(first + 6)?.unwrap_or(NO_KEY),
        body: row.get::<_, Option<_>>(first + 7)?.unwrap_or(NO_KEY),
    })
}

pub(super) fn by_id(db: &Connection, id: OrderId) -> Stored<StoredOrder> {
    let sql =
        format!("SELECT {ORDER}, {BESIDE} FROM sales_order o {JOIN_ACTIVITY} WHERE o.id = ?1");
    Ok(select(db, &sql, [Number(id)])?.pop().ok_or(Refusal::NotFound)?)
}

fn payments_of(db: &Connection, order: OrderId) -> Stored<Vec<PaymentRow>> {
    let sql = format!("SELECT {PAYMENT} FROM payment p WHERE p.order_id = ?1 ORDER BY p.id");
    let mut select = db.prepare_cached(&sql)?;
    let mut found = select
        .query_map([Number(order)], |row| payment_of(row, 0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    // An order's payments come from one shard, whose ids rise; the instants say so too.
    found.sort_by_key(|payment| (payment.started_at, payment.id));
    Ok(found)
}

fn select(db: &Connection, sql: &str, values: impl Params) -> Stored<Vec<StoredOrder>> {
    let mut select = db.prepare_cached(sql)?;
    let mut found =
        select.query_map(values, stored_order_of)?.collect::<rusqlite::Result<Vec<_>>>()?;
    for order in &mut found {
        order.payments = payments_of(db, order.order.id)?;
    }
    Ok(found)
}

pub(super) fn list(
    db: &Connection,
    filter: OrderFilter,
    page: &Page<OrderCursor>,
) -> Stored<Vec<StoredOrder>> {
    let latest = OrderCursor { placed_at: Timestamp(u64::MAX), id: OrderId(u64::MAX) };
    let after = page.after.unwrap_or(latest);
    let (user, activity) = match filter.of {
        OrdersOf::User(user) => (Some(Number(user)), None),
        OrdersOf::Activity(activity) => (None, Some(Number(activity))),
        OrdersOf::Both(user, activity) => (Some(Number(user)), Some(Number(activity))),
    };
    let status = filter.status.map(Word);
    let limit = page.limit.min(PAGE_ROWS_MAX);
    let values = params![user, activity, status, Number(after.placed_at), Number(after.id), limit];
    select(db, &list_sql(filter.of), values)
}

pub(super) fn list_sql(of: OrdersOf) -> String {
    // CROSS JOIN: the parts first, then the buyer's rows of each; SQLite keeps the order written.
    let from = match of {
        OrdersOf::User(_) | OrdersOf::Both(..) => {
            "part CROSS JOIN order_of_user u ON u.part = part.id AND u.user_id = ?1
             CROSS JOIN sales_order o ON o.id = u.order_id AND (?2 IS NULL OR o.activity_id = ?2)"
        }
        OrdersOf::Activity(_) => "sales_order o",
    };
    let of = match of {
        OrdersOf::User(_) | OrdersOf::Both(..) => "",
        OrdersOf::Activity(_) => "?1 IS NULL AND o.activity_id = ?2 AND",
    };
    format!(
        "SELECT {ORDER}, {BESIDE} FROM {from} {JOIN_ACTIVITY}
         WHERE {of} (?3 IS NULL OR {STANDING} = ?3) AND (o.placed_at, o.id) < (?4, ?5)
         ORDER BY o.placed_at DESC, o.id DESC LIMIT ?6"
    )
}

pub(super) fn sums(db: &Connection, activity: ActivityId) -> Stored<Vec<StatusSum>> {
    let sql = "SELECT status, count(*), sum(quantity) FROM sales_order WHERE activity_id = ?1
               GROUP BY status ORDER BY status";
    let mut select = db.prepare_cached(sql)?;
    let sums = select.query_map([Number(activity)], |row| {
        Ok(StatusSum {
            status: row.get::<_, Word<_>>(0)?.0,
            orders: row.get::<_, Number<_>>(1)?.0,
            units: row.get::<_, Number<_>>(2)?.0,
        })
    })?;
    Ok(sums.collect::<rusqlite::Result<_>>()?)
}

/// Sends an activity's orders in chunks; false where no one listens any more.
pub(super) fn stream(
    db: &Connection,
    activity: ActivityId,
    listener: &mpsc::Sender<Stored<OrderChunk>>,
) -> Stored<bool> {
    // The payments of an order come one after the other: the join goes order by order.
    let sql = format!(
        "SELECT {ORDER}, {PAYMENT}
         FROM sales_order o LEFT JOIN payment p ON p.order_id = o.id WHERE o.activity_id = ?1"
    );
    let mut select = db.prepare_cached(&sql)?;
    let mut rows = select.query([Number(activity)])?;
    let mut chunk = OrderChunk::with_capacity(CHUNK_ORDERS);
    while let Some(row) = rows.next()? {
        let order = order_of(row)?;
        if chunk.last().is_none_or(|(last, _)| last.id != order.id) {
            if chunk.len() == CHUNK_ORDERS {
                let full = std::mem::replace(&mut chunk, OrderChunk::with_capacity(CHUNK_ORDERS));
                if listener.blocking_send(Ok(full)).is_err() {
                    return Ok(false);
                }
            }
            chunk.push((order, Vec::new()));
        }
        if row.get::<_, Option<i64>>(PAYMENT_AT)?.is_some() {
            let (_, payments) = chunk.last_mut().expect("the row's order was pushed");
            payments.push(payment_of(row, PAYMENT_AT)?);
        }
    }
    Ok(chunk.is_empty() || listener.blocking_send(Ok(chunk)).is_ok())
}
