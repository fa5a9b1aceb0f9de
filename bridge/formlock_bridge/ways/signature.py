"""How a request over HTTP is signed: HMAC-SHA256 of its time and body, by a secret that a backend and the bridge share. Pure."""

from __future__ import annotations

import hashlib
import hmac
import re

# Between a backend's clock and ours, either way.
MAX_SKEW_S = 300

_TIME = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"[0-9a-fA-F]{64}")


def sign(secret: str, time_s: str, body: bytes) -> str:
    """The header's value, in hex."""
    return hmac.new(secret.encode(), time_s.encode() + b"\n" + body, hashlib.sha256).hexdigest()


def is_timely(time_s: str, now_s: float) -> bool:
    """Whether a request says a time near to ours: an old one, recorded, is worth nothing after that."""
    return _TIME.fullmatch(time_s) is not None and abs(int(time_s) - now_s) <= MAX_SKEW_S


def is_right(signature: str, secret: str, time_s: str, body: bytes) -> bool:
    """Whether the bearer of the secret has signed this; takes the same time for every wrong one."""
    if _SIGNATURE.fullmatch(signature) is None:
        return False
    return hmac.compare_digest(signature.lower(), sign(secret, time_s, body))
