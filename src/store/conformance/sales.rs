//! Products and activities.

use seckill_shards::ids::{ActivityId, ProductId, UserId};
use seckill_shards::limits::STOCKED_MAX;

use super::{at, draft, first, new_activity, new_product, once, product, refusal, sale};
use crate::store::{
    Activity, ActivityUpdate, NewProduct, ONCE_MS, Once, Outcome, Page, Product, ProductUpdate,
    Refusal, Store, Stored,
};

pub(in crate::store) async fn products_are_listed_and_searched(store: &dyn Store) {
    let mut ids = Vec::new();
    for title in ["Red kettle", "Blue KETTLE", "100% wool", "Under_score", "Kettledrum"] {
        let made = store.create_product(new_product(title, 5), None).await.unwrap();
        let Outcome::New(made) = made else { panic!("made before: {made:?}") };
        assert_eq!(store.product(made.id).await.unwrap(), made);
        ids.push(made.id);
    }
    let found = async |query: &str, after, limit| {
        let page = Page { after, limit };
        let found = store.products(query.to_owned(), page).await.unwrap();
        found.into_iter().map(|product| product.id).collect::<Vec<_>>()
    };
    assert_eq!(found("", None, 100).await, ids);
    assert_eq!(found("kettle", None, 100).await, [ids[0], ids[1], ids[4]]);
    assert_eq!(found("kettle", Some(ids[0]), 1).await, [ids[1]]);
    assert_eq!(found("%", None, 100).await, [ids[2]]);
    assert_eq!(found("_", None, 100).await, [ids[3]]);
    assert!(found("'; DROP TABLE product; --", None, 100).await.is_empty());
    assert!(found(&"x".repeat(100_000), None, 100).await.is_empty());
    assert!(found("", Some(ProductId(u64::MAX)), 100).await.is_empty());
    assert_eq!(refusal(store.product(ProductId(99)).await), Refusal::NotFound);
}

pub(in crate::store) async fn product_updates_need_the_version(store: &dyn Store) {
    let id = product(store, 5).await;
    let before = store.product(id).await.unwrap();
    let update = ProductUpdate { price: Some(1), stock: Some(7), ..ProductUpdate::default() };
    let after = store.update_product(id, before.version, update.clone()).await.unwrap();
    assert!(after.version > before.version);
    let stale = before.version;
    assert_eq!(after, Product { price: 1, stock: 7, version: after.version, ..before });
    let current = after.version;
    let refused = refusal(store.update_product(id, stale, update.clone()).await);
    assert_eq!(refused, Refusal::Stale { current });
    assert_eq!(store.product(id).await.unwrap(), after);
    let texts = ProductUpdate {
        title: Some("New".to_owned()),
        description: Some(String::new()),
        image_url: Some("/images/1".to_owned()),
        ..ProductUpdate::default()
    };
    let texts = store.update_product(id, current, texts).await.unwrap();
    assert_eq!((&*texts.title, &*texts.description, &*texts.image_url), ("New", "", "/images/1"));
    assert_eq!((texts.price, texts.stock), (1, 7));
    let unknown = store.update_product(ProductId(99), 1, update).await;
    assert_eq!(refusal(unknown), Refusal::NotFound);
}

pub(in crate::store) async fn drafts_follow_their_product_until_published(store: &dyn Store) {
    let product = product(store, 10).await;
    let unknown = store.create_activity(new_activity(ProductId(99), 1), None).await;
    assert_eq!(refusal(unknown), Refusal::NotFound);
    let id = draft(store, product, 4).await;
    rename(store, product, "Better thing", 1_000).await;
    let drafted = store.activity(id).await.unwrap();
    assert_eq!((&*drafted.product_title, drafted.list_price), ("Better thing", 1_000));
    assert_eq!(drafted.currency, *b"USD");
    assert!(!drafted.published && !drafted.paused && !drafted.ended && !drafted.closed);

    let published = store.publish(id, Some(drafted.version)).await.unwrap();
    rename(store, product, "Best thing", 2_000).await;
    assert_eq!(store.activity(id).await.unwrap(), published, "what was promised stays");
    let expected = Activity { published: true, version: published.version, ..drafted };
    assert_eq!(published, expected);
    let publication = published.publication(at(9));
    assert_eq!((publication.activity, publication.at), (id, at(9)));
    assert_eq!(publication.version, published.version);
    assert_eq!((publication.terms.stocked, publication.terms.product), (4, product));
    assert_eq!(&*publication.terms.product_title, "Better thing");
}

