"""What a PHP backend does without a node: ids of forms, and pushing while nobody listens."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.node import free_port

ROOT = Path(__file__).parents[2]

SCRIPT = """
require $argv[1];
foreach (json_decode(file_get_contents($argv[2]), true) as $vector) {
    try { $part = FormLock\\escape($vector['raw']); } catch (InvalidArgumentException $error) { $part = null; }
    $parts[] = $part;
}
echo json_encode(['parts' => $parts, 'topic' => FormLock\\topic('invoice', 42)]);
"""


@pytest.mark.php
def test_escape() -> None:
    """PHP escapes an id as Python and JavaScript do: all three read the same examples."""
    vectors = ROOT / "tests/contract/escape.json"
    command = ["php", "-r", SCRIPT, "--", str(ROOT / "examples/php/form_id.php"), str(vectors)]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout)
    assert said["parts"] == [vector["part"] for vector in json.loads(vectors.read_text(encoding="utf-8"))]
    assert said["topic"] == "com.example.form.invoice.42"


LIMITS = """
$context = new ZMQContext();
$socket = $context->getSocket(ZMQ::SOCKET_PUSH, 'websocket_pusher');
$socket->setSockOpt(ZMQ::SOCKOPT_SNDTIMEO, 200);
$socket->setSockOpt(ZMQ::SOCKOPT_LINGER, 500);
$socket->connect($argv[1]);
for ($sent = 0; $sent < 5000 && $socket->send('x') !== false; $sent++);
echo $sent;
"""


@pytest.mark.php
def test_limits() -> None:
    """U39: with the limits of the how-to, a full queue is a false answer and not a hang, and PHP ends although messages are left."""
    command = ["php", "-r", LIMITS, "--", f"tcp://127.0.0.1:{free_port()}"]
    assert subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout == "1000"


@pytest.mark.php
def test_limits_are_documented() -> None:
    """The how-to shows those very limits."""
    shown = (ROOT / "docs/how-to/push-from-php.md").read_text(encoding="utf-8")
    for line in LIMITS.splitlines():
        if "SOCKOPT" in line:
            assert line in shown
