//! The gateway's side of the lease functions: many activities' messages at once, in parts where one
//! message cannot carry them.
//!
//! Every message may be sent again as it is: the functions tell a doubled one from a new one. It
//! must not know how messages travel, nor what a gateway does with an answer.

use redis::{Cmd, RedisResult, Value, from_redis_value};
use seckill_shards::ids::ActivityId;

use super::connection::{Connection, Replies, Wire};
use super::limits::{MESSAGES_PER_ROUND_MAX, ORDERS_PER_MESSAGE_MAX};
use super::messages::{self, Words, answer};
use super::{
    Answer, Declaration, Era, Fault, LeaseReply, LeaseRequest, Resumed, Roll, Status, library,
};

/// The answers to messages that were sent together, in their order.
pub type Round<T> = Result<Vec<Result<Answer<T>, Fault>>, Fault>;

/// A Redis that lends units.
#[derive(Debug)]
pub struct Leases {
    wire: Box<dyn Wire>,
}

impl Leases {
    /// A Redis by its URL: `redis://host:port`, `redis+unix://path`, the master that Sentinels name
    /// (`redis-sentinel://host:port,host:port#service`), or a cluster
    /// (`redis-cluster://host:port,host:port`); with TLS `rediss` in place of `redis`. To be opened
    /// inside the runtime that it will be asked from. Nothing is sent yet, so it may be away.
    ///
    /// # Errors
    /// Where this is no such URL.
    pub fn open(url: &str) -> Result<Self, Fault> {
        Self::open_with(url, library::TEXT)
    }

    pub(super) fn open_with(url: &str, library: &'static str) -> Result<Self, Fault> {
        Ok(Self::over(Connection::open(url, library)?))
    }

    pub(super) fn over(wire: impl Wire + 'static) -> Self {
        Self { wire: Box::new(wire) }
    }

    /// Connects, and loads the functions where they are missing. To be called before the first
    /// message and after every fault.
    ///
    /// # Errors
    /// [`Fault::Newer`], [`Fault::Altered`] and [`Fault::Hidden`] where this gateway must not go
    /// on with this Redis.
    pub async fn ready(&self) -> Result<(), Fault> {
        self.wire.ready().await?;
        // Any question will do: each function looks for the incarnation first.
        let told = self.send(&[messages::status(ActivityId(0))]).await?;
        told.into_iter().try_for_each(|reply| reply.map(drop))?;
        Ok(())
    }

    /// What Redis remembers of some activities.
    ///
    /// # Errors
    /// Where the round failed as a whole.
    pub async fn status(&self, activities: &[ActivityId]) -> Round<Status> {
        let asked = activities.iter().map(|&activity| messages::status(activity));
        self.round(asked.collect(), |_, words| words.read_status()).await
    }

    /// The same for whoever must change nothing: functions that are missing are not loaded, and each
    /// question that has met none fails.
    ///
    /// # Errors
    /// Where the round failed as a whole.
    pub async fn peek(&self, activities: &[ActivityId]) -> Round<Status> {
        let mut replies = Vec::with_capacity(activities.len());
        for some in activities.chunks(MESSAGES_PER_ROUND_MAX) {
            let asked: Vec<_> = some.iter().map(|&activity| messages::status(activity)).collect();
            replies.extend(self.send(&asked).await?);
        }
        Ok(read(replies, |_, words| words.read_status()))
    }

    /// Begins an era of a generation in the place of the one that was seen. `random` makes two
    /// callers' eras different.
    ///
    /// # Errors
    /// It may or may not have begun: [`status`](Self::status) tells.
    pub async fn begin(
        &self,
        activity: ActivityId,
        seen: Option<Era>,
        generation: u64,
        random: u64,
    ) -> Result<Answer<Era>, Fault> {
        let begin = messages::begin(activity, seen, generation, random);
        self.one(begin, |words| words.read_era()).await
    }

    /// Says what a holder has; in parts, where it has many places.
    ///
    /// # Errors
    /// It may or may not be declared: it may be said again.
    pub async fn declare(
        &self,
        activity: ActivityId,
        declaration: &Declaration,
    ) -> Result<Answer<()>, Fault> {
        let mut rest = declaration.places.as_slice();
        let mut parts = 0;
        while let Some((part, behind)) = rest.split_at_checked(ORDERS_PER_MESSAGE_MAX)
            && !behind.is_empty()
        {
            let message = messages::part(activity, declaration, parts, part);
            if let Err(refusal) = self.one(message, |_| Some(())).await? {
                return Ok(Err(refusal));
            }
            (rest, parts) = (behind, parts + 1);
        }
        self.one(messages::declare(activity, declaration, parts, rest), |_| Some(())).await
    }

    /// Lending begins again, where all members have declared.
    ///
    /// # Errors
    /// It may or may not have begun: it may be asked again.
    pub async fn resume(
        &self,
        activity: ActivityId,
        roll: &Roll,
    ) -> Result<Answer<Resumed>, Fault> {
        self.one(messages::resume(activity, roll), |words| words.read_resumed()).await
    }

    /// One request for each of some activities, in as few round trips as there can be.
    ///
    /// # Errors
    /// Where the round failed as a whole: each request may or may not have been done.
    pub async fn lease(&self, requests: &[(ActivityId, LeaseRequest)]) -> Round<LeaseReply> {
        let asked = requests.iter().map(|(activity, request)| messages::lease(*activity, request));
        self.round(asked.collect(), |index, words| words.read_lease(requests[index].1.era)).await
    }

    /// Drops what Redis knows of an activity that nobody sells any more.
    ///
    /// # Errors
    /// It may or may not be dropped.
    pub async fn forget(&self, activity: ActivityId) -> Result<(), Fault> {
        let dropped = self.send(&[messages::forget(activity)]).await?;
        dropped.into_iter().try_for_each(|reply| reply.map(drop))?;
        Ok(())
    }

    pub(super) async fn one<T>(
        &self,
        message: Cmd,
        rest: impl Fn(&mut Words<'_>) -> Option<T>,
    ) -> Result<Answer<T>, Fault> {
        let round = self.round(vec![message], |_, words| rest(words)).await?;
        round.into_iter().next().expect("a message has an answer")
    }

    async fn round<T>(
        &self,
        messages: Vec<Cmd>,
        rest: impl Fn(usize, &mut Words<'_>) -> Option<T>,
    ) -> Round<T> {
        let mut replies = Vec::with_capacity(messages.len());
        for some in messages.chunks(MESSAGES_PER_ROUND_MAX) {
            let mut sent = self.send(some).await?;
            // Redis was started without its functions: a message that met none did nothing.
            if sent.iter().any(|reply| reply.as_ref().is_err_and(library::is_missing)) {
                self.ready().await?;
                sent = self.send(some).await?;
            }
            replies.extend(sent);
        }
        Ok(read(replies, rest))
    }

    async fn send(&self, messages: &[Cmd]) -> Replies {
        self.wire.send(messages).await
    }
}

/// The answers in their order, with what each says behind its first word.
fn read<T>(
    replies: Vec<RedisResult<Value>>,
    rest: impl Fn(usize, &mut Words<'_>) -> Option<T>,
) -> Vec<Result<Answer<T>, Fault>> {
    let read = |(index, reply): (usize, RedisResult<Value>)| {
        answer(from_redis_value(reply?)?, |words| rest(index, words))
    };
    replies.into_iter().enumerate().map(read).collect()
}
