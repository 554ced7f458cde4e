//! Which resource a path names and which methods it has: one closed list.
//!
//! It must not know what the resources do. Ids are decimal, without signs or leading zeros, so
//! each thing has one address; nothing in a path is percent-decoded, so no two paths are one.

use http::Method;
use seckill_shards::ids::{ActivityId, OrderId, PaymentId, ProductId, UserId};

/// What a path names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Route {
    /// `/api/v1/users`
    Users,
    /// `/api/v1/users/me`
    Me,
    /// `/api/v1/sessions`
    Sessions,
    /// `/api/v1/sessions/current`
    CurrentSession,
    /// `/api/v1/password-resets`
    PasswordResets,
    /// `/api/v1/products`
    Products,
    /// `/api/v1/products/{id}`
    Product(ProductId),
    /// `/api/v1/activities`
    Activities,
    /// `/api/v1/activities/{id}`
    Activity(ActivityId),
    /// `/api/v1/activities/{id}/state`
    ActivityState(ActivityId),
    /// `/api/v1/activities/{id}/orders`
    ActivityOrders(ActivityId),
    /// `/api/v1/orders`
    Orders,
    /// `/api/v1/orders/{id}`
    Order(OrderId),
    /// `/api/v1/orders/{id}/payments`
    Payments(OrderId),
    /// `/api/v1/orders/{id}/payments/{payment_id}`
    Payment(OrderId, PaymentId),
    /// `/api/v1/webhooks/payments`
    PaymentWebhook,
    /// `/api/v1/sandbox/payments/{id}`
    SandboxPayment(PaymentId),
    /// `/api/v1/openapi.json`: this list for programs, which is served as pages are.
    Document,
    /// Anything below `/api/v1/admin/`: operators' business.
    Admin(AdminRoute),
    /// Anything outside `/api/`: a page, or nothing.
    Page,
}

/// What a path below `/api/v1/admin/` names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AdminRoute {
    /// `/api/v1/admin/products`
    Products,
    /// `/api/v1/admin/products/{id}`
    Product(ProductId),
    /// `/api/v1/admin/activities`
    Activities,
    /// `/api/v1/admin/activities/{id}`
    Activity(ActivityId),
    /// `/api/v1/admin/activities/{id}/{step}`
    Step(ActivityId, Step),
    /// `/api/v1/admin/orders`
    Orders,
    /// `/api/v1/admin/orders/{id}/{step}`
    OrderStep(OrderId, OrderStep),
    /// `/api/v1/admin/users`
    Users,
    /// `/api/v1/admin/users/{id}/roles`
    Roles(UserId),
    /// `/api/v1/admin/users/{id}/unblock`
    Unblock(UserId),
    /// `/api/v1/admin/users/{id}/password-reset`
    PasswordReset(UserId),
    /// `/api/v1/admin/audit/{activity_id}`
    Audit(ActivityId),
    /// `/api/v1/admin/trail`
    Trail,
}

/// What an operator does to an activity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Makes a draft a sale.
    Publish,
    /// Stops selling for now.
    Pause,
    /// Sells again.
    Resume,
    /// Stops selling for good.
    End,
    /// Moves units from the product into the activity.
    Restock,
    /// Moves unsold units back.
    Withdraw,
}

/// What an operator does to an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OrderStep {
    /// Gives up an unpaid one.
    Cancel,
    /// Gives a paid one's money back.
    Refund,
}

impl Route {
    /// The route of a path, without its query; none where the API has nothing.
    #[must_use]
    pub(super) fn of(path: &str) -> Option<Self> {
        let Some(rest) = path.strip_prefix("/api/") else {
            return (path != "/api").then_some(Self::Page);
        };
        let mut segments = rest.strip_prefix("v1/")?.split('/');
        let mut next = || segments.next();
        match (next()?, next(), next(), next(), next()) {
            (resource, first, second, None, None) if resource != "admin" => {
                Self::of_shopper(resource, first, second)
            }
            ("orders", Some(order), Some("payments"), Some(payment), None) => {
                Some(Self::Payment(id(order)?, id(payment)?))
            }
            ("admin", Some(resource), first, second, None) => {
                AdminRoute::of(resource, first, second).map(Self::Admin)
            }
            _ => None,
        }
    }

    fn of_shopper(resource: &str, first: Option<&str>, second: Option<&str>) -> Option<Self> {
        Some(match (resource, first, second) {
            ("activities", Some(activity), Some("orders")) => Self::ActivityOrders(id(activity)?),
            ("activities", Some(activity), Some("state")) => Self::ActivityState(id(activity)?),
            ("activities", Some(activity), None) => Self::Activity(id(activity)?),
            ("activities", None, None) => Self::Activities,
            ("orders", Some(order), Some("payments")) => Self::Payments(id(order)?),
            ("webhooks", Some("payments"), None) => Self::PaymentWebhook,
            ("sandbox", Some("payments"), Some(payment)) => Self::SandboxPayment(id(payment)?),
            ("orders", Some(order), None) => Self::Order(id(order)?),
            ("orders", None, None) => Self::Orders,
            ("products", Some(product), None) => Self::Product(id(product)?),
            ("products", None, None) => Self::Products,
            ("users", Some("me"), None) => Self::Me,
            ("users", None, None) => Self::Users,
            ("sessions", Some("current"), None) => Self::CurrentSession,
            ("sessions", None, None) => Self::Sessions,
            ("password-resets", None, None) => Self::PasswordResets,
            ("openapi.json", None, None) => Self::Document,
            _ => return None,
        })
    }

