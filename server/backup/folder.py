"""Making a backup folder from a data folder, and a data folder from a backup.

The order makes a backup whole without stopping anybody: a frame is stored before it leaves its spool, so the spools are
copied first and the store after them; a frame is sealed into a segment before it leaves the store, so segments come
last. Whatever was acknowledged before the backup began is in the copy of the store or in a segment.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import make_url

from server.backup import postgres, sqlite
from server.backup.contents import NAME, POSTGRES_FILE, SQLITE_FILE, BackupError, Contents, FileFact
from server.settings import Settings
from server.store.database import known_revisions
from sm3.remote.token_file import TOKEN_FILE

_DATA = "data"
_LEFT_OUT = frozenset({TOKEN_FILE, "logs", "supervisor.alive"})
_LEFT_OUT_SUFFIXES = (".lock", ".tmp", "-wal", "-shm", "-journal")


def create(settings: Settings, target: Path, *, with_token: bool = False) -> Contents:
    """Backs the data folder up to the new folder ``target``; returns what is in it.

    It is written beside its place, checked, and renamed into it: a backup that is there is whole.

    Raises:
        BackupError: ``target`` exists or is inside the data folder, or something cannot be read or written.
    """
    target = target.expanduser().absolute()
    if target.exists():
        raise BackupError(f"{target} exists. Nothing is overwritten: give a name that is not taken.")
    if target.is_relative_to(settings.data_dir):
        raise BackupError(
            f"{target} is inside the data folder {settings.data_dir}. Give a place outside of it."
        )
    staging = target.with_name(f".{target.name}.partial-{os.getpid()}")
    with _staged(staging, "the backup"):
        jobs = settings.jobs_dir.name
        _copy(settings.data_dir / jobs, staging / _DATA / jobs)
        created_at = datetime.now(UTC)
        if _is_sqlite(settings):
            store = _sqlite_file(settings)
            sqlite.copy(store, staging / SQLITE_FILE)
            revision, counts = sqlite.verify(staging / SQLITE_FILE)
            left_out = {store.name, jobs}
        else:
            revision, counts = postgres.dump(settings.store_url, staging / POSTGRES_FILE)
            left_out = {jobs}
        _copy(settings.data_dir, staging / _DATA, left_out=left_out)
        token = settings.data_dir / TOKEN_FILE
        if with_token and token.is_file():
            _copy_file(token, staging / _DATA / TOKEN_FILE)
        contents = Contents(
            version=version("sm3-scope"),
            revision=revision,
            backend="sqlite" if _is_sqlite(settings) else "postgresql",
            created_at=created_at,
            counts=counts,
            has_token=with_token and token.is_file(),
            files={path.relative_to(staging).as_posix(): FileFact.of(path) for path in _files(staging)},
        )
        contents.write(staging)
        for path in (*_files(staging), *_folders(staging)):
            _sync(path)
        staging.rename(target)
        _sync(target.parent)
    return contents


def restore(settings: Settings, source: Path) -> Contents:
    """Makes the empty data folder that ``settings`` name from the backup ``source``; returns what was in it.

    Raises:
        BackupError: the data folder or database is not empty, or the backup is damaged or of a newer version.
    """
    source = source.expanduser().absolute()
    contents = Contents.read(source)
    data_dir = settings.data_dir
    backend = "sqlite" if _is_sqlite(settings) else "postgresql"
    if contents.backend != backend:
        raise BackupError(
            f"the backup is of a {contents.backend} store, and SM3_DATABASE_URL names a {backend} one. Set it to a new "
            f"{contents.backend} database."
        )
    if contents.revision not in known_revisions():
        raise BackupError(
            f"the backup's schema {contents.revision} is newer than this version ({version('sm3-scope')}) knows; it "
            f"was made by {contents.version}. Install that version or a newer one."
        )
    _require_empty(settings)
    contents.verify(source)
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    staging = data_dir / f".restoring-{os.getpid()}"
    with _staged(staging, "the data folder"):
        for name in contents.files:
            if (inner := Path(name)).parts[0] == _DATA:
                _copy_file(source / name, staging.joinpath(*inner.parts[1:]))
        if backend == "sqlite":
            copied = staging / SQLITE_FILE
            _copy_file(source / SQLITE_FILE, copied)
            if (found := sqlite.verify(copied)) != (contents.revision, contents.counts):
                raise BackupError(
                    f"the restored store has {found}, not what {NAME} says. Use another backup."
                )
        else:
            postgres.restore(settings.store_url, source / POSTGRES_FILE)
        for path in (*_files(staging), *_folders(staging)):
            _sync(path)
        # The store comes last: a folder without one is not taken for a whole one.
        for entry in sorted(staging.iterdir(), key=lambda path: path.name == SQLITE_FILE):
            is_store = backend == "sqlite" and entry.name == SQLITE_FILE
            shutil.move(entry, _sqlite_file(settings) if is_store else data_dir / entry.name)
        staging.rmdir()
        _sync(data_dir)
    return contents


def _require_empty(settings: Settings) -> None:
    folder = settings.data_dir
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if found:
        raise BackupError(
            f"{folder} is not empty: it has {', '.join(found[:5])}. Nothing is overwritten: move it away, or set "
            "SM3_DATA_DIR to a new folder."
        )
    if _is_sqlite(settings) and (store := _sqlite_file(settings)).exists():
        raise BackupError(f"{store} exists. Nothing is overwritten: set SM3_DATABASE_URL to a new file.")


@contextmanager
def _staged(staging: Path, what: str) -> Iterator[None]:
    """Makes ``staging``, and removes it if the block fails; trouble of the disk becomes a `BackupError`."""
    try:
        staging.mkdir(parents=True, mode=0o700)
        yield
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise BackupError(
            f"{what} could not be written: {error.strerror}{place}. Make room or rights, and try again."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _copy(source: Path, target: Path, *, left_out: set[str] | frozenset[str] = frozenset()) -> None:
    """Copies a tree; what vanishes meanwhile (a delivered frame, an old checkpoint) is not missed."""
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(FileNotFoundError):
        for path in sorted(source.iterdir()):
            name = path.name
            if name in left_out | _LEFT_OUT or name.startswith(".") or name.endswith(_LEFT_OUT_SUFFIXES):
                continue
            if path.is_symlink():
                continue
            if path.is_dir():
                _copy(path, target / name)
            elif path.is_file():
                with suppress(FileNotFoundError):
                    _copy_file(path, target / name)


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with source.open("rb") as reading:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as writing:
            shutil.copyfileobj(reading, writing, 2**20)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _folders(folder: Path) -> list[Path]:
    return [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_sqlite(settings: Settings) -> bool:
    return make_url(settings.store_url).get_backend_name() == "sqlite"


def _sqlite_file(settings: Settings) -> Path:
    return Path(make_url(settings.store_url).database or "").absolute()
