"""The thread that writes into the spool and drains it: one per process and spool, so that requests that spool at the same time share
one write to the disk, and a disk that hangs holds up this thread and not them.

One process drains at a time. The updates of a form go one after the other, each after the bridge's answer to the one before; those
of different forms go at once, up to a window.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from formlock_push.circuit import Circuit
from formlock_push.letter import Answer, Letter
from formlock_push.line import Line
from formlock_push.spool import Spool, Unusable

WINDOW = 64
# Read from the spool at once: so many, of so many bytes.
READ = 256
READ_BYTES = 4 * 1024 * 1024
# Written at once.
BATCH = 512
# After a "busy" or a lost connection, and then twice as long each time, up to the second.
REST_S = 0.1
MAX_REST_S = 5.0
# Another process may be draining, or may have died over it; or have left something.
LOOK_S = 0.5
LOOK_IDLE_S = 5.0

_log = logging.getLogger("formlock_push")


@dataclass(frozen=True, slots=True)
class Counted:
    """What the keeper tells of its work; called in its thread."""

    drained: Callable[[int], None]
    refused: Callable[[Letter, Answer], None]


class Keeper:
    """Everything but `start` and `join` may be called from any thread, at any time."""

    def __init__(self, spool: Spool, line: Line, circuit: Circuit, counted: Counted) -> None:
        self._spool = spool
        self._line = line
        self._circuit = circuit
        self._counted = counted
        self._inbox: queue.SimpleQueue[Letter | tuple[Letter, Answer] | None] = queue.SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="formlock-push-keeper", daemon=True)
        # What has been read and waits for its turn, by form; forms in `_ready` have nothing in flight.
        self._queues: dict[str, deque[Letter]] = {}
        self._ready: deque[str] = deque()
        self._flying: dict[int, Letter] = {}
        self._read_to = 0
        self._opened = 0
        # One at a time until one has got through.
        self._probing = True
        self._rest_s = REST_S
        self._rests_until = 0.0
        self._look_at = 0.0
        # Answered, and the spool does not know it yet.
        self._arrived: list[Letter] = []
        self._refused: list[tuple[Letter, str, str]] = []
        self._settling = threading.Lock()

    def start(self) -> None:
        """Begins with looking what a process before this one has left."""
        self._thread.start()

    def add(self, letter: Letter) -> None:
        """Into the spool; `letter.wrote` is set when it is there, or is known not to be."""
        self._inbox.put(letter)

    def answered(self, letter: Letter, answer: Answer) -> None:
        """To a letter that is in the spool, or is to be put aside there."""
        self._inbox.put((letter, answer))

    def wake(self) -> None:
        """Something has changed: look now."""
        self._inbox.put(None)

    def wait_counted(self, timeout_s: float) -> None:
        """Until what the spool no longer has is counted, too."""
        if self._settling.acquire(timeout=timeout_s):
            self._settling.release()

    def stop(self) -> None:
        """Soon, when what has been added is written."""
        self._stopped = True
        self._inbox.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait for its end."""
        self._thread.join(timeout_s)

    # -- in the keeper's thread

    def _run(self) -> None:
        while not self._stopped:
            self._turn(*self._gather(self._until_next()))
        while self._inbox.qsize():
            self._turn(*self._gather(0.0))
        self._spool.close()

    def _turn(self, letters: list[Letter], answers: list[tuple[Letter, Answer]]) -> None:
        for letter, answer in answers:
            self._take(letter, answer)
        steps: tuple[Callable[[], None], ...] = (partial(self._write, letters), self._settle, self._drain)
        for step in steps:
            try:
                step()
            except Unusable as error:
                # Whoever waits for it is told; the file is tried again.
                _log.debug("the spool is unusable: %s", error)
                self._look_at = time.monotonic() + LOOK_S
            except Exception:  # noqa: BLE001 (without this thread nothing is spooled any more)
                _log.exception("the keeper of the spool goes on")
                self._look_at = time.monotonic() + LOOK_S
        for letter in letters:
            if not letter.wrote.is_set():
                letter.written = letter.written or "the spool could not be written"
                letter.wrote.set()

    def _gather(self, timeout_s: float) -> tuple[list[Letter], list[tuple[Letter, Answer]]]:
        letters: list[Letter] = []
        answers: list[tuple[Letter, Answer]] = []
        with suppress(queue.Empty):
            item = self._inbox.get(timeout=timeout_s)
            while True:
                if isinstance(item, Letter):
                    letters.append(item)
                elif item is not None:
                    answers.append(item)
                else:
                    self._look_at = 0.0
                if len(letters) + len(answers) >= BATCH:
                    break
                item = self._inbox.get_nowait()
        return letters, answers

    def _until_next(self) -> float:
        now = time.monotonic()
        at = self._look_at
        if self._queues and self._rests_until > now:
            at = min(at, self._rests_until)
        if self._circuit.down:
            at = min(at, self._circuit.rests_until if self._circuit.rests_until > now else now + LOOK_S)
        return max(0.0, at - now)

    def _write(self, letters: list[Letter]) -> None:
        wanted = [letter for letter in letters if not letter.abandoned]
        if not wanted:
            return
        try:
            verdicts = self._spool.add(wanted)
        except Exception as error:
            for letter in wanted:
                letter.written = str(error)
            raise
        for letter, verdict in zip(wanted, verdicts, strict=True):
            letter.written = verdict
            letter.wrote.set()
        self._look_at = 0.0
        # The disk took longer than its caller could wait. He was told that it is lost, and what he has pushed since may have gone
        # directly: it must not come behind that.
        if late := [letter for letter in wanted if letter.abandoned]:
            self._spool.settle(late)

    def _take(self, letter: Letter, answer: Answer) -> None:
        """An answer; a late one, to a letter that meanwhile waits in the spool, counts as well."""
        flying = self._flying.get(letter.row or 0)
        # That the request's own sending was lost says nothing of the one in flight, which has the same row.
        mine = flying is not None and (answer.final or flying is letter)
        if mine:
            del self._flying[letter.row or 0]
        if answer.acknowledged:
            self._arrived.append(letter)
        elif answer.final:
            self._refused.append((letter, answer.error or "", answer.message))
            self._counted.refused(letter, answer)
        if answer.final:
            self._probing = False
            self._rest_s = REST_S
            self._circuit.recover(time.monotonic())
        elif mine:
            self._queues.setdefault(letter.form, deque()).appendleft(letter)
            self._probing = True
            self._rests_until = time.monotonic() + self._rest_s
            self._rest_s = min(MAX_REST_S, 2 * self._rest_s)
        if mine:
            if self._queues.get(letter.form):
                self._ready.append(letter.form)
            else:
                self._queues.pop(letter.form, None)

    def _settle(self) -> None:
        if not self._arrived and not self._refused:
            return
        arrived, refused = self._arrived, self._refused
        with self._settling:
            drained = self._spool.settle(arrived, refused)
            self._arrived, self._refused = [], []
            self._counted.drained(drained)

    def _drain(self) -> None:
        now = time.monotonic()
        if self._stopped or now < self._rests_until:
            return
        if not self._line.up:
            self._forget()
            self._spool.release()
            self._look_at = now + LOOK_IDLE_S  # or as soon as it is up
            return
        if not self._flying and not self._queues and now < self._look_at and not self._circuit.down:
            return
        if not self._spool.exists():
            self._look_at = now + LOOK_IDLE_S
            self._circuit.recover(now)
            return
        if not self._spool.lease():
            self._forget()
            self._look_at = now + LOOK_S
            if not self._spool.waiting().messages:
                self._circuit.recover(now)
            return
        self._read(now)
        window = 1 if self._probing else WINDOW
        while self._ready and len(self._flying) < window:
            self._send(self._ready.popleft())

    def _read(self, now: float) -> None:
        """Enough to fill the window; when there is nothing, somebody else may be the one that drains."""
        if self._spool.opened != self._opened:
            self._forget()
        if len(self._ready) < WINDOW and sum(map(len, self._queues.values())) < READ:
            letters = self._spool.after(self._read_to, READ, READ_BYTES)
            # Reading may have opened the file, or another one.
            self._opened = self._spool.opened
            for letter in letters:
                self._read_to = letter.row or 0
                waiting = self._queues.get(letter.form)
                if waiting is None:
                    waiting = self._queues[letter.form] = deque()
                    self._ready.append(letter.form)
                waiting.append(letter)
        if self._queues or self._flying:
            self._look_at = now + LOOK_S
        else:
            self._spool.release()
            self._look_at = now + LOOK_IDLE_S
            self._circuit.recover(now)

    def _send(self, form: str) -> None:
        waiting = self._queues[form]
        letter = waiting.popleft()
        self._flying[letter.row or 0] = letter
        # An empty queue stays while its letter is in flight: it says that the form is not ready.
        self._line.submit(letter)

    def _forget(self) -> None:
        """What was read: it is still in the spool, and answers to what is in flight still count."""
        self._queues.clear()
        self._ready.clear()
        self._flying.clear()
        self._read_to = 0
        self._probing = True
