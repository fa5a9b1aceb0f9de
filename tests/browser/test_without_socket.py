"""Pages whose connection is away, or whose browser runs no script."""

from __future__ import annotations

import pytest
from playwright.sync_api import WebSocketRoute, expect

from tests.browser.conftest import Visitor

pytestmark = [pytest.mark.node, pytest.mark.browser]

SHUT = (
    '<form form-lock="{form}" required-lock inert><form-lock for="{form}"></form-lock>'
    '<input name="amount" value="1"><button>Save</button></form>'
)


def test_the_last_goodbye(page_as: Visitor, form: str) -> None:
    """A page that is closed while its connection is away gives its form back by plain HTTP: nobody waits for the grace of 30 s."""
    connections: list[WebSocketRoute] = []
    cut = False

    def connect(connection: WebSocketRoute) -> None:
        if cut:
            connection.close()
        else:
            connections.append(connection)
            connection.connect_to_server()

    context = page_as.context()
    context.route_web_socket("**/ws", connect)
    markup = f'<form form-lock="{form}"><input name="amount" value="1"></form>'
    ann, bob = page_as.html("ann", "Ann", form, markup, context=context), page_as.html("bob", "Bob", form, markup)
    ann.lock()
    bob.sees("locked", "Ann")
    cut = True
    for connection in connections:
        connection.close()
    ann.sees("stale")
    bob.sees("locked", "was editing")
    ann.page.close(run_before_unload=False)
    bob.sees("free")


def test_required_lock(page_as: Visitor, form: str) -> None:
    """A form that the server has shut is usable as soon as the lock's script has it, and only for whoever has the lock."""
    ann, bob = page_as.html("ann", "Ann", form, SHUT.format(form=form)), page_as.html("bob", "Bob", form, SHUT.format(form=form))
    ann.lock()
    expect(ann.field("amount")).to_be_editable()
    ann.field("amount").fill("2")
    bob.sees("locked", "Ann")
    expect(bob.field("amount")).not_to_be_editable()
    # What morphs a page brings the server's attribute back: it is taken away again, and the fields are as before.
    ann.page.locator("form").evaluate("form => { form.inert = true; }")
    expect(ann.page.locator("form[inert]")).to_have_count(0)
    expect(ann.field("amount")).to_be_editable()


def test_required_lock_without_script(page_as: Visitor, form: str) -> None:
    """Without JavaScript it stays shut: nothing in it can be focused, so nothing can be typed or sent."""
    tab = page_as.html("ann", "Ann", form, SHUT.format(form=form), context=page_as.context(java_script_enabled=False))
    for _ in range(3):
        tab.page.keyboard.press("Tab")
        tab.page.keyboard.type("2")
    tab.page.keyboard.press("Enter")
    assert tab.page.url.endswith("test.html")
    expect(tab.field("amount")).to_have_value("1")
