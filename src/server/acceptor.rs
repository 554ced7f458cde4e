//! Takes connections and gives each to the core that has the fewest.
//!
//! It must not know what is spoken on them.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::core::Door;
use super::limits::ACCEPT_REST;

/// Answers a connection too many; the socket is closed behind it.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 2\r\n\
    content-type: application/problem+json\r\ncontent-length: 75\r\n\r\n\
    {\"type\":\"urn:seckill:overloaded\",\"title\":\"Too busy right now\",\"status\":503}";

/// What the acceptor thread is started with.
#[derive(Debug)]
pub(super) struct Acceptor {
    pub(super) listener: TcpListener,
    pub(super) doors: Vec<Arc<Door>>,
    pub(super) connections_max: usize,
    pub(super) is_ending: Arc<AtomicBool>,
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
        let open: usize = self.doors.iter().map(|door| door.open()).sum();
        let emptiest = self.doors.iter().min_by_key(|door| door.open());
        let Some(door) = emptiest.filter(|_| open < self.connections_max) else {
            refuse(&socket);
            return;
        };
        // A client that has gone away already is noticed by its core.
        if prepare(&socket).is_ok()
            && let Err(socket) = door.give(socket)
        {
            refuse(&socket);
        }
    }
}

fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_nonblocking(true)
}

fn refuse(mut socket: &TcpStream) {
    // The buffer of a new socket takes these few bytes without waiting, or the client is gone.
    if socket.set_nonblocking(true).is_ok() {
        drop(socket.write(FULL));
    }
}

#[cfg(test)]
mod tests {
    use super::FULL;

    #[test]
    fn the_canned_answer_is_whole() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{}", body.len());
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        let slug = crate::api::Slug::Overloaded;
        assert_eq!(json["type"], format!("urn:seckill:{}", slug.word()));
        assert_eq!(json["title"], slug.title());
        assert_eq!(json["status"], slug.status().as_u16());
    }
}
