"""Counts what went wrong, and says which of it is worth a line: the first of each kind at once, then how many, not each."""

from __future__ import annotations

from collections import Counter


class Tally:
    """`total` counts everything; what was counted without a line since the last `summary` comes out there."""

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()
        self._told: set[str] = set()
        self._untold: Counter[str] = Counter()

    def count(self, kind: str) -> bool:
        """Whether this one gets a line of its own."""
        self.total[kind] += 1
        if kind in self._told:
            self._untold[kind] += 1
            return False
        self._told.add(kind)
        return True

    def summary(self) -> dict[str, int]:
        """Ends an interval: how many of each kind it had beside the first. The next of each kind is a first again."""
        untold = dict(sorted(self._untold.items()))
        self._told.clear()
        self._untold.clear()
        return untold
