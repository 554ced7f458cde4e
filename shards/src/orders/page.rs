//! A page is the unit in which memory for orders comes and goes; spare ones are made ahead.

use crossbeam_queue::SegQueue;

use super::order::Order;
use crate::ids::OrderId;
use crate::limits::ORDERS_AHEAD_MAX;

pub(super) const PAGE_BITS: u32 = 8;
const PAGE_ORDERS: usize = 1 << PAGE_BITS;

/// Orders whose ids differ in their lowest bits only.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) orders: Box<[Option<Order>]>,
    pub(super) used: usize,
}

impl Page {
    fn empty() -> Self {
        Self { orders: (0..PAGE_ORDERS).map(|_| None).collect(), used: 0 }
    }
}

/// Where an order lies in its page.
pub(super) fn slot_of(id: OrderId) -> usize {
    usize::from(u8::try_from(id.0 % PAGE_ORDERS as u64).expect("a page has 256 orders"))
}

/// Empty pages of touched memory for all cores, so that none of them stops in a storm while the
/// machine finds memory: the first touch of two mebibytes takes from 0.2 ms to several.
#[derive(Debug, Default)]
pub struct SparePages(SegQueue<Page>);

impl SparePages {
    /// Makes pages, or drops some, until there is room for `orders`, or for
    /// [`ORDERS_AHEAD_MAX`] at most. Call it beside the cores, which may take pages meanwhile.
    pub fn keep_for(&self, orders: usize) {
        let wanted = orders.min(ORDERS_AHEAD_MAX).div_ceil(PAGE_ORDERS);
        for _ in self.0.len()..wanted {
            self.0.push(Page::empty());
        }
        for _ in wanted..self.0.len() {
            drop(self.0.pop());
        }
    }

    /// A page: a spare one, or a new one.
    pub(super) fn take(&self) -> Page {
        self.0.pop().unwrap_or_else(Page::empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_spare_pages_as_were_asked_for() {
        let spares = SparePages::default();
        for (orders, pages) in [(0, 0), (1, 1), (256, 1), (257, 2), (usize::MAX, 4_096), (0, 0)] {
            spares.keep_for(orders);
            assert_eq!(spares.0.len(), pages, "{orders} orders");
        }
    }

    #[test]
    fn without_a_spare_page_a_new_one_is_made() {
        let spares = SparePages::default();
        spares.keep_for(1);
        for _ in 0..2 {
            assert_eq!(spares.take().orders.len(), PAGE_ORDERS);
        }
        assert!(spares.0.is_empty());
    }
}
