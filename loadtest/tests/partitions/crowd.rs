//! Shoppers at every gateway and at nginx at once, and what each of them was told.
//!
//! The same shopper may be at several. It must not know whether an answer is right.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use seckill_loadtest::client::{Connection, Request, Response};
use seckill_loadtest::driver::{Answer, Ask, Sent, request};
use seckill_loadtest::losses::Said;
use seckill_loadtest::order::Order;
use seckill_loadtest::patience::{now, sleep_until};
use seckill_loadtest::random::Random;
use serde_json::json;

use crate::world::{Addresses, DOORS, FRONT};

/// Shoppers that ask at one door at once.
const LANES: usize = 3;
/// Between two requests of one of them.
const GAP: Duration = Duration::from_millis(10);
/// Who is not answered in this time does not know what came of it.
const PATIENCE: Duration = Duration::from_secs(1);
/// What an order's unit costs.
const PRICE: i64 = 1_000;

/// What somebody has heard of, and others may ask about elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Orders, and their buyers.
    orders: Vec<(usize, Order)>,
    /// Words about their money, likewise.
    words: Vec<(usize, Ask)>,
}

/// A crowd at one sale.
#[derive(Debug)]
pub(crate) struct Crowd<'a> {
    pub(crate) activity: &'a str,
    pub(crate) tokens: &'a [String],
    pub(crate) addresses: &'a Addresses,
    pub(crate) quantity_max: u32,
    pub(crate) seed: u64,
    /// Requests that somebody tried to send.
    pub(crate) tries: AtomicUsize,
    /// Whether they go home.
    pub(crate) is_over: AtomicBool,
    /// Whoever heard of it.
    pub(crate) known: Mutex<Known>,
}

impl<'a> Crowd<'a> {
    pub(crate) fn new(activity: &'a str, tokens: &'a [String], addresses: &'a Addresses) -> Self {
        let (tries, is_over, known) =
            (AtomicUsize::new(0), AtomicBool::new(false), Mutex::default());
        Self { activity, tokens, addresses, quantity_max: 1, seed: 0, tries, is_over, known }
    }

    /// Asks until they go home; everything that may have come to a gateway, and the answers.
    pub(crate) fn run(&self) -> Vec<Said> {
        let lanes = (0..LANES * DOORS).map(|number| Lane {
            crowd: self,
            number,
            random: Random::new(self.seed.wrapping_add(number as u64)),
            connection: None,
            gateway: number % DOORS,
            buys: Vec::new(),
            said: Vec::new(),
        });
        thread::scope(|scope| {
            let lanes: Vec<_> = lanes.map(|lane| scope.spawn(|| lane.run())).collect();
            lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect()
        })
    }
}

/// One connection's part.
#[derive(Debug)]
struct Lane<'a> {
    crowd: &'a Crowd<'a>,
    number: usize,
    random: Random,
    connection: Option<Connection>,
    /// The gateway that was met last.
    gateway: usize,
    /// What was bought there, or may have been.
    buys: Vec<(usize, Ask)>,
    said: Vec<Said>,
}

