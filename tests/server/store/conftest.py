"""Every test that asks for ``store_url`` or ``database`` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.store import Database, FrameStore, JobStore
from tests.postgres import Postgres

BACKENDS = ("sqlite", "postgresql")


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def empty_url(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """The URL of a store that holds nothing, not even a schema."""
    if backend == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite3'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.url(server.new_database())


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> str:
    """Name of a PostgreSQL database with the newest schema, to copy."""
    name = postgres.new_database()
    Database(postgres.url(name)).close()
    return name


@pytest.fixture
def store_url(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """The URL of an empty store with the newest schema."""
    if backend == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite3'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.url(server.new_database(request.getfixturevalue("migrated")))


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    found = Database(store_url)
    yield found
    found.close()


@pytest.fixture
def jobs(database: Database) -> JobStore:
    return JobStore(database, now=lambda: 100.0)


@pytest.fixture
def frames(database: Database) -> FrameStore:
    return FrameStore(database, now=lambda: 100.0)
