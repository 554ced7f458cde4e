//! What goes wrong without one of the protocol's rules, as far as Redis keeps the rule. Each case
//! is the shortest run that would have lent a unit twice, passed a limit, or lost a unit or a
//! place for good.
//!
//! The cases that are missing here (C4, C7, C8, C17 to C19) are rules of gateways alone.

use super::sale::{
    ACTIVITY, G0, G1, KEY, Sale, adopted, declaration, gateway, orders, place, release,
};
use super::server::Server;
use crate::reconcile::{Declaration, LeaseRequest, Refusal, Resumed};

/// g0 is granted one; Redis comes back without that write, in the same generation; g1's numbers
/// still fit, so by numbers alone it would be lent both units: three of two.
pub(super) async fn c1_memory_that_was_rolled_back_is_noticed_by_redis(server: &mut Server) {
    let sale = Sale::of(server, 2);
    let era = sale.live(&[G0, G1]).await;
    server.tell::<()>(&["SAVE"]);
    assert_eq!(sale.take(sale.request(era, G0, 1), 0, 1).await, Ok(1));
    server.kill_and_start();
    let sale = Sale::of(server, 2);
    let forgot = Refusal::Forgot { era };
    assert_eq!(sale.take(sale.request(era, G1, 1), 0, 2).await, Err(forgot));
    let found = sale.status().await.unwrap();
    assert!(found.live && !found.remembers);
    assert_eq!(found.leased, 0, "it did forget");
    assert_eq!(sale.declare(declaration(era, G0, 1, 1)).await, Err(forgot));
    assert_eq!(sale.resume(era, &[]).await, Err(forgot));
    let era = sale.begin(Some(era), 2).await.unwrap();
    sale.declare(declaration(era, G0, 1, 1)).await.unwrap();
    sale.declare(declaration(era, G1, 0, 0)).await.unwrap();
    sale.resume(era, &[G0, G1]).await.unwrap();
    assert_eq!(sale.take(sale.request(era, G1, 1), 0, 2).await, Ok(1));
}

