//! How many units a gateway keeps free: enough for what it sells, and no more, so that the last
//! units are where somebody wants them.
//!
//! Pure: it is told the time and what is gone, and must not know Redis.

/// A gateway keeps this many microseconds of its sales free: twenty requests' time.
const AHEAD_US: u64 = 2_000_000;
/// A buyer who was sent away may come again for this long, in microseconds.
const COMES_AGAIN_US: u64 = 1_000_000;
/// What came for a buyer who was sent away waits for them this long where others lack it, in
/// microseconds. So it is where somebody wants it in less than a second: after this and two heartbeats.
const KEPT_US: u64 = 300_000;
/// Before anything is sold a gateway asks for its share of this part of what nobody has.
const PART: u64 = 2;

/// What an activity's buyers want of this gateway.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Demand {
    /// The last look: when it was, and the units that were gone: held, sold, or reserved.
    last: Option<(u64, u64)>,
    /// Units a second, as of late.
    rate: u64,
    /// Units that were free at the last look.
    free: u32,
    /// When more of them came last.
    came_us: u64,
    /// When somebody bought, or wanted to, last.
    wanted_us: u64,
    /// The most units for want of which somebody was sent away since then.
    in_vain: u32,
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
        let rate = sold.saturating_mul(1_000_000) / passed_us;
        // Rises at once, falls by half a look.
        self.rate = rate.max(self.rate.midpoint(rate));
        if sold > 0 || in_vain > 0 {
            self.wanted_us = now_us;
        }
        if free > std::mem::replace(&mut self.free, free) {
            self.came_us = now_us;
        }
        let waits_until = if free < self.in_vain {
            self.wanted_us + COMES_AGAIN_US
        } else {
            self.wanted_us.max(self.came_us) + KEPT_US
        };
        let still_waits = sold == 0 && now_us < waits_until;
        self.in_vain = if still_waits { self.in_vain.max(in_vain) } else { in_vain };
    }

    /// Units that buyers are there for: what it sells in a second, or who was sent away wants.
    fn soon(&self) -> u64 {
        self.rate.max(u64::from(self.in_vain))
    }

    /// Units that it would like beside those that are free: no stock for later while others lack any, or
    /// it would take again what it gives back.
    pub(super) fn want(&self, supply: &Supply) -> u32 {
        let ahead = self.rate.saturating_mul(AHEAD_US) / 1_000_000;
        let share = supply.pool / (PART * supply.members.max(1));
        let later = if supply.short == 0 { ahead.max(share) } else { 0 };
        let target = later.max(self.soon());
        u32::try_from(target.saturating_sub(u64::from(supply.free))).unwrap_or(u32::MAX)
    }

    /// Units that it gives back: none while nobody asks for them in vain, else what it will not
    /// sell soon.
    pub(super) fn spare(&self, supply: &Supply) -> u32 {
        let spare = u64::from(supply.free).saturating_sub(self.soon()).min(supply.short);
        u32::try_from(spare).expect("not more than are free")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn supply(free: u32, pool: u64, short: u64) -> Supply {
        Supply { free, pool, members: 3, short }
    }

    #[test]
    fn before_the_sale_each_takes_a_part_of_its_share() {
        let demand = Demand::default();
        assert_eq!(demand.want(&supply(0, 600, 0)), 100);
        assert_eq!(demand.want(&supply(100, 300, 0)), 0);
        assert_eq!(demand.want(&supply(0, 5, 0)), 0, "the last units wait for a buyer");
    }

    #[test]
    fn a_gateway_keeps_what_it_sells_in_two_seconds() {
        let mut demand = Demand::default();
        demand.look(SECOND, (0, 0), 0);
        demand.look(SECOND + SECOND / 10, (50, 0), 0);
        assert_eq!(demand.want(&supply(100, 0, 0)), 900);
        // It falls slowly once nothing is sold, and to nothing.
        for looks in 2..30 {
            demand.look(SECOND + looks * SECOND / 10, (50, 0), 0);
        }
        assert_eq!(demand.want(&supply(0, 0, 0)), 0);
    }

    #[test]
    fn a_buyer_who_was_sent_away_is_worth_what_they_wanted() {
        let mut demand = Demand::default();
        demand.look(SECOND, (7, 0), 3);
        assert_eq!(demand.want(&supply(0, 0, 0)), 3);
        assert_eq!(demand.want(&supply(2, 4, 0)), 1, "beside what is here");
        demand.look(SECOND + SECOND / 10, (7, 0), 0);
        assert_eq!(demand.want(&supply(0, 0, 0)), 3, "until it comes, or the buyer has gone");
        demand.look(3 * SECOND, (7, 0), 0);
        assert_eq!(demand.want(&supply(0, 0, 0)), 0);
    }

    #[test]
    fn an_idle_gateway_gives_back_what_others_lack_and_a_busy_one_what_it_will_not_sell() {
        let mut demand = Demand::default();
        demand.look(SECOND, (0, 8), 0);
        assert_eq!(demand.spare(&supply(8, 0, 0)), 0, "nobody lacks any");
        assert_eq!(demand.spare(&supply(8, 0, 3)), 3);
        assert_eq!(demand.spare(&supply(2, 0, 3)), 2);
        demand.look(6 * SECOND, (4, 8), 0);
        demand.look(7 * SECOND, (9, 8), 0);
        assert_eq!(demand.spare(&supply(8, 0, 30)), 3);
        assert_eq!(demand.want(&supply(5, 3, 27)), 0, "what it gave back is the others'");
    }

    #[test]
    fn what_came_for_a_buyer_waits_for_them_and_not_for_long() {
        let mut demand = Demand::default();
        demand.look(SECOND, (9, 0), 1);
        let came_us = SECOND + SECOND / 2;
        demand.look(came_us, (9, 1), 0);
        let one = supply(1, 0, 1);
        assert_eq!(demand.spare(&one), 0, "it has a buyer of its own");
        let mut seldom = demand;
        seldom.look(came_us + KEPT_US, (9, 1), 0);
        assert_eq!(seldom.spare(&one), 1, "it had better be where somebody is sent away");
        assert_eq!(seldom.want(&supply(0, 0, 0)), 0, "nor is it asked for again");
        demand.look(came_us + KEPT_US - 1, (9, 1), 1);
        demand.look(came_us + KEPT_US, (9, 1), 0);
        assert_eq!(demand.spare(&one), 0, "the buyer is there again");
    }
}
