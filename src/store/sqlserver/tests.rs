//! The conformance suite on a server named by `SECKILL_TEST_SQLSERVER`, an ADO connection string of
//! someone who may create databases; where none is named, each case says so and is left out.

use std::env;
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};

use tiberius::{Client, Config};
use tokio::net::TcpStream;
use tokio_util::compat::TokioAsyncWriteCompatExt;

use super::SqlServer;
use crate::store::Store;
use crate::store::conformance::conformance;

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
            println!("SECKILL_TEST_SQLSERVER names no server: left out");
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
        let (server, sql) = (self.server.clone(), format!("DROP DATABASE {}", self.name));
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(command(&server, &sql));
        });
        // A database that stays is named after its test run.
        drop(dropped.join());
    }
}

/// Carries out a statement on the server itself, outside any transaction.
async fn command(server: &str, sql: &str) {
    let config = Config::from_ado_string(server).unwrap();
    let stream = TcpStream::connect(config.get_addr()).await.unwrap();
    let mut client = Box::pin(Client::connect(config, stream.compat_write())).await.unwrap();
    client.simple_query(sql).await.unwrap().into_results().await.unwrap();
}
