"""Serves the application by waitress, and copes with how it is started: beside a node that may be killed and started again."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time

import waitress
from flask import Flask

from invoices.settings import Settings

# A process of before that is just ending still has the port.
BIND_WITHIN_S = 10.0
WATCH_EVERY_S = 0.25

_log = logging.getLogger("invoices")


def serve(app: Flask, settings: Settings) -> None:
    """Until the process is told to end. A port that stays taken raises OSError."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if settings.watch_parent:
        threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()
    server = _bind(app, settings)
    _log.info("invoices.ready url=http://%s:%d/invoices/", settings.host, settings.port)
    server.run()


def _bind(app: Flask, settings: Settings) -> waitress.server.BaseWSGIServer:
    limit = time.monotonic() + BIND_WITHIN_S
    while True:
        try:
            return waitress.create_server(app, host=settings.host, port=settings.port, threads=8, ident=None)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > limit:
                raise
            time.sleep(WATCH_EVERY_S)


def _watch(parent: int) -> None:
    """A parent that is killed tells nobody; its children get another one."""
    while os.getppid() == parent:
        time.sleep(WATCH_EVERY_S)
    os._exit(0)
