"""Locks for pages without JavaScript, asked for by the application's server: over plain HTTP, signed with the node's key for it.

Needs nothing but Python. The routes, and what they answer: docs/reference/http.md.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

DEFAULT_URL = "http://127.0.0.1:8080/formlock/"
TIME_HEADER = "X-Form-Lock-Time"
SIGNATURE_HEADER = "X-Form-Lock-Signature"
# What a person needs for a form that nothing renews.
LEASE_MS = 15 * 60_000
# The service waits up to 10 s for the page of a holder to say that it is there.
LIMIT_S = 15.0


class Refused(Exception):
    """The service said no: `error` is its word (`form_locked`, ...), `facts` what goes with it, `str()` a sentence."""

    def __init__(self, error: str, sentence: str, facts: Mapping[str, Any]) -> None:
        super().__init__(sentence)
        self.error = error
        self.facts = facts

    @property
    def holder(self) -> str | None:
        """The name of whoever has the form, if that is why."""
        holder = self.facts.get("holder")
        return holder.get("name") if isinstance(holder, Mapping) else None


class Unreachable(Exception):
    """Nobody answered, or not now: the same may work in a moment."""


class PlainLocks:
    """Safe in any thread. Each method asks once and raises Refused or Unreachable."""

    def __init__(
        self, key: str | Path, url: str = DEFAULT_URL, *, limit_s: float = LIMIT_S, clock: Callable[[], float] = time.time
    ) -> None:
        """`key`: itself, or the file that holds it (the node's `.crossbar/credentials/http`), read each time. `url`: where the node
        serves the browser package."""
        if not url.startswith(("http://", "https://")):
            raise ValueError("the address of the node begins with http:// or https://")
        self._key = key
        self._url = url.rstrip("/") + "/"
        self._limit_s = limit_s
        self._clock = clock

    def lock(
        self,
        form: str,
        *,
        user: str,
        name: str | None = None,
        tab: str | None = None,
        note: str = "",
        lease_ms: int = LEASE_MS,
        rights: list[str] | None = None,
        rid: str | None = None,
    ) -> dict[str, Any]:
        """The lock on a form for `lease_ms`: `token`, `receipt`, `tab`, `lease_ms`, ...; Refused `form_locked` says who has it.

        `user` is whom the application knows to be asking. Whoever has it already and says the same `tab` gets the same token again.
        """
        asked = {"form": form, "user": user, "name": name, "tab": tab, "note": note, "until_ms": lease_ms, "rights": rights}
        asked["rid"] = rid or secrets.token_urlsafe(16)
        return self._send("lock", json.dumps({key: value for key, value in asked.items() if value is not None}).encode())

    def unlock(self, form: str, receipt: str) -> dict[str, Any]:
        """Give back what this receipt was given for."""
        return self._send("unlock", json.dumps({"form": form, "receipt": receipt}).encode(), signed=False)

    def status(self, form: str, *, user: str) -> dict[str, Any]:
        """The form's public state: `holder`, ... (docs/reference/wamp.md#snapshots)"""
        return self._send("status", query=urlencode({"form": form, "user": user}, quote_via=quote))

    def _send(self, route: str, body: bytes | None = None, *, query: str = "", signed: bool = True) -> dict[str, Any]:
        address = f"{self._url}{route}{'?' + query if query else ''}"
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"})  # noqa: S310 (checked in __init__)
        if signed:
            now = str(int(self._clock()))
            request.add_header(TIME_HEADER, now)
            request.add_header(SIGNATURE_HEADER, signature(self._secret(), now, route, query.encode() if body is None else body))
        try:
            with urllib.request.urlopen(request, timeout=self._limit_s) as answer:  # noqa: S310
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            raise _refusal(error) from None
        except (OSError, HTTPException, ValueError) as error:
            raise Unreachable(f"The form lock service does not answer: {type(error).__name__}") from error

    def _secret(self) -> str:
        return self._key.read_text(encoding="ascii").strip() if isinstance(self._key, Path) else self._key


def signature(key: str, moment: str, route: str, payload: bytes) -> str:
    """Hexadecimal HMAC-SHA-256 of `<moment>\\n<route>\\n` and the body, or the query of a GET. `moment`: seconds since 1970."""
    return hmac.digest(key.encode(), f"{moment}\n{route}\n".encode() + payload, hashlib.sha256).hex()


def _refusal(error: urllib.error.HTTPError) -> Exception:
    with error:
        try:
            said = json.load(error)
            word, sentence = str(said["error"]), str(said["message"])
        except (ValueError, KeyError, TypeError, OSError):
            return Unreachable(f"The form lock service answers {error.code}")
    return Unreachable(sentence) if error.code >= 500 else Refused(word, sentence, said)
