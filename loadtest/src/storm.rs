//! A sale under load in which something dies, and what its clients know afterwards.
//!
//! It must not know what dies, nor whether shoppers meet the gateway itself or something before it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::Deserialize;

use crate::checker::{Account, Difference, Found, Terms, compare};
use crate::client::Client;
use crate::driver::{Answer, Load, Sent, drive, request};
use crate::gateway::Gateway;
use crate::patience::{GENEROUS, until};
use crate::random::Random;
use crate::shop::{self, Sale, Shop};

const BUYERS: usize = 60;
/// Requests of a storm; nginx lets so many of one network pass at once.
const ARRIVALS: usize = 2_000;

/// A sale under load, and what its clients know.
#[derive(Debug)]
pub struct Storm {
    activity: String,
    terms: Terms,
    tokens: Vec<String>,
    /// All that was sent, and what came back.
    pub sent: Vec<Sent>,
}

impl Storm {
    /// Sells at an address until all is sent or nobody is there; after a random number of answers
    /// something happens.
    ///
    /// # Panics
    /// Where the sale cannot be made.
    #[must_use]
    pub fn sell(
        address: SocketAddr,
        gateway: &mut Gateway,
        shop: &mut Shop,
        random: &mut Random,
        happen: impl FnOnce(&mut Gateway),
    ) -> Self {
        let seed = random.bits();
        // Some sales sell out before, and in some all orders expire soon.
        let stock = *random.one_of(&[40, 400, 100_000]);
        let limit = *random.one_of(&[1, 3, 1_000]);
        let pay_within_s = *random.one_of(&[1, 3_600]);
        let activity = shop.sale(Sale { limit, pay_within_s, ..Sale::of(stock) });
        let tokens = shop::tokens(gateway, &format!("buyer{seed:x}-"), BUYERS);
        let load = Load {
            activity: &activity,
            tokens: &tokens,
            arrivals: ARRIVALS,
            rate: 4_000,
            connections: 8,
            quantity_max: limit.min(2),
            repeats_percent: 10,
            cancels_percent: 10,
            seed,
        };
        let enough = random.below(ARRIVALS);
        let answered = AtomicUsize::new(0);
        let sent = thread::scope(|scope| {
            let load = scope.spawn(|| drive(address, &load, &answered));
            until("enough is answered", GENEROUS * 8, || {
                // Only a count: the answers themselves come with the join.
                (answered.load(Ordering::Relaxed) >= enough || load.is_finished()).then_some(())
            });
            happen(gateway);
            load.join().expect("the driver does not panic")
        });
        let terms = Terms { stock: stock.into(), limit: limit.into() };
        Self { activity, terms, tokens, sent }
    }

    /// How many requests were answered with this status.
    #[must_use]
    pub fn answered(&self, status: u16) -> usize {
        let answers = self.sent.iter().filter_map(|sent| sent.answer.as_ref());
        answers.filter(|answer| answer.status == status).count()
    }

    /// What clients do afterwards: they ask again, with the same key, what was not answered.
    pub fn ask_again(&mut self, address: SocketAddr) {
        let unanswered = self.sent.iter().filter(|sent| sent.answer.is_none());
        let again: Vec<Sent> = unanswered
            .enumerate()
            .map(|(index, sent)| {
                let mut buyer = Client::with_token(address, &self.tokens[sent.buyer]);
                let request_id = format!("again-{index}");
                let response = buyer.send(request(&self.activity, &sent.ask, &request_id));
                Sent { answer: Some(Answer::of(&response, &request_id)), ..sent.clone() }
            })
            .collect();
        self.sent.extend(again);
    }

    /// Compares; the audit must find no difference at any moment, and comes to what is there as
    /// soon as the last expiries and the last flush are over.
    ///
    /// # Panics
    /// Where anything differs.
    #[track_caller]
    pub fn check(&self, gateway: &Gateway) {
        let mut differences = Vec::new();
        let is_sound = || {
            let audit = gateway.audit(&self.activity);
            let account = Account::deserialize(audit).expect("an audit is as the contract says");
            differences = compare(self.terms, &self.sent, &self.find(gateway), account);
            let waits = differences.iter().all(|it| matches!(it, Difference::Unbalanced(_)));
            (differences.is_empty() || !waits).then_some(())
        };
        until("the audit comes to what is there", GENEROUS, is_sound);
        // The first in the first line, which a report of many rounds takes.
        let first = differences.first();
        assert!(first.is_none(), "{} differences, {first:?}: {differences:#?}", differences.len());
    }

    /// What every buyer finds in their list.
    fn find(&self, gateway: &Gateway) -> Vec<Found> {
        let mut found = Vec::new();
        for (buyer, token) in self.tokens.iter().enumerate() {
            let orders = shop::orders(&mut Client::with_token(gateway.address(), token));
            found.extend(orders.into_iter().map(|order| Found { buyer, order }));
        }
        found
    }
}
