"""Receipts: what the service signs, a backend verifies with nothing but Python; and so does anybody's JWT library."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from formlock.model import Owner
from formlock.receipts import TYPE, Signer
from formlock_push.verify import MAX_LENGTH, InvalidReceipt, Receipt, Verifier

KEY = "k" * 43
FORM = "com.example.form.invoice.42"
ANN = Owner("ann", "tab-1")
WALL = 1_800_000_000_500
NOW_S = WALL / 1000


def receipt(key: str = KEY, **changed: Any) -> str:
    """One that is right, but for what is changed; None leaves a claim out."""
    claims = {"form": FORM, "sub": "ann", "tab": "tab-1", "token": 7, "iat": 1_800_000_000, "exp": 1_800_000_091} | changed
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, key, "HS256", headers={"typ": TYPE})


def verifier(after_s: float = 0) -> Verifier:
    return Verifier(KEY, leeway_s=5, clock=lambda: NOW_S + after_s)


def reason(text: str | None, *, after_s: float = 0, form: str = FORM, user: str | None = "ann") -> str:
    with pytest.raises(InvalidReceipt) as caught:
        verifier(after_s).verify(text, form=form, user=user)
    return caught.value.reason


def test_what_is_signed_verifies() -> None:
    """U21: a backend knows who has the form, with which token and until when, without asking the service."""
    signed = Signer(KEY).sign(FORM, ANN, 7, WALL, 90_000)
    assert verifier().verify(signed, form=FORM, user="ann") == Receipt(FORM, "ann", "tab-1", 7, 1_800_000_000, 1_800_000_091)
    assert verifier().verify(signed, form=FORM).user == "ann"


def test_any_jwt_library_reads_it() -> None:
    signed = Signer(KEY).sign(FORM, ANN, 7, WALL, 90_000)
    options: Any = {"verify_exp": False, "verify_iat": False}
    assert jwt.decode(signed, KEY, ["HS256"], options=options)["token"] == 7


def test_it_ends_with_the_lease() -> None:
    """A receipt is good until the lease that it states is over, and the clocks' difference longer."""
    assert verifier(after_s=95.4).verify(receipt(), form=FORM, user="ann").token == 7
    assert reason(receipt(), after_s=95.5) == "expired"


def test_a_receipt_of_something_else() -> None:
    assert reason(receipt(), form="com.example.form.invoice.43") == "form"
    assert reason(receipt(), user="bob") == "user"
    assert reason(receipt(key="x" * 43)) == "signature"


def test_no_receipt() -> None:
    """U21: a save that comes without a lock is told apart from one that comes too late."""
    assert reason(None) == reason("") == "missing"


def encoded(value: object) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


GOOD = receipt()
HEAD, BODY, SIGNATURE = GOOD.split(".")


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "..",
        f"{HEAD}.{BODY}",
        f"{GOOD}.{SIGNATURE}",
        f"{HEAD}.{BODY}.{SIGNATURE}=",
        f"{HEAD}.{BODY}.{SIGNATURE}\n",
        f"{HEAD} .{BODY}.{SIGNATURE}",
        f"{HEAD}.{BODY}.ä",
        f"{encoded({'alg': 'none', 'typ': TYPE})}.{BODY}.",
        f"{encoded({'alg': 'HS512', 'typ': TYPE})}.{BODY}.{SIGNATURE}",
        f"{encoded(['alg'])}.{BODY}.{SIGNATURE}",
        jwt.encode({"form": FORM, "sub": "ann", "tab": "t", "token": 7, "iat": 1, "exp": 2_000_000_000}, KEY, "HS256"),
        receipt(token="7"),
        receipt(token=True),
        receipt(token=7.5),
        receipt(exp=None),
        receipt(sub=None),
        "a" * (MAX_LENGTH + 1),
        encoded("[" * 700),
    ],
)
def test_what_is_no_receipt(text: str) -> None:
    """Anything may be posted; nothing but a whole receipt of the right kind is one, and nothing raises anything else."""
    assert reason(text) == "malformed"


@given(st.text(max_size=60) | st.text("abcAB01._-=", max_size=200))
def test_whatever_is_posted(text: str) -> None:
    assert reason(text) in ("missing", "malformed", "signature")


@given(st.integers(0, len(GOOD) - 1), st.sampled_from("abcXYZ019-_.=+/ é"))
def test_no_changed_letter_passes(at: int, letter: str) -> None:
    changed = GOOD[:at] + letter + GOOD[at + 1 :]
    if changed != GOOD:
        assert reason(changed) in ("malformed", "signature")


def test_the_key_in_a_file(tmp_path: Path) -> None:
    """The application may start first, and a new key counts at once."""
    path = tmp_path / "receipts"
    found = Verifier(path, clock=lambda: NOW_S)
    with pytest.raises(FileNotFoundError):
        found.verify(GOOD, form=FORM)
    path.write_text(KEY + "\n")
    assert found.verify(GOOD, form=FORM).token == 7
    path.write_text("n" * 43)
    with pytest.raises(InvalidReceipt, match="not signed"):
        found.verify(GOOD, form=FORM)
    path.write_text("")
    with pytest.raises(ValueError, match="32 characters"):
        found.verify(GOOD, form=FORM)
    assert Verifier.from_file(path)
    with pytest.raises(ValueError, match="32 characters"):
        Verifier("short")
