"""What our documents show works: Python is run, everything else is at least read by the program that it is for.

A block that must not run says why, right above it: `<!-- not run: reason -->`. One that needs a node (`<!-- needs: node -->`) gets a
real one: its address stands in FORMLOCK_URL and FORMLOCK_PUSH, and in place of the development node's own.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from tests.docs.markdown import Block, blocks, name, pages, prose
from tests.support import needs
from tests.support.node import ROOT, Node, free_port

WITHIN_S = 60
DOCUMENTS = [page for page in pages() if name(page) in ("README.md", "web/formlock/README.md") or name(page).startswith("docs/")]
BLOCKS = [block for page in DOCUMENTS for block in blocks(page)]
# A Pusher without an address must not reach the node that somebody happens to run here.
RUN = """
import os, runpy, sys
from formlock_push import Pusher
Pusher.__init__.__defaults__ = (os.environ["FORMLOCK_PUSH"],)
runpy.run_path(sys.argv[1], run_name="example")
"""


def written_in(*languages: str) -> pytest.MarkDecorator:
    """A parameter for each block in one of these languages."""
    return pytest.mark.parametrize(
        "block", [block for block in BLOCKS if block.language in languages and block.not_run is None], ids=str
    )


def runnable(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language == "python" and block.not_run is None]


# What a document says, and what is there in its place.
ADDRESSES = {"http://127.0.0.1:8080/": "url", "ws://127.0.0.1:8080/ws": "ws_url", "tcp://127.0.0.1:5555": "zmq_url"}


def with_addresses(text: str, node: Node) -> str:
    """With this node's addresses in place of the development node's."""
    for address, of_the_node in ADDRESSES.items():
        text = text.replace(address, getattr(node, of_the_node))
    return text


@pytest.mark.parametrize("page", [page for page in DOCUMENTS if runnable(page)], ids=name)
def test_python(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A page's Python blocks run one after the other, each seeing what those before it have made."""
    shown = runnable(page)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'components'}:{ROOT / 'bridge'}"}
    environment["FORMLOCK_PUSH"] = f"tcp://127.0.0.1:{free_port()}"
    # Each line where it is in the page, so that a traceback names it.
    lines: list[str] = []
    for block in shown:
        lines += [""] * (block.line - 1 - len(lines)) + block.text.splitlines()
    source = "\n".join(lines)
    if any(block.needs == "node" for block in shown):
        node: Node = request.getfixturevalue("node")
        environment |= {"FORMLOCK_URL": node.url, "FORMLOCK_PUSH": node.zmq_url}
        source = with_addresses(source, node)
    script = tmp_path / f"{page.stem}.py"
    script.write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", RUN, str(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN_S,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.php
@written_in("php")
def test_php(block: Block) -> None:
    """PHP can read it."""
    text = block.text if block.text.startswith("<?") else f"<?php\n{block.text}"
    read([needs("php"), "-l"], text)


@written_in("js")
def test_javascript(block: Block, tmp_path: Path) -> None:
    """It is a module that JavaScript can read."""
    module = tmp_path / "block.mjs"
    module.write_text(block.text, encoding="utf-8")
    read([needs("node"), "--check", str(module)])


@written_in("ruby")
def test_ruby(block: Block) -> None:
    """Ruby can read it."""
    read([needs("ruby"), "-c"], block.text)


@written_in("jsx")
def test_jsx(block: Block) -> None:
    """It is a module that esbuild can read."""
    read([str(ROOT / "web/formlock/node_modules/.bin/esbuild"), "--loader=jsx"], block.text)


def read(command: list[str], text: str = "") -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=WITHIN_S)
    assert done.returncode == 0, done.stdout + done.stderr


READERS: dict[str, Callable[[str], object]] = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load}


@written_in(*READERS)
def test_data(block: Block) -> None:
    """JSON, TOML and YAML are what they claim to be."""
    READERS[block.language](block.text)


# -- the shell


def test_make_targets() -> None:
    """Every `make` that a document names, in a block, in a line of its own or in a sentence, is in the Makefile."""
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.M))
    for page in DOCUMENTS:
        for target in re.findall(r"(?:`|^ {4}|^)make ([a-z][\w-]*)(?=`|$)", page.read_text(), re.M):
            assert target in targets, f"{name(page)}: make {target}"


