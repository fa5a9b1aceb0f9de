"""One figure with its name, and how figures are printed: an aligned table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """`figures` by column; `ratio`: the first column to the last one, of the same run."""

    row: str
    what: str
    figures: Mapping[str, float]
    ratio: float | None


def table(lines: Sequence[Line], columns: Mapping[str, str]) -> str:
    """`columns`: a figure's name and its head. What a line does not have stays empty."""
    rows = [("", "", *columns.values(), "ratio")]
    last = ""
    for line in lines:
        cells = [_number(line.figures.get(name)) for name in columns]
        rows.append((line.row if line.row != last else "", line.what, *cells, "" if line.ratio is None else f"{line.ratio:.2f} x"))
        last = line.row
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(_aligned(row, widths) for row in rows)


def as_json(parts: Mapping[str, Sequence[Line]], facts: Mapping[str, object]) -> str:
    """`{"facts": {...}, "<part>": [{row, what, figures, ratio}, ...]}`."""
    return json.dumps({"facts": facts, **{name: [asdict(line) for line in lines] for name, lines in parts.items()}}, indent=1)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    words = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
    numbers = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
    return "  ".join(words + numbers).rstrip()


def _number(figure: float | None) -> str:
    """Three digits that say something; more would be noise."""
    if figure is None:
        return ""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.1f}"
