"""Puts the application together: database, hook, verifier, pages."""

from __future__ import annotations

import logging
from datetime import date

from flask import Flask

from formlock_push import Pusher
from formlock_push.plain_locks import PlainLocks
from formlock_push.scope import Middleware
from formlock_push.sqlalchemy import Sender, install
from formlock_push.verify import Verifier
from invoices.database import open_database
from invoices.locking import Locking
from invoices.pages import pages
from invoices.safety import protect
from invoices.settings import Settings

# The longest notes and address that are allowed, escaped as a form sends them, and room for the rest.
MAX_REQUEST_BYTES = 64 * 1024


def create_app(settings: Settings, sender: Sender | None = None) -> Flask:
    """`sender` takes what the hook reports; by default it is pushed to the bridge."""
    app = Flask(__name__, static_url_path="/invoices/static")
    app.config.update(MAX_CONTENT_LENGTH=MAX_REQUEST_BYTES, TRUSTED_HOSTS=list(settings.trusted_hosts))
    # Asked for again each time, and mostly "not modified": the files are few and small.
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = None
    sessions = open_database(settings.database, date.today())  # noqa: DTZ011 (the day as it is where the application runs)

    # Form lock, places 1 to 3 of README.md: committed changes are pushed, requests are told apart, receipts can be verified.
    app.extensions["hook"] = install(sessions, sender or Pusher(settings.push))
    app.wsgi_app = Middleware(app.wsgi_app)  # type: ignore[method-assign]
    app.extensions["locking"] = Locking(
        sessions, Verifier.from_file(settings.receipt_key), PlainLocks(settings.http_key, settings.http)
    )

    protect(app)
    app.register_blueprint(pages)
    logging.getLogger("formlock_push").setLevel(logging.INFO)
    return app
