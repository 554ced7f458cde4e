//! The whole way through a gateway by its sockets and its command line: the shopper's, the
//! operator's, and that of whoever keeps it running.
//!
//! What is asserted is the wire contract; no test asserts how fast anything is.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its parts")]

mod accounts;
mod backup;
mod bounds;
mod breakers;
mod buying;
mod docs;
mod logs;
mod pages;
mod paying;
mod process;
mod resets;
mod selling;
mod store_away;
mod throttling;
mod trail;
mod web;
