//! Random commands: mostly sensible ones about things that exist, some about things that do not.

use seckill_shards::clock::Timestamp;
use seckill_shards::command::{Command, Paid, PhaseChange, PlaceOrder, StartPayment, Withdraw};
use seckill_shards::ids::{ActivityId, OrderId, PaymentId, ProductId, UserId};
use seckill_shards::record::{ActivityPublished, Digest, NO_KEY, PaymentStatus, Status, Terms};
use seckill_shards::testing::Random;
use seckill_shards::testing::world::{self, CURRENCY, digest};

use crate::books::OrderBook;
use crate::model::Model;

/// Sales that are not closed, at most.
const ACTIVITIES: u64 = 8;
const USERS: u64 = 20;

/// The next command.
pub(crate) fn command(random: &mut Random, model: &Model, now: Timestamp) -> Command {
    match random.below(100) {
        _ if open(model).len() < 2 => world::publish(publish(random, model, now)),
        0..45 => Command::PlaceOrder(buy(random, model)),
        45..53 => cancel(random, model),
        53..65 => start(random, model),
        65..78 => settle(random, model),
        78..80 => give_up(random, model),
        80..84 => {
            let paid = order(random, model, |it| it.status == Status::Paid);
            Command::RefundOrder { order: paid, return_units: random.once_in(2) }
        }
        84..87 => {
            Command::CompleteRefund { payment: payment(random, model, PaymentStatus::RefundDue) }
        }
        87..92 => world::publish(publish(random, model, now)),
        92..95 => {
            Command::ChangePhase { activity: activity(random, model), change: change(random) }
        }
        95..97 => withdraw(random, model),
        _ => close(random, model, now),
    }
}

/// The activities that are known and not closed.
fn open(model: &Model) -> Vec<ActivityId> {
    let open = model.told.activities.iter().filter(|(_, it)| !it.closed);
    open.map(|(&id, _)| id).collect()
}

fn closed(model: &Model) -> u64 {
    model.told.activities.values().filter(|it| it.closed).count() as u64
}

/// An activity, mostly a known one that is not closed.
fn activity(random: &mut Random, model: &Model) -> ActivityId {
    let open = open(model);
    if open.is_empty() || random.once_in(10) {
        return ActivityId(1 + random.below(closed(model) + ACTIVITIES));
    }
    open[random.index(open.len())]
}

fn key(random: &mut Random) -> Digest {
    if random.once_in(2) { NO_KEY } else { digest(1 + random.below(6)) }
}

fn buy(random: &mut Random, model: &Model) -> PlaceOrder {
    let activity = activity(random, model);
    let limit = model.told.activities.get(&activity).map_or(2, |it| it.row.terms.per_user_limit);
    let user = UserId(1 + random.below(USERS));
    PlaceOrder {
        activity,
        user,
        quantity: 1 + u32::try_from(random.below(u64::from(limit) + 1)).expect("small"),
        key: key(random),
        body: digest(u64::from(random.once_in(8))),
        admitted: !random.once_in(3),
    }
}

/// An order that `wanted` likes, or any, or one that never was.
fn order(random: &mut Random, model: &Model, wanted: impl Fn(&OrderBook) -> bool) -> OrderId {
    let any = random.once_in(8);
    let orders = model.told.orders.values().filter(|it| any || wanted(it));
    let orders: Vec<_> = orders.map(|it| it.placed.order).collect();
    if orders.is_empty() || random.once_in(50) {
        return OrderId(random.bits() >> 1);
    }
    orders[random.index(orders.len())]
}

fn payment(random: &mut Random, model: &Model, wanted: PaymentStatus) -> PaymentId {
    let any = random.once_in(4);
    let payments = model.told.payments.iter().filter(|(_, it)| any || it.status == wanted);
    let payments: Vec<_> = payments.map(|(&id, _)| id).collect();
    if payments.is_empty() || random.once_in(50) {
        return PaymentId(random.bits() >> 1);
    }
    payments[random.index(payments.len())]
}

fn cancel(random: &mut Random, model: &Model) -> Command {
    let order = order(random, model, OrderBook::is_open);
    let owner = model.told.orders.get(&order).map_or(UserId(1), |it| it.placed.user);
    let user = match random.below(4) {
        0 => None,
        1 => Some(UserId(1 + random.below(USERS))),
        _ => Some(owner),
    };
    Command::CancelOrder { order, user }
}

