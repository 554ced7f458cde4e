//! Activities that several gateways share.

use std::sync::Arc;

use seckill_shards::ids::{ActivityId, OrderId, PaymentId, UserId};
use seckill_shards::record::{
    LeaseClosed, NO_KEY, OrderMoved, OrderPaid, OrderPlaced, OrderRefunded, OrdersConfirmed,
    PaymentStarted, PhaseFollowed, Record, Status, UnitsLeft, UnitsLeftOnce,
};

use super::{at, draft, once, product, refusal, sale};
use crate::store::{
    Batch, Begun, FlushBatch, JournalFound, JournalPosition, LeaseMember, LeaseRoll, ONCE_MS, Once,
    OutOfStep, Refusal, Retired, Store, StoreError,
};

fn journal(gateway: u16) -> JournalPosition {
    JournalPosition { journal_id: [u8::try_from(gateway).unwrap(); 16], epoch: 1, position: 0 }
}

async fn register(store: &dyn Store, gateway: u16) {
    let JournalPosition { journal_id, epoch, .. } = journal(gateway);
    let found = JournalFound { gateway, journal_id, epoch, begin: 0, end: 1_000 };
    store.register(found).await.unwrap();
}

/// A gateway's records behind a position.
fn batch(gateway: u16, position: u64, records: &[Record]) -> Arc<FlushBatch> {
    let mut batch = Batch::new(gateway, JournalPosition { position, ..journal(gateway) });
    records.iter().for_each(|record| batch.push(record));
    Arc::new(batch.finish(position + records.len() as u64))
}

pub(in crate::store) async fn members_join_once_and_generations_are_given_once(store: &dyn Store) {
    let product = product(store, 10).await;
    let draft = draft(store, product, 4).await;
    assert_eq!(refusal(store.join(draft, 1, journal(1)).await), Refusal::State);
    assert_eq!(refusal(store.join(ActivityId(99), 1, journal(1)).await), Refusal::NotFound);
    let activity = store.publish(draft, None).await.unwrap();
    assert_eq!(store.join(activity.id, 2, journal(2)).await.unwrap(), 0);
    for generation in 1..=3 {
        assert_eq!(store.next_generation(activity.id).await.unwrap(), generation);
    }
    assert_eq!(refusal(store.next_generation(ActivityId(99)).await), Refusal::NotFound);
    for _ in 0..2 {
        assert_eq!(store.join(activity.id, 1, journal(1)).await.unwrap(), 3);
    }
    for other in [journal(7), JournalPosition { epoch: 2, ..journal(1) }] {
        let joined = store.join(activity.id, 1, other).await;
        let Err(StoreError::OutOfStep(OutOfStep::OtherJournal { gateway: 1, .. })) = joined else {
            panic!("{joined:?}")
        };
    }
    let members = [1, 2].map(|gateway| LeaseMember { gateway, epoch: 1 });
    let (version, members) = (activity.version, members.to_vec());
    let roll = store.roll(activity.id).await.unwrap();
    assert_eq!(roll, LeaseRoll { members, version, stocked: 4, open: true });
}

pub(in crate::store) async fn a_confirmed_order_gets_its_deadline_then(store: &dyn Store) {
    let activity = sale(store, 9).await.id;
    register(store, 1).await;
    let accepted = |id: u64| {
        Record::OrderAccepted(OrderPlaced {
            order: OrderId(id),
            activity,
            user: UserId(id),
            quantity: 1,
            at: at(id),
            pay_before: at(50),
            key: NO_KEY,
            body: NO_KEY,
        })
    };
    let confirmed = |ids: &[u64]| {
        let orders = ids.to_vec();
        Record::OrdersConfirmed(OrdersConfirmed {
            activity,
            at: at(20),
            pay_before: at(90),
            orders,
        })
    };
    store.flush(batch(1, 0, &[accepted(1), accepted(2), confirmed(&[2])])).await.unwrap();
    let stands = async |id| {
        let row = store.order(OrderId(id)).await.unwrap().order;
        (row.status, row.pay_before, row.moved_at)
    };
    assert_eq!(stands(1).await, (Status::Accepted, at(50), None));
    assert_eq!(stands(2).await, (Status::AwaitingPayment, at(90), None));
    let expired = OrderMoved { order: OrderId(1), activity, quantity: 1, at: at(95) };
    store.flush(batch(1, 3, &[confirmed(&[1])])).await.unwrap();
    assert_eq!(stands(1).await, (Status::AwaitingPayment, at(90), None));
    store.flush(batch(1, 4, &[Record::OrderExpired(expired)])).await.unwrap();
    assert_eq!(stands(1).await, (Status::Expired, at(90), Some(at(95))));
}

