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


@pytest.fixture(scope="session")
def bucket() -> Iterator[str]:
    """A bucket of an S3 server of our own on loopback."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        import boto3

        boto3.client("s3").create_bucket(Bucket="frames")
        yield "s3://frames/old"
    server.stop()
