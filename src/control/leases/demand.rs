//! How many units a gateway keeps free: enough for what it sells, and no more, so that the last
//! units are where somebody wants them.
//!
//! Pure: it is told the time and what is gone, and must not know Redis.

/// A gateway keeps this many microseconds of its sales free: forty requests' time.
const AHEAD_US: u64 = 2_000_000;
/// Over this many microseconds what is sold is looked at: one unit between two looks is no rush.
const RATE_US: u64 = 125_000;
/// Before anything is sold a gateway asks for its share of this part of what nobody has.
const PART: u64 = 2;

/// What an activity's buyers want of this gateway.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Demand {
    /// The last look: when it was, and the units that were gone: held, sold, or reserved.
    last: Option<(u64, u64)>,
    /// Units a second, as of late: of what was sold the weight falls with its age.
    rate: u64,
    /// Units that were free at the last look.
    free: u32,
    wish: Wish,
    /// Until when nothing is asked for but what is sold: others have only to take what was given back.
    pause_until_us: u64,
}

/// What there is, at one look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Supply {
    /// Units that this gateway may sell.
    pub free: u32,
    /// Units that nobody has, as of late.
    pub pool: u64,
    /// Gateways that share the activity.
    pub members: u64,
    /// Units that the others asked for in vain.
    pub short: u64,
}

impl Demand {
    /// Looks at what is gone and what is free now; for want of `in_vain` units a buyer was sent away
    /// since the last look.
    pub(super) fn look(&mut self, now_us: u64, (gone, free): (u64, u32), in_vain: u32) {
        let (looked_us, before) = self.last.replace((now_us, gone)).unwrap_or((now_us, gone));
        let passed_us = now_us.saturating_sub(looked_us).max(1);
        let sold = gone.saturating_sub(before);
        let left = self.rate * (RATE_US - passed_us.min(RATE_US)) / RATE_US;
        self.rate = left + sold.saturating_mul(1_000_000) / passed_us.max(RATE_US);
        if sold > 0 {
            (self.wish, self.pause_until_us) = (Wish::default(), 0);
        }
        let has_more = free > std::mem::replace(&mut self.free, free);
        self.wish.look(now_us, in_vain, has_more);
    }

    /// Units that it would like beside those that are free: for later its share of what nobody has, and none
    /// while others lack some, or it would take again what it gives back. Whatever it asks for in vain the
    /// others give it.
    pub(super) fn want(&self, now_us: u64, supply: &Supply) -> u32 {
        let mut target = self.rate;
        if now_us >= self.pause_until_us {
            target = target.max(self.wish.units.into());
            if supply.short == 0 {
                let share = supply.pool / supply.members.max(1);
                let ahead = self.rate.saturating_mul(AHEAD_US) / 1_000_000;
                target = target.max(ahead.min(u64::from(supply.free) + share)).max(share / PART);
            }
        }
        u32::try_from(target.saturating_sub(u64::from(supply.free))).unwrap_or(u32::MAX)
    }

    /// Units that it gives back: none while nobody asks for them in vain, else what it will not sell in
    /// a second, and nobody is waited for with.
    pub(super) fn give(&mut self, now_us: u64, supply: &Supply) -> u32 {
        let kept = self.rate.max(self.wish.kept(now_us).into());
        let spare = u64::from(supply.free).saturating_sub(kept).min(supply.short);
        if spare > 0 {
            self.pause_until_us = now_us + self.wish.patience_us();
            self.wish.put_off(now_us);
        }
        u32::try_from(spare).expect("not more than are free")
    }
}

/// Buyers who were sent away for want of units, and may come again.
///
/// Where gateways wish for the same units, each keeps what came for so long, and then lets the others
/// have it; the longer, the more often that was of no use. So whoever comes again, however seldom, is met by
/// them some time, and who wants several is not waited for with some of them for ever.
#[derive(Clone, Copy, Debug, Default)]
struct Wish {
    /// The most units that one of them wanted.
    units: u32,
    /// When one was sent away last.
    asked_us: Option<u64>,
    /// When the first of them was, or more units came: since then they are waited for with what is here.
    since_us: u64,
    /// How often what was here was given away before they came again.
    put_off: u32,
}

