//! nginx, or the gateway behind it, is killed in the middle of a sale; what shoppers were told is what
//! is there afterwards.

use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::nginx::{Nginx, program};
use seckill_loadtest::random::{Random, seed};
use seckill_loadtest::shop::Shop;
use seckill_loadtest::storm::Storm;

const START: Start = Start { cores: 1, through: &["env", "SECKILL_TRUSTED_PROXIES=127.0.0.1"] };

/// A gateway, its operator, and choices that a seed repeats; none where there is no nginx.
fn begin(seed: u64) -> Option<(Gateway, Shop, Random)> {
    program()?;
    let gateway = Gateway::start(START);
    let shop = Shop::open(&gateway);
    Some((gateway, shop, Random::new(seed)))
}

/// Where nginx says that nothing happened nothing did, and where it does not know it says so.
#[test]
fn what_shoppers_were_told_survives_the_gateway_behind_nginx() {
    let seed = seed();
    println!("SEED={seed}");
    let Some((mut gateway, mut shop, mut random)) = begin(seed) else { return };
    let nginx = Nginx::start(&[gateway.address()], &[]).unwrap();
    let storm = Storm::sell(nginx.address(), &mut gateway, &mut shop, &mut random, Gateway::kill);
    let told = [202, 409, 503, 504].map(|status| storm.answered(status));
    println!("accepted, refused, away, unknown: {told:?}");
    gateway.restart(START);
    storm.check(&gateway);
    assert!(storm.sent.iter().all(|sent| sent.answer.is_some()), "nginx answers whatever dies");
}

#[test]
fn what_shoppers_were_told_survives_nginx() {
    let seed = seed();
    println!("SEED={seed}");
    let Some((mut gateway, mut shop, mut random)) = begin(seed) else { return };
    let mut nginx = Nginx::start(&[gateway.address()], &[]).unwrap();
    let mut storm = Storm::sell(nginx.address(), &mut gateway, &mut shop, &mut random, |_| {
        nginx.kill();
    });
    storm.check(&gateway);
    let nginx = Nginx::start(&[gateway.address()], &[]).unwrap();
    storm.ask_again(nginx.address());
    storm.check(&gateway);
}
