"""Ruby pushes (examples/ruby)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.languages.driver import Language, ruby
from tests.languages.suite import Pushes

pytestmark = pytest.mark.node


class TestRuby(Pushes):
    @staticmethod
    def of(folder: Path) -> Language:
        return ruby()