@written_in("sh", "bash")
def test_shell(block: Block) -> None:
    """The shell can read it, and every file and module that it names exists, or the page says that the reader makes it."""
    read([needs("sh"), "-n"], block.text)
    told = set(re.findall(r"`([^`\n]+)`", prose(block.page)))
    for command in block.text.splitlines():
        words = shlex.split(command, comments=True)
        for before, word in zip(["", *words], words, strict=False):
            if before == "-m":
                assert is_module(word), f"{block}: python -m {word}"
            elif is_path(word) and word not in told:
                assert (ROOT / word).exists() or (block.page.parent / word).exists(), f"{block}: {word}"


def is_path(word: str) -> bool:
    """Whether a word names a file: by its folder, which is ours, or by how it ends."""
    return "://" not in word and (
        (ROOT / word.partition("/")[0]).is_dir() or bool(re.fullmatch(r"[\w./-]+\.(py|php|yaml|toml|sh)", word))
    )


def is_module(word: str) -> bool:
    path = word.replace(".", "/")
    ours = (ROOT / folder / f"{path}{end}" for folder in ("components", "bridge", ".") for end in (".py", "/__main__.py"))
    return word in sys.stdlib_module_names or any(file.exists() for file in ours)


# -- pages

PACKAGE = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "web/formlock").glob("*.js")))
# Attributes of <form> that are HTML's own, or any element's.
HTML_OWN = {"action", "autocomplete", "class", "enctype", "for", "id", "method", "name", "novalidate", "target"}


def is_known(word: str) -> bool:
    """Whether the package reads or writes an attribute (or a meta element) of this name."""
    return re.search(rf"""['"\[]{re.escape(word)}['"\]=]""", PACKAGE) is not None


class OurNames(HTMLParser):
    """Collects the names in a piece of mark-up that only the package can know."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag.startswith("form-"):
            self.found.add(tag)
        for attribute, value in attrs:
            if attribute.startswith(("form-", "data-form-")) or (tag in ("form", "form-lock") and attribute not in HTML_OWN):
                self.found.add(attribute)
            if tag == "meta" and attribute == "name" and value is not None and value.startswith("form-"):
                self.found.add(value)


@written_in("html")
def test_html(block: Block) -> None:
    """Every element, attribute and meta element of ours in a piece of mark-up is known to the package."""
    parser = OurNames()
    parser.feed(block.text)
    parser.close()
    assert not [word for word in sorted(parser.found) if not is_known(word)]


@written_in("css")
def test_css(block: Block) -> None:
    """Every custom property and part that a style sheet uses is one of the package's."""
    for custom in re.findall(r"--form-lock[\w-]*", block.text):
        assert f"var({custom}," in PACKAGE, custom
    for part in re.findall(r"::part\((.*?)\)", block.text):
        assert f"part: '{part}'" in PACKAGE, part


def test_documented_attributes() -> None:
    """What the package's own page lists as attributes and meta elements is known to it."""
    text = (ROOT / "web/formlock/README.md").read_text(encoding="utf-8")
    # Up to the next heading of any depth: what follows are values, not names.
    sections = [text.partition(f"## {title}\n")[2].partition("\n##")[0] for title in ("Attributes", "Meta elements")]
    listed = [
        word for section in sections for cell in re.findall(r"^\| (`.*?) \|", section, re.M) for word in re.findall("`(.*?)`", cell)
    ]
    assert "lock-on" in listed
    assert "form-lock-user" in listed
    assert not [word for word in listed if not is_known(word)]


# -- the marks


def test_languages() -> None:
    """There is a check for every block; one in another language is text that says so."""
    checked = {"python", "php", "js", "jsx", "ruby", "html", "css", "sh", "bash", "text", "", *READERS}
    assert not [f"{block} is in {block.language}" for block in BLOCKS if block.language not in checked]


def test_needs() -> None:
    """What can be needed is a node, by Python; and Python that speaks of the development node's addresses does need one."""
    for block in BLOCKS:
        assert not block.needs or (block.needs, block.language) == ("node", "python"), str(block)
    for block in (block for page in DOCUMENTS for block in runnable(page)):
        assert block.needs or not any(address in block.text for address in ADDRESSES), str(block)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.not_run is not None], ids=str)
def test_not_run(block: Block) -> None:
    """A block that is not run says why; the summary of a test run lists them."""
    assert block.not_run, f"{block}: a reason is missing"
    pytest.skip(f"{block}: {block.not_run}")
