//! The way to one Redis: a connection that is made anew where it leads nowhere.
//!
//! It knows that functions must be there; it must not know what is said.

use std::fmt::Debug;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{Client, Cmd, IntoConnectionInfo, RedisError, RedisResult, Value, pipe};

use super::limits::{ANSWER_MAX, CONNECT_MAX, SILENCE_MAX};
use super::{Fault, library};

/// What each of some messages was answered, where all of them may have been heard.
pub(super) type Replies = Result<Vec<RedisResult<Value>>, Fault>;

/// How messages get to a Redis, and what becomes of them on the way.
#[async_trait]
pub(super) trait Wire: Debug + Send + Sync {
    /// Sees to it that Redis can be reached, and has the functions.
    async fn ready(&self) -> Result<(), Fault>;

    /// Sends messages together, and waits for all answers.
    async fn send(&self, messages: &[Cmd]) -> Replies;
}

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Connection {
    client: Client,
    manager: ArcSwap<ConnectionManager>,
    /// The text of the functions.
    library: &'static str,
}

impl Connection {
    pub(super) fn open(url: &str, library: &'static str) -> Result<Self, Fault> {
        let tcp = TcpSettings::default().set_nodelay(true).set_user_timeout(SILENCE_MAX);
        let info = url.into_connection_info()?.set_tcp_settings(tcp);
        let client = Client::open(info)?;
        let manager = ArcSwap::from_pointee(manager(&client)?);
        Ok(Self { client, manager, library })
    }

    /// The manager connects anew after what it takes for a fault of the connection; a server that
    /// refused to be connected to (no room, a changed password), that does not answer, or that is no
    /// master any more it would ask for ever, though the address leads to another one by now.
    fn renew(&self, error: &RedisError) -> Result<(), Fault> {
        if error.is_timeout() || !error.is_io_error() {
            self.manager.store(manager(&self.client)?.into());
        }
        Ok(())
    }
}

#[async_trait]
impl Wire for Connection {
    async fn ready(&self) -> Result<(), Fault> {
        let mut manager = ConnectionManager::clone(&self.manager.load());
        let loaded = library::ensure(&mut manager, self.library).await;
        if let Err(Fault::Redis(error)) = &loaded {
            self.renew(error)?;
        }
        loaded
    }

    async fn send(&self, messages: &[Cmd]) -> Replies {
        let mut pipeline = pipe();
        for message in messages {
            pipeline.add_command(message.clone());
        }
        let mut manager = ConnectionManager::clone(&self.manager.load());
        let sent: RedisResult<Vec<RedisResult<Value>>> =
            pipeline.ignore_errors().query_async(&mut manager).await;
        if let Err(error) = &sent {
            self.renew(error)?;
        }
        let sent = sent?;
        let mut refused = sent.iter().filter_map(|reply| reply.as_ref().err());
        if let Some(error) = refused.find(|error| library::is_no_master(error)) {
            self.renew(error)?;
        }
        Ok(sent)
    }
}

/// A connection that is made when it is first used. It does not try again by itself: a message is
/// answered or lost within a bounded time, and the next one tries.
fn manager(client: &Client) -> Result<ConnectionManager, Fault> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(CONNECT_MAX))
        .set_response_timeout(Some(ANSWER_MAX))
        .set_number_of_retries(0);
    Ok(ConnectionManager::new_lazy_with_config(client.clone(), config)?)
}
