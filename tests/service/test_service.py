"""The lock service on a fake clock, over both stores: order of storing and telling, timers, probes, pauses, restarts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from formlock.commands import (
    Decision,
    Freed,
    Lock,
    Refusal,
    Renew,
    Takeover,
    Unlock,
    Yours,
)
from formlock.errors import FormLocked, Lost, NotActive
from formlock.events import Event, Granted, Refused, Released
from formlock.model import FormId, FormState, Owner, Query
from formlock.policy import Policy
from formlock.service import RETRY_MS, LockService
from formlock.stores import D, LockStore
from formlock.stores.memory import MemoryStore
from formlock.stores.sqlite import SqliteStore
from formlock.testing import FakeClock
from formlock.testing.clock import WITHIN_S, Task

FORM = FormId("invoice", "42")
ANN, BOB = Owner("ann", "a"), Owner("bob", "b")
POLICY = Policy()


class World:
    """A service, its clock, and what it told."""

    def __init__(self, clock: FakeClock, store: LockStore) -> None:
        self.clock = clock
        self.store = store
        self.happened: list[tuple[Event, int | None]] = []
        self.probed: list[int] = []
        self.stepped_down = 0
        self.service = LockService(store, clock, POLICY, happened=self._happened, probe=self._probe, stepped_down=self._stepped_down)

    def _happened(self, event: Event, state: FormState, caller: int | None) -> None:
        assert state.rev == event.rev
        self.happened.append((event, caller))

    def _probe(self, state: FormState, session: int) -> None:
        self.probed.append(session)

    def _stepped_down(self) -> None:
        self.stepped_down += 1

    def start(self, *living: int) -> World:
        self.clock.run(self.service.start(living))
        return self

    def locking(self, owner: Owner = ANN, session: int = 1, form: FormId = FORM) -> Task:
        return Task(self.service.lock(form, Lock(owner=owner, name=owner.user, session=session)))

    def lock(self, owner: Owner = ANN, session: int = 1, form: FormId = FORM) -> Decision:
        decision: Decision = self.clock.settle(self.locking(owner, session, form))
        return decision

    def renew(self, token: int, owner: Owner = ANN, session: int = 1) -> Any:
        (decision,) = self.clock.run(self.service.renew([(FORM, Renew(owner, token, session))], session))
        return decision.reply

    def advance(self, by_ms: int) -> None:
        """Let time pass, and threads catch up with it."""
        self.clock.advance(by_ms)
        for task in self.clock.background[:]:
            self.clock.settle(task)
        self.clock.advance(0)

    @property
    def holder(self) -> str | None:
        lease = self.clock.run(self.service.read(FORM)).lease
        return lease.owner.user if lease is not None else None

    @property
    def released(self) -> list[str]:
        return [event.cause for event, _ in self.happened if isinstance(event, Released)]


@pytest.fixture(params=["memory", "sqlite"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    clock = FakeClock()
    world = World(clock, opened(request.param, clock, tmp_path)).start()
    yield world
    clock.run(world.service.stop())


def opened(kind: str, clock: FakeClock, path: Path) -> LockStore:
    if kind == "memory":
        return MemoryStore("e", clock.wall())
    return clock.run(SqliteStore.open(path / "x.sqlite", clock, lambda: "e"))


def test_lock_refuse_unlock(world: World) -> None:
    got = world.lock()
    assert isinstance(got.reply, Yours)
    assert world.lock(BOB, 2).reply == Refusal(FormLocked)
    done = world.clock.run(world.service.unlock(FORM, Unlock(ANN, got.reply.token), session=1))
    assert done.reply == Freed()
    assert [(type(event), caller) for event, caller in world.happened] == [(Granted, 1), (Refused, 2), (Released, 1)]


def test_stores_first_publishes_second_answers_last(tmp_path: Path) -> None:
    """Nothing is told before it is durable, and the caller is answered after the others were told."""
    clock = FakeClock()
    world = World(clock, opened("sqlite", clock, tmp_path)).start()
    task = world.locking()
    assert world.happened == []
    assert not task.done
    told_at_answer: list[int] = []

    async def observed() -> None:
        await world.service.read(FORM)
        told_at_answer.append(len(world.happened))

    clock.settle(task)
    assert len(world.happened) == 1
    clock.run(observed())
    assert told_at_answer == [1]
    clock.run(world.service.stop())


def test_of_many_at_once_one_gets_it(world: World) -> None:
    """U23: of a hundred that click in the same moment exactly one is granted."""
    tasks = [world.locking(Owner(f"user{number}", "t"), number) for number in range(1, 101)]
    replies = [world.clock.settle(task).reply for task in tasks]
    assert sum(isinstance(reply, Yours) for reply in replies) == 1
    assert sum(reply == Refusal(FormLocked) for reply in replies) == 99


def test_expiry_by_the_timer_alone(world: World) -> None:
    """U1: nobody has to ask: the form is freed, and told, when the lease is over."""
    world.lock()
    world.advance(POLICY.ttl_ms - 1)
    assert world.released == []
    world.advance(1)
    assert world.released == ["expired"]


def test_renewals_keep_it(world: World) -> None:
    got = world.lock()
    assert isinstance(got.reply, Yours)
    for _ in range(20):
        world.advance(POLICY.renew_ms)
        assert isinstance(world.renew(got.reply.token), Yours)
    assert world.holder == "ann"
    assert len(world.happened) == 1


def test_lost_session_frees_after_its_grace(world: World) -> None:
    """U5, U40: a killed browser's form is free when the grace is over."""
    world.lock()
    world.clock.run(world.service.session_lost(1))
    world.advance(POLICY.grace_ms - 1)
    assert world.released == []
    world.advance(1)
    assert world.released == ["session_lost"]


