"""What happened to each form, as it is kept: entries, how many and how long, and how a flood of refusals is folded. Pure.

An entry is an event with a running number of its store: private events and refusals share the rev of the public one before them,
so `rev` alone gives them no order. Changes are written in the commit of the state they changed. Refusals change nothing and nobody
waits for them: they go with the next commit, or alone within a second; the same one again within a minute is counted, not kept
again; and of all that is kept they have a tenth of the room, so that no flood of them pushes anything else out.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from msgspec import Struct
from msgspec.structs import replace

from formlock.events import Event, Refused, Released, TakenOver
from formlock.model import FormId, Owner

# The same refusal again within this time is the same entry.
FOLD_MS = 60_000
# Different refusals that are remembered for that, and those that may wait for a commit; beyond, the log alone has them.
MAX_FOLDED = 4_000
MAX_UNWRITTEN = 1_000
# Of the room for each form and for all, one part in so many is for refusals.
REFUSALS_PART = 10


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is kept of the history: by age, by number for each form, and by number in all. Whichever is reached first counts. In the
    SQLite file an entry without a note was measured at 250 bytes, so all of them are about 120 MB."""

    days: int = 30
    per_form: int = 1_000
    in_all: int = 500_000

    def __post_init__(self) -> None:
        for name, least in (("days", 1), ("per_form", REFUSALS_PART), ("in_all", REFUSALS_PART)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ValueError(f"history: {name} must be a whole number, at least {least}")

    @property
    def age_ms(self) -> int:
        """The same as `days`."""
        return self.days * 86_400_000

    def room(self, refusals: bool) -> tuple[int, int]:
        """How many refusals, or changes, are kept for each form, and in all; `in_all` is for both together."""
        part = REFUSALS_PART if refusals else 1
        return self.per_form // part, self.in_all // part


class Entry(Struct, frozen=True, gc=False):
    """One line of the history. `times`: how often a refusal came within the minute, the last time at `last_wall`."""

    number: int
    event: Event
    times: int = 1
    last_wall: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants to know of a form, or section. `since`: all behind the event with this rev, the oldest first, a page that
    begins behind the entry `after`; None: the newest."""

    form: FormId
    since: int | None = None
    after: int = 0
    limit: int = 50

    def covers(self, event: Event) -> bool:
        """Whether the event is of the part that is asked for."""
        return self.form.overlaps(event.form)

    def behind(self, entry: Entry) -> bool:
        """Whether it comes later than what the asker knows."""
        since = self.since or 0
        event = entry.event
        return entry.number > self.after and (event.rev > since or (event.rev == since and not event.public))


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, the oldest first. `after`: what to ask with for the next page, None when there is none. `complete`: nothing older
    that was asked for is missing: not kept any more or, without `since`, more than the limit."""

    entries: tuple[Entry, ...]
    after: int | None
    complete: bool


def page(asked: Asked, found: list[Entry], first_rev: int, more: bool) -> Page:
    """`found`: at most `limit` of the entries asked for, and whether there are more; `first_rev`: the oldest public one kept of the
    form, or the next to come."""
    if asked.since is None:
        return Page(tuple(found), after=None, complete=not more and first_rev <= 1)
    return Page(tuple(found), after=found[-1].number if more else None, complete=first_rev <= asked.since + 1)


def what(event: Event) -> str:
    """An event's name in the log, on the wire and in a store: `Granted` is `granted`."""
    return _names[type(event)]


def _kinds(kind: type[Event]) -> list[type[Event]]:
    return [found for inner in kind.__subclasses__() for found in (inner, *_kinds(inner))]


_names = {kind: re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower() for kind in _kinds(Event)}
KINDS = {name: kind for kind, name in _names.items()}


def ending(entries: Iterable[Entry], owner: Owner, token: int) -> Released | TakenOver | None:
    """How this owner's grant has ended, as far as the entries tell."""
    for entry in entries:
        event = entry.event
        if isinstance(event, Released | TakenOver) and (event.owner, event.token) == (owner, token):
            return event
    return None


class Recorder:
    """Numbers events, and folds refusals. What has been taken from it is the store's to write."""

    def __init__(self, last: int) -> None:
        """`last`: the highest number there may be already."""
        self._last = last
        self._folded: OrderedDict[tuple[FormId, Owner, str, str], Entry] = OrderedDict()
        self._unwritten: dict[int, Entry] = {}

    def changes(self, events: tuple[Event, ...]) -> list[Entry]:
        """Entries for what changed something; refusals among them are kept for `take`."""
        made = []
        for event in events:
            if isinstance(event, Refused):
                self._refused(event)
            else:
                made.append(Entry(self._next(), event))
        return made

    @property
    def waiting(self) -> bool:
        """Whether refusals wait to be written."""
        return bool(self._unwritten)

    def take(self) -> list[Entry]:
        """The refusals to be written; one may have been taken before, with fewer `times`."""
        taken = list(self._unwritten.values())
        self._unwritten = {}
        return taken

    def _refused(self, event: Refused) -> None:
        key = (event.form, event.owner, event.call, event.error)
        before = self._folded.get(key)
        if before is not None and event.wall - before.event.wall < FOLD_MS:
            entry = replace(before, times=before.times + 1, last_wall=event.wall)
        elif len(self._unwritten) < MAX_UNWRITTEN:
            entry = Entry(self._next(), event)
        else:
            return
        self._folded[key] = entry
        self._folded.move_to_end(key)
        self._unwritten[entry.number] = entry
        if len(self._folded) > MAX_FOLDED:
            self._folded.popitem(last=False)

    def _next(self) -> int:
        self._last += 1
        return self._last


class MemoryHistory:
    """The history of a store that forgets with its process."""

    def __init__(self, keeping: Keeping) -> None:
        self._keeping = keeping
        self._recorder = Recorder(0)
        # By whether they are changes, and by form too; the oldest first. Ordered: a plain dictionary looks for its first behind
        # all that were before it (0.3 ms at half a million).
        self._kept: dict[bool, OrderedDict[int, Entry]] = {True: OrderedDict(), False: OrderedDict()}
        self._of_form: dict[tuple[FormId, bool], dict[int, Entry]] = {}

    def record(self, events: tuple[Event, ...]) -> None:
        """Keep what happened, within the bounds."""
        for entry in (*self._recorder.changes(events), *self._recorder.take()):
            changes = entry.event.changes
            kept, of_form = self._kept[changes], self._of_form.setdefault((entry.event.form.record, changes), {})
            kept[entry.number] = of_form[entry.number] = entry
            per_form, in_all = self._keeping.room(refusals=not changes)
            if len(of_form) > per_form:
                self._forget(next(iter(of_form.values())))
            if len(kept) > in_all:
                self._forget(next(iter(kept.values())))
            if sum(map(len, self._kept.values())) > self._keeping.in_all:
                self._forget(
                    min((next(iter(kept.values())) for kept in self._kept.values() if kept), key=lambda entry: entry.number)
                )
            self._forget_old(entry.event.wall - self._keeping.age_ms)

    def page(self, asked: Asked, rev: int) -> Page:
        """See LockStore.history; `rev` is the form's."""
        record = asked.form.record
        kept = {**self._of_form.get((record, True), {}), **self._of_form.get((record, False), {})}
        first_rev = min((entry.event.rev for entry in kept.values() if entry.event.public), default=rev + 1)
        found = [kept[number] for number in sorted(kept) if asked.covers(kept[number].event)]
        if asked.since is None:
            return page(asked, found[-asked.limit :], first_rev, more=len(found) > asked.limit)
        found = [entry for entry in found if asked.behind(entry)]
        return page(asked, found[: asked.limit], first_rev, more=len(found) > asked.limit)

    def _forget_old(self, before_wall: int) -> None:
        for kept in self._kept.values():
            while kept and (oldest := next(iter(kept.values()))).event.wall < before_wall:
                self._forget(oldest)

    def _forget(self, entry: Entry) -> None:
        key = entry.event.form.record, entry.event.changes
        del self._kept[entry.event.changes][entry.number], self._of_form[key][entry.number]
        if not self._of_form[key]:
            del self._of_form[key]
