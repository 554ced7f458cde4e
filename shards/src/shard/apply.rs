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
use crate::limits::{BUYERS_AHEAD_MAX, PAYMENT_GIVEN_UP_MS};
use crate::orders::{Lease, Withdrawals};
use crate::places::Places;
use crate::record::{
    ActivityPublished, OrderMoved, OrderPaid, OrderPlaced, OrderRefunded, OrdersConfirmed,
    OrdersReleased, PaymentStarted, PhaseFollowed, Record,
};

impl Shard {
    /// Applies a durable record of this shard's lane.
    pub(super) fn apply(&mut self, record: &Record) -> Verdict {
        let late = self.late_move(record);
        // Behind this record, and before all that somebody decides on what it changes here.
        let position = self.shared.journal.durable_position();
        self.orders.apply(record);
        let verdict = self.follow(record, position);
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
    fn follow(&mut self, record: &Record, position: u64) -> Verdict {
        match record {
            Record::OrderPlaced(placed) => self.placed(placed),
            Record::OrderAccepted(placed) => {
                self.ask_for_place(placed.activity, placed.order, position);
                self.placed(placed)
            }
            Record::OrdersConfirmed(confirmed) => self.confirmed(confirmed),
            Record::OrdersReleased(released) => self.released(released),
            Record::OrderPaid(paid) => self.paid(paid),
            Record::OrderExpired(moved) => {
                bump(&self.counters.expired);
                self.free_units(moved, position)
            }
            Record::OrderCancelled(moved) => {
                bump(&self.counters.cancelled);
                self.free_units(moved, position)
            }
            Record::OrderRejected(moved) => {
                bump(&self.counters.rejected);
                self.free_units(moved, position)
            }
            Record::OrderRefunded(refunded) => {
                bump(&self.counters.refunded);
                self.refunded(refunded, position)
            }
            Record::PaymentStarted(started) => self.payment_started(started),
            Record::PaymentFailed(moved)
            | Record::PaymentRefundDue(moved)
            | Record::PaymentRefunded(moved) => {
                self.settle(moved.order);
                self.expire_if_due(moved.order);
                self.payment_settled(moved.order, moved.payment)
            }
            Record::ActivityPublished(published) => self.published(published, None),
            Record::LeasedActivityPublished(published) => {
                self.published(published, Some(Lease::default()))
            }
            Record::LeaseJoined(_)
            | Record::EraEntered(_)
            | Record::UnitsLeased(_)
            | Record::UnitsReturned(_) => self.leased(record),
            Record::ActivityPaused(it) => {
                self.phase_changed(it.activity, position, |sale| sale.paused = true)
            }
            Record::ActivityResumed(it) => {
                self.phase_changed(it.activity, position, |sale| sale.paused = false)
            }
            Record::ActivityEnded(it) => {
                self.phase_changed(it.activity, position, |sale| sale.ended = true)
            }
            Record::PhaseFollowed(it) => self.phase_followed(it),
            Record::ActivityClosed(it) => self.closed(it.activity),
            Record::LeaseClosed(it) => self.closed(it.activity),
            Record::UnitsWithdrawn(_) => Verdict::ActivityChanged,
            Record::UnitsWithdrawnOnce(it) => {
                self.change_sale(it.left.activity, |sale| sale.withdrawals.remember(*it))
            }
            Record::ActivityKept(_)
            | Record::OrderKept(_)
            | Record::PaymentKept(_)
            | Record::KeyKept(_)
            | Record::CounterKept(_)
            | Record::WithdrawalKept(_)
            | Record::LeaseKept(_)
            | Record::LeasedOrderKept(_) => {
                unreachable!("no command makes a record of a checkpoint")
            }
        }
    }

    fn placed(&mut self, placed: &OrderPlaced) -> Verdict {
        bump(&self.counters.placed);
        self.activity(placed.activity).places.confirm(placed.user, placed.order);
        let timer = self.wheel.insert(placed.pay_before, placed.order);
        let order = self.orders.order_mut(placed.order).expect("the table has it now");
        order.timer = Some(timer);
        Verdict::Placed(order.view())
    }

    fn paid(&mut self, paid: &OrderPaid) -> Verdict {
        bump(&self.counters.paid);
        let OrderMoved { order, activity, quantity, .. } = paid.moved;
        self.activity(activity).count_in(self.index, quantity);
        self.await_word(order);
        self.settle(order);
        self.payment_settled(order, paid.payment)
    }

    fn payment_started(&mut self, started: &PaymentStarted) -> Verdict {
        let order = self.orders.order_mut(started.order).expect("the table has it");
        order.moving = false;
        let payment = order.view().payments.last().copied();
        self.expire_if_due(started.order);
        Verdict::PaymentStarted(payment.expect("it has just been started"))
    }

    /// Orders have become payable: their time to be paid begins.
    fn confirmed(&mut self, confirmed: &OrdersConfirmed) -> Verdict {
        for id in confirmed.orders.iter().map(|&id| OrderId(id)) {
            self.stop_timer(id);
            let timer = self.wheel.insert(confirmed.pay_before, id);
            self.orders.order_mut(id).expect("the table has just moved it").timer = Some(timer);
        }
        Verdict::ActivityChanged
    }

    /// The other gateways know that orders have ended.
    fn released(&mut self, released: &OrdersReleased) -> Verdict {
        let activity = self.activity(released.activity);
        for id in released.orders.iter().map(|&id| OrderId(id)) {
            let order = self.orders.order(id).expect("a record has just named it");
            activity.count_ended(order.quantity);
            self.expire_if_due(id);
            self.settle(id);
        }
        Verdict::ActivityChanged
    }

    /// An unpaid order has ended: its units, then its place, come back.
    fn free_units(&mut self, moved: &OrderMoved, position: u64) -> Verdict {
        let order = self.orders.order(moved.order).expect("the table has just moved it");
        let (user, verdict) = (order.user, Verdict::Moved(order.view()));
        let activity = self.activity(moved.activity);
        self.tell_end(&activity, moved.order, position);
        activity.stock.give(moved.quantity);
        activity.places.free(user, moved.order);
        // Last: from here on the activity may be closed, and then nobody has a place.
        activity.count_in(self.index, moved.quantity);
        self.await_word(moved.order);
        self.settle(moved.order);
        verdict
    }

    /// A paid order was refunded: its place comes back, and its units if the operator said so.
    fn refunded(&mut self, refunded: &OrderRefunded, position: u64) -> Verdict {
        let OrderRefunded { moved, units_returned, .. } = refunded;
        let order = self.orders.order(moved.order).expect("the table has just moved it");
        let (user, verdict) = (order.user, Verdict::Moved(order.view()));
        let activity = self.activity(moved.activity);
        self.tell_end(&activity, moved.order, position);
        if *units_returned {
            activity.stock.give(moved.quantity);
        }
        if !activity.sale().closed {
            activity.places.free(user, moved.order);
        }
        self.settle(moved.order);
        verdict
    }

    fn published(&mut self, published: &ActivityPublished, lease: Option<Lease>) -> Verdict {
        let ActivityPublished { activity: id, version, terms, .. } = published;
        if let Some(activity) = self.shared.activity(*id) {
            let more = terms.stocked - activity.sale().terms.stocked;
            activity.change_sale(|sale| {
                sale.version = *version;
                sale.terms = terms.clone();
            });
            // What is stocked anew is lent, where it is shared.
            if more > 0 && lease.is_none() {
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
            phased_at: 0,
            withdrawals: Withdrawals::default(),
            lease,
        };
        let free = if lease.is_some() { 0 } else { terms.stocked };
        let buyers = usize::try_from(terms.stocked).unwrap_or(usize::MAX);
        let ahead: usize = self.shared.open_activities().iter().map(|it| it.room()).sum();
        let places = Places::with_room_for(buyers.min(BUYERS_AHEAD_MAX.saturating_sub(ahead)));
        let activity = Activity::new(*id, sale, self.shared.cores, free, places);
        self.shared.activities.rcu(|known| {
            let mut activities = Activities::clone(known);
            activities.insert(*id, Arc::clone(&activity));
            activities
        });
        Verdict::ActivityChanged
    }

    /// The lease has changed; what was lent may be sold from here on.
    fn leased(&mut self, record: &Record) -> Verdict {
        let id = record.leased_activity().expect("asked for a record of a lease");
        let verdict = self.change_sale(id, |sale| {
            sale.lease.as_mut().expect("only a leased activity has such records").apply(record);
        });
        if let Record::UnitsLeased(it) = record
            && it.quantity > 0
        {
            self.activity(id).stock.give(it.quantity);
        }
        verdict
    }

    fn phase_followed(&mut self, followed: &PhaseFollowed) -> Verdict {
        self.change_sale(followed.activity, |sale| {
            sale.paused = followed.paused;
            sale.ended |= followed.ended;
        })
    }

    fn phase_changed(
        &mut self,
        id: ActivityId,
        position: u64,
        change: impl FnOnce(&mut Sale),
    ) -> Verdict {
        self.change_sale(id, |sale| {
            change(sale);
            sale.phased_at = position;
        })
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
