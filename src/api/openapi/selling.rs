//! The calls with which operators keep products and run sales.

use http::StatusCode;
use utoipa::openapi::HttpMethod::{Get, Patch, Post};
use utoipa::openapi::Required;

use super::operation::{Operation, Who};
use super::shapes::{id, named, text};
use crate::api::problem::Slug;

/// Products and activities, as they are planned.
pub(super) fn plans() -> Vec<Operation> {
    let operations = vec![
        Operation::new(Post, "/api/v1/admin/products", "createProduct", "Makes a product")
            .once()
            .takes("NewProduct")
            .answers(StatusCode::CREATED, "Product")
            .carrying(&["Location", "ETag"]),
        Operation::new(
            Patch,
            "/api/v1/admin/products/{product_id}",
            "updateProduct",
            "Changes a product",
        )
        .versioned(Required::True)
        .takes("ProductChanges")
        .answers(StatusCode::OK, "Product")
        .carrying(&["ETag"]),
        Operation::new(Post, "/api/v1/admin/activities", "createActivity", "Plans a flash sale")
            .once()
            .takes("NewActivity")
            .answers(StatusCode::CREATED, "Activity")
            .carrying(&["Location", "ETag"]),
        Operation::new(
            Patch,
            "/api/v1/admin/activities/{activity_id}",
            "updateActivity",
            "Changes a flash sale",
        )
        .says("Only a draft may change stock, price and limit.")
        .versioned(Required::True)
        .takes("ActivityChanges")
        .answers(StatusCode::OK, "Activity")
        .carrying(&["ETag"])
        .refuses(&[Slug::Ended]),
    ];
    let of = |operation: Operation| operation.by(Who::Operator).writes().of("Plans");
    operations.into_iter().map(of).collect()
}

/// Steps of an activity.
pub(super) fn steps() -> Vec<Operation> {
    let changes_phase =
        |path, id, summary| Operation::new(Post, path, id, summary).may_take("Nothing");
    let moves_units =
        |path, id, summary| Operation::new(Post, path, id, summary).once().takes("Quantity");
    let operations = [
        changes_phase(
            "/api/v1/admin/activities/{activity_id}/publish",
            "publishActivity",
            "Makes a draft a sale: the units move from the product",
        )
        .versioned(Required::False)
        .refuses(&[Slug::InsufficientStock]),
        changes_phase(
            "/api/v1/admin/activities/{activity_id}/pause",
            "pauseActivity",
            "Stops selling for now",
        ),
        changes_phase(
            "/api/v1/admin/activities/{activity_id}/resume",
            "resumeActivity",
            "Sells again",
        ),
        changes_phase(
            "/api/v1/admin/activities/{activity_id}/end",
            "endActivity",
            "Stops selling for good",
        ),
        moves_units(
            "/api/v1/admin/activities/{activity_id}/restock",
            "restockActivity",
            "Moves units from the product into the sale",
        )
        .refuses(&[Slug::InsufficientStock, Slug::Conflict]),
        moves_units(
            "/api/v1/admin/activities/{activity_id}/withdraw",
            "withdrawUnits",
            "Moves unsold units back to the product",
        )
        .says(
            "Keys are remembered for a day at least, 256 of each sale: more are refused until then. Where \
             gateways share the sale, the units are gathered from all of them for three seconds at most, and \
             a key belongs to the gateway that met it first, until that is retired: then any other tells \
             whether the units were moved, or moves them.",
        )
        .refuses(&[
            Slug::InsufficientStock,
            Slug::SoldOut,
            Slug::LimitReached,
            Slug::Conflict,
        ]),
    ];
    let of = |operation: Operation| {
        let operation = operation.by(Who::Operator).writes().refuses(&[Slug::Ended]);
        operation.answers(StatusCode::OK, "Activity").carrying(&["ETag"]).of("Running a sale")
    };
    operations.into_iter().map(of).collect()
}

/// Orders as operators see them, and the audit.
pub(super) fn oversight() -> Vec<Operation> {
    let operations = vec![
        Operation::new(Get, "/api/v1/admin/orders", "findOrders", "Lists orders, newest first")
            .says("Name an activity, a user (by id or by name), or both.")
            .query("activity_id", id())
            .query("user", text())
            .query("status", named("OrderStatus"))
            .paged()
            .answers(StatusCode::OK, "OrderList")
            .refuses(&[Slug::NotFound]),
        Operation::new(
            Post,
            "/api/v1/admin/orders/{order_id}/cancel",
            "cancelAnyOrder",
            "Cancels an unpaid order",
        )
        .may_take("Nothing")
        .answers(StatusCode::OK, "Order")
        .writes()
        .refuses(&[Slug::OrderState]),
        Operation::new(
            Post,
            "/api/v1/admin/orders/{order_id}/refund",
            "refundOrder",
            "Gives the money of a paid order back, and its units where that is said",
        )
        .once()
        .takes("Refund")
        .answers(StatusCode::OK, "Order")
        .writes()
        .refuses(&[Slug::OrderState]),
        Operation::new(
            Get,
            "/api/v1/admin/audit/{activity_id}",
            "auditActivity",
            "Recomputes a sale from the journal and from the store, and compares",
        )
        .says(
            "A sale that was closed so long ago that the journal has forgotten it is not found. Of a sale \
             that several gateways share, the account is the sum of theirs.",
        )
        .answers(StatusCode::OK, "Audit"),
    ];
    let of = |operation: Operation| operation.by(Who::Operator).reads().of("Oversight");
    operations.into_iter().map(of).collect()
}
