"""The reference of the WAMP contract names what the code has, and nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import get_args

import pytest

from formlock import wire
from formlock.auth import PUBLISHED
from formlock.drafts import KEPT_MS, LATE_MS, MAX_PER_FORM, MAX_PER_USER
from formlock.errors import FormLockError
from formlock.events import Cause
from formlock.history import KINDS, Keeping
from formlock.telling import STATUS
from formlock.uris import ARTICLE_LOCK, Uris
from formlock.wire import MAX_DRAFT_BYTES, MAX_DRAFT_DEPTH
from formlock_push.message import UPDATED
from tests.support.node import ROOT

TEXT = (ROOT / "docs/reference/wamp.md").read_text(encoding="utf-8")
SOURCES = [*(ROOT / "components/formlock").glob("*.py"), *(ROOT / "bridge/formlock_bridge").glob("*.py")]
# Which class checks a procedure's arguments. `updates`, which is the bridge's own, and `locks`, which has none, have no class.
REQUESTS = {
    name: kind for name in sorted(PUBLISHED) if (kind := getattr(wire, f"{name.title().replace('_', '')}Request", None)) is not None
}


def rows(section: str) -> list[list[str]]:
    """The cells of the table in a section, without its head."""
    body = TEXT.partition(f"## {section}\n")[2].partition("\n## ")[0]
    lines = [line for line in body.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def words(cell: str) -> set[str]:
    """What a cell names in code."""
    return set(re.findall(r"`([\w.-]+)", cell))


def errors(kind: type[FormLockError] = FormLockError) -> Iterator[type[FormLockError]]:
    """Every class of errors that has a name on the wire."""
    for inner in kind.__subclasses__():
        if "name" in inner.__dict__:
            yield inner
        yield from errors(inner)


def statuses() -> Iterator[str]:
    """The status of every event that the code publishes: given to `_publish`, by name or by the event's kind, or the value of
    "status" in a payload."""
    yield from STATUS.values()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            said: list[ast.expr | None] = []
            if isinstance(node, ast.Dict):
                said = [
                    value
                    for key, value in zip(node.keys, node.values, strict=True)
                    if isinstance(key, ast.Constant) and key.value == "status"
                ]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "_publish":
                said = [*node.args[2:3], *(word.value for word in node.keywords if word.arg == "status")]
            for value in said:
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value.value
                elif isinstance(value, ast.Name) and value.id == "UPDATED":
                    yield UPDATED


def test_procedures() -> None:
    """Every published procedure is there with its whole name, and the article's name too."""
    uris = Uris()
    named = {name for first, *_ in rows("Procedures") for name in words(first)}
    assert named == {uris.procedure(name) for name in PUBLISHED} | {ARTICLE_LOCK}


@pytest.mark.parametrize("procedure", REQUESTS)
def test_arguments(procedure: str) -> None:
    """A procedure's arguments are those that its class takes, beside the form."""
    cells = next(cells for cells in rows("Procedures") if Uris().procedure(procedure) in words(cells[0]))
    fields = set(REQUESTS[procedure].__struct_fields__)
    assert words(cells[1]) - {"form"} == fields


def test_every_request_has_its_row() -> None:
    """No class of arguments is forgotten above: each is called like its procedure."""
    made = {kind for kind in vars(wire).values() if isinstance(kind, type) and kind.__name__.endswith("Request")}
    assert made == set(REQUESTS.values())


def test_history() -> None:
    """Everything that can be in a history is told, and nothing else."""
    (said,) = re.findall(r"`what` is (.*?)\.", TEXT, re.S)
    assert set(re.findall(r"`(\w+)`", said)) == set(KINDS)
    (kept,) = re.findall(r"Kept are (\d+) days, ([\d,]+) entries for a form and ([\d,]+) in all", TEXT.replace("\n  ", " "))
    assert [int(number.replace(",", "")) for number in kept] == [Keeping().days, Keeping().per_form, Keeping().in_all]


def test_drafts() -> None:
    """The bounds of drafts are as the code has them."""
    text = TEXT.replace("\n  ", " ")
    assert f"({MAX_DRAFT_BYTES:,} bytes) and {MAX_DRAFT_DEPTH} levels" in text
    assert f"within the last {LATE_MS // 60_000} minutes" in text
    assert f"Kept are {KEPT_MS // 86_400_000} days, {MAX_PER_FORM} drafts of a form and {MAX_PER_USER} of a user." in text


def test_errors() -> None:
    """Every error is there with its own sentence, and says rightly whether a retry can help."""
    written = {tuple(cells[i] for i in (0, 1, 3)) for cells in rows("Errors")}
    assert written == {(f"`{kind.name}`", kind.sentence, "yes" if kind.retry else "no") for kind in errors()}


def test_events() -> None:
    """Every status that is published is there, and every one that is there is published."""
    assert {name for first, *_ in rows("Events") for name in words(first)} == set(statuses())


def test_causes() -> None:
    """Every cause of a release is told."""
    released = next(cells for cells in rows("Events") if cells[0] == "`released`")
    assert words(released[2]) - {"cause"} == set(get_args(Cause))
