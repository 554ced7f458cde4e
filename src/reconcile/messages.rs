//! What gateways and Redis say to each other, and how it is written.
//!
//! Counts are numbers, ids are decimal strings: Redis only compares them. It must not know how
//! messages are sent.

use std::fmt;
use std::num::ParseIntError;
use std::slice::Iter;
use std::str::FromStr;

use redis::{Cmd, cmd};
use seckill_shards::ids::{ActivityId, Era, OrderId, UserId};

use super::library::{VERSION, function};
use super::{Alarm, Answer, Fault, Refusal};

/// Who may hold units of an activity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Member {
    /// A gateway, by its number; after it was retired, whoever has adopted it.
    Gateway(u16),
    /// What operators have withdrawn: a row of the store leases it and never sells.
    Withdrawals,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway(number) => number.fmt(f),
            Self::Withdrawals => f.write_str("W"),
        }
    }
}

impl FromStr for Member {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        if text == "W" { Ok(Self::Withdrawals) } else { text.parse().map(Self::Gateway) }
    }
}

/// A member in one of its epochs: who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Holder {
    /// Who.
    pub member: Member,
    /// Grows when the member is retired.
    pub epoch: u8,
}

/// The store's word on an activity's stock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stock {
    /// Grows with each word.
    pub version: u64,
    /// Units that were ever put in; this never shrinks.
    pub stocked: u32,
    /// Whether units are still lent.
    pub open: bool,
}

/// Units of a buyer's limit that an order takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The buyer.
    pub user: UserId,
    /// The order.
    pub order: OrderId,
    /// Its units.
    pub quantity: u32,
}

/// A place that is free again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Release {
    /// The buyer.
    pub user: UserId,
    /// The order that has ended.
    pub order: OrderId,
}

/// What a holder has, by its journal.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// The era that the journal has entered.
    pub era: Era,
    /// Who.
    pub holder: Holder,
    /// The number of its last request that was answered.
    pub n: u64,
    /// Units that it may have sold, holds or sells.
    pub net: u32,
    /// Of confirmed orders: payable, paid, and ended without being released.
    pub places: Vec<Place>,
}

/// Who may have units, by the store, read after the era was seen.
#[derive(Clone, Debug)]
pub struct Roll {
    /// The era that was seen.
    pub era: Era,
    /// The stock.
    pub stock: Stock,
    /// Every member with its epoch.
    pub members: Vec<Holder>,
}

/// The era is live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resumed {
    /// Units that are lent beyond what is stocked. Anything but 0 is an alarm: somebody declared
    /// too much. Nothing is lent until as much has come back.
    pub excess: u64,
}

/// One numbered request of a holder.
#[derive(Clone, Debug)]
pub struct LeaseRequest {
    /// The journal's era.
    pub era: Era,
    /// Who.
    pub holder: Holder,
    /// One more than the last that was answered; the same again until this one is.
    pub n: u64,
    /// Units that the holder keeps: what it had and does not say here, it gives back.
    pub have: u32,
    /// Units that it would like beside them.
    pub want: u32,
    /// The newest word on the stock that it has heard.
    pub stock: Stock,
    /// The most units one buyer may have; it never changes.
    pub limit: u32,
    /// Places that are free again, in the journal's order.
    pub releases: Vec<Release>,
    /// Places that are asked for, in the journal's order, after the releases.
    pub confirms: Vec<Place>,
}

/// What was done under a number: the same for every message that bears it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaseReply {
    /// The era of the request: it counts only in this one.
    pub era: Era,
    /// The number.
    pub n: u64,
    /// Units lent.
    pub granted: u32,
    /// Orders whose place is confirmed.
    pub yes: Vec<OrderId>,
    /// Orders whose place was refused, and is not held.
    pub no: Vec<OrderId>,
    /// Orders whose place is free.
    pub released: Vec<OrderId>,
    /// Units that other holders asked for in their last requests and did not get, as of now, beyond
    /// those that nobody has.
    pub short: u64,
}

/// What Redis remembers of an activity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// Its era.
    pub era: Era,
    /// Whether this is the Redis on which the era was begun; where not, it may have forgotten.
    pub remembers: bool,
    /// Whether units are lent and places confirmed.
    pub live: bool,
    /// The newest word on the stock that Redis has heard.
    pub stock: Stock,
    /// Units lent to all.
    pub leased: u64,
    /// All who have declared.
    pub holdings: Vec<Holding>,
}

