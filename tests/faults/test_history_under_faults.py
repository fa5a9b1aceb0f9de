"""Ten clients on four forms while processes are killed and paused: afterwards everything they were told must fit together.

`FORMLOCK_FAULTS_SECONDS` makes it longer, `FORMLOCK_FAULTS_SEED` repeats the choices of a run that failed (not its timing).
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.threads import deferToThread

from tests.faults.checker import faults
from tests.faults.editors import Editor
from tests.faults.history import History, Tab
from tests.faults.nemesis import LONGER_S, Nemesis, launched
from tests.support.node import Node, without, worker_of
from tests.support.worker import Supervised, WorkerProcess

pytestmark = pytest.mark.node

FORMS = [f"com.example.form.fault.{number}" for number in range(1, 5)]
# Five users with two tabs each: they are refused, asked for a sign of life, and take over from themselves.
TABS = [Tab(user, tab) for user in ("ann", "bob", "cho", "dan", "eve") for tab in ("one", "two")]
# Short enough for every lease to end many times, by each cause.
POLICY = {
    "ttl_ms": 6_000, "renew_ms": 2_000, "grace_ms": 2_000, "reserve_ms": 500, "probe_ms": 800, "contended_probe_ms": 4_000,
    "contended_grace_ms": 2_000, "claim_ms": 1_500,
}  # fmt: skip
SECONDS = float(os.environ.get("FORMLOCK_FAULTS_SECONDS", "30"))
SEED = int(os.environ.get("FORMLOCK_FAULTS_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
# Of a run that says something.
MIN_ANSWERED_PER_S = 3
HAPPENED = (("lock", "granted"), ("lock", "locked"), ("wait", "queued"), ("unlock", "freed"), ("renew", "renewed"))
# A node that was killed last is still to start.
LOOKS_WITHIN_S = 90


def hurried(*left_out: str) -> Any:
    """A change of the node's configuration: short times, and its processes without those that have no part in this."""

    def change(config: dict[str, Any]) -> None:
        if "locks" not in left_out:
            worker_of(config, "locks")["components"][0]["extra"]["policy"] = POLICY
        without("bridge", "demo", *left_out)(config)

    return change


class Scene:
    """A node and its lock worker, both under supervision."""

    def __init__(self, folder: Path, alone: bool) -> None:
        self.node = Node(folder, hurried("locks") if alone else hurried())
        self.kept = Supervised(launched(self.node))
        self.node.wait_ready()
        self.worker = Supervised(self._start_worker) if alone else None

    def _start_worker(self) -> subprocess.Popen[bytes]:
        return WorkerProcess(self.node, self.node.folder, "--extra", json.dumps({"policy": POLICY})).process

    def end(self) -> None:
        if self.worker is not None:
            self.worker.end(lambda process: process.kill())
        self.kept.end(lambda _process: self.node.stop())


@pytest.fixture(params=["worker of its own", "worker in the node"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path, alone=request.param == "worker of its own")
    yield made
    made.end()


@pytest.mark.timeout(SECONDS + LONGER_S + 300)
@pytest_twisted.ensureDeferred
async def test_whatever_dies_all_answers_fit_together(scene: Scene) -> None:
    """U14, U15, U16: no two ever hold a form, tokens rise, and one order of all calls explains all answers, per form, whichever
    process is killed or paused, and however long."""
    chance, history = random.Random(SEED), History()
    editors = [Editor(scene.node.ws_url, tab, FORMS, history, random.Random(chance.random())) for tab in TABS]
    nemesis = Nemesis(scene.node, scene.kept, scene.worker, history.answered, random.Random(chance.random()))
    first = {form: (await editors[0].look(form)).got or 0 for form in FORMS}
    works = [ensureDeferred(editor.work()) for editor in editors]
    await nemesis.rage(time.monotonic() + SECONDS, lambda: not lacks(history, nemesis))
    for form in FORMS:
        await within(LOOKS_WITHIN_S, editors[0].look(form))
    for editor in editors:
        editor.ended = True
    await within(60, gatherResults(works))
    for editor in editors:
        editor.go()
    marks = [f"{at:9.3f}            -- {what}" for at, what in nemesis.done]
    found = {form: await deferToThread(faults, part, first[form]) for form, part in history.forms().items()}
    for form, wrong in found.items():
        if wrong:
            pytest.fail(f"seed {SEED}, {form}:\n" + "\n".join([*wrong, "", history.forms()[form].told(marks)]), pytrace=False)
    print(f"seed {SEED}: {history.answered()} answered, {sum(editor.joins for editor in editors)} joins, {outcomes(history)}")  # noqa: T201
    print([what for _, what in nemesis.done])  # noqa: T201
    assert not lacks(history, nemesis)


def lacks(history: History, nemesis: Nemesis) -> list[str]:
    """What is still to happen before the run is worth checking."""
    found = outcomes(history)
    missing = [" ".join(happened) for happened in HAPPENED if not found[happened]]
    if history.answered() <= MIN_ANSWERED_PER_S * SECONDS:
        missing.append(f"{history.answered()} answers are too few")
    if len(nemesis.done) < SECONDS / 20:
        missing.append(f"only {len(nemesis.done)} faults")
    return missing


def outcomes(history: History) -> Counter[tuple[str, str]]:
    """How often each call came out how."""
    return Counter((operation.call, operation.outcome) for operation in history.operations)


def within(seconds: float, work: Any) -> Deferred[Any]:
    return ensureDeferred(work).addTimeout(seconds, reactor) if not isinstance(work, Deferred) else work.addTimeout(seconds, reactor)
