//! The sandbox bank's page: a provider of payments that moves no money, with a look of its own, so
//! that no one takes it for the shop.
//! It must not know any payment: one shell serves every id, and its script asks the API.

use maud::{DOCTYPE, Markup, html};

use crate::{
    layout::{Shell, connection, head_of},
    parts::still_loading,
    prerender::{self, Page},
};

/// The page on which a visitor decides what becomes of a sandbox payment, whichever it is.
#[must_use]
pub fn pay() -> Page {
    prerender::html(markup())
}

fn markup() -> Markup {
    let shell = Shell::plain("Sandbox bank", "A bank for trying out: it moves no real money.");
    html! {
        (DOCTYPE)
        html lang="en" {
            (head_of(&shell, ["pay.css"].into_iter(), ["pay.js"].into_iter()))
            body {
                header {
                    p.bank { "Sandbox bank" }
                    p.no-money { "No real money" }
                }
                (connection())
                main tabindex="-1" {
                    h1 { "Pay the shop" }
                    (waiting())
                    (payment())
                }
            }
        }
    }
}

fn waiting() -> Markup {
    html! {
        noscript {
            p.told {
                "This page needs JavaScript. Nothing is paid without it, and your order waits for \
                 you until its time to pay is over."
            }
        }
        div.waiting aria-live="polite" {
            div data-when="loading" {
                p { "Asking for the payment…" }
                p { (still_loading()) }
            }
            p.told data-when="signed-out" hidden {
                "You are signed out of the shop. " a href="/sign-in" { "Sign in" } " and pay from your order."
            }
            p.told data-when="not-found" hidden {
                "There is no such payment. " a href="/orders" { "Back to your orders" }
            }
            div.told data-when="failed" hidden {
                p { "The payment could not be shown. Nothing was paid." }
                button #retry type="button" { "Try again" }
            }
        }
    }
}

fn payment() -> Markup {
    html! {
        div data-when="open settled" hidden {
            dl {
                div { dt { "Amount" } dd.amount data-amount {} }
                div { dt { "Order" } dd #order-id {} }
                div { dt { "Payment" } dd #payment-id {} }
                div { dt { "Status" } dd #status {} }
            }
        }
        div data-when="open" hidden {
            div.choices {
                (choice("pay", &html! { "Pay " span data-amount {} }))
                (choice("decline", &html! { "Decline" }))
            }
            details {
                summary { "Unusual endings" }
                p { "What a shop must bear: news of a payment that is late, doubled, out of order or wrong." }
                div.choices {
                    (choice("late", &html! { "Pay after 5 seconds" }))
                    (choice("twice", &html! { "Pay, and tell the shop twice" }))
                    (choice("disorder", &html! { "Decline, then pay; the shop hears it out of order" }))
                    (choice("wrong", &html! { "Pay a wrong amount" }))
                }
            }
            p #notice role="status" {}
            p { a data-back href="/orders" { "Back to the shop without paying" } }
        }
        div data-when="settled" hidden {
            p { "There is nothing more to decide here." }
            p { a data-back href="/orders" { "Back to your order" } }
        }
    }
}

fn choice(name: &str, label: &Markup) -> Markup {
    html! { button type="button" data-choice=(name) disabled { (label) } }
}
