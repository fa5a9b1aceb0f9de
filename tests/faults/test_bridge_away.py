"""The bridge killed, or stopped in its tracks, under backends that push: no request waits for longer than it was promised."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

from formlock_push import Pusher, ReliablePusher, Update
from formlock_push.sqlalchemy import install
from tests.faults.bridges import Bridge

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

REQUESTS = 1_000
# The pushers' own defaults.
PUSHER_MS, RELIABLE_MS = 200, 500
# For what a thread may wait for the processor without our noticing; what we notice of that is left out.
SLACK_MS = 300
BEAT_S = 0.005


class Base(DeclarativeBase):
    """The application's own."""


class Thing(Base):
    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)
    a: Mapped[int] = mapped_column(default=0)

    def formlock_channel(self) -> str:
        return f"com.example.form.away.{self.id}"


class Machine:
    """How much time it has kept from a thread that only wants to go on: that much it may have kept from one that pushes, too."""

    def __init__(self) -> None:
        self._kept_s = 0.0
        self._asleep_since = time.monotonic()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def kept_s(self) -> float:
        """So far, with what it keeps at this moment."""
        return self._kept_s + max(0.0, time.monotonic() - self._asleep_since - BEAT_S)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ending.is_set():
            self._asleep_since = time.monotonic()
            time.sleep(BEAT_S)
            self._kept_s += max(0.0, time.monotonic() - self._asleep_since - BEAT_S)


class Timed:
    """A pusher, and the longest that a push through it took: what it adds to a request, less what the machine adds."""

    def __init__(self, pusher: Pusher | ReliablePusher, machine: Machine) -> None:
        self.longest_s = 0.0
        self.pushes = 0
        self._pusher = pusher
        self._machine = machine

    def send(self, update: Update) -> bool:
        begun, kept_s = time.monotonic(), self._machine.kept_s()
        try:
            return self._pusher.send(update)
        finally:
            took_s = time.monotonic() - begun - (self._machine.kept_s() - kept_s)
            self.longest_s = max(self.longest_s, took_s)
            self.pushes += 1


@contextmanager
def plain(sender: Timed, _folder: Path) -> Iterator[Callable[[int], object]]:
    """A request that pushes."""
    yield lambda nth: sender.send(Update(form=f"com.example.form.away.{nth % 50}", id=f"{nth}", change_set={"a": [nth - 1, nth]}))


@contextmanager
def hooked(sender: Timed, folder: Path) -> Iterator[Callable[[int], object]]:
    """A request that changes a record and commits; SQLAlchemy's hook pushes."""
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


def longest_ms(bridge: Bridge, folder: Path, backend: str, pusher: Pusher | ReliablePusher, number: int) -> float:
    """Of 1,000 pushes while the bridge is as this signal leaves it."""
    with ExitStack() as stack:
        sender = Timed(pusher, stack.enter_context(Machine()))
        request = stack.enter_context((hooked if backend == "hook" else plain)(sender, folder))
        # Over a connection that has worked before.
        for nth in range(10):
            request(nth)
        sender.longest_s, sender.pushes = 0.0, 0
        bridge.process.send_signal(number)
        # Killed, it is gone before somebody starts it again.
        stack.callback(*((bridge.process.wait, 20) if number == signal.SIGKILL else (bridge.process.send_signal, signal.SIGCONT)))
        for nth in range(10, 10 + REQUESTS):
            request(nth)
        assert sender.pushes == REQUESTS
        return sender.longest_s * 1000


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    made = Bridge(tmp_path_factory.mktemp("away"), supervised=False)
    yield made
    made.end()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
@pytest.mark.parametrize("backend", ["plain", "hook"])
@pytest.mark.parametrize("reliable", [False, True], ids=["pusher", "reliable pusher"])
def test_within_its_time_out(bridge: Bridge, tmp_path: Path, backend: str, number: int, reliable: bool) -> None:
    """U39: of 1,000 pushes with the bridge dead, or there and answering nothing, none takes longer than the pusher's time-out; and
    each is counted as what became of it."""
    pusher = ReliablePusher(bridge.node.acknowledged_url, spool=tmp_path / "spool") if reliable else Pusher(bridge.node.zmq_url)
    try:
        with pusher:
            longest = longest_ms(bridge, tmp_path, backend, pusher, number)
            assert longest < (RELIABLE_MS if reliable else PUSHER_MS) + SLACK_MS
            if isinstance(pusher, ReliablePusher):
                assert pusher.refused == 0
                assert pusher.acknowledged + pusher.spooled + pusher.dropped == REQUESTS + 10
                assert pusher.spooled > REQUESTS // 2
            else:
                assert pusher.sent + pusher.dropped == REQUESTS + 10
    finally:
        bridge.start()
