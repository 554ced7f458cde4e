//! The command line: one file per command.
//!
//! Exit codes: 0 done, 1 a difference or a failure, 2 a command or a configuration that cannot be
//! used, or a comparison that could not be made.

mod audit;
mod backup;
mod demo;
mod gateway;
mod journal;
mod pages;
mod serve;
mod store;
mod tokens;
mod user;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use seckill_shards::clock::{Clock, MachineClock};

use crate::config::{Config, ConfigError, Layers, RedisUrl, StorePlace};
use crate::log::causes;
use crate::reconcile::Leases;
use crate::store::sqlite::Sqlite;
use crate::store::{Act, Deed, Doer, Store};

/// A flash-sale shop: a gateway whose buys never leave the core they arrive on.
#[derive(Debug, Parser)]
#[command(name = "seckill", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Serve(Serve),
    /// Accounts.
    #[command(subcommand)]
    User(User),
    /// Make load-test shoppers, and a bearer token for each, one a line.
    Tokens {
        #[command(flatten)]
        place: Place,
        /// How many.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
        users: u32,
        /// What their names begin with.
        #[arg(long, default_value = "load-")]
        prefix: String,
        /// The file to write; standard output without it.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Compare journal and store, order by order; exit 1 on any difference.
    Audit {
        #[command(flatten)]
        place: Place,
        /// One activity only.
        #[arg(long)]
        activity: Option<u64>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Copy a data directory, of a gateway that runs or not: its journal and those of adopted gateways,
    /// embedded store, secrets.
    Backup {
        #[command(flatten)]
        place: Place,
        /// The directory to write; absent or empty.
        #[arg(long)]
        out: PathBuf,
    },
    /// Put a backup into an empty data directory.
    Restore {
        #[command(flatten)]
        place: Place,
        /// The directory that `backup` has written.
        #[arg(long)]
        from: PathBuf,
    },
    /// Read the journal.
    #[command(subcommand)]
    Journal(Journal),
    /// The gateways that share a store.
    #[command(subcommand)]
    Gateway(Gateway),
    /// The store itself.
    #[command(subcommand)]
    Store(StoreCommand),
    /// The pages that a gateway serves from memory.
    #[command(subcommand)]
    Pages(Pages),
}

/// Where a gateway's data is.
#[derive(Debug, clap::Args)]
struct Place {
    /// Configuration file (TOML).
    #[arg(long, env = "SECKILL_CONFIG")]
    config: Option<PathBuf>,
    /// Data directory.
    #[arg(long)]
    data: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Serve {
    #[command(flatten)]
    place: Place,
    /// Where shoppers are served.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Where /metrics, /livez and /readyz are served.
    #[arg(long)]
    ops_listen: Option<SocketAddr>,
    /// Core threads.
    #[arg(long)]
    cores: Option<usize>,
    /// Add demo products, shoppers, an operator and sales that open soon; loopback only.
    #[arg(long)]
    demo: bool,
}

#[derive(Debug, Subcommand)]
enum User {
    /// Create an account; its password comes from `SECKILL_PASSWORD` or standard input.
    Create {
        #[command(flatten)]
        place: Place,
        /// 3 to 32 of a-z, 0-9, `_`, `.` and `-`.
        #[arg(long)]
        username: String,
        /// What the user may do.
        #[arg(long, value_parser = ["shopper", "operator", "admin"])]
        role: String,
    },
}

#[derive(Debug, Subcommand)]
enum Journal {
    /// Check every frame and record, of adopted gateways' journals, too.
    Verify(Place),
    /// Print the records, one JSON line each.
    Dump {
        #[command(flatten)]
        place: Place,
        /// The records of a gateway that this one has adopted.
        #[arg(long)]
        adopted: Option<u16>,
    },
}

#[derive(Debug, Subcommand)]
enum Gateway {
    /// Print every gateway that the store knows of, one a line.
    List(Place),
    /// Have a gateway hand itself over: it sells no more, another goes on with its orders, and it ends.
    Drain {
        #[command(flatten)]
        place: Place,
        /// The gateway that ends.
        number: u16,
        /// The gateway that goes on.
        #[arg(long, required_unless_present = "cancel")]
        to: Option<u16>,
        /// It is to stay after all.
        #[arg(long, conflicts_with = "to")]
        cancel: bool,
    },
    /// Declare a gateway lost: another speaks for it from then on, and takes over its orders.
    Retire {
        #[command(flatten)]
        place: Place,
        /// The gateway that is lost.
        number: u16,
        /// The gateway that takes over.
        #[arg(long)]
        adopter: u16,
        /// Its process does not run, and will not: whoever says so falsely sells units twice.
        #[arg(long)]
        machine_is_off: bool,
    },
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Create the schema, or bring an older one up to date; `serve` does the same at its start.
    Migrate(Place),
}

#[derive(Debug, Subcommand)]
enum Pages {
    /// Write them as files, each compressed beside it, for nginx or a CDN.
    Export {
        #[command(flatten)]
        place: Place,
        /// The directory to write into; what else is in it stays.
        #[arg(long)]
        out: PathBuf,
    },
}

/// Runs the command that the process was started with.
#[must_use]
pub fn run() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(command) => serve::run(&command),
        Command::User(User::Create { place, username, role }) => {
            user::create(&place, &username, &role)
        }
        Command::Tokens { place, users, prefix, out } => {
            tokens::run(&place, users, &prefix, out.as_deref())
        }
        Command::Audit { place, activity, json } => audit::run(&place, activity, json),
        Command::Backup { place, out } => backup::backup(&place, &out),
        Command::Restore { place, from } => backup::restore(&place, &from),
        Command::Journal(Journal::Verify(place)) => journal::verify(&place),
        Command::Journal(Journal::Dump { place, adopted }) => journal::dump(&place, adopted),
        Command::Gateway(Gateway::List(place)) => gateway::list(&place),
        Command::Store(StoreCommand::Migrate(place)) => store::migrate(&place),
        Command::Pages(Pages::Export { place, out }) => pages::export(&place, &out),
        Command::Gateway(Gateway::Drain { place, number, to, cancel: _ }) => {
            gateway::drain(&place, number, to)
        }
        Command::Gateway(Gateway::Retire { place, number, adopter, machine_is_off }) => {
            gateway::retire(&place, number, adopter, machine_is_off)
        }
    };
    done.unwrap_or_else(|error| {
        tell(&format!("{error:#}"));
        let unusable = error.is::<Unusable>() || error.is::<ConfigError>();
        ExitCode::from(if unusable { UNUSABLE } else { 1 })
    })
}

