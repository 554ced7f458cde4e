//! The journal and its recovery: what is durable stays, a torn tail goes whole, damage stops the
//! start, and the disk's use is bounded whatever the uptime.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may fail, and names the verdicts it wants"
)]

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_oneof, proptest};
use proptest::test_runner::Config;

use seckill_shards::clock::{Clock, Timestamp};
use seckill_shards::command::{Command, Decision, PlaceOrder, Refusal, Verdict};
use seckill_shards::disk::Disk;
use seckill_shards::engine::{Engine, EngineOptions, OpenError, Threads};
use seckill_shards::ids::{ActivityId, OrderId, PaymentId};
use seckill_shards::journal::{
    FRAME_HEAD_BYTES, HeadError, JournalWriter, Lane, LaneWriter, ReadError, ReadySegment,
    SEGMENT_HEAD_BYTES, SegmentHead, SegmentQueues, SegmentReader, Sizes, Takes, Written, list,
    replay, segment_name, verify_segments,
};
use seckill_shards::limits::{SECTOR_BYTES, SEGMENTS_AHEAD};
use seckill_shards::record::{PhaseChanged, Record, Status};
use seckill_shards::testing::world::{
    DISK_BYTES, NOON, SEGMENT_BYTES, buy, digest, options, pay, placed, publish, published, settle,
};
use seckill_shards::testing::{SimulatedClock, SimulatedDisk, World};

const JOURNAL: [u8; 16] = *b"a journal's name";
const SIZES: Sizes = Sizes { segment_bytes: 8 << 10, lane_bytes: 2 << 10 };
const LANES: usize = 2;

/// A journal by itself, with the lanes that feed it and nothing that reads the records.
struct Journal {
    disk: SimulatedDisk,
    lanes: Vec<LaneWriter>,
    writer: JournalWriter,
    queues: Arc<SegmentQueues>,
    next_segment: u64,
    run: u64,
}

impl Journal {
    /// Goes on behind what is on `disk`, which ends at `position`.
    fn open(disk: &SimulatedDisk, run: u64, position: u64) -> Self {
        let queues = Arc::new(SegmentQueues::new(8));
        let lanes: Vec<_> = (0..LANES).map(|_| Arc::<Lane>::default()).collect();
        let writers = lanes.iter().map(|it| LaneWriter::new(Arc::clone(it), SIZES.lane_bytes));
        let writers = writers.collect();
        let clock = Arc::new(SimulatedClock::at(NOON)) as Arc<dyn Clock>;
        let given = Arc::clone(&queues);
        let writer = JournalWriter::new(clock, lanes, given, SIZES, (run, position));
        let known = list(disk).unwrap().segments;
        let next_segment = known.last().map_or(1, |last| last + 1);
        let disk = disk.clone();
        let mut journal = Self { disk, lanes: writers, writer, queues, next_segment, run };
        journal.make_segment();
        journal
    }

    fn make_segment(&mut self) {
        let (segment, run) = (self.next_segment, self.run);
        let file = self.disk.create(&segment_name(segment), SIZES.segment_bytes).unwrap();
        let head = SegmentHead { journal: JOURNAL, gateway: None, segment, run };
        file.write_at(0, head.encode().as_slice()).unwrap();
        file.sync().unwrap();
        self.disk.sync_names().unwrap();
        self.next_segment += 1;
        assert!(self.queues.ready.push(ReadySegment { segment, file }).is_ok());
    }

    fn append(&mut self, lane: usize, record: &Record) {
        self.lanes[lane].append(record, || 0);
        self.lanes[lane].submit();
    }

    fn write(&mut self) -> Written {
        let written = self.writer.write_group();
        if written != Written::NoRoom {
            return written;
        }
        self.make_segment();
        self.writer.write_group()
    }
}

