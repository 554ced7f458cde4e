//! The message of daily work: units, places and the stock under one number.
//!
//! It must not know how an era begins.

use seckill_shards::ids::{ActivityId, OrderId};

use super::sale::{
    ACTIVITY, G0, G1, KEY, Sale, adopted, declaration, gateway, orders, place, release,
};
use super::server::Server;
use crate::reconcile::{
    Alarm, Declaration, Fault, Holding, LeaseReply, LeaseRequest, Refusal, Resumed, Stock, limits,
    messages,
};

pub(super) async fn units_are_lent_and_given_back(server: &mut Server) {
    let sale = Sale::of(server, 10);
    let era = sale.live(&[G0, G1]).await;
    assert_eq!(sale.take(sale.request(era, G0, 1), 0, 4).await, Ok(4));
    assert_eq!(sale.take(sale.request(era, G1, 1), 0, 9).await, Ok(6), "what there is");
    assert_eq!(sale.take(sale.request(era, G1, 2), 6, 1).await, Ok(0));
    assert_eq!(sale.take(sale.request(era, G0, 2), 1, 0).await, Ok(0), "gives three back");
    assert_eq!(sale.take(sale.request(era, G1, 3), 6, 5).await, Ok(3));
    let found = sale.status().await.unwrap();
    assert_eq!(found.leased, 10);
    let nets: Vec<u32> = found.holdings.iter().map(|it| it.net).collect();
    assert_eq!(nets, [1, 9]);
}

pub(super) async fn one_number_has_one_answer(server: &mut Server) {
    let sale = Sale::of(server, 10);
    let era = sale.begin(None, 1).await.unwrap();
    sale.declare(declaration(era, G0, 7, 1)).await.unwrap();
    sale.resume(era, &[G0]).await.unwrap();
    let number = Err(Refusal::Number { n: 7 });
    assert_eq!(sale.take(sale.request(era, G0, 7), 1, 1).await, number, "it was no request");
    assert_eq!(sale.take(sale.request(era, G0, 6), 1, 1).await, number);
    assert_eq!(sale.take(sale.request(era, G0, 9), 1, 1).await, number);
    let first = LeaseRequest {
        have: 1,
        want: 2,
        confirms: vec![place(1, 11, 1)],
        ..sale.request(era, G0, 8)
    };
    let reply = LeaseReply {
        era,
        n: 8,
        granted: 2,
        yes: orders(&[11]),
        no: Vec::new(),
        released: Vec::new(),
        short: 0,
    };
    assert_eq!(sale.lease(first).await, Ok(reply.clone()));
    // The same number with something else in it: what was done is told, and nothing done.
    let again = LeaseRequest {
        have: 1,
        want: 5,
        releases: vec![release(1, 11)],
        confirms: vec![place(2, 12, 1)],
        ..sale.request(era, G0, 8)
    };
    assert_eq!(sale.lease(again).await, Ok(reply));
    let holding = Holding { holder: G0, n: 8, net: 3, placed: 1 };
    assert_eq!(sale.status().await.unwrap().holdings, [holding]);
}

pub(super) async fn who_has_not_declared_is_lent_nothing(server: &mut Server) {
    let sale = Sale::of(server, 10);
    let era = sale.begin(None, 1).await.unwrap();
    sale.declare(declaration(era, G0, 0, 0)).await.unwrap();
    let rebuilding = sale.take(sale.request(era, G0, 1), 0, 1).await;
    assert_eq!(rebuilding, Err(Refusal::Rebuilding));
    sale.resume(era, &[G0]).await.unwrap();
    for stranger in [G1, adopted(0)] {
        let refused = sale.take(sale.request(era, stranger, 1), 0, 1).await;
        assert_eq!(refused, Err(Refusal::Undeclared), "{stranger:?}");
    }
    assert_eq!(sale.take(sale.request(era, G0, 1), 0, 1).await, Ok(1));
}