impl Wish {
    /// How long a buyer may take to come again, in microseconds.
    const COMES_AGAIN_US: u64 = 1_000_000;
    /// How long they are waited for at first: with two heartbeats that is less than a second.
    const PATIENCE_US: u64 = 300_000;
    /// It is doubled so often at most.
    const DOUBLED_MAX: u32 = 4;
    /// After this long without any buyer all begins anew.
    const QUIET_US: u64 = 10_000_000;

    fn look(&mut self, now_us: u64, in_vain: u32, has_more: bool) {
        if in_vain > 0 {
            if self.units == 0 {
                self.since_us = now_us;
            }
            self.asked_us = Some(now_us);
            self.units = self.units.max(in_vain);
        }
        if has_more {
            self.since_us = now_us;
        }
        if !self.was_asked(now_us, Self::QUIET_US) {
            *self = Self::default();
        }
        if !self.was_asked(now_us, Self::COMES_AGAIN_US) && self.kept(now_us) == 0 {
            self.units = 0;
        }
    }

    fn was_asked(&self, now_us: u64, within_us: u64) -> bool {
        self.asked_us.is_some_and(|asked_us| now_us < asked_us + within_us)
    }

    fn patience_us(&self) -> u64 {
        Self::PATIENCE_US << self.put_off
    }

    fn kept(&self, now_us: u64) -> u32 {
        if now_us < self.since_us + self.patience_us() { self.units } else { 0 }
    }