impl Lane<'_> {
    fn run(mut self) -> Vec<Said> {
        let mut next = now();
        // Only a flag: whoever sets it joins the threads then.
        while !self.crowd.is_over.load(Ordering::Relaxed) {
            sleep_until(next);
            next = now() + GAP;
            self.connect();
            let (buyer, ask) = self.choose();
            self.ask(buyer, ask);
            // Only a count.
            self.crowd.tries.fetch_add(1, Ordering::Relaxed);
        }
        self.said
    }

    /// Sees to a connection, where somebody is there.
    fn connect(&mut self) {
        if self.connection.as_ref().is_some_and(|it| !it.is_closed()) {
            return;
        }
        self.connection = None;
        let Some((gateway, address)) = self.crowd.addresses.of(self.door()) else { return };
        let Ok(connection) = Connection::open(address) else { return };
        connection.patience(PATIENCE).unwrap();
        self.connection = Some(connection);
        if std::mem::replace(&mut self.gateway, gateway) != gateway {
            // A key is of one gateway: another would make another order of it.
            self.buys.clear();
        }
    }

    /// Where its shoppers come in.
    fn door(&self) -> usize {
        self.number % DOORS
    }

    fn choose(&mut self) -> (usize, Ask) {
        let known = || self.crowd.known.lock().unwrap();
        match self.random.below(100) {
            0..20 => {
                let order = self.random.choose(&known().orders).cloned();
                if let Some((buyer, order)) = order
                    && let Some(word) = self.start_payment(buyer, &order)
                {
                    return (buyer, word);
                }
            }
            20..25 => {
                let told = self.random.choose(&known().words).cloned();
                if let Some(again) = told {
                    return again;
                }
            }
            25..35 => {
                let order = self.random.choose(&known().orders).cloned();
                if let Some((buyer, order)) = order {
                    return (buyer, Ask::Cancel { order: order.id });
                }
            }
            35..45 => {
                if let Some(again) = self.random.choose(&self.buys) {
                    return again.clone();
                }
            }
            _ => {}
        }
        self.buy()
    }

    fn buy(&mut self) -> (usize, Ask) {
        let buyer = self.random.below(self.crowd.tokens.len());
        let most = usize::try_from(self.crowd.quantity_max).unwrap();
        let quantity = 1 + u32::try_from(self.random.below(most)).unwrap();
        let key = format!("{:x}-{}-{}", self.crowd.seed, self.number, self.said.len());
        (buyer, Ask::Buy { key, quantity })
    }

    /// The word about a payment that was begun.
    fn start_payment(&mut self, buyer: usize, order: &Order) -> Option<Ask> {
        let path = format!("/api/v1/orders/{}/payments", order.id);
        let start = Request::new("POST", &path).json(&json!({ "method": "sandbox" }));
        let answer = self.send(buyer, start)?.ok()?;
        if answer.status != 201 {
            return None;
        }
        let payment = answer.json()["payment_id"].as_str()?.to_owned();
        let amount = PRICE * i64::from(order.quantity);
        Some(Ask::Pay { order: order.id.clone(), payment, amount })
    }

    fn ask(&mut self, buyer: usize, ask: Ask) {
        let request_id = format!("{:x}-{}-{}", self.crowd.seed, self.number, self.said.len());
        let request = request(self.crowd.activity, &ask, &request_id);
        let at = now();
        let Some(answer) = self.send(buyer, request) else { return };
        let answer = answer.ok().map(|response| Answer::of(&response, &request_id));
        // No gateway says of money that nobody knows, but nginx does: it is no more than no answer.
        let is_nginx = self.door() == FRONT && matches!(ask, Ask::Pay { .. });
        let answer = answer.filter(|answer| !(is_nginx && answer.status == 504));
        let mut known = self.crowd.known.lock().unwrap();
        let order = answer.as_ref().and_then(|it| it.order.clone());
        known.orders.extend(order.map(|order| (buyer, order)));
        if matches!(ask, Ask::Pay { .. }) {
            known.words.push((buyer, ask.clone()));
        }
        drop(known);
        // Nor is a key repeated through nginx: it may have another gateway by then.
        if matches!(ask, Ask::Buy { .. }) && self.door() != FRONT {
            self.buys.push((buyer, ask.clone()));
        }
        self.said.push(Said { at, sent: Sent { buyer, ask, answer } });
    }

    /// What comes back of what went out; none where nothing did, since there is nobody.
    fn send(&mut self, buyer: usize, request: Request) -> Option<std::io::Result<Response>> {
        // It is not looked at anew: another gateway may be there by now, which has other keys.
        let mut connection = self.connection.take()?;
        let request = request.token(&self.crowd.tokens[buyer]);
        let answer = connection.exchange(&request);
        let is_last = |it: &Response| it.header("connection") == Some("close");
        let is_kept = answer.as_ref().is_ok_and(|it| !is_last(it));
        self.connection = is_kept.then_some(connection);
        Some(answer)
    }
}
