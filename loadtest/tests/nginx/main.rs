//! The shop as shoppers meet it: the real nginx with the configuration that is shipped, before
//! real gateways.
//!
//! What is asserted is what `deploy/nginx/` promises. Where there is no nginx these tests say so
//! and prove nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its parts")]

mod cluster;
mod crash;
mod fake;
mod faults;
mod front;
mod pages;
mod refusals;
mod shoppers;
mod upstream;
