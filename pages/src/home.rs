//! The first page: the sales that a shopper may visit.
//! It must not know the present time: a sale shows when it starts, its own page counts down.

use maud::{Markup, html};

use crate::{
    activity::{ActivityView, prices},
    layout::{Shell, document},
    parts::{Alt, picture, time},
    prerender::{self, Page},
};

/// What the first page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HomeView {
    /// The sales, in the order in which they are shown.
    pub activities: Vec<ActivityView>,
}

/// The first page.
#[must_use]
pub fn home(view: &HomeView) -> Page {
    prerender::html(markup(view))
}

fn markup(view: &HomeView) -> Markup {
    let shell = Shell {
        title: "Flash sales",
        description: "Every flash sale of this shop: what is sold, for how much, and from when.",
        sheet: None,
        script: Some("home.js"),
    };
    let main = html! {
        h1 { "Flash sales" }
        @if view.activities.is_empty() {
            p.empty { "No sale is planned right now. Come back soon." }
        } @else {
            ul.cards {
                @for activity in &view.activities { li { (card(activity)) } }
            }
        }
    };
    document(&shell, &main)
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