fn start(random: &mut Random, model: &Model) -> Command {
    let order = order(random, model, OrderBook::is_open);
    let owner = model.told.orders.get(&order).map_or(UserId(1), |it| it.placed.user);
    let user = if random.once_in(10) { UserId(99) } else { owner };
    let body = digest(u64::from(random.once_in(8)));
    Command::StartPayment(StartPayment { order, user, key: key(random), body })
}

fn give_up(random: &mut Random, model: &Model) -> Command {
    let payment = payment(random, model, PaymentStatus::Started);
    let known = model.told.payments.get(&payment).map(|it| it.started.order);
    let order = match known {
        Some(known) if !random.once_in(10) => known,
        _ => order(random, model, OrderBook::is_open),
    };
    let owner = model.told.orders.get(&order).map_or(UserId(1), |it| it.placed.user);
    let user = if random.once_in(10) { UserId(99) } else { owner };
    Command::GiveUpPayment { payment, order, user }
}

fn settle(random: &mut Random, model: &Model) -> Command {
    let payment = payment(random, model, PaymentStatus::Started);
    let amount = model.told.payments.get(&payment).map_or(1, |it| it.started.amount);
    let paid = match random.below(8) {
        0 | 1 => None,
        2 => Some(Paid { amount: amount + 1, currency: CURRENCY }),
        3 => Some(Paid { amount, currency: *b"EUR" }),
        _ => Some(Paid { amount, currency: CURRENCY }),
    };
    Command::SettlePayment { payment, paid }
}

/// A row of the store, which publishes none that it has as closed.
fn publish(random: &mut Random, model: &Model, now: Timestamp) -> ActivityPublished {
    let rows = 1..=closed(model) + ACTIVITIES;
    let rows: Vec<_> = rows.map(ActivityId).filter(|it| !model.over.contains(it)).collect();
    let activity = rows[random.index(rows.len())];
    if let Some(known) = model.told.activities.get(&activity) {
        let mut row = known.row.clone();
        row.version = (row.version + random.below(3)).saturating_sub(u64::from(random.once_in(6)));
        row.terms.stocked += u32::try_from(random.below(8)).expect("small");
        row.terms.stocked -= u32::from(random.once_in(10));
        return row;
    }
    let number = activity.0;
    let starts_at = now.plus_ms(if random.once_in(3) { random.below(3_000) } else { 0 });
    let terms = Terms {
        title: format!("Sale {number}"),
        product: ProductId(number),
        product_title: "Kettle".to_owned(),
        sale_price: 100,
        list_price: 200,
        currency: CURRENCY,
        stocked: 1 + u32::try_from(random.below(40)).expect("small"),
        per_user_limit: 1 + u32::try_from(random.below(4)).expect("small"),
        pay_window_ms: 1_000 + random.below(4_000),
        starts_at,
        ends_at: starts_at.plus_ms(1_000 + random.below(20_000)),
        admission: random.once_in(4),
    };
    ActivityPublished { activity, version: 1, terms, at: Timestamp(0) }
}

fn withdraw(random: &mut Random, model: &Model) -> Command {
    Command::Withdraw(Withdraw {
        activity: activity(random, model),
        quantity: 1 + u32::try_from(random.below(3)).expect("small"),
        key: key(random),
        body: digest(u64::from(random.once_in(8))),
    })
}

fn change(random: &mut Random) -> PhaseChange {
    match random.below(8) {
        0 => PhaseChange::End,
        1..4 => PhaseChange::Pause,
        _ => PhaseChange::Resume,
    }
}

/// Mostly of a sale that has ended and that nobody holds anything of.
fn close(random: &mut Random, model: &Model, now: Timestamp) -> Command {
    let is_idle = |id: &ActivityId| {
        let book = &model.told.activities[id];
        (book.ended || now >= book.row.terms.ends_at) && model.outstanding(*id) == 0
    };
    let idle: Vec<_> = open(model).into_iter().filter(is_idle).collect();
    let activity = if idle.is_empty() || random.once_in(4) {
        activity(random, model)
    } else {
        idle[random.index(idle.len())]
    };
    let known = model.told.activities.contains_key(&activity);
    let remaining = if known { model.remaining(activity) } else { 0 };
    let unsold = match random.below(6) {
        0 => remaining + 1,
        1 => remaining.saturating_sub(1),
        _ => remaining,
    };
    Command::Close { activity, unsold }
}
