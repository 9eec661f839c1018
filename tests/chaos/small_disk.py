"""A disk of a few megabytes that can be filled and freed."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_BLOCK_BYTES = 64 * 1024


def why_not() -> str:
    """Returns why no disk of our own can be had here, '' if it can."""
    return "" if os.geteuid() == 0 else "mounting a tmpfs needs root"


@contextmanager
def small_disk(folder: Path, *, size_mib: int = 8) -> Iterator[Path]:
    """Mounts a tmpfs on ``folder``. Raises `PermissionError` where even root may not mount."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PermissionError(done.stderr.strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(ballast: Path) -> int:
    """Takes every free byte of the disk that ``ballast`` is on; returns how many those were."""
    size_bytes = 0
    with ballast.open("ab", buffering=0) as file:
        for block_bytes in (_BLOCK_BYTES, 4096, 1):
            with suppress_full():
                while written := file.write(b"\0" * block_bytes):
                    size_bytes += written
    return size_bytes


@contextmanager
def suppress_full() -> Iterator[None]:
    """Ignores a full disk and nothing else."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def free(ballast: Path) -> None:
    """Gives the space back."""
    with suppress(FileNotFoundError):
        ballast.unlink()
