//! A Redis to be simulated from one seed: machines that forget.
//!
//! What happens when is up to whoever holds it. It must not know gateways.

mod flaw;
mod machines;
mod redis;

pub(crate) use flaw::Flaw;
pub(crate) use machines::Machines;
