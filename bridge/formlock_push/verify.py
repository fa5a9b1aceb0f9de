"""Verifies receipts: did the form lock service give this form to this user, with which token, and until when?

Needs nothing but Python: a receipt is a JSON Web Token (RFC 7519) signed by HMAC-SHA-256 with the node's key. Verifying asks nobody
and touches no database. It is half of what stops a late save: the other half is to claim the receipt's token in the record's own row
(formlock_push.sqlalchemy has `claim` and `fence`; docs/explanation/late-saves.md says why both).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

TYPE = "formlock-receipt"
MIN_KEY_LENGTH = 32
# More than any receipt has; what is longer is not looked at.
MAX_LENGTH = 2_000
# The application's clock may be ahead of the service's.
LEEWAY_S = 5.0

Reason = Literal["missing", "malformed", "signature", "expired", "form", "user"]

SENTENCES: dict[Reason, str] = {
    "missing": "There is no receipt: the form was not locked when it was sent",
    "malformed": "This is not a receipt",
    "signature": "This receipt was not signed by our form lock service",
    "expired": "This receipt has expired: the lock was not renewed",
    "form": "This receipt is for another form",
    "user": "This receipt was given to somebody else",
}


class InvalidReceipt(Exception):
    """`reason` is one word of a closed set, the message a sentence for people."""

    def __init__(self, reason: Reason) -> None:
        self.reason: Reason = reason
        super().__init__(SENTENCES[reason])


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the service stated: `user` has `form` in the browser tab `tab`, with `token`.

    `issued_at` and `expires_at` are seconds since 1970.
    """

    form: str
    user: str
    tab: str
    token: int
    issued_at: int
    expires_at: int


class Verifier:
    """Knows the node's key. Safe in any thread."""

    def __init__(self, key: str | Path, *, leeway_s: float = LEEWAY_S, clock: Callable[[], float] = time.time) -> None:
        """`key`: itself, or the file that holds it. A file is read at each verification, so the application may start before the
        node has made the file, and a new key needs no restart."""
        self._given = key if isinstance(key, Path) else _checked(key)
        self._leeway_s = leeway_s
        self._clock = clock

    @classmethod
    def from_file(cls, path: str | Path) -> Verifier:
        """With the key in this file, which is the node's `.crossbar/credentials/receipts` or a copy of it."""
        return cls(Path(path))

    def verify(self, receipt: str | None, *, form: str, user: str | None = None) -> Receipt:
        """The statement, or InvalidReceipt. `user`: who the application knows to be asking, and should always be given.

        A key that can't be read raises OSError or ValueError: that is the operator's fault, not the user's.
        """
        stated = _stated(receipt, self._key())
        if self._clock() >= stated.expires_at + self._leeway_s:
            raise InvalidReceipt("expired")
        if stated.form != form:
            raise InvalidReceipt("form")
        if user is not None and stated.user != user:
            raise InvalidReceipt("user")
        return stated

    def _key(self) -> str:
        given = self._given
        return _checked(given.read_text(encoding="ascii").strip()) if isinstance(given, Path) else given


def _checked(key: str) -> str:
    if len(key) < MIN_KEY_LENGTH:
        raise ValueError(f"the key of receipts has {MIN_KEY_LENGTH} characters or more")
    return key


def _stated(receipt: str | None, key: str) -> Receipt:
    if not receipt:
        raise InvalidReceipt("missing")
    parts = receipt.split(".") if len(receipt) <= MAX_LENGTH and receipt.isascii() else []
    if len(parts) != 3:
        raise InvalidReceipt("malformed")
    head = _object(parts[0])
    # The algorithm is ours to say, never the receipt's: "none" or another one is no receipt (RFC 8725, 3.1).
    if head.get("alg") != "HS256" or head.get("typ") != TYPE:
        raise InvalidReceipt("malformed")
    expected = hmac.digest(key.encode("ascii"), f"{parts[0]}.{parts[1]}".encode("ascii"), hashlib.sha256)
    if not hmac.compare_digest(expected, _bytes(parts[2])):
        raise InvalidReceipt("signature")
    stated = _object(parts[1])
    try:
        return Receipt(
            form=_typed(stated["form"], str),
            user=_typed(stated["sub"], str),
            tab=_typed(stated["tab"], str),
            token=_typed(stated["token"], int),
            issued_at=_typed(stated["iat"], int),
            expires_at=_typed(stated["exp"], int),
        )
    except (KeyError, TypeError):
        raise InvalidReceipt("malformed") from None


def _typed(value: Any, kind: type[Any]) -> Any:
    if type(value) is not kind:
        raise TypeError
    return value


def _bytes(part: str) -> bytes:
    try:
        # Python ignores what is no letter of the alphabet; a receipt has only one spelling.
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise InvalidReceipt("malformed") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != part.encode("ascii"):
        raise InvalidReceipt("malformed")
    return raw


def _object(part: str) -> dict[str, Any]:
    try:
        value = json.loads(_bytes(part))
    except (ValueError, RecursionError):
        raise InvalidReceipt("malformed") from None
    if not isinstance(value, dict):
        raise InvalidReceipt("malformed")
    return value
