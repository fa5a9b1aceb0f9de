"""What was promised arrives, once and in order, whatever dies: `python -m tests.faults.delivery --messages 100000 --subscribers 300
--bridge-kills 10 --router-kills 2`.

A real router, the real bridge as a process of its own, backends in a third process (senders.py), subscribers in a fourth
(listeners.py). While messages stream, the bridge and the router are killed with kill -9, each time somewhere in the middle, and
started again by their supervisors. Everything sent, kept and heard is recorded and then checked (delivery_checker.py). The same
code, smaller, is a test (test_delivery.py).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.bridges import Bridge
from tests.faults.delivered import Journal, read_heard, read_journal, read_sent
from tests.faults.delivery_checker import Verdict, check
from tests.support.node import ROOT

# Marks are written with what comes, or alone after a second.
MARKED_WITHIN_S = 30
ENDS_WITHIN_S = 20


@dataclass(frozen=True, slots=True)
class Run:
    """`follow`: how many forms each subscriber follows, beside the first, which all do. `rate`: messages a second, 0 for as many as
    go. `coalesce_ms`: the policy's, None for the default."""

    messages: int
    subscribers: int
    bridge_kills: int
    router_kills: int
    senders: int = 6
    forms: int = 100
    follow: int = 5
    wanderers: int = 5
    rate: float = 0.0
    coalesce_ms: int | None = 0
    seed: int = 0

    def follows(self) -> list[list[int]]:
        """All forms have equally many subscribers, but the first."""
        step = max(1, (self.forms - 1) // self.follow)
        return [
            sorted({0, *(1 + (who + step * nth) % (self.forms - 1) for nth in range(self.follow))})
            for who in range(self.subscribers)
        ]


@dataclass(slots=True)
class Report:
    """What the checker says, and what the run was like."""

    verdict: Verdict
    seconds: float
    senders: dict[str, Any]
    kills: Counter[str] = field(default_factory=Counter)
    log: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{name}: {value}" for name, value in sorted(self.verdict.figures.items())]
        lines += [f"kills: {dict(self.kills)}", f"senders: {self.senders}", f"bridge's log: {self.log}", f"{self.seconds:.0f} s"]
        return "\n".join([*lines, *self.verdict.faults, f"{self.verdict.figures['faults']} faults"])


class Scene:
    """The four kinds of process; `end` ends them all."""

    def __init__(self, folder: Path, run: Run) -> None:
        self.run = run
        self.folder = folder
        # All of a run has to be there at its end, for the checker.
        extra: dict[str, Any] = {"kept": {"per_form": run.messages, "in_all": 2 * run.messages, "in_bytes": 2**31}}
        if run.coalesce_ms is not None:
            extra["policy"] = {"coalesce_ms": run.coalesce_ms}
        self.bridge = Bridge(folder / "node", extra)
        self.node = self.bridge.node
        follows = json.dumps(run.follows())
        self.listeners = self._process("listeners", self.node.ws_url, str(folder / "heard"), follows, str(run.wanderers))
        self.senders: subprocess.Popen[str] | None = None
        self.told: dict[str, Any] = {"sent": 0}

    def _process(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", f"tests.faults.{name}", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=ROOT, env={**os.environ, "PYTHONPATH": ":".join(str(ROOT / path) for path in (".", "components", "bridge"))},
        )  # fmt: skip

    def ask(self, command: str) -> dict[str, Any]:
        """The listeners' answer."""
        assert self.listeners.stdin is not None
        assert self.listeners.stdout is not None
        self.listeners.stdin.write(command + "\n")
        self.listeners.stdin.flush()
        return _line(self.listeners)

    def send(self) -> None:
        """Start the backends, which wait for `stream`."""
        run = self.run
        figures = (run.senders, run.messages, run.forms, run.rate, run.seed)
        self.senders = self._process("senders", self.node.acknowledged_url, str(self.folder), *map(str, figures))

    def stream(self, part: float, until: float) -> None:
        """Let them send this part of all, and come back when this smaller part has been sent; at the end, when nothing waits."""
        assert self.senders is not None
        assert self.senders.stdin is not None
        self.senders.stdin.write(f"{part}\n")
        self.senders.stdin.flush()
        while self.told["sent"] < until * self.run.messages or (until == 1 and "flushed" not in self.told):
            self.told = _line(self.senders)

    def journal(self) -> Journal:
        """When everything is marked, or after too long."""
        limit = time.monotonic() + MARKED_WITHIN_S
        while (found := read_journal(self.bridge.journal)).untold and time.monotonic() < limit:
            time.sleep(0.2)
        return found

    def bridge_log(self) -> dict[str, int]:
        """How often the bridge has said what nobody likes to read."""
        verbs = ("bridge.ready", "bridge.rejected", "bridge.not_published", "bridge.not_journalled", "bridge.failed", "Traceback")
        return {verb: self.bridge.said(verb) for verb in verbs}

    def end(self) -> None:
        if self.senders is not None:
            self.senders.kill()
            self.senders.communicate()
        # Told to end, so that the last line of its record is a whole one.
        with suppress(subprocess.TimeoutExpired):
            self.listeners.communicate(timeout=ENDS_WITHIN_S)
        self.listeners.kill()
        self.listeners.communicate()
        self.bridge.end()


def _line(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], 600)
    line = process.stdout.readline() if readable else ""
    if not line:
        raise AssertionError(f"{process.args[2]!r} has ended, or hangs")  # type: ignore[index]
    found: dict[str, Any] = json.loads(line)
    return found


