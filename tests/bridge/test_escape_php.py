"""The ids of forms, made by PHP."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

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
