"""The example project (examples/django): its own server, its own database, asked over HTTP; what it pushes goes over real ZeroMQ."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest
import zmq

from formlock.model import Owner
from formlock.receipts import Signer
from tests.support.shop import WITHIN_S, Shop

KEY = "k" * 43
FORM = "com.example.form.invoice.42"


class Browser:
    """One person's, logged in."""

    def __init__(self, url: str, user: str) -> None:
        self.url = url
        self.user = user
        self.cookies = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))
        status, page = self.get("/login")
        assert status == 200
        status, page = self.post("/login", username=user, password=user, csrfmiddlewaretoken=hidden(page, "csrfmiddlewaretoken"))
        assert (status, "Weber and Sons" in page) == (200, True)

    def get(self, path: str) -> tuple[int, str]:
        return self._ask(urllib.request.Request(self.url + path))

    def post(self, path: str, **fields: str) -> tuple[int, str]:
        return self._ask(urllib.request.Request(self.url + path, urllib.parse.urlencode(fields).encode()))

    def _ask(self, request: urllib.request.Request) -> tuple[int, str]:
        request.add_header("Referer", self.url)
        try:
            with self._opener.open(request, timeout=WITHIN_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def claim(self, token: int) -> tuple[int, dict[str, Any]]:
        _, page = self.get("/invoices/42")
        status, text = self.post(
            "/invoices/42/claim",
            form_lock_receipt=receipt(self.user, token),
            csrfmiddlewaretoken=hidden(page, "csrfmiddlewaretoken"),
            version=hidden(page, "version"),
        )
        return status, json.loads(text)

    def save(self, token: int | None, **fields: str) -> tuple[int, str]:
        _, page = self.get("/invoices/42")
        proof = {} if token is None else {"form_lock_receipt": receipt(self.user, token)}
        kept = {name: hidden(page, name) for name in ("csrfmiddlewaretoken", "version")}
        typed = {"customer": "Weber and Sons", "amount": "120.00", "notes": ""}
        return self.post("/invoices/42", **{**typed, **kept, **proof, **fields})


class Site(Shop):
    """The project beside a bridge of the test's own."""

    def __init__(self, folder: Path, outbox: bool) -> None:
        self.bridge: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PULL)
        port = self.bridge.bind_to_random_port("tcp://127.0.0.1")
        key = folder / "receipts"
        key.write_text(KEY)
        variables = {"FORMLOCK_PUSH": f"tcp://127.0.0.1:{port}", "FORMLOCK_RECEIPT_KEY_FILE": str(key)}
        super().__init__(folder, {**variables, "SHOP_OUTBOX": "1" if outbox else ""})

    def pushed(self) -> dict[str, Any]:
        """The next message that has come."""
        assert self.bridge.poll(round(WITHIN_S * 1000)), "nothing was pushed"
        message: dict[str, Any] = json.loads(self.bridge.recv())
        return message

    def close(self) -> None:
        super().close()
        self.bridge.close(0)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("django"), outbox=False)
    yield site
    site.close()


def receipt(user: str, token: int) -> str:
    return Signer(KEY).sign(FORM, Owner(user, f"tab-{user}"), token, round(time.time() * 1000), 90_000)


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, f"the page has no field {name}"
    return found[1]


def test_edit_and_save(site: Site) -> None:
    """A7, U13: claimed, saved, and told: what changed, by whom, from which tab, in which version."""
    ann = Browser(site.url, "ann")
    status, page = ann.get("/invoices/42")
    assert status == 200
    assert f'form-lock="{FORM}"' in page
    assert '<meta name="form-lock-user" content="ann">' in page
    status, contents = ann.claim(1)
    assert (status, contents["customer"], contents["version"]) == (200, "Weber and Sons", "1")
    assert ann.save(1, amount="140.00")[0] == 200
    told = site.pushed()
    assert told["form"] == FORM
    assert told["change_set"] == {"amount": ["120.00", "140.00"]}
    assert told["actor"] == {"user": "ann", "name": "Ann Weber"}
    assert (told["origin"], told["source"], told["version"], told["status"]) == ("tab-ann", "shop", 2, "updated")
    assert not site.bridge.poll(0)


def test_late_save(site: Site) -> None:
    """U14, U21: after Bob's claim Ann's save is refused, nothing is written, nothing told, and her text is on the page."""
    ann, bob = Browser(site.url, "ann"), Browser(site.url, "bob")
    assert ann.claim(11)[0] == 200
    assert bob.claim(12)[0] == 200
    status, page = ann.save(11, notes="late words")
    assert (status, "late words" in page) == (409, True)
    assert ann.claim(11)[0] == 409
    assert ann.save(None, notes="without a lock")[0] == 409
    assert bob.save(12, notes="in time", version="0")[0] == 409
    assert bob.save(12, amount="not a number")[0] == 422
    assert not site.bridge.poll(0)
    assert bob.save(12, amount="140.00", notes="in time")[0] == 200
    assert site.pushed()["change_set"] == {"notes": ["", "in time"]}


def test_outbox(tmp_path: Path) -> None:
    """With the outbox nothing is pushed by the request: the update waits in the table for the relay."""
    site = Site(tmp_path, outbox=True)
    try:
        ann = Browser(site.url, "ann")
        assert ann.claim(1)[0] == 200
        assert ann.save(1, amount="150.00")[0] == 200
        assert "pending 1\n" in site.manage("formlock_relay", "--status")
        assert not site.bridge.poll(0)
    finally:
        site.close()
