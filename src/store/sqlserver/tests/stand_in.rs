//! A stand-in for SQL Server: it speaks as much of the protocol (MS-TDS 7.4) as a flush needs, keeps
//! one gateway's position and the orders that came with it, and does wrong what it is told to.

#![expect(clippy::big_endian_bytes, reason = "the protocol has lengths so")]

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, ServerConnection};
use tokio_rustls::server::TlsStream;

use super::super::{SqlServer, schema};
use super::tokens::{
    DONE_COUNT, DONE_MORE, Value, change, done, failed, login_ack, prelogin, row, wide,
};
use super::work::Work;

/// What a client asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    Login,
    Begin,
    Commit,
    Rollback,
    /// A statement that contains this.
    Statement(&'static str),
    /// To take the rows behind `INSERT BULK`.
    Load,
}

/// What becomes of it, once.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wrong {
    /// The server says that this error happened.
    Error(u32),
    /// One statement of a batch is done, the next one is this error.
    ErrorBehindOther(u32),
    /// Half a reply, and the connection ends.
    Cut,
    /// Nothing is done, there is no reply, and the connection stays.
    Silence,
    /// It is done, there is no reply, and the connection stays.
    DoneAndSilence,
    /// The connection ends, and nothing was done.
    Lost,
    /// It is done, and the connection ends.
    DoneAndLost,
    /// It is done and replied to, and the connection ends.
    SaidAndLost,
}

#[derive(Debug, Default)]
struct State {
    wrongs: Vec<(Asked, Wrong)>,
    asked: Vec<Asked>,
    position: i64,
    /// As they came: there is no key, so what is inserted twice is seen.
    orders: Vec<i64>,
}

/// The stand-in; it ends with the runtime of its test.
pub(super) struct StandIn {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// The journal that it has followed, and to where its next flush leads.
pub(super) const JOURNAL: [u8; 16] = [1; 16];
pub(super) const TO: u64 = 5;

const PLAIN: &str = "Encrypt=DANGER_PLAINTEXT";

pub(super) const HOLD: Asked = Asked::Statement("UPDATE journal SET position = position");
pub(super) const POSITION: Asked =
    Asked::Statement("SELECT journal_id, epoch, position FROM journal");
pub(super) const PUBLISHED: Asked = Asked::Statement("a.published = 1");
pub(super) const STAGE: Asked = Asked::Statement("CREATE TABLE #placed");
pub(super) const COLUMNS: Asked = Asked::Statement("SELECT TOP 0 * FROM #placed");
pub(super) const BULK: Asked = Asked::Statement("INSERT BULK #placed");
pub(super) const INSERT: Asked = Asked::Statement("INSERT INTO sales_order");
pub(super) const MOVE: Asked = Asked::Statement("UPDATE journal SET journal_id");
const SNAPSHOTS: Asked = Asked::Statement("snapshot_isolation_state");
const TABLES: Asked = Asked::Statement("OBJECT_ID(N'schema_version')");
const VERSION: Asked = Asked::Statement("SELECT version FROM schema_version");
const KNOWN: [Asked; 11] =
    [HOLD, POSITION, PUBLISHED, STAGE, COLUMNS, BULK, INSERT, MOVE, SNAPSHOTS, TABLES, VERSION];

impl StandIn {
    /// One that encrypts nothing.
    pub(super) async fn open() -> Self {
        Self::open_with(None).await
    }

    /// One that talks to nobody without TLS.
    pub(super) async fn encrypted(tls: ServerConfig) -> Self {
        Self::open_with(Some(Arc::new(tls))).await
    }

