"""Many subscribers: `python -m tests.faults.listeners ws://127.0.0.1:PORT/ws RECORD FOLLOWS WANDERERS`, a process of its own.

FOLLOWS is a JSON list: the forms of each subscriber. The first WANDERERS of them leave their line at random and come back. All
follow the rule of docs/reference/wamp.md: subscribe, ask for what came meanwhile, then take what comes in its order. What they hear
goes to the file RECORD as it comes (delivered.py).

Standard input: one command a line. Standard output: one JSON object for each.

    ready    when everybody follows all that is theirs: {subscribers}
    know     {form: number}: when everybody knows these numbers and the record is written, or after too long: {behind}
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, TextIO
from urllib.parse import urlsplit

import msgspec

from tests.faults.crowd import Closed, Line, Refused, retried
from tests.faults.delivered import Heard, Kind, written

FORM = "com.example.form.delivery."
JOINING_AT_ONCE = 40
# Somebody who is not let in comes back later each time, as a page does: else a busy router never gets to anything else.
FIRST_S, MOST_S = 1.0, 15.0
STAYS_S, STAYS_AWAY_S = (0.5, 4.0), (0.0, 2.0)
KNOW_WITHIN_S = 180

EVENT = b"[36,"
_decode = msgspec.json.decode


class EventLine(Line):
    """A line that hands on events, read in the cheap way."""

    listener: Listener

    def _heard(self, payload: bytes) -> None:
        if payload.startswith(EVENT):
            self.listener.told(_decode(payload)[5])
        else:
            self._received(_decode(payload))


class Listener:
    """One subscriber and what it knows of its forms."""

    def __init__(self, number: int, forms: Sequence[int], url: str, door: asyncio.Semaphore, record: TextIO, wanders: bool) -> None:
        self.forms = forms
        self.known = dict.fromkeys(forms, 0)
        # Asked for, and not answered yet.
        self.behind = set(forms)
        self._number = number
        self._url = urlsplit(url)
        self._door = door
        self._record = record
        self._wanders = wanders
        self._held: list[tuple[int, int, int]] = []
        self._line: EventLine | None = None
        self._joined = False
        self._gaps = asyncio.Event()

    async def live(self) -> None:
        failures = 0
        while True:
            try:
                await self._attend()
                failures = 0
            except (Closed, Refused, OSError, TimeoutError):
                failures = 0 if self._joined else failures + 1
            finally:
                if self._line is not None:
                    self._line.transport.abort()
            away_s = random.uniform(*STAYS_AWAY_S) if self._wanders else 0.0
            await asyncio.sleep(away_s + random.random() * min(MOST_S, FIRST_S * 2**failures))

    async def _attend(self) -> None:
        """As long as the line stands."""
        host, port = self._url.hostname or "", self._url.port or 0
        self._joined = False
        async with self._door:
            loop = asyncio.get_running_loop()
            _, line = await loop.create_connection(lambda: EventLine(f"{host}:{port}", self._url.path), host, port)
            line.listener, self._line = self, line
            self._write("began")
            self.behind, self._held = set(self.forms), []
            await line.join(f"listener-{self._number}")
            for form in self.forms:
                await line.subscribe(f"{FORM}{form}")
        self._joined = True
        self._gaps.set()
        until = time.monotonic() + random.uniform(*STAYS_S) if self._wanders else float("inf")
        waiting = asyncio.create_task(self._gaps.wait())
        try:
            while not line.closed.done() and time.monotonic() < until:
                if self._gaps.is_set():
                    self._gaps.clear()
                    for form in sorted(self.behind):
                        await self._catch_up(line, form)
                if waiting.done():
                    waiting = asyncio.create_task(self._gaps.wait())
                left = until - time.monotonic() if self._wanders else None
                await asyncio.wait([line.closed, waiting], timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    async def _catch_up(self, line: EventLine, form: int) -> None:
        known = self.known[form]
        since: int | None = known
        while since is not None:
            answer = await retried(partial(self._asked, line, form, since))
            for update in answer["updates"]:
                before, number = update["change_set"]["n"]
                self._write("kept", form, update["seq"], update["seq"], update["source"], before, number)
                self._apply(form, update["seq"], update["seq"])
            if not answer["complete"]:
                self._write("cut", form, since, answer["seq"])
            # What does not fit into one answer is in the next.
            since = answer.get("until")
        self._write("answered", form, known, answer["seq"])
        self.behind.discard(form)
        held, self._held = self._held, []
        for one in held:
            if one[0] == form:
                self._apply(*one)
            else:
                self._held.append(one)

    async def _asked(self, line: EventLine, form: int, since: int) -> dict[str, Any]:
        while not line.closed.done():
            try:
                return await line.call("updates", form=f"{FORM}{form}", since=since)
            except TimeoutError:
                # The line stands, so it is only late: asked again, and not sooner than it takes.
                await asyncio.sleep(random.random() * FIRST_S)
        raise Closed

    def told(self, facts: dict[str, Any]) -> None:
        """An event; `subscribed` and the like are no updates."""
        if facts.get("status") != "updated":
            return
        form, seq = int(facts["form"].rpartition(".")[2]), facts["seq"]
        first = facts.get("first", seq)
        before, number = facts["change_set"]["n"]
        self._write("event", form, first, seq, facts["source"], before, number)
        if form in self.behind:
            self._held.append((form, first, seq))
        else:
            self._apply(form, first, seq)

    def _apply(self, form: int, first: int, seq: int) -> None:
        known = self.known[form]
        if first > known + 1:
            self.behind.add(form)
            self._gaps.set()
        elif seq > known:
            self.known[form] = seq

    def _write(self, kind: Kind, *facts: Any) -> None:
        self._record.write(written((Heard(self._number, kind, *facts),)))


async def ready(listeners: list[Listener]) -> dict[str, Any]:
    while any(listener.behind for listener in listeners):
        await asyncio.sleep(0.05)
    return {"subscribers": len(listeners)}


async def know(listeners: list[Listener], numbers: dict[str, int]) -> dict[str, Any]:
    limit = time.monotonic() + KNOW_WITHIN_S
    while True:
        behind = sum(listener.known[form] < numbers.get(str(form), 0) for listener in listeners for form in listener.forms)
        if not behind or time.monotonic() > limit:
            return {"behind": behind}
        await asyncio.sleep(0.05)


async def main(url: str, record: TextIO, follows: list[list[int]], wanderers: int) -> None:
    door = asyncio.Semaphore(JOINING_AT_ONCE)
    listeners = [Listener(n, forms, url, door, record, n < wanderers) for n, forms in enumerate(follows)]
    lives = [asyncio.create_task(listener.live()) for listener in listeners]
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while command := (await commands.readline()).decode().strip():
        answer = await (ready(listeners) if command == "ready" else know(listeners, json.loads(command.partition(" ")[2])))
        record.flush()
        print(json.dumps(answer), flush=True)  # noqa: T201 (the answer)
    for life in lives:
        if life.done() and not life.cancelled():
            life.result()
        life.cancel()


if __name__ == "__main__":
    with open(sys.argv[2], "w") as file:
        asyncio.run(main(sys.argv[1], file, json.loads(sys.argv[3]), int(sys.argv[4])))
