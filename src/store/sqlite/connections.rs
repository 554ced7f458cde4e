//! The threads that own the connections: one writes, a few read, one serves the audit.
//!
//! It must not know any table. Calls wait in bounded queues; a full queue is refused at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::schema;
use crate::store::{Fault, Migrated, Stored};

/// Threads that read.
const READERS: usize = 3;
/// Calls that wait for the writer.
const WRITES_WAITING_MAX: usize = 1_024;
/// Calls that wait for a reader.
const READS_WAITING_MAX: usize = 1_024;
/// Audits that wait for the one that is under way.
const AUDITS_WAITING_MAX: usize = 4;
/// How long a writer waits for the writer of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a file is asked to keep a write-ahead log, a rest apart: for as long as that.
const LOG_ATTEMPTS_MAX: u32 = 5_000;
const LOG_REST: Duration = Duration::from_millis(1);
/// Page cache of a connection, in KiB.
const CACHE_KIB: i64 = 16 * 1024;
/// Statements that a connection keeps prepared: more than there are.
const STATEMENTS_MAX: usize = 128;
/// Pages of the write-ahead log that are worth a checkpoint (16 MiB): fewer would sync the
/// database after every large batch, more would make reading slower.
const CHECKPOINT_PAGES: i64 = 4_000;

/// Work for a connection; what it leaves gives its answer to whoever waits for it.
type Job = Box<dyn FnOnce(&mut Connection) -> Answer + Send>;
type Answer = Box<dyn FnOnce() + Send>;

#[derive(Debug)]
pub(super) struct Connections {
    // Dropped in this order: the last to be closed folds the write-ahead log into the file, and
    // only the writer can.
    readers: Queue,
    auditor: Queue,
    writer: Queue,
    /// What opening did to the schema.
    pub(super) migrated: Migrated,
}

/// Jobs that wait for the threads of some connections; dropped, it ends them.
#[derive(Debug)]
struct Queue {
    give: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.give.take();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so, and has nothing left to close.
            drop(thread.join());
        }
    }
}

impl Connections {
    /// Opens the file, brings it to the newest schema and starts the threads.
    pub(super) fn open(path: &Path) -> Stored<Self> {
        let mut db = Connection::open(path)?;
        set_up(&db)?;
        keep_log(&db, || thread::sleep(LOG_REST))?;
        // Accounts and products have no other copy, and the journal recycles what was flushed.
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        let migrated = schema::migrate(&mut db)?;
        let writer = start("store-write", WRITES_WAITING_MAX, vec![db])?;
        let readers = (0..READERS).map(|_| read_only(path)).collect::<Stored<Vec<_>>>()?;
        let readers = start("store-read", READS_WAITING_MAX, readers)?;
        let auditor = start("store-audit", AUDITS_WAITING_MAX, vec![read_only(path)?])?;
        Ok(Self { writer, readers, auditor, migrated })
    }

    /// One transaction that writes: committed where the work succeeds.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Stored<T> + Send + 'static,
    ) -> Stored<T> {
        call(&self.writer, |db| {
            // Immediate: a transaction that reads first could not wait for another process.
            let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&tx)?;
            tx.commit()?;
            Ok(done)
        })
        .await
    }

    /// The same, and undone again whatever came of it.
    pub(super) async fn rehearse<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Stored<T> + Send + 'static,
    ) -> Stored<T> {
        // A transaction that is dropped is undone.
        call(&self.writer, |db| {
            work(&db.transaction_with_behavior(TransactionBehavior::Immediate)?)
        })
        .await
    }

    /// One transaction that reads: all of it sees the same instant.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Stored<T> + Send + 'static,
    ) -> Stored<T> {
        call(&self.readers, |db| work(&db.transaction()?)).await
    }

    /// Reads for as long as it takes on a connection of its own. The work answers by itself.
    pub(super) fn audit(&self, work: impl FnOnce(&mut Connection) + Send + 'static) -> Stored<()> {
        let job = |db: &mut Connection| {
            work(db);
            Box::new(|| {}) as Answer
        };
        give(&self.auditor, Box::new(job))
    }
}

async fn call<T: Send + 'static>(
    queue: &Queue,
    work: impl FnOnce(&mut Connection) -> Stored<T> + Send + 'static,
) -> Stored<T> {
    let (answer, answered) = oneshot::channel();
    let job = move |db: &mut Connection| {
        let done = work(db);
        // A caller that has gone away wants no answer.
        Box::new(move || drop(answer.send(done))) as Answer
    };
    give(queue, Box::new(job))?;
    answered
        .await
        .map_err(|_| Fault::unavailable("a call of the store has ended without an answer"))?
}

fn give(queue: &Queue, job: Job) -> Stored<()> {
    let give = queue.give.as_ref().expect("a queue has its sender until it is dropped");
    give.try_send(job).map_err(|refused| match refused {
        TrySendError::Full(_) => Fault::Overloaded.into(),
        TrySendError::Disconnected(_) => {
            Fault::unavailable("the threads of the store have ended").into()
        }
    })
}