def test_session_lost_touches_only_its_own_forms(world: World) -> None:
    """By the index: the forms of other sessions are not even looked at."""
    for number in range(50):
        world.lock(Owner("x", str(number)), number, FormId("t", str(number)))
    touched: list[list[FormId]] = []
    transact = world.store.transact

    async def watched(forms: list[FormId], decide: Any) -> Any:
        touched.append(forms)
        return await transact(forms, decide)

    world.store.transact = watched  # type: ignore[method-assign]
    world.clock.run(world.service.session_lost(7))
    assert touched == [[FormId("t", "7")]]


def test_a_caller_that_left_in_mid_call(tmp_path: Path) -> None:
    """The session is gone by the time its grant is durable: its lock waits in the grace at once, not for a whole ttl."""
    clock = FakeClock()
    world = World(clock, opened("sqlite", clock, tmp_path)).start()
    task = world.locking()
    lost = Task(world.service.session_lost(1))
    clock.settle(task)
    clock.settle(lost)
    state = clock.run(world.service.read(FORM))
    assert state.lease is not None
    assert state.lease.session is None
    assert state.deadline == clock.now() + POLICY.grace_ms
    clock.run(world.service.stop())


def test_duplicated_tab_is_refused_when_the_original_answers(world: World) -> None:
    """U10: the probe goes to the old session; its renewal refuses the copy, without waiting for the whole two seconds."""
    got = world.lock()
    assert isinstance(got.reply, Yours)
    copy = world.locking(ANN, session=2)
    if not copy.done and not world.probed:
        world.clock.run(world.service.read(FORM))
    assert world.probed == [1]
    world.advance(500)
    assert not copy.done
    world.renew(got.reply.token, session=1)
    assert world.clock.settle(copy).reply == Refusal(FormLocked, same_user=True)


def test_dead_line_gives_way_to_its_own_tab(world: World) -> None:
    """U9: a tab that comes back over a new line while the router still believes in the old one waits two seconds, not a time-out."""
    got = world.lock()
    back = world.locking(ANN, session=2)
    world.advance(POLICY.probe_ms - 1)
    assert not back.done
    world.advance(1)
    again = world.clock.settle(back)
    assert again.state.token == got.state.token + 1
    assert again.state.lease.session == 2


def test_a_thawed_original_has_lost(world: World) -> None:
    """U10: a frozen tab's copy was given the form; when the original wakes, exactly one of the two may go on."""
    token = world.lock().state.token
    copy = world.locking(ANN, session=2)
    world.advance(POLICY.probe_ms)
    assert isinstance(world.clock.settle(copy).reply, Yours)
    assert world.renew(token, session=1) == Refusal(Lost)
    assert isinstance(world.renew(token + 1, session=2), Yours)


def test_a_probed_session_that_leaves_ends_the_waiting(world: World) -> None:
    """A reload whose old session is reported lost a moment later gets its form then, with its token, not two seconds later."""
    got = world.lock()
    back = world.locking(ANN, session=2)
    world.advance(50)
    world.clock.run(world.service.session_lost(1))
    assert world.clock.settle(back).reply == got.reply
    assert world.service._waiting == {}


