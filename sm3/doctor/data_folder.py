"""The data folder: rights, room, and who can read the token."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sm3.progress import show_bytes
from sm3.remote.health_views import Check, Verdict
from sm3.remote.token_file import TOKEN_FILE

_FEW_BYTES, _VERY_FEW_BYTES = 2**30, 64 * 2**20


def check(folder: Path) -> Iterator[Check]:
    """Checks the folder, or the place where it would be made."""
    if not folder.exists():
        yield from _not_made_yet(folder)
        return
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x")
    except OSError as error:
        yield Check(
            name="data folder",
            verdict=Verdict.FAILED,
            found=f"{folder} cannot be written ({error.strerror})",
            remedy=f"Give this user rights (it belongs to {_owner(folder)}), make room, or set SM3_DATA_DIR.",
        )
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        yield Check(
            name="data folder",
            verdict=Verdict.WARNING,
            found=f"{folder} can be entered by other users (mode {mode:04o})",
            remedy=f"chmod 700 {folder}",
        )
    else:
        yield Check(
            name="data folder", verdict=Verdict.OK, found=f"{folder}, mode {mode:04o}, can be written"
        )
    yield _room(folder)
    yield _token(folder / TOKEN_FILE)


def _not_made_yet(folder: Path) -> Iterator[Check]:
    parent = next(path for path in folder.parents if path.exists())
    if os.access(parent, os.W_OK | os.X_OK):
        yield Check(name="data folder", verdict=Verdict.OK, found=f"{folder} is made at the first start")
    else:
        yield Check(
            name="data folder",
            verdict=Verdict.FAILED,
            found=f"{folder} is not there, and {parent} cannot be written",
            remedy="Make it and give it to this user (mkdir, chown), or set SM3_DATA_DIR.",
        )
    yield _room(parent)


def _room(folder: Path) -> Check:
    free_bytes = shutil.disk_usage(folder).free
    found = f"{show_bytes(free_bytes)} free"
    if free_bytes >= _FEW_BYTES:
        return Check(name="disk space", verdict=Verdict.OK, found=found)
    verdict = Verdict.FAILED if free_bytes < _VERY_FEW_BYTES else Verdict.WARNING
    remedy = "Free some space, or move the data folder: a full disk refuses frames (507)."
    return Check(name="disk space", verdict=verdict, found=found, remedy=remedy)


def _token(path: Path) -> Check:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return Check(name="token file", verdict=Verdict.OK, found="none yet; made at the first start")
    if mode & 0o077:
        return Check(
            name="token file",
            verdict=Verdict.FAILED,
            found=f"other users can read it (mode {mode:04o})",
            remedy=f"chmod 600 {path}; then make a new token, since this one may be known: delete it and restart.",
        )
    if not os.access(path, os.R_OK):
        return Check(
            name="token file",
            verdict=Verdict.FAILED,
            found=f"this user cannot read it (it belongs to user {_owner(path)})",
            remedy="Run as that user, or set SM3_TOKEN.",
        )
    return Check(
        name="token file", verdict=Verdict.OK, found=f"readable by its owner alone (mode {mode:04o})"
    )


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (KeyError, OSError):
        return "unknown"
