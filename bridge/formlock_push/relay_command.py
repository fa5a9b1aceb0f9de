"""The command `formlock-relay`: relays an outbox until it is told to stop, once, or only says what is in it."""

from __future__ import annotations

import argparse
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Sequence

from formlock_push.keys import InvalidKeys, Keys
from formlock_push.relay import Outcome, Relay
from formlock_push.relay_databases import Counts, Database, connector
from formlock_push.relay_line import DEFAULT_ADDRESS, Line

DATABASE_VARIABLE = "FORMLOCK_OUTBOX_DATABASE"
UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def run(arguments: Sequence[str] | None = None) -> int:
    """0: stopped, or (`--once`) nothing is pending any more; 1: something is, or the database failed; 2: not understood."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.database:
        parser.error(f"say which database: --database URL, or {DATABASE_VARIABLE} in the environment")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    try:
        connect = connector(options.database)
        keys = Keys.read(options.keys) if options.keys is not None else None
    except (ValueError, ImportError, OSError, InvalidKeys) as error:
        parser.error(str(error))
    try:
        if options.status:
            return _tell(connect())
        line = Line(options.address, keys)
        relay = Relay(connect, line, keep_s=options.keep)
        try:
            return _once(relay) if options.once else _until_stopped(relay)
        finally:
            line.close()
    except Exception as error:  # noqa: BLE001 (each driver has its own)
        sys.stderr.write(f"formlock-relay: {type(error).__name__}: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="formlock-relay", description="Takes the updates in an application's outbox to the form lock's bridge, acknowledged."
    )
    parser.add_argument(
        "--database",
        metavar="URL",
        default=os.environ.get(DATABASE_VARIABLE),
        help=f"sqlite:///FILE, postgresql://... or mysql://...; by default {DATABASE_VARIABLE}, which `ps` does not show",
    )
    parser.add_argument("--address", default=DEFAULT_ADDRESS, help="the bridge's acknowledged way in (%(default)s)")
    parser.add_argument("--keys", metavar="FILE", help="this backend's keys, as `formlock keys` has handed them out (CURVE)")
    parser.add_argument(
        "--keep",
        metavar="TIME",
        type=_time,
        default=_time("1d"),
        help="how long acknowledged rows are kept: 0, 90s, 30m, 12h, 7d (1d)",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--once", action="store_true", help="relay what is pending now, and end")
    what.add_argument("--status", action="store_true", help="say what is in the outbox, and end")
    return parser


def _time(text: str) -> float:
    """Seconds."""
    said = re.fullmatch(r"(\d{1,9})([smhd])|0", text, re.ASCII)
    if said is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time like 0, 90s, 30m, 12h or 7d")
    return float(int(said[1]) * UNITS_S[said[2]]) if said[1] else 0.0


def _tell(database: Database) -> int:
    try:
        counts = database.counts()
    finally:
        database.close()
    sys.stdout.write(status(counts, now_ms=round(time.time() * 1000)))
    return 0


def status(counts: Counts, *, now_ms: int) -> str:
    """What `--status` says: one word and one number a line."""
    lines = [f"pending {counts.pending}"]
    if counts.oldest_ms is not None:
        lines.append(f"oldest_pending_s {max(0, (now_ms - counts.oldest_ms) // 1000)}")
    lines.append(f"sent {counts.sent}")
    lines.append(f"refused {sum(count for _reason, count in counts.refused)}")
    lines.extend(f"refused_{reason} {count}" for reason, count in counts.refused)
    return "".join(f"{line}\n" for line in lines)


def _once(relay: Relay) -> int:
    outcome = relay.run_once()
    sys.stdout.write(f"sent {relay.sent}\nrefused {relay.refused}\n")
    if outcome is Outcome.DONE:
        return 0
    sys.stderr.write(f"formlock-relay: not all was sent: {outcome.value}\n")
    return 1


def _until_stopped(relay: Relay) -> int:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    relay.run(stop)
    return 0
