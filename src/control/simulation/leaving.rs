//! Gateways that hand themselves over: an operator asks one to, or to stay after all; it ends by itself, as
//! `seckill serve` does, and its last word to the store is who goes on.
//!
//! It must not know when a gateway takes it to be time, nor what becomes of its orders then.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use seckill_shards::clock::Clock;
use seckill_shards::command::OrderView;
use seckill_shards::orders::{Fold, Order};
use seckill_shards::record::{Record, Status};

use super::Violation;
use super::gateway::{Fate, Gateway, Running, Task};
use super::losses::GATEWAYS_MAX;
use super::world::World;
use crate::control::{Ending, HandOverError, RegisterError};
use crate::store::{GatewayRow, OutOfStep, Store, StoreError};

/// For so long what was asked before the end is answered yet, in simulated microseconds.
const LAST_ANSWERS_US: u64 = 100_000;
/// And for so long the rest of the journals is flushed.
const LAST_FLUSH_US: u64 = 10_000_000;

/// How far a process is in ending by itself.
pub(super) enum Leaving {
    /// Its journals end at this instant.
    Answers(u64),
    /// They have ended, and are flushed until this instant at most.
    Flushes(u64),
    /// Its last word is under way.
    Says(Task<Result<(), HandOverError>>),
}

impl World {
    /// An operator asks a gateway to hand itself over, unless too few stay, and a fresh one will come for it;
    /// or asks one to stay after all.
    pub(super) fn drain_any(&mut self) {
        let mut own = self.rows();
        own.retain(|row| self.is_own(row.number.into()));
        let numbers = |is_it: fn(&GatewayRow) -> bool| {
            own.iter().filter(|row| is_it(row)).map(|row| row.number).collect::<Vec<_>>()
        };
        let asked = numbers(|row| row.drains_to.is_some());
        let mut stay = numbers(|row| {
            !row.address.is_empty() && row.drains_to.is_none() && row.retired.is_none()
        });
        if !asked.is_empty() && self.random.once_in(2) {
            let number = asked[self.random.index(asked.len())];
            self.drain(number, None);
        } else if stay.len() > 1 && self.gateways.len() < GATEWAYS_MAX {
            let number = stay.remove(self.random.index(stay.len()));
            let to = stay[self.random.index(stay.len())];
            self.drain(number, Some(to));
            self.add_gateway();
        }
    }

    /// As the command line does it.
    pub(super) fn drain(&mut self, number: u16, to: Option<u16>) {
        // Refused, where it has handed itself over by now.
        drop(self.store.ask(async |store| store.ask_to_drain(number, to).await));
        self.note(|| match to {
            Some(to) => format!("gateway {number} is asked to hand itself over to {to}"),
            None => format!("gateway {number} is asked to stay"),
        });
    }

    /// Whoever has ended by itself and is not handed over is started again.
    pub(super) fn start_again(&mut self) {
        for at in self.own() {
            if self.gateways[at].running.is_none() {
                self.start(at);
            }
        }
    }

    /// Whether one that was asked to hand itself over has yet to. One stays whose successor has gone itself.
    pub(super) fn is_any_leaving(&mut self) -> bool {
        let rows = self.rows();
        let is_there = |to| rows.iter().any(|row| row.number == to && row.retired.is_none());
        let is_leaving =
            |row: &GatewayRow| row.retired.is_some() || row.drains_to.is_some_and(is_there);
        rows.iter().any(|row| self.is_own(row.number.into()) && is_leaving(row))
    }

    /// A process that is to end goes on with that.
    pub(super) fn leave(&mut self, at: usize) -> Result<(), Violation> {
        let now_us = self.gateways[at].clock.elapsed_us();
        let Some(running) = &mut self.gateways[at].running else { return Ok(()) };
        let Some(Ending::HandOver(to)) = running.must_stop() else { return Ok(()) };
        match &mut running.leaving {
            None => {
                running.stop();
                running.leaving = Some(Leaving::Answers(now_us + LAST_ANSWERS_US));
                self.note(|| format!("gateway {at} ends, and hands itself over to {to}"));
            }
            Some(Leaving::Answers(until_us)) if now_us < *until_us => {}
            Some(Leaving::Answers(_)) => {
                running.leaving = Some(Leaving::Flushes(now_us + LAST_FLUSH_US));
                for it in self.guests(at).into_iter().chain([at]) {
                    self.gateways[it].running.iter_mut().for_each(Running::end_journal);
                }
            }
            Some(Leaving::Flushes(until_us)) => {
                let is_late = now_us >= *until_us;
                self.say(at, to, is_late);
            }
            Some(Leaving::Says(word)) => {
                let mut context = Context::from_waker(Waker::noop());
                if let Poll::Ready(said) = word.as_mut().poll(&mut context) {
                    self.note(|| format!("gateway {at} has said who goes on: {said:?}"));
                    self.check()?;
                    self.end(at, said.is_ok());
                }
            }
        }
        Ok(())
    }

