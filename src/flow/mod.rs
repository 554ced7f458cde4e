//! Flow: what keeps one part's trouble from becoming everybody's.
//!
//! It knows neither HTTP nor stores; whoever asks says what a call came to.

mod breaker;

pub use breaker::{Breaker, BreakerState, Pass, Rule};
