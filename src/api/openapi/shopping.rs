//! The calls that a shopper buys with: what there is, the button, orders and payments.

use http::StatusCode;
use utoipa::openapi::HttpMethod::{Delete, Get, Post};

use super::operation::{Operation, Who};
use super::shapes::{named, text};
use crate::api::problem::Slug;

const ORDER: &str = "/api/v1/orders/{order_id}";
const SANDBOX: &str = "/api/v1/sandbox/payments/{payment_id}";

/// What there is to buy.
pub(super) fn catalogue() -> Vec<Operation> {
    let operations = vec![
        Operation::new(Get, "/api/v1/products", "listProducts", "Lists products, by id")
            .query("q", text().description(Some("A word of their titles")))
            .paged()
            .answers(StatusCode::OK, "ProductList")
            .reads(),
        Operation::new(Get, "/api/v1/products/{product_id}", "showProduct", "Shows a product")
            .answers(StatusCode::OK, "Product")
            .carrying(&["ETag"])
            .reads(),
        Operation::new(Get, "/api/v1/activities", "listActivities", "Lists flash sales, by id")
            .says("Operators see drafts as well. A sale that was closed long ago is not listed.")
            .query("phase", named("Phase"))
            .paged()
            .answers(StatusCode::OK, "ActivityList")
            .reads(),
        Operation::new(
            Get,
            "/api/v1/activities/{activity_id}",
            "showActivity",
            "Shows a flash sale",
        )
        .says("Operators see drafts as well, and sales that were closed long ago.")
        .answers(StatusCode::OK, "Activity")
        .carrying(&["ETag"])
        .reads(),
        Operation::new(
            Get,
            "/api/v1/activities/{activity_id}/state",
            "showActivityState",
            "Tells how a sale stands, from memory",
        )
        .says("May be kept for a second. A sale that was closed long ago is not found.")
        .answers(StatusCode::OK, "ActivityState")
        .refuses(&[Slug::Unavailable]),
        Operation::new(Get, "/api/v1/openapi.json", "showDocument", "Shows this document")
            .answers(StatusCode::OK, "Document")
            .carrying(&["ETag"])
            .answers_nothing(StatusCode::NOT_MODIFIED),
    ];
    operations.into_iter().map(|operation| operation.of("Catalogue")).collect()
}

/// Orders of a shopper.
pub(super) fn orders() -> Vec<Operation> {
    let operations = vec![
        Operation::new(
            Post,
            "/api/v1/activities/{activity_id}/orders",
            "buy",
            "Buys in a flash sale: all units or none",
        )
        .says(
            "What was answered 202 is on disk. Checked in this order: token, flow rule, this \
             buyer's place (same key, limit), phase, admission, stock. Of several gateways each \
             knows the keys of its own buyers alone, and a load balancer keeps a shopper at one: \
             a key that comes to another makes another order, within the limit.",
        )
        .by(Who::Shopper)
        .once()
        .may_take("Buy")
        .answers(StatusCode::ACCEPTED, "Order")
        .carrying(&["Location"])
        .writes()
        .refuses(&[Slug::NotStarted, Slug::Ended, Slug::Paused, Slug::SoldOut])
        .refuses(&[Slug::InsufficientStock, Slug::LimitReached, Slug::AdmissionRequired])
        .refuses(&[Slug::RateLimited]),
        Operation::new(Get, "/api/v1/orders", "listOrders", "Lists one's orders, newest first")
            .by(Who::Shopper)
            .query("status", named("OrderStatus"))
            .paged()
            .answers(StatusCode::OK, "OrderList")
            .reads(),
        Operation::new(Get, ORDER, "showOrder", "Shows one of one's orders")
            .says("With `as_of` its gateway is away: what has happened since then may be missing.")
            .by(Who::Shopper)
            .answers(StatusCode::OK, "Order")
            .reads(),
        Operation::new(Delete, ORDER, "cancelOrder", "Cancels an unpaid order")
            .says("Its units and its place come back.")
            .by(Who::Shopper)
            .answers_nothing(StatusCode::NO_CONTENT)
            .writes()
            .refuses(&[Slug::OrderState]),
    ];
    operations.into_iter().map(|operation| operation.of("Orders")).collect()
}

/// Payments: started by the shopper, settled by the provider.
pub(super) fn payments() -> Vec<Operation> {
    let operations = vec![
        Operation::new(
            Post,
            "/api/v1/orders/{order_id}/payments",
            "startPayment",
            "Starts a payment of an order",
        )
        .says("It is confirmed by the provider's event alone. Another key is another payment.")
        .by(Who::Shopper)
        .once()
        .takes("Pay")
        .answers(StatusCode::CREATED, "PaymentStarted")
        .carrying(&["Location"])
        .writes()
        .refuses(&[Slug::OrderState, Slug::LimitReached]),
        Operation::new(
            Delete,
            "/api/v1/orders/{order_id}/payments/{payment_id}",
            "giveUpPayment",
            "Gives up a payment that leads nowhere",
        )
        .says(
            "It fails, and another one can be started. Money that comes for it all the same pays \
             the order while that waits, or goes back.",
        )
        .by(Who::Shopper)
        .answers_nothing(StatusCode::NO_CONTENT)
        .writes()
        .refuses(&[Slug::OrderState]),
        Operation::new(
            Post,
            "/api/v1/webhooks/payments",
            "settlePayment",
            "Tells how a payment ended",
        )
        .says("Signed by the scheme of Standard Webhooks; replays and late ones are safe.")
        .by(Who::Provider)
        .header("webhook-id", text())
        .header("webhook-timestamp", text())
        .header("webhook-signature", text())
        .takes("PaymentEvent")
        .answers_nothing(StatusCode::NO_CONTENT)
        .writes()
        .refuses(&[Slug::Unauthenticated, Slug::NotFound]),
        Operation::new(Get, SANDBOX, "showSandboxPayment", "Shows a payment of the sandbox")
            .says("Only where the sandbox is the provider, and while its order is in memory.")
            .by(Who::Shopper)
            .answers(StatusCode::OK, "SandboxPayment")
            .reads(),
        Operation::new(Post, SANDBOX, "endSandboxPayment", "Has the sandbox tell the shop")
            .says("Only where the sandbox is the provider: it tells each word after its delay.")
            .by(Who::Shopper)
            .takes("SandboxChoice")
            .answers_nothing(StatusCode::ACCEPTED)
            .writes(),
    ];
    operations.into_iter().map(|operation| operation.of("Payments")).collect()
}
