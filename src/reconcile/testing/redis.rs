//! One Redis in memory: what the functions of `leases.lua` do, told once more in Rust, word for word
//! in what they take and answer; a test holds it against them.
//!
//! It must not know who asks, nor how messages travel.

use std::collections::{BTreeMap, BTreeSet};

use super::flaw::Flaw;
use crate::reconcile::limits::ORDERS_PER_MESSAGE_MAX;

/// Whole numbers of this many digits are exact in Lua.
const DIGITS_MAX: usize = 15;

/// What a function answers; an error where a message is malformed, or no function's.
pub(crate) type Reply = Result<Vec<String>, String>;

/// Which process it is, and which history it follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Incarnation {
    pub(super) run: u64,
    pub(super) history: u64,
}

/// One Redis.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimulatedRedis {
    pub(super) here: Incarnation,
    pub(super) is_replica: bool,
    pub(super) hashes: BTreeMap<String, Hash>,
    pub(super) flaw: Flaw,
    /// The nonces that were given.
    pub(super) nonces: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Hash {
    era: String,
    begun_on: Incarnation,
    live: bool,
    version: u64,
    stocked: u64,
    open: u64,
    leased: u64,
    unmet: u64,
    /// In the order in which they came.
    members: Vec<String>,
    records: BTreeMap<String, Record>,
    staged: BTreeMap<String, Staged>,
    places: BTreeMap<String, Vec<Place>>,
}

#[derive(Clone, Debug)]
struct Record {
    epoch: u64,
    n: u64,
    net: u64,
    placed: u64,
    unmet: u64,
    /// What was done under its number; none where it was declared.
    reply: Option<[String; 4]>,
}

/// Parts of a declaration under way.
#[derive(Clone, Debug)]
struct Staged {
    epoch: u64,
    units: u64,
    parts: BTreeSet<u64>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    order: String,
    quantity: u64,
    gateway: String,
    epoch: u64,
}

/// Who speaks.
#[derive(Clone, Debug)]
struct Owner {
    gateway: String,
    epoch: u64,
}

/// An order that a message names, with no units where it is released.
#[derive(Clone, Debug)]
struct Named {
    user: String,
    order: String,
    quantity: u64,
}

struct Ask {
    era: String,
    owner: Owner,
    n: u64,
    have: u64,
    want: u64,
    version: u64,
    stocked: u64,
    open: u64,
    limit: u64,
    releases: Vec<Named>,
    confirms: Vec<Named>,
}

/// The words of a message, from the first to the last.
struct Words<'a>(std::slice::Iter<'a, String>);

impl Words<'_> {
    fn text(&mut self) -> Result<String, String> {
        self.0.next().cloned().ok_or_else(|| "too few words".to_owned())
    }

    fn whole(&mut self) -> Result<u64, String> {
        let text = self.text()?;
        let is_whole = is_made_of(&text, |it| it.is_ascii_digit()) && text.len() <= DIGITS_MAX;
        text.parse().ok().filter(|_| is_whole).ok_or_else(|| format!("not a whole number: {text}"))
    }

    fn id(&mut self) -> Result<String, String> {
        let text = self.text()?;
        let is_id = is_made_of(&text, |it| it.is_ascii_digit());
        is_id.then_some(text).ok_or_else(|| "not an id".to_owned())
    }

    fn owner(&mut self) -> Result<Owner, String> {
        Ok(Owner { gateway: self.name()?, epoch: self.whole()? })
    }

    fn name(&mut self) -> Result<String, String> {
        let text = self.text()?;
        let is_name = is_made_of(&text, |it| it.is_ascii_alphanumeric());
        is_name.then_some(text).ok_or_else(|| "not a gateway".to_owned())
    }

    fn places(&mut self) -> Result<Vec<Named>, String> {
        let mut places = Vec::new();
        while self.0.len() > 0 {
            places.push(Named { user: self.id()?, order: self.id()?, quantity: self.whole()? });
        }
        at_most(places.len())?;
        Ok(places)
    }

    fn ask(&mut self) -> Result<Ask, String> {
        let (era, owner) = (self.text()?, self.owner()?);
        let [n, have, want, version, stocked, open, limit, released] = {
            let mut numbers = [0; 8];
            for number in &mut numbers {
                *number = self.whole()?;
            }
            numbers
        };
        let mut releases = Vec::new();
        for _ in 0..released {
            releases.push(Named { user: self.id()?, order: self.id()?, quantity: 0 });
        }
        let confirms = self.places()?;
        at_most(releases.len() + confirms.len())?;
        Ok(Ask { era, owner, n, have, want, version, stocked, open, limit, releases, confirms })
    }
}

