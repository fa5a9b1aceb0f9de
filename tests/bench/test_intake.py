"""The benchmark of intake: it runs, and gives a figure for both sides. Never how long it took."""

from __future__ import annotations

import pytest
from bench import intake


def test_runs() -> None:
    """Each message has the bridge's cost, the bare loop's, and their ratio."""
    lines = intake.measure(intake.QUICK_ROUNDS)
    assert [line.what.partition(",")[0] for line in lines] == list(intake.MESSAGES)
    for line in lines:
        assert line.ratio == pytest.approx(line.figures["bare"] / line.figures["measured"])
        assert min(line.figures.values()) > 0
