"""Who may do what on the development node: pages only what pages need, components only with their own credentials."""

from __future__ import annotations

import stat
from contextlib import nullcontext
from typing import Any

import pytest
import pytest_twisted
from autobahn.twisted.component import Component
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import PublishOptions, RegisterOptions
from twisted.internet import reactor
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from tests.support.client import WITHIN_S, joined
from tests.support.node import Node

pytestmark = pytest.mark.node

FORM = "com.example.form.test.security"


@pytest.mark.parametrize(
    ("origin", "let_in"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost:3000", True),
        # No browser.
        (None, True),
        ("https://example.org", False),
        ("http://127.0.0.1.example.org:80", False),
        # A file from the disk, and a sandboxed frame on any website.
        ("null", False),
    ],
)
def test_pages_of_other_origins_are_refused(node: Node, origin: str | None, let_in: bool) -> None:
    """A browser says whose page it is that wants to connect: what ships lets in those of this machine."""
    whose = Origin(origin) if origin is not None else None
    with (
        nullcontext() if let_in else pytest.raises(InvalidStatus, match="HTTP 400"),
        connect(node.ws_url, origin=whose, subprotocols=[Subprotocol("wamp.2.json")], open_timeout=WITHIN_S) as connection,
    ):
        assert connection.subprotocol == "wamp.2.json"


@pytest.mark.parametrize(
    ("topic", "match"),
    [
        ("wamp.session.on_join", None),
        ("com.example.form.", None),
        ("com.example.form.invoice", None),
        ("com.example.form.invoice.", None),
        ("com.example.form.invoice.4", "prefix"),
        ("com.example", "prefix"),
        ("", "prefix"),
        ("com.example.form..42", "wildcard"),
        ("com.example.form.invoice.42.lines.1", None),
        ("com.example.formlock.lock", None),
    ],
)
@pytest_twisted.ensureDeferred
async def test_subscriptions_that_are_refused(node: Node, topic: str, match: str | None) -> None:
    """A page subscribes single forms, or by prefix all forms there are or all of one type: nothing else."""
    page = await joined(node.ws_url)
    with pytest.raises(ApplicationError, match=r"not_authorized|not authorized|invalid_uri"):
        await page.subscribe(topic, match)
    await page.leave()


@pytest_twisted.ensureDeferred
async def test_prefix_subscription_of_all_forms(node: Node) -> None:
    """The prefix of all shows every form, without the greeting of a single form's subscribers."""
    page, ann = await joined(node.ws_url, "list"), await joined(node.ws_url, "ann")
    await page.subscribe("com.example.form.", "prefix")
    await ann.call("lock", form=FORM, tab="a")
    await page.event("edit", form=FORM)
    assert "subscribed" not in [event["status"] for event in page.events]
    await ann.leave()
    await page.leave()


@pytest_twisted.ensureDeferred
async def test_pages_neither_publish_nor_register(node: Node) -> None:
    """Nobody forges a lock event, an update, or a procedure."""
    page = await joined(node.ws_url)
    with pytest.raises(ApplicationError, match="not authorized"):
        await page.session.publish(FORM, status="released", options=PublishOptions(acknowledge=True))
    for procedure in ("com.example.formlock.lock", "com.example.other", "form-lock"):
        # Crossbar looks for an existing registration first, and asks whether it may be taken over after that.
        with pytest.raises(ApplicationError, match=r"not authorized|procedure_already_exists"):
            await page.session.register(lambda: None, procedure)
        with pytest.raises(ApplicationError, match="not authorized"):
            await page.session.register(lambda: None, procedure, RegisterOptions(force_reregister=True))
    await page.leave()


@pytest.mark.parametrize(
    "procedure", ["wamp.session.list", "wamp.subscription.get", "com.example.formlock.authenticate", "crossbar.get_status"]
)
@pytest_twisted.ensureDeferred
async def test_calls_that_are_refused(node: Node, procedure: str) -> None:
    """A page calls our procedures only."""
    page = await joined(node.ws_url)
    assert (await page.refused(procedure)).uri == "wamp.error.not_authorized"
    await page.leave()


@pytest.mark.parametrize("name", ["x" * 101, "two\nlines", "\u202egnirts", 7])
@pytest_twisted.ensureDeferred
async def test_identities_that_are_refused(node: Node, name: Any) -> None:
    """A name is one line of text: nothing that could break a page or a log."""
    with pytest.raises(AssertionError, match="no control characters|1 to 100 characters"):
        await joined(node.ws_url, "ann", name)


async def _component(node: Node, authid: str, ticket: str) -> None:
    component = Component(
        transports=[
            {
                "type": "websocket",
                "url": "ws://localhost",
                "endpoint": {"type": "unix", "path": str(node.folder / "router.sock")},
                "serializers": ["json"],
                "max_retries": 0,
            }
        ],
        realm="formlock",
        authentication={"ticket": {"authid": authid, "ticket": ticket}},
    )

    @component.on_join
    def _(session: Any, details: Any) -> None:
        session.leave()

    await component.start(reactor).addTimeout(WITHIN_S, reactor)


@pytest.mark.parametrize("authid", ["locks", "bridge", "nobody", "../config.json"])
@pytest_twisted.ensureDeferred
async def test_wrong_ticket(node: Node, authid: str) -> None:
    """The unix socket is open to every local user; each component's own ticket is what lets it in."""
    with pytest.raises(Exception, match=r"authentication_failed|wrong ticket|Exhausted|unreachable"):
        await _component(node, authid, "guessed")
    node.logged("auth.refused")


@pytest_twisted.ensureDeferred
async def test_anothers_ticket(node: Node) -> None:
    """The bridge's ticket does not make a lock component."""
    ticket = (node.folder / "credentials" / "bridge").read_text()
    with pytest.raises(Exception, match=r"authentication_failed|wrong ticket|Exhausted|unreachable"):
        await _component(node, "locks", ticket)
    await _component(node, "bridge", ticket)


def test_credentials_are_for_this_account_only(node: Node) -> None:
    """Made at the first start, readable by nobody else, and not in the configuration."""
    for name in ("locks", "bridge", "receipts"):
        assert stat.S_IMODE((node.folder / "credentials" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((node.folder / "credentials").stat().st_mode) == 0o700


def test_the_node_says_loudly_that_anybody_may_be_anybody(node: Node) -> None:
    """Development identity is no secret to the operator."""
    node.logged("anybody may be anybody")
