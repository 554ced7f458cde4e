//! The bytes on disk, once released, stay: every kind of record, a segment and a checkpoint are
//! compared with files that were written before, and those are read back.
//!
//! `UPDATE_GOLDEN=1` writes the files anew. Do so for a new kind only: a file that changes is a
//! journal that nobody can read any more.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::path::PathBuf;
use std::sync::Arc;

use seckill_shards::clock::{Clock, Timestamp};
use seckill_shards::disk::Disk;
use seckill_shards::ids::{ActivityId, OrderId, Origin, PaymentId, ProductId, UserId};
use seckill_shards::journal::{
    JournalWriter, Lane, LaneWriter, ReadySegment, SegmentHead, SegmentQueues, Sizes, Written,
    checkpoint_name, read_checkpoint, replay, segment_name, write_checkpoint,
};
use seckill_shards::record::{
    ActivityKept, ActivityPublished, CounterKept, DecodeError, EraEntered, KeyKept, LeaseClosed,
    LeaseJoined, LeaseKept, LeasedOrderKept, OrderKept, OrderMoved, OrderPaid, OrderPlaced,
    OrderRefunded, OrdersConfirmed, OrdersReleased, PaymentKept, PaymentMoved, PaymentStarted,
    PaymentStatus, PhaseChanged, PhaseFollowed, Record, Status, Terms, Totals, UnitsLeased,
    UnitsLeft, UnitsLeftOnce,
};
use seckill_shards::testing::world::NOON;
use seckill_shards::testing::{SimulatedClock, SimulatedDisk};

const JOURNAL: [u8; 16] = *b"a golden journal";
const ORDER: OrderId = OrderId(63_085_579_155_275_776);
const PAYMENT: PaymentId = PaymentId(63_085_579_155_275_777);
const ACTIVITY: ActivityId = ActivityId(42);
const USER: UserId = UserId(1_001);
const KEY: [u8; 16] = *b"idempotency key!";
const BODY: [u8; 16] = *b"digest of a body";

fn at(ms: u64) -> Timestamp {
    NOON.plus_ms(ms)
}

fn published() -> ActivityPublished {
    let terms = Terms {
        title: "Double Eleven".to_owned(),
        product: ProductId(7),
        product_title: "Wasserkocher \u{2615}".to_owned(),
        sale_price: 19_900,
        list_price: 39_900,
        currency: *b"EUR",
        stocked: 1_000,
        per_user_limit: 2,
        pay_window_ms: 900_000,
        starts_at: at(0),
        ends_at: at(3_600_000),
        admission: true,
    };
    ActivityPublished { activity: ACTIVITY, version: 3, terms, at: at(1) }
}

fn placed() -> OrderPlaced {
    OrderPlaced {
        order: ORDER,
        activity: ACTIVITY,
        user: USER,
        quantity: 2,
        at: at(2),
        pay_before: at(900_002),
        key: KEY,
        body: BODY,
    }
}

fn moved() -> OrderMoved {
    OrderMoved { order: ORDER, activity: ACTIVITY, quantity: 2, at: at(3) }
}

fn started() -> PaymentStarted {
    PaymentStarted {
        payment: PAYMENT,
        order: ORDER,
        amount: 39_800,
        at: at(4),
        key: KEY,
        body: BODY,
    }
}

fn left() -> UnitsLeft {
    UnitsLeft { activity: ACTIVITY, quantity: 12, at: at(6) }
}

fn once() -> UnitsLeftOnce {
    UnitsLeftOnce { left: left(), key: KEY, body: BODY }
}

/// One record of each kind.
fn records() -> Vec<Record> {
    let mut records = [lone_records(), leased_records(), kept_records()].concat();
    records.sort_by_key(Record::kind);
    records
}

/// Of a gateway that sells alone.
fn lone_records() -> Vec<Record> {
    let changed = PhaseChanged { activity: ACTIVITY, at: at(5) };
    let payment = PaymentMoved { payment: PAYMENT, order: ORDER, amount: 39_800, at: at(7) };
    vec![
        Record::ActivityPublished(Box::new(published())),
        Record::ActivityPaused(changed),
        Record::ActivityResumed(changed),
        Record::ActivityEnded(changed),
        Record::ActivityClosed(left()),
        Record::UnitsWithdrawn(left()),
        Record::UnitsWithdrawnOnce(once()),
        Record::OrderPlaced(placed()),
        Record::OrderPaid(OrderPaid { moved: moved(), payment: PAYMENT }),
        Record::OrderExpired(moved()),
        Record::OrderCancelled(moved()),
        Record::OrderRejected(moved()),
        Record::OrderRefunded(OrderRefunded {
            moved: moved(),
            payment: PAYMENT,
            units_returned: true,
        }),
        Record::PaymentStarted(started()),
        Record::PaymentFailed(payment),
        Record::PaymentRefundDue(payment),
        Record::PaymentRefunded(payment),
    ]
}

