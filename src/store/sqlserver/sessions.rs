//! Sessions with the server: a pool of them, and one transaction in each at a time.
//!
//! It must not know any table. A session whose last exchange did not come to its end is never used
//! again: what comes next on it would be the rest of an old answer.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bb8::{ErrorSink, ManageConnection, Pool, PooledConnection, RunError};
use tiberius::{Client, Config, IsolationLevel, Row, ToSql, TokenRow};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use crate::store::{Fault, StoreError, Stored};

/// Sessions at once: more calls wait for one.
const SESSIONS_MAX: u32 = 16;
/// How long a call waits for a session.
const SESSION_WAIT: Duration = Duration::from_secs(2);
/// How long connecting and logging in may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How long the beginning of a transaction may take: a session that was cut off shows then.
const BEGIN: Duration = Duration::from_secs(2);
/// How long one exchange may take before its session is given up.
pub(super) const EXCHANGE: Duration = Duration::from_secs(30);
/// Rows that go out in one exchange of a bulk load.
const ROWS_AT_ONCE: usize = 4_096;
/// An error of the server: user and password do not fit.
const LOGIN_FAILED: u32 = 18_456;
/// Errors of the server: a row with the same key is there, by a constraint or by an index.
const DUPLICATE: [u32; 2] = [2627, 2601];

type Connection = Client<Compat<TcpStream>>;

/// A session, and whether what was last asked of it was answered whole.
pub(super) struct Session {
    connection: Connection,
    is_at_rest: bool,
}

/// Makes sessions. The configuration holds the password, so it is never printed.
#[derive(Clone)]
struct Sessions(Config);

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions(…)")
    }
}

impl ManageConnection for Sessions {
    type Connection = Session;
    type Error = tiberius::error::Error;

    async fn connect(&self) -> Result<Session, Self::Error> {
        match connect(self.0.clone()).await {
            // A gateway of the server's names the address to go to, once.
            Err(tiberius::error::Error::Routing { host, port }) => {
                let mut config = self.0.clone();
                config.host(host);
                config.port(port);
                connect(config).await
            }
            done => done,
        }
    }

    async fn is_valid(&self, _: &mut Session) -> Result<(), Self::Error> {
        // The beginning of its next transaction tells.
        Ok(())
    }

    fn has_broken(&self, session: &mut Session) -> bool {
        !session.is_at_rest
    }
}

async fn connect(config: Config) -> Result<Session, tiberius::error::Error> {
    let connect = async {
        let stream = TcpStream::connect(config.get_addr()).await?;
        stream.set_nodelay(true)?;
        // On the heap: logging in takes some tens of kilobytes of state.
        let connection = Box::pin(Client::connect(config, stream.compat_write())).await?;
        Ok(Session { connection, is_at_rest: true })
    };
    in_time(CONNECT, connect).await
}

/// What comes of an exchange, where it comes in time.
async fn in_time<T>(limit: Duration, exchange: impl Future<Output = Answered<T>>) -> Answered<T> {
    let late = || std::io::Error::from(std::io::ErrorKind::TimedOut).into();
    timeout(limit, exchange).await.unwrap_or_else(|_| Err(late()))
}

/// Why the last session could not be made; the pool itself only says that there is none.
#[derive(Clone, Debug, Default)]
struct LastFailure(Arc<Mutex<Option<tiberius::error::Error>>>);

impl LastFailure {
    fn replace(&self, error: Option<tiberius::error::Error>) -> Option<tiberius::error::Error> {
        std::mem::replace(&mut *self.0.lock().expect("nobody panics under this lock"), error)
    }
}

impl ErrorSink<tiberius::error::Error> for LastFailure {
    fn sink(&self, error: tiberius::error::Error) {
        self.replace(Some(error));
    }

    fn boxed_clone(&self) -> Box<dyn ErrorSink<tiberius::error::Error>> {
        Box::new(self.clone())
    }
}

/// The pool, made with the first transaction: it runs in the runtime that asks for it.
#[derive(Debug)]
pub(super) struct Transactions {
    config: Sessions,
    pool: OnceLock<Pool<Sessions>>,
    failure: LastFailure,
    /// How long one exchange may take.
    exchange: Duration,
}

impl Transactions {
    /// For a server that need not be there yet, and has so long for each exchange.
    pub(super) fn new(mut config: Config, exchange: Duration) -> Self {
        // Each exchange has a limit here, for what goes out as well.
        config.command_timeout(None);
        let (pool, failure) = (OnceLock::new(), LastFailure::default());
        Self { config: Sessions(config), pool, failure, exchange }
    }

    fn pool(&self) -> &Pool<Sessions> {
        self.pool.get_or_init(|| {
            let pool = Pool::builder().max_size(SESSIONS_MAX).connection_timeout(SESSION_WAIT);
            let pool = pool.test_on_check_out(false).retry_connection(false);
            let pool = pool.error_sink(self.failure.boxed_clone());
            pool.build_unchecked(self.config.clone())
        })
    }

    /// Begins a transaction. A session that was cut off while it was idle is left for another:
    /// nothing was done by it.
    pub(super) async fn begin(&self, isolation: IsolationLevel) -> Stored<Transaction> {
        for _ in 0..SESSIONS_MAX {
            let mut session = self.session().await?;
            let begun = session.connection.begin_transaction_with_isolation(isolation);
            match in_time(BEGIN, begun).await {
                Ok(()) => return Ok(Transaction { session, exchange: self.exchange }),
                Err(error) => drop(self.failure.replace(Some(error))),
            }
        }
        Err(self.failure.replace(None).map_or_else(|| Fault::Overloaded.into(), StoreError::from))
    }

