"""The lock component on a real Crossbar node."""

from __future__ import annotations

import pytest
import pytest_twisted

from tests.support.client import joined
from tests.support.node import Node

pytestmark = pytest.mark.node

FORM = "com.example.form.test.locking"


@pytest_twisted.ensureDeferred
async def test_lock_refuse_release(node: Node) -> None:
    """A8, A9, A10: the first gets the form, all others are told, the second is refused with who holds it, the release frees it."""
    ann, bob = await joined(node.ws_url, "ann", "Ann Weber"), await joined(node.ws_url, "bob")
    await ann.subscribe(FORM)
    await bob.subscribe(FORM)
    got = await ann.call("lock", form=FORM, tab="a")
    assert got["event"] == "lock"
    assert got["lease_ms"] == 90_000
    edit = await bob.event("edit")
    assert edit["holder"] == {"user": "ann", "name": "Ann Weber"}
    refused = await bob.refused("lock", form=FORM, tab="b")
    assert (refused.name, refused.sentence, refused.facts["status"]) == ("form_locked", "Form was locked", "locked")
    await ann.call("unlock", form=FORM, token=got["token"], tab="a")
    await bob.event("released", cause="unlock")
    assert (await bob.call("lock", form=FORM, tab="b"))["token"] == got["token"] + 1
    assert "edit" not in [event["status"] for event in ann.events if event["rev"] == got["rev"]]
    await bob.leave()
    await ann.leave()
