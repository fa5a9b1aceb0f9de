"""The keys that one backend speaks to the bridge with; `formlock keys` makes the file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import zmq

# Of a CURVE key as text (Z85).
KEY_LENGTH = 40


class InvalidKeys(Exception):
    """The file is not what `formlock keys` writes. The message says what is wrong, and never shows a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Who we are and whom we speak to; CURVE keys as 40 characters of Z85.

    - `name`: this backend's name at the bridge
    - `server_public_key`: the bridge's; it proves that the bridge is the bridge
    - `public_key`, `secret_key`: our own
    - `http_secret`: what requests over HTTP are signed with
    """

    name: str
    server_public_key: str
    public_key: str
    secret_key: str = field(repr=False)
    http_secret: str = field(default="", repr=False)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """From a file; raises OSError when it can't be read, InvalidKeys when it holds something else."""
        try:
            found = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise InvalidKeys(f"{path} is not TOML: {error}") from None
        texts: dict[str, str] = {}
        for name in ("name", "server_public_key", "public_key", "secret_key"):
            text = found.get(name)
            if not isinstance(text, str) or (name != "name" and len(text) != KEY_LENGTH):
                raise InvalidKeys(f"{path}: {name} is missing or no key")
            texts[name] = text
        secret = found.get("http_secret", "")
        if not isinstance(secret, str):
            raise InvalidKeys(f"{path}: http_secret is no text")
        return cls(**texts, http_secret=secret)

    def apply(self, connection: zmq.Socket[bytes]) -> None:
        """Before it connects: from here on everything is encrypted, and each side knows the other."""
        connection.setsockopt(zmq.CURVE_SERVERKEY, self.server_public_key.encode("ascii"))
        connection.setsockopt(zmq.CURVE_PUBLICKEY, self.public_key.encode("ascii"))
        connection.setsockopt(zmq.CURVE_SECRETKEY, self.secret_key.encode("ascii"))
