"""The bridge dies while backends in all languages push."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.languages.conftest import TYPE, Bridge, open_bridge
from tests.languages.driver import WITHIN_S, Driver, Language, javascript, php, ruby
from tests.languages.suite import ACKNOWLEDGED, start
from tests.support.client import joined
from tests.support.node import START_WITHIN_S

# Two starts of a node.
pytestmark = [pytest.mark.node, pytest.mark.timeout(400)]

UPDATES = 60
KILL_AFTER = 20
# Nobody sends these before it is killed.
LEFT = 20


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Bridge]:
    """One of its own: it is killed."""
    with open_bridge(tmp_path) as bridge:
        yield bridge


def languages(folder: Path) -> list[Language]:
    """Those that are installed here; a language that CI lacks is missed in its own tests."""
    return [language for language in (php(), ruby(), javascript(folder)) if language.is_there()]


@ensureDeferred
async def test_killed(bridge: Bridge, tmp_path: Path) -> None:
    """U38, U39: with everything killed in mid-stream, what was acknowledged is there after the restart, once and in order; whoever
    had no answer pushes again, by the same id and the same object."""
    everybody: dict[str, Driver] = {}
    far, killing = threading.Event(), threading.Event()

    def stream(form: str, driver: Driver) -> int:
        """Sends one after the other; how many it had to send again."""
        again = 0
        for n in range(UPDATES):
            if n == KILL_AFTER:
                far.set()
            if n == UPDATES - LEFT:
                killing.wait(WITHIN_S)
            driver.tell("until", update={"form": form, "id": str(n), "source": "stream"})
            again += driver.hear(START_WITHIN_S + WITHIN_S).answer - 1
        return again

    try:
        for language in languages(tmp_path):
            for way in ACKNOWLEDGED:
                driver = everybody[f"{TYPE}killed-{language.program}-{way}"] = language.driver()
                url = bridge.node.updates_url if way == "http" else bridge.node.acknowledged_url
                start(driver, way, url, bridge.keys if way == "http" else None)
        streams = [deferToThread(stream, form, driver) for form, driver in everybody.items()]
        while not far.is_set():
            await deferLater(reactor, 0.01, lambda: None)
        killing.set()
        await deferToThread(bridge.node.kill)
        await deferToThread(bridge.node.start)
        again = await gatherResults(streams)
        assert sum(again) >= len(everybody)
        ann = await joined(bridge.node.ws_url)
        for form in everybody:
            answer = await ann.caught_up(form)
            told = [(update["seq"], update["id"]) for update in answer["updates"]]
            assert told == [(n + 1, str(n)) for n in range(UPDATES)], form
        await ann.leave()
    finally:
        for driver in everybody.values():
            with driver:
                pass
