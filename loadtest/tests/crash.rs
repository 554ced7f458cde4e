//! A gateway is killed in the middle of a sale, again and again; what clients were told is what is
//! there afterwards.
//!
//! `ROUNDS` says how often, `SEED` repeats a run: its choices, not the moment of the kill.

use std::env;

use seckill_loadtest::client::Client;
use seckill_loadtest::driver::Ask;
use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::random::{Random, seed};
use seckill_loadtest::shop::Shop;
use seckill_loadtest::storm::Storm;

const ROUNDS: usize = 5;
const CORES_MAX: usize = 3;

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
        let address = gateway.address();
        let mut storm = Storm::sell(address, &mut gateway, &mut shop, &mut random, Gateway::kill);
        let told = storm.sent.iter().filter(|sent| sent.answer.is_some()).count();
        println!(
            "round {number}: {} sent, {told} answered, {} accepted",
            storm.sent.len(),
            storm.answered(202)
        );
        gateway.restart(Start::cores(1 + random.below(CORES_MAX)));
        storm.check(&gateway);
        storm.ask_again(gateway.address());
        storm.check(&gateway);
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
    let address = gateway.address();
    let mut storm = Storm::sell(address, &mut gateway, &mut shop, &mut random, Gateway::stop);
    gateway.restart(Start::cores(1));
    storm.check(&gateway);
    storm.ask_again(gateway.address());
    storm.check(&gateway);
    assert!(storm.sent.iter().any(|sent| matches!(sent.ask, Ask::Buy { .. })));
}
