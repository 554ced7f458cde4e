//! Products, and the counter that every version is drawn from.
//!
//! It must not know activities.

use rusqlite::{Connection, OptionalExtension, Row, params};
use seckill_shards::ids::ProductId;

use super::values::{Currency, Number};
use crate::store::{NewProduct, PAGE_ROWS_MAX, Page, Product, ProductUpdate, Refusal, Stored};

const COLUMNS: &str = "id, title, description, image_url, price, currency, stock, version";

fn product_of(row: &Row<'_>) -> rusqlite::Result<Product> {
    Ok(Product {
        id: row.get::<_, Number<_>>(0)?.0,
        title: row.get(1)?,
        description: row.get(2)?,
        image_url: row.get(3)?,
        price: row.get(4)?,
        currency: row.get::<_, Currency>(5)?.0,
        stock: row.get(6)?,
        version: row.get::<_, Number<_>>(7)?.0,
    })
}

/// The next version. Writers are one at a time, so versions become visible in their order.
pub(super) fn next_version(db: &Connection) -> Stored<u64> {
    let sql = "UPDATE version SET last = last + 1 RETURNING last";
    let next = db.prepare_cached(sql)?.query_row([], |row| row.get::<_, Number<u64>>(0))?;
    Ok(next.0)
}

pub(super) fn create(db: &Connection, product: &NewProduct) -> Stored<ProductId> {
    let sql = "INSERT INTO product
                   (title, description, image_url, price, currency, stock, version)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id";
    let values = params![
        product.title,
        product.description,
        product.image_url,
        product.price,
        Currency(product.currency),
        product.stock,
        Number(next_version(db)?),
    ];
    let id = db.prepare_cached(sql)?.query_row(values, |row| row.get::<_, Number<_>>(0))?;
    Ok(id.0)
}

pub(super) fn by_id(db: &Connection, id: ProductId) -> Stored<Product> {
    let sql = format!("SELECT {COLUMNS} FROM product WHERE id = ?1");
    let found = db.prepare_cached(&sql)?.query_row([Number(id)], product_of).optional()?;
    Ok(found.ok_or(Refusal::NotFound)?)
}

pub(super) fn list(db: &Connection, query: &str, page: &Page<ProductId>) -> Stored<Vec<Product>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM product WHERE id > ?1 AND instr(lower(title), lower(?2)) > 0
         ORDER BY id LIMIT ?3"
    );
    let after = Number(page.after.unwrap_or_default());
    let mut select = db.prepare_cached(&sql)?;
    let found =
        select.query_map(params![after, query, page.limit.min(PAGE_ROWS_MAX)], product_of)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn changed(db: &Connection, after: u64) -> Stored<Vec<Product>> {
    let sql = format!("SELECT {COLUMNS} FROM product WHERE version > ?1 ORDER BY version LIMIT ?2");
    let mut select = db.prepare_cached(&sql)?;
    let found = select.query_map(params![Number(after), PAGE_ROWS_MAX], product_of)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn update(
    db: &Connection,
    id: ProductId,
    version: u64,
    update: &ProductUpdate,
) -> Stored<Product> {
    let current = by_id(db, id)?.version;
    if current != version {
        return Err(Refusal::Stale { current }.into());
    }
    let sql = format!(
        "UPDATE product SET
             title = coalesce(?2, title),
             description = coalesce(?3, description),
             image_url = coalesce(?4, image_url),
             price = coalesce(?5, price),
             stock = coalesce(?6, stock),
             version = ?7
         WHERE id = ?1 RETURNING {COLUMNS}"
    );
    let values = params![
        Number(id),
        update.title,
        update.description,
        update.image_url,
        update.price,
        update.stock,
        Number(next_version(db)?),
    ];
    Ok(db.prepare_cached(&sql)?.query_row(values, product_of)?)
}

/// Takes units out of a product.
pub(super) fn take(db: &Connection, id: ProductId, quantity: u32) -> Stored<()> {
    let stock = by_id(db, id)?.stock;
    if stock < i64::from(quantity) {
        let remaining = u64::try_from(stock).unwrap_or(0);
        return Err(Refusal::InsufficientStock { remaining }.into());
    }
    move_stock(db, id, -i64::from(quantity))
}

/// Gives units back to a product.
pub(super) fn give(db: &Connection, id: ProductId, quantity: u32) -> Stored<()> {
    move_stock(db, id, i64::from(quantity))
}

fn move_stock(db: &Connection, id: ProductId, delta: i64) -> Stored<()> {
    let sql = "UPDATE product SET stock = stock + ?2, version = ?3 WHERE id = ?1";
    let version = Number(next_version(db)?);
    db.prepare_cached(sql)?.execute(params![Number(id), delta, version])?;
    Ok(())
}
