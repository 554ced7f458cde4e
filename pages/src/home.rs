//! The first page, and those behind it: the sales that a shopper may visit, so many on each.
//! It must not know the present time: a sale shows when it starts, its own page counts down.

use maud::{Markup, html};

use crate::{
    activity::{ActivityView, prices},
    format::grouped,
    layout::{Shell, document},
    parts::{Alt, picture, time},
    prerender::{self, Page},
};

/// Sales on one page: whole rows of two, three and four, and light enough for a phone.
/// `assets/home.js` asks how each of them stands.
pub const HOME_SALES_MAX: usize = 24;

/// What the first page shows, or one behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HomeView {
    /// The sales, in the order in which they are shown.
    activities: Vec<ActivityView>,
    /// The first page is 1.
    number: usize,
    /// Sales on all pages.
    total: usize,
}

impl HomeView {
    /// The pages that show these sales, the first page first; it is there without any sale, too.
    #[must_use]
    pub fn all(sales: &[ActivityView]) -> Vec<Self> {
        let page = |number, activities: &[ActivityView]| Self {
            activities: activities.to_vec(),
            number,
            total: sales.len(),
        };
        if sales.is_empty() {
            return vec![page(1, sales)];
        }
        let parts = sales.chunks(HOME_SALES_MAX).enumerate();
        parts.map(|(index, part)| page(index + 1, part)).collect()
    }

    /// The address of the page of this number.
    #[must_use]
    pub fn path(number: usize) -> String {
        if number == 1 { "/".to_owned() } else { format!("/sales/{number}") }
    }

    /// Sales on the pages before this one.
    fn before(&self) -> usize {
        (self.number - 1) * HOME_SALES_MAX
    }

    /// Whether there is a page behind this one.
    fn goes_on(&self) -> bool {
        self.before() + self.activities.len() < self.total
    }
}

/// One page of sales.
#[must_use]
pub fn home(view: &HomeView) -> Page {
    prerender::html(markup(view))
}

fn markup(view: &HomeView) -> Markup {
    let title = match view.number {
        1 => "Flash sales".to_owned(),
        number => format!("Flash sales, page {number}"),
    };
    let shell = Shell {
        title: &title,
        description: "Every flash sale of this shop: what is sold, for how much, and from when.",
        sheet: None,
        script: Some("home.js"),
    };
    let main = html! {
        h1 { (title) }
        @if view.activities.is_empty() {
            p.empty { "No sale is planned right now. Come back soon." }
        } @else {
            ul.cards {
                @for activity in &view.activities { li { (card(activity)) } }
            }
            @if view.total > HOME_SALES_MAX { (ways_on(view)) }
        }
    };
    document(&shell, &main)
}

/// Where on the way through all sales this page is, and the ways to its neighbours.
fn ways_on(view: &HomeView) -> Markup {
    let (first, last) = (view.before() + 1, view.before() + view.activities.len());
    html! {
        nav.ways-on aria-label="More sales" {
            p.hint {
                "Sales " (grouped(first as u64)) " to " (grouped(last as u64)) " of "
                (grouped(view.total as u64)) ", the soonest first."
            }
            div.choices {
                @if view.number > 1 {
                    a.quiet rel="prev" href=(HomeView::path(view.number - 1)) { "Sooner sales" }
                }
                @if view.goes_on() {
                    a.quiet rel="next" href=(HomeView::path(view.number + 1)) { "Later sales" }
                }
            }
        }
    }
}

fn card(activity: &ActivityView) -> Markup {
    html! {
        article.card data-activity-id=(activity.id) {
            (picture(activity.image_url.as_deref(), &activity.product_title, Alt::Beside))
            h2 { a href={ "/activities/" (activity.id) } { (activity.title) } }
            p.product { (activity.product_title) }
            (prices(activity))
            p.when { span data-starts { "Starts" } " " (time(activity.starts_at)) }
            p.badge {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HOME_SALES_MAX, HomeView};
    use crate::{ActivityView, Money};

    fn sale(id: usize) -> ActivityView {
        ActivityView {
            id: id.to_string(),
            title: "Lamps".to_owned(),
            product_title: "A lamp".to_owned(),
            product_page: None,
            description: String::new(),
            image_url: None,
            sale_price: Money { amount: 100, currency: "USD".to_owned() },
            list_price: None,
            stock_total: 1,
            per_user_limit: 1,
            pay_within_seconds: 900,
            starts_at: 0,
            ends_at: 1,
        }
    }

    #[test]
    fn every_sale_is_on_one_page_in_its_order() {
        for count in [0, 1, HOME_SALES_MAX, HOME_SALES_MAX + 1, 3 * HOME_SALES_MAX, 500] {
            let sales: Vec<_> = (0..count).map(sale).collect();
            let pages = HomeView::all(&sales);
            assert_eq!(pages.len(), count.div_ceil(HOME_SALES_MAX).max(1));
            let shown = pages.iter().flat_map(|page| page.activities.clone());
            assert_eq!(shown.collect::<Vec<_>>(), sales);
            assert_eq!(pages.iter().filter(|page| !page.goes_on()).count(), 1, "the last one");
            assert!(!pages.last().unwrap().goes_on());
        }
    }

    #[test]
    fn the_first_page_is_the_shops() {
        assert_eq!([1, 2, 10].map(HomeView::path), ["/", "/sales/2", "/sales/10"]);
    }
}
