"""The page that says which test proves which row is made of what tests say of themselves."""

from __future__ import annotations

import textwrap
import tomllib
from pathlib import Path

import pytest
from tools.coverage_map import Claim, UnknownRow, javascript_claims, main, named, page, python_claims

from tests.support.node import ROOT

ROWS = {"A": {"A1": "first", "A2": "second"}, "U": {"U1": "a | b", "U2": "an <id>"}}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("A7: told at once", "A7"),
        ("Ann locks (A9, A13, U18).", "A9 A13 U18"),
        ("U35-U37: a burst", "U35 U36 U37"),
        ("U35\N{EN DASH}37, and U36 again", "U35 U36 U37"),
        ("in UTF8, on a MA4, with A4b, as AU1, by _A1", ""),
        ("the article", ""),
    ],
)
def test_named(text: str, rows: str) -> None:
    """Whole words only; a range names all that is in it, and each row counts once."""
    assert named(text) == tuple(rows.split())


@pytest.mark.parametrize("text", ["U37-U35", "A2-U4"])
def test_what_is_no_range(text: str) -> None:
    """A range that falls, or that leads from one list to the other, is a mistake and not two rows."""
    with pytest.raises(UnknownRow, match="no range"):
        named(text)


def test_python() -> None:
    """Docstrings of modules, classes, tests and the methods of classes count; comments, other texts and skipped tests don't."""
    source = textwrap.dedent('''
        """Of A1."""
        TEXT = "A2"
        class TestThing:
            """Of A3."""
            async def test_it(self):
                """Of A4."""
        def test_other():
            # A5
            "Of A6"
            assert "A7"
        @pytest.mark.skip(reason="later")
        def test_later():
            """Of A8."""
        @pytest.mark.skipif(WINDOWS)
        def test_here():
            """Of A9."""
        @mark.xfail
        class TestWrong:
            """Of A10."""
    ''')
    assert list(python_claims(source, "t.py")) == [
        Claim("t.py", ("A1",)),
        Claim("t.py::TestThing", ("A3",)),
        Claim("t.py::TestThing::test_it", ("A4",)),
        Claim("t.py::test_other", ("A6",)),
        Claim("t.py::test_here", ("A9",)),
    ]


def test_javascript() -> None:
    """Titles in any quotes count, wherever the call stands; comments, skipped tests and other texts don't."""
    source = textwrap.dedent(r"""
        test('is told (A1)', () => {});
        describe("a lease", () => {
          it(`has an end (A2)`, limit, async () => {});
          await t.test('isn\'t lost (A3)', () => {});
        });
        // test('A4', () => {});
        test.skip('A5', () => {});
        assert.equal(a, b, 'A6');
    """)
    claims = [(claim.test.partition("::")[2], claim.rows) for claim in javascript_claims(source, "t.test.js")]
    assert claims == [("is told (A1)", ("A1",)), ("has an end (A2)", ("A2",)), (r"isn\'t lost (A3)", ("A3",))]


def test_page() -> None:
    """Each row has its words and its tests; what no test names is said plainly; nothing breaks the table."""
    text = page(ROWS, [Claim("t.py::test_a", ("A1", "U1")), Claim("t.py::test_b", ("A1",))])
    assert "| A1 | first | `t.py::test_a`<br>`t.py::test_b` |\n" in text
    assert "| U1 | a \\| b | `t.py::test_a` |\n" in text
    assert text.endswith("## Not covered yet: 2 of 4\n\n- A2: second\n- U2: an \\<id>\n")


def test_unknown_row() -> None:
    """A test that names a row which does not exist is named itself."""
    with pytest.raises(UnknownRow, match="t.py::test_a names A3"):
        page(ROWS, [Claim("t.py::test_a", ("A3",))])


def test_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` is content with a page just made, shows what a new test changes, and refuses a row that does not exist."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/coverage.toml").write_text('[A]\nA1 = "first"\n')
    new = tmp_path / "tests/test_new.py"
    assert main(["--check"], tmp_path) == 1, "there is no page yet"
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0
    new.write_text('"""A1."""\n')
    capsys.readouterr()
    assert main(["--check"], tmp_path) == 1
    said = capsys.readouterr().err
    assert "+| A1 | first | `tests/test_new.py` |" in said
    assert "make coverage" in said
    new.write_text('"""A2."""\n')
    assert main(["--check"], tmp_path) == 1
    assert "tests/test_new.py names A2" in capsys.readouterr().err


def test_rows() -> None:
    """The data file has all rows of both lists, each once and in order."""
    rows = tomllib.loads((ROOT / "tests/coverage.toml").read_text(encoding="utf-8"))
    assert list(rows["A"]) == [f"A{number}" for number in range(1, 25)]
    assert list(rows["U"]) == [f"U{number}" for number in range(1, 41)]
