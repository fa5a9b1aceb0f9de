"""The bridge component: what backends push comes in, is checked, numbered, and told to everybody who has the form open."""

from __future__ import annotations

import secrets
from typing import Any

from autobahn.exception import Disconnected
from autobahn.wamp.exception import ApplicationError, TransportLost
from autobahn.wamp.types import ComponentConfig
from twisted.python.failure import Failure

from formlock.clock import Timer
from formlock.errors import InvalidArgument, NotAllowed
from formlock.ready import CLAIMS as READY_CLAIMS
from formlock.ready import ROLE as READY_ROLE
from formlock.wamp import Call, ClaimsBook, Event, Session, TwistedClock, log_failure
from formlock_bridge.intake import Rejected, read
from formlock_bridge.journal import Entry, Journal
from formlock_bridge.pull import CannotBind, Pull
from formlock_bridge.redaction import cut
from formlock_bridge.tally import Tally
from formlock_push.message import UPDATED, Update

DEFAULT_PULL = "tcp://127.0.0.1:5555"
# Publishes that the router has not confirmed yet. Full, we read nothing more; half empty, we go on. Small, because a lock call that
# comes meanwhile waits behind them in the router.
MAX_IN_FLIGHT = 64
# Of the messages in one answer of `updates`. As an event JSON can grow fourfold (1e15 becomes 1000000000000000.0), and the router
# ends a component that sends it more than 1 MiB.
MAX_ANSWER_BYTES = 131_072
SUMMARY_MS = 5_000


class BridgeComponent(Session):
    """`extra`: `pull`, the address that backends push to."""

    def __init__(self, config: ComponentConfig) -> None:
        super().__init__(config)
        self._clock = TwistedClock()
        self._claims = ClaimsBook(self, internal={READY_ROLE: READY_CLAIMS})
        self._journal = Journal(secrets.token_hex(4))
        self._pull: Pull | None = None
        self._in_flight = 0
        self._published = 0
        self._tally = Tally()
        self._summary: Timer | None = None

    async def started(self) -> None:
        """Open the way in, hear of sessions, and answer last."""
        address = self.extra.get("pull", DEFAULT_PULL)
        try:
            self._pull = Pull(address, self._received)
        except CannotBind as error:
            self.warn("bridge.cannot_bind", why=error)
            raise
        await self.hear("wamp.session.on_join", self._on_join)
        await self.hear("wamp.session.on_leave", self._on_leave)
        await self.answer(self.uris.procedure("updates"), self._updates)
        self.note("bridge.ready", epoch=self._journal.epoch, pull=address)

    async def ended(self) -> None:
        """Free the port, so that the next session can have it."""
        if self._pull is not None:
            self._pull.close()
        if self._summary is not None:
            self._summary.cancel()
        self._summarize()
        self.note("bridge.ended", published=self._published, **self._tally.total)

    # -- the way in

    def _received(self, frame: bytes, parts: int) -> None:
        try:
            taken = read(self.uris, frame, parts)
            if isinstance(taken, Rejected):
                self._count("bridge.rejected", taken.reason, form=taken.form, bytes=len(frame))
            else:
                self._take(taken, frame)
        except Exception:  # noqa: BLE001 (Twisted stops reading from a socket whose reader raises)
            log_failure("bridge.failed", Failure())

    def _take(self, update: Update, frame: bytes) -> None:
        entry = self._journal.append(update.form, frame, self._clock.wall())
        self._in_flight += 1
        if self._in_flight >= MAX_IN_FLIGHT and self._pull is not None:
            self._pull.pause()
        # Runs at once up to the sending, so a form's updates leave in the order of their numbers.
        self._clock.start(self._publish(update, entry))

    async def _publish(self, update: Update, entry: Entry) -> None:
        """What does not get through is not sent again here: whoever sees the gap asks for `updates`."""
        try:
            await self.tell_confirmed(update.form, self._event(update, entry))
            self._published += 1
        except ApplicationError as error:
            self._count("bridge.not_published", "refused", form=update.form, seq=entry.seq, why=error.error)
        except (TransportLost, Disconnected):
            self._count("bridge.not_published", "router_lost", form=update.form, seq=entry.seq)
        finally:
            self._in_flight -= 1
            if self._in_flight <= MAX_IN_FLIGHT // 2 and self._pull is not None:
                self._pull.resume()

    def _event(self, update: Update, entry: Entry) -> dict[str, Any]:
        """The keywords of `updated`: names of ours only, whatever a message had."""
        facts = cut(update.facts(), update.redact, lambda _: False)
        if facts["status"] != UPDATED:
            facts["reported"] = facts["status"]
        return {**facts, "status": UPDATED, "epoch": self._journal.epoch, "seq": entry.seq, "at": entry.at}

    # -- for those who missed some

    async def _updates(self, call: Call) -> dict[str, Any]:
        asked = call.arguments()
        form = self.uris.form(asked.get("form"))
        topic = self.uris.topic(form)
        since = _since(asked.get("since"))
        claims = await self._claims.of(call.caller)
        if not claims.allows("view", form):
            raise NotAllowed(form=topic, right="view")
        page = self._journal.after(topic, since, MAX_ANSWER_BYTES)
        return {
            "form": topic,
            "epoch": self._journal.epoch,
            "seq": page.seq,
            "complete": page.complete,
            # Kept as they came, so read again; each has been accepted once.
            "updates": [
                self._event(update, entry) for entry in page.entries if isinstance(update := read(self.uris, entry.message), Update)
            ],
        }

    def _on_join(self, event: Event) -> None:
        self._claims.joined(event.args[0])

    def _on_leave(self, event: Event) -> None:
        self._claims.left(event.args[0])

    # -- what an operator is told

    def _count(self, verb: str, kind: str, **facts: object) -> None:
        """The first of a kind has its line at once; under a flood the others are one line in five seconds."""
        if self._tally.count(kind):
            self.warn(verb, reason=kind, **facts, count=self._tally.total[kind])
        if self._summary is None:
            self._summary = self._clock.later(SUMMARY_MS, self._summarize)

    def _summarize(self) -> None:
        self._summary = None
        more = self._tally.summary()
        if more:
            self.warn("bridge.more_of_these", **more)


def _since(given: object) -> int | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise InvalidArgument(argument="since")
    return given
