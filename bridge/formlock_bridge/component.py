"""The bridge component: what backends push comes in, is checked, kept with its number, and told to everybody who has the form open.

In: ways > `_received` > intake > desk > journal. Out: publisher > `_publish` > router. This file joins them, and tells an operator.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from autobahn.exception import Disconnected
from autobahn.wamp.exception import ApplicationError, TransportLost
from autobahn.wamp.types import CloseDetails, ComponentConfig

from formlock.clock import Promise, Timer
from formlock.drivers import driver_of
from formlock.errors import InvalidArgument, NotActive, NotAllowed
from formlock.policies import PolicyBook
from formlock.policyfile import PolicyFile, policies
from formlock.ready import CLAIMS as READY_CLAIMS
from formlock.ready import ROLE as READY_ROLE
from formlock.wamp import Call, ClaimsBook, Event, Session, TwistedClock
from formlock_bridge.desk import BUSY, Desk
from formlock_bridge.intake import SENTENCES, Reason, Rejected, read
from formlock_bridge.journals import Arrival, Entry, Journal, JournalError, Keeping, open_journal
from formlock_bridge.publisher import LostError, Publisher, RefusedError, Telling, Waiting
from formlock_bridge.redaction import cut
from formlock_bridge.tally import Tally
from formlock_bridge.ways import CannotBind, Sender, Ways
from formlock_bridge.ways.addresses import listening
from formlock_bridge.ways.sender import Answer
from formlock_push.message import UPDATED, Update

# What has its number and is not told yet, at most: a process that starts again has it all in memory at once. Full, we read nothing
# more; half empty, we go on.
MAX_WAITING = 10_000
MAX_WAITING_BYTES = 32 * 2**20
# Of one event, and of all in one answer of `updates`: the router sends a browser's session no message above its `max_message_size`
# (65,536), whoever wrote it. The rest is for the message around it.
MAX_TOLD_BYTES = 60_000
# Of the messages that one call of `updates` reads: what is long is told without its contents.
MAX_READ_BYTES = 4 * MAX_TOLD_BYTES
# As an event JSON can grow fourfold (1e15 becomes 1000000000000000.0): what is smaller than this needs no measuring.
SURELY_SMALL_BYTES = MAX_TOLD_BYTES // 5
# Calls of `updates` at once; who comes on top is told to ask again. A full answer of small updates takes 5 ms of the processor: with
# no limit, all the pages that come back after the router's death wait in one line, give up when it is longer than their patience,
# and ask again, so that every answer is for nobody, and nothing new is told either.
MAX_ASKING = 32
SUMMARY_MS = 5_000


class BridgeComponent(Session):
    """`extra`: where backends push to (ways/addresses.py); `journal` (URL), and `kept`, what is kept in it, by the names of
    journals.Keeping; `policy_file` and `policy` as for the lock component."""

    # The session before this one in the same process, until it has let go of ports and journal.
    _before: ClassVar[Promise[None] | None] = None

    def __init__(self, config: ComponentConfig) -> None:
        super().__init__(config)
        self._clock = TwistedClock()
        self._claims = ClaimsBook(self, internal={READY_ROLE: READY_CLAIMS})
        self._ways: Ways | None = None
        self._journal: Journal | None = None
        self._paused = False
        self._over = False
        self._asking = 0
        self._tally = Tally()
        self._summary: Timer | None = None

    @classmethod
    def check_config(cls, personality: object, extra: dict[str, Any]) -> None:
        """What can never work is refused before anything is started."""
        listening(extra)
        driver_of(_journal(extra), "journal")
        _keeping(extra)
        policies(extra, changed=lambda _: None, wrong=lambda _: None)
        super().check_config(personality, extra)

    async def started(self) -> None:
        """Have the ports, then the journal; tell what was not told before; hear of sessions, answer, and read last.

        So a second bridge, started by mistake, fails at the ports before it touches the journal of the first.
        """
        if BridgeComponent._before is not None:
            await BridgeComponent._before
            if self._over:
                # The router was lost meanwhile, and `ended` has been: what is opened now nobody would close.
                raise NotActive
        self._policies = policies(self.extra, changed=self._policy_changed, wrong=self._policy_wrong)
        self._ways = Ways(listening(self.extra), self._clock, self._received, self._refused, self._told)
        try:
            await self._ways.open()
            self._pause()
            journal = await self._open_journal()
        except (CannotBind, JournalError) as error:
            self.warn("bridge.cannot_start", why=error)
            raise
        if isinstance(self._policies, PolicyFile):
            self._policies.watch(self._clock)
        untold = await journal.unpublished()
        for entry in untold:
            self._go_on_with(entry)
        await self.hear("wamp.session.on_join", self._on_join)
        await self.hear("wamp.session.on_leave", self._on_leave)
        await self.answer(self.uris.procedure("updates"), self._updates)
        self._read_on()
        self.note("bridge.ready", epoch=journal.epoch, untold=len(untold), **self._ways.addresses())

    async def ended(self) -> None:
        """Write and answer what has been read, free the ports, and let go of the journal; the next session goes on from it."""
        self._over = True
        ending: Promise[None] = self._clock.promise()
        BridgeComponent._before = ending
        try:
            await self._end()
        finally:
            ending.keep(None)

    async def _end(self) -> None:
        self._pause()
        told = 0
        if self._journal is not None:
            told = self._publisher.events
            self._publisher.stop()
            await self._desk.close()
        if self._ways is not None:
            await self._ways.close()
        if self._journal is not None:
            await self._journal.close()
        if isinstance(getattr(self, "_policies", None), PolicyFile):
            self._policies.stop()  # type: ignore[union-attr]
        if self._summary is not None:
            self._summary.cancel()
        self._summarize()
        self.note("bridge.ended", published=told, **self._tally.total)

    async def _open_journal(self) -> Journal:
        url, keeping = _journal(self.extra), _keeping(self.extra)
        journal = await open_journal(url, self._clock, lambda: secrets.token_hex(4), self.folder(), keeping)
        self._keep(journal)
        if self._over:
            # The router was lost meanwhile, and `ended` has not seen it.
            await journal.close()
            raise NotActive
        return journal

    def _keep(self, journal: Journal) -> None:
        self._journal = journal
        self._publisher = Publisher(
            self._clock, journal, self._publish, self._window_ms, relieved=self._look, refused=self._not_published
        )
        self._desk = Desk(
            self._clock, journal, taken=self._taken, duplicate=self._duplicate, changed=self._look, lost=self._not_journalled
        )

    # -- the way in

    def _received(self, frame: bytes, parts: int, answer: Answer | None, sender: Sender) -> None:
        taken = read(self.uris, frame, parts)
        if isinstance(taken, Rejected):
            self._reject(taken.reason, taken.form, len(frame), None, answer, sender)
        elif not sender.may_push(taken.form.removeprefix(self.uris.forms)):
            self._reject(Reason.NOT_ALLOWED, taken.form, len(frame), taken.id, answer, sender)
        elif taken.id is None and sender.needs_id:
            self._reject(Reason.NO_ID, taken.form, len(frame), None, answer, sender)
        elif answer is not None and self._full:
            self._desk.say(answer, {"id": taken.id, **BUSY})
        else:
            self._take(taken, frame, answer, sender)

    def _reject(self, reason: Reason, form: str, length: int, name: str | None, answer: Answer | None, sender: Sender) -> None:
        self._count("bridge.rejected", reason, form=form, bytes=length, way=sender.way, key=sender.key)
        if answer is not None:
            self._desk.say(answer, {"id": name, "error": reason, "message": SENTENCES[reason], "retry": False})

    def _refused(self, kind: str, facts: Mapping[str, object]) -> None:
        self._count("bridge.refused", kind, **facts)

    def _told(self, verb: str, facts: Mapping[str, object]) -> None:
        (self.warn if verb == "bridge.wrong_key_file" else self.note)(verb, **facts)

    def _take(self, update: Update, frame: bytes, answer: Answer | None, sender: Sender) -> None:
        # Who waits for an answer is told a name, to know its event by.
        name = update.id or (secrets.token_hex(8) if answer is not None else "")
        # Under each key its own: nobody can have another's update taken for one that is known. No source has a line feed in it.
        source = f"{sender.key}\n{update.source or ''}" if sender.key else update.source or ""
        self._desk.take(Arrival(update.form, frame, self._clock.wall(), source, name), update, answer)
        self._look()

    def _taken(self, entry: Entry, update: Update) -> None:
        self._publisher.add(Waiting(entry.form, entry.seq, entry.at, _named(update, entry), len(entry.message)))

    def _go_on_with(self, entry: Entry) -> None:
        """What an earlier process has not told."""
        update = read(self.uris, entry.message)
        if isinstance(update, Update):
            self._taken(entry, update)
        elif self._journal is not None:
            # This version refuses what another one took.
            self._journal.parked(entry.form, entry.seq, entry.seq, update.reason)

    # -- back pressure

    @property
    def _full(self) -> bool:
        publisher = self._publisher
        return self._desk.full or publisher.waiting >= MAX_WAITING or publisher.waiting_bytes >= MAX_WAITING_BYTES

    def _look(self) -> None:
        """Stop reading, or go on; and end when the journal is another's."""
        if self._over:
            return
        if self._journal is not None and self._journal.stepped_down:
            self.fault("bridge.taken_over", why="another process has opened the journal, or it can't be read any more")
            if self.is_attached():
                self.leave()
        elif self._full:
            self._pause()
        elif self._publisher.waiting <= MAX_WAITING // 2 and self._publisher.waiting_bytes <= MAX_WAITING_BYTES // 2:
            self._resume()

    def _read_on(self) -> None:
        """At the start, while there is room: nobody has to wait until half of what an earlier process left has been told."""
        if not self._over and not self._full:
            self._resume()
        self._look()

    def _pause(self) -> None:
        if not self._paused and self._ways is not None:
            self._paused = True
            self._ways.pause()

    def _resume(self) -> None:
        if self._paused and self._ways is not None:
            self._paused = False
            self._ways.resume()

    # -- the way out

    async def _publish(self, telling: Telling) -> None:
        facts = self._event(telling.update, telling.seq, telling.at, telling.size, _nothing)
        if telling.first != telling.seq:
            facts["first"] = telling.first
        try:
            await self.tell_confirmed(telling.form, facts)
        except ApplicationError as error:
            if error.error != CloseDetails.REASON_TRANSPORT_LOST:
                raise RefusedError(error.error) from None
            # What Autobahn says of all that was in flight when the line broke: nobody has refused it, so it must not be given up.
            self._count("bridge.not_published", "router_lost", form=telling.form, seq=telling.seq)
            raise LostError from None
        except (TransportLost, Disconnected):
            self._count("bridge.not_published", "router_lost", form=telling.form, seq=telling.seq)
            raise LostError from None

    def _event(self, update: Update, seq: int, at: int, size: int, allows: Callable[[str], bool]) -> dict[str, Any]:
        """The keywords of the event, as far as somebody with these rights may see them: our names only, whatever a message had."""
        facts = small_enough(cut(update.facts(), update.redact, allows), size)
        if facts["status"] != UPDATED:
            facts["reported"] = facts["status"]
        named = {"status": UPDATED} if update.count is None else {"status": "bulk"}
        return {**facts, **named, "epoch": self._epoch, "seq": seq, "at": at}

    def _window_ms(self, topic: str) -> int:
        # Of many records at once each message stands for itself: what two of them count can't be added up.
        return 0 if self.uris.bulk_type(topic) is not None else self._policies.of(self.uris.form(topic)).coalesce_ms

    def _not_published(self, telling: Telling, why: str, parked: bool) -> None:
        self._count("bridge.not_published", "parked" if parked else "refused", form=telling.form, seq=telling.seq, why=why)

    # -- for those who missed some

    async def _updates(self, call: Call) -> dict[str, Any]:
        asked = call.arguments()
        since = _since(asked.get("since"))
        if since is None:
            # The newest number only, which costs nothing.
            return await self._came_after(call, asked, None)
        if self._asking >= MAX_ASKING:
            raise NotActive
        self._asking += 1
        try:
            return await self._came_after(call, asked, since)
        finally:
            self._asking -= 1

    async def _came_after(self, call: Call, asked: Mapping[str, Any], since: int | None) -> dict[str, Any]:
        claims = await self._claims.of(call.caller)
        bulk_type = self.uris.bulk_type(asked.get("form"))
        if bulk_type is not None:
            topic, may_view = self.uris.bulk(bulk_type), claims.allows_some("view", bulk_type)
        else:
            form = self.uris.form(asked.get("form"))
            topic, may_view = self.uris.topic(form), claims.allows("view", form)
        if not may_view:
            raise NotAllowed(form=topic, right="view")
        if self._journal is None:
            raise NotActive

        def allows(right: str) -> bool:
            # Nothing of a bulk message is for some only.
            return bulk_type is None and claims.allows(right, form)

        page = await self._journal.after(topic, since, MAX_READ_BYTES)
        events, until = that_fit((entry.seq, self._read_again(entry, allows)) for entry in page.entries)
        more = {} if until is None or until == page.seq else {"until": until}
        return {"form": topic, "epoch": self._epoch, "seq": page.seq, **more, "complete": page.complete, "updates": events}

    def _read_again(self, entry: Entry, allows: Callable[[str], bool]) -> dict[str, Any] | None:
        """The event of what is kept as it came. It has been accepted once; None: this version refuses what another one took."""
        update = read(self.uris, entry.message)
        if not isinstance(update, Update):
            return None
        return self._event(_named(update, entry), entry.seq, entry.at, len(entry.message), allows)

    @property
    def _epoch(self) -> str:
        return self._journal.epoch if self._journal is not None else ""

    def _on_join(self, event: Event) -> None:
        self._claims.joined(event.args[0])

    def _on_leave(self, event: Event) -> None:
        self._claims.left(event.args[0])

    # -- what an operator is told

    def _duplicate(self, update: Update) -> None:
        self._count("bridge.duplicate", "duplicate", form=update.form, source=update.source or "", id=update.id or "")

    def _not_journalled(self, count: int) -> None:
        self.fault("bridge.not_journalled", count=count, why="the journal could not be written before the end")

    def _policy_changed(self, book: PolicyBook) -> None:
        self.note("policy.changed", tables=1 + len(book.records) + len(book.beginnings))

    def _policy_wrong(self, why: str) -> None:
        self.fault("policy.wrong", why=why, then="the policies of before go on")

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


