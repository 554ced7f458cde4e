//! The real gateway as a process of its own: started, killed, drained, started again.
//!
//! It must not know what is asked of it over HTTP.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::{env, process};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::patience::{GENEROUS, until};

/// The variable that names another binary than the one beside the tests.
const BINARY_VARIABLE: &str = "SECKILL_BIN";
/// What is shown of a log where something went wrong, in lines.
const LOG_LINES_SHOWN: usize = 40;

/// A directory of a test's own, removed with everything in it when it is dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A fresh, empty directory.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    #[must_use]
    pub fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("seckill-loadtest-{}-{number}", process::id());
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).expect("a scratch directory can be made");
        Self(path)
    }

    /// A directory with a copy of what is in another.
    ///
    /// # Panics
    /// Where it cannot be copied.
    #[must_use]
    pub fn copy_of(other: &Path) -> Self {
        let scratch = Self::new();
        copy(other, scratch.path());
        scratch
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// Copies what is in a folder into another, which is made.
///
/// # Panics
/// Where it cannot be copied.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("it is a folder") {
        let path = entry.expect("it can be read").path();
        let target = to.join(path.file_name().expect("it has a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("a file can be copied");
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever empties the temporary directory.
        drop(fs::remove_dir_all(&self.0));
    }
}

/// The binary under test: `SECKILL_BIN`, or the one of this build, in the directory above the
/// test executable's.
///
/// # Panics
/// Where it is not there.
#[must_use]
pub fn binary() -> PathBuf {
    let binary = env::var_os(BINARY_VARIABLE).map_or_else(
        || {
            let test = env::current_exe().expect("a process knows its file");
            let profile = test.parent().and_then(Path::parent);
            profile.expect("tests are in target/PROFILE/deps").join("seckill")
        },
        PathBuf::from,
    );
    assert!(
        binary.is_file(),
        "{} is missing: build it with `cargo build --bin seckill`, or name it in {BINARY_VARIABLE}",
        binary.display()
    );
    binary
}

/// A command of the binary without the `SECKILL_…` settings of whoever runs the tests.
fn command(through: &[&str]) -> Command {
    let mut command = match through.split_first() {
        None => Command::new(binary()),
        Some((program, words)) => {
            let mut command = Command::new(program);
            command.args(words).arg(binary());
            command
        }
    };
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("SECKILL_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Ended {
    /// Its standard output, where its exit code is this one.
    ///
    /// # Panics
    /// Where it is not.
    #[track_caller]
    pub fn expect(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{} {}", self.stdout, self.stderr);
        self.stdout
    }

    /// Its one line on standard error, where it says so and no more, and exits with 2.
    ///
    /// # Panics
    /// Where it does not.
    #[track_caller]
    pub fn refused(self, says: &str) {
        assert_eq!(self.code, Some(2), "{} {}", self.stdout, self.stderr);
        let lines = self.stderr.lines().filter(|line| !line.starts_with('{'));
        let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
        assert!(lines.len() == 1 && lines[0].contains(says), "not one line of {says:?}: {lines:?}");
    }
}

/// Runs a command of the binary to its end, with variables.
///
/// # Panics
/// Where it does not end in time.
#[track_caller]
pub fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut child = command(&[])
        .args(arguments)
        .envs(variables.iter().copied())
        .spawn()
        .expect("the binary can be started");
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let status = end(&mut child, &format!("seckill {arguments:?} ends"));
    let text = |reader: JoinHandle<String>| reader.join().expect("a reader does not panic");
    Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    let mut pipe = pipe.expect("the pipe was asked for");
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pipe that breaks has said what it had to say.
        drop(pipe.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits for a process; one that does not end is killed before the test fails.
#[track_caller]
fn end(child: &mut Child, what: &str) -> ExitStatus {
    struct Killed<'a>(&'a mut Child);
    impl Drop for Killed<'_> {
        fn drop(&mut self) {
            // It may have ended by itself.
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }
    let child = Killed(child);
    until(what, GENEROUS, || child.0.try_wait().expect("a child can be waited for"))
}

/// How a gateway is started.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Core threads.
    pub cores: usize,
    /// A command that runs the one it is given: for signals and limits that a process inherits.
    pub through: &'static [&'static str],
}

