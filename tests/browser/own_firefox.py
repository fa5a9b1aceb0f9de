"""A Firefox of the test's own, spoken to by WebDriver BiDi, which it has built in: Playwright would need a build of its own."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any, Self

from websockets.sync.client import connect

WITHIN_S = 60


class OwnFirefox:
    """One window; one tab at a time is spoken to."""

    def __init__(self, executable: str, profile: Path) -> None:
        profile.mkdir()
        self._log = (profile / "log").open("w+")
        self._process = subprocess.Popen(
            [executable, "--headless", "--remote-debugging-port=0", "--profile", str(profile), "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            env={**os.environ, "HOME": str(profile)},
        )
        self._line = connect(f"{self._address(profile / 'log')}/session", compression=None, max_size=None)
        self._number = 0
        self.say("session.new", capabilities={})
        self._context = self.say("browsingContext.getTree")["contexts"][0]["context"]
        self._others: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()
        self._process.terminate()
        self._process.wait(WITHIN_S)
        self._log.close()

    def _address(self, log: Path) -> str:
        limit = time.monotonic() + WITHIN_S
        while time.monotonic() < limit:
            _, found, address = log.read_text().partition("WebDriver BiDi listening on ")
            if found and "\n" in address:
                return address.split("\n")[0]
            time.sleep(0.05)
        raise AssertionError("Firefox did not start")

    def say(self, method: str, /, **parameters: Any) -> Any:
        """One command, and its result."""
        self._number += 1
        self._line.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._line.recv(WITHIN_S))
            if answer.get("id") == self._number:
                assert answer["type"] == "success", f"{method}: {answer}"
                return answer["result"]

    def open_tab(self) -> None:
        """Another one, which is spoken to from now on."""
        self._others.append(self._context)
        self._context = self.say("browsingContext.create", type="tab")["context"]

    def close_tab(self) -> None:
        """As its cross does."""
        self.say("browsingContext.close", context=self._context)
        self._context = self._others.pop()

    def goto(self, url: str) -> None:
        self.say("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def reload(self) -> None:
        self.say("browsingContext.reload", context=self._context, wait="complete")

    def value(self, expression: str) -> Any:
        """What the expression is, or will be once its promise has come: anything that JSON knows."""
        wrapped = f"Promise.resolve({expression}).then((value) => JSON.stringify(value ?? null))"
        answer = self.say("script.evaluate", expression=wrapped, target={"context": self._context}, awaitPromise=True)
        assert answer["type"] == "success", answer
        return json.loads(answer["result"]["value"])

    def becomes(self, expression: str) -> None:
        limit = time.monotonic() + WITHIN_S
        while not self.value(expression):
            assert time.monotonic() < limit, f"not within {WITHIN_S} s: {expression}"
            time.sleep(0.05)

    def sees(self, state: str) -> None:
        self.becomes(f"document.querySelector('form-lock').getAttribute('state') === {json.dumps(state)}")
