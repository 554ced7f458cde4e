//! Apply: what a durable record changes here, and the verdict it gives.
//!
//! The tables change by their own `apply`, which recovery uses, too; this adds what only a live
//! shard has: units, places, timers. Units come back before they stop being outstanding.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::counters::bump;
use super::{Activities, Activity, Sale, Shard};
use crate::command::Verdict;
use crate::ids::{ActivityId, OrderId, PaymentId};
use crate::limits::PAYMENT_GIVEN_UP_MS;
use crate::orders::Withdrawals;
use crate::places::Places;
use crate::record::{ActivityPublished, OrderMoved, Record};

impl Shard {
    /// Applies a durable record of this shard's lane.
    pub(super) fn apply(&mut self, record: &Record) -> Verdict {
        let late = self.late_move(record);
        self.orders.apply(record);
        let verdict = self.follow(record);
        if let Some(activity) = late {
            activity.end_late_move();
        }
        verdict
    }

    /// The activity that was told of this record, since it changes what closing would settle.
    fn late_move(&self, record: &Record) -> Option<Arc<Activity>> {
        let activity = if let Record::OrderRefunded(refunded) = record {
            Some(refunded.moved.activity)
        } else if let Record::UnitsWithdrawn(left) = record {
            Some(left.activity)
        } else if let Record::UnitsWithdrawnOnce(it) = record {
            Some(it.left.activity)
        } else if let Record::PaymentRefundDue(moved) = record {
            let order = self.orders.order(moved.order).filter(|order| order.is_settled(true));
            order.map(|order| order.activity)
        } else {
            None
        };
        activity.map(|id| self.activity(id))
    }

    /// What a record that the tables have taken changes beside them.
    fn follow(&mut self, record: &Record) -> Verdict {
        match record {
            Record::OrderPlaced(placed) => {
                bump(&self.counters.placed);
                self.activity(placed.activity).places.confirm(placed.user, placed.order);
                let timer = self.wheel.insert(placed.pay_before, placed.order);
                let order = self.orders.order_mut(placed.order).expect("the table has it now");
                order.timer = Some(timer);
                Verdict::Placed(order.view())
            }
            Record::OrderPaid(paid) => {
                bump(&self.counters.paid);
                let activity = self.activity(paid.moved.activity);
                activity.count_in(self.index, paid.moved.quantity);
                self.await_word(paid.moved.order);
                self.settle(paid.moved.order);
                self.payment_settled(paid.moved.order, paid.payment)
            }
            Record::OrderExpired(moved) => {
                bump(&self.counters.expired);
                self.free_units(moved)
            }
            Record::OrderCancelled(moved) => {
                bump(&self.counters.cancelled);
                self.free_units(moved)
            }
            Record::OrderRejected(moved) => self.free_units(moved),
            Record::OrderRefunded(refunded) => {
                bump(&self.counters.refunded);
                self.refunded(&refunded.moved, refunded.units_returned)
            }
            Record::PaymentStarted(started) => {
                let order = self.orders.order_mut(started.order).expect("the table has it");
                order.moving = false;
                let view = order.view();
                let payment = view.payments.last().copied();
                self.expire_if_due(started.order);
                Verdict::PaymentStarted(payment.expect("it has just been started"))
            }
            Record::PaymentFailed(moved)
            | Record::PaymentRefundDue(moved)
            | Record::PaymentRefunded(moved) => {
                self.settle(moved.order);
                self.expire_if_due(moved.order);
                self.payment_settled(moved.order, moved.payment)
            }
            Record::ActivityPublished(published) => self.published(published),
            Record::ActivityPaused(it) => self.change_sale(it.activity, |sale| sale.paused = true),
            Record::ActivityResumed(it) => {
                self.change_sale(it.activity, |sale| sale.paused = false)
            }
            Record::ActivityEnded(it) => self.change_sale(it.activity, |sale| sale.ended = true),
            Record::ActivityClosed(it) => self.closed(it.activity),
            Record::UnitsWithdrawn(_) => Verdict::ActivityChanged,
            Record::UnitsWithdrawnOnce(it) => {
                self.change_sale(it.left.activity, |sale| sale.withdrawals.remember(*it))
            }
            Record::ActivityKept(_)
            | Record::OrderKept(_)
            | Record::PaymentKept(_)
            | Record::KeyKept(_)
            | Record::CounterKept(_)
            | Record::WithdrawalKept(_) => {
                unreachable!("no command makes a record of a checkpoint")
            }
        }
    }

