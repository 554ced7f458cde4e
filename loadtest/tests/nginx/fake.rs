//! A gateway that answers whatever it is told to, and shows what it was asked.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use seckill_loadtest::patience::GENEROUS;

/// What it was asked, head by head, in lower case.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    heads: Receiver<String>,
    connections: Arc<AtomicUsize>,
}

impl Fake {
    /// One that gives each connection this answer, then closes it. Its thread waits for the next
    /// one until the test run ends.
    pub(crate) fn start(answer: &'static str) -> Self {
        // Who has gone is not answered.
        Self::serving(move |mut stream, heads| drop(serve(&mut stream, &heads, answer)))
    }

    /// One that gives this answer to every request, and keeps each connection for as long as the
    /// other side does.
    pub(crate) fn keeping(answer: &'static str) -> Self {
        Self::serving(move |mut stream, heads| {
            thread::spawn(move || while serve(&mut stream, &heads, answer).is_ok() {});
        })
    }

    fn serving(serve: impl Fn(TcpStream, Sender<String>) + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, heads) = channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        thread::spawn(move || {
            for stream in listener.incoming() {
                // Only a count: whoever reads it has been answered on all of them.
                count.fetch_add(1, Ordering::Relaxed);
                serve(stream.unwrap(), sender.clone());
            }
        });
        Self { address, heads, connections }
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

    /// How many connections it was asked on.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Gives one request an answer.
fn serve(stream: &mut TcpStream, heads: &Sender<String>, answer: &str) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    // A test that has what it wanted to know listens no more.
    drop(heads.send(String::from_utf8(head).unwrap().to_ascii_lowercase()));
    stream.write_all(answer.as_bytes())
}
