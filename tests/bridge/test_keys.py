"""The folder of the keys, and the book that the bridge has of it: whole files, for their owner only, changes without a restart."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from formlock.testing.clock import FakeClock
from formlock_bridge.ways import Sender
from formlock_bridge.ways.keybook import LOOK_MS, KeyBook
from formlock_bridge.ways.keys import Handout, KeyFileError, KeyFolder, is_name, is_pattern, write_handout
from tests.bridge.ways import key_pair


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    folder = KeyFolder(tmp_path / "credentials" / "push")
    folder.init(key_pair())
    return folder


class Book:
    def __init__(self, folder: KeyFolder) -> None:
        self.clock = FakeClock()
        self.changes: list[list[str]] = []
        self.wrong: list[str] = []
        self.book = KeyBook(folder, self.changes.append, self.wrong.append)
        self.book.watch(self.clock)

    def looks(self, number: int = 2) -> None:
        for _ in range(number):
            self.clock.advance(LOOK_MS)


def test_files(folder: KeyFolder, tmp_path: Path) -> None:
    """Folders are 0700 and files 0600; what one side writes the other reads; the backend's secret key is in its own file only."""
    handout = folder.add("shop", key_pair(), ("invoice.*", "customer.7"))
    write_handout(handout, tmp_path / "shop.secret.toml")
    for path in (folder.path, folder.path / "backends"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in (folder.path / "server.key", folder.file("shop"), tmp_path / "shop.secret.toml"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert (handout.secret_key in path.read_text()) == (path.name == "shop.secret.toml")
    backend = folder.backend("shop")
    assert (backend.public_key, backend.http_secret) == (handout.public_key, handout.http_secret)
    assert backend.forms == ("invoice.*", "customer.7")
    assert handout.server_public_key == folder.server().public
    assert sorted(os.listdir(folder.path)) == ["backends", "server.key"]


def test_no_secret_is_shown_by_accident(folder: KeyFolder) -> None:
    """A value of these that comes into a log or a traceback has no secret in it."""
    handout = folder.add("shop", key_pair(), ("*",))
    shown = repr([handout, folder.backend("shop"), folder.server()])
    assert handout.secret_key not in shown
    assert handout.http_secret not in shown
    assert folder.server().secret not in shown


def test_nothing_is_overwritten(folder: KeyFolder, tmp_path: Path) -> None:
    """Keys that somebody has are replaced only by somebody who says so."""
    first = folder.add("shop", key_pair(), ("*",))
    for again in (
        lambda: folder.init(key_pair()),
        lambda: folder.add("shop", key_pair(), ("*",)),
    ):
        with pytest.raises(FileExistsError):
            again()
    assert folder.backend("shop").public_key == first.public_key
    second = folder.add("shop", key_pair(), ("*",), replace=True)
    assert folder.backend("shop").public_key == second.public_key != first.public_key
    write_handout(first, tmp_path / "file")
    with pytest.raises(FileExistsError):
        write_handout(second, tmp_path / "file")
    assert sorted(os.listdir(folder.path / "backends")) == ["shop.toml"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "http_secret must be"),
        ("public_key = 'a'\nhttp_secret = 'SECRETSECRETSECRETSECRETSECRETSECRET'\nforms = ['*']", "public_key must be a CURVE key"),
        ("public_key = 1", "http_secret must be"),
        ("http_secret = 'SECRET'", "http_secret must be"),
        ("http_secret = 'SECRETSECRETSECRETSECRETSECRETSECRET'", "forms must be a list"),
        ("http_secret = 'SECRETSECRETSECRETSECRETSECRETSECRET'\nforms = []", "forms must be a list"),
        ("http_secret = 'SECRETSECRETSECRETSECRETSECRETSECRET'\nforms = ['invoice']", "forms must be patterns"),
        ("http_secret = 'SECRETSECRETSECRETSECRETSECRETSECRET'\nforms = [1]", "forms must be patterns"),
        ("http_secret = 'SECRET", "is not TOML"),
        ("http_secret = '\xff'", "is not TOML"),
        ("# " + "x" * 20_000, "at most"),
    ],
)
def test_wrong_files(folder: KeyFolder, text: str, said: str) -> None:
    """A file that is not right is named, with what is wrong and without what is secret."""
    folder.file("shop").write_text(text, encoding="latin-1")
    with pytest.raises(KeyFileError) as error:
        folder.backend("shop")
    assert str(folder.file("shop")) in str(error.value)
    assert said in str(error.value)
    assert "SECRET" not in str(error.value)


