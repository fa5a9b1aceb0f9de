"""The example pages of examples/frameworks, built as their README says, in a real Chromium: React, Stimulus, htmx, Turbo."""

from __future__ import annotations

import http.server
import mimetypes
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import EXAMPLE_FORM, Open, Tab, Visitor
from tests.support.node import Node

pytestmark = [pytest.mark.node, pytest.mark.browser]


def says(page: Page, text: str) -> Locator:
    """Wait until the page's own banner says it."""
    status = page.locator("[role=status]:visible")
    expect(status).to_contain_text(text)
    return status


def press(page: Page, label: str) -> None:
    page.get_by_role("button", name=label, exact=True).click()


# -- React


def test_react(example: Open) -> None:
    """Two people and a component: who edits is shown, the fields follow the lock, and what is sent has token and receipt in it."""
    ann, bob = example("ann", "react").page, example("bob", "react").page
    says(bob, "Nobody is editing")
    says(ann, "Nobody is editing")
    expect(ann.get_by_label("Amount")).not_to_be_editable()
    press(ann, "Edit")
    says(ann, "You are editing")
    says(bob, "Ann is editing")
    expect(bob.get_by_label("Amount")).not_to_be_editable()
    ann.get_by_label("Amount").fill("99.00")
    press(bob, "Wait")
    says(bob, "you are waiting")
    # The question to the holder's page, which comes with it, renders the component again; what was typed stays.
    expect(ann.get_by_label("Amount")).to_have_value("99.00")
    press(ann, "Save")
    expect(ann.locator("output")).to_contain_text('"amount":"99.00","form_lock_token":')
    expect(ann.locator("output")).not_to_contain_text('"form_lock_receipt":null')
    says(bob, "You are editing")
    expect(bob.get_by_label("Amount")).to_be_editable()


def test_react_component_goes(example: Open) -> None:
    """When the last component with a form goes, its lock is given back; when it comes again, it shows what is so now. In StrictMode,
    which mounts everything twice, nothing is lost by that."""
    ann, bob = example("ann", "react").page, example("bob", "react").page
    says(ann, "Nobody is editing")
    press(ann, "Edit")
    says(bob, "Ann is editing")
    press(ann, "Close")
    says(bob, "Nobody is editing")
    press(bob, "Edit")
    says(bob, "You are editing")
    press(ann, "Open")
    says(ann, "Bob is editing")
    press(bob, "Done")
    says(ann, "Nobody is editing")


# -- Stimulus


def test_stimulus(example: Open) -> None:
    """The page's own mark-up shows the state; only whoever has the form can send it, and only then it carries the receipt."""
    ann, bob = example("ann", "stimulus").page, example("bob", "stimulus").page
    says(ann, "Nobody is editing")
    receipt = ann.locator("[name=form_lock_receipt]")
    expect(receipt).to_have_value("")
    press(ann, "Edit")
    says(ann, "You are editing")
    expect(receipt).not_to_have_value("")
    says(bob, "Ann is editing")
    expect(bob.get_by_label("Amount")).not_to_be_editable()
    bob.locator("form").evaluate("form => form.requestSubmit()")
    says(bob, "Ann is editing")
    assert bob.url.endswith("?user=bob"), "a form that is not ours was sent"
    press(ann, "Done")
    says(ann, "Nobody is editing")
    expect(receipt).to_have_value("")
    says(bob, "Nobody is editing")


def test_stimulus_after_a_sleep(example: Open) -> None:
    """A form that is sent as the first thing after a sleep is stopped: nobody knows yet whether it is still ours (U7)."""
    ann = example("ann", "stimulus")
    says(ann.page, "Nobody is editing")
    press(ann.page, "Edit")
    says(ann.page, "You are editing")
    sent = ann.tell(
        "const { clock } = client; client.clock = () => clock() + 60_000;"
        " let sent = null; window.addEventListener('submit', (event) => { sent = !event.defaultPrevented; event.preventDefault() });"
        " document.forms[0].requestSubmit(); return sent"
    )
    assert sent is None, "it went past the guard"


