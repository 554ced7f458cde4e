//! A gateway whose packets to Redis are lost, or those that Redis answers with: there is a wire between their
//! networks, and no relay that takes what it does not hand on.

use std::collections::BTreeSet;
use std::process::{Command, id};

use seckill_loadtest::order::Status;
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::redis::Redis;
use seckill_loadtest::shop::Sale;

use crate::breakers::STATE;
use crate::fleet::{Fleet, await_status, buy, sell};

/// In a network of its own: makes a wire, gives its outer end, named first, to the process that is named second, and
/// runs what comes behind the address of the inner end.
const BEHIND_A_WIRE: &str =
    "ip link add \"$0\" type veth peer name inner; ip link set \"$0\" netns \"$1\"
    ip address add \"$2/30\" dev inner; ip link set inner up; shift 2; exec \"$@\"";
const PORT: &str = "6379";
/// Nobody has it.
const NOBODY: &str = "02:00:00:00:00:01";
/// Who is behind the wire for Redis.
const FAR: usize = 2;

/// A wire, and the Redis at its inner end. It goes with that Redis.
struct Wire {
    name: String,
    /// Of its outer and its inner end.
    addresses: [String; 2],
}

/// Which packets are lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lost {
    There,
    Back,
    Both,
}

impl Wire {
    /// None where nobody may have a network of their own here.
    fn lay() -> Option<(Self, Redis)> {
        let may = Command::new("unshare").args(["--net", "ip", "link", "set", "lo", "up"]).status();
        if !may.is_ok_and(|it| it.success()) {
            return None;
        }
        // A network of four addresses, one by each process: of 198.18.0.0/15, which is for tests.
        let number = id() % (1 << 14);
        let end = |end: u32| format!("198.18.{}.{}", number >> 6, ((number & 63) << 2) + end);
        let wire = Self { name: format!("wire{}", id()), addresses: [end(1), end(2)] };
        let process = id().to_string();
        let [_, inner] = &wire.addresses;
        let through = ["unshare", "--net", "sh", "-ec", BEHIND_A_WIRE, &wire.name, &process, inner];
        let words = ["--bind", inner, "--port", PORT, "--protected-mode", "no"];
        let redis = Redis::start_through(&through, &words);
        wire.ip(&["address", "add", &format!("{}/30", wire.addresses[0]), "dev", &wire.name]);
        wire.ip(&["link", "set", &wire.name, "up"]);
        Some((wire, redis))
    }

    #[track_caller]
    fn ip(&self, words: &[&str]) {
        let done = Command::new("ip").args(words).status().unwrap();
        assert!(done.success(), "{words:?} of {}", self.name);
    }

    #[track_caller]
    fn ip_inside(&self, redis: &Redis, words: &[&str]) {
        let target = redis.pid().as_raw_nonzero().to_string();
        let inside = ["--target", &target, "--net", "ip"];
        let done = Command::new("nsenter").args(inside).args(words).status().unwrap();
        assert!(done.success(), "{words:?} of {}, inside", self.name);
    }

    /// Has packets go to nobody.
    fn cut(&self, redis: &Redis, lost: Lost) {
        let [outer, inner] = &self.addresses;
        let to_nobody = |address| ["neigh", "replace", address, "lladdr", NOBODY, "dev"];
        if lost != Lost::Back {
            self.ip(&[&to_nobody(inner)[..], &[&self.name]].concat());
        }
        if lost != Lost::There {
            self.ip_inside(redis, &[&to_nobody(outer)[..], &["inner"]].concat());
        }
    }

    /// Has all packets arrive again.
    fn mend(&self, redis: &Redis, lost: Lost) {
        let [outer, inner] = &self.addresses;
        if lost != Lost::Back {
            self.ip(&["neigh", "delete", inner, "dev", &self.name]);
        }
        if lost != Lost::There {
            self.ip_inside(redis, &["neigh", "delete", outer, "dev", "inner"]);
        }
    }

    /// The connections that Redis has over it.
    fn connections(&self, redis: &Redis) -> BTreeSet<String> {
        let list = redis.tell(&["CLIENT", "LIST"]).concat();
        let addresses = list.split(' ').filter_map(|word| word.strip_prefix("addr="));
        let outer = format!("{}:", self.addresses[0]);
        addresses.filter(|it| it.starts_with(&outer)).map(str::to_owned).collect()
    }
}

/// Three gateways, of which one meets Redis over the wire.
fn fleet(wire: &Wire, redis: Redis) -> Fleet {
    let mut fleet = Fleet::start_on(redis, FAR, |redis| vec![("SECKILL_REDIS_URL", redis.url())]);
    let over_the_wire = format!("redis://{}:{PORT}", wire.addresses[1]);
    assert_eq!(fleet.join_with(vec![("SECKILL_REDIS_URL".to_owned(), over_the_wire)]), FAR);
    fleet
}

#[test]
fn packets_that_are_lost_on_either_way_are_a_redis_that_is_away() {
    let Some((wire, redis)) = Wire::lay() else {
        println!("no network of its own here: left out");
        return;
    };
    let mut fleet = fleet(&wire, redis);
    let activity = fleet.sale(Sale::of(60));
    let mut shoppers = fleet.shoppers("buyer", 61);
    let mut bought = Vec::new();
    for lost in [Lost::There, Lost::Back, Lost::Both] {
        until("there is something to sell", GENEROUS, || {
            (fleet.figure(FAR, "seckill_lease_units", &activity)? > bought.len() as u64 + 1)
                .then_some(())
        });
        let before = wire.connections(&fleet.redis);
        assert!(!before.is_empty(), "it meets Redis over the wire");
        wire.cut(&fleet.redis, lost);
        until("its breaker is open", GENEROUS, || {
            fleet.labelled(FAR, STATE).filter(|&state| state > 0)
        });
        let there = fleet.labelled(0, STATE);
        assert_eq!(there, Some(0), "{lost:?}: of the others each packet arrives");
        for at in [0, FAR] {
            let number = bought.len();
            let order = buy(&mut shoppers[number][at], &activity, "key").unwrap();
            assert!(at == 0 || order.status == Status::Accepted, "{order:?}");
            bought.push((number, at, order));
        }
        // The kernel has given up what it sent.
        until("its connection is gone", GENEROUS, || is_gone(&wire, &before).then_some(()));
        wire.mend(&fleet.redis, lost);
        for (number, at, order) in &bought {
            await_status(&mut shoppers[*number][*at], &order.id, Status::AwaitingPayment);
        }
        until("its breaker is closed", GENEROUS, || {
            (fleet.labelled(FAR, STATE) == Some(0)).then_some(())
        });
    }
    let left = 60 - bought.len();
    sell(&mut shoppers[bought.len()..], &[0, 1, FAR], &activity, left);
    for gateway in &fleet.gateways {
        drop(gateway.audited(&["audit"]));
    }
}

/// Whether the gateway's kernel has no such connection any more.
fn is_gone(wire: &Wire, before: &BTreeSet<String>) -> bool {
    let listed = Command::new("ss").args(["-tnH", "dst", &wire.addresses[1]]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let is_there = |it: &String| listed.split_whitespace().any(|word| word == it);
    !before.iter().any(is_there)
}
