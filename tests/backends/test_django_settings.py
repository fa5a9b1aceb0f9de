"""`FORMLOCK` in Django's settings: which sender it makes, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

import tests.backends.django_app  # noqa: F401 (sets Django up)
from formlock_push import Outcome, Pusher, ReliablePusher
from formlock_push.django import conf
from tests.support.fake_bridge import FakeBridge, made_keys

FORM = "com.example.form.invoice.42"


def test_spool_and_keys(tmp_path: Path) -> None:
    """SPOOL makes the sender a reliable one, on the acknowledged way in; KEYS encrypts it. Without either it is the plain pusher."""
    keys, server_secret = made_keys()
    path = tmp_path / "shop.toml"
    path.write_text(
        f'name = "shop"\nserver_public_key = "{keys.server_public_key}"\npublic_key = "{keys.public_key}"\n'
        f'secret_key = "{keys.secret_key}"\n'
    )
    with FakeBridge(secret_key=server_secret, allowed={keys.public_key}) as bridge:
        given = {"PUSH": bridge.address, "SPOOL": tmp_path / "spool", "KEYS": path, "TIMEOUT_MS": 5_000}
        sender = conf.sender_of(conf.read(given))
        assert isinstance(sender, ReliablePusher)
        with sender:
            assert sender.push(FORM) is Outcome.ACKNOWLEDGED
        assert [message["form"] for message in bridge.journal] == [FORM]
    plain, reliable = conf.sender_of(conf.read({})), conf.sender_of(conf.read({"SPOOL": tmp_path / "spool"}))
    assert isinstance(plain, Pusher)
    assert isinstance(reliable, ReliablePusher)
    assert (plain.address, reliable.address) == ("tcp://127.0.0.1:5555", "tcp://127.0.0.1:5556")
    assert conf.sender_of(conf.read({"PUSH": None})) is None


@pytest.mark.parametrize(
    "given",
    [
        {"SPOOL": "spool", "OUTBOX": True},
        {"SPOOL": "spool", "SENDER": "a.b"},
        {"SPOOL": "spool", "PUSH": None},
        {"TIMEOUT_MS": 0},
        {"TIMEOUT_MS": "5"},
        {"KEYS": "nowhere.toml"},
    ],
)
def test_refused(given: dict[str, Any]) -> None:
    """What contradicts itself, or names a file that is not there, stops the application's start."""
    with pytest.raises(ImproperlyConfigured):
        conf.sender_of(conf.read(given))
