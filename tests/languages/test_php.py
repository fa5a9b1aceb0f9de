"""PHP pushes (examples/php)."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.languages.driver import Language, php
from tests.languages.suite import END_WITHIN_S, LINGER_MS, Pushes
from tests.support import needs
from tests.support.node import ROOT, free_port

pytestmark = [pytest.mark.node, pytest.mark.php]


class TestPhp(Pushes):
    # Its integers end at 2**63 - 1.
    cannot_keep = frozenset({"the largest integers that all clients can be sent"})

    @staticmethod
    def of(folder: Path) -> Language:
        return php()


ENDS = """
require $argv[1] . '/FormLock/autoload.php';
$class = 'FormLock\\\\' . $argv[2];
$pusher = new $class($argv[3], withinMs: 100);
$pusher->push(['form' => 'com.example.form.invoice.42']);
$kept = (object) ['pusher' => $pusher, 'again' => null];
$kept->again = $kept;
match ($argv[4]) {
    'fatal' => str_repeat('x', 1 << 26),
    'exit' => exit(7),
    'fork' => (function () use ($pusher) {
        $child = pcntl_fork();
        $pusher->push(['form' => 'com.example.form.invoice.42']);
        if ($child) {
            pcntl_waitpid($child, $status);
            exit(pcntl_wexitstatus($status));
        }
        exit(7);
    })(),
};
"""


@pytest.mark.parametrize("pusher", ["Pusher", "ReliablePusher"])
@pytest.mark.parametrize(("how", "code"), [("fatal", 255), ("exit", 7), ("fork", 7)])
def test_ends(pusher: str, how: str, code: int) -> None:
    """U39: PHP ends at once, also by a fatal error, in a forked process, and when something else still has the pusher."""
    address = f"tcp://127.0.0.1:{free_port()}"
    command = [
        needs("php"),
        "-d",
        "display_errors=0",
        "-d",
        "log_errors=0",
        "-d",
        "memory_limit=32M",
        "-r",
        ENDS,
        "--",
        str(ROOT / "examples/php"),
        pusher,
        address,
        how,
    ]
    began = time.monotonic()
    assert subprocess.run(command, timeout=30, check=False).returncode == code
    assert time.monotonic() - began < END_WITHIN_S + 2 * LINGER_MS / 1000
