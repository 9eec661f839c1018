"""The connection: what each backend promises, and what a URL may be."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.exc import OperationalError

from server.store import Database, JobStore
from tests.conftest import tiny_job
from tests.postgres import Postgres


def test_sqlite_is_in_wal_mode_and_syncs_what_it_commits(tmp_path) -> None:
    database = Database(f"sqlite:///{tmp_path / 's.sqlite3'}")
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    database.close()


def test_postgresql_reads_repeatably_and_its_readers_cannot_write(postgres: Postgres, migrated: str) -> None:
    database = Database(postgres.url(postgres.new_database(migrated)))
    with database.read() as session:
        connection = session.connection()
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "repeatable read"
        assert connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on"
    with database.write() as session:
        assert session.connection().exec_driver_sql("SHOW transaction_isolation").scalar() == "read committed"
        assert session.connection().exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        assert session.connection().exec_driver_sql("SHOW lock_timeout").scalar() == "10s"
    database.close()


def test_services_that_start_at_once_on_an_empty_store_take_turns(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: Database(empty_url), range(4)))
    assert JobStore(opened[0]).create(tiny_job()) == JobStore(opened[3]).page(after=None, limit=1).items[0]
    for database in opened:
        database.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://localhost/x", "SQLite or PostgreSQL; given 'mysql'"),
        ("postgresql+asyncpg://localhost/x", "write postgresql"),
    ],
)
def test_other_databases_are_refused_by_name(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Database(url)


def test_a_missing_driver_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ValueError, match=r"pip install .sm3-scope\[postgres\]"):
        Database("postgresql://127.0.0.1:1/x")


def test_a_database_that_goes_away_and_returns_is_used_again(postgres: Postgres, migrated: str) -> None:
    database = Database(postgres.url(postgres.new_database(migrated)))
    jobs = JobStore(database)
    created = jobs.create(tiny_job())
    for violently in (False, True):
        postgres.stop(violently=violently)
        try:
            for ask in (
                lambda: jobs.get(created.id),
                lambda: jobs.create(tiny_job()),
                lambda: jobs.claim("d"),
            ):
                with pytest.raises(OperationalError):
                    ask()
        finally:
            postgres.start()
        assert jobs.get(created.id) == created
    assert jobs.claim("d").id == created.id
    database.close()
