"""`python -m invoices`: serves the application until it is told to stop."""

from __future__ import annotations

import os

from invoices.app import create_app
from invoices.server import serve
from invoices.settings import Settings

if __name__ == "__main__":
    settings = Settings.from_environment(os.environ)
    serve(create_app(settings), settings)
