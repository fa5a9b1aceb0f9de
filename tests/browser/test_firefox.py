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
    assert firefox.value("document.querySelector('form-lock').shadowRoot.adoptedStyleSheets.length") == 1
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


def test_leaving_in_firefox_frees_within_the_grace(node: Node, firefox: OwnFirefox, page_as: Visitor) -> None:
    """U1: whoever goes to another page frees the form. Firefox mostly closes the connection before the page's last word is out: then
    it is the grace of a lost connection that ends the lock."""
    firefox.goto(f"{node.url}?user=ann")
    firefox.sees("free")
    firefox.value(CLICK)
    firefox.sees("mine")
    bob = page_as("bob")
    bob.sees("locked")
    firefox.goto("about:blank")
    expect(bob.banner).to_have_attribute("state", "free", timeout=2 * Policy().grace_ms)