    fn put_off(&mut self, now_us: u64) {
        if self.was_asked(now_us, Self::QUIET_US) {
            self.put_off = (self.put_off + 1).min(Self::DOUBLED_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    /// Nobody is asked to wait any more.
    const LATER: u64 = 100 * SECOND;

    fn supply(free: u32, pool: u64, short: u64) -> Supply {
        Supply { free, pool, members: 3, short }
    }

    #[test]
    fn before_the_sale_each_takes_a_part_of_its_share() {
        let demand = Demand::default();
        assert_eq!(demand.want(0, &supply(0, 600, 0)), 100);
        assert_eq!(demand.want(0, &supply(100, 300, 0)), 0);
        assert_eq!(demand.want(0, &supply(0, 5, 0)), 0, "the last units wait for a buyer");
    }

    #[test]
    fn a_gateway_keeps_what_it_sells_in_two_seconds() {
        let mut demand = Demand::default();
        demand.look(SECOND, (0, 0), 0);
        demand.look(SECOND + SECOND / 8, (50, 0), 0);
        assert_eq!(demand.want(LATER, &supply(100, 4_500, 0)), 700);
        assert_eq!(demand.want(LATER, &supply(100, 900, 0)), 300, "the others have their shares");
        assert_eq!(demand.want(LATER, &supply(100, 900, 1)), 300, "what is sold in a second");
        assert_eq!(demand.want(LATER, &supply(400, 0, 0)), 0, "it takes nothing from the others");
        // It falls once nothing is sold, and to nothing within a second.
        for looks in 1..20 {
            demand.look(SECOND + SECOND / 8 + looks * SECOND / 20, (50, 0), 0);
        }
        assert_eq!(demand.want(LATER, &supply(0, 0, 0)), 0);
    }

    /// A look that came soon after another took one sale for hundreds a second: a gateway took all that
    /// there was, and who came to another was sent away.
    #[test]
    fn one_unit_is_no_rush_however_soon_it_is_looked() {
        let mut demand = Demand::default();
        demand.look(SECOND, (0, 9), 0);
        demand.look(SECOND + 1_000, (1, 8), 0);
        assert_eq!(demand.want(LATER, &supply(8, 23, 0)), 7);
        assert_eq!(demand.want(LATER, &supply(8, 0, 0)), 0);
        assert_eq!(demand.give(LATER, &supply(12, 0, 30)), 4);
    }

    #[test]
    fn a_buyer_who_was_sent_away_is_worth_what_they_wanted() {
        let mut demand = Demand::default();
        demand.look(SECOND, (7, 0), 3);
        assert_eq!(demand.want(SECOND, &supply(0, 0, 0)), 3);
        assert_eq!(demand.want(SECOND, &supply(2, 4, 0)), 1, "beside what is here");
        demand.look(SECOND + SECOND / 10, (7, 0), 0);
        assert_eq!(demand.want(SECOND, &supply(0, 0, 0)), 3, "until it comes, or they have gone");
        demand.look(3 * SECOND, (7, 0), 0);
        assert_eq!(demand.want(3 * SECOND, &supply(0, 0, 0)), 0);
    }

    #[test]
    fn an_idle_gateway_gives_back_what_others_lack_and_a_busy_one_what_it_will_not_sell() {
        let mut demand = Demand::default();
        demand.look(SECOND, (0, 8), 0);
        for (supply, given) in [(supply(8, 0, 0), 0), (supply(8, 0, 3), 3), (supply(2, 0, 3), 2)] {
            assert_eq!(demand.give(5 * SECOND, &supply), given, "{supply:?}");
        }
        demand.look(6 * SECOND, (4, 8), 0);
        demand.look(7 * SECOND, (9, 8), 0);
        assert_eq!(demand.give(7 * SECOND, &supply(8, 0, 30)), 3);
        let [at_once, then] = [0, Wish::PATIENCE_US].map(|us| 7 * SECOND + us);
        assert_eq!(demand.want(at_once, &supply(5, 3, 0)), 0, "what it gave back is the others'");
        assert_eq!(demand.want(then, &supply(5, 3, 27)), 0, "and so it is while they lack more");
        assert_eq!(demand.want(then, &supply(5, 30, 0)), 5);
    }

    /// A unit came for one who was sent away: who else wants it has it the later, the more often that
    /// was of no use.
    #[test]
    fn what_came_for_a_buyer_waits_for_them_longer_each_time() {
        let mut demand = Demand::default();
        let (one, mut now_us) = (supply(1, 0, 1), SECOND);
        for patience_us in [300, 600, 1_200, 2_400, 4_800, 4_800].map(|ms| ms * 1_000) {
            demand.look(now_us, (9, 0), 1);
            demand.look(now_us + SECOND / 2, (9, 1), 0);
            let until_us = now_us + SECOND / 2 + patience_us;
            demand.look(until_us - 1, (9, 1), 0);
            assert_eq!(demand.give(until_us - 1, &one), 0, "after {patience_us}");
            demand.look(until_us, (9, 1), 0);
            assert_eq!(demand.give(until_us, &one), 1, "after {patience_us}");
            now_us = until_us;
            assert_eq!(demand.want(now_us, &supply(0, 1, 0)), 0, "it is others' turn");
            // Others have come to nothing with it, either.
            demand.look(now_us, (9, 0), 0);
        }
        // Sold, all begins anew.
        now_us += SECOND;
        demand.look(now_us, (10, 0), 0);
        demand.look(now_us + 1, (10, 0), 1);
        demand.look(now_us + 2, (10, 1), 0);
        assert_eq!(demand.give(now_us + 1 + Wish::PATIENCE_US, &one), 0);
        assert_eq!(demand.give(now_us + 2 + Wish::PATIENCE_US, &one), 1);
    }

    /// Two gateways with a unit each, and at each a buyer of two who comes again and again: neither let go.
    #[test]
    fn part_of_what_a_buyer_wants_is_not_kept_for_ever() {
        let mut demand = Demand::default();
        demand.look(SECOND, (0, 1), 2);
        let is_given = (1..10).any(|tenth| {
            let now_us = SECOND + tenth * SECOND / 10;
            demand.look(now_us, (0, 1), 2);
            demand.give(now_us, &supply(1, 0, 1)) == 1
        });
        assert!(is_given);
    }
}
