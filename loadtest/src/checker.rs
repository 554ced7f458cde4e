//! What every client was told, compared with what is there afterwards.
//!
//! It must not know how either was learned; it believes the clients.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use crate::driver::{Answer, Ask, Sent};
use crate::order::{Order, PaymentStatus, Status};

/// What the sale may sell.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Units.
    pub stock: u64,
    /// Units that one shopper may hold.
    pub limit: u64,
}

/// An order that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// The index of the buyer in whose list it is.
    pub buyer: usize,
    /// The order.
    pub order: Order,
}

/// What the audit says of an activity, in units.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub struct Account {
    /// Ever stocked.
    pub stock_total: u64,
    /// In paid orders.
    pub sold: u64,
    /// Held by open orders.
    pub held: u64,
    /// Decided and not durable.
    pub reserved: u64,
    /// Withdrawn, or back at the closing.
    pub returned: u64,
    /// Free.
    pub remaining: u64,
    /// Buyers over the limit.
    pub over_limit_users: u64,
    /// Open orders past their deadline.
    pub overdue_unpaid: u64,
    /// Whether the audit found no difference.
    pub balanced: bool,
}

/// Something that was said and is not so, or is and must not be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Difference {
    /// An order was answered 202 and is not there.
    Lost(Found),
    /// An order is there with other units, another activity, or a status it cannot have come to.
    Changed {
        /// As it was answered.
        told: Order,
        /// As it is.
        found: Order,
    },
    /// A cancellation was answered 204 and the order is not cancelled.
    NotCancelled(String),
    /// The word that money has come was taken, and it neither pays the order nor is owed back.
    NotPaid {
        /// The order.
        order: String,
        /// The payment.
        payment: String,
    },
    /// One key of one buyer made several orders.
    KeyOfSeveral {
        /// The buyer.
        buyer: usize,
        /// The key.
        key: String,
    },
    /// A buyer has an order that none of their requests can have made.
    Unasked(Found),
    /// The same order is in the lists of two buyers, or twice in one.
    Twice(String),
    /// More units are in orders than there were.
    Oversold {
        /// Units of orders that take some.
        units: u64,
    },
    /// A buyer holds more than the limit.
    Overbought {
        /// The buyer.
        buyer: usize,
        /// Their units.
        units: u64,
    },
    /// The audit does not add up, or not to what is there.
    Unbalanced(Account),
    /// An answer that the contract does not have.
    Undocumented(Sent),
    /// An answer came that is another request's.
    OutOfOrder(Sent),
}

/// Everything that is wrong after a load whose orders are all of one activity.
#[must_use]
pub fn compare(terms: Terms, sent: &[Sent], found: &[Found], account: Account) -> Vec<Difference> {
    let there: HashMap<&str, &Found> =
        found.iter().map(|found| (found.order.id.as_str(), found)).collect();
    let mut differences = Vec::new();
    for sent in sent {
        differences.extend(broken_promise(sent, &there));
    }
    differences.extend(keys_of_several(sent));
    differences.extend(unasked(sent, found));
    differences.extend(sums(terms, found));
    differences
        .extend((!is_balanced(terms, account, found)).then_some(Difference::Unbalanced(account)));
    differences
}

/// What an answer promised and is not so.
fn broken_promise(sent: &Sent, there: &HashMap<&str, &Found>) -> Option<Difference> {
    let answer = sent.answer.as_ref()?;
    if !answer.is_in_order {
        return Some(Difference::OutOfOrder(sent.clone()));
    }
    match (&sent.ask, answer.status, &answer.order) {
        (Ask::Buy { quantity, .. }, 202, Some(told)) => {
            let told_to = Found { buyer: sent.buyer, order: told.clone() };
            let Some(found) = there.get(told.id.as_str()).filter(|it| it.buyer == sent.buyer)
            else {
                return Some(Difference::Lost(told_to));
            };
            let is_same = told.activity == found.order.activity
                && told.quantity == *quantity
                && found.order.quantity == *quantity
                && told.status.may_become(found.order.status);
            let changed = || Difference::Changed { told: told.clone(), found: found.order.clone() };
            (!is_same).then(changed)
        }
        (Ask::Cancel { order }, 204, _) => {
            let found = there.get(order.as_str());
            let is_cancelled = found.is_some_and(|it| it.order.status == Status::Cancelled);
            (!is_cancelled).then(|| Difference::NotCancelled(order.clone()))
        }
        (Ask::Pay { order, payment, .. }, 204, _) => {
            let is_kept = there.get(order.as_str()).is_some_and(|it| is_kept(&it.order, payment));
            let (order, payment) = (order.clone(), payment.clone());
            (!is_kept).then_some(Difference::NotPaid { order, payment })
        }
        _ => (!is_documented(sent, answer)).then(|| Difference::Undocumented(sent.clone())),
    }
}

