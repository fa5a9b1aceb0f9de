"""Fixtures: a real Chromium, and pages opened as somebody. A page that writes an error to its console fails its test."""

from __future__ import annotations

import itertools
import mimetypes
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Playwright,
    Route,
    Worker,
    expect,
    sync_playwright,
)

from tests.browser.looks import Looks
from tests.support import needs
from tests.support.node import ROOT, Node

# It guards against waiting for ever, on a busy machine too, and is less than the grace of a lost connection (30 s): what is free at
# once is told from what is free after that.
WITHIN_MS = 20_000
expect.set_options(timeout=WITHIN_MS)

CHROMIUM = os.environ.get("FORMLOCK_CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CSP = "default-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'self'"
_numbers = itertools.count(1)
# Of the example pages of examples/frameworks.
EXAMPLE_FORM = "com.example.form.invoice.42"
NONCE = "bm9uY2U"


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Not for the session: it leaves an event loop running, and what comes after this file may want one of its own."""
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=needs(CHROMIUM), args=ARGUMENTS)
    yield browser
    browser.close()


@dataclass
class Tab:
    """One browser tab of somebody, seen from the form it shows."""

    page: Page
    form: str = "com.example.form.invoice.42"
    errors: list[str] = field(default_factory=list)
    excused: list[str] = field(default_factory=list)

    def excuse(self, *texts: str) -> None:
        """What the console says with one of these in it is expected, before or after: the browser writes it when it comes to it."""
        self.excused += texts

    @property
    def wrong(self) -> list[str]:
        """What the console should not have said so far."""
        return [text for text in self.errors if not any(excused in text for excused in self.excused)]

    @property
    def banner(self) -> Locator:
        return self.page.locator(f'form-lock[for="{self.form}"]')

    @property
    def token(self) -> str:
        return self.page.locator(f'form[form-lock="{self.form}"] [name=form_lock_token]').input_value()

    @property
    def receipt(self) -> str:
        return self.field("form_lock_receipt").input_value()

    def field(self, name: str) -> Locator:
        return self.page.locator(f'form[form-lock="{self.form}"] [name={name}]')

    def sees(self, state: str, text: str = "") -> None:
        """Wait until the banner shows the state."""
        expect(self.banner).to_have_attribute("state", state)
        if text:
            expect(self.banner).to_contain_text(text)

    def press(self, label: str) -> None:
        self.banner.get_by_role("button", name=label, exact=True).click()

    def lock(self) -> None:
        self.sees("free")
        self.press("Edit")
        self.sees("mine")

    def tell(self, script: str, argument: Any = None) -> Any:
        """Run `script` (an async function's body) in the page with its `client`, `lock` (of the form) and `argument`."""
        return self.page.evaluate(
            "async ({form, argument}) => {"
            " const { pageClient } = await import('/formlock/formlock.js');"
            " const client = pageClient(); const lock = client.form(form);"
            f" {script} }}",
            {"form": self.form, "argument": argument},
        )

    def until(self, condition: str) -> None:
        """Wait until the expression, of the page and of its `client` and `lock`, is true. Playwright's own wait_for_function has the
        page evaluate a string at each look but the first, which the pages' security policy forbids."""
        self.tell(
            "for (const start = Date.now(); !(" + condition + "); await new Promise((go) => setTimeout(go, 10)))"
            f" if (Date.now() - start > {WITHIN_MS}) throw new Error(`never: ${{argument}}`);",
            condition,
        )


@dataclass
class Visitor:
    """Opens tabs as somebody; each in a browser profile of its own unless told otherwise."""

    browser: Browser
    url: str
    contexts: list[BrowserContext] = field(default_factory=list)
    tabs: list[Tab] = field(default_factory=list)

    def context(self, **options: Any) -> BrowserContext:
        context = self.browser.new_context(**options)
        context.set_default_timeout(30_000)
        self.contexts.append(context)
        return context

    def watch(self, page: Page, form: str = "com.example.form.invoice.42") -> Tab:
        tab = Tab(page, form)
        page.on("console", lambda message: tab.errors.append(message.text) if is_wrong(message) else None)
        page.on("pageerror", lambda error: tab.errors.append(str(error)))
        self.tabs.append(tab)
        return tab

    def __call__(self, user: str, *, url: str | None = None, **options: Any) -> Tab:
        """The demo page as ann, bob or eva."""
        tab = self.watch(self.context(**options).new_page())
        tab.page.goto(f"{url or self.url}?user={user}")
        return tab

    def html(
        self, user: str, name: str, form: str, markup: str | Callable[[], str], *, context: BrowserContext | None = None
    ) -> Tab:
        """A page of the test's own at the node's address, with its security policy. `markup` may be made anew for each load."""
        context = context or self.context()
        # Chromium takes a page that the test serves for one from far away, and such a page may not reach loopback without this.
        context.grant_permissions(["local-network-access"])

        def serve(route: Route) -> None:
            body = markup() if callable(markup) else markup
            route.fulfill(
                content_type="text/html; charset=utf-8",
                headers={"content-security-policy": CSP},
                body=f"<!doctype html><html lang=en><title>{escape(form)}</title>"
                f'<meta name="form-lock-user" content="{escape(user)}"><meta name="form-lock-name" content="{escape(name)}">'
                f'<link rel="icon" href="/favicon.svg"><script type="module" src="/formlock/formlock.js"></script>{body}',
            )

        context.route(f"{self.url}test.html", serve)
        tab = self.watch(context.new_page(), form)
        tab.page.goto(f"{self.url}test.html")
        return tab


def is_wrong(message: ConsoleMessage) -> bool:
    """What answers a test's submit names no icon: the browser asks for one at any time after, which Playwright can't answer."""
    return message.type in ("error", "warning") and not message.location["url"].endswith("/favicon.ico")


def workers_of(page: Page) -> list[Worker]:
    """The page's workers: Playwright hears of one a moment after it was made."""
    if not page.workers:
        page.wait_for_event("worker")
    return page.workers


@pytest.fixture
def page_as(node: Node, browser: Browser) -> Iterator[Visitor]:
    yield from visits(node, browser)


def visits(node: Node, browser: Browser) -> Iterator[Visitor]:
    visitor = Visitor(browser, node.url)
    yield visitor
    errors = [f"{tab.form}: {text}" for tab in visitor.tabs for text in tab.wrong]
    for context in visitor.contexts:
        context.close()
    assert not errors, "the console must stay silent"


@pytest.fixture
def form() -> str:
    """A form that no other test uses."""
    return f"com.example.form.test.{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def looks(screenshots: Path) -> Looks:
    return Looks(screenshots)


@pytest.fixture
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures go: never into the repository."""
    folder = os.environ.get("FORMLOCK_SCREENSHOTS")
    path = Path(folder) if folder else tmp_path_factory.getbasetemp() / "screenshots"
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node whose takeovers wait for the old holder's page. Forms of the type `guarded` few may take over, and nobody waits."""
    node = Node(tmp_path_factory.mktemp("patient"))
    policy = node.folder / "policy.toml"
    policy.write_text(
        policy.read_text() + '\n[forms.test]\nhandover = "60 s"\n\n[forms.guarded]\ntakeover_right = "admin"\nqueue = false\n'
    )
    node.start()
    yield node
    node.stop()


@pytest.fixture
def patiently(patient: Node, browser: Browser) -> Iterator[Visitor]:
    """As `page_as`, at that node."""
    yield from visits(patient, browser)


# -- the applications that come with it

Open = Callable[..., Tab]


class Invoices:
    """Opens pages of the application. Each test has an invoice of its own."""

    def __init__(self, node: Node, page_as: Visitor) -> None:
        self.node = node
        self._page_as = page_as

    def page(self, path: str, form: str = "", context: BrowserContext | None = None) -> Tab:
        tab = self._page_as.watch((context or self._page_as.context()).new_page(), form)
        tab.page.goto(self.node.url + path)
        return tab

    def form(self, user: str, number: int, *, query: str = "", context: BrowserContext | None = None) -> Tab:
        return self.page(f"invoices/{user}/{number}{query}", f"com.example.form.invoice.{number}", context)

    def list(self, user: str) -> Tab:
        tab = self.page(f"invoices/{user}/")
        expect(tab.page.locator('[data-form-lock-state="free"]').first).to_be_visible()
        return tab


@pytest.fixture
def invoices(node: Node, page_as: Visitor) -> Invoices:
    invoices = Invoices(node, page_as)
    page = page_as.context().new_page()
    # The demo starts beside the node; its page looks again by itself until it is there.
    page.goto(node.url + "invoices/ann/")
    expect(page.get_by_role("heading", name="Invoices")).to_be_visible(timeout=60_000)
    page.close()
    return invoices


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frameworks")
    subprocess.run([needs("node"), str(ROOT / "examples/frameworks/build.mjs"), str(folder)], check=True, timeout=100)
    return folder


@pytest.fixture
def example(page_as: Visitor, built: Path, form: str) -> Open:
    """Opens a page as somebody, served below the node's address with its security policy; its form is one of the test's own."""

    def opened(user: str, name: str, page: str = "index.html") -> Tab:
        context = page_as.context()
        context.grant_permissions(["local-network-access"])

        def serve(route: Route) -> None:
            path = urlsplit(route.request.url).path.partition("/frameworks/")[2]
            status = 200
            if route.request.method == "POST" and "much" in (route.request.post_data or ""):
                # As an application that finds a mistake: the form again, and 422.
                path, status = f"{name}/form.html", 422
            content, policy = (built / path).read_text().replace(EXAMPLE_FORM, form), CSP
            if name == "turbo":
                # Its progress bar has a style element.
                content = content.replace("</head>", f'<meta name="csp-nonce" content="{NONCE}"></head>')
                policy = f"{CSP}; style-src 'self' 'nonce-{NONCE}'"
            kind = mimetypes.guess_type(path)[0] or "text/plain"
            route.fulfill(
                status=status, content_type=f"{kind}; charset=utf-8", headers={"content-security-policy": policy}, body=content
            )

        context.route(f"{page_as.url}frameworks/**", serve)
        tab = page_as.watch(context.new_page(), form)
        tab.page.goto(f"{page_as.url}frameworks/{name}/{page}?user={user}")
        return tab

    return opened
