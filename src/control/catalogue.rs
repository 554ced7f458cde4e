//! The catalogue: the products as the store has them, held in memory for the pages.
//!
//! It must not know pages: it says what a product is, and how many are held at most.

use std::collections::BTreeMap;

use seckill_shards::ids::ProductId;

use super::limits::PRODUCT_PAGES_MAX;
use crate::store::{PAGE_ROWS_MAX, Product, Store, StoreError};

/// The products that are known, at most [`PRODUCT_PAGES_MAX`] of them: the first to be there.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    products: BTreeMap<ProductId, Product>,
    version: u64,
}

impl Catalogue {
    /// Takes over what has changed since it was last asked for.
    ///
    /// # Errors
    /// What the store says; what was learned until then stays.
    pub(super) async fn learn(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        loop {
            let changed = store.products_changed(self.version).await?;
            let is_last = changed.len() < PAGE_ROWS_MAX as usize;
            for product in changed {
                self.version = product.version;
                self.take(product);
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn take(&mut self, product: Product) {
        if self.products.contains_key(&product.id) || self.products.len() < PRODUCT_PAGES_MAX {
            self.products.insert(product.id, product);
        }
    }

    /// A product, if it is among those that are held.
    pub(super) fn find(&self, id: ProductId) -> Option<&Product> {
        self.products.get(&id)
    }

    /// All that are held, by id.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Product> {
        self.products.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(id: u64, title: &str) -> Product {
        Product {
            id: ProductId(id),
            title: title.to_owned(),
            description: String::new(),
            image_url: String::new(),
            price: 100,
            currency: *b"USD",
            stock: 1,
            version: id,
        }
    }

    #[test]
    fn a_full_catalogue_takes_changes_and_no_more_products() {
        let mut catalogue = Catalogue::default();
        let last = PRODUCT_PAGES_MAX as u64;
        for id in 1..=last + 1 {
            catalogue.take(product(id, "old"));
        }
        catalogue.take(product(last, "new"));
        assert_eq!(catalogue.iter().count(), PRODUCT_PAGES_MAX);
        assert_eq!(catalogue.find(ProductId(last)).unwrap().title, "new");
        assert_eq!(catalogue.find(ProductId(last + 1)), None);
    }
}