pub(in crate::store) async fn the_last_member_brings_home_what_none_keeps(store: &dyn Store) {
    let activity = sale(store, 9).await;
    let stock = async || store.product(activity.product).await.unwrap().stock;
    let closed = async || store.activity(activity.id).await.unwrap().closed;
    let before = stock().await;
    for gateway in [1, 2, 3] {
        register(store, gateway).await;
    }
    for gateway in [1, 2] {
        store.join(activity.id, gateway, journal(gateway)).await.unwrap();
    }
    let rest = async |gateway, ms| {
        store.rest(activity.id, LeaseMember { gateway, epoch: 1 }, at(ms)).await
    };
    assert_eq!(refusal(rest(1, 10).await), Refusal::State, "it has not ended");
    assert_eq!(refusal(rest(3, 3_600_000).await), Refusal::NotFound);
    assert!(!rest(1, 3_600_000).await.unwrap());
    assert!(rest(2, 3_600_000).await.unwrap());
    let done =
        |kept| Record::LeaseClosed(LeaseClosed { activity: activity.id, kept, at: at(3_600_001) });
    store.flush(batch(1, 0, &[done(4)])).await.unwrap();
    // One that knew of it, and never joined, waits for nobody and nobody for it.
    store.flush(batch(3, 0, &[done(0)])).await.unwrap();
    assert_eq!((stock().await, closed().await), (before, false));
    // One that has forgotten that it is done does not begin again, and unsays nothing.
    assert_eq!(refusal(store.join(activity.id, 1, journal(1)).await), Refusal::State);
    store.flush(batch(1, 1, &[done(0)])).await.unwrap();
    for _ in 0..2 {
        store.flush(batch(2, 0, &[done(3)])).await.unwrap();
        assert_eq!((stock().await, closed().await), (before + 2, true));
    }
    assert_eq!(refusal(store.join(activity.id, 3, journal(3)).await), Refusal::State);
    assert!(!store.roll(activity.id).await.unwrap().open);
}

/// Its adopter has nothing to say of that sale any more, and the others waited for it for ever.
pub(in crate::store) async fn a_member_that_is_lost_and_was_done_keeps_nobody_waiting(
    store: &dyn Store,
) {
    let activity = sale(store, 9).await;
    register(store, 3).await;
    for gateway in [1, 2] {
        register(store, gateway).await;
        store.join(activity.id, gateway, journal(gateway)).await.unwrap();
    }
    let over = at(3_600_000);
    let rest = async |gateway, epoch| {
        store.rest(activity.id, LeaseMember { gateway, epoch }, over).await.unwrap()
    };
    let is_last = [rest(1, 1).await, rest(2, 1).await];
    assert_eq!(is_last, [false, true]);
    let lost = Retired { adopter: 1, at: over, is_off: true };
    let done =
        Record::LeaseClosed(LeaseClosed { activity: activity.id, kept: 3, at: at(3_600_001) });
    store.flush(batch(2, 0, &[done])).await.unwrap();
    store.retire(2, lost).await.unwrap();
    assert!(rest(1, 1).await, "the other was done");
    // Who was not done, but for what it had said, may have open orders that nobody knows of.
    store.retire(1, Retired { adopter: 3, ..lost }).await.unwrap();
    assert!(!rest(2, 3).await);
}

pub(in crate::store) async fn what_is_withdrawn_comes_home_once(store: &dyn Store) {
    let activity = sale(store, 9).await;
    let stock = async || store.product(activity.product).await.unwrap().stock;
    let before = stock().await;
    for gateway in [1, 2] {
        register(store, gateway).await;
        store.join(activity.id, gateway, journal(gateway)).await.unwrap();
    }
    let withdrawn =
        |quantity| Record::UnitsWithdrawn(UnitsLeft { activity: activity.id, quantity, at: at(1) });
    store.flush(batch(1, 0, &[withdrawn(2), withdrawn(1)])).await.unwrap();
    assert_eq!(stock().await, before + 3);
    let held = store.leases_of(1).await.unwrap();
    assert_eq!(held.iter().map(|it| it.withdrawn).collect::<Vec<_>>(), [3]);
    let closed =
        |kept| Record::LeaseClosed(LeaseClosed { activity: activity.id, kept, at: at(3_600_001) });
    for gateway in [1, 2] {
        let member = LeaseMember { gateway, epoch: 1 };
        store.rest(activity.id, member, at(3_600_000)).await.unwrap();
    }
    // Two were sold by the first, beside what was withdrawn there, and one by the second.
    store.flush(batch(1, 2, &[closed(5)])).await.unwrap();
    store.flush(batch(2, 0, &[closed(1)])).await.unwrap();
    assert_eq!(stock().await, before + 6);
    let row = store.activity(activity.id).await.unwrap();
    assert_eq!((row.closed, row.stocked, row.left), (true, 9, 6));
}

