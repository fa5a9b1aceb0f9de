"""The reference of the policy file has every key with its default, and its example is one that is read."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import fields

from formlock.claims import RIGHTS
from formlock.model import FormId
from formlock.policies import PolicyBook, parse
from formlock.policy import OPTIONAL, Policy
from tests.support.node import ROOT

TEXT = (ROOT / "docs/reference/policy.md").read_text(encoding="utf-8")
ROWS: dict[str, str] = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", TEXT, re.M))


def test_every_key_is_there() -> None:
    """All of Policy, and nothing else."""
    assert set(ROWS) == {field.name for field in fields(Policy)}


@pytest.mark.parametrize("key", ROWS)
def test_its_default_is_the_default(key: str) -> None:
    """As one would write it into the file; what may be off says so."""
    written = parse(f"[default]\n{key.removesuffix('_ms')} = {ROWS[key]}\n").default
    assert getattr(written, key) == getattr(Policy(), key)
    line = next(line for line in TEXT.splitlines() if line.startswith(f"| `{key}`"))
    assert ("; 0: " in line) == (key in OPTIONAL)


def test_rights_are_named() -> None:
    sentence = re.search(r"^Rights are (.*) and `(\w+)`\.", TEXT, re.M)
    assert sentence is not None
    assert {*re.findall(r"`(\w+)`", sentence.group(1)), sentence.group(2)} == RIGHTS


def test_the_example() -> None:
    """It is read, and means what the text around it says."""
    (example,) = re.findall(r"```toml\n(.*?)```", TEXT, re.S)
    book = parse(example)
    one, other, many = (book.of(FormId("invoice", number)) for number in ("42", "7", "2026-1"))
    assert (one.queue, one.handover_ms, one.max_waiters) == (False, 10_000, 5)
    assert (other.queue, other.idle_release_ms, other.takeover_right) == (True, 600_000, "admin")
    assert (many.ask_ms, many.share_drafts) == (20_000, True)
    assert book.of(FormId("order", "7")) == Policy()


def test_the_shipped_file() -> None:
    """The development node's policy changes nothing, and what it suggests in its comments can be written as it stands."""
    shipped = (ROOT / ".crossbar/policy.toml").read_text(encoding="utf-8")
    assert parse(shipped) == PolicyBook(Policy())
    suggested = [line[2:].strip() for line in shipped.splitlines() if re.match(r"#\s+(\[|\w+ = )", line)]
    book = parse("[default]\n" + "\n".join(suggested))
    assert book.default == Policy()
    assert book.of(FormId("invoice", "42")).queue is False
    assert book.of(FormId("invoice", "1")).takeover_right == "admin"
