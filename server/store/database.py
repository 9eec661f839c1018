"""The connection to the store: engine, what each backend needs, migrations.

Two backends keep the same promises in their own way:

==============================  =======================================  ===================================
promise                         SQLite                                   PostgreSQL
==============================  =======================================  ===================================
a commit survives a power cut   WAL, ``synchronous=FULL``                ``synchronous_commit`` (its default)
a reader sees one state         a WAL snapshot                           ``REPEATABLE READ``, read only
two writers never mix           ``BEGIN IMMEDIATE``: one at a time       rows are locked as they are read
waiting for a lock ends         busy timeout                             ``lock_timeout``
==============================  =======================================  ===================================

Where a write reads what it is about to change, it asks for the row with ``with_for_update=locking(session)``.
Locks are always taken job first, so that no two writers wait for each other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.orm import Session, sessionmaker

LOCK_TIMEOUT_S = 10.0
_CONNECT_TIMEOUT_S = 5
_MIGRATION_LOCK = 0x534D33  # "SM3": any number, as long as every service takes the same
# Starlette answers from up to 40 threads; none of them should wait for a connection.
_POOL_SIZE, _POOL_OVERFLOW = 10, 40


class Database:
    """An engine whose schema is the newest.

    ``sessions`` makes the writing sessions; whoever wants to hear of commits listens to its events.

    Args:
        url: SQLAlchemy URL of SQLite or PostgreSQL.

    Raises:
        ValueError: the URL names another database, or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.engine = _sqlite(parsed) if self.is_sqlite else _postgresql(parsed)
        readonly = (
            {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        )
        self._reader = self.engine.execution_options(**readonly)
        self._writer = self.engine.execution_options(sm3_write=True)
        self.sessions = sessionmaker(self._writer, expire_on_commit=False, info={_WRITES: True})
        self.migrate()

    def migrate(self, revision: str = "head") -> None:
        """Brings the schema up to ``revision``; a no-op when it is there. Services that start at once take turns."""
        config = _alembic()
        with self._writer.begin() as connection:
            if not self.is_sqlite:
                connection.execute(text("SET LOCAL lock_timeout = 0"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, revision)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one consistent state."""
        with Session(self._reader) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits at its end, or changes nothing if the block raises."""
        with self.sessions.begin() as session:
            yield session

    def close(self) -> None:
        """Closes every connection."""
        self.engine.dispose()


_WRITES = "writes"


def locking(session: Session) -> dict[str, bool] | None:
    """Returns how a row is to be locked as it is read: in a :meth:`Database.write` against other writers.

    SQLite needs no such lock and ignores it. ``key_share`` lets others go on adding rows that refer to this one.
    """
    return {"key_share": True} if session.info.get(_WRITES) else None


def _sqlite(url: URL) -> Engine:
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = create_engine(url, connect_args={"timeout": LOCK_TIMEOUT_S})
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def _postgresql(url: URL) -> Engine:
    if url.get_backend_name() != "postgresql":
        raise ValueError(f"the store can be SQLite or PostgreSQL; given {url.get_backend_name()!r}")
    if url.drivername == "postgresql":  # what people write; SQLAlchemy would take it for psycopg 2
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername != "postgresql+psycopg":
        raise ValueError(f"{url.drivername}: PostgreSQL is spoken by psycopg 3: write postgresql+psycopg://…")
    arguments = {
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "application_name": "sm3-scope",
        # A server that vanished without a word is noticed after seconds rather than hours.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
        "options": f"-c lock_timeout={LOCK_TIMEOUT_S:.0f}s",
    }
    try:
        return create_engine(
            url,
            connect_args=arguments | dict(url.query),
            pool_pre_ping=True,
            pool_size=_POOL_SIZE,
            max_overflow=_POOL_OVERFLOW,
        )
    except ModuleNotFoundError as error:
        raise ValueError("PostgreSQL needs its driver: pip install 'sm3-scope[postgres]'") from error


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
