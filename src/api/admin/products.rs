//! Products as operators keep them.

use http::StatusCode;
use seckill_shards::ids::ProductId;
use seckill_shards::limits::TITLE_BYTES_MAX;

use super::OperatorCall;
use crate::api::json::{Fields, Money};
use crate::api::limits::{DESCRIPTION_BYTES_MAX, PRODUCT_STOCK_MAX};
use crate::api::problem::{Effect, Problem};
use crate::api::{Answer, idempotency, products};
use crate::store::{NewProduct, ProductUpdate};

/// `POST /api/v1/admin/products`.
pub(super) async fn create(call: OperatorCall<'_>) -> Answer {
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
    Ok(reply.at(format!("/api/v1/products/{}", product.id)))
}

/// `PATCH /api/v1/admin/products/{id}` with `If-Match`.
pub(super) async fn update(call: OperatorCall<'_>, id: ProductId) -> Answer {
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
    let product = call.context.store(Effect::Write, |store| async move {
        store.update_product(id, version, update).await
    });
    let product = product.await?;
    call.context.republish().await;
    Ok(products::reply(call.inner, StatusCode::OK, &product))
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
