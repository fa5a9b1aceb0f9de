"""Processor time of other processes, user and system, by the kernel's own clock of each (Linux)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from bench.wire.errors import BenchError

# What servers still do after the last answer (log lines on their way, a commit) belongs to the work: read until they rest.
REST_S = 0.05
# Of a second: at rest all processes of a node together are below it.
RESTING_SHARE = 0.05
REST_WITHIN_S = 10.0


def used_s(pid: int) -> float:
    """Seconds of processor time that the process has used, its ended threads included, to the nanosecond.

    /proc/<pid>/stat tells the same in ticks of 10 ms. The number of a process's clock is Linux's ABI (clock_getcpuclockid(3),
    which Python does not have): the complement of the pid, and 2 for "as the scheduler counts".
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        raise BenchError(f"the server process {pid} has ended") from None


def at_rest(pids: Callable[[], Mapping[str, int]]) -> dict[str, float]:
    """Waits until the processes rest, then tells what each has used. BenchError when they never do, or one was replaced."""
    named = pids()
    limit = time.monotonic() + REST_WITHIN_S
    before = {name: used_s(pid) for name, pid in named.items()}
    while time.monotonic() < limit:
        time.sleep(REST_S)
        now = {name: used_s(pid) for name, pid in named.items()}
        if sum(now.values()) - sum(before.values()) < REST_S * RESTING_SHARE:
            if pids() != named:
                raise BenchError(f"a server process was replaced: {named} before, {pids()} now")
            return now
        before = now
    raise BenchError(f"the servers ({', '.join(named)}) do not come to rest")
