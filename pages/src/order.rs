//! The page of one order: what became of it, the time left to pay, the ways to pay and to cancel.
//! It must not know any order: one shell serves every id, and its script asks the API.

use maud::{Markup, html};

use crate::{
    layout::{Shell, Waiting, document},
    prerender::{self, Page},
};

/// The page of an order, whichever it is.
#[must_use]
pub fn order() -> Page {
    prerender::html(markup())
}

fn markup() -> Markup {
    let shell = Shell {
        title: "Your order",
        description: "One of your orders in this shop: how it stands, and the way to pay it.",
        sheet: Some("pages.css"),
        script: Some("order_page.js"),
    };
    let main = html! {
        p.back { a href="/orders" { "All your orders" } }
        h1 #order-title tabindex="-1" { "Your order" }
        (WAITING.markup())
        div.told data-when="not-found" hidden {
            p { "There is no such order, or it is not yours." }
            a.quiet href="/orders" { "See your orders" }
        }
        article.receipt data-when="order" hidden {
            (ways())
            (facts())
            (payments())
            (sale())
        }
        (line_template())
        (payment_template())
        (cancel_dialog())
    };
    document(&shell, &main)
}

const WAITING: Waiting = Waiting {
    loading: "Loading your order…",
    signed_out: "Sign in to see this order.",
    failed: "The order could not be loaded. It is safe; only this page is missing.",
    no_script: "An order needs JavaScript to be shown, paid and cancelled. It is safe without it, and \
                its time to pay goes on: please allow JavaScript for this shop. The sales and \
                products can be read as they are.",
};

/// How the order stands, and what can be done about it.
fn ways() -> Markup {
    html! {
        section.panel aria-label="How it stands" {
            p.badge #status {}
            div.status aria-live="polite" {
                p #sentence {}
                p #reason {}
                p #under-way hidden {
                    "If you have not finished paying, you can go on. If that leads nowhere, start a \
                     new payment: what you may have paid already pays this order or comes back to \
                     you."
                }
            }
            p.countdown #countdown hidden {
                span { "Time left to pay" }
                span.clock #clock role="timer" {}
            }
            div.choices {
                button #pay.primary type="button" hidden { "Pay" }
                button #pay-anew.quiet type="button" hidden { "Start a new payment" }
                button #cancel.quiet type="button" hidden { "Cancel this order" }
            }
            p #notice role="status" {}
            p #trouble role="status" {}
        }
    }
}

fn facts() -> Markup {
    html! {
        section.panel #facts aria-labelledby="facts-title" {
            h2 #facts-title { "What you ordered" }
            ul.lines #lines {}
            dl {
                div { dt { "Units" } dd #units {} }
                div.sum { dt { "Total" } dd #total {} }
                div { dt { "Order" } dd #order-id {} }
                (instant("placed", "Placed"))
                (instant("pay_before", "Pay before"))
                (instant("paid_at", "Paid"))
                (instant("closed_at", "Closed"))
            }
            p.hint #as-of hidden {}
        }
    }
}

/// A row for an instant that an order may have.
fn instant(name: &str, label: &str) -> Markup {
    html! {
        div id={ (name) "-row" } hidden { dt { (label) } dd { time id=(name) {} } }
    }
}

fn payments() -> Markup {
    html! {
        section.panel #payments-part aria-labelledby="payments-title" hidden {
            h2 #payments-title { "Payments" }
            ul.lines #payments aria-live="polite" {}
        }
    }
}

fn sale() -> Markup {
    html! {
        p #sale-part hidden {
            span #sale-hint {} " "
            a #sale-link href="/" { "Go to its sale" }
        }
    }
}

/// One line of an order, copied and filled in by the script.
fn line_template() -> Markup {
    html! {
        template #line-template {
            li { a data-line="title" {} span data-line="count" {} }
        }
    }
}

/// One payment, copied and filled in by the script.
fn payment_template() -> Markup {
    html! {
        template #payment-template {
            li {
                span { span data-payment="amount" {} ": " span data-payment="status" {} }
                span.hint { "Payment " span data-payment="id" {} }
            }
        }
    }
}

/// A cancelled order cannot be had back in a sale that is sold out, so it is asked for twice.
pub(crate) fn cancel_dialog() -> Markup {
    html! {
        dialog #cancel-dialog aria-labelledby="cancel-title" {
            form method="dialog" {
                h2 #cancel-title { "Cancel this order?" }
                p { "What it holds goes back on sale at once, and someone else may take it." }
                div.choices {
                    button.quiet value="keep" autofocus { "Keep the order" }
                    button.danger value="cancel" { "Cancel the order" }
                }
            }
        }
    }
}
