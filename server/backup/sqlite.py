"""Copies and checks of an SQLite store, while others write to it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from server.backup.contents import BackupError


def copy(source: Path, target: Path) -> None:
    """Copies the store as it is at one moment; who writes to it meanwhile neither waits nor tears the copy.

    One step of SQLite's online backup holds one read transaction, and in WAL mode readers do not hold writers up. (In
    several steps it would start again after every commit of another process, and might never end.)

    Raises:
        BackupError: there is no store at ``source``, or it or ``target`` cannot be used.
    """
    if not source.is_file():
        raise BackupError(f"there is no store at {source}. Set SM3_DATA_DIR to the service's data folder.")
    try:
        with (
            closing(
                sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
            ) as reading,
            closing(sqlite3.connect(target)) as writing,
        ):
            reading.backup(writing)
            writing.execute("PRAGMA journal_mode=DELETE")  # one file that needs no other beside it
    except sqlite3.Error as error:
        raise BackupError(
            f"the store {source} could not be copied to {target.parent}: {error}. Make room or rights, and try again."
        ) from error


def verify(store: Path) -> tuple[str, dict[str, int]]:
    """Returns schema revision and rows of each table of a store that nobody else has open.

    Raises:
        BackupError: SQLite's own checks find a fault, or it is no store of ours.
    """
    try:
        with closing(sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            faults = [row[0] for row in connection.execute("PRAGMA integrity_check")]
            if faults != ["ok"]:
                raise BackupError(f"{store} is damaged: {'; '.join(faults[:3])}. Use another backup.")
            if broken := connection.execute("PRAGMA foreign_key_check").fetchall():
                raise BackupError(
                    f"{store} is damaged: {len(broken)} rows of {broken[0][0]} belong to nothing."
                )
            (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            tables = [
                name
                for (name,) in connection.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
                )
            ]
            counts = {
                name: int(connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])  # noqa: S608 - its own names
                for name in tables
            }
    except (sqlite3.Error, TypeError) as error:
        raise BackupError(f"{store} is no store of SM3 Scope: {error}.") from error
    return str(revision), counts
