//! Activities: drafted, published, restocked, and changed by what gateways flush.
//!
//! It must not know orders.

use rusqlite::{Connection, Params, Row, params};
use seckill_shards::ids::{ActivityId, ProductId};
use seckill_shards::limits::STOCKED_MAX;

use super::products::{self, next_version};
use super::values::{Currency, Number};
use crate::store::flush::ActivityChange;
use crate::store::{
    Activity, ActivityUpdate, Fault, NewActivity, PAGE_ROWS_MAX, Page, Refusal, Stored,
};

/// The columns of an activity; a draft shows its product as it is now.
const SELECT: &str = "
    SELECT a.id, a.title, a.product_id, coalesce(a.product_title, p.title), a.sale_price,
           coalesce(a.list_price, p.price), p.currency, a.stocked, a.left_units, a.per_user_limit,
           a.pay_window_ms, a.starts_at, a.ends_at, a.admission, a.published, a.paused, a.ended,
           a.closed, a.version
    FROM activity a JOIN product p ON p.id = a.product_id";

fn activity_of(row: &Row<'_>) -> rusqlite::Result<Activity> {
    Ok(Activity {
        id: row.get::<_, Number<_>>(0)?.0,
        title: row.get(1)?,
        product: row.get::<_, Number<_>>(2)?.0,
        product_title: row.get(3)?,
        sale_price: row.get(4)?,
        list_price: row.get(5)?,
        currency: row.get::<_, Currency>(6)?.0,
        stocked: row.get(7)?,
        left: row.get(8)?,
        per_user_limit: row.get(9)?,
        pay_window_ms: row.get::<_, Number<_>>(10)?.0,
        starts_at: row.get::<_, Number<_>>(11)?.0,
        ends_at: row.get::<_, Number<_>>(12)?.0,
        admission: row.get(13)?,
        published: row.get(14)?,
        paused: row.get(15)?,
        ended: row.get(16)?,
        closed: row.get(17)?,
        version: row.get::<_, Number<_>>(18)?.0,
    })
}

fn select(db: &Connection, condition: &str, values: impl Params) -> Stored<Vec<Activity>> {
    let mut select = db.prepare_cached(&format!("{SELECT} {condition}"))?;
    let found = select.query_map(values, activity_of)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn by_id(db: &Connection, id: ActivityId) -> Stored<Activity> {
    let found = select(db, "WHERE a.id = ?1", [Number(id)])?.pop();
    Ok(found.ok_or(Refusal::NotFound)?)
}

pub(super) fn list(
    db: &Connection,
    product: Option<ProductId>,
    page: &Page<ActivityId>,
) -> Stored<Vec<Activity>> {
    let after = Number(page.after.unwrap_or_default());
    let limit = page.limit.min(PAGE_ROWS_MAX);
    match product {
        None => select(db, "WHERE a.id > ?1 ORDER BY a.id LIMIT ?2", params![after, limit]),
        Some(product) => {
            let condition = "WHERE a.product_id = ?1 AND a.id > ?2 ORDER BY a.id LIMIT ?3";
            select(db, condition, params![Number(product), after, limit])
        }
    }
}

pub(super) fn changed(db: &Connection, after: u64) -> Stored<Vec<Activity>> {
    let condition = "WHERE a.published = 1 AND a.version > ?1 ORDER BY a.version LIMIT ?2";
    select(db, condition, params![Number(after), PAGE_ROWS_MAX])
}

/// All that are published, for the audit.
pub(super) fn published(db: &Connection) -> Stored<Vec<Activity>> {
    select(db, "WHERE a.published = 1 ORDER BY a.id", [])
}

pub(super) fn create(db: &Connection, activity: &NewActivity) -> Stored<ActivityId> {
    products::by_id(db, activity.product)?;
    let sql = "INSERT INTO activity
                   (title, product_id, sale_price, stocked, per_user_limit, pay_window_ms,
                    starts_at, ends_at, admission, version)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING id";
    let values = params![
        activity.title,
        Number(activity.product),
        activity.sale_price,
        activity.stocked,
        activity.per_user_limit,
        Number(activity.pay_window_ms),
        Number(activity.starts_at),
        Number(activity.ends_at),
        activity.admission,
        Number(next_version(db)?),
    ];
    let id = db.prepare_cached(sql)?.query_row(values, |row| row.get::<_, Number<_>>(0))?;
    Ok(id.0)
}

pub(super) fn update(
    db: &Connection,
    id: ActivityId,
    version: u64,
    update: &ActivityUpdate,
) -> Stored<Activity> {
    let activity = of_version(db, id, version)?;
    if !activity.allows(update) {
        return Err(Refusal::State.into());
    }
    let sql = "UPDATE activity SET
                   title = coalesce(?2, title),
                   sale_price = coalesce(?3, sale_price),
                   stocked = coalesce(?4, stocked),
                   per_user_limit = coalesce(?5, per_user_limit),
                   pay_window_ms = coalesce(?6, pay_window_ms),
                   starts_at = coalesce(?7, starts_at),
                   ends_at = coalesce(?8, ends_at),
                   admission = coalesce(?9, admission),
                   version = ?10
               WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![
        Number(id),
        update.title,
        update.sale_price,
        update.stocked,
        update.per_user_limit,
        update.pay_window_ms.map(Number),
        update.starts_at.map(Number),
        update.ends_at.map(Number),
        update.admission,
        Number(next_version(db)?),
    ])?;
    by_id(db, id)
}

