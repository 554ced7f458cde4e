//! What every file keeps to: a header, a size, no loose ends; and a tree without strangers.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use crate::Broken;
use crate::paths::tokens;
use crate::source::{Source, visit};

/// Lines of code that a file ships at most; comments, blank lines and tests are not counted.
const CODE_LINES_MAX: usize = 500;

/// Words that name nothing.
const EMPTY_NAMES: [&str; 5] = ["Manager", "Helper", "Util", "Service", "Processor"];

/// Marks of unfinished work, put together so that this file has none.
const MARKS: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

/// Macros that are for the time of writing.
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// What the top level may hold, beside what Git ignores.
const TOP_LEVEL: &[&str] = &[
    ".ci",
    ".git",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "benches",
    "clippy.toml",
    "deny.toml",
    "deploy",
    "loadtest",
    "pages",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "shards",
    "src",
];

/// The habits that a file breaks.
pub(crate) fn check(source: &Source) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut object =
        |line: usize, text: &str| broken.push(format!("{}:{line}: {text}", source.path));
    if !source.text.starts_with("//! ") {
        object(1, "a file begins with `//!` and what it does");
    }
    let code_lines =
        source.stripped.production.lines().filter(|line| !line.trim().is_empty()).count();
    if code_lines > CODE_LINES_MAX {
        object(
            1,
            &format!("{code_lines} lines of code: at most {CODE_LINES_MAX} have one subject"),
        );
    }
    for (index, line) in source.stripped.production.lines().enumerate() {
        if line.contains(".unwrap()") {
            object(index + 1, "unwrap: say with `expect` why it cannot fail");
        }
    }
    for (line, text) in sleeps(source) {
        object(line, text);
    }
    for pair in tokens(&source.stripped.code).windows(2) {
        if pair[1].text == "!" && UNFINISHED.contains(&pair[0].text) {
            object(pair[0].line, &format!("{}! is for the time of writing", pair[0].text));
        }
    }
    for pair in tokens(&source.stripped.production).windows(2) {
        let (kind, name) = (pair[0].text, pair[1].text);
        let is_type = matches!(kind, "struct" | "enum" | "trait" | "type");
        if is_type && EMPTY_NAMES.iter().any(|empty| name.ends_with(empty)) {
            object(
                pair[1].line,
                &format!("{name}: a name says what it is, not that it does something"),
            );
        }
        // `get_mut` is what every collection of the language calls it.
        if kind == "fn" && name.starts_with("get_") && name != "get_mut" {
            object(
                pair[1].line,
                &format!("{name}: a reader is named after what it gives, without get"),
            );
        }
    }
    broken
}

/// Sleeps in tests: a wait for time is either too long or, some day, too short. A paused clock
/// does not wait.
fn sleeps(source: &Source) -> Vec<(usize, &'static str)> {
    let on_paused_clock = source.stripped.code.contains("start_paused");
    let is_sleep = |line: &str| {
        line.contains("thread::sleep") || (!on_paused_clock && line.contains("time::sleep"))
    };
    let lines = source.stripped.tests.lines().enumerate();
    lines
        .filter(|(_, line)| is_sleep(line))
        .map(|(index, _)| (index + 1, "a test waits for what happens, not for time"))
        .collect()
}

/// Files of a crate that no module declares.
pub(crate) fn undeclared(sources: &[Source]) -> Vec<Broken> {
    let mut declared = HashSet::new();
    for source in sources.iter().filter(|source| source.krate().is_some()) {
        for pair in tokens(&source.stripped.code).windows(2) {
            if pair[0].text == "mod" {
                let mut module = source.module();
                module.push(pair[1].text.to_owned());
                declared.insert((source.krate(), module));
            }
        }
    }
    let in_crates = sources.iter().filter(|source| source.krate().is_some());
    in_crates
        .filter(|source| {
            let module = source.module();
            let is_root = module.is_empty() || module == ["main"];
            !is_root && !declared.contains(&(source.krate(), module))
        })
        .map(|source| format!("{}: no module declares this file", source.path))
        .collect()
}

/// Marks of unfinished work in whatever is code.
pub(crate) fn leftovers(root: &Path) -> Vec<Broken> {
    let mut broken = Vec::new();
    visit(root, root, &mut |path, full| {
        let kinds =
            [".rs", ".js", ".css", ".sql", ".toml", ".py", ".lua", ".sh", ".conf", "Makefile"];
        let is_code = kinds.iter().any(|kind| path.ends_with(kind)) && !path.starts_with(".git/");
        if is_code {
            broken.extend(marks(path, &fs::read_to_string(full).unwrap_or_default()));
        }
    });
    broken
}

