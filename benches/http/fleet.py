#!/usr/bin/env python3
"""Three gateways that share one sale sell all of it; prints how often they asked Redis for that. A benchmark, never a test."""

import argparse
import concurrent.futures
import contextlib
import os
import time

import program
import sale
import servers
from load import Load, Slice, buy
from servers import Unmeasurable

GATEWAYS = 3
CONNECTIONS = 64
ROUND_TRIPS_MAX = 1_000
SELL_SECONDS_MAX, CONFIRM_SECONDS_MAX = 120, 300


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=100_000, help="of the sale (default 100000)")
    program.run(parser, sell, text)


def sell(options, scratch):
    servers.require("wrk", "taskset", "redis-server", options.gateway)
    with contextlib.ExitStack() as stack:
        redis, fleet, tokens = open_fleet(stack, options, scratch)
        activity = sale.Operator(fleet[0].port).open_activity("Fleet", options.units)
        for server in fleet:
            sale.lent(server, activity)
        asked, began = calls(redis), time.monotonic()
        cpu, redis_cpu = cpu_seconds(fleet), redis.cpu_seconds()
        press_until_sold(redis, fleet, activity, tokens, options.units)
        sold, sold_seconds = calls(redis) - asked, time.monotonic() - began
        program.wait_until(lambda: placed(redis, activity) == options.units, CONFIRM_SECONDS_MAX, "every order is confirmed")
        return {
            "units": options.units,
            "gateways": GATEWAYS,
            "calls_until_sold": sold,
            "calls_until_confirmed": calls(redis) - asked,
            "seconds_until_sold": sold_seconds,
            "seconds_until_confirmed": time.monotonic() - began,
            "gateways_cpu_us": (cpu_seconds(fleet) - cpu) / options.units * 1e6,
            "redis_cpu_us": (redis.cpu_seconds() - redis_cpu) / options.units * 1e6,
        }


def open_fleet(stack, options, scratch):
    redis, store = stack.enter_context(servers.redis(scratch / "redis")), scratch / "store.db"
    tokens, fleet = scratch / "tokens", []
    shoppers = shoppers_for(options.units)
    sale.prepare(options.gateway, scratch / "0", tokens, shoppers, SECKILL_STORE_URL=f"sqlite:{store}")
    for number in range(GATEWAYS):
        sharing = servers.sharing(number, redis, store)
        directory = scratch / f"gateway-{number}"
        fleet.append(stack.enter_context(servers.gateway(options.gateway, 1, directory, scratch / str(number), **sharing)))
    return redis, fleet, tokens


def press_until_sold(redis, fleet, activity, tokens, units):
    """Each gateway's crowd comes second by second, one after the other, and then from the first again with the key of
    before: who has an order is shown it, who was sent away may be served by now."""
    shoppers = shoppers_for(units) // GATEWAYS
    load = Load(CONNECTIONS, 1, tuple(sorted(os.sched_getaffinity(0))))
    deadline, done = time.monotonic() + SELL_SECONDS_MAX, [0] * GATEWAYS

    def press(number):
        url = f"http://127.0.0.1:{fleet[number].port}/api/v1/activities/{activity}/orders"
        part = Slice(number * shoppers + done[number], shoppers - done[number], once=False)
        done[number] = (done[number] + buy(url, load, tokens, part, "fleet")["requests"]) % shoppers

    with concurrent.futures.ThreadPoolExecutor(GATEWAYS) as pool:
        while not is_sold(redis, fleet, activity, units):
            if time.monotonic() > deadline:
                raise Unmeasurable(f"{units} units were not sold within {SELL_SECONDS_MAX} s")
            list(pool.map(press, range(GATEWAYS)))


def shoppers_for(units):
    """A third more than there are units: somebody asks at each gateway until nothing is left there."""
    return units * 4 // 3


def is_sold(redis, fleet, activity, units):
    free = [sale.state(server.port, activity)["remaining"] for server in fleet]
    return not any(free) and int(lease_hash(redis, activity)["leased"]) == units


def calls(redis):
    """Calls of the functions so far. With one sale a round trip carries one."""
    stats = (line for line in redis.ask("INFO", "commandstats") if line.startswith("cmdstat_fcall"))
    return sum(int(line.partition("calls=")[2].partition(",")[0]) for line in stats)


def lease_hash(redis, activity):
    texts = [line for line in redis.ask("HGETALL", f"seckill:lease:{activity}") if not line.startswith(("$", "*"))]
    return dict(zip(texts[::2], texts[1::2]))


def placed(redis, activity):
    """Units of confirmed orders: the fourth word of each gateway's record."""
    records = (value for field, value in lease_hash(redis, activity).items() if field.startswith("g:"))
    return sum(int(record.split()[3]) for record in records)


def cpu_seconds(fleet):
    return sum(server.cpu_seconds() for server in fleet)


def text(result):
    met = "met" if result["calls_until_confirmed"] < ROUND_TRIPS_MAX else "MISSED"
    return "\n".join(
        [
            f"{result['gateways']} gateways sold {result['units']} units in {result['seconds_until_sold']:.1f} s, "
            f"and all orders were confirmed after {result['seconds_until_confirmed']:.1f} s",
            f"round trips to Redis: {result['calls_until_sold']} until all was sold, "
            f"{result['calls_until_confirmed']} until all was confirmed; fewer than {ROUND_TRIPS_MAX}: {met}",
            f"CPU per unit: gateways {result['gateways_cpu_us']:.1f} µs, Redis {result['redis_cpu_us']:.1f} µs",
        ]
    )


if __name__ == "__main__":
    main()
