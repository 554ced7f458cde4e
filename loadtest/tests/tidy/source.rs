//! The tree's Rust files: where each stands, and what its text comes apart into.
//!
//! It knows the layout of crates. It must not know any rule.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use crate::paths::{Named, paths};
use crate::strip::{Stripped, strip};

/// The crates whose code is shipped, by the folder of their sources.
pub(crate) const CRATES: [(&str, &str); 4] = [
    ("shards/src/", "seckill_shards"),
    ("pages/src/", "seckill_pages"),
    ("loadtest/src/", "seckill_loadtest"),
    ("src/", "seckill"),
];

/// Folders with Rust files.
const FOLDERS: [&str; 5] = ["src", "shards", "pages", "loadtest", "benches"];

/// One file.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the root, with slashes.
    pub(crate) path: String,
    /// As it is.
    pub(crate) text: String,
    /// Its parts; of a file that is a test as a whole, nothing is production.
    pub(crate) stripped: Stripped,
}

impl Source {
    /// A file by its path and text.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let mut stripped = strip(text);
        let folder = CRATES.iter().any(|(folder, _)| path.starts_with(folder));
        if !folder || path.ends_with("/tests.rs") {
            make_test(&mut stripped);
        }
        Self { path: path.to_owned(), text: text.to_owned(), stripped }
    }

    /// The crate it belongs to; none for tests, benches and examples beside the crates.
    pub(crate) fn krate(&self) -> Option<&'static str> {
        CRATES.iter().find(|(folder, _)| self.path.starts_with(folder)).map(|(_, krate)| *krate)
    }

    /// Its module, outermost first: empty for `lib.rs`, `["main"]` for `main.rs`.
    pub(crate) fn module(&self) -> Vec<String> {
        let folder = CRATES.iter().find(|(folder, _)| self.path.starts_with(folder));
        let rest = folder.map_or(&*self.path, |(folder, _)| &self.path[folder.len()..]);
        let mut module: Vec<String> =
            rest.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|last| last == "mod" || last == "lib") {
            module.pop();
        }
        module
    }

    /// The paths that its production code names, made absolute: the crate first.
    pub(crate) fn absolute_paths(&self) -> Vec<(usize, Vec<String>)> {
        let named = paths(&self.stripped.production).into_iter();
        named.map(|named| (named.line, self.absolute(named))).collect()
    }

    /// The string literals that are shipped, with their lines.
    pub(crate) fn shipped_literals(&self) -> impl Iterator<Item = (usize, &str)> {
        let production: Vec<&str> = self.stripped.production.lines().collect();
        // Literals are blanked; the rest of their line tells whether it is shipped.
        let is_shipped =
            move |line: usize| production.get(line - 1).is_some_and(|it| !it.trim().is_empty());
        let literals = self.stripped.literals.iter();
        let shipped = literals.filter(move |(line, _)| is_shipped(*line));
        shipped.map(|(line, literal)| (*line, literal.as_str()))
    }

    fn absolute(&self, named: Named) -> Vec<String> {
        let mut base: Vec<String> = self.krate().map(str::to_owned).into_iter().collect();
        let mut segments = named.segments.into_iter().peekable();
        match segments.peek().map(String::as_str) {
            Some("crate") => {
                segments.next();
            }
            Some("self" | "super") => {
                base.extend(self.module());
                base.extend(named.within);
                segments.next_if(|segment| segment == "self");
                while segments.next_if(|segment| segment == "super").is_some() {
                    base.pop();
                }
            }
            _ => base.clear(),
        }
        base.extend(segments);
        base
    }
}

fn make_test(stripped: &mut Stripped) {
    stripped.production = String::new();
    stripped.tests.clone_from(&stripped.code);
}

/// All Rust files under the root, but for what the build leaves behind.
pub(crate) fn read_tree(root: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    for folder in FOLDERS {
        visit(root, &root.join(folder), &mut |path, full| {
            if path.ends_with(".rs") {
                let text = fs::read_to_string(full).expect("a source is UTF-8");
                sources.push(Source::new(path, &text));
            }
        });
    }
    mark_test_modules(&mut sources);
    sources
}

/// A file that is declared under `#[cfg(test)]` is a test as a whole, and so is what is below it.
pub(crate) fn mark_test_modules(sources: &mut [Source]) {
    let mut marked = HashSet::new();
    for source in &*sources {
        for name in &source.stripped.test_modules {
            let mut module = source.module();
            module.push(name.clone());
            marked.insert((source.krate(), module));
        }
    }
    for source in sources {
        let module = source.module();
        let is_test = (1..=module.len())
            .any(|length| marked.contains(&(source.krate(), module[..length].to_vec())));
        if is_test {
            make_test(&mut source.stripped);
        }
    }
}

/// Gives every file under `folder` to `take`: its path from the root, and its full path.
pub(crate) fn visit(root: &Path, folder: &Path, take: &mut dyn FnMut(&str, &Path)) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut entries: Vec<_> =
        entries.map(|entry| entry.expect("the tree can be read").path()).collect();
    entries.sort();
    for entry in entries {
        let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_left_behind = matches!(name, "target" | "node_modules" | "corpus" | "artifacts");
        if entry.is_dir() && !is_left_behind {
            visit(root, &entry, take);
        } else if entry.is_file() {
            let path = entry.strip_prefix(root).expect("below the root");
            take(path.to_str().expect("paths are UTF-8"), &entry);
        }
    }
}

#[test]
fn a_file_knows_its_module() {
    for (path, module) in [
        ("src/lib.rs", vec![]),
        ("src/main.rs", vec!["main"]),
        ("src/api/mod.rs", vec!["api"]),
        ("shards/src/journal/tail.rs", vec!["journal", "tail"]),
    ] {
        assert_eq!(Source::new(path, "").module(), module, "{path}");
    }
}

#[test]
fn relative_paths_become_absolute() {
    let source = Source::new(
        "shards/src/journal/tail.rs",
        "use super::frame::x; use crate::disk; mod a { use super::super::super::orders; } use self::b; use std::fs;",
    );
    let found: Vec<String> =
        source.absolute_paths().iter().map(|(_, path)| path.join("::")).collect();
    let expected = [
        "seckill_shards::journal::frame::x",
        "seckill_shards::disk",
        "seckill_shards::orders",
        "seckill_shards::journal::tail::b",
        "std::fs",
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_is_declared_for_tests_is_a_test() {
    let mut sources = [
        Source::new("src/store/mod.rs", "#[cfg(test)]\nmod model;\nmod real;"),
        Source::new("src/store/model/deep.rs", "use x::y;"),
        Source::new("src/store/real.rs", "use x::y;"),
    ];
    mark_test_modules(&mut sources);
    assert!(sources[1].absolute_paths().is_empty() && sources[2].absolute_paths().len() == 1);
}
