"""All states of one process in memory, with the two indexes that keep everything flat: by session, and by deadline."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence

from sortedcontainers import SortedList

from formlock.model import FormId, FormState, Found, Query

# Looked at for one page, so that a rare user among 100,000 locks does not keep the service from everything else.
MAX_SCANNED = 2_000


class States:
    """What memory and sqlite stores share. Plain and synchronous."""

    def __init__(self, first_token: int) -> None:
        self._first_token = first_token
        self._states: dict[FormId, FormState] = {}
        # Most sessions hold one form: a collection for each would cost more than all the other indexes. In the order of coming:
        # a set would have another order on each run.
        self._by_session: dict[int, FormId | dict[FormId, None]] = {}
        # Forms with a lease or a waiter, in order, so that they can be listed in pages.
        self._held: SortedList[FormId] = SortedList()
        self._waits: Counter[str] = Counter()
        # One live entry per form, the earliest: a renewal only moves the deadline in the state, and the entry is put back with the
        # true deadline when its time comes. So a renewal costs no heap work.
        self._heap: list[tuple[int, FormId]] = []
        self._scheduled: dict[FormId, int] = {}

    def get(self, form: FormId) -> FormState:
        """The form's state; one never heard of is free, with the token below the first to be granted."""
        return self._states.get(form) or FormState(form, token=self._first_token)

    def put(self, state: FormState) -> None:
        """Make this the form's state and keep the indexes true."""
        form = state.form
        before = self._states.get(form)
        sessions_before = before.sessions() if before is not None else set()
        sessions_after = state.sessions()
        for session in sessions_before - sessions_after:
            self._unindex(session, form)
        for session in sessions_after - sessions_before:
            self._index(session, form)
        if (before is not None and before.waiters) or state.waiters:
            self._waits.subtract(waiter.owner.user for waiter in (before.waiters if before is not None else ()))
            self._waits.update(waiter.owner.user for waiter in state.waiters)
            self._waits = +self._waits
        self._states[form] = state
        listed = before is not None and bool(before.holds or before.waiters)
        if listed != bool(state.holds or state.waiters):
            if listed:
                self._held.remove(form)
            else:
                self._held.add(form)
        deadline = state.deadline
        if deadline is not None:
            scheduled = self._scheduled.get(form)
            if scheduled is None or deadline < scheduled:
                self._scheduled[form] = deadline
                heapq.heappush(self._heap, (deadline, form))

    def held(self) -> Sequence[FormId]:
        """Forms with a lease or a waiter."""
        return tuple(self._held)

    def find(self, query: Query) -> Found:
        """A page, perhaps a short one: at most MAX_SCANNED forms are looked at."""
        first = query.after if query.after is not None else FormId(query.type or "", "")
        found: list[FormState] = []
        last: FormId | None = None
        scanned = self._held.irange(first, inclusive=(query.after is None, True))
        for number, form in enumerate(scanned):
            if query.type is not None and form.type != query.type:
                break
            if len(found) == query.limit or number == MAX_SCANNED:
                return Found(tuple(found), after=last)
            last = form
            state = self._states[form]
            if query.matches(state):
                found.append(state)
        return Found(tuple(found), after=None)

    def of_session(self, session: int) -> Sequence[FormId]:
        """The forms that speak of the session."""
        found = self._by_session.get(session)
        return (found,) if isinstance(found, FormId) else tuple(found or ())

    def waits(self, user: str) -> int:
        """In how many lines the user stands."""
        return self._waits[user]

    def due(self, now: int, limit: int) -> Sequence[FormId]:
        """Forms whose deadline has come. One that is not changed by its decision comes again the next time."""
        found: list[FormId] = []
        while self._heap and self._heap[0][0] <= now and len(found) < limit:
            at, form = heapq.heappop(self._heap)
            if self._scheduled.get(form) != at:
                continue
            del self._scheduled[form]
            deadline = self.get(form).deadline
            if deadline is None:
                continue
            if deadline <= now:
                found.append(form)
                # Stays scheduled, so that a decision that could not be written is tried again.
                deadline = now + 1
            self._scheduled[form] = deadline
            heapq.heappush(self._heap, (deadline, form))
        return found

    def next_due(self) -> int | None:
        """The earliest entry; perhaps of a lease renewed since."""
        return self._heap[0][0] if self._heap else None

    def _index(self, session: int, form: FormId) -> None:
        forms = self._by_session.get(session)
        if forms is None:
            self._by_session[session] = form
        elif isinstance(forms, dict):
            forms[form] = None
        else:
            self._by_session[session] = {forms: None, form: None}

    def _unindex(self, session: int, form: FormId) -> None:
        forms = self._by_session[session]
        if isinstance(forms, dict):
            forms.pop(form, None)
            if forms:
                return
        del self._by_session[session]


class StatesQueries:
    """The questions of a LockStore that its states in memory answer."""

    _states: States

    def held(self) -> Sequence[FormId]:
        return self._states.held()

    def of_session(self, session: int) -> Sequence[FormId]:
        return self._states.of_session(session)

    def waits(self, user: str) -> int:
        return self._states.waits(user)

    def due(self, now: int, limit: int) -> Sequence[FormId]:
        return self._states.due(now, limit)

    def next_due(self) -> int | None:
        return self._states.next_due()
