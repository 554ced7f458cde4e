//! Activities: drafted, published, restocked, and changed by what gateways flush. Whoever changes
//! one holds the versions.
//!
//! It must not know orders.

use seckill_shards::ids::{ActivityId, ProductId};
use seckill_shards::limits::STOCKED_MAX;
use tiberius::{Row, ToSql};

use super::changes::Changes;
use super::counters::{Counter, draw, hold_versions, next_version};
use super::products;
use super::sessions::Transaction;
use super::values::{Columns, number};
use crate::store::flush::ActivityChange;
use crate::store::{
    Activity, ActivityUpdate, Fault, NewActivity, PAGE_ROWS_MAX, Page, Refusal, Stored,
};

/// The columns of an activity; a draft shows its product as it is now.
const COLUMNS: &str = "
    a.id, a.title, a.product_id, COALESCE(a.product_title, p.title), a.sale_price,
    COALESCE(a.list_price, p.price), p.currency, a.stocked, a.left_units, a.per_user_limit,
    a.pay_window_ms, a.starts_at, a.ends_at, a.admission, a.published, a.paused, a.ended, a.closed,
    a.version
    FROM activity a JOIN product p ON p.id = a.product_id";

fn activity_of(row: &Row) -> Stored<Activity> {
    let mut columns = Columns::of(row);
    Ok(Activity {
        id: columns.number()?,
        title: columns.text()?,
        product: columns.number()?,
        product_title: columns.text()?,
        sale_price: columns.signed()?,
        list_price: columns.signed()?,
        currency: columns.currency()?,
        stocked: columns.count()?,
        left: columns.count()?,
        per_user_limit: columns.count()?,
        pay_window_ms: columns.number()?,
        starts_at: columns.number()?,
        ends_at: columns.number()?,
        admission: columns.flag()?,
        published: columns.flag()?,
        paused: columns.flag()?,
        ended: columns.flag()?,
        closed: columns.flag()?,
        version: columns.number()?,
    })
}

/// At most a page of those that a condition names, in its order.
async fn select(
    tx: &mut Transaction,
    condition: &str,
    values: &[&dyn ToSql],
) -> Stored<Vec<Activity>> {
    let sql = format!("SELECT TOP (@P1) {COLUMNS} {condition}");
    tx.rows(&sql, values).await?.iter().map(activity_of).collect()
}

pub(super) async fn by_id(tx: &mut Transaction, id: ActivityId) -> Stored<Activity> {
    let found = select(tx, "WHERE a.id = @P2", &[&1_i64, &number(id)]).await?.pop();
    Ok(found.ok_or(Refusal::NotFound)?)
}

pub(super) async fn list(
    tx: &mut Transaction,
    product: Option<ProductId>,
    page: &Page<ActivityId>,
) -> Stored<Vec<Activity>> {
    let after = number(page.after.unwrap_or_default());
    let limit = i64::from(page.limit.min(PAGE_ROWS_MAX));
    match product {
        None => select(tx, "WHERE a.id > @P2 ORDER BY a.id", &[&limit, &after]).await,
        Some(product) => {
            let condition = "WHERE a.product_id = @P3 AND a.id > @P2 ORDER BY a.id";
            select(tx, condition, &[&limit, &after, &number(product)]).await
        }
    }
}

pub(super) async fn changed(tx: &mut Transaction, after: u64) -> Stored<Vec<Activity>> {
    let condition = "WHERE a.published = 1 AND a.version > @P2 ORDER BY a.version";
    select(tx, condition, &[&i64::from(PAGE_ROWS_MAX), &number(after)]).await
}

/// All that are published, for the audit.
pub(super) async fn published(tx: &mut Transaction) -> Stored<Vec<Activity>> {
    select(tx, "WHERE a.published = 1 ORDER BY a.id", &[&i64::MAX]).await
}

pub(super) async fn create(tx: &mut Transaction, activity: &NewActivity) -> Stored<ActivityId> {
    products::by_id(tx, activity.product).await?;
    let id = draw(tx, Counter::Activity).await?;
    let sql = "INSERT INTO activity
                   (id, title, product_id, sale_price, stocked, per_user_limit, pay_window_ms,
                    starts_at, ends_at, admission, version)
               VALUES (@P1, @P2, @P3, @P4, @P5, @P6, @P7, @P8, @P9, @P10, @P11)";
    let values: [&dyn ToSql; 11] = [
        &number(id),
        &activity.title,
        &number(activity.product),
        &activity.sale_price,
        &i64::from(activity.stocked),
        &i64::from(activity.per_user_limit),
        &number(activity.pay_window_ms),
        &number(activity.starts_at),
        &number(activity.ends_at),
        &activity.admission,
        &next_version(tx).await?,
    ];
    tx.run(sql, &values).await?;
    Ok(ActivityId(id))
}

pub(super) async fn update(
    tx: &mut Transaction,
    id: ActivityId,
    version: u64,
    update: &ActivityUpdate,
) -> Stored<Activity> {
    hold_versions(tx).await?;
    let activity = of_version(tx, id, version).await?;
    if !activity.allows(update) {
        return Err(Refusal::State.into());
    }
    let (key, next) = (number(id), Some(next_version(tx).await?));
    let counts = [update.stocked, update.per_user_limit].map(|count| count.map(i64::from));
    let pay_window_ms = update.pay_window_ms.map(number);
    let instants = [update.starts_at, update.ends_at].map(|instant| instant.map(number));
    let changes = Changes::default()
        .to("title", &update.title)
        .to("sale_price", &update.sale_price)
        .to("stocked", &counts[0])
        .to("per_user_limit", &counts[1])
        .to("pay_window_ms", &pay_window_ms)
        .to("starts_at", &instants[0])
        .to("ends_at", &instants[1])
        .to("admission", &update.admission)
        .to("version", &next);
    if let Some((sql, values)) = changes.statement("activity", &key) {
        tx.run(&sql, &values).await?;
    }
    by_id(tx, id).await
}

