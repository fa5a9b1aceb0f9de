"""What every journal must do. A driver's test subclasses JournalConformance and says how one is opened:

class TestMine(JournalConformance):
    def open(self, clock, tmp_path, keeping=None):
        return clock.run(MyJournal.open(...))
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formlock.errors import NotActive
from formlock.testing import FakeClock
from formlock_bridge.journals import Arrival, Entry, Journal, Keeping, Known

PLENTY = 1_000_000
FORM, OTHER = "com.example.form.invoice.1", "com.example.form.invoice.2"

# What may happen: so many arrivals of forms with so many bytes, a mark up to the newest, time, a reopening.
STEPS: st.SearchStrategy[tuple[str, Any]] = st.one_of(
    st.tuples(st.just("append"), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30), st.integers(0, 20)), max_size=6)),
    st.tuples(st.just("published"), st.integers(0, 5)),
    st.tuples(st.just("later"), st.integers(0, 40_000)),
    st.tuples(st.just("reopen"), st.none()),
)
KEEPINGS = st.builds(
    Keeping,
    age_ms=st.integers(1, 60_000),
    per_form=st.integers(1, 5),
    in_all=st.integers(1, 10),
    in_bytes=st.integers(0, 100),
    forms=st.integers(1, 4),
    ids=st.integers(1, 4),
)


def arrivals(*forms: str, message: bytes = b"{}", at: int = 0, source: str = "", id: str = "") -> list[Arrival]:  # noqa: A002
    """One for each form."""
    return [Arrival(form, message, at, source, id) for form in forms]


def seqs(outcomes: Iterable[Entry | Known]) -> list[int]:
    """Their numbers."""
    return [outcome.seq for outcome in outcomes]


class JournalConformance:
    """The suite. `durable = False` leaves out what only a journal that outlives its process can do."""

    durable = True

    def open(self, clock: FakeClock, tmp_path: Path, keeping: Keeping | None = None) -> Journal:
        """The journal in this folder; the same folder again is the same journal."""
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    def test_numbers(self, clock: FakeClock, tmp_path: Path) -> None:
        """U38: each form counts for itself, from 1, without a gap, within a batch and over batches."""
        journal = self.open(clock, tmp_path)
        assert seqs(clock.run(journal.append(arrivals(*"abaab")))) == [1, 1, 2, 3, 2]
        assert seqs(clock.run(journal.append(arrivals(*"ba")))) == [3, 4]
        assert clock.run(journal.append(())) == []
        clock.run(journal.close())

    def test_an_entry_is_what_came(self, clock: FakeClock, tmp_path: Path) -> None:
        """Bytes, time and id are as they were given, in the answer and later."""
        journal = self.open(clock, tmp_path)
        came = Arrival(FORM, '{"ä": "\0"}'.encode(), 7, "quelle", "ü-1")
        entry = Entry(FORM, 1, 7, came.message, "ü-1")
        assert clock.run(journal.append([came])) == [entry]
        assert clock.run(journal.after(FORM, 0, PLENTY)).entries == (entry,)
        assert clock.run(journal.unpublished()) == [entry]
        clock.run(journal.close())

    def test_after(self, clock: FakeClock, tmp_path: Path) -> None:
        """Who knows a number gets exactly what came after it, in order; without a number only the newest one is told."""
        journal = self.open(clock, tmp_path)
        clock.run(journal.append([Arrival(FORM, b"%d" % n, n) for n in range(1, 6)]))
        page = clock.run(journal.after(FORM, 2, PLENTY))
        assert (page.seq, page.complete) == (5, True)
        assert [(entry.seq, entry.at, entry.message) for entry in page.entries] == [(3, 3, b"3"), (4, 4, b"4"), (5, 5, b"5")]
        for since in (None, 5):
            page = clock.run(journal.after(FORM, since, PLENTY))
            assert (page.seq, page.complete, page.entries) == (5, True, ())
        unknown = clock.run(journal.after(OTHER, 0, PLENTY))
        assert (unknown.seq, unknown.complete, unknown.entries) == (0, True, ())
        clock.run(journal.close())

    def test_incomplete(self, clock: FakeClock, tmp_path: Path) -> None:
        """What is no longer kept, or was never given, is said to be missing; what there is goes on up to the newest."""
        journal = self.open(clock, tmp_path, Keeping(per_form=3))
        clock.run(journal.append(arrivals(*[FORM] * 5, message=b"12345678")))
        journal.published(FORM, 5)
        clock.run(journal.append(arrivals(FORM, message=b"12345678")))
        kept = clock.run(journal.after(FORM, 0, PLENTY))
        assert (kept.seq, kept.complete, seqs(kept.entries)) == (6, False, [4, 5, 6])
        assert clock.run(journal.after(FORM, 3, PLENTY)).complete
        never = clock.run(journal.after(FORM, 9, PLENTY))
        assert (never.seq, never.complete, never.entries) == (6, False, ())
        clock.run(journal.close())

    def test_pages(self, clock: FakeClock, tmp_path: Path) -> None:
        """U38: what does not fit at once comes in pages, the oldest first, each from where the one before has ended; one fits in any
        case, and nothing is missing because it is many. What has been forgotten is missing in the first page only."""
        journal = self.open(clock, tmp_path, Keeping(per_form=5))
        clock.run(journal.append([*arrivals(OTHER), *arrivals(*[FORM] * 7, message=b"12345678")]))
        assert self._pages(clock, journal, 0, 20) == [(True, [1, 2]), (True, [3, 4]), (True, [5, 6]), (True, [7])]
        assert self._pages(clock, journal, 4, 24) == [(True, [5, 6, 7])]
        assert self._pages(clock, journal, 5, 7) == self._pages(clock, journal, 5, 0) == [(True, [6]), (True, [7])]
        journal.published(FORM, 7)
        clock.run(journal.append(arrivals(FORM, message=b"12345678")))
        assert self._pages(clock, journal, 1, 16) == [(False, [4, 5]), (True, [6, 7]), (True, [8])]
        assert self._pages(clock, journal, 3, 16) == [(True, [4, 5]), (True, [6, 7]), (True, [8])]
        clock.run(journal.close())

    def _pages(self, clock: FakeClock, journal: Journal, since: int, max_bytes: int) -> list[tuple[bool, list[int]]]:
        """Whether each is complete, and its numbers."""
        pages = []
        while True:
            page = clock.run(journal.after(FORM, since, max_bytes))
            pages.append((page.complete, seqs(page.entries)))
            since = page.entries[-1].seq
            if since == page.seq:
                return pages

    def test_duplicates(self, clock: FakeClock, tmp_path: Path) -> None:
        """U38: the same id of the same source is one update of a form, at once and later, with the first's number."""
        journal = self.open(clock, tmp_path)
        first = Arrival(FORM, b"1", 1, "s", "x")
        assert clock.run(journal.append([first, first])) == [Entry(FORM, 1, 1, b"1", "x"), Known(FORM, 1)]
        again = [first, Arrival(OTHER, b"2", 2, "s", "x"), Arrival(FORM, b"3", 3, "s", "y"), Arrival(FORM, b"4", 4, "t", "x")]
        outcomes = clock.run(journal.append([*again, *arrivals(FORM, FORM)]))
        assert outcomes[0] == Known(FORM, 1)
        assert [(outcome.form, outcome.seq) for outcome in outcomes[1:]] == [(OTHER, 1), *((FORM, seq) for seq in (2, 3, 4, 5))]
        split = [Arrival(FORM, b"", 0, "1 a", "b"), Arrival(FORM, b"", 0, "1", " ab"), Arrival(FORM, b"", 0, "", "1 ab")]
        assert all(isinstance(outcome, Entry) for outcome in clock.run(journal.append(split)))
        clock.run(journal.close())

    def test_names_are_remembered(self, clock: FakeClock, tmp_path: Path) -> None:
        """U38: for ten minutes, and the last so many for longer; but never more than there is room for."""
        journal = self.open(clock, tmp_path, Keeping(id_ms=1_000, ids=3, most_ids=6))

        def come(*ids: int) -> list[bool]:
            outcomes = clock.run(journal.append([Arrival(FORM, b"", clock.wall(), "s", str(n)) for n in ids]))
            return [isinstance(outcome, Known) for outcome in outcomes]

        come(1, 2, 3, 4, 5)
        assert come(1, 2, 3, 4, 5) == [True] * 5
        clock.advance(1_001)
        come(6)
        assert come(4, 5, 6) == [True] * 3
        assert come(1, 2) == [False] * 2
        come(7, 8, 9, 10)
        assert come(2, 10) == [True, True]
        assert come(4) == [False]
        clock.run(journal.close())

    def test_published(self, clock: FakeClock, tmp_path: Path) -> None:
        """What is not marked is unpublished, in the order of arrival over all forms; marks never fall."""
        journal = self.open(clock, tmp_path)
        clock.run(journal.append(arrivals(FORM, OTHER, FORM, OTHER, FORM)))
        journal.published(FORM, 2)
        journal.published(FORM, 1)
        clock.run(journal.append(arrivals(OTHER)))
        waiting = [(entry.form, entry.seq) for entry in clock.run(journal.unpublished())]
        assert waiting == [(OTHER, 1), (OTHER, 2), (FORM, 3), (OTHER, 3)]
        journal.parked(OTHER, 1, 2, "refused")
        clock.run(journal.append(()))
        assert [(entry.form, entry.seq) for entry in clock.run(journal.unpublished())] == [(FORM, 3), (OTHER, 3)]
        assert seqs(clock.run(journal.after(OTHER, 0, PLENTY)).entries) == [1, 2, 3]
        clock.run(journal.close())

    def test_unpublished_is_never_thrown_away(self, clock: FakeClock, tmp_path: Path) -> None:
        """No bound counts for what nobody has been told; once it is told, all do."""
        keeping = Keeping(age_ms=1_000, per_form=1, in_all=2, in_bytes=10, forms=1)
        journal = self.open(clock, tmp_path, keeping)
        clock.run(journal.append(arrivals(*[FORM, OTHER] * 3, message=b"12345", at=clock.wall())))
        clock.advance(10_000)
        clock.run(journal.append(()))
        assert len(clock.run(journal.unpublished())) == 6
        journal.published(FORM, 3)
        journal.published(OTHER, 3)
        clock.run(journal.append(()))
        assert clock.run(journal.after(FORM, 0, PLENTY)).entries == ()
        clock.run(journal.close())

    def test_bytes(self, clock: FakeClock, tmp_path: Path) -> None:
        """Long messages push out the oldest of any form, never the middle of one."""
        journal = self.open(clock, tmp_path, Keeping(in_bytes=100))
        for form, size in (("a", 60), ("b", 30), ("b", 30)):
            clock.run(journal.append([Arrival(form, b"x" * size, clock.wall())]))
        journal.published("a", 1)
        journal.published("b", 2)
        clock.run(journal.append(()))
        assert clock.run(journal.after("a", 0, PLENTY)).entries == ()
        assert clock.run(journal.after("a", 0, PLENTY)).seq == 1
        assert len(clock.run(journal.after("b", 0, PLENTY)).entries) == 2
        clock.run(journal.close())

    def test_forgotten_forms(self, clock: FakeClock, tmp_path: Path) -> None:
        """A form that was forgotten goes on above its old number, and who asks meanwhile learns that something may be missing."""
        journal = self.open(clock, tmp_path, Keeping(age_ms=1_000, forms=1))
        clock.run(journal.append(arrivals(*"aaaaaaab", at=clock.wall())))
        journal.published("a", 7)
        journal.published("b", 1)
        clock.advance(5_000)
        clock.run(journal.append(()))
        assert clock.run(journal.after("a", 3, PLENTY)).complete is False
        assert clock.run(journal.after("a", 7, PLENTY)).seq == 7
        assert clock.run(journal.after("new", 0, PLENTY)).complete is False
        assert seqs(clock.run(journal.append(arrivals("a", "b", "new", at=clock.wall())))) == [8, 2, 8]
        clock.run(journal.close())

    def test_any_order(self) -> None:
        """U38: in any order and under any bounds a form's numbers rise, by 1 while it is known; no name is taken twice within its
        time; nothing unpublished is lost; what is kept has no gap and is within its bounds."""

        # Within: pytest-twisted wraps what `given` has made once for each class that inherits it, and then it calls itself.
        @settings(max_examples=60, deadline=None)
        @given(st.lists(STEPS, max_size=25), KEEPINGS)
        def check(steps: list[tuple[str, Any]], keeping: Keeping) -> None:
            with tempfile.TemporaryDirectory() as folder:
                self._any_order(FakeClock(), Path(folder), steps, keeping)

        check()

    def _any_order(self, clock: FakeClock, folder: Path, steps: list[tuple[str, Any]], keeping: Keeping) -> None:
        journal = self.open(clock, folder, keeping)
        given: dict[str, list[int]] = {}
        told: dict[str, int] = {}
        names: dict[tuple[str, str], tuple[int, Known]] = {}
        for kind, said in steps:
            if kind == "append":
                came = [
                    Arrival("abcdef"[form], b"x" * size, clock.wall(), "s", str(name) if name < 10 else "")
                    for form, size, name in said
                ]
                floor = max((before[-1] for before in given.values()), default=0)
                for arrival, outcome in zip(came, clock.run(journal.append(came)), strict=True):
                    if isinstance(outcome, Known):
                        assert names[arrival.form, arrival.id][1] == outcome
                        continue
                    heard, _ = names.get((arrival.form, arrival.id), (None, None))
                    assert heard is None or heard < clock.wall() - keeping.id_ms
                    before = given.setdefault(outcome.form, [])
                    newest = before[-1] if before else 0
                    assert newest < outcome.seq <= max(newest, floor) + 1
                    before.append(outcome.seq)
                    if arrival.id:
                        names[arrival.form, arrival.id] = clock.wall(), Known(outcome.form, outcome.seq)
            elif kind == "published" and (form := "abcdef"[said]) in given:
                told[form] = given[form][-1]
                journal.published(form, told[form])
            elif kind == "later":
                clock.advance(said)
            elif kind == "reopen" and self.durable:
                clock.run(journal.close())
                journal = self.open(clock, folder, keeping)
            self._check(clock, journal, keeping, given, told)
        clock.run(journal.close())

    def _check(
        self, clock: FakeClock, journal: Journal, keeping: Keeping, given: dict[str, list[int]], told: dict[str, int]
    ) -> None:
        clock.run(journal.append(()))
        waiting = clock.run(journal.unpublished())
        entries: list[Entry] = []
        for form, before in given.items():
            page = clock.run(journal.after(form, 0, PLENTY))
            numbers = seqs(page.entries)
            assert page.seq >= before[-1]
            assert numbers == list(range(page.seq - len(numbers) + 1, page.seq + 1))
            unmarked = [seq for seq in numbers if seq > told.get(form, 0)]
            assert unmarked == [entry.seq for entry in waiting if entry.form == form]
            assert unmarked == [seq for seq in before if seq > told.get(form, 0)]
            assert len(numbers) <= max(keeping.per_form, len(unmarked))
            entries += page.entries
        assert len(entries) <= max(keeping.in_all, len(waiting))
        sizes = [sum(len(entry.message) for entry in some) for some in (entries, waiting)]
        assert sizes[0] <= max(keeping.in_bytes, sizes[1])

    # -- over restarts

    def test_over_a_restart(self, clock: FakeClock, tmp_path: Path) -> None:
        """U38: numbers, the epoch, the names and what is not published outlive the process; what was marked stays marked."""
        if not self.durable:
            pytest.skip("this journal ends with its process")
        journal = self.open(clock, tmp_path)
        clock.run(journal.append([*arrivals(FORM, FORM, FORM), Arrival(OTHER, b"x", 5, "s", "1")]))
        journal.published(FORM, 2)
        epoch = journal.epoch
        clock.run(journal.close())
        journal = self.open(clock, tmp_path)
        assert journal.epoch == epoch
        assert [(entry.form, entry.seq) for entry in clock.run(journal.unpublished())] == [(FORM, 3), (OTHER, 1)]
        assert clock.run(journal.append([Arrival(OTHER, b"x", 5, "s", "1"), *arrivals(FORM)])) == [
            Known(OTHER, 1),
            Entry(FORM, 4, 0, b"{}"),
        ]
        assert seqs(clock.run(journal.after(FORM, 0, PLENTY)).entries) == [1, 2, 3, 4]
        clock.run(journal.close())

    def test_closed(self, clock: FakeClock, tmp_path: Path) -> None:
        """Who comes after the end is told so."""
        journal = self.open(clock, tmp_path)
        clock.run(journal.close())
        for late in (journal.append(arrivals(FORM)), journal.after(FORM, 0, 1), journal.unpublished()):
            with pytest.raises(NotActive):
                clock.run(late)
