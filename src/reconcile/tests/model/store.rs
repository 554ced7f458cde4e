//! The store of a model fleet: members, generations, stock, flushed orders. It is always there.
//!
//! It must not know Redis.

use std::collections::BTreeMap;

use super::account::Order;
use crate::reconcile::{Holder, Member, Stock};

pub(super) struct Store {
    pub(super) generation: u64,
    pub(super) stock: Stock,
    /// Each member's epoch.
    pub(super) members: BTreeMap<Member, u8>,
    /// Whose they are, and how they were when they were flushed last.
    pub(super) orders: BTreeMap<u64, (Member, Order)>,
}

impl Store {
    pub(super) fn new(stocked: u32) -> Self {
        let stock = Stock { version: 1, stocked, open: true };
        Self { generation: 0, stock, members: BTreeMap::new(), orders: BTreeMap::new() }
    }

    /// A generation that nobody else has.
    pub(super) fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    pub(super) fn roster(&self) -> Vec<Holder> {
        let members = self.members.iter();
        members.map(|(&member, &epoch)| Holder { member, epoch }).collect()
    }

    pub(super) fn is_current(&self, holder: Holder) -> bool {
        self.members.get(&holder.member) == Some(&holder.epoch)
    }
}
