//! The schemas of what is answered, and of every problem.

use seckill_shards::record::{PaymentStatus, Status};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};

use super::shapes::{
    Member, by_name, count, currency, flag, id, instant, list, may, must, named, nullable_text,
    number, object, page, text, word,
};
use crate::api::activities::PHASES;
use crate::api::admin::OUTCOMES;
use crate::api::users::ROLES;

/// Every one of them by name.
pub(super) fn schemas() -> Vec<(&'static str, RefOr<Schema>)> {
    let schemas: Vec<(&'static str, ObjectBuilder)> = vec![
        ("Problem", problem()),
        ("Money", money()),
        ("Role", word(ROLES.map(|(_, word)| word))),
        ("User", user()),
        ("ChangedUser", changed_user()),
        ("UserList", page("User")),
        ("Session", session()),
        ("Product", product()),
        ("ProductList", page("Product")),
        ("Phase", word(PHASES)),
        ("Activity", activity()),
        ("ActivityList", page("Activity")),
        ("ActivityState", activity_state()),
        ("OrderStatus", word(Status::ALL.iter().map(|status| status.word()))),
        ("Order", order()),
        ("OrderList", order_list()),
        ("PaymentStatus", word(PaymentStatus::ALL.iter().map(|status| status.word()))),
        ("PaymentStarted", payment_started()),
        ("SandboxPayment", sandbox_payment()),
        ("PasswordLink", password_link()),
        ("Audit", audit()),
        ("Act", act()),
        ("ActList", page("Act")),
        ("Document", object([])),
    ];
    schemas.into_iter().map(|(name, schema)| (name, schema.into())).collect()
}

/// RFC 9457, with the members that some of them add.
fn problem() -> ObjectBuilder {
    let field = object([
        must("pointer", text().description(Some("JSON pointer, or `/name` of a parameter"))),
        must("detail", text()),
    ]);
    object([
        must("type", text()),
        must("title", text()),
        must("status", number(400..=599)),
        may("detail", text()),
        may("errors", list(field)),
        may("starts_at", instant()),
        may("server_time", instant()),
        may("may_return", flag()),
        may("remaining", count()),
        may("orders", list(id())),
        may("pending", flag()),
        may("version", count()),
    ])
    .description(Some(
        "`type` is `urn:seckill:<slug>`, a name and no address; `/docs#problem-<slug>` says when \
         it comes and what to do about it.",
    ))
}

fn money() -> ObjectBuilder {
    let amount = number(i64::MIN..=i64::MAX).description(Some("In minor units"));
    object([must("amount", amount), must("currency", currency())])
}

fn user() -> ObjectBuilder {
    object([
        must("id", id()),
        must("username", text()),
        must("display_name", text()),
        must("roles", list(named("Role"))),
    ])
}

fn changed_user() -> ObjectBuilder {
    let token = text().description(Some("Where a password was changed with a bearer token"));
    user().property("token", token)
}

fn session() -> ObjectBuilder {
    object([must("token", text()), must("expires_at", instant()), must("user", named("User"))])
}

fn product() -> ObjectBuilder {
    object([
        must("id", id()),
        must("title", text()),
        must("description", text()),
        must("image_url", nullable_text()),
        must("price", named("Money")),
        must("stock", count()),
        must("version", count()),
    ])
}

fn activity() -> ObjectBuilder {
    object([
        must("id", id()),
        must("title", text()),
        must("product", object([must("id", id()), must("title", text())])),
        must("sale_price", named("Money")),
        must("list_price", named("Money")),
        must("stock_total", count()),
        must("per_user_limit", count()),
        must("pay_within_seconds", count()),
        must("version", count()),
        must("starts_at", instant()),
        must("ends_at", instant()),
        must("admission", flag()),
        must("phase", named("Phase")),
    ])
}

fn activity_state() -> ObjectBuilder {
    object([
        must("phase", named("Phase")),
        must("remaining", count()),
        must("may_return", flag()),
        must("starts_at", instant()),
        must("ends_at", instant()),
        must("server_time", instant()),
    ])
}

