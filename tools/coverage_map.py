"""Which test proves which row: reads the rows that tests name (A1-A24, U1-U40) and writes tests/coverage.md.

A Python test names rows in its docstring, or in its class's or module's; a JavaScript test in its title. What is skipped proves
nothing and is left out. The rows' own words are in tests/coverage.toml.

    python tools/coverage_map.py           write the page anew
    python tools/coverage_map.py --check   fail when it is stale, or when a test names a row that does not exist
"""

from __future__ import annotations

import ast
import difflib
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHON_TESTS = ("tests/**/test_*.py", "tests/languages/suite.py", "components/formlock/testing/conformance.py")
JAVASCRIPT_TESTS = ("web/*/test/*.test.js",)

# A row, or a range of them: A7, U35-U37, U35-37.
_ROWS = re.compile(r"\b([AU])(\d+)(?:[-–]([AU]?)(\d+))?\b")
# A title stands right after the call, in quotes of any kind; `test.skip(` and `test.todo(` are no tests.
_TITLE = re.compile(
    r"""^[ \t]*(?:await )?(?:\w+\.)?(?:test|it|describe)\(\s*(?P<quote>['"`])(?P<title>.*?)(?<!\\)(?P=quote)""", re.M | re.S
)
_NOT_RUN = ("skip", "xfail")


@dataclass(frozen=True, slots=True)
class Claim:
    """A test that names rows: `tests/unit/test_rules.py::test_x` names `("U8", "U9")`."""

    test: str
    rows: tuple[str, ...]


class UnknownRow(Exception):
    """A test names a row that does not exist."""


def named(text: str) -> tuple[str, ...]:
    """The rows that a text names, in its order: whole words only. A range that mixes letters or falls raises UnknownRow."""
    rows: list[str] = []
    for letter, first, other, last in _ROWS.findall(text):
        end = int(last) if last else int(first)
        if end < int(first) or (other and other != letter):
            raise UnknownRow(f"{letter}{first}-{other}{last} is no range")
        rows += [f"{letter}{number}" for number in range(int(first), end + 1)]
    return tuple(dict.fromkeys(rows))


def python_claims(source: str, file: str) -> Iterator[Claim]:
    """The claims of one Python file."""
    yield from _claims_of(ast.parse(source), file)


def _claims_of(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> Iterator[Claim]:
    rows = named(ast.get_docstring(node) or "")
    if rows:
        yield Claim(name, rows)
    if isinstance(node, ast.Module | ast.ClassDef):
        for inner in node.body:
            if isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not _is_skipped(inner):
                yield from _claims_of(inner, f"{name}::{inner.name}")


def _is_skipped(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a mark says that it never runs, or fails; `skipif` runs somewhere."""
    marks = [mark.func if isinstance(mark, ast.Call) else mark for mark in node.decorator_list]
    return any(isinstance(mark, ast.Attribute) and mark.attr in _NOT_RUN for mark in marks)


def javascript_claims(source: str, file: str) -> Iterator[Claim]:
    """The claims of one JavaScript file; a test's title is its name."""
    for match in _TITLE.finditer(source):
        rows = named(match["title"])
        if rows:
            yield Claim(f"{file}::{match['title']}", rows)


def all_claims(root: Path) -> list[Claim]:
    """Every claim of every test, in a stable order."""
    claims: list[Claim] = []
    for patterns, read in ((PYTHON_TESTS, python_claims), (JAVASCRIPT_TESTS, javascript_claims)):
        for path in sorted(path for pattern in patterns for path in root.glob(pattern)):
            file = path.relative_to(root).as_posix()
            try:
                claims += read(path.read_text(encoding="utf-8"), file)
            except UnknownRow as error:
                raise UnknownRow(f"{file}: {error}") from None
    return claims


def page(rows: dict[str, dict[str, str]], claims: list[Claim]) -> str:
    """tests/coverage.md; a claim about a row that does not exist raises UnknownRow."""
    known = {row for part in rows.values() for row in part}
    for claim in claims:
        for row in claim.rows:
            if row not in known:
                raise UnknownRow(f"{claim.test} names {row}, which is no row of tests/coverage.toml")
    titles = {"A": "The article", "U": "What users complain about"}
    lines = [
        "# Which test proves what",
        "",
        "Made by `make coverage` from the docstrings of the Python tests and the titles of the JavaScript tests: do not edit it.",
        "The rows' words are in [coverage.toml](coverage.toml).",
    ]
    for letter, part in rows.items():
        lines += ["", f"## {titles[letter]}", "", "| row | what must come out | tests |", "|---|---|---|"]
        lines += [f"| {row} | {_cell(words)} | {_tests(row, claims)} |" for row, words in part.items()]
    named_rows = {row for claim in claims for row in claim.rows}
    open_rows = [(row, words) for part in rows.values() for row, words in part.items() if row not in named_rows]
    lines += ["", f"## Not covered yet: {len(open_rows)} of {len(known)}", ""]
    lines += [f"- {row}: {_cell(words)}" for row, words in open_rows] or ["Nothing is missing."]
    return "\n".join(lines) + "\n"


def _tests(row: str, claims: list[Claim]) -> str:
    return "<br>".join(f"`{_cell(claim.test)}`" for claim in claims if row in claim.rows)


def _cell(text: str) -> str:
    """Text that stays in its cell, and is no mark-up."""
    return text.replace("|", "\\|").replace("`", "'").replace("<", "\\<")


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Write or check; returns the exit code."""
    target = root / "tests" / "coverage.md"
    rows = tomllib.loads((root / "tests" / "coverage.toml").read_text(encoding="utf-8"))
    try:
        new = page(rows, all_claims(root))
    except UnknownRow as error:
        sys.stderr.write(f"{error}\n")
        return 1
    old = target.read_text(encoding="utf-8") if target.exists() else ""
    if "--check" not in arguments:
        target.write_text(new, encoding="utf-8")
    elif new != old:
        sys.stderr.writelines(
            difflib.unified_diff(old.splitlines(True), new.splitlines(True), "tests/coverage.md", "what the tests say")
        )
        sys.stderr.write("tests/coverage.md is stale: run `make coverage` and commit it.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
