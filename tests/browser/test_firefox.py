"""The same in Firefox, where it is there: another engine's modules, workers, locks and style sheets."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from formlock.policy import Policy
from tests.browser.conftest import Visitor
from tests.browser.own_firefox import OwnFirefox
from tests.support.node import Node

pytestmark = [pytest.mark.browser, pytest.mark.node]

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")


CLICK = "document.querySelector('form-lock').shadowRoot.querySelector('button').click()"


@pytest.fixture
def firefox(tmp_path: Path) -> Iterator[OwnFirefox]:
    if FIREFOX is None:
        pytest.skip("Firefox is not installed")
    with OwnFirefox(FIREFOX, tmp_path / "firefox") as running:
        yield running


def test_firefox_and_chromium_side_by_side(node: Node, firefox: OwnFirefox, page_as: Visitor) -> None:
    """Ann edits in Firefox, Bob sees it in Chromium; she reloads and still has it, and when she is done it is his."""
    firefox.goto(f"{node.url}?user=ann")
    firefox.sees("free")
    bob = page_as("bob")
    bob.sees("free")
    firefox.value(CLICK)
    firefox.sees("mine")
    bob.sees("locked", "Ann Weber is editing.")
    token = firefox.value("document.querySelector('[name=form_lock_token]').value")
    assert firefox.value("document.querySelector('[name=amount]').readOnly") is False
    assert firefox.value("document.querySelector('form-lock').shadowRoot.adoptedStyleSheets.length") > 0
    firefox.reload()
    firefox.sees("mine")
    assert firefox.value("document.querySelector('[name=form_lock_token]').value") == token
    firefox.value(CLICK)
    firefox.sees("free")
    bob.lock()
    firefox.sees("locked")
    assert firefox.value("document.querySelector('[name=amount]').readOnly") is True
    bob.press("Done")
    firefox.sees("free")


@pytest.mark.timeout(300)  # three graces, at the worst
def test_leaving_in_firefox_frees_the_form(node: Node, firefox: OwnFirefox, page_as: Visitor) -> None:
    """U1: whoever goes to another page frees the form, each time: Firefox mostly closes the connection before the page's last word
    is out, and what it says by HTTP gets through, seen 5 times of 5. At the latest it is the grace of a lost connection."""
    bob = page_as("bob")
    for _ in range(3):
        firefox.goto(f"{node.url}?user=ann")
        firefox.sees("free")
        firefox.value(CLICK)
        firefox.sees("mine")
        bob.sees("locked")
        firefox.goto(f"{node.url}readyz")
        expect(bob.banner).to_have_attribute("state", "free", timeout=2 * Policy().grace_ms)


def test_closing_a_tab_in_firefox_frees_within_the_grace(node: Node, firefox: OwnFirefox, page_as: Visitor) -> None:
    """U1: a tab that is closed in Firefox sometimes takes its connection and both requests with it: then the grace ends the lock."""
    bob = page_as("bob")
    firefox.open_tab()
    firefox.goto(f"{node.url}?user=ann")
    firefox.sees("free")
    firefox.value(CLICK)
    firefox.sees("mine")
    bob.sees("locked")
    firefox.close_tab()
    expect(bob.banner).to_have_attribute("state", "free", timeout=2 * Policy().grace_ms)
