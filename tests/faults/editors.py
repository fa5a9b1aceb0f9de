"""People at their forms: clients that lock, renew, unlock, take over, wait in line, leave and come back at random.

What they are answered is written down. Each counts its leases from its own sending, as the browser package does."""

from __future__ import annotations

import random
import time
from typing import Any

from autobahn.exception import Disconnected
from autobahn.wamp.exception import TransportLost
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.task import deferLater

from tests.faults.history import Call, Cut, History, Operation, Outcome, Tab
from tests.support.client import Client, Refused, joined

CALL_WITHIN_S = 4
JOIN_WITHIN_S = 4
# Between two things that somebody does.
MAX_PAUSE_S = 0.25
# Longer than what is waited for a sign of life, and sometimes than a lease.
SLEEPS_S = (1.0, 8.0)
FORGETS = 0.95

# How likely each is, for whoever has the form and for whoever has it not.
HOLDING: dict[str, int] = {"renew": 40, "unlock": 22, "leaving": 12, "lock": 6, "status": 8, "drop": 4, "leave": 3, "sleep": 6}
WANTING: dict[str, int] = {"lock": 40, "wait": 12, "takeover": 4, "status": 15, "leave_queue": 5, "drop": 2, "leave": 1}
PROCEDURES: dict[Call, str] = {
    "lock": "lock", "wait": "lock", "unlock": "unlock", "leaving": "unlock", "renew": "renew", "takeover": "takeover",
    "leave_queue": "leave_queue", "status": "status",
}  # fmt: skip
GRANTED: dict[str, Outcome] = {"lock": "granted", "queued": "queued"}
# They say that nothing is known of what became of the call.
UNKNOWN = ("not_active", "no_such_procedure", "canceled")
LINE_LOST = (TransportLost, Disconnected, ConnectError, ConnectionClosed, DeferredTimeoutError, CancelledError)


