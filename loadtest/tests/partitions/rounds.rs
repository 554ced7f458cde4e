//! Rounds: a sale under load, faults that begin and end, and then all books.

use std::collections::BTreeMap;
use std::env;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use seckill_loadtest::books::{Books, Difference, Lent, compare};
use seckill_loadtest::checker::{Account, Found, Terms};
use seckill_loadtest::client::Client;
use seckill_loadtest::driver::{Answer, Ask, Sent, request};
use seckill_loadtest::gateway::Gateway;
use seckill_loadtest::losses::{Said, reliable};
use seckill_loadtest::order::{Order, Status};
use seckill_loadtest::patience::{GENEROUS, now, until};
use seckill_loadtest::random::{Random, seed};
use seckill_loadtest::shop::{self, Sale};
use serde::Deserialize;
use serde_json::Value;

use crate::crowd::Crowd;
use crate::faults::{Fault, draw, drawable};
use crate::world::{GATEWAYS, World};

const ROUNDS: usize = 5;
/// After so many each kind of fault has been there: less than one run in 10^5 would miss one.
const ALL_MET_ROUNDS: usize = 200;
/// Rounds of one world: whoever was adopted goes on for ever.
const WORLD_ROUNDS: usize = 20;
const BUYERS: usize = 30;
/// Tries between two events, at most.
const TRIES_MAX: usize = 500;
/// How often a fault ends before the next one begins, where it can.
const ENDS_FIRST_PERCENT: usize = 25;
/// How long the books may take to agree: a call that was kept by a silent link is given up after
/// twelve seconds, and what Redis forgot may be rebuilt twice.
const SETTLED: Duration = GENEROUS.saturating_mul(2);

/// A sale, and what its clients know.
#[derive(Debug)]
struct Round {
    product: String,
    activity: String,
    sale: Sale,
    tokens: Vec<String>,
    said: Vec<Said>,
}

impl Round {
    /// Sells while all of it goes wrong, and until it is over.
    fn sell(world: &mut World, random: &mut Random, faults: &[Fault]) -> Self {
        let stock = *random.one_of(&[30, 90, 240]);
        let limit = *random.one_of(&[1, 2, 5]);
        let pay_within_s = *random.one_of(&[2, 3_600, 3_600]);
        let sale = Sale { limit, pay_within_s, ..Sale::of(stock) };
        let (product, activity) = world.sale(sale);
        world.activity.clone_from(&activity);
        let seed = random.bits();
        let tokens = shop::tokens(&world.gateways[0], &format!("buyer{seed:x}-"), BUYERS);
        let addresses = world.addresses.clone();
        let mut crowd = Crowd::new(&activity, &tokens, &addresses);
        (crowd.quantity_max, crowd.seed) = (limit.min(2), seed);
        let said = thread::scope(|scope| {
            let load = scope.spawn(|| crowd.run());
            let over = Over(&crowd);
            go_wrong(world, &crowd, random, faults);
            drop(over);
            load.join().unwrap()
        });
        Self { product, activity, sale, tokens, said }
    }

    fn users(&self) -> Vec<String> {
        let head = |token: &String| token.split_once('.').unwrap().0.to_owned();
        self.tokens.iter().map(head).collect()
    }

    /// Reads what all books have of the sale; none where a list is not whole just now.
    fn read(&self, world: &World) -> Option<Books> {
        let hash = world.redis[world.master].tell(&["HGETALL", &self.hash()]);
        let (gateways, numbers) = (&world.gateways, world.numbers);
        let addresses: Vec<_> = gateways.iter().map(Gateway::address).collect();
        thread::scope(|scope| {
            let accounts = scope.spawn(move || {
                let all = gateways.iter().zip(numbers);
                all.flat_map(|(gateway, number)| self.accounts(gateway, number)).collect()
            });
            let lists: Option<_> = addresses.into_iter().map(|it| self.list(it)).collect();
            Some(Books {
                lists: lists?,
                speakers: world.speakers.clone(),
                accounts: accounts.join().unwrap(),
                lent: Lent::of(&hash),
            })
        })
    }

    /// The accounts of a gateway and of those that it has adopted, by their numbers.
    fn accounts(&self, gateway: &Gateway, number: usize) -> Vec<(usize, Account)> {
        let audits = gateway.audits(&self.activity);
        let account = |audits: &Value| {
            let audit = audits.get(&self.activity)?;
            Some(Account::deserialize(audit).expect("an audit is as the contract says"))
        };
        let own = account(&audits).map(|account| (number, account));
        let adopted = audits.get("adopted").and_then(Value::as_object).into_iter().flatten();
        let adopted = adopted.filter_map(|(number, audits)| {
            Some((number.parse().expect("a gateway has a number"), account(audits)?))
        });
        own.into_iter().chain(adopted).collect()
    }

