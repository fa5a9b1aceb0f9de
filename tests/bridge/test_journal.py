"""The numbers of updates: contiguous, never falling, and the memory for them bounded."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from formlock_bridge.journal import Journal

PLENTY = 1_000_000


def test_numbers() -> None:
    """U38: each form counts for itself, from 1, without a gap."""
    journal = Journal("e")
    assert [journal.append(form, b"", 0).seq for form in "abaab"] == [1, 1, 2, 3, 2]


def test_after() -> None:
    """Who knows a number gets exactly what came after it, in order; without a number only the newest one is told."""
    journal = Journal("e")
    for n in range(1, 6):
        journal.append("a", b"%d" % n, n)
    page = journal.after("a", 2, PLENTY)
    assert (page.seq, page.complete) == (5, True)
    assert [(entry.seq, entry.at, entry.message) for entry in page.entries] == [(3, 3, b"3"), (4, 4, b"4"), (5, 5, b"5")]
    for since in (None, 5):
        page = journal.after("a", since, PLENTY)
        assert (page.seq, page.complete, page.entries) == (5, True, ())


def test_incomplete() -> None:
    """What is no longer kept, does not fit, or was never given is said to be missing; what there is leads up to the newest."""
    journal = Journal("e", max_kept_per_form=3)
    for _ in range(5):
        journal.append("a", b"12345678", 0)
    kept = journal.after("a", 0, PLENTY)
    assert (kept.complete, [entry.seq for entry in kept.entries]) == (False, [3, 4, 5])
    assert journal.after("a", 2, PLENTY).complete
    fits = journal.after("a", 2, 20)
    assert (fits.complete, [entry.seq for entry in fits.entries]) == (False, [4, 5])
    assert journal.after("a", 4, 7).complete is False
    assert journal.after("a", 9, PLENTY) == journal.after("a", 6, PLENTY)
    assert journal.after("a", 9, PLENTY).complete is False


def test_unknown_form() -> None:
    """A form without updates has number 0 and misses none."""
    page = Journal("e").after("a", 0, PLENTY)
    assert (page.seq, page.complete, page.entries) == (0, True, ())


def test_forgotten_form() -> None:
    """A form that was forgotten goes on above its old number, and who asks meanwhile learns that something may be missing."""
    journal = Journal("e", max_forms=2)
    for _ in range(7):
        journal.append("a", b"", 0)
    journal.append("b", b"", 0)
    journal.append("c", b"", 0)
    assert journal.after("a", 3, PLENTY).complete is False
    assert journal.after("a", 7, PLENTY).seq == 7
    assert journal.append("a", b"", 0).seq == 8


def test_bytes_bound() -> None:
    """Long messages push out the oldest of any form, never the middle of one."""
    journal = Journal("e", max_kept_bytes=100)
    journal.append("a", b"x" * 60, 0)
    journal.append("b", b"x" * 30, 0)
    journal.append("b", b"x" * 30, 0)
    assert journal.after("a", 0, PLENTY).entries == ()
    assert journal.after("a", 0, PLENTY).seq == 1
    assert len(journal.after("b", 0, PLENTY).entries) == 2
    journal.append("a", b"x" * 101, 0)
    assert all(journal.after(form, 0, PLENTY).entries == () for form in "ab")
    assert [journal.append(form, b"", 0).seq for form in "ab"] == [3, 3]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 30))),
    st.integers(1, 5),
    st.integers(1, 10),
    st.integers(0, 100),
    st.integers(1, 4),
)
def test_any_order(appends: list[tuple[str, int]], forms: int, kept: int, size: int, per_form: int) -> None:
    """U38: in any order and under any bounds a form's numbers rise, by 1 as long as it is known; what is kept is bounded."""
    journal = Journal("e", max_forms=forms, max_kept=kept, max_kept_bytes=size, max_kept_per_form=per_form)
    last: dict[str, int] = {}
    recent: list[str] = []
    for form, length in appends:
        seq = journal.append(form, b"x" * length, 0).seq
        if form in recent[:forms]:
            assert seq == last[form] + 1
        else:
            assert seq > last.get(form, 0)
        last[form] = seq
        recent = [form, *(other for other in recent if other != form)]
        pages = [journal.after(other, 0, PLENTY) for other in "abcdef"]
        assert all(page.seq >= last.get(other, 0) for page, other in zip(pages, "abcdef", strict=True))
        entries = [entry for page in pages for entry in page.entries]
        assert len(entries) <= kept
        assert sum(len(entry.message) for entry in entries) <= size
        for page in pages:
            assert len(page.entries) <= per_form
            assert [entry.seq for entry in page.entries] == list(range(page.seq - len(page.entries) + 1, page.seq + 1))
