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

from formlock.drafts import MAX_PER_FORM, MAX_PER_USER
from formlock.errors import NotActive
from formlock.events import Detached, Event, Granted, Queued, Refused, Released
from formlock.history import FOLD_MS, Asked, Keeping, Page
from formlock.model import Draft, FormId, FormState, Lease, Owner, Query, Waiter
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


def told(*events: Event) -> Callable[[FormState], Outcome]:
    """A decision with these events; the state has the rev of the last."""

    def decide(state: FormState) -> Outcome:
        return Outcome(replace(state, rev=max((event.rev for event in events), default=state.rev)), events)

    return decide


def granted(rev: int, wall: int = 1_000_000, form: FormId = ONE, owner: Owner = ANN, token: int = 9) -> Granted:
    """A public event."""
    return Granted(form, owner, token, rev, wall, 7, name="Ann ☃")


def refused(rev: int, wall: int = 1_000_000, form: FormId = ONE, user: str = "bob", error: str = "form_locked") -> Refused:
    """An event that changes nothing."""
    return Refused(form, Owner(user, "t"), 0, rev, wall, "lock", error)


def draft(token: int, user: str = "ann", wall: int = 1_000_000, form: FormId = ONE, text: str = "ä") -> Draft:
    """What somebody typed."""
    return Draft(form, Owner(user, "tab"), user.title(), token, wall, f'"{text}"'.encode())


async def one(store: LockStore, form: FormId, decide: Callable[[FormState], D]) -> D:
    """A transaction of a single form."""
    (outcome,) = await store.transact([form], lambda states: [decide(states[0])])
    return outcome


