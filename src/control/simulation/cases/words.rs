//! Words: what operators do, told to the other gateways.

use seckill_shards::command::PhaseChange;

use super::{Case, check, run, start};
use crate::control::simulation::world::World;
use crate::control::simulation::{Violation, in_a_runtime, seeds};
use crate::reconcile::testing::Flaw;

impl World {
    /// Whether the sale is paused and has ended at a gateway.
    fn phase(&self, at: usize) -> Option<(bool, bool)> {
        let running = self.gateways[at].running.as_ref()?;
        let known = running.engine().activity(self.sale().id)?;
        let sale = known.sale();
        Some((sale.paused, sale.ended))
    }

    /// Goes on for a second at most, until all are at the same.
    fn phase_within_a_second(&mut self, expected: (bool, bool)) -> Result<(), Violation> {
        let other =
            |world: &Self| (0..world.gateways.len()).find(|&at| world.phase(at) != Some(expected));
        for _ in 0..50 {
            if other(self).is_none() {
                return Ok(());
            }
            self.go_on(20)?;
        }
        match other(self) {
            None => Ok(()),
            Some(at) => Err(format!("gateway {at} does not do as an operator says in a second")),
        }
    }
}

/// Among three, so that more than one is told. Simulated time is no wall clock: nothing but waiting takes any.
#[test]
fn what_an_operator_does_at_one_gateway_holds_at_all_within_a_second_redis_and_store_or_not() {
    fn everything_holds(world: &mut World, cut: fn(&mut World)) -> Result<(), Violation> {
        start(world, 3)?;
        // Each has seen that the others are there.
        world.calm(2_000)?;
        cut(world);
        for (change, expected) in [
            (PhaseChange::Pause, (true, false)),
            (PhaseChange::Resume, (false, false)),
            (PhaseChange::Pause, (true, false)),
            (PhaseChange::End, (true, true)),
        ] {
            world.change_phase(0, world.sale().id, change);
            world.phase_within_a_second(expected)?;
        }
        Ok(())
    }
    fn cut_all_from_store(world: &mut World) {
        (0..3).for_each(|at| world.cut_from_store(at));
    }
    let with_both: Case = |world| everything_holds(world, |_| {});
    let without_redis: Case = |world| everything_holds(world, |world| world.held.extend([0, 1, 2]));
    let without_store: Case = |world| everything_holds(world, cut_all_from_store);
    let without_both: Case = |world| {
        everything_holds(world, |world| {
            world.held.extend([0, 1, 2]);
            cut_all_from_store(world);
        })
    };
    for case in [with_both, without_redis, without_store, without_both] {
        check(case, 3, Flaw::None, "");
    }
    let without_words: Case = |world| {
        everything_holds(world, |world| {
            world.cut_from_peers(1);
            cut_all_from_store(world);
        })
    };
    let violation = run(without_words, 3, Flaw::None).expect_err("nobody tells the second");
    assert!(violation.starts_with("gateway 1 does not do as an operator says"), "{violation}");
}

/// No two clocks agree, and whoever resumes a sale has seen that it was paused: it said so with an earlier
/// instant, and the others stayed as they were until the store was there.
#[test]
fn what_is_done_after_something_was_heard_is_newer_whatever_the_clocks_say() {
    let case: Case = |world| {
        start(world, 3)?;
        world.calm(2_000)?;
        (0..3).for_each(|at| world.cut_from_store(at));
        for (at, change, expected) in [
            (0, PhaseChange::Pause, (true, false)),
            (1, PhaseChange::Resume, (false, false)),
            (2, PhaseChange::Pause, (true, false)),
            (0, PhaseChange::Resume, (false, false)),
            (2, PhaseChange::Pause, (true, false)),
            (1, PhaseChange::Resume, (false, false)),
            (0, PhaseChange::Pause, (true, false)),
            (1, PhaseChange::End, (true, true)),
        ] {
            world.change_phase(at, world.sale().id, change);
            world.phase_within_a_second(expected)?;
        }
        Ok(())
    };
    check(case, 3, Flaw::None, "");
}

/// Operators at all gateways pause and resume a sale at once, or end it, with the store away. What a gateway
/// heard while its own word was written down was done behind that, and it alone stayed so; an end that came
/// behind a newer word was dropped. Once the store is back all do as it says, though nobody has started anew,
/// and whomever words reached.
#[test]
fn of_words_that_cross_the_same_one_counts_everywhere() {
    fn all_agree(world: &mut World) -> Result<(), Violation> {
        start(world, 3)?;
        world.calm(2_000)?;
        (0..3).for_each(|at| world.cut_from_store(at));
        let is_alone = world.random.once_in(3);
        if is_alone {
            world.cut_from_peers(2);
        }
        let end_at = world.random.index(40);
        for turn in 0..20 {
            let at = world.random.index(3);
            let change = match world.random.once_in(2) {
                _ if turn == end_at => PhaseChange::End,
                true => PhaseChange::Pause,
                false => PhaseChange::Resume,
            };
            world.change_phase(at, world.sale().id, change);
            for _ in 0..world.random.index(40) {
                world.work()?;
                world.carry();
                let ms = world.random.below(5);
                world.pass(ms);
            }
        }
        // No word is said any more.
        world.calm(9_000)?;
        // Of a sale that has ended nobody asks whether it is paused.
        let stands = |world: &World, at| world.phase(at).map(|it| (it.0 && !it.1, it.1));
        let phases = [0, 1, 2].map(|at| stands(world, at));
        let linked = if is_alone { &phases[..2] } else { &phases };
        if linked.iter().any(|it| *it != phases[0]) {
            return Err(format!("they do not agree: {phases:?}"));
        }
        world.link();
        world.calm(5_000)?;
        world.check_phases()?;
        match is_alone || stands(world, 0) == phases[0] {
            true => Ok(()),
            false => Err(format!("the store undoes what was said last: {:?}", world.phase(0))),
        }
    }
    let failed = seeds().find_map(|seed| {
        in_a_runtime(|| {
            let mut world = World::new(seed, 3, Flaw::None);
            world.publish(2, 1);
            all_agree(&mut world).err().map(|violation| format!("SEED={seed}: {violation}"))
        })
    });
    assert_eq!(failed, None);
}
