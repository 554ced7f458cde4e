//! What is left of what clients were told once a gateway never comes back: whatever it had not flushed
//! is gone with it. What it had said of a payable order holds, and all that was said later.
//!
//! Pure: it must not know how a gateway is lost, nor who goes on with its orders.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use crate::checker::Found;
use crate::driver::{Answer, Ask, Sent};
use crate::order::{Order, Status};

/// When whoever spoke for a gateway was lost last, by the gateway's number.
pub type Losses = BTreeMap<usize, Instant>;

/// Something that was sent, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// Before it was sent.
    pub at: Instant,
    /// What was sent, and what came back.
    pub sent: Sent,
}

/// What clients may rely on after some losses, where these orders were found.
#[must_use]
pub fn reliable<'a>(
    said: &[Said],
    losses: &Losses,
    found: impl Iterator<Item = &'a Found>,
) -> Vec<Sent> {
    let found: HashMap<&str, &Order> =
        found.map(|found| (found.order.id.as_str(), &found.order)).collect();
    said.iter().filter_map(|said| rely(said, losses, &found)).collect()
}

fn rely(said: &Said, losses: &Losses, found: &HashMap<&str, &Order>) -> Option<Sent> {
    let lost = subject(&said.sent).and_then(|id| Some((id, *losses.get(&Order::gateway_of(id))?)));
    let (Some((id, lost_at)), Some(answer)) = (lost, &said.sent.answer) else {
        return Some(said.sent.clone());
    };
    let is_there = found.contains_key(id);
    match (&said.sent.ask, answer.status, &answer.order) {
        (Ask::Buy { .. }, 202, Some(told)) if said.at < lost_at => {
            let status = flushed(told.status, is_there)?;
            let order = Some(Order { status, ..told.clone() });
            let answer = Some(Answer { order, ..answer.clone() });
            Some(Sent { answer, ..said.sent.clone() })
        }
        // It may have been undone.
        (Ask::Cancel { .. }, 204, _) if said.at < lost_at => None,
        // Whoever goes on does not know of it.
        (Ask::Cancel { .. }, 404, _) if !is_there => None,
        _ => Some(said.sent.clone()),
    }
}

/// The order that an answer is about.
fn subject(sent: &Sent) -> Option<&str> {
    match &sent.ask {
        Ask::Buy { .. } => Some(&sent.answer.as_ref()?.order.as_ref()?.id),
        Ask::Cancel { order } | Ask::Pay { order, .. } => Some(order),
    }
}

/// Where an order that was shown so stood for the store, at least; none where the store need not have had
/// it.
fn flushed(shown: Status, is_there: bool) -> Option<Status> {
    match shown {
        Status::Accepted | Status::Cancelled => is_there.then_some(Status::Accepted),
        // Nobody else was asked about it before it was flushed.
        Status::Rejected => Some(Status::Accepted),
        // That it is paid its buyer may see before its provider is thanked, who tells again until then.
        Status::AwaitingPayment | Status::Paid | Status::Expired | Status::Refunded => {
            Some(Status::AwaitingPayment)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::patience::now;

    /// Of gateway 1.
    const ORDER: &str = "9007199254740997";

    fn order(status: Status) -> Order {
        let (id, activity, payments) = (ORDER.to_owned(), "7".to_owned(), Vec::new());
        Order { id, activity, quantity: 1, status, payments }
    }

    fn bought(shown: Status) -> Sent {
        let ask = Ask::Buy { key: "a".to_owned(), quantity: 1 };
        let (slug, order) = (None, Some(order(shown)));
        let answer = Some(Answer { status: 202, slug, order, is_in_order: true });
        Sent { buyer: 3, ask, answer }
    }

    fn answered(ask: Ask, status: u16) -> Sent {
        let answer = Some(Answer { status, slug: None, order: None, is_in_order: true });
        Sent { buyer: 3, ask, answer }
    }

    fn cancelled(status: u16) -> Sent {
        answered(Ask::Cancel { order: ORDER.to_owned() }, status)
    }

    fn paid() -> Sent {
        let (order, payment) = (ORDER.to_owned(), "9".to_owned());
        answered(Ask::Pay { order, payment, amount: 1 }, 204)
    }

    /// What is left of something that was sent before or after a gateway was lost, whose order is
    /// there or gone.
    fn left(sent: Sent, gateway: usize, is_before: bool, is_there: bool) -> Option<Sent> {
        let at = now();
        let second = Duration::from_secs(1);
        let lost_at = if is_before { at + second } else { at.checked_sub(second).unwrap() };
        let found = is_there.then(|| Found { buyer: 3, order: order(Status::AwaitingPayment) });
        let losses = [(gateway, lost_at)].into();
        reliable(&[Said { at, sent }], &losses, found.iter()).pop()
    }

    #[test]
    fn what_was_not_flushed_may_be_gone() {
        for shown in [Status::Accepted, Status::Cancelled] {
            assert_eq!(left(bought(shown), 1, true, false), None, "{shown:?}");
            assert_eq!(left(bought(shown), 1, true, true), Some(bought(Status::Accepted)));
        }
        assert_eq!(left(bought(Status::Rejected), 1, true, true), Some(bought(Status::Accepted)));
        for shown in [Status::AwaitingPayment, Status::Paid, Status::Expired] {
            let payable = Some(bought(Status::AwaitingPayment));
            assert_eq!(left(bought(shown), 1, true, true), payable, "{shown:?}");
        }
        assert_eq!(left(cancelled(204), 1, true, true), None);
        assert_eq!(left(cancelled(404), 1, false, false), None);
    }

    #[test]
    fn canary_what_holds_all_the_same_is_held_against_what_is_there() {
        let holds = |sent: Sent, gateway, is_before, is_there| {
            assert_eq!(left(sent.clone(), gateway, is_before, is_there), Some(sent));
        };
        // A payable order is in the store, and so is one that was refused by the others.
        for shown in [Status::AwaitingPayment, Status::Rejected, Status::Expired] {
            assert!(left(bought(shown), 1, true, false).is_some(), "{shown:?}");
        }
        // Money that was thanked for.
        holds(paid(), 1, true, false);
        holds(paid(), 1, true, true);
        // Said by whoever goes on.
        for shown in [Status::Accepted, Status::Cancelled, Status::Paid] {
            holds(bought(shown), 1, false, false);
        }
        holds(cancelled(204), 1, false, true);
        // Said to be unknown, and there.
        holds(cancelled(404), 1, false, true);
        // Said of another's order.
        holds(bought(Status::Accepted), 2, true, false);
        holds(cancelled(204), 2, true, true);
    }
}