/// A grants to g0 what its replica B never hears of; B is promoted, A follows it and forgets, A is
/// promoted again: it is the same process as when the era began.
pub(super) async fn c2_a_fail_over_there_and_back_is_noticed(server: &mut Server) {
    let (a, a_port) = Server::start_open(server.text());
    let (b, b_port) = Server::start_open(server.text());
    let follow = |follower: &Server, port: u16| {
        follower.tell::<()>(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
        follower.until("Finished with success");
    };
    // A first replica gives A's history its name; an era that was begun before is begun again.
    follow(&b, a_port);
    let sale = Sale::of(&a, 2);
    let era = sale.live(&[G0, G1]).await;
    a.replicate();
    let on_replica = Sale::of(&b, 2);
    let asked = on_replica.leases.status(&[ACTIVITY]).await.unwrap().remove(0);
    assert!(asked.is_err(), "a replica is nobody's memory");
    b.tell::<()>(&["REPLICAOF", "NO", "ONE"]);
    let forgot = Err(Refusal::Forgot { era });
    assert_eq!(on_replica.take(on_replica.request(era, G1, 1), 0, 2).await, forgot);
    assert_eq!(sale.take(sale.request(era, G0, 1), 0, 1).await, Ok(1), "A is cut off, not wrong");
    follow(&a, b_port);
    a.tell::<()>(&["REPLICAOF", "NO", "ONE"]);
    let sale = Sale::of(&a, 2);
    let found = sale.status().await.unwrap();
    assert_eq!((found.era, found.leased), (era, 0), "it did forget");
    assert_eq!(sale.take(sale.request(era, G1, 1), 0, 2).await, forgot);
    server.absorb(a);
    server.absorb(b);
}

/// An answer that was under way while Redis was flushed is of the era before.
pub(super) async fn c3_a_reply_names_its_era(server: &mut Server) {
    let sale = Sale::of(server, 1);
    let first = sale.live(&[G0]).await;
    let request = LeaseRequest { want: 1, ..sale.request(first, G0, 1) };
    let late = sale.lease(request.clone()).await.unwrap();
    server.tell::<()>(&["FLUSHALL"]);
    let second = sale.live(&[G0]).await;
    assert_ne!(late.era, second);
    assert_eq!(sale.lease(request).await, Err(Refusal::Era { era: second }));
}

/// A doubled "I have nothing" arrives after more was leased.
pub(super) async fn c5_a_doubled_declaration_gives_nothing_back(server: &mut Server) {
    let sale = Sale::of(server, 2);
    let era = sale.live(&[G0, G1]).await;
    assert_eq!(sale.take(sale.request(era, G0, 1), 0, 2).await, Ok(2));
    assert_eq!(sale.declare(declaration(era, G0, 0, 0)).await, Ok(()));
    assert_eq!(sale.take(sale.request(era, G1, 1), 0, 2).await, Ok(0));
}

/// A member that has not declared yet has units.
pub(super) async fn c6_lending_waits_for_every_member(server: &mut Server) {
    let sale = Sale::of(server, 1);
    let era = sale.begin(None, 1).await.unwrap();
    sale.declare(declaration(era, G1, 0, 0)).await.unwrap();
    let waits = Err(Refusal::NotYet { member: G0.member });
    assert_eq!(sale.resume(era, &[G0, G1]).await, waits);
    assert_eq!(sale.take(sale.request(era, G1, 1), 0, 1).await, Err(Refusal::Rebuilding));
    sale.declare(declaration(era, G0, 1, 1)).await.unwrap();
    assert_eq!(sale.resume(era, &[G0, G1]).await, Ok(Resumed { excess: 0 }));
    assert_eq!(sale.take(sale.request(era, G1, 1), 0, 1).await, Ok(0));
}

/// Generations come from the store; one that was replaced does not come back.
pub(super) async fn c9_a_generation_is_begun_once(server: &mut Server) {
    let sale = Sale::of(server, 1);
    let first = sale.begin(None, 1).await.unwrap();
    let second = sale.begin(Some(first), 2).await.unwrap();
    let taken = Err(Refusal::Era { era: second });
    assert_eq!(sale.begin(Some(first), 3).await, taken, "the first of two wins");
    assert_eq!(sale.begin(Some(second), 2).await, taken);
    assert_eq!(sale.begin(Some(second), 1).await, taken);
}

/// A second flush; then everything that the first rebuild sent comes once more, late.
pub(super) async fn c10_a_replayed_rebuild_completes_nothing(server: &mut Server) {
    let sale = Sale::of(server, 1);
    let first = sale.live(&[G0, G1]).await;
    assert_eq!(sale.take(sale.request(first, G0, 1), 0, 1).await, Ok(1));
    server.tell::<()>(&["FLUSHALL"]);
    let second = sale.begin(None, 1).await.unwrap();
    assert_eq!(second.generation, first.generation);
    assert_ne!(second, first, "the same words make another era");
    let other = Refusal::Era { era: second };
    for holder in [G0, G1] {
        assert_eq!(sale.declare(declaration(first, holder, 0, 0)).await, Err(other));
    }
    assert_eq!(sale.resume(first, &[G0, G1]).await, Err(other));
    assert_eq!(sale.resume(second, &[G0]).await, Err(Refusal::NotYet { member: G0.member }));
}

/// A give-back that is said twice adds its units once.
pub(super) async fn c11_units_are_given_back_once(server: &mut Server) {
    let sale = Sale::of(server, 3);
    let era = sale.live(&[G0, G1]).await;
    assert_eq!(sale.take(sale.request(era, G0, 1), 0, 3).await, Ok(3));
    for _ in 0..3 {
        assert_eq!(sale.take(sale.request(era, G0, 2), 2, 0).await, Ok(0));
    }
    assert_eq!(sale.take(sale.request(era, G1, 1), 0, 3).await, Ok(1));
}

/// The answer to a give-back was lost, and more was given back meanwhile: what counts is what the
/// gateway has.
pub(super) async fn c12_a_give_back_is_absolute(server: &mut Server) {
    let sale = Sale::of(server, 9);
    let era = sale.live(&[G0]).await;
    assert_eq!(sale.take(sale.request(era, G0, 1), 0, 9).await, Ok(9));
    assert_eq!(sale.take(sale.request(era, G0, 2), 6, 0).await, Ok(0));
    assert_eq!(sale.take(sale.request(era, G0, 2), 4, 0).await, Ok(0), "lost: told again");
    assert_eq!(sale.status().await.unwrap().leased, 6, "the rest goes into the next");
    assert_eq!(sale.take(sale.request(era, G0, 3), 4, 0).await, Ok(0));
    assert_eq!(sale.status().await.unwrap().leased, 4);
}

/// A grant whose answer was lost is told under its number, also to a gateway that was restarted
/// and now asks for something else.
pub(super) async fn c13_a_lost_answer_is_told_again(server: &mut Server) {
    let sale = Sale::of(server, 9);
    let era = sale.live(&[G0]).await;
    let request = LeaseRequest { want: 4, ..sale.request(era, G0, 1) };
    let lost = sale.lease(request.clone()).await.unwrap();
    let other = LeaseRequest { want: 1, ..request };
    assert_eq!(sale.lease(other).await, Ok(lost));
    assert_eq!(sale.status().await.unwrap().leased, 4);
}

/// Redis forgot g0's place; before g0 has declared it, g1 asks for the same buyer's.
pub(super) async fn c14_a_forgotten_place_is_not_confirmed(server: &mut Server) {
    let sale = Sale::of(server, 2);
    let era = sale.live(&[G0, G1]).await;
    for holder in [G0, G1] {
        assert_eq!(sale.take(sale.request(era, holder, 1), 0, 1).await, Ok(1));
    }
    let yes = sale.confirm(sale.request(era, G0, 2), 1, &[place(1, 10, 1)]).await;
    assert_eq!(yes, Ok(orders(&[10])));
    server.tell::<()>(&["FLUSHALL"]);
    let era = sale.begin(None, 2).await.unwrap();
    sale.declare(declaration(era, G1, 1, 1)).await.unwrap();
    let confirm = || sale.confirm(sale.request(era, G1, 2), 1, &[]);
    assert_eq!(confirm().await, Err(Refusal::Rebuilding));
    let places = vec![place(1, 10, 1)];
    sale.declare(Declaration { places, ..declaration(era, G0, 2, 1) }).await.unwrap();
    sale.resume(era, &[G0, G1]).await.unwrap();
    let yes = sale.confirm(sale.request(era, G1, 2), 1, &[place(1, 20, 1)]).await;
    assert_eq!(yes, Ok(Vec::new()));
}

/// A confirm arrives once more after its order was released: its number is over.
pub(super) async fn c15_a_late_confirm_strands_no_place(server: &mut Server) {
    let sale = Sale::of(server, 2);
    let era = sale.live(&[G0, G1]).await;
    for holder in [G0, G1] {
        assert_eq!(sale.take(sale.request(era, holder, 1), 0, 1).await, Ok(1));
    }
    let places = [place(1, 10, 1)];
    let late = || sale.confirm(sale.request(era, G0, 2), 1, &places);
    assert_eq!(late().await, Ok(orders(&[10])));
    let releases = vec![release(1, 10)];
    let request = LeaseRequest { releases, have: 1, ..sale.request(era, G0, 3) };
    sale.lease(request).await.unwrap();
    assert_eq!(late().await, Err(Refusal::Number { n: 3 }));
    let yes = sale.confirm(sale.request(era, G1, 2), 1, &[place(1, 20, 1)]).await;
    assert_eq!(yes, Ok(orders(&[20])));
}

/// An order ended while the answer to its confirm was lost: the gateway never learned of its
/// place, and releases it all the same.
pub(super) async fn c16_every_ended_order_is_released(server: &mut Server) {
    let sale = Sale::of(server, 2);
    let era = sale.live(&[G0]).await;
    assert_eq!(sale.take(sale.request(era, G0, 1), 0, 1).await, Ok(1));
    let places = [place(1, 10, 1)];
    let lost = sale.confirm(sale.request(era, G0, 2), 1, &places).await;
    assert_eq!(lost, Ok(orders(&[10])));
    let releases = vec![release(1, 10)];
    let release = LeaseRequest { releases, have: 1, ..sale.request(era, G0, 2) };
    let told = sale.lease(release.clone()).await.unwrap();
    assert_eq!((told.yes, told.released), (orders(&[10]), orders(&[])), "of the lost one");
    let told = sale.lease(LeaseRequest { n: 3, ..release }).await.unwrap();
    assert_eq!(told.released, orders(&[10]));
    assert_eq!(server.tell::<u64>(&["HEXISTS", KEY, "b:1"]), 0);
}

/// The places that are declared are those of confirmed orders; an adopter adds the accepted ones,
/// and the tie that this can make refuses both rather than confirm both.
pub(super) async fn c20_declared_places_decide_ties(server: &mut Server) {
    let sale = Sale::of(server, 9);
    let era = sale.begin(None, 1).await.unwrap();
    let declared =
        |holder, place| Declaration { places: vec![place], ..declaration(era, holder, 0, 2) };
    sale.declare(declared(adopted(0), place(1, 10, 1))).await.unwrap();
    sale.declare(declared(G1, place(1, 20, 1))).await.unwrap();
    sale.declare(declared(gateway(2), place(2, 30, 2))).await.unwrap();
    sale.resume(era, &[adopted(0), G1, gateway(2)]).await.unwrap();
    // g1's order is confirmed and stays so; the adopted one was only accepted.
    let yes = sale.confirm(sale.request(era, adopted(0), 1), 2, &[place(1, 10, 1)]).await;
    assert_eq!(yes, Ok(Vec::new()));
    let yes = sale.confirm(sale.request(era, G1, 1), 2, &[place(1, 20, 1)]).await;
    assert_eq!(yes, Ok(orders(&[20])), "the refused one holds no place");
    let yes = sale.confirm(sale.request(era, gateway(2), 1), 2, &[place(2, 30, 2)]).await;
    assert_eq!(yes, Ok(orders(&[30])), "what stands alone is never refused");
    let yes = sale.confirm(sale.request(era, adopted(0), 2), 2, &[place(2, 11, 1)]).await;
    assert_eq!(yes, Ok(Vec::new()));
}
