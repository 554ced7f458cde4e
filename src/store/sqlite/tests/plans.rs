//! Every query has an index, shown by its plan: the conformance suite runs once more, and notes what
//! its connections are asked; then no plan of these may read a table through.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Mutex;
use std::thread;

use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};

use super::Fresh;
use crate::store::Store;
use crate::store::conformance::{conformance, flushes};

/// What is read through on purpose: no table, and tables of few rows.
const FEW: [&str; 6] =
    ["32-ROW VALUES CLAUSE", "CONSTANT ROW", "part", "journal", "gateway", "version"];
/// A list that is read to its end on purpose.
const PASSED_OVER: &str = "WHERE a.published = 1 ORDER BY a.id";

/// What the connections of this process were asked.
static ASKED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

conformance!(Watched::open().await);

#[tokio::test]
async fn an_index_that_is_missing_is_found() {
    flushes::orders_are_listed_newest_first(&*Watched::open().await).await;
    let fresh = Fresh::open();
    let db = Connection::open(fresh.file()).unwrap();
    let lists = |it: &String| it.contains("sales_order") && it.contains("ORDER BY");
    let asked: Vec<_> = ASKED.lock().unwrap().iter().filter(|it| lists(it)).cloned().collect();
    assert!(!asked.is_empty());
    assert_eq!(scans(&db, &asked), Vec::<String>::new());
    db.execute_batch("DROP INDEX order_of_activity").unwrap();
    assert_ne!(scans(&db, &asked), Vec::<String>::new());
}

/// A store whose connections tell what they are asked; in the end each of it must have had an index.
struct Watched(Fresh);

impl Watched {
    async fn open() -> Self {
        let fresh = Fresh::open();
        fresh.store.connections.for_each(watch).await;
        Self(fresh)
    }
}

fn watch(db: &mut Connection) {
    let note = |event: TraceEvent<'_>| {
        if let TraceEvent::Stmt(statement, _) = event {
            ASKED.lock().unwrap().insert(statement.sql().into_owned());
        }
    };
    db.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(note)).unwrap();
}

impl Deref for Watched {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &self.0.store
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        let db = Connection::open(self.0.file()).unwrap();
        let asked = ASKED.lock().unwrap().clone();
        assert_eq!(scans(&db, &asked), Vec::<String>::new(), "without an index");
    }
}

/// The lines of plans that read a table through, behind the statements that they are of.
fn scans<'a>(db: &Connection, asked: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    let mut scans = Vec::new();
    for sql in asked {
        let is_query = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"]
            .iter()
            .any(|word| sql.trim_start().starts_with(word));
        if !is_query || sql.contains(PASSED_OVER) {
            continue;
        }
        let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let mut lines = explain.raw_query();
        while let Some(line) = lines.next().unwrap() {
            let line: String = line.get(3).unwrap();
            if line.strip_prefix("SCAN ").is_some_and(|it| !FEW.contains(&it)) {
                scans.push(format!("{line}: {sql}"));
            }
        }
    }
    scans
}
