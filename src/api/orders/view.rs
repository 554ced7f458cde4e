//! How an order looks, wherever it was found.
//!
//! It must not know where that was, nor who asks.

use std::borrow::Cow;

use seckill_shards::clock::Timestamp;
use seckill_shards::command::OrderView;
use seckill_shards::ids::{ActivityId, OrderId, PaymentId, ProductId, UserId};
use seckill_shards::record::{PaymentStatus, Status, Terms};

use crate::api::text;
use crate::store::{OrderCursor, OrderRow, StoredOrder};

/// What is shown of an order.
#[derive(Clone, Debug)]
pub(in crate::api) struct OrderFacts<'a> {
    pub(in crate::api) id: OrderId,
    pub(in crate::api) user: UserId,
    pub(in crate::api) status: Status,
    pub(in crate::api) placed_at: Timestamp,
    pub(in crate::api) activity: ActivityId,
    quantity: u32,
    pay_before: Timestamp,
    moved_at: Option<Timestamp>,
    payments: Vec<PaymentFacts>,
    product: ProductId,
    product_title: Cow<'a, str>,
    unit_price: i64,
    currency: [u8; 3],
    /// What has happened since may be missing; none where nothing is.
    as_of: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct PaymentFacts {
    id: PaymentId,
    amount: i64,
    status: PaymentStatus,
    /// Where it is paid, while it can be.
    redirect_url: Option<String>,
}

impl<'a> OrderFacts<'a> {
    /// An order that is in memory, of an activity with these terms.
    pub(in crate::api) fn in_memory(order: &OrderView, terms: &'a Terms) -> Self {
        let payments = order.payments.iter();
        Self {
            id: order.id,
            user: order.user,
            status: order.status,
            placed_at: order.placed_at,
            activity: order.activity,
            quantity: order.quantity,
            pay_before: order.pay_before,
            moved_at: order.moved_at,
            payments: payments
                .map(|payment| PaymentFacts {
                    id: payment.id,
                    amount: payment.amount,
                    status: payment.status,
                    redirect_url: None,
                })
                .collect(),
            product: terms.product,
            product_title: Cow::Borrowed(&terms.product_title),
            unit_price: terms.sale_price,
            currency: terms.currency,
            as_of: None,
        }
    }

    /// The same without borrowing anything.
    pub(in crate::api) fn into_owned(self) -> OrderFacts<'static> {
        let product_title = Cow::Owned(self.product_title.into_owned());
        OrderFacts { product_title, ..self }
    }

    /// The same, of which what has happened since may be missing.
    pub(in crate::api) fn dated(self, as_of: Option<Timestamp>) -> Self {
        Self { as_of, ..self }
    }

    /// Says where a payment that is under way is paid, so that whoever goes on paying in another tab
    /// does not begin a second one.
    pub(in crate::api) fn lead_to_payments(&mut self, address: impl Fn(PaymentId) -> String) {
        if self.status != Status::AwaitingPayment {
            return;
        }
        for payment in self.payments.iter_mut().filter(|it| it.status == PaymentStatus::Started) {
            payment.redirect_url = Some(address(payment.id));
        }
    }

    /// Writes it as JSON.
    pub(in crate::api) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        self.write_members(out);
        out.push(b'}');
    }

    /// Writes it as JSON with its buyer.
    pub(in crate::api) fn write_with_user(&self, out: &mut Vec<u8>) {
        text::raw(out, "{\"user_id\":");
        text::id(out, self.user);
        out.push(b',');
        self.write_members(out);
        out.push(b'}');
    }

    /// Writes its path.
    pub(in crate::api) fn write_address(&self, out: &mut Vec<u8>) {
        text::raw(out, "/api/v1/orders/");
        text::number(out, self.id.0);
    }

    fn write_members(&self, out: &mut Vec<u8>) {
        text::raw(out, "\"id\":");
        text::id(out, self.id);
        text::raw(out, ",\"kind\":\"flash\",\"activity_id\":");
        text::id(out, self.activity);
        text::raw(out, ",\"lines\":[{\"product_id\":");
        text::id(out, self.product);
        text::raw(out, ",\"title\":");
        text::string(out, &self.product_title);
        text::raw(out, ",\"quantity\":");
        text::number(out, self.quantity.into());
        text::raw(out, ",\"unit_price\":");
        text::money(out, self.unit_price, self.currency);
        text::raw(out, "}],\"total\":");
        text::money(out, self.unit_price.saturating_mul(self.quantity.into()), self.currency);
        text::raw(out, ",\"status\":\"");
        text::raw(out, self.status.word());
        text::raw(out, "\",\"created_at\":");
        text::instant(out, self.placed_at);
        self.write_times(out);
        text::raw(out, ",\"payments\":");
        text::list(out, &self.payments, |out, payment| payment.write(out, self.currency));
        if let Some(as_of) = self.as_of {
            text::raw(out, ",\"as_of\":");
            text::instant(out, as_of);
        }
    }

    fn write_times(&self, out: &mut Vec<u8>) {
        let (name, at) = match (self.status, self.moved_at) {
            (Status::AwaitingPayment, _) => (",\"pay_before\":", self.pay_before),
            (Status::Paid, Some(at)) => (",\"paid_at\":", at),
            (
                Status::Expired | Status::Cancelled | Status::Rejected | Status::Refunded,
                Some(at),
            ) => (",\"closed_at\":", at),
            _ => return,
        };
        text::raw(out, name);
        text::instant(out, at);
    }

    /// Whether a list that is newest first shows it after this place.
    pub(in crate::api) fn is_older_than(&self, place: OrderCursor) -> bool {
        (self.placed_at, self.id) < (place.placed_at, place.id)
    }

    /// The cursor of a page that ends with it.
    pub(in crate::api) fn cursor(&self) -> String {
        cursor(OrderCursor { placed_at: self.placed_at, id: self.id })
    }
}

