"""The lock service in process. Each row is measured in turn with its yardstick, several times; medians and ratios."""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from bench.table import Line
from formlock.commands import Lock, Renew, Unlock
from formlock.model import FormId, Owner
from formlock.policy import Policy
from formlock.rules import decide
from formlock.service import LockService
from formlock.stores import LockStore
from formlock.stores.memory import MemoryStore
from formlock.stores.sqlite import SqliteStore
from formlock.testing import FakeClock
from formlock.testing.clock import Task

ROUNDS = 7
QUICK_ROUNDS = 1
COUNT = 2_000
TOGETHER = 64
# Whose memory is measured, and beside how many a session is lost.
HELD, QUICK_HELD = 100_000, 2_000
FEW, MANY, QUICK_MANY = 1_000, 1_000_000, 10_000
LOST = 500


def service(clock: FakeClock, store: LockStore) -> LockService:
    made = LockService(store, clock, Policy(), happened=lambda *_: None, probe=lambda *_: None)
    clock.run(made.start(()))
    return made


def rules_alone(count: int) -> None:
    """Lock and unlock by `decide` only."""
    store = MemoryStore("e", 0)
    state = FakeClock().run(store.read(FormId("t", "1")))
    policy, owner = Policy(), Owner("ann", "a")
    for number in range(count):
        state = decide(state, Lock(owner=owner, name="Ann", session=1), number, 0, policy).state
        state = decide(state, Unlock(owner, state.token), number, 0, policy).state


def lock_and_unlock(clock: FakeClock, made: LockService, count: int) -> None:
    """As many pairs, TOGETHER at a time, as many pages at once would."""

    async def pair(number: int) -> None:
        form, owner = FormId("t", str(number)), Owner("ann", str(number))
        got = await made.lock(form, Lock(owner=owner, name="Ann", session=number))
        await made.unlock(form, Unlock(owner, got.state.token), number)

    for start in range(0, count, TOGETHER):
        tasks = [Task(pair(number)) for number in range(start, min(count, start + TOGETHER))]
        for task in tasks:
            clock.settle(task)


def renewals(clock: FakeClock, made: LockService, token: int, count: int) -> None:
    for _ in range(count):
        clock.run(made.renew([(FormId("r", "1"), Renew(Owner("ann", "a"), token, 1))], 1))


def held(others: int) -> tuple[FakeClock, LockService]:
    """A service in which `others` sessions hold a form each. All strings are their own, as off the wire; user and name only
    are those of the session's claims."""
    clock = FakeClock()
    made = service(clock, MemoryStore("e", 0))
    for number in range(1, others + 1):
        clock.run(made.lock(FormId("invoice", str(number)), some_lock(number, *CLAIMS)))
    return clock, made


CLAIMS = ("ann.weber@example.com", "Ann Weber")


def some_lock(session: int, user: str, name: str) -> Lock:
    """With a tab and an attempt as long as the browser package's."""
    return Lock(owner=Owner(user, f"{session:022x}"), name=name, session=session, rid=f"{session:022x}", note="")


def bytes_per_lock(count: int) -> float:
    """What one held lock costs in the service and a memory store, with all indexes, by Python's own account."""
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    made = held(count)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del made
    return (after - before) / count


def release(clock: FakeClock, made: LockService, times: int) -> None:
    """One session, not among the others, gets a form and is lost."""
    owner = Owner("ann", "a")
    for number in range(times):
        form = FormId("x", str(number))
        clock.run(made.lock(form, Lock(owner=owner, name="Ann", session=9_999_999)))
        clock.run(made.session_lost(9_999_999))


def seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(name: str, yardstick: Callable[[], None], measured: Callable[[], None], count: int, rounds: int) -> Line:
    """Both in turn, so that the machine's mood hits both alike."""
    pairs = [(seconds(yardstick), seconds(measured)) for _ in range(rounds)]
    each = statistics.median(after for _, after in pairs) / count * 1e6
    return Line(row="in process", what=name, figures={"measured": each}, ratios=[after / before for before, after in pairs])


def measure(rounds: int = ROUNDS) -> list[Line]:
    """All rows."""
    clock = FakeClock()
    memory = service(clock, MemoryStore("e", 0))
    token = clock.run(memory.lock(FormId("r", "1"), Lock(owner=Owner("ann", "a"), name="Ann", session=1))).state.token
    lines = [
        compare(
            "lock + unlock: service, memory store : rules alone",
            lambda: rules_alone(COUNT),
            lambda: lock_and_unlock(clock, memory, COUNT),
            COUNT,
            rounds,
        )
    ]
    with tempfile.TemporaryDirectory() as folder:
        disk_clock = FakeClock()
        disk = service(disk_clock, disk_clock.run(SqliteStore.open(Path(folder) / "b.sqlite", disk_clock, lambda: "e")))
        lines.append(
            compare(
                f"lock + unlock, {TOGETHER} at once: SQLite, durable : memory",
                lambda: lock_and_unlock(clock, memory, COUNT),
                lambda: lock_and_unlock(disk_clock, disk, COUNT),
                COUNT,
                rounds,
            )
        )
        disk_clock.run(disk.stop())
    lines.append(
        compare(
            "renewal : lock + unlock (memory)",
            lambda: lock_and_unlock(clock, memory, COUNT),
            lambda: renewals(clock, memory, token, COUNT),
            COUNT,
            rounds,
        )
    )
    quick = rounds == QUICK_ROUNDS
    locks = QUICK_HELD if quick else HELD
    lines.append(Line("in process", f"memory of a held lock, one of {locks:,}", {"bytes": bytes_per_lock(locks)}))
    others = QUICK_MANY if quick else MANY
    few, many = held(FEW), held(others)
    lines.append(
        compare(
            f"session lost beside {others:,} holders : beside {FEW:,}",
            lambda: release(*few, LOST),
            lambda: release(*many, LOST),
            LOST,
            rounds,
        )
    )
    return lines
