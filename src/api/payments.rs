//! Paying for an order, and the provider's word of how a payment ended.
//!
//! Only that word, signed, moves a payment; what it comes to is decided where the order is owned.
//! It must not know providers by name.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use seckill_shards::command::{Command, Paid, PaymentView, Refusal, StartPayment, Verdict};
use seckill_shards::ids::{OrderId, PaymentId, UserId};
use seckill_shards::record::{Digest, NO_KEY, PaymentStatus};
use serde::Deserialize;

use super::json::{self, Fields};
use super::problem::{Effect, Problem, Slug, denied};
use super::reply::Reply;
use super::{Answer, Call, elsewhere, idempotency, route, text};
use crate::payment::webhook::Signed;
use crate::payment::{PaymentPort, Provider};
use crate::store::{PaymentRow, StoredOrder};

/// `POST /api/v1/orders/{id}/payments`: where to pay. Nothing is paid by this.
pub(super) async fn start(call: &Call<'_>, body: &[u8], order: OrderId) -> Answer {
    let user = call.caller()?.user();
    let headers = &call.head.headers;
    let key = idempotency::key(headers, user)?.unwrap_or(NO_KEY);
    json::expect_json(headers)?;
    let mut fields = Fields::of(body)?;
    let method = fields.required_by("method", |fields| fields.text("method", 1..=32));
    fields.finish()?;
    let provider = Arc::clone(&port(call)?.provider);
    if method != provider.method() {
        let detail = format!("must be \"{}\"", provider.method());
        return Err(Problem::field("/method", detail));
    }
    let start = StartPayment { order, user, key, body: digest(&method) };
    match call.context.ask_owner(order, Command::StartPayment(start)).await {
        Verdict::PaymentStarted(payment) => {
            call.context.await_store(order).await?;
            Ok(started(call, &*provider, &payment))
        }
        Verdict::Refused(Refusal::NotFound) => {
            // Such an order is past paying, but what was started in time is answered as it was then.
            let left = in_store(call, user, order).await?;
            Ok(started(call, &*provider, &same_again(&left.payments, &start)?))
        }
        verdict => Err(denied(&verdict, call.context.shared.now())),
    }
}

/// `DELETE /api/v1/orders/{id}/payments/{payment_id}`: the shopper leaves a payment that leads nowhere,
/// for another one.
pub(super) async fn give_up(call: &Call<'_>, order: OrderId, payment: PaymentId) -> Answer {
    let user = call.caller()?.user();
    let command = Command::GiveUpPayment { payment, order, user };
    match call.context.ask_owner(order, command).await {
        Verdict::PaymentSettled(_) => {}
        Verdict::Refused(Refusal::NotFound) => {
            let left = in_store(call, user, order).await?;
            let known = left.payments.iter().find(|it| it.id == payment).ok_or(Slug::NotFound)?;
            if known.status != PaymentStatus::Failed {
                return Err(Slug::OrderState.into());
            }
        }
        verdict => return Err(denied(&verdict, call.context.shared.now())),
    }
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// An order of this user's that has left memory.
async fn in_store(call: &Call<'_>, user: UserId, id: OrderId) -> Result<StoredOrder, Problem> {
    let order = call.context.store(Effect::Read, |store| async move { store.order(id).await });
    let order = order.await?;
    let is_theirs = order.order.user == user;
    is_theirs.then_some(order).ok_or_else(|| Slug::NotFound.into())
}

/// The payment of the same key, where it came with the same body.
fn same_again(payments: &[PaymentRow], start: &StartPayment) -> Result<PaymentView, Slug> {
    let same_key = |it: &&PaymentRow| start.key != NO_KEY && it.key == start.key;
    let before = payments.iter().find(same_key).ok_or(Slug::OrderState)?;
    if before.body != start.body {
        return Err(Slug::IdempotencyMismatch);
    }
    let PaymentRow { id, order, amount, status, .. } = *before;
    Ok(PaymentView { id, order, amount, status })
}

/// The method is all that a body says, so two bodies that mean the same are the same.
fn digest(method: &str) -> Digest {
    *blake3::hash(method.as_bytes()).as_bytes().first_chunk().expect("a hash has 32 bytes")
}

fn started(call: &Call<'_>, provider: &dyn Provider, payment: &PaymentView) -> Reply {
    let body = call.context.desk.bytes(|out| {
        text::raw(out, "{\"payment_id\":");
        text::id(out, payment.id);
        text::raw(out, ",\"status\":\"");
        text::raw(out, payment.status.word());
        text::raw(out, "\",\"redirect_url\":");
        text::string(out, &provider.redirect_url(payment.id));
        out.push(b'}');
    });
    Reply::json(StatusCode::CREATED, body)
        .no_store()
        .at(format!("/api/v1/orders/{}", payment.order))
}

/// What the gateway has to be paid by.
pub(super) fn port<'a>(call: &Call<'a>) -> Result<&'a PaymentPort, Problem> {
    let none = || Problem::new(Slug::Unavailable, "Paying is switched off here.");
    call.context.shared.payment.as_ref().ok_or_else(none)
}

