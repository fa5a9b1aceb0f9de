"""Flask's part: who acts is known when something is told, and only then asked; a tab is believed by its receipt."""

from __future__ import annotations

import time

import pytest
from flask import Flask

from formlock.model import Owner
from formlock.receipts import Signer
from formlock_push.flask import FormLock
from formlock_push.scope import Acting, reporting
from formlock_push.verify import InvalidReceipt

KEY = "k" * 43
FORM = "com.example.form.invoice.42"


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def app(asked: list[str]) -> Flask:
    app = Flask("shop")

    def actor() -> dict[str, str]:
        asked.append("actor")
        return {"user": "ann", "name": "Ann"}

    formlock = FormLock(app, receipt_key=KEY, user=lambda: "ann", actor=actor)

    @app.post("/quiet")
    def quiet() -> str:
        return "quiet"

    @app.post("/told")
    def told() -> str:
        return repr(reporting(jobs=False))

    @app.post("/saved")
    def saved() -> str:
        try:
            formlock.receipt(FORM)
        except InvalidReceipt as error:
            return error.reason
        return repr(reporting(jobs=False))

    return app


def test_who(app: Flask, asked: list[str]) -> None:
    """A request is reported, as its user's work; who that is nobody asks for a request that changes nothing."""
    client = app.test_client()
    client.post("/quiet")
    assert asked == []
    assert client.post("/told").text == repr(Acting(actor={"user": "ann", "name": "Ann"}))
    assert asked == ["actor"]
    assert reporting(jobs=False) is None


def test_receipt(app: Flask) -> None:
    """U13: the tab is the receipt's, posted or sent as a header; a receipt of somebody else is none."""
    client = app.test_client()

    def receipt(user: str) -> str:
        return Signer(KEY).sign(FORM, Owner(user, "tab-1"), 1, round(time.time() * 1000), 90_000)

    taken = repr(Acting(origin="tab-1", actor={"user": "ann", "name": "Ann"}))
    assert client.post("/saved", data={"form_lock_receipt": receipt("ann")}).text == taken
    assert client.post("/saved", json={}, headers={"X-Form-Lock-Receipt": receipt("ann")}).text == taken
    assert client.post("/saved", data={"form_lock_receipt": receipt("bob")}).text == "user"
    assert client.post("/saved").text == "missing"


def test_wiring() -> None:
    """What was left out is said where it is missed."""
    app = Flask("shop")
    formlock = FormLock()
    formlock.init_app(app)
    with pytest.raises(RuntimeError):
        formlock.init_app(app)
    with app.test_request_context("/"), pytest.raises(RuntimeError):
        formlock.receipt(FORM)
    with app.test_request_context("/"), pytest.raises(RuntimeError):
        FormLock(receipt_key=KEY).receipt(FORM)