pub(super) async fn news_of_the_stock_are_taken_once(server: &mut Server) {
    let mut sale = Sale::of(server, 3);
    let era = sale.live(&[G0, G1]).await;
    assert_eq!(sale.take(sale.request(era, G0, 1), 0, 9).await, Ok(3));
    let restocked = Stock { version: 2, stocked: 5, open: true };
    let news = LeaseRequest { stock: restocked, ..sale.request(era, G1, 1) };
    assert_eq!(sale.take(news, 0, 1).await, Ok(1));
    // Who has not heard of it yet is lent from it all the same, and takes nothing back.
    assert_eq!(sale.take(sale.request(era, G0, 2), 3, 9).await, Ok(1));
    let same = Stock { stocked: 50, ..restocked };
    let twice = LeaseRequest { stock: same, ..sale.request(era, G1, 2) };
    assert_eq!(sale.take(twice, 1, 9).await, Ok(0), "a version says one thing");
    assert_eq!(sale.status().await.unwrap().stock, restocked);
    let shrunk = Stock { version: 3, stocked: 4, open: true };
    let alarm = LeaseRequest { stock: shrunk, ..sale.request(era, G1, 3) };
    let refused = sale.take(alarm, 1, 0).await;
    assert_eq!(refused, Err(Refusal::Protocol(Alarm::StockShrank)));
    assert_eq!(sale.status().await.unwrap().stock, restocked);
    sale.stock = restocked;
    assert_eq!(sale.take(sale.request(era, G1, 3), 0, 0).await, Ok(0), "its number is free yet");
}

pub(super) async fn a_closed_activity_lends_nothing(server: &mut Server) {
    let sale = Sale::of(server, 3);
    let era = sale.live(&[G0, G1]).await;
    assert_eq!(sale.take(sale.request(era, G0, 1), 0, 1).await, Ok(1));
    let closed = Stock { version: 2, stocked: 3, open: false };
    let news = LeaseRequest { stock: closed, ..sale.request(era, G1, 1) };
    assert_eq!(sale.take(news, 0, 1).await, Ok(0));
    let request = LeaseRequest {
        have: 1,
        want: 1,
        confirms: vec![place(1, 11, 1)],
        ..sale.request(era, G0, 2)
    };
    let reply = sale.lease(request).await.unwrap();
    assert_eq!((reply.granted, reply.yes), (0, orders(&[11])), "orders go on");
    let found = sale.status().await.unwrap();
    assert_eq!((found.leased, found.stock), (1, closed));
}

pub(super) async fn what_cannot_be_is_an_alarm_and_changes_nothing(server: &mut Server) {
    let sale = Sale::of(server, 9);
    let era = sale.live(&[G0]).await;
    assert_eq!(sale.take(sale.request(era, G0, 1), 0, 3).await, Ok(3));
    let places = [place(1, 11, 1), place(2, 12, 1)];
    let confirmed = sale.confirm(sale.request(era, G0, 2), 3, &places).await;
    assert_eq!(confirmed, Ok(orders(&[11, 12])));
    let before: Vec<String> = server.tell(&["HGETALL", KEY]);
    let above = sale.take(sale.request(era, G0, 3), 4, 0).await;
    assert_eq!(above, Err(Refusal::Protocol(Alarm::HaveAboveNet)));
    let below =
        LeaseRequest { have: 0, releases: vec![release(1, 11)], ..sale.request(era, G0, 3) };
    let below = sale.lease(below).await;
    assert_eq!(below, Err(Refusal::Protocol(Alarm::HaveBelowPlaced)));
    assert_eq!(server.tell::<Vec<String>>(&["HGETALL", KEY]), before);
    let right =
        LeaseRequest { have: 1, releases: vec![release(1, 11)], ..sale.request(era, G0, 3) };
    assert_eq!(sale.lease(right).await.unwrap().released, orders(&[11]));
}

