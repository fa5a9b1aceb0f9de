"""`python -m formlock_push status SPOOL` and `... drain SPOOL`: for whoever looks after a spool, or empties one nobody uses."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from formlock_push.keys import InvalidKeys, Keys
from formlock_push.reliable import ACKNOWLEDGED_ADDRESS, ReliablePusher
from formlock_push.spool import Spool, Unusable

PATIENCE_S = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when nothing is left in the spool, 1 when something is, 2 when it can't be read."""
    chosen = _parser().parse_args(arguments)
    if not chosen.spool.exists():
        return _fail(f"There is no {chosen.spool}.")
    logging.basicConfig(format="%(message)s")
    try:
        if chosen.do == "drain":
            keys = Keys.read(chosen.keys) if chosen.keys is not None else None
            with ReliablePusher(chosen.address, spool=chosen.spool, keys=keys) as pusher:
                pusher.flush(chosen.timeout)
                _say(f"{pusher.drained} drained, {pusher.refused} refused")
        return _status(Spool(chosen.spool))
    except (Unusable, InvalidKeys, OSError) as error:
        return _fail(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m formlock_push", description="Looks after the spool of a ReliablePusher.")
    commands = parser.add_subparsers(dest="do", required=True, metavar="COMMAND")
    status = commands.add_parser("status", help="what waits, and what was refused")
    drain = commands.add_parser("drain", help="bring what waits to the bridge, beside the programs that use the spool")
    drain.add_argument("--address", default=ACKNOWLEDGED_ADDRESS, help="the bridge's (%(default)s)")
    drain.add_argument("--keys", type=Path, help="this backend's keys, as `formlock keys` writes them")
    drain.add_argument("--timeout", type=float, default=PATIENCE_S, metavar="SECONDS", help="give up after (%(default)g)")
    for command in (status, drain):
        command.add_argument("spool", type=Path)
    return parser


def _status(spool: Spool) -> int:
    now = spool.waiting()
    since = f", the oldest since {datetime.fromtimestamp(now.since, UTC):%Y-%m-%d %H:%M:%S} UTC" if now.since is not None else ""
    _say(f"{now.messages} waiting ({now.bytes} bytes){since}")
    for one in spool.refused():
        _say(f"refused: {one.form} {one.id} {one.reason}: {one.message}")
    spool.close()
    return 1 if now.messages else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _fail(line: str) -> int:
    sys.stderr.write(f"{line}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
