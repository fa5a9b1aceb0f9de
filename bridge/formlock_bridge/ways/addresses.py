"""Where the bridge listens, read from its configuration and checked. Pure.

What leaves this machine is encrypted and comes with a key: `tcp://` listens on loopback only, `curve://` anywhere. Who has secured a
network by other means (the private one of a composition) says so, once, with `trusted_network`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

DEFAULT_PULL = "tcp://127.0.0.1:5555"
DEFAULT_ACKNOWLEDGED = "tcp://127.0.0.1:5556"
DEFAULT_HTTP = "http://127.0.0.1:5557"

# In place of an address: this way is closed. (The empty text says so too, but not in the environment, where it says nothing.)
OFF = "off"

# Of the credentials' folder.
KEYS_FOLDER = "push"

_TCP = re.compile(r"(?P<scheme>tcp|curve)://(?P<host>[^/:@\s]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Address:
    """`endpoint` is what ZeroMQ binds; `keyed`: only with a key, encrypted."""

    endpoint: str
    keyed: bool

    def __str__(self) -> str:
        return self.endpoint.replace("tcp:", "curve:", 1) if self.keyed else self.endpoint


@dataclass(frozen=True, slots=True)
class Listening:
    """The bridge's ways in; a way without an address is closed. `http` is (host, port)."""

    pull: tuple[Address, ...]
    acknowledged: tuple[Address, ...]
    http: tuple[str, int] | None
    keys: Path

    @property
    def keyed(self) -> bool:
        """Whether something can only be opened with keys."""
        return any(address.keyed for address in (*self.pull, *self.acknowledged))


def listening(extra: Mapping[str, Any]) -> Listening:
    """From a component's configuration; ValueError, with a sentence, for one that can never work.

    `pull`, `acknowledged`: addresses, several with commas between; `http`: one. `off` closes the way. `push_keys`: the
    folder of the keys, by default `push` in the folder of the credentials.
    """
    trusted = extra.get("trusted_network", False) is True
    folder = Path(extra.get("cbdir", "."))
    keys = extra.get("push_keys") or Path(extra.get("credentials", "credentials")) / KEYS_FOLDER
    return Listening(
        pull=_addresses(extra.get("pull", DEFAULT_PULL), "pull", trusted),
        acknowledged=_addresses(extra.get("acknowledged", DEFAULT_ACKNOWLEDGED), "acknowledged", trusted),
        http=_http(extra.get("http", DEFAULT_HTTP), trusted),
        keys=folder / keys,
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _addresses(given: object, name: str, trusted: bool) -> tuple[Address, ...]:
    if not isinstance(given, str):
        raise ValueError(f"{name} must be an address such as {DEFAULT_PULL}, or several with commas between")
    if given == OFF:
        return ()
    return tuple(_address(text.strip(), name, trusted) for text in given.split(",") if text.strip())


def _address(text: str, name: str, trusted: bool) -> Address:
    if text.startswith("ipc://") and len(text) > len("ipc://"):
        return Address(text, keyed=False)
    found = _TCP.fullmatch(text)
    if found is None or int(found["port"]) > 65_535:
        raise ValueError(f"{name} must be tcp://HOST:PORT, curve://HOST:PORT or ipc://PATH, not {text}")
    if found["scheme"] == "curve":
        return Address(f"tcp://{found['host']}:{found['port']}", keyed=True)
    if not trusted and not is_loopback(found["host"]):
        raise ValueError(
            f"{name}: anybody who reaches {text} could push without a key: use curve:// (with keys made by `formlock keys`), "
            "an address of loopback, or say that the network is trusted"
        )
    return Address(text, keyed=False)


def _http(given: object, trusted: bool) -> tuple[str, int] | None:
    if given in ("", OFF):
        return None
    if not isinstance(given, str):
        raise ValueError(f"http must be an address such as {DEFAULT_HTTP}")
    try:
        parts = urlsplit(given)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None or port is None or parts.scheme != "http" or parts.path not in ("", "/") or parts.query or parts.username:
        raise ValueError(f"http must be http://HOST:PORT, not {given}")
    if not trusted and not is_loopback(host):
        raise ValueError(
            f"http: what is sent to {given} could be read on its way: listen on loopback behind a proxy that has TLS, "
            "or say that the network is trusted"
        )
    return host, port
