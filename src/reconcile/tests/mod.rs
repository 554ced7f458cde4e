//! The lease functions in a real Redis: each rule and each branch, the counter-examples of the
//! protocol, and random fleets under random faults.
//!
//! What is tested is the real text in the real server; only gateways and the store are models.

mod clusters;
mod counter_examples;
mod coverage;
mod declaring;
mod leasing;
mod likeness;
mod loading;
mod model;
mod round_trips;
mod sale;
mod server;
mod topologies;

use std::pin::Pin;
use std::thread;

use tokio::runtime::Builder;

use self::server::Server;
use super::library;

/// A case of the suite.
type Case = for<'a> fn(&'a mut Server) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Makes one test of each case, and a list of all of them.
macro_rules! cases {
    ($($part:ident: $($case:ident),+;)+) => {
        $($(
            #[tokio::test]
            async fn $case() {
                $part::$case(&mut Server::start(library::TEXT)).await;
            }
        )+)+

        const CASES: &[(&str, Case)] = &[
            $($((stringify!($case), |server| Box::pin($part::$case(server)))),+),+
        ];
    };
}

/// U6: nobody notices what is wrong in a branch that is never taken.
#[tokio::test]
async fn every_branch_of_every_function_is_taken() {
    let (text, mut missed) = coverage::counted();
    for (_, case) in CASES {
        let mut server = Server::start(text);
        case(&mut server).await;
        let taken = server.taken();
        missed.retain(|branch| !taken.contains(branch));
    }
    assert!(missed.is_empty(), "lines of leases.lua, and which side: {missed:?}");
}

/// A case that takes a branch may yet not look at what comes of it. So each condition is broken, to
/// both sides, and some case must fail.
#[test]
fn a_broken_condition_fails_a_case() {
    let mut unseen = Vec::new();
    for (what, text) in coverage::broken() {
        let text: &'static str = text.leak();
        match CASES.iter().find(|(_, case)| fails(*case, text)) {
            Some((name, _)) => println!("{what}: {name}"),
            None => unseen.push(what),
        }
    }
    assert!(unseen.is_empty(), "no case fails with {unseen:#?}");
}

fn fails(case: Case, text: &'static str) -> bool {
    let run = move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(case(&mut Server::start(text)));
    };
    thread::spawn(run).join().is_err()
}

cases! {
    declaring: nothing_is_there_before_it_is_begun, an_era_is_begun_once,
        a_declaration_counts_once, a_later_epoch_replaces_and_fences,
        what_nobody_knew_is_not_declared_late, lending_begins_when_all_have_declared,
        many_places_come_in_parts, parts_are_of_one_epoch, parts_are_the_same_however_often,
        too_much_declared_is_an_alarm_and_heals, another_thing_under_the_key_is_left_alone,
        withdrawn_units_are_a_member_like_any;
    leasing: units_are_lent_and_given_back, one_number_has_one_answer,
        who_has_not_declared_is_lent_nothing, news_of_the_stock_are_taken_once,
        a_closed_activity_lends_nothing, what_cannot_be_is_an_alarm_and_changes_nothing,
        others_shortage_is_told, a_limit_counts_all_gateways, a_batch_is_done_in_order,
        an_order_is_its_gateways_alone, places_of_a_replaced_epoch_do_not_count,
        ids_have_all_their_digits, large_batches_are_written_whole,
        many_activities_share_a_round_trip, damage_is_a_fault_and_changes_nothing;
    loading: functions_are_loaded_where_they_are_missing, a_newer_version_is_not_gone_on_with,
        altered_functions_are_not_gone_on_with, a_hash_of_another_version_is_not_touched,
        a_redis_that_hides_its_incarnation_is_refused, a_refused_connection_is_made_again,
        a_master_that_is_none_any_more_is_left, what_is_not_allowed_is_not_half_done;
    counter_examples: c1_memory_that_was_rolled_back_is_noticed_by_redis,
        c2_a_fail_over_there_and_back_is_noticed, c3_a_reply_names_its_era,
        c5_a_doubled_declaration_gives_nothing_back, c6_lending_waits_for_every_member,
        c9_a_generation_is_begun_once, c10_a_replayed_rebuild_completes_nothing,
        c11_units_are_given_back_once, c12_a_give_back_is_absolute,
        c13_a_lost_answer_is_told_again, c14_a_forgotten_place_is_not_confirmed,
        c15_a_late_confirm_strands_no_place, c16_every_ended_order_is_released,
        c20_declared_places_decide_ties;
}
