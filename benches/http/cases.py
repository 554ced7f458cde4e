"""What is asked of which server: each case names its server, its activity, its tokens, and the answer that it must get."""

import contextlib
import itertools
import shutil
from dataclasses import dataclass, field
from typing import Callable

import sale
import servers
from load import Load, Slice, buy, call, cpus_beside, place_order, wrk
from servers import Server, Unmeasurable

# These buyers reach their limit before the case that refuses them is measured.
LIMITED_BUYERS = 10_000
LIMITED_LOAD_SECONDS = 2
# A refused buyer comes again; so many are enough to keep their tokens out of every cache.
REFUSED_BUYERS = 100_000


@dataclass(frozen=True)
class Stage:
    """What all rounds share: the options, and what was made ahead."""

    options: object
    tokens: object
    peer_tokens: object
    data: object
    page: bytes


@dataclass
class Case:
    name: str
    server: Server
    answer: tuple
    activity: Callable[[], object]
    tokens: object = None
    warm: Slice = Slice(0, REFUSED_BUYERS, once=False)
    part: Slice = Slice(0, REFUSED_BUYERS, once=False)
    alone: bool = field(default=False)  # also measured with one connection
    stocked: Callable[[object], int] = None  # units that the server may sell; only of a buy at the gateway
    fault: Callable[[object], object] = contextlib.nullcontext  # what is wrong while it is measured
    follower: Server = None  # what the server tells of it; its CPU is no part of a request

    def url(self, activity):
        path = f"/activities/{activity}" if self.tokens is None else f"/api/v1/activities/{activity}/orders"
        return f"http://127.0.0.1:{self.server.port}{path}"

    def press(self, activity, load, part, word):
        if self.tokens is None:
            return wrk(self.url(activity), "page.lua", load)
        return buy(self.url(activity), load, self.tokens, part, word)

    def rehearse(self, activity):
        """One request by hand shows that the case is what its name says."""
        if self.tokens is None:
            answer = (call(self.server.port, "GET", f"/activities/{activity}", Accept_Encoding="br")[0], None)
        else:
            with open(self.tokens) as file:
                token = file.readline().strip()
            answer = place_order(self.server.port, activity, token, "rehearsal")
        if answer != self.answer:
            raise Unmeasurable(f"{self.name}: {self.server.name} should answer {self.answer}, but answered {answer}")


def open_cases(stack, stage, names, cores, directory):
    """Starts the named servers for as long as `stack` is open; returns their cases."""
    return [case for name in names for case in CASES_OF[name](stack, stage, cores, directory / name)]


def hello_cases(stack, stage, cores, directory):
    server = stack.enter_context(servers.hello(stage.options.hello, cores, directory))
    return [Case("hello", server, (200, None), lambda: 1, stage.tokens, alone=True)]


def nginx_lua_cases(stack, stage, cores, directory):
    server = stack.enter_context(servers.nginx_lua(cores, directory))
    numbers = itertools.count(1)

    def open_activity():
        activity = next(numbers)
        sale.stock_peer(directory / "redis.sock", activity)
        return activity

    warm, part = buyer_slices(stage)
    return [Case("nginx-lua", server, (202, None), open_activity, stage.peer_tokens, warm, part)]


def nginx_static_cases(stack, stage, cores, directory):
    server = stack.enter_context(servers.nginx_static(cores, directory, "/activities/1", stage.page))
    return [Case("nginx-static", server, (200, None), lambda: 1)]


def gateway_cases(stack, stage, cores, directory):
    data = directory / "data"
    shutil.copytree(stage.data, data)
    server = stack.enter_context(servers.gateway(stage.options.gateway, cores, directory, data))
    operator = sale.Operator(server.port)
    sold_out = operator.sold_out_activity()
    not_started = operator.publish("Not started")
    limited = operator.open_activity("Limited")
    fill(server, limited, stage.tokens, cores)

    few = Slice(0, LIMITED_BUYERS, once=False)
    return [
        buy_case("buy", server, operator, stage, stocked=lambda _: sale.STOCK, alone=True),
        Case("sold-out", server, (409, "sold-out"), lambda: sold_out, stage.tokens),
        Case("not-started", server, (409, "not-started"), lambda: not_started, stage.tokens),
        Case("limit-reached", server, (409, "limit-reached"), lambda: limited, stage.tokens, few, few),
        Case("page", server, (200, None), lambda: not_started),
    ]


def buy_case(name, server, operator, stage, stocked, **more):
    def open_activity():
        activity = operator.open_activity(name)
        stocked(activity)  # units are lent before anybody buys
        return activity

    warm, part = buyer_slices(stage)
    return Case(name, server, (202, None), open_activity, stage.tokens, warm, part, stocked=stocked, **more)


def shared_gateway_cases(stack, stage, cores, directory):
    """A gateway that others may stand beside; with Redis or the store away it sells what it was lent."""
    data = directory / "data"
    shutil.copytree(stage.data, data)
    redis, store = stack.enter_context(servers.redis(directory / "redis")), data / "store.db"
    sharing = servers.sharing(0, redis, store)
    server = stack.enter_context(servers.gateway(stage.options.gateway, cores, directory, data, **sharing))
    operator = sale.Operator(server.port)

    def lent(activity):
        return sale.lent(server, activity)

    def case(name, fault):
        @contextlib.contextmanager
        def until_recovered(activity):
            with fault():
                yield
            lent(activity)

        return buy_case(name, server, operator, stage, stocked=lent, fault=until_recovered, follower=redis)

    return [
        case("buy-shared", contextlib.nullcontext),
        case("redis-stopped", redis.standing_still),
        case("redis-killed", redis.away),
        case("store-stalled", lambda: servers.stalled(store)),
    ]


def buyer_slices(stage):
    """Buyers who get an order are used up: a quarter of the time is warming, so a quarter of them warms."""
    users = stage.options.tokens
    warm = users // 4
    return Slice(0, warm, once=True), Slice(warm, users - warm, once=True)


def fill(server, activity, tokens, cores):
    """Brings the first buyers to the limit of one activity."""
    url = f"http://127.0.0.1:{server.port}/api/v1/activities/{activity}/orders"
    load = Load(256, LIMITED_LOAD_SECONDS, cpus_beside(cores))
    buy(url, load, tokens, Slice(0, LIMITED_BUYERS, once=False), "fill")


CASES_OF = {
    "hello": hello_cases,
    "gateway": gateway_cases,
    "gateway-shared": shared_gateway_cases,
    "nginx-lua": nginx_lua_cases,
    "nginx-static": nginx_static_cases,
}