def test_nothing_is_kept_of_calls_that_waited(world: World) -> None:
    """However often a tab's second session asks, waiting leaves nothing behind."""
    for session in range(2, 30):
        world.lock(ANN, session - 1)
        waiting = world.locking(ANN, session)
        world.advance(POLICY.probe_ms)
        world.clock.settle(waiting)
    assert world.service._waiting == {}
    assert world.service._callers == {}


def test_somebody_else_waits_for_a_page_that_may_be_reloading(world: World) -> None:
    """U8: for a moment after a page has left, another's lock call waits; if the page is not back, it is granted."""
    got = world.lock()
    assert isinstance(got.reply, Yours)
    world.clock.run(world.service.unlock(FORM, Unlock(ANN, got.reply.token, leaving=True), 1))
    assert world.released == ["left"]
    bob = world.locking(BOB, 2)
    world.advance(300)
    assert not bob.done
    assert world.lock(ANN, session=3).reply == got.reply
    world.advance(POLICY.reserve_ms)
    assert world.clock.settle(bob).reply == Refusal(FormLocked)


def test_a_caller_that_leaves_while_its_call_waits(world: World) -> None:
    """Nothing is granted to a session that is gone by the time the waiting is over."""
    got = world.lock()
    assert isinstance(got.reply, Yours)
    world.clock.run(world.service.unlock(FORM, Unlock(ANN, got.reply.token, leaving=True), 1))
    bob = world.locking(BOB, 2)
    world.advance(500)
    world.clock.run(world.service.session_lost(2))
    world.advance(POLICY.reserve_ms)
    with pytest.raises(NotActive):
        world.clock.settle(bob)
    assert world.holder is None


def test_a_caller_that_leaves_during_a_renewal_of_several(tmp_path: Path) -> None:
    """All of its forms wait in their grace, not only the first."""
    clock = FakeClock()
    world = World(clock, opened("sqlite", clock, tmp_path)).start()
    forms = [FormId("t", "a"), FormId("t", "b"), FormId("t", "c")]
    tokens = [world.lock(form=form).state.token for form in forms]
    clock.run(world.service.session_lost(1))
    renewing = Task(world.service.renew([(form, Renew(ANN, token, 2)) for form, token in zip(forms, tokens, strict=True)], 2))
    lost = Task(world.service.session_lost(2))
    clock.settle(renewing)
    clock.settle(lost)
    for form in forms:
        lease = clock.run(world.service.read(form)).lease
        assert lease is not None
        assert lease.session is None
    clock.run(world.service.stop())


def test_a_caller_that_leaves_and_whose_unlock_could_not_be_written(tmp_path: Path) -> None:
    """Taken back, the lock is not held by the session that has left meanwhile, but in its grace."""
    clock = FakeClock()
    store = opened("sqlite", clock, tmp_path)
    assert isinstance(store, SqliteStore)
    world = World(clock, store).start()
    token = world.lock().state.token
    write = store._write
    store._write = lambda connection, batch: clock.from_thread(lambda: store._failed(batch, OSError("full")))  # type: ignore[method-assign]
    leaving = Task(world.service.unlock(FORM, Unlock(ANN, token), 1))
    lost = Task(world.service.session_lost(1))
    while store._reading is None:
        clock._take(time.monotonic() + WITHIN_S)
    store._write = write  # type: ignore[method-assign]
    with pytest.raises(NotActive):
        clock.settle(leaving)
    world.advance(RETRY_MS)
    assert lost.done
    lease = clock.run(world.service.read(FORM)).lease
    assert lease is not None
    assert lease.session is None
    clock.run(world.service.stop())


def test_a_session_that_leaves_while_another_takes_its_form_in_vain(tmp_path: Path) -> None:
    """In memory the form is another's already; that is taken back, and then it is not held by a session that has left."""
    clock = FakeClock()
    store = opened("sqlite", clock, tmp_path)
    assert isinstance(store, SqliteStore)
    world = World(clock, store).start()
    token = world.lock().state.token
    write = store._write
    store._write = lambda connection, batch: clock.from_thread(lambda: store._failed(batch, OSError("full")))  # type: ignore[method-assign]
    taking = Task(world.service.takeover(FORM, Takeover(owner=BOB, name="Bob", session=2, expected_token=token, right=True)))
    lost = Task(world.service.session_lost(1))
    while store._reading is None:
        clock._take(time.monotonic() + 5)
    store._write = write  # type: ignore[method-assign]
    with pytest.raises(NotActive):
        clock.settle(taking)
    world.advance(RETRY_MS)
    assert lost.done
    lease = clock.run(world.service.read(FORM)).lease
    assert lease is not None
    assert (lease.owner, lease.session) == (ANN, None)
    clock.run(world.service.stop())