def test_stimulus_element_goes(example: Open) -> None:
    """An element that is moved keeps its lock, one that is removed gives it back."""
    ann, bob = example("ann", "stimulus").page, example("bob", "stimulus").page
    says(ann, "Nobody is editing")
    press(ann, "Edit")
    says(bob, "Ann is editing")
    # The others hear of it before she has her answer.
    says(ann, "You are editing")
    token = ann.locator("[name=form_lock_token]").input_value()
    ann.evaluate("() => document.body.append(document.querySelector('form'))")
    says(ann, "You are editing")
    expect(ann.locator("[name=form_lock_token]")).to_have_value(token)
    ann.evaluate("() => document.querySelector('form').remove()")
    says(bob, "Nobody is editing")


# -- htmx


def test_htmx(example: Open) -> None:
    """A form that is fetched later is bound; while others edit it can't be sent; when its answer takes its place, it is free."""
    ann, bob = example("ann", "htmx"), example("bob", "htmx")
    for tab in (ann, bob):
        press(tab.page, "Open invoice 42")
        tab.sees("free")
    ann.press("Edit")
    ann.sees("mine")
    bob.sees("locked", "Ann")
    bob.page.locator("form").evaluate("form => form.requestSubmit()")
    bob.sees("locked", "Ann")
    token = ann.token
    ann.field("amount").fill("much")
    ann.excuse("status of 422")
    press(ann.page, "Save")
    # The server's form again, in the place of the other one: it goes on with its lock.
    expect(ann.field("amount")).to_have_value("120.00")
    ann.sees("mine")
    assert ann.token == token
    ann.field("amount").fill("99.00")
    press(ann.page, "Save")
    says(ann.page, "Saved.")
    bob.sees("free")


def refresh(page: Page) -> None:
    """Wait until htmx has taken in what it fetched."""
    page.evaluate(
        "window.settled = new Promise((done) =>"
        " document.addEventListener('htmx:finally:request', () => done(null), { once: true })); null"
    )
    press(page, "Refresh")
    page.evaluate("window.settled")


def test_htmx_morphs(example: Open) -> None:
    """Morphing takes our marks out of a form that is shut: it is shut again at once. One that is open keeps lock and text."""
    ann, bob = example("ann", "htmx"), example("bob", "htmx")
    for tab in (ann, bob):
        press(tab.page, "Open invoice 42")
        tab.sees("free")
    ann.press("Edit")
    ann.sees("mine")
    bob.sees("locked", "Ann")
    bob.page.evaluate(
        "() => { window.opened = 0; new MutationObserver(() => setTimeout(() => {"
        " if (!document.querySelector('[name=amount]').readOnly) window.opened += 1; }))"
        ".observe(document.querySelector('form'), {subtree: true, attributes: true}); }"
    )
    refresh(bob.page)
    bob.sees("locked", "Ann")
    expect(bob.field("amount")).not_to_be_editable()
    assert bob.page.evaluate("() => window.opened") == 0
    ann.field("amount").fill("99.00")
    token = ann.token
    refresh(ann.page)
    ann.sees("mine")
    expect(ann.field("amount")).to_have_value("99.00")
    expect(ann.field("amount")).to_be_editable()
    assert ann.token == token


def test_nothing_but_our_marks_goes(page_as: Visitor, form: str) -> None:
    """A morph that changes nothing else than to take our marks away, for the server's page has none, leaves no field open and
    no banner without its state."""
    fields = '<input name="amount" value="1"><select name="status"></select>'
    markup = f'<form form-lock="{form}"><form-lock for="{form}"></form-lock>{fields}</form>'
    ann, bob = page_as.html("ann", "Ann", form, markup), page_as.html("bob", "Bob", form, markup)
    ann.lock()
    bob.sees("locked", "Ann")
    bob.page.locator("form").evaluate(
        "form => { for (const element of [form, ...form.querySelectorAll('*')])"
        " for (const name of ['data-form-lock', 'data-form-lock-shut', 'readonly', 'inert', 'state'])"
        " element.removeAttribute(name); }"
    )
    expect(bob.field("amount")).not_to_be_editable()
    expect(bob.field("status")).to_have_attribute("inert", "")
    bob.sees("locked", "Ann")


# -- Turbo


def test_turbo_visits(example: Open) -> None:
    """A visit brings the form, leaving the page by another visit gives the lock back, and the way back, from Turbo's cache, shows
    what is so by then, with no receipt of before."""
    ann, bob = example("ann", "turbo"), example("bob", "turbo", "form.html")
    ann.page.get_by_role("link", name="Invoice 42").click()
    ann.lock()
    bob.sees("locked", "Ann")
    ann.page.get_by_role("link", name="All invoices").click()
    expect(ann.page.get_by_role("heading", name="Invoices")).to_be_visible()
    bob.lock()
    ann.page.evaluate("() => history.back()")
    ann.sees("locked", "Bob")
    expect(ann.field("form_lock_receipt")).to_have_count(0)
    expect(ann.field("amount")).not_to_be_editable()
    expect(ann.banner).to_have_count(1)


