//! The page of one flash sale: what is sold, from when, and the way to buy it.
//! It must not know the phase of the sale or who is looking: its script asks for both.

use maud::{Markup, html};

use crate::{
    format::{Money, counted, duration_text, grouped},
    layout::{Shell, document},
    order::cancel_dialog,
    parts::{Alt, description, picture, still_loading, time},
    prerender::{self, Page},
};

/// What the page of one sale shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivityView {
    /// The activity's id, in decimal.
    pub id: String,
    /// The name of the sale.
    pub title: String,
    /// The name of what is sold.
    pub product_title: String,
    /// The product's id in decimal, where the product has a page.
    pub product_page: Option<String>,
    /// Plain text; a line break starts a paragraph.
    pub description: String,
    /// A picture of the product: a path on this shop, or an https address.
    pub image_url: Option<String>,
    /// The price in this sale.
    pub sale_price: Money,
    /// The price outside it.
    pub list_price: Option<Money>,
    /// All units of the sale.
    pub stock_total: u64,
    /// The most units that one shopper may hold.
    pub per_user_limit: u32,
    /// How long an order waits for its payment.
    pub pay_within_seconds: u64,
    /// The first instant at which the sale sells, in milliseconds since the Unix epoch.
    pub starts_at: u64,
    /// The first instant at which it sells no more, in milliseconds since the Unix epoch.
    pub ends_at: u64,
}

/// The page of one sale.
#[must_use]
pub fn activity(view: &ActivityView) -> Page {
    prerender::html(markup(view))
}

fn markup(view: &ActivityView) -> Markup {
    let shell = Shell {
        title: &view.title,
        description: &format!("{} for {}.", view.product_title, view.sale_price.text()),
        sheet: None,
        script: Some("activity.js"),
    };
    let main = html! {
        article.sale #sale data-activity-id=(view.id) data-stock-total=(view.stock_total)
            data-per-user-limit=(view.per_user_limit) {
            (picture(view.image_url.as_deref(), &view.product_title, Alt::Product))
            div.offer {
                h1 { (view.title) }
                (product(view))
                (prices(view))
                (buy_panel(view))
                section.orders #orders aria-label="Your orders in this sale" {}
                (terms(view))
            }
            (description(&view.description))
        }
        (order_template())
        (cancel_dialog())
    };
    document(&shell, &main)
}

/// The name of what is sold, as a link where it has a page of its own.
fn product(view: &ActivityView) -> Markup {
    html! {
        p.product {
            @if let Some(id) = &view.product_page {
                a href={ "/products/" (id) } { (view.product_title) }
            } @else {
                (view.product_title)
            }
        }
    }
}

/// The sale price, and the list price struck out where it is the higher one.
pub(crate) fn prices(view: &ActivityView) -> Markup {
    let list_price = view.list_price.as_ref().filter(|list_price| {
        list_price.currency == view.sale_price.currency
            && list_price.amount > view.sale_price.amount
    });
    html! {
        p.prices {
            span.sr { "Sale price " }
            strong { (view.sale_price.text()) }
            @if let Some(list_price) = list_price {
                " " span.sr { "instead of " }
                s { (list_price.text()) }
            }
        }
    }
}

/// What changes while a sale runs. Before the script has come it says when the sale starts; the
/// room of what the script fills in is kept, so that nothing moves.
fn buy_panel(view: &ActivityView) -> Markup {
    let stock_total = grouped(view.stock_total);
    html! {
        section.panel aria-label="Buy" {
            p.schedule {
                span { "Starts " (time(view.starts_at)) }
                " " span #ends { "Ends " (time(view.ends_at)) }
            }
            noscript {
                p.warning {
                    "Buying needs JavaScript. Please allow it for this shop and load the page again."
                }
            }
            p.countdown #countdown data-waiting {
                span #countdown-label { "Opens in" }
                span #countdown-clock.clock role="timer" { "--:--:--" }
            }
            p.left #left { (stock_total) " units in this sale" }
            progress #left-bar max=(view.stock_total) value=(view.stock_total)
                aria-labelledby="left" {}
            button #buy.primary type="button" disabled { "Buy" }
            a #sign-in-to-buy.primary data-keep-next href="/sign-in" hidden { "Sign in to buy" }
            div.status aria-live="polite" {
                p #stage { (still_loading()) }
                p #notice {}
            }
            button #retry.quiet type="button" hidden { "Try again" }
        }
    }
}

fn terms(view: &ActivityView) -> Markup {
    let limit = counted(u64::from(view.per_user_limit), "unit");
    html! {
        ul.terms {
            li { "At most " (limit) " for each shopper." }
            li { "An order is kept for " (duration_text(view.pay_within_seconds)) " until it is paid." }
            li { "Whatever is not paid in time goes back on sale." }
        }
    }
}

/// One order, copied and filled in by the script.
fn order_template() -> Markup {
    html! {
        template #order-template {
            article.order {
                h2 tabindex="-1" { "Order " span data-order="id" {} }
                p data-order="sentence" aria-live="polite" {}
                p.countdown data-order="countdown" hidden {
                    span { "Time left to pay" }
                    span.clock role="timer" data-order="clock" {}
                }
                dl {
                    div { dt { "Units" } dd data-order="units" {} }
                    div { dt { "Total" } dd data-order="total" {} }
                    div data-order="pay-before-row" { dt { "Pay before" } dd data-order="pay-before" {} }
                }
                a.primary data-order="link" { "See this order" }
                button.quiet type="button" data-order="cancel" hidden { "Cancel this order" }
            }
        }
    }
}