async fn rename(store: &dyn Store, id: ProductId, title: &str, price: i64) {
    let version = store.product(id).await.unwrap().version;
    let (title, price) = (Some(title.to_owned()), Some(price));
    let update = ProductUpdate { title, price, ..ProductUpdate::default() };
    store.update_product(id, version, update).await.unwrap();
}

pub(in crate::store) async fn publishing_moves_the_units_once(store: &dyn Store) {
    let product = product(store, 10).await;
    let (small, large) = (draft(store, product, 4).await, draft(store, product, 7).await);
    let before = store.product(product).await.unwrap().version;
    let stale = store.activity(small).await.unwrap().version - 1;
    let current = stale + 1;
    assert_eq!(refusal(store.publish(small, Some(stale)).await), Refusal::Stale { current });
    assert_eq!(store.product(product).await.unwrap().stock, 10);
    store.publish(small, Some(current)).await.unwrap();
    let after = store.product(product).await.unwrap();
    assert_eq!(after.stock, 6);
    assert!(after.version > before, "moved units change the product's version");

    let again = store.publish(small, None).await;
    assert_eq!(refusal(again), Refusal::State);
    assert_eq!(refusal(store.publish(small, Some(current)).await), Refusal::State);
    let refused = refusal(store.publish(large, None).await);
    assert_eq!(refused, Refusal::InsufficientStock { remaining: 6 });
    assert!(!store.activity(large).await.unwrap().published, "all or nothing");
    assert_eq!(store.product(product).await.unwrap(), after);
    assert_eq!(refusal(store.publish(ActivityId(99), None).await), Refusal::NotFound);
    assert_eq!(refusal(store.activity(ActivityId(99)).await), Refusal::NotFound);

    let of = |id| first_ids(store, Some(id));
    assert_eq!(of(product).await, [small, large]);
    assert!(of(ProductId(99)).await.is_empty());
    assert_eq!(first_ids(store, None).await, [small, large]);
    let page = Page { after: Some(small), limit: 1 };
    assert_eq!(store.activities(None, page).await.unwrap()[0].id, large);
}

async fn first_ids(store: &dyn Store, of: Option<ProductId>) -> Vec<ActivityId> {
    let found = store.activities(of, first(100)).await.unwrap();
    found.into_iter().map(|activity| activity.id).collect()
}

pub(in crate::store) async fn racing_publishers_never_oversell(store: &dyn Store) {
    let product = product(store, 10).await;
    let id = draft(store, product, 3).await;
    let race = tokio::join!(store.publish(id, None), store.publish(id, None));
    let won = [&race.0, &race.1].iter().filter(|result| result.is_ok()).count();
    assert_eq!(won, 1);
    let lost = if race.0.is_ok() { race.1 } else { race.0 };
    assert_eq!(refusal(lost), Refusal::State);
    assert_eq!(store.product(product).await.unwrap().stock, 7);

    let (left, right) = (draft(store, product, 4).await, draft(store, product, 4).await);
    let race = tokio::join!(store.publish(left, None), store.publish(right, None));
    let lost = if race.0.is_ok() { race.1 } else { race.0 };
    assert_eq!(refusal(lost), Refusal::InsufficientStock { remaining: 3 });
    assert_eq!(store.product(product).await.unwrap().stock, 3);
}

pub(in crate::store) async fn of_racing_changes_of_one_version_one_is_made(store: &dyn Store) {
    race_by_version(store, store).await;
}

