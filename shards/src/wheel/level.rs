//! A level is a ring of 64 slots; this is the arithmetic of which slot a deadline belongs to.
//! It knows no timers: instants and ticks are numbers.

pub(super) const LEVELS: u32 = 7;

/// Slots a level: as many as a word has bits.
const SLOTS: u64 = u64::BITS as u64;

/// Slots of all levels, each with a list of timers.
pub(super) const LISTS: u32 = LEVELS * u64::BITS;

/// A slot spans 2^5 = 32 slots of the level below, half of its ring.
const LEVEL_BITS: u32 = 5;

/// The longest wait, in milliseconds, that the last level tells apart.
const REACH: u64 = (SLOTS << (LEVEL_BITS * (LEVELS - 1))) - 1;

const DAY: u64 = 24 * 60 * 60 * 1000;
const _: () = assert!(REACH > 30 * DAY, "orders wait for up to 30 days without being parked");

/// The level and its tick for a deadline that is not before `at`.
///
/// Above the lowest level the tick is 2 to 64 after the present one: a nearer deadline is within
/// reach of the level below, and the slot of the present tick, emptied before that tick began,
/// takes the farthest. A deadline beyond the last level is parked there.
pub(super) fn place(at: u64, deadline: u64) -> (u32, u64) {
    let wait = (deadline - at).min(REACH);
    let bits = u64::BITS - (wait | (SLOTS - 1)).leading_zeros();
    let level = (bits - 2) / LEVEL_BITS;
    (level, ticks(at + wait, level))
}

/// The instant in ticks of a level.
pub(super) fn ticks(instant: u64, level: u32) -> u64 {
    instant >> (LEVEL_BITS * level)
}

/// The instant at which a level's tick begins.
pub(super) fn start(tick: u64, level: u32) -> u64 {
    tick << (LEVEL_BITS * level)
}

/// The tick's slot in its ring.
pub(super) fn slot(tick: u64) -> u32 {
    (tick % SLOTS) as u32
}

/// The number of a tick's slot among those of all levels.
pub(super) fn list(level: u32, tick: u64) -> u32 {
    level * u64::BITS + slot(tick)
}

/// The level and the slot of that number.
pub(super) fn slot_of(list: u32) -> (u32, u32) {
    (list / u64::BITS, list % u64::BITS)
}
