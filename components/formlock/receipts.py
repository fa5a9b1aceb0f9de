"""Receipts: signed statements of a lease that a backend verifies by itself, without asking anybody.

A receipt is a JSON Web Token (RFC 7519) signed by HMAC-SHA-256, so every language has a verifier for it; the one for Python backends
is formlock_push.verify. It says who got which form with which token, and until when. It does not stop a late save: that is what the
claim of its token in the application's own database does (docs/explanation/late-saves.md).
"""

from __future__ import annotations

import math

import jwt

from formlock.model import Owner

ALGORITHM = "HS256"
# In the head of each, so that no other token signed with the same key passes for one (RFC 8725, 3.11).
TYPE = "formlock-receipt"


class Signer:
    """Signs with the key of the node (docs/reference/receipts.md), 32 characters or more."""

    def __init__(self, key: str) -> None:
        self._key = key

    def sign(self, topic: str, owner: Owner, token: int, wall: int, lease_ms: int) -> str:
        """That this owner has the form from `wall` (milliseconds since 1970) for `lease_ms`; rounded up to whole seconds."""
        claims = {
            "form": topic,
            "sub": owner.user,
            "tab": owner.tab,
            "token": token,
            "iat": wall // 1000,
            "exp": math.ceil((wall + lease_ms) / 1000),
        }
        return jwt.encode(claims, self._key, ALGORITHM, headers={"typ": TYPE})
