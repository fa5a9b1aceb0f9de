"""The log says everything once and a flood in one line."""

from __future__ import annotations

from formlock_bridge.tally import Tally


def test_tally() -> None:
    """The first of each kind has its line, the rest of the interval is a sum, nothing is counted twice or forgotten."""
    tally = Tally()
    assert [tally.count(kind) for kind in "abaaab"] == [True, True, False, False, False, False]
    assert tally.summary() == {"a": 3, "b": 1}
    assert tally.summary() == {}
    assert tally.count("a")
    assert tally.total == {"a": 5, "b": 2}
