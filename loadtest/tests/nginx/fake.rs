//! A gateway that answers whatever it is told to, and shows what it was asked.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use seckill_loadtest::patience::GENEROUS;

/// What it was asked, head by head, in lower case.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    heads: Receiver<String>,
}

impl Fake {
    /// One that gives each connection this answer, then closes it. Its thread waits for the next
    /// one until the test run ends.
    pub(crate) fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, heads) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
                // A test that has what it wanted to know listens no more.
                drop(sender.send(String::from_utf8(head).unwrap().to_ascii_lowercase()));
                drop(stream.write_all(answer.as_bytes()));
            }
        });
        Self { address, heads }
    }

    /// The next head that came, or comes.
    #[track_caller]
    pub(crate) fn head(&self) -> String {
        self.heads.recv_timeout(GENEROUS).expect("it is asked")
    }

    /// How many came that nobody has looked at.
    pub(crate) fn unseen(&self) -> usize {
        self.heads.try_iter().count()
    }
}
