//! A Redis to be simulated from one seed: machines that forget, and a network that loses, delays and
//! doubles what is said.
//!
//! What happens when is up to whoever holds it. It must not know gateways.

mod flaw;
mod machines;
mod network;
mod redis;

pub(crate) use flaw::Flaw;
pub(crate) use machines::Machines;
pub(crate) use network::{Network, Way};
