"""Both stores tell the same history, whatever happens in whatever order."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from formlock.events import Detached, Event
from formlock.history import Asked
from formlock.model import FormId, Owner
from formlock.stores import LockStore
from formlock.stores.memory import MemoryStore
from formlock.stores.sqlite import SqliteStore
from formlock.testing import FakeClock
from formlock.testing.conformance import ANN, granted, one, refused, told

FORMS = [FormId("invoice", "1"), FormId("invoice", "2")]
SECTIONS = ["", "address", "lines"]

steps = st.tuples(
    st.sampled_from(FORMS),
    st.sampled_from(SECTIONS),
    st.sampled_from(["granted", "detached", "refused", "refused"]),
    st.integers(0, 2),
    st.sampled_from([0, 1_000, 40_000]),
)
questions = st.builds(
    Asked,
    form=st.sampled_from([form._replace(section=section) for form in FORMS for section in SECTIONS]),
    since=st.none() | st.integers(0, 6),
    limit=st.integers(1, 5),
)


def told_by(store: LockStore, clock: FakeClock, question: Asked) -> list[list[tuple[Event, str, int, int]]]:
    """All pages of the answer; a name counts although it is no part of equality."""
    pages = []
    while True:
        page = clock.run(store.history(question))
        pages.append([(entry.event, entry.event.name, entry.times, entry.last_wall) for entry in page.entries])
        pages.append([(granted(int(page.complete)), "", 0, 0)])
        if page.after is None:
            return pages
        question = Asked(question.form, question.since, page.after, question.limit)


@settings(max_examples=40, deadline=None)
@given(st.lists(steps, max_size=25), st.lists(questions, min_size=1, max_size=6))
def test_both_tell_the_same(happened: list[tuple[FormId, str, str, int, int]], asked: list[Asked]) -> None:
    """Every page of every question, its order and its completeness; asking in between changes nothing."""
    clock = FakeClock()
    with tempfile.TemporaryDirectory() as folder:
        stores: list[LockStore] = [
            MemoryStore("e", clock.wall()),
            clock.run(SqliteStore.open(Path(folder) / "x.sqlite", clock, lambda: "e")),
        ]
        revs = dict.fromkeys(FORMS, 0)
        for number, (record, section, kind, user, later) in enumerate(happened):
            clock.jump(later)
            form = record._replace(section=section)
            revs[record] += kind == "granted"
            event: Event = granted(revs[record], clock.wall(), form, Owner(f"user{user}", "t"), token=number)
            if kind == "detached":
                event = Detached(form, ANN, 9, revs[record], clock.wall(), name="Ann")
            elif kind == "refused":
                event = refused(revs[record], clock.wall(), form, f"user{user}")
            for store in stores:
                clock.run(one(store, record, told(event)))
        for question in asked:
            answers = [told_by(store, clock, question) for store in stores]
            assert answers[0] == answers[1]
        for store in stores:
            clock.run(store.close())
