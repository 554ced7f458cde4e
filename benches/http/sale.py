"""The gateway's sales, made through its own door: what an operator would do before the buyers come.

Nothing here knows how a server is measured.
"""

import base64
import hmac
import socket
import subprocess
import time
from datetime import datetime, timedelta, timezone

from load import Unmeasurable, call, call_json, place_order
from servers import SECRET, environment

ADMIN, PASSWORD = "bench-admin", "a password for a bench alone"
STOCK = 100_000_000
DAY = timedelta(days=1)
LIVE_SECONDS_MAX = 30
LENT_SECONDS_MAX = 60
# The state that a gateway shows may be a second old.
COUNT_SECONDS_MAX = 5
# nginx-lua/buy.lua checks its tokens with the same word.
PEER_SECRET = b"a word that both sides know"


def prepare(binary, data, tokens, users, **variables):
    """Makes a data directory with one administrator and `users` shoppers, and the file of their tokens."""
    create = [binary, "user", "create", "--data", data, "--username", ADMIN, "--role", "admin"]
    run(create, SECKILL_PASSWORD=PASSWORD, SECKILL_SECRET=SECRET, **variables)
    run([binary, "tokens", "--data", data, "--users", users, "--out", tokens], SECKILL_SECRET=SECRET, **variables)


def run(command, **variables):
    command = [str(word) for word in command]
    done = subprocess.run(command, env=environment(**variables), capture_output=True, text=True)
    if done.returncode:
        raise Unmeasurable(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-1000:]}")


def write_peer_tokens(path, users):
    """Tokens of the gateway's shape for nginx-lua, which signs them with what its Lua module has."""
    with open(path, "w") as file:
        for user in map(str, range(1, users + 1)):
            mac = hmac.digest(PEER_SECRET, user.encode(), "sha1")
            file.write(f"{user}.{base64.b64encode(mac).decode().rstrip('=')}\n")


def stock_peer(redis_socket, activity):
    """Gives nginx-lua's Redis the units of one activity."""
    with socket.socket(socket.AF_UNIX) as redis:
        redis.connect(str(redis_socket))
        redis.sendall(f"SET stock:{activity} {STOCK}\r\n".encode())
        if redis.recv(64) != b"+OK\r\n":
            raise Unmeasurable("Redis took no stock")


class Operator:
    """An administrator signed in to the gateway on a port."""

    def __init__(self, port):
        self.port = port
        session = call_json(port, "POST", "/api/v1/sessions", {"username": ADMIN, "password": PASSWORD})
        self.token = session["token"]

    def post(self, path, body=None):
        return call_json(self.port, "POST", path, body, Authorization=f"Bearer {self.token}")

    def open_activity(self, title, stock=STOCK):
        """Returns the id of an activity that sells one unit to each buyer and sells now."""
        activity = self.publish(title, stock, starts_in=timedelta(seconds=1))
        deadline = time.monotonic() + LIVE_SECONDS_MAX
        while state(self.port, activity)["phase"] != "live":
            if time.monotonic() > deadline:
                raise Unmeasurable(f"the activity {title} did not open within {LIVE_SECONDS_MAX} s")
            time.sleep(0.1)
        return activity

    def publish(self, title, stock=STOCK, starts_in=DAY):
        starts_at = datetime.now(timezone.utc) + starts_in
        price = {"amount": 19900, "currency": "USD"}
        product = {"title": title, "description": "Sold to a load generator.", "price": price, "stock": stock}
        terms = {
            "title": title,
            "product_id": self.post("/api/v1/admin/products", product)["id"],
            "sale_price": {"amount": 9900, "currency": "USD"},
            "stock_total": stock,
            "per_user_limit": 1,
            "pay_within_seconds": int(DAY.total_seconds()),
            "starts_at": instant(starts_at),
            "ends_at": instant(starts_at + DAY),
        }
        activity = self.post("/api/v1/admin/activities", terms)["id"]
        self.post(f"/api/v1/admin/activities/{activity}/publish")
        return activity

    def sold_out_activity(self):
        """The operator buys the only unit, so that to every shopper it is sold out, and to none a limit."""
        activity = self.open_activity("Sold out", stock=1)
        status, slug = place_order(self.port, activity, self.token, "the-only-unit")
        if status != 202:
            raise Unmeasurable(f"the only unit could not be bought: {status} {slug}")
        return activity


def state(port, activity):
    return call_json(port, "GET", f"/api/v1/activities/{activity}/state")


def instant(when):
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03}Z"


def figure(server, name, activity=None):
    """A figure from a gateway's metrics, of an activity or of all; none while it has none."""
    _, text = call(server.operations_port, "GET", "/metrics")
    head = f'{name}{{activity="{activity}"}} ' if activity else f"{name} "
    lines = (line for line in text.decode().splitlines() if line.startswith(head))
    return next((int(line.removeprefix(head)) for line in lines), None)


def lent(server, activity):
    """Waits until a gateway may sell units of a shared activity, and is confirmed its orders; how many units."""
    deadline = time.monotonic() + LENT_SECONDS_MAX
    while not (figure(server, "seckill_lease_live", activity) and figure(server, "seckill_lease_units", activity)):
        if time.monotonic() > deadline:
            raise Unmeasurable(f"no unit of activity {activity} was lent within {LENT_SECONDS_MAX} s")
        time.sleep(0.1)
    return figure(server, "seckill_lease_units", activity)


def check_units(port, activity, stocked, bought, doubt):
    """The gateway's own count must be the buyers'; `doubt` is how many requests ended with a run, unanswered."""
    deadline = time.monotonic() + COUNT_SECONDS_MAX
    while abs((gone := stocked - state(port, activity)["remaining"]) - bought) > doubt:
        if time.monotonic() > deadline:
            raise Unmeasurable(f"{bought} buys were accepted (give or take {doubt}), but {gone} units are gone")
        time.sleep(0.2)
