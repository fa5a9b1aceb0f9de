"""A reliable pusher and the real bridge: what was promised is in its journal, once and in order, although the node is killed."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.threads import deferToThread

from formlock_push import Outcome, ReliablePusher
from tests.support.client import joined
from tests.support.node import Node, without

pytestmark = pytest.mark.node

FORMS = [f"com.example.form.reliable.{n}" for n in range(4)]
BETWEEN_KILLS = 150
WITHIN_S = 60
# Of each form's updates the newest: an answer has a bounded size.
LOOKED_AT = 50


class _Backend:
    """Pushes to all forms, each from a thread of its own, until it is told to end. `pushed`: how many of each form were promised."""

    def __init__(self, pusher: ReliablePusher) -> None:
        self.pushed = dict.fromkeys(FORMS, 0)
        self.broken: list[Outcome] = []
        self._most = 0
        self._pusher = pusher
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(form,)) for form in FORMS]
        for thread in self._threads:
            thread.start()

    def wait(self, more: int) -> None:
        """Until so many more have been promised. As many again follow: what comes next is in mid-stream, and a node that takes its
        time to start does not make them tens of thousands."""
        wanted = sum(self.pushed.values()) + more
        self._most = wanted + more
        while sum(self.pushed.values()) < wanted and not self.broken:
            self._end.wait(0.01)

    def end(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _work(self, form: str) -> None:
        while not self._end.wait(0.005):
            if sum(self.pushed.values()) >= self._most:
                continue
            outcome = self._pusher.push(form, {"n": [None, self.pushed[form]]}, version=self.pushed[form])
            if not outcome:
                self.broken.append(outcome)
                return
            self.pushed[form] += 1


@pytest.mark.timeout(600)
@ensureDeferred
async def test_node_killed(tmp_path: Path) -> None:
    """U38: with the node killed twice while four threads push, nothing that was promised is lost, doubled or out of order."""
    node = Node(tmp_path, without("demo"))
    await deferToThread(node.start)
    try:
        # Long, since the machine that tests is busy; nobody waits for it while the node is down.
        with ReliablePusher(node.acknowledged_url, spool=tmp_path / "spool", timeout_ms=20_000, source="shop") as pusher:
            backend = _Backend(pusher)
            try:
                for _ in range(2):
                    await deferToThread(backend.wait, BETWEEN_KILLS)
                    await deferToThread(node.kill)
                    await deferToThread(backend.wait, BETWEEN_KILLS)
                    await deferToThread(node.start)
                await deferToThread(backend.wait, BETWEEN_KILLS)
            finally:
                await deferToThread(backend.end)
            assert backend.broken == []
            assert await deferToThread(pusher.flush, WITHIN_S)
            assert (pusher.dropped, pusher.refused, pusher.waiting) == (0, 0, 0)
            assert pusher.spooled > BETWEEN_KILLS
            assert pusher.acknowledged >= BETWEEN_KILLS
        ann = await joined(node.ws_url, "ann")
        for form in FORMS:
            pushed = backend.pushed[form]
            # The newest number says that none is missing and none is there twice.
            answer = await ann.call("updates", form=form, since=pushed - LOOKED_AT)
            assert answer["seq"] == pushed
            expected = list(range(pushed - LOOKED_AT + 1, pushed + 1))
            assert [(update["seq"], update["version"]) for update in answer["updates"]] == [(seq, seq - 1) for seq in expected]
        await ann.leave()
    finally:
        await deferToThread(node.stop)
