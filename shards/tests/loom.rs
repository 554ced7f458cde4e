//! Every interleaving, within loom's bounds, of the parts that threads share.
//! It must not look inside them: a model sees what callers see.
//!
//! Each model names what no interleaving may show. `Contended` claims nothing, so it is allowed
//! wherever two threads meet, unless a model says otherwise.

#![cfg(loom)]

/// Switches between threads that could both go on, in one execution. Races need few; each one more
/// multiplies the executions. `LOOM_MAX_PREEMPTIONS` says otherwise.
const PREEMPTIONS: usize = 4;

fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(PREEMPTIONS);
    builder.check(model);
}

mod stock {
    use super::explore;
    use loom::{
        sync::Arc,
        thread::{self, JoinHandle},
    };
    use seckill_shards::stock::{
        Stock,
        Take::{self, All, Contended, Short, SoldOut},
    };

    /// Two shards with 3 and 2 units in their buckets and none in the pool.
    fn three_and_two() -> Stock {
        let stock = Stock::new(2, 32);
        assert_eq!(stock.take(0, 1), All); // a chunk of 4
        assert_eq!(stock.take(1, 1), All); // a chunk of 3
        assert_eq!(stock.take(0, 25), All); // the rest of the pool
        assert_eq!(stock.free(), 5);
        stock
    }

    /// Two shards with these units, 3 and 2 at most, in their buckets and none in the pool.
    fn spread(first: u32, second: u32) -> Arc<Stock> {
        let stock = three_and_two();
        for _ in first..3 {
            assert_eq!(stock.take(0, 1), All);
        }
        for _ in second..2 {
            assert_eq!(stock.take(1, 1), All);
        }
        Arc::new(stock)
    }

