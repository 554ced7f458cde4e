//! Two payments of one order race the deadline, the buyer and a crash: every order of the steps, and
//! after each step the disk may catch up or not.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use seckill_shards::command::{Command, OrderView, Refusal, Verdict};
use seckill_shards::engine::read_fold;
use seckill_shards::ids::{ActivityId, OrderId, PaymentId, UserId};
use seckill_shards::limits::{PAYMENT_GIVEN_UP_MS, SETTLE_GRACE_MS};
use seckill_shards::record::{PaymentStatus, Status};
use seckill_shards::testing::World;
use seckill_shards::testing::world::{NOON, buy, pay, publish, published, settle};

const SALE: ActivityId = ActivityId(1);
const PRICE: i64 = 19_900;
const WINDOW_MS: u64 = 60_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// The provider says that the money of the first payment came.
    FirstPaid,
    /// The same of the second.
    SecondPaid,
    /// The provider says that the first payment failed.
    FirstFailed,
    /// The buyer leaves the first payment for another one.
    GiveUp,
    /// The buyer gives up the order.
    Cancel,
    /// The deadline passes.
    Deadline,
    /// The process is killed and starts again.
    Kill,
}

use Step::{Cancel, Deadline, FirstFailed, FirstPaid, GiveUp, Kill, SecondPaid};

/// A sale of one unit, an order and two payments that were started for it.
struct Race {
    world: World,
    order: OrderId,
    payments: [PaymentId; 2],
    cancelled: bool,
}

impl Race {
    fn new() -> Self {
        let mut world = World::new(7, 1);
        world.ask(publish(published(1, 1)));
        let Verdict::Placed(order) = world.ask(Command::PlaceOrder(buy(1, 1, 1))) else { panic!() };
        let payments = [(); 2].map(|()| {
            let Verdict::PaymentStarted(payment) = world.ask(pay(order.id, 1)) else { panic!() };
            payment.id
        });
        Self { world, order: order.id, payments, cancelled: false }
    }

    fn step(mut self, step: Step) -> Self {
        let [first, second] = self.payments;
        let cancel = Command::CancelOrder { order: self.order, user: None };
        match step {
            FirstPaid => self.decide(settle(first, Some(PRICE))),
            SecondPaid => self.decide(settle(second, Some(PRICE))),
            FirstFailed => self.decide(settle(first, None)),
            GiveUp => self.decide(give_up(first, self.order)),
            Cancel => {
                self.decide(cancel);
                self.cancelled = true;
            }
            Deadline => {
                let deadline = NOON.plus_ms(WINDOW_MS);
                let left = deadline.ms_since(self.world.now().min(deadline));
                self.world.clock.advance(left + 1);
                self.world.shards[0].tick();
            }
            Kill => self.world = self.world.kill(1).unwrap(),
        }
        self
    }

    /// What it comes to is told by the books, so the verdict of each step may get lost.
    fn decide(&mut self, command: Command) {
        drop(self.world.shards[0].decide(command));
    }

    /// The provider tells again what it was not answered, until it is; all time limits pass.
    fn end(&mut self, steps: &[Step]) -> OrderView {
        self.world.go_on();
        let [first, second] = self.payments;
        // A provider that was not answered tells again. The failure came first where it did so in
        // `steps`, and money is never taken back by it.
        for &step in steps {
            let word = match step {
                FirstPaid => settle(first, Some(PRICE)),
                SecondPaid => settle(second, Some(PRICE)),
                FirstFailed => settle(first, None),
                GiveUp | Cancel | Deadline | Kill => continue,
            };
            let verdict = self.world.ask(word);
            let settled_for_good = verdict == Verdict::Refused(Refusal::NotFound);
            assert!(
                matches!(verdict, Verdict::PaymentSettled(_)) || settled_for_good,
                "{verdict:?}"
            );
        }
        self.world.pass(WINDOW_MS + SETTLE_GRACE_MS + 1_000);
        self.world.shards[0].order(self.order).unwrap()
    }
}

fn give_up(payment: PaymentId, order: OrderId) -> Command {
    Command::GiveUpPayment { payment, order, user: UserId(1) }
}

/// Sold and free units, by the disk alone.
fn sold_and_free(world: &World) -> (u64, u32) {
    let (_, fold) = read_fold(&world.disk, None).unwrap();
    let activity = &fold.activities[&SALE];
    assert_eq!(activity.totals.held, 0, "the order is open no more");
    (activity.totals.sold, activity.free())
}

fn check(steps: &[Step], syncs: u32) {
    let mut race = Race::new();
    for (index, &step) in steps.iter().enumerate() {
        race = race.step(step);
        if syncs >> index & 1 == 1 {
            race.world.go_on();
        }
    }
    let order = race.end(steps);
    let told = format!("{steps:?} {syncs:b}: {order:?}");
    let paid = order.payments.iter().filter(|it| it.status == PaymentStatus::Succeeded).count();
    assert_eq!(order.status == Status::Paid, paid == 1, "{told}");
    assert!(paid <= 1, "one order is paid once: {told}");
    for (payment, word) in order.payments.iter().zip([FirstPaid, SecondPaid]) {
        let came = steps.contains(&word);
        let kept = matches!(payment.status, PaymentStatus::Succeeded | PaymentStatus::RefundDue);
        assert_eq!(came, kept, "money that came pays or is owed back, no other does: {told}");
    }
    let expected = if order.status == Status::Paid { (1, 0) } else { (0, 1) };
    assert_eq!(sold_and_free(&race.world), expected, "{told}");
    if !steps.contains(&Cancel) {
        assert_ne!(order.status, Status::Cancelled, "{told}");
    }
}

