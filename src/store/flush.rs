//! Folds a run of journal records into one batch of rows: an order that was placed, paid for and
//! refunded within the run is one row with the status it has at the end.
//!
//! Pure: it must not know SQL, nor how records are read.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;

use seckill_shards::clock::Timestamp;
use seckill_shards::ids::{ActivityId, OrderId, PaymentId};
use seckill_shards::record::{
    Digest, OrderPlaced, OrderRefunded, OrdersConfirmed, PaymentStarted, PaymentStatus, Record,
    Status, UnitsLeftOnce,
};

use super::{JournalPosition, OrderRow, PaymentRow, SetAside};

/// Rows at which a batch is full: its writer ends it at the next position it can.
pub const BATCH_ROWS: usize = 32_768;

/// A row that moves from status to status.
pub trait Row {
    /// What it is known by.
    type Id: Copy + Eq + Hash + Debug;
    /// Where it may stand.
    type Status: Copy + Eq + Debug;

    /// What this one is known by.
    fn id(&self) -> Self::Id;
    /// It came to a status.
    fn come_to(&mut self, status: Self::Status, at: Timestamp);
}

impl Row for OrderRow {
    type Id = OrderId;
    type Status = Status;

    fn id(&self) -> OrderId {
        self.id
    }

    fn come_to(&mut self, status: Status, at: Timestamp) {
        (self.status, self.moved_at) = (status, Some(at));
    }
}

impl Row for PaymentRow {
    type Id = PaymentId;
    type Status = PaymentStatus;

    fn id(&self) -> PaymentId {
        self.id
    }

    fn come_to(&mut self, status: PaymentStatus, at: Timestamp) {
        (self.status, self.moved_at) = (status, Some(at));
    }
}

/// A row of an earlier batch came to a status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move<I, S> {
    /// Which row.
    pub id: I,
    /// Its status at the end of the batch.
    pub status: S,
    /// When it came to it; none where it is open yet.
    pub at: Option<Timestamp>,
    /// Its new deadline, where that has changed.
    pub pay_before: Option<Timestamp>,
}

/// What a batch does to one table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changes<R: Row> {
    /// Rows that are new.
    pub new: Vec<R>,
    /// Moves of rows of earlier batches, one a row.
    pub moves: Vec<Move<R::Id, R::Status>>,
}

/// What a batch does to one activity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ActivityChange {
    /// Which activity.
    pub activity: ActivityId,
    /// Paused or resumed last; `None` where neither.
    pub paused: Option<bool>,
    /// An operator ended it.
    pub ended: bool,
    /// It was closed.
    pub closed: bool,
    /// Units that left it for the product.
    pub left: u64,
    /// The keys of withdrawals by which they did.
    pub withdrawals: Vec<Digest>,
    /// Units of orders that were refunded without them: nobody sells them again.
    pub written_off: u64,
    /// The gateway is done with an activity that it shared: units that stay out of it.
    pub kept: Option<u32>,
    /// Units that its newest copy in the journal has: what the gateway sells by.
    pub copied: Option<u32>,
}

impl ActivityChange {
    /// Whether it changes more than what is known of the copy.
    #[must_use]
    pub fn is_news(&self) -> bool {
        self.paused.is_some() || self.ended || self.closed || self.left > 0
    }
}

/// A run of journal records as rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlushBatch {
    /// Of which gateway.
    pub gateway: u16,
    /// Of which journal, and where the run begins.
    pub from: JournalPosition,
    /// Where the run ends.
    pub to: u64,
    /// Flash orders.
    pub orders: Changes<OrderRow>,
    /// Their payments.
    pub payments: Changes<PaymentRow>,
    /// Activities, each once.
    pub activities: Vec<ActivityChange>,
    /// Rows of the run that the store does not take; none until it was asked.
    pub set_aside: Vec<SetAside>,
}

/// A batch that grows.
#[derive(Debug)]
pub struct Batch {
    gateway: u16,
    from: JournalPosition,
    orders: Fold<OrderRow>,
    payments: Fold<PaymentRow>,
    activities: Vec<ActivityChange>,
}