    async fn open_with(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, tls.clone(), Arc::clone(&shared)));
            }
        });
        Self { address, state }
    }

    /// A store on it.
    pub(super) fn store(&self) -> SqlServer {
        self.store_by(PLAIN)
    }

    /// A store on it by more words of a connection string.
    pub(super) fn store_by(&self, words: &str) -> SqlServer {
        SqlServer::new(&self.connection(words)).unwrap()
    }

    /// A store on it which waits for so long.
    pub(super) fn impatient(&self, exchange: Duration) -> SqlServer {
        SqlServer::with_exchange(&self.connection(PLAIN), exchange).unwrap()
    }

    fn connection(&self, words: &str) -> String {
        format!("Server=tcp:127.0.0.1,{};User Id=u;Password=p;{words}", self.address.port())
    }

    /// The next time that it is asked so, this goes wrong.
    pub(super) fn next(&self, asked: Asked, wrong: Wrong) {
        self.state.lock().unwrap().wrongs.push((asked, wrong));
    }

    /// How often it was asked so.
    pub(super) fn times(&self, asked: Asked) -> usize {
        self.state.lock().unwrap().asked.iter().filter(|it| **it == asked).count()
    }

    /// The position that it keeps.
    pub(super) fn position(&self) -> i64 {
        self.state.lock().unwrap().position
    }

    /// The orders that it keeps.
    pub(super) fn orders(&self) -> Vec<i64> {
        self.state.lock().unwrap().orders.clone()
    }
}

/// Serves a client until it goes away, or is sent away.
async fn serve(
    mut stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    state: Arc<Mutex<State>>,
) -> io::Result<()> {
    drop(hear(&mut stream).await?);
    say(&mut stream, REPLY, &prelogin(tls.is_some())).await?;
    match tls {
        None => Talk { stream, state, work: Work::default() }.go_on().await,
        Some(tls) => {
            let stream = encrypt(stream, tls, &state).await?;
            Talk { stream, state, work: Work::default() }.go_on().await;
        }
    }
    Ok(())
}

/// TLS as the protocol has it: its handshake is in packets, and all packets behind it are in TLS.
async fn encrypt(
    mut stream: TcpStream,
    config: Arc<ServerConfig>,
    state: &Mutex<State>,
) -> io::Result<TlsStream<TcpStream>> {
    let mut tls = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
    while tls.is_handshaking() {
        let (kind, message) = hear(&mut stream).await?;
        if kind != PRELOGIN {
            // In clear, which is seen by the test.
            state.lock().unwrap().asked.extend(asked(kind, &message));
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut rest = &message[..];
        while !rest.is_empty() {
            tls.read_tls(&mut rest)?;
            tls.process_new_packets().map_err(io::Error::other)?;
        }
        let mut reply = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut reply)?;
        }
        say(&mut stream, PRELOGIN, &reply).await?;
    }
    TlsAcceptor::from(config).accept_with(stream, |begun| *begun = tls).await
}

/// The next message: its kind, and its packets' bytes together.
async fn hear(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(u8, Vec<u8>)> {
    let mut message = Vec::new();
    loop {
        let mut head = [0; 8];
        stream.read_exact(&mut head).await?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]])) - head.len();
        let begin = message.len();
        message.resize(begin + length, 0);
        stream.read_exact(&mut message[begin..]).await?;
        if head[1] & 1 == 1 {
            return Ok((head[0], message));
        }
    }
}

/// Sends a message in one packet.
async fn say(stream: &mut (impl AsyncWrite + Unpin), kind: u8, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len() + 8).unwrap().to_be_bytes();
    let head = [kind, 1, length[0], length[1], 0, 0, 1, 0];
    stream.write_all(&[&head[..], message].concat()).await?;
    stream.flush().await
}

/// One client.
struct Talk<S> {
    stream: S,
    state: Arc<Mutex<State>>,
    /// Of the transaction under way.
    work: Work,
}