/// Two operators change what both have read, each by a way of their own to one store.
pub(in crate::store) async fn race_by_version(one: &dyn Store, other: &dyn Store) {
    let id = product(one, 10).await;
    for price in [10, 20, 30, 40] {
        let version = one.product(id).await.unwrap().version;
        let to = |price| ProductUpdate { price: Some(price), ..ProductUpdate::default() };
        let (won, lost) = finish(tokio::join!(
            one.update_product(id, version, to(price)),
            other.update_product(id, version, to(price + 1)),
        ));
        assert_eq!(lost, Refusal::Stale { current: won.version });
        assert_eq!(one.product(id).await.unwrap(), won);
    }
    let id = draft(one, id, 4).await;
    let version = one.activity(id).await.unwrap().version;
    let to = |stocked| ActivityUpdate { stocked: Some(stocked), ..ActivityUpdate::default() };
    let (changed, lost) = finish(tokio::join!(
        one.update_activity(id, version, to(2)),
        other.update_activity(id, version, to(3)),
    ));
    assert_eq!(lost, Refusal::Stale { current: changed.version });
    let (won, lost) = finish(tokio::join!(
        one.publish(id, Some(changed.version)),
        other.publish(id, Some(changed.version)),
    ));
    assert_eq!((lost, won.stocked), (Refusal::State, changed.stocked));
    let stock = one.product(won.product).await.unwrap().stock;
    assert_eq!(stock, 10 - i64::from(won.stocked));

    let id = draft(one, won.product, 4).await;
    let version = one.activity(id).await.unwrap().version;
    let (won, lost) = finish(tokio::join!(
        one.publish(id, Some(version)),
        other.update_activity(id, version, to(1)),
    ));
    assert_eq!(lost, Refusal::Stale { current: won.version });
    assert_eq!(one.activity(id).await.unwrap(), won);
}

/// What came of a race: what the one made that won, and what the other was told.
fn finish<T: std::fmt::Debug>(race: (Stored<T>, Stored<T>)) -> (T, Refusal) {
    match race {
        (Ok(won), lost) | (lost, Ok(won)) => (won, refusal(lost)),
        neither => panic!("nobody has won: {neither:?}"),
    }
}

pub(in crate::store) async fn only_a_draft_changes_what_was_promised(store: &dyn Store) {
    let product = product(store, 10).await;
    let id = draft(store, product, 3).await;
    let version = store.activity(id).await.unwrap().version;
    let draft_only = [
        ActivityUpdate { sale_price: Some(1), ..ActivityUpdate::default() },
        ActivityUpdate { stocked: Some(2), ..ActivityUpdate::default() },
        ActivityUpdate { per_user_limit: Some(1), ..ActivityUpdate::default() },
    ];
    let mut activity = store.activity(id).await.unwrap();
    for update in draft_only.clone() {
        activity = store.update_activity(id, activity.version, update).await.unwrap();
    }
    assert_eq!((activity.sale_price, activity.stocked, activity.per_user_limit), (1, 2, 1));
    let current = activity.version;
    let refused = refusal(store.update_activity(id, version, ActivityUpdate::default()).await);
    assert_eq!(refused, Refusal::Stale { current });

    let published = store.publish(id, None).await.unwrap();
    for update in draft_only {
        let refused = refusal(store.update_activity(id, published.version, update).await);
        assert_eq!(refused, Refusal::State);
    }
    assert_eq!(store.activity(id).await.unwrap(), published);
    let later = ActivityUpdate {
        title: Some("Longer sale".to_owned()),
        pay_window_ms: Some(1_000),
        starts_at: Some(at(1)),
        ends_at: Some(at(2)),
        admission: Some(true),
        ..ActivityUpdate::default()
    };
    let changed = store.update_activity(id, published.version, later.clone()).await.unwrap();
    let expected = Activity {
        title: "Longer sale".to_owned(),
        pay_window_ms: 1_000,
        starts_at: at(1),
        ends_at: at(2),
        admission: true,
        version: changed.version,
        ..published
    };
    assert_eq!(changed, expected);
    let unknown = store.update_activity(ActivityId(99), 1, later).await;
    assert_eq!(refusal(unknown), Refusal::NotFound);
}

pub(in crate::store) async fn restocking_moves_units_once(store: &dyn Store) {
    let activity = sale(store, 10).await;
    let id = activity.id;
    let first = store.restock(id, 4, once(1, 1, 0)).await.unwrap();
    let Outcome::New(first) = first else { panic!("done before: {first:?}") };
    assert_eq!(first.stocked, 14);
    assert!(first.version > activity.version);
    let again = store.restock(id, 4, once(1, 1, 1)).await.unwrap();
    assert_eq!(again, Outcome::Again(first.clone()));
    assert_eq!(refusal(store.restock(id, 5, once(1, 2, 2)).await), Refusal::Mismatch);
    assert_eq!(store.product(activity.product).await.unwrap().stock, 6);

    let refused = refusal(store.restock(id, 7, once(2, 1, 3)).await);
    assert_eq!(refused, Refusal::InsufficientStock { remaining: 6 });
    let retried = store.restock(id, 6, once(2, 2, 4)).await.unwrap();
    assert!(matches!(retried, Outcome::New(_)), "refusals are not remembered");
    assert_eq!(store.product(activity.product).await.unwrap().stock, 0);

    let draft = draft(store, activity.product, 1).await;
    assert_eq!(refusal(store.restock(draft, 1, None).await), Refusal::State);
    assert_eq!(refusal(store.restock(id, STOCKED_MAX, None).await), Refusal::State);
    assert_eq!(refusal(store.restock(ActivityId(99), 1, None).await), Refusal::NotFound);
}

