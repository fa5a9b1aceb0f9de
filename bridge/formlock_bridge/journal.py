"""The order of updates: a number per form, without gaps as long as the epoch stays, and the recent ones kept for who missed them.

Pure and in memory, bounded in every direction. It keeps messages as the bytes that arrived, so that its bounds are true bounds.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import takewhile

MAX_FORMS = 20_000
MAX_KEPT = 100_000
MAX_KEPT_BYTES = 32 * 2**20
# Per form: somebody who missed more reloads, which is cheaper than so many updates.
MAX_KEPT_PER_FORM = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """One update in its place. `at` is wall time, for display."""

    seq: int
    at: int
    message: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """The answer to "what came after?": `entries` lead up to `seq` without a gap; complete if nothing after `since` is missing."""

    seq: int
    complete: bool
    entries: tuple[Entry, ...]


@dataclass(slots=True)
class _Form:
    """Kept are the numbers from `first` to `last`; none when `first` is above."""

    first: int
    last: int


class Journal:
    """The epoch is random, made by the caller: a number of another epoch means nothing here."""

    def __init__(
        self,
        epoch: str,
        *,
        max_forms: int = MAX_FORMS,
        max_kept: int = MAX_KEPT,
        max_kept_bytes: int = MAX_KEPT_BYTES,
        max_kept_per_form: int = MAX_KEPT_PER_FORM,
    ) -> None:
        self.epoch = epoch
        self._max_forms = max_forms
        self._max_kept = max_kept
        self._max_kept_bytes = max_kept_bytes
        self._max_kept_per_form = max_kept_per_form
        self._forms: OrderedDict[str, _Form] = OrderedDict()
        self._kept: OrderedDict[tuple[str, int], Entry] = OrderedDict()
        self._kept_bytes = 0
        # The highest number of all forms forgotten. An unknown form goes on from here: it may be one of them, and no number falls.
        self._floor = 0

    def append(self, form: str, message: bytes, at: int) -> Entry:
        """Give the form's next number."""
        known = self._forms.get(form)
        if known is None:
            known = self._forms[form] = _Form(self._floor + 1, self._floor)
        else:
            self._forms.move_to_end(form)
        known.last += 1
        entry = self._kept[form, known.last] = Entry(known.last, at, message)
        self._kept_bytes += len(message)
        self._keep_bounds(form, known)
        return entry

    def after(self, form: str, since: int | None, max_bytes: int) -> Page:
        """What came after `since`, as far as it is kept and fits: the oldest goes first. None asks for the newest number only."""
        known = self._forms.get(form)
        last = known.last if known is not None else self._floor
        if since is None or since == last:
            return Page(last, complete=True, entries=())
        if known is None or since > last:
            return Page(last, complete=False, entries=())
        room = _Room(max_bytes)
        newest_first = (self._kept[form, seq] for seq in range(last, max(since, known.first - 1), -1))
        entries = tuple(takewhile(room.takes, newest_first))[::-1]
        return Page(last, complete=bool(entries) and entries[0].seq == since + 1, entries=entries)

    def _keep_bounds(self, form: str, known: _Form) -> None:
        if known.last - known.first + 1 > self._max_kept_per_form:
            self._forget(form, known)
        while len(self._kept) > self._max_kept or self._kept_bytes > self._max_kept_bytes:
            oldest, _ = next(iter(self._kept))
            self._forget(oldest, self._forms[oldest])
        if len(self._forms) > self._max_forms:
            gone, counted = self._forms.popitem(last=False)
            while counted.first <= counted.last:
                self._forget(gone, counted)
            self._floor = max(self._floor, counted.last)

    def _forget(self, form: str, known: _Form) -> None:
        """The oldest of this form. Always the oldest: what is kept of a form has no gap."""
        self._kept_bytes -= len(self._kept.pop((form, known.first)).message)
        known.first += 1


class _Room:
    def __init__(self, left: int) -> None:
        self._left = left

    def takes(self, entry: Entry) -> bool:
        self._left -= len(entry.message)
        return self._left >= 0
