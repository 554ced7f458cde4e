//! The pages: rendered and compressed when something that they show has changed, swapped whole.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use seckill_pages::{ActivityView, HomeView, Page, ProductView};
use seckill_shards::clock::Timestamp;
use seckill_shards::ids::{ActivityId, ProductId};
use seckill_shards::limits::CLOSED_KEPT;
use seckill_shards::record::Terms;
use seckill_shards::shard::{Activity, Phase, Sale};

use super::catalogue::Catalogue;
use super::limits::{LIST_PAGES_AT_ONCE, OVER_PAGES_AT_ONCE, PRODUCT_PAGES_AT_ONCE};
use super::views;
use super::{Control, has_sandbox};
use crate::api::{self, NOT_YET, ORDER_SHELL, PAY_SHELL, PageMap};
use crate::log::causes;
use crate::store::{self, PAGE_ROWS_MAX, Store, StoreError};

impl Control {
    /// Renders again whenever something has changed.
    pub(super) async fn keep_pages(self: Arc<Self>) {
        self.compress_documents().await;
        loop {
            self.stale.notified().await;
            self.render_pages().await;
        }
    }

    /// Renders the pages whose content has changed, and serves them. Of the products' pages, and
    /// of those of sales that are over, only so many at once; the rest is stale still, and follows.
    pub(super) async fn render_pages(&self) {
        let mut rendered = self.rendered.lock().await;
        // With the store away the pages go on with what is known, and wait for nothing more.
        let learned = rendered.catalogue.learn(&*self.store).await;
        if let Err(error) = &learned {
            tracing::warn!(error = %causes(error), "the pages miss products");
        }
        let store = learned.is_ok().then_some(&*self.store);
        let content = self.content(&rendered.catalogue, store).await;
        // Relaxed: whoever reads it has read the store since, or does a second later.
        self.pages_lack.store(!content.is_known, Ordering::Relaxed);
        let unrendered = Rendered::new(has_sandbox(self.payment.as_ref()));
        let mut last = std::mem::replace(&mut *rendered, unrendered);
        let render = tokio::task::spawn_blocking(move || {
            let is_whole = last.update(content);
            (last, is_whole)
        });
        match render.await {
            Ok((next, is_whole)) => {
                self.pages.store(Arc::new(next.pages.clone()));
                *rendered = next;
                if !is_whole {
                    self.stale.notify_one();
                }
            }
            Err(error) => tracing::error!(%error, "the pages could not be rendered"),
        }
    }

    /// What the pages are to show now, as the engine knows the sales.
    async fn content(&self, catalogue: &Catalogue, store: Option<&dyn Store>) -> Content {
        let now = self.engine.clock().now();
        // Before they are looked for.
        let knows_sales = self.engine.knows_sales();
        let mut known: Vec<(Arc<Activity>, Arc<Sale>)> = Vec::new();
        for activity in self.engine.activities().values() {
            known.push((Arc::clone(activity), Arc::clone(&activity.sale())));
        }
        let sales = known.iter().map(|(activity, sale)| {
            let is_over = matches!(sale.phase(now), Phase::Ended | Phase::Closed);
            Shown { id: activity.id, terms: &sale.terms, is_over }
        });
        let content = content(sales.collect(), catalogue, store).await;
        Content { knows_sales, is_known: knows_sales && content.is_known, ..content }
    }

    /// Compresses what the start did not wait for, once.
    async fn compress_documents(&self) {
        let compressed = tokio::task::spawn_blocking(documents).await;
        let mut rendered = self.rendered.lock().await;
        match compressed {
            Ok(pages) => rendered.pages.extend(pages),
            Err(error) => tracing::error!(%error, "the documents stay uncompressed"),
        }
        self.pages.store(Arc::new(rendered.pages.clone()));
    }
}

/// Every page, of sales and products as the store has them: what a gateway serves that has learned all
/// of it. It takes a while, and a CPU.
///
/// # Errors
/// What the store says.
pub async fn pages_of(
    store: &dyn Store,
    now: Timestamp,
    has_sandbox: bool,
) -> Result<PageMap, StoreError> {
    let mut rendered = Rendered::new(has_sandbox);
    rendered.catalogue.learn(store).await?;
    let rows = published(store).await?;
    let known: Vec<_> = rows.iter().map(|row| (row.publication(now), row)).collect();
    let sales = known.iter().map(|(copy, row)| {
        let is_over = row.is_over() || row.ends_at <= now;
        Shown { id: copy.activity, terms: &copy.terms, is_over }
    });
    let content = content(sales.collect(), &rendered.catalogue, Some(store)).await;
    while !rendered.update(content.clone()) {}
    rendered.pages.extend(documents());
    Ok(rendered.pages)
}

