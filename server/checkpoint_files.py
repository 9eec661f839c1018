"""Checkpoints as folders on disk: how they are named, published, listed and cleared away. No torch.

``checkpoints/000000000500/`` holds ``model.safetensors`` (the weights), ``training.safetensors`` (every other
tensor), ``state.json`` (every other number) and ``about.json`` (step, time, the size and SHA-256 of the others).
It is written under another name, synced and then renamed: whatever kills the writer, a folder with a step for a
name is whole. The digests tell when a disk has damaged it since.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError

from sm3.remote.wire import CheckpointView

FOLDER = "checkpoints"
MODEL, TRAINING, STATE, ABOUT = "model.safetensors", "training.safetensors", "state.json", "about.json"
_TEMPORARY = "unfinished-"


class Part(BaseModel):
    """One file of a checkpoint."""

    size_bytes: int
    sha256: str


class About(BaseModel):
    """What is told of a checkpoint without opening it."""

    step: int
    at: datetime
    parts: dict[str, Part]


def folder_of(folder: Path, step: int) -> Path:
    """Returns where the checkpoint of ``step`` is, or would be."""
    return folder / f"{step:012d}"


@contextmanager
def publishing(folder: Path, step: int) -> Iterator[Path]:
    """Gives a folder to write the parts into; when the block ends well, the checkpoint is there, durably.

    Raises:
        OSError: it could not be written; earlier checkpoints are untouched.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for stray in folder.glob(f"{_TEMPORARY}*"):  # of a writer that was killed; there is never a second one
        shutil.rmtree(stray, ignore_errors=True)
    temporary = folder / f"{_TEMPORARY}{step}"
    temporary.mkdir(mode=0o700)
    try:
        yield temporary
        _write_about(temporary, step)
        for path in temporary.iterdir():
            sync(path)
        sync(temporary)
        final = folder_of(folder, step)
        if final.exists():  # the same step again, after going on from an older checkpoint
            shutil.rmtree(final)
        temporary.rename(final)
        sync(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def keep_newest(folder: Path, keep: int) -> None:
    """Removes all but the ``keep`` newest checkpoints."""
    for step in _steps(folder)[keep:]:
        path = folder_of(folder, step)
        (path / ABOUT).unlink(missing_ok=True)  # first, so that half a folder is none
        shutil.rmtree(path, ignore_errors=True)


def listed(folder: Path) -> tuple[CheckpointView, ...]:
    """Returns the checkpoints in ``folder``, newest first; empty where there are none."""
    views = []
    for step in _steps(folder):
        about = read_about(folder, step)
        if about is not None:
            size_bytes = sum(part.size_bytes for part in about.parts.values())
            views.append(
                CheckpointView(
                    step=step, at=about.at, size_bytes=size_bytes, model_bytes=about.parts[MODEL].size_bytes
                )
            )
    return tuple(views)


def weights(folder: Path, step: int) -> Path | None:
    """Returns the file of a checkpoint's weights; None where there is no such checkpoint."""
    return folder_of(folder, step) / MODEL if read_about(folder, step) is not None else None


def newest_step(folder: Path) -> int:
    """Returns the step of the newest checkpoint, 0 where there is none."""
    return max(_steps(folder), default=0)


def read_about(folder: Path, step: int) -> About | None:
    """Returns what is told of a checkpoint; None where there is none, or no whole one."""
    try:
        return About.model_validate_json((folder_of(folder, step) / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None


def faults(folder: Path, step: int) -> list[str]:
    """Returns what is wrong with a checkpoint's files: nothing, unless a disk damaged them."""
    about = read_about(folder, step)
    if about is None:
        return [f"{ABOUT} is missing or unreadable"]
    found = []
    for name, part in about.parts.items():
        path = folder_of(folder, step) / name
        try:
            digest = _sha256(path)
        except OSError as error:
            found.append(f"{name} cannot be read ({error.strerror})")
        else:
            found += [f"{name} is not what was written"] if digest != part.sha256 else []
    return found


def sync(path: Path) -> None:
    """Waits until a file or folder is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_about(temporary: Path, step: int) -> None:
    parts = {
        path.name: Part(size_bytes=path.stat().st_size, sha256=_sha256(path))
        for path in sorted(temporary.iterdir())
    }
    about = About(step=step, at=datetime.now(UTC), parts=parts)
    (temporary / ABOUT).write_text(json.dumps(about.model_dump(mode="json"), indent=1), encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _steps(folder: Path) -> list[int]:
    """Steps that there are checkpoints of, newest first."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted((int(name) for name in names if name.isdecimal()), reverse=True)
