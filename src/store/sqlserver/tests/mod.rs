//! The conformance suite on a server named by `SECKILL_TEST_SQLSERVER`, an ADO connection string of
//! someone who may create databases; where none is named, which `make unit` says, each case is left out. What
//! goes wrong with the protocol is shown on a stand-in, always.

mod faults;
mod plans;
mod stand_in;
mod steps;
mod tls;
mod tokens;
mod work;

use std::env;
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};

use tiberius::{Client, Config, Row};
use tokio::net::TcpStream;
use tokio_util::compat::TokioAsyncWriteCompatExt;

use super::{SqlServer, schema};
use crate::store::conformance::{conformance, migrations, sales};
use crate::store::{Fault, Migrated, Store, StoreError};

conformance!(match Fresh::open().await {
    Some(fresh) => fresh,
    None => return,
});

/// A store in a database of its own, which goes with it.
struct Fresh {
    store: Option<SqlServer>,
    server: String,
    name: String,
}

impl Fresh {
    async fn open() -> Option<Self> {
        static OPENED: AtomicU32 = AtomicU32::new(0);
        static MAKING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let Ok(server) = env::var("SECKILL_TEST_SQLSERVER") else {
            return None;
        };
        let number = OPENED.fetch_add(1, Ordering::Relaxed);
        let name = format!("seckill_{}_{number}", std::process::id());
        {
            // One after the other: Babelfish makes no two at once.
            let _one = MAKING.lock().await;
            command(&server, &format!("CREATE DATABASE {name}")).await;
        }
        let store = SqlServer::new(&format!("{server};Database={name}")).unwrap();
        Some(Self { store: Some(store), server, name })
    }

    fn database(&self) -> String {
        format!("{};Database={}", self.server, self.name)
    }

    fn again(&self) -> SqlServer {
        SqlServer::new(&self.database()).unwrap()
    }
}

impl Deref for Fresh {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        self.store.as_ref().unwrap()
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        self.store.take();
        // A database that stays is named after its test run.
        drop(command_at_once(self.server.clone(), format!("DROP DATABASE {}", self.name)));
    }
}

#[tokio::test]
async fn of_gateways_that_start_together_one_makes_the_schema() {
    let Some(fresh) = Fresh::open().await else { return };
    let [one, two] = [fresh.again(), fresh.again()];
    let (one, two) = tokio::join!(one.migrate(), two.migrate());
    let to = schema::newest();
    let mut from = [one.unwrap(), two.unwrap()].map(|it| (it.from, it.to));
    from.sort_unstable();
    assert_eq!(from, [(0, to), (to, to)]);
    let version = fresh.again().migrate().await.unwrap();
    assert_eq!(version, Migrated { from: to, to });
}

#[tokio::test]
async fn of_racing_changes_at_two_gateways_one_is_made() {
    let Some(fresh) = Fresh::open().await else { return };
    sales::race_by_version(&*fresh, &fresh.again()).await;
}

#[tokio::test]
async fn an_older_schema_is_brought_up_to_date() {
    let Some(fresh) = Fresh::open().await else { return };
    let made = "CREATE TABLE schema_version (version BIGINT NOT NULL);
                INSERT INTO schema_version (version) VALUES (1)";
    let row = "INSERT INTO journal (gateway, journal_id, epoch, position) VALUES (3, 0x07, 1, 5)";
    for sql in [include_str!("../schema_1.sql"), made, row] {
        command(&fresh.database(), sql).await;
    }
    assert_eq!(fresh.migrate().await.unwrap(), Migrated { from: 1, to: schema::newest() });
    assert_eq!(fresh.position(3).await.unwrap().unwrap().position, 5);
    assert!(fresh.all_set_aside(3).await.unwrap().is_empty());
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
    let Some(fresh) = Fresh::open().await else { return };
    fresh.migrate().await.unwrap();
    let newer = schema::newest() + 1;
    let sql = format!("UPDATE schema_version SET version = {newer}, serves_since = {newer}");
    command(&fresh.database(), &sql).await;
    for _ in 0..2 {
        let refused = fresh.again().announce(None).await.unwrap_err();
        let StoreError::Fault(Fault::NewerSchema { found, known }) = refused else {
            panic!("{refused}")
        };
        assert_eq!((found, known), (newer, schema::newest()));
    }
}

/// A gateway that dies while others are replaced by newer ones comes back as it was.
#[tokio::test]
async fn a_newer_schema_that_serves_this_version_is_used_as_it_is() {
    let Some(fresh) = Fresh::open().await else { return };
    fresh.migrate().await.unwrap();
    let (newest, newer) = (schema::newest(), schema::newest() + 2);
    let sql = format!("UPDATE schema_version SET version = {newer}, serves_since = {newest}");
    command(&fresh.database(), &sql).await;
    let again = fresh.again();
    assert_eq!(again.migrate().await.unwrap(), Migrated { from: newer, to: newer });
    assert!(again.announce(None).await.unwrap().is_empty());
    let kept = command(&fresh.database(), "SELECT version FROM schema_version").await;
    assert_eq!(kept[0].get(0), Some(i64::from(newer)));
}

#[tokio::test]
async fn another_program_s_database_is_refused() {
    let Some(fresh) = Fresh::open().await else { return };
    command(&fresh.database(), "CREATE TABLE account (id BIGINT)").await;
    let refused = fresh.migrate().await.unwrap_err();
    assert!(matches!(refused, StoreError::Fault(Fault::Unusable(_))), "{refused}");
}

/// Carries out a statement on the server itself, outside any transaction; its rows.
async fn command(server: &str, sql: &str) -> Vec<Row> {
    let config = Config::from_ado_string(server).unwrap();
    let stream = TcpStream::connect(config.get_addr()).await.unwrap();
    let mut client = Box::pin(Client::connect(config, stream.compat_write())).await.unwrap();
    client.simple_query(sql).await.unwrap().into_first_result().await.unwrap()
}

/// The same for whoever cannot wait in a runtime.
fn command_at_once(server: String, sql: String) -> std::thread::Result<Vec<Row>> {
    let asked = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(command(&server, &sql))
    });
    asked.join()
}
