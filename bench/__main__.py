"""`make bench`, or `python -m bench [wire | inprocess | intake] [--quick] [--json]`: what things cost, each beside a yardstick."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

from bench import inprocess, intake
from bench.table import Line, as_json, table
from bench.wire import compare, report
from bench.wire.errors import BenchError

WIRE_COLUMNS = {"ours": "ours", "ours_memory": "ours, memory:", "rival": "Socket.IO"}
INPROCESS_COLUMNS = {"measured": "us each", "bytes": "bytes each"}
INTAKE_COLUMNS = {"measured": "us each", "bare": "bare pyzmq"}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="bench", description="What things cost, as ratios within one run.")
    parser.add_argument("part", nargs="?", choices=["wire", "inprocess", "intake"], help="all when left out")
    parser.add_argument("--quick", action="store_true", help="little work, one round: whether it runs, not what it costs")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminated)
    parts: dict[str, list[Line]] = {}
    facts = machine()
    if given.part in (None, "wire"):
        parts["wire"] = report.lines(compare.compare(compare.QUICK if given.quick else compare.FULL))
        if not given.json:
            measured = {name for line in parts["wire"] for name in line.figures}
            print(table(parts["wire"], {name: head for name, head in WIRE_COLUMNS.items() if name in measured}))
    if given.part in (None, "inprocess"):
        parts["inprocess"] = inprocess.measure(inprocess.QUICK_ROUNDS if given.quick else inprocess.ROUNDS)
        if not given.json:
            print(table(parts["inprocess"], INPROCESS_COLUMNS))
    if given.part in (None, "intake"):
        parts["intake"] = intake.measure(intake.QUICK_ROUNDS if given.quick else intake.ROUNDS)
        if not given.json:
            print(table(parts["intake"], INTAKE_COLUMNS))
    if given.json:
        print(as_json(parts, facts))
    else:
        print(", ".join(f"{name} {value}" for name, value in facts.items()))


def machine() -> dict[str, object]:
    """What a figure hangs on. `load`: how many processes wanted a core before we began."""
    return {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "Python": platform.python_version(),
        "crossbar": importlib.metadata.version("crossbar"),
        "node": subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip().removeprefix("v"),
    }


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    """As Ctrl-C: what was started is ended."""
    raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BenchError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
