//! What an activity's records add up to. Each order is in one count of units at any position.

use crate::record::{OrderMoved, Record, Totals};

impl Totals {
    /// Counts a record of this activity.
    ///
    /// # Panics
    /// When a record takes more units out of a count than are in it: the journal would lie.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::OrderPlaced(placed) => {
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
            Record::ActivityPublished(_)
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
            | Record::CounterKept(_) => {}
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
