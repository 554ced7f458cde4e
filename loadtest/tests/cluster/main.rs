//! Several real gateways that share what they sell through a real Redis, which may be away, stopped
//! or forgetful, as may they.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its parts")]

mod auditing;
mod breakers;
mod changing;
mod faults;
mod fleet;
mod forged;
mod owners;
mod packets;
mod restoring;
mod retiring;
mod rights;
mod selling;
mod sessions;
mod tls;
mod topologies;
