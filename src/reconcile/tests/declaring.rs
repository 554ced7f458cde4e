//! Eras: how they begin, what is declared in them, when they become live.
//!
//! It must not know how units are lent.

use super::sale::{
    ACTIVITY, G0, G1, KEY, Sale, adopted, declaration, gateway, orders, place, release,
};
use super::server::Server;
use crate::reconcile::messages;
use crate::reconcile::{
    Alarm, Declaration, Era, Holder, Holding, LeaseRequest, Member, Refusal, Resumed, Status, Stock,
};

const NO_ERA: Era = Era { generation: 1, nonce: 1 };

pub(super) async fn nothing_is_there_before_it_is_begun(server: &mut Server) {
    let sale = Sale::of(server, 5);
    assert_eq!(sale.status().await, Err(Refusal::Absent));
    assert_eq!(sale.declare(declaration(NO_ERA, G0, 0, 0)).await, Err(Refusal::Absent));
    assert_eq!(sale.resume(NO_ERA, &[]).await, Err(Refusal::Absent));
    assert_eq!(sale.lease(sale.request(NO_ERA, G0, 1)).await, Err(Refusal::Absent));
    assert_eq!(sale.begin(Some(NO_ERA), 2).await, Err(Refusal::Absent), "it saw what is gone");
    let parts = (0..2_500).map(|it| place(it, it, 1)).collect();
    let many = Declaration { places: parts, ..declaration(NO_ERA, G0, 0, 2_500) };
    assert_eq!(sale.declare(many).await, Err(Refusal::Absent));
}

pub(super) async fn an_era_is_begun_once(server: &mut Server) {
    let sale = Sale::of(server, 5);
    let first = sale.begin(None, 3).await.unwrap();
    assert_eq!(first.generation, 3);
    assert_eq!(sale.begin(None, 3).await, Err(Refusal::Era { era: first }), "doubled");
    assert_eq!(sale.begin(None, 4).await, Err(Refusal::Era { era: first }), "it saw nothing");
    for generation in [2, 3] {
        let late = sale.begin(Some(first), generation).await;
        assert_eq!(late, Err(Refusal::Era { era: first }), "generations grow");
    }
    let second = sale.begin(Some(first), 5).await.unwrap();
    assert_eq!(sale.begin(Some(first), 6).await, Err(Refusal::Era { era: second }));
    let found = sale.status().await.unwrap();
    let nothing = Stock { version: 0, stocked: 0, open: false };
    let expected = Status {
        era: second,
        remembers: true,
        live: false,
        stock: nothing,
        leased: 0,
        holdings: Vec::new(),
    };
    assert_eq!(found, expected);
}

pub(super) async fn a_declaration_counts_once(server: &mut Server) {
    let sale = Sale::of(server, 5);
    let era = sale.begin(None, 1).await.unwrap();
    let wrong = Era { nonce: era.nonce ^ 1, ..era };
    assert_eq!(sale.declare(declaration(wrong, G0, 4, 2)).await, Err(Refusal::Era { era }));
    assert_eq!(sale.declare(declaration(era, G0, 4, 2)).await, Ok(()));
    assert_eq!(sale.declare(declaration(era, G0, 5, 3)).await, Ok(()), "the first counts");
    let found = sale.status().await.unwrap();
    assert_eq!(found.leased, 2);
    assert_eq!(found.holdings, [Holding { holder: G0, n: 4, net: 2, placed: 0 }]);
}

pub(super) async fn a_later_epoch_replaces_and_fences(server: &mut Server) {
    let sale = Sale::of(server, 5);
    let era = sale.live(&[G0, G1]).await;
    assert_eq!(sale.take(sale.request(era, G0, 1), 0, 4).await, Ok(4));
    let kept = Declaration { places: vec![place(1, 10, 1)], ..declaration(era, adopted(0), 0, 1) };
    assert_eq!(sale.declare(kept).await, Ok(()), "live");
    let found = sale.status().await.unwrap();
    assert_eq!(found.leased, 1, "what was not sold is free");
    assert_eq!(found.holdings[0], Holding { holder: adopted(0), n: 0, net: 1, placed: 1 });
    assert_eq!(sale.declare(declaration(era, G0, 1, 4)).await, Err(Refusal::Fenced));
    assert_eq!(sale.take(sale.request(era, G0, 2), 4, 0).await, Err(Refusal::Fenced));
    assert_eq!(sale.take(sale.request(era, G1, 1), 0, 5).await, Ok(4));
}

pub(super) async fn what_nobody_knew_is_not_declared_late(server: &mut Server) {
    let sale = Sale::of(server, 5);
    let era = sale.live(&[G0]).await;
    let alarm = Err(Refusal::Protocol(Alarm::UnknownUnits));
    assert_eq!(sale.declare(declaration(era, G1, 0, 1)).await, alarm);
    assert_eq!(sale.declare(declaration(era, G1, 0, 0)).await, Ok(()), "a newcomer has nothing");
    assert_eq!(sale.take(sale.request(era, G1, 1), 0, 2).await, Ok(2));
}