fn is_made_of(text: &str, of: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(of)
}

fn at_most(orders: usize) -> Result<(), String> {
    let fits = orders <= ORDERS_PER_MESSAGE_MAX;
    fits.then_some(()).ok_or_else(|| "too many orders in one message".to_owned())
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).into()
}

fn generation(era: &str) -> u64 {
    era.split('.').next().and_then(|it| it.parse().ok()).unwrap_or(0)
}

impl Hash {
    fn epoch_of(&self, gateway: &str, speaks: Option<&Owner>) -> Option<u64> {
        let own = speaks.filter(|it| it.gateway == gateway).map(|it| it.epoch);
        own.or_else(|| self.records.get(gateway).map(|it| it.epoch))
    }

    /// Drops the places of epochs that were replaced from the lists of some users.
    fn tidy(&mut self, orders: &[Named], speaks: Option<&Owner>) {
        for order in orders {
            let Some(mut list) = self.places.remove(&order.user) else { continue };
            list.retain(|it| Some(it.epoch) >= self.epoch_of(&it.gateway, speaks));
            if !list.is_empty() {
                self.places.insert(order.user.clone(), list);
            }
        }
    }

    fn list(&mut self, order: &Named) -> &mut Vec<Place> {
        self.places.entry(order.user.clone()).or_default()
    }

    fn find(&mut self, order: &Named, owner: &Owner) -> Option<usize> {
        let is_own = |it: &Place| {
            it.order == order.order && it.gateway == owner.gateway && it.epoch == owner.epoch
        };
        self.list(order).iter().position(is_own)
    }

    fn take_place(&mut self, order: &Named, owner: &Owner) -> u64 {
        if self.find(order, owner).is_some() {
            return 0;
        }
        let Owner { gateway, epoch } = owner.clone();
        let (id, quantity) = (order.order.clone(), order.quantity);
        self.list(order).push(Place { order: id, quantity, gateway, epoch });
        quantity
    }

    fn drop_place(&mut self, order: &Named, owner: &Owner) -> u64 {
        let Some(index) = self.find(order, owner) else { return 0 };
        let list = self.list(order);
        list.remove(index).quantity
    }

    fn others_of(&mut self, order: &Named, owner: &Owner) -> u64 {
        let list = self.list(order).clone();
        let stands = |it: &&Place| {
            self.epoch_of(&it.gateway, Some(owner)) == Some(it.epoch) && it.order != order.order
        };
        list.iter().filter(stands).map(|it| it.quantity).sum()
    }

    fn forget_empty(&mut self) {
        self.places.retain(|_, list| !list.is_empty());
    }

    /// Why (gateway, epoch) may not declare in this era, where it may not.
    fn no_declaration(&self, owner: &Owner, flaw: Flaw) -> Option<Vec<String>> {
        let record = self.records.get(&owner.gateway)?;
        if record.epoch > owner.epoch {
            return Some(words(["FENCED"]));
        }
        let is_declared = record.epoch == owner.epoch && flaw != Flaw::DeclaresAgain;
        is_declared.then(|| words(["OK"]))
    }

    fn take_stock(&mut self, ask: &Ask) -> bool {
        if ask.version <= self.version {
            return true;
        }
        if ask.stocked < self.stocked {
            return false;
        }
        (self.version, self.stocked, self.open) = (ask.version, ask.stocked, ask.open);
        true
    }

    fn told(&self, record: &Record, flaw: Flaw) -> Option<Vec<String>> {
        let [granted, yes, no, released] = record.reply.clone()?;
        let is_there = flaw != Flaw::TellsOldWishes;
        let pool = if is_there { self.stocked.saturating_sub(self.leased) } else { 0 };
        let short = self.unmet.saturating_sub(record.unmet).saturating_sub(pool);
        let (n, short) = (record.n.to_string(), short.to_string());
        Some(vec!["OK".to_owned(), n, granted, yes, no, released, short])
    }
}

