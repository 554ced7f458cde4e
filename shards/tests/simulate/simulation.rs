//! One run: random steps of the engine's parts, random faults, and the checks after each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use seckill_shards::clock::{Clock, Timestamp};
use seckill_shards::command::{Command, Decision, Refusal, Sequence, Verdict};
use seckill_shards::engine::{EngineOptions, OpenError, read_fold};
use seckill_shards::ids::{ActivityId, OrderId};
use seckill_shards::journal::{ReadError, Tail, Takes, Written, list};
use seckill_shards::limits::SETTLE_GRACE_MS;
use seckill_shards::orders::{Fold, fingerprint};
use seckill_shards::record::{PaymentStatus, Record, Status, UnitsLeftOnce};
use seckill_shards::testing::world::{DISK_BYTES, options, publish, published};
use seckill_shards::testing::{Random, SimulatedClock, SimulatedDisk, World};

use crate::books::{Books, OrderBook};
use crate::commands::command;
use crate::model::{Expected, Model, with_ids_of};

/// How late an expiry may be decided while its core ticks and the journal takes it.
const LATE_MS_MAX: u64 = 100;
/// Records under way on one core that may fill its lane.
const LANE_RECORDS_SURE: u64 = 4;
const LAST_STEPS: usize = 40;

pub(crate) struct Simulation {
    random: Random,
    world: World,
    model: Model,
    /// Every record that is durable.
    ledger: Books,
    tail: Tail,
    /// Durable, and not yet told to anybody.
    untold: Vec<Record>,
    store: Store,
    /// Whether faults and restarts are rare.
    calm: bool,
    /// Until when expiries could not be decided on time.
    hindered_until: Timestamp,
    /// When recovered orders may expire.
    grace: BTreeMap<OrderId, Timestamp>,
    /// When an order's last record became known.
    stirred: BTreeMap<OrderId, Timestamp>,
    /// Rows that were published, to be published once more, late (O6: nothing visible may change).
    copies: Vec<Command>,
    /// The activities that the engine has forgotten.
    pub forgotten: BTreeSet<ActivityId>,
    pub checkpoints: u64,
    /// The step before which the canary is let out.
    pub canary: Option<usize>,
    /// Whether the last steps are noted.
    pub told_about: bool,
    pub last_steps: VecDeque<String>,
}

/// What another machine keeps: a follower that has each record exactly once.
struct Store {
    fold: Fold,
    position: u64,
}

