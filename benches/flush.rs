//! The flush beside what its database can do: batches of orders through the store, against a bare
//! insert of the same rows into a table of the same form, one statement a batch.
//!
//! A program of its own rather than a criterion bench: the rivals take turns in rounds, so that a slow
//! minute of the machine falls on both, and the ratio is what is asked for. SQL Server stands beside it
//! where `SECKILL_TEST_SQLSERVER` names one (an ADO connection string of someone who may create databases).

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "a benchmark measures time, prints, and says where it cannot go on"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params_from_iter};
use seckill::store::sqlite::Sqlite;
use seckill::store::{
    Batch, FlushBatch, JournalFound, JournalPosition, NewActivity, NewProduct, OrderRow, Store,
};
use seckill_shards::clock::Timestamp;
use seckill_shards::ids::{ActivityId, OrderId, Origin, UserId};
use seckill_shards::record::{NO_KEY, OrderPlaced, Record};
use tokio::runtime::Runtime;

/// Orders of a batch for SQLite: one statement has no more parameters.
const SQLITE_ROWS: u64 = 4_095;
/// Rounds in which the rivals take turns.
const ROUNDS: usize = 31;
const JOURNAL: [u8; 16] = [1; 16];
const NOON: u64 = 1_790_000_000_000;

/// A store with a sale, and the journal that is flushed into it.
struct Flushed<S> {
    store: S,
    activity: ActivityId,
    position: u64,
}

impl<S: Store> Flushed<S> {
    async fn begin(store: S) -> Self {
        let product = NewProduct {
            title: "Thing".to_owned(),
            description: String::new(),
            image_url: String::new(),
            price: 100,
            currency: *b"USD",
            stock: 100_000_000,
        };
        let product = store.create_product(product, None).await.unwrap().into_inner().id;
        let activity = NewActivity {
            title: "Sale".to_owned(),
            product,
            sale_price: 50,
            stocked: 100_000_000,
            per_user_limit: 1,
            pay_window_ms: 60_000,
            starts_at: Timestamp(NOON),
            ends_at: Timestamp(NOON + 3_600_000),
            admission: false,
        };
        let activity = store.create_activity(activity, None).await.unwrap().into_inner().id;
        store.publish(activity, None).await.unwrap();
        let (journal_id, end) = (JOURNAL, u64::MAX);
        let found = JournalFound { gateway: 0, journal_id, epoch: 0, begin: 0, end };
        store.register(found).await.unwrap();
        Self { store, activity, position: 0 }
    }

    /// The next orders of the journal, of buyers in no order.
    fn batch(&mut self, rows: u64) -> Arc<FlushBatch> {
        let from = JournalPosition { journal_id: JOURNAL, epoch: 0, position: self.position };
        let mut batch = Batch::new(0, from);
        for number in self.position + 1..=self.position + rows {
            batch.push(&Record::OrderPlaced(placed(number, self.activity)));
        }
        self.position += rows;
        Arc::new(batch.finish(self.position))
    }
}

fn placed(number: u64, activity: ActivityId) -> OrderPlaced {
    let at = Timestamp(NOON + number / 10);
    OrderPlaced {
        order: OrderId::new(Origin { gateway: 0, epoch: 0 }, 0, number),
        activity,
        user: UserId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 34),
        quantity: 1,
        at,
        pay_before: at.plus_ms(60_000),
        key: NO_KEY,
        body: NO_KEY,
    }
}

/// The columns of an order's row but the last two, which are NULL.
fn columns(order: &OrderRow) -> [i64; 7] {
    let signed = |number: u64| i64::try_from(number).unwrap();
    [
        signed(order.id.0),
        signed(order.activity.0),
        signed(order.user.0),
        order.quantity.into(),
        order.status.number().into(),
        signed(order.placed_at.0),
        signed(order.pay_before.0),
    ]
}

/// What the rounds say: the flush's rate, and how much of the bare rate that is.
fn tell(name: &str, rows: u64, bound: f64, mut rounds: Vec<(Duration, Duration)>) {
    let ratio = |(flush, bare): &(Duration, Duration)| bare.as_secs_f64() / flush.as_secs_f64();
    rounds.sort_by(|one, other| ratio(one).total_cmp(&ratio(other)));
    let middle = rounds[rounds.len() / 2];
    let (least, most) = (ratio(&rounds[0]), ratio(&rounds[rounds.len() - 1]));
    let rate = rows as f64 / middle.0.as_secs_f64();
    println!(
        "{name}: {rate:.0} orders/s flushed, {:.2} of a bare insert ({least:.2} to {most:.2}); at least {bound}",
        ratio(&middle)
    );
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let begun = Instant::now();
    drop(work());
    begun.elapsed()
}