/// The sales that a gateway knows which has seen them all: of those that are closed, the last.
async fn published(store: &dyn Store) -> Result<Vec<store::Activity>, StoreError> {
    let mut rows: Vec<store::Activity> = Vec::new();
    loop {
        let changed = store.activities_changed(rows.last().map_or(0, |row| row.version)).await?;
        let is_last = changed.len() < PAGE_ROWS_MAX as usize;
        rows.extend(changed);
        if is_last {
            break;
        }
    }
    rows.sort_by_key(|row| row.id);
    let closed = rows.iter().filter(|row| row.closed).count();
    let mut forgotten = closed.saturating_sub(CLOSED_KEPT);
    rows.retain(|row| {
        let is_forgotten = row.closed && forgotten > 0;
        forgotten -= usize::from(is_forgotten);
        !is_forgotten
    });
    Ok(rows)
}

/// The documents that a start does not wait for, compressed.
fn documents() -> Vec<(String, Page)> {
    api::openapi::pages().into_iter().map(|(path, page)| (path, page.compressed())).collect()
}

/// A sale that has a page.
struct Shown<'a> {
    id: ActivityId,
    terms: &'a Terms,
    is_over: bool,
}

/// What the pages are to show; what the catalogue lacks is asked of a store that is there.
async fn content(
    mut sales: Vec<Shown<'_>>,
    catalogue: &Catalogue,
    store: Option<&dyn Store>,
) -> Content {
    sales.sort_by_key(|sale| (sale.terms.starts_at, sale.id));
    let mut content = Content {
        activities: Vec::new(),
        products: Vec::new(),
        knows_sales: true,
        is_known: store.is_some(),
    };
    let mut on_sale: HashMap<ProductId, Vec<_>> = HashMap::new();
    for Shown { id, terms, is_over } in sales {
        if !is_over {
            on_sale.entry(terms.product).or_default().push(views::sale(id, terms));
        }
        let view = match (catalogue.find(terms.product), store) {
            (Some(product), _) => views::activity(id, terms, Some(product), true),
            // It has no page; with the store away as well, the sale's does without its text.
            (None, Some(store)) => {
                let product = store.product(terms.product).await.ok();
                views::activity(id, terms, product.as_ref(), false)
            }
            (None, None) => views::activity(id, terms, None, false),
        };
        content.activities.push((is_over, view));
    }
    for product in catalogue.iter() {
        let sales = on_sale.remove(&product.id).unwrap_or_default();
        content.products.push(views::product(product, sales));
    }
    // What a sale leads to comes first.
    content.products.sort_by_key(|product| product.sales.is_empty());
    content
}

/// What the pages are to show.
#[derive(Clone, Debug)]
struct Content {
    /// The sales, each with whether it is over.
    activities: Vec<(bool, ActivityView)>,
    /// The products, those first whose pages matter most.
    products: Vec<ProductView>,
    /// Whether there are no other sales.
    knows_sales: bool,
    /// Whether there are no other products either.
    is_known: bool,
}

/// The pages and what they were rendered from; compressing is slow, so what is the same is kept.
#[derive(Debug)]
pub(super) struct Rendered {
    has_sandbox: bool,
    pages: PageMap,
    lists: Vec<HomeView>,
    activities: HashMap<String, ActivityView>,
    products: HashMap<String, ProductView>,
    catalogue: Catalogue,
}

impl Rendered {
    /// No pages yet; `has_sandbox` says whether the sandbox bank's is to be among them.
    pub(super) fn new(has_sandbox: bool) -> Self {
        Self {
            has_sandbox,
            pages: PageMap::default(),
            lists: Vec::new(),
            activities: HashMap::new(),
            products: HashMap::new(),
            catalogue: Catalogue::default(),
        }
    }

    /// Renders what is not as it is to be; false where some of it is still to come.
    fn update(&mut self, content: Content) -> bool {
        if self.pages.is_empty() {
            self.pages.extend(fixed_pages(self.has_sandbox));
        }
        let has_sales = self.update_sales(content.activities, content.knows_sales);
        let is_whole = self.update_products(content.products) && has_sales;
        if content.is_known && is_whole {
            self.pages.remove(NOT_YET);
        }
        is_whole
    }

