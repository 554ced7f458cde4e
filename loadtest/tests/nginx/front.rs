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
use seckill_loadtest::client::{Connection, Request, Response};
use seckill_loadtest::gateway::{Gateway, Scratch, Start};
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop::{self, Sale, Shop};
use socket2::{Domain, Socket, Type};

/// Where Debian has it, and where somebody else's `PATH` may have it.
const PLACES: [&str; 2] = ["/usr/sbin/nginx", "nginx"];
/// The line of `gateways.conf` that names one.
const GATEWAY: &str = "127.0.0.1:8080";
/// The line of `site.conf` that names the port.
const LISTEN: &str = "listen 80 ";
/// The key of tokens, which all gateways share.
pub(crate) const SECRET: &str = "the secret that both gateways have";

/// Two gateways behind a proxy on this machine. What one of them places, its number tells.
const STARTS: [Start; 2] = [
    Start {
        cores: 1,
        through: &[
            "env",
            "SECKILL_SECRET=the secret that both gateways have",
            "SECKILL_TRUSTED_PROXIES=127.0.0.1",
            "SECKILL_GATEWAY_ID=1",
        ],
    },
    Start {
        cores: 1,
        through: &[
            "env",
            "SECKILL_SECRET=the secret that both gateways have",
            "SECKILL_TRUSTED_PROXIES=127.0.0.1",
            "SECKILL_GATEWAY_ID=2",
        ],
    },
];

/// A piece of the shipped configuration, and what a test puts in its place.
pub(crate) type Edit = (&'static str, &'static str);

/// An nginx that runs; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Nginx {
    child: Child,
    address: SocketAddr,
    // Dropped behind the process, which is ended before.
    folder: Scratch,
}

