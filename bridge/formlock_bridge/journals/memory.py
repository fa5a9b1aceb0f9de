"""A journal in memory only: for tests, and for a bridge that may forget everything when it ends."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import islice

from msgspec import Struct

from formlock.clock import Clock
from formlock.errors import NotActive
from formlock_bridge.journals import Arrival, Entry, Keeping, Known, Page
from formlock_bridge.journals.numbering import key, number, page


class _Form(Struct, gc=False):
    """Kept are the numbers from `first` to `last`; none when `first` is above. Published is all up to `published`."""

    first: int
    last: int
    published: int


class _Name(Struct, frozen=True, gc=False):
    known: Known
    at: int


class MemoryJournal:
    """See Journal."""

    def __init__(self, epoch: str, clock: Clock, keeping: Keeping | None = None) -> None:
        self.epoch = epoch
        self.stepped_down = False
        self._clock = clock
        self._keeping = keeping or Keeping()
        self._closed = False
        # The forms in the order of their last update, their entries in the order of arrival.
        self._forms: OrderedDict[str, _Form] = OrderedDict()
        self._kept: OrderedDict[tuple[str, int], Entry] = OrderedDict()
        self._kept_bytes = 0
        self._names: OrderedDict[bytes, _Name] = OrderedDict()
        self._floor = 0

    async def append(self, arrivals: Sequence[Arrival]) -> Sequence[Entry | Known]:
        """At once."""
        self._usable()
        keys = [key(arrival) for arrival in arrivals]
        last = {arrival.form: self._last(arrival.form) for arrival in arrivals}
        known = {name: self._names[name].known for name in keys if name is not None and name in self._names}
        outcomes = number(arrivals, keys, last, known)
        for outcome, name in zip(outcomes, keys, strict=True):
            if isinstance(outcome, Entry):
                self._keep(outcome, name)
        for form in last:
            self._tidy_form(form)
        self._tidy()
        return outcomes

    async def after(self, form: str, since: int | None, max_bytes: int) -> Page:
        """At once."""
        self._usable()
        known = self._forms.get(form)
        first, last = (known.first, known.last) if known is not None else (1, 0)
        oldest_first = (self._kept[form, seq] for seq in range(max(first, (since or 0) + 1), last + 1))
        return page(self._last(form), since, oldest_first, max_bytes)

    async def unpublished(self) -> Sequence[Entry]:
        """Nothing, unless it is asked again."""
        self._usable()
        return [entry for (form, seq), entry in self._kept.items() if seq > self._forms[form].published]

    def published(self, form: str, seq: int) -> None:
        """Remembered at once."""
        known = self._forms.get(form)
        if known is not None:
            known.published = max(known.published, seq)

    def parked(self, form: str, first: int, seq: int, reason: str) -> None:  # noqa: ARG002 (nobody could read it later)
        """As published: there is no later process to tell the reason."""
        self.published(form, seq)

    async def close(self) -> None:
        """Nothing is left to be done."""
        self._closed = True

    def _usable(self) -> None:
        if self._closed:
            raise NotActive

    def _last(self, form: str) -> int:
        known = self._forms.get(form)
        return known.last if known is not None else self._floor

    def _keep(self, entry: Entry, name: bytes | None) -> None:
        known = self._forms.get(entry.form)
        if known is None:
            known = self._forms[entry.form] = _Form(entry.seq, entry.seq, entry.seq - 1)
        self._forms.move_to_end(entry.form)
        known.last = entry.seq
        self._kept[entry.form, entry.seq] = entry
        self._kept_bytes += len(entry.message)
        if name is not None:
            self._names[name] = _Name(Known(entry.form, entry.seq), entry.at)

    def _tidy_form(self, form: str) -> None:
        known = self._forms.get(form)
        while known is not None and known.first <= min(known.last - self._keeping.per_form, known.published):
            self._forget(form, known.first)

    def _tidy(self) -> None:
        keeping, old = self._keeping, self._clock.wall()
        for form, seq in list(self._surplus(old)):
            self._forget(form, seq)
        for name, remembered in list(islice(self._names.items(), max(0, len(self._names) - keeping.ids))):
            if remembered.at < old - keeping.id_ms or len(self._names) > keeping.most_ids:
                del self._names[name]
        if len(self._forms) > keeping.forms:
            empty = [form for form, known in self._forms.items() if known.first > known.last]
            for form in empty[: len(self._forms) - keeping.forms]:
                self._floor = max(self._floor, self._forms.pop(form).last)

    def _surplus(self, old: int) -> Iterator[tuple[str, int]]:
        """The oldest, as long as there are too many or they are too old."""
        kept, kept_bytes = len(self._kept), self._kept_bytes
        for (form, seq), entry in self._kept.items():
            full = kept > self._keeping.in_all or kept_bytes > self._keeping.in_bytes
            if not full and entry.at >= old - self._keeping.age_ms:
                return
            if seq <= self._forms[form].published:
                yield form, seq
                kept, kept_bytes = kept - 1, kept_bytes - len(entry.message)

    def _forget(self, form: str, seq: int) -> None:
        self._kept_bytes -= len(self._kept.pop((form, seq)).message)
        self._forms[form].first = seq + 1
