//! The tables: orders, their payments, and what an activity's records add up to.
//!
//! `apply` is the only code that changes them, live and in recovery alike, and it never refuses: a
//! record is a fact. They know nothing of disks, stock or time.

mod fold;
mod lease;
mod order;
mod page;
mod sums;
mod table;
mod totals;
mod withdrawals;

pub use fold::{Fold, FoldedActivity, instant_of};
pub use lease::Lease;
pub use order::{Order, Payment, fingerprint};
pub use page::SparePages;
pub use sums::{Sum, Sums};
pub use table::Table;
pub use withdrawals::Withdrawals;
