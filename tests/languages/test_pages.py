"""What the how-to pages show of PHP, Node and Ruby runs, against the real bridge."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.docs.markdown import blocks
from tests.languages.conftest import Bridge
from tests.languages.driver import Language, javascript, php, ruby
from tests.support import needs
from tests.support.node import ROOT

pytestmark = pytest.mark.node

# The page, the language, what its blocks print.
SHOWN = [
    ("push-from-php", "php", "number "),
    ("push-from-node", "js", "number .true"),
    ("push-from-ruby", "ruby", "number .true"),
    ("push-over-http", "php", '"seq":'),
    ("push-over-http", "js", '"seq":'),
    ("push-over-http", "ruby", '"seq":'),
]


@pytest.mark.parametrize(("page", "written", "printed"), SHOWN)
def test_page(bridge: Bridge, tmp_path: Path, page: str, written: str, printed: str) -> None:
    """A page's blocks that make a pusher run as they stand, one after the other, beside their files; only addresses differ."""
    shown = [block for block in blocks(ROOT / f"docs/how-to/{page}.md") if block.language == written and not block.not_run]
    text = "\n".join(block.text for block in shown if "Pusher" in block.text)
    addresses = {
        "tcp://127.0.0.1:5555": bridge.node.zmq_url,
        "tcp://127.0.0.1:5556": bridge.node.acknowledged_url,
        "http://127.0.0.1:5557": bridge.node.updates_url,
    }
    for address, real in addresses.items():
        text = text.replace(address, real)
    language: Language = {"php": php, "ruby": ruby, "js": lambda: javascript(tmp_path)}[written]()
    # Node looks for imports beside the file; the folder is a copy.
    command = [needs(language.program), *{"php": ["-r", text], "ruby": ["-e", text], "js": ["page.mjs"]}[written]]
    if written == "js":
        (language.examples / "page.mjs").write_text(text, encoding="utf-8")
    environment = {**os.environ, "HTTP_SECRET": bridge.keys["http_secret"]}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=language.examples, env=environment)
    assert done.returncode == 0, done.stderr
    for part in printed.split("."):
        assert part in done.stdout, done.stdout + done.stderr
