//! The simulated Redis is like the real one: the same calls, chosen from a seed, are answered the
//! same by both, whatever befalls them.
//!
//! It knows what may be said, and not what should be answered.

use std::collections::BTreeSet;

use redis::{Client, Connection, FromRedisValue, Value, cmd};
use seckill_shards::testing::Random;

use super::server::Server;
use crate::reconcile::library;
use crate::reconcile::testing::{Flaw, Machines};

const SEEDS: u64 = 12;
const CALLS: usize = 1_500;
const PREFIX: &str = "seckill_leases_v1_";
const KEY: &str = "seckill:lease:7";

/// Both, and what was seen of them.
struct Pair<'a> {
    random: Random,
    server: &'a mut Server,
    connection: Connection,
    machines: Machines,
    eras: Vec<String>,
    /// Kinds of answers that were given.
    seen: BTreeSet<String>,
}

impl<'a> Pair<'a> {
    fn new(seed: u64, server: &'a mut Server) -> Self {
        let connection = connect(server);
        let machines = Machines::new(Flaw::None);
        let eras = vec!["1.0000000000000000".to_owned()];
        let random = Random::new(seed);
        Self { random, server, connection, machines, eras, seen: BTreeSet::new() }
    }

    fn one_of<'b>(&mut self, words: &[&'b str]) -> &'b str {
        words[self.random.index(words.len())]
    }

    fn number(&mut self, below: u64) -> String {
        self.random.below(below).to_string()
    }

    /// The era of now, mostly.
    fn era(&mut self) -> String {
        let any = self.random.index(self.eras.len());
        let at = if self.random.once_in(12) { any } else { self.eras.len() - 1 };
        self.eras[at].clone()
    }

    /// What the simulated one has of a gateway, by its own word: epoch, n, net, placed.
    fn record(&mut self, gateway: &str) -> [u64; 4] {
        let status = [format!("{PREFIX}status"), "1".to_owned(), KEY.to_owned()];
        let words = self.machines.master().call(&[&["FCALL".to_owned()], &status[..]].concat());
        let words = words.unwrap_or_default();
        let mut records = words.get(8..).unwrap_or_default().chunks_exact(5);
        let found = records.find(|it| it[0] == gateway);
        let number = |at: usize| found.map_or(0, |it| it[at].parse().unwrap());
        [number(1), number(2), number(3), number(4)]
    }

    fn places(&mut self, most: u64) -> Vec<String> {
        let mut places = Vec::new();
        for _ in 0..self.random.below(most + 1) {
            places.extend([self.number(4), self.number(9), (1 + self.random.below(2)).to_string()]);
        }
        places
    }

    fn owner(&mut self) -> [String; 2] {
        let gateway = self.one_of(&["0", "1", "2", "W"]).to_owned();
        let [epoch, ..] = self.record(&gateway);
        let epoch = if self.random.once_in(10) { self.random.below(3) } else { epoch };
        [gateway, epoch.to_string()]
    }

    /// A number that follows what is there, mostly.
    fn near(&mut self, number: u64) -> String {
        if self.random.once_in(8) { self.number(4) } else { number.to_string() }
    }

    fn message(&mut self) -> Vec<String> {
        let kind = self.random.index(100);
        let name = match kind {
            0..8 => "status",
            8..14 => "begin",
            14..22 => "part",
            22..34 => "declare",
            34..42 => "resume",
            _ => "lease",
        };
        let mut words = vec!["FCALL".to_owned(), format!("{PREFIX}{name}"), "1".to_owned()];
        words.push(KEY.to_owned());
        words.extend(match name {
            "status" => Vec::new(),
            "begin" => self.begin(),
            "part" => self.part(),
            "declare" => self.declare(),
            "resume" => self.resume(),
            _ => self.lease(),
        });
        // Some are malformed.
        if self.random.once_in(25) && words.len() > 4 {
            let at = 4 + self.random.index(words.len() - 4);
            let broken = self.one_of(&["", "x", "-1", "1234567890123456", "a-b", "007"]);
            broken.clone_into(&mut words[at]);
            if self.random.once_in(3) {
                words.truncate(at);
            }
        }
        words
    }

    fn begin(&mut self) -> Vec<String> {
        let seen = if self.random.once_in(3) { String::new() } else { self.era() };
        vec![seen, (1 + self.random.below(40)).to_string(), self.number(100)]
    }

    fn part(&mut self) -> Vec<String> {
        let mut words = vec![self.era()];
        words.extend(self.owner());
        words.push(self.number(2));
        words.extend(self.places(3));
        words
    }

    fn declare(&mut self) -> Vec<String> {
        let mut words = vec![self.era()];
        words.extend(self.owner());
        words.extend([self.number(3), self.number(3)]);
        words.push(if self.random.once_in(3) { self.number(3) } else { "0".to_owned() });
        words.extend(self.places(2));
        words
    }

    fn resume(&mut self) -> Vec<String> {
        let mut words = vec![self.era(), self.number(4), (3 + self.random.below(5)).to_string()];
        words.push(self.number(2));
        for gateway in ["0", "1", "2"] {
            if !self.random.once_in(3) {
                let [epoch, ..] = self.record(gateway);
                words.extend([gateway.to_owned(), epoch.to_string()]);
            }
        }
        words
    }

    fn lease(&mut self) -> Vec<String> {
        let mut words = vec![self.era()];
        let owner = self.owner();
        let [_, n, net, placed] = self.record(&owner[0]);
        words.extend(owner);
        let next = if self.random.once_in(8) { n } else { n + 1 };
        let have = if net > placed { placed + self.random.below(net - placed + 1) } else { net };
        words.extend([self.near(next), self.near(have), self.number(4)]);
        words.extend([self.number(6), (3 + self.random.below(6)).to_string(), self.number(2)]);
        words.push((1 + self.random.below(3)).to_string());
        let releases = self.random.below(3);
        words.push(releases.to_string());
        for _ in 0..releases {
            words.extend([self.number(4), self.number(9)]);
        }
        let many = if self.random.once_in(60) { 260 } else { 2 };
        words.extend(self.places(many));
        words
    }

    /// Says it to both; they answer the same.
    fn say(&mut self, words: &[String]) {
        let real = tell(&mut self.connection, words);
        if words[1].ends_with("begin")
            && let Ok(reply) = &real
            && reply[0] == "OK"
        {
            let nonce = reply[1].split('.').nth(1).unwrap();
            let nonce = u64::from_str_radix(nonce, 16).unwrap();
            self.machines.master().name_next_era(nonce);
            self.eras.push(reply[1].clone());
        }
        let simulated = self.machines.master().call(words);
        let kind = real.as_ref().map_or("error", |reply| reply[0].as_str());
        let function = words[1].rsplit('_').next().unwrap();
        self.seen.insert(format!("{function} {kind}"));
        assert_eq!(
            real.as_ref().ok(),
            simulated.as_ref().ok(),
            "{words:?}: {real:?} {simulated:?}"
        );
    }

    fn befall(&mut self) {
        match self.random.index(4) {
            0 => {
                self.server.tell::<()>(&["FLUSHALL"]);
                self.machines.flush();
            }
            1 => {
                self.server.kill_and_start();
                self.machines.restart();
                self.connection = connect(self.server);
            }
            _ => {
                self.server.tell::<()>(&["SAVE"]);
                self.machines.save();
            }
        }
    }
}

