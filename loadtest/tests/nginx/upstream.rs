//! The gateways as nginx has them: whose shopper is whose when one of them is taken out, and
//! connections that are kept.

use seckill_loadtest::client::Request;
use seckill_loadtest::nginx::{Edit, Nginx};

use crate::fake::Fake;

/// Shoppers, by their user ids from 1.
const SHOPPERS: u32 = 200;

/// By shopper, the place of the gateway that they meet while these are there.
fn homes(fakes: &[Fake], there: &[&Fake], edits: &[Edit]) -> Option<Vec<usize>> {
    let addresses: Vec<_> = there.iter().map(|fake| fake.address).collect();
    let nginx = Nginx::start(&addresses, edits)?;
    let home = |user: u32| {
        let request = Request::new("GET", "/api/v1/orders").token(&format!("{user}.sealed"));
        drop(nginx.answer(&request).expect(204));
        let asked: Vec<_> = fakes.iter().map(Fake::unseen).collect();
        assert_eq!(asked.iter().sum::<usize>(), 1, "user {user}: {asked:?}");
        asked.iter().position(|&count| count == 1).unwrap()
    };
    Some((1..=SHOPPERS).map(home).collect())
}

/// How many shoppers of two gateways meet another when a third one is taken out.
fn moved(edits: &[Edit]) -> Option<usize> {
    const TAKEN_OUT: usize = 1;
    let answer = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
    let fakes = [(), (), ()].map(|()| Fake::start(answer));
    let [first, taken_out, last] = fakes.each_ref();
    let before = homes(&fakes, &[first, taken_out, last], edits)?;
    let after = homes(&fakes, &[first, last], edits)?;
    assert!((0..fakes.len()).all(|place| before.contains(&place)), "{before:?}");
    assert!(!after.contains(&TAKEN_OUT), "{after:?}");
    let others = before.iter().zip(&after).filter(|(before, _)| **before != TAKEN_OUT);
    Some(others.filter(|(before, after)| before != after).count())
}

#[test]
fn only_the_shoppers_of_a_gateway_that_is_taken_out_meet_another() {
    let Some(moved_others) = moved(&[]) else { return };
    assert_eq!(moved_others, 0);
    // A hash that is only a remainder moves about half of them.
    let plain = [("hash $seckill_shopper consistent;", "hash $seckill_shopper;")];
    assert!(moved(&plain).unwrap() > 0);
}

/// Connections to a gateway that many shoppers take, each with one of their own to nginx.
fn connections(edits: &[Edit]) -> Option<usize> {
    let fake = Fake::keeping("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
    let nginx = Nginx::start(&[fake.address], edits)?;
    for user in 1..=SHOPPERS {
        let request = Request::new("GET", "/api/v1/orders").token(&format!("{user}.sealed"));
        drop(nginx.answer(&request).expect(200));
    }
    Some(fake.connections())
}

#[test]
fn shoppers_who_come_one_after_the_other_take_a_connection_for_each_worker() {
    const WORKERS: usize = 2;
    let workers = ("worker_processes auto;", "worker_processes 2;");
    let Some(kept) = connections(&[workers]) else { return };
    assert!(kept <= WORKERS, "{kept} connections");
    // Where they are given up after a request, each shopper takes another.
    let given_up = [workers, ("keepalive_requests 1000000;", "keepalive_requests 1;")];
    assert_eq!(connections(&given_up), usize::try_from(SHOPPERS).ok());
}
