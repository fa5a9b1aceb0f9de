"""How a page looks, wide and narrow, light and dark: a checker finds nothing wrong, nothing sticks out, people get pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Page

from tests.support.node import ROOT

OUTSIDE = ROOT / "tests/browser/outside.js"
AXE = ROOT / "web/formlock/node_modules/axe-core/axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTHS = (1280, 390)
# What is left of 1280 pixels when a page is shown at 200 % and at 400 %.
ENLARGED = (640, 320)
# A telephone's width, and that of the narrowest there is.
NARROW = (390, 320)


def found(page: Page, *, scripts: bool = True) -> list[dict[str, Any]]:
    """What axe finds wrong on the page, each with the elements it is about. `scripts`: whether its browser runs any."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    if not scripts:
        # What a page without scripts evaluates does run, but no timer ever fires there, and nothing is loaded.
        page.evaluate("window.setTimeout = (go) => { Promise.resolve().then(go); return 0; }; null")
    violations: list[dict[str, Any]] = page.evaluate(
        "([tags, preload]) => axe.run(document, {runOnly: tags, preload}).then(({violations}) =>"
        " violations.map(({id, nodes}) => ({id, nodes: nodes.map(({html, failureSummary}) => [html, failureSummary])})))",
        [RULES, scripts],
    )
    return violations


def outside(page: Page) -> list[str]:
    """What of banners sticks out, is cut or lies over something else."""
    wrong: list[str] = page.evaluate(OUTSIDE.read_text(encoding="utf-8"))
    return wrong


@dataclass
class Looks:
    """Looks at pages, and keeps pictures of them in a folder."""

    folder: Path

    def at(self, page: Page, name: str, *, scripts: bool = True) -> None:
        """axe finds nothing in the page as it is now, in any width and either scheme, and nothing sticks out, enlarged neither."""
        page.wait_for_load_state()  # the elements of a page may be there before its style sheet is
        before = page.viewport_size
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 900})
                assert not (wrong := found(page, scripts=scripts)), f"{name}, {scheme}, {width}: {wrong}"
                page.screenshot(path=self.folder / f"{name}-{scheme}-{width}.png", full_page=True)
        for width in (*WIDTHS, *ENLARGED):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} sticks out at {width}"
        page.screenshot(path=self.folder / f"{name}-{ENLARGED[-1]}.png", full_page=True)
        if before:
            page.set_viewport_size(before)
