"""One figure with its name, and how figures are printed: an aligned table for people, JSON for programs."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """`figures`: medians by column. `ratios`: in each round, what is measured to its yardstick; empty for a part of another line."""

    row: str
    what: str
    figures: Mapping[str, float]
    ratios: Sequence[float] = ()

    @property
    def ratio(self) -> float | None:
        """The median of the rounds."""
        return statistics.median(self.ratios) if self.ratios else None


def table(lines: Sequence[Line], columns: Mapping[str, str]) -> str:
    """`columns`: a figure's name and its head. What a line does not have stays empty."""
    rows = [("", "", *columns.values(), "ratio", "of the rounds")]
    last = ""
    for line in lines:
        cells = [_number(line.figures.get(name)) for name in columns]
        if line.ratio is not None:
            cells += [f"{line.ratio:.2f} x", f"{min(line.ratios):.2f} - {max(line.ratios):.2f}"]
        else:
            cells += ["", ""]
        rows.append((line.row if line.row != last else "", line.what, *cells))
        last = line.row
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(_aligned(row, widths) for row in rows)


def as_json(parts: Mapping[str, Sequence[Line]], facts: Mapping[str, object]) -> str:
    """`{"facts": {...}, "<part>": [{row, what, figures, ratios, ratio}, ...]}`."""
    told = {name: [{**asdict(line), "ratio": line.ratio} for line in lines] for name, lines in parts.items()}
    return json.dumps({"facts": facts, **told}, indent=1)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    words = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
    numbers = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
    return "  ".join(words + numbers).rstrip()


def _number(figure: float | None) -> str:
    """Three digits that say something; more would be noise."""
    if figure is None:
        return ""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.1f}"
