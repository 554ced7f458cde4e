//! The path of each route, with names in place of its ids.
//!
//! It holds the document against the routes: one without a template does not compile here, and one
//! that nothing is said about fails a test. It must not know what is said.

use crate::api::route::{AdminRoute, OrderStep, Route, Step};

macro_rules! templates {
    ($($route:pat => $template:literal),+ $(,)?) => {
        /// Every template.
        pub(super) const TEMPLATES: &[&str] = &[$($template),+];

        /// The template of a route; none for pages, which are not the API's.
        pub(super) fn template(route: Route) -> Option<&'static str> {
            match route {
                $($route => Some($template),)+
                Route::Page => None,
            }
        }
    };
}

templates! {
    Route::Users => "/api/v1/users",
    Route::Me => "/api/v1/users/me",
    Route::Sessions => "/api/v1/sessions",
    Route::CurrentSession => "/api/v1/sessions/current",
    Route::Products => "/api/v1/products",
    Route::Product(_) => "/api/v1/products/{product_id}",
    Route::Activities => "/api/v1/activities",
    Route::Activity(_) => "/api/v1/activities/{activity_id}",
    Route::ActivityState(_) => "/api/v1/activities/{activity_id}/state",
    Route::ActivityOrders(_) => "/api/v1/activities/{activity_id}/orders",
    Route::Orders => "/api/v1/orders",
    Route::Order(_) => "/api/v1/orders/{order_id}",
    Route::Payments(_) => "/api/v1/orders/{order_id}/payments",
    Route::Payment(..) => "/api/v1/orders/{order_id}/payments/{payment_id}",
    Route::PaymentWebhook => "/api/v1/webhooks/payments",
    Route::SandboxPayment(_) => "/api/v1/sandbox/payments/{payment_id}",
    Route::PasswordResets => "/api/v1/password-resets",
    Route::Document => "/api/v1/openapi.json",
    Route::Admin(AdminRoute::Products) => "/api/v1/admin/products",
    Route::Admin(AdminRoute::Product(_)) => "/api/v1/admin/products/{product_id}",
    Route::Admin(AdminRoute::Activities) => "/api/v1/admin/activities",
    Route::Admin(AdminRoute::Activity(_)) => "/api/v1/admin/activities/{activity_id}",
    Route::Admin(AdminRoute::Step(_, Step::Publish)) =>
        "/api/v1/admin/activities/{activity_id}/publish",
    Route::Admin(AdminRoute::Step(_, Step::Pause)) =>
        "/api/v1/admin/activities/{activity_id}/pause",
    Route::Admin(AdminRoute::Step(_, Step::Resume)) =>
        "/api/v1/admin/activities/{activity_id}/resume",
    Route::Admin(AdminRoute::Step(_, Step::End)) => "/api/v1/admin/activities/{activity_id}/end",
    Route::Admin(AdminRoute::Step(_, Step::Restock)) =>
        "/api/v1/admin/activities/{activity_id}/restock",
    Route::Admin(AdminRoute::Step(_, Step::Withdraw)) =>
        "/api/v1/admin/activities/{activity_id}/withdraw",
    Route::Admin(AdminRoute::Orders) => "/api/v1/admin/orders",
    Route::Admin(AdminRoute::OrderStep(_, OrderStep::Cancel)) =>
        "/api/v1/admin/orders/{order_id}/cancel",
    Route::Admin(AdminRoute::OrderStep(_, OrderStep::Refund)) =>
        "/api/v1/admin/orders/{order_id}/refund",
    Route::Admin(AdminRoute::Users) => "/api/v1/admin/users",
    Route::Admin(AdminRoute::Roles(_)) => "/api/v1/admin/users/{user_id}/roles",
    Route::Admin(AdminRoute::Unblock(_)) => "/api/v1/admin/users/{user_id}/unblock",
    Route::Admin(AdminRoute::PasswordReset(_)) =>
        "/api/v1/admin/users/{user_id}/password-reset",
    Route::Admin(AdminRoute::Audit(_)) => "/api/v1/admin/audit/{activity_id}",
    Route::Admin(AdminRoute::Trail) => "/api/v1/admin/trail",
}

/// A path that the template stands for.
pub(super) fn sample(template: &str) -> String {
    let segments = template.split('/').map(|part| if part.starts_with('{') { "1" } else { part });
    segments.collect::<Vec<_>>().join("/")
}
