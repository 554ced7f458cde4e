//! What gateways that share their sales are told: the store, Redis, and how they reach each other.
//!
//! It must not know other settings, but that some are needed too.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use super::layers::{Layers, Value};
use super::{ConfigError, is_origin};

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

impl Layers {
    /// Gateways that share what they sell must agree on more than Redis.
    pub(super) fn redis_url(&mut self, has_secret: bool) -> Result<Option<RedisUrl>, ConfigError> {
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

    pub(super) fn store(&mut self) -> Result<Option<StorePlace>, ConfigError> {
        let form = "sqlite:PATH, or sqlserver: and an ADO connection string";
        let Some(url) = self.take::<String>("store_url", form)? else { return Ok(None) };
        let unusable = || ConfigError(format!("store_url must be {form}"));
        StorePlace::of(&url).ok_or_else(unusable).map(Some)
    }

    /// How gateways that share what they sell reach this one; one that is alone is not reached.
    pub(super) fn peers(&mut self, is_shared: bool) -> Result<Option<PeerOptions>, ConfigError> {
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
}
