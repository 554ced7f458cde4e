//! Gateways that find each other.

use std::slice::from_ref;

use super::at;
use crate::store::{GatewayRow, JournalFound, Store};

fn row(number: u16, epoch: u8, seen_ms: u64, as_of_ms: u64) -> GatewayRow {
    let address = format!("http://10.0.0.{number}:9091");
    GatewayRow { number, epoch, address, seen_at: at(seen_ms), as_of: at(as_of_ms) }
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
