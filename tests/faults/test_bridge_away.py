"""The bridge killed, or stopped in its tracks, under backends that push: no request waits for longer than it was promised.

`python -m tests.faults.test_bridge_away` prints the longest that were measured.
"""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

from formlock_push import Pusher, ReliablePusher
from formlock_push.sqlalchemy import install
from tests.faults.bridges import Bridge

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

REQUESTS = 1_000
# The pushers' own defaults.
PUSHER_MS, RELIABLE_MS = 200, 500
# For the machine: what a thread may wait for the processor behind whatever else the tests run, and for SQLAlchemy's own work.
SLACK_MS = 150


class Base(DeclarativeBase):
    """The application's own."""


class Thing(Base):
    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)
    a: Mapped[int] = mapped_column(default=0)

    def formlock_channel(self) -> str:
        return f"com.example.form.away.{self.id}"


Request = Callable[[int], object]


@contextmanager
def pusher(bridge: Bridge, folder: Path) -> Iterator[Request]:
    with Pusher(bridge.node.zmq_url) as given:
        yield lambda nth: given.push(f"com.example.form.away.{nth % 50}", {"a": [nth - 1, nth]})


@contextmanager
def reliable(bridge: Bridge, folder: Path) -> Iterator[Request]:
    with ReliablePusher(bridge.node.acknowledged_url, spool=folder / "spool") as given:
        yield lambda nth: given.push(f"com.example.form.away.{nth % 50}", {"a": [nth - 1, nth]})
        assert given.refused == given.dropped == 0


@contextmanager
def hooked(bridge: Bridge, folder: Path, sender: Any) -> Iterator[Request]:
    """A request that changes a record and commits."""
    engine = create_engine(f"sqlite:///{folder}/application.sqlite")
    Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)
    with sessions.begin() as session:
        session.add_all(Thing(id=number) for number in range(50))
    hook = install(sessions, sender, jobs=True)

    def request(nth: int) -> None:
        with sessions.begin() as session:
            session.get_one(Thing, nth % 50).a = nth + 1

    yield request
    hook.remove()
    engine.dispose()
    assert hook.failed == 0
    assert hook.pushed >= REQUESTS


@contextmanager
def hooked_pusher(bridge: Bridge, folder: Path) -> Iterator[Request]:
    with Pusher(bridge.node.zmq_url) as given, hooked(bridge, folder, given) as request:
        yield request


@contextmanager
def hooked_reliable(bridge: Bridge, folder: Path) -> Iterator[Request]:
    with ReliablePusher(bridge.node.acknowledged_url, spool=folder / "spool") as given, hooked(bridge, folder, given) as request:
        yield request


BACKENDS = {
    "pusher": (pusher, PUSHER_MS),
    "reliable": (reliable, RELIABLE_MS),
    "hook with pusher": (hooked_pusher, PUSHER_MS),
    "hook with reliable": (hooked_reliable, RELIABLE_MS),
}


def longest_ms(bridge: Bridge, folder: Path, how: str, number: int) -> float:
    """Of 1,000 requests while the bridge is as this signal leaves it; afterwards it is there again."""
    backend, _ = BACKENDS[how]
    with ExitStack() as stack:
        request = stack.enter_context(backend(bridge, folder))
        # With a connection that has worked before.
        for nth in range(10):
            request(nth)
        bridge.process.send_signal(number)
        if number == signal.SIGSTOP:
            stack.callback(bridge.process.send_signal, signal.SIGCONT)
        longest_s = 0.0
        for nth in range(10, 10 + REQUESTS):
            begun = time.monotonic()
            request(nth)
            longest_s = max(longest_s, time.monotonic() - begun)
    return longest_s * 1000


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    made = Bridge(tmp_path_factory.mktemp("away"), supervised=False)
    yield made
    made.end()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
@pytest.mark.parametrize("how", BACKENDS)
def test_within_its_time_out(bridge: Bridge, tmp_path: Path, how: str, number: int) -> None:
    """U39: of 1,000 requests with the bridge dead, and with one that is there and answers nothing, the longest is within the
    pusher's time-out; with a reliable pusher every update is kept all the same."""
    try:
        assert longest_ms(bridge, tmp_path, how, number) < BACKENDS[how][1] + SLACK_MS
    finally:
        bridge.start()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bridge = Bridge(Path(folder) / "bridge", supervised=False)
        try:
            for number in (signal.SIGKILL, signal.SIGSTOP):
                for how, (_, timeout_ms) in BACKENDS.items():
                    place = Path(folder) / f"{how} {number}"
                    place.mkdir()
                    print(f"{signal.Signals(number).name} {how}: {longest_ms(bridge, place, how, number):.1f} of {timeout_ms} ms")  # noqa: T201
                    bridge.start()
        finally:
            bridge.end()


if __name__ == "__main__":
    main()
