//! A gateway is adopted whole: read from the store, asked about, gone on with, and once more after a
//! restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use seckill_shards::clock::{Clock, MachineClock, Timestamp};
use seckill_shards::command::{Answers, Command, OrderView, Verdict};
use seckill_shards::ids::{ActivityId, OrderId, Origin, PaymentId, UserId};
use seckill_shards::record::{
    NO_KEY, OrderMoved, OrderPaid, OrderPlaced, OrderRefunded, OrdersConfirmed, PaymentStarted,
    Record, Status, UnitsLeft,
};
use tokio::task::{LocalSet, yield_now};

use crate::control::Control;
use crate::control::testing::{Desk, runtime, sale};
use crate::payment::webhook::WebhookKeys;
use crate::payment::{Came, Declined, PaymentPort, Provider};
use crate::store::{Batch, GatewayRow, JournalFound, JournalPosition, Retired, Store};

/// The gateway that is lost, and the epoch in which it goes on.
const LOST: Origin = Origin { gateway: 1, epoch: 1 };
const PRICE: i64 = 1_000;

fn order(number: u64) -> OrderId {
    OrderId::new(Origin { epoch: 0, ..LOST }, 0, number)
}

fn payment(number: u64) -> PaymentId {
    PaymentId(order(number).0)
}

/// A provider that was paid for two orders, by one payment that the store knows and one that it does
/// not; and that does not tell of a third order at first.
#[derive(Debug, Default)]
struct Paid {
    has_declined: AtomicBool,
}

#[async_trait]
impl Provider for Paid {
    fn method(&self) -> &'static str {
        "paid"
    }

    fn redirect_url(&self, _: PaymentId) -> String {
        String::new()
    }

    async fn refund(&self, _: PaymentId) -> Result<(), Declined> {
        Ok(())
    }

    async fn came_for(&self, asked: OrderId) -> Result<Vec<Came>, Declined> {
        let came = |number| Came { payment: payment(number), amount: PRICE, currency: *b"USD" };
        match asked.counter() {
            10 => Ok(vec![came(100)]),
            11 => Ok(vec![came(101)]),
            12 if !self.has_declined.swap(true, Ordering::Relaxed) => {
                Err(Declined("not now".into()))
            }
            _ => Ok(Vec::new()),
        }
    }
}

/// Three orders of the lost gateway: one accepted, two payable, of which one is being paid. All are due.
/// A fourth was refunded without its unit, and two units were withdrawn.
async fn lose(store: &dyn Store, activity: ActivityId, now: Timestamp) {
    let (gateway, journal_id, epoch) = (LOST.gateway, [1; 16], 0);
    let found = JournalFound { gateway, journal_id, epoch, begin: 0, end: 1_000 };
    store.register(found).await.unwrap();
    for number in [gateway, 7] {
        let row = GatewayRow { number, seen_at: now, as_of: now, ..GatewayRow::default() };
        store.announce(Some(row)).await.unwrap();
    }
    let from = JournalPosition { journal_id, epoch, position: 0 };
    store.join(activity, gateway, from).await.unwrap();
    let mut batch = Batch::new(gateway, from);
    for number in [10, 11, 12, 13] {
        let (user, quantity, at, pay_before) = (UserId(number), 1, now, now.plus_ms(1));
        let (order, key, body) = (order(number), NO_KEY, NO_KEY);
        batch.push(&Record::OrderAccepted(OrderPlaced {
            order,
            activity,
            user,
            quantity,
            at,
            pay_before,
            key,
            body,
        }));
    }
    let (orders, pay_before) = (vec![order(11).0, order(12).0], now.plus_ms(1));
    let confirmed = OrdersConfirmed { activity, at: now, pay_before, orders };
    batch.push(&Record::OrdersConfirmed(confirmed));
    for (payment, order) in [(payment(101), order(11)), (payment(102), order(13))] {
        let (amount, key, body) = (PRICE, NO_KEY, NO_KEY);
        let started = PaymentStarted { payment, order, amount, at: now, key, body };
        batch.push(&Record::PaymentStarted(started));
    }
    let (moved, payment) =
        (OrderMoved { order: order(13), activity, quantity: 1, at: now }, payment(102));
    batch.push(&Record::OrderPaid(OrderPaid { moved, payment }));
    let units_returned = false;
    batch.push(&Record::OrderRefunded(OrderRefunded { moved, payment, units_returned }));
    batch.push(&Record::UnitsWithdrawn(UnitsLeft { activity, quantity: 2, at: now }));
    store.flush(Arc::new(batch.finish(10))).await.unwrap();
    let retired = Retired { adopter: 7, at: now, is_off: true };
    store.retire(gateway, retired).await.unwrap();
}