impl SimulatedRedis {
    /// The next era gets this nonce.
    pub(crate) fn name_next_era(&mut self, nonce: u64) {
        self.nonces = nonce.wrapping_sub(1);
    }

    /// Does what a command says.
    pub(crate) fn call(&mut self, command: &[String]) -> Reply {
        let [name, function, rest @ ..] = command else { return Err("no command".to_owned()) };
        if name == "UNLINK" {
            let dropped = usize::from(self.hashes.remove(function).is_some());
            return Ok(vec![dropped.to_string()]);
        }
        let [_, key, args @ ..] = rest else { return Err("no key".to_owned()) };
        let mut args = Words(args.iter());
        // Not even a question is answered: whoever asks is at the wrong place.
        if self.is_replica {
            return Err("READONLY".to_owned());
        }
        match function.rsplit('_').next().unwrap_or_default() {
            "status" => Ok(self.status(key)),
            "begin" => self.begin(key, &mut args),
            "part" => self.part(key, &mut args),
            "declare" => self.declare(key, &mut args),
            "resume" => self.resume(key, &mut args),
            "lease" => self.lease(key, &mut args),
            _ => Err("Function not found".to_owned()),
        }
    }

    fn remembers(&self, hash: &Hash) -> bool {
        match self.flaw {
            Flaw::TrustsMemory => true,
            Flaw::TrustsHistory => hash.begun_on.run == self.here.run,
            _ => hash.begun_on == self.here,
        }
    }

    fn guard(&self, key: &str, era: &str) -> Result<&Hash, Vec<String>> {
        let Some(hash) = self.hashes.get(key) else { return Err(words(["ABSENT"])) };
        if !self.remembers(hash) {
            return Err(words(["FORGOT", &hash.era]));
        }
        if hash.era != era && self.flaw != Flaw::HearsAnyEra {
            return Err(words(["ERA", &hash.era]));
        }
        Ok(hash)
    }

    fn status(&self, key: &str) -> Vec<String> {
        let Some(hash) = self.hashes.get(key) else { return words(["ABSENT"]) };
        let head = [
            u64::from(self.remembers(hash)),
            u64::from(hash.live),
            hash.version,
            hash.stocked,
            hash.open,
            hash.leased,
        ];
        let mut reply = words(["OK", &hash.era]);
        reply.extend(head.map(|it| it.to_string()));
        for member in &hash.members {
            let Record { epoch, n, net, placed, .. } = &hash.records[member];
            reply.push(member.clone());
            reply.extend([epoch, n, net, placed].map(ToString::to_string));
        }
        reply
    }

    fn begin(&mut self, key: &str, args: &mut Words<'_>) -> Reply {
        let (seen, gen_now) = (args.text()?, args.whole()?);
        if let Some(hash) = self.hashes.get(key) {
            if hash.era != seen || gen_now <= generation(&hash.era) {
                return Ok(words(["ERA", &hash.era]));
            }
        } else if !seen.is_empty() {
            return Ok(words(["ABSENT"]));
        }
        self.nonces = self.nonces.wrapping_add(1);
        let nonce = if self.flaw == Flaw::NamesNoEra { 0 } else { self.nonces };
        let era = format!("{gen_now}.{nonce:016x}");
        let hash = Hash {
            era: era.clone(),
            begun_on: self.here,
            live: self.flaw == Flaw::LendsAtOnce,
            version: 0,
            stocked: 0,
            open: 0,
            leased: 0,
            unmet: 0,
            members: Vec::new(),
            records: BTreeMap::new(),
            staged: BTreeMap::new(),
            places: BTreeMap::new(),
        };
        self.hashes.insert(key.to_owned(), hash);
        Ok(words(["OK", &era]))
    }

