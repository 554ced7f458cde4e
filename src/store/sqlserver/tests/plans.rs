//! Every query has an index, shown by its plan. On Babelfish, which tells plans among its answers, the
//! conformance suite runs once more, through a relay that notes what is asked; then each session asks the
//! same again, with plans, and with every way forbidden but by an index where there is one for it.

#![expect(clippy::big_endian_bytes, reason = "the protocol has lengths so")]

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tiberius::{Config, Row};

use super::super::{SqlServer, schema};
use super::{Fresh, command, command_at_once};
use crate::store::Store;
use crate::store::conformance::{conformance, flushes};

const SETTINGS: [&str; 2] = [
    "SELECT set_config('enable_seqscan', 'off', false), set_config('enable_bitmapscan', 'off', false),
         set_config('enable_hashjoin', 'off', false), set_config('enable_mergejoin', 'off', false)",
    "SET BABELFISH_STATISTICS PROFILE ON",
];
/// What is not asked again: the schema, the heads of bulk loads, and lists that are read to their end on purpose.
const PASSED_OVER: [&str; 6] = [
    "CREATE INDEX",
    "SELECT TOP 0 ",
    "INSERT BULK",
    "FROM gateway ORDER BY number",
    "FROM journal ORDER BY gateway",
    "WHERE a.published = 1 ORDER BY a.id",
];
/// Rows of nobody, so that it is not all the same which of two tables is looked up by the other's rows.
const ROWS: [&str; 2] = [
    "INSERT INTO sales_order (id, activity_id, user_id, quantity, status, placed_at, pay_before)
     SELECT TOP (20000) -ROW_NUMBER() OVER (ORDER BY a.object_id), -a.object_id, -b.object_id, 1, 1, 0, 0
     FROM sys.all_objects a CROSS JOIN sys.all_objects b",
    "INSERT INTO payment (id, order_id, amount, status, started_at)
     SELECT id, id, 1, 1, 0 FROM sales_order WHERE id < 0",
];
const INDEXES: &str = "SELECT CAST(c.relname AS VARCHAR(128)), CAST(a.attname AS VARCHAR(128))
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
        JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indexrelid AND a.attnum = 1";

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);
const PACKET_BYTES: usize = 4_096;
const HEAD_BYTES: usize = 8;
// Kinds of messages.
const BATCH: u8 = 1;
const CALL: u8 = 3;
const LOGIN: u8 = 16;
const PRELOGIN: u8 = 18;

type Message = (u8, Vec<u8>);

/// Names of tables.
type Tables = BTreeSet<String>;

/// Names of indexes, and the column that each begins with.
type Indexes = HashMap<String, String>;

conformance!(match Watched::open().await {
    Some(watched) => watched,
    None => return,
});

#[tokio::test]
async fn an_index_that_is_missing_is_found() {
    let Some(mut watched) = Watched::open().await else { return };
    watched.migrate().await.unwrap();
    for index in ["payment_of_order ON payment", "order_of_user ON sales_order"] {
        command(&watched.fresh.database(), &format!("DROP INDEX {index}")).await;
    }
    flushes::orders_are_listed_newest_first(&*watched).await;
    assert_eq!(watched.read_through(), ["payment", "sales_order"].map(str::to_owned).into());
}

/// A store behind a relay; in the end each of its queries must have had an index.
struct Watched {
    store: Option<SqlServer>,
    relay: Relay,
    // The last to go: with it goes the database.
    fresh: Fresh,
}

impl Watched {
    async fn open() -> Option<Self> {
        let fresh = Fresh::open().await?;
        let version = command(&fresh.server, "SELECT @@VERSION").await;
        if !version[0].get::<&str, _>(0).unwrap().contains("Babelfish") {
            println!("the server that SECKILL_TEST_SQLSERVER names tells no plans: left out");
            return None;
        }
        let relay = Relay::open(Config::from_ado_string(&fresh.server).unwrap().get_addr());
        let who = fresh.server.split(';').filter(|part| !part.trim_start().starts_with("Server"));
        let who = who.collect::<Vec<_>>().join(";");
        let (port, database) = (relay.port, &fresh.name);
        let way = "Encrypt=DANGER_PLAINTEXT";
        let store = format!("Server=tcp:127.0.0.1,{port};{who};Database={database};{way}");
        Some(Self { store: Some(SqlServer::new(&store).unwrap()), relay, fresh })
    }

    /// Ends the store; the tables that were read through.
    fn read_through(&mut self) -> Tables {
        // Its sessions end, and hold nothing any more.
        self.store.take();
        for sql in ROWS {
            command_at_once(self.fresh.database(), sql.to_owned()).unwrap();
        }
        let name = |row: &Row, at: usize| row.get::<&str, _>(at).unwrap().to_owned();
        let indexes = command_at_once(self.fresh.database(), INDEXES.to_owned()).unwrap();
        let indexes = indexes.iter().map(|row| (name(row, 0), name(row, 1))).collect();
        let sessions = self.relay.sessions.lock().unwrap();
        sessions.iter().flat_map(|asked| self.read_through_by(asked, &indexes)).collect()
    }

