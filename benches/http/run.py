#!/usr/bin/env python3
"""Holds the gateway against its peers, side by side on this machine, and prints what each request costs.

A benchmark, never a test.
"""

import argparse
import contextlib
import os
import platform
import shutil
import sys

import cases
import disk
import program
import report
import sale
import servers
from load import Load, call, cpus_beside
from servers import ROOT, Unmeasurable

# CPU time of all processes of a server, by request: ours, the peer's, and the most that ours may be of it.
CPU_TARGETS = (
    ("a durable buy", "buy", "hello", 1.4),
    ("a durable buy", "buy", "nginx-lua", 0.2),
    ("a durable buy of a shared sale", "buy-shared", "buy", 1.15),
    ("a refusal, sold out", "sold-out", "hello", 1.1),
    ("a refusal, too early", "not-started", "hello", 1.1),
    ("a refusal, limit reached", "limit-reached", "hello", 1.1),
    ("a prerendered page", "page", "nginx-static", 0.9),
)
# Connections, figure, and the most fdatasyncs of this disk by which a buy's may exceed hello's.
WAIT_TARGETS = ((1, "p50_us", 1.3), (64, "p99_us", 3.0))
# What a gateway settles with others may be away; a buy waits as long as with all well: figure, and the most of it.
FAULTS = ("redis-stopped", "redis-killed", "store-stalled")
FAULT_TARGETS = (("p50_us", 1.1), ("p99_us", 1.25))
# The busiest core's CPU over the mean; the ratio to hello with all cores on over that with one.
CORE_SHARE_MAX, SCALING_MAX = 1.25, 1.1
WAITS = {"wait": WAIT_TARGETS, "faults": FAULTS, "fault": FAULT_TARGETS}
TARGETS = WAITS | {"cpu": CPU_TARGETS, "core_share": CORE_SHARE_MAX, "scaling": SCALING_MAX}

SERVERS = ("hello", "gateway", "gateway-shared", "nginx-lua", "nginx-static")
# A buyer who meets an idle gateway waits for one disk; that wait is measured with one connection.
ALONE = 1
CORES_ALL = len(os.sched_getaffinity(0))
SCALING_SERVERS = ("hello", "gateway")
SCALING_CASES = ("hello", "buy", "sold-out")
STAND_IN_PAGE_BYTES = 4096


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved runs of everything (default 5)")
    parser.add_argument("--seconds", type=int, default=4, help="of each measured run (default 4)")
    parser.add_argument("--warmup", type=int, default=1, help="seconds before each measured run (default 1)")
    parser.add_argument("--pause", type=int, default=0, help="ms between an answer and the connection's next buy (default 0)")
    parser.add_argument("--connections", type=numbers, default="64,256", help="wrk's connections (default 64,256)")
    parser.add_argument("--tokens", type=int, default=1_000_000, help="buyers; a measured run uses three quarters")
    parser.add_argument("--servers", type=known, default=",".join(SERVERS), help="which to run (default all)")
    parser.add_argument("--cases", help="which cases of theirs (default all)")
    parser.add_argument("--hello", default=ROOT / "target/release/examples/hello", help="the bare hyper server")
    program.run(parser, measure_all, report.text)


def numbers(text):
    return [int(number) for number in text.split(",")]


def known(text):
    """The servers that are named, in the order of the table."""
    return [name for name in SERVERS if name in text.split(",")]


def measure_all(options, scratch):
    servers.require("wrk", "taskset", *[program for name in options.servers for program in programs_of(name, options)])
    stage = set_stage(options, scratch)
    samples, syncs = [], []
    for number in range(options.rounds):
        syncs.append(disk.fdatasync_us(scratch))
        plan = [(ALONE, lambda case: case.alone)] + [(count, lambda case: True) for count in options.connections]
        samples += measure_round(stage, scratch, number, 1, options.servers, plan)
        if CORES_ALL > 1 and "gateway" in options.servers:
            plan = [(options.connections[0], lambda case: case.name in SCALING_CASES)]
            both = [name for name in options.servers if name in SCALING_SERVERS]
            samples += measure_round(stage, scratch, number, CORES_ALL, both, plan)
    return report.result(TARGETS, machine(), options, samples, syncs)


