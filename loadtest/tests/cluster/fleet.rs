//! Gateways of one store and one Redis, and their shoppers.
//!
//! It must not know what a test asserts.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::net::SocketAddr;

use rustix::process::{Signal, kill_process};
use seckill_loadtest::client::{Client, Response};
use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::order::{Order, Status};
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::provider;
use seckill_loadtest::redis::Redis;
use seckill_loadtest::shop::{self, Sale, Shop, id_of};
use seckill_loadtest::store::{Held, Store};

/// Gateways, numbered from 0, the Redis and the store between them.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) redis: Redis,
    pub(crate) shop: Shop,
    /// The settings that all gateways share.
    pub(crate) common: Vec<(String, String)>,
    pub(crate) store: Store,
}

/// The secret that all gateways have.
pub(crate) const SECRET: &str = "the secret that all gateways have";

/// Starts a gateway whose start fails.
pub(crate) const SERVE: [&str; 5] =
    ["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
pub(crate) const START: Start = Start { cores: 1, through: &[] };

impl Fleet {
    pub(crate) fn start(gateways: usize) -> Self {
        Self::start_with(gateways, &[])
    }

    /// The same with settings of all gateways.
    pub(crate) fn start_with(gateways: usize, more: &[(&'static str, &str)]) -> Self {
        Self::start_over(gateways, |redis| {
            let more = more.iter().map(|&(name, value)| (name, value.to_owned()));
            more.chain([("SECKILL_REDIS_URL", redis.url())]).collect()
        })
    }

    /// With settings of all gateways that depend on where Redis is.
    pub(crate) fn start_over(
        gateways: usize,
        reach: impl FnOnce(&Redis) -> Vec<(&'static str, String)>,
    ) -> Self {
        Self::start_on(Redis::start(), gateways, reach)
    }

    /// The same on a Redis that runs.
    pub(crate) fn start_on(
        redis: Redis,
        gateways: usize,
        reach: impl FnOnce(&Redis) -> Vec<(&'static str, String)>,
    ) -> Self {
        let store = Store::new(1);
        let common = [
            ("SECKILL_SECRET", SECRET.to_owned()),
            ("SECKILL_STORE_URL", store.url(0)),
            ("SECKILL_PEER_LISTEN", "127.0.0.1:0".to_owned()),
            ("SECKILL_LOG", "info,seckill=debug".to_owned()),
        ];
        let common = common.into_iter().chain(reach(&redis));
        let common = common.map(|(name, value)| (name.to_owned(), value)).collect();
        let common = [provider::variables(), common].concat();
        let gateways: Vec<_> = (0..gateways).map(|number| gateway(number, &common)).collect();
        let shop = Shop::open(&gateways[0]);
        Self { gateways, redis, shop, common, store }
    }

    /// One more gateway, which knows nothing yet; its number.
    pub(crate) fn join(&mut self) -> usize {
        self.join_with(Vec::new())
    }

    /// The same with settings of its own, which count before those of all.
    pub(crate) fn join_with(&mut self, own: Vec<(String, String)>) -> usize {
        let number = self.gateways.len();
        self.gateways.push(gateway(number, &[&self.common[..], &own].concat()));
        number
    }

    /// Keeps every gateway from writing to the store, until it is dropped.
    pub(crate) fn hold_store(&self) -> Held {
        self.store.hold()
    }

    /// A published sale that every gateway knows and may lease; its id.
    pub(crate) fn sale(&mut self, sale: Sale) -> String {
        let activity = self.shop.sale(sale);
        self.await_shared(&activity);
        activity
    }

    /// Waits until every gateway knows a published sale, and may lease it.
    #[track_caller]
    pub(crate) fn await_shared(&self, activity: &str) {
        for gateway in 0..self.gateways.len() {
            until("the sale is known, and may be lent", GENEROUS, || {
                let is_live = self.figure(gateway, "seckill_lease_live", activity) == Some(1);
                // Others may live in an era that this one has not entered yet.
                let has_entered = self.figure(gateway, "seckill_lease_generation", activity);
                (is_live && has_entered >= Some(1)).then_some(())
            });
        }
    }

    pub(crate) fn tokens(&self, prefix: &str, count: usize) -> Vec<String> {
        shop::tokens(&self.gateways[0], prefix, count)
    }

    /// One shopper's connection to each gateway.
    pub(crate) fn clients(&self, token: &str) -> Vec<Client> {
        let of = |gateway: &Gateway| Client::with_token(gateway.address(), token);
        self.gateways.iter().map(of).collect()
    }

    /// Shoppers, each with a connection to each gateway.
    pub(crate) fn shoppers(&self, prefix: &str, count: usize) -> Vec<Vec<Client>> {
        self.tokens(prefix, count).iter().map(|token| self.clients(token)).collect()
    }

    /// A figure of an activity from a gateway's metrics.
    pub(crate) fn figure(&self, gateway: usize, name: &str, activity: &str) -> Option<u64> {
        self.labelled(gateway, &format!("{name}{{activity=\"{activity}\"}}"))
    }

    /// A figure of a gateway's metrics, by its name and labels as they stand there.
    pub(crate) fn labelled(&self, gateway: usize, name: &str) -> Option<u64> {
        let text =
            Client::new(self.gateways[gateway].operations()).get("/metrics").expect(200).text();
        let head = format!("{name} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&head).map(str::to_owned))?;
        line.parse::<u64>().ok()
    }

    /// Units lent to all gateways, by their journals.
    pub(crate) fn lent(&self, activity: &str) -> u64 {
        let units = |gateway| self.figure(gateway, "seckill_lease_units", activity).unwrap_or(0);
        (0..self.gateways.len()).map(units).sum()
    }

    /// Waits until so many are: a figure is told at the end of a turn, behind the units.
    #[track_caller]
    pub(crate) fn await_lent(&self, activity: &str, units: u64) {
        until(&format!("{units} units are lent"), GENEROUS, || {
            (self.lent(activity) == units).then_some(())
        });
    }

    /// The listeners on which gateways answer each other, by `seckill gateway list`.
    pub(crate) fn listeners(&self) -> Vec<SocketAddr> {
        let list = self.gateways[0].run(&["gateway", "list"]).expect(0);
        let address = |line: &str| {
            let (_, url) = line.split_once("http://")?;
            url.split_once(',')?.0.parse().ok()
        };
        list.lines().map(|line| address(line).unwrap_or_else(|| panic!("{line}"))).collect()
    }

    /// Has a gateway stand still, all its threads, until it is told to go on.
    pub(crate) fn stop(&self, gateway: usize) {
        let pid = self.gateways[gateway].pid();
        kill_process(pid, Signal::STOP).expect("it runs");
        let tasks = format!("/proc/{}/task", pid.as_raw_nonzero());
        until("every thread stands still", GENEROUS, || {
            let stands = |task: std::io::Result<DirEntry>| {
                // A thread that has ended meanwhile is looked for again.
                let stat = task.and_then(|it| fs::read_to_string(it.path().join("stat")));
                let state = stat.unwrap_or_default();
                state.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
            };
            fs::read_dir(&tasks).unwrap().all(stands).then_some(())
        });
    }

    pub(crate) fn go_on(&self, gateway: usize) {
        kill_process(self.gateways[gateway].pid(), Signal::CONT).expect("it runs");
    }

    /// Kills a gateway as a power cut would, and starts it again on its data.
    pub(crate) fn crash(&mut self, gateway: usize) {
        self.gateways[gateway].kill();
        self.gateways[gateway].restart(START);
    }

    /// Kills all gateways as a power cut would.
    pub(crate) fn kill_all(&mut self) {
        self.gateways.iter_mut().for_each(Gateway::kill);
    }

    /// Starts all gateways again, which were killed, and has them look for the store there.
    pub(crate) fn restart_all(&mut self, store: &str) {
        for (number, gateway) in self.gateways.iter_mut().enumerate() {
            let mut settings = settings(number, &self.common);
            // Behind the one that all had: the last one counts.
            settings.push(("SECKILL_STORE_URL".to_owned(), store.to_owned()));
            gateway.restart_with(START, settings);
        }
    }
}

/// What a gateway is started with.
fn settings(number: usize, common: &[(String, String)]) -> Vec<(String, String)> {
    let own = vec![("SECKILL_GATEWAY_ID".to_owned(), number.to_string())];
    [common, &own].concat()
}

/// Starts a gateway on a data directory of its own.
fn gateway(number: usize, common: &[(String, String)]) -> Gateway {
    Gateway::start_with(START, settings(number, common))
}

/// A buy at one gateway: the order, or the slug of the refusal.
pub(crate) fn buy(client: &mut Client, activity: &str, key: &str) -> Result<Order, String> {
    let answer: Response = client.send(shop::buy(activity, key, 1));
    let body = answer.json();
    if answer.status == 202 {
        return Ok(Order::of(&body));
    }
    let slug = body["type"].as_str().and_then(|it| it.rsplit(['/', '#']).next());
    Err(slug.expect("a problem has a type").to_owned())
}

/// Waits until an order stands as it should.
#[track_caller]
pub(crate) fn await_status(client: &mut Client, order: &str, status: Status) {
    let path = format!("/api/v1/orders/{order}");
    until(&format!("order {order} is {status:?}"), GENEROUS, || {
        let order = Order::of(&client.get(&path).expect(200).json());
        assert!(order.status.may_become(status), "{order:?} will never be {status:?}");
        (order.status == status).then_some(())
    });
}

/// Has shoppers buy at some gateways until as many units are sold as are left.
#[track_caller]
pub(crate) fn sell(shoppers: &mut [Vec<Client>], gateways: &[usize], activity: &str, left: usize) {
    until("every unit that is left is sold", GENEROUS, || {
        let mut sold = 0;
        for (number, shopper) in shoppers.iter_mut().enumerate() {
            let at = gateways[number % gateways.len()];
            // Who has bought is told of their order again, under the same key.
            let bought = buy(&mut shopper[at], activity, &format!("rest-{number}"));
            sold += usize::from(bought.is_ok());
        }
        assert!(sold <= left, "oversold: {sold} of {left}");
        (sold == left).then_some(())
    });
}

/// The orders by status of many shoppers, each asked at the gateway where they bought.
pub(crate) fn statuses(bought: &mut [(Client, String)]) -> BTreeMap<String, usize> {
    let mut statuses = BTreeMap::new();
    for (client, order) in bought {
        let body = client.get(&format!("/api/v1/orders/{order}")).expect(200).json();
        let status = body["status"].as_str().unwrap().to_owned();
        assert_eq!(id_of(&body), *order);
        *statuses.entry(status).or_default() += 1;
    }
    statuses
}