// Kinds of messages.
const BATCH: u8 = 1;
const CALL: u8 = 3;
const REPLY: u8 = 4;
const LOAD: u8 = 7;
const TRANSACTION: u8 = 14;
const LOGIN: u8 = 16;
const PRELOGIN: u8 = 18;

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    async fn go_on(mut self) {
        while let Ok((kind, message)) = hear(&mut self.stream).await {
            let Some(asked) = asked(kind, &message) else {
                self.say(&done(0, 1)).await;
                continue;
            };
            match self.wrong(asked) {
                None => {
                    let reply = self.carry_out(asked, &message);
                    self.say(&reply).await;
                }
                Some(Wrong::Error(code)) => self.say(&failed(code)).await,
                Some(Wrong::ErrorBehindOther(code)) => {
                    drop(self.carry_out(asked, &message));
                    self.say(&[done(DONE_MORE, 1), failed(code)].concat()).await;
                }
                Some(Wrong::Cut) => {
                    let reply = self.carry_out(asked, &message);
                    return self.say(&reply[..reply.len() / 2]).await;
                }
                Some(Wrong::Silence) => {}
                Some(Wrong::DoneAndSilence) => drop(self.carry_out(asked, &message)),
                Some(Wrong::Lost) => return,
                Some(Wrong::DoneAndLost) => return drop(self.carry_out(asked, &message)),
                Some(Wrong::SaidAndLost) => {
                    let reply = self.carry_out(asked, &message);
                    return self.say(&reply).await;
                }
            }
        }
    }

    fn wrong(&self, asked: Asked) -> Option<Wrong> {
        let mut state = self.state.lock().unwrap();
        state.asked.push(asked);
        let index = state.wrongs.iter().position(|(it, _)| *it == asked)?;
        Some(state.wrongs.remove(index).1)
    }

    /// Does what is asked; the reply.
    fn carry_out(&mut self, asked: Asked, message: &[u8]) -> Vec<u8> {
        match asked {
            Asked::Login => [login_ack(), done(0, 0)].concat(),
            Asked::Begin => [change(8, &[8, 1, 0, 0, 0, 0, 0, 0, 0, 0]), done(0, 0)].concat(),
            Asked::Commit => {
                let mut state = self.state.lock().unwrap();
                let (to, mut orders) = self.work.keep();
                state.position = to.unwrap_or(state.position);
                state.orders.append(&mut orders);
                [change(9, &[0, 8, 1, 0, 0, 0, 0, 0, 0, 0]), done(0, 0)].concat()
            }
            Asked::Rollback => {
                // Its temporary table goes, too.
                self.work = Work::default();
                [change(10, &[0, 8, 1, 0, 0, 0, 0, 0, 0, 0]), done(0, 0)].concat()
            }
            POSITION => {
                let position = self.state.lock().unwrap().position;
                row(&[Value::Digest(JOURNAL), Value::Small(2), Value::Number(position)])
            }
            PUBLISHED => row(&activity()),
            STAGE => self.work.stage(),
            COLUMNS => self.work.columns(),
            BULK => done(0, 0),
            Asked::Load => self.work.load(message),
            INSERT => self.work.insert(),
            MOVE => self.work.lead(i64::try_from(TO).unwrap()),
            SNAPSHOTS => row(&[Value::Number(1)]),
            TABLES => row(&[Value::Number(1), Value::Number(1)]),
            VERSION => row(&[Value::Number(schema::newest().into())]),
            Asked::Statement(_) => done(DONE_COUNT, 1),
        }
    }

    async fn say(&mut self, reply: &[u8]) {
        // A client that has gone away hears nothing.
        drop(say(&mut self.stream, REPLY, reply).await);
    }
}

/// What a message asks; none for what is answered without a thought.
fn asked(kind: u8, message: &[u8]) -> Option<Asked> {
    match kind {
        LOGIN => Some(Asked::Login),
        // Behind the headers stands what is to become of the transaction.
        TRANSACTION => match message.get(22) {
            Some(5) => Some(Asked::Begin),
            Some(7) => Some(Asked::Commit),
            Some(8) => Some(Asked::Rollback),
            _ => None,
        },
        BATCH | CALL => {
            let has = |text: &str| {
                let text = wide(text);
                message.windows(text.len()).any(|window| window == text)
            };
            KNOWN.into_iter().find(|it| matches!(it, Asked::Statement(text) if has(text)))
        }
        LOAD => Some(Asked::Load),
        _ => None,
    }
}

/// The activity of all orders: it is published, and nothing else has become of it.
fn activity() -> Vec<Value> {
    let (number, text) = (Value::Number(9), Value::Text("title"));
    let named = [number, text, number, text, number, number, Value::Text("EUR")];
    let flags = [false, true, false, false, false].map(Value::Flag);
    [&named[..], &[number; 6], &flags, &[number]].concat()
}
