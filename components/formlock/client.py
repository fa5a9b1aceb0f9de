"""For scripts, imports and agents: hold a form while you write to its record, and hear at once when you do not hold it any more.

    with hold("com.example.form.invoice.42", user="nightly-import") as held:
        for row in rows:
            held.check()          # raises Lost when somebody has taken over
            write(row, held.token)

No reactor: threads of its own, and two small packages (the extra `client`). docs/how-to/lock-from-a-script.md.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Literal, Self

from formlock.errors import (
    Conflict,
    FormLocked,
    FormLockError,
    InvalidArgument,
    InvalidForm,
    Lost,
    NotActive,
    NotAllowed,
    NotHolder,
    TooMany,
)
from formlock.held import Asker, Grant, Held, grant
from formlock.line import Line, now_ms
from formlock.uris import DEFAULT_PREFIX, Uris

__all__ = [
    "Asker", "Client", "Conflict", "FormLockError", "FormLocked", "Held", "InvalidArgument", "InvalidForm", "Lost", "NotActive",
    "NotAllowed", "NotHolder", "TooMany", "hold",
]  # fmt: skip

DEFAULT_URL = "ws://127.0.0.1:8080/ws"
REALM = "formlock"
TIMEOUT_S = 30.0
# While waiting, how often to look although nothing was heard.
LOOK_S = 10.0
LEAVE_WITHIN_S = 2.0

Mode = Literal["exclusive", "shared"]


@contextmanager
def hold(
    forms: str | Sequence[str],
    *,
    user: str,
    name: str | None = None,
    url: str = DEFAULT_URL,
    wait: bool = False,
    timeout_s: float = TIMEOUT_S,
    note: str = "",
    machine: bool = True,
    mode: Mode = "exclusive",
    prefix: str = DEFAULT_PREFIX,
) -> Iterator[Held]:
    """Hold these forms, all or none, for as long as the block lasts; see `Client.hold`. Over a connection of its own."""
    with (
        Client(url, user=user, name=name, prefix=prefix) as client,
        client.hold(forms, wait=wait, timeout_s=timeout_s, note=note, machine=machine, mode=mode) as held,
    ):
        yield held


class Client:
    """One connection for any number of holds, at once and from any thread. It mends itself; close it when done, or use `with`."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        user: str,
        name: str | None = None,
        prefix: str = DEFAULT_PREFIX,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        """`user`, `name`: who the router is told you are. `clock`: milliseconds that never go back and don't stop in sleep."""
        self._clock = clock
        self._holds: set[Held] = set()
        self._lock = threading.Lock()
        authextra = {"user": user, "name": name or user}
        self._line = Line(url, REALM, authextra, Uris(prefix), self._heard, self._tend, self._broke, clock)

    @contextmanager
    def hold(
        self,
        forms: str | Sequence[str],
        *,
        wait: bool = False,
        timeout_s: float = TIMEOUT_S,
        note: str = "",
        machine: bool = True,
        mode: Mode = "exclusive",
    ) -> Iterator[Held]:
        """Hold these forms, all or none, for as long as the block lasts.

        Raises FormLocked, NotAllowed, TooMany, InvalidForm, InvalidArgument, and NotActive when the service can't be reached within
        `timeout_s`. With `wait` it stands in line for so long (with several forms it tries again whenever one of them is freed,
        without a place in line), and then raises FormLocked.

        Leaving the block gives the forms back, whatever happens. Before that the service is asked once more: a block that ends
        without Lost has had its forms all the time. If an exception leaves the block, it is not asked, and that exception stays.
        """
        held = self.lock(forms, wait=wait, timeout_s=timeout_s, note=note, machine=machine, mode=mode)
        try:
            yield held
            self._finish(held)
        finally:
            self.release(held)

    def lock(
        self,
        forms: str | Sequence[str],
        *,
        wait: bool = False,
        timeout_s: float = TIMEOUT_S,
        note: str = "",
        machine: bool = True,
        mode: Mode = "exclusive",
    ) -> Held:
        """As `hold`, for programs whose locks do not fit a block: give it to `release` when done."""
        topics = [forms] if isinstance(forms, str) else list(forms)
        for topic in topics:
            self._line.uris.form(topic)
        if not topics or len(set(topics)) != len(topics):
            raise InvalidArgument(argument="forms")
        limit = time.monotonic() + timeout_s
        held = Held(self._line, topics, f"script-{secrets.token_hex(8)}", mode, self._clock)
        wish = {"tab": held.tab, "note": note, "machine": machine, "mode": mode}
        # Before it is locked, so that nothing that is told of it is missed.
        with self._lock:
            self._holds.add(held)
        subscribed: list[str] = []
        try:
            for topic in topics:
                self._line.subscribe(topic, limit)
                subscribed.append(topic)
            held.granted(*self._acquire(held, wish, wait, limit))
        except BaseException:
            self._forget(held, subscribed)
            raise
        self._line.wake()
        return held

    def release(self, held: Held) -> None:
        """Give everything back; never raises."""
        held.release()
        self._forget(held, held.forms)

    def status(self, form: str, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """The form's snapshot (docs/reference/wamp.md)."""
        answer: dict[str, Any] = self._line.call("status", time.monotonic() + timeout_s, {"form": form})
        return answer

    def close(self) -> None:
        """Give back what is still held, and say goodbye."""
        for held in list(self._holds):
            self.release(held)
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    # -- inside

    def _acquire(self, held: Held, wish: Mapping[str, Any], wait: bool, limit: float) -> tuple[list[Grant], int]:
        forms = held.forms
        in_line = wait and len(forms) == 1
        wanted: dict[str, Any] = {"form": forms[0], "wait": wait} if len(forms) == 1 else {"forms": list(forms)}
        sent = [(0, 0)]
        rid = secrets.token_hex(8)

        def sending() -> None:
            sent.append((self._clock(), held.breaks))

        try:
            while True:
                held.news.clear()
                try:
                    answer = self._line.call("lock", limit, {**wanted, **wish, "rid": rid}, sending)
                    if answer["event"] == "lock":
                        at, breaks = sent[-1]
                        return [grant(part, at) for part in answer.get("locks", [answer])], breaks
                    refused = None
                except Lost:
                    # An earlier copy of this very call had its turn, and it has passed.
                    rid = secrets.token_hex(8)
                    continue
                except FormLocked as error:
                    if not wait or in_line:
                        raise
                    refused = error
                left = limit - time.monotonic()
                if (left <= 0 or not held.news.wait(min(left, LOOK_S))) and time.monotonic() >= limit:
                    raise refused or FormLocked(**{**held.seen(forms[0]), "status": "locked"})
        except BaseException:
            if in_line:
                self._leave_queue(held)
            raise

    def _leave_queue(self, held: Held) -> None:
        # Where it can't be told, the place in line ends with the session.
        with suppress(FormLockError):
            self._line.call("leave_queue", time.monotonic() + LEAVE_WITHIN_S, {"form": held.forms[0], "tab": held.tab})

    def _finish(self, held: Held) -> None:
        """The block has come to its end: were the forms held until now?"""
        # NotHolder: it has released them itself.
        with suppress(NotHolder):
            try:
                held.prove()
            except NotActive:
                # Nobody to ask. Nothing was missed as long as the line is alive; else this waits for a proof while the lease lasts.
                held.check()

    def _forget(self, held: Held, topics: Sequence[str]) -> None:
        with self._lock:
            if held not in self._holds:
                return
            self._holds.discard(held)
        for topic in topics:
            self._line.unsubscribe(topic)

    def _heard(self, topic: str, facts: Mapping[str, Any]) -> None:
        with self._lock:
            holds = list(self._holds)
        for held in holds:
            held.told(topic, facts)

    def _broke(self) -> None:
        with self._lock:
            holds = list(self._holds)
        for held in holds:
            held.doubt()

    def _tend(self, joined: bool) -> float | None:
        with self._lock:
            holds = list(self._holds)
        times = [at for held in holds if (at := held.tend(joined)) is not None]
        return max(0.0, (min(times) - self._clock()) / 1000) if times else None
