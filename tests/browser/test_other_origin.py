"""The README's two lines in an application of another origin: its own server, its own port."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Tab, Visitor, workers_of
from tests.support.node import Node

pytestmark = [pytest.mark.browser, pytest.mark.node]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def application(node: Node, tmp_path: Path, form: str) -> Iterator[str]:
    """An application with one form, on a port of its own."""
    (tmp_path / "index.html").write_text(
        "<!doctype html><html lang=en><title>An application</title><link rel=icon href=data:,>"
        f'<script type="module" src="{node.url}formlock/formlock.js"></script>'
        f'<form form-lock="{form}"><label>Amount <input name="amount" value="1"></label></form>'
    )
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_two_lines_beside_an_application(page_as: Visitor, application: str, form: str) -> None:
    """A page of the application's own server loads the module from the node, connects to it, and has a worker's ticks."""
    tabs: list[Tab] = []
    for _ in range(2):
        tab = page_as.watch(page_as.context().new_page(), form)
        tab.page.goto(application)
        tabs.append(tab)
    first, second = tabs
    banner = first.page.locator("form-lock")
    expect(banner).to_have_attribute("state", "free")
    assert len(workers_of(first.page)) == 1
    banner.get_by_role("button", name="Edit", exact=True).click()
    expect(banner).to_have_attribute("state", "mine")
    expect(second.page.locator("form-lock")).to_have_attribute("state", "locked")