pub(super) async fn others_shortage_is_told(server: &mut Server) {
    let sale = Sale::of(server, 3);
    let era = sale.live(&[G0, G1, gateway(2)]).await;
    let short = async |holder, n, have, want| {
        let request = LeaseRequest { have, want, ..sale.request(era, holder, n) };
        sale.lease(request).await.unwrap().short
    };
    assert_eq!(short(G0, 1, 0, 3).await, 0);
    assert_eq!(short(G1, 1, 0, 4).await, 0, "its own is not its news");
    assert_eq!(short(gateway(2), 1, 0, 2).await, 4);
    assert_eq!(short(G0, 2, 3, 0).await, 6);
    assert_eq!(short(G0, 2, 3, 0).await, 6, "told again");
    assert_eq!(short(G1, 2, 0, 1).await, 2, "its last word counts");
    assert_eq!(short(G0, 3, 1, 0).await, 1, "they lack three, of which two are there");
    assert_eq!(short(G1, 3, 0, 1).await, 1, "it has got one");
    assert_eq!(short(G0, 4, 1, 0).await, 1);
    assert_eq!(short(G0, 5, 0, 0).await, 0, "whoever lacks them has only to ask");
    assert_eq!(short(G0, 6, 0, 2).await, 2);
    sale.declare(declaration(era, adopted(2 /* asks no more */), 0, 0)).await.unwrap();
    assert_eq!(short(G0, 7, 2, 0).await, 0);
}

pub(super) async fn a_limit_counts_all_gateways(server: &mut Server) {
    let sale = Sale { limit: 5, ..Sale::of(server, 100) };
    let era = sale.live(&[G0, G1]).await;
    for holder in [G0, G1] {
        assert_eq!(sale.take(sale.request(era, holder, 1), 0, 20).await, Ok(20));
    }
    let first = [place(1, 11, 2), place(1, 12, 1), place(1, 13, 3), place(2, 14, 5)];
    let yes = sale.confirm(sale.request(era, G0, 2), 20, &first).await;
    assert_eq!(yes, Ok(orders(&[11, 12, 14])), "2 + 1 + 3 are more than 5");
    let second = [place(1, 21, 3), place(1, 22, 2), place(2, 23, 1), place(3, 24, 6)];
    let yes = sale.confirm(sale.request(era, G1, 2), 20, &second).await;
    assert_eq!(yes, Ok(orders(&[22])), "and what is refused holds no place");
    let again = [place(1, 11, 2), place(1, 12, 1)];
    let yes = sale.confirm(sale.request(era, G0, 3), 20, &again).await;
    assert_eq!(yes, Ok(orders(&[11, 12])), "what is confirmed stays so");
    let request = LeaseRequest {
        have: 20,
        releases: vec![release(1, 11)],
        confirms: vec![place(1, 15, 2), place(1, 16, 1)],
        ..sale.request(era, G0, 4)
    };
    let reply = sale.lease(request).await.unwrap();
    assert_eq!((reply.yes, reply.no), (orders(&[15]), orders(&[16])));
    let placed: Vec<u32> =
        sale.status().await.unwrap().holdings.iter().map(|it| it.placed).collect();
    assert_eq!(placed, [1 + 5 + 2, 2]);
}