    /// The pages of sales that are over come in several goes, the latest first: a start does not
    /// wait for the thousand that are kept.
    fn update_sales(&mut self, views: Vec<(bool, ActivityView)>, knows_sales: bool) -> bool {
        self.drop_forgotten(&views);
        let mut over = 0;
        for (is_over, view) in views.iter().rev() {
            if self.activities.get(&view.id) == Some(view) {
                continue;
            }
            over += usize::from(*is_over);
            if !is_over || over <= OVER_PAGES_AT_ONCE {
                let path = format!("/activities/{}", view.id);
                self.pages.insert(path, seckill_pages::activity(view));
                self.activities.insert(view.id.clone(), view.clone());
            }
        }
        let on_sale = views.into_iter().filter(|(is_over, _)| !is_over);
        let on_sale: Vec<_> = on_sale.map(|(_, view)| view).collect();
        // No list says that there is no sale unless that is known.
        let may_list = knows_sales || !on_sale.is_empty();
        let lists = if may_list { HomeView::all(&on_sale) } else { Vec::new() };
        let has_lists = self.update_lists(lists);
        has_lists && over <= OVER_PAGES_AT_ONCE
    }

    /// The pages that list the sales, the first page first.
    fn update_lists(&mut self, lists: Vec<HomeView>) -> bool {
        for number in lists.len() + 1..=self.lists.len() {
            self.pages.remove(&HomeView::path(number));
        }
        self.lists.truncate(lists.len());
        let mut rendered = 0;
        for (index, list) in lists.into_iter().enumerate() {
            if self.lists.get(index) == Some(&list) {
                continue;
            }
            rendered += 1;
            if rendered > LIST_PAGES_AT_ONCE {
                return false;
            }
            self.pages.insert(HomeView::path(index + 1), seckill_pages::home(&list));
            self.lists.splice(index..(index + 1).min(self.lists.len()), [list]);
        }
        true
    }

    /// Drops the pages of sales that the engine has forgotten.
    fn drop_forgotten(&mut self, views: &[(bool, ActivityView)]) {
        let known: HashSet<&str> = views.iter().map(|(_, view)| view.id.as_str()).collect();
        let forgotten = self.activities.extract_if(|id, _| !known.contains(id.as_str()));
        for (id, _) in forgotten {
            self.pages.remove(&format!("/activities/{id}"));
        }
    }

    fn update_products(&mut self, views: Vec<ProductView>) -> bool {
        let known = &self.products;
        let stale = views.into_iter().filter(|view| known.get(&view.id) != Some(view));
        let mut stale: Vec<ProductView> = stale.take(PRODUCT_PAGES_AT_ONCE + 1).collect();
        let is_whole = stale.len() <= PRODUCT_PAGES_AT_ONCE;
        stale.truncate(PRODUCT_PAGES_AT_ONCE);
        for view in stale {
            let path = format!("/products/{}", view.id);
            self.pages.insert(path, seckill_pages::product(&view));
            self.products.insert(view.id.clone(), view);
        }
        is_whole
    }
}