    /// Every shopper's list at one gateway.
    fn list(&self, address: SocketAddr) -> Option<Vec<Found>> {
        let mut found = Vec::new();
        for (buyer, token) in self.tokens.iter().enumerate() {
            let orders = shop::whole_orders(&mut Client::with_token(address, token))?;
            found.extend(orders.into_iter().map(|order| Found { buyer, order }));
        }
        Some(found)
    }

    /// The name of what Redis has of the sale.
    fn hash(&self) -> String {
        format!("seckill:lease:{}", self.activity)
    }

    /// Waits until all books agree with each other and with what clients were told.
    #[track_caller]
    fn settle(&self, world: &World) -> Books {
        let users = self.users();
        let terms = Terms { stock: self.sale.stock.into(), limit: self.sale.limit.into() };
        let deadline = now() + SETTLED;
        let (books, differences) = until("the books are read", SETTLED * 2, || {
            let books = self.read(world)?;
            let sent = reliable(&self.said, &world.losses, books.own());
            let differences = compare(terms, &users, &sent, &books);
            (differences.is_empty() || now() > deadline).then_some((books, differences))
        });
        // The first in the first line, which a report of many rounds takes.
        let first = differences.first();
        assert!(first.is_none(), "{} differences, {first:?}: {differences:#?}", differences.len());
        books
    }

    /// Buys whatever is free, a unit for each of new shoppers, at whichever gateway.
    fn sell_out(&mut self, world: &World, books: &Books) {
        let free = books.lent.stocked - units(books, Status::takes_units);
        let first = self.tokens.len();
        let prefix = format!("late{}-", self.activity);
        let count = usize::try_from(free).unwrap() + GATEWAYS;
        self.tokens.extend(shop::tokens(&world.gateways[0], &prefix, count));
        let mut waiting: Vec<usize> = (first..self.tokens.len()).collect();
        until("the last unit is sold", SETTLED, || {
            // A pause that only a lost journal had as over comes back with the store's word.
            world.resume();
            waiting.retain(|&buyer| {
                let (at, answer) = (now(), self.buy(world, buyer));
                let is_served = answer.order.is_some();
                self.said.push(Said { at, sent: late(buyer, answer) });
                !is_served
            });
            assert!(waiting.len() >= GATEWAYS, "more is sold than there was");
            (waiting.len() == GATEWAYS).then_some(())
        });
    }

    fn buy(&self, world: &World, buyer: usize) -> Answer {
        let (ask, request_id) = (late_buy(buyer), format!("late-{buyer}"));
        let address = world.gateways[buyer % GATEWAYS].address();
        let mut client = Client::with_token(address, &self.tokens[buyer]);
        Answer::of(&client.send(request(&self.activity, &ask, &request_id)), &request_id)
    }

    /// Gives up what is not paid, and ends the sale: the rest is the product's again.
    fn end(&self, world: &World, books: &Books) {
        for found in books.own().filter(|it| it.order.status.is_held()) {
            let address = world.gateways[world.speakers[&found.order.gateway()]].address();
            let mut client = Client::with_token(address, &self.tokens[found.buyer]);
            let path = format!("/api/v1/orders/{}", found.order.id);
            // It may have expired, or be about to: one change of an order at a time.
            until("the order is given up", GENEROUS, || {
                matches!(client.delete(&path).status, 204 | 409).then_some(())
            });
        }
        let mut shop = world.shop();
        shop.step(&self.activity, "end");
        let left = u64::from(self.sale.stock) - units(books, |it| it == Status::Paid);
        let mut stock = 0;
        until("the units are the product's again", SETTLED, || {
            stock = shop.stock(&self.product);
            assert!(stock <= left, "{stock} of {left} came back");
            (stock == left).then_some(())
        });
    }
}

/// Has each fault begin and end while shoppers go on, some of them before others have begun.
fn go_wrong(world: &mut World, crowd: &Crowd<'_>, random: &mut Random, faults: &[Fault]) {
    let go_on = |random: &mut Random| {
        // Only a count: nothing else is read by it.
        let enough = crowd.tries.load(Ordering::Relaxed) + 1 + random.below(TRIES_MAX);
        until("the shoppers have tried", GENEROUS * 8, || {
            (crowd.tries.load(Ordering::Relaxed) >= enough).then_some(())
        });
    };
    go_on(random);
    let (mut to_come, mut there): (_, Vec<Fault>) = (faults.to_vec(), Vec::new());
    while !to_come.is_empty() || !there.is_empty() {
        let may_end = |it: &usize| Fault::may_end(there[*it], world);
        let may_end: Vec<usize> = (0..there.len()).filter(may_end).collect();
        let ends = random.choose(&may_end).copied();
        let ends = ends.filter(|_| to_come.is_empty() || random.percent(ENDS_FIRST_PERCENT));
        if let Some(at) = ends {
            there.swap_remove(at).end(world);
        } else {
            let fault = to_come.swap_remove(0);
            fault.announce(world);
            go_on(random);
            fault.begin(world);
            there.push(fault);
        }
        go_on(random);
    }
}