/// Whether money that came for an order pays it, or is its buyer's again.
fn is_kept(order: &Order, payment: &str) -> bool {
    let payment = order.payments.iter().find(|it| it.id == payment);
    payment.is_some_and(|payment| match payment.status {
        PaymentStatus::Succeeded => order.status == Status::Paid,
        PaymentStatus::RefundDue | PaymentStatus::Refunded => true,
        PaymentStatus::Started | PaymentStatus::Failed => false,
    })
}

/// Whether the contract has such a refusal of a well-formed request.
fn is_documented(sent: &Sent, answer: &Answer) -> bool {
    let slug = answer.slug.as_deref().unwrap_or_default();
    match sent.ask {
        Ask::Buy { .. } => matches!(
            (answer.status, slug),
            (409, "sold-out" | "insufficient-stock" | "limit-reached" | "paused" | "ended")
                | (429, "rate-limited")
                | (503, "overloaded" | "unavailable")
                | (504, "outcome-unknown")
        ),
        Ask::Cancel { .. } => matches!(
            (answer.status, slug),
            (409, "order-state") | (503, "overloaded" | "unavailable") | (504, "outcome-unknown")
        ),
        // What is not told is told again.
        Ask::Pay { .. } => matches!((answer.status, slug), (503, "overloaded" | "unavailable")),
    }
}

/// The same key is the same order, however often it was sent.
fn keys_of_several(sent: &[Sent]) -> Vec<Difference> {
    let mut orders: HashMap<(usize, &str), HashSet<&str>> = HashMap::new();
    for sent in sent {
        if let (Ask::Buy { key, .. }, Some(Answer { order: Some(order), .. })) =
            (&sent.ask, &sent.answer)
        {
            orders.entry((sent.buyer, key)).or_default().insert(&order.id);
        }
    }
    let several = orders.into_iter().filter(|(_, orders)| orders.len() > 1);
    several
        .map(|((buyer, key), _)| Difference::KeyOfSeveral { buyer, key: key.to_owned() })
        .collect()
}

/// Orders that nobody was told of need a request each whose outcome nobody knows.
fn unasked(sent: &[Sent], found: &[Found]) -> Vec<Difference> {
    let mut told: HashSet<&str> = HashSet::new();
    let mut answered: HashSet<(usize, &str)> = HashSet::new();
    for sent in sent {
        if let (Ask::Buy { key, .. }, Some(Answer { order: Some(order), .. })) =
            (&sent.ask, &sent.answer)
        {
            told.insert(&order.id);
            answered.insert((sent.buyer, key));
        }
    }
    // Keys of unknown outcome, by buyer and units: each may have made one order.
    let mut open: HashMap<(usize, u32), HashSet<&str>> = HashMap::new();
    for sent in sent {
        let is_unknown = sent.answer.as_ref().is_none_or(|answer| answer.status == 504);
        if let Ask::Buy { key, quantity } = &sent.ask
            && is_unknown
            && !answered.contains(&(sent.buyer, key))
        {
            open.entry((sent.buyer, *quantity)).or_default().insert(key);
        }
    }
    let mut open: HashMap<_, _> = open.into_iter().map(|(of, keys)| (of, keys.len())).collect();
    let mut unasked = Vec::new();
    for found in found.iter().filter(|found| !told.contains(found.order.id.as_str())) {
        match open.get_mut(&(found.buyer, found.order.quantity)) {
            Some(left) if *left > 0 => *left -= 1,
            Some(_) | None => unasked.push(Difference::Unasked(found.clone())),
        }
    }
    unasked
}

/// Oversell, overbuy and doubles.
fn sums(terms: Terms, found: &[Found]) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut seen = HashSet::new();
    let mut by_buyer: HashMap<usize, u64> = HashMap::new();
    for found in found {
        if !seen.insert(&found.order.id) {
            differences.push(Difference::Twice(found.order.id.clone()));
        }
        if found.order.status.takes_units() {
            *by_buyer.entry(found.buyer).or_default() += u64::from(found.order.quantity);
        }
    }
    let units = by_buyer.values().sum();
    if units > terms.stock {
        differences.push(Difference::Oversold { units });
    }
    let over = by_buyer.into_iter().filter(|(_, units)| *units > terms.limit);
    differences.extend(over.map(|(buyer, units)| Difference::Overbought { buyer, units }));
    differences
}

