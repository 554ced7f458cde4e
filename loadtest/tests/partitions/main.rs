//! Several real gateways under load, and between them and their Redis links that fall silent or are
//! cut; whatever dies, stands still or forgets meanwhile, what clients were told is what all books
//! say afterwards, and every unit can be sold.
//!
//! `ROUNDS` says how often, `SEED` repeats a run: its choices, not the moments.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its parts")]

mod crowd;
mod faults;
mod rounds;
mod swapped;
mod world;
