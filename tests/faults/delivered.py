"""What senders were promised and subscribers heard, as it is checked afterwards (delivery_checker.py), and its lines in files.

Each message says which number its sender gave it and which number of the form that sender had used before: so an event can be told
from every other, and a folded one says which of them it stands for.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal, NamedTuple

# acknowledged: it is in the journal; spooled: it will be. unknown: no answer, so nothing was promised, and it may be there.
Outcome = Literal["acknowledged", "spooled", "refused", "unknown"]
# began: a new line, on which nothing is known to be complete. event: told. kept: one update of an answer of `updates`. answered: the
# answer's end; `first` is what it asked for, `seq` the newest number. cut: the answer said that some are missing.
Kind = Literal["began", "event", "kept", "answered", "cut"]


class Sent(NamedTuple):
    """One message in the order in which its sender gave it away. `seq` and `epoch`: as far as it was told."""

    sender: str
    form: int
    number: int
    outcome: Outcome
    seq: int = 0
    epoch: str = "-"


class Kept(NamedTuple):
    """One row of the journal: the update `number` of `sender`, which says that `before` was its last one of the form."""

    form: int
    seq: int
    sender: str
    before: int
    number: int


class Heard(NamedTuple):
    """What one subscriber received, in its order. An event covers `first` to `seq`."""

    subscriber: int
    kind: Kind
    form: int = 0
    first: int = 0
    seq: int = 0
    sender: str = "-"
    before: int = 0
    number: int = 0


class Journal(NamedTuple):
    """All that was kept, in the order of arrival; `untold` are marked as not published, `parked` as given up."""

    epoch: str
    rows: tuple[Kept, ...]
    untold: int
    parked: int


def read_sent(path: Path) -> Iterator[Sent]:
    """From the senders' file."""
    with path.open() as file:
        for line in file:
            sender, form, number, outcome, seq, epoch = line.rstrip("\n").split(" ")
            yield Sent(sender, int(form), int(number), outcome, int(seq), epoch)  # type: ignore[arg-type]


def read_heard(path: Path) -> Iterator[Heard]:
    """From the listeners' file: as long as it is, nobody has it in memory."""
    with path.open() as file:
        for line in file:
            subscriber, kind, form, first, seq, sender, before, number = line.rstrip("\n").split(" ")
            yield Heard(int(subscriber), kind, int(form), int(first), int(seq), sender, int(before), int(number))  # type: ignore[arg-type]


def written(values: Iterable[Sent | Heard]) -> str:
    """Their lines."""
    return "".join(" ".join(map(str, value)) + "\n" for value in values)


def read_journal(path: Path) -> Journal:
    """The bridge's own file, while it is running or after its end."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        (epoch,) = connection.execute("SELECT epoch FROM journal").fetchone()
        (untold,) = connection.execute("SELECT coalesce(sum(last - published), 0) FROM form").fetchone()
        (parked,) = connection.execute("SELECT count(*) FROM entry WHERE parked IS NOT NULL").fetchone()
        found = connection.execute("SELECT form, seq, message FROM entry ORDER BY number")
        rows = tuple(_kept(form, seq, json.loads(message)) for form, seq, message in found)
    return Journal(epoch, rows, untold, parked)


def _kept(form: str, seq: int, message: dict[str, object]) -> Kept:
    before, number = message["change_set"]["n"]  # type: ignore[index]
    return Kept(int(form.rpartition(".")[2]), seq, str(message["source"]), before, number)