def test_a_failed_write_after_a_restart(tmp_path: Path) -> None:
    """What a restart sets anew (deadlines, times of attempts) is no sign of another writer: the store goes on."""
    clock = FakeClock()
    world = World(clock, opened("sqlite", clock, tmp_path)).start()
    token = clock.run(world.service.lock(FORM, Lock(owner=ANN, name="Ann", session=1, rid="r1"))).state.token
    clock.run(world.service.stop())
    clock.jump(60_000)
    store = opened("sqlite", clock, tmp_path)
    assert isinstance(store, SqliteStore)
    world = World(clock, store).start(1)
    write = store._write
    store._write = lambda connection, batch: clock.from_thread(lambda: store._failed(batch, OSError("full")))  # type: ignore[method-assign]
    with pytest.raises(NotActive):
        clock.run(world.service.unlock(FORM, Unlock(ANN, token), 1))
    store._write = write  # type: ignore[method-assign]
    assert not store.stepped_down
    assert clock.run(world.service.unlock(FORM, Unlock(ANN, token), 1)).reply == Freed()
    clock.run(world.service.stop())


def test_a_tab_closed_long_ago_is_forgotten(tmp_path: Path) -> None:
    """U2: three days and a restart after it was left, a form is nobody's: the next one gets it at once."""
    clock = FakeClock()
    world = World(clock, opened("sqlite", clock, tmp_path)).start()
    token = world.lock().state.token
    clock.run(world.service.unlock(FORM, Unlock(ANN, token, leaving=True), 1))
    clock.run(world.service.stop())
    clock.jump(3 * 86_400_000)
    world = World(clock, opened("sqlite", clock, tmp_path)).start()
    bob = world.locking(BOB, 2)
    assert clock.settle(bob).state.token == token + 1
    clock.run(world.service.stop())


def test_a_click_that_beats_the_timer(world: World) -> None:
    """A lease that ended in the same decision in which the next owner gets the form: both events tell the state right after them."""
    world.lock()
    world.service._timer.cancel()  # type: ignore[union-attr]
    world.advance(POLICY.ttl_ms)
    world.happened.clear()
    world.lock(BOB, 2)
    assert [(type(event), event.rev) for event, _ in world.happened] == [(Released, 2), (Granted, 3)]


def test_restart_with_living_and_lost_sessions(tmp_path: Path) -> None:
    """U2: after a restart locks of living sessions are held on; the others wait for their owners for a full grace, then go."""
    clock = FakeClock()
    world = World(clock, opened("sqlite", clock, tmp_path)).start()
    first, second = FormId("t", "1"), FormId("t", "2")
    world.lock(ANN, 1, first)
    token = world.lock(BOB, 2, second).state.token
    clock.run(world.service.stop())
    clock.jump(3_600_000)
    world = World(clock, opened("sqlite", clock, tmp_path)).start(1)
    assert clock.run(world.service.read(first)).deadline == clock.now() + POLICY.ttl_ms
    assert clock.run(world.service.read(second)).deadline == clock.now() + POLICY.grace_ms
    back = clock.settle(world.locking(BOB, 9, second))
    assert back.reply == Yours(token, POLICY.ttl_ms)
    world.advance(POLICY.ttl_ms)
    assert [event.form.id for event, _ in world.happened if isinstance(event, Released)] == ["1", "2"]
    clock.run(world.service.stop())


def test_mass_return_widens_the_grace(tmp_path: Path) -> None:
    """After a restart with 6,000 owners to come back, the last needs 40 s; nobody's lock ends before."""
    clock = FakeClock()
    world = World(clock, opened("sqlite", clock, tmp_path)).start()
    tasks = [world.locking(Owner("u", str(number)), number, FormId("t", str(number))) for number in range(6_000)]
    for task in tasks:
        clock.settle(task)
    clock.run(world.service.stop())
    world = World(clock, opened("sqlite", clock, tmp_path)).start(999_999)
    assert clock.run(world.service.read(FormId("t", "7"))).deadline == clock.now() + 10_000 + 6_000 * 1_000 // 150
    clock.run(world.service.stop())