pub(super) async fn a_batch_is_done_in_order(server: &mut Server) {
    let sale = Sale { limit: 2, ..Sale::of(server, 100) };
    let era = sale.live(&[G0]).await;
    assert_eq!(sale.take(sale.request(era, G0, 1), 0, 9).await, Ok(9));
    let held = [place(1, 11, 1), place(1, 12, 1), place(2, 13, 2)];
    sale.confirm(sale.request(era, G0, 2), 9, &held).await.unwrap();
    let request = LeaseRequest {
        have: 9,
        releases: vec![release(1, 12), release(2, 13), release(1, 11), release(3, 99)],
        confirms: vec![
            place(1, 14, 2),
            place(1, 15, 1),
            place(2, 16, 1),
            place(2, 17, 1),
            place(2, 17, 1),
            place(2, 18, 1),
            place(3, 19, 3),
        ],
        ..sale.request(era, G0, 3)
    };
    let reply = sale.lease(request).await.unwrap();
    assert_eq!(reply.released, orders(&[12, 13, 11, 99]), "one that had no place is free as well");
    assert_eq!(reply.yes, orders(&[14, 16, 17, 17]));
    assert_eq!(reply.no, orders(&[15, 18, 19]));
    let fields: Vec<Option<String>> = server.tell(&["HMGET", KEY, "b:1", "b:2", "b:3"]);
    assert_eq!(fields, [Some("14,2,0,0".into()), Some("16,1,0,0 17,1,0,0".into()), None]);
    // All that a user had is gone: nothing of them is left.
    let releases = vec![release(2, 16), release(2, 17), release(1, 14)];
    let last = LeaseRequest { releases, ..sale.request(era, G0, 4) };
    sale.lease(last).await.unwrap();
    assert_eq!(server.tell::<u64>(&["HLEN", KEY]), 10 + 1);
    assert_eq!(sale.status().await.unwrap().leased, 0);
}

pub(super) async fn an_order_is_its_gateways_alone(server: &mut Server) {
    let sale = Sale::of(server, 9);
    let era = sale.live(&[G0, G1]).await;
    for holder in [G0, G1] {
        assert_eq!(sale.take(sale.request(era, holder, 1), 0, 1).await, Ok(1));
    }
    let place = place(1, 11, 1);
    assert_eq!(sale.confirm(sale.request(era, G0, 2), 1, &[place]).await, Ok(orders(&[11])));
    let request =
        LeaseRequest { have: 1, releases: vec![release(1, 11)], ..sale.request(era, G1, 2) };
    sale.lease(request).await.unwrap();
    let placed: Vec<u32> =
        sale.status().await.unwrap().holdings.iter().map(|it| it.placed).collect();
    assert_eq!(placed, [1, 0], "who releases another's order releases nothing");
}

pub(super) async fn places_of_a_replaced_epoch_do_not_count(server: &mut Server) {
    let sale = Sale::of(server, 9);
    let era = sale.live(&[G0, G1]).await;
    for holder in [G0, G1] {
        assert_eq!(sale.take(sale.request(era, holder, 1), 0, 4).await, Ok(4));
    }
    let places = [place(1, 11, 1), place(2, 12, 1), place(3, 13, 1)];
    sale.confirm(sale.request(era, G0, 2), 4, &places).await.unwrap();
    // What an adopter is about to declare counts when it does: until then the old places stand.
    let kept = Declaration { places: vec![place(2, 12, 1)], ..declaration(era, adopted(0), 0, 3) };
    let part = [place(4, 14, 1), place(3, 13, 1)];
    let message = messages::part(ACTIVITY, &kept, 0, &part);
    assert_eq!(sale.leases.one(message, |_| Some(())).await.unwrap(), Ok(()));
    let theirs = |n, user, order| (sale.request(era, G1, n), [place(user, order, 1)]);
    let (request, asked) = theirs(2, 4, 24);
    assert_eq!(sale.confirm(request, 4, &asked).await, Ok(orders(&[24])), "not declared yet");
    let (request, asked) = theirs(3, 1, 21);
    assert_eq!(sale.confirm(request, 4, &asked).await, Ok(Vec::new()), "not replaced yet");
    // So does what a stranger is about to declare.
    let strange = declaration(era, gateway(2), 0, 0);
    let message = messages::part(ACTIVITY, &strange, 0, &[place(1, 15, 1)]);
    assert_eq!(sale.leases.one(message, |_| Some(())).await.unwrap(), Ok(()));
    sale.declare(kept).await.unwrap();
    let line: String = server.tell(&["HGET", KEY, "b:2"]);
    assert_eq!(line, "12,1,0,1", "and is dropped where it is met");
    let (request, asked) = theirs(4, 1, 21);
    assert_eq!(sale.confirm(request, 4, &asked).await, Ok(orders(&[21])), "replaced");
    let (request, asked) = theirs(5, 2, 22);
    assert_eq!(sale.confirm(request, 4, &asked).await, Ok(Vec::new()), "declared again");
    let left: Vec<Option<String>> = server.tell(&["HMGET", KEY, "b:1", "b:2"]);
    assert_eq!(left, [Some("15,1,2,0 21,1,1,0".into()), Some("12,1,0,1".into())]);
    let placed: Vec<u32> =
        sale.status().await.unwrap().holdings.iter().map(|it| it.placed).collect();
    assert_eq!(placed, [3, 2]);
}

