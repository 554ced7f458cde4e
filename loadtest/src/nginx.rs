//! nginx as a process of its own, with the shipped configuration in a folder of its own.
//!
//! It must not know what is asked of it.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use socket2::{Domain, Socket, Type};

use crate::client::{Connection, Request, Response};
use crate::gateway::Scratch;
use crate::patience::{GENEROUS, until};

/// Where Debian has it, and where somebody else's `PATH` may have it.
const PLACES: [&str; 2] = ["/usr/sbin/nginx", "nginx"];
/// The line of `gateways.conf` that names one.
const GATEWAY: &str = "127.0.0.1:8080";
/// The line of `site.conf` that names the port.
const LISTEN: &str = "listen 80 ";

/// A piece of the shipped configuration, and what a test puts in its place.
pub type Edit = (&'static str, &'static str);

/// An nginx that runs; it ends when it is dropped.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    address: SocketAddr,
    // Dropped behind the process, which is ended before.
    folder: Scratch,
}

/// The program; none where there is none, which is said.
#[must_use]
pub fn program() -> Option<&'static str> {
    let runs = |program: &&str| Command::new(program).arg("-v").output().is_ok();
    let found = PLACES.into_iter().find(runs);
    if found.is_none() {
        let told = writeln!(std::io::stderr(), "no nginx here: what is tested with it is left out");
        drop(told);
    }
    found
}

impl Nginx {
    /// Starts one before these gateways, where there is an nginx.
    ///
    /// # Panics
    /// Where it refuses its configuration.
    #[must_use]
    #[track_caller]
    pub fn start(gateways: &[SocketAddr], edits: &[Edit]) -> Option<Self> {
        let program = program()?;
        // The socket is made here and handed over, as nginx does it when it is replaced by a newer
        // one: so any free port will do, and nobody can take it in between.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("some port is free");
        // As nginx makes its own: of two workers that wake up, the one that comes late must not stay
        // in accept for ever.
        listener.set_nonblocking(true).expect("a socket can be set so");
        let address = listener.local_addr().expect("it listens");
        let folder = Scratch::new();
        configure(folder.path(), address, gateways, edits);
        let checked = run(program, folder.path(), &["-t"]);
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        let child = command(program, folder.path())
            .args(["-g", "daemon off;"])
            .env("NGINX", "0;")
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it was run a moment ago");
        Some(Self { child, address, folder })
    }

    /// Where shoppers are served.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it has its files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// One of its two logs, as far as it is written.
    #[must_use]
    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder().join(name)).unwrap_or_default()
    }

    /// Kills all its processes, as a power cut would: the workers outlive their first one.
    ///
    /// # Panics
    /// Where it does not run.
    #[track_caller]
    pub fn kill(&mut self) {
        let first = Pid::from_child(&self.child);
        let number = first.as_raw_nonzero();
        let workers = fs::read_to_string(format!("/proc/{number}/task/{number}/children"));
        let workers = workers.expect("it runs");
        let workers =
            workers.split_whitespace().map(|it| it.parse().expect("a process has a number"));
        // The first one first: it would start others for workers that end.
        kill_process(first, Signal::KILL).expect("nobody else has ended it");
        for worker in workers.filter_map(Pid::from_raw) {
            // The one that loads the cache ends by itself.
            let _is_there = kill_process(worker, Signal::KILL);
        }
        self.child.wait().expect("a child can be waited for");
    }

    /// The answer to one request on a connection of its own, which may be one that no gateway
    /// documents.
    ///
    /// # Panics
    /// Where none comes.
    #[must_use]
    #[track_caller]
    pub fn answer(&self, request: &Request) -> Response {
        self.answer_to(&request.bytes())
    }

    /// The same for any bytes.
    ///
    /// # Panics
    /// Where none comes.
    #[must_use]
    #[track_caller]
    pub fn answer_to(&self, bytes: &[u8]) -> Response {
        let mut connection = Connection::open(self.address).expect("it listens");
        connection.send(bytes).expect("it takes a request");
        let answer = connection.receive(!bytes.starts_with(b"HEAD"));
        let shown = || bytes[..bytes.len().min(80)].escape_ascii().to_string();
        answer.unwrap_or_else(|error| panic!("{error}: {}", shown()))
    }

    /// A connection that comes from this address of the machine.
    ///
    /// # Panics
    /// Where the machine has no such address.
    #[must_use]
    pub fn from(&self, address: Ipv4Addr) -> Connection {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are sockets");
        socket.bind(&SocketAddr::from((address, 0)).into()).expect("the address is this machine's");
        socket.connect(&self.address.into()).expect("it listens");
        Connection::over(socket.into()).expect("it is connected")
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM and not SIGKILL: the first process takes its workers with it. One that was killed
        // is gone.
        if self.is_running() {
            kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it runs");
        }
        until("nginx ends", GENEROUS, || (!self.is_running()).then_some(()));
        if std::thread::panicking() {
            let logs = ["error.log", "access.log"].map(|name| self.log(name)).join("\n");
            let told = writeln!(std::io::stderr(), "nginx's logs:\n{logs}");
            drop(told);
        }
    }
}

fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
    command
}

/// Runs it to its end.
///
/// # Panics
/// Where it is not there.
#[must_use]
pub fn run(program: &str, folder: &Path, arguments: &[&str]) -> Output {
    command(program, folder)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("it was run before")
}

/// Writes the shipped configuration into a folder. Only where things are is another than it says.
///
/// # Panics
/// Where an edit is of nothing.
pub fn configure(folder: &Path, listen: SocketAddr, gateways: &[SocketAddr], edits: &[Edit]) {
    let here = folder.to_str().expect("a scratch directory has a plain name");
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = kinds.map(|kind| format!("{kind}_temp_path {here}/{kind};")).join(" ");
    let moved = [
        ("/run/", format!("{here}/")),
        ("/var/log/nginx/", format!("{here}/")),
        ("/var/lib/nginx/", format!("{here}/")),
        ("/var/lib/seckill/", format!("{here}/")),
        ("\nhttp {", format!("\nhttp {{ {temporary}")),
        (LISTEN, format!("listen {listen} ")),
    ];
    let mut used = vec![false; edits.len()];
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nginx");
    for file in fs::read_dir(shipped).expect("the configuration is there") {
        let file = file.expect("its folder can be read");
        let mut text = fs::read_to_string(file.path()).expect("a file of it is text");
        for ((from, to), used) in edits.iter().zip(&mut used) {
            *used |= text.contains(from);
            text = text.replace(from, to);
        }
        // Behind the edits: what they put there is moved, too.
        for (from, to) in &moved {
            text = text.replace(from, to);
        }
        let lines = text.lines().flat_map(|line| {
            let is_gateway = line.contains(GATEWAY);
            let gateways = gateways.iter().filter(move |_| is_gateway);
            let mut lines: Vec<String> =
                gateways.map(|gateway| line.replace(GATEWAY, &gateway.to_string())).collect();
            if !is_gateway {
                lines.push(line.to_owned());
            }
            lines
        });
        let lines: Vec<String> = lines.collect();
        fs::write(folder.join(file.file_name()), lines.join("\n")).expect("the folder is there");
    }
    assert!(used.iter().all(|used| *used), "an edit of nothing: {edits:?} {used:?}");
}