impl Start {
    /// With so many core threads, and nothing in between.
    #[must_use]
    pub fn cores(cores: usize) -> Self {
        Self { cores, through: &[] }
    }
}

/// A gateway on a data directory of its own; it ends, and its data goes, when it is dropped.
#[derive(Debug)]
pub struct Gateway {
    // Dropped in this order: the process lets go of the files before they are removed.
    process: Option<Process>,
    data: Scratch,
    /// What it is started with, and every command on its data.
    variables: Vec<(String, String)>,
}

impl Gateway {
    /// Starts one on a fresh data directory and waits until it serves.
    ///
    /// # Panics
    /// Where it does not.
    #[track_caller]
    #[must_use]
    pub fn start(start: Start) -> Self {
        Self::start_with(start, Vec::new())
    }

    /// The same with variables, which it keeps.
    ///
    /// # Panics
    /// Where it does not serve.
    #[track_caller]
    #[must_use]
    pub fn start_with(start: Start, variables: Vec<(String, String)>) -> Self {
        let data = Scratch::new();
        let process = Some(Process::start(start, data.path(), &variables));
        Self { process, data, variables }
    }

    /// Starts it again on its data, and waits until it serves.
    ///
    /// # Panics
    /// Where it runs already, or does not serve.
    #[track_caller]
    pub fn restart(&mut self, start: Start) {
        assert!(self.process.is_none(), "it runs already");
        self.process = Some(Process::start(start, self.data.path(), &self.variables));
    }

    /// Starts it again with other variables, which it keeps instead.
    ///
    /// # Panics
    /// Where it runs already, or does not serve.
    #[track_caller]
    pub fn restart_with(&mut self, start: Start, variables: Vec<(String, String)>) {
        self.variables = variables;
        self.restart(start);
    }

    /// Where shoppers are served.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.running().address
    }

    /// Where `/metrics`, `/livez` and `/readyz` are served.
    #[must_use]
    pub fn operations(&self) -> SocketAddr {
        self.running().operations
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// Puts a file or folder of an earlier copy of its data in the place of today's.
    ///
    /// # Panics
    /// Where that cannot be done.
    pub fn put_back(&self, earlier: &Scratch, name: &str) {
        let (source, target) = (earlier.path().join(name), self.data().join(name));
        if target.is_dir() {
            fs::remove_dir_all(&target).expect("a folder can be removed");
            copy(&source, &target);
        } else {
            fs::copy(source, target).expect("a file can be copied");
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.running().child)
    }

    /// Everything that it has logged since its start, as far as it has come.
    #[must_use]
    pub fn log(&self) -> String {
        self.running().log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it as a power cut would: SIGKILL.
    ///
    /// # Panics
    /// Where it has ended before.
    #[track_caller]
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.child.kill().expect("it has not been waited for");
        let status = process.child.wait().expect("a child can be waited for");
        assert_eq!(status.signal(), Some(9), "it had ended by itself: {}", process.end_of_log());
    }

    /// Asks it to drain: SIGTERM.
    ///
    /// # Panics
    /// Where it has ended before.
    pub fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).expect("it runs");
    }

    /// Waits until it has ended by itself; its exit code.
    ///
    /// # Panics
    /// Where it goes on.
    #[track_caller]
    pub fn wait(&mut self) -> Option<i32> {
        let mut process = self.process.take().expect("it runs");
        end(&mut process.child, "the gateway ends").code()
    }

    /// Drains it and waits until it has ended well.
    ///
    /// # Panics
    /// Where it does not.
    #[track_caller]
    pub fn stop(&mut self) {
        self.terminate();
        assert_eq!(self.wait(), Some(0));
    }

    /// Runs a command of the binary on its data.
    ///
    /// # Panics
    /// Where it does not end in time.
    #[track_caller]
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(arguments, &[])
    }

    /// The same with variables.
    ///
    /// # Panics
    /// Where it does not end in time.
    #[track_caller]
    #[must_use]
    pub fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
        self.run_on(self.data(), arguments, variables)
    }

    /// The same on a data directory of its own or of another gateway.
    ///
    /// # Panics
    /// Where it does not end in time.
    #[track_caller]
    #[must_use]
    pub fn run_on(&self, data: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
        let data = data.to_str().expect("a scratch directory has a plain name");
        let own = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let variables: Vec<_> = own.chain(variables.iter().copied()).collect();
        run(&[arguments, &["--data", data]].concat(), &variables)
    }

    /// What `seckill audit` says, with these arguments, once it can compare everything: while what Redis
    /// knew is built anew it cannot. It must find no difference.
    ///
    /// # Panics
    /// Where it finds one, or can never compare.
    #[track_caller]
    pub fn audited(&self, arguments: &[&str]) -> String {
        let compared = || Some(self.run(arguments)).filter(|ended| ended.code != Some(2));
        until("everything can be compared", GENEROUS, compared).expect(0)
    }

    /// The account of an activity by `seckill audit`, which must find no difference.
    ///
    /// # Panics
    /// Where it finds one, or can never compare.
    #[track_caller]
    #[must_use]
    pub fn audit(&self, activity: &str) -> Value {
        self.audits(activity)[activity].take()
    }

    /// The same as it is printed, with the accounts of the gateways that this one has adopted.
    ///
    /// # Panics
    /// Where it finds a difference, or can never compare.
    #[track_caller]
    #[must_use]
    pub fn audits(&self, activity: &str) -> Value {
        let told = self.audited(&["audit", "--json", "--activity", activity]);
        serde_json::from_str(&told).expect("the audit prints JSON")
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("it runs")
    }
}