    /// Carries out one statement outside any transaction.
    pub(super) async fn alone(&self, sql: &str) -> Stored<()> {
        let mut session = self.session().await?;
        in_time(self.exchange, async {
            session.connection.simple_query(sql).await?.into_results().await.map(drop)
        })
        .await?;
        session.is_at_rest = true;
        Ok(())
    }

    /// A session that is not at rest until its user says so.
    async fn session(&self) -> Stored<PooledConnection<'static, Sessions>> {
        match self.pool().get_owned().await {
            Ok(mut session) => {
                session.is_at_rest = false;
                Ok(session)
            }
            Err(RunError::User(error)) => Err(error.into()),
            Err(RunError::TimedOut) => {
                let failure = self.failure.replace(None);
                Err(failure.map_or_else(|| Fault::Overloaded.into(), StoreError::from))
            }
        }
    }
}

/// A transaction: undone by the server unless it is ended.
pub(super) struct Transaction {
    session: PooledConnection<'static, Sessions>,
    exchange: Duration,
}

impl Transaction {
    /// Carries out one statement; how many rows it changed.
    pub(super) async fn run(&mut self, sql: &str, values: &[&dyn ToSql]) -> Answered<u64> {
        in_time(self.exchange, async {
            Ok(self.session.connection.execute(sql, values).await?.total())
        })
        .await
    }

    /// The rows of the first answer to a batch of statements.
    pub(super) async fn rows(&mut self, sql: &str, values: &[&dyn ToSql]) -> Answered<Vec<Row>> {
        in_time(self.exchange, async {
            self.session.connection.query(sql, values).await?.into_first_result().await
        })
        .await
    }

    /// The first of them, if there is one.
    pub(super) async fn row(&mut self, sql: &str, values: &[&dyn ToSql]) -> Answered<Option<Row>> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// Carries out statements that take no values: temporary tables made so last for the session.
    pub(super) async fn batch(&mut self, sql: &str) -> Answered<()> {
        in_time(self.exchange, async {
            self.session.connection.simple_query(sql).await?.into_results().await.map(drop)
        })
        .await
    }

    /// Sends many rows into a table.
    pub(super) async fn load(
        &mut self,
        table: &str,
        mut rows: impl Iterator<Item = TokenRow<'static>> + Send,
    ) -> Answered<()> {
        let mut load = in_time(self.exchange, self.session.connection.bulk_insert(table)).await?;
        while in_time(self.exchange, async {
            for sent in 0..ROWS_AT_ONCE {
                let Some(row) = rows.next() else { return Ok(sent > 0) };
                load.send(row).await?;
            }
            Ok(true)
        })
        .await?
        {}
        in_time(self.exchange, load.finalize()).await.map(drop)
    }

    /// Ends it: keeps what was done where that went well, undoes it where it was refused.
    pub(super) async fn end<T>(mut self, done: Stored<T>) -> Stored<T> {
        if done.is_err() {
            return self.undo(done).await;
        }
        in_time(self.exchange, self.session.connection.commit_transaction()).await?;
        self.session.is_at_rest = true;
        done
    }

    /// Undoes what was done. After a fault of the server the session is given up, and the server
    /// undoes it. What was said stands, whatever becomes of the session.
    pub(super) async fn undo<T>(mut self, done: Stored<T>) -> Stored<T> {
        if !matches!(done, Err(StoreError::Fault(Fault::Unavailable(_)))) {
            let undone = in_time(BEGIN, self.session.connection.rollback_transaction()).await;
            self.session.is_at_rest = undone.is_ok();
        }
        done
    }
}

/// What the server said.
pub(super) type Answered<T> = Result<T, tiberius::error::Error>;

impl From<tiberius::error::Error> for StoreError {
    fn from(error: tiberius::error::Error) -> Self {
        match &error {
            // Who asks is nobody there, which no waiting mends.
            tiberius::error::Error::Server(told) if told.code() == LOGIN_FAILED => {
                Fault::Unusable(error.to_string()).into()
            }
            // A key, a check, a reference or a type that no statement here breaks on a whole database.
            tiberius::error::Error::Server(told) if lies_in_a_row(told.code()) => {
                Fault::Diverged(error.to_string()).into()
            }
            _ => Fault::unavailable(error).into(),
        }
    }
}

/// NULL where none may be, a check or a reference, a text that is too long, a number that does not
/// fit its type, a value that cannot be made one of its type.
fn lies_in_a_row(code: u32) -> bool {
    is_duplicate(code) || matches!(code, 515 | 547 | 2628 | 8152 | 220 | 8115 | 245 | 8114)
}

fn is_duplicate(code: u32) -> bool {
    DUPLICATE.contains(&code)
}

/// Whether a row with the same key is there.
pub(super) fn is_taken(error: &tiberius::error::Error) -> bool {
    error.code().is_some_and(is_duplicate)
}

/// What an exchange came to, where the store is unavailable for that.
fn told(error: &StoreError) -> Option<&tiberius::error::Error> {
    let StoreError::Fault(Fault::Unavailable(source)) = error else { return None };
    source.downcast_ref()
}

/// Whether the server has answered, and not done it: neither lost nor late.
pub(super) fn is_answer(error: &StoreError) -> bool {
    matches!(told(error), Some(tiberius::error::Error::Server(_)))
}

/// Whether the connection has ended before the answer: neither refused nor late.
pub(super) fn is_lost(error: &StoreError) -> bool {
    let Some(tiberius::error::Error::Io { kind, .. }) = told(error) else { return false };
    *kind != std::io::ErrorKind::TimedOut
}

/// Whether the server chose this transaction to end a deadlock: nothing of it was done, and it may
/// be tried again.
pub(super) fn is_deadlock(error: &StoreError) -> bool {
    told(error).is_some_and(tiberius::error::Error::is_deadlock)
}
