//! Parts that several pages show in one way: a product's picture and text, an instant.
//! It must not know the page around them.

use maud::{Markup, html};

use crate::format::{instant_attribute, instant_text};

/// What a picture says to those who cannot see it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Alt {
    /// The product's name.
    Product,
    /// Nothing: the name stands beside it.
    Beside,
}

/// A product's picture, or the first letter of its name where there is none, in a frame whose size
/// is known before the picture has come.
pub(crate) fn picture(url: Option<&str>, product: &str, alt: Alt) -> Markup {
    let alt = if alt == Alt::Product { product } else { "" };
    html! {
        div.picture {
            @if let Some(url) = url {
                img src=(url) alt=(alt) width="640" height="480" decoding="async";
            } @else {
                span aria-hidden="true" { (product.chars().next().unwrap_or('?')) }
            }
        }
    }
}

/// An instant in UTC; the shell's script shows it in the visitor's own time zone.
pub(crate) fn time(millis: u64) -> Markup {
    html! { time datetime=(instant_attribute(millis)) { (instant_text(millis)) } }
}

/// What is told where a page needs its script, which may be slow to come, or be refused. It is seen
/// when a moment has passed; the script takes it away, and a browser without scripts hides it.
pub(crate) fn still_loading() -> Markup {
    html! { span.slow { "The page is still loading. If that goes on, load it again." } }
}

/// Plain text; a line break starts a paragraph.
pub(crate) fn description(text: &str) -> Markup {
    html! {
        div.description {
            @for paragraph in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                p { (paragraph) }
            }
        }
    }
}