fn connect(server: &Server) -> Connection {
    let mut connection = Client::open(server.url()).unwrap().get_connection().unwrap();
    // It is there already where it was saved.
    drop(cmd("FUNCTION").arg("LOAD").arg(library::TEXT).exec(&mut connection));
    connection
}

fn tell(connection: &mut Connection, words: &[String]) -> Result<Vec<String>, String> {
    let mut command = cmd(&words[0]);
    for word in &words[1..] {
        command.arg(word);
    }
    let reply: Value = command.query(connection).map_err(|error| error.to_string())?;
    match &reply {
        Value::Int(number) => Ok(vec![number.to_string()]),
        _ => Ok(Vec::<String>::from_redis_value(reply).unwrap()),
    }
}

#[test]
fn the_simulated_redis_answers_like_the_real_one() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let mut server = Server::start(library::TEXT);
        let mut pair = Pair::new(seed, &mut server);
        for _ in 0..CALLS {
            if pair.random.once_in(120) {
                pair.befall();
            }
            let message = pair.message();
            pair.say(&message);
        }
        let dropped = ["UNLINK".to_owned(), KEY.to_owned()];
        pair.say(&dropped);
        seen.append(&mut pair.seen);
    }
    let expected = [
        "status OK",
        "status ABSENT",
        "begin OK",
        "begin ERA",
        "part OK",
        "part ERA",
        "part FORGOT",
        "part FENCED",
        "declare OK",
        "declare FENCED",
        "declare PROTOCOL",
        "resume OK",
        "resume NOT_YET",
        "lease OK",
        "lease NUMBER",
        "lease REBUILDING",
        "lease UNDECLARED",
        "lease FENCED",
        "lease PROTOCOL",
        "lease FORGOT",
        "lease ABSENT",
        "lease error",
    ];
    let missed: Vec<_> = expected.iter().filter(|it| !seen.contains(**it)).collect();
    assert!(missed.is_empty(), "nobody came across {missed:?}: {seen:?}");
}