/// A folder that goes when the benchmark ends.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn sqlite(runtime: &Runtime) {
    let folder = Folder(PathBuf::from(format!("target/bench-flush-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0).unwrap();
    let file = folder.0.join("store.db");
    let store = Sqlite::open(&file).unwrap();
    let mut flushed = runtime.block_on(Flushed::begin(store));
    let bare = bare_sqlite(&file, &folder.0.join("bare.db"));
    let rows = vec!["(?, ?, ?, ?, ?, ?, ?, NULL, NULL)"; usize::try_from(SQLITE_ROWS).unwrap()];
    let mut insert =
        bare.prepare(&format!("INSERT INTO sales_order VALUES {}", rows.join(", "))).unwrap();
    let mut round = || {
        let batch = flushed.batch(SQLITE_ROWS);
        let values: Vec<i64> = batch.orders.new.iter().flat_map(columns).collect();
        let flush = timed(|| runtime.block_on(flushed.store.flush(batch)).unwrap());
        (flush, timed(|| insert.execute(params_from_iter(values)).unwrap()))
    };
    round();
    tell("sqlite", SQLITE_ROWS, 0.5, (0..ROUNDS).map(|_| round()).collect());
}

/// A database with the table of orders alone, as safe as the store's and with as much memory. Its orders
/// are found by activity and by buyer, as the store's are.
fn bare_sqlite(of: &Path, path: &Path) -> Connection {
    let form = "SELECT group_concat(sql, ';') FROM sqlite_schema WHERE tbl_name = 'sales_order'";
    let form: String = Connection::open(of).unwrap().query_row(form, [], |row| row.get(0)).unwrap();
    let bare = Connection::open(path).unwrap();
    let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                    PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -16384";
    bare.execute_batch(settings).unwrap();
    bare.execute_batch(&form).unwrap();
    bare.execute_batch("CREATE INDEX order_of_user ON sales_order (user_id)").unwrap();
    bare
}

#[cfg(feature = "sqlserver")]
mod server {
    use seckill::store::flush::BATCH_ROWS;
    use seckill::store::sqlserver::SqlServer;
    use tiberius::{Client, Config, IntoRow};
    use tokio::net::TcpStream;
    use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

    use super::{Flushed, Instant, OrderRow, ROUNDS, Runtime, Store, columns, tell};

    type Session = Client<Compat<TcpStream>>;

    pub(super) fn sqlserver(runtime: &Runtime) {
        let Ok(server) = std::env::var("SECKILL_TEST_SQLSERVER") else {
            println!("sqlserver: SECKILL_TEST_SQLSERVER names no server: left out");
            return;
        };
        runtime.block_on(async {
            let name = format!("seckill_bench_{}", std::process::id());
            tell_all(&mut session(&server).await, &format!("CREATE DATABASE {name}")).await;
            rounds(&format!("{server};Database={name}")).await;
            tell_all(&mut session(&server).await, &format!("DROP DATABASE {name}")).await;
        });
    }

    async fn rounds(database: &str) {
        let mut flushed = Flushed::begin(SqlServer::new(database).unwrap()).await;
        let mut bare = session(database).await;
        let form = "SELECT TOP (0) * INTO bare FROM sales_order;
                    ALTER TABLE bare ADD PRIMARY KEY (id);
                    CREATE INDEX bare_of_activity ON bare (activity_id, placed_at, id);
                    CREATE INDEX bare_of_user ON bare (user_id, placed_at, id)";
        tell_all(&mut bare, form).await;
        let mut rounds = Vec::new();
        for _ in 0..=ROUNDS {
            let batch = flushed.batch(BATCH_ROWS as u64);
            let rows = batch.orders.new.clone();
            let begun = Instant::now();
            flushed.store.flush(batch).await.unwrap();
            let flush = begun.elapsed();
            let begun = Instant::now();
            load(&mut bare, &rows).await;
            rounds.push((flush, begun.elapsed()));
        }
        // The first is for warming up.
        tell("sqlserver", BATCH_ROWS as u64, 0.8, rounds.split_off(1));
    }

    /// The client's own bulk insert, as a transaction of its own.
    async fn load(session: &mut Session, rows: &[OrderRow]) {
        let mut load = session.bulk_insert("bare").await.unwrap();
        for order in rows {
            let [id, activity, user, quantity, _, placed_at, pay_before] = columns(order);
            let (status, none) = (order.status.number(), Option::<i64>::None);
            let row = (id, activity, user, quantity, status, placed_at, pay_before, none, none);
            load.send(row.into_row()).await.unwrap();
        }
        load.finalize().await.unwrap();
    }

    async fn session(server: &str) -> Session {
        let config = Config::from_ado_string(server).unwrap();
        let stream = TcpStream::connect(config.get_addr()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Box::pin(Client::connect(config, stream.compat_write())).await.unwrap()
    }

    async fn tell_all(session: &mut Session, sql: &str) {
        session.simple_query(sql).await.unwrap().into_results().await.unwrap();
    }
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap();
    sqlite(&runtime);
    #[cfg(feature = "sqlserver")]
    server::sqlserver(&runtime);
}