def test_turbo_morphs(example: Open) -> None:
    """A page refresh by morphing keeps the lock and the text of whoever edits, and the fields of everybody else shut."""
    ann, bob = example("ann", "turbo", "form.html"), example("bob", "turbo", "form.html")
    ann.lock()
    bob.sees("locked", "Ann")
    ann.field("amount").fill("99.00")
    token = ann.token
    for tab in (ann, bob):
        tab.page.evaluate(
            "() => new Promise((done) => { document.addEventListener('turbo:render', done, {once: true});"
            " Turbo.session.refresh(location.href); }).then(() => undefined)"
        )
    ann.sees("mine")
    expect(ann.field("amount")).to_have_value("99.00")
    assert ann.token == token
    bob.sees("locked", "Ann")
    expect(bob.field("amount")).not_to_be_editable()


def test_turbo_mistakes(example: Open) -> None:
    """The form that Turbo shows in place of one with mistakes in it goes on with its lock; one that is not ours is not sent."""
    ann, bob = example("ann", "turbo", "form.html"), example("bob", "turbo", "form.html")
    ann.lock()
    token = ann.token
    bob.sees("locked", "Ann")
    bob.page.locator("form").evaluate("form => form.requestSubmit()")
    bob.sees("locked", "Ann")
    ann.field("amount").fill("much")
    ann.excuse("status of 422")
    with ann.page.expect_response(lambda answer: answer.status == 422):
        press(ann.page, "Save")
    expect(ann.field("amount")).to_have_value("120.00")
    ann.sees("mine")
    assert ann.token == token
    ann.page.get_by_role("link", name="All invoices").click()
    bob.sees("free")


@pytest.fixture
def application(built: Path, node: Node, form: str) -> Iterator[str]:
    """Turbo's pages from a server of their own, since Playwright answers no request that a redirect makes: a save leads (303) to the
    page that it names, `next.html` with the form of another record or the same one again."""

    class Pages(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.partition("?")[0].strip("/")
            if name in ("page.css", "favicon.svg"):
                self._answer(200, mimetypes.guess_type(name)[0] or "", "")
            else:
                content = (built / "turbo" / name.replace("next.html", "form.html")).read_text()
                content = content.replace('"/formlock/', f'"{node.url}formlock/').replace('action="index.html"', f'action="{name}"')
                content = content.replace(EXAMPLE_FORM, f"{form}-next" if name == "next.html" else form)
                self._answer(200, mimetypes.guess_type(name)[0] or "", content)

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["content-length"])).decode()
            self._answer(303, "text/html", "", location="form.html" if "stay" in sent else "next.html")

        def _answer(self, status: int, kind: str, content: str, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"content-type": kind, "content-length": str(len(content.encode())), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_turbo_redirects(page_as: Visitor, application: str, form: str) -> None:
    """A save that is answered by 303, as Turbo wants it: the page is not loaded anew, the lock has ended, and the form of the page
    that it led to works. Where it leads to the same form again, the tab goes on editing that."""
    ann, bob = (page_as.watch(page_as.context().new_page(), form) for _ in range(2))
    ann.page.goto(f"{application}form.html?user=ann")
    bob.page.goto(f"{application}form.html?user=bob")
    ann.page.evaluate("window.same = true")
    ann.lock()
    bob.sees("locked", "Ann")
    token = ann.token
    ann.field("amount").fill("stay")
    with ann.page.expect_response(lambda answer: answer.status == 303):
        press(ann.page, "Save")
    expect(ann.field("amount")).to_have_value("120.00")
    ann.sees("mine")
    assert ann.token == token

    ann.field("amount").fill("99.00")
    press(ann.page, "Save")
    other = Tab(ann.page, f"{form}-next")
    other.sees("free")
    assert ann.page.url.endswith("/next.html")
    expect(other.field("form_lock_receipt")).to_have_count(0)
    bob.lock()
    other.lock()
    other.field("amount").fill("98.00")
    assert int(bob.token) > int(token)
    assert ann.page.evaluate("window.same") is True
