"""Backends that push: `python -m tests.faults.senders tcp://ADDRESS FOLDER SENDERS MESSAGES FORMS RATE SEED`, a process of its own.

Half of them are threads with a ReliablePusher that they share; the others have a DEALER each and nothing but the contract: a message
that is not answered in time is sent again, over the same socket, until it is. Of one form each has only one message under way, so
what it sends is in its order. What each was answered goes to the file `sent` (delivered.py).

Standard input: how much of it may be sent by now, a number up to 1 a line. Standard output: one JSON object every fifth of a second,
`{"sent": ...}`, and at the end the counters too.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zmq

from formlock_push import Outcome, ReliablePusher, Update
from formlock_push.spool import Bounds
from tests.faults.delivered import Sent, written
from tests.faults.listeners import FORM

# Long, since the machine that tests is busy, and what a spool did not take in time is promised to nobody.
TIMEOUT_MS = 20_000
AGAIN_AFTER_S = 1.0
UNDER_WAY = 32
FLUSH_WITHIN_S = 240


class Gate:
    """How much all may have sent by now, as whoever started us says."""

    def __init__(self) -> None:
        self._part = 0.0
        self._opened = threading.Condition()

    def listen(self) -> None:
        for line in sys.stdin:
            with self._opened:
                self._part = float(line)
                self._opened.notify_all()

    def open(self, part: float) -> bool:
        """Whether this part may be sent by now."""
        return part <= self._part

    def wait(self, part: float) -> None:
        """Until it may."""
        with self._opened:
            self._opened.wait_for(lambda: self.open(part))


class Sender:
    """What each kind has: whose turn it is, and how fast."""

    def __init__(self, name: str, gate: Gate, messages: int, forms: int, rate: float, chance: random.Random) -> None:
        self.name = name
        self.done: list[Sent] = []
        self.again = 0
        self.longest_s = 0.0
        self.failure: BaseException | None = None
        self._gate = gate
        self._messages = messages
        self._forms = forms
        self._pause_s = 1 / rate if rate else 0.0
        self._chance = chance
        self._last: Counter[int] = Counter()

    def run(self) -> None:
        try:
            self.send_all()
        except BaseException as error:  # noqa: BLE001 (told by the main thread)
            self.failure = error

    def send_all(self) -> None:
        raise NotImplementedError

    def pause(self, part: float) -> None:
        """Until this part may be sent."""
        self._gate.wait(part)

    def updates(self) -> Iterator[tuple[int, int, Update]]:
        """(form, number, update) at the pace; who is late does not hurry afterwards."""
        due = time.monotonic()
        for nth in range(self._messages):
            self.pause((nth + 1) / self._messages)
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due, time.monotonic() - 1) + self._pause_s
            form = self._chance.randrange(self._forms)
            before, number = self._last[form], self._last[form] + 1
            self._last[form] = number
            yield form, number, Update(
                form=f"{FORM}{form}", id=f"{number}", source=self.name, actor={"user": self.name}, version=number,
                change_set={"n": [before, number]},
            )  # fmt: skip


class Reliable(Sender):
    """A thread of a web application."""

    def __init__(self, pusher: ReliablePusher, *given: Any) -> None:
        super().__init__(*given)
        self._pusher = pusher

    def send_all(self) -> None:
        outcomes = {Outcome.ACKNOWLEDGED: "acknowledged", Outcome.SPOOLED: "spooled", Outcome.REFUSED: "refused"}
        for form, number, update in self.updates():
            begun = time.monotonic()
            outcome = outcomes.get(self._pusher.deliver(update), "unknown")
            self.longest_s = max(self.longest_s, time.monotonic() - begun)
            self.done.append(Sent(self.name, form, number, outcome))  # type: ignore[arg-type]


class Raw(Sender):
    """A DEALER that sends again. Its own copies may wait in ZeroMQ's queue while the bridge is away: they are duplicates then."""

    def __init__(self, context: zmq.Context[Any], address: str, *given: Any) -> None:
        super().__init__(*given)
        self._socket = context.socket(zmq.DEALER)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.RECONNECT_IVL, 50)
        self._socket.set(zmq.RECONNECT_IVL_MAX, 500)
        self._socket.connect(address)
        # By form and number, as an answer tells them: the message and when to send it again.
        self._under_way: dict[tuple[str, str], tuple[int, int, bytes, float]] = {}

    def send_all(self) -> None:
        for form, number, update in self.updates():
            while len(self._under_way) >= UNDER_WAY or any(form == other for other, *_ in self._under_way.values()):
                self._hear(50)
            self._send(form, number, update.encode())
            self._hear(0)
        while self._under_way:
            self._hear(50)
        self._socket.close()

    def pause(self, part: float) -> None:
        """What is under way is looked after first."""
        while self._under_way and not self._gate.open(part):
            self._hear(50)
        super().pause(part)

    def _send(self, form: int, number: int, message: bytes) -> None:
        self._socket.send(message)
        self._under_way[f"{FORM}{form}", str(number)] = (form, number, message, time.monotonic() + AGAIN_AFTER_S)

    def _hear(self, wait_ms: int) -> None:
        while self._socket.poll(wait_ms):
            wait_ms = 0
            answer = json.loads(self._socket.recv())
            if answer.get("error") and answer["retry"]:
                continue  # it is sent again in its time
            name = (answer.get("form"), answer["id"])
            if answer.get("error"):
                name = next(name for name in self._under_way if name[1] == answer["id"])
            if name in self._under_way:
                form, number, _, _ = self._under_way.pop(name)
                outcome = "refused" if answer.get("error") else "acknowledged"
                self.done.append(Sent(self.name, form, number, outcome, answer.get("seq", 0), answer.get("epoch", "-")))  # type: ignore[arg-type]
        now = time.monotonic()
        for form, number, message, again_at in list(self._under_way.values()):
            if again_at < now:
                self.again += 1
                self._send(form, number, message)


def main(address: str, folder: Path, senders: int, messages: int, forms: int, rate: float, seed: int) -> None:
    context: zmq.Context[Any] = zmq.Context()
    bounds = Bounds(max_messages=max(100_000, messages))
    with ReliablePusher(address, spool=folder / "spool", timeout_ms=TIMEOUT_MS, bounds=bounds) as pusher:
        all_: list[Sender] = []
        gate = Gate()
        threading.Thread(target=gate.listen, daemon=True).start()
        for number in range(senders):
            share = messages // senders + (number < messages % senders)
            given = (f"s{number}", gate, share, forms, rate / senders, random.Random(f"{seed} {number}"))
            all_.append(Reliable(pusher, *given) if number % 2 == 0 else Raw(context, address, *given))
        threads = [threading.Thread(target=sender.run, daemon=True) for sender in all_]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.2)
            tell(sent=sum(len(sender.done) for sender in all_))
        for sender in all_:
            if sender.failure is not None:
                raise sender.failure
        flushed = pusher.flush(FLUSH_WITHIN_S)
        (folder / "sent").write_text("".join(written(sender.done) for sender in all_))
        tell(
            sent=messages, flushed=flushed, spooled=pusher.spooled, dropped=pusher.dropped, refused=pusher.refused,
            again=sum(sender.again for sender in all_), longest_ms=round(max(sender.longest_s for sender in all_) * 1000),
        )  # fmt: skip


def tell(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)  # noqa: T201 (what it is for)


if __name__ == "__main__":
    given = sys.argv[1:]
    main(given[0], Path(given[1]), *map(int, given[2:5]), float(given[5]), int(given[6]))  # type: ignore[misc]
