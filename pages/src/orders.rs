//! The page on which a shopper finds their orders, newest first.
//! It must not know any order: one shell serves everyone, and its script asks the API.

use maud::{Markup, html};

use crate::{
    layout::{Shell, Waiting, document},
    prerender::{self, Page},
};

/// The page of a shopper's orders.
#[must_use]
pub fn orders() -> Page {
    prerender::html(markup())
}

fn markup() -> Markup {
    let shell = Shell {
        title: "Your orders",
        description: "Your orders in this shop, newest first.",
        sheet: Some("pages.css"),
        script: Some("orders.js"),
    };
    let main = html! {
        h1 { "Your orders" }
        (WAITING.markup())
        div.told data-when="empty" hidden {
            p { "You have no orders yet." }
            a.quiet href="/" { "See all sales" }
        }
        div.listed data-when="list" hidden {
            ul.rows #order-rows aria-label="Your orders" {}
            p #more-status role="status" {}
            button #more.quiet type="button" hidden { "Show more" }
        }
        (row_template())
    };
    document(&shell, &main)
}

const WAITING: Waiting = Waiting {
    loading: "Loading your orders…",
    signed_out: "Sign in to see your orders.",
    failed: "Your orders could not be loaded. They are safe; only this list is missing.",
    no_script: "Your orders need JavaScript to be shown. They are safe without it: please allow it \
                for this shop to see and pay them. The sales and products can be read as they are.",
};

/// One order, copied and filled in by the script.
fn row_template() -> Markup {
    html! {
        template #row-template {
            li.row {
                h2 { a data-row="link" {} }
                p.badge data-row="status" {}
                dl {
                    div { dt { "Units" } dd data-row="units" {} }
                    div { dt { "Total" } dd data-row="total" {} }
                    div { dt { "Order" } dd data-row="number" {} }
                    div { dt { "Placed" } dd { time data-row="placed" {} } }
                    div data-row="pay-before-row" { dt { "Pay before" } dd data-row="pay-before" {} }
                }
            }
        }
    }
}