pub(super) async fn ids_have_all_their_digits(server: &mut Server) {
    let sale = Sale { limit: 2, ..Sale::of(server, 9) };
    let era = sale.live(&[G0]).await;
    assert_eq!(sale.take(sale.request(era, G0, 1), 0, 4).await, Ok(4));
    let (user, order) = (u64::MAX, (1 << 63) - 1);
    let places = [place(user, order, 1), place(user, order - 1, 1), place(user - 1, order - 2, 1)];
    let yes = sale.confirm(sale.request(era, G0, 2), 4, &places).await;
    assert_eq!(yes, Ok(orders(&[order, order - 1, order - 2])));
    let request =
        LeaseRequest { have: 4, releases: vec![release(user, order)], ..sale.request(era, G0, 3) };
    assert_eq!(sale.lease(request).await.unwrap().released, [OrderId(order)]);
    let line: String = server.tell(&["HGET", KEY, &format!("b:{user}")]);
    assert_eq!(line, format!("{},1,0,0", order - 1));
    // The largest number that a sale can come to.
    let n = 999_999_999_999_998;
    server.tell::<()>(&["HSET", KEY, "g:0", &format!("0 {n} 4 2 0 ")]);
    let number = sale.take(sale.request(era, G0, 1), 4, 0).await;
    assert_eq!(number, Err(Refusal::Number { n }));
    assert_eq!(sale.take(sale.request(era, G0, n + 1), 4, 1).await, Ok(1));
    assert_eq!(sale.status().await.unwrap().holdings[0].n, n + 1);
}

pub(super) async fn large_batches_are_written_whole(server: &mut Server) {
    let sale = Sale::of(server, 10_000);
    let era = sale.live(&[G0]).await;
    assert_eq!(sale.take(sale.request(era, G0, 1), 0, 5_000).await, Ok(5_000));
    let many = u64::try_from(limits::ORDERS_PER_MESSAGE_MAX).unwrap();
    let places: Vec<_> = (0..many).map(|it| place(it, it, 1)).collect();
    let yes = sale.confirm(sale.request(era, G0, 2), 5_000, &places).await.unwrap();
    assert_eq!(yes.len(), places.len());
    assert_eq!(server.tell::<u64>(&["HLEN", KEY]), 10 + 1 + many);
    let releases: Vec<_> = (0..many).map(|it| release(it, it)).collect();
    let request = LeaseRequest { releases, have: 4_000, ..sale.request(era, G0, 3) };
    let reply = sale.lease(request.clone()).await.unwrap();
    assert_eq!(reply.released.len(), places.len());
    assert_eq!(server.tell::<u64>(&["HLEN", KEY]), 10 + 1);
    // One more is refused whole.
    let confirms = vec![place(1, 1, 1)];
    let request = LeaseRequest { n: 4, confirms, ..request };
    let one_too_many = sale.leases.lease(&[(ACTIVITY, request)]).await.unwrap();
    assert!(matches!(one_too_many[..], [Err(Fault::Redis(_))]), "{one_too_many:?}");
    let places: Vec<_> = (0..=many).map(|it| place(it, it, 1)).collect();
    let request = LeaseRequest { confirms: places, have: 4_000, ..sale.request(era, G0, 4) };
    let one_too_many = sale.leases.lease(&[(ACTIVITY, request)]).await.unwrap();
    assert!(matches!(one_too_many[..], [Err(Fault::Redis(_))]), "{one_too_many:?}");
}