impl Batch {
    /// An empty batch that goes on where the store stands.
    #[must_use]
    pub fn new(gateway: u16, from: JournalPosition) -> Self {
        let (orders, payments) = (Fold::new(), Fold::new());
        Self { gateway, from, orders, payments, activities: Vec::new() }
    }

    /// Rows of orders and payments that it holds.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.orders.rows() + self.payments.rows()
    }

    /// Takes the next record of the journal. What the store gave the journal, and what a
    /// checkpoint repeats, changes nothing.
    pub fn push(&mut self, record: &Record) {
        match record {
            Record::OrderPlaced(placed) => {
                self.orders.enter(placed_row(placed, Status::AwaitingPayment));
            }
            Record::OrderAccepted(placed) => {
                self.orders.enter(placed_row(placed, Status::Accepted));
            }
            Record::OrdersConfirmed(confirmed) => self.orders.confirm(confirmed),
            Record::OrderPaid(paid) => {
                self.orders.come_to(paid.moved.order, Status::Paid, paid.moved.at);
                self.payments.come_to(paid.payment, PaymentStatus::Succeeded, paid.moved.at);
            }
            Record::OrderExpired(moved) => {
                self.orders.come_to(moved.order, Status::Expired, moved.at);
            }
            Record::OrderCancelled(moved) => {
                self.orders.come_to(moved.order, Status::Cancelled, moved.at);
            }
            Record::OrderRejected(moved) => {
                self.orders.come_to(moved.order, Status::Rejected, moved.at);
            }
            Record::OrderRefunded(refunded) => self.refund(refunded),
            Record::PaymentStarted(started) => self.payments.enter(started_row(started)),
            Record::PaymentFailed(moved) => {
                self.payments.come_to(moved.payment, PaymentStatus::Failed, moved.at);
            }
            Record::PaymentRefundDue(moved) => {
                self.payments.come_to(moved.payment, PaymentStatus::RefundDue, moved.at);
            }
            Record::PaymentRefunded(moved) => {
                self.payments.come_to(moved.payment, PaymentStatus::Refunded, moved.at);
            }
            Record::ActivityPaused(change) => self.activity(change.activity).paused = Some(true),
            Record::ActivityResumed(change) => self.activity(change.activity).paused = Some(false),
            Record::ActivityEnded(change) => self.activity(change.activity).ended = true,
            Record::ActivityClosed(units) => {
                let change = self.activity(units.activity);
                change.closed = true;
                change.left += u64::from(units.quantity);
            }
            Record::UnitsWithdrawn(units) => {
                self.activity(units.activity).left += u64::from(units.quantity);
            }
            Record::UnitsWithdrawnOnce(once) => self.withdraw(once),
            Record::LeaseClosed(closed) => {
                self.activity(closed.activity).kept = Some(closed.kept);
            }
            Record::ActivityPublished(published) | Record::LeasedActivityPublished(published) => {
                self.activity(published.activity).copied = Some(published.terms.stocked);
            }
            Record::ActivityKept(_)
            | Record::OrderKept(_)
            | Record::PaymentKept(_)
            | Record::KeyKept(_)
            | Record::CounterKept(_)
            | Record::WithdrawalKept(_)
            | Record::LeaseJoined(_)
            | Record::EraEntered(_)
            | Record::UnitsLeased(_)
            | Record::UnitsReturned(_)
            | Record::PhaseFollowed(_)
            | Record::OrdersReleased(_)
            | Record::LeaseKept(_)
            | Record::LeasedOrderKept(_) => {}
        }
    }

    fn refund(&mut self, OrderRefunded { moved, payment, units_returned }: &OrderRefunded) {
        self.orders.come_to(moved.order, Status::Refunded, moved.at);
        self.payments.come_to(*payment, PaymentStatus::RefundDue, moved.at);
        if !units_returned {
            self.activity(moved.activity).written_off += u64::from(moved.quantity);
        }
    }

    fn withdraw(&mut self, UnitsLeftOnce { left, key, .. }: &UnitsLeftOnce) {
        let change = self.activity(left.activity);
        change.left += u64::from(left.quantity);
        change.withdrawals.push(*key);
    }

    /// The batch, ending at a position of the journal.
    #[must_use]
    pub fn finish(self, to: u64) -> FlushBatch {
        FlushBatch {
            gateway: self.gateway,
            from: self.from,
            to,
            orders: self.orders.changes,
            payments: self.payments.changes,
            activities: self.activities,
            set_aside: Vec::new(),
        }
    }

    fn activity(&mut self, activity: ActivityId) -> &mut ActivityChange {
        // Few activities change in one batch, so a search is as good as a map.
        let known = self.activities.iter().position(|change| change.activity == activity);
        let index = known.unwrap_or_else(|| {
            self.activities.push(ActivityChange {
                activity,
                paused: None,
                ended: false,
                closed: false,
                left: 0,
                withdrawals: Vec::new(),
                written_off: 0,
                kept: None,
                copied: None,
            });
            self.activities.len() - 1
        });
        &mut self.activities[index]
    }
}

