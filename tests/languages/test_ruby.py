"""Ruby pushes (examples/ruby)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.languages.driver import Driver, Language, ruby
from tests.languages.suite import ACKNOWLEDGED, Pushes, push_together_with_nobody_there

pytestmark = pytest.mark.node


class TestRuby(Pushes):
    @staticmethod
    def of(folder: Path) -> Language:
        return ruby()

    @pytest.mark.parametrize("way", ACKNOWLEDGED)
    def test_threads(self, driver: Driver, way: str) -> None:
        """U39: threads that share a pusher wait for each other, but none beyond its own time-out."""
        push_together_with_nobody_there(driver, way)