/// Whether the account adds up, and to the orders that are there.
fn is_balanced(terms: Terms, account: Account, found: &[Found]) -> bool {
    let Account { stock_total, sold, held, reserved, returned, remaining, .. } = account;
    let units = |of: fn(Status) -> bool| -> u64 {
        let orders = found.iter().filter(|found| of(found.order.status));
        orders.map(|found| u64::from(found.order.quantity)).sum()
    };
    account.balanced
        && account.over_limit_users == 0
        && account.overdue_unpaid == 0
        && stock_total == terms.stock
        && stock_total == sold + held + reserved + returned + remaining
        && held + reserved == units(Status::is_held)
        && sold == units(|status| status == Status::Paid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::Payment;

    const TERMS: Terms = Terms { stock: 3, limit: 2 };
    const ACCOUNT: Account = Account {
        stock_total: 3,
        sold: 0,
        held: 3,
        reserved: 0,
        returned: 0,
        remaining: 0,
        over_limit_users: 0,
        overdue_unpaid: 0,
        balanced: true,
    };

    fn order(id: &str, quantity: u32, status: Status) -> Order {
        let (id, activity, payments) = (id.to_owned(), "7".to_owned(), Vec::new());
        Order { id, activity, quantity, status, payments }
    }

    fn found(buyer: usize, id: &str, quantity: u32) -> Found {
        Found { buyer, order: order(id, quantity, Status::AwaitingPayment) }
    }

    fn buy(buyer: usize, key: &str, quantity: u32, answer: Option<Answer>) -> Sent {
        Sent { buyer, ask: Ask::Buy { key: key.to_owned(), quantity }, answer }
    }

    fn accepted(id: &str, quantity: u32) -> Option<Answer> {
        let order = Some(order(id, quantity, Status::AwaitingPayment));
        Some(Answer { status: 202, slug: None, order, is_in_order: true })
    }

    fn refused(status: u16, slug: &str) -> Option<Answer> {
        Some(Answer { status, slug: Some(slug.to_owned()), order: None, is_in_order: true })
    }

    /// A sale that went well: two buyers, one of them over two orders, and a late one.
    fn sale() -> (Vec<Sent>, Vec<Found>) {
        let sent = vec![
            buy(0, "a", 1, accepted("1", 1)),
            buy(0, "a", 1, accepted("1", 1)),
            buy(0, "b", 1, None),
            buy(1, "c", 1, accepted("3", 1)),
            buy(2, "d", 1, refused(409, "sold-out")),
        ];
        (sent, vec![found(0, "1", 1), found(0, "2", 1), found(1, "3", 1)])
    }

    fn check(sent: &[Sent], found: &[Found], account: Account) -> Vec<Difference> {
        compare(TERMS, sent, found, account)
    }

    #[test]
    fn a_sound_sale_has_no_difference() {
        let (sent, found) = sale();
        assert_eq!(check(&sent, &found, ACCOUNT), []);
    }

    #[test]
    fn canary_a_lost_order_is_seen() {
        let (sent, mut there) = sale();
        let lost = there.remove(2);
        let account = Account { held: 2, remaining: 1, ..ACCOUNT };
        assert_eq!(check(&sent, &there, account), [Difference::Lost(lost)]);
        let (sent, mut there) = sale();
        there[2].buyer = 2;
        assert!(check(&sent, &there, ACCOUNT).contains(&Difference::Lost(found(1, "3", 1))));
    }

    #[test]
    fn canary_an_oversell_is_seen() {
        let (mut sent, mut there) = sale();
        sent.push(buy(3, "e", 1, accepted("4", 1)));
        there.push(found(3, "4", 1));
        let differences = check(&sent, &there, Account { held: 4, ..ACCOUNT });
        assert!(differences.contains(&Difference::Oversold { units: 4 }), "{differences:?}");
    }

    #[test]
    fn canary_an_overbuy_is_seen() {
        let sent: Vec<_> = ["1", "2", "3"].map(|id| buy(0, id, 1, accepted(id, 1))).into();
        let there = ["1", "2", "3"].map(|id| found(0, id, 1));
        assert_eq!(check(&sent, &there, ACCOUNT), [Difference::Overbought { buyer: 0, units: 3 }]);
    }

    #[test]
    fn an_order_that_moved_back_or_changed_its_units_is_seen() {
        let (mut sent, there) = sale();
        sent[0] = buy(0, "a", 1, accepted("1", 1));
        if let Some(Answer { order: Some(told), .. }) = &mut sent[0].answer {
            told.status = Status::Cancelled;
        }
        assert!(matches!(check(&sent, &there, ACCOUNT)[..], [Difference::Changed { .. }]));
        let (sent, mut there) = sale();
        there[0].order.quantity = 2;
        let differences = check(&sent, &there, ACCOUNT);
        assert!(matches!(differences[0], Difference::Changed { .. }), "{differences:?}");
    }

    #[test]
    fn a_cancellation_that_did_not_last_is_seen() {
        let (mut sent, mut there) = sale();
        let answer = Some(Answer { status: 204, slug: None, order: None, is_in_order: true });
        sent.push(Sent { buyer: 1, ask: Ask::Cancel { order: "3".to_owned() }, answer });
        assert_eq!(check(&sent, &there, ACCOUNT), [Difference::NotCancelled("3".to_owned())]);
        there[2].order.status = Status::Cancelled;
        let account = Account { held: 2, remaining: 1, ..ACCOUNT };
        assert_eq!(check(&sent, &there, account), []);
    }

    #[test]
    fn money_that_was_taken_and_is_nowhere_is_seen() {
        let (mut sent, mut there) = sale();
        let answer = Some(Answer { status: 204, slug: None, order: None, is_in_order: true });
        let lost = Difference::NotPaid { order: "3".to_owned(), payment: "9".to_owned() };
        let ask = Ask::Pay { order: "3".to_owned(), payment: "9".to_owned(), amount: 1 };
        sent.push(Sent { buyer: 1, ask, answer });
        let sold = Account { held: 2, sold: 1, ..ACCOUNT };
        for (status, of, account, is_kept) in [
            (Some(PaymentStatus::Succeeded), Status::Paid, sold, true),
            (Some(PaymentStatus::RefundDue), Status::Paid, sold, true),
            (Some(PaymentStatus::Refunded), Status::AwaitingPayment, ACCOUNT, true),
            (Some(PaymentStatus::Succeeded), Status::AwaitingPayment, ACCOUNT, false),
            (Some(PaymentStatus::Failed), Status::Paid, sold, false),
            (Some(PaymentStatus::Started), Status::Paid, sold, false),
            (None, Status::Paid, sold, false),
        ] {
            there[2] = Found { buyer: 1, order: order("3", 1, of) };
            let payment = status.map(|status| Payment { id: "9".to_owned(), status });
            there[2].order.payments = payment.into_iter().collect();
            let differences = check(&sent, &there, account);
            assert_eq!(differences.is_empty(), is_kept, "{status:?} {of:?}");
            assert_eq!(differences.contains(&lost), !is_kept, "{status:?} {of:?}");
        }
    }

    #[test]
    fn a_key_of_two_orders_is_seen() {
        let (mut sent, there) = sale();
        sent[1] = buy(0, "a", 1, accepted("2", 1));
        let several = Difference::KeyOfSeveral { buyer: 0, key: "a".to_owned() };
        assert_eq!(check(&sent, &there, ACCOUNT), [several]);
    }

    #[test]
    fn an_order_that_nobody_asked_for_is_seen() {
        let (mut sent, there) = sale();
        sent[2].answer = refused(503, "unavailable");
        assert_eq!(check(&sent, &there, ACCOUNT), [Difference::Unasked(found(0, "2", 1))]);
        sent[2].answer = refused(504, "outcome-unknown");
        assert_eq!(check(&sent, &there, ACCOUNT), []);
    }

    #[test]
    fn an_account_that_does_not_add_up_is_seen() {
        let (sent, there) = sale();
        for account in [
            Account { remaining: 1, ..ACCOUNT },
            Account { held: 2, remaining: 1, ..ACCOUNT },
            Account { held: 2, sold: 1, ..ACCOUNT },
            Account { balanced: false, ..ACCOUNT },
            Account { over_limit_users: 1, ..ACCOUNT },
            Account { overdue_unpaid: 1, ..ACCOUNT },
            Account { stock_total: 4, remaining: 1, ..ACCOUNT },
        ] {
            assert_eq!(check(&sent, &there, account), [Difference::Unbalanced(account)]);
        }
    }

    #[test]
    fn an_answer_to_another_request_is_seen() {
        let (mut sent, there) = sale();
        if let Some(answer) = &mut sent[0].answer {
            answer.is_in_order = false;
        }
        assert_eq!(check(&sent, &there, ACCOUNT), [Difference::OutOfOrder(sent[0].clone())]);
    }

    #[test]
    fn an_answer_of_another_world_is_seen() {
        let (mut sent, there) = sale();
        for answer in [refused(500, "internal"), refused(409, "order-state"), refused(404, "")] {
            sent[4].answer = answer;
            assert_eq!(check(&sent, &there, ACCOUNT), [Difference::Undocumented(sent[4].clone())]);
        }
    }
}
