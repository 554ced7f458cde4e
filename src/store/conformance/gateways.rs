//! Gateways that find each other.

use std::slice::from_ref;
use std::sync::Arc;

use seckill_shards::ids::{OrderId, UserId};
use seckill_shards::record::{LeaseClosed, NO_KEY, OrderMoved, OrderPlaced, Record};

use super::{at, refusal, sale};
use crate::store::{
    Batch, FlushBatch, GatewayRow, JournalFound, JournalPosition, LeaseHeld, LeaseMember,
    OutOfStep, Refusal, Retired, Store, StoreError, Stored,
};

fn row(number: u16, epoch: u8, seen_ms: u64, as_of_ms: u64) -> GatewayRow {
    let address = format!("http://10.0.0.{number}:9091");
    let (seen_at, as_of) = (at(seen_ms), at(as_of_ms));
    let (membership_s, drains_to, retired) = (60, None, None);
    GatewayRow { number, epoch, address, seen_at, as_of, membership_s, drains_to, retired }
}

fn by(adopter: u16, is_off: bool) -> Retired {
    Retired { adopter, at: at(20), is_off }
}

/// A journal's run behind a position.
fn run(
    gateway: u16,
    (journal, epoch, position): (u8, u8, u64),
    records: &[Record],
) -> Arc<FlushBatch> {
    let from = JournalPosition { journal_id: [journal; 16], epoch, position };
    let mut batch = Batch::new(gateway, from);
    records.iter().for_each(|record| batch.push(record));
    Arc::new(batch.finish(position + records.len() as u64))
}

async fn register(store: &dyn Store, gateway: u16, journal: u8, epoch: u8) -> Stored<u64> {
    let found = JournalFound { gateway, journal_id: [journal; 16], epoch, begin: 0, end: 1_000 };
    store.register(found).await
}

fn is_retired<T: std::fmt::Debug>(result: &Stored<T>, number: u16) -> bool {
    matches!(result, Err(StoreError::OutOfStep(OutOfStep::Retired { gateway })) if *gateway == number)
}

/// C18: nothing of the former epoch is taken any more, whatever it is; and the orders of before go on
/// under the next one, in a journal that is made once.
pub(in crate::store) async fn c18_a_retired_gateway_changes_nothing_and_its_adopter_goes_on(
    store: &dyn Store,
) {
    let activity = sale(store, 9).await.id;
    for number in [1, 2] {
        register(store, number, u8::try_from(number).unwrap(), 0).await.unwrap();
        store.announce(Some(row(number, 0, 5, 5))).await.unwrap();
        let journal = JournalPosition { journal_id: [1; 16], epoch: 0, position: 0 };
        store.join(activity, number, journal).await.unwrap();
    }
    let order = OrderPlaced {
        order: OrderId(1),
        activity,
        user: UserId(1),
        quantity: 1,
        at: at(1),
        pay_before: at(50),
        key: NO_KEY,
        body: NO_KEY,
    };
    store.flush(run(1, (1, 0, 0), &[Record::OrderAccepted(order)])).await.unwrap();
    store.next_generation(activity).await.unwrap();
    assert_eq!(refusal(store.retire(1, by(1, true)).await), Refusal::State);
    assert_eq!(refusal(store.retire(1, by(7, true)).await), Refusal::NotFound);
    store.retire(1, by(2, false)).await.unwrap();
    assert_eq!(refusal(store.retire(1, by(2, true)).await), Refusal::State, "it is done");
    let expired = OrderMoved { order: OrderId(1), activity, quantity: 1, at: at(60) };
    let expired = [Record::OrderExpired(expired)];
    let old = JournalPosition { journal_id: [1; 16], epoch: 0, position: 0 };
    assert!(is_retired(&store.flush(run(1, (1, 0, 1), &expired)).await, 1));
    assert!(is_retired(&store.join(activity, 1, old).await, 1));
    let member = LeaseMember { gateway: 1, epoch: 0 };
    assert!(is_retired(&store.rest(activity, member, at(3_600_000)).await, 1));
    assert!(is_retired(&register(store, 1, 1, 0).await, 1));
    assert!(is_retired(&register(store, 1, 9, 0).await, 1), "nor is its number used again");
    let known = store.announce(Some(row(1, 0, 30, 30))).await.unwrap();
    let stands = GatewayRow { epoch: 1, retired: Some(by(2, false)), ..row(1, 0, 5, 5) };
    assert_eq!(known, [stands, row(2, 0, 5, 5)]);
    let members = [(1, 1), (2, 0)].map(|(gateway, epoch)| LeaseMember { gateway, epoch });
    assert_eq!(store.roll(activity).await.unwrap().members, members);
    let held = LeaseHeld { activity, kept: None, generation: 1, withdrawn: 0, written_off: 0 };
    assert_eq!(store.leases_of(1).await.unwrap(), [held]);
    // The first journal of the next epoch is the one.
    assert_eq!(register(store, 1, 4, 1).await.unwrap(), 0);
    assert_eq!(register(store, 1, 4, 1).await.unwrap(), 0);
    let other = register(store, 1, 5, 1).await;
    assert!(matches!(other, Err(StoreError::OutOfStep(OutOfStep::OtherJournal { .. }))));
    store.flush(run(1, (4, 1, 0), &expired)).await.unwrap();
    assert_eq!(store.order(OrderId(1)).await.unwrap().order.moved_at, Some(at(60)));
}

