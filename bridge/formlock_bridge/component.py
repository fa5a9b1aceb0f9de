"""The bridge component: what backends push comes in, is checked, numbered, and told to everybody who has the form open."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from autobahn.exception import Disconnected
from autobahn.wamp.exception import ApplicationError, TransportLost
from autobahn.wamp.types import ComponentConfig

from formlock.clock import Timer
from formlock.errors import InvalidArgument, NotAllowed
from formlock.ready import CLAIMS as READY_CLAIMS
from formlock.ready import ROLE as READY_ROLE
from formlock.wamp import Call, ClaimsBook, Event, Session, TwistedClock
from formlock_bridge.intake import Rejected, read
from formlock_bridge.journal import Entry, Journal
from formlock_bridge.tally import Tally
from formlock_bridge.ways import CannotBind, Ways
from formlock_bridge.ways.addresses import listening
from formlock_bridge.ways.sender import Answer, Sender
from formlock_push.message import UPDATED, Update

# Publishes that the router has not confirmed yet. Full, we read nothing more; half empty, we go on. Small, because a lock call that
# comes meanwhile waits behind them in the router.
MAX_IN_FLIGHT = 64
# Of the messages in one answer of `updates`. As an event JSON can grow fourfold (1e15 becomes 1000000000000000.0), and the router
# ends a component that sends it more than 1 MiB.
MAX_ANSWER_BYTES = 131_072
SUMMARY_MS = 5_000


class BridgeComponent(Session):
    """`extra`: where backends push to (ways/addresses.py)."""

    def __init__(self, config: ComponentConfig) -> None:
        super().__init__(config)
        self._clock = TwistedClock()
        self._claims = ClaimsBook(self, internal={READY_ROLE: READY_CLAIMS})
        self._journal = Journal(secrets.token_hex(4))
        self._ways: Ways | None = None
        self._in_flight = 0
        self._published = 0
        self._tally = Tally()
        self._summary: Timer | None = None

    @classmethod
    def check_config(cls, personality: object, extra: dict[str, Any]) -> None:
        listening(extra)
        super().check_config(personality, extra)

    async def started(self) -> None:
        """Open the ways in, hear of sessions, and answer last."""
        self._ways = Ways(listening(self.extra), self._clock, self._received, self._refused, self._told)
        try:
            await self._ways.open()
        except CannotBind as error:
            self.warn("bridge.cannot_bind", why=error)
            raise
        await self.hear("wamp.session.on_join", self._on_join)
        await self.hear("wamp.session.on_leave", self._on_leave)
        await self.answer(self.uris.procedure("updates"), self._updates)
        self.note("bridge.ready", epoch=self._journal.epoch, **self._ways.addresses())

    async def ended(self) -> None:
        """Free the port, so that the next session can have it."""
        if self._ways is not None:
            await self._ways.close()
        if self._summary is not None:
            self._summary.cancel()
        self._summarize()
        self.note("bridge.ended", published=self._published, **self._tally.total)

    # -- the way in

    def _received(self, frame: bytes, parts: int, answer: Answer | None, sender: Sender) -> None:
        taken = read(self.uris, frame, parts)
        if isinstance(taken, Rejected):
            self._reject(taken.reason, taken.form, len(frame), None, answer, sender)
        elif not sender.may_push(taken.form.removeprefix(self.uris.forms)):
            self._reject("not_allowed", taken.form, len(frame), taken.id, answer, sender)
        elif taken.id is None and sender.needs_id:
            self._reject("no_id", taken.form, len(frame), None, answer, sender)
        else:
            self._take(taken, frame, answer)

    def _reject(self, reason: str, form: str, length: int, id: str | None, answer: Answer | None, sender: Sender) -> None:  # noqa: A002
        self._count("bridge.rejected", reason, form=form, bytes=length, way=sender.way, key=sender.key)
        if answer is not None:
            answer({"id": id, "error": reason, "message": f"The message was not accepted: {reason}.", "retry": False})

    def _refused(self, kind: str, facts: Mapping[str, object]) -> None:
        self._count("bridge.refused", kind, **facts)

    def _told(self, verb: str, facts: Mapping[str, object]) -> None:
        (self.warn if verb == "bridge.wrong_key_file" else self.note)(verb, **facts)

    def _take(self, update: Update, frame: bytes, answer: Answer | None) -> None:
        entry = self._journal.append(update.form, frame, self._clock.wall())
        if answer is not None:
            answer({"id": update.id, "form": update.form, "seq": entry.seq, "epoch": self._journal.epoch})
        self._in_flight += 1
        if self._in_flight >= MAX_IN_FLIGHT and self._ways is not None:
            self._ways.pause()
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
            if self._in_flight <= MAX_IN_FLIGHT // 2 and self._ways is not None:
                self._ways.resume()

    def _event(self, update: Update, entry: Entry) -> dict[str, Any]:
        """The keywords of `updated`: names of ours only, whatever a message had."""
        facts = update.facts()
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
