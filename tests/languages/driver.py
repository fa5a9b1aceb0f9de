"""A backend in another language as a test has it: a process that pushes what it is told to, by the classes of examples/."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest

from tests.support import needs
from tests.support.node import ROOT

HERE = Path(__file__).parent
# An interpreter's start counts too, on a machine that has more to do.
WITHIN_S = 30
COMPLETE_PHP = "exit((int) !(extension_loaded('zmq') && extension_loaded('curl')));"


class Said(NamedTuple):
    """What a driver has answered, and how long that took it; `raised` is an error's class."""

    answer: Any
    raised: str | None
    ms: float


class Driver:
    """One process of one language. As a context it ends at the end; `end` waits for that and says how long it took."""

    def __init__(self, command: Sequence[str]) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)

    def ask(self, do: str, **facts: Any) -> Said:
        """Have it done; AssertionError when that takes longer than any limit of ours."""
        self.tell(do, **facts)
        return self.hear()

    def tell(self, do: str, **facts: Any) -> None:
        """Have it done meanwhile."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **facts}).encode() + b"\n")
        self._process.stdin.flush()

    def hear(self, within_s: float = WITHIN_S) -> Said:
        """The answer to what it was told."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            assert selector.select(within_s), f"no answer within {within_s} s"
        line = json.loads(self._process.stdout.readline())
        return Said(line.get("answer"), line.get("raised"), line["ms"])

    def end(self) -> float:
        """Seconds from the end of its work to the end of its process."""
        assert self._process.stdin is not None
        began = time.monotonic()
        self._process.stdin.close()
        assert self._process.wait(WITHIN_S) == 0
        return time.monotonic() - began

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class Language(NamedTuple):
    """How a language is started; its driver is driver.ENDING, and `complete` a program that ends well if its libraries are there."""

    program: str
    ending: str
    examples: Path
    complete: tuple[str, ...]

    def driver(self) -> Driver:
        """A new process, or the test is skipped for want of the language (in CI it fails)."""
        if os.environ.get("CI") != "true" and not self.is_there():
            pytest.skip(f"{self.program} or its libraries are not installed")
        return Driver([needs(self.program), str(HERE / f"driver.{self.ending}"), str(self.examples)])

    def is_there(self) -> bool:
        """Whether the tests can use it on this machine."""
        if shutil.which(self.program) is None:
            return False
        return subprocess.run([self.program, *self.complete], capture_output=True, timeout=WITHIN_S, check=False).returncode == 0


def php() -> Language:
    return Language("php", "php", ROOT / "examples/php", ("-r", COMPLETE_PHP))


def ruby() -> Language:
    return Language("ruby", "rb", ROOT / "examples/ruby", ("-e", 'require "ffi-rzmq"'))


def javascript(folder: Path) -> Language:
    """A copy in `folder`, beside the packages that are installed for the benchmark: the example's own would be the same."""
    examples = folder / "javascript"
    examples.mkdir()
    for file in (ROOT / "examples/node").glob("*.*"):
        (examples / file.name).write_bytes(file.read_bytes())
    (examples / "node_modules").symlink_to((ROOT / "bench/node_modules").resolve())
    return Language("node", "mjs", examples, ("-p", f"require({json.dumps(str(examples / 'node_modules/zeromq'))})"))
