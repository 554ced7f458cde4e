//! The journal's readers meet bytes that nobody wrote, and bytes that somebody changed.
//!
//! Samples of what the fuzz targets in `loadtest/fuzz/` do without end.

mod claims;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, proptest};
use proptest::sample::Index;
use seckill_shards::clock::Timestamp;
use seckill_shards::ids::{ActivityId, OrderId, PaymentId, ProductId, UserId};
use seckill_shards::record::{
    ActivityKept, ActivityPublished, CounterKept, KeyKept, OrderKept, OrderMoved, OrderPaid,
    OrderPlaced, OrderRefunded, PaymentKept, PaymentMoved, PaymentStarted, PhaseChanged, Record,
    Terms, Totals, UnitsLeft, UnitsLeftOnce,
};

/// One record of each shape.
fn samples() -> Vec<Record> {
    let (order, activity, payment) = (OrderId(3 << 37), ActivityId(7), PaymentId(5 << 37));
    let at = Timestamp(1_795_737_600_000);
    let moved = OrderMoved { order, activity, quantity: 2, at };
    let placed = OrderPlaced {
        order,
        activity,
        user: UserId(42),
        quantity: 2,
        at,
        pay_before: at.plus_ms(900_000),
        key: [1; 16],
        body: [2; 16],
    };
    let started = PaymentStarted { payment, order, amount: -1, at, key: [3; 16], body: [4; 16] };
    let published = ActivityPublished { activity, version: 9, terms: terms(at), at };
    let kept = ActivityKept {
        published: published.clone(),
        paused: true,
        ended: false,
        closed: false,
        totals: Totals { sold: 1, ..Totals::default() },
        folded_away: u64::MAX,
    };
    let (user, key, body) = (UserId(42), [5; 16], [6; 16]);
    let left = UnitsLeft { activity, quantity: 998, at };
    vec![
        Record::ActivityPublished(Box::new(published)),
        Record::ActivityPaused(PhaseChanged { activity, at }),
        Record::ActivityClosed(left),
        Record::UnitsWithdrawnOnce(UnitsLeftOnce { left, key, body }),
        Record::OrderPlaced(placed),
        Record::OrderPaid(OrderPaid { moved, payment }),
        Record::OrderExpired(moved),
        Record::OrderRefunded(OrderRefunded { moved, payment, units_returned: true }),
        Record::PaymentStarted(started),
        Record::PaymentFailed(PaymentMoved { payment, order, amount: 19_900, at }),
        Record::ActivityKept(Box::new(kept)),
        Record::OrderKept(OrderKept { placed, status: 3, moved_at: at }),
        Record::PaymentKept(PaymentKept { started, status: 1 }),
        Record::KeyKept(KeyKept { activity, user, order, quantity: 0, key, body }),
        Record::CounterKept(CounterKept { shard: 255, next: 1 << 36, at }),
    ]
}

fn terms(at: Timestamp) -> Terms {
    Terms {
        title: "A kettle that is longer than eight bytes".to_owned(),
        product: ProductId(1),
        product_title: "Kettle".to_owned(),
        sale_price: 19_900,
        list_price: 39_900,
        currency: *b"EUR",
        stocked: 1_000,
        per_user_limit: 2,
        pay_window_ms: 900_000,
        starts_at: at,
        ends_at: at.plus_ms(3_600_000),
        admission: false,
    }
}

fn encoded(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        record.encode(&mut bytes);
    }
    bytes
}

/// A few records, some bytes of which were changed afterwards, cut somewhere.
fn changed_records() -> impl Strategy<Value = Vec<u8>> {
    let all = samples();
    let chosen = vec(any::<Index>(), 1..5);
    let changes = vec((any::<Index>(), any::<u8>()), 0..6);
    (chosen, changes, any::<Index>()).prop_map(move |(chosen, changes, cut)| {
        let chosen: Vec<Record> = chosen.iter().map(|index| index.get(&all).clone()).collect();
        let mut bytes = encoded(&chosen);
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len().saturating_sub(cut.index(2 * bytes.len()) / 2));
        bytes
    })
}

#[test]
fn every_shape_of_record_comes_back() {
    let records = samples();
    let bytes = encoded(&records);
    let mut rest = &*bytes;
    for record in &records {
        assert_eq!(Record::decode(&mut rest).as_ref(), Ok(record));
    }
    assert!(rest.is_empty());
    for end in 0..bytes.len() {
        claims::records(&bytes[..end]);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes in vec(any::<u8>(), 0..4_096), segment: u64) {
        claims::frame(&bytes, segment);
        claims::segment_head(&bytes);
        claims::records(&bytes);
    }

    #[test]
    fn changed_records_are_read_without_harm(bytes in changed_records()) {
        claims::records(&bytes);
    }

    #[test]
    fn a_frame_is_whole_or_nothing(
        payload in changed_records(),
        place: (u64, u64),
        turned_bit: usize,
    ) {
        claims::sealed_frame(&payload, place, turned_bit);
    }

    #[test]
    fn a_segment_head_is_whole_or_damaged(
        journal: [u8; 16],
        segment: u64,
        run: u64,
        turned_bit: usize,
    ) {
        claims::sealed_segment_head(journal, segment, run, turned_bit);
    }
}
