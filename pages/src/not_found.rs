//! The page for an address at which there is nothing.
//! It must not know which address was asked for.

use maud::{Markup, html};

use crate::{
    layout::{Shell, document},
    prerender::{self, Page},
};

/// The page for an address at which there is nothing; it is sent with status 404.
#[must_use]
pub fn not_found() -> Page {
    prerender::html(markup())
}

fn markup() -> Markup {
    let shell = Shell::plain("Not found", "There is nothing at this address.");
    let main = html! {
        h1 { "There is nothing here" }
        p { "The address may be mistyped, or the sale may be gone." }
        p { a href="/" { "See all sales" } }
    };
    document(&shell, &main)
}
