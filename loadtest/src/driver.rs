//! An open-loop load: requests leave when the schedule says so, whatever has been answered.
//!
//! Each connection is written to by one thread and read by another, so a gateway that is slow, or
//! dead, does not slow the arrivals down. It must not know whether an answer is right.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Connection, Request, Response};
use crate::order::Order;
use crate::patience::{now, sleep_until};
use crate::provider::{delivery, succeeded};
use crate::random::Random;
use crate::shop;

/// A load on one activity.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// Which activity.
    pub activity: &'a str,
    /// The buyers' tokens.
    pub tokens: &'a [String],
    /// Requests in all.
    pub arrivals: usize,
    /// Requests in a second.
    pub rate: u32,
    /// Connections that they are spread over, in turn.
    pub connections: usize,
    /// Units of an order, at most.
    pub quantity_max: u32,
    /// How many requests of a hundred are an earlier buy sent again with its key.
    pub repeats_percent: usize,
    /// How many of a hundred cancel an order that was accepted on the same connection.
    pub cancels_percent: usize,
    /// Of the choices.
    pub seed: u64,
}

/// What was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// To buy.
    Buy {
        /// The idempotency key.
        key: String,
        /// Units.
        quantity: u32,
    },
    /// To give an order up.
    Cancel {
        /// The order's id.
        order: String,
    },
    /// To take the provider's word that money has come for an order.
    Pay {
        /// The order's id.
        order: String,
        /// The payment's id.
        payment: String,
        /// How much.
        amount: i64,
    },
}

/// What came back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// What the problem's type says behind `urn:seckill:`; none for what is no problem.
    pub slug: Option<String>,
    /// The order that a 202 shows.
    pub order: Option<Order>,
    /// Whether it carries the id of its request: answers of one connection come in its order.
    pub is_in_order: bool,
}

impl Answer {
    /// What a response to the request of this id says.
    #[must_use]
    pub fn of(response: &Response, request_id: &str) -> Self {
        let json: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let slug = json["type"].as_str().and_then(|slug| slug.strip_prefix("urn:seckill:"));
        let order = (response.status == 202).then(|| Order::of(&json));
        let is_in_order = response.header("x-request-id") == Some(request_id);
        Self { status: response.status, slug: slug.map(str::to_owned), order, is_in_order }
    }
}

/// A request that was sent, or at least begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// The index of the buyer's token.
    pub buyer: usize,
    /// What was asked.
    pub ask: Ask,
    /// What came back, or nothing.
    pub answer: Option<Answer>,
}

/// Sends a load and reads what comes back until everything is answered or the connections are
/// gone; `answered` counts along.
#[must_use]
pub fn drive(address: SocketAddr, load: &Load<'_>, answered: &AtomicUsize) -> Vec<Sent> {
    let begin = now();
    let buys = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let connections: Vec<_> = (0..load.connections)
            .map(|index| {
                let lane = Lane { load, index, begin, buys: &buys };
                scope.spawn(move || lane.run(address, answered))
            })
            .collect();
        let sent = connections.into_iter().map(|lane| lane.join().expect("a lane does not panic"));
        sent.flatten().collect()
    })
}

/// One connection's part of a load.
struct Lane<'a> {
    load: &'a Load<'a>,
    index: usize,
    begin: Instant,
    /// Every buy of the load so far: a repeat may take another connection than the first.
    buys: &'a Mutex<Vec<(usize, Ask)>>,
}

impl Lane<'_> {
    fn run(&self, address: SocketAddr, answered: &AtomicUsize) -> Vec<Sent> {
        let Ok((connection, writer)) = Connection::open(address)
            .and_then(|connection| connection.writer().map(|writer| (connection, writer)))
        else {
            return Vec::new();
        };
        let accepted = &Mutex::new(Vec::new());
        let (asked, to_read) = channel();
        thread::scope(|scope| {
            let reader = scope.spawn(move || read(connection, &to_read, accepted, answered));
            self.write(writer, asked, accepted);
            reader.join().expect("a reader does not panic")
        })
    }

    /// Writes until the schedule, or the connection, ends.
    fn write(
        &self,
        mut writer: TcpStream,
        asked: Sender<(usize, Ask, String)>,
        accepted: &Mutex<Vec<(usize, String)>>,
    ) {
        let seed = self.load.seed.wrapping_add(u64::try_from(self.index).expect("a small number"));
        let mut random = Random::new(seed);
        let gap = Duration::from_secs(1) / self.load.rate;
        for arrival in (self.index..self.load.arrivals).step_by(self.load.connections) {
            let after = gap * u32::try_from(arrival).expect("a load is bounded");
            sleep_until(self.begin + after);
            let (buyer, ask) = self.choose(arrival, &mut random, accepted);
            let request_id = format!("{:x}-{arrival}", self.load.seed);
            let request = request(self.load.activity, &ask, &request_id);
            let request = request.token(&self.load.tokens[buyer]);
            // What is begun may arrive, so it counts as sent before it is.
            let gone = asked.send((buyer, ask, request_id)).is_err();
            if gone || writer.write_all(&request.bytes()).is_err() {
                return;
            }
        }
    }

    fn choose(
        &self,
        arrival: usize,
        random: &mut Random,
        accepted: &Mutex<Vec<(usize, String)>>,
    ) -> (usize, Ask) {
        if random.percent(self.load.cancels_percent)
            && let Some((buyer, order)) = lock(accepted).pop()
        {
            return (buyer, Ask::Cancel { order });
        }
        let mut buys = lock(self.buys);
        if !buys.is_empty() && random.percent(self.load.repeats_percent) {
            return random.one_of(&buys).clone();
        }
        let buyer = random.below(self.load.tokens.len());
        let units = usize::try_from(self.load.quantity_max).expect("a small number");
        let quantity = 1 + u32::try_from(random.below(units)).expect("below a u32");
        let key = format!("{:x}-{arrival}", self.load.seed);
        let buy = (buyer, Ask::Buy { key, quantity });
        buys.push(buy.clone());
        buy
    }
}

