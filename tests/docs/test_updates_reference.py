"""The reference of updates names what the code has, and nothing else."""

from __future__ import annotations

import re

from formlock_bridge.desk import BUSY
from formlock_bridge.intake import Reason
from formlock_bridge.journals import Keeping
from formlock_push import Update
from tests.support.node import ROOT

WORDS = "The bridge's own words"
TEXT = (ROOT / "docs/reference/updates.md").read_text(encoding="utf-8")


def rows(title: str, number: int = 0) -> list[str]:
    """Those of a table under this title, without its head."""
    tables = re.findall(r"\n\|.*?\n(?!\|)", TEXT.partition(f" {title}\n")[2], re.DOTALL)
    return tables[number].strip().splitlines()[2:]


def first_cells(title: str, number: int = 0) -> list[str]:
    """What the first column of a table under this title has in code."""
    return [word for row in rows(title, number) for word in re.findall("`([^`]+)`", row.split("|")[1])]


def test_reasons() -> None:
    """Every word that a refusal can have, once."""
    assert sorted(first_cells("Answers")) == sorted([*Reason, BUSY["error"]])


def test_keys() -> None:
    """Every key of a message, once: the fields of an `Update`, its version, and the article's other name for the form."""
    assert sorted(first_cells("The message")) == sorted([*Update.__slots__, "v", "channel"])


def test_keeping() -> None:
    """Every bound of what is kept, with its default."""
    told = {
        name: int(row.split("|")[2].replace(",", "")) for row in rows(WORDS) for name in re.findall("`([^`]+)`", row.split("|")[1])
    }
    assert told == {name: getattr(Keeping(), name) for name in Keeping.__struct_fields__}


def test_log() -> None:
    """Every line of its own that the bridge writes into its log."""
    code = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "bridge/formlock_bridge").rglob("*.py"))
    assert set(first_cells(WORDS, 1)) == set(re.findall(r'"(bridge\.[a-z_]+)"', code))
