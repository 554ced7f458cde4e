//! How the functions come into Redis, and which Redis is not gone on with.
//!
//! It must not know what the functions do.

use std::fs;
use std::os::unix::fs::symlink;

use super::sale::{ACTIVITY, G0, KEY, Sale, declaration, orders, place, release};
use super::server::{Server, tell};
use crate::reconcile::{Fault, LeaseRequest, Leases, Refusal, library};

pub(super) async fn functions_are_loaded_where_they_are_missing(server: &mut Server) {
    let sale = Sale::of(server, 5);
    sale.leases.ready().await.unwrap();
    sale.leases.ready().await.unwrap();
    let again = server.leases();
    again.ready().await.unwrap();
    server.tell::<()>(&["FUNCTION", "FLUSH"]);
    let peeked = sale.leases.peek(&[ACTIVITY]).await.unwrap().remove(0);
    assert!(matches!(peeked, Err(Fault::Redis(_))), "{peeked:?}");
    let loaded: Vec<String> = server.tell(&["FUNCTION", "LIST"]);
    assert!(loaded.is_empty(), "whoever only looks loads nothing: {loaded:?}");
    assert_eq!(sale.status().await, Err(Refusal::Absent), "loaded by whoever misses them");
    let era = sale.live(&[G0]).await;
    server.restart_in_place();
    // The first message after a restart finds its connection gone: it is lost, the next is not.
    for _ in 0..3 {
        drop(sale.leases.ready().await);
    }
    assert_eq!(sale.take(sale.request(era, G0, 1), 0, 1).await, Err(Refusal::Absent));
}

pub(super) async fn a_newer_version_is_not_gone_on_with(server: &mut Server) {
    let leases = server.leases();
    leases.ready().await.unwrap();
    let newer = "#!lua name=seckill_leases_v12\nredis.register_function('x', function() end)";
    server.tell::<()>(&["FUNCTION", "LOAD", newer]);
    for leases in [leases, server.leases()] {
        let fault = leases.ready().await.unwrap_err();
        assert!(matches!(fault, Fault::Newer { found: 12, ours: library::VERSION }), "{fault:?}");
        assert!(fault.to_string().contains("at least 12"), "{fault}");
    }
    // An older one and strangers are nothing to us.
    server.tell::<()>(&["FUNCTION", "FLUSH"]);
    for (name, function) in [("seckill_leases_v0", "y"), ("seckill_leases_vx", "z")] {
        let text = format!("#!lua name={name}\nredis.register_function('{function}', print)");
        let text = text.replace("print", "function() end");
        server.tell::<()>(&["FUNCTION", "LOAD", &text]);
    }
    server.leases().ready().await.unwrap();
}

pub(super) async fn altered_functions_are_not_gone_on_with(server: &mut Server) {
    let altered = library::TEXT.replace("record.placed - dropped_units", "0");
    server.tell::<()>(&["FUNCTION", "LOAD", &altered]);
    let fault = server.leases().ready().await.unwrap_err();
    assert!(matches!(fault, Fault::Altered(library::NAME)), "{fault:?}");
    let words = format!("{}\n-- More words.\n", server.text());
    server.tell::<()>(&["FUNCTION", "LOAD", "REPLACE", &words]);
    server.leases().ready().await.unwrap();
}

pub(super) async fn a_hash_of_another_version_is_not_touched(server: &mut Server) {
    let sale = Sale::of(server, 5);
    let era = sale.live(&[G0]).await;
    server.tell::<()>(&["HSET", KEY, "v", "2"]);
    let before: Vec<String> = server.tell(&["HGETALL", KEY]);
    let newer = |it: Result<(), Fault>| matches!(it, Err(Fault::Newer { found: 2, ours: 1 }));
    assert!(newer(sale.leases.begin(ACTIVITY, Some(era), 2, 0).await.map(drop)));
    let declaration = declaration(era, G0, 0, 0);
    assert!(newer(sale.leases.declare(ACTIVITY, &declaration).await.map(drop)));
    let asked = [(ACTIVITY, sale.request(era, G0, 1))];
    assert!(newer(sale.leases.lease(&asked).await.unwrap().remove(0).map(drop)));
    assert!(newer(sale.leases.status(&[ACTIVITY]).await.unwrap().remove(0).map(drop)));
    assert_eq!(server.tell::<Vec<String>>(&["HGETALL", KEY]), before);
}