/// `POST /api/v1/webhooks/payments`: 204 once what it says is durable, now or before; in a fleet, once
/// the store has it as well.
pub(super) async fn webhook(call: &Call<'_>, body: &Bytes) -> Answer {
    let port = port(call)?;
    let now = call.context.shared.now();
    let signed = signed(&call.head.headers, body);
    if !signed.is_some_and(|signed| port.keys.verify(&signed, now)) {
        return Err(Problem::new(Slug::Unauthenticated, "The signature is not good."));
    }
    json::expect_json(&call.head.headers)?;
    let Some(word) = Word::of(body)? else { return Ok(Reply::empty(StatusCode::NO_CONTENT)) };
    let order = OrderId(word.payment.0);
    if let Some(owner) = call.owner_elsewhere(order) {
        return elsewhere::deliver(call, body, owner).await;
    }
    if !call.context.speaks_for(order) {
        // Its own gateway has to write it down.
        return Err(Slug::Unavailable.into());
    }
    let command = Command::SettlePayment { payment: word.payment, paid: word.paid };
    match call.context.ask_owner(order, command).await {
        Verdict::PaymentSettled(_) => {
            call.context.await_store(order).await?;
            Ok(Reply::empty(StatusCode::NO_CONTENT))
        }
        Verdict::Refused(Refusal::NotFound) => late(call, &word).await,
        // The provider tells again, whatever has become of it.
        Verdict::OutcomeUnknown => Err(Slug::Unavailable.into()),
        verdict => Err(denied(&verdict, now)),
    }
}

/// What money that comes late finds.
const UNPAID: &[PaymentStatus] = &[PaymentStatus::Started, PaymentStatus::Failed];

/// The word comes after its order has left memory: the store has the last state of both, and money
/// that nobody waited for any more is owed back there.
async fn late(call: &Call<'_>, word: &Word) -> Answer {
    let payment = word.payment;
    if call.context.order_of_payment(payment).await?.is_some() {
        // It is settled and about to leave; then the store is asked.
        return Err(Slug::Unavailable.into());
    }
    let (money_came, now) = (word.paid.is_some(), call.context.shared.now());
    let known = call.context.store(Effect::Write, |store| async move {
        match money_came {
            true => store.owe_back(payment, UNPAID, now).await.map(drop),
            false => store.payment(payment).await.map(drop),
        }
    });
    match known.await {
        Ok(()) => Ok(Reply::empty(StatusCode::NO_CONTENT)),
        Err(problem) if problem.slug == Slug::NotFound => Err(problem),
        Err(_) => Err(Slug::Unavailable.into()),
    }
}

fn signed<'a>(headers: &'a HeaderMap, body: &'a [u8]) -> Option<Signed<'a>> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    Some(Signed {
        id: text("webhook-id")?,
        timestamp: text("webhook-timestamp")?,
        signatures: text("webhook-signature")?,
        body,
    })
}

/// What a webhook says.
#[derive(Debug)]
struct Word {
    payment: PaymentId,
    paid: Option<Paid>,
}

/// Providers add members of their own as they please, so what is not known is passed over.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    data: serde_json::Value,
}

#[derive(Deserialize)]
struct Money {
    amount: i64,
    currency: String,
}