/// The adopter, with its provider.
fn desk() -> Desk {
    let provider: Arc<dyn Provider> = Arc::new(Paid::default());
    let keys = WebhookKeys::of(&[1; 32]);
    Desk::in_fleet(7, Some(PaymentPort { provider, keys, sandbox: None }))
}

/// Has it adopt the lost gateway, which had a part in one activity.
async fn adopt(Desk { control, store, .. }: &Desk) -> ActivityId {
    let activity = sale(&**store).await;
    lose(&**store, activity, MachineClock::start().now()).await;
    control.adopt(LOST).await.unwrap();
    activity
}

/// The adopted orders, once each stands as it should.
async fn await_statuses(control: &Arc<Control>, expected: [Status; 3]) -> Vec<OrderView> {
    let adopted = control.adoption.find(LOST.gateway).unwrap();
    loop {
        let mut orders = adopted.owners.orders([10, 11, 12].map(order).to_vec()).await.unwrap();
        orders.sort_unstable_by_key(|order| order.id);
        if orders.iter().map(|order| order.status).eq(expected) {
            return orders;
        }
        yield_now().await;
    }
}

/// The others say that an adopted order has its place.
async fn confirm(control: &Arc<Control>, activity: ActivityId, order: OrderId) {
    let adopted = control.adoption.find(LOST.gateway).unwrap();
    let (confirmed, refused, released) = (vec![order], Vec::new(), Vec::new());
    let answers = Answers { activity, confirmed, refused, released };
    let verdict = adopted.owners.ask(0, Command::Hear(Box::new(answers))).await;
    assert!(!matches!(verdict, Verdict::Refused(_)), "{verdict:?}");
}

#[test]
fn c19_what_only_the_provider_knows_of_an_adopted_order_is_written_down_before_it_ends() {
    LocalSet::new().block_on(&runtime(), async {
        let desk = desk();
        let Desk { control, store, .. } = &desk;
        let activity = adopt(&desk).await;
        // Whether the first has a place the others say.
        let statuses = [Status::Accepted, Status::Paid, Status::Expired];
        drop(await_statuses(control, statuses).await);
        confirm(control, activity, order(10)).await;
        let statuses = [Status::Paid, Status::Paid, Status::Expired];
        let orders = await_statuses(control, statuses).await;
        let payments: Vec<_> = orders
            .iter()
            .map(|it| it.payments.iter().map(|it| it.id).collect::<Vec<_>>())
            .collect();
        assert_eq!(payments, [vec![payment(100)], vec![payment(101)], vec![]]);
        // All of it reaches the store, and is there after a restart.
        assert!(control.close_adopted(crate::control::limits::NEWS).await, "the store has all");
        for number in [10, 11] {
            assert_eq!(store.order(order(number)).await.unwrap().order.status, Status::Paid);
        }
        control.open_adopted().await.unwrap();
        let adopted = control.adoption.find(LOST.gateway).unwrap();
        let found = adopted.owners.orders(vec![order(10), order(11)]).await.unwrap();
        assert!(found.iter().all(|order| order.status == Status::Paid) && found.len() == 2);
        assert!(control.close_adopted(crate::control::limits::NEWS).await);
        // Its journal is lost: what the store has may not be all of it, and is not begun anew.
        std::fs::remove_dir_all(desk.adopted()).unwrap();
        let again = control.adopt(LOST).await;
        assert!(matches!(again, Err(super::AdoptError::Lost)), "{again:?}");
    });
}

