"""What is told when: order, folding, refusals, a router that is lost, and bounds; with a clock that stands still and no router."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formlock.clock import Promise
from formlock.testing import FakeClock
from formlock_bridge.publisher import (
    MAX_FOLDED_BYTES,
    MAX_IN_FLIGHT,
    RETRIES_MS,
    LostError,
    Publisher,
    RefusedError,
    Telling,
    Waiting,
)
from formlock_push.message import Update

WINDOW_MS = 100


class Router:
    """What was sent to it, and what it has not answered yet."""

    def __init__(self, window_ms: int = WINDOW_MS) -> None:
        self.clock = FakeClock()
        self.told: list[Telling] = []
        self.unconfirmed: list[tuple[Telling, Promise[None]]] = []
        self.marks: list[tuple[Any, ...]] = []
        self.refusals: list[tuple[str, int, str, bool]] = []
        self.relieved = 0
        self.window_ms = window_ms
        self.seqs: Counter[str] = Counter()
        self.publisher = self.made()

    def made(self) -> Publisher:
        return Publisher(
            self.clock, self, self.publish, lambda _: self.window_ms,
            relieved=self.relieve, refused=lambda *said: self.refusals.append((said[0].form, said[0].seq, *said[1:])),
        )  # fmt: skip

    async def publish(self, telling: Telling) -> None:
        self.told.append(telling)
        promise = self.clock.promise()
        self.unconfirmed.append((telling, promise))
        await promise

    def published(self, form: str, seq: int) -> None:
        self.marks.append((form, seq))

    def parked(self, form: str, first: int, seq: int, reason: str) -> None:
        self.marks.append((form, first, seq, reason))

    def relieve(self) -> None:
        self.relieved += 1

    def comes(self, form: str = "a", actor: str = "ann", size: int = 10, **facts: Any) -> None:
        self.seqs[form] += 1
        seq = self.seqs[form]
        update = Update(form=form, actor=actor, change_set=facts.pop("change_set", {"n": [seq - 1, seq]}), **facts)
        self.publisher.add(Waiting(form, seq, self.clock.wall(), update, size))

    def confirm(self) -> None:
        """All that is in flight at the moment."""
        unconfirmed, self.unconfirmed = self.unconfirmed, []
        for _, promise in unconfirmed:
            promise.keep(None)
        self.clock.advance(0)

    def fail(self, error: Exception) -> None:
        unconfirmed, self.unconfirmed = self.unconfirmed, []
        for _, promise in unconfirmed:
            promise.fail(error)
        self.clock.advance(0)

    def heard(self, form: str = "a") -> list[tuple[int, int]]:
        return [(telling.first, telling.seq) for telling in self.told if telling.form == form]


def test_the_first_goes_at_once() -> None:
    """U36: who saves once is told at once; what follows within the window is one event at its end, from first old to last new."""
    router = Router()
    for _ in range(5):
        router.comes()
    assert router.heard() == [(1, 1)]
    router.confirm()
    router.clock.advance(WINDOW_MS - 1)
    assert router.heard() == [(1, 1)]
    router.clock.advance(1)
    assert router.heard() == [(1, 1), (2, 5)]
    assert router.told[1].update.change_set == {"n": [1, 5]}
    router.confirm()
    router.clock.advance(WINDOW_MS)
    router.comes()
    assert router.heard()[-1] == (6, 6)
    router.confirm()
    assert [mark[1] for mark in router.marks] == [1, 5, 6]
    assert router.publisher.waiting == router.publisher.waiting_bytes == 0


def test_never_across_people() -> None:
    """U37: what two people did is never one event, and neither is overtaken; all of them go at the window's end."""
    router = Router()
    for actor in ("ann", "ann", "bob", "ann", "ann"):
        router.comes(actor=actor)
    router.confirm()
    router.clock.advance(WINDOW_MS)
    for _ in range(3):
        router.confirm()
    assert router.heard() == [(1, 1), (2, 2), (3, 3), (4, 5)]
    assert [telling.update.actor for telling in router.told] == ["ann", "ann", "bob", "ann"]


def test_without_a_window_each_is_told() -> None:
    """The policy's `coalesce = 0`: one event for each update, one in flight at a time."""
    router = Router(window_ms=0)
    for _ in range(5):
        router.comes()
    assert router.heard() == [(1, 1)]
    for _ in range(5):
        router.confirm()
    assert router.heard() == [(n, n) for n in range(1, 6)]


