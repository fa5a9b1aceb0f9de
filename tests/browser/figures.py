"""How soon pages tell the truth, in a real Chromium on a node of its own: `python -m tests.browser.figures [ROUNDS] [FAULT ...]`.

Figures for docs/explanation/browser-truth.md. From A's click to B's banner: 200 times. After each fault: from the fault to shut
fields, and from its end to open ones, as the pages themselves note it by the machine's clock. The end of a killed node is the
command that starts it again. Everything is as it ships: no limit and no policy is another one.
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM, Tab, Visitor
from tests.browser.openings import NOTE
from tests.browser.own_chromium import OwnChromium
from tests.browser.proxy import Proxy
from tests.support.node import Node

CLICKS = 200
WITHIN_MS = 60_000
FORM = "com.example.form.figures."


def now() -> float:
    """The clock that the pages note by, in milliseconds."""
    return time.time() * 1000


def markup(form: str) -> str:
    return f'<form form-lock="{form}"><label>A <input name="a"></label></form>'


def sees(tab: Tab, state: str) -> None:
    expect(tab.banner).to_have_attribute("state", state, timeout=WITHIN_MS)


def changed(openings: list[tuple[int, bool]], since: float, is_open: bool) -> float:
    """Milliseconds from `since` until the fields were open, or shut."""
    return next(when for when, opened in openings if when >= since and opened is is_open) - since


class Figures:
    """One node, one Chromium."""

    def __init__(self, node: Node, browser: Browser) -> None:
        self.node, self.browser = node, browser
        self.count = 0

    @contextmanager
    def editing(self, url: str | None = None) -> Iterator[Tab]:
        """Ann, who has just got a form of her own."""
        self.count += 1
        visitor = Visitor(self.browser, url or self.node.url)
        context = visitor.context()
        context.add_init_script(NOTE)
        form = f"{FORM}{self.count}"
        tab = visitor.html("ann", "Ann", form, markup(form), context=context)
        sees(tab, "free")
        tab.press("Edit")
        sees(tab, "mine")
        yield tab
        context.close()

    def clicks(self) -> list[float]:
        """From Ann's click on Edit to Bob's changed banner."""
        form = f"{FORM}clicks"
        visitor = Visitor(self.browser, self.node.url)
        ann, bob = (visitor.html(name.lower(), name, form, markup(form)) for name in ("Ann", "Bob"))
        watch = (
            "window.seen = new Promise((resolve) => { const banner = document.querySelector('form-lock');"
            " const watcher = new MutationObserver(() => { if (banner.getAttribute('state') === 'locked') { watcher.disconnect();"
            " resolve(performance.timeOrigin + performance.now()) } }); watcher.observe(banner, { attributes: true }) }); null"
        )
        click = (
            "(() => { const at = performance.timeOrigin + performance.now();"
            " document.querySelector('form-lock').shadowRoot.querySelector('button').click(); return at })()"
        )
        found = []
        for _ in range(CLICKS):
            sees(bob, "free")
            sees(ann, "free")
            bob.page.evaluate(watch)
            at = ann.page.evaluate(click)
            found.append(bob.page.evaluate("window.seen") - at)
            sees(ann, "mine")
            ann.press("Done")
        for context in visitor.contexts:
            context.close()
        return found

    def fault(self, tab: Tab, begin: Callable[[], object], end: Callable[[], object]) -> tuple[float, float]:
        """Until shut, and until open again after its end."""
        began = now()
        begin()
        expect(tab.field("a")).not_to_be_editable(timeout=WITHIN_MS)
        ended = now()
        end()
        sees(tab, "mine")
        openings = tab.page.evaluate("window.openings")
        return changed(openings, began, False), changed(openings, ended, True)

    def offline(self) -> tuple[float, float]:
        with self.editing() as ann:
            offline = ann.page.context.set_offline
            return self.fault(ann, lambda: offline(True), lambda: offline(False))

    def black_hole(self) -> tuple[float, float]:
        with Proxy(self.node.port) as proxy, self.editing(proxy.url) as ann:
            return self.fault(ann, lambda: setattr(proxy, "hole", True), lambda: setattr(proxy, "hole", False))

    def node_killed(self) -> tuple[float, float]:
        with self.editing() as ann:
            return self.fault(ann, self.node.kill, self.node.start)

    def worker_killed(self) -> tuple[float, float]:
        """The lock worker alone. The development node ends with it, as it is meant to."""

        def again() -> None:
            self.node.stop()
            self.node.start()

        with self.editing() as ann:
            return self.fault(ann, lambda: os.kill(self.node.pids()["locks"], signal.SIGKILL), again)

    def asleep(self, frozen: bool) -> tuple[float, float]:
        """The machine, or only the tab, stops for 15 s: from waking up to shut fields, and to open ones."""
        arguments = [*ARGUMENTS, "--headless=new"]
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
            OwnChromium(CHROMIUM, arguments, Path(profile)) as chromium,
        ):
            ann = chromium.open(f"{self.node.url}?user=ann", NOTE)
            ann.lock()
            if frozen:
                chromium.open("about:blank#other")
                ann.say("Page.setWebLifecycleState", state="frozen")
            else:
                chromium.sleep()
            time.sleep(15)
            woke = now()
            if frozen:
                ann.say("Page.setWebLifecycleState", state="active")
                ann.front()
            else:
                chromium.wake()
            ann.becomes("window.openings.filter(([, open]) => open).length === 2 && window.openings.at(-1)[1]")
            openings = ann.value("window.openings")
            ann.value("import('/formlock/formlock.js').then(({ pageClient }) => pageClient().leave())")
            shut = changed(openings, woke, False)
            return shut, changed(openings, woke + shut, True) + shut


def main(rounds: int, wanted: list[str]) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, sync_playwright() as playwright:
        node = Node(Path(folder)).start()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            figures = Figures(node, browser)
            if not wanted:
                clicks = sorted(figures.clicks())
                most = clicks[int(len(clicks) * 0.95)]
                tell(f"click to banner, ms: median {statistics.median(clicks):.0f}, 95 % {most:.0f}, n={len(clicks)}")
            faults: dict[str, Callable[[], tuple[float, float]]] = {
                "offline": figures.offline,
                "black hole": figures.black_hole,
                "node killed": figures.node_killed,
                "lock worker killed": figures.worker_killed,
                "tab frozen 15 s": lambda: figures.asleep(True),
                "machine asleep 15 s": lambda: figures.asleep(False),
            }
            for name, fault in faults.items():
                for _ in range(rounds if not wanted or name in wanted else 0):
                    shut, opened = fault()
                    tell(f"{name}: shut after {shut / 1000:.2f} s, open again after {opened / 1000:.2f} s")
        finally:
            browser.close()
            node.stop()


def tell(line: str) -> None:
    print(f"{line} (load {os.getloadavg()[0]:.1f})", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3, sys.argv[2:])