impl OrderFacts<'static> {
    /// An order of the store.
    pub(in crate::api) fn stored(stored: StoredOrder) -> Self {
        let (status, moved_at) = stored.standing();
        let order = stored.order;
        let payments = stored.payments.iter();
        Self {
            id: order.id,
            user: order.user,
            status,
            placed_at: order.placed_at,
            activity: order.activity,
            quantity: order.quantity,
            pay_before: order.pay_before,
            moved_at,
            payments: payments
                .map(|payment| PaymentFacts {
                    id: payment.id,
                    amount: payment.amount,
                    status: payment.status,
                    redirect_url: None,
                })
                .collect(),
            product: stored.product,
            product_title: Cow::Owned(stored.product_title),
            unit_price: stored.unit_price,
            currency: stored.currency,
            as_of: None,
        }
    }
}

impl PaymentFacts {
    fn write(&self, out: &mut Vec<u8>, currency: [u8; 3]) {
        text::raw(out, "{\"payment_id\":");
        text::id(out, self.id);
        text::raw(out, ",\"status\":\"");
        text::raw(out, self.status.word());
        text::raw(out, "\",\"amount\":");
        text::money(out, self.amount, currency);
        if let Some(address) = &self.redirect_url {
            text::raw(out, ",\"redirect_url\":");
            text::string(out, address);
        }
        out.push(b'}');
    }
}

/// Where an order stands in a list that is newest first.
pub(in crate::api) fn position(order: &OrderRow) -> OrderCursor {
    OrderCursor { placed_at: order.placed_at, id: order.id }
}

/// The cursor of a place in a list.
pub(in crate::api) fn cursor(place: OrderCursor) -> String {
    format!("{}-{}", place.placed_at.0, place.id)
}

/// The place that a cursor names.
pub(in crate::api) fn place_of(cursor: &str) -> Option<OrderCursor> {
    let (placed_at, id) = cursor.split_once('-')?;
    let (placed_at, id) = (crate::api::route::id(placed_at)?, crate::api::route::id(id)?);
    Some(OrderCursor { placed_at, id })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn terms() -> Terms {
        Terms {
            title: "A sale".to_owned(),
            product: ProductId(3),
            product_title: "A \"thing\"".to_owned(),
            sale_price: 19_900,
            list_price: 29_900,
            currency: *b"USD",
            stocked: 10,
            per_user_limit: 2,
            pay_window_ms: 60_000,
            starts_at: Timestamp(0),
            ends_at: Timestamp(1),
            admission: false,
        }
    }

    fn order(status: Status, moved_at: Option<u64>) -> OrderView {
        OrderView {
            id: OrderId((1 << 63) - 1),
            activity: ActivityId(2),
            user: UserId(9),
            quantity: 2,
            status,
            placed_at: Timestamp(1_795_737_600_000),
            pay_before: Timestamp(1_795_737_660_000),
            moved_at: moved_at.map(Timestamp),
            payments: Vec::new(),
        }
    }

    fn json(order: &OrderView) -> Value {
        let mut out = Vec::new();
        OrderFacts::in_memory(order, &terms()).write(&mut out);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn an_open_order_is_shown_as_the_contract_says() {
        let expected = json!({
            "id": "9223372036854775807",
            "kind": "flash",
            "activity_id": "2",
            "lines": [{
                "product_id": "3",
                "title": "A \"thing\"",
                "quantity": 2,
                "unit_price": {"amount": 19_900, "currency": "USD"},
            }],
            "total": {"amount": 39_800, "currency": "USD"},
            "status": "awaiting_payment",
            "created_at": "2026-11-27T00:00:00.000Z",
            "pay_before": "2026-11-27T00:01:00.000Z",
            "payments": [],
        });
        assert_eq!(json(&order(Status::AwaitingPayment, None)), expected);
    }

    #[test]
    fn what_may_be_older_says_of_when_it_is() {
        let (order, terms) = (order(Status::AwaitingPayment, None), terms());
        let mut out = Vec::new();
        let as_of = Some(Timestamp(1_795_737_600_001));
        OrderFacts::in_memory(&order, &terms).dated(as_of).write(&mut out);
        let json: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json["as_of"], "2026-11-27T00:00:00.001Z");
    }

    #[test]
    fn each_status_has_its_instant() {
        for status in Status::ALL {
            let json = json(&order(*status, (!status.is_open()).then_some(1_795_737_601_000)));
            let shown: Vec<_> = ["pay_before", "paid_at", "closed_at"]
                .into_iter()
                .filter(|name| json.get(name).is_some())
                .collect();
            let expected: &[&str] = match status {
                Status::Accepted => &[],
                Status::AwaitingPayment => &["pay_before"],
                Status::Paid => &["paid_at"],
                Status::Expired | Status::Cancelled | Status::Rejected | Status::Refunded => {
                    &["closed_at"]
                }
            };
            assert_eq!(shown, expected, "{status:?}");
        }
    }

    #[test]
    fn a_cursor_names_its_place() {
        let place = OrderCursor { placed_at: Timestamp(5), id: OrderId(7) };
        assert_eq!(place_of(&cursor(place)), Some(place));
        for bad in ["", "5", "5-", "-7", "5-7-9", "x-7", "05-7"] {
            assert_eq!(place_of(bad), None, "{bad}");
        }
    }
}
