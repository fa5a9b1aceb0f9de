"""A form that its page saves by a script: the example of docs/how-to/save-with-fetch.md, run as it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import APIResponse, Route, expect

from tests.browser.conftest import Tab, Visitor
from tests.browser.shown import started
from tests.docs.markdown import blocks
from tests.docs.test_examples import with_addresses
from tests.support.node import ROOT, Node

pytestmark = [pytest.mark.browser, pytest.mark.node]

SHOWN = {block.language: block.text for block in blocks(ROOT / "docs/how-to/save-with-fetch.md")}
FILES = {"html": "invoice.html", "js": "invoice.js", "python": "save_with_fetch.py"}
KEY = ".crossbar/credentials/receipts"


@pytest.fixture
def application(node: Node, tmp_path: Path, form: str) -> Iterator[str]:
    """The page's three files, with this node's addresses and a form of the test's own."""
    for language, file in FILES.items():
        text = SHOWN[language].replace(KEY, str(node.folder / "credentials/receipts")).replace("com.example.form.invoice.42", form)
        head = (
            '<!doctype html><html lang="en"><title>Invoice 42</title><link rel="icon" href="data:,">' if language == "html" else ""
        )
        (tmp_path / file).write_text(head + with_addresses(text, node), encoding="utf-8")
    with started(SHOWN["sh"], tmp_path) as url:
        yield url


@pytest.fixture
def two(page_as: Visitor, application: str, form: str) -> tuple[Tab, Tab]:
    """Ann edits, and Bob looks on."""
    ann, bob = (page_as.watch(page_as.context().new_page(), form) for _ in range(2))
    for tab, user in ((ann, "ann"), (bob, "bob")):
        tab.page.goto(f"{application}invoice/42?user={user}")
        tab.sees("free")
    with ann.page.expect_response("**/claim?user=ann") as claimed:
        ann.lock()
    assert claimed.value.json() == {"amount": "120.00", "note": "", "version": 1}
    bob.sees("locked", "ann is editing.")
    return ann, bob


def save(tab: Tab) -> None:
    tab.page.get_by_role("button", name="Save", exact=True).click()


def said(tab: Tab, text: str) -> None:
    expect(tab.page.locator("output")).to_have_text(text)


class Held:
    """Ann's first save is on its way for as long as the test wants; later ones go through. `answered`: it has reached the
    application, and its answer is what is on its way."""

    def __init__(self, tab: Tab, *, answered: bool = False) -> None:
        self._answered = answered
        self._routes: list[Route] = []
        self._answers: list[APIResponse] = []
        self._page = tab.page
        self._page.route("**/invoice/42?user=ann", self._serve)

    def _serve(self, route: Route) -> None:
        if self._routes:
            route.continue_()
            return
        self._routes.append(route)
        if self._answered:
            self._answers.append(route.fetch())

    def go(self) -> None:
        # The news of a save may be faster than its answer, and a request is told of before it is given to us.
        while not (self._answers if self._answered else self._routes):
            self._page.wait_for_timeout(10)
        if self._answered:
            self._routes[0].fulfill(response=self._answers[0])
        else:
            self._routes[0].continue_()


def ask(tab: Tab, script: str) -> Any:
    """What the script, a function's body, says of the page's `binding`. The package comes from the node, not the page's host."""
    return tab.page.evaluate(
        "async () => { const { bindingOf } = await import(document.querySelector('script').src);"
        f" const binding = bindingOf(document.forms[0]); {script} }}"
    )


def dirty(tab: Tab) -> bool:
    found: bool = ask(tab, "return binding.dirty")
    return found


def test_a_save_by_a_script(two: tuple[Tab, Tab]) -> None:
    """U13, U21: what is not mine is not sent. What is saved counts as the record, ends the lock without a new page, and is everybody
    else's news."""
    ann, bob = two
    sent: list[str] = []
    bob.page.on("request", lambda request: sent.append(request.url))
    bob.page.locator("form").evaluate("form => form.requestSubmit()")
    bob.sees("locked", "ann is editing.")
    said(bob, "")
    assert not sent

    ann.page.evaluate("window.same = true")
    ann.field("amount").fill("140.00")
    save(ann)
    said(ann, "Saved.")
    ann.sees("free")
    expect(ann.field("version")).to_have_value("2")
    expect(bob.field("amount")).to_have_value("140.00")
    expect(bob.field("version")).to_have_value("2")
    bob.sees("free")
    assert ann.page.evaluate("window.same") is True

    bob.lock()
    bob.field("note").fill("paid")
    save(bob)
    said(bob, "Saved.")
    expect(ann.field("note")).to_have_value("paid")


def test_typed_while_it_was_on_its_way(two: tuple[Tab, Tab]) -> None:
    """U30: whoever goes on typing while a save is on its way goes on editing, and the next save has that, over the right version."""
    ann, bob = two
    held = Held(ann)
    ann.field("amount").fill("140.00")
    with ann.page.expect_request("**/invoice/42?user=ann"):
        save(ann)
    ann.field("note").fill("half a sentence")
    held.go()
    said(ann, "Saved.")
    ann.sees("mine")
    expect(bob.field("amount")).to_have_value("140.00")
    bob.sees("locked", "ann is editing.")
    assert dirty(ann)
    expect(ann.field("note")).to_have_value("half a sentence")
    with ann.page.expect_response("**/invoice/42?user=ann") as answer:
        save(ann)
    assert answer.value.json() == {"version": 3}
    ann.sees("free")
    assert not dirty(ann)
    expect(bob.field("note")).to_have_value("half a sentence")


def test_the_update_is_faster_than_the_answer(two: tuple[Tab, Tab]) -> None:
    """U30: the news of one's own save may come before its answer: what was typed since is unsaved all the same."""
    ann, bob = two
    held = Held(ann, answered=True)
    ask(
        ann,
        "window.heard = new Promise((go) => binding.lock.addEventListener('saved', () => go(true), { once: true })); return null",
    )
    ann.field("amount").fill("140.00")
    with ann.page.expect_request("**/invoice/42?user=ann"):
        save(ann)
    expect(bob.field("amount")).to_have_value("140.00")
    assert ann.page.evaluate("window.heard")
    ann.field("note").fill("half a sentence")
    held.go()
    said(ann, "Saved.")
    ann.sees("mine")
    assert dirty(ann)
    expect(ann.field("version")).to_have_value("2")


def test_a_save_that_is_late(two: tuple[Tab, Tab]) -> None:
    """U14, U19: a save of whoever has lost the form meanwhile is refused, though its receipt is still good, and the text stays."""
    ann, bob = two
    held = Held(ann)
    ann.field("note").fill("half a sentence")
    with ann.page.expect_request("**/invoice/42?user=ann"):
        save(ann)
    bob.press("Take over")
    bob.page.keyboard.press("Enter")
    bob.sees("mine")
    ann.sees("lost", "bob")
    held.go()
    said(ann, "Not saved: somebody else has had this invoice since.")
    expect(ann.field("note")).to_have_value("half a sentence")
    ann.excuse("status of 409")
    bob.field("amount").fill("150.00")
    save(bob)
    said(bob, "Saved.")
    expect(bob.field("note")).to_have_value("")
