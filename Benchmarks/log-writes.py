#!/usr/bin/env python3
"""How long does one small durable write to a log take, depending on what the file holds where it goes?

Prints the median of write + fdatasync in microseconds for a file that grows (appended), one whose blocks are allocated
but not written (fallocated), and one that holds zeros (zeroed): the figures in DocC/Nephrite.docc/DurabilityAndRecovery.md.

    Benchmarks/log-writes.py [DIRECTORY]
"""
import os
import statistics
import sys
import time

WRITES = 1_000


def median(path, size, prepare):
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        prepare(file, size * WRITES)
        os.fsync(file)
        data = os.urandom(size)
        times = []
        for index in range(WRITES):
            start = time.perf_counter_ns()
            os.pwrite(file, data, index * size)
            os.fdatasync(file)
            times.append(time.perf_counter_ns() - start)
        return statistics.median(times) / 1_000
    finally:
        os.close(file)
        os.unlink(path)


def zero(file, length):
    os.pwrite(file, bytes(length), 0)


FORMS = {
    "appended": lambda file, length: None,
    "fallocated": lambda file, length: os.posix_fallocate(file, 0, length),
    "zeroed": zero,
}

if __name__ == "__main__":
    directory = sys.argv[1] if len(sys.argv) > 1 else "."
    path = os.path.join(directory, f"log-writes-{os.getpid()}")
    for size in (704, 22_528):
        print(size, "bytes:", ", ".join(f"{name} {median(path, size, form):.0f} µs" for name, form in FORMS.items()))
