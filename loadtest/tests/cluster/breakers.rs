//! The breaker before Redis: one that is away is asked now and then, to find out, and by nobody else.

use std::io::ErrorKind;
use std::os::unix::net::UnixListener;

use seckill_loadtest::client::Client;
use seckill_loadtest::order::Status;
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop::Sale;

use crate::fleet::{Fleet, await_status, buy};

pub(crate) const STATE: &str = "seckill_breaker_state{follower=\"redis\",calls=\"all\"}";
const OPENED: &str = "seckill_breaker_opened_total{follower=\"redis\",calls=\"all\"}";
const REFUSED: &str = "seckill_breaker_refused_total{follower=\"redis\",calls=\"all\"}";
/// Bad calls that open a breaker; then one more opens it again.
const BAD: u64 = 5;
/// A call that finds its connection broken has another one made behind it.
const CONNECTIONS: u64 = 2;

/// How many have come to a door that nobody opens.
fn count(door: &UnixListener) -> u64 {
    door.set_nonblocking(true).unwrap();
    let mut came = 0;
    loop {
        match door.accept() {
            Ok(_) => came += 1,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return came,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_redis_that_is_away_is_asked_by_probes_alone_until_it_is_back() {
    let mut fleet = Fleet::start(2);
    let activity = fleet.sale(Sale::of(40));
    let mut shoppers = fleet.shoppers("buyer", 3);
    for at in 0..2 {
        until("there is something to sell", GENEROUS, || {
            (fleet.figure(at, "seckill_lease_units", &activity)? > 3).then_some(())
        });
        assert_eq!([STATE, OPENED].map(|it| fleet.labelled(at, it)), [Some(0); 2]);
    }
    fleet.redis.kill();
    // Who connects waits here until they are counted, and hears nothing.
    let door = UnixListener::bind(fleet.redis.socket()).unwrap();
    let opened = |at| fleet.labelled(at, OPENED).unwrap();
    let mut orders = Vec::new();
    until("both have asked again and again", GENEROUS, || {
        // What shoppers want is none of Redis's meanwhile.
        for (number, shopper) in shoppers.iter_mut().enumerate() {
            let order = buy(&mut shopper[number % 2], &activity, "key").unwrap();
            assert_eq!(order.status, Status::Accepted);
            orders.push((number, order.id));
        }
        for at in 0..2 {
            assert!(opened(at) == 0 || fleet.labelled(at, STATE) > Some(0), "nothing was good");
        }
        (0..2).all(|at| opened(at) > 2).then_some(())
    });
    let came = count(&door);
    // Each call that is looked at by then has opened one, or was among the first, or is under way.
    let calls: u64 = (0..2).map(|at| BAD + opened(at) + 1).sum();
    assert!((BAD..=calls * CONNECTIONS).contains(&came), "{came} came in {calls} calls");
    assert!((0..2).all(|at| fleet.labelled(at, REFUSED) > Some(0)), "they rest in between");

    drop(door);
    std::fs::remove_file(fleet.redis.socket()).unwrap();
    fleet.redis.restart();
    orders.sort();
    orders.dedup();
    for (number, order) in orders {
        await_status(&mut shoppers[number][number % 2], &order, Status::AwaitingPayment);
    }
    for at in 0..2 {
        until("the breaker is closed", GENEROUS, || {
            (fleet.labelled(at, STATE) == Some(0)).then_some(())
        });
        let mut probe = Client::new(fleet.gateways[at].operations());
        assert_eq!(probe.get("/readyz").expect(200).text(), "ready\n");
    }
}
