//! Accounts and revocations.

use seckill_shards::ids::UserId;

use super::{at, first, new_user, refusal};
use crate::store::{
    NewUser, Page, PasswordReset, Refusal, Revocation, Revoked, Roles, SignOut, Store, User,
    UserUpdate,
};

pub(in crate::store) async fn accounts_are_found_by_id_and_name(store: &dyn Store) {
    let operator = Roles::SHOPPER.with(Roles::OPERATOR);
    let made = store
        .create_user(NewUser { roles: operator, display_name: "Ann".to_owned(), ..new_user("ann") })
        .await
        .unwrap();
    assert_eq!(made.username, "ann");
    assert!(made.roles.has(Roles::OPERATOR) && !made.roles.has(Roles::ADMIN));
    assert_eq!(store.user(made.id).await.unwrap(), made);
    assert_eq!(store.user_by_name("ann".to_owned()).await.unwrap(), made);
    for id in [UserId(0), UserId(made.id.0 + 1), UserId(u64::MAX)] {
        assert_eq!(refusal(store.user(id).await), Refusal::NotFound);
    }
    for name in ["", "an", "ann ", "Ann", "' OR 1=1 --", "ann\u{1}"] {
        assert_eq!(refusal(store.user_by_name(name.to_owned()).await), Refusal::NotFound);
    }
}

pub(in crate::store) async fn names_are_unique(store: &dyn Store) {
    let ann = store.create_user(new_user("ann")).await.unwrap();
    assert_eq!(refusal(store.create_user(new_user("ann")).await), Refusal::Taken);
    let bob = store.create_user(new_user("bob")).await.unwrap();
    assert!(bob.id > ann.id);
}

pub(in crate::store) async fn updates_touch_what_they_name(store: &dyn Store) {
    let ann = store.create_user(new_user("ann")).await.unwrap();
    let bob = store.create_user(new_user("bob")).await.unwrap();
    assert_eq!(store.update_user(ann.id, UserUpdate::default()).await.unwrap(), ann);

    let name = UserUpdate { display_name: Some("Ann ❤".to_owned()), ..UserUpdate::default() };
    let named = User { display_name: "Ann ❤".to_owned(), ..ann.clone() };
    assert_eq!(store.update_user(ann.id, name.clone()).await.unwrap(), named);

    let hash = UserUpdate { password_hash: Some("$new".to_owned()), ..UserUpdate::default() };
    let hashed = User { password_hash: Some("$new".to_owned()), ..named };
    assert_eq!(store.update_user(ann.id, hash).await.unwrap(), hashed);

    let sign_out = Some(SignOut { valid_from: at(5), until: at(50) });
    let roles = UserUpdate { roles: Some(Roles::ADMIN), sign_out, ..UserUpdate::default() };
    let admin = User { roles: Roles::ADMIN, ..hashed };
    assert_eq!(store.update_user(ann.id, roles).await.unwrap(), admin);
    let revoked = Revoked::User { user: ann.id, valid_from: at(5) };
    assert_eq!(
        store.revocations(0).await.unwrap(),
        [Revocation { number: 1, revoked, until: at(50) }]
    );

    assert_eq!(store.user(bob.id).await.unwrap(), bob);
    assert_eq!(refusal(store.update_user(UserId(99), name).await), Refusal::NotFound);
}

pub(in crate::store) async fn lists_go_by_prefix_and_name(store: &dyn Store) {
    for name in ["bob", "ann", "anna", "an", "a_b", "zoe", "a%b"] {
        store.create_user(new_user(name)).await.unwrap();
    }
    let names = async |prefix: &str, after: Option<&str>, limit| {
        let page = Page { after: after.map(str::to_owned), limit };
        let users = store.users(prefix.to_owned(), page).await.unwrap();
        users.into_iter().map(|user| user.username).collect::<Vec<_>>()
    };
    assert_eq!(names("", None, 100).await, ["a%b", "a_b", "an", "ann", "anna", "bob", "zoe"]);
    assert_eq!(names("an", None, 2).await, ["an", "ann"]);
    assert_eq!(names("an", Some("ann"), 2).await, ["anna"]);
    assert_eq!(names("an", Some("a"), 1).await, ["an"], "a cursor does not leave the prefix");
    assert_eq!(names("a%", None, 100).await, ["a%b"]);
    assert_eq!(names("a_", None, 100).await, ["a_b"]);
    assert!(names("an", Some("zoe"), 100).await.is_empty());
    assert!(names("", None, 0).await.is_empty());
}

pub(in crate::store) async fn load_test_users_come_in_bulk(store: &dyn Store) {
    store.create_user(new_user("ann")).await.unwrap();
    let begin = store.create_users("load-".to_owned(), 3_000).await.unwrap();
    let again = store.create_users("load-".to_owned(), 2).await.unwrap();
    assert_eq!(again.0, begin.0 + 3_000);
    for id in [begin.0, begin.0 + 2_999, again.0 + 1] {
        let user = store.user(UserId(id)).await.unwrap();
        assert_eq!(user.username, format!("load-{id}"));
        assert_eq!((user.password_hash, user.roles), (None, Roles::SHOPPER));
    }
    assert_eq!(refusal(store.user(UserId(again.0 + 2)).await), Refusal::NotFound);

    store.create_user(new_user(&format!("bot-{}", again.0 + 4))).await.unwrap();
    assert_eq!(refusal(store.create_users("bot-".to_owned(), 9).await), Refusal::Taken);
    assert_eq!(store.users("bot-".to_owned(), first(9)).await.unwrap().len(), 1, "all or none");
}

