//! Bounds that are set at run time.

use seckill_loadtest::client::{Connection, Request};
use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::patience::{GENEROUS, until};

/// Connections that the gateway keeps.
const CONNECTIONS: usize = 4;
const FEW: &[&str] = &["env", "SECKILL_CONNECTIONS_MAX=4"];

fn page(connection: &mut Connection) -> u16 {
    connection.exchange(&Request::new("GET", "/sign-in")).unwrap().status
}

/// A connection too many is told so and closed; those that are there go on.
#[test]
fn a_connection_too_many_is_told_when_to_come_back() {
    let gateway = Gateway::start(Start { through: FEW, ..Start::cores(2) });
    let open = || Connection::open(gateway.address()).unwrap();
    let mut kept: Vec<Connection> = (0..CONNECTIONS).map(|_| open()).collect();
    assert!(kept.iter_mut().all(|connection| page(connection) == 200));
    for _ in 0..2 {
        // It is answered before it has asked.
        let mut fifth = open();
        let refused = fifth.receive(true).unwrap();
        refused.problem(503, "overloaded");
        let retry_after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=10).contains(&retry_after), "{refused:?}");
        assert!(fifth.take_rest().unwrap().is_empty(), "it is closed behind the answer");
    }
    assert!(kept.iter_mut().all(|connection| page(connection) == 200));
    drop(kept.pop());
    until("there is room again", GENEROUS, || {
        let answer = open().exchange(&Request::new("GET", "/sign-in"));
        answer.is_ok_and(|answer| answer.status == 200).then_some(())
    });
    assert!(kept.iter_mut().all(|connection| page(connection) == 200));
}