def test_an_event_is_not_longer_than_a_message() -> None:
    """What folds is bounded: together the messages are not longer than an event can be told with."""
    router = Router()
    for _ in range(5):
        router.comes(size=MAX_FOLDED_BYTES // 2)
    router.confirm()
    router.clock.advance(WINDOW_MS)
    router.confirm()
    router.confirm()
    assert router.heard() == [(1, 1), (2, 3), (4, 5)]


def test_one_in_flight_per_form_and_a_bounded_number_in_all() -> None:
    """A slow router is never given more than it can hold, and a form that floods costs the others nothing but their turn."""
    router = Router(window_ms=0)
    for n in range(200):
        router.comes("flood")
        router.comes(f"form{n}")
    assert len(router.unconfirmed) == MAX_IN_FLIGHT
    for _ in range(300):
        assert len({telling.form for telling, _ in router.unconfirmed}) == len(router.unconfirmed) <= MAX_IN_FLIGHT
        router.confirm()
    assert router.publisher.waiting == 0
    assert router.heard("flood") == [(n, n) for n in range(1, 201)]


def test_a_refusal_is_tried_again_and_then_parked() -> None:
    """What the router won't have holds its own form up for some seconds, no other, and is then left out with its reason."""
    router = Router(window_ms=0)
    router.comes("a")
    router.comes("a")
    for wait in RETRIES_MS:
        router.fail(RefusedError("wamp.error.not_authorized"))
        router.comes("b")
        router.confirm()
        router.clock.advance(wait - 1)
        assert not router.unconfirmed
        router.clock.advance(1)
        assert [telling.seq for telling, _ in router.unconfirmed] == [1]
    router.fail(RefusedError("wamp.error.not_authorized"))
    assert ("a", 1, 1, "wamp.error.not_authorized") in router.marks
    assert [(parked) for *_, parked in router.refusals] == [False] * len(RETRIES_MS) + [True]
    assert [telling.seq for telling, _ in router.unconfirmed] == [2]
    router.confirm()
    assert router.marks[-1] == ("a", 2)
    assert router.publisher.waiting == 0


def test_a_folded_refusal_is_parked_whole() -> None:
    """An event that stands for several is parked with the numbers of all of them: each has its reason in the journal."""
    router = Router()
    for _ in range(4):
        router.comes()
    router.confirm()
    router.clock.advance(WINDOW_MS)
    for wait in RETRIES_MS:
        router.fail(RefusedError("no"))
        router.clock.advance(wait)
    router.fail(RefusedError("no"))
    assert router.marks == [("a", 1), ("a", 2, 4, "no")]
    assert router.publisher.waiting == router.publisher.waiting_bytes == 0


def test_a_refusal_that_passes() -> None:
    """A refusal that was the moment's is forgotten: the same event goes again, before anything later of its form."""
    router = Router(window_ms=0)
    router.comes()
    router.comes()
    router.fail(RefusedError("canceled"))
    router.clock.advance(RETRIES_MS[0])
    router.confirm()
    router.confirm()
    assert router.heard() == [(1, 1), (1, 1), (2, 2)]
    assert router.marks == [("a", 1), ("a", 2)]


def test_a_lost_router() -> None:
    """U38: nothing that was in flight or behind is marked; the next publisher is given it again and tells it in order."""
    router = Router(window_ms=0)
    for _ in range(3):
        router.comes("a")
        router.comes("b")
    router.confirm()
    router.fail(LostError())
    router.clock.advance(60_000)
    assert sorted(router.marks) == [("a", 1), ("b", 1)]
    assert not router.unconfirmed
    router.publisher = router.made()
    for form in "ab":
        for seq in (2, 3):
            router.publisher.add(Waiting(form, seq, 0, Update(form=form), 1))
    router.confirm()
    router.confirm()
    assert sorted(router.marks) == [(form, seq) for form in "ab" for seq in (1, 2, 3)]


def test_stopped() -> None:
    """After the end nothing is told, marked, or kept."""
    router = Router()
    for _ in range(3):
        router.comes()
    router.publisher.stop()
    router.confirm()
    router.comes()
    router.clock.advance(60_000)
    assert router.heard() == [(1, 1)]
    assert router.marks == []
    assert router.publisher._lines == {}


def test_nothing_is_kept_of_forms_that_are_quiet() -> None:
    """U36: after 10,000 forms the publisher holds as much as before."""
    router = Router()
    for n in range(10_000):
        router.comes(f"form{n}")
    while router.unconfirmed:
        router.confirm()
    router.clock.advance(WINDOW_MS)
    assert router.publisher._lines == {}
    assert not router.publisher._ready


actions = st.one_of(
    st.tuples(st.just("comes"), st.sampled_from("ab"), st.sampled_from(["ann", "bob"])),
    st.tuples(st.just("confirm")),
    st.tuples(st.just("refuse")),
    st.tuples(st.just("later"), st.integers(1, 150)),
)


@settings(deadline=None)
@given(st.lists(actions, max_size=60), st.sampled_from([0, 100]))
def test_any_order(steps: list[tuple[Any, ...]], window_ms: int) -> None:
    """U37, U38: whatever comes when, a form's events follow each other without a gap, none mixes people, all is told or parked."""
    router = Router(window_ms)
    people: dict[tuple[str, int], str] = {}
    for kind, *said in steps:
        if kind == "comes":
            router.comes(said[0], said[1])
            people[said[0], router.seqs[said[0]]] = said[1]
        elif kind == "confirm":
            router.confirm()
        elif kind == "refuse":
            router.fail(RefusedError("no"))
        else:
            router.clock.advance(said[0])
    for _ in range(500):
        router.confirm()
        router.clock.advance(50)
        if not router.publisher.waiting:
            break
    assert router.publisher.waiting == router.publisher.waiting_bytes == 0
    for form in "ab":
        done = [mark for mark in router.marks if mark[0] == form]
        ends = [mark[1] if len(mark) == 2 else mark[2] for mark in done]
        assert ends == sorted(set(ends))
        assert ends[-1:] == ([router.seqs[form]] if router.seqs[form] else [])
        heard = list(dict.fromkeys(router.heard(form)))
        assert [first for first, _ in heard] == [1, *(seq + 1 for _, seq in heard[:-1])][: len(heard)]
        for first, seq in heard:
            assert len({people[form, n] for n in range(first, seq + 1)}) == 1


@pytest.mark.parametrize("window_ms", [0, WINDOW_MS])
def test_relief(window_ms: int) -> None:
    """Who has stopped reading is told when less waits than before."""
    router = Router(window_ms)
    router.comes()
    assert (router.publisher.waiting, router.publisher.waiting_bytes, router.relieved) == (1, 10, 0)
    router.confirm()
    assert (router.publisher.waiting, router.publisher.waiting_bytes, router.relieved) == (0, 0, 1)