/// Starts a thread for each connection, all of one queue. They end when the queue's sender is
/// dropped and the queue is empty.
fn start(name: &str, waiting_max: usize, connections: Vec<Connection>) -> Stored<Queue> {
    let (give, take) = bounded::<Job>(waiting_max);
    let mut queue = Queue { give: Some(give), threads: Vec::new() };
    for db in connections {
        let take = take.clone();
        let thread = thread::Builder::new().name(name.to_owned());
        let thread = thread.spawn(move || run(db, &take)).map_err(Fault::unavailable)?;
        queue.threads.push(thread);
    }
    Ok(queue)
}

/// A job that panics by a bug is undone with its transaction, and whoever waits for it hears of no
/// answer; those behind it have theirs.
fn run(mut db: Connection, jobs: &Receiver<Job>) {
    for job in jobs {
        match catch_unwind(AssertUnwindSafe(|| job(&mut db))) {
            Ok(answer) => answer(),
            Err(_) => tracing::error!("a call of the store has panicked: this is a bug"),
        }
    }
}

pub(super) fn read_only(path: &Path) -> Stored<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    set_up(&db)?;
    Ok(db)
}

fn set_up(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    db.pragma_update(None, "cache_size", -CACHE_KIB)
}

/// Has a file keep a write-ahead log, from then on. Of those that open a fresh one together each would
/// write that into it, from within a read; so SQLite waits for none of them, and says at once that the
/// file is busy.
pub(super) fn keep_log(db: &Connection, rest: impl Fn()) -> rusqlite::Result<()> {
    let mut attempt = 1;
    loop {
        let done = db.pragma_update(None, "journal_mode", "WAL");
        let error = done.as_ref().err().and_then(rusqlite::Error::sqlite_error_code);
        if error != Some(ErrorCode::DatabaseBusy) || attempt == LOG_ATTEMPTS_MAX {
            return done;
        }
        attempt += 1;
        rest();
    }
}

#[cfg(test)]
impl Connections {
    /// Does something to every connection.
    pub(super) async fn for_each(&self, work: fn(&mut Connection)) {
        let work = move |db: &mut Connection| {
            work(db);
            Ok(())
        };
        // Each thread waits for the others, so that none takes the work of two.
        let all = std::sync::Arc::new(std::sync::Barrier::new(READERS));
        let readers = std::iter::repeat_n(all, READERS).map(|all| {
            call(&self.readers, move |db| {
                all.wait();
                work(db)
            })
        });
        let readers = futures_util::future::join_all(readers);
        let (readers, auditor, writer) =
            tokio::join!(readers, call(&self.auditor, work), call(&self.writer, work));
        readers.into_iter().chain([auditor, writer]).for_each(|done| done.expect("it is there"));
    }
}

#[cfg(test)]
pub(super) mod simulated {
    //! A database in memory without threads: calls wait until they are carried, by whoever says when,
    //! and whether the answer comes.

    use super::{
        Answer, Connection, Connections, Job, Queue, Receiver, Stored, WRITES_WAITING_MAX, bounded,
        schema, set_up,
    };
    use crate::store::Migrated;
    use crate::store::sqlite::Sqlite;

    /// What several gateways write to.
    #[derive(Debug)]
    pub(crate) struct SimulatedStore {
        /// For what no gateway does.
        pub(crate) db: Connection,
    }

    /// One gateway's way there.
    pub(crate) struct Line {
        jobs: Receiver<Job>,
    }

    impl SimulatedStore {
        pub(crate) fn new() -> Self {
            let mut db = Connection::open_in_memory().expect("memory is there");
            set_up(&db).expect("an empty database is set up");
            schema::migrate(&mut db).expect("an empty database is migrated");
            Self { db }
        }

        /// Another gateway's store.
        pub(crate) fn line() -> (Sqlite, Line) {
            let (give, jobs) = bounded(WRITES_WAITING_MAX);
            let [readers, auditor, writer] =
                [(); 3].map(|()| Queue { give: Some(give.clone()), threads: Vec::new() });
            let newest = schema::newest();
            let migrated = Migrated { from: newest, to: newest };
            let connections = Connections { readers, auditor, writer, migrated };
            (Sqlite { connections }, Line { jobs })
        }

        /// What a call comes to where nothing goes wrong.
        pub(crate) fn ask<T>(&mut self, call: impl AsyncFnOnce(&Sqlite) -> Stored<T>) -> Stored<T> {
            let (sqlite, line) = Self::line();
            let mut call = Box::pin(call(&sqlite));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            loop {
                if let std::task::Poll::Ready(done) = call.as_mut().poll(&mut context) {
                    return done;
                }
                let answer = line.work(self).expect("it waits for the store alone");
                answer();
            }
        }
    }

    impl Line {
        /// Does the first call that waits; its answer is to be given, or is lost.
        pub(crate) fn work(&self, store: &mut SimulatedStore) -> Option<Answer> {
            let job = self.jobs.try_recv().ok()?;
            Some(job(&mut store.db))
        }

        /// The first call that waits does not arrive.
        pub(crate) fn lose(&self) {
            drop(self.jobs.try_recv());
        }
    }
}
