"""Five hundred kinds of bad frames cost a counted reason each, and nothing else."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections import Counter

from formlock.uris import Uris
from formlock_bridge.intake import Reason, Rejected, read
from formlock_push import Update
from tests.bridge.bad_frames import GOOD, kinds
from tests.support.node import ROOT


def test_each_has_its_reason() -> None:
    """All 500 are rejected, with many different reasons, and what comes next is taken."""
    reasons: Counter[Reason] = Counter()
    for name, frames in kinds():
        answer = read(Uris(), frames[0], len(frames))
        assert isinstance(answer, Rejected), name
        reasons[answer.reason] += 1
    assert reasons.total() == 500
    assert len(reasons) >= 24
    assert isinstance(read(Uris(), GOOD), Update)


PROGRAM = """
import gc
from formlock.uris import Uris
from formlock_bridge.intake import read
from tests.bridge.bad_frames import kinds

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])

frames = [one for _, one in kinds()]
for _ in range(2):
    for one in frames:
        read(Uris(), one[0], len(one))
before = resident()
for _ in range(10):
    for one in frames:
        read(Uris(), one[0], len(one))
print(resident() / before)
"""


def test_memory() -> None:
    """Ten repetitions of all of them leave resident memory within 5 %."""
    gc.collect()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"PYTHONPATH": ".:components:bridge"},
    )
    assert float(done.stdout) < 1.05