pub(in crate::store) async fn who_is_retired_takes_along_whom_it_has_adopted(store: &dyn Store) {
    let activity = sale(store, 9).await.id;
    for number in [1, 2, 3] {
        register(store, number, 1, 0).await.unwrap();
        store.announce(Some(row(number, 0, 5, 5))).await.unwrap();
        let journal = JournalPosition { journal_id: [1; 16], epoch: 0, position: 0 };
        store.join(activity, number, journal).await.unwrap();
    }
    store.retire(1, by(2, true)).await.unwrap();
    register(store, 1, 4, 1).await.unwrap();
    let kept = LeaseClosed { activity, kept: 3, at: at(40) };
    store.flush(run(1, (4, 1, 0), &[Record::LeaseClosed(kept)])).await.unwrap();
    store.retire(2, by(3, true)).await.unwrap();
    let known = store.announce(None).await.unwrap();
    let stands: Vec<_> = known.iter().map(|it| (it.number, it.epoch, it.retired)).collect();
    assert_eq!(stands, [(1, 2, Some(by(3, true))), (2, 1, Some(by(3, true))), (3, 0, None)]);
    assert!(is_retired(&store.flush(run(1, (4, 1, 1), &[])).await, 1));
    let of_first =
        LeaseHeld { activity, kept: Some(3), generation: 0, withdrawn: 0, written_off: 0 };
    assert_eq!(store.leases_of(1).await.unwrap(), [of_first]);
    assert_eq!(store.leases_of(2).await.unwrap(), [LeaseHeld { kept: None, ..of_first }]);
    assert_eq!(register(store, 1, 6, 2).await.unwrap(), 0);
}

pub(in crate::store) async fn a_gateway_is_asked_to_hand_itself_over(store: &dyn Store) {
    for number in [1, 2] {
        store.announce(Some(row(number, 0, 5, 5))).await.unwrap();
    }
    assert_eq!(refusal(store.ask_to_drain(7, Some(2)).await), Refusal::NotFound);
    let asked = async || store.announce(None).await.unwrap()[0].drains_to;
    for to in [Some(2), None, Some(2)] {
        store.ask_to_drain(1, to).await.unwrap();
        assert_eq!(asked().await, to);
        store.announce(Some(row(1, 0, 9, 9))).await.unwrap();
        assert_eq!(asked().await, to, "it says so until it is done");
    }
    // Its last word counts while it is asked for it.
    for to in [None, Some(3)] {
        store.ask_to_drain(1, to).await.unwrap();
        assert_eq!(refusal(store.hand_over(1, by(2, true)).await), Refusal::State);
    }
    assert_eq!(refusal(store.hand_over(7, by(2, true)).await), Refusal::NotFound);
    store.ask_to_drain(1, Some(2)).await.unwrap();
    store.hand_over(1, by(2, true)).await.unwrap();
    assert_eq!(asked().await, None);
    assert_eq!(refusal(store.ask_to_drain(1, Some(2)).await), Refusal::State);
}

pub(in crate::store) async fn gateways_find_each_other(store: &dyn Store) {
    assert_eq!(store.announce(None).await.unwrap(), []);
    let (first, second) = (row(2, 0, 5, 3), row(1, 0, 6, 2));
    assert_eq!(store.announce(Some(first.clone())).await.unwrap(), from_ref(&first));
    let both = [second.clone(), first.clone()];
    assert_eq!(store.announce(Some(second)).await.unwrap(), both, "by number");
    // It has another address after a restart, and a clock that was set back.
    let moved = GatewayRow { address: "http://10.0.0.9:9091".to_owned(), ..row(1, 0, 4, 4) };
    let both = [moved.clone(), first];
    assert_eq!(store.announce(Some(moved)).await.unwrap(), both);
    assert_eq!(store.announce(None).await.unwrap(), both);
}

pub(in crate::store) async fn what_the_store_has_of_a_gateway_never_shrinks(store: &dyn Store) {
    store.announce(Some(row(1, 0, 5, 4))).await.unwrap();
    // One that has just started knows of nothing yet.
    assert_eq!(store.announce(Some(row(1, 0, 9, 0))).await.unwrap(), [row(1, 0, 9, 4)]);
    assert_eq!(store.announce(Some(row(1, 1, 10, 8))).await.unwrap(), [row(1, 1, 10, 8)]);
    // Another has taken over its number.
    assert_eq!(store.announce(Some(row(1, 0, 11, 11))).await.unwrap(), [row(1, 1, 10, 8)]);
}

pub(in crate::store) async fn a_gateway_that_says_nothing_is_known_by_its_journal(
    store: &dyn Store,
) {
    let found = JournalFound { gateway: 7, journal_id: [7; 16], epoch: 0, begin: 0, end: 0 };
    for _ in 0..2 {
        store.register(found).await.unwrap();
    }
    let known = store.announce(None).await.unwrap();
    let silent = known.iter().map(|it| (it.number, it.address.as_str(), it.seen_at.0, it.as_of.0));
    assert_eq!(silent.collect::<Vec<_>>(), [(7, "", 0, 0)]);
    let said = row(7, 0, 5, 5);
    assert_eq!(store.announce(Some(said.clone())).await.unwrap(), from_ref(&said));
    store.register(found).await.unwrap();
    assert_eq!(store.announce(None).await.unwrap(), [said]);
}
