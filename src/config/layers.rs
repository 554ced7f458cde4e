//! Settings by key, from wherever they are given; a later layer replaces an earlier one.
//!
//! It must not know what the gateway does by them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::{Config, ConfigError, PaymentProvider, Secret, StorePlace, cores_for};
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

/// Where a value comes from, for the message that refuses it.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) source: String,
}

/// Settings by key; a later layer replaces an earlier one.
#[derive(Debug, Default)]
pub struct Layers {
    pub(super) values: BTreeMap<String, Value>,
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

    pub(super) fn take<T: FromStr>(
        &mut self,
        key: &str,
        form: &str,
    ) -> Result<Option<T>, ConfigError> {
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
