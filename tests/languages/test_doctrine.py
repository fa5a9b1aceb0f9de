"""Doctrine tells after the commit (examples/php/FormLock/Doctrine), with the real Doctrine and a real SQLite."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.threads import deferToThread

from tests.languages.conftest import Bridge
from tests.support import needs
from tests.support.client import joined
from tests.support.node import ROOT

pytestmark = pytest.mark.php

FORM = "com.example.form.invoice.1"
AMOUNT = {"status": "ENTITY_UPDATED", "channel": FORM, "change_set": {"amount": ["120.00", "140.00"]}}


def run(scenario: str, *arguments: str) -> Any:
    """What was told, a list for each commit; LookupError says what was raised."""
    command = [needs("php"), str(Path(__file__).parent / "doctrine.php"), str(ROOT / "examples/php"), scenario, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "Failed opening required 'Doctrine/ORM/autoload.php'" in done.stdout + done.stderr and os.environ.get("CI") != "true":
        pytest.skip("php-doctrine-orm is not installed")
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    if said["raised"] is not None:
        raise LookupError(said["raised"])
    return said["told"]


def test_update() -> None:
    """A22: what a flush has changed is told with first and last values, by the name of the entity's own channel."""
    assert run("update") == [[AMOUNT]]


def test_values() -> None:
    """Dates are texts, other entities their ids; what has no channel is not told of."""
    assert run("values") == [[{**AMOUNT, "change_set": {"due": [None, "2026-11-25T00:00:00+00:00"], "customer": [None, 1]}}]]


def test_representation() -> None:
    """New contents go along if the application wants that."""
    assert run("representation") == [[{**AMOUNT, "representation": {"amount": "140.00"}}]]


def test_insert_and_delete() -> None:
    """A new record is told with its generated id, a deleted one with the id that it had."""
    [[made]] = run("insert")
    assert (made["status"], made["channel"]) == ("ENTITY_CREATED", "com.example.form.invoice.2")
    assert made["change_set"]["amount"] == [None, "120.00"]
    assert run("delete") == [[{"status": "ENTITY_DELETED", "channel": FORM, "change_set": []}]]
    assert run("made_and_deleted") == []


def test_parts() -> None:
    """U37: a line is a part of its invoice's form, and both are one event."""
    assert run("part") == [[{**AMOUNT, "change_set": {"amount": ["120.00", "2"], "line-1.price": [1, 2]}}]]
    # The whole's contents were made before the line was written: a page that fills them in would show its old price.
    assert run("part_and_whole") == [[{**AMOUNT, "change_set": {**AMOUNT["change_set"], "line-1.price": [1, 2]}}]]
    [[gone]] = run("part_deleted")
    assert (gone["status"], gone["channel"]) == ("ENTITY_UPDATED", FORM)
    assert gone["change_set"]["line-1.price"] == [1, None]


OFFER = {"status": "ENTITY_UPDATED", "channel": "com.example.form.offer.1"}


def test_fields_for_some() -> None:
    """An entity says which of its fields need a right and which never leave; so does a part of a form. Its version is told."""
    [[told]] = run("for_some")
    assert told == {
        **OFFER,
        "change_set": {"price": [1, 2], "margin": [1, 2], "discount.percent": [1, 2]},
        "redact": {"margin": "margins", "discount.percent": "discounts"},
        "version": 2,
    }
    assert run("never_told") == [], "a change of nothing else is nobody's business"


def test_a_field_with_two_rights() -> None:
    """Where one update can't say who may see a field, no field is told, also not with what is folded into it afterwards."""
    assert run("for_some_twice") == [[{**OFFER, "version": 3}]]


def test_bytes() -> None:
    """Bytes that are no text are left out, as streams are: one such column would have the whole update refused."""
    assert run("no_text") == [[{**AMOUNT, "change_set": {"customer": [None, 1]}}]]


def test_one_edit() -> None:
    """U37: however many flushes a transaction has, a form is told of once; and not at all when it is as before."""
    assert run("two_flushes") == [[AMOUNT]]
    assert run("there_and_back") == []


def test_after_the_commit() -> None:
    """U35: nothing is told before the outermost transaction has committed, although Doctrine's postFlush has been."""
    assert run("not_before") == ["flushed", [AMOUNT]]


@pytest.mark.parametrize("scenario", ["rolled_back", "flush_fails", "listener_raises"])
def test_rolled_back(scenario: str) -> None:
    """U35: what is rolled back, has failed or was never written is told to nobody, with the next commit neither."""
    assert run(scenario) == []


def test_savepoints() -> None:
    """U35: what a savepoint has taken back is not told, what is around it is."""
    assert run("savepoints") == [[{**AMOUNT, "change_set": {"amount": ["120.00", "130.00"]}}]]


def test_requests_only() -> None:
    """A22: a command tells nothing, unless it is wanted."""
    assert run("requests_only") == []


def test_sender_raises() -> None:
    """U39: a push that fails does not fail the save."""
    assert run("sender_raises") == [[AMOUNT]]


def test_no_middleware() -> None:
    """Without the middleware nobody knows of commits: that is an error at the first change, not a push too early."""
    with pytest.raises(LookupError, match="LogicException"):
        run("no_middleware")


@pytest.mark.node
@ensureDeferred
async def test_arrives(bridge: Bridge) -> None:
    """A22: from Doctrine's commit to everybody who has the form open, acknowledged."""
    ann = await joined(bridge.node.ws_url, "ann")
    await ann.subscribe(FORM)
    _, [answer] = await deferToThread(run, "two_flushes", bridge.node.acknowledged_url)
    told = await ann.event("updated", seq=answer["seq"])
    assert (told["reported"], told["change_set"]) == ("ENTITY_UPDATED", AMOUNT["change_set"])
    await ann.leave()
