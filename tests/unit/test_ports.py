"""The ports that tests are given: nobody else's, whatever happens between the asking and the listening."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.node import ROOT
from tests.support.ports import BLOCK, _outgoing, free_port

ASKS = "from tests.support.ports import free_port; print(*(free_port() for _ in range(20)), flush=True); input()"


def test_each_has_its_own() -> None:
    """Two processes at once are never given the same port, nor one process twice in a row; none is one of an outgoing connection."""
    with subprocess.Popen(
        [sys.executable, "-c", ASKS], cwd=ROOT, env=os.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        theirs = [int(port) for port in other.stdout.readline().split()]
        ours = [free_port() for _ in range(BLOCK)]
        other.communicate("\n")
    assert len(set(theirs)) == 20
    assert len(set(ours)) > BLOCK - 50, "others listen on so many"
    assert not set(theirs) & set(ours)
    first, last = _outgoing()
    assert not [port for port in theirs + ours if first <= port <= last]
