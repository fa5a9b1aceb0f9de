"""A store that forgets with its process: for tests, and to see what durability costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from formlock.drafts import KEPT_MS, MAX_PER_USER, surplus
from formlock.errors import NotActive
from formlock.history import Asked, Keeping, MemoryHistory, Page
from formlock.model import Draft, FormId, FormState, Found, Query
from formlock.stores import D
from formlock.stores.states import States, StatesQueries


class MemoryStore(StatesQueries):
    """See LockStore. `first_token`: the number below the first token of a form never heard of; the wall clock's milliseconds,
    so that tokens rise even over a restart that forgot them all."""

    def __init__(self, epoch: str, first_token: int, keeping: Keeping | None = None) -> None:
        self.epoch = epoch
        self.stepped_down = False
        self._states = States(first_token)
        self._history = MemoryHistory(keeping or Keeping())
        # By record and token, the last kept last.
        self._drafts: dict[tuple[FormId, int], Draft] = {}
        self._closed = False

    async def transact(self, forms: Sequence[FormId], decide: Callable[[Sequence[FormState]], Sequence[D]]) -> Sequence[D]:
        """Decide at once."""
        self._check()
        outcomes = decide([self._states.get(form) for form in forms])
        for outcome in outcomes:
            self._states.put(outcome.state)
            self._history.record(outcome.events)
        return outcomes

    async def read(self, form: FormId) -> FormState:
        """The state now."""
        self._check()
        return self._states.get(form)

    async def find(self, query: Query) -> Found:
        """The page now."""
        self._check()
        return self._states.find(query)

    async def history(self, asked: Asked) -> Page:
        """The page now."""
        self._check()
        return self._history.page(asked, self._states.get(asked.form.record).rev)

    async def put_draft(self, draft: Draft) -> None:
        """Keep it, within the bounds."""
        self._check()
        self._drafts.pop((draft.form.record, draft.token), None)
        self._drafts[draft.form.record, draft.token] = draft
        own = [other for other in self._drafts.values() if other.owner.user == draft.owner.user]
        old = [other for other in self._drafts.values() if other.wall < draft.wall - KEPT_MS]
        for gone in (*surplus(await self.drafts(draft.form), draft), *own[:-MAX_PER_USER], *old):
            self._drafts.pop((gone.form.record, gone.token), None)

    async def drafts(self, form: FormId) -> Sequence[Draft]:
        """All of the record."""
        self._check()
        return [draft for (record, _), draft in self._drafts.items() if record == form.record]

    async def forget_drafts(self, form: FormId, tokens: Sequence[int]) -> None:
        """Throw them away."""
        self._check()
        for token in tokens:
            self._drafts.pop((form.record, token), None)

    async def close(self) -> None:
        """Nothing to finish."""
        self._closed = True

    def _check(self) -> None:
        if self._closed:
            raise NotActive
