//! What `make cluster` starts: a fleet that sells behind nginx.
//!
//! Its ports are fixed, so it has a network of its own; where none can be had, that is said.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use seckill_loadtest::client::Client;
use seckill_loadtest::gateway::{Scratch, binary};
use seckill_loadtest::nginx;
use seckill_loadtest::order::{Order, Status};
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop::{self, id_of, items};
use serde_json::json;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/cluster.sh");
/// Five processes come one after the other.
const START: Duration = GENEROUS.saturating_mul(4);
const FRONT: u16 = 8080;
/// Where the gateway that is killed answers whoever does not come through nginx.
const SECOND: u16 = 8082;
const OPERATIONS: [u16; 3] = [9091, 9092, 9093];

#[test]
fn make_cluster_starts_a_fleet_that_sells_ends_whole_and_goes_on_the_next_time() {
    let data = Scratch::new();
    let Some(mut cluster) = Cluster::start(data.path()) else { return };
    let told = cluster.output();
    for port in [FRONT, SECOND].into_iter().chain(OPERATIONS) {
        assert!(told.contains(&port.to_string()), "where all of it listens: {told}");
    }
    let sold = cluster.inside(sell);
    for part in ["redis", "gateway 2"] {
        let told = format!("{part} has ended");
        until(&told, GENEROUS, || cluster.output().contains(&told).then_some(()));
    }
    cluster.expect_whole_end(&[1, 3]);
    let mut cluster = Cluster::start(data.path()).unwrap();
    cluster.inside(|cluster| find_again(cluster, &sold));
    cluster.expect_whole_end(&[1, 2, 3]);
}