impl Status {
    /// Units that Redis counts wrongly: otherwise than gateway by gateway, or beyond what is stocked.
    #[must_use]
    pub fn miscounted(&self) -> u64 {
        let nets = self.holdings.iter().map(|it| u64::from(it.net)).sum();
        // While it is built anew nobody may have told it what is stocked.
        let stocked = if self.live { self.stock.stocked.into() } else { u64::MAX };
        self.leased.abs_diff(nets).max(self.leased.saturating_sub(stocked))
    }
}

/// What Redis remembers of a holder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holding {
    /// Who.
    pub holder: Holder,
    /// The number of its last request.
    pub n: u64,
    /// Units lent to it.
    pub net: u32,
    /// Those of them that stand behind a place.
    pub placed: u32,
}

fn key(activity: ActivityId) -> String {
    format!("seckill:lease:{activity}")
}

fn call(function: &str, activity: ActivityId) -> Cmd {
    let mut call = cmd("FCALL");
    call.arg(function).arg(1).arg(key(activity));
    call
}

/// Drops the hash; no function, since there is nothing to compare with.
pub(super) fn forget(activity: ActivityId) -> Cmd {
    let mut unlink = cmd("UNLINK");
    unlink.arg(key(activity));
    unlink
}

fn push_holder(call: &mut Cmd, era: Era, holder: Holder) {
    call.arg(era.to_string()).arg(holder.member.to_string()).arg(holder.epoch);
}

fn push_stock(call: &mut Cmd, stock: Stock) {
    call.arg(stock.version).arg(stock.stocked).arg(u8::from(stock.open));
}

fn push_places(call: &mut Cmd, places: &[Place]) {
    for place in places {
        call.arg(place.user.0).arg(place.order.0).arg(place.quantity);
    }
}

/// `status()`.
pub(super) fn status(activity: ActivityId) -> Cmd {
    call(function::STATUS, activity)
}

/// `begin(seen, generation, random)`.
pub(super) fn begin(activity: ActivityId, seen: Option<Era>, generation: u64, random: u64) -> Cmd {
    let mut call = call(function::BEGIN, activity);
    let seen = seen.map_or_else(String::new, |era| era.to_string());
    call.arg(seen).arg(generation).arg(random);
    call
}

/// `part(era, gateway, epoch, index, places)`.
pub(super) fn part(activity: ActivityId, of: &Declaration, index: usize, places: &[Place]) -> Cmd {
    let mut call = call(function::PART, activity);
    push_holder(&mut call, of.era, of.holder);
    call.arg(index);
    push_places(&mut call, places);
    call
}

/// `declare(era, gateway, epoch, n, net, parts, places)`, with the places behind the parts.
pub(super) fn declare(activity: ActivityId, of: &Declaration, parts: usize, last: &[Place]) -> Cmd {
    let mut call = call(function::DECLARE, activity);
    push_holder(&mut call, of.era, of.holder);
    call.arg(of.n).arg(of.net).arg(parts);
    push_places(&mut call, last);
    call
}

/// `resume(era, version, stocked, open, roster)`.
pub(super) fn resume(activity: ActivityId, roll: &Roll) -> Cmd {
    let mut call = call(function::RESUME, activity);
    call.arg(roll.era.to_string());
    push_stock(&mut call, roll.stock);
    for holder in &roll.members {
        call.arg(holder.member.to_string()).arg(holder.epoch);
    }
    call
}

/// `lease(era, gateway, epoch, n, have, want, version, stocked, open, limit, releases, …)`.
pub(super) fn lease(activity: ActivityId, request: &LeaseRequest) -> Cmd {
    let mut call = call(function::LEASE, activity);
    push_holder(&mut call, request.era, request.holder);
    call.arg(request.n).arg(request.have).arg(request.want);
    push_stock(&mut call, request.stock);
    call.arg(request.limit).arg(request.releases.len());
    for release in &request.releases {
        call.arg(release.user.0).arg(release.order.0);
    }
    push_places(&mut call, &request.confirms);
    call
}

/// The words of an answer, from the first to the last.
#[derive(Debug)]
pub(super) struct Words<'a>(Iter<'a, String>);