    /// The methods it has, as an `Allow` header lists them.
    #[must_use]
    pub(super) fn allow(self) -> &'static str {
        match self {
            Self::Users
            | Self::PasswordResets
            | Self::ActivityOrders(_)
            | Self::Payments(_)
            | Self::PaymentWebhook => "POST",
            Self::SandboxPayment(_) => "GET, HEAD, POST",
            Self::Sessions => "POST, DELETE",
            Self::CurrentSession | Self::Payment(..) => "DELETE",
            Self::Me => "GET, HEAD, PATCH",
            Self::Order(_) => "GET, HEAD, DELETE",
            Self::Admin(route) => route.allow(),
            Self::Products
            | Self::Product(_)
            | Self::Activities
            | Self::Activity(_)
            | Self::ActivityState(_)
            | Self::Orders
            | Self::Document
            | Self::Page => "GET, HEAD",
        }
    }

    /// Whether it has the method.
    #[must_use]
    pub(super) fn allows(self, method: &Method) -> bool {
        self.allow().split(", ").any(|allowed| allowed == method.as_str())
    }
}

impl AdminRoute {
    fn of(resource: &str, first: Option<&str>, second: Option<&str>) -> Option<Self> {
        Some(match (resource, first, second) {
            ("products", Some(product), None) => Self::Product(id(product)?),
            ("products", None, None) => Self::Products,
            ("activities", Some(activity), Some(step)) => {
                Self::Step(id(activity)?, Step::of(step)?)
            }
            ("activities", Some(activity), None) => Self::Activity(id(activity)?),
            ("activities", None, None) => Self::Activities,
            ("orders", Some(order), Some("cancel")) => {
                Self::OrderStep(id(order)?, OrderStep::Cancel)
            }
            ("orders", Some(order), Some("refund")) => {
                Self::OrderStep(id(order)?, OrderStep::Refund)
            }
            ("orders", None, None) => Self::Orders,
            ("users", Some(user), Some("roles")) => Self::Roles(id(user)?),
            ("users", Some(user), Some("unblock")) => Self::Unblock(id(user)?),
            ("users", Some(user), Some("password-reset")) => Self::PasswordReset(id(user)?),
            ("users", None, None) => Self::Users,
            ("audit", Some(activity), None) => Self::Audit(id(activity)?),
            ("trail", None, None) => Self::Trail,
            _ => return None,
        })
    }

    fn allow(self) -> &'static str {
        match self {
            Self::Products
            | Self::Activities
            | Self::Step(..)
            | Self::OrderStep(..)
            | Self::Unblock(_)
            | Self::PasswordReset(_) => "POST",
            Self::Product(_) | Self::Activity(_) => "PATCH",
            Self::Roles(_) => "PUT",
            Self::Orders | Self::Users | Self::Audit(_) | Self::Trail => "GET, HEAD",
        }
    }
}

impl Step {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "publish" => Self::Publish,
            "pause" => Self::Pause,
            "resume" => Self::Resume,
            "end" => Self::End,
            "restock" => Self::Restock,
            "withdraw" => Self::Withdraw,
            _ => return None,
        })
    }
}

