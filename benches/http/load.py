"""The buyers' side: wrk, and single requests. Nothing here knows which server it meets."""

import http.client
import json
import os
import pathlib
import subprocess
from dataclasses import dataclass

from servers import Unmeasurable

SCRIPTS = pathlib.Path(__file__).resolve().parent / "wrk"
WRK_THREADS_MAX = 4


@dataclass(frozen=True)
class Load:
    """How wrk presses, and on which CPUs it runs; with a pause, not as fast as it can."""

    connections: int
    seconds: int
    cpus: tuple
    pause_ms: int = 0

    @property
    def threads(self):
        return min(self.connections, len(self.cpus), WRK_THREADS_MAX)


@dataclass(frozen=True)
class Slice:
    """The lines of the tokens file that one run may use; with `once` the run ends early where they run out."""

    first: int
    count: int
    once: bool


def cpus_of(cores):
    """The CPUs of a server's first `cores`."""
    return tuple(sorted(os.sched_getaffinity(0))[:cores])


def cpus_beside(cores):
    """The CPUs that a server on the first `cores` leaves to wrk; all of them where it leaves none."""
    every = sorted(os.sched_getaffinity(0))
    return tuple(every[cores:] or every)


def wrk(url, script, load, *arguments):
    """Runs wrk once; returns what wrk/report.lua says of the run, and whether the tokens ran out."""
    how = [f"-t{load.threads}", f"-c{load.connections}", f"-d{load.seconds}s", "--timeout", "10s", "-s", script]
    pinned = ["taskset", "-c", ",".join(map(str, load.cpus))]
    command = [*pinned, "wrk", *how, url, "--", *map(str, arguments)]
    run = subprocess.run(command, cwd=SCRIPTS, capture_output=True, text=True)
    last = (run.stdout.strip().splitlines() or [""])[-1]
    if run.returncode or not last.startswith("{"):
        raise Unmeasurable(f"wrk could not run {script}: {run.stdout[-500:]}{run.stderr[-500:]}")
    return json.loads(last) | {"exhausted": "tokens ran out" in run.stdout}


def buy(url, load, tokens, part, word):
    """Buyers with the tokens of one slice; `word` makes the run's idempotency keys its own."""
    mode = "once" if part.once else "cycle"
    return wrk(url, "buy.lua", load, tokens, part.first, part.count, load.threads, word, mode, load.pause_ms)


def call(port, method, path, body=None, **headers):
    """One request; returns the status and the body's bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            body, names["Content-Type"] = json.dumps(body, separators=(",", ":")), "application/json"
        connection.request(method, path, body, names)
        response = connection.getresponse()
        return response.status, response.read()
    except OSError as fault:
        raise Unmeasurable(f"{method} {path} was not answered: {fault}") from fault
    finally:
        connection.close()


def call_json(port, method, path, body=None, **headers):
    """One request that must succeed; returns its JSON."""
    status, answer = call(port, method, path, body, **headers)
    if status >= 300:
        raise Unmeasurable(f"{method} {path} was answered {status}: {answer[:500].decode(errors='replace')}")
    return json.loads(answer)


def place_order(port, activity, token, key):
    """One buy, of the bytes that wrk/buy.lua sends; returns the status and, of a refusal, the slug."""
    path = f"/api/v1/activities/{activity}/orders"
    status, answer = call(
        port, "POST", path, {"quantity": 1}, Authorization=f"Bearer {token}", Idempotency_Key=key
    )
    slug = json.loads(answer)["type"].rpartition(":")[2] if status >= 400 else None
    return status, slug
