//! A redis-server of a test's own, on a socket in a folder of its own; both are gone with the test.
//!
//! It must not know what is asked of it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use std::{env, fs, process, thread};

use redis::{Client, FromRedisValue, RedisResult, cmd};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::coverage;
use crate::reconcile::Leases;

/// What a healthy server on a crowded machine never takes.
pub(super) const GENEROUS: Duration = Duration::from_secs(30);
const READY: &str = "eady to accept connections";

pub(super) struct Server {
    folder: PathBuf,
    options: Vec<String>,
    /// The text of the functions that gateways bring.
    text: &'static str,
    /// The branches that were taken in processes that have ended.
    taken: BTreeSet<String>,
    running: Option<(Child, Receiver<String>)>,
}

impl Server {
    pub(super) fn start(text: &'static str) -> Self {
        Self::start_with(text, &["port 0"])
    }

    /// With more options, as a configuration file has them.
    pub(super) fn start_with(text: &'static str, options: &[&str]) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        // Relaxed: only the number counts.
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("seckill-redis-{}-{number}", process::id()));
        fs::create_dir(&folder).unwrap();
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let mut server = Self { folder, options, text, taken: BTreeSet::new(), running: None };
        server.run();
        server
    }

    /// One that replicas can follow: they come by TCP, to a port that is free at this moment.
    pub(super) fn start_open(text: &'static str) -> (Self, u16) {
        let port = free_port();
        let options = [&*format!("port {port}"), "repl-diskless-sync-delay 0"];
        (Self::start_with(text, &options), port)
    }

    fn run(&mut self) {
        let socket = format!("unixsocket {}", self.socket().display());
        let folder = format!("dir {}", self.folder.display());
        let fixed = ["bind 127.0.0.1", "save ", "appendonly no", "enable-debug-command yes"];
        // Of an option that is given twice the last one counts.
        let options = fixed.into_iter().chain(self.options.iter().map(String::as_str));
        let options: Vec<String> =
            options.chain([&*socket, &*folder]).map(|it| format!("--{it}")).collect();
        let words = options.iter().flat_map(|option| option.split(' '));
        // It goes with the thread that runs the test, however that ends.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program())
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.expect("setpriv starts: it is part of util-linux");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let (lines, log) = channel();
        thread::spawn(move || {
            // Read to the end, so that the server never waits for a reader.
            for line in output.lines().map_while(Result::ok) {
                drop(lines.send(line));
            }
        });
        self.running = Some((child, log));
        self.until(READY);
    }

    /// Waits for a line of the log.
    #[track_caller]
    pub(super) fn until(&self, line: &str) {
        self.until_any(&[line]);
    }

    /// Waits for a line of the log that has one of some texts.
    #[track_caller]
    pub(super) fn until_any(&self, lines: &[&str]) {
        let (_, log) = self.running.as_ref().expect("it runs");
        let mut seen = Vec::new();
        loop {
            match log.recv_timeout(GENEROUS) {
                Ok(it) if lines.iter().any(|line| it.contains(line)) => return,
                Ok(it) => seen.push(it),
                Err(error) => {
                    panic!("{error}: redis-server did not say one of {lines:?}: {seen:#?}")
                }
            }
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// A gateway's connection.
    pub(super) fn leases(&self) -> Leases {
        Leases::open_with(&self.url(), self.text()).unwrap()
    }

    pub(super) fn text(&self) -> &'static str {
        self.text
    }

    /// What it answers to a command of somebody else.
    #[track_caller]
    pub(super) fn tell<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_tell(words).unwrap()
    }

    pub(super) fn try_tell<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        tell(&self.url(), words)
    }

    /// Waits until a replica has everything.
    pub(super) fn replicate(&self) {
        let mut connection = Client::open(self.url()).unwrap().get_connection().unwrap();
        // Only what this connection wrote is waited for, and what came before it.
        cmd("SET").arg("x").arg("y").exec(&mut connection).unwrap();
        let replicas: u64 = cmd("WAIT").arg(1).arg(10_000).query(&mut connection).unwrap();
        assert_eq!(replicas, 1);
    }

    /// Ends the process as a power cut does and starts another on the same folder.
    pub(super) fn kill_and_start(&mut self) {
        self.gather();
        self.kill();
        self.run();
    }

    /// The process becomes another one, without its data.
    pub(super) fn restart_in_place(&mut self) {
        self.gather();
        // The connection ends instead of an answer.
        drop(self.try_tell::<()>(&["DEBUG", "RESTART"]));
        self.until(READY);
    }

    /// Ends the process as a power cut does.
    pub(super) fn kill(&mut self) {
        if let Some((mut child, _)) = self.running.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Has it stand still: it takes connections, and says nothing.
    pub(super) fn stop(&self) {
        stop(&self.running.as_ref().expect("it runs").0);
    }

    /// Has it go on.
    pub(super) fn go_on(&self) {
        go_on(&self.running.as_ref().expect("it runs").0);
    }

    fn gather(&mut self) {
        if self.text.contains(coverage::REPORT) {
            // Where the functions were never loaded nothing was taken.
            let call = ["FCALL", coverage::REPORT, "0"];
            self.taken.extend(self.try_tell::<Vec<String>>(&call).unwrap_or_default());
        }
    }

    /// Adds the branches that were taken in another server, which ends.
    pub(super) fn absorb(&mut self, other: Self) {
        self.taken.extend(other.taken());
    }

    /// The branches that were taken.
    pub(super) fn taken(mut self) -> BTreeSet<String> {
        self.gather();
        std::mem::take(&mut self.taken)
    }
}

/// By its full path: to become another process it must find itself again.
pub(super) fn program() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join("redis-server"));
    let found = found.into_iter().find(|program| program.is_file());
    found.expect("redis-server is not installed: `make tools-redis` does it")
}

/// What a server at a URL answers.
pub(super) fn tell<T: FromRedisValue>(url: &str, words: &[&str]) -> RedisResult<T> {
    let mut connection = Client::open(url)?.get_connection()?;
    let mut command = cmd(words[0]);
    for word in &words[1..] {
        command.arg(word);
    }
    command.query(&mut connection)
}

/// One that is free at this moment.
pub(super) fn free_port() -> u16 {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    free.local_addr().unwrap().port()
}

/// Has a process stand still, and waits until all its threads do.
pub(super) fn stop(child: &Child) {
    let pid = Pid::from_child(child);
    kill_process(pid, Signal::STOP).unwrap();
    let stopped = waitpid(Some(pid), WaitOptions::UNTRACED).unwrap();
    assert!(stopped.is_some_and(|(_, status)| status.stopped()), "{stopped:?}");
}

/// Has a process go on that stands still.
pub(super) fn go_on(child: &Child) {
    kill_process(Pid::from_child(child), Signal::CONT).unwrap();
}

/// What a call comes to that may be lost and must not hang.
pub(super) async fn ended<T>(what: &str, call: impl Future<Output = T>) -> T {
    tokio::time::timeout(GENEROUS, call).await.unwrap_or_else(|_| panic!("{what} hangs"))
}

/// Asks until the answer is there.
pub(super) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asked = async {
        let mut look = tokio::time::interval(GENEROUS / 1_000);
        loop {
            look.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(GENEROUS, asked).await.unwrap_or_else(|_| panic!("{what}"))
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        // What cannot be removed is left to whoever empties the temporary directory.
        drop(fs::remove_dir_all(&self.folder));
    }
}