/// Every record on the disk, and the last run.
fn read(disk: &SimulatedDisk) -> Result<(Vec<Record>, u64), ReadError> {
    let mut records = Vec::new();
    let segments = list(disk).unwrap().segments;
    let replayed = replay(disk, JOURNAL, &segments, 0, &mut |position, record| {
        assert_eq!(position, records.len() as u64);
        records.push(record);
    })?;
    assert_eq!(replayed.position, records.len() as u64);
    Ok((records, replayed.last_run))
}

/// Small records that differ by their number, some of a sector and more.
fn record(number: u64) -> Record {
    if number.is_multiple_of(5) {
        let mut row = published(number, 1);
        row.terms.title = "x".repeat(usize::try_from(number % 190).unwrap());
        return Record::ActivityPublished(Box::new(row));
    }
    Record::ActivityPaused(PhaseChanged { activity: ActivityId(number), at: Timestamp(number) })
}

#[derive(Clone, Debug)]
enum Operation {
    Append { lane: usize },
    Write,
    Kill,
    Crash,
    CrashInWrite { calls: u64 },
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        8 => (0..LANES).prop_map(|lane| Operation::Append { lane }),
        6 => Just(Operation::Write),
        1 => Just(Operation::Kill),
        1 => Just(Operation::Crash),
        1 => (0u64..2).prop_map(|calls| Operation::CrashInWrite { calls }),
    ]
}

/// A journal beside a plain list of what must be in it.
struct Model {
    journal: Journal,
    numbers: u64,
    durable: Vec<Record>,
    waiting: [Vec<Record>; LANES],
}

impl Model {
    fn new(seed: u64) -> Self {
        let disk = SimulatedDisk::new(seed, DISK_BYTES);
        let journal = Journal::open(&disk, 1, 0);
        Self { journal, numbers: 0, durable: Vec::new(), waiting: Default::default() }
    }

    fn run(&mut self, operation: Operation) {
        match operation {
            Operation::Append { lane } if self.waiting[lane].len() < 4 => {
                self.numbers += 1;
                self.journal.append(lane, &record(self.numbers));
                self.waiting[lane].push(record(self.numbers));
            }
            Operation::Append { .. } => {}
            Operation::Write => {
                let is_empty = self.waiting.iter().all(Vec::is_empty);
                let expected = if is_empty { Written::Nothing } else { Written::Group };
                assert_eq!(self.journal.write(), expected);
                self.durable.extend(self.waiting.iter_mut().flat_map(std::mem::take));
            }
            Operation::Kill => self.reopen(),
            Operation::Crash => {
                self.journal.disk.crash();
                self.reopen();
            }
            Operation::CrashInWrite { calls } => {
                self.journal.make_segment_if_none();
                self.journal.disk.fail_after(calls);
                self.journal.write();
                self.journal.disk.crash();
                self.reopen();
            }
        }
    }

    /// The durable records are there, and the group under way is there whole or not at all.
    fn reopen(&mut self) {
        let (records, run) = read(&self.journal.disk).unwrap();
        let under_way: Vec<_> = self.waiting.iter_mut().flat_map(std::mem::take).collect();
        let (durable, behind) = records.split_at(self.durable.len());
        assert_eq!(durable, self.durable);
        assert!(behind.is_empty() || behind == under_way, "a group is one");
        self.durable = records;
        let position = self.durable.len() as u64;
        self.journal = Journal::open(&self.journal.disk, run.max(self.journal.run) + 1, position);
    }
}

impl Journal {
    fn make_segment_if_none(&mut self) {
        if self.queues.ready.is_empty() {
            self.make_segment();
        }
    }
}

proptest! {
    #![proptest_config(Config { cases: 200, ..Config::default() })]
    #[test]
    fn the_journal_keeps_what_a_list_keeps(
        seed in 0u64..1000,
        operations in vec(operation(), 1..120),
    ) {
        let mut model = Model::new(seed);
        operations.into_iter().for_each(|operation| model.run(operation));
        model.journal.disk.crash();
        model.reopen();
    }
}