/// The program; none where there is none, which is said.
pub(crate) fn program() -> Option<&'static str> {
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
    #[track_caller]
    pub(crate) fn start(gateways: &[SocketAddr], edits: &[Edit]) -> Option<Self> {
        let program = program()?;
        // The socket is made here and handed over, as nginx does it when it is replaced by a newer
        // one: so any free port will do, and nobody can take it in between.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        // As nginx makes its own: of two workers that wake up, the one that comes late must not stay
        // in accept for ever.
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
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
            .unwrap();
        Some(Self { child, address, folder })
    }

    /// Where shoppers are served.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it has its files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// One of its two logs, as far as it is written.
    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder().join(name)).unwrap_or_default()
    }

    /// Kills all its processes, as a power cut would: the workers outlive their first one.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        let first = Pid::from_child(&self.child);
        let number = first.as_raw_nonzero();
        let workers = fs::read_to_string(format!("/proc/{number}/task/{number}/children")).unwrap();
        let workers = workers.split_whitespace().map(|it| Pid::from_raw(it.parse().unwrap()));
        // The first one first: it would start others for workers that end.
        for process in [first].into_iter().chain(workers.map(Option::unwrap)) {
            kill_process(process, Signal::KILL).expect("nobody else has ended it");
        }
        self.child.wait().unwrap();
    }

    /// The answer to one request on a connection of its own, which may be one that no gateway
    /// documents.
    #[track_caller]
    pub(crate) fn answer(&self, request: &Request) -> Response {
        self.answer_to(&request.bytes())
    }

    /// The same for any bytes.
    #[track_caller]
    pub(crate) fn answer_to(&self, bytes: &[u8]) -> Response {
        let mut connection = Connection::open(self.address).unwrap();
        connection.send(bytes).unwrap();
        let answer = connection.receive(!bytes.starts_with(b"HEAD"));
        let shown = || bytes[..bytes.len().min(80)].escape_ascii().to_string();
        answer.unwrap_or_else(|error| panic!("{error}: {}", shown()))
    }

    /// A connection that comes from this address of the machine.
    pub(crate) fn from(&self, address: Ipv4Addr) -> Connection {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
        socket.connect(&self.address.into()).unwrap();
        Connection::over(socket.into()).unwrap()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM and not SIGKILL: the first process takes its workers with it. One that was killed
        // is gone.
        if self.child.try_wait().unwrap().is_none() {
            kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it runs");
        }
        until("nginx ends", GENEROUS, || self.child.try_wait().unwrap());
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
pub(crate) fn run(program: &str, folder: &Path, arguments: &[&str]) -> Output {
    command(program, folder).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Writes the shipped configuration into a folder. Only where things are is another than it says.
pub(crate) fn configure(
    folder: &Path,
    listen: SocketAddr,
    gateways: &[SocketAddr],
    edits: &[Edit],
) {
    let here = folder.to_str().unwrap();
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
    for file in fs::read_dir(shipped).unwrap().map(Result::unwrap) {
        let mut text = fs::read_to_string(file.path()).unwrap();
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
        fs::write(folder.join(file.file_name()), lines.join("\n")).unwrap();
    }
    assert!(used.iter().all(|used| *used), "an edit of nothing: {edits:?} {used:?}");
}

/// Stops a gateway in the middle of whatever it does. A signal reaches its threads one by one, and
/// one that still runs would answer.
#[track_caller]
pub(crate) fn stop(gateway: &Gateway) {
    kill_process(gateway.pid(), Signal::STOP).unwrap();
    let threads = format!("/proc/{}/task", gateway.pid().as_raw_nonzero());
    until("all its threads have stopped", GENEROUS, || {
        let is_stopped = |thread: fs::DirEntry| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
        };
        fs::read_dir(&threads).unwrap().map(Result::unwrap).all(is_stopped).then_some(())
    });
}

/// Lets it go on.
pub(crate) fn go_on(gateway: &Gateway) {
    kill_process(gateway.pid(), Signal::CONT).unwrap();
}

/// Two gateways with one sale and the same shoppers, and nginx before them.
pub(crate) struct Fleet {
    // Dropped in this order: nginx would only log that gateways are gone.
    pub(crate) nginx: Nginx,
    pub(crate) gateways: [Gateway; 2],
    pub(crate) activity: String,
    /// A token for each shopper.
    pub(crate) tokens: Vec<String>,
}

impl Fleet {
    #[track_caller]
    pub(crate) fn start(edits: &[Edit]) -> Option<Self> {
        program()?;
        let gateways = STARTS.map(Gateway::start);
        let sales = gateways
            .each_ref()
            .map(|gateway| Shop::open(gateway).sale(Sale { limit: 5, ..Sale::of(1_000) }));
        assert_eq!(sales[0], sales[1], "one sale, as shoppers see it");
        let nginx = Nginx::start(&gateways.each_ref().map(Gateway::address), edits)?;
        let out = gateways[0].data().join("tokens");
        let words = ["tokens", "--users", "32", "--out", out.to_str().unwrap()];
        gateways[0].run_with(&words, &[("SECKILL_SECRET", SECRET)]).expect(0);
        let tokens = fs::read_to_string(out).unwrap().lines().map(str::to_owned).collect();
        let [activity, _] = sales;
        Some(Self { nginx, gateways, activity, tokens })
    }

    /// The number of the gateway that placed an order, from its id.
    pub(crate) fn placed_by(order: &str) -> usize {
        usize::try_from(order.parse::<u64>().unwrap() >> 53).unwrap()
    }

    /// What somebody's buy is answered with, through nginx.
    #[track_caller]
    pub(crate) fn buy(&self, token: &str, key: &str) -> Response {
        self.nginx.answer(&shop::buy(&self.activity, key, 1).token(token))
    }

    /// Where somebody's orders are placed: 0 or 1.
    #[track_caller]
    pub(crate) fn home(&self, token: &str) -> usize {
        let order = self.buy(token, "home").expect(202).json();
        Self::placed_by(&shop::id_of(&order)) - 1
    }

    /// A shopper of each gateway.
    #[track_caller]
    pub(crate) fn one_of_each(&self) -> [String; 2] {
        [0, 1].map(|home| {
            let mut tokens = self.tokens.iter();
            let found = tokens.find(|token| self.home(token) == home);
            found.expect("32 shoppers are not all of one gateway").clone()
        })
    }
}
