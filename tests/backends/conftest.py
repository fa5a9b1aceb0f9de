"""Fixtures that several tests of backends share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.postgres import PostgresServer, running_postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One for all tests; absent is a skip on a laptop and a failure in CI."""
    with running_postgres() as server:
        yield server
