//! The store that gateways share: a file, or a database of its own on the server that
//! `SECKILL_TEST_SQLSERVER` names (an ADO connection string of someone who may create databases).
//!
//! It must not know its tables.

use std::env;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use socket2::{Domain, Socket, Type};
use tiberius::{Client, Config};
use tokio::net::TcpStream;
use tokio_util::compat::TokioAsyncWriteCompatExt;

use crate::gateway::Scratch;
use crate::link::{Link, Mode, Place};
use crate::patience::GENEROUS;

/// The store; what is in it goes with it.
#[derive(Debug)]
pub struct Store(Kind);

#[derive(Debug)]
enum Kind {
    File(Scratch),
    Database(Database),
}

/// A database of a server, and the ways that lead to it.
#[derive(Debug)]
struct Database {
    /// The server's address, as it was given.
    server: String,
    name: String,
    ways: Vec<Arc<Link>>,
}

/// Nobody writes to the store until it is dropped; where it is a server's, nobody reaches it.
#[derive(Debug)]
pub struct Held(Hold);

#[derive(Debug)]
enum Hold {
    /// What is open is rolled back.
    Transaction {
        _of: Connection,
    },
    Ways(Vec<Arc<Link>>),
}

impl Store {
    /// A fresh one, with so many ways to it, where it is a server's.
    ///
    /// # Panics
    /// Where the server does not make it.
    #[must_use]
    pub fn new(ways: usize) -> Self {
        Self(match env::var("SECKILL_TEST_SQLSERVER") {
            Ok(server) if !server.is_empty() => Kind::Database(Database::create(server, ways)),
            Ok(_) | Err(_) => Kind::File(Scratch::new()),
        })
    }

    /// What gateways are told that come by a way.
    #[must_use]
    pub fn url(&self, way: usize) -> String {
        match &self.0 {
            Kind::File(_) => format!("sqlite:{}", self.file().expect("it is one").display()),
            Kind::Database(database) => database.url(way),
        }
    }

    /// The file, where it is one.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        match &self.0 {
            Kind::File(folder) => Some(folder.path().join("store.db")),
            Kind::Database(_) => None,
        }
    }

    /// The ways to a server's.
    #[must_use]
    pub fn ways(&self) -> &[Arc<Link>] {
        match &self.0 {
            Kind::File(_) => &[],
            Kind::Database(database) => &database.ways,
        }
    }

    /// Keeps every gateway from writing to it.
    ///
    /// # Panics
    /// Where somebody else does so for too long.
    #[must_use]
    pub fn hold(&self) -> Held {
        let Some(file) = self.file() else {
            self.ways().iter().for_each(|way| way.set_all(Mode::Silent));
            return Held(Hold::Ways(self.ways().to_vec()));
        };
        let store = Connection::open(file).expect("the file is there");
        store.busy_timeout(GENEROUS).expect("it can be waited for");
        store.execute_batch("BEGIN EXCLUSIVE").expect("nobody writes for so long");
        Held(Hold::Transaction { _of: store })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Hold::Ways(ways) = &self.0 {
            ways.iter().for_each(|way| way.set_all(Mode::Well));
        }
    }
}

/// Where no store is: whoever connects is refused, for as long as it is there. Its port is taken and not
/// listened to, so that nobody else comes to listen there meanwhile.
#[derive(Debug)]
pub struct Nowhere(Socket);

impl Nowhere {
    /// Takes a port.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn take() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be made");
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any_port.into()).expect("a port is free");
        Self(socket)
    }

    /// What gateways are told.
    #[must_use]
    pub fn url(&self) -> String {
        let address = self.0.local_addr().ok().and_then(|it| it.as_socket());
        let port = address.expect("it was bound to a port").port();
        format!("sqlserver:Server=tcp:127.0.0.1,{port};User Id=sa;Password=x")
    }
}

impl Database {
    fn create(server: String, ways: usize) -> Self {
        static CREATED: Mutex<u32> = Mutex::new(0);
        let name = {
            // One after the other: Babelfish makes no two at once.
            let mut created = CREATED.lock().unwrap_or_else(PoisonError::into_inner);
            *created += 1;
            let name = format!("seckill_fleet_{}_{created}", process::id());
            command(&server, &format!("CREATE DATABASE {name}")).expect("it makes a database");
            name
        };
        let address = address(&server);
        let way = |_| {
            let link = Link::new(1, |_| 0);
            link.turn(Place::Tcp(address));
            Arc::new(link)
        };
        let ways = (0..ways).map(way).collect();
        Self { server, name, ways }
    }

    /// The server's own parameters, but for where it is.
    fn url(&self, way: usize) -> String {
        let is_place = |part: &&str| part.trim().to_ascii_lowercase().starts_with("server=");
        let others: Vec<&str> = self.server.split(';').filter(|it| !is_place(it)).collect();
        let (address, name) = (self.ways[way].address(), &self.name);
        let (host, port) = (address.ip(), address.port());
        format!("sqlserver:Server=tcp:{host},{port};{};Database={name}", others.join(";"))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // One that stays is named after its test run.
        drop(command(&self.server, &format!("DROP DATABASE {}", self.name)));
    }
}

fn address(server: &str) -> SocketAddr {
    let config = Config::from_ado_string(server).expect("SECKILL_TEST_SQLSERVER can be read");
    let mut found = config.get_addr().to_socket_addrs().expect("the server has an address");
    found.next().expect("the server has an address")
}

/// Has the server carry out a statement, outside any transaction.
fn command(server: &str, sql: &str) -> Result<(), tiberius::error::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(async {
        let config = Config::from_ado_string(server)?;
        let stream = TcpStream::connect(config.get_addr()).await?;
        let mut client = Box::pin(Client::connect(config, stream.compat_write())).await?;
        client.simple_query(sql).await?.into_results().await.map(drop)
    })
}
