//! What an activity's records add up to. Each order is in one count of units at any position.

use crate::record::{OrderMoved, Record, Totals};

impl Totals {
    /// Counts a record of this activity.
    ///
    /// # Panics
    /// When a record takes more units out of a count than are in it: the journal would lie.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::OrderPlaced(placed) | Record::OrderAccepted(placed) => {
                self.held += u64::from(placed.quantity);
                self.placed_orders += 1;
            }
            Record::OrderPaid(paid) => {
                self.release(&paid.moved);
                self.sold += u64::from(paid.moved.quantity);
                self.paid_orders += 1;
            }
            Record::OrderExpired(moved) => {
                self.release(moved);
                self.expired_orders += 1;
            }
            Record::OrderCancelled(moved) => {
                self.release(moved);
                self.cancelled_orders += 1;
            }
            Record::OrderRejected(moved) => {
                self.release(moved);
                self.rejected_orders += 1;
            }
            Record::OrderRefunded(refunded) => {
                let quantity = u64::from(refunded.moved.quantity);
                self.sold = self.sold.checked_sub(quantity).expect("only sold units are refunded");
                self.refunded_orders += 1;
                if !refunded.units_returned {
                    self.written_off += quantity;
                }
            }
            Record::UnitsWithdrawn(left) | Record::ActivityClosed(left) => {
                self.left += u64::from(left.quantity);
            }
            Record::UnitsWithdrawnOnce(it) => self.left += u64::from(it.left.quantity),
            Record::ActivityPublished(_)
            | Record::LeasedActivityPublished(_)
            | Record::ActivityPaused(_)
            | Record::ActivityResumed(_)
            | Record::ActivityEnded(_)
            | Record::PaymentStarted(_)
            | Record::PaymentFailed(_)
            | Record::PaymentRefundDue(_)
            | Record::PaymentRefunded(_)
            | Record::ActivityKept(_)
            | Record::OrderKept(_)
            | Record::PaymentKept(_)
            | Record::KeyKept(_)
            | Record::CounterKept(_)
            | Record::WithdrawalKept(_)
            | Record::LeaseJoined(_)
            | Record::EraEntered(_)
            | Record::UnitsLeased(_)
            | Record::UnitsReturned(_)
            | Record::LeaseClosed(_)
            | Record::PhaseFollowed(_)
            | Record::OrdersConfirmed(_)
            | Record::OrdersReleased(_)
            | Record::LeaseKept(_)
            | Record::LeasedOrderKept(_) => {}
        }
    }

    /// Units that are neither free nor ever will be by themselves, and those that may be again.
    #[must_use]
    pub fn not_free(&self) -> u64 {
        self.held + self.sold + self.written_off + self.left
    }

    fn release(&mut self, moved: &OrderMoved) {
        let quantity = u64::from(moved.quantity);
        self.held = self.held.checked_sub(quantity).expect("only held units are released");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::ids::{ActivityId, OrderId, PaymentId, UserId};
    use crate::record::{NO_KEY, OrderPaid, OrderPlaced, OrderRefunded, UnitsLeft, UnitsLeftOnce};

    const ACTIVITY: ActivityId = ActivityId(1);

    fn placed(quantity: u32) -> Record {
        Record::OrderPlaced(OrderPlaced {
            order: OrderId(1),
            activity: ACTIVITY,
            user: UserId(1),
            quantity,
            at: Timestamp(0),
            pay_before: Timestamp(0),
            key: NO_KEY,
            body: NO_KEY,
        })
    }

    fn moved(quantity: u32) -> OrderMoved {
        OrderMoved { order: OrderId(1), activity: ACTIVITY, quantity, at: Timestamp(0) }
    }

    fn paid(quantity: u32) -> Record {
        Record::OrderPaid(OrderPaid { moved: moved(quantity), payment: PaymentId(2) })
    }

    fn refunded(quantity: u32, units_returned: bool) -> Record {
        let moved = moved(quantity);
        Record::OrderRefunded(OrderRefunded { moved, payment: PaymentId(2), units_returned })
    }

    /// What `records` add up to: held, sold, written off, left.
    fn check(records: &[Record], expected: [u64; 4]) {
        let mut totals = Totals::default();
        records.iter().for_each(|record| totals.apply(record));
        let found = [totals.held, totals.sold, totals.written_off, totals.left];
        assert_eq!(found, expected, "{records:?}");
        assert_eq!(totals.not_free(), expected.iter().sum::<u64>());
    }

    #[test]
    fn each_unit_is_in_one_count() {
        let left = UnitsLeft { activity: ACTIVITY, quantity: 4, at: Timestamp(0) };
        check(&[placed(2)], [2, 0, 0, 0]);
        check(&[placed(2), placed(3)], [5, 0, 0, 0]);
        check(&[placed(2), Record::OrderExpired(moved(2))], [0; 4]);
        check(&[placed(2), Record::OrderCancelled(moved(2))], [0; 4]);
        check(&[placed(2), Record::OrderRejected(moved(2))], [0; 4]);
        check(&[placed(2), paid(2)], [0, 2, 0, 0]);
        check(&[placed(2), paid(2), refunded(2, true)], [0; 4]);
        check(&[placed(2), paid(2), refunded(2, false)], [0, 0, 2, 0]);
        check(&[Record::UnitsWithdrawn(left), Record::ActivityClosed(left)], [0, 0, 0, 8]);
        let once = UnitsLeftOnce { left, key: [1; 16], body: [2; 16] };
        check(&[Record::UnitsWithdrawnOnce(once), Record::WithdrawalKept(once)], [0, 0, 0, 4]);
    }

    #[test]
    #[should_panic(expected = "only held units are released")]
    fn units_that_are_not_held_are_not_released() {
        check(&[placed(1), Record::OrderExpired(moved(2))], [0; 4]);
    }

    #[test]
    #[should_panic(expected = "only sold units are refunded")]
    fn units_that_are_not_sold_are_not_refunded() {
        check(&[placed(1), refunded(1, true)], [0; 4]);
    }
}
