//! The log: JSON lines for machines, plain lines for a person at a terminal.
//!
//! It must not know what is told there.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io::{IsTerminal, stderr};

use anyhow::Context;

/// Starts the log on standard error, of what a filter lets through.
///
/// # Errors
/// Where there is one already.
pub fn start(filter: tracing_subscriber::EnvFilter) -> anyhow::Result<()> {
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let started = match stderr().is_terminal() {
        true => log.with_target(false).try_init(),
        false => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!(error)).context("the log cannot be started")
}

/// An error with all that caused it, in one line. A JSON line would have the error's own words alone.
#[derive(Clone, Copy, Debug)]
pub struct Causes<'a>(&'a dyn Error);

/// An error, to be told in the log.
#[must_use]
pub fn causes(error: &dyn Error) -> Causes<'_> {
    Causes(error)
}

impl Display for Causes<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let mut told = self.0.to_string();
        write!(out, "{told}")?;
        let mut error = self.0;
        while let Some(cause) = error.source() {
            let words = cause.to_string();
            // Some libraries' errors have their cause's words in their own.
            if !told.ends_with(&words) {
                write!(out, ": {words}")?;
            }
            (error, told) = (cause, words);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the page is not there")]
    struct Page(#[source] std::io::Error);

    #[test]
    fn an_error_is_told_with_what_caused_it() {
        let io = || std::io::Error::other("the disk is gone");
        assert_eq!(causes(&io()).to_string(), "the disk is gone");
        assert_eq!(causes(&Page(io())).to_string(), "the page is not there: the disk is gone");
        let twice = std::io::Error::other(Page(io()));
        assert_eq!(causes(&twice).to_string(), "the page is not there: the disk is gone");
    }
}
