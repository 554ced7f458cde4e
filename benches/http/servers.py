"""The servers that are held against each other: how each is started, what CPU it has used, how it is ended.

Nothing here knows what is asked of a server, or what its answers mean.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30
IDLE_SECONDS_MAX = 120
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# What gateways that share a sale have in common; one that is alone has it too, so that all know the same tokens.
SECRET = "a secret for a bench alone, and for no shop"


class Unmeasurable(Exception):
    """What stands in the way of a figure, in a sentence for the person who runs this."""


class Server:
    """The processes behind one port, each leading a group, so that its children are counted and ended with it."""

    def __init__(self, name, directory):
        self.name, self.port, self.directory = name, free_port(), directory
        self.operations_port = free_port()
        self.processes = []
        directory.mkdir(parents=True, exist_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def spawn(self, *command, **variables):
        with open(self.directory / f"{pathlib.Path(command[0]).name}.log", "ab") as log:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(**variables),
                start_new_session=True,
            )
        self.processes.append(process)

    def wait_until(self, ready):
        deadline = time.monotonic() + START_SECONDS_MAX
        while not ready():
            gone = [process for process in self.processes if process.poll() is not None]
            if gone or time.monotonic() > deadline:
                raise Unmeasurable(f"{self.name} did not start:\n{self.last_words()}")
            time.sleep(0.05)

    def last_words(self):
        return "\n".join(log.read_text(errors="replace")[-2000:] for log in self.directory.glob("*.log"))

    def stop(self):
        for process in self.processes:
            kill(process, signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                pass
            # A child may outlive the leader of its group; none outlives this.
            kill(process, signal.SIGKILL)
            process.wait()

    def cpu_seconds(self):
        """User and system time of every process so far, with that of children which have ended."""
        return sum(sum(stat[11:15]) for _, stat in self.stats("stat")) / TICKS_PER_SECOND

    def kernel_seconds(self):
        """The part of it that the kernel used: sockets and disk."""
        return sum(stat[12] + stat[14] for _, stat in self.stats("stat")) / TICKS_PER_SECOND

    def cpu_seconds_by_thread(self):
        """The same for the threads that live, by their names."""
        seconds = Counter()
        for name, stat in self.stats("task/*/stat"):
            seconds[name] += sum(stat[11:13]) / TICKS_PER_SECOND
        return seconds

    def stats(self, pattern):
        groups = {process.pid for process in self.processes}
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.getpgid(int(process.name)) in groups:
                    yield from [stat_of(path) for path in process.glob(pattern)]

    def settle(self):
        """Waits until the server is idle, so that no work it put off is charged to the next; returns the CPU it used."""
        start = last = self.cpu_seconds()
        deadline = time.monotonic() + IDLE_SECONDS_MAX
        while time.monotonic() < deadline:
            time.sleep(0.5)
            now = self.cpu_seconds()
            if now - last <= 1 / TICKS_PER_SECOND:
                return now - start
            last = now
        raise Unmeasurable(f"{self.name} was still busy {IDLE_SECONDS_MAX} s after its last request")


def stat_of(path):
    """The name, and the fields from the third on as numbers; a name may hold spaces, so it is cut out first."""
    head, _, tail = path.read_text().rpartition(")")
    return head.partition("(")[2], [int(field) for field in ["0"] + tail.split()[1:]]


def kill(process, number):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def environment(**more):
    """This one without the gateway's own variables: a figure must not depend on who asks for it."""
    return {key: value for key, value in os.environ.items() if not key.startswith("SECKILL_")} | more


def require(*programs):
    for program in map(str, programs):
        if not shutil.which(program):
            raise Unmeasurable(f"{program} is not there: see benches/README.md for what to install and to build")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port, path="/"):
    """Whether there is a server on the port at all, and none of its answers is a fault of its own."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


@contextlib.contextmanager
def hello(binary, cores, directory):
    with Server("hello", directory) as server:
        server.spawn(binary, "--listen", f"127.0.0.1:{server.port}", "--cores", cores)
        server.wait_until(lambda: answers(server.port))
        yield server


@contextlib.contextmanager
def gateway(binary, cores, directory, data, **variables):
    with Server("gateway", directory) as server:
        listen, ops_listen = f"127.0.0.1:{server.port}", f"127.0.0.1:{server.operations_port}"
        command = [binary, "serve", "--data", data, "--listen", listen, "--ops-listen", ops_listen, "--cores", cores]
        server.spawn(*command, SECKILL_SECRET=SECRET, **variables)
        server.wait_until(lambda: answers(server.operations_port, "/readyz"))
        yield server


def sharing(number, redis, store):
    """What a gateway is told that shares its sales with others."""
    return {
        "SECKILL_GATEWAY_ID": str(number),
        "SECKILL_STORE_URL": f"sqlite:{store}",
        "SECKILL_REDIS_URL": f"redis+unix://{redis.socket}",
        "SECKILL_PEER_LISTEN": "127.0.0.1:0",
    }


class Redis(Server):
    """A Redis that keeps everything in memory, and may be away for a while."""

    def __init__(self, directory):
        super().__init__("redis", directory)
        self.socket = directory / "redis.sock"

    def start(self):
        memory_only = ["--port", 0, "--save", "", "--appendonly", "no"]
        self.spawn("redis-server", *memory_only, "--unixsocket", self.socket, "--dir", self.directory)
        self.wait_until(self.socket.exists)

    def ask(self, *words):
        """The lines of its answer to one command."""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.socket))
            client.sendall((" ".join(words) + "\r\nQUIT\r\n").encode())
            return client.makefile(newline="\r\n").read().split("\r\n")

    @contextlib.contextmanager
    def standing_still(self):
        """It takes connections, and says nothing."""
        kill(self.processes[-1], signal.SIGSTOP)
        try:
            yield
        finally:
            kill(self.processes[-1], signal.SIGCONT)

    @contextlib.contextmanager
    def away(self):
        """It dies, and comes back without anything."""
        gone = self.processes.pop()
        kill(gone, signal.SIGKILL)
        gone.wait()
        self.socket.unlink()
        try:
            yield
        finally:
            self.start()


@contextlib.contextmanager
def redis(directory):
    with Redis(directory) as server:
        server.start()
        yield server


@contextlib.contextmanager
def stalled(store):
    """Somebody else's transaction keeps everybody from writing to a store."""
    with contextlib.closing(sqlite3.connect(store, timeout=60)) as held:
        held.execute("BEGIN EXCLUSIVE")
        yield


@contextlib.contextmanager
def nginx_lua(cores, directory):
    with Server("nginx-lua", directory) as server:
        redis_socket = directory / "redis.sock"
        server.spawn("redis-server", HERE / "nginx-lua/redis.conf", "--unixsocket", redis_socket, "--dir", directory)
        spawn_nginx(server, cores, HERE / "nginx-lua")
        server.wait_until(lambda: redis_socket.exists() and answers(server.port))
        yield server


@contextlib.contextmanager
def nginx_static(cores, directory, path, body):
    page = directory / "html" / path.lstrip("/")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_bytes(body)
    with Server("nginx-static", directory) as server:
        spawn_nginx(server, cores, HERE / "nginx-static")
        server.wait_until(lambda: answers(server.port))
        yield server


def spawn_nginx(server, cores, source):
    configuration = (source / "nginx.conf").read_text()
    filled = {"port": server.port, "cores": cores, "scratch": server.directory, "here": source}
    for name, value in filled.items():
        configuration = configuration.replace(f"@{name}@", str(value))
    path = server.directory / "nginx.conf"
    path.write_text(configuration)
    server.spawn("nginx", "-p", server.directory, "-c", path)
