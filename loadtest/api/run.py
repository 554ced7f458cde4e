"""The API held against its own document by a fuzzer: a gateway with a demo sale, then one run for each role.

Usage: run.py GATEWAY SCHEMATHESIS. Both are programs. Nothing here knows a call by what it does; that a call ends the
session it is made with has to be known, or all that follow would be made by nobody.
"""

import contextlib
import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import urllib.request

SEED = 20261127
EXAMPLES = 12
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30
RUN_SECONDS_MAX = 300
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "response_headers_conformance,unsupported_method,allow_header_conformance,ignored_auth"
)
# The calls after which a token works no more.
ENDS_SESSION = ("signOut", "signOutEverywhere")


class Gateway:
    """A gateway with a demo sale, on ports and data of its own; both go with it."""

    def __init__(self, binary, directory):
        self.log = open(directory / "gateway.log", "wb")
        self.data = directory / "data"
        self.binary = binary
        listen = ["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--cores", "1"]
        self.process = subprocess.Popen(
            [binary, "serve", "--demo", *listen, "--data", self.data],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("SECKILL_")},
            start_new_session=True,
        )
        self.passwords, self.address, self.operations = {}, None, None

    def __enter__(self):
        with within(START_SECONDS_MAX, "the gateway does not start"):
            for line in self.process.stdout:
                if account := re.match(r"demo account (\S+) +password (\S+)", line):
                    self.passwords[account[1]] = account[2]
                elif line.startswith("operations on "):
                    self.operations = line.split()[-1]
                elif line.startswith("ready on "):
                    self.address = line.split()[-1]
                    return self
        raise SystemExit(f"the gateway does not start; see {self.log.name}")

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()

    def create(self, name, role):
        """An account that the demo has not."""
        self.passwords[name] = secrets.token_urlsafe(16)
        command = [self.binary, "user", "create", "--data", self.data, "--username", name, "--role", role]
        subprocess.run(command, input=self.passwords[name], text=True, check=True, stdout=subprocess.DEVNULL)

    def sign_in(self, name):
        body = json.dumps({"username": name, "password": self.passwords[name]}).encode()
        request = urllib.request.Request(
            f"{self.address}/api/v1/sessions", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=START_SECONDS_MAX) as answer:
            return json.load(answer)["token"]

    def stop(self):
        """Ends it and looks at what it leaves: it ends well, without a panic, and its books balance."""
        with urllib.request.urlopen(f"{self.operations}/metrics", timeout=START_SECONDS_MAX) as answer:
            metrics = answer.read().decode()
        panics = re.search(r"^seckill_http_panics_total\S* [^0]", metrics, re.MULTILINE)
        assert panics is None, f"a handler panicked: {panics and panics.string[panics.start():][:80]}"
        self.process.terminate()
        assert self.process.wait(STOP_SECONDS_MAX) == 0, f"it did not end well; see {self.log.name}"
        subprocess.run([self.binary, "audit", "--data", self.data], check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def within(seconds, what):
    def late(*_):
        raise SystemExit(what)

    signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def fuzz(schemathesis, gateway, name, *options):
    """One run as this account: its exit code, and how many links from one call's answer to the next it went."""
    token = gateway.sign_in(name)
    print(f"as {name} {' '.join(options)}".rstrip(), flush=True)
    command = [schemathesis, "--no-color", "run", f"{gateway.address}/api/v1/openapi.json"]
    command += ["--checks", CHECKS, "--seed", str(SEED), "--max-examples", str(EXAMPLES)]
    command += ["--generation-database", "none"]
    command += ["--header", f"Authorization: Bearer {token}", *options]
    run = subprocess.run(
        command, timeout=RUN_SECONDS_MAX, cwd=gateway.data.parent, stdout=subprocess.PIPE, text=True
    )
    print(run.stdout, flush=True)
    links = re.search(r"API Links: +(\d+) covered", run.stdout)
    return run.returncode, int(links[1]) if links else 0


def main(binary, schemathesis):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    binary, schemathesis = pathlib.Path(binary).resolve(), pathlib.Path(schemathesis).absolute()
    kept = [word for call in ENDS_SESSION for word in ("--exclude-operation-id", call)]
    ended = [word for call in ENDS_SESSION for word in ("--include-operation-id", call)]
    with tempfile.TemporaryDirectory(prefix="seckill-api-") as directory:
        with Gateway(binary, pathlib.Path(directory)) as gateway:
            gateway.create("root", "admin")
            runs = [
                fuzz(schemathesis, gateway, "ada", *kept, "--exclude-path-regex", "/admin/"),
                fuzz(schemathesis, gateway, "operator", *kept),
            ]
            assert all(links > 0 for _, links in runs), f"a run went from no answer to the next call: {runs}"
            runs += [
                fuzz(schemathesis, gateway, "root", "--include-path-regex", "/admin/users"),
                fuzz(schemathesis, gateway, "grace", *ended),
            ]
            gateway.stop()
    sys.exit(max(code for code, _ in runs))


if __name__ == "__main__":
    main(*sys.argv[1:])
