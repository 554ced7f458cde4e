//! Knowledge borders: which crates, calls and languages stay in which part of the tree.

use crate::Broken;
use crate::source::Source;

struct Border {
    /// Paths by how they begin; after `*::` by any run of their segments.
    paths: &'static [&'static str],
    /// Where they are at home: beginnings of file paths.
    home: &'static [&'static str],
    /// Where the border is watched.
    watched: &'static [&'static str],
}

const EVERYWHERE: &[&str] = &["src/", "shards/src/", "pages/src/"];

const BORDERS: &[Border] = &[
    // HTTP and JSON.
    Border {
        paths: &["http", "http_body_util", "hyper", "hyper_util", "serde_json"],
        home: &["src/"],
        watched: EVERYWHERE,
    },
    // The engine and the pages wait for nothing and run where they are called.
    Border { paths: &["tokio"], home: &["src/"], watched: EVERYWHERE },
    // The bytes of records.
    Border { paths: &["rkyv"], home: &["shards/src/record"], watched: EVERYWHERE },
    Border { paths: &["maud"], home: &["pages/src/"], watched: EVERYWHERE },
    Border { paths: &["redis"], home: &["src/reconcile"], watched: EVERYWHERE },
    Border { paths: &["rusqlite", "tiberius"], home: &["src/store/"], watched: EVERYWHERE },
    Border { paths: &["prometheus"], home: &["src/metrics/"], watched: EVERYWHERE },
    Border {
        paths: &["*::Instant::now", "*::SystemTime::now", "*::Timestamp::now", "*::Zoned::now"],
        home: &["shards/src/clock.rs"],
        watched: EVERYWHERE,
    },
    Border {
        paths: &["std::fs", "std::os::unix::fs", "rustix::fs"],
        home: &["shards/src/disk.rs"],
        watched: &["shards/src/", "pages/src/"],
    },
    Border { paths: &["dashmap"], home: &["shards/src/sync.rs"], watched: EVERYWHERE },
    Border { paths: &["loom"], home: &["shards/src/sync.rs"], watched: EVERYWHERE },
    // The crates themselves: the engine knows nobody, the pages know nobody.
    Border { paths: &["seckill_shards"], home: &["src/", "shards/src/"], watched: EVERYWHERE },
    Border {
        paths: &["seckill_pages"],
        home: &["src/api/", "src/control/", "src/cli/", "pages/src/"],
        watched: EVERYWHERE,
    },
];

/// How a statement of SQL begins.
const SQL: [&str; 8] = [
    "SELECT ",
    "INSERT ",
    "UPDATE ",
    "DELETE FROM ",
    "CREATE TABLE ",
    "CREATE INDEX ",
    "ALTER TABLE ",
    "PRAGMA ",
];

/// The borders that a file crosses.
pub(crate) fn check(source: &Source) -> Vec<Broken> {
    let starts = |places: &[&str]| places.iter().any(|place| source.path.starts_with(place));
    let mut broken = Vec::new();
    for (line, path) in source.absolute_paths() {
        for border in BORDERS.iter().filter(|border| starts(border.watched)) {
            let crossed = border.paths.iter().find(|pattern| matches(pattern, &path));
            if let Some(pattern) = crossed.filter(|_| !starts(border.home)) {
                let name = pattern.trim_start_matches("*::");
                let home = border.home.join(", ");
                broken.push(format!("{}:{line}: {name} belongs to {home}", source.path));
            }
        }
    }
    if starts(EVERYWHERE) && !starts(&["src/store/"]) {
        for (line, literal) in source.shipped_literals() {
            if SQL.iter().any(|begin| literal.trim_start().starts_with(begin)) {
                broken.push(format!("{}:{line}: SQL belongs to src/store/", source.path));
            }
        }
    }
    broken
}

fn matches(pattern: &str, path: &[String]) -> bool {
    match pattern.strip_prefix("*::") {
        Some(run) => {
            let run: Vec<&str> = run.split("::").collect();
            path.windows(run.len()).any(|window| window == run)
        }
        None => {
            let begin: Vec<&str> = pattern.split("::").collect();
            path.len() >= begin.len() && path[..begin.len()] == begin[..]
        }
    }
}

#[test]
fn every_border_is_watched() {
    for (path, text) in [
        ("shards/src/orders/mod.rs", "use http::StatusCode;"),
        ("pages/src/home.rs", "fn f() { hyper::body(); }"),
        ("shards/src/record.rs", "use serde_json::{Map, Value};"),
        ("shards/src/journal/lane.rs", "use tokio::sync::Notify;"),
        ("shards/src/journal/frame.rs", "#[derive(rkyv::Archive)] struct A;"),
        ("src/api/pages.rs", "use maud::html;"),
        ("src/api/auth.rs", "use redis::Client;"),
        ("src/audit.rs", "use rusqlite::Connection;"),
        ("src/control/flush.rs", "fn f(it: tiberius::Client) {}"),
        ("src/audit.rs", "const A: &str = \"SELECT 1\";"),
        ("src/control/learn.rs", "let a = concat(r#\"\n  UPDATE orders SET x = 1\"#);"),
        ("src/server/core.rs", "use prometheus::Registry;"),
        ("src/server/core.rs", "use std::time; fn f() { time::Instant::now(); }"),
        ("shards/src/shard/mod.rs", "use std::time::SystemTime; fn f() { SystemTime::now(); }"),
        ("src/cli/serve.rs", "fn f() { jiff::Timestamp::now(); }"),
        ("shards/src/journal/segment.rs", "use std::{io, fs::{self, File}};"),
        ("shards/src/shard/activity.rs", "use dashmap::DashMap;"),
        ("shards/src/places.rs", "use loom::sync::Arc;"),
        ("src/store/mod.rs", "use seckill_pages::Page;"),
        ("pages/src/home.rs", "use seckill_shards::ids::OrderId;"),
    ] {
        assert!(!check(&Source::new(path, text)).is_empty(), "{path}: {text}");
    }
}

#[test]
fn at_home_and_in_tests_all_is_well() {
    for (path, text) in [
        ("src/api/json.rs", "use http::HeaderMap; use serde_json::Value;"),
        ("src/store/sqlite/mod.rs", "use rusqlite::Connection; const A: &str = \"SELECT 1\";"),
        ("shards/src/disk.rs", "use std::fs::File;"),
        ("shards/src/clock.rs", "fn f() { std::time::Instant::now(); }"),
        ("src/config/mod.rs", "fn f() { std::fs::read(\"a\"); }"),
        (
            "shards/src/orders/mod.rs",
            "/// As `http::Method`.\n#[cfg(test)] mod tests { use serde_json::Value; }",
        ),
        ("src/audit.rs", "#[cfg(test)]\nmod tests {\n    const A: &str = \"SELECT 1\";\n}"),
        ("loadtest/tests/api.rs", "use hyper::Request; fn f() { std::time::Instant::now(); }"),
    ] {
        assert_eq!(check(&Source::new(path, text)), Vec::<String>::new(), "{path}: {text}");
    }
}