    /// Asks the same again, with plans.
    fn read_through_by(&self, asked: &[Message], indexes: &Indexes) -> Tables {
        let mut server = TcpStream::connect(&self.relay.server).unwrap();
        server.set_read_timeout(Some(ANSWER)).unwrap();
        let mut ask = |kind, message: &[u8]| {
            say(&mut server, kind, message).unwrap();
            hear(&mut server).unwrap().1
        };
        let mut tables = Tables::new();
        for (kind, message) in asked {
            match *kind {
                PRELOGIN => drop(ask(PRELOGIN, message)),
                LOGIN => {
                    ask(LOGIN, message);
                    for sql in SETTINGS {
                        ask(BATCH, &batch(sql));
                    }
                }
                BATCH | CALL if !PASSED_OVER.iter().any(|sql| has(message, sql)) => {
                    tables.extend(read_through_in(&ask(*kind, &alone(message)), indexes));
                }
                _ => {}
            }
        }
        tables
    }
}

impl Deref for Watched {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        self.store.as_ref().unwrap()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.store.is_some() && !thread::panicking() {
            assert_eq!(self.read_through(), Tables::new(), "without an index");
        }
    }
}

/// The tables that an answer's plans read through: not by a condition on what an index begins with.
fn read_through_in(answer: &[u8], indexes: &Indexes) -> Tables {
    let text: Vec<u8> = answer.iter().copied().filter(|byte| *byte != 0).collect();
    let text = String::from_utf8_lossy(&text);
    let scans = text.split("Scan ").skip(1).filter_map(|scan| scan.split_once("  (cost"));
    let tables = scans.filter_map(|(head, rest)| {
        let behind = |word| head.split(' ').skip_while(move |it| *it != word).nth(1);
        let (index, table) = (behind("using"), behind("on")?);
        let (_, condition) = rest.split_once("Index Cond: ").unwrap_or_default();
        let (condition, _) = condition.split_once("Filter: ").unwrap_or((condition, ""));
        let column = index.and_then(|index| indexes.get(index));
        let is_asked_for =
            |it: &String| [' ', ')'].iter().any(|end| condition.contains(&format!("({it}{end}")));
        let is_found = column.is_some_and(is_asked_for);
        (is_table(table) && !is_found).then(|| table.to_owned())
    });
    tables.collect()
}

/// Whether the schema has such a table: neither a temporary one nor one of the server's own.
fn is_table(name: &str) -> bool {
    schema::MIGRATIONS.iter().any(|sql| sql.contains(&format!("CREATE TABLE {name} (")))
}

/// Passes on what is asked and answered, and notes what is asked, session by session.
struct Relay {
    server: String,
    port: u16,
    sessions: Arc<Mutex<Vec<Vec<Message>>>>,
}

impl Relay {
    fn open(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let relay = Self { server, port, sessions: Arc::default() };
        let (server, sessions) = (relay.server.clone(), Arc::clone(&relay.sessions));
        thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                sessions.lock().unwrap().push(Vec::new());
                let note = Arc::clone(&sessions);
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                thread::spawn(move || {
                    pass_on(client, server, |asked| note.lock().unwrap()[number].push(asked))
                });
            }
        });
        relay
    }
}

/// Until one of both goes away.
fn pass_on(mut client: TcpStream, mut server: TcpStream, note: impl Fn(Message)) -> io::Result<()> {
    loop {
        let (kind, message) = hear(&mut client)?;
        note((kind, message.clone()));
        say(&mut server, kind, &message)?;
        let (kind, answer) = hear(&mut server)?;
        say(&mut client, kind, &answer)?;
    }
}

/// A message that asks for one statement.
fn batch(sql: &str) -> Vec<u8> {
    let headers = [22, 0, 0, 0, 18, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    [&headers[..], &wide(sql)].concat()
}

/// A message outside the transaction that it was in.
fn alone(message: &[u8]) -> Vec<u8> {
    [&message[..10], &[0; 8], &message[18..]].concat()
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn has(message: &[u8], text: &str) -> bool {
    let text = wide(text);
    message.windows(text.len()).any(|window| window == text)
}

/// The next message, its packets together.
fn hear(from: &mut impl Read) -> io::Result<Message> {
    let mut message = Vec::new();
    loop {
        let mut head = [0; HEAD_BYTES];
        from.read_exact(&mut head)?;
        let begin = message.len();
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        message.resize(begin + length - HEAD_BYTES, 0);
        from.read_exact(&mut message[begin..])?;
        if head[1] & 1 == 1 {
            return Ok((head[0], message));
        }
    }
}

fn say(to: &mut impl Write, kind: u8, message: &[u8]) -> io::Result<()> {
    let mut pieces = message.chunks(PACKET_BYTES - HEAD_BYTES).peekable();
    while let Some(piece) = pieces.next() {
        let is_last = u8::from(pieces.peek().is_none());
        let length = u16::try_from(piece.len() + HEAD_BYTES).unwrap().to_be_bytes();
        let head = [kind, is_last, length[0], length[1], 0, 0, 1, 0];
        to.write_all(&[&head[..], piece].concat())?;
    }
    Ok(())
}
