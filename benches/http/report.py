"""From samples to medians, from medians to targets, and both to text. Nothing here measures."""

import statistics
from collections import defaultdict

FIGURES = ("cpu_us", "kernel_us", "after_us", "follower_us", "p50_us", "p99_us")
# A buy's group is one record and one frame: it fits a sector.
SYNC_BYTES = 512


def result(targets, machine, options, samples, syncs):
    """All there is to say of one run of this program, ready for JSON."""
    medians = medians_of(samples)
    sync_us = {size: statistics.median(sync[size] for sync in syncs) for size in syncs[0]}
    verdicts = [
        *cpu_verdicts(targets["cpu"], options.connections, medians),
        *flushed_verdicts(targets["cpu"][0], options.connections, medians),
        *wait_verdicts(targets["wait"], medians, sync_us[SYNC_BYTES]),
        *fault_verdicts(targets, options.connections, medians),
        *core_verdicts(targets, machine["cpus"], options.connections[0], medians),
    ]
    asked = {name: getattr(options, name) for name in ("rounds", "seconds", "warmup", "connections", "tokens")}
    return {
        "machine": machine,
        "asked": asked,
        "fdatasync_us": sync_us,
        "medians": list(medians.values()),
        "targets": verdicts,
        "samples": samples,
    }


def medians_of(samples):
    groups = defaultdict(list)
    for sample in samples:
        groups[sample["case"], sample["connections"], sample["cores"]].append(sample)
    return {key: median_of(key, group) for key, group in groups.items()}


def median_of(key, group):
    row = dict(zip(("case", "connections", "cores"), key))
    row |= {figure: statistics.median(sample[figure] for sample in group) for figure in FIGURES}
    cpu = [sample["cpu_us"] for sample in group]
    rates = [sample["requests"] / sample["seconds"] for sample in group if not sample["exhausted"]]
    names = {name for sample in group for name in sample["threads_us"]}
    row["cpu_us_min"], row["cpu_us_max"] = min(cpu), max(cpu)
    row["requests_per_second"] = statistics.median(rates) if rates else None
    row["threads_us"] = {
        name: statistics.median(sample["threads_us"].get(name, 0) for sample in group) for name in sorted(names)
    }
    return row


def verdict(what, measured, at_most):
    met = None if measured is None else measured <= at_most
    return {"what": what, "measured": measured, "at_most": at_most, "met": met}


def ratio(medians, ours, peer):
    """CPU of one request to CPU of the other, or None where either was not measured."""
    if ours not in medians or peer not in medians or not medians[peer]["cpu_us"]:
        return None
    return medians[ours]["cpu_us"] / medians[peer]["cpu_us"]


def cpu_verdicts(targets, connections, medians):
    for what, ours, peer, at_most in targets:
        for count in connections:
            measured = ratio(medians, (ours, count, 1), (peer, count, 1))
            yield verdict(f"{what}, {count} connections: CPU over {peer}'s", measured, at_most)


def flushed_verdicts(target, connections, medians):
    """The first target again, with what the server did later for the same orders."""
    what, ours, peer, at_most = target
    for count in connections:
        row, other = medians.get((ours, count, 1)), medians.get((peer, count, 1))
        measured = (row["cpu_us"] + row["after_us"]) / other["cpu_us"] if row and other else None
        yield verdict(f"{what} and its flush, {count} connections: CPU over {peer}'s", measured, at_most)


def wait_verdicts(targets, medians, sync_us):
    for count, figure, at_most in targets:
        rows = [medians.get((case, count, 1)) for case in ("buy", "hello")]
        measured = (rows[0][figure] - rows[1][figure]) / sync_us if all(rows) else None
        name = figure.removesuffix("_us")
        yield verdict(f"a buy's {name} with {count} connection(s), less hello's, in fdatasyncs", measured, at_most)


def fault_verdicts(targets, connections, medians):
    for case in targets["faults"]:
        for figure, at_most in targets["fault"]:
            for count in connections:
                row, well = medians.get((case, count, 1)), medians.get(("buy-shared", count, 1))
                measured = row[figure] / well[figure] if row and well else None
                name = figure.removesuffix("_us")
                yield verdict(f"a shared buy's {name}, {count} connections: {case} over all well", measured, at_most)


def core_verdicts(targets, cpus, connections, medians):
    for case in ("buy", "sold-out"):
        one, every = (
            ratio(medians, (case, connections, cores), ("hello", connections, cores)) for cores in (1, cpus)
        )
        measured = every / one if one and every and cpus > 1 else None
        yield verdict(f"{case}: ratio to hello with {cpus} cores, over that with one", measured, targets["scaling"])
    row = medians.get(("buy", connections, cpus))
    cores = [value for name, value in row["threads_us"].items() if name.startswith("core-")] if row else []
    measured = max(cores) * len(cores) / sum(cores) if len(cores) > 1 and sum(cores) else None
    yield verdict(f"the busiest core's share, {connections} kept connections", measured, targets["core_share"])


def text(result):
    machine, asked = result["machine"], result["asked"]
    syncs = ", ".join(f"{size} B {us:.0f}" for size, us in result["fdatasync_us"].items())
    return "\n".join(
        [
            f"{machine['cpu']}, {machine['cpus']} CPUs, Linux {machine['kernel']}; "
            f"{asked['rounds']} interleaved rounds of {asked['seconds']} s, medians",
            f"write + fdatasync, µs: {syncs}",
            "",
            *table_of_medians(result["medians"]),
            "",
            *table_of_targets(result["targets"]),
        ]
    )


def table_of_medians(rows):
    yield (
        f"{'case':14} {'conn.':>5} {'cores':>5} {'CPU µs':>8} {'min-max':>15} {'kernel':>7} {'after µs':>8} {'Redis':>6} "
        f"{'req/s':>8} {'p50 µs':>9} {'p99 µs':>9}  CPU µs by thread"
    )
    for row in sorted(rows, key=lambda row: (row["cores"], row["connections"])):
        spread = f"{row['cpu_us_min']:.2f}-{row['cpu_us_max']:.2f}"
        rate = f"{row['requests_per_second']:.0f}" if row["requests_per_second"] else "-"
        threads = ", ".join(f"{name} {us:.2f}" for name, us in row["threads_us"].items() if us >= 0.01)
        yield (
            f"{row['case']:14} {row['connections']:5} {row['cores']:5} {row['cpu_us']:8.2f} {spread:>15} {row['kernel_us']:7.2f} "
            f"{row['after_us']:8.2f} {row['follower_us']:6.2f} {rate:>8} {row['p50_us']:9.0f} {row['p99_us']:9.0f}  {threads}"
        )


def table_of_targets(verdicts):
    words = {True: "met", False: "MISSED", None: "not measured"}
    yield f"{'target':74} {'measured':>8} {'at most':>8}"
    for row in verdicts:
        measured = "-" if row["measured"] is None else f"{row['measured']:.2f}"
        yield f"{row['what']:74} {measured:>8} {row['at_most']:8.2f}  {words[row['met']]}"