def programs_of(name, options):
    own = {
        "hello": [options.hello],
        "gateway": [options.gateway],
        "gateway-shared": [options.gateway, "redis-server"],
        "nginx-lua": ["nginx", "redis-server"],
    }
    return own.get(name, ["nginx"])


def set_stage(options, scratch):
    """Makes what the rounds share: shoppers, their tokens, and the page whose bytes nginx serves as a file."""
    data, tokens, peer_tokens = scratch / "data", scratch / "tokens", scratch / "peer-tokens"
    sale.write_peer_tokens(peer_tokens, options.tokens)
    if not {"gateway", "gateway-shared"} & set(options.servers):
        return cases.Stage(options, peer_tokens, peer_tokens, None, os.urandom(STAND_IN_PAGE_BYTES))
    sale.prepare(options.gateway, data, tokens, options.tokens)
    page = fetch_page(options.gateway, data, scratch / "page")
    return cases.Stage(options, tokens, peer_tokens, data, page)


def fetch_page(gateway, data, directory):
    copy = directory / "data"
    shutil.copytree(data, copy)
    with servers.gateway(gateway, 1, directory, copy) as server:
        activity = sale.Operator(server.port).publish("Not started")
        status, page = call(server.port, "GET", f"/activities/{activity}", Accept_Encoding="br")
    if status != 200:
        raise Unmeasurable(f"the page of an activity was answered {status}")
    return page


def measure_round(stage, scratch, number, cores, names, plan):
    """One round: all servers stand beside each other, and the cases take turns, from another one in each round."""
    directory, samples = scratch / "round", []
    try:
        with contextlib.ExitStack() as stack:
            every = cases.open_cases(stack, stage, names, cores, directory)
            for connections, wanted in plan:
                chosen = [case for case in every if wanted(case) and is_asked(case, stage.options)]
                turn = number % len(chosen) if chosen else 0
                for case in chosen[turn:] + chosen[:turn]:
                    sample = measure(case, connections, cores, stage.options)
                    progress(number, sample)
                    samples.append(sample | {"round": number})
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return samples


def is_asked(case, options):
    return options.cases is None or case.name in options.cases.split(",")


def measure(case, connections, cores, options):
    cpus, server = cpus_beside(cores), case.server
    activity = case.activity()
    case.rehearse(activity)
    with case.fault(activity):
        warm = case.press(activity, Load(connections, options.warmup, cpus, options.pause), case.warm, "warm")
        server.settle()
        cpu, kernel, threads = server.cpu_seconds(), server.kernel_seconds(), server.cpu_seconds_by_thread()
        run = case.press(activity, Load(connections, options.seconds, cpus, options.pause), case.part, "measured")
        cpu, kernel = server.cpu_seconds() - cpu, server.kernel_seconds() - kernel
        threads = server.cpu_seconds_by_thread() - threads
    following = case.follower.cpu_seconds() if case.follower else 0
    after = server.settle()
    following = case.follower.cpu_seconds() - following if case.follower else 0
    check(case, run)
    if case.stocked:
        bought = warm["requests"] + run["requests"] + 1
        sale.check_units(server.port, activity, case.stocked(activity), bought, 2 * connections + 1)
    per_request = 1e6 / run["requests"]
    return run | {
        "case": case.name,
        "connections": connections,
        "cores": cores,
        "cpu_us": cpu * per_request,
        "kernel_us": kernel * per_request,
        "after_us": after * per_request,
        "follower_us": following * per_request,
        "threads_us": {name: seconds * per_request for name, seconds in sorted(threads.items())},
    }


def check(case, run):
    """A figure stands only where every answer was the one that its case is named for."""
    refused = run["requests"] if case.answer[0] >= 400 else 0
    if not run["requests"] or run["failed"] or run["refused"] != refused:
        raise Unmeasurable(f"{case.name}: expected {refused} refusals and no failure, but {run}")


def progress(number, sample):
    print(
        f"round {number + 1}  {sample['case']:14} {sample['connections']:4} connections  {sample['cores']} core(s)"
        f"  {sample['cpu_us']:7.2f} µs",
        file=sys.stderr,
    )


def machine():
    with open("/proc/cpuinfo") as file:
        models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return {"cpu": models[0] if models else platform.machine(), "cpus": CORES_ALL, "kernel": platform.release()}


if __name__ == "__main__":
    main()
