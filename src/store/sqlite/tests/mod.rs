//! The conformance suite on a fresh file, and what only a file can go through.

mod plans;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process, thread};

use rusqlite::{Connection, ErrorCode};
use seckill_shards::clock::Timestamp;
use seckill_shards::ids::{ActivityId, PaymentId, UserId};
use seckill_shards::record::NO_KEY;

use super::{Sqlite, connections, orders, payments, schema};
use crate::store::conformance::{conformance, migrations, sales};
use crate::store::{Fault, Migrated, NewUser, OrdersOf, PasswordReset, Roles, Store, StoreError};

conformance!(Fresh::open());

/// Gateways that start together.
const TOGETHER: usize = 8;

/// A store in a folder of its own, removed in the end.
struct Fresh {
    folder: PathBuf,
    store: Sqlite,
}

impl Fresh {
    fn open() -> Self {
        static OPENED: AtomicU32 = AtomicU32::new(0);
        // Relaxed: only the number counts.
        let number = OPENED.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("seckill-store-{}-{number}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let store = Sqlite::open(&folder.join("store.db")).unwrap();
        Self { folder, store }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("store.db")
    }

    fn again(&self) -> Sqlite {
        Sqlite::open(&self.file()).unwrap()
    }
}

impl Deref for Fresh {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &self.store
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

fn ann() -> NewUser {
    NewUser {
        username: "ann".to_owned(),
        display_name: "Ann".to_owned(),
        password_hash: None,
        roles: Roles::ADMIN,
    }
}

fn fault(result: Result<Sqlite, StoreError>) -> Fault {
    match result {
        Err(StoreError::Fault(fault)) => fault,
        other => panic!("no fault: {other:?}"),
    }
}

#[tokio::test]
async fn several_gateways_share_a_file_and_it_outlives_them() {
    let fresh = Fresh::open();
    let made = fresh.create_user(ann()).await.unwrap();
    let neighbour = fresh.again();
    assert_eq!(neighbour.user(made.id).await.unwrap(), made);
    let write = async |store: &dyn Store, prefix: &str| {
        for number in 0..25 {
            let username = format!("{prefix}-{number}");
            store.create_user(NewUser { username, ..ann() }).await.unwrap();
        }
    };
    tokio::join!(write(&*fresh, "left"), write(&neighbour, "right"));
    drop(neighbour);
    assert_eq!(fresh.again().user(UserId(51)).await.unwrap().roles, Roles::ADMIN);
}

/// Of two gateways that started together on a fresh file one went away again: the file was locked.
#[test]
fn a_fresh_file_that_another_writes_to_is_waited_for_in_bounds() {
    let fresh = Fresh::open();
    let file = fresh.folder.join("new.db");
    let [own, other] = [(); 2].map(|()| Connection::open(&file).unwrap());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = connections::keep_log(&own, || {}).unwrap_err();
    assert_eq!(refused.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
    connections::keep_log(&own, || other.execute_batch("ROLLBACK").unwrap()).unwrap();
    let kept = own.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0));
    assert_eq!(kept.as_deref(), Ok("wal"));
}

#[tokio::test]
async fn of_racing_changes_at_two_gateways_one_is_made() {
    let fresh = Fresh::open();
    sales::race_by_version(&*fresh, &fresh.again()).await;
}

#[tokio::test]
async fn of_gateways_that_start_together_one_makes_the_schema() {
    let fresh = Fresh::open();
    let [new, older] = ["new.db", "older.db"].map(|name| fresh.folder.join(name));
    let db = Connection::open(&older).unwrap();
    db.pragma_update(None, "journal_mode", "WAL").unwrap();
    db.execute_batch(include_str!("../schema.sql")).unwrap();
    db.pragma_update(None, "user_version", 1).unwrap();
    drop(db);
    let to = schema::newest();
    for (file, from) in [(new, 0), (older, 1)] {
        let mut found = Vec::new();
        for store in open_together(&file) {
            let migrated = store.migrate().await.unwrap();
            found.push((migrated.from, migrated.to));
        }
        found.sort_unstable();
        let others = [(to, to); TOGETHER - 1];
        assert_eq!((found[0], &found[1..]), ((from, to), &others[..]));
        assert_eq!(schema_of(&file), schema_of(&fresh.file()), "from schema {from}");
    }
}

/// The stores of gateways that open a file at one instant.
fn open_together(file: &Path) -> Vec<Sqlite> {
    let all = Barrier::new(TOGETHER);
    let open = || {
        all.wait();
        Sqlite::open(file)
    };
    thread::scope(|scope| {
        let started = [(); TOGETHER].map(|()| scope.spawn(open));
        started.map(|opening| opening.join().unwrap().unwrap()).into()
    })
}

/// Everything that a file's schema consists of, and its version.
fn schema_of(file: &Path) -> (u32, Vec<String>) {
    let db = Connection::open(file).unwrap();
    let version = db.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    let sql = "SELECT name || ': ' || coalesce(sql, '') FROM sqlite_schema ORDER BY type, name";
    let mut select = db.prepare(sql).unwrap();
    let parts = select.query_map([], |row| row.get(0)).unwrap();
    (version, parts.map(Result::unwrap).collect())
}

#[test]
fn no_migration_takes_away_what_older_releases_use() {
    let taken_away = |all: &[&str]| migrations::taken_away(all, schema::SERVES_SINCE);
    assert_eq!(taken_away(schema::MIGRATIONS), Vec::<String>::new());
    let canary = "ALTER TABLE product DROP COLUMN stock";
    assert_eq!(taken_away(&[schema::MIGRATIONS, &[canary]].concat()).len(), 1);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let fresh = Fresh::open();
    let newer = schema::newest() + 1;
    make_newer(&fresh, newer, newer);
    let refused = fault(Sqlite::open(&fresh.file()));
    let Fault::NewerSchema { found, known } = refused else { panic!("{refused}") };
    assert_eq!((found, known), (newer, schema::newest()));
    let told = refused.to_string();
    assert!(told.ends_with(&format!("one that knows schema {newer} is needed")), "{told}");
}

/// A gateway that dies while others are replaced by newer ones comes back as it was.
#[tokio::test]
async fn a_newer_schema_that_serves_this_version_is_used_as_it_is() {
    let fresh = Fresh::open();
    let newer = schema::newest() + 2;
    make_newer(&fresh, newer, schema::newest());
    for _ in 0..2 {
        let again = Sqlite::open(&fresh.file()).unwrap();
        assert_eq!(again.migrate().await.unwrap(), Migrated { from: newer, to: newer });
        assert!(again.announce(None).await.unwrap().is_empty());
    }
}

/// What a newer version of seckill would leave that serves others since a schema.
fn make_newer(fresh: &Fresh, version: u32, serves_since: u32) {
    let db = Connection::open(fresh.file()).unwrap();
    db.execute("UPDATE schema_serves SET since = ?1", [serves_since]).unwrap();
    db.pragma_update(None, "user_version", version).unwrap();
}

#[tokio::test]
async fn an_older_schema_is_brought_up_to_date() {
    let fresh = Fresh::open();
    let file = fresh.folder.join("older.db");
    let db = Connection::open(&file).unwrap();
    db.execute_batch(include_str!("../schema.sql")).unwrap();
    db.execute_batch("INSERT INTO account VALUES (7, 'ann', 'Ann', NULL, 4)").unwrap();
    // Of the orders, 1 was refunded after its sale had closed, 2 was paid twice, 3 refunded in time.
    let orders = "(1, 9, 7, 1, 3, 1, 2, 5), (2, 9, 7, 1, 3, 1, 2, 5), (3, 9, 7, 1, 7, 1, 2, 5)";
    let payments = "(1, 1, 500, 4, 10, 11), (2, 1, 500, 3, 10, 12), (3, 2, 500, 2, 10, 13),
        (4, 2, 500, 5, 10, 14), (5, 3, 500, 5, 10, 15)";
    for (table, rows) in [("sales_order", orders), ("payment", payments)] {
        db.execute_batch(&format!("INSERT INTO {table} VALUES {rows}")).unwrap();
    }
    db.execute_batch("INSERT INTO journal VALUES (3, x'07', 1, 5)").unwrap();
    db.pragma_update(None, "user_version", 1).unwrap();
    drop(db);
    let store = Sqlite::open(&file).unwrap();
    let migrated = Migrated { from: 1, to: schema::newest() };
    assert_eq!(store.migrate().await.unwrap(), migrated);
    let again = Migrated { from: schema::newest(), ..migrated };
    assert_eq!(Sqlite::open(&file).unwrap().migrate().await.unwrap(), again);
    assert_eq!(store.user(UserId(7)).await.unwrap().username, "ann");
    let reset = PasswordReset { user: UserId(7), token: [1; 16], until: Timestamp(1) };
    store.open_reset(reset).await.unwrap();
    let gateways = store.announce(None).await.unwrap();
    assert_eq!(gateways.iter().map(|it| (it.number, it.epoch)).collect::<Vec<_>>(), [(3, 1)]);
    assert_eq!(store.payments_owed_back(None, 10).await.unwrap(), [PaymentId(1)]);
    assert_eq!(store.payment(PaymentId(1)).await.unwrap().key, NO_KEY);
    drop(store);
    let db = Connection::open(&file).unwrap();
    let found = db.query_row("PRAGMA user_version", [], |row| row.get(0));
    assert_eq!(found, Ok(schema::newest()));
    let mut refunded = db
        .prepare("SELECT id, refunded_at FROM sales_order WHERE refunded_at IS NOT NULL")
        .unwrap();
    let refunded = refunded.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(refunded.collect::<Result<Vec<(i64, i64)>, _>>(), Ok(vec![(1, 11)]));
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_no_outage() {
    let fresh = Fresh::open();
    // No such status, no such id, no digest.
    let rows = "(1, 1, 500, 99, 10, 11, NULL, NULL), (2, -1, 500, 1, 10, 11, NULL, NULL),
        (3, 1, 500, 1, 10, 11, x'07', x'08')";
    let db = Connection::open(fresh.file()).unwrap();
    assert_eq!(db.execute(&format!("INSERT INTO payment VALUES {rows}"), []).unwrap(), 3);
    for id in 1..=3 {
        let error = fresh.payment(PaymentId(id)).await.unwrap_err();
        let is_diverged = matches!(error, StoreError::Fault(Fault::Diverged(_)));
        assert!(is_diverged && !error.is_outage(), "{id}: {error:?}");
    }
    db.execute_batch("ALTER TABLE payment RENAME TO payment_away").unwrap();
    assert!(fresh.payment(PaymentId(1)).await.unwrap_err().is_outage());
}

#[test]
fn other_files_are_refused() {
    let fresh = Fresh::open();
    let foreign = fresh.folder.join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE account (id)").unwrap();
    assert!(matches!(fault(Sqlite::open(&foreign)), Fault::Unusable(_)));
    let text = fresh.folder.join("notes.txt");
    fs::write(&text, "Not a database, but long enough to be looked at. ".repeat(50)).unwrap();
    assert!(matches!(fault(Sqlite::open(&text)), Fault::Unusable(_)));
    let nowhere = fresh.folder.join("no/such/folder/store.db");
    assert!(matches!(fault(Sqlite::open(&nowhere)), Fault::Unavailable(_)));
}

#[test]
fn lists_search_and_never_scan() {
    let fresh = Fresh::open();
    let db = Connection::open(fresh.file()).unwrap();
    let plan_of = |sql: &str| {
        let sql = format!("EXPLAIN QUERY PLAN {sql}");
        let mut explain = db.prepare(&sql).unwrap();
        let mut lines = explain.raw_query();
        let mut plan = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            plan.push(line.get::<_, String>(3).unwrap());
        }
        plan
    };
    let plan = |of| plan_of(&orders::list_sql(of));
    let scans = |plan: &[String]| plan.iter().filter(|line| line.starts_with("SCAN")).count();
    let of_activity = plan(OrdersOf::Activity(ActivityId(1)));
    assert_eq!(scans(&of_activity), 0, "{of_activity:?}");
    let by_time = "order_of_activity (activity_id=? AND placed_at<?)";
    assert!(of_activity.iter().any(|line| line.contains(by_time)), "{of_activity:?}");
    assert!(!of_activity.iter().any(|line| line.contains("TEMP B-TREE")), "{of_activity:?}");
    let of_user = plan(OrdersOf::User(UserId(1)));
    assert_eq!(scans(&of_user), 1, "the parts only: {of_user:?}");
    assert!(of_user[1].contains("SEARCH u USING PRIMARY KEY (part=? AND user_id=?)"));
    let owed = plan_of(payments::OWED_BACK);
    assert!(owed[0].contains("INDEX payment_owed_back (id>?)"), "{owed:?}");
}
