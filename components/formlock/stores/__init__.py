"""Where lock states are kept: the protocol that every store fulfils, and how one is opened by its URL.

A store knows no rule of locking: it is handed a function that decides, and makes reading, deciding and writing one step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from formlock.clock import Clock
from formlock.drivers import driver_of
from formlock.events import Event
from formlock.history import Asked, Keeping, Page
from formlock.model import Draft, FormId, FormState, Found, Query


class Outcome(Protocol):
    """What a decision leaves behind, as far as a store cares (rules.Decision is one)."""

    @property
    def state(self) -> FormState: ...

    @property
    def events(self) -> tuple[Event, ...]: ...


D = TypeVar("D", bound=Outcome)


class LockStore(Protocol):
    """States of forms, atomically decided upon. Conformance: formlock.testing.StoreConformance.

    A decision without events changed nothing but deadlines: it costs no write. Any other is durable when `transact` returns;
    where that fails, `transact` raises errors.NotActive and the states are what they were.
    """

    epoch: str
    """Changes only when history was lost."""

    stepped_down: bool
    """Another process has taken the store over (or it can't be read any more): this one answers nothing again."""

    async def transact(self, forms: Sequence[FormId], decide: Callable[[Sequence[FormState]], Sequence[D]]) -> Sequence[D]:
        """Read these, decide, write, as one step and one commit; `decide` may run more than once. What it raises is raised here, and
        nothing changes. All events are in the history from the same commit on; those that change nothing (refusals) are not waited
        for (history.Recorder)."""

    async def read(self, form: FormId) -> FormState:
        """The state as of the last durable decision or later; a form never heard of is free."""

    async def find(self, query: Query) -> Found:
        """Forms with a lease, in order. A page may be short of its limit although others follow: `after` tells."""

    async def history(self, asked: Asked) -> Page:
        """What happened to a form, as far as it is kept, with everything that had happened when it was asked for."""

    async def put_draft(self, draft: Draft) -> None:
        """Keep it, in the place of the grant's earlier one, within the bounds of `drafts`; durable when this returns."""

    async def drafts(self, form: FormId) -> Sequence[Draft]:
        """All that are kept of the record and its sections; some may be older than `drafts.KEPT_MS`."""

    async def forget_drafts(self, form: FormId, tokens: Sequence[int]) -> None:
        """Throw away the drafts of these grants of the record."""

    def held(self) -> Sequence[FormId]:
        """All forms with a lease or a waiter, in order."""

    def of_session(self, session: int) -> Sequence[FormId]:
        """The forms whose state speaks of this session, by an index."""

    def due(self, now: int, limit: int) -> Sequence[FormId]:
        """Forms whose deadline has come, the most overdue first."""

    def waits(self, user: str) -> int:
        """In how many lines the user stands."""

    def next_due(self) -> int | None:
        """When the next deadline comes; may be earlier than true, never later."""

    async def close(self) -> None:
        """Finish writing and let go. Afterwards every call raises NotActive."""


class StoreError(Exception):
    """The store can't be opened; the sentence says why and what to do."""


async def open_store(
    url: str, clock: Clock, new_epoch: Callable[[], str], folder: Path, keeping: Keeping | None = None
) -> LockStore:
    """By its URL, as in `formlock.drivers`. A file is relative to `folder`, unless it has four slashes. Drivers are loaded when
    asked for."""
    driver, file = driver_of(url, "store")
    if driver == "memory":
        from formlock.stores.memory import MemoryStore

        return MemoryStore(epoch=new_epoch(), first_token=clock.wall(), keeping=keeping)
    from formlock.stores.sqlite import SqliteStore

    return await SqliteStore.open(folder / file, clock, new_epoch, keeping)