class StoreConformance:
    """Inherit and implement `open`."""

    durable = True
    """Whether what `close` left is there when the same place is opened again."""

    def open(self, clock: FakeClock, tmp_path: Path, keeping: Keeping | None = None) -> LockStore:
        """A store; called again with the same path it opens the same one. `keeping`: what of the history (None: as usual)."""
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

    def test_find_by_what_is_going_on(self, clock: FakeClock, store: LockStore) -> None:
        """U18: by idleness, machines, waiters, and how long it has been held; each filter alone, and together."""
        three = FormId("invoice", "3")

        def changed(**facts: object) -> Callable[[FormState], Outcome]:
            def decide(state: FormState) -> Outcome:
                outcome = given(state)
                (lease,) = outcome.state.holds
                return Outcome(replace(outcome.state, holds=(replace(lease, **facts),)), outcome.events)

            return decide

        def waited_for(state: FormState) -> Outcome:
            outcome = given(state)
            waiter = Waiter(1, Owner("bob", "b"), "Bob", 8, 5)
            return Outcome(replace(outcome.state, waiters=(waiter,)), outcome.events)

        def forms(**filters: object) -> list[FormId]:
            return [state.form for state in clock.run(store.find(Query(**filters))).states]  # type: ignore[arg-type]

        clock.run(one(store, ONE, changed(idle_wall=9, granted_wall=100)))
        clock.run(one(store, TWO, changed(machine=True, granted_wall=200)))
        clock.run(one(store, three, waited_for))
        assert (forms(idle=True), forms(idle=False)) == ([ONE], [TWO, three])
        assert (forms(machine=True), forms(machine=False)) == ([TWO], [ONE, three])
        assert (forms(waited_for=True), forms(waited_for=False)) == ([three], [ONE, TWO])
        assert forms(since_wall=100) == [ONE, three]
        assert forms(since_wall=4) == []
        assert forms(since_wall=200, machine=True, user="ann", idle=False) == [TWO]
        assert forms(machine=True, idle=True) == []

    # -- history

    def entries(self, clock: FakeClock, store: LockStore, form: FormId = ONE, since: int | None = 0, **more: int) -> Page:
        """A page of the history."""
        return clock.run(store.history(Asked(form, since, **more)))

    def test_every_decision_is_in_the_history(self, clock: FakeClock, store: LockStore) -> None:
        """A21: what happened comes back as it was told, in order, for the form alone."""
        events = [granted(1), Detached(ONE, ANN, 9, 1, 1_000_001, name="Ann"), Released(ONE, ANN, 9, 2, 1_000_002, "expired")]
        for event in events:
            clock.run(one(store, ONE, told(event)))
        clock.run(one(store, TWO, told(granted(1, form=TWO))))
        page = self.entries(clock, store)
        assert [entry.event for entry in page.entries] == events
        assert [entry.event.name for entry in page.entries] == ["Ann ☃", "Ann", ""]
        assert (page.after, page.complete) == (None, True)
        assert [entry.event for entry in self.entries(clock, store, since=None).entries] == events

    def test_several_events_of_one_decision(self, clock: FakeClock, store: LockStore) -> None:
        """They keep their order, and events of several forms in one transaction are all there."""
        first = (Released(ONE, ANN, 9, 1, 5, "unlock"), granted(2, 5, token=10))
        second = (Queued(TWO, ANN, 0, 1, 5, 1),)
        states = [Outcome(FormState(ONE, 9, rev=2), first), Outcome(FormState(TWO, 9, rev=1), second)]
        clock.run(store.transact([ONE, TWO], lambda _: states))
        assert tuple(entry.event for entry in self.entries(clock, store).entries) == first
        assert tuple(entry.event for entry in self.entries(clock, store, TWO).entries) == second

    def test_history_since_a_rev(self, clock: FakeClock, store: LockStore) -> None:
        """All behind the event that made that rev: later revs, and private events that share it."""
        events: list[Event] = [granted(1), Detached(ONE, ANN, 9, 1, 5), granted(2), Detached(ONE, ANN, 9, 2, 5), granted(3)]
        for event in events:
            clock.run(one(store, ONE, told(event)))

        def since(rev: int) -> list[Event]:
            return [entry.event for entry in self.entries(clock, store, since=rev).entries]

        assert since(0) == events
        assert since(1) == events[1:]
        assert since(2) == events[3:]
        assert since(3) == []
        assert since(99) == []

    def test_history_in_pages(self, clock: FakeClock, store: LockStore) -> None:
        """Pages meet without a gap or a repetition, even among private events of one rev; the newest come when nothing is said."""
        clock.run(one(store, ONE, told(granted(1))))
        for wall in range(6):
            clock.run(one(store, ONE, told(Detached(ONE, ANN, 9, 1, wall))))
        walls: list[int] = []
        after: int | None = 0
        while after is not None:
            page = self.entries(clock, store, since=1, after=after, limit=4)
            walls += [entry.event.wall for entry in page.entries]
            after = page.after
        assert walls == list(range(6))
        newest = self.entries(clock, store, since=None, limit=2)
        assert [entry.event.wall for entry in newest.entries] == [4, 5]
        assert (newest.after, newest.complete) == (None, False)
        assert self.entries(clock, store, since=None, limit=7).complete

    def test_history_of_a_section(self, clock: FakeClock, store: LockStore) -> None:
        """A section's history is its own and that of the whole; the record's is all."""
        address, lines = ONE._replace(section="address"), ONE._replace(section="lines")
        for rev, form in enumerate((address, lines, ONE), start=1):
            clock.run(one(store, ONE, told(granted(rev, form=form))))

        def forms(form: FormId) -> list[FormId]:
            return [entry.event.form for entry in self.entries(clock, store, form, since=None).entries]

        assert forms(address) == [address, ONE]
        assert forms(ONE) == [address, lines, ONE]

    def test_refusals_are_in_the_history(self, clock: FakeClock, store: LockStore) -> None:
        """Nobody waits for them to be written, and whoever asks finds them; the same again within a minute is one entry."""
        clock.run(one(store, ONE, told(granted(1))))
        assert Task(one(store, ONE, told(refused(1, 1_000_000)))).done, "a refusal was waited for"
        for wall in (1_000_100, 1_000_000 + FOLD_MS - 1):
            clock.run(one(store, ONE, told(refused(1, wall))))
            assert len(self.entries(clock, store, since=1).entries) == 1
        clock.run(one(store, ONE, told(refused(1, 1_000_300, error="too_many"))))
        clock.run(one(store, ONE, told(refused(1, 1_000_400, user="eva"))))
        clock.run(one(store, ONE, told(refused(1, 1_000_000 + FOLD_MS))))
        found = [
            (entry.event.owner.user, entry.event.wall - 1_000_000, entry.times, entry.last_wall - 1_000_000)
            for entry in self.entries(clock, store, since=1).entries
        ]
        assert found[0] == ("bob", 0, 3, FOLD_MS - 1)
        assert [entry[:3] for entry in found[1:]] == [("bob", 300, 1), ("eva", 400, 1), ("bob", FOLD_MS, 1)]

    def test_the_history_is_bounded_per_form(self, clock: FakeClock, tmp_path: Path) -> None:
        """What is above the number for one form goes, the oldest first, and whoever asks for it is told that some is missing."""
        store = self.open(clock, tmp_path, Keeping(per_form=20))
        clock.run(one(store, TWO, told(granted(1, form=TWO))))
        for rev in range(1, 301):
            clock.run(one(store, ONE, told(granted(rev))))
        page = self.entries(clock, store, since=0, limit=400)
        assert 20 <= len(page.entries) <= 100
        assert page.entries[-1].event.rev == 300
        assert not page.complete
        assert self.entries(clock, store, since=page.entries[0].event.rev - 1).complete
        assert self.entries(clock, store, TWO).complete
        clock.run(store.close())

    def test_the_history_is_bounded_in_all(self, clock: FakeClock, tmp_path: Path) -> None:
        """However many forms there are."""
        store = self.open(clock, tmp_path, Keeping(in_all=50))
        forms = [FormId("invoice", f"{number:03}") for number in range(120)]
        for form in forms:
            clock.run(one(store, form, told(granted(1, form=form))))
        kept = [form for form in forms if self.entries(clock, store, form).entries]
        assert kept == forms[-50:]
        assert not self.entries(clock, store, forms[0]).complete
        clock.run(store.close())

    def test_refusals_push_nothing_else_out(self, clock: FakeClock, tmp_path: Path) -> None:
        """A flood of refusals, of as many users and forms as one likes, takes its own tenth of the room and no more."""
        store = self.open(clock, tmp_path, Keeping(per_form=20, in_all=100))
        for rev in range(1, 21):
            clock.run(one(store, ONE, told(granted(rev))))
        for number in range(300):
            form = FormId("invoice", str(number % 40))
            clock.run(one(store, form, told(refused(20, form=form, user=f"user{number}"))))
            if number % 10 == 0:
                # Somebody asks, so that they are written in between.
                self.entries(clock, store, form)
        page = self.entries(clock, store, limit=400)
        assert [entry.event.rev for entry in page.entries if entry.event.changes] == list(range(1, 21))
        refusals = [
            entry
            for number in range(40)
            for entry in self.entries(clock, store, FormId("invoice", str(number)), since=None, limit=400).entries
            if not entry.event.changes
        ]
        assert 1 <= len(refusals) <= 12
        clock.run(store.close())

    def test_the_history_is_bounded_by_age(self, clock: FakeClock, tmp_path: Path) -> None:
        """What is older than its days is gone with what comes later."""
        store = self.open(clock, tmp_path, Keeping(days=2))
        clock.run(one(store, ONE, told(granted(1, clock.wall()))))
        clock.advance(2 * 86_400_000 - 3_600_000)
        clock.run(one(store, ONE, told(granted(2, clock.wall()))))
        assert len(self.entries(clock, store).entries) == 2
        clock.advance(3_600_001)
        clock.run(one(store, TWO, told(granted(1, clock.wall(), form=TWO))))
        assert [entry.event.rev for entry in self.entries(clock, store).entries] == [2]
        clock.run(store.close())

    # -- drafts

    def drafts(self, clock: FakeClock, store: LockStore, form: FormId = ONE) -> list[tuple[int, str]]:
        """Token and content of each, by token."""
        return sorted((draft.token, draft.content.decode()) for draft in clock.run(store.drafts(form)))

    def test_drafts(self, clock: FakeClock, store: LockStore) -> None:
        """A draft is kept as it came; a later one of the same grant takes its place; other records have their own."""
        kept = draft(5, form=ONE._replace(section="address"))
        clock.run(store.put_draft(kept))
        assert list(clock.run(store.drafts(ONE))) == [kept]
        clock.run(store.put_draft(draft(5, text="later")))
        clock.run(store.put_draft(draft(6, "bob")))
        clock.run(store.put_draft(draft(5, form=TWO)))
        assert self.drafts(clock, store) == [(5, '"later"'), (6, '"ä"')]
        assert self.drafts(clock, store, TWO) == [(5, '"ä"')]
        clock.run(store.forget_drafts(ONE, [5, 99]))
        assert self.drafts(clock, store) == [(6, '"ä"')]
        assert self.drafts(clock, store, TWO) == [(5, '"ä"')]

    def test_drafts_per_form_are_bounded(self, clock: FakeClock, store: LockStore) -> None:
        """At most so many; an author's own older ones go first, so nobody pushes out another's."""
        clock.run(store.put_draft(draft(1, "ann", wall=1)))
        for token in range(2, MAX_PER_FORM + 4):
            clock.run(store.put_draft(draft(token, "bob", wall=token)))
        tokens = [token for token, _ in self.drafts(clock, store)]
        assert tokens == [1, *range(5, MAX_PER_FORM + 4)]
        for token, user in enumerate(("c", "d", "e", "f", "g"), start=20):
            clock.run(store.put_draft(draft(token, user, wall=token)))
        assert [token for token, _ in self.drafts(clock, store)] == [20, 21, 22, 23, 24]

    def test_drafts_per_user_are_bounded(self, clock: FakeClock, store: LockStore) -> None:
        """However many forms a user goes through: the oldest go."""
        for number in range(MAX_PER_USER + 2):
            clock.run(store.put_draft(draft(1, form=FormId("invoice", str(number)), wall=number)))
        there = [bool(self.drafts(clock, store, FormId("invoice", str(number)))) for number in range(MAX_PER_USER + 2)]
        assert there == [False, False] + [True] * MAX_PER_USER

    def test_what_is_kept_outlives_the_process(self, clock: FakeClock, tmp_path: Path) -> None:
        """History and drafts are there when the store is opened again, refusals too, and the numbers go on; or all is gone."""
        store = self.open(clock, tmp_path)
        clock.run(one(store, ONE, told(granted(1))))
        clock.run(one(store, ONE, told(refused(1))))
        clock.run(store.put_draft(draft(5)))
        before = self.entries(clock, store).entries[-1].number
        clock.run(one(store, ONE, told(refused(1, user="eva"))))
        clock.run(store.close())
        store = self.open(clock, tmp_path)
        clock.run(one(store, ONE, told(granted(2))))
        page = self.entries(clock, store)
        if self.durable:
            assert [entry.event.owner.user for entry in page.entries] == ["ann", "bob", "eva", "ann"]
            assert page.entries[-1].number > before
            assert self.drafts(clock, store) == [(5, '"ä"')]
        else:
            assert [entry.event.rev for entry in page.entries] == [2]
            assert self.drafts(clock, store) == []
        clock.run(store.close())

    def test_closed_to_history_and_drafts(self, clock: FakeClock, tmp_path: Path) -> None:
        """A closed store answers NotActive here too."""
        store = self.open(clock, tmp_path)
        clock.run(store.close())
        for work in (store.history(Asked(ONE)), store.put_draft(draft(1)), store.drafts(ONE), store.forget_drafts(ONE, [1])):
            with pytest.raises(NotActive):
                clock.run(work)
