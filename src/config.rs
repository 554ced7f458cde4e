//! What may be set at run time: a TOML file, then `SECKILL_…` variables, then flags.
//!
//! An unknown key, a bad value or a clash is one clear line. Secrets come from variables or files
//! and are never printed.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use seckill_shards::ids::GATEWAY_MAX;
use seckill_shards::limits::SHARDS_MAX;
use sha2::{Digest, Sha256};

use crate::payment::webhook::WebhookKeys;

/// Every key, as a file and a flag spell it; a variable is `SECKILL_` and the key in capitals.
const KEYS: &[&str] = &[
    "connections_max",
    "cores",
    "data",
    "demo",
    "drain_seconds",
    "gateway_id",
    "journal_max_mib",
    "listen",
    "log",
    "membership_lasts",
    "ops_listen",
    "payment_provider",
    "payment_webhook_secret",
    "payment_webhook_secret_file",
    "peer_listen",
    "peer_url",
    "public_url",
    "redis_url",
    "secret",
    "secret_file",
    "store_url",
    "trusted_proxies",
];
/// Variables with the prefix that say something else.
const OTHER_VARIABLES: &[&str] = &["SECKILL_CONFIG", "SECKILL_PASSWORD"];
/// Kubernetes adds such variables to every pod beside a service named seckill.
const SERVICE_PREFIXES: &[&str] = &["SECKILL_SERVICE_", "SECKILL_PORT"];
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const OPS_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);
const PREFIX: &str = "SECKILL_";
const SECRET_CHARACTERS_MIN: usize = 32;
const SECRET_NAME: &str = "secret";
const WEBHOOK_SECRET_NAME: &str = "payment-webhook-secret";
/// Files of the data directory that hold secrets which nobody has given.
pub const KEPT_SECRETS: [&str; 2] = [SECRET_NAME, WEBHOOK_SECRET_NAME];

/// A setting that cannot be used: one line, for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// A secret of 32 bytes that is never printed.
#[derive(Clone)]
pub struct Secret(pub [u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The URL of a Redis, which may hold a password: it is never printed.
#[derive(Clone)]
pub struct RedisUrl(pub String);

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisUrl(…)")
    }
}

/// Where the store is.
#[derive(Clone)]
pub enum StorePlace {
    /// A file of SQLite.
    Sqlite(PathBuf),
    /// A database of SQL Server, by an ADO connection string, which may hold a password: it is never
    /// printed.
    SqlServer(String),
}

impl fmt::Debug for StorePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::SqlServer(_) => f.write_str("SqlServer(…)"),
        }
    }
}

impl StorePlace {
    /// What a URL names; none where it names nothing.
    fn of(url: &str) -> Option<Self> {
        let (kind, rest) = url.split_once(':').filter(|(_, rest)| !rest.is_empty())?;
        match kind {
            "sqlite" => Some(Self::Sqlite(rest.into())),
            "sqlserver" => Some(Self::SqlServer(rest.to_owned())),
            _ => None,
        }
    }
}

/// How the other gateways reach this one.
#[derive(Clone, Debug)]
pub struct PeerOptions {
    /// The listener of their calls.
    pub listen: SocketAddr,
    /// Where they call it, as `host:port`; none: at the listener's own address.
    pub address: Option<String>,
    /// It ends its part by itself so many seconds after its last word to the store; none: never.
    pub membership_s: Option<u32>,
}

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

/// Shorter than the least, a slow store would end it; longer than the most, nobody would wait for it.
const MEMBERSHIP_S: std::ops::RangeInclusive<u32> = 5..=86_400;

/// For how many seconds a gateway's word to the store lasts.
struct MembershipLasts(Option<u32>);

impl FromStr for MembershipLasts {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let seconds = text.parse().ok().filter(|seconds| MEMBERSHIP_S.contains(seconds));
        seconds.map(|seconds| Self(Some(seconds))).ok_or(())
    }
}

/// Host and port of the URL of a gateway.
struct PeerUrl(String);

impl FromStr for PeerUrl {
    type Err = ();

