"""The policy file: which policy a form has, and that whatever is wrong is said with its line."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import fields

from formlock.model import FormId
from formlock.policies import KEYS, MAX_FILE_BYTES, PolicyBook, PolicyError, parse
from formlock.policy import Policy
from formlock.policyfile import LOOK_MS, PolicyFile
from formlock.testing import FakeClock

INVOICE, ORDER = FormId("invoice", "42"), FormId("order", "7")


def ttl(book: PolicyBook, form: FormId) -> int:
    return book.of(form).ttl_ms


def test_an_empty_file_is_the_defaults() -> None:
    assert parse("") == PolicyBook(Policy())
    assert parse("# nothing\n[default]\n").of(INVOICE) == Policy()


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ('ttl = "95 s"', 95_000),
        ('ttl = "95s"', 95_000),
        ('ttl = "2 min"', 120_000),
        ('ttl = "8 h"', 8 * 3_600_000),
        ('ttl = "3 d"', 3 * 86_400_000),
        ('ttl = "95000 ms"', 95_000),
        ("ttl_ms = 95000", 95_000),
        ("ttl_ms = 95_000", 95_000),
    ],
)
def test_durations(text: str, milliseconds: int) -> None:
    """A text says its unit; a number is milliseconds, as the key's name says."""
    assert ttl(parse(f"[default]\n{text}\n"), INVOICE) == milliseconds


def test_never() -> None:
    """What may be off is off by a word, or by 0."""
    book = parse('[default]\nmax_hold = "never"\nidle_release_ms = 0\n')
    assert (book.default.max_hold_ms, book.default.idle_release_ms) == (0, 0)


def test_the_narrowest_table_wins() -> None:
    """A record before the beginning of ids, that before its type, that before the beginning of types, that before [default]."""
    book = parse("""
        [default]
        ttl_ms = 100_001
        [forms."invoice.42"]
        ttl_ms = 100_005
        [forms."inv*"]
        ttl_ms = 100_002
        [forms."invoice.4*"]
        ttl_ms = 100_004
        [forms.invoice]
        ttl_ms = 100_003
    """)
    named = {"other.1": 1, "inventory.1": 2, "invoice.1": 3, "invoices.1": 2, "invoice.4": 4, "invoice.421": 4, "invoice.42": 5}
    assert {name: ttl(book, FormId(*name.split("."))) - 100_000 for name in named} == named


def test_a_section_has_the_policy_of_its_record() -> None:
    book = parse('[forms."invoice.42"]\nttl = "3 min"\n')
    assert ttl(book, FormId("invoice", "42", "address")) == 180_000


def test_a_key_comes_from_the_narrowest_table_that_says_it() -> None:
    """What a narrow table leaves out, the wider ones say; what none says is the default."""
    book = parse("""
        [default]
        ask = "30 s"
        keep = "5 min"
        [forms."invoice"]
        ask = "20 s"
        queue = false
        [forms."invoice.42"]
        max_waiters = 3
    """)
    policy = book.of(INVOICE)
    assert (policy.keep_ms, policy.ask_ms, policy.queue, policy.max_waiters) == (300_000, 20_000, False, 3)
    assert policy.ttl_ms == Policy().ttl_ms
    assert book.of(ORDER).queue is True


def test_rights() -> None:
    """A form may ask for more than the usual right."""
    book = parse('[forms.invoice]\ntakeover_right = "admin"\n')
    assert (book.of(INVOICE).takeover_right, book.of(ORDER).takeover_right) == ("admin", "takeover")


def test_what_the_configuration_says_is_the_base() -> None:
    book = parse('[default]\nask = "30 s"\n', base=Policy(ttl_ms=120_000, ask_ms=1_000))
    assert (book.default.ttl_ms, book.default.ask_ms) == (120_000, 30_000)


