//! The data directories of two gateways, exchanged.

use seckill_loadtest::books::Lent;
use seckill_loadtest::client::Client;
use seckill_loadtest::gateway::Gateway;
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop::{self, Sale};

use crate::world::{SERVE, World};

/// Nobody listens there.
const NO_STORE: &str = "sqlserver:server=tcp:127.0.0.1,1;user=sa;password=none";

/// Each would sell what the other holds, and flush over what the store has of it.
#[test]
fn gateways_on_each_others_data_refuse_to_start_and_change_nothing() {
    let mut world = World::start(false);
    let (_, activity) = world.sale(Sale::of(20));
    let token = shop::tokens(&world.gateways[0], "ann", 1).remove(0);
    let mut ann = Client::with_token(world.gateways[1].address(), &token);
    drop(until("she is served", GENEROUS, || {
        ann.try_send(shop::buy(&activity, "a", 1)).ok().filter(|answer| answer.status == 202)
    }));
    world.recover();
    world.kill(0);
    world.kill(1);
    let dump = |gateway: &Gateway| gateway.run(&["journal", "dump"]).expect(0);
    let hash = format!("seckill:lease:{activity}");
    let [one, other] = &world.gateways[..2] else { unreachable!() };
    let known = || {
        let Lent { holdings, places, .. } = Lent::of(&world.redis[0].tell(&["HGETALL", &hash]));
        // The third goes on.
        (dump(one), dump(other), [0, 1].map(|number| holdings.get(&number).copied()), places)
    };
    let before = known();
    // Whose a journal is it says itself, whether the store is there or not.
    for away in [&[][..], &[("SECKILL_STORE_URL", NO_STORE)]] {
        for (gateway, data) in [(one, other), (other, one)] {
            gateway.run_on(data.data(), &SERVE, away).refused("a swapped data directory");
        }
    }
    assert_eq!(known(), before);
    world.restart(0);
    world.restart(1);
    world.recover();
    let mut ann = Client::with_token(world.gateways[1].address(), &token);
    assert_eq!(shop::orders(&mut ann).len(), 1);
    world.check();
}