    fn from_str(url: &str) -> Result<Self, ()> {
        let address = url.strip_prefix("http://").filter(|_| is_origin(url)).ok_or(())?;
        let (host, port) = address.rsplit_once(':').ok_or(())?;
        let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
        if is_port && !host.is_empty() { Ok(Self(address.to_owned())) } else { Err(()) }
    }
}

/// Where a value comes from, for the message that refuses it.
#[derive(Clone, Debug)]
struct Value {
    text: String,
    source: String,
}

/// Settings by key; a later layer replaces an earlier one.
#[derive(Debug, Default)]
pub struct Layers {
    values: BTreeMap<String, Value>,
}

impl Layers {
    /// Reads a file of `key = value` lines.
    ///
    /// # Errors
    /// [`ConfigError`] where it cannot be read, is not TOML, or has an unknown key.
    pub fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let source = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError(format!("{source} cannot be read: {error}")))?;
        let table: toml::Table = toml::from_str(&text)
            .map_err(|error| ConfigError(format!("{source}: {}", error.message())))?;
        for (key, value) in table {
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(flag) => flag.to_string(),
                toml::Value::Array(items) => joined(&items).ok_or_else(|| {
                    ConfigError(format!("{source}: {key} must be a list of texts"))
                })?,
                toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => {
                    return Err(ConfigError(format!("{source}: {key} has no such type")));
                }
            };
            self.put(&key, text, &source)?;
        }
        Ok(())
    }

    /// Takes the `SECKILL_…` variables.
    ///
    /// # Errors
    /// [`ConfigError`] where one has an unknown name.
    pub fn variables(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        for (name, text) in variables {
            let Some(key) = name.strip_prefix(PREFIX) else { continue };
            let other = OTHER_VARIABLES.contains(&name.as_str())
                || SERVICE_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
            if !other {
                self.put(&key.to_ascii_lowercase(), text, &name)?;
            }
        }
        Ok(())
    }

    /// Sets a flag, where it was given.
    ///
    /// # Panics
    /// When the key is not one: flags are our own.
    pub fn flag(&mut self, key: &str, value: Option<impl fmt::Display>) {
        if let Some(value) = value {
            let source = format!("--{}", key.replace('_', "-"));
            self.put(key, value.to_string(), &source).expect("a flag has a known key");
        }
    }

    fn put(&mut self, key: &str, text: String, source: &str) -> Result<(), ConfigError> {
        if !KEYS.contains(&key) {
            return Err(ConfigError(format!("{source}: there is no setting {key:?}")));
        }
        self.values.insert(key.to_owned(), Value { text, source: source.to_owned() });
        Ok(())
    }

    fn take<T: FromStr>(&mut self, key: &str, form: &str) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.values.remove(key) else { return Ok(None) };
        let parsed = value.text.trim().parse();
        parsed.map(Some).map_err(|_| {
            // The text of a secret is not repeated; no other setting is one.
            let text = &value.text;
            ConfigError(format!("{}: {key} must be {form}, not {text:?}", value.source))
        })
    }

    /// The configuration that the layers make.
    ///
    /// # Errors
    /// [`ConfigError`] for a value out of its bounds or a clash.
    pub fn finish(mut self) -> Result<Config, ConfigError> {
        let (secret, webhook_keys) = (self.secret()?, self.webhook_keys()?);
        let redis_url = self.redis_url(secret.is_some())?;
        let peers = self.peers(redis_url.is_some())?;
        let data: PathBuf = self.take("data", "a path")?.unwrap_or_else(|| "data".into());
        let store = self.store()?.unwrap_or_else(|| StorePlace::Sqlite(data.join("store.db")));
        let address = "an address and port, as 127.0.0.1:8080";
        let listen = self.take("listen", address)?.unwrap_or(LISTEN);
        let ops_listen = self.take("ops_listen", address)?.unwrap_or(OPS_LISTEN);
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let demo = self.take("demo", "true or false")?.unwrap_or(false);
        let provider = self.take("payment_provider", "sandbox")?;
        let config = Config {
            data,
            listen,
            ops_listen,
            cores: self.take("cores", "a number")?.unwrap_or_else(|| cores_for(cpus)),
            demo,
            gateway_id: self.take("gateway_id", "0 to 1023")?.unwrap_or(0),
            store,
            redis_url,
            peers,
            public_url: self.take("public_url", "an http or https address")?,
            trusted_proxies: self.addresses("trusted_proxies")?,
            connections_max: self.take("connections_max", "a number")?.unwrap_or(50_000),
            journal_bytes_max: self.take::<u64>("journal_max_mib", "a number")?.unwrap_or(8_192)
                << 20,
            drain_seconds: self.take("drain_seconds", "a number")?.unwrap_or(20),
            log: self.take("log", "a filter, as info")?.unwrap_or_else(|| "info".to_owned()),
            payment_provider: provider.or_else(|| demo.then_some(PaymentProvider::Sandbox)),
            secret,
            webhook_keys,
        };
        assert!(self.values.is_empty(), "every key is taken");
        config.check()
    }

    fn addresses(&mut self, key: &str) -> Result<Vec<IpAddr>, ConfigError> {
        let list: String = self.take(key, "a list of addresses")?.unwrap_or_default();
        let items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
        let parse = |item: &str| {
            item.parse().map_err(|_| ConfigError(format!("{key}: {item:?} is not an address")))
        };
        items.map(parse).collect()
    }

    fn secret(&mut self) -> Result<Option<Secret>, ConfigError> {
        let Some(Value { text, source }) = self.secret_text("secret")? else { return Ok(None) };
        if text.len() < SECRET_CHARACTERS_MIN {
            return Err(ConfigError(format!(
                "{source}: at least {SECRET_CHARACTERS_MIN} characters"
            )));
        }
        Ok(Some(Secret(Sha256::digest(text).into())))
    }

    fn webhook_keys(&mut self) -> Result<Option<WebhookKeys>, ConfigError> {
        let Some(Value { text, source }) = self.secret_text("payment_webhook_secret")? else {
            return Ok(None);
        };
        let keys = WebhookKeys::parse(&text);
        keys.map(Some).map_err(|form| ConfigError(format!("{source}: {form}")))
    }

    /// Gateways that share what they sell must agree on more than Redis.
    fn redis_url(&mut self, has_secret: bool) -> Result<Option<RedisUrl>, ConfigError> {
        let Some(Value { text, source }) = self.values.remove("redis_url") else { return Ok(None) };
        for (key, given) in [
            ("secret or secret_file", has_secret),
            ("gateway_id", self.values.contains_key("gateway_id")),
            ("store_url", self.values.contains_key("store_url")),
            ("peer_listen", self.values.contains_key("peer_listen")),
        ] {
            if !given {
                let text = format!("{source}: with redis_url, {key} must be given too");
                return Err(ConfigError(text));
            }
        }
        Ok(Some(RedisUrl(text.trim().to_owned())))
    }

    fn store(&mut self) -> Result<Option<StorePlace>, ConfigError> {
        let form = "sqlite:PATH, or sqlserver: and an ADO connection string";
        let Some(url) = self.take::<String>("store_url", form)? else { return Ok(None) };
        let unusable = || ConfigError(format!("store_url must be {form}"));
        StorePlace::of(&url).ok_or_else(unusable).map(Some)
    }

    /// How gateways that share what they sell reach this one; one that is alone is not reached.
    fn peers(&mut self, is_shared: bool) -> Result<Option<PeerOptions>, ConfigError> {
        let keys = ["peer_listen", "peer_url", "membership_lasts"];
        let given = keys.iter().find_map(|key| self.values.get(*key));
        if let Some(Value { source, .. }) = given.filter(|_| !is_shared) {
            let text = format!("{source}: there are no peers without redis_url");
            return Err(ConfigError(text));
        }
        let form = "an address and port, as 10.0.0.1:9091";
        let Some(listen) = self.take::<SocketAddr>("peer_listen", form)? else { return Ok(None) };
        let address = self.take("peer_url", "http://host:port")?.map(|PeerUrl(address)| address);
        let MembershipLasts(membership_s) = self
            .take("membership_lasts", "5 to 86400, in seconds")?
            .unwrap_or(MembershipLasts(None));
        if listen.ip().is_unspecified() && address.is_none() {
            let text = "peer_listen is every address: peer_url must say by which of them the \
                        other gateways reach it";
            return Err(ConfigError(text.to_owned()));
        }
        Ok(Some(PeerOptions { listen, address, membership_s }))
    }

    /// The text of a secret: given, or read from the file that is named.
    fn secret_text(&mut self, key: &str) -> Result<Option<Value>, ConfigError> {
        let file_key = format!("{key}_file");
        let value = match (self.values.remove(key), self.values.remove(&file_key)) {
            (Some(_), Some(_)) => {
                return Err(ConfigError(format!("give {key} or {file_key}, not both")));
            }
            (None, None) => return Ok(None),
            (Some(given), None) => given,
            (None, Some(file)) => {
                let text = std::fs::read_to_string(&file.text).map_err(|error| {
                    ConfigError(format!("{file_key} {} cannot be read: {error}", file.text))
                })?;
                Value { text, source: file.source }
            }
        };
        Ok(Some(Value { text: value.text.trim().to_owned(), source: value.source }))
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
        self.secret.clone().map_or_else(|| self.kept_secret(SECRET_NAME), Ok)
    }

    /// The keys of webhooks: given, or one made once and kept in the data directory (0600).
    ///
    /// # Errors
    /// What the operating system says of the file.
    pub fn webhook_keys(&self) -> io::Result<WebhookKeys> {
        let kept = || Ok(WebhookKeys::of(&self.kept_secret(WEBHOOK_SECRET_NAME)?.0));
        self.webhook_keys.clone().map_or_else(kept, Ok)
    }

    fn kept_secret(&self, name: &str) -> io::Result<Secret> {
        let path = self.data.join(name);
        match std::fs::read(&path) {
            Ok(bytes) => {
                let bytes = bytes.try_into().map_err(|_| {
                    let detail = format!("the file {name} is not 32 bytes");
                    io::Error::new(io::ErrorKind::InvalidData, detail)
                })?;
                Ok(Secret(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secret = Secret(crate::random_bytes()?);
                write_private(&path, &secret.0)?;
                Ok(secret)
            }
            Err(error) => Err(error),
        }
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

/// Writes a file that its owner alone may read, whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let making = path.with_extension("making");
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&making)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&making, path)
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

fn joined(items: &[toml::Value]) -> Option<String> {
    let texts: Option<Vec<_>> = items.iter().map(toml::Value::as_str).collect();
    Some(texts?.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, String> {
        let mut layers = Layers::default();
        let variables = variables.iter().map(|(name, text)| ((*name).into(), (*text).into()));
        layers.variables(variables).map_err(|error| error.to_string())?;
        flags.iter().for_each(|(key, text)| layers.flag(key, Some(text)));
        layers.finish().map_err(|error| error.to_string())
    }

    #[test]
    fn a_flag_is_stronger_than_a_variable() {
        let config = finish(&[("SECKILL_CORES", "3")], &[("cores", "2")]).unwrap();
        assert_eq!(config.cores, 2);
        assert_eq!(finish(&[("SECKILL_CORES", "3")], &[]).unwrap().cores, 3);
    }

    #[test]
    fn what_cannot_be_used_is_one_clear_line() {
        let secret = "s".repeat(32);
        let shared = shared();
        for (variables, says) in [
            (vec![("SECKILL_COARS", "3")], "there is no setting \"coars\""),
            (vec![("SECKILL_CORES", "many")], "cores must be a number"),
            (vec![("SECKILL_CORES", "0")], "cores must be 1 to 128"),
            (vec![("SECKILL_LISTEN", "here")], "listen must be an address"),
            (
                vec![("SECKILL_REDIS_URL", "redis://:s3cret@127.0.0.1")],
                "with redis_url, secret or secret_file must be given too",
            ),
            (
                vec![
                    ("SECKILL_REDIS_URL", "redis://127.0.0.1"),
                    ("SECKILL_SECRET", "0123456789abcdef0123456789abcdef"),
                    ("SECKILL_GATEWAY_ID", "3"),
                ],
                "with redis_url, store_url must be given too",
            ),
            (shared[..4].to_vec(), "with redis_url, peer_listen must be given too"),
            (vec![("SECKILL_PEER_LISTEN", "127.0.0.1:0")], "there are no peers without redis_url"),
            (vec![("SECKILL_MEMBERSHIP_LASTS", "60")], "there are no peers without redis_url"),
            (
                [&shared[..], &[("SECKILL_MEMBERSHIP_LASTS", "4")]].concat(),
                "membership_lasts must be 5 to 86400, in seconds",
            ),
            (
                [&shared[..4], &[("SECKILL_PEER_LISTEN", "0.0.0.0:9091")]].concat(),
                "peer_url must say by which of them",
            ),
            (
                [&shared[..], &[("SECKILL_PEER_URL", "https://gateway-1:9091")]].concat(),
                "peer_url must be http://host:port",
            ),
            (
                [&shared[..], &[("SECKILL_PEER_URL", "http://gateway-1")]].concat(),
                "peer_url must be http://host:port",
            ),
            (vec![("SECKILL_GATEWAY_ID", "1024")], "gateway_id must be 0 to 1023"),
            (vec![("SECKILL_STORE_URL", "mysql:x")], "store_url must be sqlite:PATH"),
            (
                vec![("SECKILL_STORE_URL", "sqlserver:")],
                "or sqlserver: and an ADO connection string",
            ),
            (vec![("SECKILL_PUBLIC_URL", "shop.example/x")], "public_url must be"),
            (vec![("SECKILL_SECRET", "short")], "at least 32 characters"),
            (vec![("SECKILL_SECRET", secret.as_str()), ("SECKILL_SECRET_FILE", "/x")], "not both"),
            (vec![("SECKILL_PAYMENT_PROVIDER", "bank")], "payment_provider must be sandbox"),
            (
                vec![("SECKILL_PAYMENT_WEBHOOK_SECRET", "whsec_short")],
                "SECKILL_PAYMENT_WEBHOOK_SECRET: must be one to four keys",
            ),
            (
                vec![("SECKILL_DEMO", "true"), ("SECKILL_LISTEN", "0.0.0.0:80")],
                "listens on loopback only",
            ),
        ] {
            let error = finish(&variables, &[]).unwrap_err();
            assert!(error.contains(says) && !error.contains('\n'), "{variables:?}: {error}");
            assert!(!error.contains("short"), "a secret is not repeated");
        }
    }

    /// What gateways that share what they sell are given at least.
    fn shared() -> [(&'static str, &'static str); 5] {
        [
            ("SECKILL_REDIS_URL", "redis://127.0.0.1"),
            ("SECKILL_SECRET", "0123456789abcdef0123456789abcdef"),
            ("SECKILL_GATEWAY_ID", "3"),
            ("SECKILL_STORE_URL", "sqlite:/store.db"),
            ("SECKILL_PEER_LISTEN", "127.0.0.1:0"),
        ]
    }

    #[test]
    fn peers_are_found_at_the_listener_or_where_the_url_says() {
        let address = |more: &[_]| {
            finish(&[&shared()[..], more].concat(), &[]).unwrap().peers.unwrap().address
        };
        assert_eq!(address(&[]), None);
        for (url, expected) in
            [("http://gateway-3:9091", "gateway-3:9091"), ("http://[::1]:9", "[::1]:9")]
        {
            assert_eq!(address(&[("SECKILL_PEER_URL", url)]).as_deref(), Some(expected));
        }
        assert!(finish(&[], &[]).unwrap().peers.is_none());
    }

    #[test]
    fn variables_of_others_are_left_alone() {
        let others =
            [("PATH", "/bin"), ("SECKILL_SERVICE_HOST", "10.0.0.1"), ("SECKILL_PORT", "x")];
        assert!(finish(&others, &[]).is_ok());
    }

    #[test]
    fn a_file_may_not_have_an_unknown_key() {
        let path = std::env::temp_dir().join(format!("seckill-config-{}", std::process::id()));
        std::fs::write(&path, "cores = 2\ntrusted_proxies = [\"127.0.0.1\"]\n").unwrap();
        let mut layers = Layers::default();
        layers.file(&path).unwrap();
        let config = layers.finish().unwrap();
        assert_eq!((config.cores, config.trusted_proxies.len()), (2, 1));
        std::fs::write(&path, "coars = 2\n").unwrap();
        assert!(Layers::default().file(&path).is_err());
        std::fs::remove_file(&path).unwrap();
    }
}