def test_names_and_patterns() -> None:
    """What a backend may be called can be no path, and what it may push is a form, a type or everything."""
    assert [name for name in ("a", "shop-2", "9_x", "", "../x", ".x", "A", "a.b", "a/b", "x" * 65, "a\n") if is_name(name)] == [
        "a",
        "shop-2",
        "9_x",
    ]
    right = ["*", "invoice.*", "invoice.42", "a:20b.x-1"]
    wrong = ["", "invoice", "*.42", "invoice.", ".42", "invoice.4*", "a.b.c", "invoice.*\n", "in voice.1", "x" * 65 + ".1"]
    assert [pattern for pattern in right + wrong if is_pattern(pattern)] == right


@pytest.mark.parametrize(
    ("forms", "form", "may"),
    [
        (("*",), "invoice.42", True),
        (("invoice.*",), "invoice.42", True),
        (("invoice.*",), "invoice.42.address", True),
        (("invoice.*",), "invoice.*", True),
        (("invoice.*",), "invoices.42", False),
        (("invoice.*",), "customer.42", False),
        (("invoice.42",), "invoice.42", True),
        (("invoice.42",), "invoice.42.address", True),
        (("invoice.42",), "invoice.421", False),
        (("invoice.42",), "invoice.*", False),
        (("customer.*", "invoice.42"), "invoice.42", True),
        ((), "invoice.42", False),
    ],
)
def test_what_a_sender_may_push(forms: tuple[str, ...], form: str, may: bool) -> None:
    """Who may push a form may push its sections; many of a type only who may push all of it."""
    assert Sender("pull", b"", "shop", forms).may_push(form) is may


def test_added_and_removed(folder: KeyFolder) -> None:
    """A key that is added, exchanged or taken away counts without a restart, within two looks."""
    book = Book(folder)
    assert book.book.names() == []
    first = folder.add("shop", key_pair(), ("invoice.*",))
    book.looks()
    found = book.book.by_key(first.public_key)
    assert found is not None
    assert (found, found.name) == (book.book.by_name("shop"), "shop")
    second = folder.add("shop", key_pair(), ("invoice.42",), replace=True)
    book.looks()
    assert book.book.by_key(first.public_key) is None
    assert book.book.by_key(second.public_key) == folder.backend("shop")
    folder.remove("shop")
    book.looks(1)
    assert (book.book.by_key(second.public_key), book.book.by_name("shop")) == (None, None)
    assert (book.changes, book.wrong) == ([["shop"], ["shop"], []], [])


def test_a_wrong_file_is_told_once(folder: KeyFolder) -> None:
    """A file that is wrong for the moment changes nothing; it is told once, and right again it counts."""
    kept = folder.add("shop", key_pair(), ("*",))
    folder.file("other").write_text("nonsense")
    book = Book(folder)
    assert (book.book.names(), len(book.wrong)) == (["shop"], 1)
    right = folder.file("shop").read_text()
    folder.file("shop").write_text("half")
    book.looks(5)
    assert (len(book.wrong), book.changes) == (2, [])
    assert book.book.by_key(kept.public_key) is not None
    folder.file("shop").write_text(right.replace('["*"]', '["invoice.*"]'))
    book.looks()
    found = book.book.by_name("shop")
    assert found is not None
    assert (found.forms, book.changes) == (("invoice.*",), [["shop"]])
    book.book.stop()
    folder.remove("shop")
    book.looks()
    assert book.book.names() == ["shop"]


def test_a_handout_is_what_is_written(tmp_path: Path) -> None:
    """The file for a backend has these names and no others: it is a contract with formlock_push and with other languages."""
    write_handout(Handout("shop", "s", "p", "k", "h"), tmp_path / "file")
    assert (tmp_path / "file").read_text() == (
        'name = "shop"\nserver_public_key = "s"\npublic_key = "p"\nsecret_key = "k"\nhttp_secret = "h"\n'
    )
