"""The connection to the bridge's acknowledged way in: one thread owns the socket, any number of threads have letters on it.

A thread of its own, since a ZeroMQ socket belongs to one, and since answers come late: after their caller has gone, or while another
one waits.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import zmq

from formlock_push.dealer import RECONNECT_MAX_MS, Dealer, News
from formlock_push.keys import Keys
from formlock_push.letter import LOST, Answer, Letter

# A bridge that has said nothing for so long to anything is as good as away: everything is asked anew over a new connection.
SILENT_S = 5.0
LOG_EVERY_S = 10.0

_log = logging.getLogger("formlock_push")


class Line:
    """`answered(letter, answer)` and `connected(whether)` are called in the line's own thread, and must be quick.

    Whatever is submitted is answered once: by the bridge, or with LOST. `up` says whether the connection stands at this moment; None
    as long as the first attempt is still under way.
    """

    def __init__(
        self,
        address: str,
        keys: Keys | None,
        *,
        answered: Callable[[Letter, Answer], None],
        connected: Callable[[bool], None],
        silent_s: float = SILENT_S,
    ) -> None:
        self.up: bool | None = None
        self._address = address
        self._keys = keys
        self._answered = answered
        self._connected = connected
        self._silent_s = silent_s
        self._outgoing: deque[Letter] = deque()
        # By id, each with when it was sent. Two sources may use the same id: their answers come in the order of the letters.
        self._pending: dict[str, deque[tuple[Letter, float]]] = {}
        self._stopped = False
        self._ended = False
        self._quiet_until = 0.0
        self._ear, self._bell = socket.socketpair()
        self._ear.setblocking(False)
        self._bell.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="formlock-push-line", daemon=True)

    def start(self) -> None:
        """Connects in the background."""
        self._thread.start()

    def submit(self, letter: Letter) -> None:
        """Send it as soon as the connection stands. From any thread."""
        self._outgoing.append(letter)
        self._ring()

    def stop(self) -> None:
        """Soon; what has no answer by then is LOST."""
        self._stopped = True
        self._ring()

    def join(self, timeout_s: float) -> None:
        """Wait for its end."""
        self._thread.join(timeout_s)

    def _ring(self) -> None:
        # Full: it will wake up anyway. Closed: it has ended.
        with suppress(OSError):
            self._bell.send(b"!")

    # -- in the line's thread

    def _run(self) -> None:
        context = zmq.Context()
        try:
            while not self._stopped:
                try:
                    self._connection(context)
                except Exception as error:  # noqa: BLE001 (an address that is none, a thread must not die of it)
                    self._say("no connection to %s: %s: %s", self._address, type(error).__name__, error)
                    self._turn(up=False)
                    self._lose()
                    self._sleep(1.0)
        finally:
            self.up = False
            self._lose()
            self._ear.close()
            self._bell.close()
            context.destroy(linger=0)

    def _connection(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        """One socket's life; ends when the bridge has been silent for too long, or does not know our keys."""
        dealer = Dealer(context, self._address, self._keys)
        self._ended = False
        try:
            self._serve(dealer)
        finally:
            dealer.close()
            self._lose()
        if self._ended:
            self._sleep(RECONNECT_MAX_MS / 1000)

    def _serve(self, connection: Dealer) -> None:
        dealer = connection.socket
        poller = zmq.Poller()
        poller.register(connection.monitor, zmq.POLLIN)
        poller.register(self._ear.fileno(), zmq.POLLIN)
        while not self._stopped and not self._ended:
            # Writable is asked for only while something is to be sent over a connection that stands: else it is always so.
            poller.register(dealer, zmq.POLLIN | (zmq.POLLOUT if self.up and self._outgoing else 0))
            poller.poll(self._until_silent_ms())
            self._hear()
            self._receive(dealer)
            for news in connection.news():
                self._watch(news)
            self._send(dealer)
            if self.up is False and self._outgoing:
                self._lose()
            if self._pending and self._until_silent_ms() == 0:
                self._say("the bridge at %s has not answered for %g s", self._address, self._silent_s)
                self._turn(up=False)
                self.up = None
                return

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            while self._ear.recv(4_096):
                pass

    def _receive(self, dealer: zmq.Socket[bytes]) -> None:
        while dealer.poll(0):
            frames = dealer.recv_multipart(zmq.NOBLOCK)
            try:
                answer = Answer.decode(frames[-1])
            except ValueError as error:
                self._say("the bridge at %s has answered something strange: %s", self._address, error)
                continue
            letter = self._whose(answer)
            if letter is not None:
                self._answered(letter, answer)

    def _whose(self, answer: Answer) -> Letter | None:
        # An answer without an id is one to a message that could not be read; answers keep the order, so it is the oldest's.
        name = answer.id if answer.id is not None else next(iter(self._pending), None)
        waiting = self._pending.get(name) if name is not None else None
        if name is None or waiting is None:
            return None
        letter, _ = waiting.popleft()
        if not waiting:
            del self._pending[name]
        return letter

    def _send(self, dealer: zmq.Socket[bytes]) -> None:
        while self.up and self._outgoing:
            letter = self._outgoing[0]
            if not letter.withdrawn:
                try:
                    dealer.send(letter.data, zmq.NOBLOCK)
                except zmq.Again:
                    return
                self._pending.setdefault(letter.id, deque()).append((letter, time.monotonic()))
            self._outgoing.popleft()

    def _watch(self, news: News) -> None:
        if news is News.UP:
            self._turn(up=True)
            return
        # What was on this connection gets no answer any more, and nobody need wait for the next one.
        self._turn(up=False)
        self._lose()
        self._ended = self._ended or news is News.ENDED
        if news is News.ENDED or (news is News.DOUBTFUL and self._keys is not None):
            self._say("the bridge at %s has ended the connection before it stood: the keys may not be right", self._address)

    def _turn(self, *, up: bool) -> None:
        if self.up is not up:
            self.up = up
            self._connected(up)

    def _lose(self) -> None:
        lost = [letter for waiting in self._pending.values() for letter, _ in waiting]
        self._pending.clear()
        while self._outgoing:
            lost.append(self._outgoing.popleft())
        for letter in lost:
            self._answered(letter, LOST)

    def _until_silent_ms(self) -> int | None:
        if not self._pending:
            return None
        oldest = next(iter(self._pending.values()))[0][1]
        return max(0, round((oldest + self._silent_s - time.monotonic()) * 1000))

    def _sleep(self, seconds: float) -> None:
        poller = zmq.Poller()
        poller.register(self._ear.fileno(), zmq.POLLIN)
        limit = time.monotonic() + seconds
        while not self._stopped and (left := limit - time.monotonic()) > 0:
            poller.poll(max(1, round(left * 1000)))
            self._hear()
            self._lose()

    def _say(self, line: str, *facts: object) -> None:
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + LOG_EVERY_S
            _log.warning(line, *facts)
