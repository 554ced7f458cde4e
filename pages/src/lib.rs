//! The shop's pages: rendered when something changes, compressed ahead, served from memory.
//!
//! It knows what a shopper sees. It must not know HTTP, sockets, the store or how a sale decides:
//! the gateway fills the views, and sends what comes back under the headers named here.

mod account;
mod activity;
mod assets;
mod docs;
mod format;
mod home;
mod layout;
mod negotiation;
mod not_found;
mod not_yet;
mod order;
mod orders;
mod parts;
mod pay;
mod prerender;
mod product;
mod register;
mod reset;
mod sign_in;

pub use account::account;
pub use activity::{ActivityView, activity};
pub use assets::assets;
pub use docs::{
    AnswerView, CallGroup, CallView, DocsView, MemberView, ProblemView, ShapeView, docs,
};
pub use format::Money;
pub use home::{HOME_SALES_MAX, HomeView, home};
pub use negotiation::matches;
pub use not_found::not_found;
pub use not_yet::not_yet;
pub use order::order;
pub use orders::orders;
pub use pay::pay;
pub use prerender::{Encoded, Page, prerender};
pub use product::{PRODUCT_SALES_MAX, ProductView, SaleView, Stock, product};
pub use register::register;
pub use reset::reset;
pub use sign_in::sign_in;

/// The `Content-Security-Policy` that every page is written for: no inline script, no inline
/// style, nothing from elsewhere but pictures.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self'; img-src 'self' data: https:; connect-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'";
