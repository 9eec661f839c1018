"""``python -m server.diagnosis``: what `sm3 doctor` asks the service's code: settings and store, as JSON.

It changes nothing: the store is opened for reading, its schema is not brought up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import TypeAdapter
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from server.backup import sqlite
from server.backup.contents import BackupError
from server.settings import Settings
from server.startup import CannotStart, read_settings
from server.store.database import known_revisions
from sm3.progress import show_bytes
from sm3.remote.health_views import Check, Verdict
from sm3.remote.settings import unknown_variables

MAX_INTEGRITY_BYTES = 4 * 2**30


def diagnose() -> Iterator[Check]:
    """Yields the checks that need the service's own code."""
    unknown = unknown_variables(Settings.model_fields)
    for variable in unknown:
        remedy = (
            f"Is {variable.nearest} meant?" if variable.nearest else "Unset it: docs/settings.md lists all."
        )
        yield Check(
            name="settings",
            verdict=Verdict.WARNING,
            found=f"{variable.name} sets nothing",
            remedy=remedy,
        )
    try:
        settings = read_settings()
    except CannotStart as error:
        yield Check(
            name="settings",
            verdict=Verdict.FAILED,
            found=str(error),
            remedy="Change it: docs/settings.md has every setting.",
        )
        return
    if not unknown:
        yield Check(name="settings", verdict=Verdict.OK, found="every SM3_* variable is known and allowed")
    yield store(settings)


def store(settings: Settings) -> Check:
    """Checks that the store opens, that its schema is known, and (SQLite) that it is sound."""
    url = make_url(settings.store_url)
    try:
        if url.get_backend_name() == "sqlite":
            path = Path(url.database or "")
            if not path.exists():
                return Check(name="store", verdict=Verdict.OK, found="none yet; made at the first start")
            size_bytes = path.stat().st_size
            if size_bytes > MAX_INTEGRITY_BYTES:
                return Check(
                    name="store",
                    verdict=Verdict.WARNING,
                    found=f"{show_bytes(size_bytes)}: too large to be checked in passing",
                    remedy="`sm3 backup` checks the copy that it makes.",
                )
            revision, counts = sqlite.verify(path)
            found = f"SQLite, {show_bytes(size_bytes)}, sound, {counts.get('jobs', 0):,} jobs"
        else:
            with create_engine(url, poolclass=NullPool).connect() as connection:
                revision = str(connection.scalar(text("SELECT version_num FROM alembic_version")))
            found = f"{url.get_backend_name()} at {url.host or 'a socket'} answers"
    except (BackupError, SQLAlchemyError, OSError) as error:
        reason = getattr(error, "orig", None) or error
        return Check(
            name="store",
            verdict=Verdict.FAILED,
            found=f"it cannot be read: {reason}",
            remedy="Bring rights or database back; if it is damaged: `sm3 restore BACKUP` into a new folder.",
        )
    newest = known_revisions()[0]
    if revision not in known_revisions():
        return Check(
            name="store",
            verdict=Verdict.FAILED,
            found=f"{found}; its schema {revision} is newer than this version knows ({newest})",
            remedy="Install the version that wrote it, or a newer one.",
        )
    if revision != newest:
        remedy = "`sm3 backup` first; the next start of the service brings it up to date."
        found = f"{found}; schema {revision}, the newest is {newest}"
        return Check(name="store", verdict=Verdict.WARNING, found=found, remedy=remedy)
    return Check(name="store", verdict=Verdict.OK, found=f"{found}, schema {revision} (the newest)")


def main() -> int:
    """Prints the checks; 0 however they come out."""
    checks = tuple(diagnose())
    sys.stdout.buffer.write(TypeAdapter(tuple[Check, ...]).dump_json(checks) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
