//! The pages: rendered and compressed when something that they show has changed, swapped whole.

use std::collections::HashMap;
use std::sync::Arc;

use seckill_pages::{ActivityView, HomeView, Money};
use seckill_shards::ids::ProductId;
use seckill_shards::shard::{Activity, Phase, Sale};

use super::Control;
use crate::api::PageMap;

impl Control {
    /// Renders again whenever something has changed.
    pub(super) async fn keep_pages(self: Arc<Self>) {
        loop {
            self.stale.notified().await;
            self.render_pages().await;
        }
    }

    /// Renders all pages. A page whose content is the same comes out with the same tag.
    pub(super) async fn render_pages(&self) {
        let now = self.engine.clock().now();
        let mut sales: Vec<(Arc<Activity>, Arc<Sale>)> = Vec::new();
        for activity in self.engine.activities().values() {
            sales.push((Arc::clone(activity), Arc::clone(&activity.sale())));
        }
        sales.sort_by_key(|(activity, sale)| (sale.terms.starts_at, activity.id));
        let mut views = Vec::new();
        for (activity, sale) in sales {
            let shown = !matches!(sale.phase(now), Phase::Ended | Phase::Closed);
            let (description, image_url) = self.describe(sale.terms.product).await;
            views.push((shown, view(&activity, &sale, description, image_url)));
        }
        let rendered = tokio::task::spawn_blocking(move || render(views)).await;
        match rendered {
            Ok(pages) => self.pages.store(Arc::new(pages)),
            Err(error) => tracing::error!(%error, "the pages could not be rendered"),
        }
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

fn render(views: Vec<(bool, ActivityView)>) -> PageMap {
    let mut pages: PageMap = HashMap::new();
    for (path, page) in seckill_pages::assets() {
        pages.insert(path, page);
    }
    pages.insert("/sign-in".to_owned(), seckill_pages::sign_in());
    pages.insert("/register".to_owned(), seckill_pages::register());
    pages.insert("/404".to_owned(), seckill_pages::not_found());
    for (_, view) in &views {
        pages.insert(format!("/activities/{}", view.id), seckill_pages::activity(view));
    }
    let activities = views.into_iter().filter(|(shown, _)| *shown).map(|(_, view)| view);
    let home = HomeView { activities: activities.collect() };
    pages.insert("/".to_owned(), seckill_pages::home(&home));
    pages
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