def test_living_sessions_need_no_return(world: World) -> None:
    """A restart of the lock worker alone, with everybody still there, widens nothing."""
    world.lock()
    world.clock.run(world.service._recover(range(10_000)))
    assert world.clock.run(world.service.read(FORM)).deadline == world.clock.now() + POLICY.ttl_ms


def test_a_pause_of_the_process_costs_nobody_a_lock(world: World) -> None:
    """The process stood still for five minutes with renewals waiting in the socket: nothing is freed before they could be read."""
    got = world.lock()
    assert isinstance(got.reply, Yours)
    world.clock.jump(300_000)
    assert world.lock(BOB, 2).reply == Refusal(FormLocked)
    assert isinstance(world.renew(got.reply.token), Yours)
    world.advance(1)
    assert world.released == []


def test_a_pause_noticed_by_the_timer(world: World) -> None:
    """As before, when the overdue timer is what runs first."""
    world.lock()
    world.clock.jump(300_000)
    world.advance(1_000)
    assert world.released == []
    world.advance(POLICY.ttl_ms + 1_000)
    assert world.released == ["expired"]


def test_two_workers_alive(tmp_path: Path) -> None:
    """Two on one store: the older one's first write fails, its caller is told to retry, and it steps down for good."""
    clock = FakeClock()
    old = World(clock, opened("sqlite", clock, tmp_path)).start()
    old.lock(ANN, 1)
    new = World(clock, opened("sqlite", clock, tmp_path)).start(1)
    with pytest.raises(NotActive):
        old.lock(BOB, 2, FormId("t", "other"))
    assert old.stepped_down == 1
    with pytest.raises(NotActive):
        clock.run(old.service.read(FORM))
    assert new.holder == "ann"
    for world in (old, new):
        clock.run(world.service.stop())


def test_a_failed_write_is_not_active_and_session_loss_is_tried_again(tmp_path: Path) -> None:
    """A full disk: callers are told to retry; what nobody would repeat, the service repeats by itself."""
    clock = FakeClock()
    store = opened("sqlite", clock, tmp_path)
    assert isinstance(store, SqliteStore)
    world = World(clock, store).start()
    world.lock()
    write = store._write
    store._write = lambda connection, batch: clock.from_thread(lambda: store._failed(batch, OSError("full")))  # type: ignore[method-assign]
    with pytest.raises(NotActive):
        world.lock(BOB, 2, FormId("t", "other"))
    lost = Task(world.service.session_lost(1))
    with pytest.raises(NotActive):
        world.lock(BOB, 2, FormId("t", "third"))
    assert not lost.done
    store._write = write  # type: ignore[method-assign]
    clock.advance(1_000)
    clock.settle(lost)
    state = clock.run(world.service.read(FORM))
    assert state.lease is not None
    assert state.lease.session is None
    clock.run(world.service.stop())


def test_after_stop_nothing_is_answered(world: World) -> None:
    world.lock()
    world.clock.run(world.service.stop())
    with pytest.raises(NotActive):
        world.lock(BOB, 2)
    assert world.released == []


def test_renewal_of_a_form_that_another_has_is_lost(world: World) -> None:
    """U14: the loser's renewal says so at once."""
    got = world.lock()
    assert isinstance(got.reply, Yours)
    world.clock.run(world.service.unlock(FORM, Unlock(ANN, got.reply.token), 1))
    world.lock(BOB, 2)
    assert world.renew(got.reply.token) == Refusal(Lost)


def test_find_applies_time(world: World) -> None:
    """What has expired is in no list, whether or not a timer has run; what is in its grace now is not listed as held."""
    world.lock()
    world.lock(BOB, 2, FormId("invoice", "43"))

    def users(query: Query) -> list[str]:
        found = world.clock.run(world.service.find(query))
        return [state.lease.owner.user for state in found.states if state.lease is not None]

    assert users(Query("invoice")) == ["ann", "bob"]
    assert users(Query("order")) == []
    world.clock.run(world.service.session_lost(2))
    assert users(Query(attached=True)) == ["ann"]
    assert users(Query(attached=False)) == ["bob"]
    world.clock.advance(POLICY.grace_ms - 500)
    world.clock.jump(500)
    assert users(Query()) == ["ann"]