WRONG = [
    # text, the line, what is named, what is said
    ("[default]\n\nttll = 5\n", 3, "default.ttll", "is not a key"),
    ("[defaults]\nttl = 5\n", 1, "defaults", "is not known here"),
    ("a = 1\n[default]\n", 1, "a", "is not known here"),
    ("default = 5\n", 1, "default", "is a table"),
    ("forms = 5\n", 1, "forms", "is a table"),
    ("[forms]\ninvoice = 5\n", 2, "forms.invoice", "is a table"),
    ("[default]\nttl = 90\n", 2, "default.ttl", 'such as "90 s"; or ttl_ms = 90000'),
    ('[default]\nttl = "90"\n', 2, "default.ttl", "with its unit"),
    ('[default]\nttl = "1.5 h"\n', 2, "default.ttl", "with its unit"),
    ('[default]\nttl = "-5 s"\n', 2, "default.ttl", "with its unit"),
    ('[default]\nttl = "never"\n', 2, "default.ttl", "with its unit"),
    ('[default]\nttl_ms = "90 s"\n', 2, "default.ttl_ms", "is a whole number"),
    ("[default]\nttl_ms = 90.5\n", 2, "default.ttl_ms", "is a whole number"),
    ("[default]\nttl_ms = true\n", 2, "default.ttl_ms", "is a whole number"),
    ("[default]\nttl_ms = 2026-01-01\n", 2, "default.ttl_ms", "is a whole number"),
    ("[default]\nqueue = 1\n", 2, "default.queue", "is true or false"),
    ("[default]\nmax_waiters = 0\n", 2, "default.max_waiters", "above 0"),
    ("[default]\nmax_waiters = -1\n", 2, "default.max_waiters", "above 0"),
    ("[default]\nclaim_ms = 99999999999999\n", 2, "default.claim_ms", "366 days"),
    ('[default]\nclaim = "999999999 d"\n', 2, "default.claim", "366 days"),
    ('[default]\nlock_right = "root"\n', 2, "default.lock_right", "is one of"),
    ("[default]\nlock_right = 5\n", 2, "default.lock_right", "is the name of a right"),
    ('[default]\nttl = "90 s"\nttl_ms = 90000\n', 3, "default.ttl_ms", "says the same as ttl"),
    ('[default]\nrenew = "60 s"\n', 2, "default.renew", "2 * renew_ms + grace_ms"),
    ('[default]\nttl = "60 s"\n\n[forms.a]\nqueue = false\n', 2, "default.ttl", "2 * renew_ms + grace_ms"),
    ('[default]\nttl = "79 s"\n', 2, "default.ttl", "2 * renew_ms + grace_ms"),
    # Each alone is right; together, for the records that are in both, they are not.
    ('[forms.a]\nttl = "3 min"\nrenew = "60 s"\n[forms."a.1"]\nttl = "90 s"\n', 5, 'forms."a.1".ttl', "2 * renew_ms + grace_ms"),
    ('[default]\nqueue = true\ncontended_grace = "900 ms"\n', 3, "default.contended_grace", "must be at least 6000"),
    (
        '[forms.a]\ncontended_probe = "1 s"\n[forms."a.1"]\ncontended_grace = "4 s"\n',
        4,
        'forms."a.1".contended_grace',
        "at least 6000",
    ),
    ('[forms.a]\nmax_hold = "4 min"\n', 2, "forms.a.max_hold", "warn_ms must be below"),
    ('[forms."a b"]\n', 1, 'forms."a b"', "names no forms"),
    ('[forms."a.b.c"]\n', 1, 'forms."a.b.c"', "names no forms"),
    ('[forms."a*.b"]\n', 1, 'forms."a*.b"', "names no forms"),
    ('[forms."*"]\n', 1, 'forms."*"', "that is [default]"),
    ('[forms.a]\n[forms."a.*"]\n', 2, 'forms."a.*"', "the same forms as forms.a"),
    ("[forms.invoice.42]\nqueue = false\n", 1, "forms.invoice.42", 'write [forms."TYPE.ID"]'),
    # Where a text only looks like a key, it is none.
    ('[default]\nlock_right = """lock\\\n  """\nttl = 5\n', 4, "default.ttl", "with its unit"),
    ('[default]\n# ttl = 4\n"ttl" = [\n 1,\n 2,\n]\n', 3, "default.ttl", "with its unit"),
    ("default = {queue = false, ttl = 4}\n", 1, "default.ttl", "with its unit"),
    ("default.ask = 5\n", 1, "default.ask", "with its unit"),
    ("[default]\r\nqueue = true\r\nttl = 5\r\n", 3, "default.ttl", "with its unit"),
]


@pytest.mark.parametrize(("text", "line", "key", "why"), WRONG)
def test_what_is_wrong_is_named_with_its_line(text: str, line: int, key: str, why: str) -> None:
    """File, line and key, and a sentence that says what would be right."""
    with pytest.raises(PolicyError) as caught:
        parse(text, "some/policy.toml")
    said = str(caught.value)
    assert said.startswith(f"some/policy.toml, line {line}: {key} "), said
    assert why in said


def test_what_is_no_toml_is_named_with_its_line() -> None:
    with pytest.raises(PolicyError, match=r"^p\.toml: .*line 2"):
        parse("[default]\nttl = = 5\n", "p.toml")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["", "# ttll = 1", "queue = true", 'ask = "5 s"']), unique=True), st.integers(0, 4))
