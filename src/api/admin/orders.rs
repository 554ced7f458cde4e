//! Orders as operators see them, and what operators do to one.

use http::StatusCode;
use seckill_shards::command::{Command, Refusal, Verdict};
use seckill_shards::ids::{ActivityId, OrderId, UserId};
use seckill_shards::record::{PaymentStatus, Status};

use super::OperatorCall;
use super::trail::Done;
use crate::api::json::Fields;
use crate::api::orders::{
    place_of, position_cursor, shown_to_operator, status, write_for_operator,
};
use crate::api::problem::{Effect, Problem, Slug, denied};
use crate::api::query::{Query, cut, page};
use crate::api::reply::Reply;
use crate::api::route::OrderStep;
use crate::api::{Answer, idempotency, route};
use crate::store::{Once, OrderFilter, OrdersOf, Outcome, Page, PaymentRow, StoredOrder};

/// `GET /api/v1/admin/orders?activity_id=&user=&status=`: newest first. A user is named by id or
/// by username.
pub(super) async fn list(call: OperatorCall<'_>) -> Answer {
    let query = Query::of(call.inner.head.uri.query())?;
    let limit = query.limit()?;
    let after = query.read("cursor", "must come from an answer", place_of)?;
    let filter = OrderFilter { of: of(call, &query).await?, status: status(&query)? };
    let rows = Page { after, limit: limit + 1 };
    let orders =
        call.context.store(Effect::Read, |store| async move { store.orders(filter, rows).await });
    let mut orders = orders.await?;
    let cursor = cut(&mut orders, limit, |last| position_cursor(&last.order));
    let body = call.context.desk.bytes(|out| {
        page(out, orders, cursor.as_deref(), write_for_operator);
    });
    Ok(Reply::json(StatusCode::OK, body).no_store())
}

/// `POST /api/v1/admin/orders/{id}/cancel` and `/refund` `{return_units}`: 200 with the order. What
/// was done before is not done again.
pub(super) async fn step(
    call: OperatorCall<'_>,
    order: OrderId,
    step: OrderStep,
) -> Result<Done, Problem> {
    match step {
        OrderStep::Cancel => cancel(call, order).await.map(Done::from),
        OrderStep::Refund => refund(call, order).await,
    }
}

async fn cancel(call: OperatorCall<'_>, order: OrderId) -> Answer {
    call.expect_no_fields()?;
    match asked(call, order, Command::CancelOrder { order, user: None }).await? {
        Asked::Moved(body) => Ok(answer(body)),
        Asked::Left(known) if known.order.status == Status::Cancelled => Ok(shown(*known)),
        Asked::Left(_) => Err(Slug::OrderState.into()),
    }
}

/// A refund is done once by itself, so its key only tells another request from the same one.
async fn refund(call: OperatorCall<'_>, order: OrderId) -> Result<Done, Problem> {
    let return_units = return_units(call)?;
    let once = idempotency::once(call.inner, call.caller.user(), call.body)?;
    let reply = match once {
        Some(once) => refund_by_key(call, order, return_units, once).await?,
        None => refund_once(call, order, return_units).await?,
    };
    Ok(Done::from(reply).told(format!("return_units {return_units}")).once(once))
}

async fn refund_by_key(
    call: OperatorCall<'_>,
    order: OrderId,
    return_units: bool,
    once: Once,
) -> Answer {
    let remembered = call
        .context
        .store(Effect::Write, |store| async move { store.remember(once, order.0).await });
    let is_first = matches!(remembered.await?, Outcome::New(_));
    let answer = refund_once(call, order, return_units).await;
    let is_refused = answer.as_ref().is_err_and(|problem| problem.slug != Slug::OutcomeUnknown);
    if is_first && is_refused {
        // Refusals are not remembered. Where forgetting fails, the key stays used; the operator takes
        // another one.
        let forgotten = call.context.store_regardless(Effect::Write, |store| async move {
            store.forget(once.user, once.key).await
        });
        drop(forgotten.await);
    }
    answer
}