/// Has the shoppers go home, also when a test fails.
struct Over<'a>(&'a Crowd<'a>);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        // Only a flag: the threads are joined.
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

fn late_buy(buyer: usize) -> Ask {
    Ask::Buy { key: format!("late-{buyer}"), quantity: 1 }
}

fn late(buyer: usize, answer: Answer) -> Sent {
    Sent { buyer, ask: late_buy(buyer), answer: Some(answer) }
}

fn units(books: &Books, of: fn(Status) -> bool) -> u64 {
    let quantity = |it: &Found| u64::from(it.order.quantity);
    books.own().filter(|it| of(it.order.status)).map(quantity).sum()
}

fn rounds() -> usize {
    env::var("ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("ROUNDS is a number"))
}

#[test]
fn what_clients_were_told_is_what_all_books_say_whatever_goes_wrong() {
    let seed = seed();
    println!("SEED={seed}");
    let mut random = Random::new(seed);
    let mut lapses = random.percent(50);
    let mut world = World::start(lapses);
    let mut may_meet = drawable(&world);
    let mut met: BTreeMap<String, usize> = BTreeMap::new();
    for number in 1..=rounds() {
        if number.is_multiple_of(WORLD_ROUNDS) {
            world.check();
            lapses = !lapses;
            world = World::start(lapses);
            may_meet.extend(drawable(&world));
        }
        let faults = draw(&world, &mut random);
        println!("round {number} begins: {faults:?}");
        let mut round = Round::sell(&mut world, &mut random, &faults);
        world.recover();
        // Whoever was away when it went on may have told the others of a pause.
        world.resume();
        let mut books = round.settle(&world);
        let told = |status| {
            let answered = round.said.iter().filter_map(|said| said.sent.answer.as_ref());
            answered.filter(|answer| answer.status == status).count()
        };
        let line = format!("{} sent, {} accepted", round.said.len(), told(202));
        // Where orders expire soon there is no moment in which all units are sold.
        if round.sale.pay_within_s > GENEROUS.as_secs().try_into().unwrap() {
            round.sell_out(&world, &books);
            books = round.settle(&world);
        }
        round.end(&world, &books);
        let paid = units(&books, |it| it == Status::Paid);
        println!("round {number}: {line}, {paid} units of {} paid", round.sale.stock);
        faults.iter().for_each(|it| *met.entry(it.name()).or_default() += 1);
    }
    let counts: Vec<_> = met.iter().map(|(name, count)| format!("{name} {count}")).collect();
    println!("faults: {}", counts.join(", "));
    let never: Vec<_> = may_meet.iter().filter(|it| !met.contains_key(*it)).collect();
    assert!(never.is_empty() || rounds() < ALL_MET_ROUNDS, "never met: {never:?}");
    world.check();
}

/// Books that are read from real parts, and a fact in one of them that is not so.
#[test]
fn canary_a_wrong_fact_in_any_book_is_seen() {
    let mut world = World::start(false);
    let round = Round::sell(&mut world, &mut Random::new(seed()), &[]);
    world.recover();
    let mut books = round.settle(&world);
    let (terms, users) =
        (Terms { stock: round.sale.stock.into(), limit: round.sale.limit.into() }, round.users());
    let redis = &world.redis[world.master];
    drop(redis.tell(&["HINCRBY", &round.hash(), "leased", "1"]));
    let tampered = Lent::of(&redis.tell(&["HGETALL", &round.hash()]));
    let lent = std::mem::replace(&mut books.lent, tampered);
    let mut sent: Vec<Sent> = round.said.iter().map(|said| said.sent.clone()).collect();
    let seen = compare(terms, &users, &sent, &books);
    assert!(seen.iter().any(|it| matches!(it, Difference::Lent(_))), "{seen:?}");
    books.lent = lent;
    let lost = Order { id: "1".to_owned(), ..books.own().next().unwrap().order.clone() };
    let answer = Answer { status: 202, slug: None, order: Some(lost), is_in_order: true };
    sent.push(late(0, answer));
    let seen = compare(terms, &users, &sent, &books);
    assert!(matches!(seen[..], [Difference::Told(_)]), "{seen:?}");
}