/// The request that asks.
#[must_use]
pub fn request(activity: &str, ask: &Ask, request_id: &str) -> Request {
    let request = match ask {
        Ask::Buy { key, quantity } => shop::buy(activity, key, *quantity),
        Ask::Cancel { order } => Request::new("DELETE", &format!("/api/v1/orders/{order}")),
        Ask::Pay { payment, amount, .. } => delivery(succeeded(payment, *amount), 0),
    };
    request.header("x-request-id", request_id)
}

/// Reads one answer for each request, in order, until the connection breaks.
fn read(
    mut connection: Connection,
    asked: &Receiver<(usize, Ask, String)>,
    accepted: &Mutex<Vec<(usize, String)>>,
    answered: &AtomicUsize,
) -> Vec<Sent> {
    let mut sent = Vec::new();
    let mut is_broken = false;
    for (buyer, ask, request_id) in asked {
        let response = if is_broken { None } else { connection.receive(true).ok() };
        is_broken = response.is_none();
        let answer = response.map(|response| Answer::of(&response, &request_id));
        if let Some(answer) = &answer {
            // Only a count: whoever watches it needs nothing else of this thread.
            answered.fetch_add(1, Ordering::Relaxed);
            lock(accepted).extend(answer.order.iter().map(|order| (buyer, order.id.clone())));
        }
        sent.push(Sent { buyer, ask, answer });
    }
    sent
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;
    use crate::patience::{GENEROUS, until};

    /// A gateway that accepts every buy, and goes away after so many answers to a connection.
    fn fake(answers: usize) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                thread::spawn(move || {
                    for number in 0..answers {
                        let head = read_request(&mut stream);
                        if head.is_empty() {
                            return;
                        }
                        let order = format!(
                            "{{\"id\":\"{number}\",\"activity_id\":\"7\",\"status\":\
                             \"awaiting_payment\",\"lines\":[{{\"quantity\":1}}],\"payments\":[]}}"
                        );
                        let id =
                            head.lines().find(|line| line.starts_with("x-request-id")).unwrap();
                        let answer = if head.starts_with("DELETE") {
                            format!("HTTP/1.1 204 No Content\r\n{id}\r\n\r\n")
                        } else {
                            let length = order.len();
                            format!(
                                "HTTP/1.1 202 Accepted\r\n{id}\r\ncontent-length: {length}\r\n\r\n{order}"
                            )
                        };
                        stream.write_all(answer.as_bytes()).unwrap();
                    }
                    // Closing with bytes unread would take back what was answered.
                    stream.shutdown(std::net::Shutdown::Write).unwrap();
                    stream.read_to_end(&mut Vec::new()).unwrap();
                });
            }
        });
        address
    }

    /// The head of a request whose body, if any, is read as well; empty at the end.
    fn read_request(stream: &mut TcpStream) -> String {
        let mut head = String::new();
        let mut byte = [0];
        while !head.ends_with("\r\n\r\n") {
            if stream.read_exact(&mut byte).is_err() {
                return String::new();
            }
            head.push(char::from(byte[0]));
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body).unwrap();
        head
    }

    fn load(tokens: &[String]) -> Load<'_> {
        Load {
            activity: "7",
            tokens,
            arrivals: 200,
            rate: 20_000,
            connections: 4,
            quantity_max: 3,
            repeats_percent: 20,
            cancels_percent: 10,
            seed: 1,
        }
    }

    #[test]
    fn every_request_is_recorded_with_its_answer() {
        let tokens = ["1.a".to_owned(), "2.b".to_owned()];
        // An order is cancelled once its answer has come: on a busy machine that may be too late.
        let sent = until("something is cancelled", GENEROUS, || {
            let answered = AtomicUsize::new(0);
            let sent = drive(fake(usize::MAX), &load(&tokens), &answered);
            assert_eq!((sent.len(), answered.into_inner()), (200, 200));
            assert!(sent.iter().all(|sent| sent.answer.as_ref().is_some_and(|it| it.is_in_order)));
            sent.iter().any(|sent| matches!(sent.ask, Ask::Cancel { .. })).then_some(sent)
        });
        let keys: std::collections::HashSet<_> = sent
            .iter()
            .filter_map(|sent| match &sent.ask {
                Ask::Buy { key, .. } => Some(key),
                Ask::Cancel { .. } | Ask::Pay { .. } => None,
            })
            .collect();
        assert!(keys.len() < 190, "some keys were sent again");
    }

    #[test]
    fn what_a_dead_gateway_owes_is_recorded_as_nothing() {
        let tokens = ["1.a".to_owned()];
        let answered = AtomicUsize::new(0);
        let sent = drive(fake(10), &load(&tokens), &answered);
        assert_eq!(answered.into_inner(), 40, "ten on each connection");
        assert_eq!(sent.iter().filter(|sent| sent.answer.is_some()).count(), 40);
    }

    #[test]
    fn nobody_there_is_nothing_sent() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(drive(closed, &load(&["1.a".to_owned()]), &AtomicUsize::new(0)).is_empty());
    }
}
