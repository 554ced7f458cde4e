//! Products. Whoever changes one holds the versions.
//!
//! It must not know activities.

use seckill_shards::ids::ProductId;
use seckill_shards::limits::TITLE_BYTES_MAX;
use tiberius::Row;

use super::changes::Changes;
use super::counters::{Counter, draw, hold_versions, next_version};
use super::sessions::Transaction;
use super::values::{Columns, number};
use crate::store::{NewProduct, PAGE_ROWS_MAX, Page, Product, ProductUpdate, Refusal, Stored};

const COLUMNS: &str = "id, title, description, image_url, price, currency, stock, version";

fn product_of(row: &Row) -> Stored<Product> {
    let mut columns = Columns::of(row);
    Ok(Product {
        id: columns.number()?,
        title: columns.text()?,
        description: columns.text()?,
        image_url: columns.text()?,
        price: columns.signed()?,
        currency: columns.currency()?,
        stock: columns.signed()?,
        version: columns.number()?,
    })
}

pub(super) async fn create(tx: &mut Transaction, product: &NewProduct) -> Stored<ProductId> {
    let version = next_version(tx).await?;
    let id = draw(tx, Counter::Product).await?;
    let sql = "INSERT INTO product
                   (id, title, description, image_url, price, currency, stock, version)
               VALUES (@P1, @P2, @P3, @P4, @P5, @P6, @P7, @P8)";
    let currency = String::from_utf8_lossy(&product.currency);
    let NewProduct { title, description, image_url, price, stock, .. } = product;
    let key = number(id);
    tx.run(sql, &[&key, title, description, image_url, price, &&*currency, stock, &version])
        .await?;
    Ok(ProductId(id))
}

pub(super) async fn by_id(tx: &mut Transaction, id: ProductId) -> Stored<Product> {
    let sql = format!("SELECT {COLUMNS} FROM product WHERE id = @P1");
    let found = tx.row(&sql, &[&number(id)]).await?;
    product_of(&found.ok_or(Refusal::NotFound)?)
}

pub(super) async fn list(
    tx: &mut Transaction,
    query: &str,
    page: &Page<ProductId>,
) -> Stored<Vec<Product>> {
    let (after, limit) = (number(page.after.unwrap_or_default()), page.limit.min(PAGE_ROWS_MAX));
    // No title is longer, and no server searches for more than 8,000 bytes.
    if query.len() > TITLE_BYTES_MAX {
        return Ok(Vec::new());
    }
    let found = if query.is_empty() {
        let sql = format!("SELECT TOP (@P2) {COLUMNS} FROM product WHERE id > @P1 ORDER BY id");
        tx.rows(&sql, &[&after, &i64::from(limit)]).await?
    } else {
        let sql = format!(
            "SELECT TOP (@P2) {COLUMNS} FROM product
             WHERE id > @P1 AND CHARINDEX(LOWER(@P3) COLLATE Latin1_General_BIN2,
                 LOWER(title) COLLATE Latin1_General_BIN2) > 0 ORDER BY id"
        );
        tx.rows(&sql, &[&after, &i64::from(limit), &query]).await?
    };
    found.iter().map(product_of).collect()
}

pub(super) async fn changed(tx: &mut Transaction, after: u64) -> Stored<Vec<Product>> {
    let sql =
        format!("SELECT TOP (@P2) {COLUMNS} FROM product WHERE version > @P1 ORDER BY version");
    let found = tx.rows(&sql, &[&number(after), &i64::from(PAGE_ROWS_MAX)]).await?;
    found.iter().map(product_of).collect()
}

pub(super) async fn update(
    tx: &mut Transaction,
    id: ProductId,
    version: u64,
    update: &ProductUpdate,
) -> Stored<Product> {
    hold_versions(tx).await?;
    let current = by_id(tx, id).await?.version;
    if current != version {
        return Err(Refusal::Stale { current }.into());
    }
    let (key, next) = (number(id), Some(next_version(tx).await?));
    let changes = Changes::default()
        .to("title", &update.title)
        .to("description", &update.description)
        .to("image_url", &update.image_url)
        .to("price", &update.price)
        .to("stock", &update.stock)
        .to("version", &next);
    if let Some((sql, values)) = changes.statement("product", &key) {
        tx.run(&sql, &values).await?;
    }
    by_id(tx, id).await
}

/// Takes units out of a product.
pub(super) async fn take(tx: &mut Transaction, id: ProductId, quantity: u32) -> Stored<()> {
    let stock = by_id(tx, id).await?.stock;
    if stock < i64::from(quantity) {
        let remaining = u64::try_from(stock).unwrap_or(0);
        return Err(Refusal::InsufficientStock { remaining }.into());
    }
    move_stock(tx, id, -i64::from(quantity)).await
}

/// Gives units back to a product.
pub(super) async fn give(tx: &mut Transaction, id: ProductId, quantity: u32) -> Stored<()> {
    move_stock(tx, id, i64::from(quantity)).await
}

async fn move_stock(tx: &mut Transaction, id: ProductId, delta: i64) -> Stored<()> {
    let version = next_version(tx).await?;
    let sql = "UPDATE product SET stock = stock + @P2, version = @P3 WHERE id = @P1";
    tx.run(sql, &[&number(id), &delta, &version]).await?;
    Ok(())
}
