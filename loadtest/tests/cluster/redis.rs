//! A redis-server of a test's own, on a socket in a folder of its own.
//!
//! It must not know what is asked of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use seckill_loadtest::gateway::Scratch;
use seckill_loadtest::patience::{GENEROUS, until};

/// A Redis that runs; it ends, and its folder goes, when it is dropped.
#[derive(Debug)]
pub(crate) struct Redis {
    child: Option<Child>,
    // Dropped behind the process, which is ended before.
    folder: Scratch,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let mut redis = Self { child: None, folder: Scratch::new() };
        redis.run();
        redis
    }

    fn run(&mut self) {
        let folder = self.folder.path().display();
        let socket = self.socket();
        let words = ["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"];
        let child = Command::new("redis-server")
            .args(words)
            .arg(&socket)
            .args(["--dir", &folder.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        self.child = Some(child.expect("redis-server is installed: `make tools-redis`"));
        until("redis listens", GENEROUS, || UnixStream::connect(&socket).ok());
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Ends it, and all that it knows: it keeps nothing on disk.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it has not been waited for");
        child.wait().expect("a child can be waited for");
        std::fs::remove_file(self.socket()).unwrap();
    }

    pub(crate) fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        self.run();
    }

    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).expect("it runs");
    }

    /// Forgets everything, as an operator's slip makes it.
    pub(crate) fn flush(&self) {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.write_all(b"FLUSHALL\r\n").unwrap();
        let mut answer = String::new();
        BufReader::new(stream.take(1 << 10)).read_line(&mut answer).unwrap();
        assert_eq!(answer, "+OK\r\n");
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