async fn of_version(tx: &mut Transaction, id: ActivityId, version: u64) -> Stored<Activity> {
    let activity = by_id(tx, id).await?;
    if activity.version != version {
        return Err(Refusal::Stale { current: activity.version }.into());
    }
    Ok(activity)
}

pub(super) async fn publish(
    tx: &mut Transaction,
    id: ActivityId,
    version: Option<u64>,
) -> Stored<Activity> {
    hold_versions(tx).await?;
    let activity = by_id(tx, id).await?;
    // The state first: who is late is told that it is published, not that a version is old.
    if activity.published {
        return Err(Refusal::State.into());
    }
    if let Some(version) = version {
        of_version(tx, id, version).await?;
    }
    products::take(tx, activity.product, activity.stocked).await?;
    let sql = "UPDATE activity SET published = 1, product_title = @P2, list_price = @P3,
                   version = @P4 WHERE id = @P1";
    let Activity { product_title, list_price, .. } = &activity;
    let version = next_version(tx).await?;
    tx.run(sql, &[&number(id), product_title, list_price, &version]).await?;
    by_id(tx, id).await
}

pub(super) async fn restock(tx: &mut Transaction, id: ActivityId, quantity: u32) -> Stored<()> {
    let activity = by_id(tx, id).await?;
    let stocked = activity.stocked.saturating_add(quantity);
    if !activity.published || activity.is_over() || stocked > STOCKED_MAX {
        return Err(Refusal::State.into());
    }
    products::take(tx, activity.product, quantity).await?;
    let sql = "UPDATE activity SET stocked = @P2, version = @P3 WHERE id = @P1";
    let version = next_version(tx).await?;
    tx.run(sql, &[&number(id), &i64::from(stocked), &version]).await?;
    Ok(())
}

/// What a gateway did to an activity; the units that left it are the product's again, and so are those that
/// nobody keeps, where all who shared it are done with it. In one statement: the second time that a transaction
/// changes a row its keys are looked up, which Babelfish 4.3 fails at where the session has made its first
/// temporary table since it did so before.
pub(super) async fn apply(
    tx: &mut Transaction,
    change: &ActivityChange,
    unkept: Option<u32>,
) -> Stored<()> {
    let is_news = change.is_news() || unkept.is_some();
    if !is_news && change.copied.is_none() {
        return Ok(());
    }
    let activity = published_row(tx, change.activity).await?;
    let left = u32::try_from(change.left).ok();
    let left = left.filter(|left| *left <= activity.stocked - activity.left).ok_or_else(|| {
        let (id, left) = (change.activity, change.left);
        Fault::Diverged(format!("{left} units left activity {id}, which has fewer"))
    })?;
    let uncopied = match change.closed {
        true => uncopied(tx, &activity, change.copied).await?,
        false => 0,
    };
    let left = left + unkept.unwrap_or(0);
    if left + uncopied > 0 {
        products::give(tx, activity.product, left + uncopied).await?;
    }
    // A copy alone is no reason for another copy.
    let version = if is_news { next_version(tx).await? } else { number(activity.version) };
    let sql = "UPDATE activity SET
                   paused = @P2, ended = @P3, closed = @P4,
                   left_units = left_units + @P5, stocked = stocked - @P6, version = @P7,
                   copied = COALESCE(@P8, copied)
               WHERE id = @P1";
    let paused = change.paused.unwrap_or(activity.paused);
    let ended = change.ended || activity.ended;
    let closed = change.closed || unkept.is_some() || activity.closed;
    let (key, copied) = (number(change.activity), change.copied.map(i64::from));
    let (left, uncopied) = (i64::from(left), i64::from(uncopied));
    tx.run(sql, &[&key, &paused, &ended, &closed, &left, &uncopied, &version, &copied]).await?;
    Ok(())
}

/// Units that were moved into a sale while it was being closed: the gateway has never known of
/// them, so its record of the closing does not give them back.
async fn uncopied(tx: &mut Transaction, activity: &Activity, copied: Option<u32>) -> Stored<u32> {
    if let Some(copied) = copied {
        return Ok(activity.stocked.saturating_sub(copied));
    }
    let sql = "SELECT COALESCE(copied, stocked) FROM activity WHERE id = @P1";
    let row = tx.row(sql, &[&number(activity.id)]).await?.ok_or(Refusal::NotFound)?;
    Ok(activity.stocked.saturating_sub(Columns::of(&row).count()?))
}

/// The activity that a gateway's record names: it was published, or the store is not the one that
/// the gateway took it from.
pub(super) async fn published_row(tx: &mut Transaction, id: ActivityId) -> Stored<Activity> {
    let condition = "WHERE a.id = @P2 AND a.published = 1";
    let found = select(tx, condition, &[&1_i64, &number(id)]).await?.pop();
    Ok(found.ok_or_else(|| Fault::Diverged(format!("activity {id} is not published")))?)
}
