//! The lists say which timers are in which slot, and which timers are idle.
//! They know neither deadlines nor values: timers and lists are numbers.

use super::level::LISTS;

/// The lists are rings, each closed by a link of its own, so that a timer is taken out without
/// asking whether it is the first or the last.
///
/// The links stand apart from the timers because taking one out touches both its neighbours, and
/// eight bytes each are much more often in the cache than a whole timer.
#[derive(Debug)]
pub(super) struct Lists {
    /// The lists' own links come first, then those of the timers.
    links: Vec<Link>,
    /// The timer that ended last leads to those that ended before it: a warm one is used first.
    idle: u32,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    prev: u32,
    next: u32,
}

const _: () = assert!(size_of::<Link>() == 8, "a third of the 24 bytes of a timer");

/// No link is here, which ends the chain of the idle.
const NOWHERE: u32 = u32::MAX;

impl Lists {
    /// Empty lists, and memory for so many timers.
    pub(super) fn with_capacity(timers: usize) -> Self {
        let mut links = Vec::with_capacity(LISTS as usize + timers);
        links.extend((0..LISTS).map(|list| Link { prev: list, next: list }));
        Self { links, idle: NOWHERE }
    }

    /// Takes the timer that was given last, if any is idle.
    pub(super) fn take(&mut self) -> Option<u32> {
        let node = self.idle;
        self.idle = self.links.get(node as usize)?.next;
        Some(node - LISTS)
    }

    /// Gives back a timer that is in no list.
    pub(super) fn give(&mut self, timer: u32) {
        let node = timer + LISTS;
        self.links[node as usize].next = self.idle;
        self.idle = node;
    }

    /// Makes one more timer, which is in no list.
    pub(super) fn extend(&mut self) -> u32 {
        let node = u32::try_from(self.links.len()).expect("2^32 timers do not fit in memory");
        self.links.push(Link { prev: node, next: node });
        node - LISTS
    }

    /// The first timer of the list.
    pub(super) fn first(&self, list: u32) -> Option<u32> {
        self.links[list as usize].next.checked_sub(LISTS)
    }

    /// Puts a timer that is in no list at the head of one.
    pub(super) fn link(&mut self, list: u32, timer: u32) {
        let node = timer + LISTS;
        let next = self.links[list as usize].next;
        self.links[list as usize].next = node;
        self.links[next as usize].prev = node;
        self.links[node as usize] = Link { prev: list, next };
    }

    /// Takes a timer out of its list. Returns the list if that leaves it empty.
    pub(super) fn unlink(&mut self, timer: u32) -> Option<u32> {
        let Link { prev, next } = self.links[(timer + LISTS) as usize];
        self.links[prev as usize].next = next;
        self.links[next as usize].prev = prev;
        // Only a list's own link can be on both sides.
        (prev == next).then_some(prev)
    }
}