/// Reads an id: decimal digits without a leading zero, at most 2^64 - 1.
pub(super) fn id<T: From<u64>>(digits: &str) -> Option<T> {
    let canonical = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    canonical.then(|| digits.parse::<u64>().ok()).flatten().map(T::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_its_route() {
        let table = [
            ("/api/v1/users", Route::Users, "POST"),
            ("/api/v1/users/me", Route::Me, "GET, HEAD, PATCH"),
            ("/api/v1/sessions", Route::Sessions, "POST, DELETE"),
            ("/api/v1/sessions/current", Route::CurrentSession, "DELETE"),
            ("/api/v1/password-resets", Route::PasswordResets, "POST"),
            ("/api/v1/products", Route::Products, "GET, HEAD"),
            ("/api/v1/products/7", Route::Product(ProductId(7)), "GET, HEAD"),
            ("/api/v1/activities", Route::Activities, "GET, HEAD"),
            ("/api/v1/activities/7", Route::Activity(ActivityId(7)), "GET, HEAD"),
            ("/api/v1/activities/7/state", Route::ActivityState(ActivityId(7)), "GET, HEAD"),
            ("/api/v1/activities/7/orders", Route::ActivityOrders(ActivityId(7)), "POST"),
            ("/api/v1/orders", Route::Orders, "GET, HEAD"),
            ("/api/v1/orders/137438953472", Route::Order(OrderId(1 << 37)), "GET, HEAD, DELETE"),
            ("/api/v1/orders/7/payments", Route::Payments(OrderId(7)), "POST"),
            ("/api/v1/orders/7/payments/8", Route::Payment(OrderId(7), PaymentId(8)), "DELETE"),
            ("/api/v1/webhooks/payments", Route::PaymentWebhook, "POST"),
            ("/api/v1/sandbox/payments/7", Route::SandboxPayment(PaymentId(7)), "GET, HEAD, POST"),
            (
                "/api/v1/admin/orders/7/refund",
                Route::Admin(AdminRoute::OrderStep(OrderId(7), OrderStep::Refund)),
                "POST",
            ),
            ("/api/v1/openapi.json", Route::Document, "GET, HEAD"),
            ("/api/v1/admin/products", Route::Admin(AdminRoute::Products), "POST"),
            ("/api/v1/admin/products/1", Route::Admin(AdminRoute::Product(ProductId(1))), "PATCH"),
            ("/api/v1/admin/activities", Route::Admin(AdminRoute::Activities), "POST"),
            (
                "/api/v1/admin/activities/1",
                Route::Admin(AdminRoute::Activity(ActivityId(1))),
                "PATCH",
            ),
            (
                "/api/v1/admin/activities/1/withdraw",
                Route::Admin(AdminRoute::Step(ActivityId(1), Step::Withdraw)),
                "POST",
            ),
            ("/api/v1/admin/orders", Route::Admin(AdminRoute::Orders), "GET, HEAD"),
            ("/api/v1/admin/users", Route::Admin(AdminRoute::Users), "GET, HEAD"),
            ("/api/v1/admin/users/9/roles", Route::Admin(AdminRoute::Roles(UserId(9))), "PUT"),
            ("/api/v1/admin/users/9/unblock", Route::Admin(AdminRoute::Unblock(UserId(9))), "POST"),
            (
                "/api/v1/admin/users/9/password-reset",
                Route::Admin(AdminRoute::PasswordReset(UserId(9))),
                "POST",
            ),
            ("/api/v1/admin/audit/9", Route::Admin(AdminRoute::Audit(ActivityId(9))), "GET, HEAD"),
            ("/api/v1/admin/trail", Route::Admin(AdminRoute::Trail), "GET, HEAD"),
            ("/", Route::Page, "GET, HEAD"),
            ("/activities/7", Route::Page, "GET, HEAD"),
            ("/apiary", Route::Page, "GET, HEAD"),
        ];
        for (path, route, allow) in table {
            assert_eq!(Route::of(path), Some(route), "{path}");
            assert_eq!(route.allow(), allow, "{path}");
        }
    }

    #[test]
    fn every_step_has_its_word() {
        for (word, step) in [
            ("publish", Step::Publish),
            ("pause", Step::Pause),
            ("resume", Step::Resume),
            ("end", Step::End),
            ("restock", Step::Restock),
            ("withdraw", Step::Withdraw),
        ] {
            let path = format!("/api/v1/admin/activities/3/{word}");
            assert_eq!(Route::of(&path), Some(Route::Admin(AdminRoute::Step(ActivityId(3), step))));
        }
    }

    #[test]
    fn nothing_else_is_a_route() {
        for path in [
            "/api",
            "/api/",
            "/api/v1",
            "/api/v1/",
            "/api/v2/orders",
            "/api/v1/orders/",
            "/api/v1//orders",
            "/api/v1/orders/007",
            "/api/v1/orders/+7",
            "/api/v1/orders/-7",
            "/api/v1/orders/7x",
            "/api/v1/orders/%37",
            "/api/v1/orders/\u{0667}",
            "/api/v1/orders/18446744073709551616",
            "/api/v1/orders/7/payments/",
            "/api/v1/orders/7/payments/01",
            "/api/v1/orders/7/payments/1/x",
            "/api/v1/orders/7/refunds/1",
            "/api/v1/activities//state",
            "/api/v1/activities/7/state/",
            "/api/v1/activities/7/Orders",
            "/api/v1/admin",
            "/api/v1/admin/",
            "/api/v1/admin/activities/1/explode",
            "/api/v1/admin/activities/1/pause/now",
            "/api/v1/Users",
        ] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }

    #[test]
    fn head_works_where_get_does_and_nowhere_else() {
        for path in ["/", "/api/v1/orders/1", "/api/v1/users", "/api/v1/sessions/current"] {
            let route = Route::of(path).expect("a route");
            assert_eq!(route.allows(&Method::GET), route.allows(&Method::HEAD), "{path}");
        }
        assert!(!Route::Users.allows(&Method::PUT));
        let odd = Method::from_bytes(b"PO").expect("a token");
        assert!(!Route::Users.allows(&odd));
    }
}