pub(in crate::store) async fn keys_name_one_request(store: &dyn Store) {
    let thing = || new_product("Thing", 5);
    let made = store.create_product(thing(), once(1, 1, 0)).await.unwrap();
    let Outcome::New(made) = made else { panic!("made before: {made:?}") };
    let update = ProductUpdate { stock: Some(9), ..ProductUpdate::default() };
    let now = store.update_product(made.id, made.version, update).await.unwrap();
    let again = store.create_product(thing(), once(1, 1, ONCE_MS - 1)).await.unwrap();
    assert_eq!(again, Outcome::Again(now), "as it is now");
    let other_body = store.create_product(thing(), once(1, 2, 1)).await;
    assert_eq!(refusal(other_body), Refusal::Mismatch);
    let other_user = once(1, 2, 1).map(|once| Once { user: UserId(8), ..once });
    assert!(matches!(store.create_product(thing(), other_user).await, Ok(Outcome::New(_))));
    let a_day_later = store.create_product(thing(), once(1, 2, ONCE_MS)).await.unwrap();
    assert!(matches!(a_day_later, Outcome::New(_)));

    let sale = new_activity(made.id, 1);
    let drafted = store.create_activity(sale.clone(), once(2, 1, 0)).await.unwrap().into_inner();
    let again = store.create_activity(sale, once(2, 1, 1)).await.unwrap();
    assert_eq!(again, Outcome::Again(drafted));

    let refund = once(3, 1, 0).unwrap();
    assert_eq!(store.remember(refund, 5).await.unwrap(), Outcome::New(5));
    assert_eq!(store.remember(refund, 6).await.unwrap(), Outcome::Again(5));
    let other_body = Once { body: [9; 16], ..refund };
    assert_eq!(refusal(store.remember(other_body, 5).await), Refusal::Mismatch);
    store.forget(refund.user, refund.key).await.unwrap();
    assert_eq!(store.remember(other_body, 6).await.unwrap(), Outcome::New(6));
    store.sweep(at(ONCE_MS)).await.unwrap();
    assert_eq!(store.remember(refund, 7).await.unwrap(), Outcome::New(7));
}

pub(in crate::store) async fn pollers_see_every_change(store: &dyn Store) {
    let activity = sale(store, 10).await;
    let other = sale(store, 10).await;
    draft(store, other.product, 1).await;
    let changed = async |after| {
        let changed = store.activities_changed(after).await.unwrap();
        changed.into_iter().map(|activity| activity.id).collect::<Vec<_>>()
    };
    assert_eq!(changed(0).await, [activity.id, other.id], "drafts are no one's business");
    let seen = other.version;
    assert!(changed(seen).await.is_empty());
    store.restock(activity.id, 1, None).await.unwrap();
    assert_eq!(changed(seen).await, [activity.id]);
    assert_eq!(changed(0).await, [other.id, activity.id], "in the order of their changes");
    let products = store.products_changed(seen).await.unwrap();
    assert_eq!(products.iter().map(|product| product.id).collect::<Vec<_>>(), [activity.product]);
    assert!(store.products_changed(u64::MAX).await.unwrap().is_empty());
}

pub(in crate::store) async fn poisoned_text_comes_back_as_it_was(store: &dyn Store) {
    let huge = "𝕊".repeat(100_000);
    for text in
        ["'; DROP TABLE account; --", "\"", "`", "%_\\", "\u{1}\u{7f}", "שלום 🛒", "", &*huge]
    {
        let title = text.to_owned();
        let new = NewProduct { title, description: text.to_owned(), ..new_product("", i64::MAX) };
        let made = store.create_product(new, None).await.unwrap().into_inner();
        let found = store.product(made.id).await.unwrap();
        assert_eq!((&*found.title, &*found.description, found.stock), (text, text, i64::MAX));
    }
}