/// The exit code of what cannot be used or compared.
const UNUSABLE: u8 = 2;

/// A start that must not be tried again before somebody has looked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unusable(String);

impl Unusable {
    /// The error and its causes in one line.
    fn from(error: &(dyn std::error::Error + 'static)) -> Self {
        Self(causes(error).to_string())
    }
}

impl Place {
    fn layers(&self) -> Result<Layers, ConfigError> {
        let mut layers = Layers::default();
        if let Some(path) = &self.config {
            layers.file(path)?;
        }
        layers.variables(std::env::vars())?;
        layers.flag("data", self.data.as_deref().map(Path::display));
        Ok(layers)
    }

    fn config(&self) -> Result<Config, ConfigError> {
        self.layers()?.finish()
    }
}

/// Opens the store of a configuration, making it where there is none.
fn open_store(config: &Config) -> Result<Arc<dyn Store>, Unusable> {
    match &config.store {
        StorePlace::Sqlite(path) => {
            let store = Sqlite::open(path).map_err(|error| Unusable::from(&error))?;
            Ok(Arc::new(store))
        }
        StorePlace::SqlServer(connection) => open_server(connection),
    }
}

#[cfg(feature = "sqlserver")]
fn open_server(connection: &str) -> Result<Arc<dyn Store>, Unusable> {
    let store = crate::store::sqlserver::SqlServer::new(connection);
    let store =
        store.map_err(|what| Unusable(format!("store_url: what follows sqlserver: {what}")))?;
    Ok(Arc::new(store))
}

#[cfg(not(feature = "sqlserver"))]
fn open_server(_: &str) -> Result<Arc<dyn Store>, Unusable> {
    let text = "store_url names SQL Server, which this build is without: build it with \
                `--features sqlserver`";
    Err(Unusable(text.to_owned()))
}

/// The same for a command that only reads: a mistyped path is not made a store.
fn open_present_store(config: &Config) -> Result<Arc<dyn Store>, Unusable> {
    match &config.store {
        StorePlace::Sqlite(path) if !path.exists() => {
            Err(Unusable(format!("there is no store at {}", path.display())))
        }
        StorePlace::Sqlite(_) | StorePlace::SqlServer(_) => open_store(config),
    }
}

/// The Redis that is configured, if one is; to be called inside the runtime that it will be asked from.
fn open_redis(url: &Option<RedisUrl>) -> Result<Option<Leases>, Unusable> {
    let Some(RedisUrl(url)) = url else { return Ok(None) };
    if url.starts_with("rediss") && !cfg!(feature = "redis-tls") {
        let missing = "redis_url asks for TLS, which this program was built without: build it with \
                       `--features redis-tls`";
        return Err(Unusable(missing.to_owned()));
    }
    // The fault is not told: it may repeat a password.
    let redis = Leases::open(url).map_err(|_| {
        Unusable(
            "redis_url is not the address of a Redis, as redis://127.0.0.1:6379, \
             redis-sentinel://host:port,host:port#service, or redis-cluster://host:port,host:port"
                .to_owned(),
        )
    })?;
    Ok(Some(redis))
}

fn remove_if_there(file: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A runtime for a command that only talks to the store.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// Writes into the trail what a command has done. It is done: where that cannot be written, whoever
/// runs the command is told so.
async fn note(store: &dyn Store, deed: Deed, detail: String) {
    let noted = async {
        let act = Act {
            at: MachineClock::start().now(),
            request: crate::random_bytes()?,
            by: Doer::CommandLine,
            deed,
            detail,
            is_known: true,
        };
        anyhow::Ok(store.note(act).await?)
    };
    if let Err(error) = noted.await {
        tell(&format!("done, but not in the trail: {error:#}"));
    }
}

/// Tells whoever runs the command what is no part of its output. A closed standard error leaves
/// the exit code.
fn tell(line: &str) {
    drop(writeln!(std::io::stderr(), "seckill: {line}"));
}

/// Prints a line for whoever runs the command.
fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
