"""Reads our Markdown: its fenced blocks with the marks above them, its links and its anchors."""

from __future__ import annotations

import os
import re
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support.node import ROOT

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+)(?P<language>[\w-]*)[^\n`]*\n(?P<text>.*?)^ *(?P=ticks)[ ]*$", re.M | re.S)
_MARK = re.compile(r"<!-- (not run|needs): ?(.*?) *-->")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `line` is where its text begins, from 1. `not_run`: the reason why it is not, None if it is run."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str | None
    needs: str

    def __str__(self) -> str:
        return f"{name(self.page)}:{self.line}"


@cache
def pages() -> tuple[Path, ...]:
    """Every Markdown file of ours."""
    found: list[Path] = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = sorted(name for name in folders if name != "node_modules" and not name.startswith("."))
        found += [Path(folder) / file for file in sorted(files) if file.endswith(".md")]
    return tuple(found)


def name(page: Path) -> str:
    """As people call it: its path from the root."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """A page's fenced blocks in their order."""
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    for fence in _FENCE.finditer(text):
        marks = _marks_above(text[: fence.start()])
        line = text.count("\n", 0, fence.start("text")) + 1
        body = textwrap.dedent(fence["text"])
        found.append(Block(page, line, fence["language"], body, marks.get("not run"), marks.get("needs", "")))
    return found


def _marks_above(text: str) -> dict[str, str]:
    """The comments that stand right above a block, by what they say."""
    marks: dict[str, str] = {}
    for line in reversed(text.splitlines()):
        if line.strip():
            mark = _MARK.fullmatch(line.strip())
            if mark is None:
                break
            marks[mark[1]] = mark[2]
    return marks


def prose(page: Path) -> str:
    """A page without its blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Where a page's links lead; what stands in code is no link."""
    return _LINK.findall(re.sub(r"`[^`\n]*`", "", prose(page)))


def anchors(page: Path) -> set[str]:
    """The names that links may have after the `#`, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+?) *$", prose(page), re.M):
        anchor = plain = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = 0
        while anchor in found:
            number += 1
            anchor = f"{plain}-{number}"
        found.add(anchor)
    return found
