//! Orders of a shopper: placed, listed, shown, cancelled.
//!
//! What is in memory is newer than the store and wins; the store knows what has left memory.

mod view;

use bytes::Bytes;
use http::StatusCode;
use hyper::body::Body;
use seckill_shards::clock::Timestamp;
use seckill_shards::command::{Command, OrderView, PlaceOrder, Refusal, Verdict};
use seckill_shards::ids::{ActivityId, OrderId, UserId};
use seckill_shards::limits::PER_USER_LIMIT_MAX;
use seckill_shards::record::{Digest, NO_KEY, Status};

pub(super) use self::view::{OrderFacts, place_of};

use self::view::{cursor, position};

use super::json::{self, Fields};
use super::problem::{Effect, Problem, Slug, denied};
use super::query::{Query, page};
use super::reply::Reply;
use super::{Answer, Call, Context, elsewhere, idempotency, text};
use crate::store::{self, OrderFilter, OrdersOf, Page};

/// `POST /api/v1/activities/{id}/orders`: the button.
pub(super) async fn place<B>(call: &Call<'_>, body: B, activity: ActivityId) -> Answer
where
    B: Body<Data = Bytes> + Unpin,
{
    let user = call.caller()?.user();
    let headers = &call.head.headers;
    let key = idempotency::key(headers, user)?.unwrap_or(NO_KEY);
    let body = json::read(headers, body).await?;
    if !body.is_empty() {
        json::expect_json(headers)?;
    }
    let quantity = quantity(&body)?;
    let body = body_digest(quantity);
    let order = PlaceOrder { activity, user, quantity, key, body, admitted: false };
    let verdict = call.context.shards.ask_here(Command::PlaceOrder(order)).await;
    if let Verdict::Placed(order) = &verdict {
        if !call.context.is_member() {
            // It is written down here, and whoever speaks for this gateway may never hear of it.
            return Err(Slug::OutcomeUnknown.into());
        }
        return placed(call, order).await;
    }
    if let Verdict::PlacedBefore(order) = verdict {
        // Boxed, like everything that few requests need: it would make the future of all larger.
        let order = Box::pin(find(call, user, order)).await?;
        if !call.context.is_member() && !is_known_to_others(call, &order) {
            return Err(Slug::OutcomeUnknown.into());
        }
        return Ok(accepted(call.context, &order));
    }
    if matches!(verdict, Verdict::Refused(Refusal::LimitReached { .. }))
        && !call.context.is_member()
    {
        // By orders that nobody else may ever hear of.
        return Err(Slug::Unavailable.into());
    }
    Err(denied(&verdict, call.context.shared.now()))
}

/// The quantity is all that a body says, so two bodies that mean the same are the same.
pub(super) fn body_digest(quantity: u32) -> Digest {
    let mut body = Digest::default();
    body[..4].copy_from_slice(&quantity.to_le_bytes());
    body
}

/// The units asked for; a body may be empty, and nearly every buyer asks for one.
fn quantity(body: &[u8]) -> Result<u32, Problem> {
    if matches!(body, b"" | b"{}" | b"{\"quantity\":1}") {
        return Ok(1);
    }
    let mut fields = Fields::of(body)?;
    let quantity = fields.count("quantity", 1..=PER_USER_LIMIT_MAX);
    fields.finish()?;
    Ok(quantity.unwrap_or(1))
}

async fn placed(call: &Call<'_>, order: &OrderView) -> Answer {
    if let Some(activity) = call.context.shared.engine.activity(order.activity) {
        let sale = activity.sale();
        return Ok(accepted(call.context, &OrderFacts::in_memory(order, &sale.terms)));
    }
    // Its activity left memory in the meantime, so the order has come to the store.
    Ok(accepted(call.context, &Box::pin(find(call, order.user, order.id)).await?))
}

/// 202: the body and the address are cut from one piece of memory.
pub(super) fn accepted(context: &Context, order: &OrderFacts<'_>) -> Reply {
    let mut body_length = 0;
    let bytes = context.desk.bytes(|out| {
        order.write(out);
        body_length = out.len();
        order.write_address(out);
    });
    let location = http::HeaderValue::from_maybe_shared(bytes.slice(body_length..));
    let mut reply = Reply::json(StatusCode::ACCEPTED, bytes.slice(..body_length));
    reply.location = Some(location.expect("a path of digits"));
    reply
}

/// A shopper's order, from memory or else from the store.
pub(super) async fn find(
    call: &Call<'_>,
    user: UserId,
    id: OrderId,
) -> Result<OrderFacts<'static>, Problem> {
    let known = in_memory(call, id).await?;
    if known.as_ref().is_some_and(|order| order.user != user) {
        return Err(Slug::NotFound.into());
    }
    match known {
        Some(order) if !may_be_refunded_since(call, &order) => return Ok(order),
        _ => {}
    }
    let stored = call.context.store(Effect::Read, |store| async move { store.order(id).await });
    match (stored.await, known) {
        (Ok(stored), Some(order)) if stored.standing().0 != Status::Refunded => Ok(order),
        (Ok(stored), _) if stored.order.user == user => Ok(OrderFacts::stored(stored)),
        (Ok(_), _) => Err(Slug::NotFound.into()),
        (Err(_), Some(order)) => Ok(order),
        (Err(problem), None) => Err(problem),
    }
}