    /// An unpaid order has ended: its units, then its place, come back.
    fn free_units(&mut self, moved: &OrderMoved) -> Verdict {
        let order = self.orders.order(moved.order).expect("the table has just moved it");
        let (user, verdict) = (order.user, Verdict::Moved(order.view()));
        let activity = self.activity(moved.activity);
        activity.stock.give(moved.quantity);
        activity.places.free(user, moved.order);
        // Last: from here on the activity may be closed, and then nobody has a place.
        activity.count_in(self.index, moved.quantity);
        self.await_word(moved.order);
        self.settle(moved.order);
        verdict
    }

    /// A paid order was refunded: its place comes back, and its units if the operator said so.
    fn refunded(&mut self, moved: &OrderMoved, units_returned: bool) -> Verdict {
        let order = self.orders.order(moved.order).expect("the table has just moved it");
        let (user, verdict) = (order.user, Verdict::Moved(order.view()));
        let activity = self.activity(moved.activity);
        if units_returned {
            activity.stock.give(moved.quantity);
        }
        if !activity.sale().closed {
            activity.places.free(user, moved.order);
        }
        self.settle(moved.order);
        verdict
    }

    fn published(&mut self, published: &ActivityPublished) -> Verdict {
        let ActivityPublished { activity: id, version, terms, .. } = published;
        if let Some(activity) = self.shared.activity(*id) {
            let more = terms.stocked - activity.sale().terms.stocked;
            activity.change_sale(|sale| {
                sale.version = *version;
                sale.terms = terms.clone();
            });
            if more > 0 {
                activity.stock.give(more);
            }
            return Verdict::ActivityChanged;
        }
        let sale = Sale {
            version: *version,
            terms: terms.clone(),
            paused: false,
            ended: false,
            closed: false,
            withdrawals: Withdrawals::default(),
        };
        let buyers = usize::try_from(terms.stocked).unwrap_or(usize::MAX);
        let places = Places::with_room_for(buyers);
        let activity = Activity::new(*id, sale, self.shared.cores, terms.stocked, places);
        self.shared.activities.rcu(|known| {
            let mut activities = Activities::clone(known);
            activities.insert(*id, Arc::clone(&activity));
            activities
        });
        Verdict::ActivityChanged
    }

    fn change_sale(&mut self, id: ActivityId, change: impl FnOnce(&mut Sale)) -> Verdict {
        self.activity(id).change_sale(change);
        Verdict::ActivityChanged
    }

    fn closed(&mut self, id: ActivityId) -> Verdict {
        let activity = self.activity(id);
        activity.change_sale(|sale| sale.closed = true);
        // From here on the keeper may forget it.
        activity.places.clear();
        // Release, paired with `settle_closed` and `Keeper::look_at_closings`.
        self.shared.closed.fetch_add(1, Ordering::Release);
        Verdict::ActivityChanged
    }

    fn payment_settled(&self, order: OrderId, payment: PaymentId) -> Verdict {
        let order = self.orders.order(order).expect("a record has just changed its payment");
        let payment = order.payments.iter().find(|it| it.id == payment);
        Verdict::PaymentSettled(payment.expect("a record has just changed it").view(order.id))
    }

    /// The timer may have fired while another record of the order was under way.
    fn expire_if_due(&mut self, id: OrderId) {
        let order = self.orders.order(id).expect("a record has just changed it");
        if order.timer.is_none() {
            self.expire(id);
        }
    }

    /// An order has closed, and waits for nothing but its provider's word, if for that.
    fn await_word(&mut self, id: OrderId) {
        self.stop_timer(id);
        let order = self.orders.order_mut(id).expect("a record has just moved it");
        if order.payment_under_way().is_some() {
            let given_up = order.moved_at.plus_ms(PAYMENT_GIVEN_UP_MS);
            order.timer = Some(self.wheel.insert(given_up, id));
        }
    }

    fn stop_timer(&mut self, id: OrderId) {
        let order = self.orders.order_mut(id).expect("a record has just moved it");
        if let Some(timer) = order.timer.take() {
            self.wheel.cancel(timer);
        }
    }

    /// The activity of a record that changes it. It is there: the records that change an activity
    /// are applied before its closing is (those of its owner by lane order, the others because
    /// closing waits for them), and only then may it be forgotten.
    fn activity(&self, id: ActivityId) -> Arc<Activity> {
        self.shared.activity(id).unwrap_or_else(|| panic!("activity {id} is not here"))
    }
}