    fn part(&mut self, key: &str, args: &mut Words<'_>) -> Reply {
        let (era, owner, index) = (args.text()?, args.owner()?, args.whole()?);
        let places = args.places()?;
        let flaw = self.flaw;
        if let Err(refusal) = self.guard(key, &era) {
            return Ok(refusal);
        }
        let hash = self.hashes.get_mut(key).expect("it was looked at a moment ago");
        if let Some(answer) = hash.no_declaration(&owner, flaw) {
            return Ok(answer);
        }
        let staged = hash.staged.get(&owner.gateway).filter(|it| it.epoch >= owner.epoch).cloned();
        if staged.as_ref().is_some_and(|it| it.epoch > owner.epoch) {
            return Ok(words(["FENCED"]));
        }
        let nothing = Staged { epoch: owner.epoch, units: 0, parts: BTreeSet::new() };
        let mut staged = staged.unwrap_or(nothing);
        hash.tidy(&places, None);
        for place in &places {
            staged.units += hash.take_place(place, &owner);
        }
        staged.parts.insert(index);
        hash.staged.insert(owner.gateway, staged);
        hash.forget_empty();
        Ok(words(["OK"]))
    }

    fn declare(&mut self, key: &str, args: &mut Words<'_>) -> Reply {
        let (era, owner) = (args.text()?, args.owner()?);
        let (n, net, parts) = (args.whole()?, args.whole()?, args.whole()?);
        let places = args.places()?;
        let flaw = self.flaw;
        if let Err(refusal) = self.guard(key, &era) {
            return Ok(refusal);
        }
        let hash = self.hashes.get_mut(key).expect("it was looked at a moment ago");
        if let Some(answer) = hash.no_declaration(&owner, flaw) {
            return Ok(answer);
        }
        let record = hash.records.get(&owner.gateway).cloned();
        if hash.live && record.is_none() && net > 0 && flaw != Flaw::LendsAtOnce {
            return Ok(words(["PROTOCOL", "UNKNOWN_UNITS"]));
        }
        let staged = hash.staged.get(&owner.gateway).cloned();
        let own = staged.as_ref().filter(|it| it.epoch == owner.epoch);
        if !(0..parts).all(|index| own.is_some_and(|it| it.parts.contains(&index))) {
            return Ok(words(["PROTOCOL", "PARTS_MISSING"]));
        }
        hash.tidy(&places, Some(&owner));
        let mut placed = own.map_or(0, |it| it.units);
        for place in places.iter().filter(|_| flaw != Flaw::DropsDeclared) {
            placed += hash.take_place(place, &owner);
        }
        if let Some(record) = &record {
            hash.leased = hash.leased.saturating_sub(record.net);
            hash.unmet = hash.unmet.saturating_sub(record.unmet);
        } else {
            hash.members.push(owner.gateway.clone());
        }
        hash.leased += net;
        if staged.is_none_or(|it| it.epoch <= owner.epoch) {
            hash.staged.remove(&owner.gateway);
        }
        let record = Record { epoch: owner.epoch, n, net, placed, unmet: 0, reply: None };
        hash.records.insert(owner.gateway, record);
        hash.forget_empty();
        Ok(words(["OK"]))
    }

    fn resume(&mut self, key: &str, args: &mut Words<'_>) -> Reply {
        let (era, version) = (args.text()?, args.whole()?);
        let (stocked, open) = (args.whole()?, args.whole()?);
        let asks_nobody = self.flaw == Flaw::AsksNobody;
        if let Err(refusal) = self.guard(key, &era) {
            return Ok(refusal);
        }
        let hash = self.hashes.get_mut(key).expect("it was looked at a moment ago");
        if !hash.live {
            if args.0.len() == 0 {
                return Ok(words(["PROTOCOL", "NOBODY"]));
            }
            while args.0.len() > 0 {
                let member = args.owner()?;
                let record = hash.records.get(&member.gateway);
                if record.is_none_or(|it| it.epoch != member.epoch) && !asks_nobody {
                    return Ok(words(["NOT_YET", &member.gateway]));
                }
            }
            (hash.live, hash.version) = (true, version);
            (hash.stocked, hash.open) = (stocked, open);
        }
        Ok(words(["OK", &hash.leased.saturating_sub(hash.stocked).to_string()]))
    }

    fn lease(&mut self, key: &str, args: &mut Words<'_>) -> Reply {
        let ask = args.ask()?;
        let flaw = self.flaw;
        if let Err(refusal) = self.guard(key, &ask.era) {
            return Ok(refusal);
        }
        let hash = self.hashes.get_mut(key).expect("it was looked at a moment ago");
        let record = match record_for(hash, &ask, flaw) {
            Ok(record) => record,
            Err(answer) => {
                if flaw == Flaw::ConfirmsAnyNumber && answer[0] == "NUMBER" {
                    hash.confirm(&ask, 0, flaw);
                }
                return Ok(answer);
            }
        };
        // What is refused from here on changes nothing: it is done to a copy.
        let mut changed = hash.clone();
        match changed.lend(&ask, record, flaw) {
            Err(alarm) => Ok(words(["PROTOCOL", alarm])),
            Ok(reply) => {
                *hash = changed;
                Ok(reply)
            }
        }
    }
}