/// Where a row of the batch is.
#[derive(Clone, Copy, Debug)]
enum Place {
    New(usize),
    Moved(usize),
}

#[derive(Debug)]
struct Fold<R: Row> {
    changes: Changes<R>,
    places: HashMap<R::Id, Place>,
}

impl<R: Row> Fold<R> {
    fn new() -> Self {
        let changes = Changes { new: Vec::new(), moves: Vec::new() };
        Self { changes, places: HashMap::new() }
    }

    fn rows(&self) -> usize {
        self.places.len()
    }

    fn enter(&mut self, row: R) {
        self.places.insert(row.id(), Place::New(self.changes.new.len()));
        self.changes.new.push(row);
    }

    fn come_to(&mut self, id: R::Id, status: R::Status, at: Timestamp) {
        match self.places.get(&id) {
            Some(&Place::New(index)) => self.changes.new[index].come_to(status, at),
            Some(&Place::Moved(index)) => {
                let moved = &mut self.changes.moves[index];
                (moved.status, moved.at) = (status, Some(at));
            }
            None => self.push(Move { id, status, at: Some(at), pay_before: None }),
        }
    }

    fn push(&mut self, moved: Move<R::Id, R::Status>) {
        self.places.insert(moved.id, Place::Moved(self.changes.moves.len()));
        self.changes.moves.push(moved);
    }
}

impl Fold<OrderRow> {
    /// Accepted orders became payable, and are open still.
    fn confirm(&mut self, confirmed: &OrdersConfirmed) {
        let (status, pay_before) = (Status::AwaitingPayment, confirmed.pay_before);
        for id in confirmed.orders.iter().map(|&id| OrderId(id)) {
            match self.places.get(&id) {
                Some(&Place::New(index)) => {
                    let row = &mut self.changes.new[index];
                    (row.status, row.pay_before) = (status, pay_before);
                }
                Some(&Place::Moved(_)) => unreachable!("an order moves once it is confirmed"),
                None => self.push(Move { id, status, at: None, pay_before: Some(pay_before) }),
            }
        }
    }
}

fn placed_row(placed: &OrderPlaced, status: Status) -> OrderRow {
    OrderRow {
        id: placed.order,
        activity: placed.activity,
        user: placed.user,
        quantity: placed.quantity,
        status,
        placed_at: placed.at,
        pay_before: placed.pay_before,
        moved_at: None,
    }
}

fn started_row(started: &PaymentStarted) -> PaymentRow {
    PaymentRow {
        id: started.payment,
        order: started.order,
        amount: started.amount,
        status: PaymentStatus::Started,
        started_at: started.at,
        moved_at: None,
        key: started.key,
        body: started.body,
    }
}

#[cfg(test)]
mod tests {
    use seckill_shards::ids::UserId;
    use seckill_shards::record::{NO_KEY, OrderMoved, OrderPaid, PhaseChanged, UnitsLeft};

    use super::*;

    const BEGIN: JournalPosition = JournalPosition { journal_id: [1; 16], epoch: 0, position: 5 };
    const MOVED: OrderMoved =
        OrderMoved { order: OrderId(1), activity: ActivityId(9), quantity: 2, at: Timestamp(20) };

