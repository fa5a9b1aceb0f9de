"""A child program that is told what to do by lines of JSON and answers by lines of JSON, within a limit."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.wire.errors import BenchError

END_WITHIN_S = 5
LOG_TAIL = 2_000


class Program:
    """Started at once, ended with its `with`. It ends by itself when its input ends, so that it never outlives us."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **(environment or {})},
                # Ctrl-C is ours to handle: in one process group it would reach all of them at once, in any order.
                start_new_session=True,
            )
        threading.Thread(target=self._read, name=name, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, command: Mapping[str, Any]) -> None:
        """One command; its answer is the next of `answer`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._failed("has ended") from None

    def answer(self, within_s: float) -> dict[str, Any]:
        """The next answer; BenchError when it is an error or does not come."""
        try:
            line = self._lines.get(timeout=within_s)
        except queue.Empty:
            raise self._failed(f"did not answer within {within_s:g} s") from None
        if not line:
            raise self._failed("has ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchError(f"{self.name}: {answer['error']}")
        return answer

    def ask(self, command: Mapping[str, Any], within_s: float) -> dict[str, Any]:
        """Send and answer."""
        self.send(command)
        return self.answer(within_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(END_WITHIN_S)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait(END_WITHIN_S)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _failed(self, what: str) -> BenchError:
        return BenchError(f"{self.name} {what}\n{self._log.read_text(errors='replace')[-LOG_TAIL:]}".rstrip())
