"""What several kinds of tests share: a real node, a WAMP client, and waiting for events with a limit."""

from __future__ import annotations

import os
import shutil

import pytest


def needs(program: str) -> str:
    """The program's path. Without it a test is skipped on a laptop; in CI it must be there, so there it fails."""
    path = shutil.which(program)
    if path is None:
        message = f"{program} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path