    /// Its last word, once the store has the rest, or there is no more time for it.
    fn say(&mut self, at: usize, to: u16, is_late: bool) {
        let is_flushed =
            |it: &usize| self.gateways[*it].running.as_ref().is_none_or(Running::is_flushed);
        let is_whole = self.guests(at).iter().all(is_flushed);
        if is_late || (is_whole && is_flushed(&at)) {
            let running = self.gateways[at].running.as_mut().expect("it ends");
            let control = Arc::clone(&running.control);
            let word = async move { control.hand_over(to, is_whole).await };
            running.leaving = Some(Leaving::Says(Box::pin(word)));
        }
    }

    /// A process has ended by itself, with all that run in it: for good, where another goes on.
    fn end(&mut self, at: usize, is_over: bool) {
        for ended in self.guests(at).into_iter().chain([at]) {
            self.gateways[ended].crash(false);
            if is_over {
                self.gateways[ended].fate = Fate::Left;
            }
        }
    }

    /// One that may have been handed over asks the store first thing, and goes no further where that says so
    /// or is away.
    pub(super) fn stays(&mut self, at: usize) -> bool {
        let is_reached = self.reaches_store(at);
        let running = self.gateways[at].running.as_ref().expect("it has just started");
        let mut asked = Box::pin(running.control.register());
        let mut context = Context::from_waker(Waker::noop());
        let heard = loop {
            if let Poll::Ready(heard) = asked.as_mut().poll(&mut context) {
                break heard;
            }
            match is_reached {
                true => running.line.work(&mut self.store).into_iter().for_each(|answer| answer()),
                false => running.line.lose(),
            }
        };
        drop(asked);
        self.note(|| format!("gateway {at} asks whether it is handed over: {heard:?}"));
        match heard {
            Ok(()) => return true,
            Err(RegisterError::Store(StoreError::OutOfStep(OutOfStep::Retired { .. }))) => {
                self.end(at, true);
            }
            Err(error) => {
                assert!(error.is_away(), "gateway {at} cannot go on: {error}");
                self.end(at, false);
            }
        }
        false
    }

    /// All that one had that was handed over is there as it was: in the store, and where more may happen to
    /// it with whoever goes on, whose journal begins with these records.
    pub(super) fn check_handed_over(
        &mut self,
        former: &Gateway,
        records: &[Record],
    ) -> Result<(), Violation> {
        for (&id, entry) in &former.ledger.orders {
            let row = self.store.ask(async |store| store.order(id).await);
            let (was, is) = (entry.status, row.map(|row| row.order.status));
            if is.as_ref().ok() != Some(&was) {
                return Err(format!(
                    "order {id} was handed over {was:?}, and the store has {is:?}"
                ));
            }
        }
        let (had, mut has) = (former.read_journal(), Fold::default());
        records.iter().for_each(|record| has.apply(record));
        for order in had.orders.iter() {
            let found = has.orders.order(order.id);
            let is_closed = had.activities.get(&order.activity).is_some_and(|it| it.closed);
            if !found.map_or_else(|| is_over(order, is_closed), |it| view(it) == view(order)) {
                return Err(format!("{order:?} was handed over, and {found:?} goes on"));
            }
        }
        for (id, sale) in had.activities.iter().filter(|(_, it)| !it.closed) {
            let is = has.activities.get(id).map(|it| it.totals).unwrap_or_default();
            if is != sale.totals {
                let was = sale.totals;
                return Err(format!("{was:?} of {id} were handed over, and {is:?} go on"));
            }
        }
        Ok(())
    }
}

/// What others may see of an order. The store has its payments by their ids, and not by when they were started.
fn view(order: &Order) -> OrderView {
    let mut view = order.view();
    view.payments.sort_unstable_by_key(|payment| payment.id);
    view
}

/// Whether nothing more can happen to an order but that the others are told of its end. Of a sale that is closed
/// the store alone has the rest, also money that is owed back.
fn is_over(order: &Order, is_closed: bool) -> bool {
    let is_final = || order.payments.iter().all(|payment| payment.status.is_final());
    !order.status.is_open() && (is_closed || (order.status != Status::Paid && is_final()))
}
