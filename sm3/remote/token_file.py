"""The admin token in the data folder: made at first start, readable by its owner alone, replaced on request."""

from __future__ import annotations

import secrets
from pathlib import Path

from filelock import FileLock

TOKEN_FILE = "token"  # noqa: S105 - a file name


def read(data_dir: Path) -> str:
    """Returns the token, '' where there is none or it cannot be read."""
    try:
        return (data_dir / TOKEN_FILE).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def ensure(data_dir: Path) -> str:
    """Returns the token; makes it (mode 0600) where there is none yet. Raises `OSError` if it cannot be written."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _lock(data_dir):
        return read(data_dir) or _write(data_dir)


def rotate(data_dir: Path) -> str:
    """Replaces the token and returns the new one; the old one is good for nothing from then on.

    Raises:
        FileNotFoundError: there is no token to replace.
        OSError: it cannot be written; the old one still holds then.
    """
    if not (data_dir / TOKEN_FILE).exists():
        raise FileNotFoundError(data_dir / TOKEN_FILE)
    with _lock(data_dir):
        return _write(data_dir)


def _lock(data_dir: Path) -> FileLock:
    return FileLock((data_dir / TOKEN_FILE).with_suffix(".lock"), mode=0o600)


def _write(data_dir: Path) -> str:
    """Puts a new token of 256 random bits in place, whole or not at all."""
    token = "sm3_" + secrets.token_urlsafe(32)
    path = data_dir / TOKEN_FILE
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    temporary.write_text(token + "\n", encoding="ascii")
    temporary.replace(path)
    return token
