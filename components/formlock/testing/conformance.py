"""What every LockStore must do. A driver's tests are a subclass with an `open` of its own.

    class TestMyStore(StoreConformance):
        def open(self, clock, tmp_path): ...

Decisions here are small functions of their own: a store knows no rule of locking, and neither does this suite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from formlock.errors import NotActive
from formlock.events import Detached, Event
from formlock.model import FormId, FormState, Lease, Owner, Query
from formlock.stores import D, LockStore
from formlock.stores.states import MAX_SCANNED
from formlock.testing.clock import FakeClock, Task

ONE, TWO = FormId("invoice", "1"), FormId("invoice", "2")
ANN = Owner("ann", "tab")


@dataclass(frozen=True)
class Outcome:
    """The least that a store needs to know."""

    state: FormState
    events: tuple[Event, ...] = ()


def given(state: FormState, session: int | None = 7, deadline: int | None = 90_000) -> Outcome:
    """A new grant."""
    lease = Lease(ANN, "Ann", state.token + 1, session, granted_wall=5, deadline=deadline, note="ä ☃")
    after = replace(state, token=state.token + 1, rev=state.rev + 1, holds=(lease,))
    return Outcome(after, (Detached(state.form, ANN, after.token, after.rev, 5),))


def moved(deadline: int) -> object:
    """A decision that only moves the deadline, as a renewal does."""

    def decide(state: FormState) -> Outcome:
        assert state.lease is not None
        return Outcome(replace(state, holds=(replace(state.lease, deadline=deadline),)))

    return decide


def freed(state: FormState) -> Outcome:
    """The grant ends."""
    after = replace(state, rev=state.rev + 1, holds=())
    return Outcome(after, (Detached(state.form, ANN, after.token, after.rev, 5),))


async def one(store: LockStore, form: FormId, decide: Callable[[FormState], D]) -> D:
    """A transaction of a single form."""
    (outcome,) = await store.transact([form], lambda states: [decide(states[0])])
    return outcome


class StoreConformance:
    """Inherit and implement `open`."""

    durable = True
    """Whether what `close` left is there when the same place is opened again."""

    def open(self, clock: FakeClock, tmp_path: Path) -> LockStore:
        """A store; called again with the same path it opens the same one."""
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> FakeClock:
        """Time of the test's own."""
        return FakeClock()

    @pytest.fixture
    def store(self, clock: FakeClock, tmp_path: Path) -> Iterator[LockStore]:
        """Opened, and closed after the test."""
        store = self.open(clock, tmp_path)
        yield store
        clock.run(store.close())

    def test_unknown_form_is_free(self, store: LockStore, clock: FakeClock) -> None:
        """A form never heard of is free and has a token below the first that will be granted."""
        state = clock.run(store.read(ONE))
        assert state.form == ONE
        assert state.lease is None
        assert state.rev == 0
        assert clock.run(one(store, ONE, given)).state.token > state.token

    def test_reads_what_was_decided(self, store: LockStore, clock: FakeClock) -> None:
        """`transact` answers the decision, and `read` the state it left; other forms are untouched."""
        outcome = clock.run(one(store, ONE, given))
        assert clock.run(store.read(ONE)) == outcome.state
        assert clock.run(store.read(TWO)).lease is None

    def test_decisions_see_each_other(self, store: LockStore, clock: FakeClock) -> None:
        """Decisions on one form come one after the other, although none waits for the one before to be written."""
        tasks = [Task(one(store, ONE, given)) for _ in range(50)]
        tokens = [clock.settle(task).state.token for task in tasks]
        assert tokens == list(range(tokens[0], tokens[0] + 50))

    def test_raising_decision_changes_nothing(self, store: LockStore, clock: FakeClock) -> None:
        """What `decide` raises is raised to the caller, and the state is as before."""
        before = clock.run(one(store, ONE, given)).state

        def broken(state: FormState) -> Outcome:
            raise LookupError(str(state.form))

        with pytest.raises(LookupError):
            clock.run(one(store, ONE, broken))
        assert clock.run(store.read(ONE)) == before

    def test_index_of_sessions(self, store: LockStore, clock: FakeClock) -> None:
        """`of_session` names the forms attached to a session, and follows grants, re-attachments and releases."""
        clock.run(one(store, ONE, given))
        clock.run(one(store, TWO, given))
        assert set(store.of_session(7)) == {ONE, TWO}
        clock.run(one(store, TWO, lambda state: given(state, session=8)))
        assert (tuple(store.of_session(7)), tuple(store.of_session(8))) == ((ONE,), (TWO,))
        clock.run(one(store, ONE, freed))
        assert tuple(store.of_session(7)) == ()

    def test_held(self, store: LockStore, clock: FakeClock) -> None:
        """`held` names the forms with a lease."""
        clock.run(one(store, ONE, given))
        clock.run(one(store, TWO, given))
        clock.run(one(store, TWO, freed))
        assert list(store.held()) == [ONE]

    def test_due(self, store: LockStore, clock: FakeClock) -> None:
        """`due` names the forms whose deadline has come, not those renewed since, and never more than asked for."""
        clock.run(one(store, ONE, lambda state: given(state, deadline=100)))
        clock.run(one(store, TWO, lambda state: given(state, deadline=200)))
        next_due = store.next_due()
        assert next_due is not None
        assert next_due <= 100
        assert list(store.due(99, 10)) == []
        assert list(store.due(100, 10)) == [ONE]
        clock.run(one(store, ONE, moved(300)))  # type: ignore[arg-type]
        assert list(store.due(250, 10)) == [TWO]
        assert len(store.due(1_000, 1)) == 1
        assert set(store.due(2_000, 10)) == {ONE, TWO}

    def test_due_comes_again_until_decided(self, store: LockStore, clock: FakeClock) -> None:
        """A form that is due stays due until a decision changes it: one that could not be written is tried again."""
        clock.run(one(store, ONE, lambda state: given(state, deadline=100)))
        assert list(store.due(100, 10)) == [ONE]
        assert list(store.due(101, 10)) == [ONE]
        clock.run(one(store, ONE, freed))
        assert list(store.due(10_000, 10)) == []

    def test_an_earlier_deadline_counts(self, store: LockStore, clock: FakeClock) -> None:
        """A deadline that moves to an earlier time (grace, probe) is due then."""
        clock.run(one(store, ONE, lambda state: given(state, deadline=1_000)))
        clock.run(one(store, ONE, moved(50)))  # type: ignore[arg-type]
        assert list(store.due(50, 10)) == [ONE]

    def test_closed(self, clock: FakeClock, tmp_path: Path) -> None:
        """A closed store answers NotActive."""
        store = self.open(clock, tmp_path)
        clock.run(store.close())
        with pytest.raises(NotActive):
            clock.run(one(store, ONE, given))
        with pytest.raises(NotActive):
            clock.run(store.read(ONE))

    def test_opened_again(self, clock: FakeClock, tmp_path: Path) -> None:
        """A store that lasts has everything but deadlines when it is opened again, in the same epoch; one that does not says so by
        another epoch, and its tokens rise all the same."""
        store = self.open(clock, tmp_path)
        epoch = store.epoch
        before = clock.run(one(store, ONE, given)).state
        clock.run(one(store, TWO, given))
        clock.run(one(store, TWO, freed))
        clock.run(store.close())
        clock.advance(60_000)
        store = self.open(clock, tmp_path)
        again = clock.run(store.read(ONE))
        if self.durable:
            assert store.epoch == epoch
            assert before.lease is not None
            assert again == replace(before, holds=(replace(before.lease, deadline=None),))
            assert list(store.held()) == [ONE]
            assert tuple(store.of_session(7)) == (ONE,)
        else:
            assert store.epoch != epoch
        for form in (ONE, TWO):
            assert clock.run(one(store, form, given)).state.token > before.token
        clock.run(store.close())

    def test_find_in_pages(self, clock: FakeClock, store: LockStore) -> None:
        """Locked forms in the order of their ids, from page to page, each once; a free one never."""
        forms = [FormId("invoice", f"{number:02}") for number in range(5)] + [FormId("order", "1")]
        for form in reversed(forms):
            clock.run(one(store, form, given))
        clock.run(one(store, forms[2], freed))
        found, after, pages = [], None, 0
        while pages == 0 or after is not None:
            page = clock.run(store.find(Query(type="invoice", after=after, limit=2)))
            found += [state.form for state in page.states]
            after, pages = page.after, pages + 1
        assert found == [forms[0], forms[1], forms[3], forms[4]]
        assert pages == 2
        everything = clock.run(store.find(Query()))
        assert [state.form for state in everything.states] == found + forms[5:]
        assert everything.after is None

    def test_find_by_user_and_attachment(self, clock: FakeClock, store: LockStore) -> None:
        """Filters leave out what is not asked for, and do not end the search."""
        clock.run(one(store, ONE, given))
        clock.run(one(store, TWO, lambda state: given(state, session=None)))

        def forms(query: Query) -> list[FormId]:
            return [state.form for state in clock.run(store.find(query)).states]

        assert forms(Query(user="ann")) == [ONE, TWO]
        assert forms(Query(user="bob")) == []
        assert forms(Query(attached=True)) == [ONE]
        assert forms(Query(attached=False)) == [TWO]

    def test_a_rare_find_is_looked_for_in_turns(self, clock: FakeClock, store: LockStore) -> None:
        """One page looks at a bounded number of forms, and says where to go on."""
        for number in range(MAX_SCANNED + 1):
            clock.run(one(store, FormId("many", f"{number:05}"), given))
        first = clock.run(store.find(Query(user="bob")))
        assert first.states == ()
        assert first.after == FormId("many", f"{MAX_SCANNED - 1:05}")
        assert clock.run(store.find(Query(user="bob", after=first.after))).after is None
