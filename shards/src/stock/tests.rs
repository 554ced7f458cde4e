//! The stock: cases by table, stress by threads; every interleaving is in `tests/loom.rs`.

use std::{sync::Barrier, thread};

use super::{
    CHUNK_UNITS_MAX, SHARDS_MAX, STOCKED_MAX, Stock,
    Take::{self, All, Contended, Short, SoldOut},
    chunk,
    pool::Pool,
};

const THREADS: usize = 8;

/// A stock with exactly these units in its buckets and an empty pool.
fn spread(buckets: &[u32]) -> Stock {
    let stock = Stock::new(buckets.len(), 0);
    for (bucket, &units) in stock.buckets.iter().zip(buckets) {
        bucket.give(units);
    }
    stock
}

/// Runs `work` on each of the threads at once and returns their results.
fn at_once<R: Send>(threads: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        let run = |thread| {
            let (start, work) = (&start, &work);
            scope.spawn(move || {
                start.wait();
                work(thread)
            })
        };
        let running: Vec<_> = (0..threads).map(run).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// A small random number, different for each turn of a sequence (xorshift64).
fn random(state: &mut u64, below: u32) -> u32 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    u32::try_from(*state % u64::from(below)).unwrap()
}

#[test]
fn chunks_shrink_with_the_pool() {
    let cases = [
        // pool, shards, quantity, chunk
        (100_000_000, 1, 1, CHUNK_UNITS_MAX),
        (4096, 1, 1, 1024),
        (4092, 1, 1, 1023),
        (1000, 8, 1, 31),
        (63, 8, 1, 1),
        (1, 8, 1, 1),
        (1, SHARDS_MAX, 1, 1),
        (1000, 8, 40, 40),
        (100_000_000, 2, 10_000, 10_000),
    ];
    for (pool, shards, quantity, expected) in cases {
        assert_eq!(chunk(pool, shards, quantity), expected, "{pool} {shards} {quantity}");
    }
}

#[test]
fn takes_come_from_wherever_units_are() {
    let check = |buckets: &[u32], pool: u32, quantity: u32, expected: Take, free: u32| {
        let stock = spread(buckets);
        stock.pool.give(pool);
        assert_eq!(stock.take(0, quantity), expected, "{buckets:?} {pool} {quantity}");
        assert_eq!(stock.free(), free, "{buckets:?} {pool} {quantity}");
        assert!(stock.pool.read().is_settled());
    };
    check(&[0], 0, 1, SoldOut, 0);
    check(&[0], 1, 1, All, 0);
    check(&[5, 0], 0, 5, All, 0); // own bucket
    check(&[0, 0], 100, 1, All, 99); // refill, rest into the bucket
    check(&[0, 5], 0, 1, All, 4); // steal one
    check(&[0, 5], 0, 5, All, 0); // steal all
    check(&[1, 2, 3], 4, 10, All, 0); // gather everything
    check(&[1, 2, 3], 4, 8, All, 2); // gather, leaving some
    check(&[0, 0, 3], 2, 4, All, 1); // gather without the own bucket
    check(&[1, 2, 3], 4, 11, Short { remaining: 10 }, 10);
    check(&[1, 0], 0, 2, Short { remaining: 1 }, 1);
    check(&[0, 0], 1, 2, Short { remaining: 1 }, 1);
    check(&[0, 0], 0, STOCKED_MAX, SoldOut, 0);
    check(&[0, 0], STOCKED_MAX, STOCKED_MAX, All, 0);
}

#[test]
fn a_refill_leaves_the_rest_of_its_chunk_in_the_own_bucket() {
    let stock = Stock::new(2, 1000);
    assert_eq!(stock.take(1, 1), All);
    let buckets: Vec<u32> = stock.buckets.iter().map(|bucket| bucket.units()).collect();
    assert_eq!((stock.pool.read().units(), buckets), (875, vec![0, 124]));
}

/// U4: wherever the last unit lies, each shard can sell it.
#[test]
fn the_last_unit_is_sold_from_any_shard() {
    for home in 0..4 {
        for seller in 0..4 {
            let mut buckets = [0; 4];
            buckets[home] = 1;
            let stock = spread(&buckets);
            assert!(stock.sold_out().is_none());
            assert_eq!(stock.take(seller, 1), All, "from {home} by {seller}");
            assert_eq!(stock.take(home, 1), SoldOut);
            assert!(stock.sold_out().is_some());
        }
    }
}

/// U8: sold out is an answer, not a state that sticks.
#[test]
fn what_is_given_after_sold_out_sells_again() {
    let stock = Stock::new(3, 2);
    assert_eq!(stock.take(0, 2), All);
    assert_eq!(stock.take(1, 1), SoldOut);
    stock.give(1);
    assert!(stock.sold_out().is_none());
    assert_eq!(stock.take(2, 2), Short { remaining: 1 });
    assert_eq!(stock.take(2, 1), All);
    assert_eq!(stock.take(2, 1), SoldOut);
}

#[test]
fn stamps_are_equal_only_if_nothing_was_free_between() {
    let stock = Stock::new(2, 0);
    let before = stock.sold_out();
    assert!(before.is_some());
    assert_eq!(stock.take(0, 1), SoldOut);
    assert_eq!(stock.sold_out(), before);
    stock.give(1);
    assert_eq!(stock.sold_out(), None);
    assert_eq!(stock.take(1, 1), All);
    assert!(stock.sold_out().is_some());
    assert_ne!(stock.sold_out(), before);
}

