//! The sandbox provider's own calls: what its page shows and what a person chooses there. They exist
//! only where the gateway runs with it.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use seckill_shards::command::{OrderView, PaymentView};
use seckill_shards::ids::PaymentId;
use serde::Deserialize;

use super::json::expect_json;
use super::limits::SANDBOX_AMOUNT_MAX;
use super::problem::{Problem, Slug};
use super::reply::Reply;
use super::{Answer, Call, text};
use crate::payment::limits::{SANDBOX_COPIES_MAX, SANDBOX_DELAY_MS_MAX, SANDBOX_DELIVERIES_MAX};
use crate::payment::sandbox::{Delivery, Sandbox};

/// A payment with its order's currency.
struct Asked {
    payment: PaymentView,
    currency: [u8; 3],
}

/// `GET /api/v1/sandbox/payments/{id}`: what is to be paid, as a bank would show it.
pub(super) async fn show(call: &Call<'_>, id: PaymentId) -> Answer {
    sandbox(call)?;
    let Asked { payment, currency } = asked(call, id).await?;
    let body = call.context.desk.bytes(|out| {
        text::raw(out, "{\"payment_id\":");
        text::id(out, payment.id);
        text::raw(out, ",\"order_id\":");
        text::id(out, payment.order);
        text::raw(out, ",\"amount\":");
        text::money(out, payment.amount, currency);
        text::raw(out, ",\"status\":\"");
        text::raw(out, payment.status.word());
        text::raw(out, "\"}");
    });
    Ok(Reply::json(StatusCode::OK, body).no_store())
}

/// `POST /api/v1/sandbox/payments/{id}`: the shopper plays the bank. 202: the shop will be told.
pub(super) async fn choose(call: &Call<'_>, body: &[u8], id: PaymentId) -> Answer {
    let sandbox = Arc::clone(sandbox(call)?);
    expect_json(&call.head.headers)?;
    let asked = asked(call, id).await?;
    let words = deliveries(body, &asked)?;
    sandbox.tell(id, words).map_err(|_| Slug::Overloaded)?;
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

fn sandbox<'a>(call: &Call<'a>) -> Result<&'a Arc<Sandbox>, Problem> {
    let port = call.context.shared.payment.as_ref();
    port.and_then(|port| port.sandbox.as_ref()).ok_or_else(|| Slug::NotFound.into())
}

/// A payment of the caller's whose order is in memory: later there is nothing left to choose.
async fn asked(call: &Call<'_>, id: PaymentId) -> Result<Asked, Problem> {
    let user = call.caller()?.user();
    let order = call.context.order_of_payment(id).await?;
    let order: OrderView = order.filter(|order| order.user == user).ok_or(Slug::NotFound)?;
    let payment = order.payments.iter().find(|it| it.id == id).ok_or(Slug::NotFound)?;
    let activity = call.context.activity_of(order.id, order.activity).ok_or(Slug::NotFound)?;
    Ok(Asked { payment: *payment, currency: activity.sale().terms.currency })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    deliveries: Vec<Chosen>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Chosen {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default)]
    delay_ms: u32,
    amount: Option<i64>,
    #[serde(default = "one")]
    copies: u32,
}

#[derive(Deserialize, PartialEq, Eq)]
enum Kind {
    #[serde(rename = "payment.succeeded")]
    Succeeded,
    #[serde(rename = "payment.failed")]
    Failed,
}

fn one() -> u32 {
    1
}

fn deliveries(body: &[u8], asked: &Asked) -> Result<Vec<Delivery>, Problem> {
    let choice: Choice = serde_json::from_slice(body).map_err(|error| match error.is_data() {
        true => Problem::field("/deliveries", "must be a list of {type, delay_ms, amount, copies}"),
        false => Problem::not_json(),
    })?;
    if !(1..=SANDBOX_DELIVERIES_MAX).contains(&choice.deliveries.len()) {
        let detail = format!("must be 1 to {SANDBOX_DELIVERIES_MAX}");
        return Err(Problem::field("/deliveries", detail));
    }
    choice.deliveries.into_iter().enumerate().map(|(index, it)| it.check(index, asked)).collect()
}

impl Chosen {
    fn check(self, index: usize, asked: &Asked) -> Result<Delivery, Problem> {
        let out_of_range = |field: &str, most: i64| {
            Problem::field(
                format!("/deliveries/{index}/{field}"),
                format!("must be at most {most}"),
            )
        };
        if self.delay_ms > SANDBOX_DELAY_MS_MAX {
            return Err(out_of_range("delay_ms", SANDBOX_DELAY_MS_MAX.into()));
        }
        if !(1..=SANDBOX_COPIES_MAX).contains(&self.copies) {
            return Err(out_of_range("copies", SANDBOX_COPIES_MAX.into()));
        }
        let amount = self.amount.unwrap_or(asked.payment.amount);
        if !(0..=SANDBOX_AMOUNT_MAX).contains(&amount) {
            return Err(out_of_range("amount", SANDBOX_AMOUNT_MAX));
        }
        let money = (self.kind == Kind::Succeeded).then_some((amount, asked.currency));
        let delay = Duration::from_millis(self.delay_ms.into());
        Ok(Delivery { money, delay, copies: self.copies })
    }
}

#[cfg(test)]
mod tests {
    use seckill_shards::ids::OrderId;
    use seckill_shards::record::PaymentStatus;

    use super::*;

    fn read(body: &str) -> Result<Vec<Delivery>, String> {
        let status = PaymentStatus::Started;
        let payment = PaymentView { id: PaymentId(1), order: OrderId(2), amount: 500, status };
        deliveries(body.as_bytes(), &Asked { payment, currency: *b"USD" }).map_err(|problem| {
            let mut out = Vec::new();
            problem.write(&mut out);
            String::from_utf8(out).unwrap()
        })
    }

    #[test]
    fn a_choice_is_what_the_shop_will_be_told() {
        let told = read(
            r#"{"deliveries":[{"type":"payment.failed"},
                {"type":"payment.succeeded","delay_ms":60000,"amount":1,"copies":3}]}"#,
        );
        let failed = Delivery { money: None, delay: Duration::ZERO, copies: 1 };
        let delay = Duration::from_secs(60);
        let wrong = Delivery { money: Some((1, *b"USD")), delay, copies: 3 };
        assert_eq!(told, Ok(vec![failed, wrong]));
        let paid = read(r#"{"deliveries":[{"type":"payment.succeeded"}]}"#).unwrap();
        assert_eq!(paid[0].money, Some((500, *b"USD")));
    }

    #[test]
    fn a_choice_out_of_bounds_is_refused_by_name() {
        let many = format!("[{}]", [r#"{"type":"payment.failed"}"#; 9].join(","));
        for (deliveries, pointer) in [
            ("[]", "/deliveries"),
            (many.as_str(), "/deliveries"),
            (r#"[{"type":"payment.lost"}]"#, "/deliveries"),
            (r#"[{"type":"payment.failed","x":1}]"#, "/deliveries"),
            (r#"[{"type":"payment.failed","delay_ms":60001}]"#, "/deliveries/0/delay_ms"),
            (r#"[{"type":"payment.failed","copies":4}]"#, "/deliveries/0/copies"),
            (r#"[{"type":"payment.succeeded","amount":-1}]"#, "/deliveries/0/amount"),
        ] {
            let problem = read(&format!(r#"{{"deliveries":{deliveries}}}"#)).unwrap_err();
            assert!(problem.contains(&format!("\"{pointer}\"")), "{deliveries}: {problem}");
        }
        assert!(read("{").unwrap_err().contains("400"));
    }
}