pub(super) async fn many_activities_share_a_round_trip(server: &mut Server) {
    let sale = Sale::of(server, 10);
    let era = sale.live(&[G0]).await;
    let activities = 3 * limits::MESSAGES_PER_ROUND_MAX;
    let ids = (1..=activities).map(|it| ActivityId(u64::try_from(it).unwrap()));
    let asked: Vec<_> =
        ids.map(|id| (id, LeaseRequest { want: 2, ..sale.request(era, G0, 1) })).collect();
    server.tell::<()>(&["SET", "seckill:lease:5", "x"]);
    server.tell::<()>(&["HSET", "seckill:lease:6", "v", "1"]);
    let replies = sale.leases.lease(&asked).await.unwrap();
    assert_eq!(replies.len(), activities);
    for ((id, _), reply) in asked.iter().zip(replies) {
        match id.0 {
            5 => assert_eq!(reply.unwrap(), Err(Refusal::Protocol(Alarm::Foreign))),
            6 => assert!(matches!(reply, Err(Fault::Redis(_))), "{reply:?}"),
            7 => assert_eq!(reply.unwrap().unwrap().granted, 2),
            _ => assert_eq!(reply.unwrap(), Err(Refusal::Absent)),
        }
    }
    let ids: Vec<_> = asked.iter().map(|(id, _)| *id).collect();
    let found = sale.leases.status(&ids).await.unwrap();
    assert_eq!(found[6].as_ref().unwrap().as_ref().unwrap().leased, 2);
    assert!(sale.leases.lease(&[]).await.unwrap().is_empty());
}

pub(super) async fn damage_is_a_fault_and_changes_nothing(server: &mut Server) {
    let sale = Sale::of(server, 9);
    let era = sale.live(&[G0]).await;
    sale.take(sale.request(era, G0, 1), 0, 4).await.unwrap();
    let right: String = server.tell(&["HGET", KEY, "g:0"]);
    let fields = [
        ("g:0", "0 1 4"),
        ("g:0", "0 1 4 0 0 4"),
        ("leased", "-1"),
        ("stocked", "1e3"),
        ("sv", "1000000000000000"),
    ];
    for (field, damage) in fields {
        let before: String = server.tell(&["HGET", KEY, field]);
        server.tell::<()>(&["HSET", KEY, field, damage]);
        let damaged: Vec<String> = server.tell(&["HGETALL", KEY]);
        let asked = [(ACTIVITY, sale.request(era, G0, 1))];
        let reply = sale.leases.lease(&asked).await.unwrap();
        assert!(matches!(reply[..], [Err(Fault::Redis(_))]), "{field} {damage}: {reply:?}");
        assert_eq!(server.tell::<Vec<String>>(&["HGETALL", KEY]), damaged);
        server.tell::<()>(&["HSET", KEY, field, &before]);
    }
    assert_eq!(server.tell::<String>(&["HGET", KEY, "g:0"]), right);
    // What no gateway of ours sends.
    let request = sale.request(era, G0, 2);
    for (at, word) in [(0, "x"), (2, "0x1"), (3, "-1"), (4, ""), (5, "1.5"), (10, "7"), (12, "5")] {
        let era = era.to_string();
        let mut words =
            vec!["FCALL", "seckill_leases_v1_lease", "1", KEY, &era, "0", "0", "2", "4", "0"];
        words.extend(["1", "9", "1", "1", "0"]);
        words.resize(words.len().max(4 + at + 1), "1");
        words[4 + at] = word;
        let answer = server.try_tell::<Vec<String>>(&words);
        let is_refused = at == 0 && answer.as_ref().is_ok_and(|it| it[0] == "ERA");
        assert!(answer.is_err() || is_refused, "{at} {word}: {answer:?}");
    }
    assert_eq!(sale.take(request, 4, 0).await, Ok(0));
    assert_eq!(sale.resume(era, &[]).await, Ok(Resumed { excess: 0 }));
}
