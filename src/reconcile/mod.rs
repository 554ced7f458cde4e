//! What gateways settle with each other through Redis: the lease of each activity's units, and the
//! places of buyers whom several gateways serve.
//!
//! It must not know journals, shards or HTTP: it asks and is answered. Only here is Redis known.

mod connection;
mod error;
mod leases;
mod library;
pub mod limits;
mod messages;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod topology;

pub use seckill_shards::ids::Era;

pub use error::{Alarm, Answer, Fault, Refusal};
pub use leases::{Leases, Round};
pub use messages::{
    Declaration, Holder, Holding, LeaseReply, LeaseRequest, Member, Place, Release, Resumed, Roll,
    Status, Stock,
};