    fn start<R: 'static>(
        stock: &Arc<Stock>,
        work: impl FnOnce(&Stock) -> R + 'static,
    ) -> JoinHandle<R> {
        let stock = Arc::clone(stock);
        thread::spawn(move || work(&stock))
    }

    /// All threads are done: what was stocked is free or was taken, and the next answer says so.
    fn assert_free(stock: &Stock, expected: u32) {
        assert_eq!(stock.free(), expected);
        assert_eq!(stock.sold_out().is_some(), expected == 0);
        let refusal = match expected {
            0 => SoldOut,
            remaining => Short { remaining },
        };
        assert_eq!(stock.take(0, expected + 1), refusal);
    }

    fn units(answer: Take, quantity: u32) -> u32 {
        if answer == All { quantity } else { 0 }
    }

    #[test]
    fn one_unit_is_sold_once() {
        explore(|| {
            let stock = Arc::new(Stock::new(3, 1));
            let first = start(&stock, |stock| stock.take(0, 1));
            let second = start(&stock, |stock| stock.take(1, 1));
            let answers = [stock.take(2, 1), first.join().unwrap(), second.join().unwrap()];
            let sold: u32 = answers.iter().map(|&answer| units(answer, 1)).sum();
            assert_eq!(sold, 1, "{answers:?}");
            assert!(!answers.contains(&Contended), "nothing was in transit");
            assert_free(&stock, 0);
        });
    }

    #[test]
    fn the_last_unit_of_a_bucket_is_sold_once_to_owner_or_thief() {
        explore(|| {
            let stock = spread(1, 0);
            let owner = start(&stock, |stock| stock.take(0, 1));
            let answers = [stock.take(1, 1), owner.join().unwrap()];
            assert!(answers == [All, SoldOut] || answers == [SoldOut, All], "{answers:?}");
            assert_free(&stock, 0);
        });
    }

    /// (a) A unit is given before another is taken, so one is always free.
    #[test]
    fn a_give_behind_the_reader_is_not_missed() {
        explore(|| {
            let stock = spread(0, 1);
            let other = start(&stock, |stock| {
                stock.give(1);
                assert_eq!(stock.take(1, 1), All);
            });
            let is_sold_out = stock.sold_out().is_some();
            let answer = stock.take(0, 1);
            other.join().unwrap();
            assert!(!is_sold_out);
            assert!(matches!(answer, All | Contended), "{answer:?}");
            assert_free(&stock, 1 - units(answer, 1));
        });
    }

    /// (a) The same, but giver and taker are two threads, in order by a message of their own.
    #[test]
    fn a_give_that_another_thread_has_seen_is_not_missed() {
        explore(|| {
            let stock = spread(0, 1);
            let reader = start(&stock, |stock| stock.sold_out().is_some());
            let giver = start(&stock, |stock| stock.give(1));
            giver.join().unwrap();
            assert_eq!(stock.take(1, 1), All);
            assert!(!reader.join().unwrap());
            assert_free(&stock, 1);
        });
    }

    /// (a) Units come and go through the pool until its word could look as before; one of them
    /// stays, in a bucket that the reader may have passed.
    #[test]
    fn a_pool_that_is_empty_again_is_not_the_same_pool() {
        explore(|| {
            let stock = spread(0, 1);
            let other = start(&stock, |stock| {
                stock.give(17);
                assert_eq!(stock.take(0, 1), All); // a chunk of two
                assert_eq!(stock.take(1, 1), All);
                assert_eq!(stock.take(1, 15), All);
            });
            let is_sold_out = stock.sold_out().is_some();
            other.join().unwrap();
            assert!(!is_sold_out);
            assert_free(&stock, 1);
        });
    }

    /// Between two equal stamps nothing is free, so nothing given then can have been taken then.
    #[test]
    fn nothing_is_taken_between_equal_stamps() {
        explore(|| {
            let stock = Arc::new(Stock::new(2, 0));
            let giver = start(&stock, |stock| stock.give(1));
            let before = stock.sold_out();
            let answer = stock.take(0, 1);
            let after = stock.sold_out();
            giver.join().unwrap();
            assert!(before.is_none() || before != after || answer != All);
            assert_free(&stock, 1 - units(answer, 1));
        });
    }

    /// (b) Of 17 units one is taken with a chunk of two: 16 are free throughout.
    #[test]
    fn a_chunk_in_transit_is_not_missed() {
        explore(|| {
            let stock = Arc::new(Stock::new(2, 17));
            let refill = start(&stock, |stock| stock.take(0, 1));
            let answer = stock.take(1, 16);
            assert_eq!(refill.join().unwrap(), All);
            assert!(matches!(answer, All | Contended), "{answer:?}");
            assert_free(&stock, 16 - units(answer, 16));
        });
    }

    /// (b) The pool is emptied behind a refill, whose rest is then the only unit.
    #[test]
    fn a_chunk_in_transit_is_not_sold_out() {
        explore(|| {
            let stock = Arc::new(Stock::new(2, 17));
            let refill = start(&stock, |stock| stock.take(0, 1));
            let first = stock.take(1, 15);
            let is_sold_out = stock.sold_out().is_some();
            let second = stock.take(1, 1);
            let refilled = refill.join().unwrap();
            let answers = [first, second, refilled];
            assert!(answers.iter().all(|answer| matches!(answer, All | Contended)), "{answers:?}");
            assert!(!is_sold_out);
            assert_free(&stock, 17 - units(first, 15) - units(second, 1) - units(refilled, 1));
        });
    }

    /// (c) Both need parts of the same three units: one may fail, but then the other has two.
    #[test]
    fn two_gatherers_are_not_both_short() {
        explore(|| {
            let stock = spread(1, 1);
            stock.give(1);
            let other = start(&stock, |stock| stock.take(0, 2));
            let answers = [stock.take(1, 2), other.join().unwrap()];
            match answers {
                [All, Short { remaining: 1 } | Contended]
                | [Short { remaining: 1 } | Contended, All] => assert_free(&stock, 1),
                [Contended, Contended] => assert_free(&stock, 3),
                _ => panic!("{answers:?}"),
            }
        });
    }

    /// (c) One of two units may be sold beside a gatherer of two. Then the gatherer is short, and
    /// the other unit was free throughout, though for a while in the gatherer's hands.
    #[test]
    fn a_gatherer_and_a_single_take_share_out_two_units() {
        explore(|| {
            let stock = spread(1, 1);
            let single = start(&stock, |stock| (stock.take(0, 1), stock.sold_out().is_some()));
            let gathered = stock.take(1, 2);
            let (single, is_sold_out) = single.join().unwrap();
            match [gathered, single] {
                [All, SoldOut | Contended] => assert_free(&stock, 0),
                [Short { remaining: 1 } | Contended, All] => assert_free(&stock, 1),
                [Contended, Contended] => assert_free(&stock, 2),
                answers => panic!("{answers:?}"),
            }
            assert!(gathered == All || !is_sold_out);
        });
    }

    /// (c) Two of three units are gathered: one is free throughout, and found.
    #[test]
    fn parts_in_transit_are_not_sold_out() {
        explore(|| {
            let stock = spread(1, 1);
            stock.give(1);
            let gatherer = start(&stock, |stock| stock.take(0, 2));
            let is_sold_out = stock.sold_out().is_some();
            let answer = stock.take(1, 1);
            let gathered = gatherer.join().unwrap();
            assert!(!is_sold_out);
            assert!(matches!(answer, All | Contended), "{answer:?}");
            assert!(matches!(gathered, All | Contended), "{gathered:?}");
            assert_free(&stock, 3 - units(answer, 1) - units(gathered, 2));
        });
    }

    /// 4, 3, then 1 unit are free, never 2: the number in a refusal was true at one instant.
    #[test]
    fn remaining_was_true_at_one_instant() {
        explore(|| {
            let stock = spread(2, 2);
            let other = start(&stock, |stock| {
                assert_eq!(stock.take(0, 1), All);
                assert_eq!(stock.take(1, 2), All);
            });
            let answer = stock.take(0, 5);
            other.join().unwrap();
            assert!(
                matches!(answer, Short { remaining: 4 | 3 | 1 } | Contended),
                "{answer:?} of units that were never free together"
            );
            assert_free(&stock, 1);
        });
    }

    /// A gatherer that comes too late returns its parts, and nobody loses a unit.
    #[test]
    fn a_gather_that_fails_returns_its_parts() {
        explore(|| {
            let stock = spread(1, 1);
            let first = start(&stock, |stock| stock.take(0, 1));
            let second = start(&stock, |stock| stock.take(1, 1));
            let gathered = stock.take(0, 2);
            let singles = units(first.join().unwrap(), 1) + units(second.join().unwrap(), 1);
            match gathered {
                All => assert_eq!(singles, 0),
                Short { remaining: 1 } | Contended => {}
                SoldOut => assert_eq!(singles, 2),
                Short { .. } => panic!("{gathered:?}"),
            }
            assert_free(&stock, 2 - singles - units(gathered, 2));
        });
    }

    /// U8: a give that meets a refusal is sold by the next take at the latest.
    #[test]
    fn what_is_given_sells_again() {
        explore(|| {
            let stock = Arc::new(Stock::new(2, 0));
            let giver = start(&stock, |stock| stock.give(1));
            let answer = stock.take(0, 1);
            giver.join().unwrap();
            assert!(matches!(answer, All | SoldOut | Contended), "{answer:?}");
            if answer != All {
                assert_eq!(stock.take(1, 1), All);
            }
            assert_free(&stock, 0);
        });
    }
}

