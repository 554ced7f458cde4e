//! Where Redis is: one server, the master that Sentinels name, or a cluster.
//!
//! Nothing is tried again here: a message is answered or lost within a bounded time. It must not
//! know what is asked.

use std::{fmt, io};

use futures_util::future::join_all;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::{ClusterClient, ClusterConfig};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
use redis::io::tcp::TcpSettings;
use redis::sentinel::{Sentinel, SentinelNodeConnectionInfo};
use redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, RedisResult, TlsMode, Value, from_redis_value, pipe,
};
use tokio::sync::Mutex;

use super::limits::{ANSWER_MAX, CONNECT_MAX, SENTINELS_MAX, SILENCE_MAX};

/// Where a message met another node than its key's, the client asks again, so many times.
const REDIRECTIONS_MAX: u32 = 2;

/// The answers to commands that were sent together, in their order.
type Replies = RedisResult<Vec<RedisResult<Value>>>;

/// Where Redis is, by its URL.
pub(super) enum Topology {
    Server(Box<Client>),
    Sentinels(Box<Sentinels>),
    Cluster(Box<ClusterClient>),
}

/// Who knows where the master of a service is at this moment.
pub(super) struct Sentinels {
    ask: Mutex<Sentinel>,
    service: String,
    master: SentinelNodeConnectionInfo,
}

/// A connection, or those to a cluster's nodes; copies share them.
#[derive(Clone)]
pub(super) enum Channel {
    Server(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Topology {
    /// Of `redis://`, `redis+unix://`, and of several addresses
    /// `redis-sentinel://host:port,host:port#service` and `redis-cluster://host:port,host:port`;
    /// with TLS `rediss…`. User and password are those of the servers with the data.
    pub(super) fn of(url: &str) -> RedisResult<Self> {
        match url.split_once("://") {
            Some(("redis-sentinel", rest)) => Self::sentinels("redis", rest),
            Some(("rediss-sentinel", rest)) => Self::sentinels("rediss", rest),
            Some(("redis-cluster", rest)) => Self::cluster("redis", rest),
            Some(("rediss-cluster", rest)) => Self::cluster("rediss", rest),
            _ => {
                let info = url.into_connection_info()?.set_tcp_settings(tcp_settings());
                Client::open(info).map(Box::new).map(Self::Server)
            }
        }
    }

    fn sentinels(scheme: &str, rest: &str) -> RedisResult<Self> {
        let Some((rest, service)) = rest.split_once('#').filter(|(_, name)| !name.is_empty())
        else {
            return Err(malformed("a master's name must stand behind #"));
        };
        let hosts = hosts(scheme, rest)?;
        let first = hosts.first().ok_or_else(|| malformed("no Sentinel is named"))?;
        let master = SentinelNodeConnectionInfo::default()
            .set_redis_connection_info(first.redis_settings().clone())
            .set_tcp_settings(tcp_settings());
        let master = match first.addr() {
            ConnectionAddr::TcpTls { .. } => master.set_tls_mode(TlsMode::Secure),
            _ => master,
        };
        let nameless = |it: ConnectionInfo| it.set_redis_settings(RedisConnectionInfo::default());
        let ask = Sentinel::build(hosts.into_iter().map(nameless).collect())?;
        let sentinels = Sentinels { ask: ask.into(), service: service.to_owned(), master };
        Ok(Self::Sentinels(sentinels.into()))
    }

    fn cluster(scheme: &str, rest: &str) -> RedisResult<Self> {
        // The bound of a whole call, however often it is sent on, is taken from here alone; that of
        // each answer from where a connection is made.
        ClusterClient::builder(hosts(scheme, rest)?)
            .response_timeout(ANSWER_MAX)
            .retries(REDIRECTIONS_MAX)
            .tcp_settings(tcp_settings())
            .build()
            .map(Box::new)
            .map(Self::Cluster)
    }

    /// Whether others say where the server is, and may say another one by now.
    pub(super) fn is_named_by_others(&self) -> bool {
        matches!(self, Self::Sentinels(_))
    }

    pub(super) async fn connect(&self) -> RedisResult<Channel> {
        match self {
            Self::Server(client) => manager(client),
            Self::Sentinels(sentinels) => {
                let found = tokio::time::timeout(SENTINELS_MAX, sentinels.master());
                manager(&found.await.map_err(|_| late())??)
            }
            Self::Cluster(client) => {
                let config = ClusterConfig::new()
                    .set_connection_timeout(CONNECT_MAX)
                    .set_response_timeout(ANSWER_MAX);
                let connection = Box::pin(client.get_async_connection_with_config(config)).await?;
                Ok(Channel::Cluster(connection))
            }
        }
    }
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without addresses, beside which passwords may stand.
        f.write_str(match self {
            Self::Server(_) => "Server",
            Self::Sentinels(_) => "Sentinels",
            Self::Cluster(_) => "Cluster",
        })
    }
}

impl Channel {
    /// Commands that are sent together, each to the node that has its key.
    pub(super) async fn send(&mut self, commands: &[Cmd]) -> Replies {
        match self {
            Self::Server(server) => {
                let mut pipeline = pipe();
                for command in commands {
                    pipeline.add_command(command.clone());
                }
                pipeline.ignore_errors().query_async(server).await
            }
            Self::Cluster(cluster) => {
                let ask = |command| {
                    let mut cluster = cluster.clone();
                    async move { Cmd::query_async(command, &mut cluster).await }
                };
                together(join_all(commands.iter().map(ask)).await)
            }
        }
    }

