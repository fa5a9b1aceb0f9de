"""PHP pushes (examples/php)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.languages.driver import Language, php
from tests.languages.suite import Pushes

pytestmark = [pytest.mark.node, pytest.mark.php]


class TestPhp(Pushes):
    # Its integers end at 2**63 - 1.
    cannot_keep = frozenset({"the largest integers that all clients can be sent"})

    @staticmethod
    def of(folder: Path) -> Language:
        return php()
