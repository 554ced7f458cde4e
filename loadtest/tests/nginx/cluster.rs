//! What `make cluster` starts: a fleet that sells behind nginx.
//!
//! Its ports are fixed, so it has a network of its own; where none can be had, that is said.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use seckill_loadtest::client::Client;
use seckill_loadtest::gateway::{Scratch, binary};
use seckill_loadtest::order::Status;
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop::{self, id_of, items, orders};
use serde_json::json;

use crate::front;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/cluster.sh");
/// Five processes come one after the other.
const START: Duration = GENEROUS.saturating_mul(4);
const FRONT: u16 = 8080;
const OPERATIONS: [u16; 3] = [9091, 9092, 9093];

#[test]
fn make_cluster_starts_a_fleet_that_sells_and_ends_whole() {
    let Some(mut cluster) = Cluster::start() else { return };
    cluster.inside(|cluster| {
        for port in OPERATIONS {
            until("it knows both others", GENEROUS, || {
                let metrics = client(port).get("/metrics").expect(200).text();
                metrics.contains("seckill_peers{state=\"present\"} 2\n").then_some(())
            });
            until("it is ready", GENEROUS, || {
                (client(port).get("/readyz").status == 200).then_some(())
            });
        }
        let mut shopper = cluster.sign_in("ada");
        let sales = items(&mut shopper, "/api/v1/activities?");
        let open = sales.iter().find(|it| it["title"] == "A storm of umbrellas").unwrap();
        let bought = until("there is something to buy", GENEROUS, || {
            let answer = shopper.send(shop::buy(&id_of(open), "first", 1));
            (answer.status == 202).then_some(answer)
        });
        let order = id_of(&bought.json());
        until("it can be paid", GENEROUS, || {
            let order = orders(&mut shopper).into_iter().find(|it| it.id == order)?;
            (order.status == Status::AwaitingPayment).then_some(())
        });
        let mut other = cluster.sign_in("grace");
        for part in ["redis", "gateway-2"] {
            cluster.kill(part);
        }
        until("the others sell", GENEROUS, || {
            let answer = other.send(shop::buy(&id_of(open), "second", 1));
            (answer.status == 202).then_some(())
        });
    });
    for part in ["redis", "gateway 2"] {
        let told = format!("{part} has ended");
        until(&told, GENEROUS, || cluster.output().contains(&told).then_some(()));
    }
    assert_eq!(cluster.end(), Some(0), "{}", cluster.output());
    let socket = cluster.data.path().join("redis.socket");
    assert!(UnixStream::connect(socket).is_err(), "Redis is still there");
    for number in [1, 3] {
        let log = cluster.data.path().join(format!("gateway-{number}.log"));
        let log = fs::read_to_string(log).unwrap();
        assert!(log.contains("\"message\":\"stopped\",\"whole\":true"), "{log}");
    }
}

fn client(port: u16) -> Client {
    Client::new(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// The script, which runs.
struct Cluster {
    child: Child,
    data: Scratch,
}

impl Cluster {
    /// None where there is no nginx or no network, which is said.
    fn start() -> Option<Self> {
        front::program()?;
        let alone = ["--net", "bash", "-c", "ip link set lo up && exec \"$@\"", "alone"];
        let has_network = Command::new("unshare").args(alone).arg("true").output();
        if !has_network.is_ok_and(|it| it.status.success()) {
            let told =
                writeln!(std::io::stderr(), "no network of its own here: the cluster is left out");
            drop(told);
            return None;
        }
        let data = Scratch::new();
        let output = File::create(data.path().join("output")).unwrap();
        let child = Command::new("unshare")
            .args(alone)
            .arg(SCRIPT)
            .args([binary().as_path(), data.path()])
            .env_remove("SECKILL_STORE_URL")
            .env_remove("FRONT")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut cluster = Self { child, data };
        until("all of it is there", START, || {
            let ended = cluster.child.try_wait().unwrap();
            assert_eq!(ended, None, "{}", cluster.output());
            cluster.output().contains("\nlogs ").then_some(())
        });
        Some(cluster)
    }

    fn output(&self) -> String {
        fs::read_to_string(self.data.path().join("output")).unwrap()
    }

    /// Does something in its network.
    fn inside(&self, work: impl FnOnce(&Self) + Send) {
        let network = File::open(format!("/proc/{}/ns/net", self.child.id())).unwrap();
        let work = || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(network.as_fd(), kind).unwrap();
            work(self);
        };
        thread::scope(|scope| scope.spawn(work).join().unwrap());
    }

    /// A demo account that has signed in through nginx, with the password that was printed.
    fn sign_in(&self, name: &str) -> Client {
        let output = self.output();
        let mut words = output.lines().map(str::split_whitespace).map(Vec::from_iter);
        let line = words.find(|words| words.starts_with(&["demo", "account", name])).unwrap();
        let body = json!({ "username": name, "password": line.last().unwrap() });
        let mut client = client(FRONT);
        let session = client.post("/api/v1/sessions", &body).expect(201).json();
        client.token = session["token"].as_str().map(str::to_owned);
        client
    }

    /// Kills a part as a power cut would.
    fn kill(&self, part: &str) {
        let pid = fs::read_to_string(self.data.path().join(format!("{part}.pid"))).unwrap();
        let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        kill_process(pid, Signal::KILL).expect("it runs");
    }

    /// Its exit code.
    fn end(&mut self) -> Option<i32> {
        if self.child.try_wait().unwrap().is_none() {
            kill_process(Pid::from_child(&self.child), Signal::TERM)
                .expect("it was not waited for");
        }
        until("the script ends", START, || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end();
    }
}
