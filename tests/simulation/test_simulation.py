"""The service never breaks a promise, whatever the world does to it: a fixed list of simulated runs, each decided by its seed.

By hand, with any budget: `python -m formlock.testing.simulate --seed 1000 --count 500`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import get_args

import pytest

from formlock.events import Cause
from formlock.testing.simulate import Failed, Tally, main, simulate
from formlock.testing.simulation.truth import Truth, Violation
from formlock.testing.simulation.world import World

# Of 4,000 steps each, and the quiet end: 38,000 steps a second were measured on an idle core, a quarter of that beside other tests.
SEEDS_PER_TEST = 36
TESTS = 10
TALLY = Tally()


@pytest.mark.parametrize("first", [1 + SEEDS_PER_TEST * number for number in range(TESTS)])
def test_no_promise_is_broken(first: int) -> None:
    """U1, U2, U3, U5, U9, U14, U16, U21, U23: one holder, rising tokens, no save lost, nothing left locked, no last word of before
    heard, through crashes, pauses and losses; truth.py has the promises one by one."""
    for seed in range(first, first + SEEDS_PER_TEST):
        before = TALLY.steps
        simulate(seed, clients=4 + seed % 4, forms=1 + seed % 3, tally=TALLY)
        assert TALLY.steps - before > 4_000


def test_what_the_runs_have_been_through() -> None:
    """A promise that is never put to the test is not kept: every way in which a lease ends has come about, and every exception."""
    if TALLY.steps < 4_000 * SEEDS_PER_TEST * TESTS:
        pytest.skip("only with the runs above")
    assert set(TALLY.ends) >= set(get_args(Cause)) | {"silent"}
    assert TALLY.grants > 1_000
    assert TALLY.claims > 500
    assert TALLY.saves > 200
    assert TALLY.late > 200
    assert TALLY.late_words > 50
    assert "the news is under way" in TALLY.excuses


def notes(seed: int) -> list[str]:
    world = World(seed)
    world.run(1_500)
    return [f"{at} {what}" for at, what in world.notes]


def test_a_seed_repeats_exactly() -> None:
    """The same seed tells the same story, to the last millisecond."""
    assert notes(5) == notes(5)
    assert notes(5) != notes(6)


def test_a_seed_repeats_in_another_process() -> None:
    """Neither addresses nor the hash seed of a process change anything, so a failure of CI can be repeated at a desk."""
    command = [sys.executable, "-m", "formlock.testing.simulate", "--seed", "3", "--count", "2", "--steps", "1500"]
    stories = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
        stories.append([line for line in done.stdout.splitlines() if "a second" not in line])
    assert stories[0] == stories[1]
    assert "2 runs, 0 failed" in stories[0]


def simulate_all(seeds: range) -> None:
    for seed in seeds:
        simulate(seed)


def test_a_failure_tells_its_story_and_how_to_repeat_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The last steps in words, what was broken, and the command; with fewer steps the same failure, sooner."""

    def told_lost(truth: Truth, *_: object) -> None:
        truth.check(False, "broken on purpose")

    monkeypatch.setattr(Truth, "told_lost", told_lost)
    with pytest.raises(Failed) as failed:
        simulate_all(range(20))
    assert isinstance(failed.value.__cause__, Violation)
    *story, what, how = str(failed.value).splitlines()
    assert len(story) >= 20
    assert "has lost" in story[-1]
    assert what.endswith("broken on purpose")
    command, _, shorter = how.partition("(shorter: ")
    arguments = [*command.split()[4:], *shorter.rstrip(")").split()]
    assert main(arguments) == 1
    assert what in capsys.readouterr().out
