"""Where updates are kept: the protocol that every journal fulfils, the values it speaks of, and how one is opened by its URL.

A journal gives each form's updates their numbers and makes them durable. What is published, when and in which order is no business
of its (publisher.py); it only remembers how far that has come, so that the next process goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from formlock.clock import Clock
from formlock.drivers import driver_of


class Arrival(Struct, frozen=True, gc=False):
    """An update that has been read and is right: the topic of its form, the message as its bytes came, the wall time.

    `(source, id)` is what a duplicate of the same form is known by; without an id it is never one.
    """

    form: str
    message: bytes
    at: int
    source: str = ""
    id: str = ""


class Entry(Struct, frozen=True, gc=False):
    """One update in its place. `at` is wall time, for display; `id` is empty when it has none."""

    form: str
    seq: int
    at: int
    message: bytes
    id: str = ""


class Known(Struct, frozen=True, gc=False):
    """A duplicate: where the first of its kind is."""

    form: str
    seq: int


class Page(Struct, frozen=True):
    """The answer to "what came after?": the oldest that fit, without a gap; there are more while the last of them is below `seq`,
    the newest number. Complete if nothing after `since` has been forgotten."""

    seq: int
    complete: bool
    entries: tuple[Entry, ...]


class Keeping(Struct, frozen=True):
    """For how long, and of how much, a journal keeps what has been published; what has not been is always kept.

    Of a form more than `per_form` are no use: whoever missed so many reloads, which is cheaper. `forms` are those whose number is
    remembered although nothing of them is kept. Names of updates are remembered for `id_ms`, and the last `ids` of them for
    longer, but never more than `most_ids`.
    """

    age_ms: int = 24 * 3_600_000
    per_form: int = 1_000
    in_all: int = 100_000
    in_bytes: int = 256 * 2**20
    forms: int = 200_000
    id_ms: int = 10 * 60_000
    ids: int = 100_000
    most_ids: int = 1_000_000

    def __post_init__(self) -> None:
        # Found here or, by comparing a text with a number, in every commit: then the bridge would be `busy` for ever.
        for name in self.__struct_fields__:
            value, least = getattr(self, name), 0 if name in ("in_bytes", "id_ms") else 1
            if type(value) is not int or value < least:
                raise ValueError(f"kept: {name} must be a whole number, at least {least}")


class Journal(Protocol):
    """Updates in their order. Conformance: formlock_bridge.testing.JournalConformance."""

    epoch: str
    """Changes only when history was lost: a number of another epoch means nothing."""

    stepped_down: bool
    """Another process has taken the journal over (or it can't be read any more): this one keeps nothing again."""

    async def append(self, arrivals: Sequence[Arrival]) -> Sequence[Entry | Known]:
        """Give each its form's next number, or find that it is known; durable when this returns. All of them or none: NotActive."""

    async def after(self, form: str, since: int | None, max_bytes: int) -> Page:
        """What came after `since`, as far as it is kept, the oldest first and as many as fit, one at least. Reads no more of them
        than that takes, and one. None asks for the newest number only."""

    async def unpublished(self) -> Sequence[Entry]:
        """Everything that is not marked as published or parked, in the order of arrival; asked for once, at the start."""

    def published(self, form: str, seq: int) -> None:
        """Mark a form's updates up to this number; written with what comes, so a crash may forget the last marks."""

    def parked(self, form: str, first: int, seq: int, reason: str) -> None:
        """Mark these as not published, and why; as `published` otherwise."""

    async def close(self) -> None:
        """Finish writing and let go. Afterwards every call raises NotActive."""


class JournalError(Exception):
    """The journal can't be opened; the sentence says why and what to do."""


async def open_journal(
    url: str, clock: Clock, new_epoch: Callable[[], str], folder: Path, keeping: Keeping | None = None
) -> Journal:
    """By its URL, as in `formlock.drivers`. A file is relative to `folder`, unless it has four slashes. Drivers are loaded when
    asked for."""
    driver, file = driver_of(url, "journal")
    if driver == "memory":
        from formlock_bridge.journals.memory import MemoryJournal

        return MemoryJournal(new_epoch(), clock, keeping)
    from formlock_bridge.journals.sqlite import SqliteJournal

    return await SqliteJournal.open(folder / file, clock, new_epoch, keeping)
