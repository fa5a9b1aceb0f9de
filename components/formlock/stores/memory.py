"""A store that forgets with its process: for tests, and to see what durability costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from formlock.errors import NotActive
from formlock.model import FormId, FormState, Found, Query
from formlock.stores import D
from formlock.stores.states import States, StatesQueries


class MemoryStore(StatesQueries):
    """See LockStore. `first_token`: the number below the first token of a form never heard of; the wall clock's milliseconds,
    so that tokens rise even over a restart that forgot them all."""

    def __init__(self, epoch: str, first_token: int) -> None:
        self.epoch = epoch
        self.stepped_down = False
        self._states = States(first_token)
        self._closed = False

    async def transact(self, forms: Sequence[FormId], decide: Callable[[Sequence[FormState]], Sequence[D]]) -> Sequence[D]:
        """Decide at once."""
        self._check()
        outcomes = decide([self._states.get(form) for form in forms])
        for outcome in outcomes:
            self._states.put(outcome.state)
        return outcomes

    async def read(self, form: FormId) -> FormState:
        """The state now."""
        self._check()
        return self._states.get(form)

    async def find(self, query: Query) -> Found:
        """The page now."""
        self._check()
        return self._states.find(query)

    async def close(self) -> None:
        """Nothing to finish."""
        self._closed = True

    def _check(self) -> None:
        if self._closed:
            raise NotActive