/// Of gateways that share an activity.
fn leased_records() -> Vec<Record> {
    vec![
        Record::LeasedActivityPublished(Box::new(published())),
        Record::LeaseJoined(LeaseJoined { activity: ACTIVITY, floor: 4, at: at(10) }),
        Record::EraEntered(EraEntered {
            activity: ACTIVITY,
            generation: 5,
            nonce: 0xfedc_ba98_7654_3210,
            at: at(11),
        }),
        Record::UnitsLeased(UnitsLeased { activity: ACTIVITY, n: 6, quantity: 7, at: at(12) }),
        Record::UnitsReturned(left()),
        Record::LeaseClosed(LeaseClosed { activity: ACTIVITY, kept: 8, at: at(15) }),
        Record::PhaseFollowed(PhaseFollowed {
            activity: ACTIVITY,
            paused: true,
            ended: false,
            at: at(16),
        }),
        Record::OrderAccepted(placed()),
        Record::OrdersConfirmed(OrdersConfirmed {
            activity: ACTIVITY,
            at: at(13),
            pay_before: at(900_013),
            orders: vec![ORDER.0, 2, 3],
        }),
        Record::OrdersReleased(OrdersReleased {
            activity: ACTIVITY,
            at: at(14),
            orders: vec![ORDER.0],
        }),
        Record::LeaseKept(LeaseKept {
            activity: ACTIVITY,
            floor: Some(4),
            era: Some((5, 0xfedc_ba98_7654_3210)),
            n: 6,
            net: 7,
        }),
        Record::LeasedOrderKept(LeasedOrderKept {
            kept: OrderKept {
                placed: placed(),
                status: Status::Accepted.number(),
                moved_at: at(0),
            },
            confirmed: true,
        }),
    ]
}

/// Of a checkpoint.
fn kept_records() -> Vec<Record> {
    let totals = Totals {
        held: 1,
        sold: 2,
        written_off: 3,
        left: 4,
        placed_orders: 5,
        paid_orders: 6,
        expired_orders: 7,
        cancelled_orders: 8,
        rejected_orders: 9,
        refunded_orders: 10,
    };
    vec![
        Record::ActivityKept(Box::new(ActivityKept {
            published: published(),
            paused: true,
            ended: false,
            closed: false,
            totals,
            folded_away: 0x0123_4567_89ab_cdef,
        })),
        Record::OrderKept(OrderKept {
            placed: placed(),
            status: Status::Paid.number(),
            moved_at: at(8),
        }),
        Record::PaymentKept(PaymentKept {
            started: started(),
            status: PaymentStatus::Succeeded.number(),
        }),
        Record::KeyKept(KeyKept {
            activity: ACTIVITY,
            user: USER,
            order: ORDER,
            quantity: 0,
            key: KEY,
            body: BODY,
        }),
        Record::CounterKept(CounterKept { shard: 3, next: 77, at: at(9) }),
        Record::WithdrawalKept(once()),
    ]
}

/// Kinds that came after the segment and the checkpoint were written.
const LATER: [u8; 14] = [7, 8, 9, 10, 11, 12, 13, 14, 22, 23, 24, 133, 134, 135];

/// The records of the segment or of the checkpoint.
fn first_records(of_checkpoint: bool) -> Vec<Record> {
    let mut records = records();
    records.retain(|it| (it.kind() >= 128) == of_checkpoint && !LATER.contains(&it.kind()));
    records
}

fn golden(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden", name].iter().collect()
}

