"""What ends the benchmark: a wrong count is no figure."""

from __future__ import annotations


class BenchError(Exception):
    """Something was lost, refused, miscounted or too slow. The sentence says what; no figures are given then."""
