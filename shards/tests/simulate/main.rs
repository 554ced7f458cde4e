//! The whole engine in one thread from one seed, against a model of what clients were told.
//!
//! `SEED=n` runs one seed, `SEEDS=n` that many; a failure names its seed and the last steps.

#![expect(clippy::wildcard_enum_match_arm, reason = "a model names the cases it knows")]

mod books;
mod commands;
mod model;
mod simulation;

use std::panic::{AssertUnwindSafe, catch_unwind};

use simulation::Simulation;

const STEPS: usize = 700;

/// Runs one seed: the checkpoints that were made and the sales that were forgotten, or what went wrong. A run is fast, so the one that
/// fails is run again to tell its last steps.
fn run(seed: u64, canary: Option<usize>) -> Result<[u64; 2], String> {
    run_once(seed, canary, false).or_else(|_| run_once(seed, canary, true))
}

fn run_once(seed: u64, canary: Option<usize>, told_about: bool) -> Result<[u64; 2], String> {
    let mut simulation = Simulation::new(seed);
    (simulation.canary, simulation.told_about) = (canary, told_about);
    let outcome = catch_unwind(AssertUnwindSafe(|| simulation.run(STEPS)));
    let done = outcome.map(|()| [simulation.checkpoints, simulation.forgotten.len() as u64]);
    done.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
        let steps = simulation.last_steps.make_contiguous().join("\n  ");
        let text = text.unwrap_or_default();
        format!("SEED={seed} failed: {text}\nthe last steps:\n  {steps}")
    })
}

fn sum(one: [u64; 2], other: [u64; 2]) -> [u64; 2] {
    [one[0] + other[0], one[1] + other[1]]
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn every_seed_keeps_what_was_promised() {
    let (first, seeds) = match (number("SEED"), number("SEEDS")) {
        (Some(seed), _) => (seed, 1),
        (None, seeds) => (0, seeds.unwrap_or(500)),
    };
    let threads = std::thread::available_parallelism().map_or(1, |it| it.get() as u64);
    std::thread::scope(|scope| {
        let run_some = |thread: u64| -> [u64; 2] {
            let mine = (first..first + seeds).filter(|seed| seed % threads == thread);
            let done = mine.map(|seed| run(seed, None).unwrap_or_else(|it| panic!("{it}")));
            done.fold([0; 2], sum)
        };
        #[expect(clippy::needless_collect, reason = "all run before one is waited for")]
        let runs: Vec<_> = (0..threads).map(|it| scope.spawn(move || run_some(it))).collect();
        let done = runs
            .into_iter()
            .map(|run| run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        let [checkpoints, forgotten] = done.fold([0; 2], sum);
        assert!(checkpoints >= seeds / 4, "{checkpoints} checkpoints in {seeds} runs are too few");
        assert!(forgotten >= seeds / 4, "{forgotten} sales forgotten in {seeds} runs are too few");
        println!("{seeds} seeds, {checkpoints} checkpoints, {forgotten} sales forgotten");
    });
}

/// The canary: one unit is sold behind the engine's back, as if it had one too many. A checker that
/// does not see this sees nothing.
#[test]
fn a_unit_too_many_is_caught() {
    for seed in 0..20 {
        let failure = run(seed, Some(100)).expect_err("the canary must be caught");
        assert!(failure.contains("stock equation"), "{failure}");
    }
}
