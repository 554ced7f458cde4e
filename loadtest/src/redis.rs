//! A redis-server of a test's own, on a socket in a folder of its own.
//!
//! It must not know what is asked of it.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::gateway::Scratch;
use crate::patience::{GENEROUS, until};

/// A Redis that runs; it ends, and its folder goes, when it is dropped.
#[derive(Debug)]
pub struct Redis {
    child: Option<Child>,
    /// What its command line begins with, up to its own words.
    words: Vec<String>,
    // Dropped behind the process, which is ended before.
    folder: Scratch,
}

impl Redis {
    /// Starts one that knows nothing, and keeps nothing on disk.
    ///
    /// # Panics
    /// Where there is no redis-server.
    #[track_caller]
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&["--port", "0"])
    }

    /// The same with words of its own at the head of its command line.
    ///
    /// # Panics
    /// Where there is no redis-server, or it refuses them.
    #[track_caller]
    #[must_use]
    pub fn start_with(words: &[&str]) -> Self {
        Self::start_through(&[], words)
    }

    /// The same, run by a command that runs the one it is given.
    ///
    /// # Panics
    /// As [`start_with`](Self::start_with).
    #[track_caller]
    #[must_use]
    pub fn start_through(through: &[&str], words: &[&str]) -> Self {
        let words = [through, &["redis-server"], words].concat();
        let words = words.into_iter().map(str::to_owned).collect();
        let mut redis = Self { child: None, words, folder: Scratch::new() };
        redis.run();
        redis
    }

    #[track_caller]
    fn run(&mut self) {
        let folder = self.folder.path().display();
        let socket = self.socket();
        let (program, words) = self.words.split_first().expect("a command has a program");
        let child = Command::new(program)
            .args(words)
            .args(["--save", "", "--appendonly", "no"])
            .args(["--repl-diskless-sync-delay", "0", "--unixsocket"])
            .arg(&socket)
            .args(["--dir", &folder.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        self.child = Some(child.expect("redis-server is installed: `make tools-redis`"));
        until("redis listens", GENEROUS, || UnixStream::connect(&socket).ok());
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// The same, as a gateway is told.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Ends it, and all that it knows.
    ///
    /// # Panics
    /// Where it does not run.
    #[track_caller]
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it has not been waited for");
        child.wait().expect("a child can be waited for");
        std::fs::remove_file(self.socket()).expect("it listened there");
    }

    /// Starts it again, with nothing.
    ///
    /// # Panics
    /// Where it runs.
    #[track_caller]
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        self.run();
    }

    /// Has it stand still: it takes connections, and says nothing.
    ///
    /// # Panics
    /// Where it does not run.
    #[track_caller]
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Has it go on.
    ///
    /// # Panics
    /// Where it does not run.
    #[track_caller]
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    #[track_caller]
    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs");
    }

    /// Its process.
    ///
    /// # Panics
    /// Where it does not run.
    #[track_caller]
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("it runs"))
    }

    /// Forgets everything, as an operator's slip makes it.
    ///
    /// # Panics
    /// Where it refuses.
    #[track_caller]
    pub fn flush(&self) {
        assert_eq!(self.tell(&["FLUSHALL"]), ["OK"]);
    }

    /// Follows the master at an address: what it knew is gone.
    ///
    /// # Panics
    /// Where it refuses.
    #[track_caller]
    pub fn follow(&self, master: SocketAddr) {
        let (host, port) = (master.ip().to_string(), master.port().to_string());
        assert_eq!(self.tell(&["REPLICAOF", &host, &port]), ["OK"]);
    }

    /// Becomes a master, with what it has.
    ///
    /// # Panics
    /// Where it refuses.
    #[track_caller]
    pub fn lead(&self) {
        assert_eq!(self.tell(&["REPLICAOF", "NO", "ONE"]), ["OK"]);
    }

    /// What it answers to a command: one text, or those of a list.
    ///
    /// # Panics
    /// Where it does not, or refuses.
    #[track_caller]
    #[must_use]
    pub fn tell(&self, words: &[&str]) -> Vec<String> {
        let mut stream = UnixStream::connect(self.socket()).expect("it listens");
        stream.set_read_timeout(Some(GENEROUS)).expect("the limit is not zero");
        let parts = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
        let command = format!("*{}\r\n{}", words.len(), parts.collect::<String>());
        stream.write_all(command.as_bytes()).expect("it reads");
        answer(&mut BufReader::new(stream))
    }
}

/// The texts of one answer.
#[track_caller]
fn answer(stream: &mut impl BufRead) -> Vec<String> {
    let mut line = String::new();
    stream.read_line(&mut line).expect("it answers in time");
    let (kind, rest) = line.trim_end().split_at_checked(1).expect("an answer has a kind");
    match kind {
        "+" | ":" => vec![rest.to_owned()],
        "$" if rest == "-1" => Vec::new(),
        "$" => {
            let length: usize = rest.parse().expect("a text has a length");
            let mut text = vec![0; length + 2];
            stream.read_exact(&mut text).expect("it answers to the end");
            text.truncate(length);
            vec![String::from_utf8(text).expect("what it keeps is text")]
        }
        "*" => {
            let items: usize = rest.parse().expect("a list has a length");
            (0..items).flat_map(|_| answer(stream)).collect()
        }
        _ => panic!("it refuses: {line}"),
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may be stopped, or have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::answer;

    #[test]
    fn an_answer_is_read_to_its_end_and_no_further() {
        for (text, texts) in [
            ("+OK\r\n", &["OK"][..]),
            (":12\r\n", &["12"]),
            ("$-1\r\n", &[]),
            ("$4\r\na\r\nb\r\n", &["a\r\nb"]),
            ("*2\r\n$1\r\na\r\n*1\r\n:7\r\n", &["a", "7"]),
        ] {
            let mut stream = format!("{text}+next\r\n").into_bytes();
            let mut stream = stream.as_mut_slice() as &[u8];
            assert_eq!(answer(&mut stream), texts, "{text:?}");
            assert_eq!(answer(&mut stream), ["next"], "{text:?}");
        }
    }
}
