//! What every store must do, in one suite that each implementation runs on an empty store.
//!
//! It must not know which store it is given.

pub(super) mod flushes;
pub(super) mod gateways;
mod history;
pub(super) mod leases;
pub(super) mod migrations;
pub(super) mod poison;
pub(super) mod sales;
pub(super) mod trail;
pub(super) mod users;

use seckill_shards::clock::Timestamp;
use seckill_shards::ids::{ActivityId, ProductId, UserId};

use super::{
    Activity, NewActivity, NewProduct, NewUser, Once, Outcome, Page, Refusal, Roles, Store,
    StoreError, Stored,
};

/// Makes one test of each case of the suite; `$open` is an expression that gives an empty store.
macro_rules! conformance {
    ($open:expr) => {
        conformance! { $open;
            users: accounts_are_found_by_id_and_name, names_are_unique, updates_touch_what_they_name,
                lists_go_by_prefix_and_name, load_test_users_come_in_bulk,
                revocations_are_read_once_and_swept, a_reset_is_used_once_and_in_time,
                a_user_has_one_reset, a_new_password_closes_the_reset;
            sales: products_are_listed_and_searched, product_updates_need_the_version,
                drafts_follow_their_product_until_published, publishing_moves_the_units_once,
                racing_publishers_never_oversell, of_racing_changes_of_one_version_one_is_made,
                only_a_draft_changes_what_was_promised,
                restocking_moves_units_once, keys_name_one_request, pollers_see_every_change,
                poisoned_text_comes_back_as_it_was;
            flushes: registration_names_what_happened, a_run_becomes_rows,
                d10_replaying_the_journal_changes_nothing, a_run_that_does_not_follow_is_refused,
                what_the_store_lacks_is_not_moved, units_that_leave_are_the_products_again,
                units_that_come_to_a_closing_go_back, orders_are_listed_newest_first,
                an_audit_reads_one_instant, a_payment_keeps_the_key_that_started_it,
                money_that_is_owed_back_is_given_once, a_refund_after_the_closing_keeps_its_instant;
            poison: a_row_that_is_not_taken_is_found_and_the_rest_goes_on,
                rows_that_follow_one_that_is_missing_are_found_too, rows_that_stand_aside_are_all_told_of,
                a_rehearsal_leaves_nothing, a_store_that_lacks_too_much_is_another_one;
            leases: members_join_once_and_generations_are_given_once,
                a_confirmed_order_gets_its_deadline_then,
                the_last_member_brings_home_what_none_keeps,
                a_member_that_is_lost_and_was_done_keeps_nobody_waiting,
                what_is_withdrawn_comes_home_once,
                what_is_refunded_without_its_units_stays_out,
                what_a_retired_gateway_had_begun_is_done_or_begun_anew,
                a_phase_that_is_followed_is_not_written_back;
            gateways: gateways_find_each_other, what_the_store_has_of_a_gateway_never_shrinks,
                a_gateway_that_says_nothing_is_known_by_its_journal,
                c18_a_retired_gateway_changes_nothing_and_its_adopter_goes_on,
                who_is_retired_takes_along_whom_it_has_adopted,
                a_gateway_is_asked_to_hand_itself_over;
            trail: acts_are_listed_newest_first_as_they_were,
                an_act_is_noted_once_for_as_long_as_its_key_counts,
                old_acts_are_swept_and_their_numbers_stay_theirs;
        }
    };
    ($open:expr; $($part:ident: $($case:ident),+;)+) => {$($(
        #[tokio::test]
        async fn $case() {
            let store = $open;
            crate::store::conformance::$part::$case(&*store).await;
        }
    )+)+};
}
pub(super) use conformance;

/// An instant of the suite, in milliseconds since it began.
fn at(ms: u64) -> Timestamp {
    Timestamp(1_790_000_000_000 + ms)
}

fn refusal<T: std::fmt::Debug>(result: Stored<T>) -> Refusal {
    match result {
        Err(StoreError::Refused(refusal)) => refusal,
        other => panic!("no refusal: {other:?}"),
    }
}

fn first<C>(limit: u32) -> Page<C> {
    Page { after: None, limit }
}

fn new_user(username: &str) -> NewUser {
    NewUser {
        username: username.to_owned(),
        display_name: String::new(),
        password_hash: Some("$argon2id$...".to_owned()),
        roles: Roles::SHOPPER,
    }
}

fn new_product(title: &str, stock: i64) -> NewProduct {
    NewProduct {
        title: title.to_owned(),
        description: "A thing.".to_owned(),
        image_url: String::new(),
        price: 19_900,
        currency: *b"USD",
        stock,
    }
}

fn new_activity(product: ProductId, stocked: u32) -> NewActivity {
    NewActivity {
        title: "Sale".to_owned(),
        product,
        sale_price: 9_900,
        stocked,
        per_user_limit: 2,
        pay_window_ms: 900_000,
        starts_at: at(0),
        ends_at: at(3_600_000),
        admission: false,
    }
}

fn once(key: u8, body: u8, ms: u64) -> Option<Once> {
    Some(Once { user: UserId(7), key: [key; 16], body: [body; 16], at: at(ms) })
}

async fn product(store: &dyn Store, stock: i64) -> ProductId {
    store.create_product(new_product("Thing", stock), None).await.unwrap().into_inner().id
}

async fn draft(store: &dyn Store, product: ProductId, stocked: u32) -> ActivityId {
    let draft = store.create_activity(new_activity(product, stocked), None).await.unwrap();
    assert!(matches!(draft, Outcome::New(_)));
    draft.into_inner().id
}

/// A published activity with `stocked` units, of a product with as many more.
async fn sale(store: &dyn Store, stocked: u32) -> Activity {
    let product = product(store, 2 * i64::from(stocked)).await;
    let draft = draft(store, product, stocked).await;
    store.publish(draft, None).await.unwrap()
}