/// The record that a request is about; or the answer, where it needs no work.
fn record_for(hash: &Hash, ask: &Ask, flaw: Flaw) -> Result<Record, Vec<String>> {
    if !hash.live {
        return Err(words(["REBUILDING"]));
    }
    let record = hash.records.get(&ask.owner.gateway).cloned();
    let Some(record) = record.filter(|it| it.epoch >= ask.owner.epoch) else {
        return Err(words(["UNDECLARED"]));
    };
    if record.epoch > ask.owner.epoch {
        return Err(words(["FENCED"]));
    }
    let again = hash.told(&record, flaw).filter(|_| ask.n == record.n);
    match (again, flaw) {
        (None, _) | (_, Flaw::AnswersAnew | Flaw::ForgetsReplies) => {}
        (Some(_), Flaw::AnswersLastAnew) => return Ok(record),
        (Some(told), _) => return Err(told),
    }
    if ask.n != record.n + 1 && flaw != Flaw::AnswersAnew {
        return Err(words(["NUMBER", &record.n.to_string()]));
    }
    Ok(record)
}

impl Hash {
    /// What is placed then, and whose place was asked for with success and in vain.
    fn confirm(&mut self, ask: &Ask, placed: u64, flaw: Flaw) -> (u64, Vec<String>, Vec<String>) {
        let (owner, mut placed) = (&ask.owner, placed);
        let (mut yes, mut no) = (Vec::new(), Vec::new());
        for order in &ask.confirms {
            let others = self.others_of(order, owner);
            let is_there = self.find(order, owner).is_some();
            let fits = others + order.quantity <= ask.limit || flaw == Flaw::KnowsNoLimit;
            if (is_there && others == 0) || fits {
                placed += self.take_place(order, owner);
                yes.push(order.order.clone());
            } else {
                placed = placed.saturating_sub(self.drop_place(order, owner));
                no.push(order.order.clone());
            }
        }
        (placed, yes, no)
    }

    fn lend(&mut self, ask: &Ask, record: Record, flaw: Flaw) -> Result<Vec<String>, &'static str> {
        if !self.take_stock(ask) {
            return Err("STOCK_SHRANK");
        }
        if ask.have > record.net && flaw != Flaw::AnswersAnew {
            return Err("HAVE_ABOVE_NET");
        }
        let owner = &ask.owner;
        self.tidy(&[&*ask.releases, &*ask.confirms].concat(), Some(owner));
        let (mut placed, mut released) = (record.placed, Vec::new());
        for order in &ask.releases {
            if flaw != Flaw::KeepsPlaces {
                placed = placed.saturating_sub(self.drop_place(order, owner));
            }
            released.push(order.order.clone());
        }
        if ask.have < placed && flaw != Flaw::KeepsPlaces {
            return Err("HAVE_BELOW_PLACED");
        }
        let (placed, yes, no) = self.confirm(ask, placed, flaw);
        let kept = if flaw == Flaw::AddsReturns { record.net } else { ask.have };
        let leased = (self.leased + ask.have).saturating_sub(record.net);
        let pool =
            if flaw == Flaw::LendsAll { self.stocked } else { self.stocked.saturating_sub(leased) };
        let granted = if self.open == 1 { ask.want.min(pool) } else { 0 };
        let unmet = ask.want - granted;
        self.leased = leased + granted;
        self.unmet = (self.unmet + unmet).saturating_sub(record.unmet);
        let reply = [granted.to_string(), yes.join(" "), no.join(" "), released.join(" ")];
        let (epoch, n) = (record.epoch, ask.n);
        let net = kept + granted;
        let record = Record { epoch, n, net, placed, unmet, reply: Some(reply) };
        let told = self.told(&record, flaw).expect("it was answered a moment ago");
        self.records.insert(owner.gateway.clone(), record);
        self.forget_empty();
        Ok(told)
    }
}