def small_enough(facts: dict[str, Any], size: int) -> dict[str, Any]:
    """What can be told of an update whose message has `size` bytes: without its contents when they are too long, without its change
    set when that is, and of many records without their ids, so that it is about all of their type. Whoever hears of it asks the
    application then, as always when a change set is not known."""
    for name in ("representation", "change_set", "ids"):
        if size <= SURELY_SMALL_BYTES or _length(facts) <= MAX_TOLD_BYTES:
            break
        facts.pop(name, None)
    return facts


def that_fit(events: Iterable[tuple[int, dict[str, Any] | None]]) -> tuple[list[dict[str, Any]], int | None]:
    """As many of the first as go into one answer, and the number of the last one looked at, behind which the next answer goes on.
    None is an event that can't be told. No more are made than that takes, and one; the first always fits (`small_enough`)."""
    fitting: list[dict[str, Any]] = []
    room, until = MAX_TOLD_BYTES, None
    for seq, event in events:
        if event is not None:
            room -= _length(event)
            if fitting and room < 0:
                break
            fitting.append(event)
        until = seq
    return fitting, until


def _length(facts: dict[str, Any]) -> int:
    return len(json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode())


def _nothing(_right: str) -> bool:
    """What everybody is told is cut as for somebody without any right of the application's own."""
    return False


def _named(update: Update, entry: Entry) -> Update:
    """With the id that the bridge has given it, where it came without."""
    return update if update.id or not entry.id else replace(update, id=entry.id)


def _since(given: object) -> int | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise InvalidArgument(argument="since")
    return given


def _journal(extra: Mapping[str, Any]) -> Any:
    return extra.get("journal", "memory:")


def _keeping(extra: Mapping[str, Any]) -> Keeping:
    given = extra.get("kept", {})
    try:
        return Keeping(**given)
    except TypeError:
        known = ", ".join(Keeping.__struct_fields__)
        raise ValueError(f"kept: {given!r} is not made of whole numbers by the names {known}") from None