fn order() -> ObjectBuilder {
    let line = object([
        must("product_id", id()),
        must("title", text()),
        must("quantity", count()),
        must("unit_price", named("Money")),
    ]);
    let payment = object([
        must("payment_id", id()),
        must("status", named("PaymentStatus")),
        must("amount", named("Money")),
        may(
            "redirect_url",
            text().description(Some(
                "Where to pay: only when one order is read, while the payment is under way",
            )),
        ),
    ]);
    object([
        may("user_id", id().description(Some("For operators only"))),
        must("id", id()),
        must("kind", word(["flash", "cart"])),
        may("activity_id", id()),
        must("lines", list(line)),
        must("total", named("Money")),
        must("status", named("OrderStatus")),
        must("created_at", instant()),
        may("pay_before", instant()),
        may("paid_at", instant()),
        may("closed_at", instant()),
        may("reason", text()),
        must("payments", list(payment)),
        may(
            "as_of",
            instant().description(Some(
                "Another gateway has the order: what it did later may be missing here",
            )),
        ),
    ])
}

fn order_list() -> ObjectBuilder {
    let partial = flag().description(Some("The store is away: only what is in memory is listed"));
    page("Order").property("partial", partial)
}

fn payment_started() -> ObjectBuilder {
    object([
        must("payment_id", id()),
        must("status", named("PaymentStatus")),
        must("redirect_url", text()),
    ])
}

fn sandbox_payment() -> ObjectBuilder {
    object([
        must("payment_id", id()),
        must("order_id", id()),
        must("status", named("PaymentStatus")),
        must("amount", named("Money")),
    ])
}

fn password_link() -> ObjectBuilder {
    let path = text().description(Some("A path of this site, to be handed on to the user"));
    object([must("token", text()), must("expires_at", instant()), must("path", path)])
}

fn audit() -> ObjectBuilder {
    let gateways = "Each gateway's account, by its number, where several share their sales";
    let unanswered = "Gateways that have not answered, or do not know the sale any more, which they have had a \
                      part in: nothing is balanced without them";
    object(account().into_iter().chain([
        may("gateways", by_name(object(account())).description(Some(gateways))),
        may("unanswered", list(count()).description(Some(unanswered))),
    ]))
}

fn act() -> ObjectBuilder {
    let by = "A username, or `command line`";
    let what = "A past participle: `created`, `changed`, `published`, `paused`, …; others may come";
    let kind = "`product`, `activity`, `order`, `user` or `gateway`; others may come";
    let outcome = "`unknown`: whoever asked was not told that it was done, nor that it was not";
    object([
        must("id", id()),
        must("at", instant()),
        must("by", text().description(Some(by))),
        may("user_id", id()),
        may("gateway", count().description(Some("The gateway that carried it out"))),
        must("act", text().description(Some(what))),
        must("target", object([must("kind", text().description(Some(kind))), may("id", id())])),
        may("detail", text().description(Some("How much, or which, for people"))),
        must("outcome", word(OUTCOMES).description(Some(outcome))),
    ])
}

fn account() -> Vec<Member> {
    let sources = object([
        must("journal_orders", count()),
        must("store_orders", count()),
        may("redis_units", count()),
    ]);
    let not_compared = "What was not compared, and why; nothing is balanced with it";
    let reason = word(["redis_away", "redis_rebuilding", "redis_newer", "rows_set_aside"]);
    let stock_total = "Units ever stocked; by gateway, those lent to it, and while some are unanswered, to the others";
    vec![
        must("stock_total", count().description(Some(stock_total))),
        must("sold", count()),
        must("held", count()),
        must("reserved", count()),
        must("returned", count()),
        must("written_off", count()),
        must("remaining", count()),
        must("over_limit_users", count()),
        must("overdue_unpaid", count()),
        must("balanced", flag()),
        may("not_compared", list(reason).description(Some(not_compared))),
        must("at_position", count()),
        must("sources", sources),
        must("difference_count", count()),
        must("differences", list(text())),
    ]
}