fn of_version(db: &Connection, id: ActivityId, version: u64) -> Stored<Activity> {
    let activity = by_id(db, id)?;
    if activity.version != version {
        return Err(Refusal::Stale { current: activity.version }.into());
    }
    Ok(activity)
}

pub(super) fn publish(db: &Connection, id: ActivityId, version: Option<u64>) -> Stored<Activity> {
    let activity = by_id(db, id)?;
    // The state first: who is late is told that it is published, not that a version is old.
    if activity.published {
        return Err(Refusal::State.into());
    }
    if let Some(version) = version {
        of_version(db, id, version)?;
    }
    products::take(db, activity.product, activity.stocked)?;
    let sql = "UPDATE activity SET published = 1, product_title = ?2, list_price = ?3, version = ?4
               WHERE id = ?1";
    let version = Number(next_version(db)?);
    let values = params![Number(id), activity.product_title, activity.list_price, version];
    db.prepare_cached(sql)?.execute(values)?;
    by_id(db, id)
}

pub(super) fn restock(db: &Connection, id: ActivityId, quantity: u32) -> Stored<ActivityId> {
    let activity = by_id(db, id)?;
    let stocked = activity.stocked.saturating_add(quantity);
    if !activity.published || activity.is_over() || stocked > STOCKED_MAX {
        return Err(Refusal::State.into());
    }
    products::take(db, activity.product, quantity)?;
    let sql = "UPDATE activity SET stocked = ?2, version = ?3 WHERE id = ?1";
    let version = Number(next_version(db)?);
    db.prepare_cached(sql)?.execute(params![Number(id), stocked, version])?;
    Ok(id)
}

/// What a gateway did to an activity; the units that left it are the product's again.
pub(super) fn apply(db: &Connection, change: &ActivityChange) -> Stored<()> {
    let id = change.activity;
    let activity = published_row(db, id)?;
    if let Some(copied) = change.copied {
        let sql = "UPDATE activity SET copied = ?2 WHERE id = ?1";
        db.prepare_cached(sql)?.execute(params![Number(id), copied])?;
    }
    if !change.is_news() {
        // The version stays: a copy is no reason for another copy.
        return Ok(());
    }
    let left = u32::try_from(change.left).ok();
    let left = left.filter(|left| *left <= activity.stocked - activity.left).ok_or_else(|| {
        Fault::Diverged(format!("{} units left activity {id}, which has fewer", change.left))
    })?;
    let uncopied = if change.closed { uncopied(db, &activity)? } else { 0 };
    if left + uncopied > 0 {
        products::give(db, activity.product, left + uncopied)?;
    }
    let sql = "UPDATE activity SET
                   paused = coalesce(?2, paused), ended = ended OR ?3, closed = closed OR ?4,
                   left_units = left_units + ?5, stocked = stocked - ?6, version = ?7
               WHERE id = ?1";
    let version = Number(next_version(db)?);
    let ActivityChange { paused, ended, closed, .. } = *change;
    let values = params![Number(id), paused, ended, closed, left, uncopied, version];
    db.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

/// Units that were moved into a sale while it was being closed: the gateway has never known of
/// them, so its record of the closing does not give them back.
fn uncopied(db: &Connection, activity: &Activity) -> Stored<u32> {
    let sql = "SELECT coalesce(copied, stocked) FROM activity WHERE id = ?1";
    let copied: u32 = db.prepare_cached(sql)?.query_row([Number(activity.id)], |row| row.get(0))?;
    Ok(activity.stocked.saturating_sub(copied))
}

/// The activity that a gateway's record names: it was published, or the store is not the one that
/// the gateway took it from.
pub(super) fn published_row(db: &Connection, id: ActivityId) -> Stored<Activity> {
    let condition = "WHERE a.id = ?1 AND a.published = 1";
    let found = select(db, condition, [Number(id)])?.pop();
    Ok(found.ok_or_else(|| Fault::Diverged(format!("activity {id} is not published")))?)
}