class Editor:
    """One tab, at work on `forms`. The first is a quiet one: nobody waits for it, and who has it mostly forgets it, so that its
    leases end by themselves."""

    def __init__(self, ws_url: str, owner: Tab, forms: list[str], history: History, chance: random.Random) -> None:
        self.owner = owner
        self.ended = False
        self.joins = 0
        self._ws_url = ws_url
        self._forms = forms
        self._history = history
        self._chance = chance
        self._client: Client | None = None
        self._mine: dict[str, int] = {}
        self._believed: set[str] = set()
        self._others: dict[str, int] = {}
        self._attempts: dict[str, str] = {}
        self._urgent: list[tuple[str, Call]] = []

    async def work(self) -> None:
        """Until `ended`."""
        while not self.ended:
            try:
                client = self._client or await self._join()
                await self._do_something(client)
            except LINE_LOST:
                self._lose_line("no answer")
            await deferLater(reactor, self._chance.uniform(0, MAX_PAUSE_S))

    async def look(self, form: str) -> Operation:
        """`status`, as often as it takes."""
        while True:
            try:
                client = self._client or await self._join()
                operation = await self._call(client, form, "status")
            except LINE_LOST:
                self._lose_line("no answer")
            else:
                if operation.outcome == "seen":
                    return operation
            await deferLater(reactor, 0.1)

    def go(self) -> None:
        """At the end."""
        self._lose_line("the end")

    # -- the line

    async def _join(self) -> Client:
        joining = ensureDeferred(joined(self._ws_url, self.owner.user))
        try:
            client: Client = await joining.addTimeout(JOIN_WITHIN_S, reactor)
        except AssertionError:
            # Not let in: the router is there, and what answers its questions is not yet.
            raise TransportLost from None
        self._client = client
        self.joins += 1
        client.session.on("disconnect", lambda *_, **__: self._line_lost(client))
        client.heard = self._heard
        for form in self._forms:
            await client.subscribe(form)
        return client

    def _line_lost(self, client: Client) -> None:
        if self._client is client:
            self._lose_line("line lost")

    def _lose_line(self, why: str) -> None:
        client = self._hang_up(why)
        if client is not None:
            client.drop()

    def _hang_up(self, why: str) -> Client | None:
        """Whoever has no line believes nothing; its tokens it keeps, to prove them when it is back."""
        client, self._client = self._client, None
        for form in self._believed:
            self._cut(form, why)
        self._believed.clear()
        return client

    def _heard(self, event: dict[str, Any]) -> None:
        form, token = event["form"], event["token"]
        self._others[form] = token
        if event["status"] == "probe" and form in self._mine:
            self._urgent.append((form, "renew"))
        elif event["status"] == "granted":
            self._urgent.append((form, "lock"))
        elif form in self._mine and (token != self._mine[form] or event["state"] == "free"):
            self._lose(form, f"told: {event.get('cause', event['status'])}")

    # -- what is done

    async def _do_something(self, client: Client) -> None:
        if self._urgent:
            form, what = self._urgent.pop(0)
            await self._call(client, form, what)
            return
        form = self._chance.choice(self._forms)
        quiet = form == self._forms[0]
        if quiet and form in self._mine and self._chance.random() < FORGETS:
            return
        likely = HOLDING if form in self._mine else WANTING
        (what_next,) = self._chance.choices(list(likely), list(likely.values()))
        if quiet and what_next == "wait":
            what_next = "lock"
        if what_next == "drop":
            self._lose_line("dropped")
        elif what_next == "sleep":
            # With the line open, as a frozen tab: leases end by themselves, and signs of life are not given.
            await deferLater(reactor, self._chance.uniform(*SLEEPS_S))
        elif what_next == "leave":
            self._hang_up("goodbye")
            await ensureDeferred(client.leave()).addTimeout(JOIN_WITHIN_S, reactor)
        else:
            await self._call(client, form, what_next)  # type: ignore[arg-type]

    async def _call(self, client: Client, form: str, call: Call) -> Operation:
        operation = Operation(self.owner, form, call, self._now())
        arguments = self._arguments(form, call, operation)
        self._history.operations.append(operation)
        try:
            answer = await ensureDeferred(client.call(PROCEDURES[call], **arguments)).addTimeout(CALL_WITHIN_S, reactor)
        except Refused as error:
            operation.answered = self._now()
            self._refused(operation, error)
        else:
            operation.answered = self._now()
            self._answered(operation, answer)
        return operation

    def _arguments(self, form: str, call: Call, operation: Operation) -> dict[str, Any]:
        """And what is known already as it is sent."""
        if call == "status":
            return {"form": form}
        if call in ("lock", "wait", "takeover"):
            # An attempt without an answer is made again under its name.
            operation.rid = self._attempts.setdefault(form, f"r{self._chance.randrange(10**9)}")
        if call in ("unlock", "leaving", "renew"):
            operation.token = self._mine.get(form) or self._others.get(form, 1)
        if call in ("unlock", "leaving"):
            self._lose(form, call)
        if call == "takeover":
            operation.token = self._others.get(form, 1)
        return {"tab": self.owner.tab} | {
            "lock": {"form": form, "rid": operation.rid},
            "wait": {"form": form, "rid": operation.rid, "wait": True},
            "unlock": {"form": form, "token": operation.token},
            "leaving": {"form": form, "token": operation.token, "leaving": True},
            "renew": {"locks": [{"form": form, "token": operation.token}]},
            "takeover": {"form": form, "expected_token": operation.token, "rid": operation.rid},
            "leave_queue": {"form": form},
        }[call]

    def _answered(self, operation: Operation, answer: dict[str, Any]) -> None:
        form = operation.form
        if operation.call == "renew":
            (answer,) = answer["locks"]
        operation.rev = answer.get("rev")
        match operation.call:
            case "lock" | "wait" | "takeover":
                self._attempts.pop(form, None)
                operation.outcome = GRANTED[answer["event"]]
            case "renew":
                operation.outcome = answer["event"]
            case "unlock" | "leaving" | "leave_queue":
                operation.outcome = "freed"
            case "status":
                operation.outcome = "seen"
                operation.got, operation.holder = answer["token"], _user(answer)
                self._others[form] = answer["token"]
        if operation.outcome in ("granted", "renewed"):
            operation.got, operation.lease_ms = answer["token"], answer["lease_ms"]
            self._mine[form] = answer["token"]
            self._believed.add(form)
        elif operation.outcome == "lost":
            self._lose(form, "lost")

    def _refused(self, operation: Operation, error: Refused) -> None:
        form = operation.form
        if error.name in UNKNOWN:
            return
        self._attempts.pop(form, None)
        match error.name:
            case "form_locked":
                operation.outcome, operation.rev = "locked", error.facts["rev"]
                operation.got, operation.holder = error.facts["token"], _user(error.facts)
                operation.same_user = error.facts["same_user"]
            case "conflict":
                operation.outcome, operation.got = "conflict", error.facts["token"]
            case "lost":
                # Of an attempt: it was granted, and that grant has ended.
                operation.outcome = "lost"
            case _:
                operation.outcome = "wrong"

    def _lose(self, form: str, why: str) -> None:
        self._mine.pop(form, None)
        if form in self._believed:
            self._believed.discard(form)
            self._cut(form, why)

    def _cut(self, form: str, why: str) -> None:
        self._history.cuts.append(Cut(self.owner, form, self._now(), why))

    def _now(self) -> float:
        # The reactor's own seconds are those of the wall.
        return time.monotonic()


def _user(facts: dict[str, Any]) -> str | None:
    return facts["holder"]["user"] if facts["holder"] is not None else None
