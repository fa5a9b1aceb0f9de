"""The reference of updates names what the code has, and nothing else."""

from __future__ import annotations

import re

from formlock_bridge.desk import BUSY
from formlock_bridge.intake import Reason
from formlock_push import Update
from tests.support.node import ROOT

TEXT = (ROOT / "docs/reference/updates.md").read_text(encoding="utf-8")


def first_cells(title: str) -> list[str]:
    """What the first column of the first table under this title has in code."""
    table = re.search(r"\n\|.*?\n(?!\|)", TEXT.partition(f" {title}\n")[2], re.DOTALL)
    assert table is not None
    rows = table[0].strip().splitlines()[2:]
    return [word for row in rows for word in re.findall("`([^`]+)`", row.split("|")[1])]


def test_reasons() -> None:
    """Every word that a refusal can have, once."""
    assert sorted(first_cells("Answers")) == sorted([*Reason, BUSY["error"]])


def test_keys() -> None:
    """Every key of a message, once: the fields of an `Update`, its version, and the article's other name for the form."""
    assert sorted(first_cells("The message")) == sorted([*Update.__slots__, "v", "channel"])
