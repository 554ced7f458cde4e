"""What one fdatasync costs on the file system that a gateway's journal would lie on: the unit of a buy's waiting time."""

import os
import statistics
import time

SIZES_BYTES = (512, 1024, 2048, 4096, 8192)
FILE_BYTES = 8 << 20


def fdatasync_us(directory, count=300):
    """Median time of a write and its fdatasync, by size, on a file written before, as a journal's segments are.

    On the server's CPU: one that the disk interrupts is quicker to hear of it than one that it has to wake.
    """
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        return fdatasync_here_us(directory, count)
    finally:
        os.sched_setaffinity(0, allowed)


def fdatasync_here_us(directory, count):
    path = directory / "fdatasync"
    file = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        os.pwrite(file, bytes(FILE_BYTES), 0)
        os.fsync(file)
        return {size: statistics.median(write_times_us(file, size, count)) for size in SIZES_BYTES}
    finally:
        os.close(file)
        path.unlink()


def write_times_us(file, size, count):
    block = os.urandom(size)
    for number in range(count):
        start = time.perf_counter()
        os.pwrite(file, block, number * size % FILE_BYTES)
        os.fdatasync(file)
        yield (time.perf_counter() - start) * 1e6
