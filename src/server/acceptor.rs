//! Takes connections and gives each to the core that has the fewest.
//!
//! It must not know what is spoken on them.

use std::cell::Cell;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::core::{Door, Side};
use super::limits::ACCEPT_REST;
use crate::api::Slug;

/// What the acceptor thread is started with.
#[derive(Debug)]
pub(super) struct Acceptor {
    pub(super) listener: TcpListener,
    pub(super) side: Side,
    pub(super) doors: Vec<Arc<Door>>,
    /// Of its side, over all cores.
    pub(super) connections_max: usize,
    pub(super) is_ending: Arc<AtomicBool>,
    /// Begins the ids of the answers that it gives by itself.
    pub(super) random: u64,
    /// How many those were.
    pub(super) refused: Cell<u32>,
}

impl Acceptor {
    /// Accepts until the listener is shut down. It is called on the acceptor's own thread.
    pub(super) fn run(self) {
        while !self.is_ending.load(Ordering::Acquire) {
            match self.listener.accept() {
                Ok((socket, _)) => self.give(socket),
                Err(error) if self.is_ending.load(Ordering::Acquire) => {
                    tracing::debug!(%error, "the listener is shut");
                }
                // A client that gave up, or no file descriptors: neither ends the gateway.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    std::thread::sleep(ACCEPT_REST);
                }
            }
        }
    }

    fn give(&self, socket: TcpStream) {
        let open: usize = self.doors.iter().map(|door| door.open_on(self.side)).sum();
        let emptiest = self.doors.iter().min_by_key(|door| door.open());
        let Some(door) = emptiest.filter(|_| open < self.connections_max) else {
            self.refuse(&socket);
            return;
        };
        // A client that has gone away already is noticed by its core.
        if prepare(&socket).is_ok()
            && let Err(socket) = door.give(socket, self.side)
        {
            self.refuse(&socket);
        }
    }

    fn refuse(&self, mut socket: &TcpStream) {
        self.refused.set(self.refused.get().wrapping_add(1));
        // The buffer of a new socket takes these few bytes without waiting, or the client is gone.
        if socket.set_nonblocking(true).is_ok() {
            drop(socket.write(full(self.random, self.refused.get()).as_bytes()));
        }
    }
}

/// Clients sent away come back over this many seconds.
const RETRY_SPREAD_S: u32 = 4;

fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_nonblocking(true)
}

/// Answers a connection too many; the socket is closed behind it.
fn full(random: u64, refused: u32) -> String {
    let slug = Slug::Overloaded;
    let (word, title, status) = (slug.word(), slug.title(), slug.status().as_u16());
    let body =
        format!("{{\"type\":\"urn:seckill:{word}\",\"title\":\"{title}\",\"status\":{status}}}");
    format!(
        "HTTP/1.1 {status} Service Unavailable\r\nconnection: close\r\nretry-after: {}\r\n\
         x-request-id: {random:016x}{refused:08x}\r\ncontent-type: application/problem+json\r\n\
         content-length: {}\r\n\r\n{body}",
        1 + refused % RETRY_SPREAD_S,
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canned_answer_is_whole() {
        let text = full(7, 9);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())));
        assert!(head.contains("x-request-id: 000000000000000700000009\r\n"));
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(json["type"], "urn:seckill:overloaded");
        assert_eq!(json["status"], 503);
    }
}
