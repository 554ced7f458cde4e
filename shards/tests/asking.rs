//! An engine that speaks for another gateway ends no unpaid order that it has recovered before the
//! provider was asked; and one that takes no orders goes on with those that exist.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::Arc;

use seckill_shards::command::{Answers, Command, OrderView, PlaceOrder, Refusal, Verdict};
use seckill_shards::engine::EngineOptions;
use seckill_shards::ids::{ActivityId, Era, OrderId, Origin, PaymentId};
use seckill_shards::limits::{CONFIRM_WITHIN_MS, PAYMENT_GIVEN_UP_MS};
use seckill_shards::record::{PaymentStatus, Status};
use seckill_shards::testing::world::{
    DISK_BYTES, NOON, buy, options, pay, publish, published, settle,
};
use seckill_shards::testing::{SimulatedClock, SimulatedDisk, World};

const SALE: ActivityId = ActivityId(1);

/// A gateway with an accepted order and a payable one, which falls due first, started again as the
/// one that speaks for it.
fn recovered() -> (World, OrderId, OrderId) {
    let (disk, clock) = (SimulatedDisk::new(1, DISK_BYTES), Arc::new(SimulatedClock::at(NOON)));
    let options = EngineOptions { leases: true, asks: true, ..options(2) };
    let mut world = World::open(disk, clock, options).unwrap();
    world.ask(publish(published(1, 10)));
    world.ask(Command::Join { activity: SALE, floor: 0 });
    let era = Era { generation: 1, nonce: 9 };
    world.ask(Command::EnterEra { activity: SALE, era });
    world.ask(Command::Lease { activity: SALE, n: 1, quantity: 10 });
    let [accepted, payable] = [1, 2].map(|user| {
        let placed = world.ask(Command::PlaceOrder(keyed(user)));
        let Verdict::Placed(order) = placed else { panic!("{placed:?}") };
        order.id
    });
    hear(&mut world, &[payable], &[]);
    (world.crash(1).unwrap(), accepted, payable)
}

/// A buy that is known again.
fn keyed(user: u64) -> PlaceOrder {
    PlaceOrder { key: [7; 16], ..buy(1, user, 1) }
}

fn hear(world: &mut World, confirmed: &[OrderId], refused: &[OrderId]) {
    let (confirmed, refused) = (confirmed.to_vec(), refused.to_vec());
    let answers = Answers { activity: SALE, confirmed, refused, released: Vec::new() };
    world.ask_at(0, Command::Hear(Box::new(answers)));
}

fn order(world: &World, id: OrderId) -> OrderView {
    world.shards[0].order(id).unwrap()
}

fn statuses(world: &World, ids: [OrderId; 2]) -> [Status; 2] {
    ids.map(|id| order(world, id).status)
}

fn unasked(world: &World) -> Vec<OrderId> {
    world.shards[0].unasked(None).iter().map(|order| order.id).collect()
}

/// The orders that ask the others for their place.
fn asks(world: &mut World) -> Vec<OrderId> {
    let untold = world.shards[0].untold(SALE, u64::MAX);
    untold.iter().filter(|it| !it.ended).map(|it| it.order).collect()
}

#[test]
fn c19_no_order_ends_before_its_provider_was_asked() {
    let (mut world, accepted, payable) = recovered();
    let both = [accepted, payable];
    assert_eq!(unasked(&world), both);
    let behind = world.shards[0].unasked(Some(accepted));
    assert_eq!(behind.iter().map(|order| order.id).collect::<Vec<_>>(), [payable]);
    world.pass(2 * CONFIRM_WITHIN_MS);
    let cancelled = world.ask(Command::CancelOrder { order: payable, user: None });
    assert_eq!(cancelled, Verdict::Refused(Refusal::Overloaded));
    assert_eq!(asks(&mut world), [accepted]);
    hear(&mut world, &[], &[accepted]);
    assert_eq!(statuses(&world, both), [Status::Accepted, Status::AwaitingPayment]);
    // It was said once; again and again it would keep others waiting.
    assert_eq!(asks(&mut world), []);
    world.ask(Command::NoteAsked { order: accepted });
    assert_eq!(asks(&mut world), [accepted]);
    for order in both {
        world.ask(Command::NoteAsked { order });
    }
    assert_eq!(unasked(&world), []);
    world.pass(2_000);
    assert_eq!(statuses(&world, both), [Status::Rejected, Status::Expired]);
}

#[test]
fn what_was_not_asked_before_a_crash_is_asked_after_it() {
    let (mut world, accepted, payable) = recovered();
    world.ask(Command::NoteAsked { order: payable });
    let mut world = world.crash(1).unwrap();
    assert_eq!(unasked(&world), [accepted, payable]);
    let placed = world.ask(Command::PlaceOrder(buy(1, 3, 1)));
    assert!(matches!(placed, Verdict::Placed(_)), "{placed:?}");
    assert_eq!(unasked(&world), [accepted, payable], "an order of its own is nobody else's");
}