fn marks(path: &str, text: &str) -> Vec<Broken> {
    let mut broken = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split(|char: char| !char.is_ascii_alphanumeric());
        if let Some(mark) = words.find(|word| MARKS.contains(word)) {
            broken.push(format!("{path}:{}: {mark} belongs to the tracker", index + 1));
        }
    }
    broken
}

/// Targets of the Makefile that a document names and that are not there.
pub(crate) fn unknown_targets(root: &Path) -> Vec<Broken> {
    let makefile = fs::read_to_string(root.join("Makefile")).expect("there is a Makefile");
    let mut broken = Vec::new();
    visit(root, root, &mut |path, full| {
        if path.ends_with(".md") {
            let text = fs::read_to_string(full).expect("a document is UTF-8");
            broken.extend(not_made(path, &text, &makefile));
        }
    });
    broken
}

/// A target is named in code: behind a backtick, or at the beginning of a line.
fn not_made(path: &str, text: &str, makefile: &str) -> Vec<Broken> {
    let mut broken = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let in_code = line.split("`make ").skip(1);
        for rest in in_code.chain(line.strip_prefix("make ")) {
            let is_name = |char: char| char.is_ascii_lowercase() || char == '-';
            let target = &rest[..rest.find(|char| !is_name(char)).unwrap_or(rest.len())];
            let rule = format!("{target}:");
            if !makefile.lines().any(|line| line.starts_with(&rule)) {
                broken.push(format!("{path}:{}: there is no target {target}", index + 1));
            }
        }
    }
    broken
}

/// Families of metrics, and labels of them, that a document names and that nothing exports.
pub(crate) fn unknown_families(root: &Path, sources: &[Source]) -> Vec<Broken> {
    let own = sources.iter().filter(|it| it.path.starts_with("src/"));
    let shipped: HashSet<&str> =
        own.flat_map(Source::shipped_literals).map(|(_, literal)| literal).collect();
    let mut broken = Vec::new();
    visit(root, root, &mut |path, full| {
        if path.ends_with(".md") {
            let text = fs::read_to_string(full).expect("a document is UTF-8");
            broken.extend(not_exported(path, &text, &|word| shipped.contains(word)));
        }
    });
    broken
}

/// A word that begins as all families do is one; behind `$` or `<` it is a variable of nginx's.
fn not_exported(path: &str, text: &str, is_shipped: &dyn Fn(&str) -> bool) -> Vec<Broken> {
    let is_name = |char: char| char.is_ascii_lowercase() || char == '_';
    let mut broken = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for (start, _) in line.match_indices("seckill_") {
            let (before, named) = line.split_at(start);
            if before.ends_with(|char| is_name(char) || matches!(char, '$' | '<')) {
                continue;
            }
            let end = named.find(|char| !is_name(char)).unwrap_or(named.len());
            let (family, rest) = named.split_at(end);
            for word in [family].into_iter().chain(labels(rest)).filter(|word| !is_shipped(word)) {
                broken.push(format!("{path}:{}: nothing exports {word}", index + 1));
            }
        }
    }
    broken
}

/// The names and values of the labels behind a family, but for numbers: these are of whoever it is.
fn labels(rest: &str) -> impl Iterator<Item = &str> {
    let labels = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    let words = labels.map_or("", |(labels, _)| labels).split([',', '=']);
    let words = words.map(|word| word.trim_matches('"'));
    words.filter(|word| !word.chars().all(|char| char.is_ascii_digit()))
}

/// What the top level holds and should not.
pub(crate) fn strangers_at_top(root: &Path) -> Vec<Broken> {
    let ignored = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
    let entries = fs::read_dir(root).expect("the root can be read");
    let names = entries.map(|entry| entry.expect("the root can be read").file_name());
    names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| !is_allowed(name, &ignored))
        .map(|name| format!("{name}: the top level has no place for it"))
        .collect()
}

fn is_allowed(name: &str, ignored: &str) -> bool {
    let is_ignored = ignored.lines().any(|line| line.trim_matches('/') == name);
    TOP_LEVEL.contains(&name) || is_ignored
}

#[cfg(test)]
fn broken_by(path: &str, text: &str) -> usize {
    check(&Source::new(path, &format!("//! It does.\n{text}"))).len()
}

