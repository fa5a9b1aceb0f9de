"""`manage.py formlock_relay`: the command `formlock-relay`, on a database of Django's settings."""

from __future__ import annotations

import logging
import signal
import threading
import time
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from formlock_push.django import conf
from formlock_push.relay import Outcome, Relay
from formlock_push.relay_command import status
from formlock_push.relay_databases import Database, Postgresql, connector
from formlock_push.relay_line import DEFAULT_ADDRESS, Line

HOUR_S = 3_600.0


class Command(BaseCommand):
    """Ends with an error when `--once` left something."""

    help = "Takes the updates in the outbox to the form lock's bridge, acknowledged."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="its name in DATABASES (%(default)s)")
        parser.add_argument("--address", default=DEFAULT_ADDRESS, help="the bridge's acknowledged way in (%(default)s)")
        parser.add_argument("--keep-hours", type=float, default=24, help="how long acknowledged rows are kept (24); 0: not at all")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--once", action="store_true", help="relay what is pending now, and end")
        what.add_argument("--status", action="store_true", help="say what is in the outbox, and end")

    def handle(self, **options: Any) -> None:
        connect = connector_of(connections[options["database"]])
        if options["status"]:
            database = connect()
            try:
                self.stdout.write(status(database.counts(), now_ms=round(time.time() * 1000)), ending="")
            finally:
                database.close()
            return
        logging.getLogger("formlock_push").setLevel(logging.INFO)
        configured = conf.read(getattr(settings, "FORMLOCK", None))
        line = Line(options["address"], conf.keys_of(configured))
        relay = Relay(connect, line, keep_s=options["keep_hours"] * HOUR_S)
        try:
            if options["once"]:
                outcome = relay.run_once()
                self.stdout.write(f"sent {relay.sent}\nrefused {relay.refused}")
                if outcome is not Outcome.DONE:
                    raise CommandError(f"Not all was sent: {outcome.value}.")
            else:
                stop = threading.Event()
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, lambda *_: stop.set())
                relay.run(stop)
        finally:
            line.close()


def connector_of(connection: BaseDatabaseWrapper) -> Callable[[], Database]:
    """The relay's own connections to the same database: it waits, commits and fails by itself."""
    told = connection.settings_dict
    match connection.vendor:
        case "sqlite":
            return connector(f"sqlite:///{quote(str(told['NAME']))}")
        case "postgresql":
            import psycopg

            given = {name: value for name, value in connection.get_connection_params().items() if name not in _DJANGOS_OWN}
            return lambda: Postgresql(psycopg.connect(**given, autocommit=True, connect_timeout=10))
        case "mysql":
            parts = (quote(str(told[name]), safe="") for name in ("USER", "PASSWORD", "HOST", "NAME"))
            user, password, host, name = parts
            port = f":{told['PORT']}" if told["PORT"] else ""
            return connector(f"mysql://{user}:{password}@{host}{port}/{name}")
    raise CommandError(f"{connection.vendor} is none of sqlite, postgresql, mysql.")


# How Django reads its rows; no part of an address.
_DJANGOS_OWN = frozenset(
    {"client_encoding", "connect_timeout", "context", "cursor_factory", "pool", "prepare_threshold", "server_side_binding"}
)