/// What was sold before the script was ended.
struct Sold {
    sale: String,
    /// Each with who bought it, as it was seen last.
    orders: [(&'static str, Order); 3],
}

/// Sells while all parts are there, and while Redis and a gateway are killed that has an order by then.
fn sell(cluster: &Cluster<'_>) -> Sold {
    await_fleet();
    let mut ada = cluster.sign_in("ada");
    let sales = items(&mut ada, "/api/v1/activities?");
    let sale = id_of(sales.iter().find(|it| it["title"] == "A storm of umbrellas").unwrap());
    let first = buy(&mut ada, &sale, "first");
    let first = until("it can be paid", GENEROUS, || {
        seen(&mut ada, &first).filter(|order| order.status == Status::AwaitingPayment)
    });
    let mut direct = Client::with_token(address(SECOND), ada.token.as_ref().unwrap());
    let second = buy(&mut direct, &sale, "second");
    assert_eq!(second.gateway(), 2);
    for port in OPERATIONS {
        until("it can sell without Redis", GENEROUS, || {
            figure(port, "seckill_lease_units", &sale).filter(|&units| units > 0)
        });
    }
    let mut grace = cluster.sign_in("grace");
    for part in ["redis", "gateway-2"] {
        cluster.kill(part);
    }
    let third = buy(&mut grace, &sale, "third");
    Sold { sale, orders: [("ada", first), ("ada", second), ("grace", third)] }
}

/// What was sold is there the next time, and all books agree on it.
fn find_again(cluster: &Cluster<'_>, sold: &Sold) {
    await_fleet();
    for (name, before) in &sold.orders {
        let mut shopper = cluster.sign_in(name);
        let now = until("it is settled", GENEROUS, || {
            let now = seen(&mut shopper, before)?;
            assert!(before.status.may_become(now.status), "{before:?} is {now:?}");
            (now.status != Status::Accepted).then_some(now)
        });
        // The demo's orders wait two minutes for their payment.
        assert!(Status::AwaitingPayment.may_become(now.status), "{now:?}");
    }
    let mut operator = cluster.sign_in("operator");
    until("all books have all orders", GENEROUS, || {
        let audit = operator.get(&format!("/api/v1/admin/audit/{}", sold.sale)).expect(200).json();
        assert_eq!(audit["difference_count"], 0, "{audit}");
        let orders = ["journal_orders", "store_orders"].map(|books| &audit["sources"][books]);
        let agrees = audit["balanced"] == true && audit["unanswered"] == json!([]);
        (agrees && orders == [sold.orders.len(); 2]).then_some(())
    });
    for port in OPERATIONS {
        assert_eq!(figure(port, "seckill_lease_drift_units", &sold.sale), Some(0), "{port}");
    }
}

/// Waits until each gateway knows both others, and asks for traffic.
fn await_fleet() {
    for port in OPERATIONS {
        until("it knows both others", GENEROUS, || {
            let metrics = client(port).get("/metrics").expect(200).text();
            metrics.contains("seckill_peers{state=\"present\"} 2\n").then_some(())
        });
        until("it is ready", GENEROUS, || {
            (client(port).get("/readyz").status == 200).then_some(())
        });
    }
}

/// Buys a unit, as soon as there is one to buy.
fn buy(shopper: &mut Client, sale: &str, key: &str) -> Order {
    let bought = until("there is something to buy", GENEROUS, || {
        let answer = shopper.send(shop::buy(sale, key, 1));
        (answer.status == 202).then_some(answer)
    });
    Order::of(&bought.json())
}

/// An order as it is now; none while its gateway is away, and it is told of as the store has it, if at all.
fn seen(shopper: &mut Client, order: &Order) -> Option<Order> {
    let answer = shopper.get(&format!("/api/v1/orders/{}", order.id));
    let order = (answer.status == 200).then(|| answer.json());
    order.filter(|it| it.get("as_of").is_none()).as_ref().map(Order::of)
}

/// A figure of a sale from a gateway's metrics.
fn figure(port: u16, name: &str, sale: &str) -> Option<u64> {
    let metrics = client(port).get("/metrics").expect(200).text();
    let head = format!("{name}{{activity=\"{sale}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&head)?.parse().ok())
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn client(port: u16) -> Client {
    Client::new(address(port))
}

/// The script, which runs; what it keeps outlives it.
struct Cluster<'a> {
    child: Child,
    data: &'a Path,
}

impl<'a> Cluster<'a> {
    /// None where there is no nginx or no network, which is said.
    fn start(data: &'a Path) -> Option<Self> {
        nginx::program()?;
        let alone = ["--net", "bash", "-c", "ip link set lo up && exec \"$@\"", "alone"];
        let has_network = Command::new("unshare").args(alone).arg("true").output();
        if !has_network.is_ok_and(|it| it.status.success()) {
            let told =
                writeln!(std::io::stderr(), "no network of its own here: the cluster is left out");
            drop(told);
            return None;
        }
        let output = File::create(data.join("output")).unwrap();
        let child = Command::new("unshare")
            .args(alone)
            .arg(SCRIPT)
            .args([binary().as_path(), data])
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
        fs::read_to_string(self.data.join("output")).unwrap()
    }

    /// Does something in its network.
    fn inside<T: Send>(&self, work: impl FnOnce(&Self) -> T + Send) -> T {
        let network = File::open(format!("/proc/{}/ns/net", self.child.id())).unwrap();
        let work = || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(network.as_fd(), kind).unwrap();
            work(self)
        };
        thread::scope(|scope| scope.spawn(work).join().unwrap())
    }

    /// A demo account that has signed in through nginx, with the password that is printed: at each start,
    /// though it was made at the first.
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
        let pid = fs::read_to_string(self.data.join(format!("{part}.pid"))).unwrap();
        let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        kill_process(pid, Signal::KILL).expect("it runs");
    }

    /// Ends it, and with it Redis and these gateways, which answer what is under way before.
    #[track_caller]
    fn expect_whole_end(&mut self, gateways: &[u16]) {
        assert_eq!(self.end(), Some(0), "{}", self.output());
        let socket = self.data.join("redis.socket");
        assert!(UnixStream::connect(socket).is_err(), "Redis is still there");
        for number in gateways {
            let log = self.data.join(format!("gateway-{number}.log"));
            let log = fs::read_to_string(log).unwrap();
            assert!(log.contains("\"message\":\"stopped\",\"whole\":true"), "{log}");
        }
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

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        self.end();
    }
}
