//! Sales and products as the pages want them.
//!
//! It must not know where they were found, nor when they are rendered.

use seckill_pages::{ActivityView, Money, PRODUCT_SALES_MAX, ProductView, SaleView, Stock};
use seckill_shards::ids::ActivityId;
use seckill_shards::record::Terms;

use crate::store::Product;

/// A sale's own page; `product` is there where the store could be asked, `has_page` where a
/// shopper can visit it.
pub(super) fn activity(
    id: ActivityId,
    terms: &Terms,
    product: Option<&Product>,
    has_page: bool,
) -> ActivityView {
    ActivityView {
        id: id.to_string(),
        title: terms.title.clone(),
        product_title: terms.product_title.clone(),
        product_page: has_page.then(|| terms.product.to_string()),
        description: product.map(|product| product.description.clone()).unwrap_or_default(),
        image_url: product.and_then(image_url),
        sale_price: money(terms.sale_price, terms.currency),
        list_price: (terms.list_price > terms.sale_price)
            .then(|| money(terms.list_price, terms.currency)),
        stock_total: u64::from(terms.stocked),
        per_user_limit: terms.per_user_limit,
        pay_within_seconds: terms.pay_window_ms / 1_000,
        starts_at: terms.starts_at.0,
        ends_at: terms.ends_at.0,
    }
}

/// A product's own page; of its sales those that come first are shown there.
pub(super) fn product(product: &Product, mut sales: Vec<SaleView>) -> ProductView {
    let later_sales = sales.len().saturating_sub(PRODUCT_SALES_MAX);
    sales.truncate(PRODUCT_SALES_MAX);
    ProductView {
        id: product.id.to_string(),
        title: product.title.clone(),
        description: product.description.clone(),
        image_url: image_url(product),
        price: money(product.price, product.currency),
        stock: Stock::of(product.stock.try_into().unwrap_or(0)),
        sales,
        later_sales,
    }
}

/// A sale as its product's page shows it.
pub(super) fn sale(id: ActivityId, terms: &Terms) -> SaleView {
    SaleView {
        id: id.to_string(),
        title: terms.title.clone(),
        price: money(terms.sale_price, terms.currency),
        starts_at: terms.starts_at.0,
        ends_at: terms.ends_at.0,
    }
}

fn image_url(product: &Product) -> Option<String> {
    (!product.image_url.is_empty()).then(|| product.image_url.clone())
}

fn money(amount: i64, currency: [u8; 3]) -> Money {
    Money { amount, currency: String::from_utf8_lossy(&currency).into_owned() }
}

#[cfg(test)]
mod tests {
    use seckill_shards::ids::ProductId;
    use seckill_shards::testing::world::published;

    use super::*;

    #[test]
    fn a_product_in_hundreds_of_sales_shows_the_first_and_counts_the_rest() {
        let lamp = Product {
            id: ProductId(3),
            title: "A lamp".to_owned(),
            description: String::new(),
            image_url: String::new(),
            price: 100,
            currency: *b"USD",
            stock: 1,
            version: 1,
        };
        let sales = |count| {
            let rows = (1..=count).map(|id| published(id, 1));
            rows.map(|row| sale(row.activity, &row.terms)).collect::<Vec<_>>()
        };
        for (count, shown, later) in [(0, 0, 0), (10, 10, 0), (11, 10, 1), (300, 10, 290)] {
            let view = product(&lamp, sales(count));
            assert_eq!((view.sales.len(), view.later_sales), (shown, later));
            assert_eq!(view.sales, sales(shown as u64));
        }
    }
}
