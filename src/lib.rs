//! The gateway: sockets, HTTP, the store and what an operator sees, around the engine.
//!
//! ARCHITECTURE.md draws the floors; a module uses only floors below its own.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the engine's matches name every record; here a default answer is often the point"
)]

pub mod api;
pub mod audit;
pub mod cli;
pub mod config;
pub mod control;
pub mod flow;
pub mod log;
pub mod metrics;
pub mod operations;
pub mod payment;
pub mod peers;
pub mod reconcile;
pub mod server;
pub mod store;

/// Bytes from the operating system's random source.
///
/// # Errors
/// What the operating system says.
pub fn random_bytes<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        filled +=
            rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(bytes)
}
