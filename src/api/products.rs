//! Products as shoppers see them: rows of the store.

use http::StatusCode;
use seckill_shards::ids::ProductId;

use super::problem::Effect;
use super::query::{Query, cut, page};
use super::reply::Reply;
use super::{Answer, Call, route, text};
use crate::store::{Page, Product};

/// `GET /api/v1/products?q=`: by id.
pub(super) async fn list(call: &Call<'_>) -> Answer {
    let query = Query::of(call.head.uri.query())?;
    let limit = query.limit()?;
    let after = query.read("cursor", "must come from an answer", route::id)?;
    let words = query.value("q").unwrap_or_default().to_owned();
    let rows = Page { after, limit: limit + 1 };
    let products =
        call.context.store(Effect::Read, |store| async move { store.products(words, rows).await });
    let mut products = products.await?;
    let cursor = cut(&mut products, limit, |last| last.id.to_string());
    let body = call.context.desk.bytes(|out| page(out, &products, cursor.as_deref(), write));
    Ok(Reply::json(StatusCode::OK, body).no_store())
}

/// `GET /api/v1/products/{id}`.
pub(super) async fn show(call: &Call<'_>, id: ProductId) -> Answer {
    let product = call.context.store(Effect::Read, |store| async move { store.product(id).await });
    Ok(reply(call, StatusCode::OK, &product.await?))
}

/// A product alone, with its version as entity tag.
pub(super) fn reply(call: &Call<'_>, status: StatusCode, product: &Product) -> Reply {
    let body = call.context.desk.bytes(|out| write(out, product));
    Reply::json(status, body).version(product.version).no_store()
}

fn write(out: &mut Vec<u8>, product: &Product) {
    text::raw(out, "{\"id\":");
    text::id(out, product.id);
    text::raw(out, ",\"title\":");
    text::string(out, &product.title);
    text::raw(out, ",\"description\":");
    text::string(out, &product.description);
    text::raw(out, ",\"image_url\":");
    match product.image_url.as_str() {
        "" => text::raw(out, "null"),
        image_url => text::string(out, image_url),
    }
    text::raw(out, ",\"price\":");
    text::money(out, product.price, product.currency);
    text::raw(out, ",\"stock\":");
    text::signed(out, product.stock);
    text::raw(out, ",\"version\":");
    text::number(out, product.version);
    out.push(b'}');
}