pub(in crate::store) async fn revocations_are_read_once_and_swept(store: &dyn Store) {
    for token in 1..=3 {
        store.revoke_token([token; 16], at(10 * u64::from(token))).await.unwrap();
    }
    let seen = store.revocations(1).await.unwrap();
    let tokens: Vec<_> = seen.iter().map(|seen| (seen.number, seen.revoked)).collect();
    assert_eq!(tokens, [(2, Revoked::Token([2; 16])), (3, Revoked::Token([3; 16]))]);
    store.sweep(at(20)).await.unwrap();
    assert_eq!(store.revocations(0).await.unwrap(), seen[1..]);
    store.sweep(at(30)).await.unwrap();
    store.revoke_token([4; 16], at(40)).await.unwrap();
    let numbers: Vec<_> = store.revocations(3).await.unwrap().iter().map(|r| r.number).collect();
    assert_eq!(numbers, [4], "a number is never given twice");
}

/// A reset of the user that ends after some milliseconds, by a token of this byte.
async fn open_reset(store: &dyn Store, user: UserId, token: u8, until_ms: u64) {
    let reset = PasswordReset { user, token: [token; 16], until: at(until_ms) };
    store.open_reset(reset).await.unwrap();
}

fn new_password(hash: &str) -> UserUpdate {
    let sign_out = Some(SignOut { valid_from: at(5), until: at(50) });
    UserUpdate { password_hash: Some(hash.to_owned()), sign_out, ..UserUpdate::default() }
}

pub(in crate::store) async fn a_reset_is_used_once_and_in_time(store: &dyn Store) {
    let ann = store.create_user(new_user("ann")).await.unwrap();
    let bob = store.create_user(new_user("bob")).await.unwrap();
    open_reset(store, ann.id, 1, 100).await;
    open_reset(store, bob.id, 2, 100).await;
    for (token, now_ms) in [(3, 0), (1, 100), (1, 101)] {
        let (token, now) = ([token; 16], at(now_ms));
        assert_eq!(refusal(store.reset_of(token, now).await), Refusal::NotFound);
        let used = store.use_reset(token, now, new_password("$late")).await;
        assert_eq!(refusal(used), Refusal::NotFound);
    }
    assert_eq!(store.user(ann.id).await.unwrap(), ann);
    assert!(store.revocations(0).await.unwrap().is_empty(), "nothing happened");

    assert_eq!(store.reset_of([1; 16], at(99)).await.unwrap(), ann.id);
    let used = store.use_reset([1; 16], at(99), new_password("$new")).await.unwrap();
    assert_eq!(used, User { password_hash: Some("$new".to_owned()), ..ann.clone() });
    assert_eq!(store.user(ann.id).await.unwrap(), used);
    let revocations = store.revocations(0).await.unwrap();
    let signed_out = Revoked::User { user: ann.id, valid_from: at(5) };
    assert_eq!(revocations.iter().map(|it| it.revoked).collect::<Vec<_>>(), [signed_out]);

    let again = store.use_reset([1; 16], at(99), new_password("$again")).await;
    assert_eq!(refusal(again), Refusal::NotFound);
    assert_eq!(store.user(ann.id).await.unwrap(), used);
    assert_eq!(store.reset_of([2; 16], at(0)).await.unwrap(), bob.id, "another user's stays");
    store.sweep(at(99)).await.unwrap();
    assert_eq!(store.reset_of([2; 16], at(99)).await.unwrap(), bob.id);
    store.sweep(at(100)).await.unwrap();
    assert_eq!(refusal(store.reset_of([2; 16], at(0)).await), Refusal::NotFound, "swept");
}

pub(in crate::store) async fn a_user_has_one_reset(store: &dyn Store) {
    let ann = store.create_user(new_user("ann")).await.unwrap();
    open_reset(store, ann.id, 1, 100).await;
    open_reset(store, ann.id, 2, 100).await;
    assert_eq!(refusal(store.reset_of([1; 16], at(0)).await), Refusal::NotFound);
    assert_eq!(store.reset_of([2; 16], at(0)).await.unwrap(), ann.id);
    for nobody in [UserId(0), UserId(ann.id.0 + 1), UserId(u64::MAX)] {
        let reset = PasswordReset { user: nobody, token: [3; 16], until: at(100) };
        assert_eq!(refusal(store.open_reset(reset).await), Refusal::NotFound);
    }
}

pub(in crate::store) async fn a_new_password_closes_the_reset(store: &dyn Store) {
    let ann = store.create_user(new_user("ann")).await.unwrap();
    open_reset(store, ann.id, 1, 100).await;
    let name = UserUpdate { display_name: Some("Ann".to_owned()), ..UserUpdate::default() };
    store.update_user(ann.id, name).await.unwrap();
    assert_eq!(store.reset_of([1; 16], at(0)).await.unwrap(), ann.id);
    store.update_user(ann.id, new_password("$new")).await.unwrap();
    assert_eq!(refusal(store.reset_of([1; 16], at(0)).await), Refusal::NotFound);
}