/// Three groups in one segment: their records, and where each begins and ends.
fn three_groups(disk: &SimulatedDisk) -> Vec<(usize, usize)> {
    let mut journal = Journal::open(disk, 1, 0);
    for group in 0..3 {
        for number in 1..=24 {
            journal.append(0, &record(100 * group + number));
        }
        assert_eq!(journal.write(), Written::Group);
    }
    let mut reader = SegmentReader::open(disk, 1, JOURNAL).unwrap();
    let mut places = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        let start = usize::try_from(frame.offset).unwrap();
        places.push((start, start + FRAME_HEAD_BYTES + frame.payload.len()));
    }
    assert_eq!(places.len(), 3);
    places
}

/// Writes a file's bytes as they shall be.
fn set_content(disk: &SimulatedDisk, name: &str, bytes: &[u8]) {
    disk.open(name).unwrap().write_at(0, bytes).unwrap();
}

#[test]
fn d8_a_torn_tail_is_dropped_whole_wherever_it_is_cut() {
    let disk = SimulatedDisk::new(1, DISK_BYTES);
    let (start, end) = three_groups(&disk)[2];
    let name = segment_name(1);
    let whole = disk.content(&name).unwrap();
    let (records, _) = read(&disk).unwrap();
    for cut in start..end {
        let mut torn = whole.clone();
        torn[cut..end].fill(0);
        set_content(&disk, &name, &torn);
        let expected = if torn == whole { &records[..] } else { &records[..48] };
        assert_eq!(read(&disk).unwrap().0, expected, "cut at byte {cut}");
    }
}

#[test]
fn d8_a_torn_tail_is_dropped_whole_whichever_sectors_are_lost() {
    let disk = SimulatedDisk::new(1, DISK_BYTES);
    let (start, end) = three_groups(&disk)[2];
    let name = segment_name(1);
    let whole = disk.content(&name).unwrap();
    let sectors = (end - start).div_ceil(SECTOR_BYTES);
    assert!((2..=6).contains(&sectors), "{sectors} sectors");
    for kept in 0..(1_u32 << sectors) - 1 {
        let mut torn = whole.clone();
        for sector in (0..sectors).filter(|sector| kept & (1 << sector) == 0) {
            // What was there before a recycled segment was written anew.
            torn[start + sector * SECTOR_BYTES..][..SECTOR_BYTES].fill(0xa5);
        }
        set_content(&disk, &name, &torn);
        assert_eq!(read(&disk).unwrap().0.len(), 48, "sectors kept: {kept:b}");
    }
}

#[test]
fn d8_damage_before_a_good_group_is_told_by_file_and_byte() {
    let disk = SimulatedDisk::new(1, DISK_BYTES);
    let places = three_groups(&disk);
    for (start, end) in &places[..2] {
        for offset in *start..*end {
            disk.flip(&segment_name(1), offset);
            let error = read(&disk).expect_err("damage is not skipped");
            let ReadError::Damaged { name, offset: at } = error else {
                panic!("byte {offset}: {error}");
            };
            assert_eq!((name, at), (segment_name(1), *start as u64));
            disk.flip(&segment_name(1), offset);
        }
    }
    assert_eq!(read(&disk).unwrap().0.len(), 72, "each flip was undone");
}

#[test]
fn d8_a_missing_segment_is_a_gap() {
    let disk = SimulatedDisk::new(1, DISK_BYTES);
    let mut journal = Journal::open(&disk, 1, 0);
    while journal.next_segment <= 4 {
        journal.append(0, &record(5));
        journal.write();
    }
    disk.remove(&segment_name(2)).unwrap();
    let error = verify_segments(&disk, JOURNAL, &[1, 3, 4], 0).expect_err("records are missing");
    assert!(matches!(&error, ReadError::Gap { name, .. } if *name == segment_name(3)), "{error}");
}

/// A world that has sold two orders, stopped.
fn stopped_world() -> World {
    let mut world = World::new(1, 2);
    world.ask(publish(published(1, 10)));
    for user in 0..2 {
        placed(world.ask(Command::PlaceOrder(buy(1, user, 1))));
    }
    world
}

