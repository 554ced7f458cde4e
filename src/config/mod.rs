//! What may be set at run time: a TOML file, then `SECKILL_…` variables, then flags.
//!
//! An unknown key, a bad value or a clash is one clear line. Secrets come from variables or files
//! and are never printed.

mod fleet;
mod layers;
mod secrets;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use seckill_shards::ids::GATEWAY_MAX;
use seckill_shards::limits::SHARDS_MAX;

use self::secrets::{SECRET_NAME, WEBHOOK_SECRET_NAME, kept};
use crate::payment::webhook::WebhookKeys;

pub use self::fleet::{PeerOptions, RedisUrl, StorePlace};
pub use self::layers::Layers;
pub use self::secrets::{KEPT_SECRETS, Secret};

/// A setting that cannot be used: one line, for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// How the gateway runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the journal, the embedded store and generated secrets are.
    pub data: PathBuf,
    /// The public listener.
    pub listen: SocketAddr,
    /// The listener of operations.
    pub ops_listen: SocketAddr,
    /// Core threads.
    pub cores: usize,
    /// Whether demo products, shoppers and sales are added.
    pub demo: bool,
    /// This gateway's number.
    pub gateway_id: u16,
    /// The store.
    pub store: StorePlace,
    /// The Redis through which several gateways share what they sell; none: this one is alone.
    pub redis_url: Option<RedisUrl>,
    /// How the other gateways reach this one; there where a Redis is.
    pub peers: Option<PeerOptions>,
    /// The origin that browsers use; none: the request's own host.
    pub public_url: Option<String>,
    /// Whose forwarded addresses are believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Connections at once.
    pub connections_max: usize,
    /// Bytes of segments on disk at most.
    pub journal_bytes_max: u64,
    /// How long a drain waits for requests under way, in seconds.
    pub drain_seconds: u64,
    /// The filter of the log.
    pub log: String,
    /// Who takes the shoppers' money; none: nobody, and paying is unavailable.
    pub payment_provider: Option<PaymentProvider>,
    /// The key of tokens, where one is given.
    secret: Option<Secret>,
    /// The keys of the provider's webhooks, where they are given.
    webhook_keys: Option<WebhookKeys>,
}

/// A provider that the gateway has an adapter for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PaymentProvider {
    /// The one without money, whose page lets anybody play the bank.
    Sandbox,
}

impl FromStr for PaymentProvider {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        if word == "sandbox" { Ok(Self::Sandbox) } else { Err(()) }
    }
}

impl Config {
    fn check(self) -> Result<Self, ConfigError> {
        let error = |text: String| Err(ConfigError(text));
        if !(1..=SHARDS_MAX).contains(&self.cores) {
            return error(format!("cores must be 1 to {SHARDS_MAX}, not {}", self.cores));
        }
        if self.gateway_id > GATEWAY_MAX {
            return error(format!("gateway_id must be 0 to {GATEWAY_MAX}"));
        }
        if self.connections_max == 0 {
            return error("connections_max must be at least 1".to_owned());
        }
        let least = seckill_shards::limits::SEGMENT_BYTES * 8;
        if self.journal_bytes_max < least {
            return error(format!("journal_max_mib must be at least {}", least >> 20));
        }
        let loopback = self.listen.ip().is_loopback() && self.ops_listen.ip().is_loopback();
        if self.demo && !loopback {
            return error("--demo has sample accounts and listens on loopback only".to_owned());
        }
        match &self.public_url {
            Some(url) if !is_origin(url) => {
                error(format!("public_url must be http(s)://host[:port], not {url:?}"))
            }
            _ => Ok(self),
        }
    }

    /// The key of tokens: given, or made once and kept in the data directory (0600).
    ///
    /// # Errors
    /// What the operating system says of the file.
    pub fn token_secret(&self) -> io::Result<Secret> {
        self.secret.clone().map_or_else(|| kept(&self.data, SECRET_NAME), Ok)
    }

    /// The keys of webhooks: given, or one made once and kept in the data directory (0600).
    ///
    /// # Errors
    /// What the operating system says of the file.
    pub fn webhook_keys(&self) -> io::Result<WebhookKeys> {
        let made = || Ok(WebhookKeys::of(&kept(&self.data, WEBHOOK_SECRET_NAME)?.0));
        self.webhook_keys.clone().map_or_else(made, Ok)
    }

    /// Where the journal is.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.data.join("journal")
    }

    /// Where the journals of adopted gateways are.
    #[must_use]
    pub fn adopted(&self) -> PathBuf {
        self.data.join("adopted")
    }
}

/// With four CPUs or more, one is left to the journal and to what runs beside the sale.
fn cores_for(cpus: usize) -> usize {
    if cpus >= 4 { (cpus - 1).min(SHARDS_MAX) } else { cpus }
}

fn is_origin(url: &str) -> bool {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    host.is_some_and(|host| !host.is_empty() && host.bytes().all(allowed))
}