/// The pages that show nothing which could change, the shells among them.
fn fixed_pages(has_sandbox: bool) -> Vec<(String, Page)> {
    let mut pages = seckill_pages::assets();
    pages.extend(api::openapi::pages());
    let mut add = |path: &str, page: Page| pages.push((path.to_owned(), page));
    add("/sign-in", seckill_pages::sign_in());
    add("/register", seckill_pages::register());
    add("/account", seckill_pages::account());
    add("/reset", seckill_pages::reset());
    add("/orders", seckill_pages::orders());
    add(ORDER_SHELL, seckill_pages::order());
    add("/404", seckill_pages::not_found());
    add(NOT_YET, seckill_pages::not_yet());
    if has_sandbox {
        add(PAY_SHELL, seckill_pages::pay());
    }
    pages
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use seckill_pages::{HOME_SALES_MAX, Money, Stock};
    use tokio::task::LocalSet;

    use super::super::learn::Learned;
    use super::super::testing::{Desk, runtime};
    use super::*;

    fn product(id: usize) -> ProductView {
        ProductView {
            id: id.to_string(),
            title: "A lamp".to_owned(),
            description: String::new(),
            image_url: None,
            price: Money { amount: 100, currency: "USD".to_owned() },
            stock: Stock::Plenty,
            sales: Vec::new(),
            later_sales: 0,
        }
    }

    fn sale(id: u64) -> (bool, ActivityView) {
        let row = seckill_shards::testing::world::published(id, 1);
        (true, views::activity(row.activity, &row.terms, None, false))
    }

    #[test]
    fn a_sale_that_was_forgotten_has_no_page() {
        let mut rendered = Rendered::new(false);
        assert!(rendered.update_sales(vec![sale(1), sale(2)], true));
        assert!(rendered.update_sales(vec![sale(2), sale(3)], true));
        let has = |id: u64| rendered.pages.contains_key(&format!("/activities/{id}"));
        assert_eq!([1, 2, 3].map(has), [false, true, true]);
        assert_eq!(rendered.activities.len(), 2);
    }

    #[test]
    fn sales_that_are_over_come_behind_those_that_are_not() {
        let most = OVER_PAGES_AT_ONCE as u64;
        let (_, open) = sale(1);
        let over = (2..=most + 2).map(sale);
        let views: Vec<_> = std::iter::once((false, open)).chain(over).collect();
        let mut rendered = Rendered::new(false);
        assert!(!rendered.update_sales(views.clone(), true));
        let has = |rendered: &Rendered, id: u64| {
            rendered.pages.contains_key(&format!("/activities/{id}"))
        };
        assert_eq!([1, 2, 3].map(|id| has(&rendered, id)), [true, false, true]);
        assert!(rendered.update_sales(views, true));
        assert!(has(&rendered, 2));
    }

    #[test]
    fn hundreds_of_sales_are_listed_on_pages_that_come_and_go() {
        let count = (HOME_SALES_MAX * (LIST_PAGES_AT_ONCE + 1) + 1) as u64;
        let mut open: Vec<_> = (1..=count).map(|id| (false, sale(id).1)).collect();
        let mut rendered = Rendered::new(false);
        let lists = |rendered: &Rendered| {
            (1..).take_while(|n| rendered.pages.contains_key(&HomeView::path(*n))).count()
        };
        assert!(!rendered.update_sales(open.clone(), true));
        assert_eq!(lists(&rendered), LIST_PAGES_AT_ONCE);
        assert!(rendered.update_sales(open.clone(), true));
        assert_eq!(lists(&rendered), LIST_PAGES_AT_ONCE + 2);
        // The last page had one sale, which goes forward when an earlier one ends.
        open.remove(0);
        while !rendered.update_sales(open.clone(), true) {}
        assert_eq!(lists(&rendered), LIST_PAGES_AT_ONCE + 1);
        let first = String::from_utf8(rendered.pages["/"].identity.body.to_vec()).unwrap();
        assert_eq!(first.matches("data-activity-id").count(), HOME_SALES_MAX);
        assert!(first.contains("href=\"/sales/2\"") && !first.contains("\"/activities/1\""));
    }

    #[test]
    fn many_products_come_in_several_goes() {
        let products: Vec<_> = (1..=PRODUCT_PAGES_AT_ONCE + 1).map(product).collect();
        let mut rendered = Rendered::new(false);
        assert!(!rendered.update_products(products.clone()));
        assert_eq!(rendered.pages.len(), PRODUCT_PAGES_AT_ONCE);
        assert!(rendered.update_products(products.clone()));
        assert_eq!(rendered.pages.len(), products.len());
    }

    #[test]
    fn nothing_is_said_not_to_be_before_all_is_known() {
        let (over, open) = (sale(1), (false, sale(1).1));
        let mut rendered = Rendered::new(false);
        let mut has = |activities, products, (knows_sales, is_known)| {
            rendered.update(Content { activities, products, knows_sales, is_known });
            [NOT_YET, "/", "/activities/1"].map(|path| rendered.pages.contains_key(path))
        };
        let nothing = (false, false);
        assert_eq!(has(vec![], vec![], nothing), [true, false, false]);
        assert_eq!(has(vec![over.clone()], vec![], nothing), [true, false, true]);
        assert_eq!(has(vec![open], vec![], nothing), [true, true, true]);
        assert_eq!(has(vec![over.clone()], vec![], nothing), [true, false, true]);
        assert_eq!(has(vec![over.clone()], vec![], (true, false)), [true, true, true]);
        let products: Vec<_> = (1..=PRODUCT_PAGES_AT_ONCE + 1).map(product).collect();
        assert_eq!(has(vec![over.clone()], products.clone(), (true, true)), [true, true, true]);
        assert_eq!(has(vec![over], products, (true, true)), [false, true, true]);
    }

    /// A gateway whose store had no sale went on without pages.
    #[test]
    fn pages_that_lack_what_the_store_has_are_rendered_once_it_is_read() {
        LocalSet::new().block_on(&runtime(), async {
            let desk = Desk::new(1, None);
            let control = &desk.control;
            control.engine.know_sales(false);
            control.render_pages().await;
            let has = |path| control.pages.load().contains_key(path);
            assert_eq!([NOT_YET, "/"].map(has), [true, false]);
            control.learn_all(&mut Learned::default()).await.unwrap();
            control.stale.notified().now_or_never().expect("they are stale");
            control.render_pages().await;
            assert_eq!([NOT_YET, "/"].map(has), [false, true]);
            control.learn_all(&mut Learned::default()).await.unwrap();
            assert!(control.stale.notified().now_or_never().is_none());
        });
    }

    #[test]
    fn the_sandbox_bank_is_there_only_where_it_is_asked_for() {
        for has_sandbox in [false, true] {
            let pages: PageMap = fixed_pages(has_sandbox).into_iter().collect();
            assert_eq!(pages.contains_key(PAY_SHELL), has_sandbox);
        }
    }
}