    fn placed(order: u64) -> Record {
        Record::OrderPlaced(OrderPlaced {
            order: OrderId(order),
            activity: ActivityId(9),
            user: UserId(7),
            quantity: 2,
            at: Timestamp(10),
            pay_before: Timestamp(90),
            key: NO_KEY,
            body: NO_KEY,
        })
    }

    fn paid() -> Record {
        Record::OrderPaid(OrderPaid { moved: MOVED, payment: PaymentId(3) })
    }

    fn refunded(units_returned: bool) -> Record {
        Record::OrderRefunded(OrderRefunded { moved: MOVED, payment: PaymentId(3), units_returned })
    }

    fn fold(records: &[Record]) -> FlushBatch {
        let mut batch = Batch::new(2, BEGIN);
        for record in records {
            batch.push(record);
        }
        batch.finish(8)
    }

    #[test]
    fn what_is_placed_and_moved_in_one_run_is_one_row() {
        let started = PaymentStarted {
            payment: PaymentId(3),
            order: OrderId(1),
            amount: 100,
            at: Timestamp(11),
            key: [7; 16],
            body: [8; 16],
        };
        let batch = fold(&[placed(1), Record::PaymentStarted(started), paid(), placed(2)]);
        assert!(batch.orders.moves.is_empty() && batch.payments.moves.is_empty());
        let [order, other] = &batch.orders.new[..] else { panic!("{batch:?}") };
        assert_eq!((order.status, order.moved_at), (Status::Paid, Some(Timestamp(20))));
        assert_eq!((other.status, other.moved_at), (Status::AwaitingPayment, None));
        let payment = &batch.payments.new[0];
        assert_eq!(payment.status, PaymentStatus::Succeeded);
        assert_eq!((payment.key, payment.body), (started.key, started.body));
        assert_eq!((batch.gateway, batch.from, batch.to), (2, BEGIN, 8));
    }

    #[test]
    fn of_the_moves_of_an_older_row_the_last_is_left() {
        let later = OrderMoved { at: Timestamp(30), ..MOVED };
        let batch = fold(&[paid(), Record::OrderExpired(later)]);
        let (status, at) = (Status::Expired, Some(Timestamp(30)));
        let last = Move { id: OrderId(1), status, at, pay_before: None };
        assert_eq!(batch.orders, Changes { new: vec![], moves: vec![last] });
        assert_eq!(batch.payments.moves[0].status, PaymentStatus::Succeeded);
    }

    #[test]
    fn an_activity_changes_once() {
        let phase = PhaseChanged { activity: ActivityId(9), at: Timestamp(1) };
        let units = UnitsLeft { activity: ActivityId(9), quantity: u32::MAX, at: Timestamp(1) };
        let batch = fold(&[
            Record::ActivityPaused(phase),
            Record::UnitsWithdrawn(units),
            Record::UnitsWithdrawnOnce(UnitsLeftOnce { left: units, key: [1; 16], body: [2; 16] }),
            Record::ActivityResumed(PhaseChanged { activity: ActivityId(8), ..phase }),
            Record::ActivityClosed(units),
            refunded(true),
            refunded(false),
        ]);
        let nine = ActivityChange {
            activity: ActivityId(9),
            paused: Some(true),
            ended: false,
            closed: true,
            left: 3 * u64::from(u32::MAX),
            withdrawals: vec![[1; 16]],
            written_off: 2,
            kept: None,
            copied: None,
        };
        let eight = ActivityChange {
            activity: ActivityId(8),
            paused: Some(false),
            closed: false,
            left: 0,
            withdrawals: Vec::new(),
            written_off: 0,
            ..nine
        };
        assert_eq!(batch.activities, [nine, eight]);
    }

    #[test]
    fn a_batch_counts_rows_and_not_records() {
        let mut batch = Batch::new(2, BEGIN);
        for order in 1..BATCH_ROWS as u64 {
            batch.push(&placed(order));
            batch.push(&Record::OrderExpired(OrderMoved { order: OrderId(order), ..MOVED }));
        }
        assert_eq!(batch.rows(), BATCH_ROWS - 1);
        batch.push(&placed(0));
        assert_eq!(batch.rows(), BATCH_ROWS);
    }
}
