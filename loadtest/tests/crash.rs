//! A gateway is killed in the middle of a sale, again and again; what clients were told is what is
//! there afterwards.
//!
//! `ROUNDS` says how often, `SEED` repeats a run: its choices, not the moment of the kill.

use std::env;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use seckill_loadtest::checker::{Account, Difference, Found, Terms, compare};
use seckill_loadtest::client::Client;
use seckill_loadtest::driver::{Answer, Ask, Load, Sent, drive, request};
use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::random::{Random, seed};
use seckill_loadtest::shop::{self, Sale, Shop};
use serde::Deserialize;

const ROUNDS: usize = 5;
const BUYERS: usize = 60;
const ARRIVALS: usize = 2_000;
const CORES_MAX: usize = 3;

/// A sale under load, and what its clients know.
struct Round {
    activity: String,
    terms: Terms,
    tokens: Vec<String>,
    sent: Vec<Sent>,
}

/// Sells until the gateway is gone, by a signal that comes after a random number of answers.
fn sell_and_kill(gateway: &mut Gateway, shop: &mut Shop, random: &mut Random, kill: bool) -> Round {
    let seed = random.bits();
    // Some sales sell out before the kill, and in some all orders expire soon.
    let stock = *random.one_of(&[40, 400, 100_000]);
    let limit = *random.one_of(&[1, 3, 1_000]);
    let pay_within_s = *random.one_of(&[1, 3_600]);
    let sale = Sale { stock, limit, pay_within_s, ..Sale::of(stock) };
    let activity = shop.sale(sale);
    let tokens = shop::tokens(gateway, &format!("buyer{seed:x}-"), BUYERS);
    let load = Load {
        activity: &activity,
        tokens: &tokens,
        arrivals: ARRIVALS,
        rate: 4_000,
        connections: 8,
        quantity_max: limit.min(2),
        repeats_percent: 10,
        cancels_percent: 10,
        seed,
    };
    let enough = random.below(ARRIVALS);
    let answered = AtomicUsize::new(0);
    let address = gateway.address();
    let sent = thread::scope(|scope| {
        let load = scope.spawn(|| drive(address, &load, &answered));
        until("enough is answered", GENEROUS * 8, || {
            // Only a count: the answers themselves come with the join.
            (answered.load(Ordering::Relaxed) >= enough || load.is_finished()).then_some(())
        });
        if kill {
            gateway.kill();
        } else {
            gateway.stop();
        }
        load.join().expect("the driver does not panic")
    });
    let terms = Terms { stock: stock.into(), limit: limit.into() };
    Round { activity, terms, tokens, sent }
}

impl Round {
    /// What every buyer finds in their list.
    fn find(&self, gateway: &Gateway) -> Vec<Found> {
        let mut found = Vec::new();
        for (buyer, token) in self.tokens.iter().enumerate() {
            let orders = shop::orders(&mut Client::with_token(gateway.address(), token));
            found.extend(orders.into_iter().map(|order| Found { buyer, order }));
        }
        found
    }

    /// What clients do after a crash: they ask again, with the same key, what was not answered.
    fn ask_again(&mut self, gateway: &Gateway) {
        let unanswered = self.sent.iter().filter(|sent| sent.answer.is_none());
        let again: Vec<Sent> = unanswered
            .enumerate()
            .map(|(index, sent)| {
                let mut buyer = Client::with_token(gateway.address(), &self.tokens[sent.buyer]);
                let request_id = format!("again-{index}");
                let response = buyer.send(request(&self.activity, &sent.ask, &request_id));
                Sent { answer: Some(Answer::of(&response, &request_id)), ..sent.clone() }
            })
            .collect();
        self.sent.extend(again);
    }

    /// Compares; the audit must find no difference at any moment, and comes to what is there as
    /// soon as the last expiries and the last flush are over.
    #[track_caller]
    fn check(&self, gateway: &Gateway) {
        let mut differences = Vec::new();
        let is_sound = || {
            let audit = gateway.audit(&self.activity);
            let account = Account::deserialize(audit).expect("an audit is as the contract says");
            differences = compare(self.terms, &self.sent, &self.find(gateway), account);
            let waits = differences.iter().all(|it| matches!(it, Difference::Unbalanced(_)));
            (differences.is_empty() || !waits).then_some(())
        };
        until("the audit comes to what is there", GENEROUS, is_sound);
        assert!(differences.is_empty(), "{} differences: {differences:#?}", differences.len());
    }
}

fn rounds() -> usize {
    env::var("ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("ROUNDS is a number"))
}

#[test]
fn what_clients_were_told_survives_every_kill() {
    let seed = seed();
    println!("SEED={seed}");
    let mut random = Random::new(seed);
    let mut gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    for number in 1..=rounds() {
        let mut round = sell_and_kill(&mut gateway, &mut shop, &mut random, true);
        let told = round.sent.iter().filter(|sent| sent.answer.is_some()).count();
        let accepted = round
            .sent
            .iter()
            .filter(|sent| sent.answer.as_ref().is_some_and(|answer| answer.status == 202));
        println!(
            "round {number}: {} sent, {told} answered, {} accepted",
            round.sent.len(),
            accepted.count()
        );
        gateway.restart(Start::cores(1 + random.below(CORES_MAX)));
        round.check(&gateway);
        round.ask_again(&gateway);
        round.check(&gateway);
        let admin = shop.admin.token.take().expect("an administrator is signed in");
        shop.admin = Client::with_token(gateway.address(), &admin);
    }
    // Nothing was left behind by any of them.
    drop(gateway.run(&["journal", "verify"]).expect(0));
    drop(gateway.run(&["audit"]).expect(0));
}

/// A drain under an open-loop load: whatever was answered is kept, and the gateway ends well.
#[test]
fn what_clients_were_told_survives_a_drain() {
    let seed = seed();
    println!("SEED={seed}");
    let mut random = Random::new(seed);
    let mut gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let mut round = sell_and_kill(&mut gateway, &mut shop, &mut random, false);
    gateway.restart(Start::cores(1));
    round.check(&gateway);
    round.ask_again(&gateway);
    round.check(&gateway);
    assert!(round.sent.iter().any(|sent| matches!(sent.ask, Ask::Buy { .. })));
}
