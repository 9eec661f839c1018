"""What a backup says of itself: ``backup.json``."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

NAME = "backup.json"
SQLITE_FILE = "store.sqlite3"
POSTGRES_FILE = "store.pgdump"
_BLOCK_BYTES = 2**20


class BackupError(Exception):
    """Why a backup was not made or not restored, and what to do: one sentence for people. Nothing was changed."""


def _inside(path: str) -> str:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise ValueError("a relative path without '..' is allowed")
    return path


class FileFact(BaseModel):
    """One file of a backup."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @classmethod
    def of(cls, path: Path) -> FileFact:
        """Returns the facts of the file at ``path``."""
        digest, size_bytes = hashlib.sha256(), 0
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
                size_bytes += len(block)
        return cls(size_bytes=size_bytes, sha256=digest.hexdigest())


class Contents(BaseModel):
    """A whole backup.

    Attributes:
        format: of this document; 1.
        version: of the service that made it.
        revision: of the store's schema.
        backend: ``sqlite`` or ``postgresql``.
        created_at: when the store was copied.
        counts: rows of each table in the copy; empty where the copy cannot be read as a database.
        has_token: whether the admin token is in it.
        files: every other file, by its path in the backup.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = Field(1, ge=1, le=1)
    version: str
    revision: str
    backend: str = Field(pattern="^(sqlite|postgresql)$")
    created_at: datetime
    counts: dict[str, int]
    has_token: bool
    files: dict[Annotated[str, AfterValidator(_inside)], FileFact]

    @property
    def size_bytes(self) -> int:
        """Size of all files together."""
        return sum(fact.size_bytes for fact in self.files.values())

    def write(self, folder: Path) -> None:
        """Writes the document into the backup ``folder``."""
        (folder / NAME).write_text(self.model_dump_json(indent=1), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Contents:
        """Returns what the backup in ``folder`` says of itself. Raises `BackupError`."""
        try:
            return cls.model_validate_json((folder / NAME).read_bytes())
        except OSError as error:
            raise BackupError(
                f"{folder} is no backup: {NAME} cannot be read ({error.strerror}). Give one that `sm3 backup` made."
            ) from error
        except ValidationError as error:
            raise BackupError(
                f"{folder / NAME} is not of a backup that this version reads: {error.errors()[0]['msg']}. Restore it "
                "with the version that made it, or a newer one."
            ) from error

    def verify(self, folder: Path) -> None:
        """Raises `BackupError` unless every file in ``folder`` is there and is what it was."""
        for name, fact in self.files.items():
            path = folder / name
            if not path.is_file() or path.is_symlink():
                raise BackupError(f"the backup {folder} is damaged: {name} is not there. Use another one.")
            if FileFact.of(path) != fact:
                raise BackupError(
                    f"the backup {folder} is damaged: {name} is not what was written. Use another."
                )
