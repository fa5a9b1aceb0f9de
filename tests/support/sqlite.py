"""A database file as another process sees it: somebody who looks at it by hand while it is in use, or after a crash."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = """
import json, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(json.dumps(connection.execute(sys.argv[2]).fetchall()))
connection.close()
"""


def from_outside(path: Path, sql: str) -> Any:
    """The rows. Its connection may write, as `sqlite3 FILE` may: the last one to close a file tidies up after all."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(path), sql], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