def deliver(folder: Path, run: Run) -> Report:
    """One run, from the start of the router to the verdict."""
    chance = random.Random(run.seed)
    kills = ["bridge"] * run.bridge_kills + ["router"] * run.router_kills
    chance.shuffle(kills)
    scene = Scene(folder, run)
    try:
        scene.ask("ready")
        begun = time.monotonic()
        scene.send()
        for nth, what in enumerate(kills):
            # What is left of this part is sent while it is away, the next part when it is back: so each kill is in mid-stream.
            scene.stream((nth + 1) / (len(kills) + 1), (nth + chance.uniform(0.2, 0.8)) / (len(kills) + 1))
            scene.bridge.kill(what)
        scene.stream(1.0, 1.0)
        last = Counter(row.form for row in read_journal(scene.bridge.journal).rows)
        scene.ask(f"know {json.dumps(last)}")
        seconds = time.monotonic() - begun
        journal = scene.journal()
        log = scene.bridge_log()
    finally:
        scene.end()
    follows = dict(enumerate(run.follows()))
    verdict = check(read_sent(folder / "sent"), journal, read_heard(folder / "heard"), follows, len(kills))
    if not scene.told["flushed"]:
        verdict.fault("spool", "it was not empty in time")
    return Report(verdict, seconds, scene.told, Counter(kills), log)


def main() -> None:
    parser = argparse.ArgumentParser(prog="delivery", description="What was promised arrives, once and in order, whatever dies.")
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--subscribers", type=int, default=300)
    parser.add_argument("--bridge-kills", type=int, default=10)
    parser.add_argument("--router-kills", type=int, default=2)
    parser.add_argument("--senders", type=int, default=6)
    parser.add_argument("--forms", type=int, default=100)
    parser.add_argument("--follow", type=int, default=5, help="forms of each subscriber, beside the first, which all follow")
    parser.add_argument("--wanderers", type=int, default=5, help="subscribers that leave their line at random and come back")
    parser.add_argument("--rate", type=float, default=0.0, help="messages a second; 0: as many as go")
    parser.add_argument("--coalesce-ms", type=int, default=None, help="the policy's; the default is its default")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--keep", type=Path, default=None, help="a new folder for the record, which is kept")
    run = parser.parse_args()
    given = vars(run)
    keep = given.pop("keep")
    print(given, flush=True)  # noqa: T201
    with tempfile.TemporaryDirectory() as folder:
        report = deliver(keep or Path(folder), Run(**given))
    print(report)  # noqa: T201
    sys.exit(bool(report.verdict.faults))


if __name__ == "__main__":
    main()
