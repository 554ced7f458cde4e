//! The pages: rendered and compressed when something that they show has changed, swapped whole.

use std::collections::HashMap;
use std::sync::Arc;

use seckill_pages::{ActivityView, HomeView, Money};
use seckill_shards::ids::ProductId;
use seckill_shards::shard::{Activity, Phase, Sale};

use super::Control;
use crate::api::{self, PageMap};

impl Control {
    /// Renders again whenever something has changed.
    pub(super) async fn keep_pages(self: Arc<Self>) {
        self.compress_documents().await;
        loop {
            self.stale.notified().await;
            self.render_pages().await;
        }
    }

    /// Renders the pages whose content has changed, and serves them.
    pub(super) async fn render_pages(&self) {
        let mut rendered = self.rendered.lock().await;
        let now = self.engine.clock().now();
        let mut sales: Vec<(Arc<Activity>, Arc<Sale>)> = Vec::new();
        for activity in self.engine.activities().values() {
            sales.push((Arc::clone(activity), Arc::clone(&activity.sale())));
        }
        sales.sort_by_key(|(activity, sale)| (sale.terms.starts_at, activity.id));
        let mut views = Vec::new();
        for (activity, sale) in sales {
            let is_over = matches!(sale.phase(now), Phase::Ended | Phase::Closed);
            let (description, image_url) = self.describe(sale.terms.product).await;
            views.push((is_over, view(&activity, &sale, description, image_url)));
        }
        let mut last = std::mem::take(&mut *rendered);
        let render = tokio::task::spawn_blocking(move || {
            last.update(views);
            last
        });
        match render.await {
            Ok(next) => {
                self.pages.store(Arc::new(next.pages.clone()));
                *rendered = next;
            }
            Err(error) => tracing::error!(%error, "the pages could not be rendered"),
        }
    }

    /// Compresses what the start did not wait for, once.
    async fn compress_documents(&self) {
        let compress =
            || api::openapi::pages().into_iter().map(|(path, it)| (path, it.compressed()));
        let compressed = tokio::task::spawn_blocking(move || compress().collect::<Vec<_>>()).await;
        let mut rendered = self.rendered.lock().await;
        match compressed {
            Ok(pages) => rendered.pages.extend(pages),
            Err(error) => tracing::error!(%error, "the documents stay uncompressed"),
        }
        self.pages.store(Arc::new(rendered.pages.clone()));
    }

    /// A product's description and picture; with the store away a page does without.
    async fn describe(&self, product: ProductId) -> (String, Option<String>) {
        match self.store.product(product).await {
            Ok(product) => {
                let image = (!product.image_url.is_empty()).then_some(product.image_url);
                (product.description, image)
            }
            Err(_) => (String::new(), None),
        }
    }
}

/// The pages and what they were rendered from; compressing is slow, so what is the same is kept.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    pages: PageMap,
    home: Option<HomeView>,
    activities: HashMap<String, ActivityView>,
}

impl Rendered {
    fn update(&mut self, views: Vec<(bool, ActivityView)>) {
        if self.pages.is_empty() {
            self.pages.extend(seckill_pages::assets());
            self.pages.insert("/sign-in".to_owned(), seckill_pages::sign_in());
            self.pages.insert("/register".to_owned(), seckill_pages::register());
            self.pages.insert("/404".to_owned(), seckill_pages::not_found());
            self.pages.extend(api::openapi::pages());
        }
        let mut on_sale = Vec::new();
        for (is_over, view) in views {
            if self.activities.get(&view.id) != Some(&view) {
                let path = format!("/activities/{}", view.id);
                self.pages.insert(path, seckill_pages::activity(&view));
                self.activities.insert(view.id.clone(), view.clone());
            }
            if !is_over {
                on_sale.push(view);
            }
        }
        let home = HomeView { activities: on_sale };
        if self.home.as_ref() != Some(&home) {
            self.pages.insert("/".to_owned(), seckill_pages::home(&home));
            self.home = Some(home);
        }
    }
}

fn view(
    activity: &Activity,
    sale: &Sale,
    description: String,
    image_url: Option<String>,
) -> ActivityView {
    let terms = &sale.terms;
    let currency = String::from_utf8_lossy(&terms.currency).into_owned();
    let money = |amount| Money { amount, currency: currency.clone() };
    ActivityView {
        id: activity.id.to_string(),
        title: terms.title.clone(),
        product_title: terms.product_title.clone(),
        description,
        image_url,
        sale_price: money(terms.sale_price),
        list_price: (terms.list_price > terms.sale_price).then(|| money(terms.list_price)),
        stock_total: u64::from(terms.stocked),
        per_user_limit: terms.per_user_limit,
        pay_within_seconds: terms.pay_window_ms / 1_000,
        starts_at: terms.starts_at.0,
        ends_at: terms.ends_at.0,
    }
}
