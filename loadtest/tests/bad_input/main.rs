//! Bad input on every call: each is answered by a problem that the contract has, or by a closed
//! connection where it is no HTTP; never by a 5xx, and nothing changes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its parts")]

mod addresses;
mod apart;
mod bodies;
mod calls;
mod fields;
mod headers;
mod slow;
mod wire;
mod world;
