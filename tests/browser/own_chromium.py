"""A Chromium of the test's own, spoken to over its debugging pipe: Playwright keeps every page it attaches to visible for ever."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Self

WITHIN_S = 60


class OwnChromium:
    """Two and more tabs of one window; the one that is brought to the front hides the others."""

    def __init__(self, executable: str, arguments: list[str], profile: Path) -> None:
        inward, outward = os.pipe(), os.pipe()  # Chromium reads the first one as 3, and writes the second one as 4
        command = [executable, *arguments, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{inward[0]} 4>&{outward[1]}', "chromium", *command],
            pass_fds=(inward[0], outward[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(inward[0])
        os.close(outward[1])
        self._to, self._from = inward[1], outward[0]
        self._rest = b""
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wake()
        self.say("Browser.close")
        try:
            self._process.wait(WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def say(self, method: str, session: str | None = None, /, **parameters: Any) -> Any:
        """One command, and its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self._to, json.dumps(message).encode() + b"\0")
        limit = time.monotonic() + WITHIN_S
        while True:
            answer = self._read(limit)
            if answer.get("id") != self._number:
                continue
            assert "error" not in answer, f"{method}: {answer['error']}"
            return answer["result"]

    def _read(self, limit: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._from], [], [], max(0, limit - time.monotonic()))[0], "Chromium does not answer"
            self._rest += os.read(self._from, 65536)
        first, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        return message

    def sleep(self) -> None:
        """The lid is shut: nothing of this browser runs any more, and no connection of it closes."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def wake(self) -> None:
        os.killpg(self._process.pid, signal.SIGCONT)

    def open(self, url: str, before: str = "") -> OwnTab:
        """A tab in front of the others. `before`: a script that runs before the page's own."""
        target = self.say("Target.createTarget", url="about:blank")["targetId"]
        tab = OwnTab(self, target, self.say("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        tab.say("Page.enable")  # else the script is forgotten
        tab.say("Page.addScriptToEvaluateOnNewDocument", source=before)
        tab.say("Page.navigate", url=url)
        tab.becomes("location.href !== 'about:blank' && document.readyState === 'complete'")
        return tab


class OwnTab:
    """One tab, as it is: hidden, throttled and frozen as any user's."""

    def __init__(self, browser: OwnChromium, target: str, session: str) -> None:
        self.browser, self.target, self.session = browser, target, session

    def say(self, method: str, /, **parameters: Any) -> Any:
        return self.browser.say(method, self.session, **parameters)

    def front(self) -> None:
        self.browser.say("Target.activateTarget", targetId=self.target)

    def value(self, expression: str) -> Any:
        """What the expression is, or will be once its promise has come."""
        result = self.say("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def sees(self, state: str) -> None:
        """Wait until the banner shows the state."""
        self.becomes(f"document.querySelector('form-lock').getAttribute('state') === {json.dumps(state)}")

    def lock(self) -> None:
        self.sees("free")
        self.value("document.querySelector('form-lock').shadowRoot.querySelector('button').click()")
        self.sees("mine")

    @property
    def token(self) -> str:
        return str(self.value("document.querySelector('[name=form_lock_token]').value"))

    def becomes(self, expression: str, within_s: float = WITHIN_S) -> None:
        """Wait until the expression is true. Asked from outside: the page's own timers may be asleep."""
        limit = time.monotonic() + within_s
        while not self.value(expression):
            assert time.monotonic() < limit, f"not within {within_s} s: {expression}"
            time.sleep(0.05)