/// A gateway that runs.
#[derive(Debug)]
struct Process {
    child: Child,
    address: SocketAddr,
    operations: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Process {
    #[track_caller]
    fn start(start: Start, data: &Path, variables: &[(String, String)]) -> Self {
        let cores = start.cores.to_string();
        let mut child = command(start.through)
            .args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"])
            .args(["--cores", &cores, "--data"])
            .arg(data)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .spawn()
            .expect("the binary can be started");
        let log = log(child.stderr.take());
        let stdout = lines(child.stdout.take());
        let mut process = Self { child, address: NOWHERE, operations: NOWHERE, log };
        process.operations = process.told(&stdout, "operations on http://");
        process.address = process.told(&stdout, "ready on http://");
        process
    }

    /// The address that the gateway prints behind these words.
    #[track_caller]
    fn told(&self, stdout: &Receiver<String>, words: &str) -> SocketAddr {
        loop {
            match stdout.recv_timeout(GENEROUS) {
                Ok(line) => {
                    if let Some(address) = line.strip_prefix(words) {
                        return address.trim().parse().expect("an address follows");
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no {words:?} in time: {}", self.end_of_log())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("no {words:?}: {}", self.end_of_log())
                }
            }
        }
    }

    /// The last lines of its log.
    fn end_of_log(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}

/// Where a gateway is that has not said it yet.
const NOWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            let told = writeln!(std::io::stderr(), "the gateway's log:\n{}", self.end_of_log());
            drop(told);
        }
    }
}

fn lines(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let pipe = BufReader::new(pipe.expect("the pipe was asked for"));
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in pipe.lines().map_while(Result::ok) {
            // The pipe is read for as long as the process writes to it, listened to or not.
            drop(sender.send(line));
        }
    });
    receiver
}

/// Keeps what the gateway logs. It is a pipe, so that limits on its files do not meet it.
fn log(pipe: Option<impl Read + Send + 'static>) -> Arc<Mutex<String>> {
    let log = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&log);
    let received = lines(pipe);
    thread::spawn(move || {
        for line in received {
            let mut log = kept.lock().unwrap_or_else(PoisonError::into_inner);
            log.push_str(&line);
            log.push('\n');
        }
    });
    log
}
