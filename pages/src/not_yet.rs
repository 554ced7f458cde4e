//! The page in place of a sale, a product or a list while the shop does not know yet what it sells.
//! It must not know which address was asked for.

use maud::{Markup, html};

use crate::{
    layout::{Shell, document},
    prerender::{self, Page},
};

/// The page in place of one that may come; it is sent with status 503.
#[must_use]
pub fn not_yet() -> Page {
    prerender::html(markup())
}

fn markup() -> Markup {
    let shell = Shell::plain("One moment", "The shop is still finding out what it sells.");
    let main = html! {
        h1 { "One moment" }
        p { "The shop is still finding out what it sells. Load this page again in a moment." }
        p { "What you have ordered is kept: " a href="/orders" { "your orders" } "." }
    };
    document(&shell, &main)
}
