"""Pushes updates to the bridge as well as can be without ever being in the way: best effort, bounded in time, never raising.

What may be lost, and it is counted where we can know: an update while nobody listens and the queue is full (1,000), what the queue
holds when the process is killed or ends more than LINGER before the bridge is back.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import weakref
from types import TracebackType
from typing import Self

import zmq

from formlock_push.keys import Keys
from formlock_push.message import MAX_BYTES, Update
from formlock_push.pushing import Pushing

DEFAULT_ADDRESS = "tcp://127.0.0.1:5555"
LINGER_MS = 500
TIMEOUT_MS = 200
# A burst of drops is one line in the log, a bridge that is down is one line in this time.
LOG_EVERY_S = 10.0

_log = logging.getLogger("formlock_push")


class Pusher(Pushing[bool]):
    """Make one per process and use it from any thread, also after a fork. `sent` and `dropped` count what became of the updates.

    `sent` means handed over to ZeroMQ, which delivers in the background. Making one costs next to nothing; the connection is made
    with the first push. `close` is for those who like order: a pusher that is forgotten closes itself.

    With `timeout_ms=0` a push never waits. In a thread that runs an asyncio loop it never does either: who waits there holds up all.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        linger_ms: int = LINGER_MS,
        timeout_ms: int = TIMEOUT_MS,
        keys: Keys | None = None,
    ) -> None:
        self.address = address
        self.sent = 0
        self.dropped = 0
        self._linger_ms = linger_ms
        self._timeout_s = timeout_ms / 1000
        self._keys = keys
        self._line = _Line(os.getpid())
        self._quiet_until = float("-inf")

    def send(self, update: Update) -> bool:
        """As `push`, for an update that exists already. Returns whether it was handed over, within the time-out."""
        return self.deliver(update)

    def deliver(self, update: Update) -> bool:
        """As `send`."""
        why = self._try(update)
        if why is None:
            return True
        self._drop(update, why)
        return False

    def close(self) -> None:
        """Let go of the connection. What is queued is still delivered in the background, for LINGER at most; never blocks.

        A push after it opens a new connection.
        """
        line = self._own_line()
        if line.lock.acquire(timeout=self._timeout_s):
            try:
                line.close()
            finally:
                line.lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    # -- inside

    def _try(self, update: Update) -> str | None:
        """None, or why it was not sent."""
        timeout_s = 0.0 if _in_loop() else self._timeout_s
        limit = time.monotonic() + timeout_s
        try:
            data = update.encode()
            if len(data) > MAX_BYTES:
                return f"{len(data)} bytes are more than {MAX_BYTES}"
            line = self._own_line()
            # One time-out for everything: behind another thread that waits for the bridge, and on our own account.
            if not line.lock.acquire(timeout=timeout_s):
                return "another thread is still sending"
            try:
                if not line.send(data, self, limit):
                    return f"the queue to {self.address} is full"
                self.sent += 1
            finally:
                line.lock.release()
        except Exception as error:  # noqa: BLE001 (whatever it is, the user's request goes on)
            return f"{type(error).__name__}: {error}"
        return None

    def _own_line(self) -> _Line:
        """A fork's child must neither use its parent's connection nor wait for its locks."""
        if self._line.pid != os.getpid():
            _inherited.append(self._line)
            self._line = _Line(os.getpid())
        return self._line

    def _drop(self, update: Update, why: str) -> None:
        with self._own_line().counting:
            self.dropped += 1
            now = time.monotonic()
            if now < self._quiet_until:
                return
            self._quiet_until = now + LOG_EVERY_S
        _log.warning("update of %s dropped: %s (%d dropped so far)", update.form, why, self.dropped)


class _Line:
    """One process's connection of a pusher. Whoever calls a method holds the lock."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.lock = threading.Lock()
        # For what was not sent, which must not wait for somebody who is sending.
        self.counting = threading.Lock()
        self._socket: zmq.Socket[bytes] | None = None
        self._closer: weakref.finalize[[zmq.Socket[bytes], int], _Line] | None = None
        self._stuck = False

    def send(self, data: bytes, pusher: Pusher, limit: float) -> bool:
        """False when there was no room until the limit."""
        connection = self._socket or self._open(pusher)
        # Once it has waited in vain it no longer waits, until something gets through: with the bridge down one request is 200 ms
        # late, not each of them.
        wait_ms = 0 if self._stuck else max(0, round((limit - time.monotonic()) * 1000))
        self._stuck = not connection.poll(wait_ms, zmq.POLLOUT)
        if self._stuck:
            return False
        try:
            connection.send(data, zmq.NOBLOCK)
        except zmq.Again:
            self._stuck = True
            return False
        return True

    def close(self) -> None:
        """Returns at once; ZeroMQ lingers in the background."""
        if self._closer is not None:
            # Not by calling it: at the end of a process that does nothing, if others (SQLAlchemy) have registered with `weakref`.
            self._closer.detach()
        if self._socket is not None:
            _close(self._socket, self.pid)
        self._socket = self._closer = None

    def _open(self, pusher: Pusher) -> zmq.Socket[bytes]:
        connection = _context().socket(zmq.PUSH)
        try:
            connection.setsockopt(zmq.LINGER, pusher._linger_ms)
            if pusher._keys is not None:
                pusher._keys.apply(connection)
            connection.connect(pusher.address)
        except BaseException:
            connection.close(0)
            raise
        self._socket = connection
        # For `Pusher().push(...)` in one line: the pusher is gone right after, its message must not be.
        self._closer = weakref.finalize(self, _close, connection, self.pid)
        self._closer.atexit = False
        _lines.add(self)
        return connection


def _in_loop() -> bool:
    """Whether this thread runs an asyncio loop at this moment. Where asyncio was never imported, none does."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _context() -> zmq.Context[zmq.Socket[bytes]]:
    """ZeroMQ's context (its thread): one per process, shared by all pushers."""
    pid = os.getpid()
    context = _contexts.get(pid)
    if context is None:
        made = zmq.Context()
        context = _contexts.setdefault(pid, made)
        if context is not made:  # another thread was first
            made.term()
    return context


def _close(connection: zmq.Socket[bytes], pid: int) -> None:
    if pid == os.getpid():
        connection.close()


@atexit.register
def _end() -> None:
    """Let what is queued leave, for LINGER at most: a context that is not ended takes it along when the process goes."""
    context = _contexts.pop(os.getpid(), None)
    if context is None:
        return
    for line in list(_lines):
        if line.pid == os.getpid():
            # A thread that is still sending has the lock for no longer than its time-out; ending with an open socket waits for ever.
            with line.lock:
                line.close()
    context.term()


_contexts: dict[int, zmq.Context[zmq.Socket[bytes]]] = {}
_lines: weakref.WeakSet[_Line] = weakref.WeakSet()
# What a fork's child has from its parent. Kept, since it is not ours to close.
_inherited: list[_Line] = []
