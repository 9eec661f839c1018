"""The connection to the store: engine, SQLite's pragmas, migrations."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event, make_url
from sqlalchemy.orm import Session, sessionmaker


class Database:
    """An engine whose schema is the newest.

    SQLite runs in WAL mode with ``synchronous=FULL``: what :meth:`write` committed survives a power cut, and a
    reader never waits for the writer. Writes take the lock at their beginning (``BEGIN IMMEDIATE``), so two of
    them queue instead of one failing half way.

    ``sessions`` makes the writing sessions; whoever wants to hear of commits listens to its events.

    Args:
        url: SQLAlchemy URL.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        arguments = {"timeout": 10.0} if self.is_sqlite else {}
        self.engine = create_engine(url, pool_pre_ping=not self.is_sqlite, connect_args=arguments)
        if self.is_sqlite:
            event.listen(self.engine, "connect", _set_pragmas)
            event.listen(self.engine, "begin", _begin)
        self._writer = self.engine.execution_options(sm3_write=True)
        self.sessions = sessionmaker(self._writer, expire_on_commit=False)
        self.migrate()

    def migrate(self) -> None:
        """Brings the schema to the newest revision; a no-op when it is."""
        config = _alembic()
        with self._writer.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one consistent state."""
        with Session(self.engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits at its end, or changes nothing if the block raises."""
        with self.sessions.begin() as session:
            yield session

    def close(self) -> None:
        """Closes every connection."""
        self.engine.dispose()


def known_revisions() -> tuple[str, ...]:
    """Returns the schema revisions that this version knows, newest first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(_alembic()).walk_revisions())


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _set_pragmas(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("sm3_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
