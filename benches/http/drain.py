#!/usr/bin/env python3
"""How fast the flush takes a backlog away while a crowd goes on buying, beside the same while nobody buys.

The store stands still while a crowd buys as fast as it can; then it is let go. The crowd that goes on is on the
CPU of the core that it buys from, so that the flush has one to itself. Each backlog is a new gateway's: what is in
memory, and what checkpoints read, is the same in all. A benchmark, never a test.
"""

import argparse
import concurrent.futures
import shutil
import statistics
import time

import program
import sale
import servers
from load import Load, Slice, buy, cpus_beside, cpus_of
from servers import Unmeasurable

CONNECTIONS = 64
# The crowd comes before the store is let go, and stays until the backlog is gone.
CROWD, CROWD_SECONDS, COME_SECONDS_MAX, DRAIN_SECONDS_MAX = 200_000, 20, 30, 120
# Records of a full batch (store::flush::BATCH_ROWS); behind the last one the flush rests.
BATCH_RECORDS = 32_768
# Threads that have no part in the flush; they never end, and others that do are in the sum of all.
OTHER_THREADS = ("core-", "journal", "keeper")
RATIO_MIN = 0.9


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="backlogs of each kind, which take turns (default 5)")
    parser.add_argument("--pause", type=int, default=10, help="ms between an answer and the connection's next buy (default 10)")
    parser.add_argument("--seconds", type=int, default=8, help="of buying that make a backlog (default 8)")
    parser.add_argument("--tokens", type=int, default=800_000, help="buyers of a backlog, at most (default 800000)")
    program.run(parser, measure, text)


def measure(options, scratch):
    servers.require("wrk", "taskset", options.gateway)
    data, tokens = scratch / "data", scratch / "tokens"
    sale.prepare(options.gateway, data, tokens, options.tokens + CROWD)
    rounds = []
    for number in range(options.rounds):
        turns = [Drain.alone, Drain.beside_a_crowd]
        done = [in_turn(turn, data, tokens, options, scratch) for turn in (turns if number % 2 else turns[::-1])]
        rounds.append({name: figure for figures in done for name, figure in figures.items()})
    return {"rounds": rounds, "connections": CONNECTIONS, "pause_ms": options.pause}


def in_turn(turn, data, tokens, options, scratch):
    """The figures of one backlog, on a copy of the data directory."""
    copy = scratch / "turn"
    shutil.copytree(data, copy)
    try:
        with servers.gateway(options.gateway, 1, scratch / "gateway", copy) as server:
            return turn(Drain(server, copy / "store.db", tokens, options))
    finally:
        shutil.rmtree(copy)


class Drain:
    """A gateway whose store falls behind and comes back."""

    def __init__(self, server, store, tokens, options):
        self.server, self.store, self.tokens, self.options = server, store, tokens, options
        self.operator = sale.Operator(server.port)

    def alone(self):
        activity = self.operator.open_activity("Drained alone")
        with servers.stalled(self.store):
            self.fill(activity)
        return self.drained("alone")

    def beside_a_crowd(self):
        activity = self.operator.open_activity("Drained beside a crowd")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            with servers.stalled(self.store):
                self.fill(activity)
                behind = self.behind()
                crowd = pool.submit(self.crowd, activity)
                program.wait_until(lambda: self.behind() > behind, COME_SECONDS_MAX, "the crowd buys")
            figures = self.drained("beside")
            if crowd.done():
                raise Unmeasurable(f"the crowd had gone after {CROWD_SECONDS} s, before the backlog was")
            run = crowd.result()
        return figures | {"crowd": run["requests"] / run["seconds"]}

    def fill(self, activity):
        load = Load(CONNECTIONS, self.options.seconds, cpus_beside(1))
        self.press(activity, load, Slice(0, self.options.tokens, once=True), "fill")

    def crowd(self, activity):
        load = Load(CONNECTIONS, CROWD_SECONDS, cpus_of(1), self.options.pause)
        return self.press(activity, load, Slice(self.options.tokens, CROWD, once=True), "crowd")

    def press(self, activity, load, part, word):
        url = f"http://127.0.0.1:{self.server.port}/api/v1/activities/{activity}/orders"
        run = buy(url, load, self.tokens, part, word)
        if run["refused"] or run["failed"]:
            raise Unmeasurable(f"every buyer should have got an order, but {run}")
        return run

    def behind(self):
        return sale.figure(self.server, "seckill_flush_lag_records")

    def drained(self, name):
        """Records a second, and CPU of the flush's threads by record, from the end of the first batch to that of the last full one."""
        ends, deadline = [], time.monotonic() + DRAIN_SECONDS_MAX
        while self.behind() >= BATCH_RECORDS:
            records = sale.figure(self.server, "seckill_flush_records_total")
            if not ends or records > ends[-1][1]:
                ends.append((time.monotonic(), records, self.flush_seconds()))
            if time.monotonic() > deadline:
                raise Unmeasurable(f"the backlog was not gone within {DRAIN_SECONDS_MAX} s")
            time.sleep(0.02)
        if len(ends) < 4:
            raise Unmeasurable("the backlog was too small: more --seconds")
        # What was there when it was let go is no end of a batch.
        (begun, before, used), (ended, after, used_by_then) = ends[1], ends[-1]
        records = after - before
        return {name: records / (ended - begun), f"{name}_cpu": 1e6 * (used_by_then - used) / records}

    def flush_seconds(self):
        """CPU of whatever reads the journal and writes to the store."""
        used = self.server.cpu_seconds_by_thread()
        others = sum(seconds for thread, seconds in used.items() if thread.startswith(OTHER_THREADS))
        return self.server.cpu_seconds() - others


def text(result):
    rounds = result["rounds"]
    middle = {name: statistics.median(drained[name] for drained in rounds) for name in rounds[0]}
    ratios = sorted(drained["beside"] / drained["alone"] for drained in rounds)
    ratio = statistics.median(ratios)
    met = "met" if ratio >= RATIO_MIN else "MISSED"
    return "\n".join(
        [
            f"the flush took {middle['alone']:.0f} records/s of a backlog while nobody bought, "
            f"and {middle['beside']:.0f} while {middle['crowd']:.0f} orders/s came",
            f"CPU of the flush by record: {middle['alone_cpu']:.2f} us and {middle['beside_cpu']:.2f} us",
            f"ratio of the rates {ratio:.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f}, {len(rounds)} rounds); at least {RATIO_MIN}: {met}",
        ]
    )


if __name__ == "__main__":
    main()