/// Nobody would end it, and what it writes down would not reach the store.
#[test]
fn who_is_taken_over_while_its_adopter_ends_goes_on_with_the_next_start() {
    let runtime = runtime();
    LocalSet::new().block_on(&runtime, async {
        let desk = desk();
        let Desk { control, store, .. } = &desk;
        let activity = sale(&**store).await;
        lose(&**store, activity, MachineClock::start().now()).await;
        let last_flush = crate::control::limits::NEWS;
        assert!(control.close_adopted(last_flush).await);
        control.adopt(LOST).await.unwrap();
        assert!(control.adoption.find(LOST.gateway).is_none());
        control.open_adopted().await.unwrap();
        assert!(control.adoption.find(LOST.gateway).is_some());
        assert!(control.close_adopted(last_flush).await);
    });
}

/// Units of a refunded order were free again, and sold once more: the product has fewer than that.
#[test]
fn what_the_lost_gateway_had_written_off_or_withdrawn_is_lent_and_nobody_sells_it() {
    LocalSet::new().block_on(&runtime(), async {
        let desk = desk();
        let activity = adopt(&desk).await;
        let adopted = desk.control.adoption.find(LOST.gateway).unwrap();
        let sum = adopted.engine.recovery().sums.activities[&activity];
        assert_eq!((sum.totals.held, sum.totals.written_off, sum.totals.left), (3, 1, 2));
        assert_eq!((sum.units(), sum.free()), (6, 0));
        assert!(desk.control.close_adopted(crate::control::limits::NEWS).await);
    });
}

/// Until time had come so far, nothing of the adopter's own would have fallen due, or all of it at once.
#[test]
fn a_clock_that_was_ahead_moves_nobody_elses() {
    LocalSet::new().block_on(&runtime(), async {
        let desk = desk();
        let (control, activity) = (&desk.control, sale(&*desk.store).await);
        let ahead = control.now().plus_ms(3_600_000);
        lose(&*desk.store, activity, ahead).await;
        control.adopt(LOST).await.unwrap();
        assert!(control.now() < ahead);
        assert!(control.close_adopted(crate::control::limits::NEWS).await);
    });
}

fn row(number: u16, epoch: u8, membership_s: u32, adopter: Option<(u16, bool)>) -> GatewayRow {
    let retired = adopter.map(|(adopter, is_off)| Retired { adopter, at: Timestamp(1), is_off });
    GatewayRow { number, epoch, membership_s, retired, ..GatewayRow::default() }
}

/// C17: one that may still take a payment is waited for, from the first sight of its retirement, and
/// by this gateway's own clock.
#[test]
fn c17_a_gateway_that_may_be_on_is_waited_for() {
    let adoption = super::Adoption::new(PathBuf::new());
    let due = |now_s: u64| {
        let due = adoption.due(now_s * 1_000_000);
        due.iter().map(|origin| origin.gateway).collect::<Vec<_>>()
    };
    let rows = [
        row(1, 1, 60, Some((9, false))),
        row(2, 1, 60, Some((9, true))),
        row(3, 1, 60, Some((8, true))),
        row(4, 0, 60, None),
    ];
    adoption.look(&rows, 9, 100_000_000);
    for (now_s, expected) in [(100, vec![2]), (165, vec![2]), (166, vec![1, 2])] {
        assert_eq!(due(now_s), expected, "{now_s}");
    }
    adoption.look(&rows, 9, 166_000_000);
    assert_eq!(due(166), [1, 2], "it is waited for once");
    // It comes from another that has adopted it, and may be on.
    adoption.look(&[row(2, 2, 10, Some((9, false)))], 9, 200_000_000);
    assert_eq!((due(210), due(211)), (vec![1], vec![1, 2]));
}