/// Whether an order stands so whoever speaks for this gateway: of a shared sale none can be paid before the store
/// has it, and its end may be this journal's alone.
fn is_known_to_others(call: &Call<'_>, order: &OrderFacts<'_>) -> bool {
    let activity = call.context.activity_of(order.id, order.activity);
    let is_shared = activity.is_some_and(|activity| activity.sale().lease.is_some());
    is_shared && order.status == Status::AwaitingPayment
}

/// A paid order of a closed sale is refunded in the store alone, and may be in memory once more
/// after a restart.
fn may_be_refunded_since(call: &Call<'_>, order: &OrderFacts<'_>) -> bool {
    let activity = || call.context.activity_of(order.id, order.activity);
    order.status == Status::Paid && activity().is_none_or(|activity| activity.sale().closed)
}

/// An order that is in memory, with what its activity says about it.
async fn in_memory(call: &Call<'_>, id: OrderId) -> Result<Option<OrderFacts<'static>>, Problem> {
    let order = call.context.order(id).await?;
    Ok(order.and_then(|order| with_terms(call, &order)))
}

fn with_terms(call: &Call<'_>, order: &OrderView) -> Option<OrderFacts<'static>> {
    let activity = call.context.activity_of(order.id, order.activity)?;
    Some(OrderFacts::in_memory(order, &activity.sale().terms).into_owned())
}

/// `GET /api/v1/orders/{id}`.
pub(super) async fn show(call: &Call<'_>, id: OrderId) -> Answer {
    let user = call.caller()?.user();
    let mut order = find(call, user, id).await?;
    if let Some(port) = &call.context.shared.payment {
        order.lead_to_payments(|payment| port.provider.redirect_url(payment));
    }
    let body = call.context.desk.bytes(|out| order.write(out));
    Ok(Reply::json(StatusCode::OK, body).no_store())
}

/// The same of another gateway's order while that is away: as the store has it.
pub(super) async fn show_as_of(call: &Call<'_>, id: OrderId, as_of: Timestamp) -> Answer {
    let user = call.caller()?.user();
    let stored = call.context.store(Effect::Read, |store| async move { store.order(id).await });
    let stored = stored.await.map_err(elsewhere::unless_away)?;
    if stored.order.user != user {
        return Err(Slug::NotFound.into());
    }
    let order = OrderFacts::stored(stored).dated(Some(as_of));
    let body = call.context.desk.bytes(|out| order.write(out));
    Ok(Reply::json(StatusCode::OK, body).no_store())
}

/// `DELETE /api/v1/orders/{id}`.
pub(super) async fn cancel(call: &Call<'_>, id: OrderId) -> Answer {
    let user = call.caller()?.user();
    let command = Command::CancelOrder { order: id, user: Some(user) };
    let verdict = call.context.ask_owner(id, command).await;
    if verdict == Verdict::Refused(Refusal::NotFound) {
        // It may have left memory: cancelled before, or past cancelling.
        if find(call, user, id).await?.status != Status::Cancelled {
            return Err(Slug::OrderState.into());
        }
    } else if !matches!(verdict, Verdict::Moved(_)) {
        return Err(denied(&verdict, call.context.shared.now()));
    }
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// `GET /api/v1/orders?status=`: newest first.
pub(super) async fn list(call: &Call<'_>) -> Answer {
    let user = call.caller()?.user();
    let query = Query::of(call.head.uri.query())?;
    let (limit, status) = (query.limit()?, status(&query)?);
    let after = query.read("cursor", "must come from an answer", place_of)?;
    let mut orders = all_in_memory(call, user).await?;
    let filter = OrderFilter { of: OrdersOf::User(user), status };
    let rows = Page { after, limit: limit + 1 };
    let stored =
        call.context.store(Effect::Read, |store| async move { store.orders(filter, rows).await });
    // What a shopper holds open is in memory, so they see it with the store away as well; but what
    // is only in the store is never passed over in silence.
    let (stored, is_partial) = match stored.await {
        Ok(stored) => (stored, false),
        Err(problem) if orders.is_empty() || after.is_some() => return Err(problem),
        Err(_) => (Vec::new(), true),
    };
    // Beyond the last row that was read there may be others, which come before older orders.
    let is_full = stored.len() > limit as usize;
    let floor = stored.last().filter(|_| is_full).map(|last| position(&last.order));
    let known: std::collections::HashSet<_> = orders.iter().map(|order| order.id).collect();
    let stored = stored.into_iter().filter(|stored| !known.contains(&stored.order.id));
    orders.extend(stored.map(|stored| {
        let as_of = elsewhere::as_of(call, stored.order.id);
        OrderFacts::stored(stored).dated(as_of)
    }));
    orders.retain(|order| {
        status.is_none_or(|status| order.status == status)
            && after.is_none_or(|after| order.is_older_than(after))
            && floor.is_none_or(|floor| !order.is_older_than(floor))
    });
    orders.sort_unstable_by_key(|order| std::cmp::Reverse((order.placed_at, order.id)));
    let has_more = floor.is_some() || orders.len() > limit as usize;
    orders.truncate(limit as usize);
    let last = orders.last().map(OrderFacts::cursor);
    let next = last.or_else(|| floor.map(cursor)).filter(|_| has_more);
    let body = call.context.desk.bytes(|out| {
        page(out, &orders, next.as_deref(), |out, order| order.write(out));
        if is_partial {
            out.pop();
            text::raw(out, ",\"partial\":true}");
        }
    });
    Ok(Reply::json(StatusCode::OK, body).no_store())
}

/// The status that a query asks for.
pub(super) fn status(query: &Query<'_>) -> Result<Option<Status>, Problem> {
    query.read("status", "must be a status of orders", |word| {
        Status::ALL.iter().copied().find(|status| status.word() == word)
    })
}

/// Every order of a shopper that is in memory.
async fn all_in_memory(call: &Call<'_>, user: UserId) -> Result<Vec<OrderFacts<'static>>, Problem> {
    let orders = call.context.orders_of(user).await?;
    Ok(orders.iter().filter_map(|order| with_terms(call, order)).collect())
}

/// The cursor of a page that ends with a row of the store.
pub(super) fn position_cursor(order: &store::OrderRow) -> String {
    cursor(position(order))
}

/// An order of anybody's, as an operator sees it, with what the engine said of it.
pub(super) fn shown_to_operator(call: &Call<'_>, order: &OrderView) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    with_terms(call, order)?.write_with_user(&mut out);
    Some(out)
}

/// Writes orders of the store for an operator, who sees whose they are.
pub(super) fn write_for_operator(out: &mut Vec<u8>, order: store::StoredOrder) {
    OrderFacts::stored(order).write_with_user(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_one_unless_said() {
        for body in ["", "{}", "{ }", r#"{"quantity":1}"#, r#"{"quantity": 1}"#] {
            assert_eq!(quantity(body.as_bytes()).unwrap(), 1, "{body}");
        }
        assert_eq!(quantity(br#"{"quantity":10000}"#).unwrap(), 10_000);
        for body in [
            r#"{"quantity":0}"#,
            r#"{"quantity":10001}"#,
            r#"{"quantity":"1"}"#,
            r#"{"quantity":1.0}"#,
            r#"{"quantity":null}"#,
            r#"{"quantity":-1}"#,
            r#"{"amount":1}"#,
            "[]",
        ] {
            assert_eq!(quantity(body.as_bytes()).unwrap_err().status(), 422, "{body}");
        }
        assert_eq!(quantity(b"quantity=1").unwrap_err().status(), 400);
    }
}