/// Every order of the steps, by Heap's algorithm (1963), with every choice of syncs between them.
fn check_all(steps: &mut [Step], unsorted: usize) {
    if unsorted <= 1 {
        (0..1_u32 << steps.len()).for_each(|syncs| check(steps, syncs));
        return;
    }
    for index in 0..unsorted {
        check_all(steps, unsorted - 1);
        let other = if unsorted.is_multiple_of(2) { index } else { 0 };
        steps.swap(other, unsorted - 1);
    }
}

#[test]
fn p1_p2_p8_money_meets_the_deadline_the_buyer_and_a_crash() {
    for mut steps in [
        [FirstPaid, Cancel, Deadline, Kill],
        [FirstPaid, SecondPaid, Deadline, Kill],
        [FirstPaid, SecondPaid, Cancel, Kill],
        [FirstPaid, FirstFailed, Deadline, Kill],
        [FirstPaid, FirstFailed, Cancel, Deadline],
        [SecondPaid, FirstFailed, Cancel, Deadline],
        [FirstPaid, GiveUp, Deadline, Kill],
        [FirstPaid, GiveUp, SecondPaid, Cancel],
        [FirstPaid, GiveUp, FirstFailed, SecondPaid],
    ] {
        check_all(&mut steps, 4);
    }
    check_all(&mut [FirstPaid, SecondPaid, FirstFailed, Cancel, Deadline], 5);
}

/// A payment whose session at the provider died is left for another one: by its shopper alone, and
/// only as long as no money has come for it.
#[test]
fn a_payment_is_given_up_and_its_money_is_welcome_still() {
    let mut race = Race::new();
    let [first, second] = race.payments;
    let (world, order) = (&mut race.world, race.order);
    let status = |verdict| {
        if let Verdict::Refused(refusal) = verdict {
            return Err(refusal);
        }
        let Verdict::PaymentSettled(payment) = verdict else { panic!("{verdict:?}") };
        Ok(payment.status)
    };
    let elsewhere = OrderId(order.0 + 1);
    for (payment, order, user) in
        [(first, order, 2), (first, elsewhere, 1), (PaymentId(order.0), order, 1)]
    {
        let give_up = Command::GiveUpPayment { payment, order, user: UserId(user) };
        assert_eq!(status(world.ask(give_up)), Err(Refusal::NotFound));
    }
    for _ in 0..2 {
        assert_eq!(status(world.ask(give_up(first, order))), Ok(PaymentStatus::Failed));
    }
    let open = world.shards[0].order(order).unwrap();
    assert_eq!(open.status, Status::AwaitingPayment);
    assert_eq!(open.payments[1].status, PaymentStatus::Started, "the other one goes on");
    assert_eq!(status(world.ask(settle(first, Some(PRICE)))), Ok(PaymentStatus::Succeeded));
    assert_eq!(status(world.ask(give_up(first, order))), Err(Refusal::OrderState));
    assert_eq!(status(world.ask(give_up(second, order))), Ok(PaymentStatus::Failed));
    assert_eq!(status(world.ask(settle(second, Some(PRICE)))), Ok(PaymentStatus::RefundDue));
    assert_eq!(status(world.ask(give_up(second, order))), Err(Refusal::OrderState));
    assert_eq!(world.shards[0].order(order).unwrap().status, Status::Paid);
}

/// Whoever starts to pay and goes away leaves nothing behind: not in memory, not in a checkpoint.
#[test]
fn a_payment_that_nobody_speaks_of_is_given_up_and_its_order_leaves_memory() {
    for killed_after_ms in
        [None, Some(1), Some(PAYMENT_GIVEN_UP_MS / 2), Some(2 * PAYMENT_GIVEN_UP_MS)]
    {
        let mut race = Race::new();
        race.world.ask(Command::CancelOrder { order: race.order, user: None });
        if let Some(ms) = killed_after_ms {
            race.world.clock.advance(ms);
            race.world = race.world.kill(1).unwrap();
        }
        let [first, second] = race.payments;
        let closed = race.world.shards[0].order(race.order).unwrap();
        assert!(closed.payments.iter().all(|it| it.status == PaymentStatus::Started));
        race.world.clock.advance(PAYMENT_GIVEN_UP_MS);
        for _ in 0..2 {
            race.world.pass(20);
            race.world.go_on();
        }
        let given_up = race.world.shards[0].order(race.order).unwrap();
        assert!(
            given_up.payments.iter().all(|it| it.status == PaymentStatus::Failed),
            "{given_up:?}"
        );
        let position = race.world.engine.journal().durable_position();
        race.world.engine.set_flushed(position);
        race.world.pass(20);
        assert_eq!(race.world.shards[0].order(race.order), None);
        for payment in [first, second] {
            let late = race.world.ask(settle(payment, Some(PRICE)));
            assert_eq!(late, Verdict::Refused(Refusal::NotFound), "the store is asked");
        }
    }
}
