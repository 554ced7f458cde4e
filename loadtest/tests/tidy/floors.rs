//! The floors: a module uses only floors below its own, and no neighbour on its floor.
//!
//! The picture is in ARCHITECTURE.md; a module that is in no table fails, so the tables stay whole.

use crate::Broken;
use crate::source::Source;

type Floors = &'static [&'static [&'static str]];

/// The engine, lowest floor first. `sync` is the seam for interleaving tests, `testing` the
/// simulated machine: it stands above everything, so that nothing that is shipped can use it.
const SHARDS: Floors = &[
    &["limits", "sync"],
    &["clock", "ids"],
    &["record"],
    &["command"],
    &["disk", "places", "stock", "wheel"],
    &["journal", "orders"],
    &["shard"],
    &["engine"],
    &["testing"],
];

/// The gateway, lowest floor first.
const GATEWAY: Floors = &[
    &["flow", "log", "payment"],
    &["config", "reconcile", "store"],
    &["peers"],
    &["api", "audit"],
    &["control", "server"],
    &["metrics"],
    &["operations"],
    &["cli"],
    &["main"],
];

/// What a module must not know although it is on a lower floor.
const STRANGERS: &[(&str, &[&str])] = &[
    ("disk", &["clock", "command", "ids", "record"]),
    ("journal", &["command", "ids", "places", "stock", "wheel"]),
    ("stock", &["clock", "command", "ids", "record"]),
    ("wheel", &["command", "ids", "record"]),
];

/// The modules of the engine that a module of the gateway may see; who is not named sees all.
const WINDOWS: &[(&str, &[&str])] = &[
    ("api", &["clock", "command", "engine", "ids", "limits", "record", "shard"]),
    ("config", &["ids", "limits"]),
    ("payment", &["clock", "ids"]),
    ("peers", &["clock", "ids"]),
    ("reconcile", &["ids"]),
    ("server", &["clock", "engine", "shard"]),
    ("store", &["clock", "ids", "limits", "record"]),
];

/// The floors that a file breaks.
pub(crate) fn check(source: &Source) -> Vec<Broken> {
    let (krate, floors) = match source.krate() {
        Some(krate @ "seckill_shards") => (krate, SHARDS),
        Some(krate @ "seckill") => (krate, GATEWAY),
        _ => return Vec::new(),
    };
    let module = source.module();
    let from = module.first().map(String::as_str);
    let is_test = source.stripped.production.is_empty();
    if from.is_some_and(|from| floor(floors, from).is_none()) && !is_test {
        return vec![format!("{}: module {} has no floor", source.path, module[0])];
    }
    let mut broken = Vec::new();
    for (line, path) in source.absolute_paths() {
        if let Some(reason) = objection(krate, floors, from, &path) {
            broken.push(format!("{}:{line}: {reason}", source.path));
        }
    }
    broken.dedup();
    broken
}

fn floor(floors: Floors, module: &str) -> Option<usize> {
    floors.iter().position(|floor| floor.contains(&module))
}

/// Why module `from` of a crate may not name `path`.
fn objection(krate: &str, floors: Floors, from: Option<&str>, path: &[String]) -> Option<String> {
    let (first, second) = (path.first()?.as_str(), path.get(1).map(String::as_str));
    let Some(from) = from else {
        let is_own = [Some(first), second.filter(|_| first == krate)];
        let own = is_own.into_iter().flatten().find(|module| floor(floors, module).is_some());
        return own.map(|to| format!("the root of {krate} must not use {to}: it only declares"));
    };
    if first == "seckill_shards" && krate == "seckill" {
        return through_window(from, second?);
    }
    let to = second.filter(|&to| first == krate && to != from)?;
    // What is not in the table is an item of the crate's root, which stands on the ground.
    if floor(floors, to)? >= floor(floors, from)? {
        return Some(format!("{from} must not use {to}: a module uses only floors below its own"));
    }
    let strangers =
        STRANGERS.iter().find(|(module, _)| krate == "seckill_shards" && *module == from);
    let knows = strangers.is_none_or(|(_, strangers)| !strangers.contains(&to));
    (!knows).then(|| format!("{from} must not know {to}"))
}

fn through_window(from: &str, to: &str) -> Option<String> {
    let window = WINDOWS.iter().find(|(module, _)| *module == from);
    let sees = window.is_none_or(|(_, modules)| modules.contains(&to)) && to != "testing";
    (!sees).then(|| format!("{from} must not see the engine's {to}"))
}

#[cfg(test)]
fn broken_by(path: &str, text: &str) -> usize {
    check(&Source::new(path, text)).len()
}

#[test]
fn a_higher_floor_is_caught_however_it_is_named() {
    for text in [
        "use crate::shard::Shard;",
        "use crate::{disk::Disk, shard::{self}};",
        "use super::super::engine;",
        "fn f(it: &crate::engine::Engine) {}",
        "pub use crate::shard as s;",
        "mod a { fn f() { super::super::super::shard::x(); } }",
        "macro_rules! m { () => { $crate::engine::open() } }",
        "use crate::testing::SimulatedDisk;",
    ] {
        assert_eq!(broken_by("shards/src/journal/tail.rs", text), 1, "{text}");
    }
}

#[test]
fn a_neighbour_is_caught() {
    assert_eq!(broken_by("shards/src/journal/tail.rs", "use crate::orders::Fold;"), 1);
    assert_eq!(broken_by("shards/src/wheel/mod.rs", "use crate::stock::Stock;"), 1);
    assert_eq!(broken_by("src/server/core.rs", "use crate::control::Control;"), 1);
}

#[test]
fn a_stranger_is_caught() {
    assert_eq!(broken_by("shards/src/stock/pool.rs", "use crate::ids::UserId;"), 1);
    assert_eq!(broken_by("shards/src/journal/lane.rs", "use crate::command::Verdict;"), 1);
    assert_eq!(broken_by("src/store/mod.rs", "use seckill_shards::engine::Engine;"), 1);
    assert_eq!(broken_by("src/cli/mod.rs", "use seckill_shards::testing::Random;"), 1);
}

#[test]
fn a_root_that_uses_and_a_module_without_floor_are_caught() {
    assert_eq!(broken_by("src/lib.rs", "pub mod api; pub use api::Shared;"), 1);
    assert_eq!(broken_by("src/lib.rs", "pub use crate::store::Store;"), 1);
    assert_eq!(broken_by("src/attic.rs", "fn f() {}"), 1);
}

#[test]
fn what_is_below_or_not_shipped_is_left_alone() {
    for (path, text) in [
        ("shards/src/journal/tail.rs", "use super::reader::Frame; use crate::record::Record;"),
        (
            "shards/src/journal/tail.rs",
            "// use crate::engine::Engine;\nconst A: &str = \"crate::engine\";",
        ),
        ("shards/src/journal/tail.rs", "#[cfg(test)] mod tests { use crate::testing::Disk; }"),
        ("shards/src/journal/tests.rs", "use crate::engine::Engine;"),
        ("shards/tests/recovery.rs", "use seckill_shards::engine::Engine;"),
        ("src/api/orders/mod.rs", "use seckill_shards::engine::Engine; use crate::store::Store;"),
        ("src/config/mod.rs", "fn f() { crate::random_bytes(); }"),
        ("src/main.rs", "fn main() { seckill::cli::run() }"),
    ] {
        assert_eq!(broken_by(path, text), 0, "{path}: {text}");
    }
}