impl Simulation {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let cores = 1 + random.index(4);
        let world = World::new(random.bits(), cores);
        let tail = world.engine.tail(0);
        Self {
            calm: random.once_in(2),
            hindered_until: world.now(),
            random,
            world,
            model: Model::default(),
            ledger: Books::default(),
            tail,
            untold: Vec::new(),
            store: Store { fold: Fold::default(), position: 0 },
            grace: BTreeMap::new(),
            stirred: BTreeMap::new(),
            copies: Vec::new(),
            forgotten: BTreeSet::new(),
            checkpoints: 0,
            canary: None,
            told_about: false,
            last_steps: VecDeque::new(),
        }
    }

    pub(crate) fn run(&mut self, steps: usize) {
        let steps = if self.calm { 2 * steps } else { steps };
        for step in 0..steps {
            if self.canary == Some(step) {
                self.sell_behind_the_engine();
                self.check_equations();
            }
            self.step();
            self.check_equations();
        }
        self.restart(false);
        self.finish();
    }

    /// Notes a step, if this run is to be told about.
    fn note(&mut self, step: impl FnOnce() -> String) {
        if !self.told_about {
            return;
        }
        if self.last_steps.len() == LAST_STEPS {
            self.last_steps.pop_front();
        }
        let second = self.now().0 % 10_000_000;
        self.last_steps.push_back(format!("{second:>7} {}", step()));
    }

    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    fn step(&mut self) {
        let core = self.random.index(self.world.shards.len());
        // A calm run is longer, writes more groups and stops less, so that segments are recycled within it.
        let end = if self.calm && !self.random.once_in(20) { 970 } else { 1_000 };
        match self.random.below(end) {
            0..480 => {
                self.decide(core);
                if self.calm && self.random.once_in(2) {
                    self.drain();
                }
            }
            480..620 => self.world.shards[core].submit(),
            620..740 => self.write_group(),
            740..850 => self.apply(core),
            850..900 => self.pass(),
            900..930 => self.drain(),
            930..950 => self.keep(),
            950..970 => self.flush(),
            970..986 => self.arm_fault(),
            986..988 => self.leap(),
            _ => self.restart(true),
        }
        if self.world.engine.journal().is_latched() && self.random.once_in(20) {
            self.restart(true);
        }
    }

    /// The canary's deed: the books know of one more unit sold than the engine.
    fn sell_behind_the_engine(&mut self) {
        self.world.disk.set_capacity(DISK_BYTES);
        self.restart(false);
        self.world.ask(publish(published(77, 5)));
        self.catch_up();
        let records = std::mem::take(&mut self.untold);
        records.iter().for_each(|record| self.model.told.enter(record));
        self.model.told.activity(ActivityId(77)).sold += 1;
    }

    /// The next command: a new one, or one on whose way to the engine much has happened.
    fn command(&mut self) -> Command {
        if !self.copies.is_empty() && self.random.once_in(20) {
            let index = self.random.index(self.copies.len());
            return self.copies.swap_remove(index);
        }
        let now = self.now();
        let mut command = command(&mut self.random, &self.model, now);
        if let Command::Publish { forgotten, .. } = &mut command {
            *forgotten = self.world.engine.forgotten();
            if self.random.once_in(4) {
                self.copies.push(command.clone());
            }
        }
        command
    }

    fn decide(&mut self, any_core: usize) {
        let now = self.now();
        let command = self.command();
        let core = match command {
            Command::PlaceOrder(_) => any_core,
            _ => self.world.owner(&command),
        };
        let expected = self.model.expect(&command, now);
        let decision = self.world.shards[core].decide(command.clone());
        self.note(|| format!("core {core}: {command:?} -> {decision:?}"));
        match (decision, expected) {
            (Decision::Pending(sequence), Expected::Record(record)) => {
                let before = self.model.under_way.insert((core, sequence), record);
                assert_eq!(before, None, "a sequence is used once");
            }
            (Decision::Answered(Verdict::Refused(refusal)), expected) => {
                self.check_refusal(core, &command, refusal, &expected);
            }
            (Decision::Answered(verdict), Expected::Verdict(expected)) => {
                assert_eq!(verdict, expected);
            }
            (decision, expected) => panic!("{decision:?}, but expected {expected:?}"),
        }
    }

    /// A refusal that was expected, or one that the state of journal, lane or memory explains.
    fn check_refusal(&self, core: usize, command: &Command, refusal: Refusal, expected: &Expected) {
        let is_buy = matches!(command, Command::PlaceOrder(_));
        let takes = self.world.engine.journal().takes();
        let enough = if is_buy { Takes::Everything } else { Takes::Transitions };
        let a_record = matches!(expected, Expected::Record(_))
            || matches!(
                expected,
                Expected::Verdict(Verdict::Refused(Refusal::InsufficientStock { .. }))
            );
        let explained = match refusal {
            Refusal::Unavailable => takes < enough && (a_record || !is_buy),
            Refusal::Overloaded => {
                let crowded = self.is_crowded(core);
                let full = crowded && (a_record || !is_buy);
                full || self.may_be_expiring(command) || self.is_old_copy(command)
            }
            Refusal::NotFound => self.may_be_forgotten(command),
            _ => false,
        };
        if !explained {
            let refused = Expected::Verdict(Verdict::Refused(in_order(refusal)));
            let expected = match expected.clone() {
                Expected::Verdict(Verdict::Refused(it)) => {
                    Expected::Verdict(Verdict::Refused(in_order(it)))
                }
                other => other,
            };
            // A pending first order under the same key is named, and the model cannot know its id.
            let same_key = |it: &Expected| {
                matches!(
                    it,
                    Expected::Verdict(Verdict::Refused(Refusal::LimitReached {
                        pending: true,
                        ..
                    }))
                )
            };
            assert!(
                refused == expected || (same_key(&refused) && same_key(&expected)),
                "refused {refused:?}, but expected {expected:?}, journal takes {takes:?}"
            );
        }
    }

    /// Whether a core's lane may be full: of records that were asked for, or of expiries, which
    /// the shard alone has counted.
    fn is_crowded(&self, core: usize) -> bool {
        let asked = self.model.under_way.keys().filter(|(at, _)| *at == core).count() as u64;
        let counted = self.world.engine.counters()[core].in_flight.load(Relaxed);
        asked + counted >= LANE_RECORDS_SURE
    }

    fn order_named_by(&self, command: &Command) -> Option<&OrderBook> {
        let order = match command {
            Command::CancelOrder { order, .. }
            | Command::RefundOrder { order, .. }
            | Command::GiveUpPayment { order, .. } => *order,
            Command::StartPayment(start) => start.order,
            Command::SettlePayment { payment, .. } | Command::CompleteRefund { payment } => {
                self.model.told.payments.get(payment)?.started.order
            }
            _ => return None,
        };
        self.model.told.orders.get(&order)
    }

    fn may_be_expiring(&self, command: &Command) -> bool {
        self.order_named_by(command)
            .is_some_and(|order| order.is_open() && order.placed.pay_before <= self.now())
    }

    fn may_be_forgotten(&self, command: &Command) -> bool {
        if let Some(activity) = activity_named_by(command) {
            return self.forgotten.contains(&activity);
        }
        let Some(order) = self.order_named_by(command) else { return false };
        let known = &self.ledger.orders[&order.placed.order];
        self.ledger.may_be_forgotten(known, self.store.position)
    }

    /// Whether a row that the engine does not know was read before some were forgotten.
    fn is_old_copy(&self, command: &Command) -> bool {
        let Command::Publish { row, forgotten } = command else { return false };
        let engine = &self.world.engine;
        *forgotten != engine.forgotten() && engine.activity(row.activity).is_none()
    }

    fn write_group(&mut self) {
        let written = self.world.write_group();
        self.note(|| format!("write_group: {written:?}"));
        self.catch_up();
    }

    /// Reads what has become durable into the ledger.
    fn catch_up(&mut self) {
        let (ledger, untold) = (&mut self.ledger, &mut self.untold);
        let mut enter = |position, record| {
            assert_eq!(position, ledger.position, "each record once, in order");
            ledger.enter(&record);
            untold.push(record);
        };
        while self.tail.next_group(&mut enter).expect("durable records can be read") {}
        assert_eq!(self.ledger.position, self.world.engine.journal().durable_position());
    }

    fn apply(&mut self, core: usize) {
        self.world.apply(core);
        for ((core, sequence), verdict) in std::mem::take(&mut self.world.verdicts) {
            self.hear(core, sequence, verdict);
        }
    }

    /// A verdict has come.
    fn hear(&mut self, core: usize, sequence: Sequence, verdict: Verdict) {
        self.note(|| format!("core {core}: {sequence:?} {verdict:?}"));
        if verdict == Verdict::OutcomeUnknown {
            assert!(self.world.engine.journal().is_latched(), "unknown only after a fault");
            return;
        }
        let record = match self.model.under_way.remove(&(core, sequence)) {
            Some(record) => self.with_ids(&record, &verdict),
            None => self.expiry(&verdict),
        };
        let at = self.untold.iter().position(|it| *it == record);
        let at = at.unwrap_or_else(|| panic!("{record:?} was told before it was durable"));
        self.untold.remove(at);
        self.model.told.enter(&record);
        let placed = if let Record::OrderPlaced(it) = &record { Some(it.order) } else { None };
        if let Some(order) = placed.or_else(|| crate::model::order_of(&record)) {
            self.stirred.insert(order, self.now());
        }
        let told = &self.model.told;
        let view = |order: OrderId| told.view(&told.orders[&order]);
        let expected = match &record {
            Record::OrderPlaced(it) => Verdict::Placed(view(it.order)),
            Record::OrderExpired(it) | Record::OrderCancelled(it) => Verdict::Moved(view(it.order)),
            Record::OrderRefunded(it) => Verdict::Moved(view(it.moved.order)),
            Record::OrderPaid(it) => Verdict::PaymentSettled(told.payment_view(it.payment)),
            Record::PaymentStarted(it) => Verdict::PaymentStarted(told.payment_view(it.payment)),
            Record::PaymentFailed(it)
            | Record::PaymentRefundDue(it)
            | Record::PaymentRefunded(it) => Verdict::PaymentSettled(told.payment_view(it.payment)),
            _ => Verdict::ActivityChanged,
        };
        assert_eq!(verdict, expected);
    }

    /// The record under way, with the id that the verdict gives it.
    fn with_ids(&self, record: &Record, verdict: &Verdict) -> Record {
        let named = |actual: &&Record| match (actual, verdict) {
            (Record::OrderPlaced(it), Verdict::Placed(view)) => it.order == view.id,
            (Record::PaymentStarted(it), Verdict::PaymentStarted(view)) => it.payment == view.id,
            _ => false,
        };
        match self.untold.iter().find(named) {
            Some(actual) => with_ids_of(record, actual),
            None => record.clone(),
        }
    }

    /// A verdict that nobody asked for is an expiry.
    fn expiry(&self, verdict: &Verdict) -> Record {
        let Verdict::Moved(view) = verdict else { panic!("nobody asked for {verdict:?}") };
        assert_eq!(view.status, Status::Expired);
        let at = view.moved_at.expect("it has moved");
        let order = &self.model.told.orders[&view.id];
        let moved = crate::model::moved(order, at);
        let grace = self.grace.get(&view.id).copied().unwrap_or_default();
        assert!(at >= grace, "a payment under way gives {grace:?}, but expired at {at:?}");
        let due = self.due(order).max(self.hindered_until);
        assert!(at <= due.plus_ms(LATE_MS_MAX), "expired at {at:?}, due at {due:?}");
        Record::OrderExpired(moved)
    }

    /// When an open order should expire, as long as nothing stirs it.
    fn due(&self, order: &OrderBook) -> Timestamp {
        let grace = self.grace.get(&order.placed.order).copied().unwrap_or_default();
        let stirred = self.stirred.get(&order.placed.order).copied().unwrap_or_default();
        order.placed.pay_before.max(grace).max(stirred)
    }

    /// Time passes as cores see it: a tick every 10 ms at most.
    fn pass(&mut self) {
        let ms = 1 + self.random.below(200);
        self.note(|| format!("{ms} ms pass"));
        let end = self.now().plus_ms(ms);
        while self.now() < end {
            self.world.clock.advance(end.ms_since(self.now()).min(10));
            self.tick();
            if self.random.once_in(3) {
                self.drain();
            }
        }
    }

    fn tick(&mut self) {
        let cores = self.world.shards.len();
        for shard in &mut self.world.shards {
            let due = shard.tick();
            assert!(!due, "few orders are due at once");
        }
        let full = (0..cores).any(|core| self.is_crowded(core));
        let takes = self.world.engine.journal().takes();
        if full || takes < Takes::Transitions {
            self.hindered_until = self.now();
        }
    }

    /// Nothing ticks for a while: a suspended machine.
    fn leap(&mut self) {
        let ms = if self.random.once_in(3) { SETTLE_GRACE_MS } else { 5_000 };
        self.note(|| format!("a leap of {ms} ms"));
        self.world.clock.advance(ms);
        self.hindered_until = self.now();
        self.tick();
    }

    /// Everything under way is written and answered.
    fn drain(&mut self) {
        for _ in 0..100 {
            self.world.shards.iter_mut().for_each(seckill_shards::shard::Shard::submit);
            let written = self.world.write_group();
            self.note(|| format!("drain: {written:?}"));
            self.catch_up();
            (0..self.world.shards.len()).for_each(|core| self.apply(core));
            match written {
                Written::Group => {}
                Written::Nothing => {
                    assert_eq!(self.model.under_way.len(), 0, "all is answered");
                    assert_eq!(self.untold, [], "all is told");
                    self.check_overdue();
                    return;
                }
                Written::NoRoom | Written::Latched => return,
            }
        }
        panic!("the lanes do not run dry");
    }

    /// With nothing under way, an order that is still open is not overdue.
    fn check_overdue(&self) {
        let late = self.now().ms_since(self.hindered_until) > LATE_MS_MAX;
        let overdue = |order: &&OrderBook| {
            order.is_open() && self.now().ms_since(self.due(order)) > LATE_MS_MAX
        };
        let open = self.model.told.orders.values().find(overdue).filter(|_| late);
        assert_eq!(open, None, "an order is overdue");
    }

    fn keep(&mut self) {
        self.may_fail_to_read();
        for _ in 0..=self.random.below(4) {
            let kept = self.world.keeper.step();
            self.note(|| format!("keep: {kept:?}"));
        }
        self.world.disk.heal_reads();
    }

    /// Those who are about to read may not be able to; they try again later.
    fn may_fail_to_read(&mut self) {
        if self.random.once_in(8) {
            self.world.disk.fail_reads_after(self.random.below(12));
        }
    }

    /// The store takes some groups more.
    fn flush(&mut self) {
        self.may_fail_to_read();
        let mut tail = self.world.engine.tail(self.store.position);
        let store = &mut self.store;
        for _ in 0..self.random.below(40) {
            let mut take = |position, record: Record| {
                assert_eq!(position, store.position, "the store has each record once");
                store.fold.apply(&record);
                store.position += 1;
            };
            match tail.next_group(&mut take) {
                Ok(true) => {}
                Ok(false) => break,
                // A read that failed; or what the store needs is not there, and it never gets on.
                Err(error) => {
                    assert!(matches!(error, ReadError::Disk { .. }), "{error:?}");
                    break;
                }
            }
        }
        self.world.disk.heal_reads();
        self.world.engine.set_flushed(self.store.position);
        let position = self.store.position;
        let activities = self.ledger.activities.iter();
        let over = activities.filter(|(_, it)| it.closed && it.closed_position < position);
        self.model.over.extend(over.map(|(&id, _)| id));
        self.note(|| format!("flushed to {position}"));
    }

    fn arm_fault(&mut self) {
        let calls = self.random.below(12);
        let disk = &self.world.disk;
        let fault = match self.random.below(8) {
            0 | 1 => {
                disk.fail_after(calls);
                "fails for good"
            }
            2 | 3 => {
                disk.fail_once_after(calls);
                "fails once"
            }
            4 | 5 => {
                disk.set_capacity(disk.used() + self.random.below(96 << 10));
                "is nearly full"
            }
            _ => {
                disk.set_capacity(DISK_BYTES);
                "has room again"
            }
        };
        self.note(|| format!("after {calls} calls the disk {fault}"));
    }

    /// The process or the machine stops and starts again.
    fn restart(&mut self, faulty: bool) {
        let (disk, clock) = (self.world.disk.clone(), Arc::clone(&self.world.clock));
        let cores =
            if self.random.once_in(2) { 1 + self.random.index(4) } else { self.world.shards.len() };
        let options = EngineOptions {
            segment_bytes: (1 + self.random.below(2) + u64::from(cores > 2)) * (16 << 10),
            closed_kept: self.random.index(3),
            ..options(cores)
        };
        // Nobody who had read a row is there any more.
        self.copies.clear();
        loop {
            let crash = self.random.once_in(2);
            let outage = if self.random.once_in(4) { self.random.below(8_000) } else { 0 };
            if crash {
                disk.crash();
            } else {
                disk.heal();
            }
            clock.advance(outage);
            let hindered = faulty && self.random.once_in(3);
            if hindered && self.random.once_in(2) {
                disk.fail_after(self.random.below(20));
            } else if hindered {
                disk.fail_reads_after(self.random.below(40));
            }
            self.note(|| format!("crash {crash}, {outage} ms, {cores} cores, hindered {hindered}"));
            self.checkpoints += self.world.keeper.checkpoints.swap(0, Relaxed);
            match open(&disk, &clock, &options) {
                Ok(world) => {
                    disk.heal();
                    self.world = world;
                    break;
                }
                Err(error) => {
                    self.note(|| format!("open: {error:?}"));
                    assert!(hindered, "{error:?}");
                }
            }
        }
        self.recover();
    }

    /// What was under way when the engine stopped is resolved, one way or the other; what was told
    /// stands.
    fn recover(&mut self) {
        let engine = Arc::clone(&self.world.engine);
        assert!(engine.recovery().position >= self.ledger.position, "durable records are lost");
        self.tail = engine.tail(self.ledger.position);
        self.catch_up();
        self.match_under_way();
        for record in std::mem::take(&mut self.untold) {
            self.model.told.enter(&record);
        }
        self.check_told();
        self.model.told.recount();
        self.grace.clear();
        self.stirred.clear();
        self.hindered_until = self.now();
        let now = self.now();
        for order in self.model.told.orders.values().filter(|it| it.is_open()) {
            let started = |id| self.model.told.payments[id].status == PaymentStatus::Started;
            if order.placed.pay_before <= now && order.payments.iter().any(started) {
                self.grace.insert(order.placed.order, now.plus_ms(SETTLE_GRACE_MS));
            }
        }
        self.check_recovered();
    }

    /// Each record that is durable and was not told was under way, or is an expiry; and of each
    /// core's records the first are there and the last are not.
    fn match_under_way(&mut self) {
        let mut known = BTreeSet::new();
        let mut lost = BTreeSet::new();
        for ((core, sequence), expected) in std::mem::take(&mut self.model.under_way) {
            let found = (0..self.untold.len()).find(|at| {
                let actual = &self.untold[*at];
                let here = match actual {
                    Record::OrderPlaced(it) => usize::from(it.order.shard()) == core,
                    _ => true,
                };
                here && !known.contains(at) && with_ids_of(&expected, actual) == *actual
            });
            match found {
                Some(at) => {
                    assert!(!lost.contains(&core), "{sequence:?} is there, one before it is not");
                    known.insert(at);
                }
                None => {
                    lost.insert(core);
                }
            }
        }
        for (at, record) in self.untold.iter().enumerate().filter(|(at, _)| !known.contains(at)) {
            let expired = matches!(record, Record::OrderExpired(_));
            assert!(expired, "record {at}, {record:?}, was never decided");
        }
    }

    /// What was told is what is durable, once nothing is under way.
    fn check_told(&self) {
        let (told, ledger) = (&self.model.told, &self.ledger);
        assert_eq!(told.orders.len(), ledger.orders.len(), "orders that were told");
        for (id, order) in &told.orders {
            assert_eq!(told.view(order), ledger.view(&ledger.orders[id]));
        }
        assert_eq!(told.payments, ledger.payments);
        for (id, told) in &told.activities {
            let position = ledger.activities[id].closed_position;
            let mut told = told.clone();
            told.closed_position = position;
            assert_eq!(told, ledger.activities[id]);
        }
    }

    /// The fold of the disk, the shards, and what was told agree.
    fn check_recovered(&self) {
        let (found, fold) = read_fold(&self.world.disk, None).expect("it was just read");
        assert_eq!(found.position, self.ledger.position);
        let told = &self.model.told;
        assert!(fold.activities.keys().eq(&self.known_activities()), "fold and shards");
        assert!(fold.activities.keys().all(|id| told.activities.contains_key(id)));
        let mut folded_away: BTreeMap<ActivityId, u64> = BTreeMap::new();
        for (&id, order) in &told.orders {
            let expected = told.view(order);
            let folded = fold.orders.order(id).map(seckill_shards::orders::Order::view);
            let owner = id.owner(self.world.shards.len());
            let live = self.world.shards[owner].order(id);
            assert_eq!(folded, live, "fold and shard of {id}");
            if live.is_none() {
                let book = &self.ledger.orders[&id];
                let may = self.ledger.may_be_forgotten(book, self.store.position);
                assert!(may, "order {id} is lost: {order:?}");
                let sum = folded_away.entry(order.placed.activity).or_default();
                *sum = sum.wrapping_add(fingerprint(&expected));
            } else {
                assert_eq!(live, Some(expected));
            }
        }
        for (id, book) in &told.activities {
            let Some(folded) = fold.activities.get(id) else {
                assert!(self.ledger.may_forget(*id, self.store.position), "{id} is lost");
                continue;
            };
            assert_eq!(folded.published, book.row);
            assert_eq!(
                (folded.paused, folded.ended, folded.closed),
                (book.paused, book.ended, book.closed)
            );
            assert_eq!(folded.free(), book.free(), "free units of {id}");
            assert_eq!(folded.totals.held, u64::from(book.held));
            assert_eq!(folded.totals.sold, u64::from(book.sold));
            assert_eq!(folded.totals.written_off, u64::from(book.written_off));
            assert_eq!(folded.totals.left, u64::from(book.left));
            let withdrawals = told.withdrawals.values().filter(|it| it.left.activity == *id);
            let keys = |it: &UnitsLeftOnce| (it.key, it.body);
            let expected: BTreeSet<_> = withdrawals.map(keys).collect();
            assert_eq!(folded.withdrawals.iter().map(keys).collect::<BTreeSet<_>>(), expected);
            assert_eq!(folded.folded_away, folded_away.get(id).copied().unwrap_or(0));
        }
        assert_eq!(fold.orders.len(), self.world.engine.recovery().orders);
    }

    /// The activities of the engine, by id.
    fn known_activities(&self) -> BTreeSet<ActivityId> {
        self.world.engine.activities().keys().copied().collect()
    }

    /// remaining + outstanding + sold + written off + left + withdrawals under way = stocked, where
    /// all but the first two are what was told.
    fn check_equations(&mut self) {
        for &id in self.model.told.activities.keys() {
            let Some(activity) = self.world.engine.activity(id) else {
                let is_known = self.forgotten.contains(&id);
                let may = is_known || self.ledger.may_forget(id, self.store.position);
                assert!(may, "activity {id} is lost");
                self.forgotten.insert(id);
                continue;
            };
            assert!(!self.forgotten.contains(&id), "activity {id} is there again");
            let (remaining, outstanding) = (activity.remaining(), activity.outstanding());
            assert_eq!(remaining, self.model.remaining(id), "the stock equation of {id}: free");
            let expected = u64::from(self.model.outstanding(id));
            assert_eq!(outstanding, expected, "the stock equation of {id}: outstanding");
            assert_eq!(activity.is_sold_out(), remaining == 0);
        }
    }

    /// With room and time, everything open ends, the store gets all, and the disk is tidy.
    fn finish(&mut self) {
        self.world.disk.set_capacity(DISK_BYTES);
        for _ in 0..20 {
            self.keep();
            self.drain();
        }
        self.world.clock.advance(SETTLE_GRACE_MS);
        self.hindered_until = self.now();
        for _ in 0..60 {
            self.world.clock.advance(10);
            self.tick();
            self.drain();
            self.keep();
        }
        assert_eq!(self.world.engine.journal().takes(), Takes::Everything, "selling goes on");
        self.check_overdue();
        self.check_equations();
        while self.store.position < self.ledger.position {
            self.flush();
        }
        for (id, book) in &self.ledger.activities {
            let free = self.store.fold.activities[id].free();
            assert_eq!(free, book.free(), "the store's view of {id}");
        }
        let checkpoints = list(&self.world.disk).expect("it is there").checkpoints;
        assert!(checkpoints.len() <= 1, "older checkpoints go: {checkpoints:?}");
        assert!(self.world.keeper.files() <= self.world.options.segments_max);
    }
}

fn open(
    disk: &SimulatedDisk,
    clock: &Arc<SimulatedClock>,
    options: &EngineOptions,
) -> Result<World, OpenError> {
    World::open(disk.clone(), Arc::clone(clock), options.clone())
}

/// The activity that a command is about; none where it is about an order.
fn activity_named_by(command: &Command) -> Option<ActivityId> {
    match command {
        Command::PlaceOrder(buy) => Some(buy.activity),
        Command::Publish { row, .. } => Some(row.activity),
        Command::Withdraw(withdraw) => Some(withdraw.activity),
        Command::ChangePhase { activity, .. } | Command::Close { activity, .. } => Some(*activity),
        _ => None,
    }
}

fn in_order(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::LimitReached { mut orders, pending } => {
            orders.sort_unstable();
            Refusal::LimitReached { orders, pending }
        }
        other => other,
    }
}
