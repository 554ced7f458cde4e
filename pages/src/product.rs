//! The page of one product: what it is, what it costs outside a sale, and the sales that have it.
//! It must not know the present time: a sale says when it starts, its own page counts down.

use maud::{Markup, html};

use crate::{
    format::{Money, counted},
    layout::{Shell, document},
    parts::{Alt, description, picture, time},
    prerender::{self, Page},
};

/// What the page of one product shows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProductView {
    /// The product's id, in decimal.
    pub id: String,
    /// Its name.
    pub title: String,
    /// Plain text; a line break starts a paragraph.
    pub description: String,
    /// A picture of it: a path on this shop, or an https address.
    pub image_url: Option<String>,
    /// Its price outside a sale.
    pub price: Money,
    /// Whether it can be had outside a sale.
    pub stock: Stock,
    /// The sales that have it and come first, in the order in which they are shown: at most
    /// [`PRODUCT_SALES_MAX`].
    pub sales: Vec<SaleView>,
    /// How many more there are.
    pub later_sales: usize,
}

/// Sales on a product's page: as many as are read there.
pub const PRODUCT_SALES_MAX: usize = 10;

/// What a shopper is told of a product's stock. Above a handful the count is not shown: it changes
/// with every order, and each change would have the page compressed anew.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stock {
    /// No unit is there.
    None,
    /// So few are there that the count matters.
    Few(u8),
    /// Enough for everyone who asks now.
    Plenty,
}

/// The most units that are counted for a shopper.
const FEW: u8 = 9;

impl Stock {
    /// What is told of so many units.
    #[must_use]
    pub fn of(units: u64) -> Self {
        match u8::try_from(units) {
            Ok(0) => Self::None,
            Ok(units) if units <= FEW => Self::Few(units),
            _ => Self::Plenty,
        }
    }

    fn text(self) -> String {
        match self {
            Self::None => "Not in stock outside a sale.".to_owned(),
            Self::Few(units) => format!("Only {} in stock.", counted(units.into(), "unit")),
            Self::Plenty => "In stock.".to_owned(),
        }
    }
}

/// A sale as its product's page shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SaleView {
    /// The activity's id, in decimal.
    pub id: String,
    /// The name of the sale.
    pub title: String,
    /// The price in this sale.
    pub price: Money,
    /// The first instant at which it sells, in milliseconds since the Unix epoch.
    pub starts_at: u64,
    /// The first instant at which it sells no more, in milliseconds since the Unix epoch.
    pub ends_at: u64,
}

/// The page of one product.
#[must_use]
pub fn product(view: &ProductView) -> Page {
    prerender::html(markup(view))
}

fn markup(view: &ProductView) -> Markup {
    let shell = Shell {
        title: &view.title,
        description: &format!("{} for {}.", view.title, view.price.text()),
        sheet: Some("pages.css"),
        script: None,
    };
    let main = html! {
        article.sale #product data-product-id=(view.id) {
            (picture(view.image_url.as_deref(), &view.title, Alt::Product))
            div.offer {
                h1 { (view.title) }
                p.prices { span.sr { "Price " } strong { (view.price.text()) } }
                p.stock { (view.stock.text()) }
                (sales(view))
            }
            (description(&view.description))
        }
    };
    document(&shell, &main)
}

fn sales(view: &ProductView) -> Markup {
    html! {
        section.panel aria-labelledby="sales-title" {
            h2 #sales-title { "Flash sales" }
            @if view.sales.is_empty() {
                p.empty { "No sale of it is planned right now." }
            } @else {
                ul.lines {
                    @for sale in &view.sales { li { (sale_line(sale)) } }
                }
                @if view.later_sales > 0 {
                    p.hint {
                        "And " (counted(view.later_sales as u64, "more sale")) " of it, later than \
                        these. " a href="/" { "See all sales" }
                    }
                }
            }
        }
    }
}

fn sale_line(sale: &SaleView) -> Markup {
    html! {
        a href={ "/activities/" (sale.id) } { (sale.title) }
        strong { (sale.price.text()) }
        span.hint { "From " (time(sale.starts_at)) }
        span.hint { "Until " (time(sale.ends_at)) }
    }
}

#[cfg(test)]
mod tests {
    use super::Stock;

    #[test]
    fn only_a_handful_is_counted() {
        for (units, stock) in [
            (0, Stock::None),
            (1, Stock::Few(1)),
            (9, Stock::Few(9)),
            (10, Stock::Plenty),
            (256, Stock::Plenty),
            (u64::MAX, Stock::Plenty),
        ] {
            assert_eq!(Stock::of(units), stock);
        }
        assert_eq!(Stock::of(1).text(), "Only 1 unit in stock.");
    }
}
