"""PostgreSQL's own tools, where they are; otherwise the command to run by hand."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from sqlalchemy import URL, create_engine, inspect, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from server.backup.contents import BackupError


def dump_command(url: str, target: str | Path) -> list[str]:
    """Returns the command that writes the database at ``url`` to ``target``; the password is left out."""
    return [
        "pg_dump",
        "--format=custom",
        "--no-owner",
        f"--file={target}",
        f"--dbname={_public(make_url(url))}",
    ]


def restore_command(url: str, source: str | Path) -> list[str]:
    """Returns the command that fills the empty database at ``url`` from ``source``, all or nothing."""
    options = ["--no-owner", "--exit-on-error", "--single-transaction"]
    return ["pg_restore", *options, f"--dbname={_public(make_url(url))}", str(source)]


def dump(url: str, target: Path) -> tuple[str, dict[str, int]]:
    """Writes the database to ``target`` in one snapshot; returns its schema revision and no counts.

    Raises:
        BackupError: ``pg_dump`` is not there (the text has the command), or fails.
    """
    revision = _revision(url)
    _run(dump_command(url, target), url)
    if not target.is_file() or target.stat().st_size == 0:
        raise BackupError(f"pg_dump wrote nothing to {target}.")
    return revision, {}


def restore(url: str, source: Path) -> None:
    """Fills the empty database at ``url`` from ``source``.

    Raises:
        BackupError: the database has tables, or ``pg_restore`` is not there or fails.
    """
    if tables := _tables(url):
        raise BackupError(
            f"the database {_public(make_url(url))} is not empty: it has {', '.join(tables[:5])}. Nothing is "
            "overwritten: make a new one (`createdb NAME`) and set SM3_DATABASE_URL to it."
        )
    _run(restore_command(url, source), url)


def _run(command: list[str], url: str) -> None:
    if shutil.which(command[0]) is None:
        raise BackupError(
            f"{command[0]} is not on this machine. Install PostgreSQL's client (Debian: postgresql-client), or run "
            f"this where it is: {shlex.join(command)}"
        )
    password = make_url(url).password
    environment = os.environ | ({"PGPASSWORD": str(password)} if password else {})  # not where `ps` shows it
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BackupError(f"{shlex.join(command)} failed: {done.stderr.strip()}")


def _public(url: URL) -> str:
    """The URL as libpq takes it, without the password."""
    return URL.create(
        "postgresql", url.username, None, url.host, url.port, url.database, url.query
    ).render_as_string()


def _revision(url: str) -> str:
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            return str(connection.scalar(text("SELECT version_num FROM alembic_version")))
    except SQLAlchemyError as error:
        raise BackupError(f"the store {_public(make_url(url))} cannot be read: {error}.") from error


def _tables(url: str) -> list[str]:
    try:
        return sorted(inspect(create_engine(url, poolclass=NullPool)).get_table_names())
    except SQLAlchemyError as error:
        raise BackupError(f"the database {_public(make_url(url))} cannot be reached: {error}.") from error
