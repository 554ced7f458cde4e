//! Two gateways behind nginx.
//!
//! It must not know what is asked of them.

use std::fs;

use rustix::process::{Signal, kill_process};
use seckill_loadtest::client::Response;
use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::nginx::{Edit, Nginx, program};
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop::{self, Sale, Shop};

/// The key of tokens, which all gateways share.
pub(crate) const SECRET: &str = "the secret that both gateways have";

/// Two gateways behind a proxy on this machine. What one of them places, its number tells.
const STARTS: [Start; 2] = [
    Start {
        cores: 1,
        through: &[
            "env",
            "SECKILL_SECRET=the secret that both gateways have",
            "SECKILL_TRUSTED_PROXIES=127.0.0.1",
            "SECKILL_GATEWAY_ID=1",
        ],
    },
    Start {
        cores: 1,
        through: &[
            "env",
            "SECKILL_SECRET=the secret that both gateways have",
            "SECKILL_TRUSTED_PROXIES=127.0.0.1",
            "SECKILL_GATEWAY_ID=2",
        ],
    },
];

/// Stops a gateway in the middle of whatever it does. A signal reaches its threads one by one, and
/// one that still runs would answer.
#[track_caller]
pub(crate) fn stop(gateway: &Gateway) {
    kill_process(gateway.pid(), Signal::STOP).unwrap();
    let threads = format!("/proc/{}/task", gateway.pid().as_raw_nonzero());
    until("all its threads have stopped", GENEROUS, || {
        let is_stopped = |thread: fs::DirEntry| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
        };
        fs::read_dir(&threads).unwrap().map(Result::unwrap).all(is_stopped).then_some(())
    });
}

/// Lets it go on.
pub(crate) fn go_on(gateway: &Gateway) {
    kill_process(gateway.pid(), Signal::CONT).unwrap();
}

/// Two gateways with one sale and the same shoppers, and nginx before them.
pub(crate) struct Fleet {
    // Dropped in this order: nginx would only log that gateways are gone.
    pub(crate) nginx: Nginx,
    pub(crate) gateways: [Gateway; 2],
    pub(crate) activity: String,
    /// A token for each shopper.
    pub(crate) tokens: Vec<String>,
}

impl Fleet {
    #[track_caller]
    pub(crate) fn start(edits: &[Edit]) -> Option<Self> {
        program()?;
        let gateways = STARTS.map(Gateway::start);
        let sales = gateways
            .each_ref()
            .map(|gateway| Shop::open(gateway).sale(Sale { limit: 5, ..Sale::of(1_000) }));
        assert_eq!(sales[0], sales[1], "one sale, as shoppers see it");
        let nginx = Nginx::start(&gateways.each_ref().map(Gateway::address), edits)?;
        let out = gateways[0].data().join("tokens");
        let words = ["tokens", "--users", "32", "--out", out.to_str().unwrap()];
        gateways[0].run_with(&words, &[("SECKILL_SECRET", SECRET)]).expect(0);
        let tokens = fs::read_to_string(out).unwrap().lines().map(str::to_owned).collect();
        let [activity, _] = sales;
        Some(Self { nginx, gateways, activity, tokens })
    }

    /// The number of the gateway that placed an order, from its id.
    pub(crate) fn placed_by(order: &str) -> usize {
        usize::try_from(order.parse::<u64>().unwrap() >> 53).unwrap()
    }

    /// What somebody's buy is answered with, through nginx.
    #[track_caller]
    pub(crate) fn buy(&self, token: &str, key: &str) -> Response {
        self.nginx.answer(&shop::buy(&self.activity, key, 1).token(token))
    }

    /// Where somebody's orders are placed: 0 or 1.
    #[track_caller]
    pub(crate) fn home(&self, token: &str) -> usize {
        let order = self.buy(token, "home").expect(202).json();
        Self::placed_by(&shop::id_of(&order)) - 1
    }

    /// A shopper of each gateway.
    #[track_caller]
    pub(crate) fn one_of_each(&self) -> [String; 2] {
        [0, 1].map(|home| {
            let mut tokens = self.tokens.iter();
            let found = tokens.find(|token| self.home(token) == home);
            found.expect("32 shoppers are not all of one gateway").clone()
        })
    }
}
