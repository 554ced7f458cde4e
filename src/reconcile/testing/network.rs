//! The network between gateways and Redis: it carries what was sent when it is told to, and not, or
//! twice, or without the answer.
//!
//! It must not know what the messages say.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use redis::{Arg, Cmd, ErrorKind, RedisError, Value};
use tokio::sync::oneshot;

use super::machines::Machines;
use super::redis::Reply;
use crate::reconcile::Leases;
use crate::reconcile::connection::{Replies, Wire};
use crate::reconcile::error::Fault;

/// Messages of which late copies may come; of more, the oldest are forgotten.
const COPIES_MAX: usize = 60;

/// What becomes of what was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// It arrives, and is answered.
    Whole,
    /// It does not arrive.
    Lost,
    /// It arrives, and the answer does not.
    Unanswered,
    /// Its first message arrives alone.
    Torn,
}

/// Messages on their way to Redis, and copies of those that were.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) machines: Machines,
    under_way: Vec<Sent>,
    copies: Vec<Vec<String>>,
}

/// What a gateway sent together; nothing where it only looks whether Redis is there.
#[derive(Debug)]
struct Sent {
    from: u16,
    messages: Vec<Vec<String>>,
    answer: oneshot::Sender<Replies>,
}

/// A gateway's end.
#[derive(Debug)]
struct SimulatedWire {
    from: u16,
    network: Arc<Mutex<Network>>,
}

impl Network {
    pub(crate) fn new(machines: Machines) -> Arc<Mutex<Self>> {
        let (under_way, copies) = (Vec::new(), Vec::new());
        Arc::new(Mutex::new(Self { machines, under_way, copies }))
    }

    /// A gateway's way to Redis.
    pub(crate) fn leases(network: &Arc<Mutex<Self>>, from: u16) -> Leases {
        Leases::over(SimulatedWire { from, network: Arc::clone(network) })
    }

    /// Who has sent what is under way, the oldest first.
    pub(crate) fn senders(&self) -> Vec<u16> {
        self.under_way.iter().map(|it| it.from).collect()
    }

    /// What is at a place.
    pub(crate) fn messages(&self, at: usize) -> &[Vec<String>] {
        &self.under_way[at].messages
    }

    /// The messages that are under way.
    pub(crate) fn under_way(&self) -> impl Iterator<Item = &[String]> {
        self.under_way.iter().flat_map(|it| &it.messages).map(Vec::as_slice)
    }

    /// Carries what is at a place to the master, or to the other. It tells what was said.
    pub(crate) fn carry(&mut self, at: usize, way: Way, strays: bool) -> String {
        let Sent { from, messages, answer } = self.under_way.remove(at);
        let redis = if strays { self.machines.other() } else { self.machines.master() };
        let arrived = match way {
            Way::Lost => 0,
            Way::Torn => 1.min(messages.len()),
            Way::Whole | Way::Unanswered => messages.len(),
        };
        let replies: Vec<Reply> = messages[..arrived].iter().map(|it| redis.call(it)).collect();
        let told = format!("{from} says {messages:?}, {way:?}, strays: {strays}: {replies:?}");
        // A question that comes again changes nothing.
        self.copies.extend(messages.into_iter().filter(|it| !it[1].ends_with("status")));
        let old = self.copies.len().saturating_sub(COPIES_MAX);
        self.copies.drain(..old);
        // Whoever waited may be gone.
        drop(answer.send(match way {
            Way::Whole => Ok(replies.into_iter().map(value).collect()),
            Way::Lost | Way::Unanswered | Way::Torn => Err(lost().into()),
        }));
        told
    }

    /// The first copy that is like this.
    pub(crate) fn find(&self, is_it: impl Fn(&[String]) -> bool) -> Option<usize> {
        self.copies.iter().position(|it| is_it(it))
    }

    /// How many messages may come again.
    pub(crate) fn copies(&self) -> usize {
        self.copies.len()
    }

    /// A message comes again; nobody waits for an answer.
    pub(crate) fn repeat(&mut self, copy: usize, strays: bool) -> String {
        let message = self.copies[copy].clone();
        let redis = if strays { self.machines.other() } else { self.machines.master() };
        let reply = redis.call(&message);
        format!("again {message:?}, strays: {strays}: {reply:?}")
    }
}

/// The words of a command.
pub(crate) fn words(command: &Cmd) -> Vec<String> {
    let text = |arg: Arg<&[u8]>| match arg {
        Arg::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => unreachable!("no command here has a cursor"),
    };
    command.args_iter().map(text).collect()
}

fn value(reply: Reply) -> Result<Value, RedisError> {
    let bulk = |word: String| Value::BulkString(word.into_bytes());
    let refused = |text| (ErrorKind::Extension, "the functions say", text).into();
    reply.map(|words| Value::Array(words.into_iter().map(bulk).collect())).map_err(refused)
}

fn lost() -> RedisError {
    (ErrorKind::Io, "nothing was heard").into()
}

impl SimulatedWire {
    async fn say(&self, mut messages: Vec<Vec<String>>) -> Replies {
        // The one word that no seed decides: it tells two callers' eras apart, which differ here anyway.
        for begin in messages.iter_mut().filter(|it| it[1].ends_with("begin")) {
            *begin.last_mut().expect("it has words") = "0".to_owned();
        }
        let (answer, answered) = oneshot::channel();
        let sent = Sent { from: self.from, messages, answer };
        self.network.lock().expect("nobody panics under this lock").under_way.push(sent);
        answered.await.unwrap_or_else(|_| Err(lost().into()))
    }
}

#[async_trait]
impl Wire for SimulatedWire {
    async fn ready(&self) -> Result<(), Fault> {
        self.say(Vec::new()).await.map(drop)
    }

    async fn send(&self, messages: &[Cmd]) -> Replies {
        self.say(messages.iter().map(words).collect()).await
    }
}
