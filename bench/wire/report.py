"""Figures from runs: medians, the ratio to the rival within one round, and where our processor time went."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from bench.table import Line
from bench.wire.compare import Compared
from bench.wire.rows import Run


def lines(compared: Sequence[Compared]) -> list[Line]:
    """All figures, row by row."""
    return [line for one in compared for line in _lines(one)]


def _lines(one: Compared) -> list[Line]:
    row = one.row
    found = [
        _line(one, f"us of server CPU per {row.operation}", lambda run: run.each_us),
        _line(one, row.rate, lambda run: run.rate),
    ]
    if all(run.last_ms for runs in one.runs.values() for run in runs):
        found.append(_line(one, "ms from the call to the last receiver", lambda run: statistics.median(run.last_ms)))
    found.extend(_part(one, process) for process in one.runs["ours"][0].processor_s)
    return found


def _line(one: Compared, what: str, figure: Callable[[Run], float]) -> Line:
    by_round = {name: [figure(run) for run in runs] for name, runs in one.runs.items()}
    ratios = [ours / rival for ours, rival in zip(by_round["ours"], by_round["rival"], strict=True)]
    return Line(
        row=one.row.name,
        what=what,
        figures={name: statistics.median(figures) for name, figures in by_round.items()},
        ratios=ratios,
    )


def _part(one: Compared, process: str) -> Line:
    """Of our own processor time: the share of one process, in the same unit as the row's first line."""
    figures = {
        name: statistics.median(run.processor_s[process] / run.operations * 1e6 for run in runs)
        for name, runs in one.runs.items()
        if name != "rival"
    }
    return Line(row=one.row.name, what=f"  of it {process}", figures=figures)
