"""Opens the database, and fills a new one."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url, select
from sqlalchemy.orm import Session, sessionmaker

from invoices import seed
from invoices.model import Base, Invoice


def open_database(address: str, today: date) -> sessionmaker[Session]:
    """Sessions on the database at `address`; a new one gets its tables and the first invoices."""
    url = make_url(address)
    if url.get_backend_name() == "sqlite" and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url)
    if url.get_backend_name() == "sqlite":
        _tune(engine)
    Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)
    with sessions.begin() as session:
        if session.scalar(select(Invoice.number).limit(1)) is None:
            session.add_all(seed.invoices(today))
    return sessions


def _tune(engine: Engine) -> None:
    """Readers don't wait for writers, and a writer waits for another one instead of failing."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: object) -> None:  # noqa: ARG001
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA busy_timeout = 5000")