fn open_again(world: &World) -> Result<World, OpenError> {
    World::open(world.disk.clone(), Arc::clone(&world.clock), world.options.clone())
}

/// Changes a sector of a header and mends its checksum, as another writer would have it.
fn with_head(world: &World, segment: u64, change: impl FnOnce(&mut [u8])) {
    let name = segment_name(segment);
    let mut bytes = world.disk.content(&name).unwrap();
    change(&mut bytes[..48]);
    let number = u64::from_le_bytes(bytes[32..40].try_into().unwrap());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), &bytes[8..48]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    set_content(&world.disk, &name, &bytes);
}

#[test]
fn a_segment_of_another_journal_stops_the_start() {
    let world = stopped_world();
    with_head(&world, 2, |head| head[16..32].copy_from_slice(b"another journal."));
    let error = open_again(&world).expect_err("it is foreign");
    let OpenError::Read(ReadError::Foreign { name }) = error else { panic!("{error}") };
    assert_eq!(name, segment_name(2));
}

/// With the store away nobody else knew, and it gave out ids of another gateway's orders.
#[test]
fn the_journal_of_another_gateway_stops_the_start_and_stays_as_it_is() {
    let mut world = stopped_world();
    let before = world.disk.list().unwrap();
    let own = std::mem::replace(&mut world.options.origin.gateway, 9);
    let error = open_again(&world).expect_err("it is another's");
    let OpenError::OtherGateway { found, own: 9 } = error else { panic!("{error}") };
    assert_eq!((found, world.disk.list().unwrap()), (own, before));
    world.options.origin.gateway = own;
    assert_eq!(open_again(&world).unwrap().engine.recovery().orders, 2);
}

/// A journal of an older release goes on, and says from then on whose it is.
#[test]
fn a_journal_that_does_not_say_whose_it_is_is_ones_own() {
    let mut world = stopped_world();
    for segment in list(&world.disk).unwrap().segments {
        with_head(&world, segment, |head| head[12..16].fill(0));
    }
    // A mistyped number, of which the store knew: nothing was written under it.
    world.options.origin.gateway += 1;
    drop(open_again(&world).unwrap());
    world.options.origin.gateway -= 1;
    world = open_again(&world).unwrap();
    placed(world.ask(Command::PlaceOrder(buy(1, 7, 1))));
    world.options.origin.gateway += 1;
    let error = open_again(&world).expect_err("it says so by now");
    assert!(matches!(error, OpenError::OtherGateway { .. }), "{error}");
}

#[test]
fn a_segment_under_another_name_stops_the_start() {
    let world = stopped_world();
    with_head(&world, 1, |head| head[32] = 9);
    let error = open_again(&world).expect_err("it is misplaced");
    assert!(matches!(error, OpenError::Read(ReadError::Foreign { .. })), "{error}");
}

#[test]
fn a_newer_format_stops_the_start() {
    let world = stopped_world();
    with_head(&world, 1, |head| head[8] = 2);
    let error = open_again(&world).expect_err("it is newer");
    let OpenError::Read(ReadError::Head { why, .. }) = error else { panic!("{error}") };
    assert_eq!(why, HeadError::Newer { found: 2 });
}

#[test]
fn a_header_that_is_damaged_stops_the_start() {
    let world = stopped_world();
    world.disk.flip(&segment_name(1), 20);
    let error = open_again(&world).expect_err("it is damaged");
    assert!(matches!(error, OpenError::Read(ReadError::Head { .. })), "{error}");
}