/// Who speaks for a gateway later must not sell what its journal alone had as written off.
pub(in crate::store) async fn what_is_refunded_without_its_units_stays_out(store: &dyn Store) {
    let activity = sale(store, 9).await.id;
    for gateway in [1, 2] {
        register(store, gateway).await;
        store.join(activity, gateway, journal(gateway)).await.unwrap();
    }
    let refunded = |id: u64, quantity, units_returned| {
        let (order, payment, key, body) = (OrderId(id), PaymentId(id), NO_KEY, NO_KEY);
        let (user, at, pay_before) = (UserId(id), at(1), at(50));
        let placed = OrderPlaced { order, activity, user, quantity, at, pay_before, key, body };
        let moved = OrderMoved { order, activity, quantity, at };
        [
            Record::OrderAccepted(placed),
            Record::PaymentStarted(PaymentStarted { payment, order, amount: 1, at, key, body }),
            Record::OrderPaid(OrderPaid { moved, payment }),
            Record::OrderRefunded(OrderRefunded { moved, payment, units_returned }),
        ]
    };
    let written_off = async |gateway| {
        let held = store.leases_of(gateway).await.unwrap();
        held.iter().map(|it| (it.written_off, it.withdrawn)).collect::<Vec<_>>()
    };
    let first = [refunded(1, 2, false), refunded(2, 4, true)].concat();
    for _ in 0..2 {
        store.flush(batch(1, 0, &first)).await.unwrap();
    }
    store.flush(batch(1, 8, &refunded(3, 1, false))).await.unwrap();
    assert_eq!((written_off(1).await, written_off(2).await), (vec![(3, 0)], vec![(0, 0)]));
    store.retire(1, Retired { adopter: 2, at: at(9), is_off: true }).await.unwrap();
    assert_eq!(written_off(1).await, [(3, 0)]);
}

/// A key that a lost gateway had met first was of no use any more, and nobody knew what had come of it.
pub(in crate::store) async fn what_a_retired_gateway_had_begun_is_done_or_begun_anew(
    store: &dyn Store,
) {
    let activity = sale(store, 9).await.id;
    for gateway in [1, 2, 3] {
        register(store, gateway).await;
        store.join(activity, gateway, journal(gateway)).await.unwrap();
    }
    let [made, begun, old] = [1, 2, 3].map(|key| once(key, 1, 0).unwrap());
    let begin = async |once, gateway| store.begin(once, gateway).await.unwrap();
    let withdrawn = |Once { key, body, .. }, quantity| {
        let left = UnitsLeft { activity, quantity, at: at(1) };
        [Record::UnitsWithdrawnOnce(UnitsLeftOnce { left, key, body })]
    };
    let by = Retired { adopter: 2, at: at(2), is_off: true };
    for once in [made, begun] {
        assert_eq!(begin(once, 1).await, Begun::Here);
        assert_eq!(begin(once, 2).await, Begun::By(1));
    }
    store.flush(batch(1, 0, &withdrawn(made, 2))).await.unwrap();
    let again = Once { at: at(5), ..made };
    assert_eq!(begin(again, 1).await, Begun::Here, "and it is done all the same");
    assert_eq!(begin(made, 2).await, Begun::By(1), "it is there to say so");
    // As a gateway of an earlier release does.
    store.remember(old, 1).await.unwrap();
    store.retire(1, by).await.unwrap();
    for gateway in [2, 3] {
        assert_eq!(begin(made, gateway).await, Begun::Done);
        assert_eq!(begin(old, gateway).await, Begun::Unknown(1));
    }
    let other = Once { body: [9; 16], ..made };
    assert_eq!(refusal(store.begin(other, 2).await), Refusal::Mismatch);
    assert_eq!(begin(begun, 3).await, Begun::Here);
    assert_eq!(begin(begun, 2).await, Begun::By(3));
    store.flush(batch(3, 0, &withdrawn(begun, 1))).await.unwrap();
    store.retire(3, by).await.unwrap();
    assert_eq!(begin(begun, 2).await, Begun::Done);
    // A key is remembered for a day from when it last came to where it could be done.
    for (ms, expected) in [(ONCE_MS + 4, Begun::Done), (ONCE_MS + 5, Begun::Here)] {
        let later = Once { at: at(ms), ..made };
        store.sweep(later.at).await.unwrap();
        assert_eq!(begin(later, 2).await, expected);
    }
}

pub(in crate::store) async fn a_phase_that_is_followed_is_not_written_back(store: &dyn Store) {
    let activity = sale(store, 9).await;
    register(store, 1).await;
    let (paused, ended) = (true, true);
    let followed = PhaseFollowed { activity: activity.id, paused, ended, at: at(1) };
    store.flush(batch(1, 0, &[Record::PhaseFollowed(followed)])).await.unwrap();
    assert_eq!(store.activity(activity.id).await.unwrap(), activity);
}
