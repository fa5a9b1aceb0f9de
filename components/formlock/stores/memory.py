"""A store that forgets with its process: for tests, and to see what durability costs."""

from __future__ import annotations

from collections.abc import Callable

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

    async def transact(self, form: FormId, decide: Callable[[FormState], D]) -> D:
        """Decide at once."""
        self._check()
        outcome = decide(self._states.get(form))
        self._states.put(outcome.state)
        return outcome

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