pub(super) async fn lending_begins_when_all_have_declared(server: &mut Server) {
    let sale = Sale::of(server, 5);
    let era = sale.begin(None, 1).await.unwrap();
    let missing = |holder: Holder| Err(Refusal::NotYet { member: holder.member });
    assert_eq!(sale.resume(era, &[]).await, Err(Refusal::Protocol(Alarm::Nobody)));
    assert_eq!(sale.resume(era, &[G0, G1]).await, missing(G0));
    sale.declare(declaration(era, G0, 0, 0)).await.unwrap();
    assert_eq!(sale.resume(era, &[G0, G1]).await, missing(G1));
    sale.declare(declaration(era, G1, 0, 0)).await.unwrap();
    assert_eq!(sale.resume(era, &[G0, adopted(1)]).await, missing(G1), "of another epoch");
    assert!(!sale.status().await.unwrap().live);
    assert_eq!(sale.resume(era, &[G0, G1]).await, Ok(Resumed { excess: 0 }));
    let found = sale.status().await.unwrap();
    assert!(found.live);
    assert_eq!(found.stock, sale.stock);
    // Doubled, it brings no older word on the stock back.
    let older = Sale { stock: Stock { stocked: 9, ..sale.stock }, ..Sale::of(server, 5) };
    assert_eq!(older.resume(era, &[gateway(9)]).await, Ok(Resumed { excess: 0 }));
    assert_eq!(sale.status().await.unwrap().stock, sale.stock);
    let other = Era { generation: 9, ..era };
    assert_eq!(sale.resume(other, &[G0, G1]).await, Err(Refusal::Era { era }));
}

pub(super) async fn many_places_come_in_parts(server: &mut Server) {
    let sale = Sale::of(server, 10_000);
    let era = sale.begin(None, 1).await.unwrap();
    // Every third order is another of the same user.
    let places: Vec<_> = (0..2_600).map(|it| place(it / 3, it, 1)).collect();
    let many = Declaration { places, ..declaration(era, G0, 0, 2_600) };
    assert_eq!(sale.declare(many.clone()).await, Ok(()));
    assert_eq!(sale.declare(many).await, Ok(()), "said again, it changes nothing");
    sale.declare(declaration(era, G1, 0, 0)).await.unwrap();
    sale.resume(era, &[G0, G1]).await.unwrap();
    let found = sale.status().await.unwrap();
    assert_eq!(found.holdings[0].placed, 2_600);
    let fields: u64 = server.tell(&["HLEN", KEY]);
    let places = 2_600_u64.div_ceil(3);
    assert_eq!(fields, places + 10 + 2, "users, the head and two records: no part is left");
    assert_eq!(sale.take(sale.request(era, G1, 1), 0, 1).await, Ok(1));
    let sale = Sale { limit: 3, ..sale };
    // Each of them stands against the limit: the first of a message of its own, and the last.
    for (n, user) in [(2, 0), (3, 333), (4, 866)] {
        let order = place(user, 90_000 + user, 1);
        let confirmed = sale.confirm(sale.request(era, G1, n), 1, &[order]).await;
        let expected = if user == 866 { orders(&[90_866]) } else { Vec::new() };
        assert_eq!(confirmed, Ok(expected), "user {user}");
    }
}

/// Sends a message that the typed calls send only together with others.
async fn send(sale: &Sale, message: redis::Cmd) -> Result<(), Refusal> {
    sale.leases.one(message, |_| Some(())).await.unwrap()
}

pub(super) async fn parts_are_of_one_epoch(server: &mut Server) {
    let sale = Sale::of(server, 5);
    let era = sale.begin(None, 1).await.unwrap();
    let (old, new) = (declaration(era, G0, 0, 1), declaration(era, adopted(0), 0, 2));
    let missing = Err(Refusal::Protocol(Alarm::PartsMissing));
    assert_eq!(send(&sale, messages::declare(ACTIVITY, &old, 1, &[])).await, missing);
    let part = |of, index, order| messages::part(ACTIVITY, of, index, &[place(order, order, 1)]);
    assert_eq!(send(&sale, part(&old, 0, 1)).await, Ok(()));
    assert_eq!(send(&sale, messages::declare(ACTIVITY, &old, 2, &[])).await, missing);
    assert_eq!(send(&sale, messages::declare(ACTIVITY, &new, 1, &[])).await, missing);
    assert_eq!(send(&sale, part(&new, 0, 2)).await, Ok(()));
    assert_eq!(send(&sale, part(&old, 0, 1)).await, Err(Refusal::Fenced), "it is being adopted");
    // Without parts the old one may still declare; nobody waits for it, and nothing is lost.
    assert_eq!(send(&sale, messages::declare(ACTIVITY, &old, 0, &[])).await, Ok(()));
    assert_eq!(sale.status().await.unwrap().holdings[0].placed, 0);
    assert_eq!(send(&sale, messages::declare(ACTIVITY, &new, 1, &[place(3, 3, 1)])).await, Ok(()));
    assert_eq!(send(&sale, part(&old, 0, 1)).await, Err(Refusal::Fenced), "it is adopted");
    let holding = Holding { holder: adopted(0), n: 0, net: 2, placed: 2 };
    let found = sale.status().await.unwrap();
    assert_eq!(found.holdings, [holding]);
    assert_eq!(found.leased, 2);
    let other = declaration(NO_ERA, G0, 0, 1);
    assert_eq!(send(&sale, part(&other, 0, 1)).await, Err(Refusal::Era { era }));
}

