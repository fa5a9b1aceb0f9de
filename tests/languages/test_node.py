"""Node pushes (examples/node)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.languages.driver import Language, javascript
from tests.languages.suite import Pushes

pytestmark = pytest.mark.node


class TestNode(Pushes):
    # Its numbers are exact up to 2**53.
    cannot_keep = frozenset({"the largest integers that all clients can be sent"})

    @staticmethod
    def of(folder: Path) -> Language:
        return javascript(folder)
