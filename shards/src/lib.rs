//! The engine of a flash sale, deterministic: its clock, its disk and its randomness are given.
//!
//! It knows nothing of HTTP, JSON, SQL or Redis. ARCHITECTURE.md draws the floors; a module uses
//! only floors below its own.

pub mod clock;
pub mod command;
pub mod disk;
pub mod engine;
pub mod ids;
pub mod journal;
pub mod limits;
pub mod orders;
pub mod places;
pub mod record;
pub mod shard;
pub mod stock;
mod sync;
pub mod testing;
pub mod wheel;
