//! The way to Redis: a connection that is made anew where it leads nowhere.
//!
//! It knows that functions must be there; it must not know what is said.

use std::fmt::Debug;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use redis::{Cmd, RedisError, RedisResult, Value};

use super::topology::{Channel, Topology};
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

/// A connection to wherever Redis is.
#[derive(Debug)]
pub(super) struct Connection {
    topology: Topology,
    /// None: it has not been made yet, or was given up.
    channel: ArcSwapOption<Channel>,
    /// The text of the functions.
    library: &'static str,
}

impl Connection {
    pub(super) fn open(url: &str, library: &'static str) -> Result<Self, Fault> {
        let topology = Topology::of(url)?;
        Ok(Self { topology, channel: ArcSwapOption::empty(), library })
    }

    async fn channel(&self) -> Result<Channel, Fault> {
        if let Some(channel) = self.channel.load_full() {
            return Ok(Channel::clone(&channel));
        }
        let channel = self.topology.connect().await?;
        self.channel.store(Some(channel.clone().into()));
        Ok(channel)
    }

    /// A channel is made anew by itself after what it takes for a fault of its own; a server that
    /// refused to be connected to (no room, a changed password), that does not answer, or that is no
    /// master any more it would ask for ever, though the address leads to another one by now.
    fn noticed(&self, error: &RedisError) {
        if error.is_timeout() || !error.is_io_error() || self.topology.is_named_by_others() {
            self.channel.store(None);
        }
    }
}

#[async_trait]
impl Wire for Connection {
    async fn ready(&self) -> Result<(), Fault> {
        let mut channel = self.channel().await?;
        let loaded = library::ensure(&mut channel, self.library).await;
        if let Err(Fault::Redis(error)) = &loaded {
            self.noticed(error);
        }
        loaded
    }

    async fn send(&self, messages: &[Cmd]) -> Replies {
        let mut channel = self.channel().await?;
        let sent = channel.send(messages).await.inspect_err(|error| self.noticed(error))?;
        let mut refused = sent.iter().filter_map(|reply| reply.as_ref().err());
        if let Some(error) = refused.find(|error| library::is_no_master(error)) {
            self.noticed(error);
        }
        Ok(sent)
    }
}