pub(super) async fn parts_are_the_same_however_often(server: &mut Server) {
    let sale = Sale::of(server, 9);
    let era = sale.begin(None, 1).await.unwrap();
    let of = declaration(era, G0, 0, 5);
    let [a, b, c] = [place(1, 1, 1), place(1, 2, 2), place(2, 3, 2)];
    let part = |index, places: &[_]| messages::part(ACTIVITY, &of, index, places);
    // An attempt that was given up had its parts cut otherwise; its last message comes late.
    for message in [part(0, &[a, b]), part(1, &[c]), part(0, &[a]), part(1, &[b]), part(1, &[c])] {
        assert_eq!(send(&sale, message).await, Ok(()));
    }
    assert_eq!(server.tell::<String>(&["HGET", KEY, "p:0"]), "0 5 0 1");
    assert_eq!(send(&sale, messages::declare(ACTIVITY, &of, 2, &[c])).await, Ok(()));
    sale.resume(era, &[G0]).await.unwrap();
    assert_eq!(sale.status().await.unwrap().holdings[0].placed, 5);
    let releases = vec![release(1, 2)];
    let request = LeaseRequest { releases, have: 3, ..sale.request(era, G0, 1) };
    assert_eq!(sale.lease(request).await.unwrap().released, orders(&[2]));
    // Later still it brings nothing back.
    assert_eq!(send(&sale, part(0, &[a, b])).await, Ok(()));
    assert_eq!(sale.status().await.unwrap().holdings[0].placed, 3);
}

pub(super) async fn too_much_declared_is_an_alarm_and_heals(server: &mut Server) {
    let sale = Sale::of(server, 5);
    let era = sale.begin(None, 1).await.unwrap();
    sale.declare(declaration(era, G0, 0, 4)).await.unwrap();
    sale.declare(declaration(era, G1, 0, 4)).await.unwrap();
    assert_eq!(sale.resume(era, &[G0, G1]).await, Ok(Resumed { excess: 3 }));
    assert_eq!(sale.resume(era, &[G0, G1]).await, Ok(Resumed { excess: 3 }), "until it is healed");
    assert_eq!(sale.take(sale.request(era, G0, 1), 2, 1).await, Ok(0), "6 of 5 are lent");
    assert_eq!(sale.take(sale.request(era, G1, 1), 2, 4).await, Ok(1));
    assert_eq!(sale.resume(era, &[]).await, Ok(Resumed { excess: 0 }));
}

pub(super) async fn another_thing_under_the_key_is_left_alone(server: &mut Server) {
    let sale = Sale::of(server, 5);
    let alarm = Refusal::Protocol(Alarm::Foreign);
    for strange in [["SET", KEY, "x", "NX"].as_slice(), &["HSET", KEY, "x", "y"]] {
        server.tell::<()>(&["DEL", KEY]);
        server.tell::<()>(strange);
        assert_eq!(sale.status().await, Err(alarm));
        assert_eq!(sale.begin(None, 1).await, Err(alarm));
        assert_eq!(sale.declare(declaration(NO_ERA, G0, 0, 0)).await, Err(alarm));
        assert_eq!(sale.lease(sale.request(NO_ERA, G0, 1)).await, Err(alarm));
        assert_eq!(server.tell::<u64>(&["EXISTS", KEY]), 1);
    }
}

pub(super) async fn withdrawn_units_are_a_member_like_any(server: &mut Server) {
    let sale = Sale::of(server, 5);
    let withdrawals = Holder { member: Member::Withdrawals, epoch: 0 };
    let era = sale.live(&[G0, withdrawals]).await;
    assert_eq!(sale.take(sale.request(era, withdrawals, 1), 0, 3).await, Ok(3));
    assert_eq!(sale.take(sale.request(era, G0, 1), 0, 5).await, Ok(2));
    // Redis forgets; what was withdrawn stays so.
    server.tell::<()>(&["FLUSHALL"]);
    let era = sale.begin(None, 2).await.unwrap();
    sale.declare(declaration(era, G0, 1, 2)).await.unwrap();
    let missing = Refusal::NotYet { member: Member::Withdrawals };
    assert_eq!(sale.resume(era, &[G0, withdrawals]).await, Err(missing));
    sale.declare(declaration(era, withdrawals, 1, 3)).await.unwrap();
    sale.resume(era, &[G0, withdrawals]).await.unwrap();
    assert_eq!(sale.take(sale.request(era, G0, 2), 2, 1).await, Ok(0));
}