/// T5: the map of places is written by all threads.
mod places {
    use super::explore;
    use loom::{
        sync::Arc,
        thread::{self, JoinHandle},
    };
    use seckill_shards::{
        ids::{OrderId, UserId},
        places::{Claim, ClaimState, Places, Standing},
        record::{Digest, NO_KEY},
        stock::{
            Stock,
            Take::{All, Contended},
        },
    };

    const BUYER: UserId = UserId(7);
    const KEY: Digest = [1; 16];

    fn claim(order: u64, key: Digest) -> Claim {
        let (order, quantity, state) = (OrderId(order), 1, ClaimState::Pending);
        Claim { order, quantity, state, key, body: NO_KEY }
    }

    fn start<R: 'static>(
        places: &Arc<Places>,
        work: impl FnOnce(&Places) -> R + 'static,
    ) -> JoinHandle<R> {
        let places = Arc::clone(places);
        thread::spawn(move || work(&places))
    }

    /// Units that count against the limit.
    fn counting(places: &Places) -> u32 {
        let claims = places.claims_of(BUYER);
        let counting = claims.iter().filter(|claim| claim.state != ClaimState::Dropped);
        counting.map(|claim| claim.quantity).sum()
    }

    #[test]
    fn b2_a_buyer_on_every_core_at_once_has_as_many_places_as_the_limit() {
        for limit in 1..=2 {
            explore(move || {
                let places = Arc::new(Places::with_room_for(0));
                let take = |order| {
                    start(&places, move |it| it.take(BUYER, claim(order, NO_KEY), limit).is_ok())
                };
                let others = [take(1), take(2)];
                let mut granted = u32::from(places.take(BUYER, claim(3, NO_KEY), limit).is_ok());
                granted += others.map(|it| u32::from(it.join().unwrap())).iter().sum::<u32>();
                assert_eq!((granted, counting(&places)), (limit, limit));
            });
        }
    }

    #[test]
    fn one_key_on_two_cores_is_one_order() {
        explore(|| {
            let places = Arc::new(Places::with_room_for(0));
            let other = start(&places, |it| it.take(BUYER, claim(1, KEY), 2));
            let here = places.take(BUYER, claim(2, KEY), 2);
            let answers = [other.join().unwrap(), here];
            assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
            let winner = places.claims_of(BUYER)[0].order;
            let told = answers.into_iter().find_map(Result::err).unwrap();
            assert_eq!(told, Standing::Reached { orders: vec![winner], pending: true });
        });
    }

    #[test]
    fn a_place_that_is_freed_is_taken_once_more_and_no_oftener() {
        explore(|| {
            let places = Arc::new(Places::with_room_for(0));
            places.take(BUYER, claim(1, KEY), 1).unwrap();
            places.confirm(BUYER, OrderId(1));
            let freed = start(&places, |it| it.free(BUYER, OrderId(1)));
            let other = start(&places, |it| it.take(BUYER, claim(2, NO_KEY), 1).is_ok());
            let here = places.take(BUYER, claim(3, NO_KEY), 1).is_ok();
            freed.join().unwrap();
            let granted = u32::from(here) + u32::from(other.join().unwrap());
            assert!(granted <= 1);
            assert_eq!(counting(&places), granted);
            // The key that was answered is remembered through all of it.
            let again = places.take(BUYER, claim(4, KEY), 1);
            assert_eq!(again, Err(Standing::Again(OrderId(1))));
        });
    }

    #[test]
    fn a_confirmation_beside_a_new_claim_loses_neither() {
        explore(|| {
            let places = Arc::new(Places::with_room_for(0));
            places.take(BUYER, claim(1, NO_KEY), 2).unwrap();
            let other = start(&places, |it| it.confirm(BUYER, OrderId(1)));
            places.take(BUYER, claim(2, NO_KEY), 2).unwrap();
            other.join().unwrap();
            let states = places.claims_of(BUYER).into_iter().map(|it| it.state);
            assert_eq!(states.collect::<Vec<_>>(), [ClaimState::Held, ClaimState::Pending]);
        });
    }

    /// A buyer's core took a place and stood still while the sale ended, held nothing and was
    /// closed; it finds no unit, and its place with everybody else's gone, at any moment.
    #[test]
    fn a_place_is_given_back_beside_a_closing_that_forgets_everybody() {
        explore(|| {
            let places = Arc::new(Places::with_room_for(0));
            let closing = start(&places, Places::clear);
            places.take(BUYER, claim(1, NO_KEY), 1).unwrap();
            places.give(BUYER, OrderId(1));
            closing.join().unwrap();
            assert_eq!(places.buyers(), 0);
        });
    }

    /// The path of a buy on two cores: the place before the unit, and back where there is none.
    #[test]
    fn u2_a_buyer_who_clicks_on_two_cores_takes_one_unit() {
        explore(|| {
            let places = Arc::new(Places::with_room_for(0));
            let stock = Arc::new(Stock::new(2, 2));
            let click = |places: &Places, stock: &Stock, core: usize| {
                let order = core as u64 + 1;
                if places.take(BUYER, claim(order, NO_KEY), 1).is_err() {
                    return false;
                }
                let take = stock.take(core, 1);
                if take == All {
                    return true;
                }
                assert_eq!(take, Contended, "there are units for both");
                places.give(BUYER, OrderId(order));
                false
            };
            let there = Arc::clone(&stock);
            let other = start(&places, move |it| click(it, &there, 1));
            let bought = u32::from(click(&places, &stock, 0)) + u32::from(other.join().unwrap());
            assert!(bought <= 1);
            assert_eq!((counting(&places), stock.free()), (bought, 2 - bought));
        });
    }
}