#[test]
fn a_broken_habit_is_caught() {
    assert_eq!(check(&Source::new("src/a.rs", "fn f() {}")).len(), 1, "no header");
    let long = "fn f() {}\n".repeat(CODE_LINES_MAX + 1);
    for (path, text) in [
        ("src/a.rs", &*long),
        ("src/a.rs", "fn f() { x.unwrap(); }"),
        ("src/a.rs", "fn f() { todo!() }"),
        ("src/a.rs", "fn f() { dbg!(x); }"),
        ("src/a.rs", "struct OrderManager;"),
        ("src/a.rs", "fn get_order() {}"),
        ("src/a.rs", "#[cfg(test)] mod tests { fn f() { std::thread::sleep(x); } }"),
        ("shards/tests/a.rs", "async fn f() { tokio::time::sleep(x).await; }"),
    ] {
        assert_eq!(broken_by(path, text), 1, "{path}: {text:.60}");
    }
}

#[test]
fn what_is_not_shipped_or_only_told_is_left_alone() {
    let long_test =
        format!("#[cfg(test)] mod tests {{\n{}}}", "fn f() {}\n".repeat(CODE_LINES_MAX));
    for (path, text) in [
        ("src/a.rs", &*long_test),
        ("src/a.rs", "// x.unwrap(); todo!()\nconst A: &str = \"dbg!(x)\";"),
        ("src/a.rs", "#[cfg(test)] mod tests { fn f() { x.unwrap(); } }"),
        ("src/a.rs", "fn rest() { std::thread::sleep(x); }"),
        (
            "shards/tests/a.rs",
            "#[tokio::test(start_paused = true)] async fn f() { tokio::time::sleep(x).await; }",
        ),
    ] {
        assert_eq!(broken_by(path, text), 0, "{path}: {text:.60}");
    }
}

#[test]
fn a_file_that_nobody_declares_is_caught() {
    let sources = [
        Source::new("src/lib.rs", "pub mod a;"),
        Source::new("src/a/mod.rs", "mod b;"),
        Source::new("src/a/b.rs", ""),
        Source::new("src/a/forgotten.rs", ""),
    ];
    assert_eq!(undeclared(&sources), ["src/a/forgotten.rs: no module declares this file"]);
}

#[test]
fn a_mark_is_caught_as_a_word() {
    let text = format!("let a = 1; // {}: later\nlet hackney = mark_{};", MARKS[0], MARKS[1]);
    assert_eq!(marks("src/a.rs", &text).len(), 2);
    assert_eq!(marks("src/a.rs", "let hackney = \"todos\";").len(), 0);
}

#[test]
fn a_target_that_is_not_there_is_caught() {
    let makefile = "run: ## It runs\nsim-all:\n\tmake no\n";
    for (text, count) in [
        ("make run     # it runs\n`make sim-all SEED=1`, `make run`", 0),
        ("`make its`", 1),
        ("make runs", 1),
        ("They make nothing; `make sim`, `make sim-all` and `make no`", 2),
    ] {
        assert_eq!(not_made("README.md", text, makefile).len(), count, "{text}");
    }
}

#[test]
fn a_stranger_at_the_top_is_caught() {
    assert!(is_allowed("Makefile", "") && is_allowed("data", "target/\ndata/\n"));
    assert!(!is_allowed("notes.txt", "target/") && !is_allowed("scratch", "target/"));
}

#[test]
fn a_family_that_nothing_exports_is_caught() {
    let shipped = ["seckill_units", "seckill_orders_total", "outcome", "paid", "core"];
    for (text, count) in [
        ("`seckill_units`, `seckill_orders_total{outcome=\"paid\"}` and `seckill serve`", 0),
        ("`seckill_orders_total{core=\"3\",outcome=\"paid\"}`", 0),
        ("`$seckill_path` and `(?<seckill_kind>x)` are nginx's", 0),
        ("`seckill_unit` 0", 1),
        ("`seckill_orders` and `seckill_orders_totals`", 2),
        ("    curl -s 127.0.0.1:9090/metrics | grep seckill_unit", 1),
        ("`seckill_orders_total{outcome=\"sold\"}`, `seckill_orders_total{state=\"paid\"}`", 2),
    ] {
        let found = not_exported("README.md", text, &|word| shipped.contains(&word));
        assert_eq!(found.len(), count, "{text}");
    }
}