async fn refund_once(call: OperatorCall<'_>, order: OrderId, return_units: bool) -> Answer {
    match asked(call, order, Command::RefundOrder { order, return_units }).await? {
        Asked::Moved(body) => Ok(answer(body)),
        Asked::Left(known) => match known.standing().0 {
            Status::Refunded => Ok(shown(*known)),
            Status::Paid => refund_closed(call, &known, return_units).await,
            _ => Err(Slug::OrderState.into()),
        },
    }
}

/// The sale of a paid order that has left memory is closed: the books of both stand, and its
/// payment alone goes back.
async fn refund_closed(call: OperatorCall<'_>, order: &StoredOrder, return_units: bool) -> Answer {
    if return_units {
        let detail = "The sale is closed: no unit comes back. Refund it without its units.";
        return Err(Problem::new(Slug::OrderState, detail));
    }
    let succeeded = |it: &&PaymentRow| it.status == PaymentStatus::Succeeded;
    let payment = order.payments.iter().find(succeeded).map(|it| it.id);
    let payment = payment.expect("an order that stands as paid has a payment that did");
    let now = call.context.shared.now();
    let owed = call.context.store(Effect::Write, |store| async move {
        store.owe_back(payment, &[PaymentStatus::Succeeded], now).await
    });
    Ok(shown(owed.await?))
}

/// What became of a command to an order's owner.
enum Asked {
    /// It moved as asked, or had moved so before: as it is shown.
    Moved(Vec<u8>),
    /// It has left memory; the store has its last state.
    Left(Box<StoredOrder>),
}

async fn asked(call: OperatorCall<'_>, order: OrderId, command: Command) -> Result<Asked, Problem> {
    match call.context.ask_owner(order, command).await {
        Verdict::Moved(order) => {
            let body = shown_to_operator(call.inner, &order).ok_or(Slug::OutcomeUnknown)?;
            Ok(Asked::Moved(body))
        }
        Verdict::Refused(Refusal::NotFound) => {
            let known =
                call.context.store(Effect::Read, |store| async move { store.order(order).await });
            Ok(Asked::Left(Box::new(known.await?)))
        }
        verdict => Err(denied(&verdict, call.context.shared.now())),
    }
}

fn shown(order: StoredOrder) -> Reply {
    let mut body = Vec::new();
    write_for_operator(&mut body, order);
    answer(body)
}

fn answer(body: Vec<u8>) -> Reply {
    Reply::json(StatusCode::OK, body.into()).no_store()
}

fn return_units(call: OperatorCall<'_>) -> Result<bool, Problem> {
    let mut fields = Fields::of(call.body)?;
    let return_units = fields.required("return_units", Fields::flag);
    fields.finish()?;
    Ok(return_units)
}

/// Whose orders, or of what: there is no list of everything.
async fn of(call: OperatorCall<'_>, query: &Query<'_>) -> Result<OrdersOf, Problem> {
    let activity: Option<ActivityId> = query.read("activity_id", "must be an id", route::id)?;
    let user = match query.value("user") {
        Some(name) => Some(user(call, name).await?),
        None => None,
    };
    match (user, activity) {
        (Some(user), Some(activity)) => Ok(OrdersOf::Both(user, activity)),
        (Some(user), None) => Ok(OrdersOf::User(user)),
        (None, Some(activity)) => Ok(OrdersOf::Activity(activity)),
        (None, None) => Err(Problem::field("/activity_id", "name an activity, a user, or both")),
    }
}

async fn user(call: OperatorCall<'_>, name: &str) -> Result<UserId, Problem> {
    if let Some(id) = route::id(name) {
        return Ok(id);
    }
    let name = name.to_owned();
    let user =
        call.context.store(Effect::Read, |store| async move { store.user_by_name(name).await });
    Ok(user.await?.id)
}
