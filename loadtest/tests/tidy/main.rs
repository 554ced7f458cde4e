//! The house's own rules, read from the source tree: floors, knowledge borders, and what every
//! file keeps to.
//!
//! A rule is broken by name: the failure lists file, line, what was done and which rule forbids it.
//! It knows text and paths; it compiles nothing and must not know what the modules do.

mod borders;
mod floors;
mod habits;
mod paths;
mod source;
mod strip;

use std::path::{Path, PathBuf};

use source::Source;

/// One broken rule.
type Broken = String;

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the load tests are a folder of the workspace").to_owned()
}

/// Fails with a line for each broken rule.
fn expect_kept(broken: &[Broken]) {
    assert!(broken.is_empty(), "{} rules are broken:\n{}", broken.len(), broken.join("\n"));
}

fn check_sources(check: impl Fn(&Source) -> Vec<Broken>) {
    let sources = source::read_tree(&root());
    assert!(sources.len() > 50, "the tree was not found");
    let broken: Vec<Broken> = sources.iter().flat_map(check).collect();
    expect_kept(&broken);
}

#[test]
fn a_module_uses_only_floors_below_its_own() {
    check_sources(floors::check);
}

#[test]
fn knowledge_stays_behind_its_border() {
    check_sources(borders::check);
}

#[test]
fn every_file_keeps_the_habits() {
    check_sources(habits::check);
}

#[test]
fn every_file_is_declared() {
    expect_kept(&habits::undeclared(&source::read_tree(&root())));
}

#[test]
fn nothing_is_left_for_later() {
    expect_kept(&habits::leftovers(&root()));
}

#[test]
fn what_is_made_by_name_can_be_made() {
    expect_kept(&habits::unknown_targets(&root()));
}

#[test]
fn what_is_to_be_watched_is_exported() {
    expect_kept(&habits::unknown_families(&root(), &source::read_tree(&root())));
}

#[test]
fn the_top_level_holds_what_is_named() {
    expect_kept(&habits::strangers_at_top(&root()));
}