#[test]
fn a_refusal_writes_nothing() {
    let stock = spread(&[1, 2]);
    let before = stock.pool.read();
    assert_eq!(stock.take(0, 4), Short { remaining: 3 });
    assert_eq!(stock.pool.read(), before);
    let stock = Stock::new(2, 0);
    let before = stock.pool.read();
    assert_eq!(stock.take(0, 1), SoldOut);
    assert_eq!(stock.pool.read(), before);
}

#[test]
fn nothing_is_refused_while_a_carrier_is_under_way() {
    let stock = Stock::new(2, 1);
    assert!(stock.pool.depart(stock.pool.read(), 1));
    assert!(stock.sold_out().is_none());
    assert_eq!(stock.take(0, 1), Contended);
    stock.buckets[1].give(1);
    assert_eq!(stock.take(0, 2), Contended);
    assert_eq!(stock.take(0, 1), All); // what is in sight sells
    stock.pool.arrive(0);
    assert_eq!(stock.take(0, 1), SoldOut);
}

#[test]
fn a_version_at_its_end_leaves_units_and_carriers_alone() {
    let pool = Pool::at_last_version(7);
    let first = pool.read();
    assert!(pool.depart(first, 3));
    assert_eq!((pool.read().units(), pool.read().is_settled()), (4, false));
    pool.arrive(2);
    assert_eq!((pool.read().units(), pool.read().is_settled()), (6, true));

    let pool = Pool::at_last_version(7);
    pool.give(1);
    assert_eq!((pool.read().units(), pool.read().is_settled()), (8, true));

    let pool = Pool::at_last_version(7);
    assert!(pool.take(pool.read(), 7));
    assert_eq!((pool.read().units(), pool.read().is_settled()), (0, true));
}

#[test]
fn a_word_that_came_back_is_not_the_same_word() {
    let pool = Pool::new(1);
    let seen = pool.read();
    assert!(pool.take(seen, 1));
    pool.give(1);
    assert_eq!(pool.read().units(), seen.units());
    assert!(!pool.take(seen, 1));
}

#[test]
#[should_panic(expected = "units given that no one took")]
fn more_units_than_can_exist_are_a_broken_invariant() {
    Stock::new(1, STOCKED_MAX).give(1);
}

/// Alone, a stock is a plain counter and never contended.
#[test]
fn in_one_thread_it_is_a_counter() {
    for seed in 1..=50 {
        let mut state = seed;
        let shards = usize::try_from(random(&mut state, 5) + 1).unwrap();
        let mut free = random(&mut state, 400);
        let (stock, total) = (Stock::new(shards, free), free);
        for _ in 0..500 {
            let shard = usize::try_from(random(&mut state, 5)).unwrap() % shards;
            let quantity = random(&mut state, 9) + 1;
            if random(&mut state, 4) == 0 && free + quantity <= total {
                stock.give(quantity);
                free += quantity;
            } else {
                let expected = match free {
                    0 => SoldOut,
                    remaining if remaining < quantity => Short { remaining },
                    _ => All,
                };
                assert_eq!(stock.take(shard, quantity), expected, "seed {seed}");
                free -= if expected == All { quantity } else { 0 };
            }
            assert_eq!(stock.free(), free, "seed {seed}");
            assert_eq!(stock.sold_out().is_some(), free == 0, "seed {seed}");
        }
    }
}

/// O1: one unit, everyone at once, exactly one sale.
#[test]
fn one_unit_is_sold_once() {
    for turn in 0..200 {
        let stock =
            if turn % 2 == 0 { Stock::new(THREADS, 1) } else { spread(&[0, 1, 0, 0, 0, 0, 0, 0]) };
        let answers = at_once(THREADS, |shard| stock.take(shard, 1));
        assert_eq!(answers.iter().filter(|&&answer| answer == All).count(), 1, "{answers:?}");
        assert!(answers.iter().all(|answer| matches!(answer, All | SoldOut)), "{answers:?}");
        assert!(stock.sold_out().is_some());
    }
}

/// Everyone buys until sold out: what was stocked is sold, to the last unit.
#[test]
fn everything_is_sold_and_nothing_more() {
    let stock = Stock::new(THREADS, 500_000);
    let sold: u32 = at_once(THREADS, |shard| {
        let mut sold = 0;
        loop {
            match stock.take(shard, 1) {
                All => sold += 1,
                SoldOut => return sold,
                Contended => thread::yield_now(),
                Short { .. } => panic!("one unit is never short"),
            }
        }
    })
    .iter()
    .sum();
    assert_eq!(sold, 500_000);
    assert!(stock.sold_out().is_some());
}

/// Units are neither lost nor made; and as the threads' allowances together are the whole stock,
/// whoever keeps to its allowance always finds enough units free, and may never be refused.
#[test]
fn whoever_keeps_to_an_allowance_is_never_refused() {
    const ALLOWANCE: u32 = 12;
    let total = ALLOWANCE * u32::try_from(THREADS).unwrap();
    let stock = Stock::new(THREADS, total);
    let held: u32 = at_once(THREADS, |shard| {
        let mut state = u64::try_from(shard).unwrap() + 1;
        let mut held = 0;
        for _ in 0..200_000 {
            let quantity = random(&mut state, 9) + 1;
            if held + quantity > ALLOWANCE {
                stock.give(held);
                held = 0;
            }
            match stock.take(shard, quantity) {
                All => held += quantity,
                Contended => thread::yield_now(),
                refusal @ (Short { .. } | SoldOut) => panic!("{refusal:?} of {quantity}"),
            }
        }
        held
    })
    .iter()
    .sum();
    assert!(stock.pool.read().is_settled());
    assert_eq!(stock.free() + held, total);
}
