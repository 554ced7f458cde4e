//! The tests that meet a gateway as its users do: through its sockets, its command line and its
//! files, as a process that can be killed.
//!
//! [`gateway`] runs the real binary, [`redis`] a redis-server and [`nginx`] what stands before them, gateways
//! share a [`store`], a [`link`] between two parts fails when it is told to, [`client`] speaks HTTP byte by byte,
//! [`contract`] holds each answer against the gateway's own document, [`shop`] sets up sales,
//! [`provider`] says what became of payments, [`driver`] sends load without waiting for answers, and
//! [`checker`] compares what every client was told with what is there afterwards, as after a [`storm`]
//! in which something dies; [`books`] does it where several gateways share a sale, and [`losses`] says
//! what holds once one of them never comes back. A test has nobody to hand an error to, so everything but a
//! connection panics with what it saw.
//!
//! It must not know the gateway's code: what it relies on is the wire contract and the command
//! line.

pub mod books;
pub mod checker;
pub mod client;
pub mod contract;
pub mod driver;
pub mod gateway;
pub mod link;
pub mod losses;
pub mod nginx;
pub mod order;
pub mod patience;
pub mod provider;
pub mod random;
pub mod redis;
pub mod shop;
pub mod store;
pub mod storm;
