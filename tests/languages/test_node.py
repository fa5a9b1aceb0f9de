"""Node pushes (examples/node)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred

from tests.languages.conftest import TYPE, Bridge
from tests.languages.driver import Driver, Language, javascript
from tests.languages.suite import ACKNOWLEDGED, Pushes, open_way, push_together_with_nobody_there
from tests.support.node import ROOT

pytestmark = pytest.mark.node


class TestNode(Pushes):
    # Its numbers are exact up to 2**53.
    cannot_keep = frozenset({"the largest integers that all clients can be sent"})

    @staticmethod
    def of(folder: Path) -> Language:
        return javascript(folder)

    @pytest.mark.parametrize("way", ACKNOWLEDGED)
    def test_requests(self, driver: Driver, way: str) -> None:
        """U39: requests that share a pusher wait for each other, but none beyond its own time-out."""
        push_together_with_nobody_there(driver, way)

    @ensureDeferred
    async def test_order(self, driver: Driver, bridge: Bridge) -> None:
        """U38: what is pushed without waiting arrives in the order of the calls."""
        ask = open_way(driver, bridge, "acknowledged")
        answers = (await ask("together", updates=[{"form": f"{TYPE}order"}] * 50)).answer
        assert [answer["seq"] for answer in answers] == list(range(1, 51))


def test_the_same_zeromq() -> None:
    """The package that the tests use is the one that the example asks for."""
    ours, tested = (
        json.loads((ROOT / folder / "package.json").read_text())["dependencies"] for folder in ("examples/node", "bench")
    )
    assert ours["zeromq"] == tested["zeromq"]
