//! Payment is a port: what the shop asks of whoever takes its shoppers' money.
//!
//! A provider is asked by [`Provider`] and answers by signed webhooks alone. It must not know
//! orders' states, the store or the shards: what its word comes to is decided where the order is.

pub mod limits;
pub mod sandbox;
pub mod webhook;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use seckill_shards::ids::{OrderId, PaymentId};

use self::sandbox::Sandbox;
use self::webhook::WebhookKeys;

/// What a gateway is paid by.
#[derive(Clone, Debug)]
pub struct PaymentPort {
    /// Who takes the money.
    pub provider: Arc<dyn Provider>,
    /// What its webhooks are signed with.
    pub keys: WebhookKeys,
    /// The same provider, where it is the sandbox, which has a page on this site.
    pub sandbox: Option<Arc<Sandbox>>,
}

/// Whoever takes the money. Whether it came is told by webhook; it is asked only about orders of a
/// gateway that is lost, whose last records may be lost with it.
#[async_trait]
pub trait Provider: Debug + Send + Sync {
    /// What a shopper calls it, in `method`.
    fn method(&self) -> &'static str;

    /// Where a shopper pays: an absolute URL, or a path of this site.
    fn redirect_url(&self, payment: PaymentId) -> String;

    /// Gives back whatever came for a payment, once: asked again it changes nothing.
    ///
    /// # Errors
    /// [`Declined`]: nothing may have happened; ask again later.
    async fn refund(&self, payment: PaymentId) -> Result<(), Declined>;

    /// The money that came for an order and has not gone back, by whichever payments: also by one that
    /// this shop does not know any more.
    ///
    /// # Errors
    /// [`Declined`]: it did not say; ask again later.
    async fn came_for(&self, order: OrderId) -> Result<Vec<Came>, Declined>;
}

/// Money that came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Came {
    /// By which payment.
    pub payment: PaymentId,
    /// Minor units of its currency.
    pub amount: i64,
    /// ISO 4217 code, three upper-case letters.
    pub currency: [u8; 3],
}

/// The provider did not do it, or did not say that it did. What caused it comes to the log as it is: no key may be
/// in it, nor in an address that it names.
#[derive(Debug, thiserror::Error)]
#[error("the payment provider did not do what it was asked")]
pub struct Declined(#[source] pub Box<dyn std::error::Error + Send + Sync>);