impl Words<'_> {
    fn read<T: FromStr>(&mut self) -> Option<T> {
        self.0.next()?.parse().ok()
    }

    fn read_flag(&mut self) -> Option<bool> {
        self.read::<u8>().map(|flag| flag == 1)
    }

    fn read_stock(&mut self) -> Option<Stock> {
        Some(Stock { version: self.read()?, stocked: self.read()?, open: self.read_flag()? })
    }

    fn read_orders(&mut self) -> Option<Vec<OrderId>> {
        let ids = self.0.next()?.split(' ').filter(|id| !id.is_empty());
        ids.map(|id| id.parse().ok().map(OrderId)).collect()
    }

    fn read_refusal(&mut self, kind: &str) -> Option<Refusal> {
        Some(match kind {
            "ABSENT" => Refusal::Absent,
            "FORGOT" => Refusal::Forgot { era: self.read()? },
            "ERA" => Refusal::Era { era: self.read()? },
            "FENCED" => Refusal::Fenced,
            "PROTOCOL" => Refusal::Protocol(alarm(self.0.next()?)?),
            "NOT_YET" => Refusal::NotYet { member: self.read()? },
            "REBUILDING" => Refusal::Rebuilding,
            "UNDECLARED" => Refusal::Undeclared,
            "NUMBER" => Refusal::Number { n: self.read()? },
            _ => return None,
        })
    }

    /// The rest of a `status`.
    pub(super) fn read_status(&mut self) -> Option<Status> {
        let mut status = Status {
            era: self.read()?,
            remembers: self.read_flag()?,
            live: self.read_flag()?,
            stock: self.read_stock()?,
            leased: self.read()?,
            holdings: Vec::new(),
        };
        while self.0.len() > 0 {
            status.holdings.push(Holding {
                holder: Holder { member: self.read()?, epoch: self.read()? },
                n: self.read()?,
                net: self.read()?,
                placed: self.read()?,
            });
        }
        Some(status)
    }

    /// The rest of a `begin`.
    pub(super) fn read_era(&mut self) -> Option<Era> {
        self.read()
    }

    /// The rest of a `resume`.
    pub(super) fn read_resumed(&mut self) -> Option<Resumed> {
        Some(Resumed { excess: self.read()? })
    }

    /// The rest of a `lease` that was asked in an era.
    pub(super) fn read_lease(&mut self, era: Era) -> Option<LeaseReply> {
        Some(LeaseReply {
            era,
            n: self.read()?,
            granted: self.read()?,
            yes: self.read_orders()?,
            no: self.read_orders()?,
            released: self.read_orders()?,
            short: self.read()?,
        })
    }
}

fn alarm(word: &str) -> Option<Alarm> {
    Some(match word {
        "FOREIGN" => Alarm::Foreign,
        "UNKNOWN_UNITS" => Alarm::UnknownUnits,
        "PARTS_MISSING" => Alarm::PartsMissing,
        "HAVE_ABOVE_NET" => Alarm::HaveAboveNet,
        "HAVE_BELOW_PLACED" => Alarm::HaveBelowPlaced,
        "STOCK_SHRANK" => Alarm::StockShrank,
        "NOBODY" => Alarm::Nobody,
        _ => return None,
    })
}

/// An answer from its words; `rest` reads what follows where Redis did it.
pub(super) fn answer<T>(
    reply: Vec<String>,
    rest: impl FnOnce(&mut Words<'_>) -> Option<T>,
) -> Result<Answer<T>, Fault> {
    let mut words = Words(reply.iter());
    let answer = match words.0.next().map(String::as_str) {
        Some("OK") => rest(&mut words).map(Ok),
        Some("VERSION") => {
            let found = words.read();
            return Err(found.map_or_else(|| Fault::Answer(reply), newer));
        }
        Some(kind) => words.read_refusal(kind).map(Err),
        None => None,
    };
    answer.ok_or(Fault::Answer(reply))
}

fn newer(found: u64) -> Fault {
    Fault::Newer { found, ours: VERSION }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split('|').map(str::to_owned).collect()
    }

    #[test]
    fn an_answer_that_no_function_gives_is_a_fault() {
        let read = |text: &str| answer(words(text), |rest| rest.read_resumed());
        for text in ["", "WHAT", "OK", "OK|-1", "ERA|3", "PROTOCOL|WHY", "NUMBER|", "VERSION|x"] {
            assert!(matches!(read(text), Err(Fault::Answer(_))), "{text}");
        }
        assert!(matches!(answer(Vec::new(), |rest| rest.read_resumed()), Err(Fault::Answer(_))));
        assert!(matches!(read("VERSION|2"), Err(Fault::Newer { found: 2, ours: VERSION })));
        assert_eq!(read("NUMBER|7").unwrap(), Err(Refusal::Number { n: 7 }));
        assert_eq!(read("OK|7").unwrap(), Ok(Resumed { excess: 7 }));
    }
}
