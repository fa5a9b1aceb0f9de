"""Fixtures: the shipped node, running for real."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
import txaio
from hypothesis import settings

from tests.support import needs
from tests.support.node import Node

# Before any of Autobahn is imported: its modules keep whatever txaio is set to at that moment.
txaio.use_twisted()

# Random walks look for what nobody has thought of, on a laptop: whether a change lands must not hang on luck. Nor, anywhere, on how
# long an example takes on a machine with other work.
settings.register_profile("laptop", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "laptop")

# Begun in the background of a script, this process ignores what Ctrl+C sends. So would all that it starts, and much is ended by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What a laptop lacks is skipped there, and missed in CI."""
    if item.get_closest_marker("php") is not None:
        needs("php")


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One node for all tests that only use it."""
    node = Node(tmp_path_factory.mktemp("node"))
    node.start()
    yield node
    node.stop()
