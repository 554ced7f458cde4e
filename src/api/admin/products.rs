//! Products as operators keep them.

use http::StatusCode;
use seckill_shards::ids::ProductId;
use seckill_shards::limits::TITLE_BYTES_MAX;

use super::OperatorCall;
use super::trail::{Done, listed};
use crate::api::json::{Fields, Money};
use crate::api::limits::{DESCRIPTION_BYTES_MAX, PRODUCT_STOCK_MAX};
use crate::api::problem::{Effect, Problem};
use crate::api::{idempotency, products};
use crate::store::{NewProduct, ProductUpdate};

/// `POST /api/v1/admin/products`.
pub(super) async fn create(call: OperatorCall<'_>) -> Result<Done, Problem> {
    let mut fields = Fields::of(call.body)?;
    let title = fields.required("title", title);
    let description = description(&mut fields).unwrap_or_default();
    let Money { amount: price, currency } = fields.required("price", Fields::money);
    let stock = fields.required("stock", stock);
    fields.finish()?;
    let once = idempotency::once(call.inner, call.caller.user(), call.body)?;
    let image_url = String::new();
    let product = NewProduct { title, description, image_url, price, currency, stock };
    let product = call
        .context
        .store(Effect::Write, |store| async move { store.create_product(product, once).await });
    let product = product.await?.into_inner();
    call.context.republish().await;
    let reply = products::reply(call.inner, StatusCode::CREATED, &product);
    let reply = reply.at(format!("/api/v1/products/{}", product.id));
    let told = format!("price {price}, stock {stock}");
    Ok(Done::from(reply).made(product.id).told(told).once(once))
}

/// `PATCH /api/v1/admin/products/{id}` with `If-Match`.
pub(super) async fn update(call: OperatorCall<'_>, id: ProductId) -> Result<Done, Problem> {
    let version = call.required_version()?;
    let mut fields = Fields::of(call.body)?;
    let title = title(&mut fields, "title");
    let description = description(&mut fields);
    let price = fields.money("price");
    let stock = stock(&mut fields, "stock");
    fields.finish()?;
    if let Some(price) = price {
        expect_currency(call, id, price).await?;
    }
    let price = price.map(|price| price.amount);
    let update = ProductUpdate { title, description, image_url: None, price, stock };
    let told = told(&update);
    let product = call.context.store(Effect::Write, |store| async move {
        store.update_product(id, version, update).await
    });
    let product = product.await?;
    call.context.republish().await;
    Ok(Done::from(products::reply(call.inner, StatusCode::OK, &product)).told(told))
}

/// What of a product changes: numbers with their values, texts by their names.
fn told(update: &ProductUpdate) -> String {
    let ProductUpdate { title, description, image_url, price, stock } = update;
    listed([
        title.is_some().then(|| "title".to_owned()),
        description.is_some().then(|| "description".to_owned()),
        image_url.is_some().then(|| "image".to_owned()),
        price.map(|price| format!("price {price}")),
        stock.map(|stock| format!("stock {stock}")),
    ])
}

/// A product keeps its currency, so every price of its activities is in it.
async fn expect_currency(
    call: OperatorCall<'_>,
    id: ProductId,
    price: Money,
) -> Result<(), Problem> {
    let product = call.context.store(Effect::Read, |store| async move { store.product(id).await });
    if product.await?.currency == price.currency {
        return Ok(());
    }
    Err(Problem::field("/price/currency", "must be the product's currency"))
}

fn title(fields: &mut Fields, name: &str) -> Option<String> {
    fields.text(name, 1..=TITLE_BYTES_MAX)
}

fn description(fields: &mut Fields) -> Option<String> {
    fields.text("description", 0..=DESCRIPTION_BYTES_MAX)
}

fn stock(fields: &mut Fields, name: &str) -> Option<i64> {
    fields.number(name, 0..=PRODUCT_STOCK_MAX)
}
