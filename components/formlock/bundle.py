"""The built browser package in memory: each file as it is, as gzip and as brotli, and a name for this very state of it all. Pure.

Compressed once, when it is read: with the strongest settings, which take too long for every request.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import brotli

# Best first: what a browser is sent of those it takes. Each is a name of RFC 9110, 8.4.1.
ENCODINGS = ("br", "gzip")
MANIFEST = "manifest.json"
VERSION_LENGTH = 16
# A file that compression makes smaller by less is sent as it is.
WORTH_BYTES = 64


@dataclass(frozen=True, slots=True)
class Content:
    """One file. `bodies` by encoding ("" is the file itself); an encoding that is not worth it is left out. `digest`: SHA-384."""

    bodies: Mapping[str, bytes]
    digest: bytes

    def best(self, accepted: str | None) -> tuple[str, bytes]:
        """Encoding and body for an Accept-Encoding."""
        encoding = next((name for name in ENCODINGS if name in self.bodies and accepts(accepted, name)), "")
        return encoding, self.bodies[encoding]

    def etag(self, encoding: str) -> str:
        """A strong one: other bytes have another (RFC 9110, 8.8.3.3)."""
        return f'"{self.digest.hex()[:VERSION_LENGTH]}{"-" + encoding if encoding else ""}"'

    @property
    def integrity(self) -> str:
        """For the `integrity` of a script element."""
        return f"sha384-{b64encode(self.digest).decode('ascii')}"


@dataclass(frozen=True, slots=True)
class Bundle:
    """All files by name. `version` is made from all of them: the parts load each other by name, so they are of one piece."""

    files: Mapping[str, Content]
    version: str

    def manifest(self, base: str = "") -> Content:
        """What an application looks up to link the present version: `{"version", "files": {name: {"path", "integrity"}}}`."""
        files = {name: {"path": f"{base}{self.version}/{name}", "integrity": file.integrity} for name, file in self.files.items()}
        return content(json.dumps({"version": self.version, "files": files}, indent=1).encode())


class Folder:
    """The package's folder. It is looked at each time and read again when it has changed, as `npm run build` does under a node."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: Sequence[tuple[str, int, int]] = ()
        self._bundle = Bundle({}, "")

    def bundle(self) -> Bundle:
        """As of now. A folder that is not there, or not yet, is an empty one."""
        paths = sorted(self._path.iterdir()) if self._path.is_dir() else []
        found = [(path, path.stat()) for path in paths if path.is_file() and not path.name.startswith(".")]
        seen = [(path.name, stat.st_mtime_ns, stat.st_size) for path, stat in found]
        if seen != self._seen:
            self._bundle = bundle({path.name: path.read_bytes() for path, _ in found})
            self._seen = seen
        return self._bundle


def bundle(files: Mapping[str, bytes]) -> Bundle:
    """Of files by name."""
    contents = {name: content(body) for name, body in sorted(files.items())}
    whole = hashlib.sha384()
    for name, file in contents.items():
        whole.update(name.encode() + b"\0" + file.digest)
    return Bundle(contents, whole.hexdigest()[:VERSION_LENGTH])


def content(body: bytes) -> Content:
    """One file, compressed."""
    # The time is left out, so that the same file is the same bytes.
    packed = {"br": brotli.compress(body, mode=brotli.MODE_TEXT), "gzip": gzip.compress(body, mtime=0)}
    worth = {name: small for name, small in packed.items() if len(small) + WORTH_BYTES <= len(body)}
    return Content({"": body, **worth}, hashlib.sha384(body).digest())


def accepts(accepted: str | None, encoding: str) -> bool:
    """Whether an Accept-Encoding names this encoding, or `*`, and not with a quality of 0 (RFC 9110, 12.5.3)."""
    found: dict[str, float] = {}
    for item in (accepted or "").lower().split(","):
        name, _, parameter = item.partition(";")
        key, _, value = parameter.partition("=")
        try:
            found[name.strip()] = float(value) if key.strip() == "q" else 1
        except ValueError:
            found[name.strip()] = 0
    return found.get(encoding, found.get("*", 0)) > 0


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether what the browser has is this. Proxies that compress make a strong tag weak: for this question both are the same."""
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in tags or "*" in tags