impl Word {
    /// What a body says; none where it is of an event that means nothing here.
    fn of(body: &[u8]) -> Result<Option<Self>, Problem> {
        let event: Event = serde_json::from_slice(body).map_err(|error| match error.is_data() {
            true => Problem::field("", "must have type and data"),
            false => Problem::not_json(),
        })?;
        let came = match event.kind.as_str() {
            "payment.succeeded" => true,
            "payment.failed" => false,
            _ => return Ok(None),
        };
        let payment = event.data["payment_id"].as_str().and_then(route::id);
        let invalid = || Problem::field("/data/payment_id", "must be an id: a decimal string");
        let payment = payment.ok_or_else(invalid)?;
        let paid = came.then(|| paid(&event.data["amount"])).transpose()?;
        Ok(Some(Self { payment, paid }))
    }
}

fn paid(amount: &serde_json::Value) -> Result<Paid, Problem> {
    let invalid = || Problem::field("/data/amount", "must be {\"amount\", \"currency\"}");
    let Money { amount, currency } = Money::deserialize(amount).map_err(|_| invalid())?;
    let currency = currency.as_bytes().try_into().map_err(|_| invalid())?;
    Ok(Paid { amount, currency })
}

#[cfg(test)]
mod tests {
    use seckill_shards::clock::Timestamp;

    use super::*;

    fn word(body: &str) -> Result<Option<(u64, Option<i64>)>, u16> {
        let word = Word::of(body.as_bytes()).map_err(|problem| problem.status().as_u16())?;
        Ok(word.map(|word| (word.payment.0, word.paid.map(|paid| paid.amount))))
    }

    #[test]
    fn a_key_is_answered_with_its_payment_and_another_body_is_refused() {
        let order = OrderId(1);
        let row = |id, key| PaymentRow {
            id: PaymentId(id),
            order,
            amount: 500,
            status: PaymentStatus::Failed,
            started_at: Timestamp(1),
            moved_at: Some(Timestamp(2)),
            key,
            body: digest("sandbox"),
        };
        let payments = [row(6, NO_KEY), row(7, [1; 16]), row(8, [2; 16])];
        let ask = |key, method| {
            let body = digest(method);
            let start = StartPayment { order, user: UserId(1), key, body };
            same_again(&payments, &start).map(|payment| payment.id.0)
        };
        assert_eq!((ask([1; 16], "sandbox"), ask([2; 16], "sandbox")), (Ok(7), Ok(8)));
        assert_eq!(ask([1; 16], "card"), Err(Slug::IdempotencyMismatch));
        assert_eq!(ask([3; 16], "sandbox"), Err(Slug::OrderState));
        assert_eq!(ask(NO_KEY, "sandbox"), Err(Slug::OrderState), "no two are the same without");
    }

    #[test]
    fn a_webhook_says_which_payment_and_what_came() {
        let money = r#"{"amount": 5, "currency": "USD", "fee": 1}"#;
        let came = format!(
            r#"{{"type":"payment.succeeded","timestamp":"x","data":{{"payment_id":"7","amount":{money}}},"v":2}}"#
        );
        assert_eq!(word(&came), Ok(Some((7, Some(5)))));
        let failed = r#"{"type":"payment.failed","data":{"payment_id":"7"}}"#;
        assert_eq!(word(failed), Ok(Some((7, None))));
        assert_eq!(word(r#"{"type":"payment.created","data":{}}"#), Ok(None));
    }

    #[test]
    fn one_that_is_not_whole_is_refused() {
        for (body, status) in [
            ("", 400),
            ("{", 400),
            ("[]", 422),
            (r#"{"type":"payment.failed"}"#, 422),
            (r#"{"type":"payment.failed","data":{}}"#, 422),
            (r#"{"type":"payment.failed","data":{"payment_id":7}}"#, 422),
            (r#"{"type":"payment.failed","data":{"payment_id":"07"}}"#, 422),
            (r#"{"type":"payment.succeeded","data":{"payment_id":"7"}}"#, 422),
            (r#"{"type":"payment.succeeded","data":{"payment_id":"7","amount":5}}"#, 422),
            (
                r#"{"type":"payment.succeeded","data":{"payment_id":"7","amount":{"amount":5,"currency":"DOLLARS"}}}"#,
                422,
            ),
        ] {
            assert_eq!(word(body), Err(status), "{body}");
        }
    }
}