/// Some hosts switch INFO off, and a proxy may answer it by itself: then nobody would notice that
/// Redis has forgotten.
pub(super) async fn a_redis_that_hides_its_incarnation_is_refused(server: &mut Server) {
    let another = "rename-command LOLWUT INFO";
    for options in [
        ["port 0", "rename-command INFO HIDDEN"].as_slice(),
        &["port 0", "rename-command INFO HIDDEN", another],
    ] {
        let hidden = Server::start_with(server.text(), options);
        let leases = hidden.leases();
        let fault = leases.status(&[ACTIVITY]).await.unwrap_err();
        assert!(matches!(fault, Fault::Hidden), "{fault:?}");
        // With the functions loaded by now, each message is refused by itself.
        let reply = leases.status(&[ACTIVITY]).await.unwrap().remove(0);
        assert!(matches!(reply, Err(Fault::Hidden)), "{reply:?}");
        let fault = leases.ready().await.unwrap_err();
        assert!(matches!(fault, Fault::Hidden), "{fault:?}");
        server.absorb(hidden);
    }
}

/// A server that has no room, or another password, refuses the connection itself.
pub(super) async fn a_refused_connection_is_made_again(server: &mut Server) {
    server.tell::<()>(&["CONFIG", "SET", "requirepass", "a"]);
    let url = format!("redis+unix://{}?pass=b", server.folder().join("socket").display());
    let leases = Leases::open_with(&url, server.text()).unwrap();
    for _ in 0..2 {
        let fault = leases.ready().await.unwrap_err();
        assert!(matches!(fault, Fault::Redis(_)), "{fault:?}");
    }
    let secret = url.replace("pass=b", "pass=a");
    tell::<()>(&secret, &["CONFIG", "SET", "requirepass", "b"]).unwrap();
    leases.ready().await.unwrap();
    tell::<()>(&url, &["CONFIG", "SET", "requirepass", ""]).unwrap();
    assert!(Leases::open("http://redis").is_err());
}

/// After a fail-over an address leads to the new master, but a connection to the old one lives on.
pub(super) async fn a_master_that_is_none_any_more_is_left(server: &mut Server) {
    let old = Server::start(server.text());
    let address = server.folder().join("address");
    symlink(old.folder().join("socket"), &address).unwrap();
    let url = format!("redis+unix://{}", address.display());
    let leases = Leases::open_with(&url, server.text()).unwrap();
    leases.ready().await.unwrap();
    old.tell::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    fs::remove_file(&address).unwrap();
    symlink(server.folder().join("socket"), &address).unwrap();
    let refused = leases.begin(ACTIVITY, None, 1, 0).await;
    assert!(matches!(refused, Err(Fault::Redis(_))), "{refused:?}");
    leases.ready().await.unwrap();
    let begun = leases.begin(ACTIVITY, None, 1, 0).await.unwrap();
    assert_eq!(begun.unwrap().generation, 1);
    server.absorb(old);
}

/// A user who may not do everything is told so before anything is half done.
pub(super) async fn what_is_not_allowed_is_not_half_done(server: &mut Server) {
    let sale = Sale::of(server, 5);
    let era = sale.live(&[G0]).await;
    let user = ["ACL", "SETUSER", "narrow", "on", ">a", "~*", "+@all", "-hdel"];
    server.tell::<()>(&user);
    let url = format!("{}?user=narrow&pass=a", server.url());
    let narrow = Leases::open_with(&url, server.text()).unwrap();
    assert_eq!(sale.take(sale.request(era, G0, 1), 0, 1).await, Ok(1));
    let confirmed = sale.confirm(sale.request(era, G0, 2), 1, &[place(1, 11, 1)]).await;
    assert_eq!(confirmed, Ok(orders(&[11])));
    let before: Vec<String> = server.tell(&["HGETALL", KEY]);
    let releases = vec![release(1, 11)];
    let release = LeaseRequest { have: 1, releases, ..sale.request(era, G0, 3) };
    let refused = narrow.lease(&[(ACTIVITY, release)]).await.unwrap().remove(0);
    assert!(matches!(refused, Err(Fault::Redis(_))), "{refused:?}");
    assert_eq!(server.tell::<Vec<String>>(&["HGETALL", KEY]), before);
}