    /// What each server that has data answers to a command.
    pub(super) async fn everywhere(&mut self, command: &Cmd) -> RedisResult<Vec<Value>> {
        match self {
            Self::Server(server) => Ok(vec![command.query_async(server).await?]),
            Self::Cluster(cluster) => {
                let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                let answers = cluster.route_command(command.clone(), all).await?;
                let by_node: Vec<(Value, Value)> = from_redis_value(answers)?;
                Ok(by_node.into_iter().map(|(_, answer)| answer).collect())
            }
        }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server(_) => "Server",
            Self::Cluster(_) => "Cluster",
        })
    }
}

/// Where no node was reached, the round failed as a whole.
fn together(replies: Vec<RedisResult<Value>>) -> Replies {
    let is_lost = |reply: &RedisResult<_>| reply.as_ref().is_err_and(RedisError::is_io_error);
    if !replies.is_empty() && replies.iter().all(is_lost) {
        let mut lost = replies.into_iter().filter_map(Result::err);
        return Err(lost.next().expect("all are lost"));
    }
    Ok(replies)
}

impl Sentinels {
    async fn master(&self) -> RedisResult<Client> {
        self.ask.lock().await.async_master_for(&self.service, Some(&self.master)).await
    }
}

/// The addresses of `[user:password@]host:port,host:port[/database]`.
fn hosts(scheme: &str, rest: &str) -> RedisResult<Vec<ConnectionInfo>> {
    let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(user, rest)| (user, rest));
    let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
    let at = if user.is_empty() { "" } else { "@" };
    let url = |host| format!("{scheme}://{user}{at}{host}/{database}");
    let read = |host| Ok(url(host).into_connection_info()?.set_tcp_settings(tcp_settings()));
    hosts.split(',').map(read).collect()
}

fn tcp_settings() -> TcpSettings {
    TcpSettings::default().set_nodelay(true).set_user_timeout(SILENCE_MAX)
}

fn late() -> RedisError {
    io::Error::from(io::ErrorKind::TimedOut).into()
}

fn malformed(why: &'static str) -> RedisError {
    (ErrorKind::InvalidClientConfig, why).into()
}

/// A connection to one server that is made when it is first used.
fn manager(client: &Client) -> RedisResult<Channel> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(CONNECT_MAX))
        .set_response_timeout(Some(ANSWER_MAX))
        .set_number_of_retries(0);
    ConnectionManager::new_lazy_with_config(client.clone(), config).map(Channel::Server)
}