def test_the_line_is_the_line(before: list[str], blanks: int) -> None:
    """Wherever a wrong key stands, its own line is named."""
    lines = ["[default]", *before, *[""] * blanks, "ttll = 1", "max_asks = 3"]
    with pytest.raises(PolicyError) as caught:
        parse("\n".join(lines))
    named = re.search(r"line (\d+)", str(caught.value))
    assert named is not None
    assert lines[int(named.group(1)) - 1] == "ttll = 1"


def test_every_field_has_its_key() -> None:
    """Everything in the policy can be said in the file, under its own name."""
    assert {field.name for field in fields(Policy)} == set(KEYS.values())


# -- on disk


class Watched:
    """A file, whoever watches it, and what it told."""

    def __init__(self, folder: Path, text: str) -> None:
        self.path = folder / "policy.toml"
        self.clock = FakeClock()
        self.told: list[Any] = []
        self.write(text)
        self.file = PolicyFile(self.path, Policy(), self.told.append, self.told.append)
        self.file.watch(self.clock)

    def write(self, text: str) -> None:
        """As an editor does: another file, moved into its place."""
        new = self.path.with_suffix(".new")
        new.write_text(text)
        new.replace(self.path)

    @property
    def ttl_ms(self) -> int:
        return self.file.of(INVOICE).ttl_ms


def test_a_changed_file_counts_without_a_restart(tmp_path: Path) -> None:
    watched = Watched(tmp_path, '[default]\nttl = "100 s"\n')
    assert watched.ttl_ms == 100_000
    watched.write('[default]\nttl = "200 s"\n')
    watched.clock.advance(LOOK_MS)
    assert watched.ttl_ms == 100_000, "it may be half written"
    watched.clock.advance(LOOK_MS)
    assert watched.ttl_ms == 200_000
    watched.clock.advance(10 * LOOK_MS)
    assert [type(told) for told in watched.told] == [PolicyBook]


def test_a_file_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    """Each look that finds it changed again waits for the next."""
    watched = Watched(tmp_path, '[default]\nttl = "100 s"\n')
    for size in range(4):
        with watched.path.open("a") as file:
            file.write(f"# {size}\n")
        watched.clock.advance(LOOK_MS)
    with watched.path.open("a") as file:
        file.write('[forms.invoice]\nttl = "200 s"\n')
    watched.clock.advance(LOOK_MS)
    assert watched.ttl_ms == 100_000
    watched.clock.advance(LOOK_MS)
    assert watched.ttl_ms == 200_000


@pytest.mark.parametrize("spoil", ["wrong", "gone", "no text", "too large"])
def test_a_wrong_version_changes_nothing_and_is_told_once(tmp_path: Path, spoil: str) -> None:
    watched = Watched(tmp_path, '[default]\nttl = "100 s"\n')
    if spoil == "gone":
        watched.path.unlink()
    elif spoil == "no text":
        watched.path.write_bytes(b"\xff\xfe")
    elif spoil == "too large":
        watched.path.write_text("#" * (MAX_FILE_BYTES + 1))
    else:
        watched.write('[default]\nttl = "100 s"\nttll = 5\n')
    watched.clock.advance(10 * LOOK_MS)
    assert watched.ttl_ms == 100_000
    (why,) = watched.told
    assert why.startswith(str(watched.path))
    assert (", line 3: default.ttll" in why) == (spoil == "wrong")
    watched.write('[default]\nttl = "300 s"\n')
    watched.clock.advance(2 * LOOK_MS)
    assert watched.ttl_ms == 300_000


def test_the_same_again_is_no_news(tmp_path: Path) -> None:
    """A file that is touched, or whose comments change, changes no policy."""
    watched = Watched(tmp_path, '[default]\nttl = "100 s"\n')
    os.utime(watched.path, (1, 1))
    watched.clock.advance(3 * LOOK_MS)
    watched.write('# so\n[default]\nttl = "100 s"\n')
    watched.clock.advance(3 * LOOK_MS)
    assert watched.told == []


def test_nothing_starts_with_a_wrong_file(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="can't be read"):
        PolicyFile(tmp_path / "policy.toml", Policy(), lambda _: None, lambda _: None)


def test_stopped(tmp_path: Path) -> None:
    """Nobody looks any more after the end."""
    watched = Watched(tmp_path, "")
    watched.file.stop()
    watched.write('[default]\nttl = "300 s"\n')
    watched.clock.advance(10 * LOOK_MS)
    assert watched.ttl_ms == Policy().ttl_ms