class _Failing(MemoryStore):
    """The next so many transactions fail, a second after they were begun."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__("e", clock.wall())
        self.clock = clock
        self.fails = 0

    async def transact(self, forms: Sequence[FormId], decide: Callable[[Sequence[FormState]], Sequence[D]]) -> Sequence[D]:
        if self.fails:
            self.fails -= 1
            failed = self.clock.promise()
            self.clock.later(1_000, lambda: failed.fail(NotActive()))
            await failed
        return await super().transact(forms, decide)


def test_a_return_that_could_not_be_stored_is_begun_again() -> None:
    """After a pause nobody is served before the deadlines are set anew, also those who came while that was tried in vain."""
    clock = FakeClock()
    store = _Failing(clock)
    world = World(clock, store).start()
    world.lock()
    clock.run(world.service.session_lost(1))
    clock.jump(POLICY.grace_ms + 10_000)
    store.fails = 1
    first, second = world.locking(BOB, 2), world.locking(BOB, 3)
    world.advance(1_000)
    with pytest.raises(NotActive):
        first.result()
    assert clock.settle(second).reply == Refusal(FormLocked)
    assert world.released == []
    clock.run(world.service.stop())


def test_what_is_seen_is_stored(tmp_path: Path) -> None:
    """An end that somebody was told of, by `status` or by a list, before its timer ran: a crash does not take it back."""
    for number, look in enumerate((see, see_list)):
        clock = FakeClock()
        folder = tmp_path / str(number)
        folder.mkdir()
        world = World(clock, opened("sqlite", clock, folder)).start(1)
        token = world.lock().state.token
        # Its session stays, it renews no more; the beat goes on, the timer that would free the form has not run.
        world.advance(POLICY.ttl_ms - 500)
        clock.jump(500)
        assert look(world) is None
        after = World(clock, opened("sqlite", clock, folder)).start(1)
        assert after.holder is None
        assert after.renew(token) == Refusal(Lost)
        clock.run(world.service.stop())
        clock.run(after.service.stop())


def see(world: World) -> str | None:
    return world.holder


def see_list(world: World) -> str | None:
    found = world.clock.run(world.service.find(Query()))
    return found.states[0].holds[0].owner.user if found.states else None


def test_a_section_is_read_from_its_record(world: World) -> None:
    """Sections have no state of their own."""
    part = FORM._replace(section="terms")
    world.clock.run(world.service.lock(part, Lock(owner=ANN, name="ann", session=1, section="terms")))
    assert [lease.owner for lease in world.clock.run(world.service.read(part)).held("terms")] == [ANN]


MANY = 200


def after_a_crash(tmp_path: Path) -> tuple[World, dict[int, int]]:
    """A service that has just started, everybody's session lost with the node; the tokens that they have."""
    clock = FakeClock()
    before = World(clock, opened("sqlite", clock, tmp_path)).start()
    tasks = {number: before.locking(Owner("u", str(number)), number, crowd(number)) for number in range(1, MANY + 1)}
    tokens = {number: clock.settle(task).state.token for number, task in tasks.items()}
    clock.run(before.service.stop())
    return World(clock, opened("sqlite", clock, tmp_path)).start(), tokens


def crowd(number: int) -> FormId:
    return FormId("crowd", str(number))


def test_a_mass_return_that_takes_longer(tmp_path: Path) -> None:
    """U8: while people keep coming back, even at a fifth of the pace that was reckoned with, nobody loses lock or token."""
    world, tokens = after_a_crash(tmp_path)
    for number, token in tokens.items():
        world.advance(300)
        assert world.lock(Owner("u", str(number)), 1_000 + number, crowd(number)).state.token == token
    assert world.released == []
    world.clock.run(world.service.stop())


def test_a_mass_return_that_nobody_comes_to(tmp_path: Path) -> None:
    """U2: a few come back, the others have closed their pages: their forms are free after the grace, and no later."""
    world, _ = after_a_crash(tmp_path)
    for number in range(1, 11):
        world.advance(100)
        world.lock(Owner("u", str(number)), 1_000 + number, crowd(number))
    world.advance(POLICY.grace_ms - 1_000 - 1)
    assert world.released == []
    for _ in range(10):
        world.advance(50)
    assert world.released == ["session_lost"] * (MANY - 10)
    world.clock.run(world.service.stop())


def test_a_mass_return_has_an_end(tmp_path: Path) -> None:
    """However many are still coming: three graces."""
    world, _ = after_a_crash(tmp_path)
    for number in range(1, MANY):
        world.advance(450)
        world.lock(Owner("u", str(number)), 1_000 + number, crowd(number))
        if world.released:
            break
    # Each begins anew a moment before the last is over.
    assert 3 * POLICY.grace_ms - 3_000 < number * 450 <= 3 * POLICY.grace_ms
    world.clock.run(world.service.stop())