/// Its order has ended; that its money came, the lost journal alone may have known.
#[test]
fn c19_no_payment_is_given_up_before_its_provider_was_asked() {
    let (mut world, accepted, payable) = recovered();
    for order in [accepted, payable] {
        world.ask(Command::NoteAsked { order });
    }
    let Verdict::PaymentStarted(payment) = world.ask(pay(payable, 2)) else { panic!() };
    world.pass(2 * CONFIRM_WITHIN_MS);
    assert_eq!(order(&world, payable).status, Status::Expired);
    let mut world = world.crash(1).unwrap();
    assert!(unasked(&world).contains(&payable));
    world.pass(2 * PAYMENT_GIVEN_UP_MS);
    let payments = order(&world, payable).payments;
    assert_eq!(payments[0].status, PaymentStatus::Started);
    world.ask(settle(payment.id, Some(payment.amount)));
    assert_eq!(order(&world, payable).payments[0].status, PaymentStatus::RefundDue);
    assert!(!unasked(&world).contains(&payable));
}

/// The record that started it is lost: the provider alone knows of the payment.
#[test]
fn c19_a_payment_that_only_the_provider_knows_pays_its_order_once() {
    let (mut world, accepted, payable) = recovered();
    let lost = PaymentId(OrderId::new(Origin { gateway: 7, epoch: 0 }, 0, 900).0);
    let recall = |order| Command::RecallPayment { payment: lost, order };
    for _ in 0..2 {
        let Verdict::PaymentStarted(payment) = world.ask(recall(payable)) else { panic!() };
        assert_eq!((payment.id, payment.order), (lost, payable));
        world.ask(settle(lost, Some(payment.amount)));
        assert_eq!(order(&world, payable).status, Status::Paid);
    }
    assert_eq!(unasked(&world), [accepted]);
    let mut world = world.crash(1).unwrap();
    assert_eq!(order(&world, payable).payments.len(), 1);
    let unknown = OrderId(accepted.0 + 77);
    assert_eq!(world.ask(recall(unknown)), Verdict::Refused(Refusal::NotFound));
}

/// Its place may be another's: were it paid, its buyer would have more than the limit.
#[test]
fn money_waits_until_its_order_has_a_place_and_without_one_it_is_owed_back() {
    let lost = PaymentId(OrderId::new(Origin { gateway: 7, epoch: 0 }, 0, 900).0);
    let (mut world, accepted, _) = recovered();
    let recall = Command::RecallPayment { payment: lost, order: accepted };
    let waits = Verdict::Refused(Refusal::Overloaded);
    assert_eq!(world.ask(recall.clone()), waits);
    hear(&mut world, &[accepted], &[]);
    let Verdict::PaymentStarted(payment) = world.ask(recall.clone()) else { panic!() };
    world.ask(settle(lost, Some(payment.amount)));
    assert_eq!(order(&world, accepted).status, Status::Paid);

    let (mut world, accepted, _) = recovered();
    hear(&mut world, &[], &[accepted]);
    // What was refused is in memory alone, and asked for once more.
    let mut world = world.crash(1).unwrap();
    assert_eq!(world.ask(recall.clone()), waits);
    assert_eq!(asks(&mut world), [accepted]);
    hear(&mut world, &[], &[accepted]);
    let recalled = world.ask(recall);
    let Verdict::PaymentStarted(payment) = recalled else { panic!("{recalled:?}") };
    world.ask(settle(lost, Some(payment.amount)));
    let found = order(&world, accepted);
    assert_eq!(
        (found.status, found.payments[0].status),
        (Status::Accepted, PaymentStatus::RefundDue)
    );
    // It may ask for a place once more, and ends without one.
    world.ask(Command::NoteAsked { order: accepted });
    assert_eq!(asks(&mut world), [accepted]);
    hear(&mut world, &[], &[accepted]);
    assert_eq!(order(&world, accepted).status, Status::Rejected);
}

#[test]
fn one_that_takes_no_orders_goes_on_with_those_that_exist() {
    let (mut world, _, payable) = recovered();
    world.engine.take_orders(false);
    for (user, expected) in [(3, Refusal::Unavailable), (9, Refusal::Unavailable)] {
        assert_eq!(world.ask(Command::PlaceOrder(buy(1, user, 1))), Verdict::Refused(expected));
    }
    // What this buyer holds is told before how the sale stands.
    let again = world.ask(Command::PlaceOrder(keyed(2)));
    assert_eq!(again, Verdict::PlacedBefore(payable));
    let Verdict::PaymentStarted(payment) = world.ask(pay(payable, 2)) else { panic!() };
    world.ask(settle(payment.id, Some(payment.amount)));
    assert_eq!(order(&world, payable).status, Status::Paid);
    world.engine.take_orders(true);
    assert!(matches!(world.ask(Command::PlaceOrder(buy(1, 3, 1))), Verdict::Placed(_)));
}
