"""The keys that backends push with, as files: a folder that `formlock keys` writes and the bridge reads.

    server.key           the bridge's own CURVE key pair
    backends/NAME.toml   of one backend: its public CURVE key, its HTTP secret, and the forms that it may push

A backend gets one file, NAME.secret.toml (`Handout`); its secret CURVE key is nowhere else. Every file is for its owner only (0600),
written whole under another name and then renamed, so that nobody ever reads a half.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVER_FILE = "server.key"
BACKENDS = "backends"
MAX_FILE_BYTES = 16_384
MAX_FORMS = 100
MIN_SECRET_LENGTH = 32

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
# CURVE keys as ZeroMQ writes them: 32 bytes in Z85.
_KEY = re.compile(r"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_PATTERN = re.compile(r"\*|[A-Za-z0-9_:-]{1,64}\.(\*|[A-Za-z0-9_:-]{1,64})")


class KeyFileError(Exception):
    """The sentence names the file and says what is wrong; it has no secret in it."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A CURVE key pair, both in Z85."""

    public: str
    secret: str

    def __repr__(self) -> str:
        return f"KeyPair({self.public!r})"


@dataclass(frozen=True, slots=True)
class Backend:
    """One backend, as the bridge knows it."""

    name: str
    public_key: str
    http_secret: str
    forms: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Backend({self.name!r}, {self.public_key!r}, {self.forms!r})"


@dataclass(frozen=True, slots=True)
class Handout:
    """What a backend gets: the content of NAME.secret.toml."""

    name: str
    server_public_key: str
    public_key: str
    secret_key: str
    http_secret: str

    def __repr__(self) -> str:
        return f"Handout({self.name!r}, {self.public_key!r})"

    def facts(self) -> dict[str, str]:
        """By the names of the file."""
        return {name: getattr(self, name) for name in self.__slots__}


def is_name(text: str) -> bool:
    """Whether a backend may be called so: 1 to 64 of a-z 0-9 _ -, beginning with a letter or digit."""
    return _NAME.fullmatch(text) is not None


def is_pattern(text: str) -> bool:
    """Whether this names forms: `invoice.42`, `invoice.*` or `*`."""
    return _PATTERN.fullmatch(text) is not None


class KeyFolder:
    """The folder itself. What reads raises KeyFileError for a file that is not right; what writes raises OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Whether `formlock keys init` has been here."""
        return (self.path / SERVER_FILE).is_file()

    def server(self) -> KeyPair:
        """The bridge's own keys."""
        file = self.path / SERVER_FILE
        said = _read(file)
        return KeyPair(_key(said, "public_key", file), _key(said, "secret_key", file))

    def names(self) -> list[str]:
        """Of all backends, also of those whose file is not right."""
        try:
            found = [file.stem for file in (self.path / BACKENDS).iterdir() if file.suffix == ".toml" and is_name(file.stem)]
        except OSError:
            return []
        return sorted(found)

    def file(self, name: str) -> Path:
        """Of one backend, whether it is there or not."""
        return self.path / BACKENDS / f"{name}.toml"

    def backend(self, name: str) -> Backend:
        """One backend."""
        file = self.file(name)
        said = _read(file)
        secret, forms = said.get("http_secret"), said.get("forms")
        if not isinstance(secret, str) or len(secret) < MIN_SECRET_LENGTH:
            raise KeyFileError(f"{file}: http_secret must be a text of at least {MIN_SECRET_LENGTH} characters")
        if not isinstance(forms, list) or not 1 <= len(forms) <= MAX_FORMS:
            raise KeyFileError(f"{file}: forms must be a list of 1 to {MAX_FORMS} patterns")
        if not all(isinstance(form, str) and is_pattern(form) for form in forms):
            raise KeyFileError(f"{file}: forms must be patterns such as invoice.42, invoice.* or *")
        return Backend(name, _key(said, "public_key", file), secret, tuple(forms))

    # -- what `formlock keys` does

    def init(self, pair: KeyPair) -> None:
        """Make the folder, with the bridge's keys. FileExistsError if it has some, which backends know and would come back to."""
        for folder in (self.path, self.path / BACKENDS):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        _write(self.path / SERVER_FILE, {"public_key": pair.public, "secret_key": pair.secret}, replace=False)

    def add(self, name: str, pair: KeyPair, forms: tuple[str, ...], *, replace: bool = False) -> Handout:
        """Let a backend in. FileExistsError if there is one of that name, unless it is to be replaced: its old keys end then."""
        backend = Backend(name, pair.public, secrets.token_urlsafe(32), forms)
        facts: dict[str, str | list[str]] = {
            "public_key": backend.public_key,
            "http_secret": backend.http_secret,
            "forms": list(forms),
        }
        _write(self.file(name), facts, replace=replace)
        return Handout(name, self.server().public, pair.public, pair.secret, backend.http_secret)

    def remove(self, name: str) -> None:
        """Let it in no more. FileNotFoundError if there is none."""
        self.file(name).unlink()


def write_handout(handout: Handout, file: Path, *, replace: bool = False) -> None:
    """The file for the backend; FileExistsError unless it may be replaced."""
    _write(file, handout.facts(), replace=replace)


# -- files


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise KeyFileError(f"{file}: a key file has at most {MAX_FILE_BYTES} bytes")
        return tomllib.loads(content.decode("utf-8"))
    except OSError as error:
        raise KeyFileError(f"{file}: can't be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        # Without the reader's own words: they may quote a secret.
        raise KeyFileError(f"{file}: is not TOML") from None


def _key(said: Mapping[str, Any], name: str, file: Path) -> str:
    key = said.get(name)
    if not isinstance(key, str) or _KEY.fullmatch(key) is None:
        raise KeyFileError(f"{file}: {name} must be a CURVE key of 40 characters")
    return key


def _write(file: Path, facts: Mapping[str, str | list[str]], *, replace: bool) -> None:
    # JSON's texts and lists of texts are TOML's, for characters as plain as these.
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in facts.items())
    unfinished = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
            opened.write(lines)
            opened.flush()
            os.fsync(opened.fileno())
        if replace:
            unfinished.replace(file)
        else:
            # A rename would replace what somebody else has just written.
            os.link(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)