/// Compares with the file, or writes it.
fn check(name: &str, bytes: &[u8]) -> Vec<u8> {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden(name), bytes).unwrap();
    }
    let before = std::fs::read(golden(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(before == bytes, "{name}: {} bytes were {}", bytes.len(), before.len());
    before
}

#[test]
fn every_kind_of_record_has_the_bytes_it_had() {
    let mut kinds = Vec::new();
    for record in records() {
        let mut bytes = Vec::new();
        assert_eq!(record.encode(&mut bytes), bytes.len());
        let name = format!("{:03}_{}.record", record.kind(), record.name());
        let before = check(&name, &bytes);
        let mut rest = &before[..];
        assert_eq!(Record::decode(&mut rest), Ok(record.clone()));
        assert!(rest.is_empty());
        kinds.push(record.kind());
    }
    let expected: Vec<u8> = (1..=14).chain(16..=24).chain(32..=35).chain(128..=135).collect();
    assert_eq!(kinds, expected, "one record of each kind");
}

#[test]
fn a_record_cut_at_any_byte_is_refused() {
    for record in records() {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        for cut in 0..bytes.len() {
            assert_eq!(Record::decode(&mut &bytes[..cut]), Err(DecodeError::Short), "{record:?}");
        }
    }
}

#[test]
fn a_kind_or_status_that_is_not_known_is_refused() {
    assert_eq!(Record::decode(&mut &[99, 0, 0][..]), Err(DecodeError::UnknownKind { kind: 99 }));
    let kept = OrderKept { placed: placed(), status: 8, moved_at: at(8) };
    let mut bytes = Vec::new();
    Record::OrderKept(kept).encode(&mut bytes);
    assert_eq!(Record::decode(&mut &bytes[..]), Err(DecodeError::Invalid { kind: 129 }));
}

#[test]
fn an_id_is_gateway_epoch_shard_counter() {
    let id = OrderId::new(Origin { gateway: 7, epoch: 1 }, 2, 5);
    assert_eq!(id.0, 7 << 53 | 1 << 45 | 2 << 37 | 5);
}

/// A segment with two groups: the first records but those of checkpoints, in two lanes, then one
/// more.
fn segment() -> SimulatedDisk {
    let disk = SimulatedDisk::new(0, 1 << 20);
    let queues = Arc::new(SegmentQueues::new(1));
    let file = disk.create(&segment_name(5), 8 << 10).unwrap();
    // Of the time when no gateway's number was noted.
    let head = SegmentHead { journal: JOURNAL, gateway: None, segment: 5, run: 2 };
    file.write_at(0, head.encode().as_slice()).unwrap();
    assert!(queues.ready.push(ReadySegment { segment: 5, file }).is_ok());
    let clock = Arc::new(SimulatedClock::at(NOON)) as Arc<dyn Clock>;
    let lanes: Vec<_> = (0..2).map(|_| Arc::<Lane>::default()).collect();
    let sizes = Sizes { segment_bytes: 8 << 10, lane_bytes: 2 << 10 };
    let mut writer = JournalWriter::new(clock, lanes.clone(), queues, sizes, (2, 100));
    let mut lanes: Vec<_> = lanes.into_iter().map(|it| LaneWriter::new(it, 2 << 10)).collect();
    for (number, record) in first_records(false).iter().enumerate() {
        lanes[number % 2].append(record, || 0);
    }
    lanes.iter_mut().for_each(|lane| assert!(lane.submit()));
    assert_eq!(writer.write_group(), Written::Group);
    lanes[1].append(&records()[1], || 0);
    lanes[1].submit();
    assert_eq!(writer.write_group(), Written::Group);
    disk
}

#[test]
fn a_segment_has_the_bytes_it_had() {
    let disk = segment();
    let before = check("segment", &disk.content(&segment_name(5)).unwrap());
    disk.open(&segment_name(5)).unwrap().write_at(0, &before).unwrap();
    let mut read = Vec::new();
    let mut apply = |position, record| read.push((position, record));
    let replayed = replay(&disk, JOURNAL, &[5], 100, &mut apply).unwrap();
    assert_eq!((replayed.position, replayed.last_run), (117, 2));
    let sale = first_records(false);
    let lane = |lane| sale.iter().skip(lane).step_by(2);
    let expected = lane(0).chain(lane(1)).chain([&records()[1]]).cloned().collect::<Vec<_>>();
    assert_eq!(read, (100..).zip(expected).collect::<Vec<_>>());
}

#[test]
fn a_header_says_whose_the_journal_is() {
    let head = SegmentHead { journal: JOURNAL, gateway: Some(0x0102), segment: 5, run: 2 };
    assert_eq!(head.encode().as_slice()[12..16], [3, 1, 0, 0]);
    let unknown = SegmentHead { gateway: None, ..head };
    assert_eq!(unknown.encode().as_slice()[12..16], [0; 4]);
}

#[test]
fn a_checkpoint_has_the_bytes_it_had() {
    let disk = SimulatedDisk::new(0, 1 << 20);
    let kept = first_records(true);
    let head = SegmentHead { journal: JOURNAL, gateway: None, segment: 6, run: 0 };
    write_checkpoint(&disk, head, 117, |sink| kept.iter().for_each(sink)).unwrap();
    let before = check("checkpoint", &disk.content(&checkpoint_name(6)).unwrap());
    disk.open(&checkpoint_name(6)).unwrap().write_at(0, &before).unwrap();
    let mut read = Vec::new();
    let position = read_checkpoint(&disk, (JOURNAL, 6), &mut |record| read.push(record));
    assert_eq!((position.unwrap(), read), (117, kept));
}