/// Payments once took their id from the core that owned the order at that time, and nobody found
/// them any more when there was another number of cores.
#[test]
fn orders_and_payments_are_found_whatever_the_number_of_cores() {
    let mut world = World::new(2, 4);
    world.ask(publish(published(1, 100)));
    let mut orders = Vec::new();
    for core in 0..4 {
        orders.push(placed(world.ask_at(core, Command::PlaceOrder(buy(1, core as u64, 1)))));
    }
    let mut payments: Vec<(PaymentId, usize)> = Vec::new();
    for (round, cores) in [1, 3, 2, 4, 1].into_iter().enumerate() {
        world = world.crash(cores).unwrap();
        if let Some(&order) = orders.get(round) {
            let Verdict::PaymentStarted(view) = world.ask(pay(order, round as u64)) else {
                panic!("with {cores} cores, payment {round} is not started");
            };
            payments.push((view.id, round));
        }
        for &(payment, of) in &payments {
            assert_eq!(payment.owner(cores), orders[of].owner(cores), "they live together");
        }
    }
    for (payment, _) in payments {
        let verdict = world.ask(settle(payment, Some(19_900)));
        assert!(matches!(verdict, Verdict::PaymentSettled(_)), "{verdict:?}");
    }
    let world = world.crash(3).unwrap();
    for order in orders {
        let view = world.shards[order.owner(3)].order(order).unwrap();
        assert_eq!(view.status, Status::Paid);
    }
}

/// Sells until the journal takes no new orders; the orders.
fn sell_until_full(world: &mut World) -> Vec<OrderId> {
    let mut orders = Vec::new();
    for user in 0..100_000 {
        // The keeper fails, as it does on a full disk, and is asked again all the same.
        while world.keeper.step().is_ok_and(|more| more) {}
        world.go_on();
        match world.ask(Command::PlaceOrder(buy(1, user, 1))) {
            Verdict::Placed(order) => orders.push(order.id),
            Verdict::Refused(Refusal::Unavailable) => return orders,
            other => panic!("{other:?}"),
        }
    }
    panic!("the journal is never full")
}

fn check_full(mut world: World) {
    let mut orders = sell_until_full(&mut world);
    assert!(orders.len() > 50);
    let order = orders.pop().unwrap();
    let cancelled = world.ask(Command::CancelOrder { order, user: None });
    assert!(matches!(cancelled, Verdict::Moved(_)), "the reserve is for orders that exist");
    let Verdict::PaymentStarted(payment) = world.ask(pay(orders[0], 0)) else {
        panic!("a payment is a transition");
    };
    world.ask(settle(payment.id, Some(payment.amount)));
    let mut world = world.crash(2).unwrap();
    for order in &orders[1..] {
        let view = world.shards[order.owner(2)].order(*order).unwrap();
        assert_eq!(view.status, Status::AwaitingPayment);
    }
    world.disk.set_capacity(DISK_BYTES);
    world.flush();
    world.keep();
    assert_eq!(world.engine.journal().takes(), Takes::Everything);
    placed(world.ask(Command::PlaceOrder(buy(1, 1 << 40, 1))));
}

#[test]
fn d8_a_full_disk_refuses_new_orders_only_and_selling_goes_on_with_room() {
    let mut world = World::new(5, 2);
    world.disk.set_capacity(7 * SEGMENT_BYTES);
    world.ask(publish(published(1, 100_000)));
    check_full(world);
}

/// With the store away, segments cannot be recycled; a restart with all of them full must start,
/// or the store could never take them.
#[test]
fn d8_a_full_journal_starts_is_flushed_and_goes_on() {
    let disk = SimulatedDisk::new(6, DISK_BYTES);
    let options = EngineOptions { segments_max: 6, ..options(2) };
    let clock = Arc::new(SimulatedClock::at(NOON));
    let mut world = World::open(disk, clock, options).unwrap();
    world.ask(publish(published(1, 100_000)));
    check_full(world);
}

#[test]
fn d1_d2_after_an_io_error_nothing_is_acknowledged_until_a_restart() {
    for calls in 0..2 {
        let mut world = World::new(7, 2);
        world.ask(publish(published(1, 10)));
        let before = placed(world.ask(Command::PlaceOrder(buy(1, 1, 1))));
        let Decision::Pending(sequence) = world.shards[0].decide(Command::PlaceOrder(buy(1, 2, 1)))
        else {
            panic!("there is room");
        };
        world.disk.fail_after(calls);
        world.go_on();
        let verdict = world.verdicts.remove(&(0, sequence));
        assert_eq!(verdict, Some(Verdict::OutcomeUnknown), "told unknown, never failed");
        let refused = Verdict::Refused(Refusal::Unavailable);
        assert_eq!(world.ask(Command::PlaceOrder(buy(1, 3, 1))), refused);
        assert_eq!(world.ask(Command::CancelOrder { order: before, user: None }), refused);
        world.pass(120_000);
        assert!(world.verdicts.is_empty(), "nothing else is told");
        world.disk.heal();
        assert_eq!(world.ask(Command::PlaceOrder(buy(1, 3, 1))), refused, "latched");
        let mut world = world.crash(2).unwrap();
        let activity = world.engine.activity(ActivityId(1)).unwrap();
        assert!(matches!(activity.remaining(), 8 | 9), "it happened, or it did not");
        let found = activity.orders_of(buy(1, 2, 1).user).len();
        assert_eq!(activity.remaining(), 9 - u32::try_from(found).unwrap());
        placed(world.ask(Command::PlaceOrder(PlaceOrder { key: digest(1), ..buy(1, 3, 1) })));
    }
}

/// The journal thread once slept on with the last word that nothing is taken, although the keeper
/// had made room; and nobody woke it, since nothing was taken.
#[test]
fn d8_the_sleeping_journal_hears_of_new_room() {
    let disk = SimulatedDisk::new(8, SEGMENT_BYTES * SEGMENTS_AHEAD as u64);
    let clock = Arc::new(SimulatedClock::at(NOON)) as Arc<dyn Clock>;
    let parts = Engine::open(&options(1), clock, Arc::new(disk.clone())).unwrap();
    let mut shard = parts.shards.into_iter().next().unwrap();
    let journal = Arc::clone(parts.engine.journal());
    let threads = Threads::start(parts.writer, parts.keeper, || {}, |_| {}).unwrap();
    let wait_for = |wanted: Takes| {
        while journal.takes() != wanted {
            std::thread::yield_now();
        }
    };
    wait_for(Takes::Everything);
    let answer = |shard: &mut seckill_shards::shard::Shard, command: Command| {
        let Decision::Pending(_) = shard.decide(command) else { return false };
        shard.submit();
        let mut answered = false;
        while !answered {
            shard.apply_durable(&mut |_, _| answered = true);
            std::thread::yield_now();
        }
        true
    };
    assert!(answer(&mut shard, publish(published(1, 100_000))));
    for user in 0.. {
        if !answer(&mut shard, Command::PlaceOrder(buy(1, user, 1))) {
            break;
        }
    }
    assert!(journal.takes() < Takes::Everything);
    disk.set_capacity(DISK_BYTES);
    wait_for(Takes::Everything);
    assert!(answer(&mut shard, Command::PlaceOrder(buy(1, 1 << 40, 1))));
    drop(threads);
}

#[test]
fn a_new_run_writes_nothing_behind_a_cut() {
    let disk = SimulatedDisk::new(9, DISK_BYTES);
    let (start, end) = three_groups(&disk)[2];
    let name = segment_name(1);
    let mut torn = disk.content(&name).unwrap();
    torn[start + SECTOR_BYTES..end].fill(0);
    set_content(&disk, &name, &torn);
    let (records, run) = read(&disk).unwrap();
    let mut journal = Journal::open(&disk, run + 1, records.len() as u64);
    journal.append(1, &record(99));
    journal.write();
    assert_eq!(disk.content(&name).unwrap(), torn, "the old segment is left as it was");
    let (again, run) = read(&disk).unwrap();
    assert_eq!((again.len(), again.last(), run), (49, Some(&record(99)), 2));
    assert!(SEGMENT_HEAD_BYTES < start as u64);
}
